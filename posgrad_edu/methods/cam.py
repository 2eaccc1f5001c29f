"""GradCAM, GradCAM++ and LayerCAM: weight the channels of one layer by their gradients, and add them up.

Let A (C, h, w) be the activations of the last layer that still has positions, G = ∂f_c / ∂A the gradient of class
c's logit with regard to them, ij a position and h(·) the handling. Each method is a weighted sum over channels k:

    gradcam     M = Σ_k mean_ij(h(G_k)) · A_k                        published: h = signed
    gradcam++   M = Σ_k (Σ_ij α_kij · h(G_kij)) · A_k                 published: h = positive
    layercam    M_ij = Σ_k h(G_kij) · A_kij                           published: h = positive

    α_kij = G²_kij / (2 G²_kij + S_k G³_kij) = 1 / (2 + S_k G_kij)    with S_k = Σ_ij A_kij; 0 where G = 0

So GradCAM averages evidence for and against the class; the other two drop the evidence against before they add.
The published α uses the gradients of exp(f_c), which differ from G by one positive factor for the whole map; it is
left out here. Where the last layer already holds a channel for each class and the logit is its mean, as in SqueezeNet
and NiN, G is one positive number in that channel and 0 elsewhere: signed and positive are the same map. With signed
handling GradCAM++ has a pole: α grows without bound near S_k G_kij = -2.

The final ReLU that GradCAM's authors apply to the *finished* map is another operation than the handling of its
gradients. It is the option ``relu``, off by default, so that evidence against stays visible.

Example:
    >>> maps = explain(net, x, target=282, method="gradcam", handling="positive", layer="layer4")

References:
    Selvaraju et al. Grad-CAM. ICCV 2017. arXiv:1610.02391, eq. 1 and 2.
    Chattopadhay et al. Grad-CAM++. WACV 2018. arXiv:1710.11063, eq. 10 to 19.
    Jiang et al. LayerCAM. IEEE TIP 2021, eq. 5 and 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from posgrad_edu.engine.cam_layer import find_layer
from posgrad_edu.engine.contrast import seeds
from posgrad_edu.engine.heads import ClassGradients, is_head
from posgrad_edu.engine.inputs import Target
from posgrad_edu.engine.layers import graph_from
from posgrad_edu.engine.passes import check_classes, forward, gradients
from posgrad_edu.handling import POSITIVE, SIGNED, Handling
from posgrad_edu.methods.base import Method


@dataclass(frozen=True)
class CAM(Method):
    """A class activation map at one layer; what the three methods share.

    layer: a module of the network or its name; ``None`` for the last one with a spatial output.
    relu: keep only the positive part of the finished map.
    upsample: give maps in the resolution of the photo; ``False`` leaves them in the layer's, (N, h, w) or (N, K, h, w),
        which for a thousand classes saves most of the time and memory.
    """

    record_options: ClassVar[tuple[str, ...]] = ("layer",)

    layer: str | nn.Module | None = None
    relu: bool = False
    upsample: bool = True

    def combine(self, activation: Tensor, grad: Tensor) -> Tensor:
        """Return the map (N, h, w) from activations and gradients (N, C, h, w), neither written into."""
        raise NotImplementedError

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> tuple[Tensor, ClassGradients | list[Tensor]]:
        """Return the layer's activations (N, C, h, w), and for each class asked about their gradients."""
        with graph_from(find_layer(net, self.layer, x)) as recorded:
            logits = forward(net, x, target)
        leaf, earlier = recorded.output(len(x)), recorded.earlier()
        seed = seeds(logits, target)
        if not earlier and is_head(logits, leaf):
            return leaf.detach(), ClassGradients(logits, seed, leaf)
        found = []
        for grad, *others in gradients(logits, seed, [leaf, *earlier]):
            if any(other is not None and other.any() for other in others):
                raise ValueError(
                    "The CAM's layer runs several times, and each run is a part of the logits. Choose another layer."
                )
            found.append(torch.zeros_like(leaf) if grad is None else grad)
        return leaf.detach(), found

    def record_again(
        self, record: tuple[Tensor, ClassGradients | list[Tensor]], target: Tensor
    ) -> tuple[Tensor, ClassGradients] | None:
        activation, grads = record
        if not isinstance(grads, ClassGradients):
            return None
        check_classes(grads.logits, target)
        return activation, ClassGradients(grads.logits, seeds(grads.logits, target), grads.leaf)

    def read(self, record: tuple[Tensor, ClassGradients | list[Tensor]]) -> Tensor:
        activation, grads = record
        pieces = grads.pieces() if isinstance(grads, ClassGradients) else (grad.unsqueeze(1) for grad in grads)
        maps = torch.cat([self.combine_classes(activation, some) for some in pieces], dim=1)
        return maps.clamp(min=0) if self.relu else maps

    def combine_classes(self, activation: Tensor, grads: Tensor) -> Tensor:
        """Return maps (N, k, h, w) from activations (N, C, h, w) and the gradients of k classes (N, k, C, h, w)."""
        if grads.shape[1] == 1:
            return self.combine(activation, grads[:, 0]).unsqueeze(1)
        # The classes of one photo take the place of a batch: it's the same activation k times, but no copy of it.
        return torch.stack([self.combine(a.expand_as(g), g) for a, g in zip(activation, grads, strict=True)])

    def finish(self, maps: Tensor, x: Tensor, target: Target) -> Tensor:
        size = x.shape[-2:] if self.upsample else maps.shape[-2:]
        return super().finish(maps, x[..., :1, :1].expand(*x.shape[:2], *size), target)


@dataclass(frozen=True)
class GradCAM(CAM):
    """Channels weighted by their averaged gradient (Selvaraju et al. 2017, eq. 1)."""

    name: ClassVar[str] = "gradcam"
    published: ClassVar[Handling | None] = SIGNED

    def combine(self, activation: Tensor, grad: Tensor) -> Tensor:
        weights = self.handle(grad).mean((2, 3))
        return torch.einsum("nk,nkij->nij", weights, activation)  # Σ_k, without a product for each k in memory


@dataclass(frozen=True)
class GradCAMPlusPlus(CAM):
    """Channels weighted by their gradient, averaged with weights alpha (Chattopadhay et al. 2018, eq. 19)."""

    name: ClassVar[str] = "gradcam++"
    published: ClassVar[Handling] = POSITIVE

    def combine(self, activation: Tensor, grad: Tensor) -> Tensor:
        total = activation.sum((2, 3), keepdim=True)
        alpha = torch.where(grad == 0, 0.0, 1 / (2 + total * grad))
        weights = (alpha * self.handle(grad)).sum((2, 3), keepdim=True)
        return (weights * activation).sum(1)


@dataclass(frozen=True)
class LayerCAM(CAM):
    """Each position of each channel weighted by its own gradient (Jiang et al. 2021, eq. 6)."""

    name: ClassVar[str] = "layercam"
    published: ClassVar[Handling] = POSITIVE

    def combine(self, activation: Tensor, grad: Tensor) -> Tensor:
        return (self.handle(grad) * activation).sum(1)
