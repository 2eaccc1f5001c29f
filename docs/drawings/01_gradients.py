"""What a gradient map holds: one pixel gets a little brighter, the logit follows a curve, and its slope is kept."""

import numpy as np

from posgrad_edu.viz import Schematic
from posgrad_edu.viz.schematic import COLOURS

PIXEL = (1, 2)  # row and column of the one that is changed
CELL = 0.4


def draw() -> Schematic:
    drawing = Schematic(
        9.6,
        3.1,
        alt="One pixel i of the photo x gets brighter by a small step delta. The network turns the photo into the logit"
        " f_c, a curve over the step. The slope of that curve at step 0 is G_i, the same pixel's value in the map.",
    )
    photo = drawing.grid(1.2, 1.6, np.zeros((4, 4)), cell=CELL, numbers=False)
    drawing.text(1.2 + CELL * (PIXEL[1] - 1.5), 1.6 - CELL * (PIXEL[0] - 1.5), "$+\\delta$")
    drawing.text(1.2, 2.75, "photo $x$")
    drawing.text(1.2, 0.45, "pixel $i$ brighter\nby a step $\\delta$", size=10)
    network = drawing.box(3.1, 1.6, "network", "muted")
    drawing.arrow(photo, network)
    plot = drawing.axes(4.6, 0.75, 2.1, 1.7)
    steps = np.linspace(-1, 1, 101)
    plot.plot(steps, np.tanh(1.6 * steps) + 0.25 * steps**2, color=COLOURS["plain"][0], linewidth=1.6)
    plot.plot(0.7 * steps, 1.6 * 0.7 * steps, color=COLOURS["back"][0], linestyle="--", linewidth=1.8)
    plot.plot(0, 0, "o", color=COLOURS["back"][0])
    plot.set(xticks=[0], xticklabels=["0"], yticks=[], xlim=(-1, 1), ylim=(-1.2, 1.6))
    drawing.text(5.65, 0.3, "step $\\delta$", size=10)
    drawing.text(5.65, 2.75, "logit $f_c$")
    drawing.arrow(network, (4.55, 1.6))
    values = np.zeros((4, 4))
    values[PIXEL] = 1
    result = drawing.grid(8.4, 1.6, values, cell=CELL, numbers=False)
    drawing.text(8.4 + CELL * (PIXEL[1] - 1.5), 1.6 - CELL * (PIXEL[0] - 1.5), "$G_i$", size=10)
    drawing.text(8.4, 2.75, "map")
    drawing.text(8.4, 0.45, "pixel $i$ gets\nthe slope $G_i$", size=10)
    drawing.arrow((6.75, 1.6), (result.x - result.wide, 1.6), "slope", "back")
    return drawing
