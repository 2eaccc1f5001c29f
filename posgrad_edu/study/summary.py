"""From the rows of a study to means with intervals, and to a report: what was measured, and what it says of the claims.

    summary = summarize(rows)              # a row a network, check, method, handling and group
    verdict_table(summary)                 # a row a claim and network, see claims.py
    Path("report.md").write_text(report(summary), encoding="utf-8")

Rows compare two maps each, or score one map's place; several rows belong to one photo: seeds, depths, objects, pairs of
classes. A photo's rows are averaged first, so that a photo counts once, however often it was measured. Then the mean is
taken over photos, with an interval that says how much it hangs on which photos were at hand: the middle 95 % of the
means of 5,000 bootstrap resamples of the photos. With few photos such intervals are too short, and with one photo there
is none (nan). Photos of the same value have an interval of no length.

    difference    this handling minus signed, row by row of the same photo, classes, depth and seed, then averaged in
                  the same way: of spearman, for localization of energy

Groups: the class check has one for each way to choose the second class (comparison); the parameters check has stages:

    classifier    only the layer nearest the output is random (cascading; "first layer" where the cascade starts there)
    half          the measured depth nearest to half of the layers, if it's within a quarter of them
    all           every layer is random
    mean          the mean over the depths measured, the area under the curve; only where the first depth and the last
                  are among them, and only of photos measured at each

Maps that are constant, or not finite, have no rank correlation. They are left out of the means and counted:

    photos        photos measured                  comparisons   rows measured
    used          photos with a value              degenerate    rows flagged as degenerate
    paired        photos with a difference         depths        depths measured in this group; depth: which, if one

Reference: Efron, Tibshirani. An Introduction to the Bootstrap. 1993, ch. 13 (percentile intervals).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.methods import CONTROLS, METHODS
from posgrad_edu.metrics.randomization import MODES
from posgrad_edu.study.claims import markdown, measured, number, verdict_section, verdict_table

if TYPE_CHECKING:
    from pandas import DataFrame

# Each check, and the group of its rows that name no comparison.
CHECKS = {"class": "classes", "parameters": "", "data": "permuted labels", "localization": "objects"}
NAMES = ("network", "check", "photo", "method", "handling")  # each row has them
TEXTS = (*NAMES, "comparison", "mode", "layer")
NUMBERS = ("target", "other", "depth", "layers", "seed", "object")
ALIKE = ("spearman", "spearman_abs", "ssim", "hog")
PLACE = ("energy", "energy_abs", "energy_other", "hit", "area")
MEASURES = (*ALIKE, *PLACE, "difference")
GROUP = ("network", "check", "method", "handling", "group", "mode")
COUNTS = ("photos", "used", "paired", "comparisons", "degenerate", "depths", "depth", "layers")

# As published, in the study's words; LRP's composite has another rule for linear layers, so no handling is it.
PUBLISHED = {name: method.published.name for name, method in METHODS.items() if method.published}

CONFIDENCE = 0.95
RESAMPLES = 5000


# --- Means and intervals ---


def summarize(rows: DataFrame) -> DataFrame:
    """Return means over photos with their intervals: one row a network, check, method, handling and group.

    rows: one row a comparison of two maps, or a map's place, with the columns ``TEXTS``, ``NUMBERS``, ``ALIKE``,
        ``PLACE`` and ``degenerate``; those that a check doesn't use may be nan, None or not there. The order of rows
        and columns makes no difference.
    Columns of the result: ``GROUP``, ``COUNTS``, and for each measure m of ``MEASURES`` m, m_low and m_high; nan where
    there is no value. The rows are sorted.
    Raises ``ValueError`` for missing columns, a check that doesn't exist, the same comparison twice, and a missing
    value that isn't flagged as degenerate.
    """
    import pandas as pd

    grouped = _in_groups(_with_difference(checked(rows)))
    by_depth = grouped.groupby([*GROUP, "photo", "depth"])[list(MEASURES)].mean()
    by_photo = by_depth.groupby([*GROUP, "photo"]).mean()  # each depth counts once, however many seeds it has
    keys, vectors, counts = [], [], []
    rows_of = dict(list(grouped.groupby(list(GROUP))))
    for key, photos in by_photo.groupby(list(GROUP)):
        columns = [column[~np.isnan(column)] for column in photos.to_numpy().T]
        keys.append(key)
        vectors += columns
        counts.append(_counts(rows_of[key], columns))
    statistics = [(_mean(v), *interval) for v, interval in zip(vectors, intervals(vectors), strict=True)]
    wide = np.array(statistics).reshape(len(keys), -1)
    names = [name for measure in MEASURES for name in _columns(measure)]
    return pd.concat(
        [
            pd.DataFrame(keys, columns=list(GROUP)),
            pd.DataFrame(counts, columns=list(COUNTS)),
            pd.DataFrame(wide, columns=names),
        ],
        axis=1,
    )


def interval(values: Sequence[float] | NDArray) -> tuple[float, float]:
    """Return the bootstrap interval of the mean of independent values, one a photo; (nan, nan) for fewer than two.

    The middle 95 % of the means of 5,000 resamples, always the same ones. Values all alike are the interval's ends.
    """
    return intervals([np.asarray(values, dtype=float)])[0]


def intervals(vectors: Sequence[NDArray]) -> list[tuple[float, float]]:
    """Return the ``interval`` of each vector of finite values; those of one length are resampled together."""
    found = [(math.nan, math.nan)] * len(vectors)
    by_length: dict[int, list[int]] = {}
    for i, values in enumerate(vectors):
        if values.size > 1 and np.ptp(values) == 0:
            found[i] = (float(values[0]), float(values[0]))
        elif values.size > 1:
            by_length.setdefault(values.size, []).append(i)
    for positions in by_length.values():
        low, high = _bootstrap(np.stack([vectors[i] for i in positions]))
        for i, ends in zip(positions, zip(low.tolist(), high.tolist(), strict=True), strict=True):
            found[i] = ends
    return found


def _bootstrap(values: NDArray) -> tuple[NDArray, NDArray]:
    """Return the interval's ends (vectors,) of values (vectors, n)."""
    from scipy.stats import bootstrap

    ends = [
        bootstrap(
            (some,),
            np.mean,
            axis=-1,
            n_resamples=RESAMPLES,
            batch=500,  # resamples held in memory at once
            confidence_level=CONFIDENCE,
            method="percentile",
            random_state=np.random.default_rng(0),
        ).confidence_interval
        for some in np.array_split(values, math.ceil(len(values) / 100))
    ]
    return np.concatenate([e.low for e in ends]), np.concatenate([e.high for e in ends])


def _columns(measure: str) -> tuple[str, str, str]:
    """Return the names of a measure's mean and of its interval's ends."""
    return measure, f"{measure}_low", f"{measure}_high"


def _mean(values: NDArray) -> float:
    """Return the mean; exactly the value itself where all are alike."""
    if values.size == 0:
        return math.nan
    return float(values[0]) if np.ptp(values) == 0 else float(values.mean())


def _counts(rows: DataFrame, columns: Sequence[NDArray]) -> tuple[float, ...]:
    used = columns[MEASURES.index(_main(rows.check.iloc[0]))].size
    paired = columns[MEASURES.index("difference")].size
    depths = rows.depth[rows.depth >= 0].unique()
    depth = float(depths[0]) if len(depths) == 1 else math.nan
    layers = float(rows.layers.iloc[0]) if len(depths) else math.nan
    return rows.photo.nunique(), used, paired, len(rows), int(rows.degenerate.sum()), len(depths), depth, layers


# --- Rows ---


def checked(rows: DataFrame) -> DataFrame:
    """Return the rows with all columns, nothing missing but measures, sorted; refuse what can't be averaged."""
    missing = [name for name in (*NAMES, "degenerate") if name not in rows]
    if missing or rows.empty:
        raise ValueError(f"These rows have no {', '.join(missing)}." if missing else "There are no rows to summarize.")
    table = rows.reindex(columns=[*TEXTS, *NUMBERS, *ALIKE, *PLACE, "degenerate"])
    incomplete = [name for name in (*NAMES, "degenerate") if table[name].isna().any()]
    if incomplete:
        raise ValueError(
            f"Some rows have no {', '.join(incomplete)}. Each row needs them; controls' handling is 'none'."
        )
    for check in table.check.unique():
        if check not in CHECKS:
            raise unknown_name("check", check, CHECKS)
    table = table.astype(dict.fromkeys(TEXTS, object)).fillna(dict.fromkeys(TEXTS, ""))
    table = table.astype(dict.fromkeys(TEXTS, str) | dict.fromkeys((*NUMBERS, *ALIKE, *PLACE), float))
    table = table.fillna(dict.fromkeys(NUMBERS, -1)).astype(dict.fromkeys(NUMBERS, int) | {"degenerate": bool})
    keys = [*TEXTS, *NUMBERS]
    if (twice := table.duplicated(keys)).any():
        first = table[twice].iloc[0]
        raise ValueError(f"Measured twice: {', '.join(f'{name} {first[name]}' for name in NAMES)}. Leave one row out.")
    _check_missing_values(table)
    return table.sort_values(keys, ignore_index=True)  # sums don't depend on the order in which rows came


def _check_missing_values(table: DataFrame) -> None:
    for check in CHECKS:
        some = table[table.check == check]
        needed = ["energy", "hit"] if check == "localization" else ["spearman"]
        wrong = some[some[needed].isna().any(axis=1) & ~some.degenerate]
        if len(wrong):
            first = wrong.iloc[0]
            raise ValueError(
                f"{len(wrong)} row(s) of the check {check!r} have no {' or no '.join(needed)} and aren't flagged as "
                f"degenerate; the first is {first.method}, {first.handling}, photo {first.photo}. Measure them again."
            )


def _main(check: str) -> str:
    """Return the measure whose difference to signed counts."""
    return "energy" if check == "localization" else "spearman"


def _with_difference(table: DataFrame) -> DataFrame:
    """Add to each row its main measure minus that of the signed map in the same place; nan where there is none."""
    same = [name for name in (*TEXTS, *NUMBERS) if name != "handling"]
    main = table.spearman.where(table.check != "localization", table.energy)
    signed = table.assign(signed=main)[table.handling == "signed"][[*same, "signed"]]
    difference = main - table.merge(signed, on=same, how="left").signed
    return table.assign(difference=difference.where(table.handling != "signed"))


def _in_groups(table: DataFrame) -> DataFrame:
    """Add the column ``group``; a row of the parameters check comes once for each stage that it belongs to."""
    import pandas as pd

    of_parameters = table.check == "parameters"
    others = table[~of_parameters]
    parts = [others.assign(group=others.comparison.where(others.comparison != "", others.check.map(CHECKS)))]
    for (network, mode), cascade in table[of_parameters].groupby(["network", "mode"]):
        if mode not in MODES:
            raise unknown_name("mode of randomization", mode, MODES)
        if (cascade.depth < 1).any() or cascade.layers.nunique() > 1:
            raise ValueError(
                f"Each row of the parameters check of {network}, {mode}, needs a depth from 1 and the same number "
                f"of layers; there are depths from {cascade.depth.min()} and layers {sorted(set(cascade.layers))}."
            )
        for stage, depths in stages(cascade.depth, cascade.layers.iloc[0], str(mode)).items():
            reached = cascade[cascade.depth.isin(depths)]
            complete = reached.groupby(["method", "handling", "photo"]).depth.transform("nunique") == len(depths)
            parts.append(reached[complete].assign(group=stage))
    return pd.concat(parts, ignore_index=True)


def stages(depths: Iterable[int], layers: int, mode: str = "cascading") -> dict[str, list[int]]:
    """Return the stages that can be told from the depths measured, each with its depths.

    layers: how many there are to randomize. One layer at a time (independent) is no cascade and has the mean only.
    """
    measured = sorted({int(depth) for depth in depths})
    if mode == "independent":
        return {"mean": measured}
    found = {}
    if 1 in measured:
        found["classifier" if mode == "cascading" else "first layer"] = [1]
    half = min(measured, key=lambda depth: (abs(depth - layers / 2), depth))
    if abs(half - layers / 2) <= layers / 4:
        found["half"] = [half]
    if layers in measured:
        found["all"] = [layers]
    if {1, layers} <= {*measured}:
        found["mean"] = measured
    return found


def in_order(table: DataFrame) -> DataFrame:
    """Return rows in the package's order of methods and handlings, controls last; names it doesn't know come after."""
    known = {name: i for i, name in enumerate([*METHODS, *CONTROLS, *HANDLINGS])}
    order = [
        (known.get(m, len(known)), m, known.get(h, len(known)), h)
        for m, h in zip(table.method, table.handling, strict=True)
    ]
    return table.iloc[sorted(range(len(table)), key=order.__getitem__)]


# --- Files ---


def write_summary(summary: DataFrame, path: str | Path) -> None:
    """Write a summary as CSV; ``read_summary`` gives the same numbers back, to the last digit."""
    summary.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


def read_summary(path: str | Path) -> DataFrame:
    """Return a summary that ``write_summary`` wrote; ``ValueError`` for another table."""
    import pandas as pd

    numbers = [*COUNTS, *(name for measure in MEASURES for name in _columns(measure))]
    table = pd.read_csv(path, dtype=str, keep_default_na=False)  # a network may be called NA
    missing = [name for name in (*GROUP, *numbers) if name not in table]
    if missing:
        raise ValueError(f"{Path(path).name} isn't a summary: it has no {', '.join(missing)}.")
    whole = {name: int for name in COUNTS if name not in ("depth", "layers")}
    return table.replace({name: {"": "nan"} for name in numbers}).astype(dict.fromkeys(numbers, float) | whole)


# --- Report ---

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
_STAGES = ("classifier", "first layer", "half", "all", "mean")


def report(summary: DataFrame, title: str = "What the study measured") -> str:
    """Return a report in Markdown: verdicts, what may explain them, how to read the tables, and a table each check.

    summary: as ``summarize`` or ``read_summary`` gives it. The same summary gives the same text.
    """
    parts = [f"# {title}", _overview(summary), *verdict_section(verdict_table(summary))]
    parts += ["## How to read the numbers", READING]
    for network, rows in summary.groupby("network"):
        parts += [f"## {network}", *([NOTES[network]] if network in NOTES else []), *_tables(rows)]
    return "\n\n".join(parts) + "\n"


def _overview(summary: DataFrame) -> str:
    photos = summary.groupby("network").photos.max()
    named = [f"{network} (up to {count} photo{'s' * (count != 1)} a check)" for network, count in photos.items()]
    return f"Networks: {', '.join(named)}."


def _tables(rows: DataFrame) -> list[str]:
    """Return headings and tables of one network, check by check."""
    parts: list[str] = []
    for check in CHECKS:
        some = rows[rows.check == check]
        if check == "parameters":
            for mode, cascade in some.groupby("mode"):
                parts += [f"### Parameters: {mode}, {int(cascade.layers.max())} layers", _stage_table(cascade)]
            continue
        known = [group for of, group in _TITLES if of == check]
        for group in sorted(some.group.unique(), key=lambda g: (known.index(g) if g in known else len(known), g)):
            columns = _PLACED if check == "localization" else _COMPARED
            title = _TITLES.get((check, group), f"{check.capitalize()}: {group}")
            parts += [f"### {title}", _check_table(some[some.group == group], columns)]
    return parts


def _check_table(rows: DataFrame, columns: dict[str, str]) -> str:
    lines = [
        [*_version(row), *(_shown(row, name) for name in columns.values()), *_counted(row)]
        for _, row in in_order(rows).iterrows()
    ]
    return markdown(["method", "handling", *columns, "photos", "degenerate maps"], lines)


def _stage_table(cascade: DataFrame) -> str:
    """Return the table of one cascade: the stages beside each other, and more about the mean over all depths."""
    names = [stage for stage in _STAGES if stage in set(cascade.group)]
    more = {heading: name for heading, name in _COMPARED.items() if name != "spearman"} if "mean" in names else {}
    lines = []
    for _, stages_of in in_order(cascade).groupby(["method", "handling"], sort=False):
        by_stage = {row.group: row for _, row in stages_of.iterrows()}
        last = by_stage.get("mean", stages_of.iloc[-1])
        numbers = [measured(by_stage[name], "spearman") if name in by_stage else "–" for name in names]
        numbers += [measured(by_stage["mean"], name) if "mean" in by_stage else "–" for name in more.values()]
        lines.append([*_version(last), *numbers, *_counted(last)])
    depths = cascade[cascade.depths == 1].groupby("group").depth.max()
    count = int(cascade.depths.max())
    titles = {name: f"{name} (depth {int(depths[name])})" for name in names if name in depths}
    titles["mean"] = f"mean of {count} depths"
    header = ["method", "handling", *(titles.get(name, name) for name in names), *(f"mean, {name}" for name in more)]
    return markdown([*header, "photos", "degenerate maps"], lines)


def _version(row: Any) -> list[str]:
    as_published = PUBLISHED.get(row.method) == row.handling
    return [f"`{row.method}`", f"{row.handling}{', as published' * as_published}"]


def _shown(row: Any, name: str) -> str:
    return number(row.area) if name == "area" else measured(row, name)  # the box's area isn't an estimate


def _counted(row: Any) -> list[str]:
    return [str(int(row.photos)), f"{int(row.degenerate)} of {int(row.comparisons)}"]
