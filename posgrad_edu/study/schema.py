"""A study's rows, defined in one place: the columns with their types, what identifies a row, and the words in it.

A row compares two maps, or says where one map lies. Rows of all sanity tests have the same columns; what a test doesn't
measure is missing. Measuring makes such rows, the summary takes means of them, charts and the report show those.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.methods import CONTROLS, METHODS

if TYPE_CHECKING:
    from pandas import DataFrame

CHECKS = ("class", "parameters", "localization", "data")  # the sanity tests, as the column "check" names them
MORE_CHECKS = ("perturbation",)  # those that a study makes only where they are asked for: they take long
ALL_CHECKS = (*CHECKS, *MORE_CHECKS)
PUBLISHED = "published"  # a handling: whatever the method's authors do
NO_HANDLING = "none"  # of the controls, which have no gradients
LOGIT = "logit"
CONTRASTS = (LOGIT, "mean")  # what is explained: a class's logit, or that minus the mean of all logits

NAMES = ("network", "check", "photo", "method", "handling")  # each row has them
SIMILARITIES = ("spearman", "spearman_abs", "ssim", "hog")
PLACES = ("energy", "energy_abs", "energy_other", "hit", "area")
AREAS = ("auc", "auc_other", "advantage")
SCORES = (*SIMILARITIES, *PLACES, *AREAS)

# The columns in order, with the types that files keep.
TYPES = {
    **dict.fromkeys(NAMES, "string"),
    **dict.fromkeys(("target", "other"), "Int64"),
    **dict.fromkeys(("contrast", "comparison", "mode"), "string"),
    **dict.fromkeys(("depth", "layers"), "Int64"),
    "layer": "string",
    **dict.fromkeys(("seed", "object"), "Int64"),
    **dict.fromkeys(SCORES, "Float64"),
    "degenerate": "boolean",
}
TEXTS = tuple(name for name, kind in TYPES.items() if kind == "string")
INTEGERS = tuple(name for name, kind in TYPES.items() if kind == "Int64")
IDENTITY = (*TEXTS, *INTEGERS)  # rows that agree in all of these are one comparison, measured twice


def main_score(check: str) -> str:
    """Return the score that a sanity test is about."""
    return {"localization": "energy", "perturbation": "advantage"}.get(check, "spearman")


def published_handling(method: str) -> str | None:
    """Return the one handling that a method was published with; ``None`` if it has none, or isn't of this package."""
    published = METHODS[method].published if method in METHODS else None
    return published.name if published else None


def leading_contrast(table: DataFrame) -> str:
    """Return the contrast that a reader is shown first: the one against the mean, where it was measured."""
    return next(name for name in reversed(CONTRASTS) if name in set(table.contrast))


def in_order(table: DataFrame) -> DataFrame:
    """Return rows in the package's order of methods and handlings, controls last; names it doesn't know come after."""
    known = {name: i for i, name in enumerate([*METHODS, *CONTROLS, *HANDLINGS])}
    order = [
        (known.get(m, len(known)), m, known.get(h, len(known)), h)
        for m, h in zip(table.method, table.handling, strict=True)
    ]
    return table.iloc[sorted(range(len(table)), key=order.__getitem__)]


# --- As files keep them ---


def typed(table: DataFrame) -> DataFrame:
    """Return a table with the columns and types of ``TYPES``; what it doesn't have is missing."""
    return table.reindex(columns=list(TYPES)).astype(TYPES)


def combined(tables: Iterable[DataFrame]) -> DataFrame:
    """Return the rows of all tables in one, with the columns and types of ``TYPES``."""
    import pandas as pd

    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else typed(pd.DataFrame())


# --- As means are taken of them ---


def validated(rows: DataFrame) -> DataFrame:
    """Return the rows sorted, with all columns, as plain numbers and texts; refuse what no mean can be taken of.

    rows: with ``NAMES`` and ``degenerate``; other columns that are missing are filled, texts with "", integers with -1,
        scores with nan; without a contrast, what was explained is the logit.
    Raises ``ValueError`` for missing columns or names, a check that doesn't exist, a comparison that was measured
    twice, and a missing score that isn't flagged as degenerate.
    """
    missing = [name for name in (*NAMES, "degenerate") if name not in rows]
    if missing or rows.empty:
        raise ValueError(f"These rows have no {', '.join(missing)}." if missing else "There are no rows to summarize.")
    table = rows.reindex(columns=[*IDENTITY, *SCORES, "degenerate"])
    incomplete = [name for name in (*NAMES, "degenerate") if table[name].isna().any()]
    if incomplete:
        raise ValueError(
            f"Some rows have no {', '.join(incomplete)}. Each row needs them; controls' handling is {NO_HANDLING!r}."
        )
    for check in table.check.unique():
        if check not in ALL_CHECKS:
            raise unknown_name("check", check, ALL_CHECKS)
    table = _plain(table)
    table["contrast"] = table.contrast.replace("", LOGIT)
    if (twice := table.duplicated(list(IDENTITY))).any():
        first = table[twice].iloc[0]
        raise ValueError(f"Measured twice: {', '.join(f'{name} {first[name]}' for name in NAMES)}. Leave one row out.")
    _refuse_missing_scores(table)
    return table.sort_values(list(IDENTITY), ignore_index=True)  # sums don't depend on the order in which rows came


def _plain(table: DataFrame) -> DataFrame:
    table = table.astype(dict.fromkeys(TEXTS, object)).fillna(dict.fromkeys(TEXTS, ""))
    table = table.astype(dict.fromkeys(TEXTS, str) | dict.fromkeys((*INTEGERS, *SCORES), float))
    return table.fillna(dict.fromkeys(INTEGERS, -1)).astype(dict.fromkeys(INTEGERS, int) | {"degenerate": bool})


def _refuse_missing_scores(table: DataFrame) -> None:
    for check in ALL_CHECKS:
        some = table[table.check == check]
        needed = ["energy", "hit"] if check == "localization" else [main_score(check)]
        wrong = some[some[needed].isna().any(axis=1) & ~some.degenerate]
        if len(wrong):
            first = wrong.iloc[0]
            raise ValueError(
                f"{len(wrong)} row(s) of the check {check!r} have no {' or no '.join(needed)} and aren't flagged as "
                f"degenerate; the first is {first.method}, {first.handling}, photo {first.photo}. Measure them again."
            )
