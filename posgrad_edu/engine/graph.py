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
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import Node

from posgrad_edu.errors import UnsupportedOperation

# Operations whose output is a linear function of what depends on the photo, plus perhaps a constant; or one that only
# chooses among its inputs' values and moves them. BatchNorm counts: in evaluation mode it is a scale and a shift.
LINEAR = frozenset(
    "Convolution MkldnnConvolution SlowConv2D ThnnConv2D Addmm Addmv Mm Mv Linear MkldnnLinear "  # weights
    "NativeBatchNorm CudnnBatchNorm MiopenBatchNorm "
    "Add Sub Rsub Neg Sum Mean Cumsum "
    "AvgPool1D AvgPool2D AvgPool3D AdaptiveAvgPool1D AdaptiveAvgPool2D AdaptiveAvgPool3D MkldnnAdaptiveAvgPool2D "
    "UpsampleNearest1D UpsampleNearest2D UpsampleNearestExact2D UpsampleBilinear2D UpsampleBilinear2DAa "
    "UpsampleBicubic2D UpsampleBicubic2DAa "
    "MaxPool2DWithIndices MaxPool3DWithIndices AdaptiveMaxPool2D AdaptiveMaxPool3D MkldnnMaxPool2D Amax Max Topk "
    "View ViewAs Reshape ReshapeAlias UnsafeView Flatten Unflatten Expand ExpandAs Permute Transpose T Squeeze "
    "Unsqueeze Select Slice Narrow Split SplitWithSizes UnsafeSplit Unbind Chunk Cat Stack Index IndexSelect Gather "
    "Take Clone Alias Contiguous ToCopy Copy CopySlices AsStrided Repeat RepeatInterleave Roll Flip Rot90 Unfold "
    "Im2Col PixelShuffle PixelUnshuffle ChannelShuffle Diagonal Movedim "
    "ConstantPadNd ReflectionPad1D ReflectionPad2D ReplicationPad1D ReplicationPad2D "
    "BackwardHookFunction Identity ViewAsComplex ViewAsReal".split()
)
# Linear in each of two factors: linear where only one of them depends on the photo.
PRODUCTS = frozenset(["Mul", "Div", "Bmm", "Baddbmm", "Matmul"])
# Not linear, but no activation either: rules made for ReLUs leave them their own derivative.
NORMALIZATIONS = frozenset("NativeLayerNorm NativeGroupNorm FusedRmsNorm".split())
SATURATING = frozenset("Sigmoid Hardsigmoid Softmax LogSoftmax Tanh Logsumexp".split())


def operation(node: Node) -> str:
    """Return a node's operation, such as "Convolution" for ``ConvolutionBackward0``."""
    return re.sub(r"(Backward|Backwards)\d*$", "", node.name().rpartition("::")[2])


def spelled(node: Node) -> str:
    """Return the name that a reader knows an operation by, such as ``torch.nn.functional.silu``."""
    name = operation(node)
    if isinstance(node, torch.autograd.function.BackwardCFunction):
        return f"the custom function {name}"
    if name == "DifferentiableGraph":
        return "a scripted part whose operations can't be seen (torch.jit)"
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    for module, prefix in ((F, "torch.nn.functional"), (torch, "torch"), (Tensor, "torch.Tensor")):
        if hasattr(module, plain):
            return f"{prefix}.{plain}"
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
    name, saved = operation(node), lambda field: getattr(node, f"_saved_{field}", None)
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
        constant = [saved(side) for (before, _), side in zip(node.next_functions, ("self", "other")) if before is None]
        return Gate(node, math.inf) if len(constant) == 1 and not constant[0].any() else None
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
