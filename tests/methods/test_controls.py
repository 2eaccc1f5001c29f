"""The controls: what each draws, what each depends on, and that they take part like any other method."""

from __future__ import annotations

import math
import zlib

import networks as nets
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.methods import ATTENTION_METHODS, CONTROLS, METHODS, explain, resolve
from posgrad_edu.methods.controls import Edges, InputMagnitude, Noise

each_control = pytest.mark.parametrize("control", CONTROLS)


@pytest.fixture
def net() -> nn.Module:
    return nets.make("plain")[0]


@pytest.fixture
def x() -> Tensor:
    return nets.photos(16)


def correlation(a: Tensor, b: Tensor) -> float:
    return float(np.corrcoef(a.flatten().numpy(), b.flatten().numpy())[0, 1])


# --- What each draws ---


def test_noise_by_hand(net: nn.Module, x: Tensor) -> None:
    who = zlib.crc32(b"".join(p.detach().numpy().tobytes() for p in net.parameters()))
    maps = Noise(seed=7)(net, x, nets.TARGETS)
    for n, photo in enumerate(x):
        for k, c in enumerate(nets.TARGETS[n].tolist()):
            stream = np.random.default_rng([7, who, zlib.crc32(photo.numpy().tobytes()), c])
            assert maps[n, k].tolist() == stream.standard_normal((16, 16)).tolist()


def test_noise_is_standard_normal(net: nn.Module) -> None:
    drawn = Noise()(net, nets.photos(16, count=200), 1).numpy()
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 1) < 0.02
    assert abs((np.abs(drawn) < 1).mean() - math.erf(math.sqrt(0.5))) < 0.01


def test_the_same_question_gets_the_same_noise(net: nn.Module, x: Tensor) -> None:
    maps = Noise()(net, x, nets.TARGETS)
    assert torch.equal(Noise()(net, x, nets.TARGETS), maps)
    assert torch.equal(Noise()(net, x[[2]], 4)[0], maps[2, 1])  # alone, as in a batch
    assert torch.equal(Noise()(nets.make("plain")[0], x, nets.TARGETS), maps)


def test_another_question_gets_other_noise(net: nn.Module) -> None:
    x = nets.photos(16)
    first, second = Noise()(net, x, [[1, 2]] * 3)[0]
    other_photo = x.clone()
    other_photo[0, 0, 0, 0] += 1e-9
    changed = nets.make("plain")[0]
    with torch.no_grad():
        changed.conv2.weight[0, 0, 0, 0] += 1e-9
    others = [second, Noise()(net, x, 1)[1], Noise()(net, other_photo, 1)[0], Noise()(changed, x, 1)[0]]
    others.append(Noise(seed=1)(net, x, 1)[0])
    for other in others:
        assert abs(correlation(first, other)) < 4 / 16  # four standard errors of 256 independent pixels
    assert torch.equal(Noise()(net, x, 1)[0], first)


def test_noise_leaves_the_random_streams_of_others_alone(net: nn.Module, x: Tensor) -> None:
    expected = torch.Generator().manual_seed(3).get_state(), np.random.RandomState(3).random()
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    Noise()(net, x, 0)
    assert torch.equal(torch.get_rng_state(), expected[0])
    assert np.random.random() == expected[1]  # noqa: NPY002


def test_edges_by_hand(net: nn.Module, x: Tensor) -> None:
    """Sobel's two filters, each divided by 4; the length of the two together, divided by the root of 2."""
    maps = Edges()(net, x, 0)
    grey = x.mean(1)
    for n in range(len(x)):
        for i, j in [(1, 1), (4, 9), (14, 14), (7, 1)]:
            g = grey[n, i - 1 : i + 2, j - 1 : j + 2].tolist()
            down = sum(w * (g[2][k] - g[0][k]) for k, w in enumerate((1, 2, 1))) / 4
            right = sum(w * (g[k][2] - g[k][0]) for k, w in enumerate((1, 2, 1))) / 4
            assert maps[n, i, j].item() == pytest.approx(math.hypot(down, right) / math.sqrt(2), abs=1e-12)


def test_input_magnitude_by_hand(net: nn.Module, x: Tensor) -> None:
    maps = InputMagnitude()(net, x, 0)
    for n, i, j in [(0, 0, 0), (1, 3, 15), (2, 15, 8)]:
        assert maps[n, i, j].item() == pytest.approx(sum(abs(v) for v in x[n, :, i, j].tolist()), abs=1e-12)


@pytest.mark.parametrize("control", ["edges", "input-magnitude"])
def test_what_depends_on_the_photo_alone(control: str, net: nn.Module, x: Tensor) -> None:
    maps = explain(net, x, [[0, 5]] * 3, control)
    assert torch.equal(maps[:, 0], maps[:, 1])
    assert torch.equal(explain(nets.seeded(nets.batchnorm, seed=9), x, 3, control), maps[:, 0])
    assert not torch.equal(maps[0], maps[1])
    maps[:, 0] = 0  # no two maps share their memory
    assert maps[:, 1].abs().max() > 0


# --- As methods ---


@each_control
def test_the_switch_acts_on_the_finished_map(control: str, net: nn.Module, x: Tensor) -> None:
    signed = explain(net, x, nets.TARGETS, control)
    assert torch.equal(explain(net, x, nets.TARGETS, control, "signed"), signed)
    assert torch.equal(explain(net, x, nets.TARGETS, control, "positive"), signed.clamp(min=0))
    assert torch.equal(explain(net, x, nets.TARGETS, control, "negative"), signed.clamp(max=0))
    assert torch.equal(explain(net, x, nets.TARGETS, control, "absolute"), signed.abs())


@each_control
def test_shape_and_precision_are_those_of_the_photo(control: str) -> None:
    net = nets.make("plain")[0].float()
    x = nets.photos(16).float()
    for target, shape in [(0, (3, 16, 16)), ([0, 1, 5], (3, 16, 16)), (nets.TARGETS, (3, 2, 16, 16))]:
        maps = explain(net, x, target, control)
        assert maps.shape == shape
        assert maps.dtype == torch.float32
        assert not maps.requires_grad


@each_control
def test_they_refuse_what_methods_refuse(control: str, net: nn.Module, x: Tensor) -> None:
    with pytest.raises(ValueError, match="Class 6 is out of range: the network has 6 classes"):
        explain(net, x, 6, control)
    with pytest.raises(ValueError, match="not finite"):
        explain(net, x / 0, 0, control)
    with pytest.raises(ValueError, match=r"Call net\.eval\(\) first"):
        explain(net.train(), x, 0, control)


@each_control
def test_several_methods_at_once_take_them(control: str, net: nn.Module, x: Tensor) -> None:
    kind = CONTROLS[control]
    methods = {h: kind(handling=h) for h in ("signed", "positive")} | {"gradient": METHODS["gradient"]()}
    together = explain(net, x, nets.TARGETS, methods)
    for label, method in methods.items():
        assert torch.equal(together[label], method(net, x, nets.TARGETS))


def test_controls_run_a_network_once_to_know_its_classes(net: nn.Module, x: Tensor) -> None:
    counted = nets.Counted(net).eval()
    explain(counted, x, 0, {name: name for name in CONTROLS})
    counted.passes = 0
    explain(counted, x, 1, {name: name for name in CONTROLS})
    assert counted.passes == 0
    with pytest.raises(ValueError, match="out of range"):
        explain(counted, x, 99, "noise")


def test_noise_of_another_seed_shares_no_record(net: nn.Module, x: Tensor) -> None:
    together = explain(net, x, 0, {"a": Noise(seed=1), "b": Noise(seed=2), "c": Noise(handling="positive", seed=2)})
    assert not torch.equal(together["a"], together["b"])
    assert torch.equal(together["b"].clamp(min=0), together["c"])


def test_a_seed_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="seed is a whole number from 0, not -1"):
        Noise(seed=-1)


def test_what_the_check_of_sensitivity_says_of_them() -> None:
    """Noise passes it and the photo's edges don't, though neither explains anything."""
    net, x, _ = nets.make("residual")
    noise = pg.class_sensitivity(net, x, method="noise")
    assert noise.spearman.abs().max() < 4 / 40  # four standard errors of 40 x 40 independent pixels
    for control in ("edges", "input-magnitude"):
        assert pg.class_sensitivity(net, x, method=control).spearman.tolist() == pytest.approx([1, 1, 1])


def test_names() -> None:
    assert list(CONTROLS) == ["noise", "edges", "input-magnitude"]
    assert not METHODS.keys() & CONTROLS.keys()
    for name, kind in (METHODS | CONTROLS).items():
        assert type(resolve(name)) is kind
        assert kind.name == name


@pytest.mark.parametrize(
    ("name", "near"), [("niose", "noise"), ("edge", "edges"), ("input-magnitud", "input-magnitude")]
)
def test_the_nearest_names_know_methods_and_controls(name: str, near: str, net: nn.Module, x: Tensor) -> None:
    with pytest.raises(ValueError, match=f"There is no method '{name}'. Did you mean ") as error:
        explain(net, x, 0, name)
    hint, listed = str(error.value).split("There are: ")
    assert f"'{near}'" in hint
    assert listed == ", ".join([*METHODS, *ATTENTION_METHODS, *CONTROLS]) + "."


def test_edges_of_a_photo_in_half_precision_are_computed_in_full(net: nn.Module) -> None:
    x = nets.photos(16).bfloat16()
    maps = explain(net.bfloat16(), x, 0, "edges")
    assert maps.dtype == torch.bfloat16
    assert torch.equal(maps, explain(nets.make("plain")[0], x.double(), 0, "edges").bfloat16())


def test_noise_knows_all_parameters_of_the_network_not_only_the_last(net: nn.Module, x: Tensor) -> None:
    before = Noise()(net, x, 0)
    for parameter in list(net.parameters()):
        with torch.no_grad():
            parameter[0] += 1e-9
        after = Noise()(net, x, 0)
        assert not torch.equal(after, before)
        before = after
