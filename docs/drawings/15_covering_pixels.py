"""A map ranks the patches of a photo; they are covered in that order, and the class's score draws a curve."""

import numpy as np

from posgrad_edu.viz import Schematic

SUMS = np.array([[1, 0, 2, 1], [0, 7, 9, 3], [2, 5, 8, 4], [0, 1, 3, 6]])  # of a map, by patches
COUNTS = (0, 3, 8, 16)  # patches that are covered
KEPT = (1.0, 0.55, 0.28, 0.0)
CELL = 0.3


def draw() -> Schematic:
    drawing = Schematic(
        9.6,
        3.1,
        alt="Left: a map's sums over sixteen patches. Then the photo as a grid of patches, four times: none"
        " covered, the three patches with the largest sums covered, eight covered, all covered. Each"
        " picture goes through the network and gives a score. Right: the scores as a curve over the share"
        " that is covered, from 1 down to 0.",
    )
    drawing.text(1.0, 2.85, "map, summed by patches", size=10)
    ranked = drawing.grid(1.0, 1.95, SUMS, cell=0.34, numbers=True)
    rank = (-SUMS.flatten()).argsort(kind="stable").argsort().reshape(SUMS.shape)
    for n, count in enumerate(COUNTS):
        x = 2.95 + 1.3 * n
        photo(drawing, x, 1.95, rank < count)
        drawing.text(x, 2.85, f"{count} covered", size=10)
        drawing.text(x, 0.42, f"$s_{{{count}}}$", size=12)
        drawing.arrow((x, 1.3), (x, 0.62))
    drawing.text(2.8, 0.96, "network", size=10, align="right")
    drawing.arrow(ranked, (2.33, 1.95))
    curve = drawing.axes(7.75, 0.75, 1.65, 1.75)
    curve.plot(np.array(COUNTS) / 16, KEPT, color="#222222", marker="o", linewidth=1.5)
    curve.set(xticks=[0, 1], yticks=[0, 1], xlim=(-0.06, 1.08), ylim=(-0.08, 1.15))
    curve.set_xlabel("share covered", fontsize=10, labelpad=-2)
    drawing.text(8.58, 2.85, "score that is kept", size=10)
    return drawing


def photo(drawing: Schematic, x: float, y: float, hidden: np.ndarray) -> None:
    """Draw a photo of patches around (x, y): covered ones dark, the others light."""
    from matplotlib.patches import Rectangle

    rows, columns = hidden.shape
    for (r, c), dark in np.ndenumerate(hidden):
        corner = (x + (c - columns / 2) * CELL, y + (rows / 2 - r - 1) * CELL)
        drawing.canvas.add_patch(
            Rectangle(corner, CELL, CELL, edgecolor="#8a8a8a", facecolor="#222222" if dark else "#e9e6dd", linewidth=1)
        )
