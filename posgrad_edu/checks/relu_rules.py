"""Guided backprop and DeconvNet: a rule of its own for the way back through each ReLU of a network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import asked, handling
from posgrad_edu.checks.engine.mutations import colours, handling_ignored, then
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task
from posgrad_edu.checks.gradients import Score, logit, of_input, wrong_scores
from posgrad_edu.engine.backward import backward_rules, own_backward
from posgrad_edu.handling import SIGNED, Handling

Back = Callable[[Tensor, Tensor, Handling], Tensor]  # gradient from above, the ReLU's input -> gradient downwards


def _asked(n: int) -> Args:
    """A network, photos, classes and a handling; in the second try, some inputs of ReLUs are exactly 0."""
    return *asked(n, dark=n == 1), handling(n)


def _arrives(net: nn.Module, x: Tensor, target: Tensor, h: Handling, back: Back, score: Score = logit) -> Tensor:
    """Return what arrives at the photos (N, C, H, W) where ``back`` is the way back through each ReLU."""

    def rule(func: Callable[..., Tensor], z: Tensor, **how: bool) -> Tensor:
        return own_backward(lambda z: func(z, **how), lambda grad: (back(grad, z.detach(), h),), z)

    x = x.detach().clone().requires_grad_()
    with backward_rules({F.relu: rule}):
        number = score(net(x), target)
    return torch.autograd.grad(number, x)[0]


def _gate(z: Tensor) -> Tensor:
    return (z > 0).to(z)


def _guided(g: Tensor, z: Tensor, h: Handling) -> Tensor:
    return h(g) * _gate(z)


def _deconv(g: Tensor, z: Tensor, h: Handling) -> Tensor:
    return h(g)


def _only(back: Back, channels: int) -> Back:
    """Return the rule for the ReLU with so many channels, and the plain gradient for all others."""
    return lambda g, z, h: back(g, z, h) if z.shape[1] == channels else g * _gate(z)


def _with(back: Back) -> Function:
    """Return the method with this way back: what arrives, added up over the colours, (N, H, W)."""
    return then(partial(_arrives, back=back), lambda gradient: gradient.sum(1))


_PLAIN = "your result is the plain gradient: the rule acts on no ReLU"
_REGISTER = "The rule belongs to every ReLU of the network, also those between linear layers."
_BACK = "On the way back, handling(...) takes the gradient that arrives from above, in each ReLU."
_GATE = "The gate is 1 or 0: open, 1, where the ReLU's input was above 0, (z > 0)."
_NO_GATE = "Pass handling(gradient) on without (z > 0): a full backward hook gets grad_output for that."


def _shared(back: Back) -> list[Mistake | Function]:
    """Return the mistakes that guided backprop and DeconvNet share."""
    right, arrives = _with(back), partial(_arrives, back=back)
    return [
        Mistake("handled-result", "you handled the finished gradient, not what passes each ReLU", _BACK),
        lambda net, x, t, h: h(of_input(net, x, t)).sum(1),
        lambda net, x, t, h: h(of_input(net, x, t).sum(1)),
        Mistake("handled-result", "you handled what arrives at the photo, too", "Only ReLUs handle."),
        lambda net, x, t, h: h(arrives(net, x, t, h)).sum(1),
        Mistake("absolute-gradients", "you took the magnitudes of the gradients in each ReLU", _BACK),
        _with(lambda g, z, h: back(g.abs(), z, h)),
        _with(lambda g, z, h: back(g, z, h).abs()),
        Mistake("handled-activations", "you handled the activations instead of the gradients", _BACK),
        _with(lambda g, z, h: h(z)),
        Mistake("handled-activations", "you multiplied by the handled activations, too", _BACK),
        _with(lambda g, z, h: h(g) * h(z)),
        Mistake("multiplied-by-activation", "you multiplied by the activation, or the input, not the gate", _GATE),
        _with(lambda g, z, h: h(g) * z.relu()),
        _with(lambda g, z, h: h(g) * z),
        Mistake("gate-of-gradient", "your gate is open where the gradient is positive", _GATE),
        _with(lambda g, z, h: back(g, z, h) * (g > 0)),
        _with(lambda g, z, h: h(g) * (g > 0)),
        Mistake("gradient-missing", "each ReLU passes the gate alone, or the activation, without the gradient", _BACK),
        _with(lambda g, z, h: _gate(z)),
        _with(lambda g, z, h: z.relu()),
        Mistake("added", "you added gate and gradient instead of multiplying", _GATE),
        _with(lambda g, z, h: h(g) + _gate(z)),
        Mistake("squared", "you squared the gradients in each ReLU", _BACK),
        _with(lambda g, z, h: back(g, z, h) ** 2),
        Mistake("gate-reversed", "your gate is open where the ReLU was closed", _GATE),
        _with(lambda g, z, h: h(g) * (z <= 0)),
        _with(lambda g, z, h: h(g) * (z < 0)),
        Mistake("times-input", "you multiplied by the input", "The map is what arrives at the photo."),
        lambda net, x, t, h: (x * arrives(net, x, t, h)).sum(1),
        Mistake("convolutions-only", "the last ReLU, which follows a linear layer, acts without your rule", _REGISTER),
        _with(lambda g, z, h: back(g, z, h) if z.ndim == 4 else g * _gate(z)),
        _with(lambda g, z, h: back(g, z, h if z.ndim == 4 else SIGNED)),
        Mistake("one-relu", "only the first, or the last, ReLU got the rule", _REGISTER),
        _with(_only(back, 6)),
        _with(_only(back, 10)),
        *colours(arrives),
        *wrong_scores(right),
    ]


def _plain(net: nn.Module, x: Tensor, target: Tensor, h: Handling) -> Tensor:
    return of_input(net, x, target).sum(1)


GUIDED_BACKPROP = Task(
    name="guided backprop",
    signature="guided_backprop(net, x, target, handling)",
    returns="maps (N, H, W)",
    about="""
net: a classifier, nn.Sequential, with nn.ReLU modules that don't work in place; it is left as it was. x: photos
(N, C, H, W). target: one class a photo, (N,). handling: a function such as ``pg.POSITIVE``: each ReLU passes
handling(gradient) * (its input > 0) downwards. The map is what arrives at the photo, added up over the colours;
raw, signed and detached. Hooks, a copy of the network, or ``backward_rules`` are all fine.
""",
    lesson=8,
    make=_asked,
    right=_with(_guided),
    mistakes=[
        Mistake("plain-gradient", f"{_PLAIN}, or it doesn't use the handling", f"{_REGISTER} {_BACK}"),
        _plain,
        *handling_ignored(_with(_guided), _BACK)[2:],  # forgotten: the plain gradient
        Mistake("gate-missing", "the gate is missing: that is DeconvNet", "Multiply by (z > 0) as well."),
        _with(_deconv),
        Mistake("passed-unchanged", "the gradient passes each ReLU as it is: neither gate nor handling", _BACK),
        _with(lambda g, z, h: g),
        Mistake("handled-too-late", "you handled the gradient times the activation", "handling(gradient) * (z > 0)."),
        _with(lambda g, z, h: h(g * z)),
        Mistake("gate-at-zero", "your gate is open where the ReLU's input is exactly 0", _GATE),
        _with(lambda g, z, h: h(g) * (z >= 0)),
        *_shared(_guided),
    ],
)
check_guided_backprop = checker(GUIDED_BACKPROP)

DECONVNET = Task(
    name="deconvnet",
    signature="deconvnet(net, x, target, handling)",
    returns="maps (N, H, W)",
    about="As for ``check_guided_backprop``, but each ReLU passes handling(gradient) down, whatever its input was.",
    lesson=8,
    make=_asked,
    right=_with(_deconv),
    mistakes=[
        Mistake("plain-gradient", _PLAIN, _REGISTER),
        _plain,
        *handling_ignored(_with(_deconv), _BACK),
        Mistake("gate-kept", "the ReLU's own gate still acts: that is guided backprop", _NO_GATE),
        _with(_guided),
        *_shared(_deconv),
    ],
)
check_deconvnet = checker(DECONVNET)
