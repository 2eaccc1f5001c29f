"""What a test of change can tell, and what it can't: right or wrong is one question, changing or not another."""

from posgrad_edu.viz import Schematic


def draw() -> Schematic:
    drawing = Schematic(
        9.4,
        3.4,
        alt="Four fields. Columns: the map changes and passes, or stays and fails. Rows: right map, wrong map. Right"
        " and changing: GradCAM in a scene. Right and staying: the ink of the only digit. Wrong and changing: GradCAM"
        " turned round. Wrong and staying: edges. The test sees only the column.",
    )
    columns, rows = (3.9, 7.3), (1.85, 0.65)
    for x, words in zip(columns, ("changes: passes", "stays: fails"), strict=True):
        drawing.text(x, 2.6, words, bold=True)
    for y, words in zip(rows, ("right map", "wrong map"), strict=True):
        drawing.text(1.0, y, words, bold=True)
    fields = (("GradCAM in a scene", "the ink of the only digit"), ("GradCAM turned round", "edges"))
    for y, line in zip(rows, fields, strict=True):
        for x, words in zip(columns, line, strict=True):
            misleads = (x == columns[0]) != (y == rows[0])
            text = f"{words}\n(the test misleads)" if misleads else words
            drawing.box(x, y, text, "plain" if misleads else "muted", width=3.1, height=0.8)
    drawing.text(5.6, 3.05, "all that the test sees:")
    return drawing
