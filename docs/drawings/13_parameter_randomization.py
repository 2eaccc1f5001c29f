"""The cascade: layers become random from the output down, and each map is compared with the trained network's."""

from posgrad_edu.viz import Schematic

LAYERS, LEFT, STEP = 5, 2.9, 0.95


def draw() -> Schematic:
    drawing = Schematic(
        10.3,
        3.4,
        alt="Four copies of one network, photo left, output right. In the first all five layers are trained; in the"
        " others the one, three or five layers nearest the output are random. Each gives a map of the same photo and"
        " class, which is compared with the first one.",
    )
    for random, y in zip((0, 1, 3, 5), (2.9, 2.1, 1.3, 0.5), strict=True):
        drawing.text(0.75, y, f"{random} random" if random else "trained", bold=not random)
        start = drawing.box(1.95, y, "$x$", width=0.5)
        for layer in range(1, LAYERS + 1):
            lost = layer > LAYERS - random
            words, kind = ("random", "against") if lost else (f"$\\ell_{layer}$", "muted")
            box = drawing.box(LEFT + STEP * (layer - 1), y, words, kind, width=0.78)
            drawing.arrow(start, box)
            start = box
        made = drawing.box(7.9, y, "$m'$" if random else "$m$", width=0.6)
        drawing.arrow(start, made, kind="back")
        if random:
            drawing.arrow(made, drawing.box(9.35, y, "$\\rho(m, m')$", width=1.2))
    return drawing
