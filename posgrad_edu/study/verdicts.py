"""Does a study agree with the paper's claims (``claims.py``)? One rule, applied to each claim and network.

A claim has two halves that can be measured: the positive version's maps are alike where they should differ, and they
are more alike than those of the same method with signed gradients. Measured is the rank correlation (Spearman) of the
signed maps, and for each claim

    alike         the interval of the positive version's mean lies above .5
    more alike    the interval of the paired difference, positive minus signed, lies above 0

    agrees        both        partly       one of the two
    disagrees     neither     not measured one of the two numbers, or its interval, isn't there

Each claim is judged four times: of a class's logit and of its contrast with the mean of all logits
(``engine/contrast.py``), and in the class check against random classes, the fair question, and against the least likely
class, the extreme one. In the parameters check the verdict
takes the mean over the cascade, not its end. At the end every layer is random, also the first ones, which see the photo
itself: only a map that hardly depends on any weight stays there as it was. To call a map insensitive to parameters
claims less, and something of degree: that much of the network can become random before the map changes. The mean over
the cascade measures this. The end, half way, and the classifier alone stand beside it in the report.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from posgrad_edu.study.claims import CLAIMS, Claim, reason
from posgrad_edu.study.schema import CONTRASTS

if TYPE_CHECKING:
    from pandas import DataFrame

ALIKE_ABOVE = 0.5
VERDICTS = ("agrees", "partly", "disagrees", "not measured")

# Where in a summary each check's numbers stand: groups, and the mode.
JUDGED_GROUPS = {"class": (("random", "least"), ""), "parameters": (("mean",), "cascading")}
_KEY = ("check", "group", "contrast", "network", "method", "handling", "mode")  # what a row of a summary is of

Row = dict[str, Any]
Rows = dict[tuple[str, ...], Row]


def verdict(alike_low: float, difference_low: float, threshold: float = ALIKE_ABOVE) -> str:
    """Return one of ``VERDICTS`` from two intervals' lower ends: the version's mean, and its paired difference.

    threshold: maps count as alike where the first lies above it.
    """
    if math.isnan(alike_low) or math.isnan(difference_low):
        return "not measured"
    halves = int(alike_low > threshold) + int(difference_low > 0)
    return ("disagrees", "partly", "agrees")[halves]


def verdict_table(summary: DataFrame) -> DataFrame:
    """Return what a study says of each claim: one row a claim, group, contrast and network.

    summary: as ``summarize`` makes it. Rows stand in the order of ``CLAIMS``.
    Columns: check, group ("random" or "least" classes, the "mean" over a cascade), contrast ("logit" or "mean"),
    method, handling, version (in words), source, claim (a sentence), network; means of spearman for
    signed, for positive (this claim's handling) and for their difference, each with _low and _high; photos (with a
    difference), comparisons and degenerate (of both versions), verdict, reading (what the two halves came to), and why
    (``reason``; empty where the verdict agrees or wasn't measured).
    """
    import pandas as pd

    contrasts = [name for name in CONTRASTS if name in set(summary.contrast)]
    networks = sorted(summary.network.unique())
    measured = _rows(summary)
    rows = [
        _judged(claim, group, contrast, network, measured)
        for claim in CLAIMS
        for group in _groups(claim.check, summary)
        for contrast in contrasts
        for network in networks
    ]
    return pd.DataFrame(rows)


def _groups(check: str, summary: DataFrame) -> list[str]:
    """Return the groups of a check that are judged and there; the last one if none is."""
    groups, _ = JUDGED_GROUPS[check]
    there = set(summary.group[summary.check == check])
    return [group for group in groups if group in there] or [groups[-1]]


def _rows(summary: DataFrame) -> Rows:
    """Return the rows by what each is of; the first where there are several."""
    rows: Rows = {}
    for row in summary.to_dict("records"):
        rows.setdefault(tuple(row[name] for name in _KEY), row)
    return rows


def _judged(claim: Claim, group: str, contrast: str, network: str, measured: Rows) -> dict[str, object]:
    asked, mode = (claim.check, group, contrast, network, claim.method), JUDGED_GROUPS[claim.check][1]
    signed, positive = (measured.get((*asked, handling, mode)) for handling in ("signed", claim.handling))
    both = [row for row in (signed, positive) if row is not None]
    result = verdict(_value(positive, "spearman_low"), _value(positive, "difference_low"))
    return {
        "check": claim.check,
        "group": group,
        "contrast": contrast,
        "method": claim.method,
        "handling": claim.handling,
        "version": claim.version,
        "source": claim.source,
        "claim": claim.text,
        "network": network,
        **{f"signed{end}": _value(signed, f"spearman{end}") for end in ("", "_low", "_high")},
        **{f"positive{end}": _value(positive, f"spearman{end}") for end in ("", "_low", "_high")},
        **{f"difference{end}": _value(positive, f"difference{end}") for end in ("", "_low", "_high")},
        "photos": 0 if positive is None else int(positive["paired"]),
        "comparisons": sum(int(row["comparisons"]) for row in both),
        "degenerate": sum(int(row["degenerate"]) for row in both),
        "verdict": result,
        "reading": _missing(signed, positive) if result == "not measured" else _reading(positive),
        "why": reason(claim, contrast) if result in ("partly", "disagrees") else "",
    }


def _value(row: Row | None, name: str) -> float:
    return math.nan if row is None else float(row[name])


def _reading(positive: Row | None) -> str:
    """Say what the two halves came to."""
    low, high = _value(positive, "spearman_low"), _value(positive, "spearman_high")
    alike = "alike" if low > ALIKE_ABOVE else "not alike" if high <= ALIKE_ABOVE else "not surely alike"
    low, high = _value(positive, "difference_low"), _value(positive, "difference_high")
    more = "more so than" if low > 0 else "less so than" if high < 0 else "not surely more so than"
    return f"{alike}, {more} signed"


def _missing(signed: Row | None, positive: Row | None) -> str:
    """Say why there is no verdict."""
    for row, name in ((positive, "this version"), (signed, "signed")):
        if row is None:
            return f"{name} has no rows"
        if row["used"] == 0:
            return f"each map of {name} is degenerate"
    assert positive is not None
    if positive["paired"] == 0:
        return "no photo has values of both versions"
    return "one photo gives no interval"
