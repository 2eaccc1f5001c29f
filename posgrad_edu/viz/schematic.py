"""Drawings of how a method works: boxes, arrows, grids of numbers, and the switch, which looks the same in all of them.

    drawing = Schematic(7, 2, alt="A gradient passes the switch h, then becomes a weight.")
    gradient = drawing.box(1, 1, "$G_k$")
    switch = drawing.switch(3, 1)
    drawing.arrow(gradient, switch, kind="back")
    drawing.save("drawing.svg")

One unit is about as wide as eight letters. x grows to the right, y upwards. Red is for a class, blue against it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from posgrad_edu.viz.colours import BLUE, RED, hex_code
from posgrad_edu.viz.output import figure_class
from posgrad_edu.viz.words import true_minus

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

Kind = Literal["plain", "for", "against", "muted", "back", "switch"]
PAPER, INK, GREY, AMBER = "#fcfbf8", "#222222", "#8a8a8a", "#ffd24d"
# The line and the filling of each kind. "back": what flows from the logit towards the photo. Readable without colour.
COLOURS: dict[Kind, tuple[str, str]] = {
    "plain": (INK, "#ffffff"),
    "for": (hex_code(RED), "#fbe3e4"),
    "against": (hex_code(BLUE), "#e2e9fb"),
    "muted": (GREY, "#f1f0ec"),
    "back": ("#7a3e9d", "#f0e6f5"),
    "switch": (INK, AMBER),
}
FONT = 11  # points
DRAWN = {"mathrm": "", "bar": "", "max": "max"}  # a formula's commands that aren't drawn as one sign
# The same bytes each time, the same letters everywhere.
SVG: dict[Any, Any] = {"svg.hashsalt": "posgrad_edu", "svg.fonttype": "path"}


class Place(NamedTuple):
    """Where something was drawn: its middle, and half its width and height."""

    x: float
    y: float
    wide: float = 0.0
    high: float = 0.0

    def edge(self, towards: Place, gap: float = 0.06) -> tuple[float, float]:
        """Return where a straight line from the middle to another place leaves this one, and a little beyond."""
        dx, dy = towards.x - self.x, towards.y - self.y
        length = float(np.hypot(dx, dy)) or 1.0
        reach = min(self.wide / abs(dx) if dx else np.inf, self.high / abs(dy) if dy else np.inf) if self.wide else 0.0
        share = reach + gap / length
        return self.x + share * dx, self.y + share * dy


class Schematic:
    """A drawing of width x height units, on paper of its own colour, so that it can be read in a dark theme, too."""

    def __init__(self, width: float, height: float, alt: str) -> None:
        if len(alt.split()) < 6:
            raise ValueError("alt says in words what the drawing shows, for those who can't see it.")
        self.size = (width, height)
        self.figure = figure_class()(figsize=(width, height), dpi=110, facecolor=PAPER)
        self.figure.alt = self.alt = alt
        self.canvas = self.figure.add_axes((0, 0, 1, 1))
        self.canvas.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        self.canvas.axis("off")

    def box(
        self, x: float, y: float, text: str, kind: Kind = "plain", *, width: float | None = None, height: float = 0.5
    ) -> Place:
        """Draw a box with text around (x, y), by default as wide as its longest line; return its place."""
        from matplotlib.patches import FancyBboxPatch

        lines = text.split("\n")
        wide = width or 0.12 * max(map(_letters, lines)) + 0.35
        high = max(height, 0.24 * len(lines) + 0.2)
        line, filling = COLOURS[kind]
        corner = min(wide, high) / 2.2 if kind == "switch" else 0.08
        self.canvas.add_patch(
            FancyBboxPatch(
                (x - wide / 2 + corner, y - high / 2 + corner),
                wide - 2 * corner,
                high - 2 * corner,
                boxstyle=f"round,pad={corner}",
                edgecolor=line,
                facecolor=filling,
                linewidth=1.8 if kind == "switch" else 1.2,
            )
        )
        self.text(x, y, text, kind="plain")
        return Place(x, y, wide / 2, high / 2)

    def switch(self, x: float, y: float, text: str = "$h$") -> Place:
        """Draw the switch, the one place of a method where the sign of gradients is handled."""
        return self.box(x, y, text, "switch", height=0.46)

    def arrow(
        self,
        start: Place | tuple[float, float],
        end: Place | tuple[float, float],
        text: str = "",
        kind: Kind = "plain",
        *,
        bend: float = 0.0,
        above: float = 0.18,
    ) -> None:
        """Draw an arrow between two places, with text beside its middle; "back" is dashed.

        bend: how far it curves, 0 for straight. above: units from the line to the text, negative: below.
        """
        a, b = (p if isinstance(p, Place) else Place(*p) for p in (start, end))
        colour = COLOURS[kind][0]
        self.canvas.annotate(
            "",
            b.edge(a),
            a.edge(b),
            arrowprops={
                "arrowstyle": "-|>,head_width=.22,head_length=.4",
                "color": colour,
                "linewidth": 1.5,
                "linestyle": "--" if kind == "back" else "-",
                "connectionstyle": f"arc3,rad={bend}",
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )
        if text:
            self.text((a.x + b.x) / 2, (a.y + b.y) / 2 + above, text, kind=kind, size=FONT - 1)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        kind: Kind = "plain",
        *,
        size: float = FONT,
        align: str = "center",
        bold: bool = False,
    ) -> Place:
        """Write text and return its place. Formulas stand between dollar signs.

        align: which part of the text is at x, "left", "center" or "right".
        """
        weight = "bold" if bold else "normal"
        self.canvas.text(x, y, text, color=COLOURS[kind][0], fontsize=size, ha=align, va="center", weight=weight)
        wide, high = 0.06 * max(map(_letters, text.split("\n"))), 0.14 * (1 + text.count("\n"))
        return Place(x + {"left": wide, "center": 0, "right": -wide}[align], y, wide, high)

    def grid(self, x: float, y: float, values: ArrayLike, *, cell: float = 0.42, numbers: bool = True) -> Place:
        """Draw a matrix of numbers around (x, y), red where positive, blue where negative, grey where zero."""
        from matplotlib.patches import Rectangle

        table = np.atleast_2d(np.asarray(values, dtype=float))
        rows, columns = table.shape
        left, top = x - columns * cell / 2, y + rows * cell / 2
        for (r, c), value in np.ndenumerate(table):
            kind: Kind = "for" if value > 0 else "against" if value < 0 else "muted"
            corner = (left + c * cell, top - (r + 1) * cell)
            line, filling = COLOURS[kind]
            self.canvas.add_patch(Rectangle(corner, cell, cell, edgecolor=line, facecolor=filling, linewidth=1))
            if numbers:
                words = true_minus(f"{value:+g}") if value else "0"
                self.text(corner[0] + cell / 2, corner[1] + cell / 2, words, kind=kind, size=FONT - 1)
        return Place(x, y, columns * cell / 2, rows * cell / 2)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Return axes for a small plot whose lower left corner lies at (x, y), without frame above and right."""
        w, h = self.size
        made: Any = self.figure.add_axes((x / w, y / h, width / w, height / h), facecolor=PAPER)
        made.spines[["top", "right"]].set_visible(False)
        made.tick_params(labelsize=FONT - 2)
        return made

    def save(self, path: str | Path) -> None:
        """Write the drawing as an SVG file: the same bytes each time, with one version of matplotlib."""
        import matplotlib

        with matplotlib.rc_context(SVG):
            self.figure.savefig(path, format="svg", metadata={"Date": None}, facecolor=PAPER)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        return self.figure._repr_mimebundle_(include, exclude)


def _letters(line: str) -> int:
    """Return about how many letters wide a line is: of a formula, only what is drawn counts."""
    plain = re.sub(r"\\([a-z]+)", lambda command: DRAWN.get(command[1], "m"), line)
    return max(len(re.sub(r"\\,|[${}_^]", "", plain)), 1)
