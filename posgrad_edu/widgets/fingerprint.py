"""What a classifier's answers depend on, in a form that can be compared: has it changed since the last look?

Weights are compared by a checksum of their values. Versions that PyTorch counts aren't enough: assigning through
``.data`` and BatchNorm's updates of its statistics leave them as they are. It takes about 6 ms for 5 million weights.

What isn't noticed: other attributes of a module than numbers and words, such as a tensor that is no buffer, and
variables outside the network.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from posgrad_edu.models.classifier import Classifier

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Fingerprint(NamedTuple):
    """A classifier's network, its preprocessing, and the layer for CAMs; ``None`` before one was looked for."""

    modules: tuple[Hashable, ...]
    weights: tuple[Hashable, ...]
    preprocess: tuple[Hashable, ...]
    cam_layer: str | None

    def same_as(self, other: Fingerprint | None) -> bool:
        """Tell whether nothing has changed; a layer that was only now looked for is no change."""
        if other is not None and other.cam_layer is None:
            other = other._replace(cam_layer=self.cam_layer)
        return self == other

    def with_layer(self, clf: Classifier) -> Fingerprint:
        """Return this fingerprint with the layer for CAMs that ``clf`` has found since, where it had none."""
        layer = _cam_layer(clf)
        return self if layer is None or self.cam_layer is not None else self._replace(cam_layer=layer)


def fingerprint(clf: Classifier) -> Fingerprint:
    """Return what the answers of ``clf`` depend on."""
    modules = dict(clf.net.named_modules())  # walked once: named_parameters and named_buffers would do so, too
    weights = tuple(
        (name, own, *_checksum(tensor))
        for name, module in modules.items()
        for some in (module._parameters, module._buffers)
        for own, tensor in some.items()
        if tensor is not None
    )
    preprocess = (id(clf.preprocess), repr(clf.preprocess), clf.multilabel)
    kinds = tuple((name, *_kind(module)) for name, module in modules.items())
    return Fingerprint(kinds, weights, preprocess, _cam_layer(clf))


def _cam_layer(clf: Classifier) -> str | None:
    return vars(clf).get("_cam_layer")  # asking for clf.cam_layer would look for it, which takes a forward pass


def _kind(module: nn.Module) -> tuple[Hashable, ...]:
    """Return what a module does beside its weights: its class, mode and settings, its hooks, its forward pass."""
    own = vars(module)
    settings = tuple((name, value) for name, value in own.items() if isinstance(value, (bool, float, str)))
    hooks = tuple(tuple(own[name]) for name in HOOKS)
    passes = id(type(module).forward), id(own.get("forward"))
    return id(module), id(type(module)), module.extra_repr(), settings, hooks, passes


def _checksum(tensor: Tensor) -> tuple[Hashable, ...]:
    """Return where and what a tensor is, with a checksum of its values; of one without values in reach its identity."""
    try:
        values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return tensor.device, tensor.dtype, tensor.shape, zlib.crc32(values.numpy().data)
    except (RuntimeError, TypeError, ValueError):  # sparse, without storage, or not initialized yet
        return (id(tensor),)
