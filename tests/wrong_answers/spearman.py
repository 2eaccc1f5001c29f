"""spearman(first, second)"""

import math

import numpy as np
import torch
from scipy import stats

from posgrad_edu.metrics.similarity import spearman as packages


def ranks(values):
    """Mean ranks, in plain Python."""
    values = values.flatten().tolist()
    return np.array([sum(v < u for v in values) + (sum(v == u for v in values) + 1) / 2 for u in values])


def correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    below = math.sqrt((a * a).sum() * (b * b).sum())
    return (a * b).sum() / below if below else math.nan


def plain(one, other):
    return correlation(ranks(one), ranks(other))


def by_corrcoef(one, other):
    table = torch.from_numpy(np.stack([stats.rankdata(one), stats.rankdata(other)]))
    return torch.corrcoef(table.flatten(1))[0, 1]


def ordinal(values):
    return values.flatten().argsort().argsort().double().numpy()


def zero_for_constant(one, other):
    found = plain(one, other)
    return 0.0 if math.isnan(found) else found


def unguarded(one, other):
    a, b = ranks(one) - ranks(one).mean(), ranks(other) - ranks(other).mean()
    return float((a * b).sum()) / math.sqrt(float((a * a).sum()) * float((b * b).sum()))


def short_formula(one, other):
    d, n = ranks(one) - ranks(other), one.numel()
    return 1 - 6 * (d**2).sum() / (n * (n**2 - 1))


RIGHT = {
    "scipy": lambda a, b: stats.spearmanr(a.flatten(), b.flatten()).statistic,
    "plain Python": plain,
    "corrcoef, a tensor": by_corrcoef,
    "the package's": lambda a, b: packages(a.numpy(), b.numpy()),
}
WRONG = {
    "Pearson": (lambda a, b: correlation(a.numpy(), b.numpy()), "no-ranks"),
    "argsort once": (lambda a, b: correlation(a.flatten().argsort().double(), b.flatten().argsort().double()),
                     "argsort-once"),
    "ordinal": (lambda a, b: correlation(ordinal(a), ordinal(b)), "ties"),
    "sorted": (lambda a, b: correlation(np.sort(a.flatten().numpy()), np.sort(b.flatten().numpy())), "sorted-values"),
    "ranks of sorted": (lambda a, b: plain(a.flatten().sort()[0], b.flatten().sort()[0]), "sorted-values"),
    "smallest rank": (lambda a, b: correlation(stats.rankdata(a, "min"), stats.rankdata(b, "min")), "minimum-rank"),
    "dense rank": (lambda a, b: correlation(stats.rankdata(a, "dense"), stats.rankdata(b, "dense")), "dense-rank"),
    "short formula": (short_formula, "short-formula"),
    "absolute": (lambda a, b: abs(plain(a, b)), "absolute-result"),
    "wrong end": (lambda a, b: correlation(ranks(a), ranks(-b)), "wrong-sign"),
    "magnitudes": (lambda a, b: plain(a.abs(), b.abs()), "absolute-values"),
    "squared": (lambda a, b: plain(a, b) ** 2, "squared"),
    "tau": (lambda a, b: stats.kendalltau(a, b).statistic, "kendall"),
    "distance": (lambda a, b: 1 - plain(a, b), "distance"),
    "zero for a constant map": (zero_for_constant, "constant-map"),
    "divides by zero": (unguarded, "division-by-zero"),
    "each row": (lambda a, b: np.mean([plain(p, q) for p, q in zip(a, b, strict=True)]), "row-by-row"),
    "a table": (lambda a, b: np.corrcoef(ranks(a), ranks(b)), "not-a-number"),
}  # fmt: skip
