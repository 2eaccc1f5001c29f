"""Measures: the rank correlation of two maps, and class sensitivity."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from posgrad_edu.checks.engine import forms
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import network
from posgrad_edu.checks.engine.task import Args, Mistake, Task
from posgrad_edu.checks.gradients import of_input

Ranks = Callable[[Tensor], Tensor]


def _two_maps(n: int) -> Args:
    """Two maps (6, 5): of different values; with ties; with many zeros, as after a ReLU; one of them constant."""
    one = torch.randn(6, 5)
    other = (0.7 if n == 1 else -0.7) * one + 0.5 * torch.randn(6, 5)  # alike, or opposite
    skewed = one.exp(), -(-other).exp()  # ranks differ from values
    if n == 1:
        return skewed[0].mul(2).round(), skewed[1].mul(2).round()
    if n == 2:
        return one.relu(), (other + 0.3).relu()
    return (one.exp(), torch.full((6, 5), 0.25)) if n == 3 else skewed


def ranks(values: Tensor) -> Tensor:
    """Return the rank of each value, from 1; equal values share the mean of their ranks."""
    flat = values.flatten()
    below, equal = (flat < flat[:, None]).sum(1), (flat == flat[:, None]).sum(1)
    return below + (equal + 1) / 2


def _spearman(one: Tensor, other: Tensor) -> float:
    return pearson(ranks(one), ranks(other))


def pearson(one: Tensor, other: Tensor) -> float:
    """Return the correlation of two tensors' values; nan if one is constant."""
    a, b = (t.double().flatten() - t.double().mean() for t in (one, other))
    size = float(a.norm() * b.norm())
    return float(a @ b) / size if size > 1e-9 else math.nan


def _by(ranking: Ranks) -> Callable[[Tensor, Tensor], float]:
    """Return the correlation of ranks that are made in a wrong way."""
    return lambda one, other: pearson(ranking(one.flatten()), ranking(other.flatten()))


def _ordinal(values: Tensor) -> Tensor:
    return values.argsort(stable=True).argsort(stable=True)


def _tau(one: Tensor, other: Tensor) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(one.numpy(), other.numpy()).statistic)


def _squared_differences(one: Tensor, other: Tensor) -> float:
    d = (ranks(one) - ranks(other)).double()
    n = len(d)
    return float(1 - 6 * (d * d).sum() / (n * (n * n - 1)))


def _row_by_row(one: Tensor, other: Tensor) -> float:
    rows = [_spearman(a, b) for a, b in zip(one, other, strict=True)]
    return sum(rows) / len(rows)


_TIES = "Values that are equal share the mean of their ranks, as in scipy.stats.rankdata."
SPEARMAN = Task(
    name="spearman",
    signature="spearman(first, second)",
    returns="the rank correlation of two maps, a number from -1 to 1",
    about="""
first, second: maps (H, W). Values that are equal share the mean of their ranks. For a constant map the answer is
nan: nothing can be compared.
""",
    lesson=8,
    make=_two_maps,
    right=_spearman,
    form=forms.number,
    hint="Ranks of each map, then the correlation of the ranks.",
    mistakes=[
        Mistake("not-finite", "you divide by zero where no map is constant", "Look at the denominator."),
        Mistake("no-ranks", "you correlated the values, not their ranks", "First rank each map's values."),
        pearson,
        Mistake("argsort-once", "argsort gives places, not ranks", "argsort of argsort gives ranks; or use rankdata."),
        _by(lambda v: v.argsort(stable=True)),
        _by(lambda v: v.argsort()),
        Mistake("minimum-rank", "tied values get the smallest of their ranks", _TIES),
        _by(lambda v: torch.stack([(v < x).sum() for x in v])),
        Mistake("minimum-rank", "tied values get the largest of their ranks", _TIES),
        _by(lambda v: torch.stack([(v <= x).sum() for x in v])),
        Mistake("dense-rank", "ranks are counted without gaps after ties", _TIES),
        _by(lambda v: v.unique(return_inverse=True)[1]),
        Mistake(
            "short-formula", "the formula with squared differences only holds without ties", "Correlate the ranks."
        ),
        _squared_differences,
        Mistake("absolute-result", "you took the absolute value of the correlation", "Opposite maps have -1."),
        lambda a, b: abs(_spearman(a, b)),
        Mistake("absolute-values", "you ranked the magnitudes of the values", "Rank the values with their sign."),
        lambda a, b: _spearman(a.abs(), b.abs()),
        Mistake("wrong-sign", "one of the two maps is sorted from the wrong end", "Rank both from small to large."),
        lambda a, b: -_spearman(a, b),
        Mistake("squared", "you squared the correlation", "It has a sign."),
        lambda a, b: _spearman(a, b) ** 2,
        Mistake("distance", "you returned a distance", "Maps that are alike have 1."),
        lambda a, b: 1 - _spearman(a, b),
        Mistake("kendall", "that is Kendall's tau", "Spearman is the correlation of the ranks."),
        _tau,
        Mistake("row-by-row", "you ranked each row by itself", "Flatten the maps first."),
        _row_by_row,
        Mistake("row-by-row", "you ranked along one axis only", "Flatten the maps first."),
        lambda a, b: pearson(a.argsort(-1).argsort(-1), b.argsort(-1).argsort(-1)),
        lambda a, b: pearson(a.argsort(0).argsort(0), b.argsort(0).argsort(0)),
        Mistake(
            "constant-map",
            "a constant map has no ranks to compare, so the answer is nan",
            'A number such as 0 or 1 would look like a finding: return float("nan").',
            pattern=(True, True, True, False),
        ),
        Mistake("ties", "values that are equal get different ranks", _TIES, pattern=(True, None, False, None)),
        Mistake("ties", "values that are equal get different ranks", _TIES, pattern=(True, False, None, None)),
    ],
)


check_spearman = checker(SPEARMAN)


Explain = Callable[[nn.Module, Tensor, Tensor], Tensor]


def gradient_maps(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Return input x gradient's maps (N, H, W): a method to measure.

    In double precision, so that no two pixels change places in their order when photos are explained one by one.
    """
    if target.shape != (len(x),):
        raise ValueError(f"explain takes one class a photo, target of shape ({len(x)},), not {tuple(target.shape)}.")
    x = x.double()
    return (x * of_input(copy.deepcopy(net).double(), x, target)).sum(1)


def _to_compare(n: int) -> Args:
    """A network, photos (N, 3, 8, 6) and a method; the first photos differ in their most and least likely class."""
    count = (3, 3, 2, 1)[n]
    while True:
        net = network()
        x = torch.randn(count, 3, 8, 6)
        logits = net(x)
        if count == 1 or (logits[0].argmax() != logits[1].argmax() and logits[0].argmin() != logits[1].argmin()):
            return net, x, gradient_maps


Pairs = Callable[[Tensor], Sequence[Tensor]]  # logits -> the two classes of each photo


def _most_and_least(logits: Tensor) -> Sequence[Tensor]:
    return logits.argmax(1), logits.argmin(1)


def _compared(pairs: Pairs, compare: Callable[[Tensor, Tensor], float] = _spearman) -> Callable[..., Tensor]:
    def measure(net: nn.Module, x: Tensor, explain: Explain) -> Tensor:
        first, second = (explain(net, x, classes) for classes in pairs(net(x).detach()))
        return torch.tensor([compare(a, b) for a, b in zip(first, second, strict=True)])

    return measure


_sensitivity = _compared(_most_and_least)


def _nth(n: int, m: int) -> Pairs:
    return lambda z: (z.argsort(1, descending=True)[:, n], z.argsort(1, descending=True)[:, m])


def _all_at_once(net: nn.Module, x: Tensor, explain: Explain) -> Tensor:
    first, second = (explain(net, x, classes) for classes in _most_and_least(net(x).detach()))
    return torch.full((len(x),), _spearman(first, second))


def _neighbours(net: nn.Module, x: Tensor, explain: Explain) -> Tensor:
    maps = explain(net, x, net(x).argmax(1))
    return torch.tensor([_spearman(a, b) for a, b in zip(maps, maps.roll(1, 0), strict=True)])


_LEAST = "Ask for logits.argmax(1) and logits.argmin(1)."
CLASS_SENSITIVITY = Task(
    name="class sensitivity",
    signature="class_sensitivity(net, x, explain)",
    returns="(N,), one rank correlation a photo",
    about="""
net: a classifier, x -> logits (N, classes). x: photos (N, C, H, W). explain: a method, ``explain(net, x, target)``
-> maps (N, H, W), with one class a photo in target (N,). The two maps of a photo that are compared are those of its
most and its least likely class. The result is a tensor, an array or a list. ``posgrad_edu.metrics.spearman`` may
be used.
""",
    lesson=8,
    make=_to_compare,
    right=_sensitivity,
    form=forms.numbers,
    hint="For each photo: two maps, of the most and of the least likely class, and their rank correlation.",
    mistakes=[
        Mistake("runner-up", "you compared the most likely class with the second, not with the least likely", _LEAST),
        _compared(_nth(0, 1)),
        Mistake("wrong-end", "you compared the two least likely classes", _LEAST),
        _compared(_nth(-1, -2)),
        Mistake("wrong-end", "you compared the least likely class with the second", _LEAST),
        _compared(_nth(-1, 1)),
        Mistake("wrong-end", "you compared the most likely class with the last but one", _LEAST),
        _compared(_nth(0, -2)),
        Mistake("same-class", "you compared a map with itself", _LEAST),
        _compared(_nth(0, 0)),
        Mistake("by-index", "you compared the first class with the last, whatever the network says", _LEAST),
        _compared(lambda z: (torch.zeros_like(z.argmax(1)), torch.full_like(z.argmax(1), z.shape[1] - 1))),
        Mistake("by-index", "you compared the first class with the second, whatever the network says", _LEAST),
        _compared(lambda z: (torch.zeros_like(z.argmax(1)), torch.ones_like(z.argmax(1)))),
        Mistake("by-index", "you compared the most likely class with the first of the list", _LEAST),
        _compared(lambda z: (z.argmax(1), torch.zeros_like(z.argmax(1)))),
        Mistake(
            "by-magnitude",
            "you took the logit nearest zero for the least likely class",
            "A large negative logit is the least likely: argmin of the logits, not of their magnitudes.",
        ),
        _compared(lambda z: (z.argmax(1), z.abs().argmin(1))),
        Mistake("by-magnitude", "you sorted the logits by magnitude", "argmax and argmin of the logits themselves."),
        _compared(lambda z: (z.abs().argmax(1), z.abs().argmin(1))),
        Mistake(
            "first-photo-classes",
            "you asked all photos about the classes of the first one",
            "Each photo has a most and a least likely class of its own.",
        ),
        _compared(lambda z: (z.argmax(1)[:1].expand(len(z)), z.argmin(1)[:1].expand(len(z)))),
        Mistake(
            "batch-mixed",
            "you took the most and least likely class of the whole batch",
            "argmax(1): each photo has its own.",
        ),
        _compared(lambda z: (z.mean(0).argmax().expand(len(z)), z.mean(0).argmin().expand(len(z)))),
        Mistake("batch-mixed", "you ranked the maps of all photos together", "One number a photo."),
        _all_at_once,
        Mistake("batch-mixed", "you ranked the maps of all photos together", "One number for each photo."),
        lambda *a: _all_at_once(*a)[0],
        lambda *a: _all_at_once(*a)[:1],
        Mistake("photos-compared", "you compared the maps of two photos", "Two classes of one photo."),
        _neighbours,
        Mistake("averaged", "you averaged over the photos", "One number for each photo."),
        lambda *a: _sensitivity(*a).mean(),
        Mistake("no-ranks", "you correlated the values, not their ranks", "Use the rank correlation."),
        _compared(_most_and_least, pearson),
        Mistake("cosine", "you took the cosine of the maps, not their rank correlation", "Use the rank correlation."),
        _compared(_most_and_least, lambda a, b: float(torch.cosine_similarity(a.flatten(), b.flatten(), 0))),
        Mistake(
            "absolute-values",
            "you compared the magnitudes of the maps",
            "Magnitudes hide a reversed sign, which is the best that a map can do here.",
        ),
        _compared(_most_and_least, lambda a, b: _spearman(a.abs(), b.abs())),
        Mistake(
            "positive-values",
            "you compared the positive parts of the maps",
            "Evidence against the class is a part of the answer.",
        ),
        _compared(_most_and_least, lambda a, b: _spearman(a.relu(), b.relu())),
        Mistake("absolute-result", "you took the absolute value of the correlation", "Opposite maps have -1."),
        lambda *a: _sensitivity(*a).abs(),
        Mistake("distance", "you returned 1 - correlation", "Maps that are alike have 1."),
        lambda *a: 1 - _sensitivity(*a),
    ],
)


check_class_sensitivity = checker(CLASS_SENSITIVITY)
