"""The VerdictExplorer: how much does a verdict hang on where one draws the line between alike and not alike?

A claim agrees with a study if two intervals lie where it says (``verdicts.py``): that of the version's mean above a
threshold, and that of its difference to signed above 0. The threshold is somebody's choice. Here it's a slider: on
the left the claim's three intervals, on the right how many of all claims would get which verdict at each threshold.
The difference doesn't depend on the threshold, so a verdict changes at one place at most: the lower end of the
version's interval.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from posgrad_edu import viz
from posgrad_edu.study import format_estimate, format_number, verdict, verdict_table
from posgrad_edu.study.schema import CONTRASTS
from posgrad_edu.study.verdicts import ALIKE_ABOVE, VERDICTS
from posgrad_edu.widgets.controls import dropdown, number_slider, toggles
from posgrad_edu.widgets.panel import Panel
from posgrad_edu.widgets.theme import AXIS, LINES, THRESHOLD, chart, gallery

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame, Series

LOWEST, HIGHEST, STEP = 0.3, 0.9, 0.05
JUDGED = VERDICTS[:-1]  # without "not measured"
CURVES = {"agrees": ("positive", "-"), "partly": ("third", "--"), "disagrees": ("signed", ":")}  # colour, line

_EXPLAINED = {"mean": "a class's logit minus the mean of all logits", "logit": "a class's logit alone"}
_AGAINST = {"random": "random classes", "least": "the least likely one"}


class VerdictExplorer(Panel):
    """Controls for a check, a method's version, a network and the threshold, and what they show.

    summary: as ``summarize`` or ``read_summary`` gives it.
    start: values for the controls check ("class", "parameters"), contrast ("mean", "logit"), classes ("random",
    "least"), version ("gradcam, positive", ...), network and threshold (0.3 to 0.9).
    Results: ``row`` (the claim's row of ``verdict_table``), ``verdict``, ``counts`` (all claims' verdicts on these
    classes and this contrast, at this threshold), ``summary`` (text), ``figure()`` (static). Raises ``ValueError`` for
    a summary without a claim that could be judged, or a control that doesn't exist.
    """

    def __init__(self, summary: DataFrame, **start: Any) -> None:
        super().__init__()
        table = verdict_table(summary)
        self.table = table[table.verdict != VERDICTS[-1]].reset_index(drop=True)
        if self.table.empty:
            raise ValueError(
                "No claim can be judged from this summary: it needs signed and another handling of one method, for two "
                "photos or more, in the check class or parameters."
            )
        versions = dict.fromkeys(f"{claim.method}, {claim.handling}" for claim in self.table.itertuples())
        checks = ["two classes of one photo", "trained against partly random networks"]
        self.check = toggles("Check", list(self.table.check.unique()), checks)
        contrasts = [name for name in reversed(CONTRASTS) if name in set(self.table.contrast)]
        explained = [_EXPLAINED[name] for name in contrasts]
        self.contrast = toggles("Explained", contrasts, explained, disabled=len(contrasts) == 1)
        groups = list(self.table.group[self.table.check == "class"].unique()) or ["least"]
        against = [f"the most likely against {_AGAINST[name]}" for name in groups]
        self.classes = toggles("Classes", groups, against, disabled=len(groups) == 1)
        self.network = dropdown("Network", sorted(self.table.network.unique()))
        self.version = dropdown("Version", list(versions))
        self.threshold = number_slider("Alike above", ALIKE_ABOVE, LOWEST, HIGHEST, STEP)
        self._begin(["check", "network", "contrast", "classes", "version", "threshold"], start)

    def _measure(self) -> None:
        self.counts = self.counts_at(self.line)
        if self.row is None:
            raise ValueError("The study has no verdict on this claim for this network. Choose another.")

    @property
    def line(self) -> float:
        """The threshold, free of the slider's rounding errors."""
        return round(float(self.threshold.value), 6)

    @property
    def asked(self) -> DataFrame:
        """The table's rows on the chosen contrast and, in the class check, the chosen classes."""
        classes = (self.table.check != "class") | (self.table.group == self.classes.value)
        return self.table[classes & (self.table.contrast == self.contrast.value)]

    @property
    def row(self) -> Series | None:
        """The chosen claim's row of the table of verdicts; ``None`` if it wasn't measured."""
        method, handling = self.version.value.split(", ")
        wanted = {"check": self.check.value, "network": self.network.value, "method": method, "handling": handling}
        found = self.asked[(self.asked[list(wanted)] == list(wanted.values())).all(axis=1)]
        return None if found.empty else found.iloc[0]

    @property
    def verdict(self) -> str:
        """The chosen claim's verdict at this threshold."""
        row = self.row
        return VERDICTS[-1] if row is None else verdict(row.positive_low, row.difference_low, self.line)

    def counts_at(self, threshold: float) -> dict[str, int]:
        """Return how many of all claims, in both checks and all networks, would get which verdict."""
        rows = self.asked.itertuples()
        found = Counter(verdict(row.positive_low, row.difference_low, threshold) for row in rows)
        return {name: found[name] for name in JUDGED}

    @property
    def setting(self) -> str:
        line = format_number(self.line)
        question = self.check.value if self.check.value != "class" else f"class ({self.classes.value})"
        where = f"{question} check of the {self.contrast.value}, {self.network.value}"
        return f"{self.version.value}, {where}, alike above {line}"

    def _sentence(self) -> str:
        row = self.row
        assert row is not None
        at = float(row.positive_low)
        if LOWEST <= at < HIGHEST:
            hangs = f"The line matters: from {format_number(at)} on this version no longer counts as alike."
        else:
            hangs = "No line between 0.3 and 0.9 changes this verdict."
        tally = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        this, signed, difference = (format_estimate(row, name) for name in ("positive", "signed", "difference"))
        return (
            f"{self.verdict.capitalize()}. This version {this}, signed {signed}, difference {difference}; "
            f"{row.photos} photos. {hangs} All claims: {tally}."
        )

    def _html(self) -> str:
        intervals = chart(5.4, 2.7, self._draw_intervals, left=0.36, right=0.97, bottom=0.19, top=0.9)
        counts = chart(4, 2.7, self._draw_counts, left=0.1, right=0.97, bottom=0.19, top=0.9)
        of_all = f"Verdicts of all claims by threshold. {self.summary}"
        return gallery([(intervals, f"Intervals of {self.setting}.", self.setting), (counts, of_all, "all claims")])

    @property
    def alt(self) -> str:
        """What the picture shows, in words."""
        return f"Intervals of {self.setting}, and verdicts of all claims by threshold. {self.summary}"

    def _figure(self) -> Figure:
        figure = viz.figure_class()(figsize=(8.6, 2.7), dpi=100)
        # Fixed margins, since a layout engine would take longer than all the drawing.
        margins = {"left": 0.17, "right": 0.98, "bottom": 0.2, "top": 0.89, "wspace": 0.15}
        left, right = figure.subplots(1, 2, width_ratios=(3, 2), gridspec_kw=margins)
        self._draw_intervals(left)
        self._draw_counts(right)
        figure.alt = self.alt
        return figure

    def _draw_intervals(self, ax: Axes) -> None:
        row, bars = self.row, {"difference": "difference", "positive": self.version.value, "signed": "signed"}
        assert row is not None
        for y, name in enumerate(bars):
            colour, marker = LINES[name]["color"], LINES[name]["marker"]
            low, mid, high = (float(row[f"{name}{end}"]) for end in ("_low", "", "_high"))
            ax.plot([low, high], [y, y], color=colour, linewidth=3, alpha=0.5, solid_capstyle="butt")
            ax.plot([mid], [y], marker, color=colour)
        ax.axvline(0, **AXIS)
        ax.axvline(self.line, **THRESHOLD)
        ax.set(xlim=(-1.05, 2.05), ylim=(-0.6, 2.6), yticks=range(3), yticklabels=list(bars.values()))
        ax.set_xlabel("rank correlation; dotted: alike above")
        ax.set_title(f"{self.verdict}: {self.check.value}, {self.network.value}", fontsize=10)

    def _draw_counts(self, ax: Axes) -> None:
        steps = [LOWEST + i * STEP for i in range(round((HIGHEST - LOWEST) / STEP) + 1)]
        counts = [self.counts_at(round(step, 6)) for step in steps]
        for name, (drawn_as, stroke) in CURVES.items():
            colour = LINES[drawn_as]["color"]
            ax.plot(steps, [c[name] for c in counts], color=colour, linestyle=stroke, label=name)
        ax.axvline(self.line, label="shown", **THRESHOLD)
        ax.set(ylim=(0, len(self.asked)), xlabel="alike above")
        ax.set_title(f"all {len(self.asked)} claims", fontsize=10)
        ax.legend(frameon=False, fontsize=8)
