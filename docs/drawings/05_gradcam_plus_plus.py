"""GradCAM++'s two steps between the gradient and a channel's weight: the switch h, and alpha. Each can be left out."""

from posgrad_edu.viz import Schematic


def draw() -> Schematic:
    drawing = Schematic(
        8.6,
        2.9,
        alt="The gradient G_k, dashed, comes back from the logit and passes the switch h, which clamps or changes"
        " nothing. Then it meets alpha, which can be replaced by one half. The sum over positions is the weight w_k of"
        " channel A_k in the map.",
    )
    channels = drawing.box(1.0, 2.3, "channels $A_k$")
    head = drawing.box(4.3, 2.3, "head", "muted")
    logit = drawing.box(7.6, 2.3, "logit $f_c$")
    drawing.arrow(channels, head)
    drawing.arrow(head, logit)
    switch = drawing.switch(6.3, 1.05)
    alpha = drawing.box(4.7, 1.05, "$\\times\\,\\alpha$")
    weight = drawing.box(2.9, 1.05, "sum: $w_k$")
    result = drawing.box(1.0, 1.05, "$\\sum_k w_k A_k$", "for")
    drawing.arrow(logit, switch, kind="back")
    drawing.text(7.75, 1.5, "gradient $G_k$", "back", size=10)
    drawing.arrow(switch, alpha, kind="back")
    drawing.arrow(alpha, weight)
    drawing.arrow(weight, result)
    drawing.arrow(channels, result)
    drawing.text(6.3, 0.45, "$h(G)=\\max(G,0)$\nor $h(G)=G$", size=10)
    drawing.text(4.7, 0.45, "$\\alpha=1/(2+SG)$\nor $\\alpha=1/2$", size=10)
    return drawing
