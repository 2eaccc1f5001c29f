"""The toy chain of lesson 07: its numbers forward, and the signal back through the switch and the gate."""

import numpy as np

from posgrad_edu.viz import Schematic


def draw() -> Schematic:
    drawing = Schematic(
        9.6,
        4.3,
        alt="Forward: the pixels 1, 2 become z = -1, 2, 3, then a = 0, 2, 3, then the logit 8. Back, dashed: G = 4, -5,"
        " 6 passes the switch h, positive, as 4, 0, 6, and the gate, which z sets, as 0, 0, 6. At the pixels: 6, 6.",
    )
    upper, lower = 3.15, 1.15
    x = drawing.grid(0.9, upper, _column(1, 2))
    z = drawing.grid(3.3, upper, _column(-1, 2, 3))
    a = drawing.grid(6.1, upper, _column(0, 2, 3))
    logit = drawing.box(8.6, upper, "logit $f=8$")
    drawing.arrow(x, z, "$W_1$")
    drawing.arrow(z, a, "ReLU")
    drawing.arrow(a, logit, "$W_2$")
    for place, name in ((x, "$x$"), (z, "$z$"), (a, "$a$")):
        drawing.text(place.x, upper + 0.85, name)

    arrived = drawing.grid(8.6, lower, _column(4, -5, 6))
    handled = drawing.grid(6.1, lower, _column(4, 0, 6))
    passed = drawing.grid(3.3, lower, _column(0, 0, 6))
    pixels = drawing.grid(0.9, lower, _column(6, 6))
    switch = drawing.switch(7.35, lower)
    gate = drawing.box(4.7, lower, "gate\n$[z > 0]$", "muted")
    drawing.arrow(logit, arrived, kind="back")
    drawing.arrow(arrived, switch, kind="back")
    drawing.arrow(switch, handled, kind="back")
    drawing.arrow(handled, gate, kind="back")
    drawing.arrow(gate, passed, kind="back")
    drawing.arrow(passed, pixels, "$W_1^{\\top}$", "back")
    for place, name in (
        (arrived, "$G$"),
        (handled, "$h(G)$, positive"),
        (passed, "what passes"),
        (pixels, "at the pixels"),
    ):
        drawing.text(place.x, lower - 0.87, name, kind="back", size=10)
    drawing.arrow((z.x + 0.3, upper - 0.72), gate, kind="muted")
    return drawing


def _column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]
