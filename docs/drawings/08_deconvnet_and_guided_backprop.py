"""Three rules for the way back through one ReLU, side by side, with one row of numbers."""

import itertools

from posgrad_edu.viz import Schematic

RULES = {  # what a rule has on its way, and what it lets pass
    "gradient": (False, True, (0, -5, 6)),
    "DeconvNet": (True, False, (4, 0, 6)),
    "Guided Backprop": (True, True, (0, 0, 6)),
}


def draw() -> Schematic:
    drawing = Schematic(
        9.4,
        4.5,
        alt="One ReLU with z = -1, 2, 3, at which G = 4, -5, 6 arrives from above. Gradient: G passes the gate alone,"
        " 0, -5, 6. DeconvNet: the switch h, positive, alone, 4, 0, 6. Guided Backprop: h, then the gate, 0, 0, 6.",
    )
    top, switch_at, gate_at, below = 3.55, 2.75, 1.95, 1.0
    drawing.text(0.95, gate_at + 0.45, "forward: $z$")
    drawing.grid(0.95, gate_at, (-1, 2, 3))
    drawing.text(0.95, top, "arrives: $G$", "back")
    drawing.text(0.95, below, "passes on", "back")
    for column, (name, (handled, gated, passed)) in enumerate(RULES.items()):
        x = 3.1 + 2.5 * column
        drawing.text(x, top + 0.6, name, bold=True)
        places = [drawing.grid(x, top, (4, -5, 6))]
        if handled:
            places.append(drawing.switch(x, switch_at, "$h$"))
        if gated:
            places.append(drawing.box(x, gate_at, "gate: 0  1  1", "muted", width=1.5))
        places.append(drawing.grid(x, below, passed))
        for start, end in itertools.pairwise(places):
            drawing.arrow(start, end, kind="back")
        formula = "$" + ("h(G)" if handled else "G") + (r" \cdot [z > 0]" if gated else "") + "$"
        drawing.text(x, below - 0.55, formula)
    return drawing
