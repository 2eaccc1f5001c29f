"""GradCAM: from activations and gradients of one layer to a map; and the mistakes that all CAMs share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import layer
from posgrad_edu.checks.engine.mutations import handling_ignored
from posgrad_edu.checks.engine.task import Function, Mistake, Task
from posgrad_edu.handling import SIGNED, Handling

# activations, gradients (N, C, h, w), handling -> weights, (N, C, 1, 1) or one a position
Weights = Callable[[Tensor, Tensor, Handling], Tensor]
SPACE = (2, 3)


def mean(values: Tensor, axes: tuple[int, ...] = SPACE) -> Tensor:
    """Return the mean over these axes, which stay with length 1."""
    return values.mean(axes, keepdim=True)


def total(values: Tensor, axes: tuple[int, ...] = SPACE) -> Tensor:
    """Return the sum over these axes, which stay with length 1."""
    return values.sum(axes, keepdim=True)


def cam(weights: Weights) -> Function:
    """Return what adds up the channels, each times its weight: a map (N, h, w)."""
    return lambda a, g, h: (weights(a, g, h) * a).sum(1)


ORDER = "First handling(gradients), then the weights, then the sum over channels."
TIMES = "Multiply the channels' activations by their weights, which come from the gradients."
_USE_HANDLING = "Call handling(...) on the gradients, and use what it returns."
_ACTIVATIONS = "What the handling acts on is the gradient, the second argument; the activations stay as they are."
_SIGNED = "The map is signed: add the products up as they are."
_ONCE = "Weights and activations count once each."
_ADD_UP = "Use sum over axis 1: each channel adds its evidence."


def shared(weights: Weights) -> list[Mistake | Function]:
    """Return the mistakes that all CAMs share; the right map is ``cam(weights)``."""
    right = cam(weights)
    return [
        *handling_ignored(right, _USE_HANDLING),
        Mistake("absolute-gradients", "you took the magnitudes of the gradients", _USE_HANDLING),
        lambda a, g, h: right(a, g, torch.abs),
        lambda a, g, h: right(a, g, lambda values: h(values.abs())),
        lambda a, g, h: right(a, g, lambda values: h(values).abs()),
        Mistake("handled-activations", "you handled the activations instead of the gradients", _ACTIVATIONS),
        lambda a, g, h: (weights(a, g, SIGNED) * h(a)).sum(1),
        Mistake("handled-activations", "you handled the activations as well as the gradients", _ACTIVATIONS),
        lambda a, g, h: (weights(a, g, h) * h(a)).sum(1),
        Mistake("handled-result", "you handled the finished map instead of the gradients", ORDER),
        lambda a, g, h: h(right(a, g, SIGNED)),
        Mistake("mean-for-sum", "you averaged over the channels at the end instead of adding them up", _ADD_UP),
        lambda a, g, h: right(a, g, h) / a.shape[1],
        Mistake("largest-channel", "you took the largest channel at each position instead of adding up", _ADD_UP),
        lambda a, g, h: (weights(a, g, h) * a).amax(1),
        Mistake("one-channel", "your map is that of the first, or the last, channel alone", _ADD_UP),
        lambda a, g, h: (weights(a, g, h) * a)[:, 0],
        lambda a, g, h: (weights(a, g, h) * a)[:, -1],
        Mistake("one-channel", "the first, or the last, channel is missing from your map", _ADD_UP),
        lambda a, g, h: (weights(a, g, h) * a)[:, 1:].sum(1),
        lambda a, g, h: (weights(a, g, h) * a)[:, :-1].sum(1),
        Mistake("not-multiplied", "you added weights and activations instead of multiplying", TIMES),
        lambda a, g, h: (weights(a, g, h) + a).sum(1),
        Mistake("not-multiplied", "you divided by the activations instead of multiplying", TIMES),
        lambda a, g, h: (weights(a, g, h) / a).sum(1),
        Mistake("relu-on-products", "you dropped the negative products before adding up the channels", _SIGNED),
        lambda a, g, h: (weights(a, g, h) * a).relu().sum(1),
        Mistake("absolute-products", "you added up the magnitudes of the products", _SIGNED),
        lambda a, g, h: (weights(a, g, h) * a).abs().sum(1),
        Mistake("squared", "you squared the activations", _ONCE),
        lambda a, g, h: (weights(a, g, h) * a * a).sum(1),
        Mistake("squared", "you squared the weights", _ONCE),
        lambda a, g, h: (weights(a, g, h) ** 2 * a).sum(1),
        Mistake("not-summed", "you kept the channels apart", "Add them up over axis 1: the result is (N, h, w)."),
        lambda a, g, h: weights(a, g, h) * a,
        Mistake("not-summed", "you kept an axis for the channels", "sum(1) without keepdim gives (N, h, w)."),
        lambda a, g, h: (weights(a, g, h) * a).sum(1, keepdim=True),
        Mistake("activations-missing", "you added up the gradients, without the activations", TIMES),
        lambda a, g, h: h(g).sum(1),
        Mistake("gradients-missing", "you added up the activations, without the gradients", TIMES),
        lambda a, g, h: a.sum(1),
    ]


def gradcam_weights(a: Tensor, g: Tensor, h: Handling, axes: tuple[int, ...] = SPACE) -> Tensor:
    """Return GradCAM's weights (N, C, 1, 1)."""
    return mean(h(g), axes)


def _averaged(*axes: int) -> Function:
    return cam(lambda a, g, h: gradcam_weights(a, g, h, axes))


def _normalized(change: Callable[[Tensor], Tensor]) -> Function:
    return cam(lambda a, g, h: change(gradcam_weights(a, g, h)))


_ONE = "A weight belongs to one channel of one photo: mean over the last two axes, (2, 3)."
_AS_IT_IS = "Keep them as they are: their size belongs to the evidence."
_OTHER_WAY = "It is the other way round: the gradients give the weights."
GRADCAM = Task(
    name="gradcam",
    signature="gradcam(activations, gradients, handling)",
    returns="maps (N, h, w)",
    about="""
activations, gradients: (N, C, h, w), of one layer and of the logit with regard to it. handling: a function such as
``pg.POSITIVE``, to be called on the gradients. The map is raw and signed: no final ReLU, no resizing.
""",
    lesson=2,
    make=layer,
    right=cam(gradcam_weights),
    mistakes=[
        Mistake("wrong-axis", "you averaged over the channels instead of the positions", _ONE),
        _averaged(1),
        Mistake("wrong-axis", "you averaged over the channels as well as the positions", _ONE),
        _averaged(1, 2, 3),
        Mistake("wrong-axis", "you averaged over one of the two axes of positions only", _ONE),
        _averaged(2),
        _averaged(3),
        Mistake("batch-mixed", "you averaged the gradients over the photos of the batch, too", _ONE),
        _averaged(0, 2, 3),
        Mistake("batch-mixed", "a reshape, where a transpose belongs, mixed up photos and channels", _ONE),
        cam(lambda a, g, h: gradcam_weights(a, g, h).flatten().reshape(g.shape[1], -1).T[..., None, None]),
        Mistake("handled-too-late", "you handled the averaged gradients: evidence for and against has met", ORDER),
        cam(lambda a, g, h: h(mean(g))),
        Mistake("handled-result", "you handled the channels' products instead of the gradients", ORDER),
        lambda a, g, h: h(mean(g) * a).sum(1),
        Mistake("no-average", "you didn't average the gradients: that is LayerCAM", _ONE),
        cam(lambda a, g, h: h(g)),
        Mistake("sum-for-mean", "you added the gradients up: the map would grow with the layer's size", "Use mean."),
        cam(lambda a, g, h: total(h(g))),
        Mistake("other-statistic", "you took the largest gradient of each channel instead of the mean", "Use mean."),
        cam(lambda a, g, h: h(g).amax(SPACE, keepdim=True)),
        Mistake("other-statistic", "you took the smallest gradient of each channel instead of the mean", "Use mean."),
        cam(lambda a, g, h: h(g).amin(SPACE, keepdim=True)),
        Mistake("other-statistic", "you took the gradients' standard deviation instead of the mean", "Use mean."),
        cam(lambda a, g, h: h(g).std(SPACE, keepdim=True)),
        Mistake("other-statistic", "you took the root of the mean square instead of the mean", "Use mean."),
        cam(lambda a, g, h: mean(h(g) ** 2).sqrt()),
        Mistake("other-statistic", "you took one position's gradient instead of the mean", "Use mean."),
        cam(lambda a, g, h: h(g)[:, :, :1, :1]),
        Mistake("other-statistic", "you took the median of each channel's gradients instead of the mean", "Use mean."),
        cam(lambda a, g, h: h(g).flatten(2).median(2).values[..., None, None]),
        cam(lambda a, g, h: h(g).flatten(2).quantile(0.5, 2)[..., None, None]),
        Mistake("part-of-positions", "your mean is over the positions where the gradient isn't 0", "Use mean."),
        cam(lambda a, g, h: total(h(g)) / total((h(g) != 0).float()).clamp(min=1)),
        Mistake("part-of-positions", "your mean is over the positions where the activation is positive", "Use mean."),
        cam(lambda a, g, h: total(h(g) * (a > 0)) / total((a > 0).float()).clamp(min=1)),
        cam(lambda a, g, h: mean(h(g) * (a > 0))),
        Mistake("arguments-swapped", "you weighted the gradients by the averaged activations", _OTHER_WAY),
        lambda a, g, h: (mean(h(a)) * g).sum(1),
        lambda a, g, h: (mean(a) * h(g)).sum(1),
        Mistake("normalized-weights", "you normalized the weights", _AS_IT_IS),
        _normalized(lambda weights: weights.softmax(1)),
        _normalized(lambda weights: weights / total(weights.abs(), (1,))),
        _normalized(lambda weights: weights / weights.norm(dim=1, keepdim=True)),
        _normalized(lambda weights: weights / weights.abs().amax(1, keepdim=True)),
        _normalized(lambda weights: weights / total(weights, (1,))),
        Mistake("normalized-gradients", "you normalized the gradients", _AS_IT_IS),
        cam(lambda a, g, h: mean(h(g / g.square().mean((1, 2, 3), keepdim=True).sqrt()))),
        *shared(gradcam_weights),
    ],
)
check_gradcam = checker(GRADCAM)
