"""Where the switch sits: between the gradient that comes back from the logit and the map that is made of it."""

from posgrad_edu.viz import Schematic


def draw() -> Schematic:
    drawing = Schematic(
        9.2,
        3.5,
        alt="The gradient G comes back from the logit f_c, two numbers above zero and two below. It passes the switch"
        " h. Signed keeps all four for the map; positive sets the two below zero to 0.",
    )
    photo = drawing.box(1.0, 3.0, "photo $x$")
    network = drawing.box(4.4, 3.0, "network", "muted")
    logit = drawing.box(8.0, 3.0, "logit $f_c$")
    drawing.arrow(photo, network)
    drawing.arrow(network, logit)
    gradient = drawing.grid(8.0, 1.25, [[2, -3], [-1, 1]])
    drawing.text(8.0, 0.6, "gradient $G$", "back")
    drawing.arrow(logit, gradient, kind="back")
    switch = drawing.switch(6.4, 1.25)
    drawing.arrow(gradient, switch, kind="back")
    result = drawing.box(1.0, 1.25, "map")
    for y, words, height, values in [
        (1.85, "signed: $h(G) = G$", 2.05, [[2, -3], [-1, 1]]),
        (0.65, "positive: $h(G) = \\max(G, 0)$", 0.45, [[2, 0], [0, 1]]),
    ]:
        kept = drawing.grid(3.0, y, values)
        drawing.text(4.9, height, words)
        drawing.arrow(switch, kept, kind="back")
        drawing.arrow(kept, result)
    drawing.text(3.0, 1.25, "or", size=10)
    return drawing
