"""From torch to ONNX: each operation by itself, and each method on a small network, against torch and the package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exporting.catalogue import POSITIVE
from exporting.onnx_graph import OnnxGraph
from exporting.tracing import INPUTS, Shifted, graph_of, trace
from exporting.weights import as_bytes, place, ranges, tensors
from running import apart, run, session
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

import posgrad_edu as pg
from posgrad_edu.methods import METHODS
from posgrad_edu.methods.rectgrad import quantile
from posgrad_edu.models import shift_vector, shifted

CLASSES = 5


# --- Operations ---


def grad(function: Callable[..., Tensor], *shape: int) -> Callable[[Tensor], Tensor]:
    """Return what gives, for a tensor as large as the function's result, the gradient at a fixed input."""
    at = torch.randn(*shape, generator=torch.Generator().manual_seed(1))

    def back(signal: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = at.clone().requires_grad_()
            return torch.autograd.grad(function(leaf), leaf, signal)[0]

    return back


def conv(stride: int = 1, padding: int = 1, groups: int = 1, kernel: int = 3, **more: Any) -> Callable[..., Tensor]:
    weight = torch.randn(6, 6 // groups, kernel, kernel, generator=torch.Generator().manual_seed(2))
    return lambda x: F.conv2d(x, weight, None, stride, padding, groups=groups, **more)


STATISTICS = torch.rand(4, 6, generator=torch.Generator().manual_seed(3)).add(0.5).unbind()
WITHOUT_BORDER = conv(2, 0)


def batch_norm(x: Tensor) -> Tensor:
    return F.batch_norm(x, *STATISTICS, eps=1e-2)


def bordered(x: Tensor) -> Tensor:
    return WITHOUT_BORDER(F.pad(x, (0, 1, 1, 2)))


def _seen_elsewhere(x: Tensor) -> Tensor:
    y = x + 1
    same = y.detach()
    y.mul_(2)
    return same * y


OPERATIONS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "convolution": (conv(), (1, 6, 9, 9)),
    "convolution with a border of its own": (bordered, (1, 6, 9, 9)),
    "gradient of a convolution": (grad(conv(), 1, 6, 9, 8), (1, 6, 9, 8)),
    "of one of five by five": (grad(conv(padding=1, kernel=5), 1, 6, 9, 9), (1, 6, 7, 7)),
    "of one by one": (grad(conv(padding=0, kernel=1), 1, 6, 9, 9), (1, 6, 9, 9)),
    "of a depthwise one": (grad(conv(groups=6), 1, 6, 9, 9), (1, 6, 9, 9)),
    "of one in groups": (grad(conv(groups=2), 1, 6, 9, 9), (1, 6, 9, 9)),
    "with a stride, odd": (grad(conv(2), 1, 6, 9, 9), (1, 6, 5, 5)),
    "with a stride, even": (grad(conv(2), 1, 6, 8, 10), (1, 6, 4, 5)),
    "with a stride, depthwise": (grad(conv(2, groups=6), 1, 6, 8, 9), (1, 6, 4, 5)),
    "with holes": (grad(conv(2, 2, dilation=2), 1, 6, 9, 9), (1, 6, 5, 5)),
    "with a border of its own": (grad(bordered, 1, 6, 9, 9), (1, 6, 5, 4)),
    "a border": (lambda x: F.pad(x, (1, 0, 2, 3)) + 1, (1, 6, 3, 3)),
    "a border's gradient": (grad(lambda x: F.pad(x, (1, 0, 2, 3)), 1, 6, 3, 3), (1, 6, 8, 4)),
    "BatchNorm": (batch_norm, (1, 6, 3, 3)),
    "BatchNorm's gradient": (grad(batch_norm, 1, 6, 3, 3), (1, 6, 3, 3)),
    "ReLU6's gradient": (grad(lambda x: F.relu6(3 * x), 1, 6, 9, 9), (1, 6, 9, 9)),
    "the mean's gradient": (grad(lambda x: x.mean((2, 3)), 1, 6, 9, 9), (1, 6)),
    "a quantile": (lambda x: quantile(x.abs(), 0.9), (1, 6, 7, 7)),
    "a gate of a product": (lambda x: x * (x > 0.5), (1, 6, 3, 3)),
    "a range without a bound": (lambda x: x.clamp(min=0) + x.clamp(max=0) * 2, (1, 6, 3, 3)),
    "copysign": (lambda x: x + torch.copysign(torch.tensor(0.5), x), (1, 6, 3, 3)),
    "larger, corners apart": (lambda x: F.interpolate(x, (11, 7), mode="bilinear", align_corners=False), (1, 6, 4, 3)),
    "larger, corners aligned": (lambda x: F.interpolate(x, (11, 7), mode="bilinear", align_corners=True), (1, 6, 4, 3)),
    "one channel of several": (lambda x: x[:, 2] * 2, (1, 6, 3, 3)),
    "a stack": (lambda x: torch.stack([x, 2 * x, -x], dim=1), (1, 6, 3, 3)),
    "parts side by side": (lambda x: torch.cat([x, 2 * x], dim=1), (1, 6, 3, 3)),
    "a part": (lambda x: x[:, 2:5] * 2, (1, 6, 3, 3)),
    "other axes first": (lambda x: x.permute(0, 2, -1, 1) * 2, (1, 6, 3, 4)),
    "a product of many matrices": (lambda x: torch.bmm(x, x.permute(0, 2, 1)), (2, 6, 3)),
    "in place": (lambda x: (2 * x).add_(1).mul_(x), (1, 6, 3, 3)),
    "in place, seen elsewhere": (_seen_elsewhere, (1, 6, 3, 3)),
    "differences": (lambda x: (1 - x) - (x - 2 * x.sign()), (1, 6, 3, 3)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_the_same_in_onnx(name: str) -> None:
    function, shape = OPERATIONS[name]
    x = torch.randn(*shape)
    traced = graph_of(lambda x: [function(x)], x)
    graph = OnnxGraph({})
    (result,) = graph.add(traced, ["x"])
    found = session(graph.model({"y": result}, name).SerializeToString(), b"")
    assert apart(found.run(None, {"x": x.numpy()})[0], function(x)) < 1e-5


VIEWS = {
    "in another shape": lambda y: y.unsqueeze(0),
    "a part": lambda y: y[:1],
    "around it": lambda y: y,
}


@pytest.mark.parametrize("view", VIEWS)
def test_what_was_overwritten_is_not_read_again(view: str) -> None:
    def keeps_a_view(x: Tensor) -> list[Tensor]:
        y = x + 1
        seen = VIEWS[view](y)
        (y[1:] if view == "around it" else y).mul_(2)
        return [seen * 3]

    with pytest.raises(NotImplementedError, match="is read after its memory, which has another shape"):
        OnnxGraph({}).add(graph_of(keeps_a_view, torch.ones(2)), ["x"])


def test_parts_of_a_tensor_are_written_into_one_by_one() -> None:
    def halves(x: Tensor) -> list[Tensor]:
        y = x + 1
        first, second = y[:1], y[1:]
        return [first.mul_(2) + second.mul_(3)]

    graph = OnnxGraph({})
    (result,) = graph.add(graph_of(halves, torch.ones(2)), ["x"])
    found = session(graph.model({"y": result}, "halves").SerializeToString(), b"").run(None, {"x": np.ones(2, "f4")})
    assert found[0] == pytest.approx([10.0])


def test_an_operation_without_a_translation_is_refused_by_name() -> None:
    traced = make_fx(lambda x: [torch.erf(x)])(torch.ones(2))
    with pytest.raises(NotImplementedError, match=r"aten\.erf.*onnx_graph"):
        OnnxGraph({}).add(traced, ["x"])


def test_a_large_constant_is_not_stored_in_a_graph() -> None:
    large = torch.rand(100, 100)
    traced = make_fx(lambda x: [x * large])(torch.ones(2, 1, 1))
    with pytest.raises(ValueError, match=r"\(100, 100\).*outside"):
        OnnxGraph({}).add(traced, ["x"])
    named = OnnxGraph({"large": large})
    named.add(traced, ["x"])
    assert [*named.outside] == ["large"]


def test_what_is_there_is_not_added_again() -> None:
    traced = make_fx(lambda x: [(x + 1) * (x.clone() + 1)])(torch.ones(2))
    graph = OnnxGraph({})
    graph.add(traced, ["x"])
    assert [node.op_type for node in graph.nodes] == ["Add", "Mul"]


# --- Methods ---


class Small(nn.Module):
    """What the default network is made of, small: strides, depthwise convolutions, ReLU6, BatchNorm, an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, bias=False)
        self.norm1, self.act1 = nn.BatchNorm2d(8), nn.ReLU6(inplace=True)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.norm2, self.act2 = nn.BatchNorm2d(8), nn.ReLU6(inplace=True)
        self.point = nn.Conv2d(8, 8, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(8)
        self.top = nn.Conv2d(8, 12, 1, bias=False)
        self.norm4, self.act4 = nn.BatchNorm2d(12), nn.ReLU6(inplace=True)
        self.classifier = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.norm1(self.stem(F.pad(x, (0, 1, 0, 1)))))
        x = x + self.norm3(self.point(self.act2(self.norm2(self.deep(x)))))
        return self.classifier(self.act4(self.norm4(self.top(x))).mean((2, 3)))


@pytest.fixture(scope="module")
def small() -> tuple[nn.Module, Tensor]:
    """Return a frozen random network and a photo, none of whose units is at a kink."""
    torch.manual_seed(4)
    net = Small().eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)  # type: ignore[union-attr,operator]
            module.running_var.uniform_(0.2, 1)  # type: ignore[union-attr,operator]
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_(0, 0.5)
    return net, torch.randn(1, 3, 16, 16)


def exported(net: nn.Module, x: Tensor, methods: dict[str, Any]) -> Any:
    translated = OnnxGraph(tensors(net))
    results = translated.add(trace(Shifted(net), x, methods), INPUTS)
    model = translated.model(dict(zip([*methods, "logits"], results, strict=True)), "small")
    place(model, ranges(net))
    return session(model.SerializeToString(), as_bytes(tensors(net).values()))


CAMS = ("gradcam", "gradcam++", "layercam")
GROUPS = [CAMS, ("gradient", "input-x-gradient"), ("fullgrad",), ("deconvnet",), ("guided-backprop",), ("rectgrad",)]


def test_every_method_is_tested_here() -> None:
    assert sorted([*sum(GROUPS, ()), "lrp"]) == sorted(METHODS)


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_one_graph_serves_all_handlings_contrasts_and_shifts(names: tuple, small: tuple[nn.Module, Tensor]) -> None:
    net, x = small
    graph = exported(net, x.flip(-1), {name: METHODS[name]() for name in names})  # another photo than those below
    for handling, positive in POSITIVE.items():
        for contrast, score in scores(3):
            found = run(graph, x, score, positive)
            for name in names:
                theirs = pg.explain(net, x, 3, name, handling, contrast=contrast)
                assert apart(found[name], theirs) < 1e-4, (name, handling, contrast)
        moved = shifted(net, shift_vector(net, 0.5))
        found = run(graph, x, F.one_hot(torch.tensor([3]), CLASSES).float(), positive, shift=0.5)
        for name in names:
            assert apart(found[name], pg.explain(moved, x, 3, name, handling)) < 1e-4, (name, handling)
        assert apart(found["logits"], moved(x)) < 1e-5


@pytest.mark.parametrize("handling", [None, "signed", "positive"])
def test_lrp_s_graphs_serve_contrasts_and_shifts(handling: str | None, small: tuple[nn.Module, Tensor]) -> None:
    net, x = small
    graph = exported(net, x.flip(-1), {"lrp": METHODS["lrp"](handling)})
    for contrast, score in scores(3):
        theirs = pg.explain(net, x, 3, "lrp", handling, contrast=contrast)
        assert apart(run(graph, x, score)["lrp"], theirs) < 1e-4, contrast
    moved = shifted(net, shift_vector(net, -0.25))
    found = run(graph, x, F.one_hot(torch.tensor([3]), CLASSES).float(), shift=-0.25)
    assert apart(found["lrp"], pg.explain(moved, x, 3, "lrp", handling)) < 1e-4


def scores(target: int) -> list[tuple[Any, Tensor]]:
    """Return contrasts, and for each the weights of the logits, written out."""
    class_, other = torch.eye(CLASSES)[target : target + 1], torch.eye(CLASSES)[:1]
    return [(None, class_), ("mean", class_ - 1 / CLASSES), (0, class_ - other)]


@pytest.mark.parametrize("layer", ["act1", "norm3", "act4"])
def test_cams_at_any_layer(layer: str, small: tuple[nn.Module, Tensor]) -> None:
    net, x = small
    methods = {name: METHODS[name](layer=net.get_submodule(layer)) for name in CAMS}  # type: ignore[call-arg]
    found = run(exported(net, x, methods), x, torch.eye(CLASSES)[1:2], POSITIVE["positive"])
    for name in CAMS:
        assert apart(found[name], pg.explain(net, x, 1, name, "positive", layer=layer)) < 1e-4


def test_tracing_leaves_the_network_as_it_was(small: tuple[nn.Module, Tensor]) -> None:
    net, x = small
    before, weights = net(x), [t.clone() for t in tensors(net).values()]
    trace(Shifted(net), x, {"guided-backprop": METHODS["guided-backprop"]()})
    assert torch.equal(net(x), before)
    assert all(map(torch.equal, weights, tensors(net).values()))
