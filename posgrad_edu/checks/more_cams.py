"""XGradCAM: a channel's weight counts each position by its share of the channel's activation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from posgrad_edu.checks.cam import ALWAYS_POSITIVE, FORGOTTEN, SPACE
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES, handling
from posgrad_edu.checks.engine.task import Args, Mistake, Task
from posgrad_edu.handling import POSITIVE, SIGNED, Handling

SMALL = 2.0**-10  # the size of the last try's activations: an epsilon that is harmless beside 20 isn't beside 0.02


def _steady(values: Tensor) -> bool:
    """Whether no sum that somebody may divide by is next to zero: rounding would blur what is compared."""
    axes = (SPACE, (1,), (2,), (3,))
    return all(float(values.sum(axis).abs().min()) > 0.02 * float(values.abs().mean()) for axis in axes)


def _drawn(shape: tuple[int, ...], values: Callable[[], Tensor]) -> Tensor:
    while not _steady(found := values().reshape(shape)):
        pass
    return found


def _layer(n: int) -> Args:
    """Activations, gradients (N, 5, 4, 6) and a handling.

    Activations are positive, as after a ReLU; in the third try of both signs, also in sum. In the second and last try a
    channel of each photo is silent. In the last one, another channel's activations add up to exactly zero: they are
    multiples of 1/8, which any order adds up without rounding.
    """
    shape = (BATCHES[n], 5, 4, 6)
    a = _drawn(shape, lambda: torch.randn(shape) if n == 2 else torch.rand(shape) + 0.1)
    g = _drawn(shape, lambda: torch.randn(shape))
    if n % 2:
        silent = torch.stack([torch.randperm(4) for _ in a])[:, 0]
        a[torch.arange(len(a)), silent] = 0
    if n == 3:
        half = torch.randint(1, 9, (len(a), 12)) / 8
        a[:, 4] = torch.cat([half, -half], 1)[:, torch.randperm(24)].reshape(len(a), 4, 6)
        a = a * SMALL
    return a, g, handling(n)


def _over(values: Tensor, total: Tensor) -> Tensor:
    """Divide, and give 0 where the total is 0."""
    return torch.where(total == 0, 0.0, values / torch.where(total == 0, 1.0, total))


def _total(values: Tensor, axes: tuple[int, ...] = SPACE) -> Tensor:
    return values.sum(axes, keepdim=True)


def _map(shares: Tensor, handled: Tensor, activations: Tensor) -> Tensor:
    """Weight the channels by their gradients, averaged with these shares, and add them up."""
    return (_total(shares * handled) * activations).sum(1)


def _shares(a: Tensor, axes: tuple[int, ...] = SPACE) -> Tensor:
    return _over(a, _total(a, axes))


def _xgradcam(a: Tensor, g: Tensor, h: Handling) -> Tensor:
    return _map(_shares(a), h(g), a)


def _with_epsilon(a: Tensor, g: Tensor, h: Handling, epsilon: float) -> Tensor:
    return _map(a / (_total(a) + epsilon), h(g), a)


_ONE = "The shares of one channel of one photo add up to 1: divide by activations.sum((2, 3), keepdim=True)."
_SIGN = "A layer without a ReLU has negative activations, and their sum may be negative: divide by the sum as it is."
_HANDLING = "Call handling(...) on the gradients, and use what it returns."
_ORDER = "First handling(gradients), then the sum with the shares, then the sum over channels."
_ACTIVATIONS = "What the handling acts on is the gradient; the activations stay as they are."
_EACH = "Shares times handled gradients, added up over the positions: one weight a channel."

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
    right=_xgradcam,
    mistakes=[
        Mistake(
            "not-finite",
            "a channel is silent, and you divided zero by zero there",
            "Its weight is 0: decide with torch.where by the sum, before you divide.",
        ),
        Mistake(
            "plain-mean",
            "you averaged over the positions with equal weights",
            "That is GradCAM: here a position counts by its share of the channel's activation.",
        ),
        lambda a, g, h: (h(g).mean(SPACE, keepdim=True) * a).sum(1),
        Mistake("wrong-axis", "your shares add up to 1 over the channels, at each position", _ONE),
        lambda a, g, h: _map(_shares(a, (1,)), h(g), a),
        Mistake("wrong-axis", "your shares add up to 1 over all channels and positions together", _ONE),
        lambda a, g, h: _map(_shares(a, (1, 2, 3)), h(g), a),
        Mistake("wrong-axis", "your shares add up to 1 over one of the two axes of positions", _ONE),
        lambda a, g, h: _map(_shares(a, (2,)), h(g), a),
        lambda a, g, h: _map(_shares(a, (3,)), h(g), a),
        Mistake("batch-mixed", "your shares add up to 1 over all photos of the batch", _ONE),
        lambda a, g, h: _map(_shares(a, (0, 2, 3)), h(g), a),
        Mistake(
            "batch-mixed",
            "you added up the weights of all photos of the batch",
            "Each photo has weights of its own: sum over the last two axes only.",
        ),
        lambda a, g, h: (_total(_shares(a) * h(g), (0, 2, 3)) * a).sum(1),
        Mistake(
            "divided-again",
            "you divided by the number of positions as well",
            "The shares add up to 1, so they average already: sum shares times gradients, without a mean.",
        ),
        lambda a, g, h: ((_shares(a) * h(g)).mean(SPACE, keepdim=True) * a).sum(1),
        Mistake("mean-for-sum", "you divided by the mean of the activations instead of their sum", _ONE),
        lambda a, g, h: _map(_over(a, a.mean(SPACE, keepdim=True)), h(g), a),
        Mistake(
            "mean-for-sum",
            "you averaged over the channels at the end instead of adding them up",
            "Use sum over axis 1: each channel adds its evidence.",
        ),
        lambda a, g, h: _xgradcam(a, g, h) / a.shape[1],
        Mistake("total-missing", "you didn't divide by the sum of the channel's activations", _ONE),
        lambda a, g, h: _map(a, h(g), a),
        Mistake("magnitudes", "your shares are of the sum of the magnitudes", _SIGN),
        lambda a, g, h: _map(_over(a, _total(a.abs())), h(g), a),
        Mistake("magnitudes", "you divided the magnitudes by the sum of the magnitudes", _SIGN),
        lambda a, g, h: _map(_shares(a.abs()), h(g), a),
        Mistake("magnitudes", "you divided by the magnitude of the sum", _SIGN),
        lambda a, g, h: _map(_over(a, _total(a).abs()), h(g), a),
        Mistake(
            "negative-sum",
            "you gave the weight 0 to channels whose sum is negative",
            "Only where the sum is exactly 0 the weight is 0: compare with ==, not with >.",
        ),
        lambda a, g, h: _map(_over(a, _total(a).clamp(min=0)), h(g), a),
        Mistake(
            "negative-sum",
            "channels whose activations add up to less than zero have gone wrong",
            "clamp(min=...) turns a negative sum into a tiny positive one: decide by total == 0 with torch.where.",
            pattern=(True, True, False, False),
        ),
        Mistake("other-shares", "you took a softmax over the positions for the shares", _ONE),
        lambda a, g, h: _map(a.flatten(2).softmax(2).reshape(a.shape), h(g), a),
        Mistake("other-shares", "you divided by the largest activation instead of the sum", _ONE),
        lambda a, g, h: _map(_over(a, a.amax(SPACE, keepdim=True)), h(g), a),
        Mistake(
            "epsilon",
            "you added an epsilon to the denominator that is large enough to change the weights",
            "Activations can be small, too: divide by the sum as it is, and decide what happens where it is 0.",
        ),
        *(partial(_with_epsilon, epsilon=10.0**-n) for n in range(6)),
        Mistake(
            "cancelling",
            "right but for a channel whose positive and negative activations cancel",
            "Where the sum is exactly 0 the weight is 0: a tiny number added to it, or replacing inf and nan"
            " afterwards, makes something else there.",
            pattern=(True, True, True, False),
        ),
        Mistake("handled-too-late", "you handled the finished weights instead of the gradients", _ORDER),
        lambda a, g, h: (h(_total(_shares(a) * g)) * a).sum(1),
        Mistake(
            "handled-too-late",
            "you handled shares times gradients instead of the gradients",
            "A share can be negative, so the order matters: shares * handling(gradients).",
        ),
        lambda a, g, h: (_total(h(_shares(a) * g)) * a).sum(1),
        Mistake("handled-result", "you handled the finished map instead of the gradients", _ORDER),
        lambda a, g, h: h(_xgradcam(a, g, SIGNED)),
        Mistake("handled-result", "you handled the channels' products instead of the gradients", _ORDER),
        lambda a, g, h: h(_total(_shares(a) * g) * a).sum(1),
        Mistake("handled-activations", "you handled the activations instead of the gradients", _ACTIVATIONS),
        lambda a, g, h: _xgradcam(h(a), g, SIGNED),
        Mistake("handled-activations", "you handled the activations as well as the gradients", _ACTIVATIONS),
        lambda a, g, h: _xgradcam(h(a), g, h),
        Mistake("handled-activations", "you handled the activations of the shares as well", _ACTIVATIONS),
        lambda a, g, h: _map(_shares(h(a)), h(g), a),
        Mistake(
            "handled-activations", "you handled the activations of the shares instead of the gradients", _ACTIVATIONS
        ),
        lambda a, g, h: _map(_shares(h(a)), g, a),
        Mistake("handled-activations", "you handled the activations that the weights multiply", _ACTIVATIONS),
        lambda a, g, h: _map(_shares(a), g, h(a)),
        Mistake(*FORGOTTEN, _HANDLING),
        lambda a, g, h: _xgradcam(a, g, SIGNED),
        Mistake(*ALWAYS_POSITIVE, _HANDLING),
        lambda a, g, h: _xgradcam(a, g, POSITIVE),
        Mistake(
            "layercam",
            "you multiplied activations and gradients position by position",
            "That is LayerCAM: XGradCAM first makes one weight a channel.",
        ),
        lambda a, g, h: (h(g) * a).sum(1),
        Mistake("no-sum", "you didn't add up shares times gradients over the positions", _EACH),
        lambda a, g, h: (_shares(a) * h(g) * a).sum(1),
        Mistake(
            "activations-missing",
            "you left out the activations that the weights multiply",
            "Multiply each channel's activations by its weight, and add the channels up.",
        ),
        lambda a, g, h: (_shares(a) * h(g)).sum(1),
        Mistake("gradients-missing", "the gradients are missing from the weights", _EACH),
        lambda a, g, h: _map(_shares(a), torch.ones_like(g), a),
        Mistake("arguments-swapped", "gradients and activations are swapped", "The shares are of the activation."),
        lambda a, g, h: _xgradcam(g, a, h),
        Mistake("not-summed", "you kept the channels apart", "Add them up over axis 1: the result is (N, h, w)."),
        lambda a, g, h: _total(_shares(a) * h(g)) * a,
    ],
)


check_xgradcam = checker(XGRADCAM)
