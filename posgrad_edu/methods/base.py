"""What all saliency methods share: checking their input, asking for several classes at once, and resizing.

A method is a small dataclass. Its fields are its options; calling it explains photos:

    GradCAM(handling="positive")(net, x, target)     # (N, H, W)

A method of your own needs two things: ``published``, the handling its authors used, and ``maps``, which turns a
network, a batch (N, C, H, W) and classes (N, K) into maps (N, K, h, w). It calls ``self.handle(gradient)`` where the
sign of its gradient information matters. Checks, several classes at once and resizing to the photo come with the base
class.

The package's own methods take ``maps`` apart: ``record`` does all that no handling changes, ``read`` makes the map of
it. Methods with an equal ``record_key`` can read one record, so that several of them cost one forward pass.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posgrad_edu.engine.audit import explaining
from posgrad_edu.engine.contrast import contrasted
from posgrad_edu.engine.inputs import Contrast, Target, as_reference, checked_classes
from posgrad_edu.engine.passes import with_gradients
from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import HANDLINGS, SIGNED, Handling, HandlingName, get_handling


@dataclass(frozen=True)
class Method:
    """A saliency method: options as fields, ``method(net, x, target)`` for raw signed maps.

    handling: what is done with the sign of gradient information; ``None`` for as published.
    published: the handling that its authors used, or ``None`` where that is not one handling everywhere.
    record_options: the options that decide ``record``; ``None`` for a method whose record no other can read.
    record_serves: the ``record_key`` of other methods that can read its record, too, in place of their own.
    """

    name: ClassVar[str]
    published: ClassVar[Handling | None] = SIGNED
    record_options: ClassVar[tuple[str, ...] | None] = None
    record_serves: ClassVar[Hashable] = None

    handling: HandlingName | str | Handling | None = None  # names first, for editors to complete

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own_way = "record" in vars(cls) or "maps" in vars(cls)
        if not own_way:
            return
        if "record_options" not in vars(cls):
            cls.record_options = None  # what decided its parent's record may not be all that decides its own
        cls.record_serves = vars(cls).get("record_serves")  # nor may others read it, or other classes share its pass
        if "record_again" not in vars(cls):
            cls.record_again = Method.record_again  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        if self.handling is not None:
            get_handling(self.handling)  # a misspelt name is refused now, not after a long computation

    @property
    def active_handling(self) -> Handling | None:
        """The handling in force: the one that was given, or else the published one."""
        return self.published if self.handling is None else get_handling(self.handling)

    def handle(self, information: Tensor) -> Tensor:
        """Return gradient information with the handling in force applied to it."""
        handling = self.active_handling
        if handling is None:
            raise ValueError(f"{self.name} has no published handling. Give it one.")
        ours = HANDLINGS.get(handling.name) is handling
        return handling(information if ours else information.clone())  # somebody else's may work in place

    def handle_own(self, information: Tensor) -> Tensor:
        """Return the same of a tensor that nobody else holds: it may be written into, which saves memory and time."""
        handling = self.active_handling
        if handling is None or handling.in_place is None or HANDLINGS.get(handling.name) is not handling:
            return self.handle(information)
        return handling.in_place(information)

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        """Return one raw map (N, K, h, w) for each photo of x (N, C, H, W) and class of target (N, K).

        x and target are copies, without a graph: this method alone holds them and may write into them. It runs where
        gradients are taken, whatever the caller's mode.
        """
        return self.read(self.record(net, x, target))

    def record_key(self) -> Hashable:
        """Return what decides ``record``: methods with equal keys can read one record."""
        if self.record_options is None:
            return object()  # equal to no other
        return type(self).record, *(getattr(self, option) for option in self.record_options)

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> Any:
        """Run the network and return what maps are made of, whatever the handling. It may write into x, as ``maps``."""
        raise NotImplementedError

    def record_again(self, record: Any, target: Tensor) -> Any | None:
        """Return the record of other classes, made of the same forward pass; ``None`` where the network has to run."""
        return None

    def read(self, record: Any) -> Tensor:
        """Return raw maps (N, K, h, w) from a record; it can be read again, by this method or another."""
        raise NotImplementedError

    def __call__(self, net: nn.Module, x: Tensor, target: Target, contrast: Contrast = None) -> Tensor:
        """Return maps (N, H, W), or (N, K, H, W) for a target of (N, K), signed and not normalized.

        net: a classifier in evaluation mode, x (N, C, H, W) -> logits (N, classes).
        target: one class for all photos, (N,) one each, or (N, K) for K classes of each photo.
        contrast: what the logit is held against: ``None``, "mean" for the mean of all logits, or a class, in any form
            that a target may have.
        Raises ``ValueError`` for a network in training mode, an x that isn't a finite batch of photos, or
        classes that don't exist, ``UnsupportedOperation`` for an operation without a rule.
        """
        with explaining(net):
            classes = checked_classes(net, x, target)
            with with_gradients(), contrasted(as_reference(contrast, classes), self.name):
                maps = self.maps(net, x.detach().clone(), classes.clone())
        return self.finish(maps, x, target)

    def finish(self, maps: Tensor, x: Tensor, target: Target) -> Tensor:
        """Return raw maps (N, K, h, w) as a call gives them: checked, in x's resolution, one a photo or K."""
        self.check_shape(maps, len(x), torch.as_tensor(target).shape[1:].numel())
        return finish(maps, x, target)

    def check_shape(self, maps: Tensor, photos: int, classes: int) -> None:
        """Refuse raw maps that aren't one for each photo and class."""
        if maps.ndim < 4 or maps.shape[:2] != (photos, classes):
            raise ValueError(
                f"maps of {self.name} returned the shape {tuple(maps.shape)} for {photos} photo(s) and {classes} "
                f"class(es) of each. Return (N, K, h, w), here ({photos}, {classes}, h, w)."
            )


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

    def reduced_copy(self, attribution: Tensor) -> Tensor:
        """Return the same in memory of its own, of attributions that others read, too."""
        return attribution.clone() if self.reduce is None else self.reduced(attribution)


def finish(maps: Tensor, x: Tensor, target: Target) -> Tensor:
    """Return raw maps (N, K, h, w) in the resolution of x; (N, H, W) where one class was asked for each photo."""
    if not torch.isfinite(maps).all():
        raise ValueError(
            "This map holds values that are not finite (inf or nan), so it shows nothing. Somewhere a number ran over "
            "or was divided by nearly zero: try the network and photo in float32 or float64, or another rule or option."
        )
    maps = resize(maps.detach(), x.shape[-2:])
    return maps[:, 0] if torch.as_tensor(target).ndim < 2 else maps


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Return maps (..., h, w) at the resolution ``size``, bilinearly; maps of that size are left alone."""
    if maps.shape[-2:] == tuple(size):
        return maps
    flat = maps.flatten(0, -3).unsqueeze(1)
    flat = F.interpolate(flat, size=tuple(size), mode="bilinear", align_corners=False)
    return flat.reshape(*maps.shape[:-2], *size)


def make_method(method: type[Method], options: dict[str, Any]) -> Method:
    """Return the method with these options; an option it doesn't have is refused with the ones it has."""
    known = [field.name for field in fields(method)]
    for name in options:
        if name not in known:
            raise unknown_name(f"option of {method.name}", name, known)
    return method(**options)
