"""Where GradCAM has its switch: between the gradient and the average that makes a weight of it."""

from posgrad_edu.viz import Schematic


def draw() -> Schematic:
    drawing = Schematic(
        8.6,
        2.5,
        alt="From left to right: photo, network, channels A_k, network's head, logit f_c. Back from the logit a dashed"
        " arrow brings the gradient G_k; it passes the switch h, is averaged to the weight w_k, and the weighted sum"
        " of the channels is the map.",
    )
    photo = drawing.box(0.8, 1.9, "photo")
    network = drawing.box(2.4, 1.9, "network", "muted")
    channels = drawing.box(4.2, 1.9, "channels $A_k$")
    head = drawing.box(6.0, 1.9, "head", "muted")
    logit = drawing.box(7.6, 1.9, "logit $f_c$")
    for start, end in [(photo, network), (network, channels), (channels, head), (head, logit)]:
        drawing.arrow(start, end)
    switch = drawing.switch(5.9, 0.6)
    weight = drawing.box(4.2, 0.6, "mean: $w_k$")
    result = drawing.box(1.9, 0.6, "map $= \\sum_k w_k A_k$", "for")
    drawing.arrow(logit, switch, "gradient $G_k$", "back", above=-0.35)
    drawing.arrow(switch, weight)
    drawing.arrow(weight, result)
    drawing.arrow(channels, result)
    return drawing
