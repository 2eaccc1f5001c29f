"""What a function may not change: the network and tensors that it is given. A picture of them before and after."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import is_not
from typing import Any

from torch import Tensor, nn

from posgrad_edu.checks.engine import surroundings
from posgrad_edu.engine.audit import HOOKS

Settings = dict[str, Any]


def parts(args: Iterable[Any], kind: type) -> list[Any]:
    """Return the networks, tensors or lists among arguments, and in lists of them."""
    found: list[Any] = []
    for arg in args:
        if isinstance(arg, kind):
            found.append(arg)
        if isinstance(arg, (list, tuple)):
            found += parts(arg, kind)
    return found


@dataclass
class Snapshot:
    """The state of all networks and tensors among the arguments of a call."""

    modules: list[tuple[nn.Module, bool, list[list[int]], bool, Settings]]
    parameters: list[tuple[Tensor, Tensor, bool, int]]
    buffers: list[tuple[Tensor, Tensor]]
    tensors: list[tuple[Tensor, Tensor]]
    lists: list[tuple[list[Any], list[Any]]]
    networks: list[nn.Module]


def take(args: Iterable[Any]) -> Snapshot:
    """Return the state of the networks and tensors among ``args``."""
    args = list(args)
    networks = parts(args, nn.Module)
    modules = [m for net in networks for m in net.modules()]
    return Snapshot(
        modules=[(m, m.training, _hooks(m), "forward" in vars(m), _settings(m)) for m in modules],
        parameters=[(p, p.detach().clone(), p.requires_grad, _tensor_hooks(p)) for p in _parameters(networks)],
        buffers=[(b, b.clone()) for net in networks for b in net.buffers()],
        tensors=[(t, t.detach().clone()) for t in parts(args, Tensor)],
        lists=[(found, list(found)) for found in parts(args, list)],
        networks=networks,
    )


def changed(before: Snapshot) -> str | None:
    """Return the key of what is no longer as it was, the most telling first; ``None`` if all is as before."""
    replaced = surroundings.replaced()
    if replaced:
        return replaced
    now = [m for net in before.networks for m in net.modules()]
    if [id(m) for m in now] != [id(m) for m, *_ in before.modules]:
        return "network-changed"
    if any(("forward" in vars(m)) != own for m, _, _, own, _ in before.modules):
        return "network-changed"
    hooks_left = any(_hooks(m) != hooks for m, _, hooks, *_ in before.modules)
    if hooks_left or any(_tensor_hooks(p) != hooks for p, _, _, hooks in before.parameters):
        return "hooks-left"
    if any(m.training != training for m, training, *_ in before.modules):
        return "mode-changed"
    if not all(_kept(m, was) for m, *_, was in before.modules):
        return "settings-changed"
    tensors = [(now, was) for now, was, *_ in before.parameters] + before.buffers
    if any(_kind(now) != _kind(was) for now, was in tensors):
        return "network-moved"
    others = [id(p) for p in _parameters(before.networks)] != [id(p) for p, *_ in before.parameters]
    if others or any(not _same(p, was) for p, was, *_ in before.parameters):
        return "parameters-changed"
    if any(not _same(b, was) for b, was in before.buffers):
        return "buffers-changed"
    if any(p.requires_grad != required for p, _, required, _ in before.parameters):
        return "requires-grad-changed"
    if any(_kind(t) != _kind(was) or not _same(t, was) for t, was in before.tensors):
        return "input-changed"
    if any(len(now) != len(was) or any(map(is_not, now, was)) for now, was in before.lists):
        return "list-changed"
    return None


def filled_gradients(before: Snapshot) -> bool:
    """Whether the call left gradients in the network's parameters, as ``backward()`` does."""
    return any(p.grad is not None for p, *_ in before.parameters)


def _hooks(module: nn.Module) -> list[list[int]]:
    return [list(getattr(module, name)) for name in HOOKS]


def _settings(module: nn.Module) -> Settings:
    """Return what a module was made with, such as whether it works in place."""
    simple = {name: value for name, value in vars(module).items() if name[0] != "_" and name != "training"}
    return {name: value for name, value in simple.items() if isinstance(value, (bool, int, float, str, tuple))}


def _kept(module: nn.Module, before: Settings) -> bool:
    now = vars(module)
    return all(name in now and now[name] == value for name, value in before.items())


def _kind(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tensor.device, tensor.shape


def _same(now: Tensor, before: Tensor) -> bool:
    """Whether the values are the same, bit by bit but for the sign of 0: nan equals nan."""
    return bool(((now == before) | ((now != now) & (before != before))).all())


def _tensor_hooks(parameter: Tensor) -> int:
    return len(parameter._backward_hooks or ())


def _parameters(networks: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [p for net in networks for p in net.parameters()]
