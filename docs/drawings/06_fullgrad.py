"""FullGrad's terms, of the input and of each layer's bias: as they are they add up to the logit, through h to a map."""

from itertools import pairwise

from posgrad_edu.viz import Schematic


def draw() -> Schematic:
    drawing = Schematic(
        8.6,
        3.9,
        alt="Top: photo x, two layers with biases b_1 and b_2, logit f_c; a dashed gradient flows back. Below each of"
        " the three a term, its value times its gradient. An arrow from the terms leads to their sum, the logit;"
        " another through the switch h to the map.",
    )
    tops = [drawing.box(1.0, 3.4, "photo $x$"), drawing.box(3.1, 3.4, "layer, bias $b_1$", "muted")]
    tops += [drawing.box(5.5, 3.4, "layer, bias $b_2$", "muted"), drawing.box(7.7, 3.4, "logit $f_c$")]
    for start, end in pairwise(tops):
        drawing.arrow(start, end)
    drawing.arrow((7.7, 2.85), (0.5, 2.85), kind="back")
    drawing.text(7.75, 2.6, "gradient", "back", size=10)
    words = ["$x\\cdot\\partial f_c/\\partial x$", "$b_1\\cdot\\partial f_c/\\partial z_1$"]
    words += ["$b_2\\cdot\\partial f_c/\\partial z_2$"]
    terms = [drawing.box(top.x, 2.05, text, width=1.7) for top, text in zip(tops, words, strict=False)]
    for top, term in zip(tops, terms, strict=False):
        drawing.arrow((top.x, top.y - top.high), (term.x, term.y + term.high))
    total = drawing.box(7.7, 2.05, "sum $= f_c$")
    for first, second in pairwise(terms):
        drawing.text((first.x + second.x) / 2, 2.05, "+")
    drawing.arrow(terms[-1], total)
    switch = drawing.switch(3.1, 1.1)
    rescale = drawing.box(3.1, 0.4, "rescale, enlarge, add up", "muted")
    result = drawing.box(6.3, 0.4, "map", "for")
    for term in terms:
        drawing.arrow((term.x, term.y - term.high), switch)
    drawing.arrow(switch, rescale)
    drawing.arrow(rescale, result)
    return drawing
