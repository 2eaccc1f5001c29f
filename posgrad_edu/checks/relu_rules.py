"""Guided backprop and DeconvNet on a whole network, and RectGrad's rule for one ReLU."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posgrad_edu.checks.cam import ALWAYS_POSITIVE, FORGOTTEN
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES, classes, handling, network, photos
from posgrad_edu.checks.engine.task import Args, Mistake, Task
from posgrad_edu.checks.gradients import WRONG_SCORES, Score, logit, of_input
from posgrad_edu.engine.backward import backward_rules, own_backward
from posgrad_edu.handling import POSITIVE, SIGNED, Handling

Back = Callable[[Tensor, Tensor], Tensor]  # gradient from above, the ReLU's input -> gradient downwards


def _asked(n: int) -> Args:
    return network(), photos(n), classes(n), handling(n)


def _through(net: nn.Module, x: Tensor, target: Tensor, back: Back, score: Score = logit) -> Tensor:
    """Return what arrives at the photos (N, C, H, W) where ``back`` is the way back through each ReLU."""

    def rule(func: Callable[..., Tensor], z: Tensor, **how: bool) -> Tensor:
        return own_backward(lambda z: func(z, **how), lambda grad: (back(grad, z.detach()),), z)

    x = x.detach().clone().requires_grad_()
    with backward_rules({F.relu: rule}):
        number = score(net(x), target)
    return torch.autograd.grad(number, x)[0]


def _gate(z: Tensor) -> Tensor:
    return (z > 0).to(z)


def _guided(h: Handling) -> Back:
    return lambda g, z: h(g) * _gate(z)


def _deconv(h: Handling) -> Back:
    return lambda g, z: h(g)


def _map(rule: Callable[[Handling], Back]) -> Callable[..., Tensor]:
    """Return a method (net, x, target, handling) -> (N, H, W) with this rule."""
    return lambda net, x, t, h: _through(net, x, t, rule(h)).sum(1)


_REGISTER = "The rule belongs to every ReLU of the network, also those between linear layers."
_BACK = "On the way back, handling(...) takes the gradient that arrives from above, in each ReLU."


def _shared(rule: Callable[[Handling], Back]) -> list[Mistake]:
    """Return the mistakes that guided backprop and DeconvNet share."""
    right = _map(rule)
    return [
        Mistake("plain-gradient", "your result is the plain gradient: the rule acts on no ReLU", _REGISTER,
                lambda net, x, t, h: of_input(net, x, t).sum(1)),
        Mistake(*FORGOTTEN, _BACK, lambda net, x, t, h: right(net, x, t, SIGNED)),
        Mistake(*ALWAYS_POSITIVE, _BACK, lambda net, x, t, h: right(net, x, t, POSITIVE)),
        Mistake("handled-result", "you handled the finished gradient, not what passes each ReLU", _BACK,
                lambda net, x, t, h: h(of_input(net, x, t)).sum(1)),
        Mistake("handled-result", "you handled the finished map, not what passes each ReLU", _BACK,
                lambda net, x, t, h: h(of_input(net, x, t).sum(1))),
        Mistake("handled-result", "you handled what arrives at the photo, too", "Only ReLUs handle.",
                lambda net, x, t, h: h(_through(net, x, t, rule(h))).sum(1)),
        Mistake("handled-activations", "you handled the activations instead of the gradients", _BACK,
                _map(lambda h: lambda g, z: h(z))),
        Mistake("handled-activations", "you passed the gradient only where a gradient AND its activation are handled",
                _BACK, _map(lambda h: lambda g, z: h(g) * h(z))),
        Mistake("multiplied-by-activation", "you multiplied by the activation instead of the gate",
                "The gate is 1 or 0: (z > 0).", _map(lambda h: lambda g, z: h(g) * z.relu())),
        Mistake("multiplied-by-activation", "you multiplied by the ReLU's input instead of the gate",
                "The gate is 1 or 0: (z > 0).", _map(lambda h: lambda g, z: h(g) * z)),
        Mistake("gate-reversed", "your gate is open where the ReLU was closed",
                "The gate is open where its input was above 0.", _map(lambda h: lambda g, z: h(g) * (z <= 0))),
        Mistake("colours-averaged", "you averaged over the colours", "Add them up with sum(1).",
                lambda net, x, t, h: _through(net, x, t, rule(h)).mean(1)),
        Mistake("channels-kept", "you kept the colour channels", "Add them up with sum(1).",
                lambda net, x, t, h: _through(net, x, t, rule(h))),
        Mistake("absolute-result", "you took absolute values before adding up the colours", "The map is signed.",
                lambda net, x, t, h: _through(net, x, t, rule(h)).abs().sum(1)),
        Mistake("relu-on-result", "you dropped negative values before adding up the colours", "The map is signed.",
                lambda net, x, t, h: _through(net, x, t, rule(h)).relu().sum(1)),
        Mistake("times-input", "you multiplied by the input", "The map is what arrives at the photo.",
                lambda net, x, t, h: (x * _through(net, x, t, rule(h))).sum(1)),
        Mistake("convolutions-only", "you forgot the ReLUs after linear layers", _REGISTER,
                _map(lambda h: lambda g, z: rule(h)(g, z) if z.ndim == 4 else g * _gate(z))),
        Mistake("one-relu", "only the first ReLU got the rule", _REGISTER,
                lambda net, x, t, h: _through(net, x, t, _only(rule(h), 6)).sum(1)),
        Mistake("one-relu", "only the last ReLU got the rule", _REGISTER,
                lambda net, x, t, h: _through(net, x, t, _only(rule(h), 10)).sum(1)),
        *[
            Mistake(key, says, hint, lambda net, x, t, h, score=score: _through(net, x, t, rule(h), score).sum(1))
            for key, says, hint, score in WRONG_SCORES
        ],
    ]  # fmt: skip


def _only(back: Back, channels: int) -> Back:
    """Return the rule for the ReLU with so many channels, and the plain gradient for all others."""
    return lambda g, z: back(g, z) if z.shape[1] == channels else g * _gate(z)


GUIDED_BACKPROP = Task(
    name="guided backprop",
    signature="guided_backprop(net, x, target, handling)",
    returns="maps (N, H, W)",
    about="""
net: a classifier with nn.ReLU modules that don't work in place; it is left as it was. x: photos (N, C, H, W).
target: one class a photo, (N,). handling: a function such as ``pg.POSITIVE``: each ReLU passes
handling(gradient) * (its input > 0) downwards. The map is what arrives at the photo, added up over the colours;
raw, signed and detached. Hooks, a copy of the network, or ``backward_rules`` are all fine.
""",
    lesson=5,
    make=_asked,
    right=_map(_guided),
    mistakes=[
        Mistake("gate-missing", "the gate is missing: that is DeconvNet",
                "Multiply by (z > 0) as well.", _map(_deconv)),
        Mistake("handled-too-late", "you handled the gradient times the activation", "handling(gradient) * (z > 0).",
                _map(lambda h: lambda g, z: h(g * z))),
        *_shared(_guided),
    ],
)  # fmt: skip

DECONVNET = Task(
    name="deconvnet",
    signature="deconvnet(net, x, target, handling)",
    returns="maps (N, H, W)",
    about="""
As for ``check_guided_backprop``, but each ReLU passes handling(gradient) downwards, whatever its input was.
""",
    lesson=5,
    make=_asked,
    right=_map(_deconv),
    mistakes=[
        Mistake("gate-kept", "the ReLU's own gate still acts: that is guided backprop",
                "Pass handling(gradient) on without (z > 0): a full backward hook gets grad_output for that.",
                _map(_guided)),
        *_shared(_deconv),
    ],
)  # fmt: skip

Method = Callable[[nn.Module, Tensor, Tensor, Handling], Tensor]


check_guided_backprop = checker(GUIDED_BACKPROP)


check_deconvnet = checker(DECONVNET)


def _contributions(n: int) -> Args:
    """Gradients and activations (N, 4, 4, 6) of one ReLU, a handling, and q; q times the values is a whole number."""
    shape = (BATCHES[n], 4, 4, 6)
    size = 0.5 + 3 * torch.rand(BATCHES[n], 1, 1, 1)  # so that photos, and channels, need thresholds of their own
    strength = 0.5 + 2 * torch.rand(1, 4, 1, 1)
    gradient = size * strength * torch.randn(shape)
    return gradient, torch.randn(shape).relu(), handling(n), (0.875, 0.75, 0.0, 0.9375)[n]


Threshold = Callable[[Tensor, float], Tensor]


def _per_photo(values: Tensor, q: float) -> Tensor:
    flat = values.flatten(1)
    rank = math.ceil(q * flat.shape[1])
    found = flat.kthvalue(rank).values if rank else flat.new_zeros(len(flat))
    return found.reshape(-1, 1, 1, 1)


def _smallest_for_zero(values: Tensor, q: float) -> Tensor:
    """The quantile; for q = 0 the smallest value, which nothing but a contribution of 0 makes 0."""
    return values.flatten(1).quantile(q, dim=1).reshape(-1, 1, 1, 1)


def _per_channel(values: Tensor, q: float) -> Tensor:
    return values.flatten(2).quantile(q, dim=2)[:, :, None, None] * (q > 0)


def _whole_batch(values: Tensor, q: float) -> Tensor:
    return _per_photo(values.reshape(1, -1, 1, 1), q)


def _rect(g: Tensor, a: Tensor, h: Handling, q: float, threshold: Threshold = _per_photo) -> Tensor:
    signal = h(g) * _gate(a)
    size = (a * signal).abs()
    return signal * (size > threshold(size, q))


def _cut_by(
    size: Callable[[Tensor, Tensor, Handling], Tensor], threshold: Threshold = _per_photo
) -> Callable[..., Tensor]:
    """Return the rule with another quantity held against the threshold."""

    def rule(g: Tensor, a: Tensor, h: Handling, q: float) -> Tensor:
        values = size(g, a, h)
        return h(g) * _gate(a) * (values > threshold(values, q))

    return rule


def _above_open(values: Tensor, q: float) -> Tensor:
    """Return the quantile among the values that aren't 0."""
    rows = [row[row > 0] for row in values.flatten(1)]
    return torch.stack([row.quantile(q) if q else row.new_zeros(()) for row in rows]).reshape(-1, 1, 1, 1)


_CONTRIBUTION = "Hold abs(activations * handling(gradients)) against its own quantile."
RECTGRAD = Task(
    name="rectgrad",
    signature="rectgrad(gradients, activations, handling, q)",
    returns="gradients that pass downwards, (N, C, h, w)",
    about="""
The way back through one ReLU. gradients: what arrives from above, (N, C, h, w). activations: the ReLU's output.
handling: a function such as ``pg.POSITIVE``. q: the share of the contributions abs(activations *
handling(gradients)) that is cut in each photo; what passes is handling(gradients), where the contribution is above
(>) the photo's quantile q. For q = 0 the threshold is 0.
""",
    lesson=6,
    make=_contributions,
    right=_rect,
    mistakes=[
        Mistake(*FORGOTTEN, _CONTRIBUTION, lambda g, a, h, q: _rect(g, a, SIGNED, q)),
        Mistake(*ALWAYS_POSITIVE, _CONTRIBUTION, lambda g, a, h, q: _rect(g, a, POSITIVE, q)),
        Mistake("batch-mixed", "you took one threshold for the whole batch",
                "Each photo has its own: flatten(1) first.",
                lambda g, a, h, q: _rect(g, a, h, q, _whole_batch)),
        Mistake("per-channel", "you took one threshold for each channel", "One for each photo: over all its values.",
                lambda g, a, h, q: _rect(g, a, h, q, _per_channel)),
        Mistake("threshold-of-gradients", "you held the gradients against a threshold, not the contributions",
                _CONTRIBUTION, _cut_by(lambda g, a, h: h(g).abs())),
        Mistake("threshold-of-gradients", "you held the gradients against a threshold, not the contributions",
                _CONTRIBUTION, _cut_by(lambda g, a, h: h(g).abs(), _smallest_for_zero)),
        Mistake("threshold-of-gradients", "you held the gradients against a threshold, not the contributions",
                _CONTRIBUTION, _cut_by(lambda g, a, h: (h(g) * _gate(a)).abs())),
        Mistake("threshold-of-gradients", "you held the gradients against a threshold, not the contributions",
                _CONTRIBUTION, _cut_by(lambda g, a, h: h(g))),
        Mistake("threshold-of-activations", "you held the activations against a threshold, not the contributions",
                _CONTRIBUTION, _cut_by(lambda g, a, h: a)),
        Mistake("not-absolute", "you left out the absolute value of the contributions",
                "With signed handling large negative contributions pass, too.", _cut_by(lambda g, a, h: a * h(g))),
        Mistake("handled-too-late", "the threshold comes from contributions that weren't handled",
                _CONTRIBUTION, _cut_by(lambda g, a, h: (a * g).abs())),
        Mistake("wrong-end", "you kept the smallest contributions instead of the largest",
                "What is above the threshold passes.",
                lambda g, a, h, q: h(g) * _gate(a) * ((a * h(g)).abs() <= _per_photo((a * h(g)).abs(), q))),
        Mistake("wrong-end", "you kept the smallest contributions instead of the largest",
                "What is above the threshold passes.",
                lambda g, a, h, q: h(g) * _gate(a) * ((a * h(g)).abs() < _per_photo((a * h(g)).abs(), q))),
        Mistake("wrong-share", "you kept the share q instead of cutting it", "q is the share that is cut: quantile q.",
                lambda g, a, h, q: _rect(g, a, h, 1 - q)),
        Mistake("open-gates-only", "you took the quantile among the open gates only",
                "The zeros of closed gates count, too.", lambda g, a, h, q: _rect(g, a, h, q, _above_open)),
        Mistake("contribution-returned", "you returned the contributions instead of the gradients",
                "The activations decide what passes; what passes is handling(gradients).",
                lambda g, a, h, q: a * _rect(g, a, h, q)),
        Mistake("mask-returned", "you returned the mask", "Multiply it with handling(gradients).",
                lambda g, a, h, q: (_rect(g, a, h, q) != 0).float()),
        Mistake("not-strict", "you let through what equals the threshold", "Above it means >, not >=.",
                lambda g, a, h, q: h(g) * _gate(a) * ((a * h(g)).abs() >= _per_photo((a * h(g)).abs(), q))),
        Mistake("not-strict", "you let through what equals the threshold, and closed gates with it",
                "Above it means >, not >=.",
                lambda g, a, h, q: h(g) * ((a * h(g)).abs() >= _per_photo((a * h(g)).abs(), q))),
        Mistake("no-threshold", "nothing is cut: that is guided backprop", "What is above the threshold passes.",
                lambda g, a, h, q: h(g) * _gate(a)),
        Mistake("fraction-of-largest", "your threshold is a fraction of the largest contribution",
                "It is a quantile: the share q of the values lies below it.",
                lambda g, a, h, q: _rect(g, a, h, q, lambda v, q: q * v.amax((1, 2, 3), keepdim=True))),
        Mistake("threshold-subtracted", "you subtracted the threshold from what passes", "What passes stays as it is.",
                lambda g, a, h, q: ((a * h(g)).abs() - _per_photo((a * h(g)).abs(), q)).clamp(min=0)),
    ],
)  # fmt: skip


check_rectgrad = checker(RECTGRAD)
