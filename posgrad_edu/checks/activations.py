"""What a CAM needs of a network: the activations of one layer, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from posgrad_edu.checks.engine import forms
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import asked
from posgrad_edu.checks.engine.mutations import then, unchanged, with_argument
from posgrad_edu.checks.engine.task import Args, Mistake, Task
from posgrad_edu.checks.gradients import Score, logit, of_input, wrong_scores

Layer = Callable[[str], str]  # the layer that is asked for -> the one that is recorded


def _layer_of(n: int) -> Args:
    """A network, photos, classes and one of its layers, by name; from the third try on, its ReLUs work in place."""
    return *asked(n, inplace=n >= 2), ("conv2", "conv1", "conv2", "conv1")[n]


def _next(layer: str) -> str:
    return layer.replace("conv", "relu")


def _recorded(
    net: nn.Module,
    x: Tensor,
    target: Tensor,
    layer: str,
    score: Score = logit,
    activations: Layer = unchanged,
    gradients: Layer = unchanged,
) -> list[Tensor]:
    """Return the output of a layer and the gradient with regard to it."""
    return [_at(net, x, target, activations(layer), score)[0], _at(net, x, target, gradients(layer), score)[1]]


def _at(net: nn.Module, x: Tensor, target: Tensor, layer: str, score: Score) -> tuple[Tensor, Tensor]:
    assert isinstance(net, nn.Sequential)
    after = [name for name, _ in net.named_children()].index(layer) + 1
    a = net[:after](x).detach().requires_grad_()
    (g,) = torch.autograd.grad(score(net[after:](a.clone()), target), a)
    return a.detach(), g


def _of_weight(net: nn.Module, x: Tensor, target: Tensor, layer: str) -> Tensor:
    weight = net.get_parameter(f"{layer}.weight")
    return torch.autograd.grad(logit(net(x), target), weight)[0]


def _with_gradient(change: Callable[[Tensor], Tensor]) -> Callable[..., list[Tensor]]:
    return then(_recorded, lambda both: [both[0], change(both[1])])


_CLONE = "Record output.clone(): detach() alone shares the memory."
_IN_PLACE = (True, True, False, False)  # which tries are right
_BY_NAME = "Both belong to the output of the layer that is named: net.get_submodule(layer)."
_ITS_SHAPE = "The gradient with regard to the layer's output has the shape of that output."
_AS_THEY_ARE = "Record them as they are."
ACTIVATIONS_AND_GRADIENTS = Task(
    name="activations and gradients",
    signature="activations_and_gradients(net, x, target, layer)",
    returns="(activations, gradients), both (N, C, h, w)",
    about="""
net, x, target: as for ``check_gradient``. layer: the name of a module of the network, whose output is recorded, and
the gradient of each photo's logit with regard to it; both detached. The ReLU after the layer may work in place, as
in torchvision's networks. No hook stays behind.
""",
    lesson=2,
    make=_layer_of,
    right=_recorded,
    form=forms.tensors,
    mistakes=[
        Mistake("overwritten", "a ReLU that works in place has overwritten the activations", _CLONE, pattern=_IN_PLACE),
        Mistake("swapped", "gradients and activations are swapped", "First the activations, then the gradients."),
        then(_recorded, lambda both: both[::-1]),
        Mistake("wrong-layer", "you recorded the ReLU after the layer", _BY_NAME),
        partial(_recorded, activations=_next, gradients=_next),
        Mistake("wrong-layer", "you recorded the gradient at the ReLU after the layer", _BY_NAME),
        partial(_recorded, gradients=_next),
        Mistake("wrong-layer", "you recorded the activations of the ReLU after the layer", _BY_NAME),
        partial(_recorded, activations=_next),
        Mistake("wrong-layer", "you recorded another layer than the one that is named", _BY_NAME),
        with_argument(_recorded, 3, "conv2"),
        with_argument(_recorded, 3, "relu2"),
        Mistake("weight-gradient", "you returned the gradient of the layer's weights", _ITS_SHAPE),
        lambda net, x, t, layer: [_recorded(net, x, t, layer)[0], _of_weight(net, x, t, layer)],
        Mistake("input-gradient", "you returned the gradient with regard to the photo", _ITS_SHAPE),
        lambda net, x, t, layer: [_recorded(net, x, t, layer)[0], of_input(net, x, t)],
        Mistake("relu-on-result", "you dropped the negative gradients", _AS_THEY_ARE),
        _with_gradient(torch.relu),
        Mistake("absolute-result", "you made the gradients absolute", _AS_THEY_ARE),
        _with_gradient(torch.abs),
        Mistake("activations-twice", "you returned the activations twice", "The second is their gradient."),
        then(_recorded, lambda both: [both[0], both[0]]),
        Mistake("gradients-twice", "you returned the gradients twice", "The first is the layer's output."),
        then(_recorded, lambda both: [both[1], both[1]]),
        Mistake("product", "you multiplied the gradients by the activations", _AS_THEY_ARE),
        then(_recorded, lambda both: [both[0], both[0] * both[1]]),
        Mistake("averaged", "you averaged the gradients over the positions", _AS_THEY_ARE),
        _with_gradient(lambda g: g.mean((2, 3), keepdim=True).expand_as(g)),
        _with_gradient(lambda g: g.mean((2, 3), keepdim=True)),
        _with_gradient(lambda g: g.mean((2, 3))),
        Mistake("normalized", "you normalized the gradients", _AS_THEY_ARE),
        _with_gradient(lambda g: g / g.abs().amax((1, 2, 3), keepdim=True)),
        _with_gradient(lambda g: g / g.abs().max()),
        _with_gradient(lambda g: g / g.square().mean().sqrt()),
        Mistake("activation-gradient", "you went back from the layer's output itself, not from the logit", _ITS_SHAPE),
        _with_gradient(torch.ones_like),
        *wrong_scores(_recorded),
    ],
)
check_activations_and_gradients = checker(ACTIVATIONS_AND_GRADIENTS)
