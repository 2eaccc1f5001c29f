"""A study's report in Markdown: verdicts, what may explain them, how to read the numbers, and a table each check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posgrad_edu.study.formatting import format_estimate, format_number, markdown_table
from posgrad_edu.study.schema import in_order, published_handling
from posgrad_edu.study.verdicts import VERDICTS, verdict_table

if TYPE_CHECKING:
    from pandas import DataFrame

RULE = """\
*Agrees*: the positive version's maps are alike (the interval of the mean Spearman correlation lies above 0.5), and they
are more alike than the signed version's (the interval of the paired difference lies above 0). *Partly*: one of the two.
*Disagrees*: neither. For classes, the most likely is compared with the least likely. For parameters, the number is the
mean over the cascade from the classifier to all layers: at its end the layers nearest the photo are random, too, and
insensitive is meant as a matter of degree."""

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
what it knows about the class. Noise is random order."""

# What one has to know about a network to read its numbers.
NOTES = {
    "efficientnet-lite0": """\
Signed FullGrad, rescaled as published, points at the wrong half (lesson 04). Signed DeconvNet has no gates: each pair
of its maps has +1 or −1 (lesson 08). `lrp`, published, is the composite of rules of lesson 07.""",
    "scenes": """\
Most of a scene is black paper. There a positive LRP map is exactly zero, whatever the class, and so many ties make two
maps rank alike: over the ink alone the correlation is lower, see `docs/scenes.md`. With few objects on dark paper, the
place of the evidence says more than the order of pixels: read these correlations beside the last table.""",
}

_TITLES = {
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
    parts += ["## How to read the numbers", READING]
    for network, rows in summary.groupby("network"):
        parts += [f"## {network}", *([NOTES[network]] if network in NOTES else []), *_tables(rows)]
    return "\n\n".join(parts) + "\n"


def _overview(summary: DataFrame) -> str:
    photos = summary.groupby("network").photos.max()
    named = [f"{network} (up to {count} photo{'s' * (count != 1)} a check)" for network, count in photos.items()]
    return f"Networks: {', '.join(named)}."


# --- Verdicts ---

_SECTIONS = {
    "class": "The map no longer depends on the class",
    "parameters": "The map no longer depends on the network's parameters",
}


def _verdict_section(verdicts: DataFrame) -> list[str]:
    """Return a ``verdict_table`` in Markdown, with the rule and with what may explain where it doesn't agree."""
    parts = ["## Verdicts", RULE, _tally(verdicts)]
    for check, heading in _SECTIONS.items():
        parts += [f"### {heading}", _verdict_lines(verdicts[verdicts.check == check])]
    return [*parts, *_explanations(verdicts)]


def _tally(verdicts: DataFrame) -> str:
    counts = [f"{name} {int((verdicts.verdict == name).sum())}" for name in VERDICTS]
    return (
        f"{', '.join(counts).capitalize()}, of {len(verdicts)} claims (each network counts). Variants are methods that "
        "the paper's abstract doesn't name."
    )


def _verdict_lines(verdicts: DataFrame) -> str:
    header = ["claim", "network", "signed", "this version", "difference", "photos", "degenerate maps", "verdict"]
    lines = [
        [
            f"{row.version}{' (variant)' * (row.source == 'variant')}",
            row.network,
            *(format_estimate(row, name) for name in ("signed", "positive", "difference")),
            str(row.photos),
            f"{row.degenerate} of {row.comparisons}",
            f"**{row.verdict}**: {row.reading}",
        ]
        for _, row in verdicts.iterrows()
    ]
    return markdown_table(header, lines)


def _explanations(verdicts: DataFrame) -> list[str]:
    """Return what may explain each verdict that doesn't agree, beside what was measured; nothing where all agree."""
    unlike = verdicts[verdicts.why != ""]
    parts = []
    for why in unlike.why.unique():
        lines = [_finding(row) for _, row in unlike[unlike.why == why].iterrows()]
        parts += [why, "\n".join(lines)]
    opening = (
        "Where the study doesn't agree with a claim, this may be why. The reasons follow from how the methods are "
        "built; the study doesn't test them."
    )
    return ["## What may explain the rest", opening, *parts] if parts else []


def _finding(row: Any) -> str:
    """Return a claim's verdict and numbers, as an item of a list."""
    this, signed, difference = (format_estimate(row, name) for name in ("positive", "signed", "difference"))
    where = f"{row.check}, {row.network}"
    return f"- {row.version} ({where}): {row.verdict}. This version {this}, signed {signed}, difference {difference}."


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
