"""Any method, averaged over noisy copies of the photo: SmoothGrad where the method is the gradient.

    parameter_sensitivity(net, x, Smoothed(Gradient()))          # sMPRT, the smooth randomization test

A rank correlation of maps that are full of noise is low, whatever they show, so that a noisy method passes the test of
random parameters more easily than a smooth one. Averaging takes that noise away before maps are compared.

References:
    Smilkov et al. SmoothGrad. 2017. arXiv:1706.03825, eq. 2.
    Hedström et al. Sanity Checks Revisited. XAI in Action, NeurIPS 2023. arXiv:2401.06465, sec. 3.1 (sMPRT).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from posgrad_edu.engine.inputs import Target
from posgrad_edu.handling import Handling
from posgrad_edu.methods.base import Method
from posgrad_edu.methods.controls import checksum
from posgrad_edu.methods.gradient import Gradient


@dataclass(frozen=True)
class Smoothed(Method):
    """The mean of a method's maps over noisy copies of the photo, the first of which is the photo itself.

    method: the method, with its options; a CAM's layer by name. samples: how many copies. spread: the noise's standard
    deviation, as a share of the distance from the photo's smallest value to its largest. seed: of the noise, which is
    the same for each class and network: what differs between two maps isn't that.
    """

    name: ClassVar[str] = "smoothed"
    published: ClassVar[Handling | None] = None  # the method has its own

    handling: None = field(default=None, kw_only=True)  # so that the method comes first, as in Smoothed(Gradient())
    method: Method = field(default_factory=Gradient)
    samples: int = 50
    spread: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.handling is not None:
            raise ValueError("Give the handling to the method inside, as in Smoothed(method=GradCAM('positive')).")
        if not isinstance(self.method, Method):
            raise ValueError(f"method is a Method such as GradCAM('positive'), not {self.method!r}.")
        if isinstance(getattr(self.method, "layer", None), nn.Module):
            raise ValueError("Name the method's layer, as in GradCAM(layer='relu8'): copies of a network hold others.")
        if self.samples < 1 or self.spread < 0 or self.seed < 0:
            raise ValueError(
                f"samples is 1 or more, spread and seed 0 or more; not {self.samples}, {self.spread} and {self.seed}."
            )

    @property
    def upsample(self) -> bool:
        """Whether maps come in the photo's resolution, as the method inside decides."""
        return getattr(self.method, "upsample", True)

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        scale = self.spread * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
        streams = [np.random.default_rng([self.seed, checksum(photo)]) for photo in x]
        total = self.method.maps(net, x.clone(), target.clone())
        for _ in range(self.samples - 1):
            noise = np.stack([stream.standard_normal(x.shape[1:]) for stream in streams])
            total = total + self.method.maps(net, x + scale * torch.from_numpy(noise).to(x), target.clone())
        return total / self.samples

    def finish(self, maps: Tensor, x: Tensor, target: Target) -> Tensor:
        return self.method.finish(maps, x, target)
