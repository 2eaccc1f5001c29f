"""From the rows of a study to means over photos, with bootstrap intervals.

    summary = summarize(rows)              # a row a network, check, method, handling and group
    verdict_table(summary)                 # a row a claim and network, see verdicts.py
    markdown_report(summary)               # both as text, see report.py

Rows compare two maps each, or score one map's place; several rows belong to one photo: seeds, depths, objects, pairs of
classes. A photo's rows are averaged first, so that a photo counts once, however often it was measured. Then the mean is
taken over photos, with an interval that says how much it hangs on which photos were at hand: the middle 95 % of the
means of 5,000 bootstrap resamples of the photos. With few photos such intervals are too short, and with one photo there
is none (nan). Photos of the same value have an interval of no length.

    difference    this handling minus signed, row by row of the same photo, classes, depth and seed, then averaged in
                  the same way: of spearman, for localization of energy, for perturbation of advantage

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
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from posgrad_edu.errors import unknown_name
from posgrad_edu.metrics.randomization import MODES
from posgrad_edu.study.schema import AREAS, IDENTITY, SCORES, main_score, validated

if TYPE_CHECKING:
    from pandas import DataFrame

MEASURES = (*SCORES, "difference")
GROUP = ("network", "check", "method", "handling", "group", "mode")
COUNTS = ("photos", "used", "paired", "comparisons", "degenerate", "depths", "depth", "layers")
# The group of those rows that name no comparison, by check.
GROUP_OF = {"class": "classes", "data": "permuted labels", "localization": "objects", "perturbation": "classes"}

CONFIDENCE = 0.95
RESAMPLES = 5000


# --- Means and intervals ---


def summarize(rows: DataFrame) -> DataFrame:
    """Return means over photos with their intervals: one row a network, check, method, handling and group.

    rows: one row a comparison of two maps, or a map's place, with the columns of ``schema.TYPES``; those that a check
        doesn't use may be nan, None or not there. The order of rows and columns makes no difference.
    Columns of the result: ``GROUP``, ``COUNTS``, and for each measure m of ``MEASURES`` m, m_low and m_high; nan where
    there is no value. The rows are sorted.
    Raises what ``schema.validated`` does, and ``ValueError`` for depths that are no cascade's.
    """
    import pandas as pd

    grouped = _in_groups(_with_difference(validated(rows)))
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
    used = columns[MEASURES.index(main_score(rows.check.iloc[0]))].size
    paired = columns[MEASURES.index("difference")].size
    depths = rows.depth[rows.depth >= 0].unique()
    depth = float(depths[0]) if len(depths) == 1 else math.nan
    layers = float(rows.layers.iloc[0]) if len(depths) else math.nan
    return rows.photo.nunique(), used, paired, len(rows), int(rows.degenerate.sum()), len(depths), depth, layers


def _with_difference(table: DataFrame) -> DataFrame:
    """Add to each row its main measure minus that of the signed map in the same place; nan where there is none."""
    same = [name for name in IDENTITY if name != "handling"]
    main = table.spearman.where(table.check != "localization", table.energy)
    main = main.where(table.check != "perturbation", table.advantage)
    signed = table.assign(signed=main)[table.handling == "signed"][[*same, "signed"]]
    difference = main - table.merge(signed, on=same, how="left").signed
    return table.assign(difference=difference.where(table.handling != "signed"))


def _in_groups(table: DataFrame) -> DataFrame:
    """Add the column ``group``; a row of the parameters check comes once for each stage that it belongs to."""
    import pandas as pd

    of_parameters = table.check == "parameters"
    others = table[~of_parameters]
    parts = [others.assign(group=others.comparison.where(others.comparison != "", others.check.map(GROUP_OF)))]
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


# --- Files ---


def read_summary(path: str | Path) -> DataFrame:
    """Return the summary in a CSV file, to the last digit; ``ValueError`` for another table."""
    import pandas as pd

    numbers = [*COUNTS, *(name for measure in MEASURES for name in _columns(measure))]
    table = pd.read_csv(path, dtype=str, keep_default_na=False)  # a network may be called NA
    older = {name: "" for measure in AREAS for name in _columns(measure) if name not in table}
    table = table.assign(**older)  # written before there was perturbation
    missing = [name for name in (*GROUP, *numbers) if name not in table]
    if missing:
        raise ValueError(f"{Path(path).name} isn't a summary: it has no {', '.join(missing)}.")
    whole = {name: int for name in COUNTS if name not in ("depth", "layers")}
    return table.replace({name: {"": "nan"} for name in numbers}).astype(dict.fromkeys(numbers, float) | whole)
