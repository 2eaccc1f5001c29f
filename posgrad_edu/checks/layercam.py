"""LayerCAM: each position of each channel counts with its own gradient."""

from __future__ import annotations

from torch import Tensor

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.mutations import then
from posgrad_edu.checks.engine.task import Mistake, Task
from posgrad_edu.checks.gradcam import ORDER, SPACE, cam, gradcam_weights, mean, shared, total
from posgrad_edu.checks.gradcam_plus_plus import alpha, layer_with_poles, plus_plus_weights
from posgrad_edu.handling import Handling


def _weights(a: Tensor, g: Tensor, h: Handling) -> Tensor:
    return h(g)


_layercam = cam(_weights)
_PLACE = "Each position keeps its own gradient and activation: no mean and no sum over positions."
_ALONE = "The weights are handling(gradients) as they are, without alpha and without a mean."
_CHANNELS = "Multiply first, channel by channel and position by position; then add up over axis 1: (N, h, w)."
LAYERCAM = Task(
    name="layercam",
    signature="layercam(activations, gradients, handling)",
    returns="maps (N, h, w)",
    about="""
As for ``check_gradcam``; here the map is the sum over channels of handling(gradients) times activations, position by
position, raw and signed: no final ReLU, no resizing.
""",
    lesson=5,
    make=layer_with_poles,  # they tell apart what uses alpha, too
    right=_layercam,
    hint="Compare with the equation: three steps, and none of them is a mean.",
    mistakes=[
        Mistake("averaged", "you averaged, or added up, the gradients over the positions, as GradCAM does", _PLACE),
        cam(gradcam_weights),
        cam(lambda a, g, h: total(h(g))),
        Mistake("averaged", "you averaged the gradients over the positions, and handled the mean", _PLACE),
        cam(lambda a, g, h: h(mean(g))),
        Mistake("averaged", "you averaged the gradients over the channels", _CHANNELS),
        cam(lambda a, g, h: mean(h(g), (1,))),
        Mistake("averaged-activations", "you averaged the activations over the positions", _PLACE),
        lambda a, g, h: (h(g) * mean(a)).sum(1),
        Mistake("plus-plus", "you computed GradCAM++, with one weight a channel", _PLACE),
        cam(plus_plus_weights),
        Mistake("alpha-used", "you multiplied by GradCAM++'s alpha, too", _ALONE),
        cam(lambda a, g, h: alpha(a, g) * h(g)),
        Mistake("xgradcam", "you computed XGradCAM, with one weight a channel", _PLACE),
        cam(lambda a, g, h: total(a / total(a) * h(g))),
        Mistake("handled-product", "you handled activation times gradient instead of the gradient", ORDER),
        lambda a, g, h: h(g * a).sum(1),
        Mistake("handled-activations", "you dropped the negative activations", "Activations stay as they are."),
        lambda a, g, h: (h(g) * a.relu()).sum(1),
        Mistake("handled-result", "you handled the finished map as well as the gradients", ORDER),
        lambda a, g, h: h(_layercam(a, g, h)),
        Mistake("sums-multiplied", "you added up both over the channels before you multiplied", _CHANNELS),
        lambda a, g, h: h(g).sum(1) * a.sum(1),
        lambda a, g, h: h(g.sum(1)) * a.sum(1),
        lambda a, g, h: h(g.mean(1)) * a.sum(1),
        lambda a, g, h: h(g).mean(1) * a.mean(1),
        Mistake("positions-summed", "you added up the positions instead of the channels", _CHANNELS),
        lambda a, g, h: (h(g) * a).sum(SPACE),
        Mistake("batch-mixed", "you averaged the gradients over the photos of the batch", _PLACE),
        cam(lambda a, g, h: mean(h(g), (0,))),
        Mistake("normalized-gradients", "you normalized the gradients", _ALONE),
        cam(lambda a, g, h: h(g) / total(h(g).abs())),
        cam(lambda a, g, h: h(g).softmax(1)),
        Mistake("divided", "you divided by the number of positions", _ALONE),
        then(_layercam, lambda maps: maps / maps[0].numel()),
        *shared(_weights),
    ],
)
check_layercam = checker(LAYERCAM)
