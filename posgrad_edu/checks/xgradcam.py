"""XGradCAM: a channel's weight counts each position by its share of the channel's activation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from posgrad_edu.checks.engine.changes import over
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.draw import until
from posgrad_edu.checks.engine.given import BATCHES, handling
from posgrad_edu.checks.engine.mutations import swapped
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task
from posgrad_edu.checks.gradcam import ORDER, SPACE, TIMES, cam, mean, shared, total
from posgrad_edu.handling import SIGNED, Handling

# The size of the last try's activations: an epsilon that is harmless beside 20 isn't beside 1e-5. Gradients are larger.
SMALL = 2.0**-20


def _steady(values: Tensor) -> bool:
    """Whether no sum that somebody may divide by is next to zero: rounding would blur what is compared."""
    axes = (SPACE, (1,), (2,), (3,))
    return all(float(values.sum(axis).abs().min()) > 0.02 * float(values.abs().mean()) for axis in axes)


def _layer(n: int) -> Args:
    """Activations, gradients (N, 5, 4, 6) and a handling.

    Activations are positive, as after a ReLU; in the third try of both signs, also in sum. In the second and last try a
    channel of each photo is silent. In the last one, another channel's activations add up to exactly zero: they are
    multiples of 1/8, which any order adds up without rounding.
    """
    shape = (BATCHES[n], 5, 4, 6)
    a = until(_steady, lambda: torch.randn(shape) if n == 2 else torch.rand(shape) + 0.1)
    g = until(_steady, lambda: torch.randn(shape))
    if n % 2:
        silent = torch.stack([torch.randperm(4) for _ in a])[:, 0]
        a[torch.arange(len(a)), silent] = 0
    if n == 3:
        half = torch.randint(1, 9, (len(a), 12)) / 8
        a[:, 4] = torch.cat([half, -half], 1)[:, torch.randperm(24)].reshape(len(a), 4, 6)
        a, g = a * SMALL, g / SMALL
    return a, g, handling(n)


def _shares(a: Tensor, axes: tuple[int, ...] = SPACE) -> Tensor:
    return over(a, total(a, axes))


def _shares_above(least: float, a: Tensor) -> Tensor:
    return _shares(a) * (total(a).abs() > least)


def _weights(a: Tensor, g: Tensor, h: Handling, shares: Callable[[Tensor], Tensor] = _shares) -> Tensor:
    return total(shares(a) * h(g))


def _with(shares: Callable[[Tensor], Tensor]) -> Function:
    return cam(partial(_weights, shares=shares))


def _shares_of(*axes: int) -> Function:
    return _with(partial(_shares, axes=axes))


def _with_epsilon(epsilon: float) -> Function:
    return _with(lambda a: a / (total(a) + epsilon))


_ONE = "The shares of one channel of one photo add up to 1: divide by activations.sum((2, 3), keepdim=True)."
_SIGN = "A layer without a ReLU has negative activations, and their sum may be negative: divide by the sum as it is."
_ZERO = "Only where the sum is exactly 0 the weight is 0: decide by sum == 0 with torch.where, before you divide."
_BELOW_ZERO = "channels whose activations add up to less than zero have gone wrong"
_CLAMP = f"clamp(min=...) turns a negative sum into a tiny positive one. {_ZERO}"
_CANCEL = "right but for a channel whose positive and negative activations cancel"
_NO_REPAIR = f"{_ZERO} An epsilon, or replacing inf and nan afterwards, makes something else there."
_AS_IT_IS = "Activations can be small, too: divide by the sum as it is, and decide what happens where it is 0."
_SHARED = "The activations of the shares, and those that the weights multiply, stay as they are."
_EACH = "Shares times handled gradients, added up over the positions without a mean: one weight a channel."
XGRADCAM = Task(
    name="xgradcam",
    signature="xgradcam(activations, gradients, handling)",
    returns="maps (N, h, w)",
    about="""
As for ``check_gradcam``; here the weight of a channel is the sum over its positions of handling(gradients), each
counted by its share of the channel's activation: A / S, with S the sum of A over the positions. Where S is exactly
0 the weight is 0, whether the channel is silent or its activations cancel. The map is raw and signed.
""",
    lesson=2,
    make=_layer,
    right=cam(_weights),
    mistakes=[
        Mistake("not-finite", "a channel is silent, and you divided zero by zero there", _ZERO),
        Mistake("plain-mean", "you averaged over the positions with equal weights: that is GradCAM", _EACH),
        cam(lambda a, g, h: mean(h(g))),
        Mistake("wrong-axis", "your shares add up to 1 over the channels, at each position", _ONE),
        _shares_of(1),
        Mistake("wrong-axis", "your shares add up to 1 over all channels and positions together", _ONE),
        _shares_of(1, 2, 3),
        Mistake("wrong-axis", "your shares add up to 1 over one of the two axes of positions", _ONE),
        _shares_of(2),
        _shares_of(3),
        Mistake("batch-mixed", "your shares add up to 1 over all photos of the batch", _ONE),
        _shares_of(0, 2, 3),
        Mistake("batch-mixed", "you added up the weights of all photos of the batch", "Sum over the last two axes."),
        cam(lambda a, g, h: total(_shares(a) * h(g), (0, 2, 3))),
        Mistake("divided-again", "you divided by the number of positions as well", _EACH),
        cam(lambda a, g, h: mean(_shares(a) * h(g))),
        Mistake("mean-for-sum", "you divided by the mean of the activations instead of their sum", _ONE),
        _with(lambda a: over(a, mean(a))),
        Mistake("total-missing", "you didn't divide by the sum of the channel's activations", _ONE),
        _with(lambda a: a),
        Mistake("multiplied", "you multiplied by the sum of the channel's activations instead of dividing", _ONE),
        _with(lambda a: a * total(a)),
        Mistake("activations-missing", "you divided the gradients, not the activations, by the sum", _ONE),
        _with(lambda a: over(torch.ones_like(a), total(a))),
        Mistake("sum-squared", "you divided by the square of the sum", _ONE),
        _with(lambda a: over(a, total(a) ** 2)),
        Mistake("squared", "the activations of the shares are squared", _ONE),
        _with(lambda a: over(a * a, total(a))),
        _with(lambda a: _shares(a * a)),
        Mistake("sum-of-gradients", "your shares are of the sum of the gradients", _ONE),
        cam(lambda a, g, h: total(over(a, total(h(g))) * h(g))),
        cam(lambda a, g, h: total(over(a, total(g)) * h(g))),
        Mistake("largest-position", "you took the largest product over the positions instead of their sum", _EACH),
        cam(lambda a, g, h: (_shares(a) * h(g)).amax(SPACE, keepdim=True)),
        cam(lambda a, g, h: over((a * h(g)).amax(SPACE, keepdim=True), total(a))),
        Mistake("added", "you added shares and gradients instead of multiplying", _EACH),
        cam(lambda a, g, h: total(_shares(a) + h(g))),
        cam(lambda a, g, h: over(total(a + h(g)), total(a))),
        Mistake("sum-as-weight", "your weight is the sum of the channel's activations itself", _EACH),
        cam(lambda a, g, h: total(a)),
        Mistake("sums-apart", "you added up activations and gradients apart, and multiplied their sums", _EACH),
        cam(lambda a, g, h: total(a) * total(h(g))),
        Mistake("plain-sum", "you added up the gradients with equal weights: that is GradCAM, scaled", _EACH),
        cam(lambda a, g, h: total(h(g))),
        Mistake("magnitudes", "your shares are of the sum of the magnitudes", _SIGN),
        _with(lambda a: over(a, total(a.abs()))),
        Mistake("magnitudes", "you divided the magnitudes by the sum of the magnitudes", _SIGN),
        _with(lambda a: _shares(a.abs())),
        Mistake("magnitudes", "you divided by the magnitude of the sum", _SIGN),
        _with(lambda a: over(a, total(a).abs())),
        Mistake("negative-sum", "you gave the weight 0 to channels whose sum is negative", _ZERO),
        _with(lambda a: over(a, total(a).relu())),
        Mistake("negative-sum", _BELOW_ZERO, _CLAMP, pattern=(True, True, False, False)),
        Mistake("other-shares", "you took a softmax over the positions for the shares", _ONE),
        _with(lambda a: a.flatten(2).softmax(2).reshape(a.shape)),
        Mistake("other-shares", "you divided by the largest activation instead of the sum", _ONE),
        _with(lambda a: over(a, a.amax(SPACE, keepdim=True))),
        Mistake("threshold", "you gave the weight 0 to channels whose sum is small, but not 0", _AS_IT_IS),
        *(_with(partial(_shares_above, 10.0**-n)) for n in range(1, 5)),
        Mistake("epsilon", "you added an epsilon to the denominator that changes the weights", _AS_IT_IS),
        *(_with_epsilon(10.0**-n) for n in range(10)),
        Mistake("cancelling", _CANCEL, _NO_REPAIR, pattern=(True, True, True, False)),
        Mistake("handled-too-late", "you handled the finished weights instead of the gradients", ORDER),
        cam(lambda a, g, h: h(_weights(a, g, SIGNED))),
        Mistake("handled-too-late", "you handled shares times gradients: a share can be negative, too", ORDER),
        cam(lambda a, g, h: total(h(_shares(a) * g))),
        Mistake("handled-result", "you handled the channels' products instead of the gradients", ORDER),
        lambda a, g, h: h(_weights(a, g, SIGNED) * a).sum(1),
        Mistake("handled-activations", "you handled all activations", _SHARED),
        lambda a, g, h: cam(_weights)(h(a), g, SIGNED),
        lambda a, g, h: cam(_weights)(h(a), g, h),
        Mistake("handled-activations", "you handled the activations of the shares", _SHARED),
        cam(lambda a, g, h: _weights(h(a), g, h)),
        cam(lambda a, g, h: _weights(h(a), g, SIGNED)),
        Mistake("layercam", "you multiplied position by position, as LayerCAM does", _EACH),
        cam(lambda a, g, h: h(g)),
        Mistake("no-sum", "you didn't add up shares times gradients over the positions", _EACH),
        cam(lambda a, g, h: _shares(a) * h(g)),
        Mistake("activations-missing", "you left out the activations that the weights multiply", TIMES),
        lambda a, g, h: (_shares(a) * h(g)).sum(1),
        Mistake("gradients-missing", "the gradients are missing from the weights", _EACH),
        cam(lambda a, g, h: _weights(a, torch.ones_like(g), SIGNED)),
        Mistake("arguments-swapped", "gradients and activations are swapped", "The shares are of the activation."),
        swapped(cam(_weights)),
        *shared(_weights),
    ],
)
check_xgradcam = checker(XGRADCAM)
