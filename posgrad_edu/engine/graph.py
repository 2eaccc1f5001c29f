"""The graph that autograd recorded: what really ran between a photo and its logits, whoever called it.

``backward_rules`` sees the functions that a network calls from Python, in this thread. The graph holds whatever has a
derivative: also scripted, exported and checkpointed parts, and what other threads did. So methods that need a rule
for each operation walk it, from the logits back to the photo, and refuse what they have no rule for:

    for node in nodes(logits):
        if is_gate(node): ...                     # a ReLU, under any of its names
        elif not is_linear(node): raise refuse("guided-backprop", node, "...")

A node is called after its operation, such as ``ConvolutionBackward0``, and keeps what its derivative needs, such as
``_saved_result``. What is not listed here as linear is refused: a list of what is forbidden would always lag behind
what people write.

Reference: "Autograd mechanics" in PyTorch's documentation (saved tensors, hooks of nodes).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import Node

from posgrad_edu.errors import UnsupportedOperation

# Operations whose output is a linear function of what depends on the photo, plus perhaps a constant; or one that only
# chooses among its inputs' values and moves them. BatchNorm counts: in evaluation mode it is a scale and a shift.
WEIGHTED = ("Convolution", "MkldnnConvolution", "SlowConv2D", "ThnnConv2D", "Addmm", "Addmv", "Mm", "Mv", "Linear")
BATCH_NORMS = ("NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm")
SUMS = ("Add", "Sub", "Rsub", "Neg", "Sum", "Mean", "Cumsum")
AVERAGES = ("AvgPool1D", "AvgPool2D", "AvgPool3D", "AdaptiveAvgPool1D", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D")
RESIZES = ("UpsampleNearest2D", "UpsampleNearestExact2D", "UpsampleBilinear2D", "UpsampleBicubic2D")
MAXIMA = (
    "MaxPool2DWithIndices",
    "MaxPool3DWithIndices",
    "AdaptiveMaxPool2D",
    "AdaptiveMaxPool3D",
    "Amax",
    "Max",
    "Topk",
)
VIEWS = (
    *(
        "View",
        "ViewAs",
        "Reshape",
        "ReshapeAlias",
        "UnsafeView",
        "Flatten",
        "Unflatten",
        "Expand",
        "ExpandAs",
        "Permute",
    ),
    *("Transpose", "T", "Squeeze", "Unsqueeze", "Select", "Slice", "Narrow", "Split", "SplitWithSizes"),
    *(
        "UnsafeSplit",
        "Unbind",
        "Chunk",
        "Alias",
        "Clone",
        "Contiguous",
        "ToCopy",
        "Diagonal",
        "Movedim",
        "AccumulateGrad",
    ),
)
MOVES = (
    *("Cat", "Stack", "Index", "IndexSelect", "Gather", "Take", "Copy", "CopySlices", "AsStrided", "Repeat", "Roll"),
    *("RepeatInterleave", "Flip", "Rot90", "Unfold", "Im2Col", "PixelShuffle", "PixelUnshuffle", "ChannelShuffle"),
    *("ConstantPadNd", "ReflectionPad1D", "ReflectionPad2D", "ReplicationPad1D", "ReplicationPad2D"),
)
LINEAR = frozenset((*WEIGHTED, *BATCH_NORMS, *SUMS, *AVERAGES, *RESIZES, *MAXIMA, *VIEWS, *MOVES))
CLAMPS = ("Clamp", "ClampMin", "ClampMax", "Hardtanh")
# Linear in each of two factors: linear where only one of them depends on the photo.
PRODUCTS = frozenset(("Mul", "Div", "Bmm", "Baddbmm"))
# Not linear, but no activation either: rules made for ReLUs leave them their own derivative.
NORMALIZATIONS = frozenset(("NativeLayerNorm", "NativeGroupNorm", "FusedRmsNorm"))
SATURATING = frozenset(("Sigmoid", "Hardsigmoid", "Softmax", "LogSoftmax", "Tanh", "Logsumexp"))


def operation(node: Node) -> str:
    """Return a node's operation, such as "Convolution" for ``ConvolutionBackward0``."""
    if is_custom(node):
        return f"custom {node.name().removesuffix('Backward')}"
    return re.sub(r"(Backward|Backwards)\d*$", "", node.name().rpartition("::")[2])


def is_custom(node: Node) -> bool:
    """Tell whether a node is that of a ``torch.autograd.Function`` in Python."""
    return isinstance(node, torch.autograd.function.BackwardCFunction)


def spelled(node: Node) -> str:
    """Return the name that a reader knows an operation by, such as ``torch.nn.functional.silu``."""
    name = operation(node)
    if is_custom(node):
        return f"the {name.replace('custom', 'custom function', 1)}"
    if name == "DifferentiableGraph":
        return "a scripted part whose operations can't be seen (torch.jit)"
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    for word in (plain, plain.rpartition("_")[0], plain.partition("_")[0]):  # prelu_kernel is prelu
        for module, prefix in ((F, "torch.nn.functional"), (torch, "torch"), (Tensor, "torch.Tensor")):
            if word and hasattr(module, word):
                return f"{prefix}.{word}"
    return plain


def refuse(method: str, node: Node, advice: str) -> UnsupportedOperation:
    """Return (not raise) the error for an operation that ``method`` has no rule for."""
    return UnsupportedOperation(f"{method} has no rule for {spelled(node)}. {advice}")


def nodes(logits: Tensor, leaf: Tensor | None = None) -> list[Node]:
    """Return the nodes that lie between the logits and a leaf such as the photo, from the logits down.

    leaf: a tensor that requires gradients; ``None`` for all nodes. Nodes that only parameters lead to are left out.
    """
    order: list[Node] = []
    reaches: dict[Node, bool] = {}
    stack: list[tuple[Node, bool]] = [(logits.grad_fn, False)] if logits.grad_fn is not None else []
    while stack:  # depth first: a node is finished after all that lie below it
        node, finished = stack.pop()
        below = [before for before, _ in node.next_functions if before is not None]
        if finished:
            reaches[node] = leaf is None or getattr(node, "variable", None) is leaf or any(reaches[b] for b in below)
            if reaches[node]:
                order.append(node)
        elif node not in reaches:
            reaches[node] = False
            stack.append((node, True))
            stack += [(b, False) for b in below if b not in reaches]
    return order[::-1]


class Gate(NamedTuple):
    """A ReLU that ran: its node, and where it stops growing (inf, or 6 for a ReLU6)."""

    node: Node
    limit: float

    def output(self) -> Tensor:
        """Return the activations a = min(max(z, 0), limit)."""
        if operation(self.node) == "Relu":
            return self.node._saved_result  # type: ignore[attr-defined]
        return _gate_input(self.node).clamp(0, self.limit)

    def open(self, a: Tensor) -> Tensor:
        """Return where the gate passes gradients: 0 < a < limit."""
        return a > 0 if math.isinf(self.limit) else (a > 0) & (a < self.limit)


def as_gate(node: Node) -> Gate | None:
    """Return the node as a ReLU, under whatever name it was called; ``None`` if it is none.

    Known are relu, relu6 and hardtanh from 0, clamp and clamp_min from 0, threshold(0, 0), and maximum with 0.
    """
    name = operation(node)

    def saved(field: str) -> Any:
        return getattr(node, f"_saved_{field}", None)

    if name == "Relu":
        return Gate(node, math.inf)
    if name == "Threshold":
        return Gate(node, math.inf) if saved("threshold") == 0 else None
    if name == "Hardtanh":
        return Gate(node, float(saved("max_val"))) if saved("min_val") == 0 < saved("max_val") else None
    if name in ("Clamp", "ClampMin"):
        low, high = _number(saved("min")), _number(saved("max"))
        upper = math.inf if high is None else high
        return Gate(node, upper) if low == 0 < upper else None
    if name in ("Maximum", "Fmax"):
        other = [
            saved(side) for side, (before, _) in zip(("self", "other"), node.next_functions, strict=True) if not before
        ]
        return Gate(node, math.inf) if other and not other[0].any() else None
    return None


def _number(bound: object) -> float | None:
    """Return a clamp's bound as a number, whether it was one or a tensor of one value; nan for several values."""
    if isinstance(bound, Tensor):
        return float(bound) if bound.numel() == 1 else math.nan
    return None if bound is None else float(bound)  # type: ignore[arg-type]


def _gate_input(node: Node) -> Tensor:
    if operation(node) in ("Maximum", "Fmax"):
        side = "self" if node.next_functions[0][0] is not None else "other"
        return getattr(node, f"_saved_{side}")
    return node._saved_self  # type: ignore[attr-defined]


# --- What LRP needs of a network ---


def refuse_unshared(logits: Tensor, photo: Tensor, treated: type[torch.autograd.Function]) -> None:
    """Refuse a network in which relevance would pass an operation without a rule.

    treated: the function whose nodes have one. All others may only move values, or choose the largest.
    Raises ``UnsupportedOperation`` by the operation's name.
    """
    advice = "It works on networks of linear layers, ReLUs, BatchNorm, pooling and additions that run in Python."
    for node in nodes(logits, photo):
        if is_custom(node) and getattr(node, "_forward_cls", None) is treated:
            continue
        if operation(node) not in {*MAXIMA, *VIEWS, *MOVES}:
            raise refuse("lrp", node, advice)
        if operation(node) in ("Cat", "Stack") and any(before is None for before, _ in node.next_functions):
            raise refuse("lrp", node, "It joins a constant, which would take a share of the relevance.")
        if operation(node) == "CopySlices":
            raise refuse("lrp", node, "It fills a part of a tensor in place.")


# --- What rules made for ReLUs need of a network ---


def gates(method: str, net: nn.Module, logits: Tensor, photo: Tensor) -> list[Gate]:
    """Return the ReLUs between the logits and the photo; refuse an activation that rules made for ReLUs don't cover.

    A clamp that no weights lie below keeps pixels in their range and is no activation.
    Normalizations, and sigmoids that scale whole channels or the logits, keep their own derivative.
    Raises ``UnsupportedOperation`` for any other operation that isn't linear, and where there is no ReLU.
    """
    order = nodes(logits, photo)
    inside, weighted = set(order), _with_weights_below(order)
    found: list[Gate] = []
    for node in order:
        gate = as_gate(node)
        if gate is not None:
            found += [gate] if math.isinf(gate.limit) or node in weighted else []
        elif not (_keeps_its_derivative(node, inside, net) or (node not in weighted and operation(node) in CLAMPS)):
            raise refuse(method, node, "It is made for ReLUs: choose a ReLU network, or another method.")
    if order and not found:  # without a way to the photo, gradients say so
        raise UnsupportedOperation(
            f"{method} acts on ReLUs, and none was seen in this network, so it would be the plain gradient. Use "
            "method='gradient', or a ReLU network that is not compiled or scripted."
        )
    return found


def _with_weights_below(order: Iterable[Node]) -> set[Node]:
    """Return the nodes with a layer of weights between them and the photo."""
    found: set[Node] = set()
    for node in reversed(list(order)):
        below = [before for before, _ in node.next_functions if before is not None]
        if any(before in found or operation(before) in WEIGHTED for before in below):
            found.add(node)
    return found


def _keeps_its_derivative(node: Node, inside: set[Node], net: nn.Module) -> bool:
    name = operation(node)
    if name not in PRODUCTS:
        return name in LINEAR | NORMALIZATIONS | SATURATING
    sides = ("self", "other") if name in ("Mul", "Div") else ("self", "mat2")
    factors: list[Tensor | None] = [getattr(node, f"_saved_{side}", None) for side in sides]
    depends = [before in inside for before, _ in node.next_functions[:2]]
    if all(depends):  # a gate that scales whole channels; of one shape, the two could be any activation
        shapes = [None if factor is None else factor.shape for factor in factors]
        return name in ("Mul", "Div") and None not in shapes and shapes[0] != shapes[1]
    constant = factors[1] if depends[0] else factors[0]
    return constant is None or _is_fixed(constant, net)


def _is_fixed(factor: Tensor, net: nn.Module) -> bool:
    """Tell whether a factor is surely the same for each photo; a mask such as z > 0, without a gradient, isn't."""
    if factor.dtype == torch.bool:
        return False
    if sum(length > 1 for length in factor.shape) <= 1:  # a number, or one a channel
        return True
    where = factor.untyped_storage().data_ptr()
    return any(where == t.untyped_storage().data_ptr() for t in (*net.parameters(), *net.buffers()))
