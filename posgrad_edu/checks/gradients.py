"""The gradient with regard to the photo, and input x gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import asked
from posgrad_edu.checks.engine.mutations import colours, completed, then
from posgrad_edu.checks.engine.task import Function, Mistake, Task

Score = Callable[[Tensor, Tensor], Tensor]  # logits (N, classes), target (N,) -> what is gone back from


def logit(logits: Tensor, target: Tensor) -> Tensor:
    """Return each photo's logit of its class, added up over the photos."""
    return logits.gather(1, target[:, None]).sum()


def _log_probability(logits: Tensor, target: Tensor) -> Tensor:
    return logit(logits.log_softmax(1), target)


_LOGIT = "Take logits[n, target[n]] of each photo n."
_TABLE = "logits[:, target] is a table (N, N): write logits[torch.arange(N), target]."
_ADD = "Add them up: a mean divides each photo's gradient by the size of the batch."
_PROBABILITY = "A probability also falls when another class's logit rises: go back from the logit."
_LOSS = "The loss falls where the evidence rises, and it depends on all classes: go back from the logit."
_EVERY_PHOTO = "Each photo has a logit of its own: add up logits[n, target[n]] over all n."
_WRONG_SCORES: list[Any] = [
    Mistake("softmax", "you took the gradient of the probability (softmax) instead of the logit", _PROBABILITY),
    lambda z, t: logit(z.softmax(1), t),
    Mistake("softmax", "you took the gradient of the log-probability instead of the logit", _PROBABILITY),
    _log_probability,
    Mistake("loss", "you took the gradient of the loss (cross-entropy) instead of the logit", _LOSS),
    lambda z, t: -_log_probability(z, t),
    lambda z, t: -_log_probability(z, t) / len(z),
    Mistake("all-logits", "you added up the logits of all classes", _LOGIT),
    lambda z, t: z.sum(),
    Mistake("largest-logit", "you explained the most likely class instead of the one asked about", _LOGIT),
    lambda z, t: z.amax(1).sum(),
    Mistake("largest-logit", "you explained the most likely class where a photo comes alone", _LOGIT),
    lambda z, t: logit(z, t if len(t) > 1 else z.argmax(1)),
    Mistake("first-class-for-all", "you explained all photos for the class of the first one", _LOGIT),
    lambda z, t: z[:, t[0]].sum(),
    Mistake("largest-logit", "you explained the least likely class instead of the one asked about", _LOGIT),
    lambda z, t: z.amin(1).sum(),
    Mistake("one-photo-asked", "you went back from one photo's logit alone, the first's or the largest", _EVERY_PHOTO),
    lambda z, t: z[0, t[0]],
    lambda z, t: z.gather(1, t[:, None]).amax(),
    lambda z, t: z.gather(1, t[:, None]).amin(),
    Mistake("one-photo-asked", "you looked up the classes of all photos in the first one's logits", _EVERY_PHOTO),
    lambda z, t: z.gather(1, t[None]).sum(),
    Mistake("classes-shifted", "you asked each photo about another photo's class", _EVERY_PHOTO),
    lambda z, t: logit(z, t.roll(1)),
    lambda z, t: logit(z, t.roll(-1)),
    Mistake("first-class-for-all", "you explained all photos for the class of the last one", _LOGIT),
    lambda z, t: z[:, t[-1]].sum(),
    Mistake("all-classes-asked", "you added up, for each photo, the logits of all photos' classes", _TABLE),
    lambda z, t: z[:, t].sum(),
    Mistake("averaged-logits", "you averaged the logits over the photos of the batch", _ADD),
    lambda z, t: logit(z, t) / len(z),
    Mistake("squared", "you squared the logit", _LOGIT),
    lambda z, t: z.gather(1, t[:, None]).square().sum(),
]


def wrong_scores(right: Function) -> list[Mistake | Function]:
    """Return the mistakes of going back from something else; ``right`` takes what it goes back from as ``score=``."""
    return completed(_WRONG_SCORES, lambda wrong: partial(right, score=wrong))


def of_input(net: nn.Module, x: Tensor, target: Tensor, score: Score = logit) -> Tensor:
    """Return the gradient (N, C, H, W) of a score with regard to the photos."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(score(net(x), target), x)[0]


def _gradient(net: nn.Module, x: Tensor, target: Tensor, score: Score = logit) -> Tensor:
    return of_input(net, x, target, score).sum(1)


def _each_times_x(
    net: nn.Module, x: Tensor, target: Tensor, score: Score = logit, times: Function = torch.mul
) -> Tensor:
    return times(x, of_input(net, x, target, score))


_input_x_gradient = then(_each_times_x, lambda products: products.sum(1))


def _with(times: Function) -> Function:
    return partial(_input_x_gradient, times=times)


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
    make=asked,
    right=_gradient,
    mistakes=[
        Mistake("times-input", "you multiplied by the input", "That is input x gradient."),
        _input_x_gradient,
        *wrong_scores(_gradient),
        *colours(of_input),
    ],
)
check_gradient = checker(GRADIENT)

_BOTH_SIGNED = "Both factors keep their sign: a negative gradient at a negative pixel is evidence for the class."
_EACH_COLOUR = "Multiply each colour by its own gradient first, then add up."
INPUT_X_GRADIENT = Task(
    name="input x gradient",
    signature="input_x_gradient(net, x, target)",
    returns="maps (N, H, W): x times the gradient, added up over the colours",
    about="The arguments are those of ``check_gradient``.",
    lesson=1,
    make=asked,
    right=_input_x_gradient,
    mistakes=[
        Mistake("input-missing", "you returned the gradient, not multiplied by the input", "Multiply by x."),
        _gradient,
        Mistake("summed-too-early", "you added up the colours before you multiplied", _EACH_COLOUR),
        _with(lambda x, g: x * g.sum(1, keepdim=True)),
        Mistake("relu-on-gradient", "you dropped the negative gradients before you multiplied", _BOTH_SIGNED),
        _with(lambda x, g: x * g.relu()),
        Mistake("absolute-input", "you took the absolute value of one of the two factors", _BOTH_SIGNED),
        _with(lambda x, g: x.abs() * g),
        _with(lambda x, g: x * g.abs()),
        Mistake("added", "you added input and gradient instead of multiplying", "Multiply them, pixel by pixel."),
        _with(torch.add),
        Mistake("divided", "you divided input and gradient instead of multiplying", "Multiply them, pixel by pixel."),
        _with(torch.div),
        _with(lambda x, g: g / x),
        Mistake("gradient-missing", "you added up the input's colours, without the gradient", "Multiply them."),
        _with(lambda x, g: x),
        Mistake("squared", "you squared the gradient", "Input times gradient, once each."),
        _with(lambda x, g: x * g * g),
        _with(lambda x, g: g * g),
        Mistake("squared", "you squared the input", "Input times gradient, once each."),
        _with(lambda x, g: x * x * g),
        Mistake("input-shifted", "you multiplied by the input minus its mean", "Take the input as it is: x itself."),
        _with(lambda x, g: (x - x.mean((2, 3), keepdim=True)) * g),
        _with(lambda x, g: (x - x.mean((1, 2, 3), keepdim=True)) * g),
        _with(lambda x, g: (x - x.mean()) * g),
        *wrong_scores(_input_x_gradient),
        *colours(_each_times_x),
    ],
)
check_input_x_gradient = checker(INPUT_X_GRADIENT)
