"""What the widgets say about two maps: numbers, one sentence on how alike they are, and the key to their colours."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

from posgrad_edu.viz import signed_number, two_digits

CONSTANT = "One of the maps is constant: it ranks no pixel above another, so there is nothing to compare."
OWN_UNIT = "Each map in its own unit: compare places, not strengths."

# What a rank correlation above each threshold says of two things, a and b, such as classes or networks.
DEGREES = (
    (0.9, "The same map for {a} and for {b}: it doesn't show what sets the two {things} apart."),
    (0.5, "Much alike: most of the map for {a} is there for {b}, too."),
    (0.2, "Partly alike: some of the map for {a} is there for {b}, too."),
    (-0.2, "Hardly related: the two {things} have maps of their own."),
    (-0.5, "Partly reversed: where one is red, the other tends to be blue."),
    (-math.inf, "Opposite maps: what speaks for {a} speaks against {b}."),
)


def describe(correlation: float, a: str, b: str, things: str = "classes") -> str:
    """Return one plain sentence on how alike the maps for ``a`` and ``b`` are, by their rank correlation."""
    if math.isnan(correlation):
        return CONSTANT
    sentence = next(words for threshold, words in DEGREES if correlation > threshold)
    return sentence.format(a=a, b=b, things=things)


def rank_correlation_is(correlation: float) -> str:
    """Return a rank correlation in words: the number, or why there is none."""
    return CONSTANT if math.isnan(correlation) else f"Rank correlation {signed_number(correlation)}."


def whole_percent(share: float) -> str:
    """Return a share in whole per cent, such as "25 %"."""
    return f"{100 * share:.0f} %"


def in_percent(labels: Iterable[str], shares: Iterable[float]) -> str:
    """Return names, each with its share, such as "espresso 25%, cup 30%"."""
    return ", ".join(f"{label} {share:.0%}" for label, share in zip(labels, shares, strict=True))


def red_shares(labels: Iterable[str], maps: Tensor) -> str:
    """Return how much of each map (..., H, W) is positive."""
    return f"Red: {in_percent(labels, (maps > 0).float().mean((1, 2)).tolist())}."


def full_colour(limit: float, where: str, maps: Tensor | None = None) -> str:
    """Return the key to the strength of colours: the magnitude that is full, and where that holds.

    maps: those shown, where they may lie beyond the limit: then it's said how far.
    """
    times = 0.0 if maps is None else float(maps.abs().max()) / limit
    beyond = f" The strongest value here is {times:.3g} times that." if times > 1 else ""
    return f"Full colour at ±{two_digits(limit)} {where}.{beyond}"
