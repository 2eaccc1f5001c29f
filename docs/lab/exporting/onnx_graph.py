"""From a graph of torch's operations to one of ONNX's, small enough to be sent to a browser.

torch has an exporter of its own, ``torch.onnx.export``. It stops at some of the operations on the way back, such as
kthvalue, copies constants into each graph, and takes long. Needed here are the fifty operations below, and for each a
line or a few that say what it is in ONNX. What isn't among them is refused by name.

    graph = OnnxGraph(known={...})                 # tensors that stay outside, in the file with the weights
    graph.add(module)                              # a torch.fx.GraphModule of aten operations
    model = graph.model(["map"], ["logits"])
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, fx

OPSET = 18
WEIGHTS = "weights.bin"
aten = torch.ops.aten

# What only hands its input on.
SAME = (aten.clone, aten.alias, aten.lift_fresh_copy, aten.detach)
ELEMENTWISE = {
    aten.mul: "Mul",
    aten.div: "Div",
    aten.sub: "Sub",
    aten.add: "Add",
    aten.bmm: "MatMul",
    aten.gt: "Greater",
    aten.lt: "Less",
    aten.eq: "Equal",
    aten.bitwise_and: "And",  # of two conditions
    aten.neg: "Neg",
    aten.abs: "Abs",
    aten.sign: "Sign",
    aten.reciprocal: "Reciprocal",
    aten._prelu_kernel: "PRelu",
    aten.where: "Where",
}
REDUCED = {aten.sum: "ReduceSum", aten.mean: "ReduceMean", aten.amax: "ReduceMax", aten.amin: "ReduceMin"}
RESHAPED = (aten.view, aten.unsqueeze)
OVERWRITTEN = object()  # stands for values that are no longer there
ALIASES = (aten.alias, aten.detach)  # the same memory in the same shape
PARTS = (aten.slice, aten.select)  # of a tensor's memory; those of one tensor don't overlap here
WITHOUT_PARTS = (*ALIASES, *RESHAPED, aten.expand, aten.t, aten.permute)
VIEWS = (*WITHOUT_PARTS, *PARTS)


def made_anew(packet: Any) -> Any:
    """Return the form of an operation that makes a new tensor: ``aten.add`` of ``aten.add_``, which writes into one."""
    return getattr(aten, packet.__name__.removesuffix("_")) if writes(packet) else packet


def writes(packet: Any) -> bool:
    """Tell whether an operation writes into its first tensor."""
    return packet.__name__.endswith("_") and not packet.__name__.startswith("_")


def origins(node: Any, through: tuple) -> list[fx.Node]:
    """Return a node and those whose memory it was made of, as far as these operations lead, and what was written in."""
    found = [node]
    while node.op == "call_function":
        packet = getattr(node.target, "overloadpacket", node.target)
        if not (writes(packet) or packet in through):
            break
        node = node.args[0]
        found.append(node)
    return found


def overwrite(env: dict[fx.Node, Any], beside: Iterable[fx.Node], writer: fx.Node) -> None:
    """Let what lies where an operation has written stand for the new values, or for none in another shape.

    beside: the nodes that lie in the same memory, or in a part of it.
    """
    same = origins(writer, ALIASES)[-1]
    whole = {origins(node, ALIASES)[-1] for node in origins(writer, VIEWS)}  # it may be a part of these
    for node in beside:
        if origins(node, ALIASES)[-1] is same:
            env[node] = env[writer]
        elif same in origins(node, VIEWS) or not whole.isdisjoint(origins(node, WITHOUT_PARTS)):
            env[node] = OVERWRITTEN


class OnnxGraph:
    """Nodes and constants. An operation that was there already, with the same inputs, isn't added again.

    known: the tensors that lie in the file with the weights, by name.
    """

    def __init__(self, known: Mapping[str, Tensor]) -> None:
        self.known = {tensor.data_ptr(): name for name, tensor in known.items()}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.outside: dict[str, Tensor] = {}
        self.inputs: dict[str, Sequence[int]] = {}
        self.results: dict[str, Sequence[int]] = {}
        self.made: dict[tuple, list[str]] = {}
        self.maker: dict[str, onnx.NodeProto] = {}

    # --- Nodes and constants ---

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add an operation, unless it is there; return the name of its first output."""
        key = (kind, inputs, tuple(sorted((k, str(v)) for k, v in attributes.items())))
        if key not in self.made:
            names = [f"{kind.lower()}_{len(self.nodes)}" + (f"_{i}" if i else "") for i in range(outputs)]
            node = helper.make_node(kind, inputs, names, **attributes)
            self.nodes.append(node)
            self.made[key] = names
            self.maker |= dict.fromkeys(names, node)
        return self.made[key][0]

    def constant(self, value: Any, kind: type = np.float32) -> str:
        """Return the name of a small constant; equal ones are one."""
        array: np.ndarray = np.asarray(value, dtype=kind)
        if array.size > 4096:
            raise ValueError(f"A constant of shape {array.shape} would be stored in the graph. It belongs outside.")
        short = "i" if kind is np.int64 else "c"
        key = (short, array.shape, array.tobytes())
        if key not in self.made:
            name = f"{short}{len(self.constants)}"
            self.made[key] = [name]
            self.constants[name] = array
        return self.made[key][0]

    def indices(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def tensor(self, value: Tensor) -> str:
        """Return the name of a tensor that the traced function found outside: weights, or a small constant."""
        name = self.known.get(value.data_ptr())
        if name is None:
            return self.constant(value.detach().numpy(), np.int64 if value.dtype == torch.int64 else np.float32)
        self.outside[name] = value.detach()
        return name

    # --- From torch ---

    def add(self, module: fx.GraphModule, inputs: Sequence[str]) -> list[str]:
        """Add all operations of a traced function; return the names of its results."""
        env: dict[fx.Node, Any] = {}
        beside: dict[fx.Node, list[fx.Node]] = {}  # what lies in the memory of the node that had it first
        names = iter(inputs)
        module.graph.eliminate_dead_code()
        node: Any  # what its arguments are, its operation decides
        for node in module.graph.nodes:
            beside.setdefault(first := origins(node, VIEWS)[-1], []).append(node)
            if node.op == "placeholder":
                env[node] = next(names)
                self.inputs[env[node]] = shape(node)
            elif node.op == "get_attr":
                value = getattr(module, str(node.target))
                node.meta["tensor_meta"] = value  # its shape
                env[node] = self.tensor(value)
            elif node.op == "call_function":
                env[node] = self.translate(node, env)
                if node.target is not operator.getitem and writes(node.target.overloadpacket):
                    overwrite(env, beside[first], node)
            elif node.op == "output":
                self.results = {env[result]: shape(result) for result in node.args[0]}
                return [env[result] for result in node.args[0]]
        raise ValueError("The traced function returns nothing.")

    def translate(self, node: Any, env: dict[fx.Node, Any]) -> Any:
        if node.target is operator.getitem:
            results, place = env[node.args[0]], node.args[1]
            return results[place] if place < len(results) else None  # others' derivatives, which nobody asks for
        packet = made_anew(node.target.overloadpacket)
        args = [self.argument(a, env) for a in node.args]
        if packet in SAME:
            return args[0]
        if packet in RESHAPED:
            return self.reshaped(node, args[0])
        if packet is aten.mul and _is_bool(node.args[1]):  # a gate
            return self.op("Where", args[1], args[0], self.constant(0.0))
        if packet in ELEMENTWISE and not node.kwargs:
            return self.op(ELEMENTWISE[packet], *(self.value(a) for a in args))
        if packet in REDUCED:
            keep = node.args[2] if len(node.args) > 2 else False
            return self.op(REDUCED[packet], args[0], self.indices(*_listed(node.args[1])), keepdims=int(bool(keep)))
        if packet not in TRANSLATIONS:
            raise NotImplementedError(f"{node.target} has no translation to ONNX. Add one to exporting/onnx_graph.py.")
        return TRANSLATIONS[packet](self, node, *args)

    def argument(self, value: Any, env: dict[fx.Node, Any]) -> Any:
        if isinstance(value, list | tuple):
            return [self.argument(v, env) for v in value]
        if not isinstance(value, fx.Node):
            return value
        if env[value] is OVERWRITTEN:
            raise NotImplementedError(f"{value} is read after its memory, which has another shape, was written into.")
        return env[value]

    def value(self, value: Any) -> str:
        """Return the name of an operand: a tensor's, or that of a number made a constant."""
        return value if isinstance(value, str) else self.constant(float(value))

    def reshaped(self, node: fx.Node, x: str) -> str:
        """Return a tensor in another shape."""
        return x if shape(node) == shape(node.args[0]) else self.op("Reshape", x, self.indices(*shape(node)))

    # --- To a file ---

    def model(self, outputs: Mapping[str, str], title: str) -> onnx.ModelProto:
        """Return the model without what its outputs don't need. outputs: names in the graph, by their names outside."""
        nodes = [*self.needed(outputs.values())]
        nodes += [helper.make_node("Identity", [inside], [name]) for name, inside in outputs.items()]
        used = {name for node in nodes for name in node.input}
        graph = helper.make_graph(
            nodes,
            title,
            [_described(name, size) for name, size in self.inputs.items() if name in used],
            [_described(name, self.results[inside]) for name, inside in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items() if name in used],
        )
        graph.initializer.extend(_outside(name, tensor) for name, tensor in self.outside.items() if name in used)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)

    def needed(self, names: Any) -> list[onnx.NodeProto]:
        """Return the nodes that these names depend on, in order."""
        wanted = set(names)
        kept = []
        for node in reversed(self.nodes):
            if wanted & set(node.output):
                kept.append(node)
                wanted |= set(node.input)
        return kept[::-1]


def shape(node: Any) -> tuple[int, ...]:
    """Return the shape of a traced operation's result."""
    return tuple(int(n) for n in node.meta["tensor_meta"].shape)


def _is_bool(value: Any) -> bool:
    return isinstance(value, fx.Node) and value.meta["tensor_meta"].dtype == torch.bool


def _listed(value: Any) -> list[int]:
    return [value] if isinstance(value, int) else list(value)


def _described(name: str, size: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(size))


def _outside(name: str, tensor: Tensor) -> TensorProto:
    """Return an initializer without its data; where they lie is filled in later (``weights.py``)."""
    return TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[*tensor.shape], data_location=TensorProto.EXTERNAL)


# --- Operations that take more than a line ---


def _reversed_difference(g: OnnxGraph, node: Any, a: str, b: Any, alpha: float = 1) -> str:
    return g.op("Sub", g.value(b), a)


def _clipped(g: OnnxGraph, node: Any, z: str, low: Any = None, high: Any = None) -> str:
    if low == 0 and high is None:
        return g.op("Relu", z)
    return g.op("Clip", z, *("" if bound is None else g.value(bound) for bound in (low, high)))


def _hardtanh_back(g: OnnxGraph, node: Any, grad: str, z: str, low: float, high: float) -> str:
    inside = g.op("And", g.op("Greater", z, g.constant(low)), g.op("Less", z, g.constant(high)))
    return g.op("Where", inside, grad, g.constant(0.0))


def _convolution(
    g: OnnxGraph,
    node: Any,
    x: str,
    w: str,
    b: str | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> str:
    if transposed:
        raise NotImplementedError("A transposed convolution on the way up has no translation to ONNX here.")
    pads = [*padding, *padding]
    padded = g.maker.get(x)
    if padded is not None and padded.op_type == "Pad":  # a border of zeros is a convolution's own business
        x, around = padded.input[0], g.constants[padded.input[1]].tolist()
        pads = [p + q for p, q in zip(pads, [*around[2:4], *around[6:8]], strict=True)]
    bias = [] if b is None else [b]
    return g.op("Conv", x, w, *bias, strides=stride, pads=pads, dilations=dilation, group=groups)


def _convolution_back(
    g: OnnxGraph,
    node: Any,
    grad: str,
    x: str,
    w: str,
    bias_sizes: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    mask: list[bool],
) -> list[str]:
    """The gradient with regard to the input: a convolution with the transposed weights."""
    before, after, kernel = (shape(node.args[i])[2:] for i in (1, 0, 2))
    channels = shape(node.args[2])[0]
    if stride == [1, 1] and groups in (1, channels):
        return [g.op("Conv", grad, _turned(g, w, kernel, groups), pads=_turned_pads(kernel, padding), group=groups)]
    # What the division by the stride has cut off is given back at the end.
    more = [
        h - ((o - 1) * s - 2 * p + d * (k - 1) + 1)
        for h, o, s, p, d, k in zip(before, after, stride, padding, dilation, kernel, strict=True)
    ]
    settings: dict[str, Any] = {"strides": stride, "dilations": dilation, "group": groups}
    return [g.op("ConvTranspose", grad, w, pads=[*padding, *padding], output_padding=more, **settings)]


def _turned(g: OnnxGraph, w: str, kernel: Sequence[int], groups: int) -> str:
    """Return weights (out, in, k, k) with inputs and outputs exchanged, turned by half a turn."""
    turned = w if groups > 1 else g.op("Transpose", w, perm=[1, 0, 2, 3])
    if max(kernel) == 1:
        return turned
    ends, axes = g.indices(-(2**31), -(2**31)), g.indices(2, 3)
    return g.op("Slice", turned, g.indices(-1, -1), ends, axes, g.indices(-1, -1))


def _turned_pads(kernel: Sequence[int], padding: list[int]) -> list[int]:
    pads = [k - 1 - p for k, p in zip(kernel, padding, strict=True)]
    return [*pads, *pads]


def _pad(g: OnnxGraph, node: Any, x: str, pads: list[int], value: float = 0.0) -> str:
    """torch counts a border from the last axis, left before right; ONNX gives all beginnings, then all ends."""
    if value:
        raise NotImplementedError("A border that isn't zero has no translation to ONNX here.")
    left, right, top, bottom = pads
    if not any(pads):
        return x
    if min(pads) < 0:
        return _cropped(g, node, x, [-top, -left], [-bottom, -right])
    return g.op("Pad", x, g.indices(0, 0, top, left, 0, 0, bottom, right), g.constant(0.0))


def _cropped(g: OnnxGraph, node: Any, x: str, begin: list[int], end: list[int]) -> str:
    """A border taken away; a transposed convolution needn't compute it in the first place."""
    maker = g.maker.get(x)
    if maker is not None and maker.op_type == "ConvTranspose":
        settings = {a.name: helper.get_attribute_value(a) for a in maker.attribute}
        settings["pads"] = [p + q for p, q in zip(settings["pads"], [*begin, *end], strict=True)]
        return g.op("ConvTranspose", *maker.input, **settings)
    size = shape(node)[2:]
    ends = [b + s for b, s in zip(begin, size, strict=True)]
    return g.op("Slice", x, g.indices(*begin), g.indices(*ends), g.indices(2, 3))


def _batch_norm(g: OnnxGraph, node: Any, x: str, w: str, b: str, mean: str, var: str, *rest: Any) -> list[str]:
    training, _, epsilon = rest
    if training:
        raise NotImplementedError("A BatchNorm in training mode has no translation to ONNX here.")
    return [g.op("BatchNormalization", x, w, b, mean, var, epsilon=epsilon)]


def _batch_norm_back(g: OnnxGraph, node: Any, grad: str, x: str, w: str, mean: str, var: str, *rest: Any) -> list:
    *_, training, epsilon, _ = rest
    if training:
        raise NotImplementedError("A BatchNorm in training mode has no translation to ONNX here.")
    deviation = g.op("Sqrt", g.op("Add", var, g.constant(epsilon)))
    return [g.op("Mul", grad, g.op("Reshape", g.op("Div", w, deviation), g.indices(1, -1, 1, 1)))]


def _transposed(g: OnnxGraph, node: Any, x: str) -> str:
    return g.op("Transpose", x, perm=[1, 0])


def _factor(g: OnnxGraph, b: str) -> tuple[str, dict[str, int]]:
    """Return a matrix as it lies in memory, and how a product is told to read it."""
    maker = g.maker.get(b)
    if maker is not None and maker.op_type == "Transpose":
        return maker.input[0], {"transB": 1}
    return b, {}


def _product(g: OnnxGraph, node: Any, a: str, b: str) -> str:
    factor, settings = _factor(g, b)
    return g.op("Gemm", a, factor, **settings)


def _product_and_sum(g: OnnxGraph, node: Any, c: str, a: str, b: str) -> str:
    factor, settings = _factor(g, b)
    return g.op("Gemm", a, factor, c, **settings)


def _select(g: OnnxGraph, node: Any, x: str, axis: int, index: int) -> str:
    if shape(node.args[0])[axis] == 1:
        return g.reshaped(node, x)
    return g.op("Gather", x, g.constant(index, np.int64), axis=axis)


def _gather(g: OnnxGraph, node: Any, x: str, axis: int, index: str) -> str:
    return g.op("GatherElements", x, index, axis=axis)


def _stack(g: OnnxGraph, node: Any, parts: list[str], axis: int = 0) -> str:
    whole = shape(node)
    if len(parts) == 1:
        return g.op("Reshape", parts[0], g.indices(*whole))
    axis %= len(whole)
    one = [n if i != axis else 1 for i, n in enumerate(whole)]
    return g.op("Concat", *(g.op("Reshape", p, g.indices(*one)) for p in parts), axis=axis)


def _cat(g: OnnxGraph, node: Any, parts: list[str], axis: int = 0) -> str:
    return g.op("Concat", *parts, axis=axis % len(shape(node)))


def _slice(g: OnnxGraph, node: Any, x: str, axis: int = 0, start: int = 0, end: int | None = None) -> str:
    length = shape(node.args[0])[axis]
    return g.op(
        "Slice", x, g.indices(start or 0), g.indices(length if end is None else min(end, length)), g.indices(axis)
    )


def _permuted(g: OnnxGraph, node: Any, x: str, axes: list[int]) -> str:
    return g.op("Transpose", x, perm=[axis % len(axes) for axis in axes])


def _expand(g: OnnxGraph, node: Any, x: str, *rest: Any, **k: Any) -> str:
    if shape(node.args[0]) == shape(node):
        return x
    return g.op("Expand", x, g.indices(*shape(node)))


def _kth_value(g: OnnxGraph, node: Any, x: str, k: int, axis: int = -1, keep: bool = False) -> list[str]:
    """The k-th smallest of n values is the smallest of the n - k + 1 largest."""
    size = shape(node.args[0])
    largest = g.op("TopK", x, g.indices(size[axis] - k + 1), outputs=2, axis=axis, largest=1, sorted=0)
    return [g.op("ReduceMin", largest, g.indices(axis), keepdims=int(keep))]


def _copysign(g: OnnxGraph, node: Any, size: str, sign: str) -> str:
    magnitude = g.op("Abs", size)
    return g.op("Where", g.op("Less", sign, g.constant(0.0)), g.op("Neg", magnitude), magnitude)


def _upsampled(g: OnnxGraph, node: Any, x: str, size: list[int], align_corners: bool, *scales: Any) -> str:
    way = "align_corners" if align_corners else "half_pixel"
    sizes = g.indices(*shape(node))
    return g.op("Resize", x, "", "", sizes, mode="linear", coordinate_transformation_mode=way)


def _inverse_root(g: OnnxGraph, node: Any, x: str) -> str:
    return g.op("Reciprocal", g.op("Sqrt", x))


def _ones(g: OnnxGraph, node: Any, like: str, **kwargs: Any) -> str:
    one = helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0])
    return g.op("ConstantOfShape", g.indices(*shape(node)), value=one)


def _scalar(g: OnnxGraph, node: Any, value: float, **kwargs: Any) -> str:
    if not math.isfinite(value):
        raise NotImplementedError("A constant that isn't finite has no translation to ONNX here.")
    return g.constant(value)


TRANSLATIONS: dict[Any, Callable[..., Any]] = {
    aten.rsub: _reversed_difference,
    aten.clamp: _clipped,
    aten.hardtanh: _clipped,
    aten.hardtanh_backward: _hardtanh_back,
    aten.convolution: _convolution,
    aten.convolution_backward: _convolution_back,
    aten.constant_pad_nd: _pad,
    aten.native_batch_norm: _batch_norm,
    aten.native_batch_norm_backward: _batch_norm_back,
    aten.t: _transposed,
    aten.mm: _product,
    aten.addmm: _product_and_sum,
    aten.select: _select,
    aten.gather: _gather,
    aten.stack: _stack,
    aten.cat: _cat,
    aten.slice: _slice,
    aten.permute: _permuted,
    aten.expand: _expand,
    aten.kthvalue: _kth_value,
    aten.copysign: _copysign,
    aten.upsample_bilinear2d: _upsampled,
    aten.rsqrt: _inverse_root,
    aten.ones_like: _ones,
    aten.scalar_tensor: _scalar,
}
