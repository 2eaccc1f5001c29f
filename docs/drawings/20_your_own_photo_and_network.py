"""What a network must have so that its maps mean something: a condition below each part of the way to the logits."""

from posgrad_edu.viz import Schematic


def draw() -> Schematic:
    drawing = Schematic(
        9.6,
        3.0,
        alt="From left to right: photo, preprocessing, network, logits. Below each what must hold: the photo"
        " is upright; the preprocessing uses the mean and spread of the training; the network is in"
        " evaluation mode, its photos don't meet, and a CAM finds a layer with positions; the outputs are"
        " logits without a softmax. A dashed arrow goes back from the logits through the switch h to the"
        " map.",
    )
    parts = [
        (1.0, "photo", "plain", "upright, in colour"),
        (3.3, "preprocessing", "plain", "the mean and spread\nof its training"),
        (6.0, "network", "muted", "evaluation mode\nphotos don't meet\nfor a CAM: positions\nonly known operations"),
        (8.5, "logits $f_c$", "plain", "one a class,\nno softmax"),
    ]
    places = []
    for x, text, kind, needs in parts:
        places.append(drawing.box(x, 1.85, text, kind))
        lines = needs.count("\n")
        drawing.text(x, 1.38 - 0.085 * lines, needs, size=10)
    for start, end, shape in zip(places[:-1], places[1:], ("", "$x$", ""), strict=True):
        drawing.arrow(start, end, shape)
    switch = drawing.switch(6.0, 2.6)
    result = drawing.box(3.3, 2.6, "map $m$", "for")
    drawing.arrow(places[3], switch, "", "back")
    drawing.text(7.75, 2.52, "gradient", "back", size=10)
    drawing.arrow(switch, result)
    drawing.text(1.0, 2.6, "a method:", size=11)
    unseen = "What doesn't hold is refused by name. Only a softmax, or a wrong mean and spread, can't be noticed."
    drawing.text(0.25, 0.3, unseen, size=10, align="left")
    return drawing
