"""The page about a map: its picture with the controls above, and six fields, each with the question it answers."""

from posgrad_edu.viz import Schematic

FIELDS = [
    ("1  Network and photo", "Who was asked, and what did it see?"),
    ("2  Question", "Which class, and against what?"),
    ("3  Method", "Which one, at which layer?"),
    ("4  Handling", "What became of the sign?"),
    ("5  Controls", "What was the map held against?"),
    ("6  Limits", "What doesn't it show?"),
]


def draw() -> Schematic:
    from matplotlib.patches import Rectangle

    drawing = Schematic(
        8.6,
        4.3,
        alt="A page. At its top four pictures in a row: the map, and beside it the map for another class,"
        " the map of a network with a random last layer, and the photo's edges. Below them six fields"
        " with their questions: network and photo, question, method, handling, controls, limits. The"
        " field handling is marked with the switch h.",
    )
    drawing.canvas.add_patch(Rectangle((0.15, 0.15), 8.3, 4.0, edgecolor="#8a8a8a", facecolor="#ffffff", linewidth=1.2))
    for x, text, kind in [
        (1.3, "map", "for"),
        (3.3, "another class's", "muted"),
        (5.3, "random layer's", "muted"),
        (7.3, "edges", "muted"),
    ]:
        drawing.box(x, 3.35, text, kind, width=1.7, height=0.95)
    for n, (name, asks) in enumerate(FIELDS):
        row, column = divmod(n, 2)
        x, y = 0.55 + 4.1 * column, 2.4 - 0.75 * row
        drawing.text(x, y, name, bold=True, align="left")
        drawing.text(x + 0.22, y - 0.28, asks, size=10, align="left")
    drawing.switch(7.7, 1.55)
    return drawing
