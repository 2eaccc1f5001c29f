"""Two questions to one photo, two maps, one number."""

from posgrad_edu.viz import Schematic


def draw() -> Schematic:
    drawing = Schematic(
        9.4,
        2.7,
        alt="A photo goes into one network. Two questions, class c and class d, each give a map through a method with"
        " its switch h. The pixels of both maps are ranked, and one number, the rank correlation, says how alike the"
        " two orders are.",
    )
    photo = drawing.box(0.7, 1.35, "photo $x$")
    network = drawing.box(2.3, 1.35, "network", "muted")
    one = drawing.box(4.2, 2.15, "class $c$?", "back")
    other = drawing.box(4.2, 0.55, "class $d$?", "back")
    drawing.arrow(photo, network)
    drawing.arrow(network, one)
    drawing.arrow(network, other)
    switches = [drawing.switch(5.5, y) for y in (2.15, 0.55)]
    maps = [drawing.box(6.7, y, name) for y, name in ((2.15, "map $m_c$"), (0.55, "map $m_d$"))]
    number = drawing.box(8.5, 1.35, "ranks: $\\rho$")
    for asked, switch, shown in zip((one, other), switches, maps, strict=True):
        drawing.arrow(asked, switch, kind="back")
        drawing.arrow(switch, shown, kind="back")
        drawing.arrow(shown, number)
    return drawing
