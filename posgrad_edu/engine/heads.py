"""The gradients of many classes at one layer, several at a time where only a small head lies above it.

After a CAM's layer often come an average over positions and a linear layer, and nothing else. One class's way back
through them takes less time than starting it from Python does, so that a batch of seeds goes back in one call. Of 1,000
classes of EfficientNet-Lite0 the gradients would fill 250 MB: they are made a few at a time, and never all kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

from posgrad_edu.engine.graph import nodes, operation
from posgrad_edu.engine.passes import gradients, with_gradients

# Operations whose derivative is right for a batch of seeds (torch.vmap), and cheap enough to be taken anew.
HEAD = frozenset(
    (
        "Addmm",
        "Mm",
        "Linear",
        "T",
        "Mean",
        "AdaptiveAvgPool2D",
        "Relu",
        "Hardtanh",
        "AccumulateGrad",
        "Clone",
        "Add",
        "View",
        "ReshapeAlias",
        "UnsafeView",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Permute",
        "Alias",
    )
)
AT_ONCE = 2**20  # numbers in one batch of gradients: 4 MB, which a processor's cache holds


@dataclass
class ClassGradients:
    """The gradients (N, C, h, w) of K logits with regard to a layer's output, one after the other: a sequence.

    They are computed anew each time that one goes through them. seed (N, K, classes): as for ``passes.gradients``.
    """

    logits: Tensor
    seed: Tensor
    leaf: Tensor

    def __len__(self) -> int:
        return self.seed.shape[1]

    def __getitem__(self, k: int) -> Tensor:
        return self._gradients(self.leaf, self.seed[:, k].unsqueeze(1))[:, 0]

    def __iter__(self) -> Iterator[Tensor]:
        for some in self.pieces():
            yield from some.unbind(1)

    def pieces(self) -> Iterator[Tensor]:
        """Yield them in pieces (N, k, C, h, w), of k classes each."""
        if self.seed.shape[1] == 1:
            yield self._gradients(self.leaf, self.seed)
            return
        classes = max(1, AT_ONCE // self.leaf.numel())
        mean = averaged(self.logits, self.leaf)
        if mean is None:
            for some in self.seed.split(classes, dim=1):
                yield self._gradients(self.leaf, some)
            return
        # All that is done with the layer is to average it over its positions: then its gradient is the same at each,
        # and the average's own is all that has to be computed, or kept.
        photos, channels, *size = self.leaf.shape
        for some in self.seed.split(classes * math.prod(size), dim=1):
            found = self._gradients(GradientEdge(mean, 0), some).reshape(photos, -1, channels, 1, 1) / math.prod(size)
            yield from found.expand(-1, -1, -1, *size).split(classes, dim=1)

    def _gradients(self, place: Tensor | GradientEdge, some: Tensor) -> Tensor:
        """Return the gradients (N, k, ...) at a place of the graph, for a few of the seeds."""
        with with_gradients():
            if some.shape[1] == 1:
                ((found,),) = gradients(self.logits, some, [place], retain_graph=True)
                return cast("Tensor", found).unsqueeze(1)
            many = some.transpose(0, 1)
            try:
                (found,) = torch.autograd.grad(self.logits, place, many, retain_graph=True, is_grads_batched=True)
            except RuntimeError:  # a hook of the network's own that can't take several gradients at once
                return torch.cat([self._gradients(place, one) for one in some.split(1, dim=1)], dim=1)
            return found.transpose(0, 1)


def is_head(logits: Tensor, leaf: Tensor) -> bool:
    """Tell whether only what a small head is made of lies between a layer's output and the logits."""
    between = nodes(logits, leaf)
    return bool(between) and all(operation(node) in HEAD for node in between)


def averaged(logits: Tensor, leaf: Tensor) -> Node | None:
    """Return the average over all positions of a layer's output (N, C, h, w), where nothing else is done with it."""
    *above, mean, copy, _ = [None, None, None, *nodes(logits, leaf)]
    if mean is None or copy is None or operation(mean) != "Mean" or operation(copy) != "Clone":
        return None
    if any(before is copy for node in above if node is not None for before, _ in node.next_functions):
        return None
    return mean if {axis % 4 for axis in getattr(mean, "_saved_dim", None) or ()} == {2, 3} else None
