"""The road from the signed rule to the positive one: how much a negative contribution counts at five stations."""

from matplotlib.patches import Rectangle

from posgrad_edu.viz import Schematic
from posgrad_edu.viz.schematic import COLOURS

STATIONS = [("epsilon", 0.0), ("γ = 0.01", 0.01), ("γ = 0.1", 0.1), ("γ = 1", 1.0), ("z+", None)]


def draw() -> Schematic:
    drawing = Schematic(
        10.2,
        3.6,
        alt="Five rules from signed to positive. Against a contribution of +3, one of -2 counts in full at epsilon,"
        " 99 % at gamma 0.01, 91 % at gamma 0.1, half at gamma 1, and not at all at z+.",
    )
    ends = (1.1, 9.1)
    step = (ends[1] - ends[0]) / (len(STATIONS) - 1)
    drawing.arrow((0.3, 1.0), (9.9, 1.0))
    for n, (name, gamma) in enumerate(STATIONS):
        x, counted = ends[0] + n * step, 0.0 if gamma is None else 1 / (1 + gamma)
        for left, height, kind in [(x - 0.32, 3.0, "for"), (x + 0.02, 2.0 * counted, "against")]:
            line, filling = COLOURS[kind]
            drawing.canvas.add_patch(Rectangle((left, 1.06), 0.3, 0.4 * height, edgecolor=line, facecolor=filling))
        drawing.text(x - 0.17, 2.42, "+3", "for", size=10)
        drawing.text(x + 0.17, 1.22 + 0.8 * counted, "−2", "against" if counted else "muted", size=10)
        drawing.text(x, 0.72, name, bold=True)
        drawing.text(x, 0.36, f"−2 counts {100 * counted:.0f} %", size=10)
    drawing.switch(ends[0], 3.15, "$h$: signed")
    drawing.switch(ends[1], 3.15, "$h$: positive")
    return drawing
