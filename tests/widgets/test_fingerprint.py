"""A fingerprint changes with what a classifier's answers depend on, and with nothing else."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import networks
import pytest
import torch
from torch import nn

import posgrad_edu as pg
from posgrad_edu.widgets import Explorer
from posgrad_edu.widgets.fingerprint import fingerprint

PHOTO = pg.load_photo("cat")


def make() -> pg.Classifier:
    return pg.Classifier(networks.seeded(networks.batchnorm), pg.Preprocessing(size=16, resize=16))


def layer(net: nn.Module, kind: type[nn.Module]) -> Any:
    return next(module for module in net.modules() if isinstance(module, kind))


def replace(net: nn.Module, kind: type[nn.Module], new: nn.Module) -> None:
    name = next(name for name, module in net.named_modules() if isinstance(module, kind))
    parent, _, own = name.rpartition(".")
    setattr(net.get_submodule(parent), own, new)


def train_a_step(net: nn.Module) -> None:
    net.train()
    with torch.no_grad():
        net(torch.randn(2, 3, 16, 16, dtype=torch.float64))
    net.eval()


def swap_two_classes(net: nn.Module) -> None:
    weight = layer(net, nn.Linear).weight.data
    weight[[0, 1]] = weight[[1, 0]]


def without_autograd(net: nn.Module) -> None:
    with torch.no_grad():
        layer(net, nn.Conv2d).weight[0, 0, 0, 0] += 1e-3


def through_numpy(net: nn.Module) -> None:
    layer(net, nn.Linear).weight.detach().numpy()[1, 2] *= -1


# In places that PyTorch counts, and in places that it doesn't.
NEW_VALUES: dict[str, Callable[[nn.Module], Any]] = {
    "optimizer's step": lambda net: layer(net, nn.Conv2d).weight.detach().add_(1e-3),
    "one weight under no_grad": without_autograd,
    "one weight's sign, through .data": lambda net: layer(net, nn.Conv2d).weight.data.view(-1)[3:4].neg_(),
    "one weight's sign, through NumPy": through_numpy,
    "two classes swapped": swap_two_classes,
    "statistics of a BatchNorm": train_a_step,
    "weights loaded": lambda net: net.load_state_dict(networks.seeded(networks.batchnorm, 1).state_dict()),
}
CHANGES: dict[str, Callable[[nn.Module], Any]] = {
    **NEW_VALUES,
    "training mode": lambda net: net.train(),
    "training mode of one layer": lambda net: layer(net, nn.BatchNorm2d).train(),
    "another activation": lambda net: replace(net, nn.ReLU, nn.GELU()),
    "a number": lambda net: setattr(layer(net, nn.BatchNorm2d), "eps", 0.1),
    "a hook": lambda net: layer(net, nn.Conv2d).register_forward_hook(lambda module, args, output: 2 * output),
    "a forward pass put over it": lambda net: setattr(layer(net, nn.ReLU), "forward", torch.tanh),
    "another precision": lambda net: net.float(),
    "a layer more": lambda net: net.add_module("more", nn.Identity()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_noticed(change: Callable[[nn.Module], Any]) -> None:
    clf = make()
    before = fingerprint(clf)
    assert fingerprint(clf).same_as(before)
    change(clf.net)
    assert not fingerprint(clf).same_as(before)


@pytest.mark.parametrize("change", NEW_VALUES.values(), ids=NEW_VALUES)
def test_no_old_map_is_shown_under_new_weights(change: Callable[[nn.Module], Any]) -> None:
    lab = Explorer(make(), ["cat"], method="gradient", handling="signed")
    lab.handling.value = "positive"
    change(lab.clf.net)
    for handling in ("signed", "positive"):  # both were shown before
        lab.handling.value = handling
        fresh = Explorer(lab.clf, ["cat"], method="gradient", handling=handling)
        assert not lab._failed
        assert torch.equal(lab.maps, fresh.maps)
        assert (lab.summary, lab.pictures.value) == (fresh.summary, fresh.pictures.value)


def test_all_looks_share_one_copy_of_the_weights_which_goes_with_them() -> None:
    clf = make()
    looks = [fingerprint(clf) for _ in range(3)]
    assert looks[0].weights is looks[1].weights is looks[2].weights
    layer(clf.net, nn.Linear).weight.data[0] = 0
    later = fingerprint(clf)
    changed = {key for key, values in later.weights.items() if values is not looks[0].weights[key]}
    assert {own for _, own in changed} == {"weight"}
    assert len(changed) == 1  # the rest isn't kept twice
    panel = Explorer(clf, ["cat"])
    assert panel.known is not None
    copy = weakref.ref(panel.known.weights)
    del looks, later
    assert fingerprint(clf).weights is copy()
    panel.close()
    gc.collect()
    assert copy() is None


def test_another_network_or_preprocessing_is_noticed() -> None:
    clf = make()
    before = fingerprint(clf)
    clf.preprocess = pg.Preprocessing(size=8, resize=8)
    assert not fingerprint(clf).same_as(before)
    clf = make()
    before = fingerprint(clf)
    clf.net = networks.seeded(networks.plain)
    assert not fingerprint(clf).same_as(before)
    assert not before.same_as(None)


def test_use_is_no_change() -> None:
    clf = make()
    before = fingerprint(clf)
    clf.logits(PHOTO)
    for method in ("gradient", "gradcam", "guided-backprop", "fullgrad", "lrp"):
        clf.explain(PHOTO, 0, method)
    assert fingerprint(clf).same_as(before)  # though clf has looked for its cam_layer


def test_another_layer_for_cams_is_noticed_once_one_was_used() -> None:
    clf = make()
    first = fingerprint(clf)
    assert clf.cam_layer
    used = first.with_layer(clf)
    assert fingerprint(clf).same_as(used)
    clf.cam_layer = next(name for name, module in clf.net.named_modules() if isinstance(module, nn.Conv2d))
    assert not fingerprint(clf).same_as(used)


def test_forward_passes_put_over_it_one_after_another_are_told_apart() -> None:
    clf = make()
    relu = next(module for module in clf.net.modules() if isinstance(module, nn.ReLU))
    seen = []
    for factor in range(20):
        relu.forward = lambda z, factor=factor: factor * z
        seen.append(fingerprint(clf))
        del relu.forward
    assert not any(one.same_as(other) for n, one in enumerate(seen) for other in seen[:n])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.bool, torch.complex64])
def test_buffers_of_any_type_are_compared(dtype: torch.dtype) -> None:
    clf = make()
    clf.net.register_buffer("own", torch.ones(3, 2).to(dtype).t())
    before = fingerprint(clf)
    assert fingerprint(clf).same_as(before)
    clf.net.get_buffer("own")[1, 2] = 0
    assert not fingerprint(clf).same_as(before)


def test_sparse_empty_and_uninitialized_tensors_are_no_error() -> None:
    clf = make()
    clf.net.register_buffer("sparse", torch.eye(3).to_sparse())
    clf.net.register_buffer("empty", torch.empty(0, 3))
    clf.net.register_buffer("meta", torch.empty(2, device="meta"))
    clf.net.add_module("lazy", nn.LazyLinear(2))
    assert fingerprint(clf).same_as(fingerprint(clf))
