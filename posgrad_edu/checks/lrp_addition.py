"""LRP: how a residual addition hands the relevance of its sum to the two tensors that it adds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from posgrad_edu.checks.engine import forms
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES
from posgrad_edu.checks.engine.mutations import on_arguments, swapped
from posgrad_edu.checks.engine.task import Args, Mistake, Task
from posgrad_edu.checks.lrp import Denominator, Two, away_from_zero, wrong_denominators

Both = tuple[Tensor, Tensor]


def _summands(n: int) -> Args:
    """Two summands and the relevance of their sum, (N, 4, 3, 5), and epsilon; some sums are exactly zero."""
    a, b = torch.randn(2, BATCHES[n], 4, 3, 5)
    b[:, 0, 0, :2] = -a[:, 0, 0, :2]  # what cancels
    a[:, 1, 0, 0] = b[:, 1, 0, 0] = 0.0  # and what isn't there at all
    return a, b, torch.randn(BATCHES[n], 4, 3, 5), (0.25, 0.5, 0.125, 0.25)[n]


def _addition(
    a: Tensor, b: Tensor, r: Tensor, e: float, below: Denominator = away_from_zero, times: Two = torch.mul
) -> Both:
    each = r / below(a + b, e)
    return times(a, each), times(b, each)


def _by_summands(below: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[..., Both]:
    """Return the rule with denominators made of a summand, the other one and epsilon."""
    return lambda a, b, r, e: (a * r / below(a, b, e), b * r / below(b, a, e))


def _remainder(a: Tensor, b: Tensor, r: Tensor, e: float) -> Both:
    first, _ = _addition(a, b, r, e)
    return first, r - first


def _with_sign(z: Tensor, e: float) -> Tensor:
    return torch.where(z < 0, -e, e)


def _over_channels(values: Tensor) -> Tensor:
    return values.sum(1, keepdim=True)


def _whole(values: Tensor) -> Tensor:
    """Return each photo's sum over all positions."""
    return values.sum((1, 2, 3), keepdim=True)


_SHARE = "The first summand's share is a / (a + b + epsilon * sign(a + b)), the second's has b above the line."
_DERIVATIVE = "That is the derivative of an addition; relevance is shared out instead."
_SIGNED = "The sum and its parts keep their sign: a summand that works against the sum gets a negative share."
_ONE = "Both shares have one denominator: the sum, moved away from zero."
_TAKEN = "What epsilon takes goes to nobody: each summand gets its own share."
_POSITIONS = "Each position has a sum of its own: no sum() is needed."
LRP_ADDITION = Task(
    name="lrp addition",
    signature="lrp_addition(a, b, relevance, epsilon)",
    returns="relevance of a and relevance of b, both of their shape",
    about="""
a and b: what a residual addition adds, (N, C, h, w), of either sign. relevance: that of the sum. Position by
position a receives the share a / (a + b + epsilon * sign(a + b)) and b the same with b above the line; sign(0) is
+1, so where the two cancel the denominator is epsilon.
""",
    body="return relevance_of_a, relevance_of_b",
    lesson=10,
    make=_summands,
    right=_addition,
    form=forms.tensors,
    hint=_SHARE,
    mistakes=[
        Mistake("passed-to-both", "each summand got the whole relevance: that doubles it", _DERIVATIVE),
        lambda a, b, r, e: (r, r),
        Mistake("halved", "each summand got half of the relevance", "Who gives more to the sum gets more of it."),
        lambda a, b, r, e: (r / 2, r / 2),
        Mistake("one-passed-on", "one of the two summands got the whole relevance", _SHARE),
        lambda a, b, r, e: (r, _addition(a, b, r, e)[1]),
        lambda a, b, r, e: (_addition(a, b, r, e)[0], r),
        lambda a, b, r, e: (r, torch.zeros_like(r)),
        lambda a, b, r, e: (torch.zeros_like(r), r),
        Mistake("same-share", "both summands got the same share", "The second result has b above the line."),
        lambda a, b, r, e: (_addition(a, b, r, e)[0],) * 2,
        lambda a, b, r, e: (_addition(a, b, r, e)[1],) * 2,
        Mistake("difference", "you divided by the difference of the summands", _ONE),
        _by_summands(lambda one, other, e: away_from_zero(one - other, e)),
        lambda a, b, r, e: _addition(a, b, r, e, below=lambda z, e: away_from_zero(a - b, e)),
        lambda a, b, r, e: _addition(a, -b, r, e),
        Mistake("one-summand", "you divided by one of the summands instead of their sum", _ONE),
        lambda a, b, r, e: _addition(a, b, r, e, below=lambda z, e: away_from_zero(a, e)),
        lambda a, b, r, e: _addition(a, b, r, e, below=lambda z, e: away_from_zero(b, e)),
        lambda a, b, r, e: _addition(a, b, r, e, below=lambda z, e: a + _with_sign(z, e)),
        lambda a, b, r, e: _addition(a, b, r, e, below=lambda z, e: b + _with_sign(z, e)),
        _by_summands(lambda one, other, e: away_from_zero(other, e)),
        Mistake("one-summand", "you divided each summand by itself", _ONE),
        _by_summands(lambda one, other, e: away_from_zero(one, e)),
        Mistake("product", "you divided by the product of the summands", _ONE),
        lambda a, b, r, e: _addition(a, b, r, e, below=lambda z, e: away_from_zero(a * b, e)),
        Mistake("swapped", "each summand got the other one's share", "The first result belongs to a."),
        swapped(_addition),
        *wrong_denominators(_addition, "sum", "summand", _SHARE),
        Mistake("epsilon-of-one", "you took epsilon with another sign than the sum's", _ONE),
        lambda a, b, r, e: _addition(a, b, r, e, below=lambda z, e: z + _with_sign(a * b, e)),
        lambda a, b, r, e: _addition(a, b, r, e, below=lambda z, e: z + _with_sign(a, e)),
        _by_summands(lambda one, other, e: one + other + _with_sign(one, e)),
        Mistake("absolute-shares", "you shared out by magnitudes", _SIGNED),
        on_arguments(_addition, torch.abs, 0, 1),
        partial(_addition, times=lambda summand, each: summand.abs() * each),
        Mistake("absolute-denominator", "you took absolute values in the denominator", _SIGNED),
        _by_summands(lambda one, other, e: one.abs() + other.abs() + e),
        Mistake("absolute-denominator", "you took the absolute value of the sum", _SIGNED),
        partial(_addition, below=lambda z, e: z.abs() + e),
        Mistake("positive-only", "you kept positive summands only", _SIGNED),
        on_arguments(_addition, torch.relu, 0, 1),
        Mistake("remainder", "one summand got all that the other didn't", _TAKEN),
        _remainder,
        lambda a, b, r, e: _remainder(b, a, r, e)[::-1],
        Mistake("winner-takes-all", "the stronger summand got everything", _SHARE),
        lambda a, b, r, e: (r * (a.abs() > b.abs()), r * (a.abs() <= b.abs())),
        Mistake("all-positions", "you compared the summands as a whole instead of value by value", _POSITIONS),
        on_arguments(_addition, _whole, 0, 1),
        Mistake("all-positions", "you compared the summands' sums over the channels", _POSITIONS),
        lambda *args: tuple(part.expand_as(args[2]) for part in on_arguments(_addition, _over_channels, 0, 1)(*args)),
        Mistake("all-positions", "you divided by a sum over all positions", _POSITIONS),
        partial(_addition, below=lambda z, e: away_from_zero(_whole(z), e)),
    ],
)
check_lrp_addition = checker(LRP_ADDITION)
