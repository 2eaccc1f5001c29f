"""area(scores)"""

import math

import numpy as np
import torch


def by_strips(scores):
    first, last = scores[0], scores[-1]
    if first <= last:
        return math.nan
    kept = [(s - last) / (first - last) for s in scores]
    width = 1 / (len(kept) - 1)
    return sum(width * (kept[n] + kept[n + 1]) / 2 for n in range(len(kept) - 1))


def by_numpy(scores):
    s = np.asarray(scores)
    kept = (s - s[-1]) / (s[0] - s[-1])
    return np.trapezoid(kept, np.linspace(0, 1, len(s))) if s[0] > s[-1] else float("nan")


def by_the_mean(scores):
    """The ends count half: their mean is 1/2."""
    s = torch.tensor(scores, dtype=torch.float64)
    if not s[0] > s[-1]:
        return torch.tensor(torch.nan)
    kept = (s - s[-1]) / (s[0] - s[-1])
    return (kept.sum() - 0.5) / (len(s) - 1)


def otherwise(scale=lambda s: (s - s[-1]) / (s[0] - s[-1]), under=None):
    """The area with another scale, or another rule; nan where it should be."""

    def own(scores):
        s = np.array(scores)
        kept = scale(s)
        found = np.trapezoid(kept, dx=1 / (len(s) - 1)) if under is None else under(kept)
        return float(found) if s[0] > s[-1] else math.nan

    return own


def nan_where(nothing):
    """nothing(scores): whether there is no area"""
    return lambda scores: math.nan if nothing(scores) else by_strips_of(scores)


def by_strips_of(scores):
    s = torch.tensor(scores)
    kept = (s - s[-1]) / (s[0] - s[-1])
    return (kept[1:] + kept[:-1]).mean() / 2


def divides_first(scores):
    kept = [(s - scores[-1]) / (scores[0] - scores[-1]) for s in scores]
    return by_strips(kept) if scores[0] > scores[-1] else math.nan


def never_nan(scores):
    return by_strips_of(scores)


def by_zero_over_zero(scores):
    """Tensors divide 0 by 0, and get nan."""
    return nan_where(lambda scores: scores[0] < scores[-1])(scores)


RIGHT = {"strips": by_strips, "NumPy": by_numpy, "from the mean": by_the_mean, "0 / 0": by_zero_over_zero}
WRONG = {
    "raw": (otherwise(lambda s: s), "not-scaled"),
    "divided by the first": (otherwise(lambda s: s / s[0]), "last-not-taken"),
    "minus the last": (otherwise(lambda s: s - s[-1]), "not-divided"),
    "min-max": (otherwise(lambda s: (s - s.min()) / np.ptp(s)), "min-max"),
    "minus the smallest": (otherwise(lambda s: (s - min(s)) / (s[0] - min(s))), "min-max"),
    "in order of size": (otherwise(lambda s: (np.sort(s)[::-1] - s.min()) / np.ptp(s)), "sorted"),
    "divided by the largest": (otherwise(lambda s: s / s.max()), "min-max"),
    "clipped": (otherwise(lambda s: np.clip((s - s[-1]) / (s[0] - s[-1]), 0, 1)), "clamped"),
    "turned round": (otherwise(lambda s: (s - s[0]) / (s[-1] - s[0])), "above"),
    "mean": (otherwise(under=np.mean), "mean"),
    "left ends": (otherwise(under=lambda k: k[:-1].mean()), "one-sided"),
    "right ends": (otherwise(under=lambda k: sum(k[1:]) / (len(k) - 1)), "one-sided"),
    "without the ends": (otherwise(under=lambda k: k[1:-1].mean()), "ends-missing"),
    "width 1": (otherwise(under=np.trapezoid), "wrong-width"),
    "by the points": (otherwise(under=lambda k: np.trapezoid(k, dx=1 / len(k))), "wrong-width"),
    "sum": (otherwise(under=np.sum), "sum"),
    "magnitudes": (otherwise(lambda s: abs((s - s[-1]) / (s[0] - s[-1]))), "absolute"),
    "never nan": (never_nan, "nothing-taken"),
    "zero if equal": (lambda scores: 0.0 if scores[0] == scores[-1] else by_strips(scores), "nothing-taken"),
    "nan if equal": (nan_where(lambda scores: scores[0] == scores[-1]), "nothing-taken"),
    "nan if one is larger": (nan_where(lambda scores: max(scores[1:]) > scores[0]), "always-nan"),
    "nan if below zero": (nan_where(lambda scores: scores[0] <= max(scores[-1], 1.3)), "not-finite"),
    "two digits": (lambda scores: float(f"{by_strips(scores):.2f}"), "rounded"),
    "divided too early": (divides_first, "division-by-zero"),
    "a word": (lambda scores: str(by_strips(scores)), "wrong-type"),
    "zero where there is none": (
        lambda scores: 0.0 if math.isnan(found := by_strips(scores)) else found, "nothing-taken"),
    "the curve": (lambda scores: [s / scores[0] for s in scores], "not-a-number"),
    "nothing": (lambda scores: None, "returns-none"),
    "sorted in place": (lambda scores: scores.sort() or by_strips(scores), "list-changed"),
}  # fmt: skip
