"""What all saliency methods share: checking their input, asking for several classes at once, and resizing.

A method is a small dataclass. Its fields are its options; calling it explains photos:

    GradCAM(handling="positive")(net, x, target)     # (N, H, W)

A method of your own needs two things: ``published``, the handling its authors used, and ``maps``, which turns a
network, a batch (N, C, H, W) and classes (N, K) into maps (N, K, h, w). Checks, several classes at once, the
switch and resizing to the photo come with the base class.

The package's own methods take ``maps`` apart: ``record`` does all that no handling changes, ``read`` makes the map of
it. Methods with an equal ``recording`` can read one record, so that several of them cost one forward pass
(``together.py``).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import SIGNED, Handling, get_handling
from posgrad_edu.methods.inputs import Target, as_target, check_network, check_photos


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
        return self.read(self.record(net, x, target))

    def recording(self) -> Hashable:
        """What decides ``record``, the handling apart; ``None`` for a method that shares it with no other."""
        return None

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> Any:
        """Run the network and return what maps are made of, whatever the handling."""
        raise NotImplementedError

    def read(self, record: Any) -> Tensor:
        """Return raw maps (N, K, h, w) from a record; it can be read again, by this method or another."""
        raise NotImplementedError

    def __call__(self, net: nn.Module, x: Tensor, target: Target) -> Tensor:
        """Return maps (N, H, W), or (N, K, H, W) for a target of (N, K), signed and not normalised.

        net: a classifier in evaluation mode, x (N, C, H, W) -> logits (N, classes).
        target: one class for all photos, (N,) one each, or (N, K) for K classes of each photo.
        Raises ``ValueError`` for a network in training mode, an x that isn't a finite batch of photos, or
        classes that don't exist, ``UnsupportedOperation`` for an operation without a rule.
        """
        classes = check(net, x, target)
        # Not even a caller's no_grad() or inference_mode() keeps us from taking gradients.
        with torch.inference_mode(False), torch.enable_grad():
            maps = self.maps(net, x.detach().clone(), classes.clone())
        return finish(maps, x, target)


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


def check(net: nn.Module, x: Tensor, target: Target) -> Tensor:
    """Return the classes as (N, K), or refuse what can't be explained with a ``ValueError`` that says what to do."""
    check_network(net)
    check_photos(x)
    return as_target(target, len(x), x.device)


def finish(maps: Tensor, x: Tensor, target: Target) -> Tensor:
    """Return raw maps (N, K, h, w) in the resolution of x; (N, H, W) where one class was asked for each photo."""
    maps = resize(maps.detach(), x.shape[-2:])
    return maps[:, 0] if torch.as_tensor(target).ndim < 2 else maps


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Return maps (..., h, w) at the resolution ``size``, bilinearly; maps of that size are left alone."""
    if maps.shape[-2:] == tuple(size):
        return maps
    flat = maps.flatten(0, -3).unsqueeze(1)
    flat = F.interpolate(flat, size=tuple(size), mode="bilinear", align_corners=False)
    return flat.reshape(*maps.shape[:-2], *size)


def answer(net: nn.Module, x: Tensor) -> Tensor:
    """Return the network's logits (N, classes) for photos x (N, C, H, W), which keep their values.

    Raises ``ValueError`` for a network that returns anything else.
    """
    logits = net(x.clone())  # a first layer that works in place overwrites this copy
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x):
        got = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"The network should return logits of shape (N, classes) = ({len(x)}, ...), but returned {got}. "
            "Wrap it in a module that returns the class scores alone."
        )
    return logits


def forward(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Return the logits (N, classes), checked against the photos and the classes asked for."""
    logits = answer(net, x)
    last = logits.shape[1] - 1
    if target.max() > last:
        raise ValueError(f"Class {int(target.max())} is out of range: the network has {last + 1} classes, 0 to {last}.")
    return logits


def gradients(
    logits: Tensor, target: Tensor, inputs: Sequence[Any], again: bool = False
) -> Iterator[list[Tensor | None]]:
    """Yield, for each of the K classes of target (N, K), the gradients of its logit with regard to ``inputs``.

    One forward pass serves all K. Photos of a batch don't meet in a network in evaluation mode, so the
    gradient of the sum over photos holds each photo's own gradient. The first of ``inputs`` is what is explained:
    logits that don't depend on it are refused; another that they don't depend on gives ``None``.
    again: keep what the forward pass left in memory, so that one can go back through it another time.
    """
    unreachable = ValueError(
        "The logits don't depend on what is explained through differentiable operations. "
        "Look for detach(), no_grad(), argmax or a layer that is never used in the network's forward()."
    )
    if not logits.requires_grad:
        raise unreachable
    classes = target.shape[1]
    for k in range(classes):
        logit = logits.gather(1, target[:, k : k + 1]).sum()
        keep = again or k < classes - 1
        grads: list[Tensor | None] = [*torch.autograd.grad(logit, inputs, retain_graph=keep, allow_unused=True)]
        if grads[0] is None:  # the logits depend on the network's parameters alone
            raise unreachable
        yield grads


def input_gradients(logits: Tensor, target: Tensor, x: Tensor, again: bool = False) -> Tensor:
    """Return the gradient (N, K, C, H, W) of each asked logit with regard to x (N, C, H, W)."""
    found = [grads[0] for grads in gradients(logits, target, [x], again)]
    return torch.stack([torch.zeros_like(x) if g is None else g for g in found], dim=1)


def make_method(method: type[Method], options: dict[str, Any]) -> Method:
    """Return the method with these options; an option it doesn't have is refused with the ones it has."""
    known = [field.name for field in fields(method)]
    for name in options:
        if name not in known:
            raise unknown_name(f"option of {method.name}", name, known)
    return method(**options)
