"""LRP: how a residual addition hands the relevance of its sum to the two tensors that it adds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from posgrad_edu.checks.engine import forms
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES
from posgrad_edu.checks.engine.mutations import with_argument
from posgrad_edu.checks.engine.task import Args, Mistake, Task

Both = tuple[Tensor, Tensor]


def _summands(n: int) -> Args:
    """Two summands and the relevance of their sum, (N, 4, 3, 5), and epsilon; some sums are exactly zero."""
    a, b = torch.randn(2, BATCHES[n], 4, 3, 5)
    b[:, 0, 0, :2] = -a[:, 0, 0, :2]  # what cancels
    a[:, 1, 0, 0] = b[:, 1, 0, 0] = 0.0  # and what isn't there at all
    return a, b, torch.randn(BATCHES[n], 4, 3, 5), (0.25, 0.5, 0.125, 0.25)[n]


def _steady(z: Tensor, epsilon: float) -> Tensor:
    return z + torch.where(z < 0, -epsilon, epsilon)


def _addition(a: Tensor, b: Tensor, r: Tensor, e: float) -> Both:
    each = r / _steady(a + b, e)
    return a * each, b * each


def _by(denominator: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[..., Both]:
    """Return the rule with another denominator; nothing is handed out where the summand is zero as well."""

    def rule(a: Tensor, b: Tensor, r: Tensor, e: float) -> Both:
        each = r / denominator(a, b, e)
        return a * each, b * each

    return rule


def _remainder(a: Tensor, b: Tensor, r: Tensor, e: float) -> Both:
    first, _ = _addition(a, b, r, e)
    return first, r - first


def _whole(values: Tensor) -> Tensor:
    """Return each photo's sum over all positions."""
    return values.sum((1, 2, 3), keepdim=True)


def _stronger(a: Tensor, b: Tensor, r: Tensor, e: float) -> Both:
    return r * (a.abs() > b.abs()), r * (a.abs() <= b.abs())


_SHARE = "The first summand's share is a / (a + b + epsilon * sign(a + b)), the second's has b above the line."
_SIGNED = "The sum and its parts keep their sign: a summand that works against the sum gets a negative share."
_ZERO = "sign(0) is +1 here: torch.where(total < 0, -epsilon, epsilon)."
_OWN = ("epsilon-missing", "you didn't use the epsilon that you were given", _SHARE)
LRP_ADDITION = Task(
    name="lrp addition",
    signature="lrp_addition(a, b, relevance, epsilon)",
    returns="relevance of a and relevance of b, both of their shape",
    about="""
a and b: what a residual addition adds, (N, C, h, w), of either sign. relevance: that of the sum. Position by
position a receives the share a / (a + b + epsilon * sign(a + b)) and b the same with b above the line; sign(0) is
+1, so where the two cancel the denominator is epsilon.
""",
    lesson=7,
    make=_summands,
    right=_addition,
    form=forms.tensors,
    hint=_SHARE,
    mistakes=[
        Mistake(
            "passed-to-both",
            "each summand got the whole relevance: that doubles it",
            "That is the derivative of an addition; relevance is shared out instead.",
        ),
        lambda a, b, r, e: (r, r),
        Mistake(
            "halved",
            "each summand got half of the relevance",
            "Who has given more to the sum gets more of its relevance.",
        ),
        lambda a, b, r, e: (r / 2, r / 2),
        Mistake("swapped", "each summand got the other one's share", "The first result belongs to a."),
        lambda a, b, r, e: _addition(b, a, r, e),
        Mistake(
            "epsilon-sign",
            "you added epsilon without the sign of the sum",
            "For a negative sum, subtract it: or the denominator moves towards zero.",
        ),
        _by(lambda a, b, e: a + b + e),
        Mistake(
            "epsilon-sign",
            "you subtracted epsilon where it should be added",
            "epsilon moves the denominator away from zero.",
        ),
        _by(lambda a, b, e: a + b - e),
        Mistake(
            "epsilon-sign",
            "epsilon moves your denominator towards zero instead of away from it",
            "Add it with the sign of the sum.",
        ),
        _by(lambda a, b, e: _steady(a + b, -e)),
        Mistake("sign-of-zero", "where the summands cancel, your epsilon is zero as well", _ZERO),
        _by(lambda a, b, e: a + b + e * torch.sign(a + b)),
        Mistake("sign-of-zero", "where the summands cancel, you hand out nothing", _ZERO),
        _by(lambda a, b, e: torch.where(a + b == 0, torch.inf, _steady(a + b, e))),
        Mistake("sign-of-zero", "where the summands cancel, your epsilon has the wrong sign", _ZERO),
        _by(lambda a, b, e: a + b + torch.where(a + b > 0, e, -e)),
        Mistake("epsilon-of-one", "you took epsilon with the sign of a summand instead of the sum's", _SHARE),
        _by(lambda a, b, e: a + b + torch.where(a < 0, -e, e)),
        Mistake(
            "epsilon-of-one",
            "each share has a denominator of its own: epsilon got the sign of that summand",
            "Both shares have one denominator: the sum, moved away from zero.",
        ),
        lambda a, b, r, e: (a * r / (a + b + torch.where(a < 0, -e, e)), b * r / (a + b + torch.where(b < 0, -e, e))),
        Mistake(*_OWN),
        _by(lambda a, b, e: a + b),
        _by(lambda a, b, e: torch.where(a + b == 0, torch.inf, a + b)),
        Mistake("epsilon-missing", "you used a number of your own instead of epsilon", _SHARE),
        *(with_argument(_addition, 3, own) for own in (1e-6, 1e-9)),
        Mistake("epsilon-clamp", "you cut the denominator off at epsilon", "Add it with the sign of the sum."),
        _by(lambda a, b, e: (a + b).clamp(min=e)),
        Mistake("absolute-shares", "you shared out by magnitudes", _SIGNED),
        lambda a, b, r, e: _addition(a.abs(), b.abs(), r, e),
        lambda a, b, r, e: (a.abs() * r / _steady(a + b, e), b.abs() * r / _steady(a + b, e)),
        Mistake("absolute-denominator", "you took absolute values in the denominator", _SIGNED),
        _by(lambda a, b, e: a.abs() + b.abs() + e),
        Mistake("absolute-denominator", "you took the absolute value of the sum", _SIGNED),
        _by(lambda a, b, e: (a + b).abs() + e),
        Mistake("positive-only", "you kept positive summands only", _SIGNED),
        lambda a, b, r, e: _addition(a.relu(), b.relu(), r, e),
        Mistake("positive-only", "you dropped negative sums", _SIGNED),
        _by(lambda a, b, e: (a + b).relu() + e),
        Mistake("positive-only", "you dropped the negative relevance", "Relevance keeps its sign."),
        lambda a, b, r, e: _addition(a, b, r.relu(), e),
        Mistake(
            "remainder",
            "the second summand got all that the first didn't",
            "What epsilon takes goes to nobody: each summand gets its own share.",
        ),
        _remainder,
        Mistake(
            "remainder",
            "the first summand got all that the second didn't",
            "What epsilon takes goes to nobody: each summand gets its own share.",
        ),
        lambda a, b, r, e: _remainder(b, a, r, e)[::-1],
        Mistake("winner-takes-all", "the stronger summand got everything", _SHARE),
        _stronger,
        Mistake("not-divided", "you didn't divide by the sum", _SHARE),
        lambda a, b, r, e: (a * r, b * r),
        Mistake("multiplied", "you multiplied by the sum instead of dividing", _SHARE),
        lambda a, b, r, e: (a * r * (a + b), b * r * (a + b)),
        Mistake("input-missing", "you divided by the sum, but didn't multiply by the summand", _SHARE),
        lambda a, b, r, e: (r / _steady(a + b, e), r / _steady(a + b, e)),
        Mistake(
            "all-positions",
            "you compared the summands as a whole instead of value by value",
            "Each position has a sum of its own: no sum() is needed.",
        ),
        lambda a, b, r, e: _addition(_whole(a), _whole(b), r, e),
        Mistake(
            "all-positions",
            "you divided by a sum over all positions",
            "Each position has a sum of its own: no sum() is needed.",
        ),
        _by(lambda a, b, e: _steady(_whole(a + b), e)),
        Mistake("batch-mixed", "you added up over the batch", "Each photo has sums of its own."),
        _by(lambda a, b, e: _steady((a + b).sum(0, keepdim=True), e)),
    ],
)


check_lrp_addition = checker(LRP_ADDITION)
