"""LayerCAM: each position of each channel counts with its own gradient."""

from __future__ import annotations

from torch import Tensor

from posgrad_edu.checks.cam import (
    ALWAYS_POSITIVE,
    FORGOTTEN,
    SPACE,
    USE_HANDLING,
    alpha,
    gradcam,
    layer_with_poles,
    mean,
    plus_plus,
    weighted_sum,
)
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.task import Mistake, Task
from posgrad_edu.handling import POSITIVE, SIGNED, Handling


def _layercam(a: Tensor, g: Tensor, h: Handling) -> Tensor:
    return weighted_sum(h(g), a)


_PLACE = "Each position keeps its own gradient: no mean and no sum over positions."
_GRADIENT = "What the handling acts on is the gradient; the activations stay as they are."
_ORDER = "First handling(gradients), then times the activations, then the sum over channels."
_SIZE = "Keep them as they are: their size belongs to the evidence."
_CHANNELS = "Multiply first, channel by channel and position by position; then add up over axis 1."

LAYERCAM = Task(
    name="layercam",
    signature="layercam(activations, gradients, handling)",
    returns="maps (N, h, w)",
    about="""
activations, gradients: (N, C, h, w), of one layer and of the logit with regard to it. handling: a function such as
``pg.POSITIVE``, to be called on the gradients. The map is the sum over channels of handling(gradients) times
activations, position by position, raw and signed: no final ReLU, no resizing.
""",
    lesson=3,
    make=layer_with_poles,  # they tell apart what uses alpha, too
    right=_layercam,
    hint="Compare with the equation: three steps, and none of them is a mean.",
    mistakes=[
        Mistake("averaged", "you averaged the gradients over the positions, as GradCAM does", _PLACE),
        gradcam,
        Mistake("averaged", "you added the gradients up over the positions before you multiplied", _PLACE),
        lambda a, g, h: weighted_sum(h(g).sum(SPACE, keepdim=True), a),
        Mistake("averaged", "you averaged the gradients over the positions, and handled the mean", _PLACE),
        lambda a, g, h: weighted_sum(h(mean(g)), a),
        Mistake(
            "averaged",
            "you averaged the gradients over the channels",
            "Each channel keeps its own gradient: multiply first, then add up over axis 1.",
        ),
        lambda a, g, h: weighted_sum(mean(h(g), (1,)), a),
        Mistake(
            "averaged-activations",
            "you averaged the activations over the positions",
            "Each position keeps its own activation, as it keeps its own gradient.",
        ),
        lambda a, g, h: weighted_sum(h(g), mean(a)),
        Mistake("plus-plus", "you computed GradCAM++, with one weight a channel", _PLACE),
        plus_plus,
        Mistake(
            "alpha-used",
            "you multiplied by GradCAM++'s alpha, too",
            "LayerCAM has no alpha: handling(gradients) times activations.",
        ),
        lambda a, g, h: weighted_sum(alpha(a, g) * h(g), a),
        Mistake("xgradcam", "you computed XGradCAM, with one weight a channel", _PLACE),
        lambda a, g, h: weighted_sum((a / a.sum(SPACE, keepdim=True) * h(g)).sum(SPACE, keepdim=True), a),
        Mistake(
            "handled-product",
            "you handled activation times gradient instead of the gradient",
            "Activations can be negative, so the order matters: handling(gradients) * activations.",
        ),
        lambda a, g, h: h(g * a).sum(1),
        Mistake(
            "handled-activations",
            "you handled the activations instead of the gradients",
            "The first argument is the activations; what the switch acts on is the second one, the gradients.",
        ),
        lambda a, g, h: weighted_sum(g, h(a)),
        Mistake("handled-activations", "you handled the activations as well as the gradients", _GRADIENT),
        lambda a, g, h: weighted_sum(h(g), h(a)),
        Mistake("handled-activations", "you dropped the negative activations", _GRADIENT),
        lambda a, g, h: weighted_sum(h(g), a.clamp(min=0)),
        Mistake("handled-result", "you handled the finished map instead of the gradients", _ORDER),
        lambda a, g, h: h(_layercam(a, g, SIGNED)),
        Mistake("handled-result", "you handled the finished map as well as the gradients", _ORDER),
        lambda a, g, h: h(_layercam(a, g, h)),
        Mistake(
            "relu-on-products",
            "you dropped the negative products before adding up the channels",
            "Channels add up as they are, those that speak against the class too.",
        ),
        lambda a, g, h: (h(g) * a).clamp(min=0).sum(1),
        Mistake(*FORGOTTEN, USE_HANDLING),
        lambda a, g, h: _layercam(a, g, SIGNED),
        Mistake(*ALWAYS_POSITIVE, USE_HANDLING),
        lambda a, g, h: _layercam(a, g, POSITIVE),
        Mistake(
            "mean-for-sum",
            "you averaged over the channels at the end instead of adding them up",
            "Use sum over axis 1: each channel adds its evidence.",
        ),
        lambda a, g, h: (h(g) * a).mean(1),
        Mistake(
            "largest-channel",
            "you took the largest channel at each position instead of adding them up",
            "Use sum over axis 1: each channel adds its evidence.",
        ),
        lambda a, g, h: (h(g) * a).amax(1),
        Mistake("not-summed", "you kept the channels apart", "Add them up over axis 1: the result is (N, h, w)."),
        lambda a, g, h: h(g) * a,
        Mistake(
            "not-summed", "you kept an axis of length 1 for the channels", "sum(1) without keepdim gives (N, h, w)."
        ),
        lambda a, g, h: (h(g) * a).sum(1, keepdim=True),
        Mistake(
            "sums-multiplied",
            "you added up gradients and activations over the channels before you multiplied",
            _CHANNELS,
        ),
        lambda a, g, h: h(g).sum(1) * a.sum(1),
        Mistake(
            "positions-summed",
            "you added up the positions instead of the channels",
            "Add up over axis 1: the result is (N, h, w).",
        ),
        lambda a, g, h: (h(g) * a).sum(SPACE),
        Mistake(
            "batch-mixed",
            "you averaged the gradients over the photos of the batch",
            "The first axis counts photos: nothing is added or averaged over it.",
        ),
        lambda a, g, h: weighted_sum(mean(h(g), (0,)), a),
        Mistake(
            "activations-missing",
            "you added up the gradients, without the activations",
            "Multiply each gradient by the activation at its position.",
        ),
        lambda a, g, h: h(g).sum(1),
        Mistake(
            "gradients-missing",
            "you added up the activations, without the gradients",
            "Multiply each activation by the gradient at its position.",
        ),
        lambda a, g, h: a.sum(1),
        Mistake("squared", "you squared the gradients", "The gradient counts once."),
        lambda a, g, h: weighted_sum(h(g) ** 2, a),
        Mistake("squared", "you squared the activations", "The activation counts once."),
        lambda a, g, h: weighted_sum(h(g), a**2),
        Mistake("normalized-gradients", "you normalized the gradients", _SIZE),
        lambda a, g, h: weighted_sum(h(g) / h(g).abs().sum(SPACE, keepdim=True), a),
        lambda a, g, h: weighted_sum(h(g).softmax(1), a),
        Mistake(
            "divided", "you divided by the number of positions", "LayerCAM has no mean: each position stands alone."
        ),
        lambda a, g, h: _layercam(a, g, h) / g[0, 0].numel(),
    ],
)


check_layercam = checker(LAYERCAM)
