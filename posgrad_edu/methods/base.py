"""What all saliency methods share: checking their input, asking for several classes at once, and resizing.

A method is a small dataclass. Its fields are its options; calling it explains photos:

    GradCAM(handling="positive")(net, x, target)     # (N, H, W)

A method of your own needs two things: ``published``, the handling its authors used, and ``maps``, which turns a
network, a batch (N, C, H, W) and classes (N, K) into maps (N, K, h, w). Checks, several classes at once, the
switch and resizing to the photo come with the base class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import SIGNED, Handling, get_handling

Target = int | Sequence[int] | Sequence[Sequence[int]] | Tensor


@dataclass(frozen=True)
class Method:
    """A saliency method: options as fields, ``method(net, x, target)`` for raw signed maps.

    handling: what is done with the sign of gradient information; ``None`` for as published.
    """

    name: ClassVar[str]
    published: ClassVar[Handling] = SIGNED

    handling: str | Handling | None = None

    def __post_init__(self) -> None:
        get_handling(self.switch)  # a misspelt name is refused now, not after a long computation

    @property
    def switch(self) -> Handling:
        """The handling in force."""
        return self.published if self.handling is None else get_handling(self.handling)

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        """Return one raw map (N, K, h, w) for each photo of x (N, C, H, W) and class of target (N, K)."""
        raise NotImplementedError

    def __call__(self, net: nn.Module, x: Tensor, target: Target) -> Tensor:
        """Return maps (N, H, W), or (N, K, H, W) for a target of (N, K), signed and not normalised.

        net: a classifier in evaluation mode, x (N, C, H, W) -> logits (N, classes).
        target: one class for all photos, (N,) one each, or (N, K) for K classes of each photo.
        Raises ``ValueError`` for a network in training mode, an x that isn't a finite batch of photos, or
        classes that don't exist.
        """
        check_network(net)
        check_photos(x)
        classes = as_target(target, len(x), x.device)
        # Not even a caller's no_grad() or inference_mode() keeps us from taking gradients.
        with torch.inference_mode(False), torch.enable_grad():
            maps = self.maps(net, x.detach().clone(), classes).detach()
        maps = resize(maps, x.shape[-2:])
        one_each = torch.as_tensor(target).ndim < 2
        return maps[:, 0] if one_each else maps


@dataclass(frozen=True)
class InputSpaceMethod(Method):
    """A method that gives each input value its own attribution; ``reduce`` turns colour channels into a map.

    reduce: "sum" over the channels (default), "absmax" for the channel value of the largest magnitude with its
    sign, or ``None`` to keep the channels, (N, C, H, W).
    """

    reduce: str | None = "sum"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reduce not in ("sum", "absmax", None):
            raise ValueError(f"reduce is 'sum', 'absmax' or None, not {self.reduce!r}.")

    def reduced(self, attribution: Tensor) -> Tensor:
        """Return (N, K, H, W) from attributions (N, K, C, H, W), or these unchanged for ``reduce=None``."""
        if self.reduce == "sum":
            return attribution.sum(2)
        if self.reduce == "absmax":
            return attribution.gather(2, attribution.abs().argmax(2, keepdim=True)).squeeze(2)
        return attribution


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Return maps (..., h, w) at the resolution ``size``, bilinearly; maps of that size are left alone."""
    if maps.shape[-2:] == tuple(size):
        return maps
    flat = maps.flatten(0, -3).unsqueeze(1)
    flat = F.interpolate(flat, size=tuple(size), mode="bilinear", align_corners=False)
    return flat.reshape(*maps.shape[:-2], *size)


def forward(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Return the logits (N, classes), checked against the photos and the classes asked for."""
    logits = net(x)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x):
        got = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"The network should return logits of shape (N, classes) = ({len(x)}, ...), but returned {got}. "
            "Wrap it in a module that returns the class scores alone."
        )
    if target.max() >= logits.shape[1]:
        raise ValueError(
            f"Class {int(target.max())} is out of range: the network has {logits.shape[1]} classes, "
            f"0 to {logits.shape[1] - 1}."
        )
    return logits


def gradients(logits: Tensor, target: Tensor, inputs: Sequence[Any]) -> Iterator[list[Tensor | None]]:
    """Yield, for each of the K classes of target (N, K), the gradients of its logit with regard to ``inputs``.

    One forward pass serves all K. Photos of a batch don't meet in a network in evaluation mode, so the
    gradient of the sum over photos holds each photo's own gradient.
    """
    if not logits.requires_grad:
        raise ValueError(
            "The logits don't depend on what is explained through differentiable operations. "
            "Look for detach(), no_grad(), argmax or a layer that is never used in the network's forward()."
        )
    classes = target.shape[1]
    for k in range(classes):
        logit = logits.gather(1, target[:, k : k + 1]).sum()
        yield list(torch.autograd.grad(logit, inputs, retain_graph=k < classes - 1, allow_unused=True))


def input_gradients(logits: Tensor, target: Tensor, x: Tensor) -> Tensor:
    """Return the gradient (N, K, C, H, W) of each asked logit with regard to x (N, C, H, W)."""
    found = [grads[0] for grads in gradients(logits, target, [x])]
    return torch.stack([torch.zeros_like(x) if g is None else g for g in found], dim=1)


def as_target(target: Target, photos: int, device: torch.device) -> Tensor:
    """Return the classes as (N, K): one class for all, one for each photo, or K for each photo."""
    try:
        classes = torch.as_tensor(target, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"target is a class index, (N,) or (N, K) of them, not {target!r}.") from error
    if classes.dtype.is_floating_point or classes.dtype.is_complex or classes.dtype == torch.bool:
        raise ValueError(f"target holds class indices, so whole numbers, not {classes.dtype}.")
    if classes.ndim == 0:
        classes = classes.expand(photos)
    if classes.ndim == 1:
        classes = classes.unsqueeze(1)
    if classes.ndim != 2 or len(classes) != photos or classes.shape[1] == 0:
        raise ValueError(
            f"target of shape {tuple(torch.as_tensor(target).shape)} doesn't fit {photos} photo(s): "
            f"give one class, ({photos},) or ({photos}, K)."
        )
    if classes.min() < 0:
        raise ValueError(f"Class {int(classes.min())} is out of range: classes count from 0.")
    return classes.long()


def check_network(net: nn.Module) -> None:
    """Refuse a network in training mode, where dropout and BatchNorm would make each map another."""
    if not isinstance(net, nn.Module):
        raise ValueError(f"net is a torch.nn.Module, not {type(net).__name__}. A Classifier's network is clf.net.")
    training = [name or "the network" for name, module in net.named_modules() if module.training]
    if training:
        raise ValueError(f"The network is in training mode ({training[0]}). Call net.eval() first.")


def check_photos(x: Tensor) -> None:
    """Refuse what is not a finite batch of photos (N, C, H, W)."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"x is a tensor of floating point numbers, not {got}. clf.preprocess(photo) makes one.")
    if x.ndim == 3:
        raise ValueError(f"x has shape {tuple(x.shape)}: one photo. Make it a batch: x.unsqueeze(0).")
    if x.ndim != 4 or 0 in x.shape:
        raise ValueError(f"x has shape {tuple(x.shape)}; photos come as (N, C, H, W), at least one.")
    if not torch.isfinite(x).all():
        raise ValueError("x holds values that are not finite (inf or nan). Check the preprocessing.")


def make_method(method: type[Method], options: dict[str, Any]) -> Method:
    """Return the method with these options; an option it doesn't have is refused with the ones it has."""
    known = [field.name for field in fields(method)]
    for name in options:
        if name not in known:
            raise unknown_name(f"option of {method.name}", name, known)
    return method(**options)
