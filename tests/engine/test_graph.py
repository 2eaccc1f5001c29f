"""Nodes of autograd's graph one by one: what is a gate, what only moves or scales values, how people call it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import networks as nets
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.engine.graph import as_gate, gates, nodes, operation, refuse, spelled
from posgrad_edu.errors import UnsupportedOperation

Function = Callable[[Tensor], Tensor]
z = torch.tensor([-2.0, -0.0, 0.5, 1.0, 3.0, 9.0])
zeros, one = torch.zeros(6), torch.tensor(1.0)

GATES: dict[str, tuple[Function, float]] = {
    "relu": (F.relu, math.inf),
    "relu6": (F.relu6, 6),
    "hardtanh": (lambda x: F.hardtanh(x, 0, 2), 2),
    "threshold": (lambda x: F.threshold(x, 0, 0), math.inf),
    "clamp": (lambda x: x.clamp(0, 2), 2),
    "clamp from 0": (lambda x: x.clamp(min=0), math.inf),
    "clamp_min": (lambda x: x.clamp_min(0), math.inf),
    "clamp by tensors": (lambda x: torch.clamp(x, torch.tensor(0.0), torch.tensor(0.75)), 0.75),
    "clamp to a little": (lambda x: x.clamp(0, 0.5), 0.5),
    "maximum": (lambda x: torch.maximum(x, zeros), math.inf),
    "maximum, turned": (lambda x: torch.maximum(zeros, x), math.inf),
    "fmax": (lambda x: torch.fmax(x, zeros), math.inf),
    "fmax, turned": (lambda x: torch.fmax(zeros, x), math.inf),
}
NO_GATES: dict[str, Function] = {
    "threshold elsewhere": lambda x: F.threshold(x, 1, 0),
    "hardtanh": F.hardtanh,
    "hardtanh from 1": lambda x: F.hardtanh(x, 1, 2),
    "nothing passes": lambda x: x.clamp(0, 0),
    "less than nothing passes": lambda x: x.clamp(0, -1),
    "clamp from 1": lambda x: x.clamp(min=1),
    "clamp to 1": lambda x: x.clamp(max=1),
    "clamp by many": lambda x: torch.clamp(x, zeros, zeros + 1),
    "clamp_max": lambda x: x.clamp_max(0),
    "maximum of ones": lambda x: torch.maximum(x, zeros + 1),
    "fmax of one": lambda x: torch.fmax(zeros + torch.eye(6)[5], x),
    "maximum of two": lambda x: torch.maximum(x, 2 * x),
    "minimum": lambda x: torch.minimum(x, zeros),
    "sigmoid": torch.sigmoid,
    "leaky relu": F.leaky_relu,
}


@pytest.mark.parametrize("name", GATES)
def test_a_relu_under_any_name(name: str) -> None:
    function, limit = GATES[name]
    x = z.clone().requires_grad_()
    y = function(x)
    assert y.grad_fn is not None
    gate = as_gate(y.grad_fn)
    assert gate is not None
    assert (gate.node, gate.limit) == (y.grad_fn, limit)
    inside = [0 < value < limit for value in y.tolist()]
    assert gate.open().tolist() == inside
    assert torch.equal(gate.values().detach()[inside], y.detach()[inside])
    back = gate.on_gradient(lambda grad, gated, gate: torch.stack([grad, gated]).sum(0))
    (both,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    back.remove()
    assert both.tolist() == [1 + is_open for is_open in inside]
    assert as_gate((2 * y).grad_fn) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NO_GATES)
def test_what_is_no_relu(name: str) -> None:
    y = NO_GATES[name](z.clone().requires_grad_())
    assert y.grad_fn is not None
    assert as_gate(y.grad_fn) is None


def test_nodes_lie_between_the_logits_and_the_photo() -> None:
    x, w = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    logits = (x * w.exp()).relu() + w.sin()
    assert [operation(node) for node in nodes(logits, x)] == ["Add", "Relu", "Mul", "AccumulateGrad"]
    everything = [operation(node) for node in nodes(logits)]
    assert sorted(everything) == sorted(["Add", "Relu", "Mul", "Exp", "Sin", "AccumulateGrad", "AccumulateGrad"])
    assert everything[0] == "Add"
    assert nodes(torch.ones(2)) == []
    assert nodes(w.sin(), x) == []
    y = x.sin()
    diamond = y.exp() + y.cos()
    order = [operation(node) for node in nodes(diamond, x)]
    assert order[0] == "Add"
    assert order[-2:] == ["Sin", "AccumulateGrad"]
    assert len(order) == 5


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (F.silu, "torch.nn.functional.silu"),
        (lambda x: F.prelu(x, torch.ones(1)), "torch.nn.functional.prelu"),
        (torch.exp, "torch.exp"),
        (lambda x: x.view(2, 3), "torch.Tensor.view"),
        (lambda x: F.unfold(x.view(1, 1, 2, 3), 2), "torch.nn.functional.unfold"),
        (lambda x: F.fold(x.view(1, 1, 6), (1, 6), 1), "torch.nn.functional.fold"),
        (lambda x: F.grid_sample(x.view(1, 1, 2, 3), torch.zeros(1, 1, 1, 2)), "torch.nn.functional.grid_sample"),
    ],
)
def test_operations_are_called_as_people_write_them(function: Function, words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # grid_sample's, about corners
        y = function(z.clone().requires_grad_())
    node = y.grad_fn
    while node is not None and words != spelled(node):
        node = node.next_functions[0][0]  # fold ends with a view
    assert node is not None
    assert str(refuse("lrp", node, "Do.")) == f"lrp has no rule for {words}. Do."


# --- What moves values in place, joins constants, scales channels ---


class Net(nn.Module):
    """conv, ReLU, what is under test, conv, ReLU, head."""

    def __init__(self, between: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        self.between = between
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc, self.rows = nn.Linear(8, 6), nn.Parameter(torch.rand(3, 8) + 0.5)
        self.scale: Tensor
        self.register_buffer("scale", torch.rand(8, 2) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        v = F.relu(self.second(self.between(self, F.relu(self.first(x)))))
        return self.fc(v.mean((2, 3)))


def in_place(change: Callable[[Tensor, Tensor], object]) -> Callable[[Net, Tensor], Tensor]:
    """Change a copy in place, by what was there; a convolution in between, so that a ReLU would be an activation."""

    def between(net: Net, v: Tensor) -> Tensor:
        a = net.second(v)
        change(a[:, :4], v[:, 4:])
        return a

    return between


def larger(choose: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Net, Tensor], Tensor]:
    """Choose from zeros and a tensor (2, ...) by a mask of where it's above zero."""

    def between(net: Net, v: Tensor) -> Tensor:
        a = net.second(v)
        return choose(torch.stack([torch.zeros_like(a), a]), a > 0)

    return between


def by_index(pair: Tensor, mask: Tensor) -> Tensor:
    return pair.flatten(1)[mask.long().flatten(), torch.arange(mask.numel())].view(mask.shape)


def taken(pair: Tensor, mask: Tensor) -> Tensor:
    return pair.take(mask.long() * mask.numel() + torch.arange(mask.numel()).view(mask.shape))


SERVED: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "places in another order": lambda net, v: v.flatten(2)[:, :, torch.arange(63, -1, -1)].view(v.shape),
    "a normalization": lambda net, v: F.group_norm(net.second(v), 2),
    "another normalization": lambda net, v: F.layer_norm(net.second(v), v.shape[1:]),
    "a softmax": lambda net, v: net.second(v).softmax(1),
    "channels of length one": lambda net, v: F.normalize(net.second(v), dim=1),
    "channels of a length within bounds": lambda net, v: (
        net.second(v) / net.second(v).norm(dim=1, keepdim=True).clamp(1e-6, 1e6)
    ),
    "a part set to zero": in_place(lambda part, v: part.zero_()),
    "a part more": in_place(lambda part, v: part.add_(v)),
    "a part less": in_place(lambda part, v: part.sub_(v)),
    "a part copied": in_place(lambda part, v: part.copy_(v)),
    "a part divided": in_place(lambda part, v: part.div_(2.0)),
    "a part times one number": in_place(lambda part, v: part.mul_(torch.tensor(2.0))),
    "the larger of two": lambda net, v: torch.cat([net.second(v), v], 1).view(len(v), 2, *v.shape[1:]).amax(1),
    "the larger of a stack": lambda net, v: torch.stack([net.second(v), v]).max(0).values,
    "zeros joined": lambda net, v: torch.cat([net.second(v)[:, :4], torch.zeros_like(v[:, :4])], 1),
    "a buffer": lambda net, v: v * net.scale[:, 0, None, None],
    "a part of a parameter": lambda net, v: v * net.rows[0, :, None, None],
    "rows of a parameter": lambda net, v: (v.flatten(2).mT @ net.rows[:1].T).mT.reshape(len(v), 1, 8, 8) + v,
    "a gate first": lambda net, v: v.mean((2, 3), keepdim=True).sigmoid() * v,
    "a gate below": lambda net, v: v / (1 + v.mean((2, 3), keepdim=True).sigmoid()),
    "a number below": lambda net, v: v / 3,
    "a parameter below": lambda net, v: v / net.rows[1, :, None, None],
}
REFUSED: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "a part times another": in_place(lambda part, v: part.mul_(v)),
    "a part over another": in_place(lambda part, v: part.div_(v + 5)),
    "a part's sigmoid": in_place(lambda part, v: part.sigmoid_()),
    "the larger of it and joined zeros": lambda net, v: (
        torch.cat([net.second(v), torch.zeros_like(v)], 1).view(len(v), 2, *v.shape[1:]).amax(1)
    ),
    "the larger of it and stacked zeros": lambda net, v: (
        torch.stack([torch.zeros_like(v), net.second(v)], 1).transpose(0, 1).max(0).values
    ),
    "the first of two sorted": lambda net, v: torch.stack([torch.zeros_like(v), net.second(v)]).sort(0).values[1],
    "the best of two": lambda net, v: torch.stack([torch.zeros_like(v), net.second(v)]).topk(1, 0).values[0],
    "one of two by its index": larger(by_index),
    "one of two that is taken": larger(taken),
    "one of two that is gathered": larger(lambda pair, mask: pair.gather(0, mask.long()[None])[0]),
    "one of two and views": larger(lambda pair, mask: pair.flatten(1).unflatten(1, mask.shape).transpose(0, 1).amax(1)),
    "a constant over it": lambda net, v: 1 / (net.second(v) + 20),
    "a gate's share of it": lambda net, v: v.mean((2, 3), keepdim=True) / (net.second(v) + 20),
    "over itself": lambda net, v: net.second(v) / (v + 1),
    "a clamp": lambda net, v: net.second(v).clamp(-0.1, 0.1),
    "a clamp from below": lambda net, v: net.second(v).clamp(min=-0.1),
    "GELU": lambda net, v: F.gelu(net.second(v)),
}


def between(name: str, of: dict[str, Callable[[Net, Tensor], Tensor]]) -> nn.Module:
    return nets.seeded(lambda: Net(of[name]))


@pytest.mark.parametrize("name", SERVED)
def test_what_moves_or_scales_values_is_served(name: str) -> None:
    net, x = between(name, SERVED), nets.photos(8)
    signed = pg.explain(net, x, 1, "guided-backprop", "signed")
    assert torch.allclose(signed, pg.explain(net, x, 1, "gradient"), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_be_an_activation_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedOperation, match=r"has no rule for .* It is made for ReLUs"):
        pg.explain(between(name, REFUSED), nets.photos(8), 1, "guided-backprop")


def test_gates_are_found_from_the_logits_down() -> None:
    net = nets.seeded(lambda: Net(lambda net, v: v.clamp(0, 0.1)))
    x = nets.photos(8).requires_grad_()
    logits = net(x)
    found = gates("guided-backprop", net, logits, x)
    assert [gate.limit for gate in found] == [math.inf, 0.1, math.inf]
    assert [operation(gate.node) for gate in found] == ["Relu", "Clamp", "Relu"]
    line = nn.Sequential(nn.Flatten(), nn.Linear(192, 2).double())
    logits = line(x)
    with pytest.raises(UnsupportedOperation, match="acts on ReLUs, and none was seen"):
        gates("guided-backprop", line, logits, x)
    clipped = nn.Sequential(nn.Hardtanh(0, 1), nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)).double()
    assert len(gates("guided-backprop", clipped, clipped(x), x)) == 1  # a clamp of pixels is none
