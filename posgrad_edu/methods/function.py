"""Somebody else's method: any function from a network, photos and classes to maps, in every table of this package.

    def occluded(net, x, target): ...                     # (N, C, H, W), (N,) -> (N, h, w), an array or a tensor
    explain(net, x, 282, FunctionMethod(occluded, "occlusion"))
    class_sensitivity(net, x, FunctionMethod(occluded, "occlusion"))

Nothing in it is changed: no handling, no rule. A contrast (``engine/contrast.py``) reaches it through the network: the
function is given a network whose logits are the contrasts. For methods of captum, pytorch-grad-cam and zennit there are
names, see ``adapters.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from posgrad_edu.engine.contrast import Weights, contrasts, for_each_reference, reference
from posgrad_edu.engine.passes import forward
from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.handling import Handling
from posgrad_edu.methods.base import Method

Function = Callable[[nn.Module, Tensor, Tensor], Any]


class Contrasts(nn.Module):
    """A network whose logits are held against the mean of all, or against one class."""

    def __init__(self, net: nn.Module, against: Literal["mean"] | int) -> None:
        super().__init__()
        self.net, self.against = net, against
        self.train(net.training)

    def forward(self, x: Tensor) -> Tensor:
        return contrasts(self.net(x), self.against)


@dataclass(frozen=True, init=False, kw_only=True)
class FunctionMethod(Method):
    """A method that somebody else wrote, as a function.

    function: called with the network, photos (N, C, H, W) and one class a photo (N,); returns maps (N, h, w), or
        (N, C, h, w), whose channels are added up.
    name: what tables call it.
    """

    published: ClassVar[Handling | None] = None

    function: Function
    name: str  # type: ignore[misc]  # of one object, not of the class

    def __init__(self, function: Function, name: str) -> None:
        if not callable(function):
            raise TypeError(f"function is called with a network, photos and classes, so not {function!r}.")
        for field, value in {"handling": None, "function": function, "name": name}.items():
            object.__setattr__(self, field, value)

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            forward(net, x, target)  # refuses a class or a contrast that doesn't exist, as every method does
        return for_each_reference(lambda classes: self._maps(net, x, classes), target)

    def _maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        against = reference()
        if isinstance(against, Weights):
            raise UnsupportedOperation(f"{self.name} takes a class or a contrast, not weights of logits: give it one.")
        if isinstance(against, Tensor):
            # Photo by photo: a function may ask about many variants of its photos, in an order of its own.
            rows = [
                [self._map(Contrasts(net, int(a)), photo, c) for c, a in zip(classes, others, strict=True)]
                for photo, classes, others in zip(x.split(1), target, against.expand_as(target), strict=True)
            ]
            return torch.cat([torch.stack(row, dim=1) for row in rows])
        asked = net if against is None else Contrasts(net, against)
        return torch.stack([self._map(asked, x, classes) for classes in target.unbind(1)], dim=1)

    def _map(self, net: nn.Module, x: Tensor, classes: Tensor) -> Tensor:
        return self._checked(self.function(net, x.clone(), classes.reshape(-1).clone()), x)

    def _checked(self, found: Any, x: Tensor) -> Tensor:
        """Return what the function found as (N, h, w), in the photos' type."""
        maps = torch.as_tensor(found, device=None if isinstance(found, Tensor) else "cpu").detach().to(x)
        if maps.ndim == 4:
            maps = maps.sum(1)
        if maps.ndim != 3 or len(maps) != len(x):
            raise ValueError(
                f"{self.name} returned maps of shape {tuple(torch.as_tensor(found).shape)} for {len(x)} photos. "
                f"Give ({len(x)}, h, w), or ({len(x)}, C, h, w)."
            )
        return maps
