"""A shift lifts all logits and their mean alike: what stays is each logit's distance from the mean."""

from posgrad_edu.viz import Schematic

LOGITS = {"$f_1$": 4.0, "$f_2$": 1.6, "$f_3$": -1.4, "$f_4$": 0.2}
MEAN = sum(LOGITS.values()) / len(LOGITS)
LIFT = 2.6
UNIT, WIDE = 0.28, 0.5  # of a logit's height and of a bar's width


def draw() -> Schematic:
    drawing = Schematic(
        8.6,
        3.4,
        alt="Four bars of logits and their mean, a dashed line. After a shift all five are higher by the same amount."
        " The contrast, an arrow from the mean to the top of the first bar, keeps its length.",
    )
    for left, lift, title in [(0.9, 0.0, "as trained"), (5.2, LIFT, "shifted")]:
        zero = 1.0
        drawing.canvas.plot([left - 0.4, left + 2.6], [zero, zero], color="#8a8a8a", linewidth=1)
        for n, (name, logit) in enumerate(LOGITS.items()):
            bar(drawing, left + 0.7 * n, zero, logit + lift)
            drawing.text(left + 0.7 * n, 0.32, name)
        mean = zero + UNIT * (MEAN + lift)
        drawing.canvas.plot([left - 0.4, left + 2.6], [mean, mean], color="#222222", linewidth=1.4, linestyle="--")
        drawing.text(left + 2.68, mean, "mean $\\bar f$", align="left")
        drawing.text(left - 0.46, zero, "0", align="right")
        top = zero + UNIT * (LOGITS["$f_1$"] + lift)
        drawing.arrow((left - 0.05, mean), (left - 0.05, top))
        drawing.text(left + 0.38, top + 0.06, "contrast $f_1 - \\bar f$", align="left")
        drawing.text(left + 1.1, 3.2, title, bold=True)
    drawing.arrow((4.1, 2.25), (4.9, 2.25), "$+\\,v\\cdot\\bar{A}$", above=0.24)
    return drawing


def bar(drawing: Schematic, x: float, zero: float, logit: float) -> None:
    from matplotlib.patches import Rectangle

    from posgrad_edu.viz.schematic import COLOURS

    line, filling = COLOURS["for" if logit > 0 else "against"]
    drawing.canvas.add_patch(
        Rectangle((x - WIDE / 2, zero), WIDE, UNIT * logit, edgecolor=line, facecolor=filling, linewidth=1.2)
    )
