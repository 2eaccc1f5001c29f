"""Layers: which have positions, how to see what they return, and how to start the gradient's graph at one.

A CAM needs gradients only from the logits down to one layer. ``graph_from`` runs everything below that layer
without recording a graph, which is why a GradCAM costs little more than a forward pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules import dropout, pooling

from posgrad_edu.errors import UnsupportedOperation

# Layers that only gather or pass on what an activation before them holds.
POOLING_LIKE = (
    pooling._AvgPoolNd,
    pooling._MaxPoolNd,
    pooling._AdaptiveAvgPoolNd,
    pooling._AdaptiveMaxPoolNd,
    dropout._DropoutNd,
    nn.Identity,
    nn.Flatten,
)

# In evaluation mode these return what they are given, so that it is still the output of the layer before.
IDENTITY_IN_EVAL = (dropout._DropoutNd, nn.Identity)


@contextmanager
def watch(modules: Iterable[nn.Module], seen: Callable[[nn.Module, object], object]) -> Iterator[None]:
    """Call ``seen(module, output)`` after each forward of these modules in this thread; remove it all at exit.

    What ``seen`` returns, if not ``None``, takes the output's place.
    """
    thread = threading.get_ident()

    def hook(module: nn.Module, inputs: object, output: object) -> object:
        # Hooks sit on the module, which another thread may be running too: that one is left alone.
        return seen(module, output) if threading.get_ident() == thread else None

    hook.ours = True  # type: ignore[attr-defined]  # the audit counts it for no change of the network
    with ExitStack() as cleanup:
        for module in modules:
            if isinstance(module, torch.jit.ScriptModule):
                raise UnsupportedOperation(
                    "A scripted layer (torch.jit) can't be watched. Use the network it was made of."
                )
            cleanup.callback(module.register_forward_hook(hook).remove)
        yield


def is_spatial(output: object) -> bool:
    """Tell whether a layer's output has positions: (N, C, h, w) with more than one of them."""
    return isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] * output.shape[-2] > 1


def channels_last(module: nn.Module, output: object) -> bool:
    """Tell whether a layer gives (N, h, w, C): a linear layer or a LayerNorm over the last axis."""
    if not isinstance(output, Tensor) or not is_spatial(output):
        return False
    if isinstance(module, nn.LayerNorm):  # timm's and torchvision's LayerNorm2d have their channels second
        return module.normalized_shape == output.shape[-1:] and output.shape[1] != output.shape[-1]
    return isinstance(module, nn.Linear)


class Recorded:
    """The output of a layer that ran inside ``graph_from``.

    An output (N, h, w, C) is told by the layers inside: one of them gives the same shape, and is linear or a LayerNorm.
    Without one, as in an activation function between two linear layers, it's taken for (N, C, h, w).
    """

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer
        self._channels_last: set[torch.Size] = set()
        self._runs: list[Tensor] = []

    def seen(self, module: nn.Module, output: object) -> Tensor | None:
        """Take note of the layer, or of one inside it, that has just run; return what the network goes on with."""
        if isinstance(output, Tensor) and channels_last(module, output):
            self._channels_last.add(output.shape)
        return self.record(output) if module is self._layer else None

    def record(self, output: object) -> Tensor | None:
        """Keep a copy of the output as the start of the graph, and return what the network goes on with."""
        if not isinstance(output, Tensor) or not is_spatial(output):
            if self._runs:  # a re-used module that now runs without positions, further up
                return None
            got = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f"A CAM's layer needs an output with positions (N, C, h, w); this one gives {got}.")
        if output.shape in self._channels_last:
            raise ValueError(
                f"This layer's output {tuple(output.shape)} has its channels last; a CAM needs (N, C, h, w). "
                "Choose another layer, such as the block around it, or use method='gradient'."
            )
        torch.set_grad_enabled(True)
        self._runs.append(output.detach().clone().requires_grad_())
        return self._runs[-1].clone()  # an in-place ReLU may overwrite this copy, but never the recorded one

    def output(self, photos: int) -> Tensor:
        """Return the output (N, C, h, w), a leaf of the graph; of a layer that ran twice, the last with positions."""
        if not self._runs:
            raise ValueError("The CAM's layer didn't run in the network's forward pass. Choose another layer.")
        last = self._runs[-1]
        if len(last) != photos:
            raise ValueError(
                f"The CAM's layer ran on {len(last)} pictures for {photos} photo(s), so it isn't clear which map is "
                "whose. Choose another layer, or use method='gradient'."
            )
        return last

    def earlier(self) -> list[Tensor]:
        """Return the outputs of its earlier runs, leaves too: the logits may depend on them by another way."""
        return self._runs[:-1]


@contextmanager
def graph_from(layer: nn.Module) -> Iterator[Recorded]:
    """Run a network inside this context and autograd's graph begins at the output of ``layer``."""
    recorded = Recorded(layer)
    with torch.no_grad(), watch(layer.modules(), recorded.seen):
        yield recorded
