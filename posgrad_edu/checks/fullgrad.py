"""FullGrad: the terms that add up to the logit, and the map that is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posgrad_edu.checks.engine import forms
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES, classes, handling, network, photos
from posgrad_edu.checks.engine.mutations import handling_ignored
from posgrad_edu.checks.engine.task import Args, Mistake, Task
from posgrad_edu.checks.gradients import Score, logit, wrong_scores
from posgrad_edu.handling import ABSOLUTE, SIGNED, Handling

LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)


def _asked(n: int) -> Args:
    return network(batchnorm=True), photos(n), classes(n)


def implicit(layer: nn.Module) -> Tensor | None:
    """Return what a layer adds by itself; a BatchNorm's running mean belongs to it."""
    if isinstance(layer, nn.BatchNorm2d):
        assert layer.running_mean is not None
        assert layer.running_var is not None
        return layer.bias - layer.running_mean * layer.weight / (layer.running_var + layer.eps).sqrt()
    bias: Tensor | None = layer.bias  # type: ignore[assignment]
    return bias


def _explicit(layer: nn.Module) -> Tensor | None:
    return layer.bias  # type: ignore[return-value]


def _without_eps(layer: nn.Module) -> Tensor | None:
    if isinstance(layer, nn.BatchNorm2d):
        return layer.bias - layer.running_mean * layer.weight / layer.running_var  # type: ignore[operator]
    return _explicit(layer)


def _wrong_sign(layer: nn.Module) -> Tensor | None:
    if isinstance(layer, nn.BatchNorm2d):
        return 2 * layer.bias - implicit(layer)  # type: ignore[operator]
    return _explicit(layer)


def _terms(
    net: nn.Module,
    x: Tensor,
    target: Tensor,
    score: Score = logit,
    bias: Callable[[nn.Module], Tensor | None] = implicit,
    layers: tuple[type[nn.Module], ...] = LAYERS,
    times: Callable[[Tensor, Tensor], Tensor] = torch.mul,
) -> list[Tensor]:
    """Return input times gradient, then bias times gradient of each layer that has a bias, in forward order."""
    values, places = [x], [x.detach().clone().requires_grad_()]
    z = places[0]
    for layer in net.children():
        z = layer(z)
        added = bias(layer) if isinstance(layer, layers) else None
        if added is not None:
            values.append(added.detach().reshape(-1, *[1] * (z.ndim - 2)))
            places.append(z)
    grads = torch.autograd.grad(score(z, target), places)
    return [times(value.detach(), g) for value, g in zip(values, grads, strict=True)]


def _of_parameters(net: nn.Module, x: Tensor, target: Tensor) -> list[Tensor]:
    """The gradients of the bias parameters themselves, which add up all positions and photos."""
    leaf = x.detach().clone().requires_grad_()
    biases = [p for name, p in net.named_parameters() if name.endswith("bias")]
    grads = torch.autograd.grad(logit(net(leaf), target), [leaf, *biases])
    return [value.detach() * g for value, g in zip([leaf, *biases], grads, strict=True)]


def _product_without_bias(value: Tensor, grad: Tensor) -> Tensor:
    return value * grad if value.shape == grad.shape else grad


def _summed_over_photos(net: nn.Module, x: Tensor, t: Tensor) -> list[Tensor]:
    return [term.sum(0, keepdim=True) for term in _terms(net, x, t)]


_IMPLICIT = "A BatchNorm adds bias - mean * weight / sqrt(var + eps), with its running mean and variance."
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
    lesson=4,
    make=_asked,
    right=_terms,
    form=forms.tensors,
    hint="All terms of a photo add up to its logit.",
    mistakes=[
        Mistake(
            "bias-missing",
            "the biases are missing: you returned the input's term only",
            "Each layer with a bias has a term: bias times the gradient with regard to its output.",
        ),
        lambda net, x, t: _terms(net, x, t)[:1],
        Mistake("input-missing", "the input's term is missing", "The first term is input times gradient."),
        lambda net, x, t: _terms(net, x, t)[1:],
        Mistake(
            "linear-missing",
            "the biases of the linear layers are missing",
            "They have no position, so they aren't part of the map, but they belong to the sum.",
        ),
        lambda net, x, t: _terms(net, x, t, layers=(nn.Conv2d, nn.BatchNorm2d)),
        Mistake("batchnorm-missing", "the BatchNorms are missing", _IMPLICIT),
        lambda net, x, t: _terms(net, x, t, layers=(nn.Conv2d, nn.Linear)),
        Mistake("bias-missing", "the convolutions' biases are missing", "Each layer with a bias has a term."),
        lambda net, x, t: _terms(net, x, t, layers=(nn.BatchNorm2d, nn.Linear)),
        Mistake("batchnorm-bias", "you took the BatchNorm's bias parameter, which isn't all that it adds", _IMPLICIT),
        lambda net, x, t: _terms(net, x, t, bias=_explicit),
        Mistake("batchnorm-bias", "you divided by the BatchNorm's variance instead of its root", _IMPLICIT),
        lambda net, x, t: _terms(net, x, t, bias=_without_eps),
        Mistake("batchnorm-bias", "the sign of the BatchNorm's mean is reversed", _IMPLICIT),
        lambda net, x, t: _terms(net, x, t, bias=_wrong_sign),
        Mistake(
            "parameter-gradients",
            "you took the gradients of the bias parameters, which add up all photos",
            "Take the gradient with regard to the layer's output: it has one value a photo and position.",
        ),
        _of_parameters,
        Mistake("batch-mixed", "you added up the terms of all photos", "The first axis counts photos."),
        _summed_over_photos,
        Mistake(
            "factor-missing",
            "you returned the gradients, not multiplied by input and biases",
            "Each term is a value times its gradient.",
        ),
        lambda net, x, t: _terms(net, x, t, times=lambda value, g: g),
        Mistake(
            "factor-missing",
            "you returned the gradients at the layers, not multiplied by the biases",
            "Each term is a value times its gradient.",
        ),
        lambda net, x, t: _terms(net, x, t, times=_product_without_bias),
        Mistake(
            "absolute-result",
            "you took absolute values: these terms no longer add up to the logit",
            "Handling comes later, when the map is made.",
        ),
        lambda net, x, t: [term.abs() for term in _terms(net, x, t)],
        Mistake(
            "relu-on-result",
            "you dropped the negative values: these terms no longer add up to the logit",
            "Handling comes later, when the map is made.",
        ),
        lambda net, x, t: [term.relu() for term in _terms(net, x, t)],
        Mistake(
            "relu-on-gradient", "you dropped the negative gradients", "Handling comes later, when the map is made."
        ),
        lambda net, x, t: _terms(net, x, t, times=lambda value, g: value * g.relu()),
        Mistake("wrong-order", "the terms are in reverse order", "The input's first, then in the order of the layers."),
        lambda net, x, t: _terms(net, x, t)[::-1],
        Mistake("wrong-order", "the input's term comes last", "The input's first, then in the order of the layers."),
        lambda net, x, t: _terms(net, x, t)[1:] + _terms(net, x, t)[:1],
        Mistake("summed", "you added up the channels of each term", "Keep them: the map adds them up later."),
        lambda net, x, t: [term.sum(1) for term in _terms(net, x, t)],
        *wrong_scores(_terms),
    ],
)


check_fullgrad_terms = checker(FULLGRAD_TERMS)


def _given_terms(n: int) -> Args:
    """Terms (N, 3, 8, 6), (N, 5, 8, 6) and (N, 6, 4, 3) of very different sizes, the photo's size, a handling."""
    shapes = [(3, 8, 6), (5, 8, 6), (6, 4, 3)]
    terms = [
        4.0**k * (0.3 + torch.rand(BATCHES[n], c, 1, 1)) * torch.randn(BATCHES[n], c, h, w)
        for k, (c, h, w) in enumerate(shapes)
    ]
    return terms, (8, 6), handling(n)


Axes = tuple[int, ...]


def _rescaled(term: Tensor, axes: Axes = (1, 2, 3)) -> Tensor:
    low, high = term.abs().amin(axes, keepdim=True), term.abs().amax(axes, keepdim=True)
    return term.sign() * (term.abs() - low) / torch.where(high > low, high - low, 1.0)


def _min_max(term: Tensor) -> Tensor:
    low, high = term.amin((1, 2, 3), keepdim=True), term.amax((1, 2, 3), keepdim=True)
    return (term - low) / torch.where(high > low, high - low, 1.0)


def _by_largest(term: Tensor) -> Tensor:
    return term / term.abs().amax((1, 2, 3), keepdim=True)


def _resized(term: Tensor, size: Sequence[int], corners: bool = True) -> Tensor:
    return F.interpolate(term, size=tuple(size), mode="bilinear", align_corners=corners)


def _fullgrad(
    terms: list[Tensor], size: Sequence[int], h: Handling, psi: Callable[[Tensor], Tensor] = _rescaled
) -> Tensor:
    return torch.stack([_resized(psi(h(term)), size).sum(1) for term in terms]).sum(0)


_PSI = "Each term is rescaled by the smallest and largest magnitude of all its channels and positions, photo by photo."
FULLGRAD = Task(
    name="fullgrad",
    signature="fullgrad(terms, size, handling)",
    returns="maps (N, H, W)",
    about="""
terms: list of tensors (N, C, h, w), the input's first, as ``fullgrad_terms`` gives them without those that have no
positions. size: (H, W). handling: a function such as ``pg.ABSOLUTE``. Each term is handled; then its magnitudes are
rescaled to 0..1, in each photo by the smallest and largest over all channels and positions, and keep their signs;
then it is resized, bilinearly with ``align_corners=True``. The map is the sum over channels and terms.
""",
    lesson=4,
    make=_given_terms,
    right=_fullgrad,
    hint=_PSI,
    mistakes=[
        *handling_ignored(_fullgrad, "Call handling(...) on each term."),
        Mistake(
            "handling-hard-coded",
            "you always take absolute values, whatever the handling",
            "Call handling(...) on each term.",
        ),
        lambda t, s, h: _fullgrad(t, s, ABSOLUTE),
        Mistake("not-rescaled", "you didn't rescale the terms", _PSI),
        lambda t, s, h: _fullgrad(t, s, h, lambda v: v),
        Mistake("per-channel", "you rescaled each channel by itself", _PSI),
        lambda t, s, h: _fullgrad(t, s, h, lambda v: _rescaled(v, (2, 3))),
        Mistake("batch-mixed", "you rescaled all photos of the batch together", _PSI),
        lambda t, s, h: _fullgrad(t, s, h, lambda v: _rescaled(v, (0, 1, 2, 3))),
        Mistake(
            "zero-moved",
            "you rescaled signed values to 0..1, which moves their zero",
            "Rescale the magnitudes, and keep the signs.",
        ),
        lambda t, s, h: _fullgrad(t, s, h, _min_max),
        Mistake("sign-lost", "you lost the signs when you rescaled", "Multiply with sign() again."),
        lambda t, s, h: _fullgrad(t, s, h, lambda v: _rescaled(v).abs()),
        Mistake("minimum-kept", "you divided by the largest magnitude without subtracting the smallest", _PSI),
        lambda t, s, h: _fullgrad(t, s, h, _by_largest),
        Mistake("handled-too-late", "you rescaled before you handled", "psi handles first, then rescales."),
        lambda t, s, h: _fullgrad(t, s, SIGNED, lambda v: h(_rescaled(v))),
        Mistake("handled-too-late", "you handled after adding up the channels", "Handle each term's values first."),
        lambda t, s, h: torch.stack([_resized(h(_rescaled(v).sum(1, keepdim=True)), s).sum(1) for v in t]).sum(0),
        Mistake("handled-result", "you handled the finished map instead of the terms", "Handle each term first."),
        lambda t, s, h: h(_fullgrad(t, s, SIGNED)),
        Mistake("summed-too-early", "you added up the channels before you rescaled", _PSI),
        lambda t, s, h: torch.stack([_resized(_rescaled(h(v).sum(1, keepdim=True)), s).sum(1) for v in t]).sum(0),
        Mistake("summed-too-early", "you added up the channels before you handled and rescaled", _PSI),
        lambda t, s, h: _fullgrad([v.sum(1, keepdim=True) for v in t], s, h),
        Mistake("channels-averaged", "you averaged over the channels instead of adding up", "Use sum over axis 1."),
        lambda t, s, h: torch.stack([_resized(_rescaled(h(v)), s).mean(1) for v in t]).sum(0),
        Mistake("layers-averaged", "you averaged over the terms instead of adding up", "Add them all up."),
        lambda t, s, h: _fullgrad(t, s, h) / len(t),
        Mistake("input-missing", "the first term, the input's, is missing", "Add up all terms."),
        lambda t, s, h: _fullgrad(t[1:], s, h),
        Mistake("bias-missing", "only the first term, the input's, is in your map", "Add up all terms."),
        lambda t, s, h: _fullgrad(t[:1], s, h),
        Mistake("last-only", "only the last term is in your map", "Add up all terms."),
        lambda t, s, h: _fullgrad(t[-1:], s, h),
        Mistake(
            "align-corners",
            "you resized with align_corners=False",
            'As published: F.interpolate(..., mode="bilinear", align_corners=True).',
        ),
        lambda t, s, h: torch.stack([_resized(_rescaled(h(v)), s, corners=False).sum(1) for v in t]).sum(0),
        Mistake(
            "not-bilinear",
            "you resized by repeating the nearest values",
            'As published: F.interpolate(..., mode="bilinear", align_corners=True).',
        ),
        lambda t, s, h: torch.stack([F.interpolate(_rescaled(h(v)), size=tuple(s)).sum(1) for v in t]).sum(0),
        Mistake("resized-too-early", "you resized before you handled and rescaled", "psi resizes last."),
        lambda t, s, h: _fullgrad([_resized(v, s) for v in t], s, h),
        Mistake("resized-too-early", "you resized before you rescaled", "psi resizes last."),
        lambda t, s, h: _fullgrad([_resized(h(v), s) for v in t], s, SIGNED),
    ],
)


check_fullgrad = checker(FULLGRAD)
