"""What a classifier's answers depend on, in a form that can be compared: has it changed since the last look?

Weights are compared, byte by byte, with a copy made at the last look. Versions that PyTorch counts aren't enough:
assigning through ``.data`` or NumPy leaves them as they are. A checksum would need no copy, but takes longer. There is
one copy a network, which all panels share.

What isn't noticed: other attributes of a module than numbers and words, such as a tensor that is no buffer, and
variables outside the network.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from posgrad_edu.engine.audit import HOOKS
from posgrad_edu.models.classifier import Classifier


class Weights(dict[tuple[str, str], tuple[Hashable, ...]]):
    """What ``_values`` gives for each parameter and buffer, by its module's and its own name."""


# The last copy, by its network's id, for as long as a fingerprint holds it. Should the id be another network's by now,
# the copy turns out to be different.
_last_seen: WeakValueDictionary[int, Weights] = WeakValueDictionary()


class Fingerprint(NamedTuple):
    """A classifier's network, its preprocessing, and the layer for CAMs; ``None`` before one was looked for."""

    modules: tuple[Hashable, ...]
    weights: Weights
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
    kinds = tuple((name, *_kind(module)) for name, module in modules.items())
    preprocess = (id(clf.preprocess), repr(clf.preprocess), clf.multilabel)
    return Fingerprint(kinds, _weights(clf.net, modules), preprocess, _cam_layer(clf))


def _weights(net: nn.Module, modules: dict[str, nn.Module]) -> Weights:
    """Return all weights, the same object as at the last look if they are the same: so there is one copy."""
    last = _last_seen.get(id(net), Weights())
    now = Weights(
        ((name, own), _values(tensor, last.get((name, own))))
        for name, module in modules.items()
        for some in (module._parameters, module._buffers)
        for own, tensor in some.items()
        if tensor is not None
    )
    if now == last:
        return last
    _last_seen[id(net)] = now
    return now


def _cam_layer(clf: Classifier) -> str | None:
    return vars(clf).get("_cam_layer")  # asking for clf.cam_layer would look for it, which takes a forward pass


def _kind(module: nn.Module) -> tuple[Hashable, ...]:
    """Return what a module does beside its weights: its class, mode and settings, its hooks, its forward pass."""
    own = vars(module)
    settings = tuple([setting for setting in own.items() if isinstance(setting[1], (bool, float, str))])
    hooks = tuple(tuple(own[name]) for name in HOOKS)
    passes = type(module).forward, own.get("forward")
    return id(module), id(type(module)), module.extra_repr(), settings, hooks, passes


def _values(tensor: Tensor, last: tuple[Hashable, ...] | None) -> tuple[Hashable, ...]:
    """Return where and what a tensor is, and a copy of its bytes; of one without values in reach its identity.

    last: what was returned at the last look, which is returned again if it's still so.
    """
    try:
        values = tensor.detach().cpu()
        if values.dtype != torch.float32:  # NumPy doesn't know all types
            values = values.contiguous().reshape(-1).view(torch.uint8)
        now: tuple[Hashable, ...] = tensor.device, tensor.dtype, tensor.shape, values.numpy().tobytes()
    except (RuntimeError, TypeError, ValueError):  # sparse, without storage, or not initialized yet
        now = (id(tensor),)
    return last if last is not None and now == last else now
