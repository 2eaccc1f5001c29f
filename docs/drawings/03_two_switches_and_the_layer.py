"""The two places of GradCAM where a clamp can sit: before channels are weighed against each other, and after."""

from posgrad_edu.viz import Schematic


def draw() -> Schematic:
    drawing = Schematic(
        9.6,
        2.8,
        alt="Each channel's gradient G_k passes the switch h, before the weighing, and becomes a weight w_k. The"
        " channels, times their weights, are added up at each place. After this weighing the sum may pass a second"
        " clamp, the final ReLU, and is the map.",
    )
    gradient = drawing.box(1.0, 1.9, "gradient $G_k$", "back")
    channels = drawing.box(1.0, 0.8, "channels $A_k$")
    switch = drawing.switch(2.75, 1.9)
    weight = drawing.box(4.0, 1.9, "$w_k$", width=0.75)
    total = drawing.box(5.5, 1.35, "$\\sum_k w_k A_k$")
    final = drawing.box(7.4, 1.35, "final ReLU")
    result = drawing.box(9.0, 1.35, "map")
    drawing.arrow(gradient, switch, kind="back")
    drawing.arrow(switch, weight)
    drawing.text(3.32, 2.05, "mean", size=9)
    for start, end in [(weight, total), (channels, total), (total, final), (final, result)]:
        drawing.arrow(start, end)
    drawing.text(2.75, 2.4, "handling", bold=True)
    drawing.text(7.4, 1.85, "second clamp", bold=True)
    drawing.text(2.75, 1.4, "each channel alone,\nbefore the weighing", size=9)
    drawing.text(5.5, 0.85, "the weighing", size=9)
    drawing.text(7.4, 0.85, "each place alone,\nafter the weighing", size=9)
    return drawing
