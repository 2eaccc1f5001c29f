"""Find the layer that a class activation map looks at: the last output with positions that every path goes through.

Detach that output, and the logit no longer depends on the photo: all that the network knows of it has passed here. One
branch of a block, or the inside of a residual branch, would show a fragment.

Whether every path goes through is counted on autograd's graph. With u the number of ways from the logits up to a tensor
and d that from it down to the photo, u · d equals the number of ways from the logits to the photo exactly where none
passes it by.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from posgrad_edu.engine.audit import once, parts
from posgrad_edu.engine.graph import ancestors, nodes, operation
from posgrad_edu.engine.layers import IDENTITY_IN_EVAL, POOLING_LIKE, channels_last, watch
from posgrad_edu.engine.passes import checked_logits, unreachable, with_gradients
from posgrad_edu.errors import UnsupportedOperation, unknown_name

# Attention: each position becomes a mixture of all, so that a map at a layer below shows other places.
ATTENTION = ("Bmm", "ScaledDotProduct")
MANY = 12  # more layers in a row than that are named by the first and the last
_NOWHERE = (
    "No layer of this network has an output with positions (N, C, h, w) that all of its paths go through, so a class "
    "activation map has nothing to show. Use a method that works in input space, such as 'gradient'."
)
_TOKENS = (
    "This network goes on with tokens after its last layer with positions (N, C, h, w), {}, so a class activation map "
    "there would miss most of it. Use a method that works in input space, such as 'gradient'."
)


class Run(NamedTuple):
    """One run of a module in a forward pass: its name, itself, and its output's place in the graph."""

    name: str
    module: nn.Module
    edge: GradientEdge
    shape: torch.Size
    channels_last: bool


def last_spatial_layer(net: nn.Module, x: Tensor) -> str:
    """Return the name of the last layer with an output (N, C, h, w) that every path to the logits goes through.

    Pooling, dropout and identity layers don't count. Found by one forward pass, then remembered for
    photos of this shape until the network changes.
    Raises ``ValueError`` for a network without such a layer, or one that goes on with tokens after it.
    """
    return once(_search, net, x)


def find_layer(net: nn.Module, layer: str | nn.Module | None, x: Tensor) -> nn.Module:
    """Return the module that ``layer`` stands for: itself, its name, or ``None`` for the last spatial one.

    Whether its channels come second can't be seen before it runs: see ``Recorded``.
    """
    if "_orig_mod" in net._modules:
        raise UnsupportedOperation(
            "The layers of a compiled network (torch.compile) can't be watched. Give the network that it was made of, "
            "net._orig_mod, or use method='gradient'."
        )
    if layer is None:
        return net.get_submodule(last_spatial_layer(net, x))
    if not isinstance(layer, (str, nn.Module)):
        raise TypeError(f"layer is a module of the network or its name, not {type(layer).__name__}. Give one layer.")
    if isinstance(layer, nn.Module):
        if not any(layer is module for module in parts(net)):
            raise ValueError(f"This {type(layer).__name__} is not a layer of the network. Give one of its modules.")
        return layer
    modules = dict(net.named_modules())
    name = re.sub(r"\[(\d+)\]", r".\1", layer)  # layer4[2] is layer4.2
    if name not in modules:
        raise _no_layer(net, layer, modules)
    return modules[name]


def _no_layer(net: nn.Module, layer: str, modules: Iterable[str]) -> ValueError:
    """Return (not raise) the error for a layer that doesn't exist: with near names, or the network's outer layers."""
    error = unknown_name("layer", layer, (name for name in modules if name))
    if "Did you mean" in str(error):
        return error
    outer = []
    for name, module in net.named_children():
        inner = [f"{name}.{child}" for child, _ in module.named_children()]
        if not isinstance(module, nn.Sequential) or len(inner) < 2:
            outer.append(name)
        else:
            outer += inner if len(inner) <= MANY else [f"{inner[0]} to {inner[-1]}"]
    return ValueError(f"There is no layer {layer!r}. From the photo up, there are: {', '.join(outer)}.")


def _search(net: nn.Module, x: Tensor) -> str:
    photo = x.detach().clone().requires_grad_()
    with with_gradients():
        logits, runs = _runs(net, photo)
    order = nodes(logits, photo)
    if not order:
        raise unreachable()
    on_every_path = _on_every_path(order, get_gradient_edge(logits))
    makers: dict[GradientEdge, Run] = {}  # an outer layer hands on what an inner one made
    for run in runs:
        if not isinstance(run.module, IDENTITY_IN_EVAL):
            makers.setdefault(run.edge, run)
    last_in = {run.shape for run in runs if run.channels_last}  # a block around such a layer has its shape
    spatial = [
        run
        for edge, run in makers.items()
        if edge in on_every_path and run.shape not in last_in and _may_be_seen(run, len(x))
    ]
    if not spatial:
        raise ValueError(_NOWHERE)
    last = spatial[-1]
    _refuse_tokens(runs[runs.index(last) + 1 :], order, last)
    return last.name


def _runs(net: nn.Module, photo: Tensor) -> tuple[Tensor, list[Run]]:
    """Return the logits and, in the order in which they ended, the runs of modules that depend on the photo."""
    names = {module: name for name, module in net.named_modules() if name}
    runs: list[Run] = []

    def seen(module: nn.Module, output: object) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            edge, last = get_gradient_edge(output), channels_last(module, output)
            runs.append(Run(names[module], module, edge, output.shape, last))

    with watch(names, seen):
        return checked_logits(net, photo), runs


def _may_be_seen(run: Run, photos: int) -> bool:
    spatial = len(run.shape) == 4 and run.shape[0] == photos and run.shape[2] * run.shape[3] > 1
    return spatial and not run.channels_last and not isinstance(run.module, POOLING_LIKE)


def _on_every_path(order: list[Node], logits: GradientEdge) -> set[GradientEdge]:
    """Return the tensors that every way from the logits to the photo goes through; order: from the logits down."""
    inside = set(order)
    ways_up: dict[GradientEdge, int] = defaultdict(int, {logits: 1})
    up_of_node: dict[Node, int] = defaultdict(int, {logits.node: 1})
    for node in order:
        for before, number in node.next_functions:
            if before in inside:
                ways_up[GradientEdge(before, number)] += up_of_node[node]
                up_of_node[before] += up_of_node[node]
    ways_down: dict[Node, int] = {}
    for node in reversed(order):
        below = [before for before, _ in node.next_functions if before in inside]
        ways_down[node] = sum(ways_down[before] for before in below) if below else 1
    total = ways_down[logits.node]
    return {edge for edge, ways in ways_up.items() if ways * ways_down[edge.node] == total}


def _refuse_tokens(later: list[Run], order: list[Node], seen: Run) -> None:
    """Refuse a network that, after the layer, still has positions in another form than (N, C, h, w)."""
    tokens = any(
        isinstance(run.module, (nn.Linear, nn.LayerNorm, nn.MultiheadAttention, nn.Conv1d))
        and (len(run.shape) == 3 or run.channels_last)
        and run.shape[1:-1].numel() > 1
        for run in later
    )
    above = set(order) - ancestors(seen.edge.node)
    attention = any(
        operation(node).startswith(ATTENTION)
        and sum(before in above | {seen.edge.node} for before, _ in node.next_functions) > 1
        for node in above
    )
    if tokens or attention:
        raise ValueError(_TOKENS.format(repr(seen.name)))
