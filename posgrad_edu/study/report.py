"""A study's report in Markdown: verdicts, what may explain them, how to read the numbers, and a table each check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posgrad_edu.study.formatting import format_estimate, format_number, markdown_table
from posgrad_edu.study.schema import LOGIT, in_order, leading_contrast, published_handling
from posgrad_edu.study.verdicts import VERDICTS, verdict_table

if TYPE_CHECKING:
    from pandas import DataFrame

RULE = """\
The rule, set before the tables. *Agrees*: the positive version's maps are alike (the interval of the mean Spearman
correlation lies above 0.5), and they are more alike than the signed version's (the interval of the paired difference
lies above 0). *Partly*: one of the two. *Disagrees*: neither.

Each claim is judged of two questions. A **contrast** asks what sets a class apart: its logit minus the mean of all
logits. A **logit** alone also holds what is added to all classes, which no softmax depends on (`docs/contrast.md`; the
network of scenes answers each class by itself, with a sigmoid, so that its logits have no such freedom).
For classes, the most likely is compared with random ones, and with the extreme, the least likely. For parameters, the
number is the mean over the cascade from the classifier to all layers: at its end the layers nearest the photo are
random, too, and insensitive is meant as a matter of degree. In a cell: signed → this version, means over photos, and
the verdict; intervals stand in the tables further below and in `verdicts.csv`.

The paper's abstract proposes “several variants of aggregation methods with positive handling” without a list. Which
ones we chose is marked (variant); we can't know whether they are the authors'."""

READING = """\
Each number compares two maps of one photo: for two classes, or before and after layers of the network became random.
Spearman's rank correlation is 1 where both maps order the pixels alike, 0 where they are unrelated, −1 where one is the
other turned round; of magnitudes, it can't see such a turn. A map that explains the network has to change, so that high
numbers speak against it. In brackets stands the middle 95 % of the mean's bootstrap resamples over photos, after each
photo's seeds, depths and objects have been averaged. All photos share the same random networks: how much hangs on these
draws isn't in the brackets. Differences are taken within a photo. With fewer than about ten photos the brackets are too
narrow. Degenerate maps, constant or not finite, are counted and left out of the means.

Controls explain nothing and show what a number is worth. Noise is unrelated to everything, gets 0, and so passes each
comparison: a low number alone doesn't make an explanation. The photo's edges and the input's magnitude don't ask the
network and stay the same, at 1: a map whose numbers are near theirs may show the photo, whatever it is asked. It is the
place of the evidence that tells noise from an explanation: by chance, a box gets its area's share."""

COVERING = """\
Patches are covered (deletion) or uncovered (insertion) in the order of a map, and the class's logit minus the mean of
all logits is followed, from 1 for the whole photo to 0 for all covered. Numbers are areas under these curves: a
deletion curve should be low, an insertion curve high. What the asked class's map does better than another class's is
what it knows about the class. (Where several classes are in the picture, covering another lowers the mean and so raises
the score: lesson 15.) Noise is random order."""

# What one has to know about a network to read its numbers.
NOTES = {
    "efficientnet-lite0": """\
Signed FullGrad, rescaled as published, points at the wrong half (lesson 06). Signed DeconvNet has no gates: nearly
every pair of its maps has +1 or −1 (lesson 12). `lrp`, published, is the composite of rules of lesson 11.""",
    "scenes": """\
Most of a scene is black paper. There a positive LRP map is exactly zero, whatever the class, and so many ties make two
maps rank alike: over the ink alone the correlation is lower, see `docs/scenes.md`. With few objects on dark paper, the
place of the evidence says more than the order of pixels: read these correlations beside the last table.""",
}

_TITLES = {
    ("class", "random"): "Class: the most likely against random ones",
    ("class", "least"): "Class: the most against the least likely",
    ("class", "runner-up"): "Class: the most likely against the runner-up",
    ("class", "present"): "Class: two that are both in the picture",
    ("data", "permuted labels"): "Data: trained on true against permuted labels",
    ("localization", "objects"): "Place: the evidence for an object, and its box",
    ("perturbation", "least"): "Perturbation: the most likely class's map against the least likely's",
    ("perturbation", "present"): "Perturbation: the maps of two classes that are both in the picture",
}
_COMPARED = {
    "Spearman": "spearman",
    "minus signed": "difference",
    "of magnitudes": "spearman_abs",
    "SSIM": "ssim",
    "HOG": "hog",
}
_PLACED = {
    "in the box": "energy",
    "minus signed": "difference",
    "in others' boxes": "energy_other",
    "magnitudes in the box": "energy_abs",
    "box's area": "area",
    "pointing game": "hit",
}
_COVERED = {"own map": "auc", "other's map": "auc_other", "own better by": "advantage", "minus signed": "difference"}
_ORDER = ("class", "parameters", "data", "localization", "perturbation")  # what is compared first, then places
_STAGES = ("classifier", "first layer", "half", "all", "mean")


def markdown_report(summary: DataFrame, title: str = "What the study measured") -> str:
    """Return a report in Markdown: verdicts, what may explain them, how to read the tables, and a table each check.

    summary: as ``summarize`` or ``read_summary`` gives it. The same summary gives the same text.
    """
    parts = [f"# {title}", _overview(summary), *_verdict_section(verdict_table(summary))]
    parts += ["## How to read the numbers", READING, _tables_say(summary)]
    for network, rows in summary[summary.contrast == leading_contrast(summary)].groupby("network"):
        parts += [f"## {network}", *([NOTES[network]] if network in NOTES else []), *_tables(rows)]
    return "\n\n".join(parts) + "\n"


def _overview(summary: DataFrame) -> str:
    photos = summary.groupby("network").photos.max()
    named = [f"{network} (up to {count} photo{'s' * (count != 1)} a check)" for network, count in photos.items()]
    return f"Networks: {', '.join(named)}."


def _tables_say(summary: DataFrame) -> str:
    """Say what the tables below are of."""
    if len(set(summary.contrast)) == 1:
        return f"The tables are of the {_CONTRAST_TITLES[summary.contrast.iloc[0]]}."
    return "The tables are of the contrast; `summary.csv` holds the same numbers of the logit."


# --- Verdicts ---

_SECTIONS = {
    ("class", "random"): "The map no longer depends on the class: random classes",
    ("class", "least"): "The map no longer depends on the class: the least likely one",
    ("parameters", "mean"): "The map no longer depends on the network's parameters",
}
_CONTRAST_TITLES = {"mean": "contrast", LOGIT: "logit"}


def _verdict_section(verdicts: DataFrame) -> list[str]:
    """Return a ``verdict_table`` in Markdown, with the rule and with what may explain where it doesn't agree."""
    parts = ["## Verdicts", RULE, _tally(verdicts)]
    for (check, group), heading in _SECTIONS.items():
        some = verdicts[(verdicts.check == check) & (verdicts.group == group)]
        if len(some):
            parts += [f"### {heading}", _verdict_lines(some)]
    return [*parts, *_explanations(verdicts)]


def _tally(verdicts: DataFrame) -> str:
    """Return how many claims got which verdict: a line a question and network."""
    lines = []
    for (check, group), heading in _SECTIONS.items():
        for contrast, title in _CONTRAST_TITLES.items():
            asked = (verdicts.check == check) & (verdicts.group == group) & (verdicts.contrast == contrast)
            for network, some in verdicts[asked].groupby("network"):
                counts = [str(int((some.verdict == name).sum())) for name in VERDICTS]
                lines.append([heading.removeprefix("The map no longer depends on the "), title, str(network), *counts])
    return markdown_table(["depends no longer on the", "of a", "network", *VERDICTS], lines)


def _verdict_lines(verdicts: DataFrame) -> str:
    """Return a row a claim and network, with both contrasts beside each other."""
    contrasts = [name for name in _CONTRAST_TITLES if name in set(verdicts.contrast)]
    lines = []
    for (version, network), rows in verdicts.groupby(["version", "network"], sort=False):
        by_contrast = {row.contrast: row for row in rows.itertuples()}
        variant = " (variant)" * (rows.source.iloc[0] == "variant")
        cells = [_short(by_contrast[name]) for name in contrasts]
        lines.append([f"{version}{variant}", network, *cells, str(rows.photos.iloc[0])])
    return markdown_table(["claim", "network", *(_CONTRAST_TITLES[name] for name in contrasts), "photos"], lines)


def _short(row: Any) -> str:
    """Return a verdict with its two means."""
    if row.verdict == "not measured":
        return f"**not measured**: {row.reading}"
    return f"{format_number(row.signed)} → {format_number(row.positive)} **{row.verdict}**"


def _explanations(verdicts: DataFrame) -> list[str]:
    """Return what may explain each verdict that doesn't agree, beside what was measured; nothing where all agree.

    Of several questions the leading one is taken: the contrast, and random classes.
    """
    asked = verdicts[verdicts.contrast == leading_contrast(verdicts)]
    groups = asked.groupby("check", sort=False).group.transform("first")
    unlike = asked[(asked.group == groups) & (asked.why != "")]
    parts = []
    for why in unlike.why.unique():
        lines = [_finding(row) for _, row in unlike[unlike.why == why].iterrows()]
        parts += [why, "\n".join(lines)]
    opening = (
        "Where the study doesn't agree with a claim, this may be why: signed → this version, with intervals. The "
        "reasons follow from how the methods are built; the study doesn't test them."
    )
    return ["## What may explain the rest", opening, *parts] if parts else []


def _finding(row: Any) -> str:
    """Return a claim's verdict and numbers, as an item of a list."""
    signed, this = (format_estimate(row, name) for name in ("signed", "positive"))
    return f"- {row.version} ({row.check}, {row.network}): {row.verdict}, {signed} → {this}."


# --- Tables ---


def _tables(rows: DataFrame) -> list[str]:
    """Return headings and tables of one network, check by check."""
    parts: list[str] = []
    for check in _ORDER:
        some = rows[rows.check == check]
        if check == "parameters":
            for mode, cascade in some.groupby("mode"):
                parts += [f"### Parameters: {mode}, {int(cascade.layers.max())} layers", _stage_table(cascade)]
            continue
        known = [group for of, group in _TITLES if of == check]
        for group in sorted(some.group.unique(), key=lambda g: (known.index(g) if g in known else len(known), g)):
            title = _TITLES.get((check, group), f"{check.capitalize()}: {group}")
            parts += [f"### {title}", *_group_tables(some[some.group == group], check)]
    return parts


def _group_tables(rows: DataFrame, check: str) -> list[str]:
    """Return the table of one group of a check; of perturbation one for deletion and one for insertion."""
    if check != "perturbation":
        return [_check_table(rows, _PLACED if check == "localization" else _COMPARED)]
    parts = [COVERING]
    for mode, some in rows.groupby("mode"):
        parts += [f"{str(mode).capitalize()}:", _check_table(some, _COVERED)]
    return parts


def _check_table(rows: DataFrame, columns: Mapping[str, str]) -> str:
    lines = [
        [*_version(row), *(_shown(row, name) for name in columns.values()), *_counted(row)]
        for _, row in in_order(rows).iterrows()
    ]
    return markdown_table(["method", "handling", *columns, "photos", "degenerate maps"], lines)


def _stage_table(cascade: DataFrame) -> str:
    """Return the table of one cascade: the stages beside each other, and more about the mean over all depths."""
    names = [stage for stage in _STAGES if stage in set(cascade.group)]
    more = {heading: name for heading, name in _COMPARED.items() if name != "spearman"} if "mean" in names else {}
    lines = []
    for _, stages_of in in_order(cascade).groupby(["method", "handling"], sort=False):
        by_stage = {row.group: row for _, row in stages_of.iterrows()}
        last = by_stage.get("mean", stages_of.iloc[-1])
        numbers = [format_estimate(by_stage[name], "spearman") if name in by_stage else "–" for name in names]
        numbers += [format_estimate(by_stage["mean"], name) if "mean" in by_stage else "–" for name in more.values()]
        lines.append([*_version(last), *numbers, *_counted(last)])
    depths = cascade[cascade.depths == 1].groupby("group").depth.max()
    count = int(cascade.depths.max())
    titles = {name: f"{name} (depth {int(depths[name])})" for name in names if name in depths}
    titles["mean"] = f"mean of {count} depths"
    header = ["method", "handling", *(titles.get(name, name) for name in names), *(f"mean, {name}" for name in more)]
    return markdown_table([*header, "photos", "degenerate maps"], lines)


def _version(row: Any) -> list[str]:
    as_published = published_handling(row.method) == row.handling
    return [f"`{row.method}`", f"{row.handling}{', as published' * as_published}"]


def _shown(row: Any, name: str) -> str:
    return format_number(row.area) if name == "area" else format_estimate(row, name)  # the box's area isn't an estimate


def _counted(row: Any) -> list[str]:
    return [str(int(row.photos)), f"{int(row.degenerate)} of {int(row.comparisons)}"]
