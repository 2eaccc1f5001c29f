"""Where GradCAM has its switch: between the gradient and the average that makes a weight of it."""

from posgrad_edu.viz import Schematic


def draw() -> Schematic:
    drawing = Schematic(
        9.4,
        2.9,
        alt="Forward: photo, network, channels A_k, head, logit f_c. Back from the logit comes the gradient G_k. It"
        " passes the switch h and is averaged over the positions to the weight w_k. The channels, times their weights"
        " and added up, are the map.",
    )
    photo = drawing.box(1.0, 2.3, "photo $x$")
    network = drawing.box(2.55, 2.3, "network", "muted")
    channels = drawing.box(4.4, 2.3, "channels $A_k$")
    head = drawing.box(6.3, 2.3, "head", "muted")
    logit = drawing.box(8.3, 2.3, "logit $f_c$")
    for start, end in [(photo, network), (network, channels), (channels, head), (head, logit)]:
        drawing.arrow(start, end)
    gradient = drawing.box(8.3, 0.8, "gradient $G_k$", "back")
    switch = drawing.switch(6.95, 0.8)
    weight = drawing.box(5.9, 0.8, "$w_k$", width=0.75)
    total = drawing.box(4.4, 0.8, "$\\sum_k w_k A_k$")
    result = drawing.box(1.0, 0.8, "map")
    drawing.arrow(logit, gradient, kind="back")
    drawing.arrow(gradient, switch, kind="back")
    drawing.arrow(switch, weight)
    drawing.text(6.4, 0.35, "mean over positions", size=9)
    drawing.arrow(weight, total)
    drawing.arrow(channels, total)
    drawing.arrow(total, result)
    return drawing
