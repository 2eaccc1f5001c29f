"""The gradient, input x gradient, and what a CAM needs of a network: activations and their gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from posgrad_edu.checks.engine import forms
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import classes, network, photos
from posgrad_edu.checks.engine.task import Args, Mistake, Task

Score = Callable[[Tensor, Tensor], Tensor]  # logits (N, classes), target (N,) -> what is gone back from
Attribution = Callable[[nn.Module, Tensor, Tensor], Tensor]


def logit(logits: Tensor, target: Tensor) -> Tensor:
    """Return each photo's logit of its class, added up over the photos."""
    return logits.gather(1, target[:, None]).sum()


def _asked(n: int) -> Args:
    return network(), photos(n), classes(n)


def of_input(net: nn.Module, x: Tensor, target: Tensor, score: Score = logit) -> Tensor:
    """Return the gradient (N, C, H, W) of a score with regard to the photos."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(score(net(x), target), x)[0]


def _log_probability(logits: Tensor, target: Tensor) -> Tensor:
    return logit(logits.log_softmax(1), target)


_LOGIT = "Take logits[n, target[n]] of each photo n."
# What learners go back from in place of the logit of the class asked about.
WRONG_SCORES: list[tuple[str, str, str, Score]] = [
    (
        "softmax",
        "you took the gradient of the probability (softmax) instead of the logit",
        "A probability also falls when another class's logit rises: go back from the logit.",
        lambda z, t: logit(z.softmax(1), t),
    ),
    (
        "softmax",
        "you took the gradient of the log-probability instead of the logit",
        "A probability also falls when another class's logit rises: go back from the logit.",
        _log_probability,
    ),
    (
        "loss",
        "you took the gradient of the loss (cross-entropy) instead of the logit",
        "The loss falls where the evidence rises, and it depends on all classes: go back from the logit.",
        lambda z, t: -_log_probability(z, t),
    ),
    (
        "loss",
        "you took the gradient of the loss (cross-entropy) instead of the logit",
        "The loss falls where the evidence rises, and it depends on all classes: go back from the logit.",
        lambda z, t: -_log_probability(z, t) / len(z),
    ),
    ("all-logits", "you added up the logits of all classes", _LOGIT, lambda z, t: z.sum()),
    (
        "largest-logit",
        "you explained the most likely class instead of the one asked about",
        _LOGIT,
        lambda z, t: z.amax(1).sum(),
    ),
    (
        "first-class-for-all",
        "you explained all photos for the class of the first one",
        _LOGIT,
        lambda z, t: z[:, t[0]].sum(),
    ),
    (
        "all-classes-asked",
        "you added up, for each photo, the logits of all photos' classes",
        "logits[:, target] is a table (N, N): write logits[torch.arange(N), target].",
        lambda z, t: z[:, t].sum(),
    ),
    (
        "averaged-logits",
        "you averaged the logits over the photos of the batch",
        "Add them up: a mean divides each photo's gradient by the size of the batch.",
        lambda z, t: logit(z, t) / len(z),
    ),
    ("squared", "you squared the logit", _LOGIT, lambda z, t: z.gather(1, t[:, None]).square().sum()),
]  # fmt: skip


def wrong_scores(attribution: Callable[[nn.Module, Tensor, Tensor, Score], object]) -> list[Mistake]:
    """Return the mistakes of a method that goes back from the wrong number."""
    return [
        Mistake(key, says, hint, lambda net, x, t, score=score: attribution(net, x, t, score))
        for key, says, hint, score in WRONG_SCORES
    ]


def _reductions(attribution: Callable[..., Tensor]) -> list[Mistake]:
    """Return the mistakes of bringing colour channels (N, C, H, W) together; ``attribution`` keeps them."""
    colours = "Add up the colour channels with sum(1)."
    return [
        Mistake("absolute", "you took absolute values before adding up the colours", "The map is signed.",
                lambda *a: attribution(*a).abs().sum(1)),
        Mistake("absolute", "you took the largest magnitude of the colours", "The map is signed: sum(1).",
                lambda *a: attribution(*a).abs().amax(1)),
        Mistake("relu-on-result", "you dropped the negative values before adding up the colours", "The map is signed.",
                lambda *a: attribution(*a).clamp(min=0).sum(1)),
        Mistake("colours-averaged", "you averaged over the colours instead of adding up", colours,
                lambda *a: attribution(*a).mean(1)),
        Mistake("colours-averaged", "you took the largest value of the colours", colours,
                lambda *a: attribution(*a).amax(1)),
        Mistake("one-colour", "you returned the first colour only", colours, lambda *a: attribution(*a)[:, 0]),
        Mistake("channels-kept", "you kept the colour channels", colours, attribution),
        Mistake("channels-kept", "you kept an axis for the colour channel", "sum(1) without keepdim gives (N, H, W).",
                lambda *a: attribution(*a).sum(1, keepdim=True)),
        Mistake("squared", "you squared the gradient", "The map is signed.",
                lambda *a: attribution(*a).square().sum(1)),
        Mistake("wrong-axis", "you added up over rows instead of colours", colours, lambda *a: attribution(*a).sum(2)),
        Mistake("wrong-axis", "you added up over columns instead of colours", colours,
                lambda *a: attribution(*a).sum(3)),
        Mistake("batch-mixed", "you added up over the photos instead of the colours", colours,
                lambda *a: attribution(*a).sum(0)),
    ]  # fmt: skip


def _times_x(net: nn.Module, x: Tensor, target: Tensor, score: Score = logit) -> Tensor:
    return x * of_input(net, x, target, score)


def _plain(net: nn.Module, x: Tensor, target: Tensor, score: Score = logit) -> Tensor:
    return of_input(net, x, target, score).sum(1)


def _product(net: nn.Module, x: Tensor, target: Tensor, score: Score = logit) -> Tensor:
    return _times_x(net, x, target, score).sum(1)


GRADIENT = Task(
    name="gradient",
    signature="gradient(net, x, target)",
    returns="maps (N, H, W)",
    about="""
net: a classifier in evaluation mode, x -> logits (N, classes); it is left as it was. x: photos (N, C, H, W).
target: one class a photo, (N,). The map is the gradient of each photo's logit with regard to it, added up over the
colour channels; raw, signed and detached.
""",
    lesson=1,
    make=_asked,
    right=_plain,
    mistakes=[
        Mistake("times-input", "you multiplied by the input", "That is input x gradient.", _product),
        *wrong_scores(_plain),
        *_reductions(of_input),
    ],
)

INPUT_X_GRADIENT = Task(
    name="input x gradient",
    signature="input_x_gradient(net, x, target)",
    returns="maps (N, H, W): x times the gradient, added up over the colours",
    about="""
The arguments are those of ``check_gradient``.
""",
    lesson=1,
    make=_asked,
    right=_product,
    mistakes=[
        Mistake("input-missing", "you returned the gradient, not multiplied by the input", "Multiply by x.", _plain),
        Mistake(
            "summed-too-early",
            "you added up the colours before you multiplied",
            "Multiply each colour by its own gradient first, then add up.",
            lambda net, x, t: x.sum(1) * of_input(net, x, t).sum(1),
        ),
        Mistake(
            "relu-on-gradient",
            "you dropped the negative gradients before you multiplied",
            "Nothing is clipped here: a negative gradient at a negative pixel is evidence for the class.",
            lambda net, x, t: (x * of_input(net, x, t).clamp(min=0)).sum(1),
        ),
        Mistake(
            "absolute-input",
            "you took the absolute value of one of the two factors",
            "Both factors keep their sign.",
            lambda net, x, t: (x.abs() * of_input(net, x, t)).sum(1),
        ),
        Mistake(
            "absolute-input",
            "you took the absolute value of one of the two factors",
            "Both factors keep their sign.",
            lambda net, x, t: (x * of_input(net, x, t).abs()).sum(1),
        ),
        Mistake(
            "added",
            "you added input and gradient instead of multiplying",
            "Multiply them, pixel by pixel.",
            lambda net, x, t: (x + of_input(net, x, t)).sum(1),
        ),
        *wrong_scores(_product),
        *_reductions(_times_x),
    ],
)


check_gradient = checker(GRADIENT)


check_input_x_gradient = checker(INPUT_X_GRADIENT)


def _layer_of(n: int) -> Args:
    """A network, photos, classes and one of its layers, by name; from the third try on, its ReLUs work in place."""
    return network(inplace=n >= 2), photos(n), classes(n), ("conv2", "conv1", "conv2", "conv1")[n]


def _recorded(net: nn.Module, x: Tensor, target: Tensor, layer: str, score: Score = logit) -> list[Tensor]:
    """Return the output of a layer and the gradient with regard to it, layer by layer."""
    assert isinstance(net, nn.Sequential)
    names = [name for name, _ in net.named_children()]
    at = names.index(layer) + 1
    a = net[:at](x).detach().requires_grad_()
    (g,) = torch.autograd.grad(score(net[at:](a.clone()), target), a)
    return [a.detach(), g]


def _next(layer: str) -> str:
    return layer.replace("conv", "relu")


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
        Mistake(
            "overwritten",
            "the activations were overwritten after you recorded them, by a ReLU that works in place",
            "Record output.clone(): detach() alone shares the memory.",
            pattern=(True, True, False, False),
        ),
        Mistake("swapped", "gradients and activations are swapped", "First the activations, then the gradients.",
                lambda *a: _recorded(*a)[::-1]),
        Mistake("wrong-layer", "you recorded the ReLU after the layer", "Hook the very layer that is named.",
                lambda net, x, t, layer: _recorded(net, x, t, _next(layer))),
        Mistake("wrong-layer", "you recorded the gradient at the ReLU after the layer",
                "Both belong to the same place.",
                lambda net, x, t, layer: [_recorded(net, x, t, layer)[0], _recorded(net, x, t, _next(layer))[1]]),
        Mistake("wrong-layer", "you recorded the activations of the ReLU after the layer",
                "Both belong to the same place.",
                lambda net, x, t, layer: [_recorded(net, x, t, layer)[0].relu(), _recorded(net, x, t, layer)[1]]),
        Mistake("wrong-layer", "you recorded another layer than the one that is named", "Use net.get_submodule(layer).",
                lambda net, x, t, layer: _recorded(net, x, t, "conv2")),
        Mistake("wrong-layer", "you recorded another layer than the one that is named", "Use net.get_submodule(layer).",
                lambda net, x, t, layer: _recorded(net, x, t, "relu2")),
        Mistake("weight-gradient", "you returned the gradient of the layer's weights",
                "The gradient with regard to the layer's output has the shape of that output.",
                lambda net, x, t, layer: [_recorded(net, x, t, layer)[0], _of_weight(net, x, t, layer)]),
        Mistake("input-gradient", "you returned the gradient with regard to the photo",
                "The gradient with regard to the layer's output has the shape of that output.",
                lambda net, x, t, layer: [_recorded(net, x, t, layer)[0], of_input(net, x, t)]),
        Mistake("relu-on-result", "you dropped the negative gradients", "Record them as they are.",
                lambda net, x, t, layer: [_recorded(net, x, t, layer)[0], _recorded(net, x, t, layer)[1].relu()]),
        Mistake("absolute-result", "you made the gradients absolute", "Record them as they are.",
                lambda net, x, t, layer: [_recorded(net, x, t, layer)[0], _recorded(net, x, t, layer)[1].abs()]),
        *[
            Mistake(key, says, hint, lambda net, x, t, layer, score=score: _recorded(net, x, t, layer, score))
            for key, says, hint, score in WRONG_SCORES
        ],
    ],
)  # fmt: skip


def _of_weight(net: nn.Module, x: Tensor, target: Tensor, layer: str) -> Tensor:
    weight = net.get_parameter(f"{layer}.weight")
    return torch.autograd.grad(logit(net(x), target), weight)[0]


check_activations_and_gradients = checker(ACTIVATIONS_AND_GRADIENTS)
