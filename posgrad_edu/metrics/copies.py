"""Copies of networks that torch can't copy by itself, and layers whose weight is made of other tensors.

``copy.deepcopy`` refuses tensors that are a part of a graph. A network has such tensors if it keeps its activations as
attributes, and where a hook computes its weights before each forward pass (pruning, weight norm of the old kind).
"""

from __future__ import annotations

import copy
import types
from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

ATOMS = (str, bytes, int, float, complex, type(None), type, types.FunctionType, types.ModuleType, range)


def copied(net: nn.Module) -> nn.Module:
    """Return a copy of the network that shares nothing with it; activations that it keeps lose their graph.

    Raises ``ValueError`` for a network that holds what can't be copied, such as an open file.
    """
    memo: dict[int, Any] = {id(t): t.detach().clone() for t in _tensors(net, set()) if not t.is_leaf}
    try:
        return copy.deepcopy(net, memo)
    except Exception as error:  # whatever its parts raise
        raise ValueError(
            f"The network can't be copied ({type(error).__name__}: {error}). "
            "Take what can't be copied out of its attributes and hooks."
        ) from error


def _tensors(thing: Any, seen: set[int]) -> Iterator[Tensor]:
    """Yield the tensors that a network holds, in attributes, lists, dictionaries, hooks and other objects."""
    waiting = [thing]
    kept = []  # an object made on the way could otherwise be gone, and another have its number
    while waiting:
        one = waiting.pop()
        if isinstance(one, ATOMS) or id(one) in seen:
            continue
        seen.add(id(one))
        kept.append(one)
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, Mapping):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
        elif isinstance(one, types.MethodType):
            waiting.append(one.__self__)
        waiting += [*getattr(one, "__dict__", {}).values()]


def plain_weights(layer: nn.Module) -> None:
    """Give a layer, in place, the tensors that it computes with as parameters of its own, without what made them.

    Undoes parametrizations, pruning, and the older hooks for weight norm and spectral norm; the layer computes the same
    as before. Of a layer that has none of these nothing changes.
    """
    for module in layer.modules():
        if parametrize.is_parametrized(module):
            _without_parametrizations(module)
        for hook in [*module._forward_pre_hooks.values()]:
            if isinstance(hook, prune.BasePruningMethod):
                prune.remove(module, hook._tensor_name)
            elif isinstance(hook, WeightNorm):
                remove_weight_norm(module, hook.name)
            elif isinstance(hook, SpectralNorm):
                remove_spectral_norm(module, hook.name)
        if isinstance(module, nn.RNNBase):  # it keeps a list of its weights, which may be the ones from before
            module._flat_weights = [getattr(module, name, None) for name in module._flat_weights_names]


def _without_parametrizations(module: nn.Module) -> None:
    """Do what ``parametrize.remove_parametrizations`` does, but to this module alone.

    A parametrized layer has a class of its own, which its copies share: torch takes the weight away from all of them.
    """
    made_of = cast("nn.ModuleDict", module.parametrizations)
    values = {name: getattr(module, name).detach().clone() for name in made_of}
    trained = any(each.requires_grad for each in made_of.parameters())
    del module._modules["parametrizations"]
    module.__class__ = parametrize.type_before_parametrizations(module)
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, requires_grad=trained))
