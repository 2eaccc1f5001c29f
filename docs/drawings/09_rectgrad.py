"""What passes RectGrad's threshold: five units' contributions, against the bar, by the two positions of the switch."""

from posgrad_edu.viz import CHART_STYLES, Schematic
from posgrad_edu.viz.schematic import COLOURS

CONTRIBUTIONS = (0, 4, -6, 6, 1)
THRESHOLD = 3


def draw() -> Schematic:
    drawing = Schematic(
        9.4,
        4.3,
        alt="Contributions of five units: 0, 4, -6, 6, 1. With the switch h positive, those above the threshold 3 pass:"
        " 4 and 6. With h signed, those above 3 or below -3 pass: 4, -6 and 6.",
    )
    for left, name, word in (
        (0.75, "positive", "$a \\cdot h(G) > \\tau$"),
        (5.45, "signed", "$|a \\cdot h(G)| > \\tau$"),
    ):
        switch = drawing.switch(left + 0.55, 3.85)
        drawing.text(switch.x + 0.45, 3.85, f"{name}: passes where {word}", align="left")
        _bars(drawing, left, name)
    return drawing


def _bars(drawing: Schematic, left: float, name: str) -> None:
    ax = drawing.axes(left, 0.55, 3.6, 2.85)
    low = -THRESHOLD if name == "signed" else float("-inf")
    for unit, value in enumerate(CONTRIBUTIONS, start=1):
        passes = value > THRESHOLD or value < low
        line, filling = COLOURS["for" if value > 0 else "against"]
        style = {"facecolor": filling, "linestyle": "-"} if passes else {"facecolor": "none", "linestyle": ":"}
        ax.bar(unit, value, 0.6, edgecolor=line, **style)
        words = "passes" if passes else "cut"
        ax.text(unit, value + (0.25 if value >= 0 else -0.25), words, ha="center", va="bottom" if value >= 0 else "top")
    ax.axhline(0, color="#222222", linewidth=1)
    for height in (THRESHOLD, low):
        if abs(height) == THRESHOLD:
            ax.axhline(height, **(CHART_STYLES["control"] | {"marker": ""}))
            ax.text(0.45, height + 0.1, f"${'-' if height < 0 else ''}\\tau$", va="bottom")
    ax.set(xlim=(0.4, 5.6), ylim=(-7.6, 7.6), xlabel="unit", xticks=range(1, 6), ylabel="contribution $a \\cdot G$")
