"""GradCAM and GradCAM++: from activations and gradients of one layer to a map."""

from __future__ import annotations

import torch
from torch import Tensor

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import layer
from posgrad_edu.checks.engine.task import Args, Mistake, Task
from posgrad_edu.handling import POSITIVE, SIGNED, Handling

SPACE = (2, 3)
USE_HANDLING = "Call handling(...) on the gradients, and use what it returns."


def weighted_sum(weights: Tensor, activations: Tensor) -> Tensor:
    """Return a map (N, h, w): the channels (N, C, h, w), each times its weight (N, C, 1, 1), added up."""
    return (weights * activations).sum(1)


def mean(values: Tensor, axes: tuple[int, ...] = SPACE) -> Tensor:
    """Return the mean over these axes, which stay with length 1."""
    return values.mean(axes, keepdim=True)


def gradcam(a: Tensor, g: Tensor, h: Handling) -> Tensor:
    """Return GradCAM's maps (N, h, w) from activations and gradients (N, C, h, w)."""
    return weighted_sum(mean(h(g)), a)


FORGOTTEN = ("handling-forgotten", "you didn't use the handling")
ALWAYS_POSITIVE = ("handling-hard-coded", "you always drop the negative gradients, whatever the handling")
# Mistakes that come in two forms: key, what is said, hint.
_ONE_AXIS = (
    "wrong-axis",
    "you averaged over one of the two axes of positions only",
    "mean((2, 3)) leaves one number a channel.",
)
_SWAPPED = (
    "arguments-swapped",
    "you weighted the gradients by the averaged activations",
    "It is the other way round: the gradients give the weights.",
)
_NORMALIZED = (
    "normalized-weights",
    "you normalized the weights",
    "Keep them as they are: their size belongs to the evidence.",
)

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
    right=gradcam,
    mistakes=[
        Mistake(
            "wrong-axis",
            "you averaged over the channels instead of the positions",
            "A weight belongs to a channel: mean over the last two axes, (2, 3).",
        ),
        lambda a, g, h: weighted_sum(mean(h(g), (1,)), a),
        Mistake(
            "wrong-axis",
            "you averaged over the channels as well as the positions",
            "Each channel has a weight of its own: mean over the last two axes only.",
        ),
        lambda a, g, h: weighted_sum(mean(h(g), (1, 2, 3)), a),
        Mistake(*_ONE_AXIS),
        lambda a, g, h: weighted_sum(mean(h(g), (2,)), a),
        lambda a, g, h: weighted_sum(mean(h(g), (3,)), a),
        Mistake(
            "handled-too-late",
            "you handled the averaged gradients instead of the gradients",
            "First handling(gradients), then the mean: in a mean, evidence for and against has already met.",
        ),
        lambda a, g, h: weighted_sum(h(mean(g)), a),
        Mistake(
            "handled-activations",
            "you handled the activations instead of the gradients",
            "What the handling acts on is the gradient; the activations stay as they are.",
        ),
        lambda a, g, h: weighted_sum(mean(g), h(a)),
        Mistake(
            "handled-activations",
            "you handled the activations as well as the gradients",
            "What the handling acts on is the gradient; the activations stay as they are.",
        ),
        lambda a, g, h: weighted_sum(mean(h(g)), h(a)),
        Mistake(
            "handled-result",
            "you handled the finished map instead of the gradients",
            "First handling(gradients), then the mean, then the sum over channels.",
        ),
        lambda a, g, h: h(gradcam(a, g, SIGNED)),
        Mistake(
            "handled-result",
            "you handled the channels' products instead of the gradients",
            "First handling(gradients), then the mean, then the sum over channels.",
        ),
        lambda a, g, h: h(mean(g) * a).sum(1),
        Mistake(*FORGOTTEN, USE_HANDLING),
        lambda a, g, h: gradcam(a, g, SIGNED),
        Mistake(*ALWAYS_POSITIVE, USE_HANDLING),
        lambda a, g, h: gradcam(a, g, POSITIVE),
        Mistake(
            "batch-mixed",
            "you averaged the gradients over the photos of the batch, too",
            "The first axis counts photos: average over the last two only.",
        ),
        lambda a, g, h: weighted_sum(mean(h(g), (0, 2, 3)), a),
        Mistake(
            "no-average",
            "you multiplied position by position, without averaging the gradients",
            "That is LayerCAM; GradCAM first makes one weight a channel.",
        ),
        lambda a, g, h: weighted_sum(h(g), a),
        Mistake(
            "sum-for-mean",
            "you added the gradients up instead of averaging them",
            "Use mean: then the map doesn't grow with the number of positions.",
        ),
        lambda a, g, h: weighted_sum(h(g).sum(SPACE, keepdim=True), a),
        Mistake(
            "mean-for-sum",
            "you averaged over the channels at the end instead of adding them up",
            "Use sum over axis 1: each channel adds its evidence.",
        ),
        lambda a, g, h: (mean(h(g)) * a).mean(1),
        Mistake(*_SWAPPED),
        lambda a, g, h: weighted_sum(mean(h(a)), g),
        lambda a, g, h: weighted_sum(mean(a), h(g)),
        Mistake(
            "activations-missing",
            "you added up the gradients, without the activations",
            "Multiply each channel's activations by its weight.",
        ),
        lambda a, g, h: h(g).sum(1),
        Mistake(
            "gradients-missing",
            "you added up the activations, without the gradients",
            "Multiply each channel's activations by its weight.",
        ),
        lambda a, g, h: a.sum(1),
        Mistake(*_NORMALIZED),
        lambda a, g, h: weighted_sum(mean(h(g)).softmax(1), a),
        lambda a, g, h: weighted_sum(mean(h(g)) / mean(h(g)).abs().sum(1, keepdim=True), a),
        Mistake(
            "normalized-gradients",
            "you normalized the gradients",
            "Keep them as they are: their size belongs to the evidence.",
        ),
        lambda a, g, h: weighted_sum(mean(h(g / g.pow(2).mean((1, 2, 3), keepdim=True).sqrt())), a),
        Mistake("not-summed", "you kept the channels apart", "Add them up over axis 1: the result is (N, h, w)."),
        lambda a, g, h: mean(h(g)) * a,
    ],
)


check_gradcam = checker(GRADCAM)


def layer_with_poles(n: int) -> Args:
    """As ``layer``, with some gradients at 0 and S · g on both sides of the pole at -2, but not close to it.

    Nor is it close to the poles of typical mistakes, where rounding would tell apart what is equal.
    """
    a, g, h = layer(n)
    total = a.sum(SPACE, keepdim=True)
    near = (2 + total * g).abs() < 0.5
    wrong_sums = [a.sum(axes, keepdim=True) for axes in ((0, 2, 3), (1,), (2,), (3,), (1, 2, 3), (0, 1, 2, 3))]
    for wrong in [2 * total, a, a.mean(SPACE, keepdim=True), *wrong_sums]:
        near |= (2 + wrong * g).abs() < 0.05
    g = torch.where(near | (torch.rand_like(g) < 0.1), 0.0, g)
    too_near = (2 + g.sum(SPACE, keepdim=True) * g).abs() < 0.005
    return layer_with_poles(n) if too_near.any() else (a, g, h)


def alpha(a: Tensor, g: Tensor, axes: tuple[int, ...] = SPACE) -> Tensor:
    """Return GradCAM++'s alpha (N, C, h, w), 0 where the gradient is."""
    return torch.where(g == 0, 0.0, 1 / (2 + a.sum(axes, keepdim=True) * g))


def _weighted(a: Tensor, weights: Tensor) -> Tensor:
    return weighted_sum(weights.sum(SPACE, keepdim=True), a)


def plus_plus(a: Tensor, g: Tensor, h: Handling) -> Tensor:
    """Return GradCAM++'s maps (N, h, w)."""
    return _weighted(a, alpha(a, g) * h(g))


_WRONG_ALPHA = "alpha = g² / (2 g² + S g³), with S the sum of the channel's activations over its positions."

GRADCAM_PLUS_PLUS = Task(
    name="gradcam++",
    signature="gradcam_plus_plus(activations, gradients, handling)",
    returns="maps (N, h, w)",
    about="""
As for ``check_gradcam``; here the weight of a channel is the sum over its positions of alpha * handling(gradients),
with alpha = g² / (2 g² + S g³), and 0 where the gradient g is 0. S is the sum of the channel's activations over its
positions. The map is raw and signed.
""",
    lesson=3,
    make=layer_with_poles,
    right=plus_plus,
    mistakes=[
        Mistake(
            "not-finite",
            "alpha is 0 / 0 where the gradient is zero",
            "Set alpha to 0 there with torch.where, or cancel g²: alpha = 1 / (2 + S g).",
        ),
        Mistake("sum-of-gradients", "you added up the gradients in alpha instead of the activations", _WRONG_ALPHA),
        lambda a, g, h: _weighted(a, alpha(g, g) * h(g)),
        Mistake("wrong-axis", "you added up the activations over channels in alpha instead of positions", _WRONG_ALPHA),
        lambda a, g, h: _weighted(a, alpha(a, g, (1,)) * h(g)),
        Mistake("wrong-axis", "you added up the activations over channels and positions in alpha", _WRONG_ALPHA),
        lambda a, g, h: _weighted(a, alpha(a, g, (1, 2, 3)) * h(g)),
        Mistake("batch-mixed", "you added up the activations of all photos of the batch in alpha", _WRONG_ALPHA),
        lambda a, g, h: _weighted(a, alpha(a, g, (0, 2, 3)) * h(g)),
        Mistake("sum-missing", "in alpha you used the activation of each position instead of their sum", _WRONG_ALPHA),
        lambda a, g, h: _weighted(a, torch.where(g == 0, 0.0, 1 / (2 + a * g)) * h(g)),
        Mistake("mean-for-sum", "in alpha you averaged the activations instead of adding them up", _WRONG_ALPHA),
        lambda a, g, h: _weighted(a, torch.where(g == 0, 0.0, 1 / (2 + mean(a) * g)) * h(g)),
        Mistake("two-missing", "the 2 is missing from alpha's denominator", _WRONG_ALPHA),
        lambda a, g, h: _weighted(a, torch.where(g == 0, 0.0, 1 / (1 + a.sum(SPACE, keepdim=True) * g)) * h(g)),
        Mistake(
            "wrong-power",
            "the powers of the gradient in alpha are wrong",
            "In the denominator, the sum S is multiplied by the third power of the gradient.",
        ),
        lambda a, g, h: _weighted(a, torch.where(g == 0, 0.0, 1 / (2 + a.sum(SPACE, keepdim=True))) * h(g)),
        Mistake(
            "undivided",
            "alpha is g² throughout: nothing was divided",
            "alpha[mask] is a copy, which div_ changes in vain: assign to alpha[mask], or use torch.where.",
        ),
        lambda a, g, h: _weighted(a, g**2 * h(g)),
        Mistake(
            "handled-before-alpha",
            "you computed alpha from the handled gradients",
            "alpha takes the gradients as they are; only the gradients that it multiplies are handled.",
        ),
        lambda a, g, h: _weighted(a, alpha(a, h(g)) * h(g)),
        Mistake(
            "handled-too-late",
            "you handled alpha times gradient instead of the gradient",
            "alpha can be negative, so the order matters: alpha * handling(gradients).",
        ),
        lambda a, g, h: _weighted(a, h(alpha(a, g) * g)),
        Mistake(
            "handled-too-late",
            "you handled the finished weights instead of the gradients",
            "alpha * handling(gradients), then the sum.",
        ),
        lambda a, g, h: weighted_sum(h((alpha(a, g) * g).sum(SPACE, keepdim=True)), a),
        Mistake(
            "handled-result",
            "you handled the finished map instead of the gradients",
            "alpha * handling(gradients), then the sums.",
        ),
        lambda a, g, h: h(plus_plus(a, g, SIGNED)),
        Mistake(*FORGOTTEN, USE_HANDLING),
        lambda a, g, h: plus_plus(a, g, SIGNED),
        Mistake(*ALWAYS_POSITIVE, USE_HANDLING),
        lambda a, g, h: plus_plus(a, g, POSITIVE),
        Mistake(
            "alpha-missing", "you left alpha out", "Without it the sum over positions is GradCAM's, but for a factor."
        ),
        lambda a, g, h: _weighted(a, h(g)),
        Mistake(
            "alpha-missing",
            "you averaged the gradients as GradCAM does, without alpha",
            "Multiply the handled gradients by alpha before you add them up.",
        ),
        gradcam,
        Mistake("gradient-missing", "you took alpha itself as the weight", "alpha multiplies the handled gradients."),
        lambda a, g, h: _weighted(a, alpha(a, g)),
        Mistake(
            "weights-averaged",
            "you averaged over the positions instead of adding up",
            "alpha already does the averaging: add up alpha times gradient.",
        ),
        lambda a, g, h: gradcam(a, alpha(a, g) * h(g), SIGNED),
        Mistake(
            "no-average",
            "you multiplied position by position, without adding up the weights first",
            "Each channel has one weight: the sum over its positions.",
        ),
        lambda a, g, h: weighted_sum(alpha(a, g) * h(g), a),
        Mistake(
            "normalized-alpha",
            "you made the alphas of each channel add up to 1",
            "Keep them as the equation gives them.",
        ),
        lambda a, g, h: _weighted(a, alpha(a, g) / alpha(a, g).sum(SPACE, keepdim=True) * h(g)),
    ],
)


check_gradcam_plus_plus = checker(GRADCAM_PLUS_PLUS)
