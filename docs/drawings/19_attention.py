"""Where gradient rollout clamps: tokens read one another in each layer, and the gradient at each reading passes h."""

import numpy as np

from posgrad_edu.viz import Schematic
from posgrad_edu.viz.schematic import COLOURS, Place

CELL = 0.26


def draw() -> Schematic:
    drawing = Schematic(
        9.4,
        4.0,
        alt="Above, from left to right: a photo cut into tokens, with a class token before them; a layer of"
        " attention A, in which tokens read one another, several layers of this kind, and the logit, read"
        " from the class token. A dashed arrow goes back from the logit to each layer as the gradient G."
        " Below, for one layer: G times A passes the switch h, is averaged over heads, the identity is"
        " added, and the layers' matrices are multiplied. The row of the class token is the map.",
    )
    tokens = photo(drawing, 1.0, 3.1)
    drawing.text(1.0, 2.25, "class token and\nthe photo's tokens", size=10)
    layers = [drawing.box(x, 3.1, f"attention\n$A_{n}$", "muted") for x, n in ((3.2, "1"), (5.1, "2"))]
    last = drawing.box(7.0, 3.1, "attention\n$A_L$", "muted")
    logit = drawing.box(8.7, 3.1, "logit $f_c$")
    for start, end in [(tokens, layers[0]), (layers[0], layers[1]), (last, logit)]:
        drawing.arrow(start, end)
    drawing.arrow(layers[1], last, "...")
    for x in (7.1, 5.2, 3.3):
        drawing.arrow((8.6, 2.8), (x, 2.72), "", "back", bend=-0.14 - 0.02 * (8.6 - x))
    drawing.text(6.1, 1.9, "gradient $G_\\ell=\\partial f_c/\\partial A_\\ell$", "back", size=10)
    return below(drawing)


def below(drawing: Schematic) -> Schematic:
    """Draw what is done with each layer."""
    product = drawing.box(1.0, 0.9, "$G_\\ell \\odot A_\\ell$", "back", width=1.15)
    switch = drawing.switch(2.6, 0.9)
    heads = drawing.box(4.1, 0.9, "mean\nover heads", width=1.3)
    plus = drawing.box(6.05, 0.9, "$+\\,I$, product\nover layers", width=1.6)
    row = drawing.box(8.25, 0.9, "map: row of the\nclass token", "for", width=1.7)
    for start, end in [(product, switch), (switch, heads), (heads, plus), (plus, row)]:
        drawing.arrow(start, end)
    drawing.text(1.0, 0.35, "in each layer", size=10)
    return drawing


def photo(drawing: Schematic, x: float, y: float) -> Place:
    """Draw a grid of tokens with one more, the class token, before it."""
    from matplotlib.patches import Rectangle

    for r, c in np.ndindex(4, 4):
        corner = (x + (c - 1.5) * CELL, y + (1 - r) * CELL)
        drawing.canvas.add_patch(Rectangle(corner, CELL, CELL, edgecolor="#8a8a8a", facecolor="#e9e6dd", linewidth=1))
    line, filling = COLOURS["for"]
    corner = (x - 2.9 * CELL, y - 0.5 * CELL)
    drawing.canvas.add_patch(Rectangle(corner, CELL, CELL, edgecolor=line, facecolor=filling, linewidth=1.2))
    return Place(x + 0.5 * CELL, y, 2.1 * CELL, 2 * CELL)
