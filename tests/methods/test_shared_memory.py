"""What is shared to save time stays right: records, handlings in place, and what LRP doesn't copy."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import networks as nets
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.methods import Records
from posgrad_edu.methods.gradient import Gradient
from posgrad_edu.methods.lrp import LRP
from posgrad_edu.methods.lrp_rules import Contributions, Epsilon, LinearLayer
from posgrad_edu.methods.photo_pass import PassMethod, PhotoPass


@pytest.fixture
def plain() -> tuple[nn.Module, Tensor]:
    net, x, _ = nets.make("plain")
    return net, x


class TwoLinear(nn.Module):
    """A convolution and two linear layers, with something in place after the first of these."""

    def __init__(self, in_place: bool, by: str = "relu_") -> None:
        super().__init__()
        self.conv, self.first, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 6), nn.Linear(6, 3)
        self.in_place, self.by = in_place, by

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(self.conv(x).relu().flatten(1))
        if self.by == "skip":
            skip = self.first(x.flatten(1)[:, :144])
            return self.last(h.add_(skip) if self.in_place else h + skip)
        return self.last(h.relu_() if self.in_place else h.relu())


def pair(by: str) -> tuple[nn.Module, nn.Module, Tensor]:
    """Return two networks that compute the same, the first without anything in place, and photos."""
    torch.manual_seed(0)
    one, other = (TwoLinear(in_place, by).double().eval() for in_place in (False, True))
    other.load_state_dict(one.state_dict())
    return one, other, torch.rand(2, 3, 8, 8, dtype=torch.float64)


@pytest.mark.parametrize("by", ["relu_", "skip"])
@pytest.mark.parametrize("rule", ["gamma", "epsilon", "z+", "alpha-beta"])
def test_lrp_reads_a_layer_s_own_output_though_it_is_overwritten(rule: str, by: str) -> None:
    one, other, x = pair(by)
    maps = [pg.explain(net, x, 1, "lrp", linear=rule) for net in (one, other)]
    assert torch.allclose(*maps, rtol=1e-10)


def test_lrp_takes_no_rule_of_the_user_s_for_the_layer_itself(plain: tuple[nn.Module, Tensor]) -> None:
    @dataclasses.dataclass(frozen=True)
    class Doubled(Epsilon):
        def contributions(self, layer: LinearLayer) -> list[Contributions]:
            return [Contributions([(layer.a, 2 * layer.w)])]

    net, x = plain
    small = Epsilon(1e-14)
    maps = pg.explain(net, x, 1, LRP(conv=small, linear=Doubled(1e-14), bias="ignore"))
    assert torch.allclose(maps, pg.explain(net, x, 1, LRP(rule=small, bias="ignore")), rtol=1e-6)


def test_lrp_frees_its_pass_without_the_garbage_collector() -> None:
    net, _, x = pair("relu_")
    alive: list[weakref.ref] = []

    def seen(*args: Tensor) -> None:
        alive.append(weakref.ref(args[2]))

    handle = net.first.register_forward_hook(seen)  # type: ignore[union-attr, arg-type]
    gc.collect()
    gc.disable()
    try:
        pg.explain(net, x, 1, "lrp", "positive")
        assert alive
        assert all(one() is None for one in alive)
    finally:
        gc.enable()
        handle.remove()


def test_lrp_without_biases_also_copies_before_a_relu_in_place() -> None:
    class Net(nn.Module):
        def __init__(self, in_place: bool) -> None:
            super().__init__()
            self.before, self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)
            self.last = nn.Linear(4, 3)
            self.in_place = in_place

        def forward(self, x: Tensor) -> Tensor:
            x = self.before(x)
            made = self.conv(x)
            if self.in_place:
                F.relu_(x)
            return self.last(self.bn(made).relu().mean((2, 3)))

    torch.manual_seed(0)
    one, other = (Net(in_place).double().eval() for in_place in (False, True))
    other.load_state_dict(one.state_dict())
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    maps = [pg.explain(net, x, 1, "lrp", bias="ignore") for net in (one, other)]
    assert torch.allclose(*maps, rtol=1e-9)


def test_lrp_keeps_what_a_layer_read_though_data_is_written_into() -> None:
    class Net(nn.Module):
        def __init__(self, through_data: bool) -> None:
            super().__init__()
            self.before, self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)
            self.through_data = through_data

        def forward(self, x: Tensor) -> Tensor:
            x = self.before(x).relu()
            y = self.conv(x)
            if self.through_data:
                x.data.mul_(3)
            return self.last(y.relu().mean((2, 3)))

    torch.manual_seed(0)
    one, other = (Net(through) for through in (False, True))
    other.load_state_dict(one.state_dict())
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    maps = [pg.explain(net.double().eval(), x, 1, "lrp", rule="epsilon") for net in (one, other)]
    assert torch.allclose(*maps, rtol=1e-9)


class Viewed(nn.Module):
    """A view of a convolution's output, which only photos in the usual layout allow; in place, it overwrites that."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 3)
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        made = self.conv(x)
        rows = F.relu(made.view(len(x), -1), inplace=self.in_place)
        return self.last(made.flatten(1) if self.in_place else rows)


def test_lrp_refuses_what_a_view_overwrites() -> None:
    x = torch.rand(2, 3, 8, 8)
    assert pg.explain(Viewed(in_place=False).eval(), x, 1, "lrp").shape == x[:, 0].shape
    with pytest.raises(pg.errors.UnsupportedOperation, match="in place"):
        pg.explain(Viewed(in_place=True).eval(), x, 1, "lrp")


@pytest.mark.parametrize("method", ["guided-backprop", "rectgrad"])
def test_a_handling_made_of_ours_is_its_own(method: str, plain: tuple[nn.Module, Tensor]) -> None:
    net, x = plain
    mine = dataclasses.replace(pg.POSITIVE, name="mine", function=lambda t: t.clamp(max=0))
    assert torch.equal(pg.explain(net, x, 1, method, mine), pg.explain(net, x, 1, method, "negative"))


def test_maps_with_channels_are_nobody_else_s(plain: tuple[nn.Module, Tensor]) -> None:
    net, x = plain
    records = Records()
    before = records.explain(net, x, 1, "gradient", reduce=None)
    kept = before.clone()
    before.zero_()
    assert torch.equal(records.explain(net, x, 1, "gradient", reduce=None), kept)
    two = pg.explain(net, x, 1, {"a": Gradient(reduce=None), "b": Gradient("signed", reduce=None)})
    two["a"].zero_()
    assert torch.equal(two["b"], kept)


@pytest.mark.parametrize("control", pg.CONTROLS)
@pytest.mark.parametrize("contrast", [None, "mean", 0])
def test_controls_of_a_contrast_from_records(
    control: str, contrast: str | int | None, plain: tuple[nn.Module, Tensor]
) -> None:
    net, x = plain
    records = Records()
    for _ in range(2):
        found = records.explain(net, x, 1, control, contrast=contrast)
        assert torch.equal(found, pg.explain(net, x, 1, control, contrast=contrast))


def test_a_method_may_go_back_twice(plain: tuple[nn.Module, Tensor]) -> None:
    class Twice(PassMethod):
        name = "twice"

        def read(self, record: PhotoPass) -> Tensor:
            there = record.signal(lambda grad, gated, gate: gated, self.name)
            return self.reduced(there - record.gradient)

    net, x = plain
    assert not pg.explain(net, x, 1, Twice).any()


def test_measures_need_maps_as_large_as_the_photo(plain: tuple[nn.Module, Tensor]) -> None:
    net, x = plain
    with pytest.raises(ValueError, match="leave upsample=False out of gradcam"):
        pg.class_sensitivity(net, x, "gradcam", upsample=False)


def test_a_cam_s_record_holds_one_gradient_a_class(plain: tuple[nn.Module, Tensor]) -> None:
    net, x = plain
    target = torch.tensor([[0, 1, 2]]).expand(len(x), -1)
    with torch.enable_grad():
        activation, grads = pg.METHODS["gradcam"]().record(net, x.clone(), target)
    assert len(grads) == 3
    assert [grad.shape for grad in grads] == 3 * [activation.shape]
    assert torch.equal(grads[1], [*grads][1])
