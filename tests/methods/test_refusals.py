"""Everything that is refused, and what the refusal tells a learner to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import networks as nets
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.methods import resolve
from posgrad_edu.methods.fullgrad import fullgrad_terms
from posgrad_edu.methods.lrp_rules import AlphaBeta

RELU_METHODS = ("deconvnet", "guided-backprop", "rectgrad")
CAMS = ("gradcam", "gradcam++", "layercam")
every_method = pytest.mark.parametrize("method", pg.METHODS)


def refused(kind: type[Exception], message: str) -> Any:
    return pytest.raises(kind, match=re.escape(message))


@pytest.fixture
def net() -> nn.Module:
    return nets.make("plain")[0]


@pytest.fixture
def x() -> Tensor:
    return nets.photos(16)


# The network


@every_method
def test_training_mode(method: str, net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, "The network is in training mode (the network). Call net.eval() first."):
        pg.explain(net.train(), x, 0, method)
    net.eval()
    net.relu2.train()
    with refused(ValueError, "training mode (relu2). Call net.eval()"):
        pg.explain(net, x, 0, method)


def test_training_mode_for_the_terms_of_fullgrad(net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, "Call net.eval() first."):
        fullgrad_terms(net.train(), x, 0)


def test_not_a_network(x: Tensor) -> None:
    with refused(ValueError, "net is a torch.nn.Module, not function"):
        pg.explain(lambda x: x, x, 0, "gradient")  # type: ignore[arg-type]


class Returns(nn.Module):
    def __init__(self, change: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net = nets.plain()
        self.change = change

    def forward(self, x: Tensor) -> Any:
        return self.change(self.net(x))


@every_method
@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda z: (z, z), "tuple"),
        (lambda z: {"out": z}, "dict"),
        (lambda z: z[:, 0], "shape (3,)"),
        (lambda z: z[:, :, None, None], "shape (3, 6, 1, 1)"),
        (lambda z: z[:1], "shape (1, 6)"),
    ],
    ids=["tuple", "dict", "one score", "map of scores", "one photo"],
)
def test_what_is_not_logits(method: str, change: Callable[[Tensor], Any], got: str, x: Tensor) -> None:
    net = nets.seeded(lambda: Returns(change))
    message = f"should return logits of shape (N, classes) = (3, ...), but returned {got}. Wrap it in a module"
    with refused(ValueError, message):
        pg.explain(net, x, 0, method)


class Cut(nn.Module):
    """A network that detaches what it reads (``before``) or what it answers."""

    def __init__(self, before: bool) -> None:
        super().__init__()
        self.net = nets.plain()
        self.before = before

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.detach()) if self.before else self.net(x).detach()


@pytest.mark.parametrize("frozen", [False, True])
@every_method
def test_logits_that_don_t_depend_on_the_photo(method: str, frozen: bool, x: Tensor) -> None:
    message = "The logits don't depend on what is explained through differentiable operations. Look for detach()"
    with refused(ValueError, message):
        pg.explain(nets.seeded(lambda: Cut(before=False)).requires_grad_(not frozen), x, 0, method)
    if method not in CAMS:  # a CAM explains a layer's output, on which these logits do depend
        with refused(ValueError, message):
            pg.explain(nets.seeded(lambda: Cut(before=True)).requires_grad_(not frozen), x, 0, method)


# The photos


@every_method
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[0], "x has shape (3, 16, 16): one photo. Make it a batch: x.unsqueeze(0)."),
        (lambda x: x[0, 0], "x has shape (16, 16); photos come as (N, C, H, W)"),
        (lambda x: x[None], "x has shape (1, 3, 3, 16, 16); photos come as (N, C, H, W)"),
        (lambda x: x[:0], "x has shape (0, 3, 16, 16); photos come as (N, C, H, W), at least one."),
        (lambda x: x.long(), "x is a tensor of floating point numbers, not torch.int64. clf.preprocess(photo)"),
        (lambda x: x > 0, "not torch.bool"),
        (lambda x: x.numpy(), "x is a tensor of floating point numbers, not ndarray"),
        (lambda x: x / 0, "x holds values that are not finite (inf or nan). Check the preprocessing."),
        (lambda x: x.clone().index_fill(3, torch.tensor([5]), torch.nan), "not finite (inf or nan)"),
    ],
    ids=["one photo", "no channels", "five axes", "none", "integers", "booleans", "numpy", "inf", "nan"],
)
def test_photos(method: str, change: Callable[[Tensor], Any], message: str, net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, message):
        pg.explain(net, change(x), 0, method)


# The classes


@every_method
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (6, "Class 6 is out of range: the network has 6 classes, 0 to 5."),
        ([0, 1, 99], "Class 99 is out of range: the network has 6 classes, 0 to 5."),
        ([[0, 1], [2, 3], [4, 7]], "Class 7 is out of range"),
        (-1, "Class -1 is out of range: classes count from 0."),
        ([0, -2, 1], "Class -2 is out of range: classes count from 0."),
        (1.0, "target holds class indices, so whole numbers, not torch.float32."),
        (torch.tensor([0.5, 1, 2]), "whole numbers, not torch.float32"),
        (torch.tensor([True, False, True]), "whole numbers, not torch.bool"),
        ([0, 1], "target of shape (2,) doesn't fit 3 photo(s): give one class, (3,) or (3, K)."),
        (torch.zeros(2, 3).long(), "target of shape (2, 3) doesn't fit 3 photo(s)"),
        (torch.zeros(3, 0).long(), "target of shape (3, 0) doesn't fit 3 photo(s)"),
        (torch.zeros(3, 1, 1).long(), "target of shape (3, 1, 1) doesn't fit 3 photo(s)"),
        ("cat", "target is a class index, (N,) or (N, K) of them, not 'cat'."),
        (None, "target is a class index, (N,) or (N, K) of them, not None."),
        ([[0, 1], [2], [3]], "target is a class index, (N,) or (N, K) of them"),
    ],
    ids=str,
)
def test_targets(method: str, target: Any, message: str, net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, message):
        pg.explain(net, x, target, method)


# Layers


@pytest.mark.parametrize("method", CAMS)
def test_no_layer_with_positions(method: str, x: Tensor) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(768, 6)).double().eval()
    with refused(ValueError, "No layer of this network has an output with positions (N, C, h, w)"):
        pg.explain(net, x, 0, method)
    with refused(ValueError, "Use a method that works in input space, such as 'gradient'."):
        pg.explain(net, x, 0, method)


@pytest.mark.parametrize("method", CAMS)
def test_layers(method: str, net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, "There is no layer 'conv3'. Did you mean 'conv2' or 'conv1'?"):
        pg.explain(net, x, 0, method, layer="conv3")
    with refused(ValueError, "This Conv2d is not a layer of the network. Give one of its modules."):
        pg.explain(net, x, 0, method, layer=nets.make("plain")[0].conv2)
    with refused(ValueError, "A CAM's layer needs an output with positions (N, C, h, w); this one gives shape (3, 20)"):
        pg.explain(net, x, 0, method, layer="fc1")
    unused = Unused(nets.plain()).double().eval()
    with refused(ValueError, "The CAM's layer didn't run in the network's forward pass. Choose another layer."):
        pg.explain(unused, x, 0, method, layer="spare")
    with refused(ValueError, "The logits don't depend on what is explained"):
        pg.explain(unused, x, 0, method, layer="idle")


class Unused(nn.Module):
    """Has a layer that never runs, and one whose output nobody reads."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.spare, self.idle = net, nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.idle(x)
        return self.net(x)


@pytest.mark.parametrize("method", [m for m in pg.METHODS if m not in CAMS])
def test_a_layer_is_for_cams(method: str, net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, f"There is no option of {method} 'layer'."):
        pg.explain(net, x, 0, method, layer="conv1")


# Operations


SMOOTH: dict[str, Callable[[Tensor], Tensor]] = {
    "torch.nn.functional.silu": F.silu,
    "torch.nn.functional.gelu": nn.GELU(),
    "torch.nn.functional.elu": nn.ELU(),
    "torch.nn.functional.leaky_relu": nn.LeakyReLU(),
    "torch.nn.functional.hardswish": nn.Hardswish(),
    "torch.nn.functional.softplus": F.softplus,
}


@pytest.mark.parametrize("method", RELU_METHODS)
@pytest.mark.parametrize("name", SMOOTH)
def test_relu_methods_refuse_smooth_activations(name: str, method: str, x: Tensor) -> None:
    mixed = nets.spelled(lambda z: F.relu(SMOOTH[name](z)))
    message = f"{method} has no rule for {name}. It is made for ReLUs: choose a ReLU network, or another method."
    with refused(UnsupportedOperation, message):
        pg.explain(mixed, x, 0, method)


@pytest.mark.parametrize("method", RELU_METHODS)
def test_relu_methods_refuse_a_network_without_relus(method: str, x: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 14, 2)).double().eval()
    with refused(UnsupportedOperation, f"{method} acts on ReLUs, and none was seen in this network"):
        pg.explain(net, x, 0, method)
    with refused(UnsupportedOperation, "Use method='gradient'"):
        pg.explain(net, x, 0, method)


LRP_REFUSES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "SiLU": (F.silu, "torch.nn.functional.silu"),
    "sigmoid": (torch.sigmoid, "torch.sigmoid"),
    "multiplication": (lambda z: z * z, "torch.Tensor.mul"),
    "scaling": (lambda z: 2 * z, "torch.Tensor."),
    "layer_norm": (lambda z: F.layer_norm(z, z.shape[1:]), "torch.nn.functional.layer_norm"),
    "group_norm": (lambda z: F.group_norm(z, 1), "torch.nn.functional.group_norm"),
    "hardtanh": (F.hardtanh, "torch.nn.functional.hardtanh"),
    "softmax": (lambda z: z.softmax(1), "torch.Tensor.softmax"),
    "subtraction": (lambda z: z - 0.5 * z.detach(), "torch.Tensor.sub"),
    "sorting": (lambda z: z.sort(1)[0], "torch.Tensor.sort"),
    "matmul": (lambda z: z @ z.transpose(-1, -2) if z.ndim == 4 else z, "torch.Tensor.matmul"),
}


@pytest.mark.parametrize("name", LRP_REFUSES)
def test_lrp_refuses_what_it_has_no_rule_for(name: str, x: Tensor) -> None:
    function, called = LRP_REFUSES[name]
    with refused(UnsupportedOperation, f"lrp has no rule for {called}"):
        pg.explain(nets.spelled(function), x, 0, "lrp")
    with refused(
        UnsupportedOperation, "It works on networks of linear layers, ReLUs, BatchNorm, pooling and additions"
    ):
        pg.explain(nets.spelled(function), x, 0, "lrp")


@pytest.mark.parametrize(
    "function", [lambda z: z + 1, lambda z: 1 + z, lambda z: torch.add(z, z, alpha=2), lambda z: z.add_(3.0)]
)
def test_lrp_refuses_additions_other_than_of_two_tensors(function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    with refused(UnsupportedOperation, "It adds a constant or a multiple, not two tensors that depend on the photo."):
        pg.explain(nets.spelled(function), x, 0, "lrp")


@pytest.mark.parametrize("method", ["lrp", "fullgrad"])
def test_batchnorm_without_statistics(method: str, x: Tensor) -> None:
    norm = nn.BatchNorm2d(3, track_running_stats=False).double().eval()
    net = nn.Sequential(norm, *nets.make("plain")[0]).eval()
    with refused(UnsupportedOperation, "Explain them one at a time."):
        pg.explain(net, x, 0, method)
    with refused(UnsupportedOperation, "A BatchNorm without running statistics mixes the photos of a batch: refused."):
        pg.explain(net, x[:1], 0, method)


@pytest.mark.parametrize(
    ("function", "called"),
    [
        (lambda z: F.layer_norm(z, z.shape[1:]), "torch.nn.functional.layer_norm"),
        (lambda z: F.group_norm(z, 2), "torch.nn.functional.group_norm"),
        (lambda z: F.instance_norm(z) if z.ndim == 4 else z, "torch.nn.functional.instance_norm"),
        (
            lambda z: F.conv_transpose1d(z.reshape(len(z), 1, -1), z.new_ones(1, 1, 1)).reshape(z.shape),
            "torch.nn.functional.conv_transpose1d",
        ),
        (
            lambda z: F.conv_transpose3d(z.reshape(len(z), 1, 1, 1, -1), z.new_ones(1, 1, 1, 1, 1)).reshape(z.shape),
            "torch.nn.functional.conv_transpose3d",
        ),
        (lambda z: F.bilinear(z[..., None], z[..., None], z.new_ones(1, 1, 1))[..., 0], "torch.nn.functional.bilinear"),
    ],
)
def test_fullgrad_refuses_biases_it_would_forget(function: Callable[[Tensor], Tensor], called: str, x: Tensor) -> None:
    with refused(UnsupportedOperation, f"fullgrad has no rule for {called}. Its bias would be missing from the sum"):
        pg.explain(nets.spelled(function), x, 0, "fullgrad")


def test_fullgrad_refuses_tokens(x: Tensor) -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.flatten(1, 2)).mean(1)

    with refused(UnsupportedOperation, "Here it works on tokens, whose positions are no picture's."):
        pg.explain(Tokens().double().eval(), x, 0, "fullgrad")


class AlongChannels(nn.Module):
    """A convolution over the channels' means (N, 1, C), as in ECA, and perhaps a BatchNorm."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.conv, self.along = nn.Conv2d(3, 8, 3), nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.along(self.conv(x).mean((2, 3))[:, None])[:, 0]


@pytest.mark.parametrize(
    "layers", [(nn.Conv1d(1, 1, 3),), (nn.Conv1d(1, 1, 3, bias=False), nn.BatchNorm1d(1))], ids=["conv", "norm"]
)
def test_fullgrad_refuses_biases_whose_positions_are_channels(layers: tuple[nn.Module, ...], x: Tensor) -> None:
    with refused(UnsupportedOperation, "Here it works on tokens, whose positions are no picture's."):
        pg.explain(AlongChannels(*layers).double().eval(), x, 0, "fullgrad")


def test_fullgrad_serves_such_a_convolution_without_bias(x: Tensor) -> None:
    net = AlongChannels(nn.Conv1d(1, 1, 3, bias=False)).double().eval()
    logit = net(x)[:, 1]
    terms = fullgrad_terms(net, x, 1)
    assert torch.allclose(sum(term.flatten(1).sum(1) for term in terms), logit, atol=1e-12)


# Names and options


@pytest.mark.parametrize(
    ("method", "near"),
    [("grad-cam", "gradcam"), ("gradcamm", "gradcam"), ("guided_backprop", "guided-backprop"), ("LPR", "lrp")],
)
def test_methods_that_don_t_exist(method: str, near: str, net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, f"There is no method '{method}'. Did you mean ") as error:
        pg.explain(net, x, 0, method)
    assert f"'{near}'" in str(error.value)
    assert "There are: gradient, input-x-gradient, gradcam, gradcam++, layercam, fullgrad" in str(error.value)
    with pytest.raises(ValueError, match="There is no method"):
        resolve(method)


@every_method
def test_handlings_that_don_t_exist(method: str, net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, "There is no handling 'postive'. Did you mean 'positive'"):
        pg.explain(net, x, 0, method, "postive")
    with refused(ValueError, "There is no handling 'postive'. Did you mean 'positive'"):
        pg.METHODS[method](handling="postive")


@every_method
def test_options_that_don_t_exist(method: str, net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, f"There is no option of {method} 'handlin'. Did you mean 'handling'"):
        pg.explain(net, x, 0, method, handlin="positive")


@pytest.mark.parametrize("method", ["gradient", "input-x-gradient", *RELU_METHODS, "lrp"])
def test_reductions_that_don_t_exist(method: str, net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, "reduce is 'sum', 'absmax' or None, not 'max'."):
        pg.explain(net, x, 0, method, reduce="max")


@pytest.mark.parametrize("q", [-0.01, 1, 1.5, float("nan")])
def test_quantiles_out_of_range(q: float, net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, f"q is the share of contributions to cut, 0 <= q < 1, not {q}."):
        pg.explain(net, x, 0, "rectgrad", q=q)


@pytest.mark.parametrize("option", ["rule", "conv", "linear", "first"])
def test_lrp_rules_that_don_t_exist(option: str, net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, "There is no LRP rule 'epsilo'. Did you mean 'epsilon'") as error:
        pg.explain(net, x, 0, "lrp", **{option: "epsilo"})
    for name in ("zero", "epsilon", "gamma", "alpha-beta", "z+", "flat", "ZBox(low, high)"):
        assert name in str(error.value).split("There are: ")[1]


@pytest.mark.parametrize(
    "options",
    [
        {"handling": "positive", "rule": "epsilon"},
        {"handling": "signed", "conv": "z+"},
        {"handling": "signed", "linear": "z+"},
        {"rule": "z+", "conv": "flat"},
        {"rule": "z+", "linear": "flat"},
    ],
    ids=str,
)
def test_lrp_with_two_deciders(options: dict[str, str], net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, "Give LRP a handling, or one rule, or conv and linear rules: each decides all layers."):
        pg.explain(net, x, 0, "lrp", **options)


def test_other_options_of_lrp(net: nn.Module, x: Tensor) -> None:
    with refused(ValueError, "bias is 'absorb' or 'ignore', not 'keep'."):
        pg.explain(net, x, 0, "lrp", bias="keep")
    with refused(ValueError, "seed is 'logit' or 'one', not '1'."):
        pg.explain(net, x, 0, "lrp", seed="1")
    for alpha, beta in ((1, 1), (0, -1), (2, 0)):
        with refused(ValueError, f"alpha - beta must be 1, neither negative; got {alpha} and {beta}."):
            AlphaBeta(alpha=alpha, beta=beta)


# A first layer that overwrites its input


def test_lrp_names_the_operation_that_overwrites_the_photo(net: nn.Module, x: Tensor) -> None:
    class Centred(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sub_(0.5)

    with refused(UnsupportedOperation, "lrp has no rule for torch.Tensor.sub_."):
        pg.explain(nn.Sequential(Centred(), net).eval(), x, 0, "lrp")


# The checks of sensitivity

every_check = pytest.mark.parametrize("check", [pg.class_sensitivity, pg.parameter_sensitivity])


@every_check
def test_a_network_that_returns_several_things_is_refused_by_the_checks_too(
    check: Callable[..., Any], net: nn.Module, x: Tensor
) -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.net(x), x

    with refused(ValueError, "returned tuple. Wrap it in a module that returns the class scores alone."):
        check(Pair().eval(), x, "gradient")


@pytest.mark.parametrize("other", ["least", "runner-up"])
def test_a_single_class_has_no_other(other: str, x: Tensor) -> None:
    single = nn.Sequential(nn.Conv2d(3, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double().eval()
    with refused(ValueError, "The network has a single class, so there is no other to compare with."):
        pg.class_sensitivity(single, x, "gradient", other=other)


def test_a_network_without_layers_to_randomize(x: Tensor) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(2, 3, 3, 3, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight).mean((2, 3))

    with refused(ValueError, "the network runs no layer of torch.nn that has weights."):
        pg.parameter_sensitivity(Own().eval(), x, "gradient")
