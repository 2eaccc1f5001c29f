"""Records: another handling of the same question reads what the last one recorded, and gives the map it gives alone."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import networks as nets
import pytest
import torch
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.methods import METHODS, Records

HANDLINGS = ("signed", "positive", "absolute")
SHARING = [name for name, method in METHODS.items() if method.record_options is not None]


@pytest.fixture
def net() -> nets.Counted:
    return nets.Counted(nets.seeded(nets.batchnorm)).eval()


@pytest.fixture
def x() -> Tensor:
    return nets.photos(16)


@pytest.mark.parametrize("contrast", [None, "mean"])
@pytest.mark.parametrize("method", METHODS)
def test_maps_are_those_of_explain(net: nn.Module, x: Tensor, method: str, contrast: Any) -> None:
    records = Records()
    for handling in (*HANDLINGS, None):
        ours = records.explain(net, x, [[0, 2]] * len(x), method, handling, contrast=contrast)
        assert torch.equal(ours, pg.explain(net, x, [[0, 2]] * len(x), method, handling, contrast=contrast))


@pytest.mark.parametrize("method", SHARING)
def test_another_handling_costs_no_forward_pass(net: nets.Counted, x: Tensor, method: str) -> None:
    records = Records()
    records.explain(net, x, 0, method, "signed")
    net.passes = 0
    records.explain(net, x, 0, method, "positive")
    assert net.passes == 0
    records.explain(net, x.clone(), 0, method, "positive")
    assert net.passes > 0


@pytest.mark.parametrize("contrast", [None, "mean", 4])
@pytest.mark.parametrize("method", SHARING)
def test_other_classes_cost_no_forward_pass_where_a_method_only_goes_back(
    net: nets.Counted, x: Tensor, method: str, contrast: Any
) -> None:
    records = Records()
    records.explain(net, x, [[0, 2]] * len(x), method, "signed")
    for target in (1, [[2, 3]] * len(x), [[0, 2]] * len(x)):
        net.passes = 0
        ours = records.explain(net, x, target, method, "positive", contrast=contrast)
        assert (net.passes == 0) == (method not in ("fullgrad", "lrp"))
        assert torch.equal(ours, pg.explain(net, x, target, method, "positive", contrast=contrast))
    assert len(records) == 2


@pytest.mark.parametrize("method", SHARING)
def test_a_class_that_does_not_exist_is_refused_though_a_pass_is_there(
    net: nets.Counted, x: Tensor, method: str
) -> None:
    records = Records()
    records.explain(net, x, 0, method)
    for asked in ({"target": 99}, {"target": 0, "contrast": 99}):
        with pytest.raises(ValueError, match="out of range"):
            records.explain(net, x, method=method, **asked)
    assert torch.equal(records.explain(net, x, 1, method), pg.explain(net, x, 1, method))


def test_all_that_decides_a_record_is_asked_for(net: nn.Module, x: Tensor) -> None:
    records = Records(most=100)
    other = nets.seeded(nets.batchnorm, 1)
    for network in (net, other):
        for photos in (x, x.flip(3)):
            for target in (0, [[0, 1]] * len(x)):
                for contrast in (None, "mean", 2):
                    for method, options in (("gradcam", {}), ("rectgrad", {"q": 0.5}), ("rectgrad", {"q": 0.9})):
                        ours = records.explain(network, photos, target, method, contrast=contrast, **options)
                        alone = pg.explain(network, photos, target, method, contrast=contrast, **options)
                        assert torch.equal(ours, alone)


def test_few_are_kept_and_none_is_kept_when_cleared(net: nn.Module, x: Tensor) -> None:
    records = Records(most=2)
    photos = [x.clone() for _ in range(5)]
    alive = [weakref.ref(photo) for photo in photos]
    for photo in photos:
        records.explain(net, photo, 0, "guided-backprop")
    del photo, photos
    gc.collect()
    assert len(records) == 2
    assert [ref() is not None for ref in alive] == [False, False, False, True, True]
    records.clear()
    gc.collect()
    assert not any(ref() is not None for ref in alive)


def test_a_network_in_training_mode_is_refused_though_its_record_is_there(net: nn.Module, x: Tensor) -> None:
    records = Records()
    records.explain(net, x, 0, "gradcam", "signed")
    net.train()
    with pytest.raises(ValueError, match="training mode"):
        records.explain(net, x, 0, "gradcam", "positive")


def test_a_contrast_that_reaches_no_record_is_refused(net: nn.Module, x: Tensor) -> None:
    class Outside(METHODS["gradcam"]):  # type: ignore[misc, name-defined]
        record_options = ()

        def record(self, net: nn.Module, x: Tensor, target: Tensor) -> Any:
            leaf = x.clone().requires_grad_()
            (grad,) = torch.autograd.grad(net(leaf)[:, 0].sum(), leaf)
            return leaf, [grad]

    assert Records().explain(net, x, 0, Outside).shape == x[:, 0].shape
    with pytest.raises(Exception, match="no contrast reaches it"):
        Records().explain(net, x, 0, Outside, contrast="mean")
