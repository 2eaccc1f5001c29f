"""Layer-wise relevance propagation: each rule written out with loops, conservation, and what has no weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import networks as nets
import pytest
import torch
import torch.nn.functional as F
from networks import explain, largest
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode

import posgrad_edu as pg
from posgrad_edu.handling import HANDLINGS, SIGNED, Handling
from posgrad_edu.methods.lrp import Propagation
from posgrad_edu.methods.lrp_rules import AlphaBeta, Epsilon, Flat, Gamma, Handled, Rule, ZBox, Zero, ZPlus

Case = tuple[str, nn.Module, Tensor, Tensor]
EPS = 1e-6
LOW, HIGH = -4.0, 5.0
RULES: dict[str, Rule] = {
    "zero": Zero(),
    "epsilon": Epsilon(),
    "epsilon .5": Epsilon(epsilon=0.5),
    "z+": ZPlus(),
    "gamma": Gamma(),
    "gamma 2": Gamma(gamma=2.0),
    "alpha-beta": AlphaBeta(),
    "alpha 1 beta 0": AlphaBeta(alpha=1, beta=0),
    "alpha 3 beta 2": AlphaBeta(alpha=3, beta=2),
    "flat": Flat(),
}


# One layer, with loops


def positive(c: float) -> float:
    return c if c > 0 else 0.0


def negative(c: float) -> float:
    return c if c < 0 else 0.0


def away_from_zero(z: float, eps: float) -> float:
    return z - eps if z < 0 else z + eps


def in_proportion(handled: list[float], bias: float, relevance: float, eps: float = EPS) -> list[float]:
    """Redistribute one output's relevance in proportion to each handled contribution."""
    denominator = away_from_zero(sum(handled) + bias, eps)
    return [0.0 if denominator == 0 else c / denominator * relevance for c in handled]


def to_inputs(rule: str, a: list[float], w: list[float], b: float, relevance: float) -> list[float]:
    """Share out the relevance of one output z = Σ a_i w_i + b."""
    c = [x * y for x, y in zip(a, w, strict=True)]
    z = sum(c) + b
    if rule == "zero":
        return in_proportion(c, b, relevance, 0.0)
    if rule in ("epsilon", "signed"):
        return in_proportion(c, b, relevance)
    if rule == "epsilon .5":
        return in_proportion(c, b, relevance, 0.5)
    if rule in ("z+", "positive"):
        return in_proportion([positive(v) for v in c], positive(b), relevance)
    if rule == "negative":
        return in_proportion([negative(v) for v in c], negative(b), relevance)
    if rule == "absolute":
        return in_proportion([abs(v) for v in c], abs(b), relevance)
    if rule.startswith("gamma"):
        gamma = 2.0 if rule == "gamma 2" else 0.25
        agreeing = positive if z > 0 else negative
        return in_proportion([v + gamma * agreeing(v) for v in c], b + gamma * agreeing(b), relevance)
    if rule.startswith("alpha"):
        alpha, beta = {"alpha-beta": (2, 1), "alpha 1 beta 0": (1, 0), "alpha 3 beta 2": (3, 2)}[rule]
        up = in_proportion([positive(v) for v in c], positive(b), relevance)
        down = in_proportion([negative(v) for v in c], negative(b), relevance)
        return [alpha * u - beta * d for u, d in zip(up, down, strict=True)]
    if rule == "flat":
        return in_proportion([1.0] * len(c), 0.0, relevance)
    if rule == "z-box":
        boxed = [v - LOW * positive(y) - HIGH * negative(y) for v, y in zip(c, w, strict=True)]
        return in_proportion(boxed, 0.0, relevance)
    raise AssertionError(rule)


def through(rule: str, a: Tensor, weight: Tensor, bias: Tensor | None, relevance: Tensor) -> Tensor:
    """Share out the relevance of a whole layer with the weight matrix (outputs, inputs)."""
    received = [0.0] * len(a)
    for j, r in enumerate(relevance.tolist()):
        shares = to_inputs(rule, a.tolist(), weight[j].tolist(), 0.0 if bias is None else bias[j].item(), r)
        received = [old + new for old, new in zip(received, shares, strict=True)]
    return torch.tensor(received, dtype=a.dtype)


def by_hand(
    photo: Tensor, c: int, matrices: list[Tensor], biases: list[Tensor], rules: list[str], absorb: bool = True
) -> Tensor:
    """Take relevance 1 of class c back through linear layers with ReLUs between them."""
    inputs = [photo.flatten()]
    for matrix, bias in zip(matrices[:-1], biases[:-1], strict=True):
        inputs.append((matrix @ inputs[-1] + bias).clamp(min=0))
    relevance = torch.zeros(len(matrices[-1]), dtype=photo.dtype)
    relevance[c] = 1
    for matrix, bias, a, rule in reversed(list(zip(matrices, biases, inputs, rules, strict=True))):
        relevance = through(rule, a, matrix, bias if absorb else None, relevance)
    return relevance.reshape(photo.shape)


def dense_net() -> nn.Sequential:
    layers = [nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 4)]
    return nn.Sequential(*layers)


def dense_case() -> tuple[nn.Module, Tensor, list[Tensor], list[Tensor]]:
    net, x = nets.seeded(dense_net, seed=3), nets.photos(2)
    linear = [m for m in net if isinstance(m, nn.Linear)]
    return net, x, [m.weight.detach() for m in linear], [m.bias.detach() for m in linear]


CLASSES = torch.tensor([[0, 3], [1, 2], [2, 0]])


@pytest.mark.parametrize("bias", ["absorb", "ignore"])
@pytest.mark.parametrize("rule", RULES)
def test_rules_with_loops(rule: str, bias: str) -> None:
    net, x, matrices, biases = dense_case()
    ours = explain(net, x, CLASSES, "lrp", rule=RULES[rule], bias=bias, reduce=None)
    for n in range(3):
        for k in range(2):
            hand = by_hand(x[n], int(CLASSES[n, k]), matrices, biases, [rule] * 3, bias == "absorb")
            assert largest(ours[n, k], hand) < 1e-9, (n, k)


@pytest.mark.parametrize("handling", ["signed", "positive", "negative", "absolute"])
def test_handlings_with_loops(handling: str) -> None:
    net, x, matrices, biases = dense_case()
    ours = pg.explain(net, x, CLASSES, "lrp", handling, reduce=None)
    # Negative evidence for a hidden unit that is active: some is always there, so nothing is empty in this network.
    for n in range(3):
        for k in range(2):
            hand = by_hand(x[n], int(CLASSES[n, k]), matrices, biases, [handling] * 3)
            assert (ours[n, k] - hand).abs().max() <= 1e-9 * hand.abs().max()
    assert ours.abs().max() > 0


def test_the_first_layer_s_rule_with_loops() -> None:
    net, x, matrices, biases = dense_case()
    ours = explain(net, x, CLASSES[:, 0], "lrp", rule="z+", first=ZBox(LOW, HIGH), reduce=None)
    for n in range(3):
        hand = by_hand(x[n], int(CLASSES[n, 0]), matrices, biases, ["z-box", "z+", "z+"])
        assert largest(ours[n], hand) < 1e-9
    by_name = explain(net, x, CLASSES[:, 0], "lrp", "signed", first="flat", reduce=None)
    assert largest(by_name[0], by_hand(x[0], 0, matrices, biases, ["flat", "signed", "signed"])) < 1e-9


def test_box_with_bounds_for_each_channel() -> None:
    net, x = nets.seeded(nets.plain), nets.photos(16)
    low, high = x.amin((0, 2, 3)), x.amax((0, 2, 3))
    ours = explain(net, x, 1, "lrp", first=ZBox(tuple(low.tolist()), tuple(high.tolist())))
    assert largest(explain(net, x, 1, "lrp", first=ZBox(low.min().item(), high.max().item())), ours) > 1e-4
    with pytest.raises(ValueError, match=r"leaves the box from 0\.0 to 1\.0"):
        pg.explain(net, x, 1, "lrp", first=ZBox())


@pytest.mark.parametrize("options", [{}, {"conv": "alpha-beta", "linear": "gamma"}])
def test_composites_with_loops_through_convolutions(options: dict[str, str]) -> None:
    net, x, matrices, biases = nets.toy()
    conv, linear = options.get("conv", "z+"), options.get("linear", "epsilon")
    target = torch.tensor([1, 4, 0])
    ours = explain(net, x, target, "lrp", reduce=None, **options)
    rules = [conv, conv, linear, linear]
    hand = [by_hand(photo, c, matrices, biases, rules) for photo, c in zip(x, target.tolist(), strict=True)]
    assert largest(ours, torch.stack(hand)) < 1e-9


def test_flat_shares_alike_among_the_pixels_that_a_kernel_reaches() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten()).double().eval()
    x = nets.photos(4)[:, :1]
    ours = explain(net, x, 0, "lrp", rule="flat")
    expected = torch.zeros(4, 4, dtype=torch.float64)
    expected[:3, :3] = 1 / 9
    assert largest(ours, expected.expand(3, 4, 4)) < 1e-6


# What methods share


def test_published_is_z_plus_in_convolutions_and_epsilon_in_linear_layers(case: Case) -> None:
    _, net, x, target = case
    published = explain(net, x, target, "lrp")
    assert torch.equal(published, explain(net, x, target, "lrp", conv="z+", linear="epsilon"))
    assert torch.equal(published, explain(net, x, target, "lrp", conv=ZPlus(), linear=Epsilon()))
    assert largest(explain(net, x, target, "lrp", rule="epsilon"), published) > 0.01


def test_handlings_are_rules(case: Case) -> None:
    name, net, x, target = case
    for handling, rule in (("positive", "z+"), ("signed", "epsilon")):
        assert torch.equal(explain(net, x, target, "lrp", handling), explain(net, x, target, "lrp", rule=rule))
    z_plus = explain(net, x, target, "lrp", "positive")
    assert largest(explain(net, x, target, "lrp", rule=AlphaBeta(alpha=1, beta=0)), z_plus) < 1e-12
    if name not in ("residual", "relu6"):  # additions share by signed summands
        assert z_plus.min() >= 0


def test_zero_from_the_logit_is_input_x_gradient(relu_case: Case) -> None:
    _, net, x, _ = relu_case
    ours = explain(net, x, nets.TARGETS, "lrp", rule="zero", seed="logit", reduce=None)
    assert largest(ours, explain(net, x, nets.TARGETS, "input-x-gradient", reduce=None)) < 1e-9


def test_seeds(case: Case) -> None:
    _, net, x, _ = case
    one = explain(net, x, nets.TARGETS, "lrp")
    logit = net(x).detach().gather(1, nets.TARGETS)[..., None, None]
    assert largest(explain(net, x, nets.TARGETS, "lrp", seed="logit"), one * logit) < 1e-12
    assert torch.equal(explain(net, x, nets.TARGETS, "lrp", seed="one"), one)
    assert (logit < 0).any()


# Conservation


@pytest.mark.parametrize("rule", ["zero", "epsilon", "z+", "gamma", "gamma 2", "alpha 1 beta 0", "alpha-beta"])
def test_relevance_is_kept_where_there_are_no_biases(rule: str) -> None:
    net, x = nets.seeded(lambda: nets.plain(bias=False)), nets.photos(16)
    maps = explain(net, x, nets.TARGETS, "lrp", rule=RULES[rule], seed="one")
    assert (maps.sum((2, 3)) - 1).abs().max() < 2e-3  # epsilon takes a little
    logits = net(x).detach().gather(1, nets.TARGETS)
    maps = explain(net, x, nets.TARGETS, "lrp", rule=RULES[rule], seed="logit")
    assert largest(maps.sum((2, 3)), logits) < 2e-3


def test_flat_keeps_relevance() -> None:
    net, x, _ = nets.make("plain")
    net.pool2 = nn.MaxPool2d(2)  # an average of zeros has nothing to share by
    assert (explain(net.eval(), x, nets.TARGETS, "lrp", rule="flat").sum((2, 3)) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("rule", ["z+", "alpha 1 beta 0", None])
def test_biases_absorb_relevance_unless_ignored(rule: str | None, case: Case) -> None:
    name, net, x, _ = case
    options = {} if rule is None else {"rule": RULES[rule]}
    ignored = explain(net, x, nets.TARGETS, "lrp", bias="ignore", **options).sum((2, 3))
    absorbed = explain(net, x, nets.TARGETS, "lrp", bias="absorb", **options).sum((2, 3))
    # In deep networks some outputs have no positive contribution at all, and z+ then has no one to give to.
    assert (ignored - 1).abs().max() < {"dense": 0.1, "residual": 0.1, "relu6": 0.7}.get(name, 2e-3)
    if rule is not None:
        assert absorbed.min() > 0
        assert absorbed.max() < 0.999
        assert (absorbed < ignored).all()


def test_a_bias_receives_its_share() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 1)).double().eval()
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[2.0, -1.0]]))
        net[1].bias.copy_(torch.tensor([4.0]))
    x = torch.tensor([[[[1.0, 2.0]]]]).double()  # contributions 2, -2 and 4
    for rule, shares in (("zero", [0.5, -0.5]), ("z+", [2 / 6, 0.0])):
        assert torch.allclose(explain(net, x, 0, "lrp", rule=rule).flatten(), torch.tensor(shares).double(), atol=1e-6)
    ignored = explain(net, x, 0, "lrp", rule="z+", bias="ignore").flatten()
    assert torch.allclose(ignored, torch.tensor([1.0, 0.0]).double(), atol=1e-6)


# BatchNorm


def as_convolution(norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return a BatchNorm as a convolution of one weight a channel."""
    conv = nn.Conv2d(norm.num_features, norm.num_features, 1, groups=norm.num_features).double()
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    with torch.no_grad():
        conv.weight.copy_(scale.reshape(-1, 1, 1, 1))
        conv.bias.copy_(norm.bias - norm.running_mean * scale)
    return conv


@pytest.mark.parametrize("bias", ["absorb", "ignore"])
@pytest.mark.parametrize("rule", RULES)
def test_batchnorm_is_merged_into_the_convolution_it_reads(rule: str, bias: str) -> None:
    net, x, target = nets.make("batchnorm")
    ours = explain(net, x, target, "lrp", rule=RULES[rule], bias=bias)
    for i in ("1", "2"):
        fused = fuse_conv_bn_eval(net.get_submodule("conv" + i), net.get_submodule("bn" + i))
        setattr(net, "conv" + i, fused)
        setattr(net, "bn" + i, nn.Identity())
    assert largest(explain(net.eval(), x, target, "lrp", rule=RULES[rule], bias=bias), ours) < 1e-9


def test_batchnorm_after_a_linear_layer_is_merged() -> None:
    maker = lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))  # noqa: E731
    net, x = nets.seeded(maker), nets.photos(2)
    net[2].running_mean.uniform_(-0.3, 0.3)
    net[2].running_var.uniform_(0.5, 1.5)
    for rule in ("z+", "gamma"):
        ours = explain(net, x, 2, "lrp", rule=rule)
        fused = nn.Sequential(nn.Flatten(), fuse_linear_bn_eval(net[1], net[2]), *net[3:]).eval()
        assert largest(explain(fused, x, 2, "lrp", rule=rule), ours) < 1e-10


def test_a_rule_s_own_parameters_come_first() -> None:
    assert Gamma(0.5) == Gamma(gamma=0.5, epsilon=1e-6)
    assert AlphaBeta(3, 2) == AlphaBeta(alpha=3, beta=2)
    assert ZBox(-1, 2) == ZBox(low=-1, high=2)
    assert Epsilon(0.5) == Epsilon(epsilon=0.5)
    assert Zero().epsilon == 0


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("rule", ["epsilon", "z+", "gamma"])
def test_batchnorm_with_no_layer_before_it_has_one_weight_a_channel(rule: str, affine: bool) -> None:
    norm = nn.BatchNorm2d(3).double()
    norm.running_mean.uniform_(-0.5, 0.5)
    norm.running_var.uniform_(0.5, 1.5)
    nn.init.uniform_(norm.weight, -1, 1)
    nn.init.uniform_(norm.bias, -1, 1)
    if not affine:
        nn.init.ones_(norm.weight)
        nn.init.zeros_(norm.bias)
    rest, x, target = nets.make("plain")
    expected = explain(nn.Sequential(as_convolution(norm), *rest).eval(), x, target, "lrp", rule=rule)
    if not affine:
        norm.weight = norm.bias = None
    assert largest(explain(nn.Sequential(norm, *rest).eval(), x, target, "lrp", rule=rule), expected) < 1e-10


class Between(nn.Module):
    """A convolution whose output is changed before a BatchNorm reads it."""

    def __init__(self, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change
        self.conv, self.bn, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.change(self.conv(x), x)
        return self.fc(F.adaptive_avg_pool2d(F.relu(self.bn(x)), 2).flatten(1))


@pytest.mark.parametrize(
    ("plain", "in_place"),
    [
        (lambda z, x: F.relu(z), lambda z, x: F.relu(z, inplace=True)),
        (lambda z, x: z.clamp(0, 6), lambda z, x: z.clamp_(0, 6)),
        (lambda z, x: z + x, lambda z, x: z.add_(x)),
    ],
    ids=["relu", "relu6", "addition"],
)
def test_batchnorm_that_reads_a_changed_output_is_not_merged(plain: Callable, in_place: Callable) -> None:
    x = nets.photos(6)
    net = nets.seeded(lambda: Between(plain))
    for rule in ("z+", "epsilon"):
        expected = explain(net, x, 1, "lrp", rule=rule)
        ours = explain(nets.seeded(lambda: Between(in_place)), x, 1, "lrp", rule=rule)
        assert torch.equal(ours, expected)
        split = nets.seeded(lambda: Between(plain))
        split.bn = as_convolution(split.bn)
        assert largest(explain(split.eval(), x, 1, "lrp", rule=rule), expected) < 1e-10


# What has no weights


class Wired(nn.Module):
    """A function of the photo, then one linear layer to two classes."""

    def __init__(self, wire: Callable[[Tensor], Tensor], inputs: int) -> None:
        super().__init__()
        self.wire = wire
        self.fc = nn.Linear(inputs, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.wire(x).flatten(1))

    def shares(self, x: Tensor) -> Tensor:
        """Return what the linear layer hands back to its inputs, by the epsilon rule for class 1."""
        a = self.wire(x).flatten(1)
        c = a * self.fc.weight.detach()[1]
        z = c.sum(1, keepdim=True)
        return (c / (z + EPS * z.sign())).reshape(self.wire(x).shape)


def away(z: Tensor) -> Tensor:
    return z + torch.where(z < 0, -EPS, EPS)


def test_max_pooling_gives_all_to_the_winner() -> None:
    net = nets.seeded(lambda: Wired(lambda x: F.max_pool2d(x, 2), 12))
    x = nets.photos(4)
    ours = explain(net, x, 1, "lrp", rule="epsilon", reduce=None)
    shares = net.shares(x)
    expected = torch.zeros_like(x)
    for n in range(3):
        for c in range(3):
            for i in range(2):
                for j in range(2):
                    window = x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].flatten().tolist()
                    best = max(range(4), key=window.__getitem__)
                    expected[n, c, 2 * i + best // 2, 2 * j + best % 2] = shares[n, c, i, j]
    assert largest(ours, expected) < 1e-12


AVERAGES: dict[str, Callable[[Tensor], Tensor]] = {
    "F.avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "F.adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 2),
    "reshape, Tensor.mean": lambda x: x.reshape(-1, 3, 2, 2, 2, 2).mean((3, 5)),
    "view, torch.mean": lambda x: torch.mean(x.view(-1, 3, 2, 2, 2, 2), (3, 5)),
}


@pytest.mark.parametrize("average", AVERAGES)
def test_averages_share_in_proportion_to_signed_inputs(average: str) -> None:
    net = nets.seeded(lambda: Wired(AVERAGES[average], 12))
    x = nets.photos(4)
    ours = explain(net, x, 1, "lrp", rule="epsilon", reduce=None)
    mean = F.avg_pool2d(x, 2)
    factor = (net.shares(x) / away(mean)).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert largest(ours, x / 4 * factor) < 1e-11


ADDITIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "+": lambda a, b: a + b,
    "+=": lambda a, b: a.clone().__iadd__(b),
    "torch.add": torch.add,
    "torch.add, keywords": lambda a, b: torch.add(input=a, other=b),
    "add_": lambda a, b: a.clone().add_(b),
}


@pytest.mark.parametrize("addition", ADDITIONS)
def test_additions_share_in_proportion_to_their_summands(addition: str) -> None:
    add = ADDITIONS[addition]
    net = nets.seeded(lambda: Wired(lambda x: add(x[:, :1], x[:, 1:2]), 16))
    x = nets.photos(4)
    ours = explain(net, x, 1, "lrp", rule="epsilon", reduce=None)
    factor = net.shares(x) / away(x[:, :1] + x[:, 1:2])
    assert largest(ours, torch.cat([x[:, :1] * factor, x[:, 1:2] * factor, 0 * factor], 1)) < 1e-12


def test_an_addition_that_broadcasts() -> None:
    net = nets.seeded(lambda: Wired(lambda x: x + x.mean((2, 3), keepdim=True), 48))
    ours = explain(net, nets.photos(4), 1, "lrp", rule="epsilon")
    assert (ours.sum((1, 2)) - 1).abs().max() < 1e-3


def test_concatenation_takes_relevance_apart() -> None:
    net = nets.seeded(lambda: Wired(lambda x: torch.cat([x[:, 2:], x[:, :1], x[:, 2:]], 1), 48))
    x = nets.photos(4)
    shares = net.shares(x)
    expected = torch.stack([shares[:, 1], torch.zeros_like(shares[:, 1]), shares[:, 0] + shares[:, 2]], 1)
    assert largest(explain(net, x, 1, "lrp", rule="epsilon", reduce=None), expected) < 1e-12


def test_a_residual_block_by_hand() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(48, 3)

        def forward(self, x: Tensor) -> Tensor:
            out = F.relu(self.conv(x))
            out += x
            return self.fc(out.flatten(1))

    net, x = nets.seeded(Block), nets.photos(4)
    matrix = nets.as_matrix(lambda t: F.conv2d(t, net.conv.weight, padding=1), (3, 4, 4)).detach()
    bias = net.conv.bias.detach().repeat_interleave(16)
    ours = explain(net, x, 2, "lrp", reduce=None)
    for photo, mine in zip(x, ours, strict=True):
        a = photo.flatten()
        branch = (matrix @ a + bias).clamp(min=0)
        seed = torch.tensor([0.0, 0.0, 1.0]).double()
        r = through("epsilon", branch + a, net.fc.weight.detach(), net.fc.bias.detach(), seed)
        r = r / away(branch + a)
        hand = a * r + through("z+", a, matrix, bias, branch * r)
        assert largest(mine.flatten(), hand) < 1e-9


def test_dropout_padding_and_reshaping_pass_relevance_on() -> None:
    net = nets.seeded(
        lambda: Wired(lambda x: F.dropout(F.pad(x, (1, 1, 1, 1)), 0.5, False).transpose(2, 3).contiguous(), 108)
    )
    x = nets.photos(4)
    expected = net.shares(x).transpose(2, 3)[..., 1:-1, 1:-1]
    assert largest(explain(net, x, 1, "lrp", rule="epsilon", reduce=None), expected) < 1e-12


def test_residual_additions_don_t_multiply_relevance() -> None:
    net, x, target = nets.make("residual")
    kept = explain(net, x, target, "lrp", rule="z+", bias="ignore").sum((1, 2))
    assert (kept - 1).abs().max() < 0.02


# What a rule is


def test_z_plus_is_the_rule_of_one_handling() -> None:
    with pytest.raises(TypeError):
        ZPlus(SIGNED)  # type: ignore[call-arg, misc]
    assert ZPlus(epsilon=0.1) == ZPlus(epsilon=0.1) != ZPlus()


@pytest.mark.parametrize("rule", [Gamma, ZBox, AlphaBeta])
def test_epsilon_is_given_by_name_where_a_rule_has_parameters_of_its_own(rule: type[Rule]) -> None:
    parameters = {Gamma: (0.5,), ZBox: (-3.0, 3.0), AlphaBeta: (3.0, 2.0)}[rule]
    assert rule(*parameters).epsilon == 1e-6
    assert rule(*parameters, epsilon=0.1).epsilon == 0.1


def test_alpha_beta_allows_for_rounding() -> None:
    assert AlphaBeta(1.1, 0.1).alpha == 1.1  # 1.1 - 0.1 is not 1 in floating point
    assert AlphaBeta(1.0, 0.0).beta == 0
    for alpha, beta in [(2.0, 0.5), (0.5, -0.5), (1.0, 1.0)]:
        with pytest.raises(ValueError, match="alpha - beta must be 1"):
            AlphaBeta(alpha, beta)


@pytest.mark.parametrize("handling", HANDLINGS.values(), ids=str)
def test_the_rule_of_a_handling_is_what_the_method_s_handling_gives(handling: Handling) -> None:
    net, x, target = nets.make("batchnorm")
    maps = explain(net, x, target, "lrp", handling)
    assert torch.equal(maps, explain(net, x, target, "lrp", rule=Handled(handling)))
    if handling is SIGNED:
        assert torch.equal(maps, explain(net, x, target, "lrp", rule="epsilon"))


def test_gamma_takes_nothing_back_where_the_sum_is_zero() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False)).double().eval()
    nn.init.ones_(net[1].weight)
    x = torch.tensor([1.0, -1.0]).double().reshape(1, 1, 1, 2)
    assert pg.explain(net, x, 0, "lrp", rule="gamma").tolist() == [[[0.0, 0.0]]]


def test_additions_and_averages_go_by_the_linear_layers_epsilon() -> None:
    assert Propagation(Zero(), Epsilon(), first=None).unweighted == Epsilon()
    assert Propagation(Epsilon(), Zero(), first=None).unweighted == Zero()


def test_z_plus_uses_inputs_however_little_negative() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False)).double().eval()
    net[1].weight.data = torch.tensor([[-1.0, 1.0]]).double()
    x = torch.tensor([-1e-3, 1.0]).double().reshape(1, 1, 1, 2)
    maps = pg.explain(net, x, 0, "lrp", rule=ZPlus(epsilon=0)).flatten()
    assert torch.allclose(maps, torch.tensor([1e-3, 1.0]).double() / 1.001)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_z_box_allows_for_rounding_of_the_pixels(value: float) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 1)).double().eval()
    outwards = 2 * value - 1
    for by, fits in [(5e-5, True), (2e-4, False)]:
        x = torch.full((1, 1, 1, 2), value + by * outwards, dtype=torch.float64)
        if fits:
            assert pg.explain(net, x, 0, "lrp", first=ZBox(0, 1)).isfinite().all()
        else:
            with pytest.raises(ValueError, match="z-box: the input leaves the box from 0 to 1"):
                pg.explain(net, x, 0, "lrp", first=ZBox(0, 1))


@pytest.mark.parametrize("dimensions", [1, 3])
def test_convolutions_of_other_dimensions(dimensions: int) -> None:
    class Reshaped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = (nn.Conv1d if dimensions == 1 else nn.Conv3d)(3, 4, 1), nn.Linear(4 * 64, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.conv(x.flatten(2) if dimensions == 1 else x.unsqueeze(2)).relu().flatten(1))

    net, x = nets.seeded(Reshaped), nets.photos(8)
    maps = explain(net, x, 1, "lrp", rule="zero", seed="logit")
    assert largest(maps, explain(net, x, 1, "input-x-gradient")) < 1e-9


# What a pass costs, and what it leaves alone


class Counter(TorchDispatchMode):
    """Counts the operations that torch carries out, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, int] = defaultdict(int)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        self.calls[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("classes", [1, 3])
def test_a_convolution_runs_twice_and_goes_back_once_for_each_class(classes: int) -> None:
    net, x, _ = nets.make("batchnorm")
    explain(net, x, 0, "lrp")  # audited
    convolutions = sum(isinstance(m, nn.Conv2d) for m in net.modules())
    with Counter() as counter:
        pg.explain(net, x, [[*range(classes)]] * len(x), "lrp")
    assert counter.calls["convolution"] == 2 * convolutions  # the network's own, and z+
    assert counter.calls["convolution_backward"] == classes * convolutions
    assert counter.calls["addmm"] == 1  # epsilon divides by the logits themselves


def test_inputs_are_copied_only_where_something_overwrites_them() -> None:
    class Overwrites(nn.Module):
        def __init__(self, inplace: bool) -> None:
            super().__init__()
            self.inplace = inplace
            self.conv, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(48, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = F.pad(x, (0, 0))
            z = self.conv(x)
            x = F.relu(x, self.inplace)  # what the convolution has read
            return self.fc((z + x).flatten(1))

    x = nets.photos(4)
    maps = [explain(nets.seeded(lambda inplace=inplace: Overwrites(inplace)), x, 1, "lrp") for inplace in (True, False)]
    assert torch.equal(*maps)


def test_an_input_that_is_overwritten_unseen_is_refused() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(48, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = x.clone()
            z = self.conv(x)
            x.detach().mul_(2)
            return self.fc(z.flatten(1))

    with pytest.raises(pg.UnsupportedOperation, match="lrp needs the input of each layer as the layer read it"):
        pg.explain(nets.seeded(Hidden), nets.photos(4), 1, "lrp")


def test_networks_may_view_activations_as_rows() -> None:
    class Rows(nn.Module):
        def __init__(self, flat: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.flat, self.conv, self.fc = flat, nn.Conv2d(3, 5, 3), nn.Linear(20, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.flat(self.conv(x).relu()))

    ways = (lambda z: z.view(len(z), -1), lambda z: z.view(size=(len(z), 20)), lambda z: z.flatten(1))
    first, *others = (explain(nets.seeded(lambda way=way: Rows(way)), nets.photos(4), 1, "lrp") for way in ways)
    for other in others:
        assert torch.allclose(first, other, rtol=1e-9)


def test_a_handling_in_place_leaves_the_network_alone() -> None:
    net, x, target = nets.make("plain")
    before = [p.clone() for p in net.parameters()]
    maps = explain(net, x, target, "lrp", Handling("in place", lambda c: c.clamp_(min=0)))
    assert all(map(torch.equal, net.parameters(), before))
    assert largest(maps, explain(net, x, target, "lrp", "positive")) < 1e-12
