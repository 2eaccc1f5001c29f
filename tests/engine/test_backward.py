"""The engine: every spelling of a ReLU is seen, the network is left as it was, threads don't meet."""

from __future__ import annotations

import copy
import functools
import math
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import networks as nets
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.engine import graph
from posgrad_edu.engine.backward import backward_rules, function_name, is_relu, on_gradient, own_backward, relu_limit
from posgrad_edu.errors import UnsupportedOperation

RELU_METHODS = ("deconvnet", "guided-backprop", "rectgrad")
RELU_SPELLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.relu": F.relu,
    "F.relu, keyword": lambda z: F.relu(input=z),
    "F.relu in place": lambda z: F.relu(z, inplace=True),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": Tensor.relu,
    "Tensor.relu_": Tensor.relu_,
    "nn.ReLU, re-used": nn.ReLU(),
    "nn.ReLU, re-used, in place": nn.ReLU(inplace=True),
    "clamp(min=0)": lambda z: z.clamp(min=0),
    "clamp(0)": lambda z: z.clamp(0),
    "clamp_": lambda z: z.clamp_(min=0.0),
    "clamp_min": lambda z: z.clamp_min(0),
    "torch.clamp, keyword": lambda z: torch.clamp(input=z, min=0),
    "clip": lambda z: z.clip(min=0),
    "clip_": lambda z: z.clip_(0),
    "clamp_min_": lambda z: z.clamp_min_(0),
    "torch.clamp_": lambda z: torch.clamp_(z, 0),
    "torch.clamp_min": lambda z: torch.clamp_min(z, 0),
    "torch.clamp_min_": lambda z: torch.clamp_min_(z, 0),
    "torch.clip": lambda z: torch.clip(z, min=0),
    "torch.clip_": lambda z: torch.clip_(z, min=0),
}
RELU6_SPELLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.relu6": F.relu6,
    "F.relu6 in place": lambda z: F.relu6(z, inplace=True),
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "F.hardtanh(0, 6)": lambda z: F.hardtanh(z, 0.0, 6.0),
    "F.hardtanh_, keywords": lambda z: F.hardtanh_(z, min_val=0.0, max_val=6.0),
    "nn.Hardtanh(0, 6)": nn.Hardtanh(0, 6),
    "clamp(0, 6)": lambda z: z.clamp(0, 6),
    "torch.clamp(min=0, max=6)": lambda z: torch.clamp(z, min=0, max=6),
}


@pytest.mark.parametrize("method", [*RELU_METHODS, "lrp"])
@pytest.mark.parametrize("spelling", RELU_SPELLINGS)
def test_every_spelling_of_a_relu_gives_the_map_of_plain_modules(spelling: str, method: str) -> None:
    plain, x, target = nets.make("plain")
    expected = nets.explain(plain, x, target, method)
    assert torch.equal(nets.explain(nets.spelled(RELU_SPELLINGS[spelling]), x, target, method), expected)
    if method == "guided-backprop":  # and so seen, for the plain gradient is another map
        assert nets.largest(nets.explain(plain, x, target, "gradient"), expected) > 0.1


@pytest.mark.parametrize("method", [*RELU_METHODS, "lrp"])
def test_relu_whose_return_value_is_ignored(method: str) -> None:
    plain, x, target = nets.make("plain")
    net = nets.spelled(F.relu, nets.IgnoredReturn)
    assert torch.equal(nets.explain(net, x, target, method), nets.explain(plain, x, target, method))


@pytest.mark.parametrize("method", [*RELU_METHODS, "lrp"])
@pytest.mark.parametrize("spelling", RELU6_SPELLINGS)
def test_every_spelling_of_a_relu6(spelling: str, method: str) -> None:
    _, x, target = nets.make("plain")
    x = 12 * x  # units pass 6
    expected = nets.explain(nets.spelled(lambda z: F.relu(z) - F.relu(z - 6)), x, target, "gradient")
    signed = nets.explain(nets.spelled(RELU6_SPELLINGS[spelling]), x, target, "guided-backprop", "signed")
    assert nets.largest(signed, expected) < 1e-12  # gated at 0 and at 6
    reference = nets.explain(nets.spelled(nn.ReLU6()), x, target, method)
    assert torch.equal(nets.explain(nets.spelled(RELU6_SPELLINGS[spelling]), x, target, method), reference)
    assert nets.largest(nets.explain(nets.spelled(F.relu), x, target, method), reference) > 0.01


NOT_RELUS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.hardtanh(-1, 1)": F.hardtanh,
    "clamp(-1, 1)": lambda z: z.clamp(-1, 1),
    "clamp(max=0)": lambda z: z.clamp(max=0),
    "torch.tanh": torch.tanh,
}


@pytest.mark.parametrize("method", RELU_METHODS)
@pytest.mark.parametrize("function", NOT_RELUS)
def test_what_is_not_a_relu_is_not_treated_as_one(function: str, method: str) -> None:
    _, x, target = nets.make("plain")
    with pytest.raises(UnsupportedOperation, match=r"none was seen|has no rule for torch"):
        pg.explain(nets.spelled(NOT_RELUS[function]), x, target, method)
    other = NOT_RELUS[function]
    if function != "torch.tanh":  # which saturates, but is no activation to these rules
        with pytest.raises(UnsupportedOperation, match="has no rule for torch"):
            pg.explain(nets.spelled(lambda z: F.relu(other(z) + 0.1)), x, target, method)


IN_A_RELUS_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "F.celu_": F.celu_,
    "nn.CELU in place": nn.CELU(inplace=True),
    "F.rrelu_": F.rrelu_,
    "torch.celu_": torch.celu_,
    "torch.rrelu_": torch.rrelu_,
    "Tensor.prelu": lambda z: z.prelu(torch.full((1,), 0.2).double()),
    "torch.prelu": lambda z: torch.prelu(z, torch.full((1,), 0.2).double()),
    "F.prelu": lambda z: F.prelu(z, torch.full((1,), 0.2).double()),
    "F.rrelu": F.rrelu,
    "F.selu": F.selu,
    "F.celu": F.celu,
    "F.mish": F.mish,
    "F.elu_": F.elu_,
    "F.leaky_relu_": F.leaky_relu_,
    "torch.selu": torch.selu,
    "torch.selu_": torch.selu_,
    "torch.celu": torch.celu,
    "torch.rrelu": torch.rrelu,
}


@pytest.mark.parametrize("method", RELU_METHODS)
@pytest.mark.parametrize("function", IN_A_RELUS_PLACE)
def test_what_stands_in_a_relus_place_is_refused_beside_relus(function: str, method: str) -> None:
    _, x, target = nets.make("plain")
    other = IN_A_RELUS_PLACE[function]
    with pytest.raises(UnsupportedOperation, match=f"{method} has no rule for torch.*It is made for ReLUs"):
        pg.explain(nets.spelled(lambda z: F.relu(other(z) + 0.1)), x, target, method)


def test_is_relu_reads_bounds() -> None:
    z = torch.zeros(1)
    assert is_relu(F.hardtanh, (z,), {"min_val": 0, "max_val": 6})
    assert is_relu(torch.clamp, (z,), {"min": 0})
    assert is_relu(torch.clamp, (z, None), {}) is False
    assert is_relu(torch.clamp, (z, 0, -1), {}) is False
    assert is_relu(torch.clamp, (z, torch.zeros(1)), {}) is False
    assert is_relu(F.hardtanh, (z,), {}) is False
    assert is_relu(torch.sigmoid, (z,), {}) is False


def test_rules_act_inside_the_context_only_and_on_the_named_function_only() -> None:
    x = torch.tensor([-1.0, 2.0], requires_grad=True)

    def double(func: Callable, *args: Any, **kwargs: Any) -> Any:
        output = func(*args, **kwargs)
        on_gradient(output, lambda grad: 2 * grad)
        return output

    with backward_rules({F.relu: double}):
        inside, other = F.relu(x), torch.sin(x)
    outside = F.relu(x)
    (grad,) = torch.autograd.grad(inside.sum(), x)
    assert grad.tolist() == [0.0, 2.0]
    (grad,) = torch.autograd.grad(outside.sum(), x)
    assert grad.tolist() == [0.0, 1.0]
    (grad,) = torch.autograd.grad(other.sum(), x)
    assert torch.equal(grad, x.detach().cos())


def test_otherwise_gets_what_no_rule_names() -> None:
    seen = []

    def note(func: Callable, *args: Any, **kwargs: Any) -> Any:
        seen.append(func)
        return func(*args, **kwargs)

    ones = torch.ones(1)
    with backward_rules({F.relu: lambda func, *a, **k: func(*a, **k)}, otherwise=note):
        torch.tanh(F.relu(ones))
    assert seen == [torch.tanh]


def test_on_gradient_needs_no_gradient() -> None:
    on_gradient(torch.ones(1), lambda grad: grad)


@pytest.mark.parametrize("inplace", [False, True])
def test_own_backward_replaces_the_derivative(inplace: bool) -> None:
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    z = 3 * x
    output = own_backward(lambda t: t.relu_() if inplace else t.relu(), lambda grad: (10 * grad,), z)
    assert output.tolist() == [0.0, 6.0]
    assert (z.tolist() == [0.0, 6.0]) is inplace
    through = (z if inplace else output).sum()
    for _ in range(2):  # once for each class
        assert torch.autograd.grad(through, x, retain_graph=True)[0].tolist() == [30.0, 30.0]


def state(net: nn.Module) -> dict[str, Any]:
    """Return everything about a network that an explanation might leave changed."""
    hooks = [{k: list(v) for k, v in vars(m).items() if "hook" in k and hasattr(v, "__len__")} for m in net.modules()]
    return {
        "tensors": copy.deepcopy({**dict(net.named_parameters()), **dict(net.named_buffers())}),
        "flags": [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in net.parameters()],
        "training": [m.training for m in net.modules()],
        "hooks": hooks,
        "attributes": [sorted(vars(m)) for m in net.modules()],
        "forward": ["forward" in vars(m) for m in net.modules()],
    }


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before["tensors"].keys() == after["tensors"].keys()
    for name, tensor in before["tensors"].items():
        assert torch.equal(tensor, after["tensors"][name]), name
    for (flag, grad), (flag_after, grad_after) in zip(before["flags"], after["flags"], strict=True):
        assert flag == flag_after
        assert (grad is None) is (grad_after is None)
        assert grad is None or torch.equal(grad, grad_after)
    for part in ("training", "hooks", "attributes", "forward"):
        assert before[part] == after[part], part
    assert torch.is_grad_enabled()
    assert torch.overrides._len_torch_function_stack() == 0


class Breaks(nn.Module):
    """Passes values on, and breaks the forward pass when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.armed = False

    def forward(self, x: Tensor) -> Tensor:
        if self.armed:
            raise RuntimeError("broke in the middle")
        return x


def breaking(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    net, x, target = nets.make(name)
    last = [key for key, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
    parent = net.get_submodule(last.rpartition(".")[0])
    setattr(parent, last.rpartition(".")[2], nn.Sequential(Breaks(), net.get_submodule(last)))
    return net.eval(), x, target


@pytest.mark.parametrize("method", pg.METHODS)
@pytest.mark.parametrize("name", ["inplace", "residual", "dense"])
def test_nothing_is_left_in_the_network(method: str, name: str) -> None:
    net, x, target = breaking(name)
    for i, parameter in enumerate(net.parameters()):
        parameter.requires_grad_(i % 3 != 0)
        if i % 3 == 1:
            parameter.grad = torch.full_like(parameter, i)
    before = state(net)
    x_before = x.clone()
    expected = nets.explain(net, x, target, method)
    assert_same(before, state(net))
    guard = next(m for m in net.modules() if isinstance(m, Breaks))
    guard.armed = True
    with pytest.raises(RuntimeError, match="broke in the middle"):
        nets.explain(net, x, target, method)
    guard.armed = False
    assert_same(before, state(net))
    assert torch.equal(x, x_before)
    assert x.requires_grad is False
    assert torch.equal(nets.explain(net, x, target, method), expected)


@pytest.mark.parametrize("method", pg.METHODS)
def test_parameters_get_no_gradient(method: str) -> None:
    net, x, target = nets.make("batchnorm")
    assert all(p.requires_grad for p in net.parameters())
    nets.explain(net, x, target, method)
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("method", pg.METHODS)
def test_frozen_parameters_make_no_difference(method: str) -> None:
    net, x, target = nets.make("dense")
    expected = nets.explain(net, x, target, method)
    assert torch.equal(nets.explain(net.requires_grad_(False), x, target, method), expected)


@pytest.mark.parametrize("method", pg.METHODS)
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_callers_gradient_mode_makes_no_difference(
    method: str, context: Callable[[], AbstractContextManager]
) -> None:
    net, x, target = nets.make("inplace")
    expected = nets.explain(net, x, target, method)
    with context():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        assert torch.equal(nets.explain(net, x, target, method), expected)
        assert torch.equal(nets.explain(net, x.clone(), target.clone(), method), expected)  # made in this mode
        assert torch.equal(nets.explain(net, x[:1], 0, method), nets.explain(net, x[:1], target[:1], method))
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    assert not expected.requires_grad


def jobs(net: nn.Module, x: Tensor, target: Tensor, layers: tuple[str | None, str]) -> list[Callable[[], Tensor]]:
    """Return explanations that use each mechanism in turn: no rule, tensor hooks, own backwards, module hooks."""
    asked = [
        *[(m, h, None) for m in ("gradient", "guided-backprop", "deconvnet", "lrp") for h in ("signed", "positive")],
        *[(m, h, layer) for m in ("gradcam", "gradcam++") for h in ("signed", "positive") for layer in layers],
        ("rectgrad", None, None),
        ("fullgrad", None, None),
    ]
    return [
        lambda m=m, h=h, layer=layer: nets.explain(net, x, target, m, h, **({"layer": layer} if layer else {}))
        for m, h, layer in asked
    ]


@pytest.mark.parametrize(("name", "layers"), [("inplace", (None, "conv1")), ("residual", ("layer1", "layer3"))])
@pytest.mark.slow
def test_threads_explain_one_network_as_each_would_alone(name: str, layers: tuple[str | None, str]) -> None:
    net, x, _ = nets.make(name)
    x = x[:2]
    rounds = 40 if name == "inplace" else 4
    work = [jobs(net, x, torch.tensor([k, k + 1]), layers) for k in range(2)]
    alone = [[job() for job in own] for own in work]
    start = threading.Barrier(2)
    wrong: list[str] = []

    def run(me: int) -> None:
        try:
            start.wait(timeout=60)
            for r in range(rounds):
                for i in range(len(work[me])):
                    j = (i + 5 * me + r) % len(work[me])  # the two are never at the same method
                    if not torch.equal(work[me][j](), alone[me][j]):
                        wrong.append(f"thread {me}, job {j}")
        except Exception as error:  # an exception in a thread is otherwise lost
            wrong.append(repr(error))

    threads = [threading.Thread(target=run, args=(me,)) for me in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not wrong
    assert not any(m._forward_hooks for m in net.modules())


def test_one_threads_rules_are_not_seen_by_another() -> None:
    seen: list[str] = []
    inside, done = threading.Event(), threading.Event()

    def rule(func: Callable, *args: Any, **kwargs: Any) -> Any:
        seen.append(threading.current_thread().name)
        return func(*args, **kwargs)

    def other() -> None:
        inside.wait(10)
        F.relu(torch.ones(1))
        done.set()

    thread = threading.Thread(target=other, name="other")
    thread.start()
    with backward_rules({F.relu: rule}):
        inside.set()
        assert done.wait(10)
        F.relu(torch.ones(1))
    thread.join()
    assert seen == [threading.current_thread().name]


def test_a_user_s_own_hook_stays_and_runs_once() -> None:
    net, x, target = nets.make("plain")
    calls: list[int] = []
    handle = net.conv2.register_forward_hook(lambda *_: calls.append(1))
    nets.explain(net, x, target, "gradcam", layer="conv2")  # audits the network
    calls.clear()
    expected = nets.explain(net, x, target, "gradcam", layer="conv2")
    assert len(calls) == 1
    handle.remove()
    assert torch.equal(nets.explain(net, x, target, "gradcam", layer="conv2"), expected)


@pytest.mark.parametrize(
    ("func", "bounds", "limit"),
    [
        (F.hardtanh, (0.0, 3.0), 3),
        (F.hardtanh, (0,), 1),
        (F.hardtanh, (), None),
        (torch.clamp, (0, None), math.inf),
        (torch.clamp, (0, 6), 6),
    ],
)
def test_where_a_clamp_stops_growing(func: Callable, bounds: tuple, limit: float | None) -> None:
    assert relu_limit(func, (torch.ones(1), *bounds), {}) == limit
    names = ("min_val", "max_val") if func is F.hardtanh else ("min", "max")
    assert relu_limit(func, (torch.ones(1),), dict(zip(names, bounds, strict=False))) == limit


def test_functions_are_called_as_people_call_them() -> None:
    nameless = functools.partial(max)
    assert function_name(F.relu) == "torch.nn.functional.relu"
    assert function_name(math.sqrt) == "sqrt"
    assert function_name(nameless) == str(nameless)


def test_nodes_are_called_as_people_call_them() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return 2 * x

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Tensor:
            return 2 * grads[0]

    x = torch.ones(1, requires_grad=True)
    assert graph.spelled(Doubled.apply(x).grad_fn) == "the custom function Doubled"
    assert graph.spelled(F.softplus(x).grad_fn) == "torch.nn.functional.softplus"
    threshold = graph.as_gate(F.threshold(x, 0.0, 0.0).grad_fn)
    assert threshold is not None
    assert threshold.limit == math.inf
    assert graph.as_gate(F.threshold(x, 1.0, 0.0).grad_fn) is None


def test_the_larger_of_something_and_zero_is_a_gate() -> None:
    """Under both names of maximum, on either side; beside anything but zeros it is none."""
    x, zeros = torch.randn(4, requires_grad=True), torch.zeros(4)
    for larger in (torch.maximum, torch.fmax):
        for pair in ((x, zeros), (zeros, x)):
            gate = graph.as_gate(larger(*pair).grad_fn)
            assert gate is not None
            assert gate.limit == math.inf
            assert torch.equal(gate.values().clamp(min=0), x.detach().clamp(min=0))
        assert graph.as_gate(larger(x, zeros + torch.eye(4)[0]).grad_fn) is None
        assert graph.as_gate(larger(x, x * 2).grad_fn) is None
