"""Copies with random layers: what becomes random, what stays, and from which random stream."""

from __future__ import annotations

import copy
import math
import zlib

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from posgrad_edu.metrics.randomization import (
    MODES,
    Step,
    evenly_spaced,
    randomizable_layers,
    randomized,
    randomized_steps,
    steps,
    still_trained,
    with_random,
)
from posgrad_edu.models.loading import load_classifier


class Crossed(nn.Module):
    """Defines its layers in another order than it runs them, and never runs one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 64)
        self.never = nn.Linear(64, 64)
        self.second = nn.Conv2d(64, 64, 3, padding=1)
        self.norm = nn.BatchNorm2d(64)
        self.first = nn.Conv2d(3, 64, 3, padding=1)
        self.fold = nn.Conv2d(64, 64, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.norm(self.second(self.first(x).relu())).relu()
        return self.head(self.fold(a).relu().mean((2, 3)))


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    net = Crossed().eval().requires_grad_(False)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.7).add_(0.03)  # a scale that no initialization has
        net.norm.running_mean.normal_()
        net.norm.running_var.uniform_(0.5, 2)
    return net


@pytest.fixture
def x() -> Tensor:
    return torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))


ORDER = ["head", "fold", "second", "first"]


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].abs())


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(v, b.state_dict()[name]) for name, v in a.state_dict().items())


def test_layers_are_listed_from_the_output_in_the_order_they_run(net: nn.Module, x: Tensor) -> None:
    assert randomizable_layers(net, x) == ORDER


def test_a_layer_that_runs_twice_counts_where_it_runs_last(x: Tensor) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.shared(self.other(self.shared(x))).mean((2, 3))

    assert randomizable_layers(Twice().eval(), x) == ["shared", "other"]


def test_a_first_layer_that_overwrites_its_input_changes_no_photo(net: nn.Module, x: Tensor) -> None:
    before = x.clone()
    assert randomizable_layers(nn.Sequential(nn.ReLU(inplace=True), net), x) == [f"1.{name}" for name in ORDER]
    assert torch.equal(x, before)


def test_no_hook_stays_behind(net: nn.Module, x: Tensor) -> None:
    randomizable_layers(net, x)
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("depth", range(5))
def test_just_the_last_layers_are_random(net: nn.Module, depth: int) -> None:
    changed = randomized(net, depth, layers=ORDER)
    for index, name in enumerate(ORDER):
        kept = torch.equal(changed.get_submodule(name).weight, net.get_submodule(name).weight)
        assert kept == (index >= depth), name
    assert torch.equal(changed.never.weight, net.never.weight)


def test_depth_0_is_the_net(net: nn.Module, x: Tensor) -> None:
    copied = randomized(net, 0)
    assert copied is not net
    assert same(copied, net)
    assert torch.equal(copied(x), net(x))


def test_the_callers_net_and_random_numbers_are_untouched(net: nn.Module) -> None:
    before, state = copy.deepcopy(net), torch.get_rng_state()
    changed = randomized(net, 4, layers=ORDER)
    assert same(net, before)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        changed.norm.weight.zero_()  # what is done to the copy doesn't reach the original either
    assert same(net, before)


def test_batch_norm_is_kept(net: nn.Module) -> None:
    assert same(net.norm, randomized(net, 4, layers=ORDER).norm)


def test_scale_and_mean_are_kept(net: nn.Module) -> None:
    changed = randomized(net, 4, layers=ORDER)
    for name in ("head", "fold", "second"):
        old, new = net.get_submodule(name).weight, changed.get_submodule(name).weight
        assert new.std() == pytest.approx(float(old.std()), rel=0.04)
        assert float((new.mean() - old.mean()).abs() / old.std()) < 0.06
        # Cut off at two standard deviations of the normal distribution, so at 2 / .88 of its own.
        assert float((new - new.mean()).abs().max() / new.std()) < 2.4


def test_biases_are_random_too_and_of_their_own_scale(net: nn.Module) -> None:
    changed = randomized(net, 4, layers=ORDER)
    for name in ORDER:
        old, new = net.get_submodule(name).bias, changed.get_submodule(name).bias
        assert not torch.equal(old, new)
        assert correlation(old, new) < 0.5  # 64 numbers
        assert 0.7 < float(new.std() / old.std()) < 1.3


def test_random_weights_by_hand(net: nn.Module) -> None:
    """Seed and name decide the stream; the weight is drawn first, then the bias."""
    changed = with_random(net, ["second"], seed=5)
    mixed = np.random.SeedSequence([5, zlib.crc32(b"second")]).generate_state(1)[0]
    stream = torch.Generator().manual_seed(int(mixed))
    for old, new in ((net.second.weight, changed.second.weight), (net.second.bias, changed.second.bias)):
        drawn = nn.init.trunc_normal_(torch.empty(old.shape), 0.0, 1.0, -2.0, 2.0, generator=stream)
        deviation = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))
        expected = old.mean() + old.std(correction=0) * drawn / deviation
        assert torch.allclose(new, expected, rtol=1e-5, atol=1e-6)


def test_a_bias_of_one_value_has_no_deviation_and_keeps_its_mean() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 1, 3), nn.Flatten(), nn.Linear(36, 1)).eval()
    changed = randomized(net, 2)
    for name in ("0", "2"):
        old, new = net.get_submodule(name), changed.get_submodule(name)
        assert torch.equal(new.bias, old.bias)
        assert new.weight.isfinite().all()
        assert not torch.equal(new.weight, old.weight)


def test_streams_of_layers_seeds_and_training_are_unrelated(net: nn.Module) -> None:
    drawn = [net.fold.weight, net.second.weight]
    for seed in (0, 1, 2):
        changed = randomized(net, 4, seed, layers=ORDER)
        drawn += [changed.fold.weight, changed.second.weight]  # 36,864 numbers each, of one shape
    pairs = [correlation(a, b) for i, a in enumerate(drawn) for b in drawn[:i]]
    assert max(pairs) < 0.05


def test_streams_of_real_layers_of_one_shape_are_unrelated() -> None:
    net = load_classifier().net
    changed = [randomized(net, 50, seed) for seed in (0, 1)]
    big = [m.weight for f in changed for m in f.modules() if isinstance(m, nn.Conv2d) and m.weight.numel() > 50_000]
    pairs = [correlation(a, b) for i, a in enumerate(big) for b in big[:i] if a.shape == b.shape]
    assert len(pairs) > 20
    assert max(pairs) < 0.05


def test_the_same_seed_gives_the_same_weights(net: nn.Module) -> None:
    assert same(randomized(net, 3, 7, layers=ORDER), randomized(net, 3, 7, layers=ORDER))
    assert not torch.equal(
        randomized(net, 3, 7, layers=ORDER).head.weight, randomized(net, 3, 8, layers=ORDER).head.weight
    )


def test_cascades_nest(net: nn.Module) -> None:
    cascade = [randomized(net, depth, seed=3, layers=ORDER) for depth in range(5)]
    for depth in range(4):
        for name in ORDER[:depth]:
            assert same(cascade[depth].get_submodule(name), cascade[depth + 1].get_submodule(name)), (depth, name)


def test_without_names_the_order_of_definition_counts(net: nn.Module) -> None:
    changed = randomized(net, 1)
    assert not torch.equal(changed.fold.weight, net.fold.weight)  # defined last
    assert torch.equal(changed.head.weight, net.head.weight)


@pytest.mark.slow
def test_the_default_network_defines_its_layers_in_the_order_it_runs_them() -> None:
    clf = load_classifier()
    layers = randomizable_layers(clf.net, clf.batch())
    assert layers[0] == "classifier"
    assert layers[-1] == "conv_stem"
    assert same(randomized(clf.net, 7), randomized(clf.net, 7, layers=layers))


def test_double_precision_and_eval_mode_are_kept(net: nn.Module, x: Tensor) -> None:
    changed = randomized(net.double(), 4, layers=ORDER)
    assert changed(x.double()).dtype == torch.float64
    assert not changed.training


@pytest.mark.parametrize("depth", [-1, 6])
def test_a_depth_that_does_not_exist_is_refused(net: nn.Module, depth: int) -> None:
    with pytest.raises(ValueError, match="0 to 5"):
        randomized(net, depth)


def test_a_layer_without_weights_is_refused(net: nn.Module) -> None:
    net.gap = nn.AdaptiveAvgPool2d(1)
    with pytest.raises(ValueError, match="gap"):
        randomized(net, 1, layers=["gap"])


# --- The orders ---


def test_cascading_from_the_output_and_from_the_input_and_independent() -> None:
    layers = ["out", "middle", "in"]
    assert [step.random for step in steps(layers)] == [("out",), ("out", "middle"), ("out", "middle", "in")]
    from_input = steps(layers, "cascading-from-input")
    assert [step.random for step in from_input] == [("in",), ("in", "middle"), ("in", "middle", "out")]
    alone = steps(layers, "independent")
    assert [(step.depth, step.layer, step.random) for step in alone] == [
        (1, "out", ("out",)), (2, "middle", ("middle",)), (3, "in", ("in",))
    ]  # fmt: skip


def test_depths_can_be_chosen_or_counted() -> None:
    layers = [f"layer{i}" for i in range(50)]
    assert [step.depth for step in steps(layers, depths=[7, 3, 7])] == [3, 7]
    counted = [step.depth for step in steps(layers, depths=6)]
    assert counted[0] == 1
    assert counted[-1] == 50
    assert len(counted) == 6
    assert len(steps(layers)) == 50


def test_more_depths_than_layers_are_all_of_them() -> None:
    assert evenly_spaced(3, 10) == [1, 2, 3]
    assert evenly_spaced(50, 3) == [1, 25, 50]
    assert evenly_spaced(1, 2) == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "cascadin"}, "Did you mean 'cascading'"),
        ({"depths": [0]}, "1 to 3"),
        ({"depths": [4]}, "1 to 3"),
        ({"depths": 1}, "2 depths or more"),
        ({"depths": []}, "depths holds no number"),
    ],
)
def test_steps_that_do_not_exist_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        steps(["a", "b", "c"], **options)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("depths", [None, 3, [1]])
def test_without_layers_there_is_nothing_to_randomize(mode: str, depths: int | list[int] | None) -> None:
    with pytest.raises(ValueError, match="nothing to randomize"):
        steps([], mode, depths)


def test_one_layer_alone_is_random_and_the_same_as_in_the_cascade(net: nn.Module) -> None:
    alone, all_of_them = with_random(net, ["second"], seed=5), randomized(net, 4, seed=5, layers=ORDER)
    changed = {name for name, value in alone.state_dict().items() if not torch.equal(value, net.state_dict()[name])}
    assert changed == {"second.weight", "second.bias"}
    assert same(alone.second, all_of_them.second)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batchnorm", ["keep", "reset"])
def test_step_by_step_gives_the_same_networks(net: nn.Module, x: Tensor, mode: str, batchnorm: str) -> None:
    before = copy.deepcopy(net)
    layers = randomizable_layers(net, x, batchnorm=batchnorm)
    seen = 0
    for step, changed in randomized_steps(net, steps(layers, mode), seed=2):
        assert same(changed, with_random(net, step.random, seed=2)), step
        seen += 1
    assert seen == len(layers)
    assert same(net, before)


def test_a_layer_can_become_random_again(net: nn.Module) -> None:
    once, twice = (Step(n, name, (name,)) for n, name in enumerate(("head", "fold"), start=1))
    for step, changed in randomized_steps(net, [once, twice, once]):
        assert same(changed, with_random(net, step.random))


def test_a_name_that_no_layer_with_weights_has_is_refused_wherever_it_stands(net: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"There is no layer with weights 'haed'\. Did you mean 'head'"):
        randomized(net, 1, layers=["fold", "haed"])
    with pytest.raises(ValueError, match="There is no layer with weights 'haed'"):
        next(randomized_steps(net, [Step(1, "haed", ("haed",))]))


# --- BatchNorm ---


def test_batch_norm_can_be_reset(net: nn.Module, x: Tensor) -> None:
    layers = randomizable_layers(net, x, batchnorm="reset")
    assert layers == ["head", "fold", "norm", "second", "first"]
    changed = randomized(net, 3, layers=layers)
    assert same(changed.norm, nn.BatchNorm2d(64))
    assert same(changed.second, net.second)


def test_another_way_to_treat_batch_norm_is_refused(net: nn.Module, x: Tensor) -> None:
    with pytest.raises(ValueError, match=r"way to treat BatchNorm 'resett'\. Did you mean 'reset'"):
        randomizable_layers(net, x, batchnorm="resett")


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "densenet121", "mobilenet_v2", "googlenet"])
@pytest.mark.slow
def test_networks_of_torchvision(name: str) -> None:
    clf = load_classifier(name, weights="random")
    layers = randomizable_layers(clf.net, clf.batch())
    with_weights = {n for n, m in clf.net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert set(layers) == with_weights
    random = randomized(clf.net, len(layers), layers=layers)
    changed = {
        n.rpartition(".")[0] for n, p in random.named_parameters() if not torch.equal(p, clf.net.get_parameter(n))
    }
    assert changed >= with_weights
    assert random(clf.batch()).isfinite().all()


# --- Weights that are stored in other ways ---


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()


def pruned(net: nn.Sequential) -> None:
    prune.l1_unstructured(net[0], "weight", amount=0.3)
    prune.random_unstructured(net[0], "weight", amount=0.3)
    prune.l1_unstructured(net[6], "bias", amount=0.3)


STORED = {
    "weight norm": lambda net: [parametrizations.weight_norm(net[i]) for i in (0, 2, 6)],
    "spectral norm": lambda net: parametrizations.spectral_norm(net[2]).eval(),
    "orthogonal": lambda net: parametrizations.orthogonal(net[6]),
    "old weight norm": lambda net: [nn.utils.weight_norm(net[i]) for i in (0, 6)],
    "old spectral norm": lambda net: nn.utils.spectral_norm(net[2]).eval(),
    "pruned": pruned,
}


@pytest.mark.parametrize("way", STORED)
def test_a_layer_computes_something_else_however_its_weight_is_stored(way: str) -> None:
    net, x = chain(), torch.randn(1, 3, 12, 12)
    STORED[way](net)
    before, names = net(x), list(net.state_dict())
    layers = randomizable_layers(net, x)
    assert layers == ["6", "2", "0"]
    assert torch.allclose(randomized(net, 0, layers=layers)(x), before, atol=1e-6)
    for name in layers:
        alone = with_random(net, [name])
        old, new = net.get_submodule(name).weight, alone.get_submodule(name).weight
        assert new.is_leaf
        assert correlation(old, new) < 0.5
        assert float(new.std() / old.std()) == pytest.approx(1, rel=0.3)
        assert not torch.allclose(alone(x), before)
    for step, changed in randomized_steps(net, steps(layers, "independent")):
        assert torch.allclose(changed(x), with_random(net, step.random)(x), atol=1e-6), step
    assert torch.equal(net(x), before)
    assert list(net.state_dict()) == names


class Sequence(nn.Module):
    """Attention and a recurrent layer over the positions of a convolution, behind a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.recurrent = nn.LSTM(8, 8, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x).flatten(2).mT
        z = self.norm(torch.cat([self.token.expand(len(z), -1, -1), z], 1))
        z, _ = self.recurrent(self.attention(z, z, z, need_weights=False)[0])
        return self.head(z.mean(1))


def test_attention_and_recurrent_layers_become_random_and_the_rest_is_named() -> None:
    torch.manual_seed(0)
    net, x = Sequence().eval(), torch.randn(1, 3, 16, 16)
    layers = randomizable_layers(net, x)
    assert layers == ["head", "recurrent", "attention", "conv"]
    changed = randomized(net, len(layers), layers=layers)
    kept = [name for name, value in net.named_parameters() if torch.equal(value, changed.get_parameter(name))]
    trained = still_trained(net, layers)
    assert trained == ["token", "norm.weight", "norm.bias"]
    assert set(kept) - set(trained) == {"attention.in_proj_bias", "attention.out_proj.bias"}  # zeros, never trained
    assert not torch.equal(changed(x), net(x))


def test_batch_norm_that_is_kept_is_named(net: nn.Module, x: Tensor) -> None:
    of_norm = ["norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"]
    assert still_trained(net, ORDER) == ["never.weight", "never.bias", *of_norm]
    assert still_trained(net, randomizable_layers(net, x, batchnorm="reset")) == ["never.weight", "never.bias"]


def test_a_head_of_zeros_becomes_random() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(300, 7)).eval()
    nn.init.zeros_(net[1].weight)
    new = randomized(net, 1)[1].weight
    assert float(new.std()) == pytest.approx(1 / math.sqrt(3 * 300), rel=0.1)


class Keeping(nn.Module):
    """Keeps its activations: as an attribute, in a list, and in an object whose method is a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.net = chain()
        self.seen: list[dict[str, Tensor]] = []
        self.net[0].register_forward_hook(self.see)

    def see(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self.seen.append({"output": output})

    def forward(self, x: Tensor) -> Tensor:
        self.features = self.net[:5](x)
        return self.net[5:](self.features)


def test_a_network_that_keeps_its_activations_is_copied() -> None:
    net, x = Keeping().eval(), torch.randn(1, 3, 12, 12)
    before = net(x)
    changed = with_random(net, ["net.6"])
    assert net.features.grad_fn is not None
    assert not torch.allclose(changed(x), before)
    assert len(net.seen) == 1  # the copy has a list of its own


def test_a_network_that_cannot_be_copied_is_refused() -> None:
    net = chain()
    net.log = (number for number in range(3))
    with pytest.raises(ValueError, match="can't be copied"):
        with_random(net, ["0"])


@pytest.mark.parametrize(("device", "dtype"), [("meta", torch.float32), (None, torch.float64)])
def test_other_defaults_change_no_number(net: nn.Module, device: str | None, dtype: torch.dtype) -> None:
    expected = randomized(net, 4, layers=ORDER)
    torch.set_default_device(device)
    torch.set_default_dtype(dtype)
    try:
        changed = randomized(net, 4, layers=ORDER)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert same(changed, expected)
