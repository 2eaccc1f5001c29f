"""The rank correlation of two maps."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from posgrad_edu.checks.engine import forms
from posgrad_edu.checks.engine.changes import Change
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.mutations import on_arguments, then
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task

Compare = Callable[[Tensor, Tensor], float]
Two = Callable[[Tensor, Tensor], Tensor]

TINY = 1e-6  # the size of the first try's maps: gradients can be as small


def _two_maps(n: int) -> Args:
    """Two maps (6, 5): of different values, tiny; with ties; with many zeros, as after a ReLU; one of them constant."""
    one = torch.randn(6, 5)
    other = (0.7 if n == 1 else -0.7) * one + 0.5 * torch.randn(6, 5)  # alike, or opposite
    skewed = one.exp() - 1, 1 - (-other).exp()  # ranks differ from values, and each map has values within the other's
    if n == 1:
        return skewed[0].mul(2).round(), skewed[1].mul(2).round()
    if n == 2:
        return one.relu(), (other + 0.3).relu()
    return (one.exp(), torch.full((6, 5), 0.25)) if n == 3 else (TINY * skewed[0], TINY * skewed[1])


def _mean_rank(below: Tensor, equal: Tensor) -> Tensor:
    return below + (equal + 1) / 2


def ranks(values: Tensor, tied: Callable[[Tensor, Tensor], Tensor] = _mean_rank) -> Tensor:
    """Return the rank of each value, from 1, made of how many are below it and how many equal it."""
    flat = values.flatten()
    return tied((flat < flat[:, None]).sum(1), (flat == flat[:, None]).sum(1))


def _lengths(a: Tensor, b: Tensor) -> Tensor:
    return a.norm() * b.norm()


def pearson(
    one: Tensor, other: Tensor, centre: Change = torch.mean, below: Two = _lengths, guarded: bool = True
) -> float:
    """Return the correlation of two tensors' values; if guarded, nan if one is constant.

    centre: of what is subtracted. below: what their product is divided by.
    """
    if guarded and any(bool(t.min() == t.max()) for t in (one, other)):
        return math.nan
    a, b = (t.double().flatten() - centre(t.double().flatten()) for t in (one, other))
    return float(a @ b / below(a, b))


def spearman(one: Tensor, other: Tensor, ranking: Change = ranks, compare: Compare = pearson) -> float:
    """Return the correlation of two maps' ranks; nan if one map is constant."""
    return compare(ranking(one), ranking(other))


def _tau(one: Tensor, other: Tensor) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(one.numpy(), other.numpy()).statistic)


def _short_formula(one: Tensor, other: Tensor) -> float:
    d, n = (one - other).double(), len(one)
    return float(1 - 6 * (d * d).sum() / (n * (n * n - 1)))


def _row_by_row(one: Tensor, other: Tensor) -> float:
    rows = [spearman(a, b) for a, b in zip(one, other, strict=True)]
    return sum(rows) / len(rows)


def _cosine(one: Tensor, other: Tensor) -> float:
    return float(torch.cosine_similarity(one.flatten().double(), other.flatten().double(), 0))


def _ranked_by(ranking: Change) -> Function:
    return partial(spearman, ranking=ranking)


def _also_guarded(*wrong: Function) -> list[Function]:
    """Return wrong correlations as they are, and with nan where a map is constant."""
    return [*wrong, *(lambda a, b, w=w: math.nan if math.isnan(pearson(a, b)) else w(a, b) for w in wrong)]


def _ranked_together(one: Tensor, other: Tensor) -> float:
    both = ranks(torch.stack([one, other])).reshape(2, -1)
    return pearson(both[0], both[1])


def _where(kept: Callable[[Tensor, Tensor], Tensor]) -> Function:
    """Return the correlation of what is left of two maps."""
    return lambda one, other: spearman(one[kept(one, other)], other[kept(one, other)])


_SQUARED = Mistake("squared", "you squared the correlation", "It has a sign.")
_ABSOLUTE = Mistake("absolute-result", "you took the absolute value of the correlation", "Opposite maps have -1.")
_CORRELATION = "Use the rank correlation: it doesn't depend on a map's scale."


def in_order(values: Tensor) -> Tensor:
    """Return the values from small to large."""
    return values.flatten().sort().values


SORTED = Mistake("sorted-values", "you sorted each map's values and compared these", "Ranks stay in their places.")


_PEARSON = "Subtract each mean; divide the sum of the products by the root of the product of both sums of squares."


def wrong_pearsons(right: Function) -> list[Mistake | Function]:
    """Return the mistakes in the formula of the correlation of ranks; ``right`` takes it as ``compare=``."""

    def of_ranks(**changes: Any) -> list[Function]:
        """Return the wrong correlation, with nan where a map is constant, and as it comes there."""
        ways = [partial(pearson, guarded=guarded, **changes) for guarded in (True, False)]
        return [partial(right, compare=partial(spearman, compare=way)) for way in ways]

    return [
        Mistake("not-centred", "you correlated the ranks without subtracting their mean", _PEARSON),
        *of_ranks(centre=lambda values: values.new_zeros(())),
        Mistake("not-centred", "you subtracted the largest, or smallest, rank instead of the mean", _PEARSON),
        *of_ranks(centre=torch.amax),
        *of_ranks(centre=torch.amin),
        Mistake("not-divided", "you took a covariance of the ranks: nothing is divided by their deviations", _PEARSON),
        *of_ranks(below=lambda a, b: torch.tensor(len(a))),
        *of_ranks(below=lambda a, b: torch.tensor(len(a) - 1)),
        *of_ranks(below=lambda a, b: torch.tensor(1)),
        Mistake("wrong-denominator", "you divided by the ranks' variances instead of their deviations", _PEARSON),
        *of_ranks(below=lambda a, b: _lengths(a, b) ** 2),
        Mistake("wrong-denominator", "you multiplied by the ranks' deviations instead of dividing", _PEARSON),
        *of_ranks(below=lambda a, b: 1 / _lengths(a, b)),
        Mistake("wrong-denominator", "you divided by one of the two deviations only, or by their sum", _PEARSON),
        *of_ranks(below=lambda a, b: a.norm()),
        *of_ranks(below=lambda a, b: b.norm()),
        *of_ranks(below=lambda a, b: a.norm() + b.norm()),
    ]


def wrong_comparisons(right: Function) -> list[Mistake | Function]:
    """Return the mistakes of comparing maps in another way; ``right`` takes it as ``compare=``."""
    return [
        Mistake("no-ranks", "you correlated the values, not their ranks", _CORRELATION),
        partial(right, compare=pearson),
        Mistake("cosine", "you took the cosine of the maps, not their rank correlation", _CORRELATION),
        partial(right, compare=_cosine),
        Mistake("a-difference", "you measured how far the maps' values are apart", _CORRELATION),
        partial(right, compare=lambda one, other: float((one - other).norm())),
        Mistake("absolute-values", "you compared the magnitudes of the maps", "Magnitudes hide a reversed sign."),
        partial(right, compare=on_arguments(spearman, torch.abs, 0, 1)),
        Mistake("positive-values", "you compared the positive parts of the maps", "Rank the whole maps."),
        partial(right, compare=on_arguments(spearman, torch.relu, 0, 1)),
        SORTED,
        partial(right, compare=on_arguments(pearson, in_order, 0, 1)),
        _ABSOLUTE,
        then(right, abs),
        _SQUARED,
        then(right, lambda rho: rho**2),
        Mistake("distance", "you returned 1 - correlation", "Maps that are alike have 1."),
        then(right, lambda rho: 1 - rho),
        *wrong_pearsons(right),
    ]


# Which of two equal values comes first is left to the sorting; NumPy's depends on the type and the processor.
_ORDINAL: list[Change] = [
    lambda v: v.flatten().argsort(stable=True).argsort(),
    lambda v: v.flatten().argsort(stable=True, descending=True).argsort(),
    lambda v: torch.from_numpy(v.flatten().numpy().argsort().argsort()),
    lambda v: torch.from_numpy(v.double().flatten().numpy().argsort().argsort()),
]
_TIES = "Values that are equal share the mean of their ranks, as in scipy.stats.rankdata."
_TIED = ("ties", "right where all values differ, wrong where some are equal", _TIES)
_CONSTANT = "a constant map has no ranks to compare, so the answer is nan"
_FLATTEN = "Flatten the maps first."
SPEARMAN = Task(
    name="spearman",
    signature="spearman(first, second)",
    returns="the rank correlation of two maps, a number from -1 to 1",
    about="""
first, second: maps (H, W). Values that are equal share the mean of their ranks. For a constant map the answer is
nan: nothing can be compared.
""",
    lesson=12,
    make=_two_maps,
    right=spearman,
    form=forms.number,
    hint="Ranks of each map, then the correlation of the ranks.",
    mistakes=[
        Mistake("not-finite", "you divide by zero where no map is constant", "Look at the denominator."),
        Mistake("no-ranks", "you correlated the values, not their ranks", "First rank each map's values."),
        pearson,
        Mistake("argsort-once", "argsort gives places, not ranks", "argsort of argsort gives ranks; or use rankdata."),
        *_also_guarded(*map(_ranked_by, (lambda v: v.flatten().argsort(stable=True), lambda v: v.flatten().argsort()))),
        Mistake("minimum-rank", "tied values get the smallest of their ranks", _TIES),
        _ranked_by(partial(ranks, tied=lambda below, equal: below)),
        Mistake("minimum-rank", "tied values get the largest of their ranks", _TIES),
        _ranked_by(partial(ranks, tied=torch.add)),
        Mistake("ties", "values that are equal get different ranks", _TIES),
        *_also_guarded(*map(_ranked_by, _ORDINAL)),
        Mistake("ranked-together", "you ranked the values of both maps together", "Each map has ranks of its own."),
        _ranked_together,
        Mistake("zeros-dropped", "you left out places where a map is 0", "A 0 is a value like any other."),
        *map(_where, (torch.logical_and, torch.logical_or, lambda one, other: one != 0, lambda one, other: other != 0)),
        Mistake("dense-rank", "ranks are counted without gaps after ties", _TIES),
        _ranked_by(lambda v: v.unique(return_inverse=True)[1]),
        *wrong_pearsons(spearman),
        Mistake("wrong-denominator", "you divided by one map's variance: that is the slope of a line", _PEARSON),
        partial(spearman, compare=partial(pearson, below=lambda a, b: a @ a)),
        partial(spearman, compare=partial(pearson, below=lambda a, b: b @ b)),
        Mistake("short-formula", "the formula with squared differences only holds without ties", "Correlate ranks."),
        *_also_guarded(partial(spearman, compare=_short_formula)),
        SORTED,
        _ranked_by(in_order),
        on_arguments(spearman, in_order, 0, 1),
        _ABSOLUTE,
        then(spearman, abs),
        Mistake("absolute-values", "you ranked the magnitudes of the values", "Rank the values with their sign."),
        *(on_arguments(spearman, torch.abs, *places) for places in ((0, 1), (0,), (1,))),
        Mistake("positive-values", "you dropped negative values before ranking", "Rank the values with their sign."),
        *(on_arguments(spearman, torch.relu, *places) for places in ((0, 1), (0,), (1,))),
        Mistake("rounded", "you rounded the values before ranking", "Small maps have ranks, too."),
        *(on_arguments(spearman, partial(torch.round, decimals=n), 0, 1) for n in range(6)),
        Mistake("wrong-sign", "one of the two maps is sorted from the wrong end", "Rank both from small to large."),
        then(spearman, operator.neg),
        _SQUARED,
        then(spearman, lambda rho: rho**2),
        Mistake("distance", "you returned a distance", "Maps that are alike have 1."),
        then(spearman, lambda rho: 1 - rho),
        Mistake("kendall", "that is Kendall's tau", "Spearman is the correlation of the ranks."),
        *_also_guarded(_tau),
        Mistake("row-by-row", "you ranked each row by itself", _FLATTEN),
        *_also_guarded(_row_by_row),
        Mistake("row-by-row", "you ranked along one axis only", _FLATTEN),
        *_also_guarded(_ranked_by(lambda v: torch.stack([ranks(row) for row in v]))),
        *_also_guarded(_ranked_by(lambda v: torch.stack([ranks(column) for column in v.T], 1))),
        *_also_guarded(*map(_ranked_by, (lambda v: v.argsort(0).argsort(0), lambda v: v.argsort(1).argsort(1)))),
        Mistake("constant-map", _CONSTANT, "A 0 or 1 would look like a finding.", pattern=(True, True, True, False)),
        Mistake(*_TIED, pattern=(True, None, False, None)),
        Mistake(*_TIED, pattern=(True, False, None, None)),
    ],
)
check_spearman = checker(SPEARMAN)
