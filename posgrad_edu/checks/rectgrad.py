"""RectGrad's rule for one ReLU: the largest contributions pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES, handling
from posgrad_edu.checks.engine.mutations import handling_ignored, swapped, then, with_argument
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task
from posgrad_edu.handling import Handling

Size = Callable[[Tensor, Tensor, Handling], Tensor]  # gradients, activations, handling -> what is held against
Threshold = Callable[[Tensor, float], Tensor]  # the sizes, q -> the threshold


def _contributions(n: int) -> Args:
    """Gradients and activations (N, 4, 4, 6) of one ReLU, a handling, and q; q times the values is a whole number."""
    shape = (BATCHES[n], 4, 4, 6)
    size = 0.5 + 3 * torch.rand(BATCHES[n], 1, 1, 1)  # so that photos, and channels, need thresholds of their own
    strength = 0.5 + 2 * torch.rand(1, 4, 1, 1)
    gradient = size * strength * torch.randn(shape)
    a = (1 + torch.randn(shape)).relu()
    if n == 2:
        a[0] += 0.1  # all gates open, so that not even the smallest contribution is 0
    return gradient, a, handling(n), (0.875, 0.625, 0.0, 0.9375)[n]


def _gate(a: Tensor) -> Tensor:
    return (a > 0).to(a)


def _contribution(g: Tensor, a: Tensor, h: Handling) -> Tensor:
    return (a * h(g)).abs()


def _per_photo(values: Tensor, q: float, later: int = 0) -> Tensor:
    flat = values.flatten(1)
    rank = min(math.ceil(q * flat.shape[1]) + later, flat.shape[1]) if q else 0
    found = flat.kthvalue(rank).values if rank else flat.new_zeros(len(flat))
    return found.reshape(-1, 1, 1, 1)


def _smallest_for_zero(values: Tensor, q: float) -> Tensor:
    """The quantile; for q = 0 the smallest value, which nothing but a contribution of 0 makes 0."""
    return values.flatten(1).quantile(q, dim=1).reshape(-1, 1, 1, 1)


def _by_channel(values: Tensor, q: float) -> Tensor:
    return values.flatten(2).quantile(q, dim=2)[:, :, None, None]


def _above_open(values: Tensor, q: float) -> Tensor:
    """Return the quantile among the values that aren't 0."""
    rows = [row[row > 0] for row in values.flatten(1)]
    return torch.stack([row.quantile(q) if q else row.new_zeros(()) for row in rows]).reshape(-1, 1, 1, 1)


def _rectgrad(
    g: Tensor,
    a: Tensor,
    h: Handling,
    q: float,
    size: Size = _contribution,
    threshold: Threshold = _per_photo,
    passes: Callable[[Tensor, Tensor], Tensor] = torch.gt,
    gate: Callable[[Tensor], Tensor] = _gate,
) -> Tensor:
    values = size(g, a, h)
    return h(g) * gate(a) * passes(values, threshold(values, q))


def _cut_at(threshold: Threshold) -> Function:
    return partial(_rectgrad, threshold=threshold)


def _with_any_gate(**others: Any) -> list[Function]:
    """Return the rule with the ReLU's gate, and with all gates open."""
    return [partial(_rectgrad, **others), partial(_rectgrad, gate=torch.ones_like, **others)]


_SIZE = "Hold abs(activations * handling(gradients)) against its own quantile."
_EACH_PHOTO = "Each photo has a threshold of its own, over all its values: flatten(1) first, closed gates too."
_MAGNITUDE = "With signed handling large negative contributions pass, too."
_QUANTILE = "The threshold is the quantile q: q is the share of the values that is cut."
_PASSES = "Contributions decide what passes; what passes is handling(gradients), as they are."
_ABOVE = "What is above the threshold passes."
_STRICT = "Above it means >, not >=."
RECTGRAD = Task(
    name="rectgrad",
    signature="rectgrad(gradients, activations, handling, q)",
    returns="gradients that pass downwards, (N, C, h, w)",
    about="""
The way back through one ReLU. gradients: what arrives from above, (N, C, h, w). activations: the ReLU's output.
handling: a function such as ``pg.POSITIVE``. q: the share of the contributions abs(activations *
handling(gradients)) that is cut in each photo; what passes is handling(gradients), where the contribution is above
(>) the photo's quantile q. For q = 0 the threshold is 0.
""",
    lesson=9,
    make=_contributions,
    right=_rectgrad,
    mistakes=[
        *handling_ignored(_rectgrad, _SIZE, place=2),
        Mistake("batch-mixed", "you took one threshold for the whole batch", _EACH_PHOTO),
        _cut_at(lambda values, q: _per_photo(values.reshape(1, -1, 1, 1), q)),
        Mistake("first-photo-only", "you held all photos against the first one's threshold", _EACH_PHOTO),
        _cut_at(lambda values, q: _per_photo(values[:1], q)),
        _cut_at(lambda values, q: _smallest_for_zero(values[:1], q)),
        Mistake("per-channel", "you took one threshold for each channel", _EACH_PHOTO),
        _cut_at(_by_channel),
        _cut_at(lambda values, q: _by_channel(values, q) * (q > 0)),
        Mistake("threshold-of-gradients", "you held the gradients against a threshold", _SIZE),
        *_with_any_gate(size=lambda g, a, h: h(g).abs()),
        partial(_rectgrad, size=lambda g, a, h: h(g).abs(), threshold=_smallest_for_zero),
        partial(_rectgrad, size=lambda g, a, h: (h(g) * _gate(a)).abs()),
        *_with_any_gate(size=lambda g, a, h: h(g)),
        Mistake("threshold-of-activations", "you held the activations against a threshold", _SIZE),
        partial(_rectgrad, size=lambda g, a, h: a),
        Mistake("not-absolute", "you left out the absolute value of the contributions", _MAGNITUDE),
        *_with_any_gate(size=lambda g, a, h: a * h(g)),
        partial(_rectgrad, size=lambda g, a, h: (a * h(g)).relu()),
        Mistake("handled-too-late", "the threshold comes from contributions that weren't handled", _SIZE),
        *_with_any_gate(size=lambda g, a, h: (a * g).abs()),
        Mistake("wrong-end", "you kept the smallest contributions instead of the largest", _ABOVE),
        *_with_any_gate(passes=torch.le),
        *_with_any_gate(passes=torch.lt),
        Mistake("wrong-share", "you kept the share q instead of cutting it", _QUANTILE),
        lambda g, a, h, q: _rectgrad(g, a, h, 1 - q),
        lambda g, a, h, q: _rectgrad(g, a, h, 1 - q if q else 0.0),
        Mistake("wrong-share", "you cut more, or fewer, values than the share q", _QUANTILE),
        _cut_at(partial(_per_photo, later=1)),
        _cut_at(partial(_per_photo, later=2)),
        _cut_at(lambda values, q: _per_photo(values, q * q)),
        _cut_at(lambda values, q: _per_photo(values, math.sqrt(q))),
        _cut_at(lambda values, q: _per_photo(values, q / 2)),
        Mistake("own-share", "you always cut the same share, whatever q", "Use the argument q."),
        *(with_argument(_rectgrad, 3, q) for q in (0.5, 0.75, 0.8, 0.9, 0.95, 0.98)),
        Mistake("q-as-threshold", "you took q itself as the threshold", _QUANTILE),
        _cut_at(lambda values, q: torch.full_like(values, q)),
        Mistake("zero-share", "for q = 0 you cut the smallest contribution; there the threshold is 0", _ABOVE),
        _cut_at(_smallest_for_zero),
        Mistake("other-statistic", "your threshold is a mean, not a quantile", _QUANTILE),
        _cut_at(lambda values, q: values.mean((1, 2, 3), keepdim=True)),
        _cut_at(lambda values, q: q * values.mean((1, 2, 3), keepdim=True)),
        Mistake("added", "you added activations and gradients instead of multiplying", _SIZE),
        *_with_any_gate(size=lambda g, a, h: (a + h(g)).abs()),
        *_with_any_gate(size=lambda g, a, h: a + h(g)),
        Mistake("arguments-swapped", "activations and gradients are swapped", "The gradients come first."),
        swapped(_rectgrad),
        Mistake("activations-returned", "you let activations pass instead of gradients", _PASSES),
        lambda g, a, h, q: a * (_rectgrad(g, a, h, q) != 0),
        Mistake("unhandled-returned", "the gradients that pass aren't handled", _PASSES),
        lambda g, a, h, q: g * (_rectgrad(g, a, h, q) != 0),
        Mistake("open-gates-only", "you took the quantile among the open gates only", _EACH_PHOTO),
        _cut_at(_above_open),
        Mistake("contribution-returned", "you returned the contributions instead of the gradients", _PASSES),
        lambda g, a, h, q: a * _rectgrad(g, a, h, q),
        Mistake("mask-returned", "you returned the mask", _PASSES),
        then(_rectgrad, lambda passed: (passed != 0).float()),
        Mistake("not-strict", "you let through what equals the threshold, perhaps closed gates with it", _STRICT),
        *_with_any_gate(passes=torch.ge),
        Mistake("not-strict", "for q = 0 you let closed gates through, whose contribution is 0", _STRICT),
        partial(_rectgrad, passes=torch.ge, gate=torch.ones_like, threshold=_smallest_for_zero),
        lambda g, a, h, q: _rectgrad(g, a, h, q) if q else h(g),
        Mistake("no-threshold", "nothing is cut: that is guided backprop", _ABOVE),
        with_argument(_rectgrad, 3, 0.0),
        Mistake("fraction-of-largest", "your threshold is a fraction of the largest contribution", _QUANTILE),
        _cut_at(lambda values, q: q * values.amax((1, 2, 3), keepdim=True)),
        Mistake("threshold-subtracted", "you subtracted the threshold from what passes", _PASSES),
        lambda g, a, h, q: (_contribution(g, a, h) - _per_photo(_contribution(g, a, h), q)).relu(),
    ],
)
check_rectgrad = checker(RECTGRAD)
