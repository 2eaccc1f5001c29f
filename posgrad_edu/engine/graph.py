"""The graph that autograd recorded: what really ran between a photo and its logits, whoever called it.

``backward_rules`` sees the functions that a network calls from Python, in this thread. The graph holds whatever has a
derivative: also scripted, exported and checkpointed parts, and what other threads did. So methods that need a rule
for each operation walk it, from the logits back to the photo, and refuse what they have no rule for:

    for node in nodes(logits):
        if as_gate(node): ...                     # a ReLU, under any of its names
        elif operation(node) not in LINEAR: raise refuse("guided-backprop", node, "...")

A node is called after its operation, such as ``ConvolutionBackward0``, and keeps what its derivative needs, such as
``_saved_result``. What is not listed here as linear is refused: a list of what is forbidden would always lag behind
what people write.

Reference: "Autograd mechanics" in PyTorch's documentation (saved tensors, hooks of nodes).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Set
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils.hooks import RemovableHandle

from posgrad_edu.engine.audit import once
from posgrad_edu.engine.passes import checked_logits
from posgrad_edu.errors import UnsupportedOperation

# Operations whose output is a linear function of what depends on the photo, plus perhaps a constant; or one that only
# chooses among its inputs' values and moves them. BatchNorm counts: in evaluation mode it is a scale and a shift.
WEIGHTED = ("Convolution", "MkldnnConvolution", "SlowConv2D", "ThnnConv2D", "Addmm", "Addmv", "Mm", "Mv", "Linear")
BATCH_NORMS = ("NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm")
SUMS = ("Add", "Sub", "Rsub", "Neg", "Sum", "Mean", "Cumsum")
AVERAGES = ("AvgPool1D", "AvgPool2D", "AvgPool3D", "AdaptiveAvgPool1D", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D")
RESIZES = (
    "UpsampleNearest1D",
    "UpsampleNearest2D",
    "UpsampleNearest3D",
    "UpsampleNearestExact2D",
    "UpsampleLinear1D",
    "UpsampleBilinear2D",
    "UpsampleBilinear2DAa",
    "UpsampleBicubic2D",
    "UpsampleBicubic2DAa",
    "UpsampleTrilinear3D",
)
MAXIMA = (  # MaxPool2D is its name on an Apple GPU
    "MaxPool2D",
    "MaxPool2DWithIndices",
    "MaxPool3DWithIndices",
    "AdaptiveMaxPool2D",
    "AdaptiveMaxPool3D",
    "Amax",
    "Max",
    "Topk",
    "Sort",
    "Kthvalue",
    "Median",
)
VIEWS = (
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
    "Transpose",
    "T",
    "Squeeze",
    "Unsqueeze",
    "Select",
    "Slice",
    "Narrow",
    "Split",
    "SplitWithSizes",
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
)
MOVES = (
    "Cat",
    "Stack",
    "Index",
    "IndexSelect",
    "Gather",
    "Take",
    "Copy",
    "CopySlices",
    "AsStrided",
    "Repeat",
    "Roll",
    "RepeatInterleave",
    "Flip",
    "Rot90",
    "Unfold",
    "Im2Col",
    "Col2Im",
    "PixelShuffle",
    "PixelUnshuffle",
    "ChannelShuffle",
    "ConstantPadNd",
    "ReflectionPad1D",
    "ReflectionPad2D",
    "ReplicationPad1D",
    "ReplicationPad2D",
)
LINEAR = frozenset((*WEIGHTED, *BATCH_NORMS, *SUMS, *AVERAGES, *RESIZES, *MAXIMA, *VIEWS, *MOVES))
# ReLUs whose derivative in PyTorch is 0 where z = 0, as that of the others isn't.
OWN_DERIVATIVE = ("Relu", "Threshold", "Hardtanh")
ROUTES = frozenset((*MAXIMA, *VIEWS, *MOVES))  # what only chooses and moves
CLAMPS = ("Clamp", "ClampMin", "ClampMax", "Hardtanh")
# Linear in each of two factors, so linear where only one of them depends on the photo: where the node keeps each
# factor, and which of its inputs it is.
PRODUCTS: dict[str, tuple[tuple[str, int], tuple[str, int]]] = {
    "Mul": (("self", 0), ("other", 1)),
    "Div": (("self", 0), ("other", 1)),
    "Mm": (("self", 0), ("mat2", 1)),
    "Mv": (("self", 0), ("vec", 1)),
    "Bmm": (("self", 0), ("mat2", 1)),
    "Addmm": (("mat1", 1), ("mat2", 2)),
    "Addmv": (("mat", 1), ("vec", 2)),
    "Baddbmm": (("batch1", 1), ("batch2", 2)),
    "Convolution": (("input", 0), ("weight", 1)),
    "Linear": (("input", 0), ("weight", 1)),
    "GridSampler2D": (("input", 0), ("grid", 1)),
    "GridSampler3D": (("input", 0), ("grid", 1)),
}
# Not linear, but no activation either: rules made for ReLUs leave them their own derivative.
NORMALIZATIONS = frozenset(("NativeLayerNorm", "NativeGroupNorm", "FusedRmsNorm"))
NORMS = frozenset(("LinalgVectorNorm", "Norm"))
SOFTMAXES = frozenset(("Softmax", "LogSoftmax", "Logsumexp"))
# These too, where they scale whole channels or end in the logits; before a layer of weights they are activations.
SIGMOIDS = frozenset(("Sigmoid", "Hardsigmoid", "Tanh"))
_SPELLED = {"Col2Im": "torch.nn.functional.fold", "Im2Col": "torch.nn.functional.unfold"}
_SPELLED |= dict.fromkeys(("GridSampler2D", "GridSampler3D"), "torch.nn.functional.grid_sample")


def operation(node: Node) -> str:
    """Return a node's operation, such as "Convolution" for ``ConvolutionBackward0``."""
    if is_custom(node):
        return f"custom {node.name().removesuffix('Backward')}"
    return _without_backward(node.name())


@cache
def _without_backward(name: str) -> str:
    return re.sub(r"(Backward|Backwards)\d*$", "", name.rpartition("::")[2])


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
    if name in _SPELLED:
        return _SPELLED[name]
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    for word in (plain, plain.rpartition("_")[0], plain.partition("_")[0]):  # prelu_kernel is prelu
        for module, prefix in ((F, "torch.nn.functional"), (torch, "torch"), (Tensor, "torch.Tensor")):
            if word and hasattr(module, word):
                return f"{prefix}.{word}"
    return plain


def refuse(method: str, node: Node, advice: str) -> UnsupportedOperation:
    """Return (not raise) the error for an operation that ``method`` has no rule for."""
    return UnsupportedOperation(f"{method} has no rule for {spelled(node)}. {advice}")


class Path(NamedTuple):
    """What lies between the logits and a leaf, looked up once: each node, what it does, and what it reads.

    nodes: from the logits down. names: the operation of each. below: what made its inputs, ``None`` for a constant.
    """

    nodes: list[Node]
    names: dict[Node, str]
    below: dict[Node, list[Node | None]]

    def name(self, node: Node) -> str:
        """Return the operation of a node, also of one that only parameters lead to."""
        return self.names.get(node) or operation(node)


def nodes(logits: Tensor, leaf: Tensor | None = None) -> list[Node]:
    """Return the nodes that lie between the logits and a leaf such as the photo, from the logits down.

    leaf: a tensor that requires gradients; ``None`` for all nodes. Nodes that only parameters lead to are left out.
    """
    return _walk(logits, leaf)[0]


def path(logits: Tensor, leaf: Tensor) -> Path:
    """Return what lies between the logits and a leaf."""
    order, below = _walk(logits, leaf)
    return Path(order, {node: operation(node) for node in order}, below)


def _walk(logits: Tensor, leaf: Tensor | None) -> tuple[list[Node], dict[Node, list[Node | None]]]:
    order: list[Node] = []
    below: dict[Node, list[Node | None]] = {}
    reaches: dict[Node | None, bool] = {None: False}
    stack: list[tuple[Node, bool]] = [(logits.grad_fn, False)] if logits.grad_fn is not None else []
    while stack:  # depth first: a node is finished after all that lie below it
        node, finished = stack.pop()
        if finished:
            inside = any(reaches[before] for before in below[node])
            reaches[node] = inside or leaf is None or getattr(node, "variable", None) is leaf
            if reaches[node]:
                order.append(node)
        elif node not in below:
            below[node] = [before for before, _ in node.next_functions]
            stack.append((node, True))
            stack += [(before, False) for before in below[node] if before is not None and before not in below]
    return order[::-1], below


def ancestors(node: Node, around: Set[Node] = frozenset()) -> set[Node]:
    """Return a node and all that it was made of, or of these what a way leads to that goes around some nodes."""
    found, waiting = {node}, [node]
    while waiting:
        before = {b for b, _ in waiting.pop().next_functions if b is not None} - found - around
        found |= before
        waiting += before
    return found


class Gate(NamedTuple):
    """A ReLU that ran: its node, and where it stops growing (inf, or 6 for a ReLU6)."""

    node: Node
    limit: float

    def values(self) -> Tensor:
        """Return the activations a = min(max(z, 0), limit) where the gate is open; elsewhere they may be z."""
        return self.node._saved_result if operation(self.node) == "Relu" else _gate_input(self.node)  # type: ignore[attr-defined]

    def open(self) -> Tensor:
        """Return where the gate passes gradients: 0 < a < limit."""
        a = self.values()
        return a > 0 if math.isinf(self.limit) else (a > 0) & (a < self.limit)

    @property
    def own_derivative(self) -> bool:
        """Whether PyTorch's derivative is that of a ReLU also where z = 0."""
        return operation(self.node) in OWN_DERIVATIVE

    def on_gradient(self, rule: Callable[[Tensor, Tensor, Gate], Tensor]) -> RemovableHandle:
        """Let ``rule(G, gated, gate)`` decide what passes down, until the handle is removed.

        G arrives; gated is what passes otherwise, G where the gate is open and 0 elsewhere, held by nobody else.
        """
        derivative = self.own_derivative

        def hook(passed: tuple[Tensor | None, ...], arrived: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
            own = passed[0] if derivative else None
            gated = arrived[0].where(self.open(), 0.0) if own is None else own
            new = rule(arrived[0], gated, self)
            return tuple(None if grad is None else new for grad in passed)  # maximum(z, 0) has two inputs

        return self.node.register_hook(hook)


def as_gate(node: Node, name: str | None = None) -> Gate | None:
    """Return a node as a ReLU, under whatever name it was called; ``None`` if it is none.

    name: its operation's, where that is known.

    Known are relu, relu6 and hardtanh from 0, clamp and clamp_min from 0, threshold(0, 0), and maximum with 0.
    """
    name = operation(node) if name is None else name

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
        if operation(node) not in ROUTES:
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
    way = path(logits, photo)
    weighted = _with_weights_below(way)
    found: list[Gate] = []
    others: list[Node] = []
    for node, name in way.names.items():
        gate = as_gate(node, name)
        if gate is None:
            others += [] if node not in weighted and name in CLAMPS else [node]
        elif math.isinf(gate.limit) or node in weighted:
            found.append(gate)
    if not found:  # which says more than that a sigmoid is in a ReLU's place
        others = [node for node in others if way.names[node] not in SIGMOIDS]
    _refuse_activations(method, way, others)
    if _unknown_factors(net, way):
        once(_refuse_masks, net, photo, method)
    if way.nodes and not found:  # without a way to the photo, gradients say so
        raise UnsupportedOperation(
            f"{method} acts on ReLUs, and none was seen in this network, so it would be the plain gradient. Use "
            "method='gradient', or a ReLU network that is not compiled or scripted."
        )
    return found


def _with_weights_below(way: Path) -> set[Node]:
    """Return the nodes with a layer of weights between them and the photo."""
    found: set[Node] = set()
    for node in reversed(way.nodes):
        for before in way.below[node]:
            if before is not None and (before in found or way.name(before) in WEIGHTED):
                found.add(node)
    return found


def _refuse_activations(method: str, way: Path, others: Iterable[Node]) -> None:
    """Refuse what may be an activation among the nodes that are no ReLUs."""
    joined, before_weights = _joined_with_constants(way), _before_weights(way)
    for node in others:
        name = way.names[node]
        if name in SIGMOIDS:
            known = node not in before_weights
        elif name == "CopySlices":
            node, known = node._wrapped_node, _moves_values(node._wrapped_node)  # type: ignore[attr-defined]
        elif name in MAXIMA or name in ("Gather", "Index", "Take"):
            known = node not in joined  # the larger of z and 0, or one of the two by an index, is a ReLU
        elif name in ("ClampMin", "Clamp"):
            below = node.next_functions[0][0]
            known = below is not None and operation(below) in NORMS  # so that nothing is divided by zero
        elif name in NORMS:
            known = node._saved_result.numel() < node._saved_self.numel()  # type: ignore[attr-defined]
        elif name in PRODUCTS:
            known = _is_linear_product(node, way) or (name in ("Mul", "Div") and _scales_channels(node))
        else:
            known = name in LINEAR or name in NORMALIZATIONS or name in SOFTMAXES
        if not known:
            raise refuse(method, node, "It is made for ReLUs: choose a ReLU network, or another method.")


def _before_weights(way: Path) -> set[Node | None]:
    """Return the nodes whose output a layer of weights reads, before it is multiplied by what depends on the photo."""
    found: set[Node | None] = set()
    for node, name in way.names.items():
        if name in WEIGHTED or (node in found and not (name in PRODUCTS and not _is_linear_product(node, way))):
            found.update(way.below[node])
    return found


def _joined_with_constants(way: Path) -> set[Node | None]:
    """Return the nodes that choose among values some of which are constants joined to what depends on the photo."""
    found: set[Node | None] = set()
    for node in reversed(way.nodes):
        name, below = way.names[node], way.below[node]
        joins = (name in ("Cat", "Stack") and None in below) or (name == "CopySlices" and below[0] is None)
        chooses = name in VIEWS or name in MOVES or name in MAXIMA
        if joins or (chooses and not found.isdisjoint(below)):
            found.add(node)
    return found


def _moves_values(inner: Node) -> bool:
    """Tell whether what was done in place to a part of a tensor is an assignment, a sum or a multiple."""
    if operation(inner) in ("Mul", "Div"):
        factor = getattr(inner, "_saved_other", None)
        return not isinstance(factor, Tensor) or factor.ndim == 0
    return operation(inner) in ("Copy", "Fill", "Zero", "Add", "Sub")


def _made_by(node: Node, way: Path) -> list[Node | None]:
    """Return what made the two factors of a product; ``None`` for a constant, also a number that has no node."""
    below = way.below[node]
    return [below[place] if place < len(below) else None for _, place in PRODUCTS[way.names[node]]]


def _factors(node: Node) -> list[Tensor | None]:
    """Return the two factors of a product; ``None`` for one that the derivative doesn't need."""
    return [getattr(node, f"_saved_{field}", None) for field, _ in PRODUCTS[operation(node)]]


def _is_linear_product(node: Node, way: Path) -> bool:
    """Tell whether only one factor depends on the photo, and it is no divisor."""
    first, second = _made_by(node, way)
    return not (second in way.names and (first in way.names or way.names[node] == "Div"))


def _scales_channels(node: Node) -> bool:
    """Tell whether one of two factors is the same for many values of the other, as a gate of whole channels is.

    Of one shape, the two could be any activation, such as z · sigmoid(z). An expanded tensor has its own shape.
    """
    first, second = _factors(node)
    if first is None or second is None:
        return False
    axes = max(first.ndim, second.ndim)
    shapes = [_own_shape(factor, axes) for factor in (first, second)]
    product = [max(lengths) for lengths in zip(*shapes, strict=True)]
    if shapes[0] == shapes[1]:
        return False
    return product == shapes[0] or (operation(node) == "Mul" and product == shapes[1])


def _own_shape(factor: Tensor, axes: int) -> list[int]:
    """Return a tensor's shape before it was expanded, with 1 for the axes that it lacks."""
    own = [1 if stride == 0 else length for length, stride in zip(factor.shape, factor.stride(), strict=True)]
    return [1] * (axes - factor.ndim) + own


def _unknown_factors(net: nn.Module, way: Path) -> list[Tensor]:
    """Return the factors that are neither numbers, parameters nor buffers, and through which no gradient flows.

    They may be the same for all photos, as standardized weights are, or a mask such as z > 0.
    """
    found: list[Tensor] = []
    for node, name in way.names.items():
        if name not in PRODUCTS:
            continue
        for (field, _), made_by in zip(PRODUCTS[name], _made_by(node, way), strict=True):
            if made_by in way.names or _is_parameter(made_by):
                continue
            factor = getattr(node, f"_saved_{field}", None)
            if not isinstance(factor, Tensor) or factor.ndim == 0:
                continue
            if not isinstance(factor if factor._base is None else factor._base, nn.Parameter):
                found.append(factor)
    if not found:
        return []
    places = {t.untyped_storage().data_ptr() for t in (*net.parameters(), *net.buffers())}
    return [factor for factor in found if factor.untyped_storage().data_ptr() not in places]


def _is_parameter(node: Node | None) -> bool:
    """Tell whether a node stands for a parameter, or for a view of one, such as its transpose."""
    while node is not None and operation(node) == "T":
        node = node.next_functions[0][0]
    return isinstance(getattr(node, "variable", None), nn.Parameter)


def _refuse_masks(net: nn.Module, photo: Tensor, method: str) -> None:
    """Refuse a network in which a factor without a gradient is a mask, or is another for another photo."""
    x = photo.detach()
    factors = []
    for other in (x.clone(), -3 * x.flip(-1), 30 * x):
        leaf = other.requires_grad_()
        factors.append(_unknown_factors(net, path(checked_logits(net, leaf), leaf)))
    same = all(len(some) == len(factors[0]) and all(map(torch.equal, some, factors[0])) for some in factors[1:])
    if not same or any(((factor == 0) | (factor == 1)).all() for factor in factors[0]):
        raise UnsupportedOperation(
            f"{method} has no rule for a factor that depends on the photo but passes no gradient, such as z > 0 in "
            "z * (z > 0). It is made for ReLUs: choose a ReLU network, or another method."
        )
