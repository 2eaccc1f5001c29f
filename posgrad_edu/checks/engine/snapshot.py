"""What a function may not change: the network and tensors that it is given. A picture of them before and after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
# Functions that a learner may be tempted to replace, by module and name.
REPLACEABLE = [(F, "relu"), (F, "relu6"), (F, "conv2d"), (F, "linear"), (torch, "relu"), (Tensor, "relu")]


def parts(args: Iterable[Any], kind: type) -> list[Any]:
    """Return the networks, or the tensors, among arguments and in lists of them."""
    found: list[Any] = []
    for arg in args:
        if isinstance(arg, (list, tuple)):
            found += parts(arg, kind)
        elif isinstance(arg, kind):
            found.append(arg)
    return found


@dataclass
class Snapshot:
    """The state of all networks and tensors among the arguments of a call."""

    modules: list[tuple[nn.Module, bool, list[int], bool]]
    parameters: list[tuple[Tensor, Tensor, bool, int]]
    buffers: list[tuple[Tensor, Tensor]]
    tensors: list[tuple[Tensor, Tensor]]
    networks: list[nn.Module]
    functions: list[Any]


def take(args: Iterable[Any]) -> Snapshot:
    """Return the state of the networks and tensors among ``args``."""
    args = list(args)
    networks = parts(args, nn.Module)
    modules = [m for net in networks for m in net.modules()]
    return Snapshot(
        modules=[(m, m.training, _hooks(m), "forward" in vars(m)) for m in modules],
        parameters=[(p, p.detach().clone(), p.requires_grad, _tensor_hooks(p)) for p in _parameters(networks)],
        buffers=[(b, b.clone()) for net in networks for b in net.buffers()],
        tensors=[(t, t.detach().clone()) for t in parts(args, Tensor)],
        networks=networks,
        functions=[getattr(owner, name) for owner, name in REPLACEABLE],
    )


def changed(before: Snapshot) -> str | None:
    """Return the key of what is no longer as it was, the most telling first; ``None`` if all is as before."""
    if [getattr(owner, name) for owner, name in REPLACEABLE] != before.functions:
        return "torch-changed"
    now = [m for net in before.networks for m in net.modules()]
    if [id(m) for m in now] != [id(m) for m, *_ in before.modules]:
        return "network-changed"
    if any(("forward" in vars(m)) != own for m, _, _, own in before.modules):
        return "network-changed"
    hooks_left = any(_hooks(m) != hooks for m, _, hooks, _ in before.modules)
    if hooks_left or any(_tensor_hooks(p) != hooks for p, _, _, hooks in before.parameters):
        return "hooks-left"
    if any(m.training != training for m, training, *_ in before.modules):
        return "mode-changed"
    replaced = [id(p) for p in _parameters(before.networks)] != [id(p) for p, *_ in before.parameters]
    if replaced or any(not torch.equal(p, was) for p, was, *_ in before.parameters):
        return "parameters-changed"
    if any(not torch.equal(b, was) for b, was in before.buffers):
        return "buffers-changed"
    if any(p.requires_grad != required for p, _, required, _ in before.parameters):
        return "requires-grad-changed"
    if any(t.shape != was.shape or not t.detach().equal(was) for t, was in before.tensors):
        return "input-changed"
    return None


def filled_gradients(before: Snapshot) -> bool:
    """Whether the call left gradients in the network's parameters, as ``backward()`` does."""
    return any(p.grad is not None for p, *_ in before.parameters)


@contextmanager
def as_it_was() -> Iterator[None]:
    """Restore torch's functions and the random streams that a learner's function may change."""
    originals = [getattr(owner, name) for owner, name in REPLACEABLE]
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            yield
    finally:
        for (owner, name), original in zip(REPLACEABLE, originals, strict=True):
            setattr(owner, name, original)


def _hooks(module: nn.Module) -> list[int]:
    return [len(getattr(module, name)) for name in HOOKS]


def _tensor_hooks(parameter: Tensor) -> int:
    return len(parameter._backward_hooks or ())


def _parameters(networks: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [p for net in networks for p in net.parameters()]
