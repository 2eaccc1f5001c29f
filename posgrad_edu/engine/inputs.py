"""What a method accepts: a network in evaluation mode, a batch of photos, and classes that exist.

Each refusal says what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from posgrad_edu.engine.audit import audit, parts
from posgrad_edu.engine.contrast import MEAN, OneReference
from posgrad_edu.errors import unknown_name

Target = int | Sequence[int] | Sequence[Sequence[int]] | Tensor
Contrast = Literal["mean"] | str | Target | None


def as_target(target: Target, photos: int, device: torch.device, name: str = "target") -> Tensor:
    """Return the classes as (N, K): one class for all, one for each photo, or K for each photo.

    name: what the caller knows them by.
    """
    try:
        classes = torch.as_tensor(target, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} is a class index, (N,) or (N, K) of them, not {target!r}.") from error
    if classes.dtype.is_floating_point or classes.dtype.is_complex or classes.dtype == torch.bool:
        raise ValueError(f"{name} holds class indices, so whole numbers, not {classes.dtype}.")
    if classes.ndim == 0:
        classes = classes.expand(photos)
    if classes.ndim == 1:
        classes = classes.unsqueeze(1)
    if classes.ndim != 2 or len(classes) != photos or classes.shape[1] == 0:
        raise ValueError(
            f"{name} of shape {tuple(torch.as_tensor(target).shape)} doesn't fit {photos} photo(s): "
            f"give one class, ({photos},) or ({photos}, K)."
        )
    if classes.min() < 0:
        raise ValueError(f"Class {int(classes.min())} is out of range: classes count from 0.")
    return classes.long()


def as_reference(contrast: Contrast, target: Tensor) -> OneReference:
    """Return what the classes target (N, K) are held against: ``None``, "mean", or classes (N, K) or (N, 1).

    contrast: ``None``, "mean", or classes in any form that a target may have, none of them the one that is explained.
    """
    if contrast is None:
        return None
    if isinstance(contrast, str):
        if contrast != MEAN:
            raise unknown_name("contrast", contrast, [MEAN, "None", "a class"])
        return MEAN
    classes = as_target(contrast, len(target), target.device, "contrast")
    if classes.shape[1] not in (1, target.shape[1]):
        raise ValueError(f"contrast holds {classes.shape[1]} classes a photo, target {target.shape[1]}: give one each.")
    if (classes == target).any():
        photo, k = (classes == target).nonzero()[0].tolist()
        raise ValueError(
            f"Photo {photo}: class {int(target[photo, k])} would be held against itself, which is 0 everywhere. "
            'Choose another class as contrast, or "mean".'
        )
    return classes


def check_network(net: nn.Module) -> None:
    """Refuse a network in training mode, where dropout and BatchNorm would make each map another."""
    if not isinstance(net, nn.Module):
        raise ValueError(f"net is a torch.nn.Module, not {type(net).__name__}. A Classifier's network is clf.net.")
    if any(module.training for module in parts(net)):
        first = next(name for name, module in net.named_modules() if module.training)
        raise ValueError(f"The network is in training mode ({first or 'the network'}). Call net.eval() first.")


def check_photos(x: Tensor) -> None:
    """Refuse what is not a finite batch of photos (N, C, H, W)."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"x is a tensor of floating point numbers, not {got}. clf.preprocess(photo) makes one.")
    if x.ndim == 3:
        raise ValueError(f"x has shape {tuple(x.shape)}: one photo. Make it a batch: x.unsqueeze(0).")
    if x.ndim != 4 or 0 in x.shape:
        raise ValueError(f"x has shape {tuple(x.shape)}; photos come as (N, C, H, W), at least one.")
    if not torch.isfinite(torch.stack(x.aminmax())).all():  # nan is both; a pass in place of three
        raise ValueError("x holds values that are not finite (inf or nan). Check the preprocessing.")


def checked_classes(net: nn.Module, x: Tensor, target: Target) -> Tensor:
    """Return the classes as (N, K), or refuse what can't be explained with a ``ValueError`` that says what to do."""
    check_network(net)
    check_photos(x)
    check_precision(net, x)
    classes = as_target(target, len(x), x.device)
    audit(net, x)
    return classes


def check_precision(net: nn.Module, x: Tensor) -> None:
    """Refuse photos elsewhere or of another precision than the parameters, and these where no gradient passes them."""
    for parameter in net.parameters():
        if parameter.is_inference():
            raise ValueError(
                "The network was made under torch.inference_mode(), and no gradient passes it. Make it outside."
            )
        if parameter.device != x.device:
            _refuse_another_device(net, x)
        if parameter.is_floating_point() and parameter.dtype != x.dtype:
            raise ValueError(f"x holds {x.dtype}, the network {parameter.dtype}. Give it x.to({parameter.dtype}).")
        return


def _refuse_another_device(net: nn.Module, x: Tensor) -> None:
    """Refuse photos that aren't where the network is; one that is spread over several devices moves them itself."""
    places = {str(parameter.device) for parameter in net.parameters()}
    if len(places) == 1 and places != {"meta"}:
        (place,) = places
        raise ValueError(f"x is on {x.device}, the network on {place}. Give it x.to({place!r}).")
