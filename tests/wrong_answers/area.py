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


def never_nan(scores):
    s = np.array(scores)
    return float(np.trapezoid((s - s[-1]) / (s[0] - s[-1]), dx=1 / (len(s) - 1)))


RIGHT = {"strips": by_strips, "NumPy": by_numpy, "from the mean": by_the_mean}
WRONG = {
    "raw": (otherwise(lambda s: s), "not-scaled"),
    "divided by the first": (otherwise(lambda s: s / s[0]), "last-not-taken"),
    "minus the last": (otherwise(lambda s: s - s[-1]), "not-divided"),
    "min-max": (otherwise(lambda s: (s - s.min()) / np.ptp(s)), "min-max"),
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
    "zero where there is none": (
        lambda scores: 0.0 if math.isnan(found := by_strips(scores)) else found, "nothing-taken"),
    "the curve": (lambda scores: [s / scores[0] for s in scores], "not-a-number"),
    "nothing": (lambda scores: None, "returns-none"),
    "sorted in place": (lambda scores: scores.sort() or by_strips(scores), "list-changed"),
}  # fmt: skip
