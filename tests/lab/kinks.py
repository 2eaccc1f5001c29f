"""Units at a kink: where rounding decides whether a ReLU's gate is open.

Of the default network's 6.2 million units a photo, a few lie within a hundred-thousandth of 0 or 6. torch and
onnxruntime add up the same products in another order, so that up to four of these are open in one and closed in the
other. Each is a whole path to the photo for the gradient, and all methods that gate: 1 to 2 % of a map's largest value,
and as much between the package in float32 and the package in float64. So the package is asked what its map were if just
these units had the graph's value. That must be the graph's map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

Changes = dict[str, tuple[Any, Tensor]]  # of each ReLU: where, and the value there


def with_gates(model: bytes) -> tuple[bytes, list[str]]:
    """Return the model with what goes into each ReLU6 as further outputs, and their names in order."""
    proto = onnx.load_from_string(model)
    clips = [node for node in proto.graph.node if node.op_type == "Clip" and len(node.input) == 3 and node.input[1]]
    names = [*dict.fromkeys(node.input[0] for node in clips)]
    known = {output.name for output in proto.graph.output}
    for name in names:
        if name not in known:
            proto.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return proto.SerializeToString(), names


def relus(net: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in net.named_modules() if isinstance(module, nn.ReLU6)}


def inputs(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return what goes into each ReLU6, in the order in which they run."""
    found: dict[str, Tensor] = {}
    with ExitStack() as hooks, torch.no_grad():
        for name, module in relus(net).items():
            note = lambda _, given, name=name: found.__setitem__(name, given[0].clone())  # noqa: E731
            hooks.callback(module.register_forward_pre_hook(note).remove)
        net(x)
    return found


def flipped(ours: Mapping[str, Tensor], theirs: list[np.ndarray]) -> Changes:
    """Return the units whose gate is open in one of the two and closed in the other, with the other's values."""
    changes = {}
    for (name, z), other in zip(ours.items(), map(torch.from_numpy, theirs), strict=True):
        where = (_open(z) != _open(other)).nonzero(as_tuple=True)
        changes[name] = where, other[where]
    return changes


def _open(z: Tensor) -> Tensor:
    return (z > 0) & (z < 6)


@contextmanager
def imposed(net: nn.Module, changes: Changes) -> Iterator[None]:
    """Give these units the values in ``changes`` in each forward pass inside; all others keep theirs."""
    with ExitStack() as hooks:
        for name, module in relus(net).items():
            where, values = changes[name]

            def write(_: nn.Module, given: Any, where: Any = where, values: Tensor = values) -> None:
                if len(values) and given[0].any():  # not where FullGrad looks for constants: on black, without biases
                    given[0].data[where] = values  # unseen by autograd: the gate decides by it, nothing else changes

            hooks.callback(module.register_forward_pre_hook(write).remove)
        yield
