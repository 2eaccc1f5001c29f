"""FullGrad: the terms that add up to the logit, and the map that is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posgrad_edu.checks.engine import forms
from posgrad_edu.checks.engine.changes import Change, by_largest
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES, PHOTO, Handle, asked, handling
from posgrad_edu.checks.engine.mutations import each, handling_ignored, then, unchanged, with_argument
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task
from posgrad_edu.checks.gradients import Score, logit, wrong_scores
from posgrad_edu.handling import ABSOLUTE, SIGNED

LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
Shift = Callable[[Any], Tensor]  # a BatchNorm -> what it adds by itself


def _shift(norm: Any) -> Tensor:
    return norm.bias - norm.running_mean * norm.weight * torch.rsqrt(norm.running_var + norm.eps)


def _terms(
    net: nn.Module,
    x: Tensor,
    target: Tensor,
    score: Score = logit,
    shift: Shift = _shift,
    layers: tuple[type[nn.Module], ...] = LAYERS,
    times: Callable[[Tensor, Tensor], Tensor] = torch.mul,
) -> list[Tensor]:
    """Return input times gradient, then bias times gradient of each layer that has a bias, in forward order."""
    values, places = [x], [x.detach().clone().requires_grad_()]
    z = places[0]
    for layer in net.children():
        z = layer(z)
        bias: Any = layer.bias if isinstance(layer, layers) else None
        added = shift(layer) if isinstance(layer, layers) and isinstance(layer, nn.BatchNorm2d) else bias
        if added is not None:
            values.append(added.detach().reshape(-1, *[1] * (z.ndim - 2)))
            places.append(z)
    grads = torch.autograd.grad(score(z, target), places)
    return [times(value.detach(), g) for value, g in zip(values, grads, strict=True)]


_IMPLICIT = "A BatchNorm adds bias - mean * weight / sqrt(var + eps), with its running mean and variance."


def _wrong_shifts() -> list[Mistake | Function]:
    """Return the mistakes in what a BatchNorm adds: its bias, and its mean times some factor."""

    def by(factor: Callable[[Any], Any]) -> Function:
        return partial(_terms, shift=lambda norm: norm.bias - norm.running_mean * factor(norm))

    return [
        Mistake("batchnorm-bias", "you divided by the BatchNorm's variance instead of its root", _IMPLICIT),
        by(lambda norm: norm.weight / (norm.running_var + norm.eps)),
        by(lambda norm: norm.weight / norm.running_var),
        Mistake("batchnorm-bias", "you multiplied by the BatchNorm's variance or its root", _IMPLICIT),
        by(lambda norm: norm.weight * (norm.running_var + norm.eps)),
        by(lambda norm: norm.weight * (norm.running_var + norm.eps).sqrt()),
        Mistake("batchnorm-bias", "you didn't divide the BatchNorm's mean by the root of its variance", _IMPLICIT),
        by(lambda norm: norm.weight),
        by(lambda norm: 1),
        Mistake("batchnorm-bias", "you left the BatchNorm's weight out", _IMPLICIT),
        by(lambda norm: (norm.running_var + norm.eps).rsqrt()),
        Mistake("batchnorm-bias", "you left out the BatchNorm's eps, which is added to its variance", _IMPLICIT),
        by(lambda norm: norm.weight * norm.running_var.rsqrt()),
        Mistake("batchnorm-bias", "you added the BatchNorm's eps to the root of its variance", _IMPLICIT),
        by(lambda norm: norm.weight / (norm.running_var.sqrt() + norm.eps)),
        Mistake("batchnorm-bias", "the sign of the BatchNorm's mean is reversed", _IMPLICIT),
        by(lambda norm: -norm.weight * (norm.running_var + norm.eps).rsqrt()),
        Mistake("batchnorm-bias", "the BatchNorm's bias is missing from its term", _IMPLICIT),
        partial(_terms, shift=lambda norm: _shift(norm) - norm.bias),
    ]


def _of_parameters(net: nn.Module, x: Tensor, target: Tensor) -> list[Tensor]:
    """The gradients of the bias parameters themselves, which add up all positions and photos."""
    leaf = x.detach().clone().requires_grad_()
    values = [leaf, *(p for name, p in net.named_parameters() if name.endswith("bias"))]
    grads = torch.autograd.grad(logit(net(leaf), target), values)
    return [value.detach() * g for value, g in zip(values, grads, strict=True)]


_EACH = "Each layer with a bias has a term: bias times the gradient with regard to its output."
_LINEAR = "They have no position, so they aren't part of the map, but they belong to the sum."
_OUTPUT = "Take the gradient with regard to the layer's output: it has one value a photo and position."
_VALUE = "Each term is a value times its gradient."
_LATER = "Handling comes later, when the map is made: these terms add up to the logit."
_ORDER = "The input's first, then in the order of the layers."
FULLGRAD_TERMS = Task(
    name="fullgrad terms",
    signature="fullgrad_terms(net, x, target)",
    returns="list of tensors whose sum is each photo's logit",
    about="""
net: nn.Sequential of convolutions, BatchNorms, ReLUs and linear layers, in evaluation mode; it is left as it was.
x: photos (N, C, H, W). target: one class a photo, (N,). The first term is x times its gradient, (N, C, H, W); then,
in forward order, for each layer that adds a bias, that bias times the gradient of the logit with regard to the
layer's output, (N, channels, h, w) or (N, units). All are signed and detached.
""",
    lesson=6,
    make=partial(asked, batchnorm=True),
    right=_terms,
    form=forms.tensors,
    hint="All terms of a photo add up to its logit.",
    mistakes=[
        Mistake("bias-missing", "the biases are missing: you returned the input's term only", _EACH),
        then(_terms, lambda terms: terms[:1]),
        Mistake("input-missing", "the input's term is missing", "The first term is input times gradient."),
        then(_terms, lambda terms: terms[1:]),
        Mistake("linear-missing", "the biases of the linear layers are missing", _LINEAR),
        partial(_terms, layers=(nn.Conv2d, nn.BatchNorm2d)),
        Mistake("batchnorm-missing", "the BatchNorms are missing", _IMPLICIT),
        partial(_terms, layers=(nn.Conv2d, nn.Linear)),
        Mistake("bias-missing", "the convolutions' biases are missing", _EACH),
        partial(_terms, layers=(nn.BatchNorm2d, nn.Linear)),
        Mistake("batchnorm-bias", "you took the BatchNorm's bias parameter, which isn't all that it adds", _IMPLICIT),
        partial(_terms, shift=lambda norm: norm.bias),
        *_wrong_shifts(),
        Mistake("parameter-gradients", "you took the gradients of the bias parameters, over all photos", _OUTPUT),
        _of_parameters,
        Mistake("batch-mixed", "you added up the terms of all photos", "The first axis counts photos."),
        each(_terms, lambda term: term.sum(0, keepdim=True)),
        Mistake("factor-missing", "you returned the gradients, not multiplied by input and biases", _VALUE),
        partial(_terms, times=lambda value, g: g),
        Mistake("factor-missing", "you returned the layers' gradients, not multiplied by the biases", _VALUE),
        partial(_terms, times=lambda value, g: value * g if value.shape == g.shape else g),
        Mistake("factor-missing", "you returned the input's gradient, not multiplied by the input", _VALUE),
        partial(_terms, times=lambda value, g: g if value.shape == g.shape else value * g),
        Mistake("gradient-missing", "you returned input and biases, not multiplied by the gradients", _VALUE),
        partial(_terms, times=lambda value, g: value.expand_as(g)),
        Mistake("gradient-missing", "you returned the biases, not multiplied by the gradients", _VALUE),
        partial(_terms, times=lambda value, g: value * g if value.shape == g.shape else value.expand_as(g)),
        Mistake("gradient-missing", "you returned the input, not multiplied by its gradient", _VALUE),
        partial(_terms, times=lambda value, g: value if value.shape == g.shape else value * g),
        Mistake("added", "you added values and gradients instead of multiplying", _VALUE),
        partial(_terms, times=torch.add),
        partial(_terms, times=lambda value, g: value + g if value.shape == g.shape else value * g),
        Mistake("divided", "you divided values by gradients instead of multiplying", _VALUE),
        partial(_terms, times=torch.div),
        partial(_terms, times=lambda value, g: value / g if value.shape == g.shape else value * g),
        Mistake("squared", "you squared the gradients", _VALUE),
        partial(_terms, times=lambda value, g: value * g * g),
        Mistake("absolute-bias", "you took the magnitudes of input and biases", _LATER),
        partial(_terms, times=lambda value, g: value.abs() * g),
        Mistake("absolute-gradient", "you took the magnitudes of the gradients", _LATER),
        partial(_terms, times=lambda value, g: value * g.abs()),
        Mistake("last-missing", "the last term is missing", _EACH),
        then(_terms, lambda terms: terms[:-1]),
        Mistake("absolute-result", "you took absolute values of the terms", _LATER),
        each(_terms, torch.abs),
        Mistake("relu-on-result", "you dropped the negative values of the terms", _LATER),
        each(_terms, torch.relu),
        Mistake("relu-on-gradient", "you dropped the negative gradients", _LATER),
        partial(_terms, times=lambda value, g: value * g.relu()),
        Mistake("wrong-order", "the terms are in reverse order", _ORDER),
        then(_terms, lambda terms: terms[::-1]),
        Mistake("wrong-order", "the input's term comes last", _ORDER),
        then(_terms, lambda terms: terms[1:] + terms[:1]),
        Mistake("summed", "you added up the channels of each term", "Keep them: the map adds them up later."),
        each(_terms, lambda term: term.sum(1)),
        *wrong_scores(_terms),
    ],
)
check_fullgrad_terms = checker(FULLGRAD_TERMS)

Size = Sequence[int]


def _given_terms(n: int) -> Args:
    """Terms (N, 3, 8, 6), (N, 5, 8, 6) and (N, 6, 4, 3) of very different sizes, the photo's size, a handling.

    In the second try one photo's second term is zero throughout.
    """
    terms = [
        4.0**k * (0.3 + torch.rand(BATCHES[n], shape[0], 1, 1)) * torch.randn(BATCHES[n], *shape)
        for k, shape in enumerate([(3, *PHOTO), (5, *PHOTO), (6, 4, 3)])
    ]
    if n == 1:
        terms[1][0] = 0
    return terms, PHOTO, handling(n)


def _span_plus(epsilon: float, high: Tensor, low: Tensor) -> Tensor:
    return high - low + epsilon


def _rescaled(
    term: Tensor,
    axes: tuple[int, ...] = (1, 2, 3),
    magnitude: Change = torch.abs,
    sign: Change = torch.sign,
    span: Callable[[Tensor, Tensor], Tensor] = torch.sub,
    guarded: bool = True,
) -> Tensor:
    size = magnitude(term)
    low, high = size.amin(axes, keepdim=True), size.amax(axes, keepdim=True)
    return sign(term) * (size - low) / torch.where((high > low) | (not guarded), span(high, low), 1.0)


def _one_channel(term: Tensor) -> Tensor:
    return term.sum(1, keepdim=True)


_resized = partial(F.interpolate, mode="bilinear", align_corners=True)


def _fullgrad(
    terms: list[Tensor],
    size: Size,
    h: Handle,
    psi: Change = _rescaled,
    resize: Callable[[Tensor, Size], Tensor] = _resized,
    total: Callable[[Tensor, int], Tensor] = torch.sum,
) -> Tensor:
    return torch.stack([total(resize(psi(h(term)), size), 1) for term in terms]).sum(0)


_PSI = "Each term is rescaled by the smallest and largest magnitude of all its channels and positions, photo by photo."
_STAYS = "Where all magnitudes are equal, divide by 1; elsewhere by the range as it is."
_HANDLING = "Call handling(...) on each term."
_ALL = "Add up all terms."
_PUBLISHED = 'As published: F.interpolate(..., mode="bilinear", align_corners=True).'
_LAST = "psi resizes last."
FULLGRAD = Task(
    name="fullgrad",
    signature="fullgrad(terms, size, handling)",
    returns="maps (N, H, W)",
    about="""
terms: list of tensors (N, C, h, w), the input's first, as ``fullgrad_terms`` gives them without those that have no
positions. size: (H, W). handling: a function such as ``pg.ABSOLUTE``. Each term is handled; then its magnitudes are
rescaled to 0..1, in each photo by the smallest and largest over all channels and positions, and keep their signs;
then it is resized, bilinearly with ``align_corners=True``. The map is the sum over channels and terms. A
term that is zero throughout stays so.
""",
    lesson=6,
    make=_given_terms,
    right=_fullgrad,
    hint=_PSI,
    mistakes=[
        *handling_ignored(_fullgrad, _HANDLING),
        Mistake("one-unhandled", "you left the first term, the input's, as it came, or the others", _HANDLING),
        lambda t, s, h: _fullgrad(t[:1], s, SIGNED) + _fullgrad(t[1:], s, h),
        lambda t, s, h: _fullgrad(t[:1], s, h) + _fullgrad(t[1:], s, SIGNED),
        Mistake("not-finite", "a term is zero throughout, and you divided zero by zero there", _STAYS),
        partial(_fullgrad, psi=partial(_rescaled, guarded=False)),
        Mistake("epsilon", "you added a number to the range that is large enough to show", _STAYS),
        *(partial(_fullgrad, psi=partial(_rescaled, span=partial(_span_plus, 10.0**-n))) for n in range(4)),
        Mistake("handling-hard-coded", "you always take absolute values, whatever the handling", _HANDLING),
        with_argument(_fullgrad, 2, ABSOLUTE),
        Mistake("not-rescaled", "you didn't rescale the terms", _PSI),
        partial(_fullgrad, psi=unchanged),
        Mistake("per-channel", "you rescaled each channel by itself", _PSI),
        partial(_fullgrad, psi=partial(_rescaled, axes=(2, 3))),
        Mistake("batch-mixed", "you rescaled all photos of the batch together", _PSI),
        partial(_fullgrad, psi=partial(_rescaled, axes=(0, 1, 2, 3))),
        Mistake("zero-moved", "you rescaled signed values, which moves their zero", "Rescale magnitudes, keep signs."),
        partial(_fullgrad, psi=partial(_rescaled, magnitude=unchanged, sign=torch.ones_like)),
        partial(_fullgrad, psi=partial(_rescaled, magnitude=unchanged, sign=torch.ones_like, guarded=False)),
        Mistake("sign-lost", "you lost the signs when you rescaled", "Multiply with sign() again."),
        partial(_fullgrad, psi=partial(_rescaled, sign=torch.ones_like)),
        Mistake("minimum-kept", "you divided by the largest magnitude without subtracting the smallest", _PSI),
        partial(_fullgrad, psi=by_largest),
        Mistake("minimum-kept", "you subtracted the smallest magnitude, but divided by the largest", _PSI),
        partial(_fullgrad, psi=partial(_rescaled, span=lambda high, low: high)),
        Mistake("not-divided", "you subtracted the smallest magnitude, but didn't divide by the range", _PSI),
        partial(_fullgrad, psi=partial(_rescaled, span=lambda high, low: torch.ones_like(high))),
        Mistake("negative-dropped", "you dropped negative values when you rescaled", "Rescale magnitudes, keep signs."),
        partial(_fullgrad, psi=partial(_rescaled, magnitude=torch.relu)),
        partial(_fullgrad, psi=partial(_rescaled, magnitude=torch.relu, sign=torch.ones_like)),
        Mistake("squared", "you squared the magnitudes", _PSI),
        partial(_fullgrad, psi=partial(_rescaled, magnitude=torch.square)),
        Mistake("other-psi", "you divided by the sum of the magnitudes, their mean, or the standard deviation", _PSI),
        partial(_fullgrad, psi=lambda v: v / v.abs().sum((1, 2, 3), keepdim=True)),
        partial(_fullgrad, psi=lambda v: v / v.abs().mean((1, 2, 3), keepdim=True)),
        partial(_fullgrad, psi=lambda v: v / v.std((1, 2, 3), keepdim=True)),
        Mistake("handled-too-late", "you rescaled before you handled", "psi handles first, then rescales."),
        lambda t, s, h: _fullgrad(t, s, SIGNED, psi=lambda v: h(_rescaled(v))),
        Mistake("handled-too-late", "you handled after adding up the channels", _HANDLING),
        lambda t, s, h: _fullgrad(t, s, SIGNED, psi=lambda v: h(_one_channel(_rescaled(v)))),
        Mistake("handled-result", "you handled the finished map instead of the terms", _HANDLING),
        lambda t, s, h: h(_fullgrad(t, s, SIGNED)),
        Mistake("summed-too-early", "you added up the channels before you rescaled", _PSI),
        partial(_fullgrad, psi=lambda v: _rescaled(_one_channel(v))),
        Mistake("summed-too-early", "you added up the channels before you handled and rescaled", _PSI),
        lambda t, s, h: _fullgrad([_one_channel(v) for v in t], s, h),
        Mistake("channels-averaged", "you averaged over the channels instead of adding up", "Use sum over axis 1."),
        partial(_fullgrad, total=torch.mean),
        Mistake("largest-channel", "you took the largest channel instead of adding up", "Use sum over axis 1."),
        partial(_fullgrad, total=torch.amax),
        Mistake("absolute", "you added up the channels' magnitudes", "Rescaled values keep their signs."),
        partial(_fullgrad, total=lambda t, axis: t.abs().sum(axis)),
        Mistake("layers-averaged", "you averaged over the terms instead of adding up", _ALL),
        lambda t, s, h: _fullgrad(t, s, h) / len(t),
        Mistake("input-missing", "the first term, the input's, is missing", _ALL),
        lambda t, s, h: _fullgrad(t[1:], s, h),
        Mistake("bias-missing", "only the first term, the input's, is in your map", _ALL),
        lambda t, s, h: _fullgrad(t[:1], s, h),
        Mistake("largest-term", "you took the largest term at each position instead of adding up", _ALL),
        lambda t, s, h: torch.stack([_fullgrad([term], s, h) for term in t]).amax(0),
        Mistake("last-missing", "the last term is missing", _ALL),
        lambda t, s, h: _fullgrad(t[:-1], s, h),
        Mistake("last-only", "only the last term is in your map", _ALL),
        lambda t, s, h: _fullgrad(t[-1:], s, h),
        Mistake("align-corners", "you resized with align_corners=False", _PUBLISHED),
        partial(_fullgrad, resize=partial(F.interpolate, mode="bilinear")),
        Mistake("not-bilinear", "you resized by repeating the nearest values", _PUBLISHED),
        partial(_fullgrad, resize=F.interpolate),
        Mistake("resized-too-early", "you resized before you handled and rescaled", _LAST),
        lambda t, s, h: _fullgrad([_resized(v, s) for v in t], s, h),
        Mistake("resized-too-early", "you resized before you rescaled", _LAST),
        lambda t, s, h: _fullgrad([_resized(h(v), s) for v in t], s, SIGNED),
    ],
)
check_fullgrad = checker(FULLGRAD)
