"""What isn't said is as the documentation says: each measure without options against the same with all of them."""

from __future__ import annotations

import inspect
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn
from torchvision.transforms.functional import gaussian_blur

import posgrad_edu as pg
from posgrad_edu.methods import Gradient, InputXGradient
from posgrad_edu.metrics import perturbation, perturbation_areas
from posgrad_edu.metrics.complexity import complexity_sensitivity
from posgrad_edu.metrics.perturbation import covered, logit_contrast, patch_ranks, removed
from posgrad_edu.metrics.randomization import randomizable_layers, randomized, randomized_steps, steps, with_random
from posgrad_edu.metrics.sensitivity import random_classes

PHOTOS = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
MODULE: Any = inspect.getmodule(perturbation)  # the function has the name of its module


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(1)
    body = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU()
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 5)).eval()


def test_sensitivity(net: nn.Module) -> None:
    same = pd.testing.assert_frame_equal
    same(pg.class_sensitivity(net, PHOTOS), pg.class_sensitivity(net, PHOTOS, "gradcam", None, None, "least"))
    said = {"mode": "cascading", "seeds": (0, 1, 2), "depths": [1, 2, 3], "batchnorm": "keep"}
    same(pg.parameter_sensitivity(net, PHOTOS), pg.parameter_sensitivity(net, PHOTOS, "gradcam", **said))
    other = with_random(net, ["7"])
    same(pg.data_sensitivity(net, other, PHOTOS), pg.data_sensitivity(net, other, PHOTOS, "gradcam"))
    boxes, classes = [[(0, 0, 9, 9)]] * 2, [[1], [2]]
    same(pg.localization(net, PHOTOS, boxes, classes), pg.localization(net, PHOTOS, boxes, classes, "gradcam"))
    same(complexity_sensitivity(net, PHOTOS), complexity_sensitivity(net, PHOTOS, "gradcam", seeds=(0, 1, 2), bins=100))


def test_perturbation(net: nn.Module) -> None:
    said = {"other": "least", "scored": "mean", "baseline": "mean", "patch": 8, "steps": 16, "seed": 0}
    table = perturbation(net, PHOTOS)
    pd.testing.assert_frame_equal(table, perturbation(net, PHOTOS, "gradcam", **said, progress=False))
    assert len(table) == 2 * 2 * 4 * 17


def test_no_more_pictures_at_once_than_said(net: nn.Module) -> None:
    seen: list[int] = []
    counted = net.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    perturbation(net, PHOTOS, "edges", progress=False)
    counted.remove()
    assert max(seen) == 16


def test_the_seed_orders_what_is_alike(net: nn.Module) -> None:
    blank = torch.zeros_like(PHOTOS)
    blank[:, :, :8, :8] = PHOTOS[:, :, :8, :8]
    first, again, other = (perturbation(net, blank, "edges", patch=4, steps=9, seed=seed) for seed in (0, 0, 1))
    assert first.equals(again)
    for order in ("own", "random"):  # the photo's edges are alike in most places
        assert not first[first.order == order].equals(other[other.order == order])


def test_a_bar_counts_the_photos(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Bar:
        def __init__(self, **options: Any) -> None:
            seen.append(options)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *error: object) -> None:
            seen.append("closed")

        def update(self) -> None:
            seen.append(1)

    monkeypatch.setattr(MODULE, "bar", Bar)
    perturbation(net, PHOTOS, "edges")
    options = {"what": "covering", "total": 2, "delay": 2, "leave": False}
    assert seen == [options | {"disable": False}, 1, 1, "closed"]
    perturbation(net, PHOTOS, "edges", progress=False)
    assert seen[4] == options | {"disable": True}


def test_photos_are_covered_with_their_mean_colour() -> None:
    assert torch.equal(covered(PHOTOS), PHOTOS.mean((2, 3), keepdim=True).expand_as(PHOTOS))
    maps = torch.randn(2, 40, 40, generator=torch.Generator().manual_seed(1))
    assert torch.equal(removed(PHOTOS, maps, 0.3), removed(PHOTOS, maps, 0.3, "mean", 8, 0))
    assert logit_contrast(torch.tensor([[1.0, 2.0, 6.0]]), 2).item() == 3


@pytest.mark.parametrize(("size", "width"), [((64, 48), 25), ((40, 40), 17), ((6, 40), 11), ((16, 16), 7)])
def test_a_blur_is_as_wide_as_the_longer_side_says_and_no_wider_than_fits(size: tuple[int, int], width: int) -> None:
    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    expected = gaussian_blur(x, [width, width], [max(size) / 16] * 2)
    torch.testing.assert_close(covered(x, "blur"), expected)


def test_patch_ranks_are_of_pixels_and_ties_of_seed_0() -> None:
    saliency = torch.tensor([[3.0, 1.0], [2.0, 2.0]])
    assert torch.equal(patch_ranks(saliency), patch_ranks(saliency, 1, 0))
    assert patch_ranks(saliency)[0].tolist() == [0, 3]
    blank = torch.zeros(8, 8)
    assert torch.equal(patch_ranks(blank), patch_ranks(blank, seed=0))
    assert not torch.equal(patch_ranks(blank), patch_ranks(blank, seed=1))
    assert not patch_ranks(blank).requires_grad


def test_patches_at_the_rim_are_cut() -> None:
    saliency = torch.zeros(5, 7)
    saliency[4, 6] = 1.0  # alone in a patch of 2 x 1 pixels, 1 x 1 of them there
    found = patch_ranks(saliency, 3)
    assert (found[3:, 6:] == 0).all()
    assert found.shape == (5, 7)
    assert found.unique().tolist() == list(range(6))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"patch": 41}, "^patch is a side in pixels from 1 to 40, not 41"),
        ({"patch": 20, "steps": 5}, "^steps is 2 to 4, the number of patches, not 5"),
        ({"steps": 1}, "^steps is 2 to 25"),
        ({"at_once": 0}, "^at_once is 1 or more pictures, not 0"),
        ({"target": 3, "other": 3}, "^target and other are one class, for photo 0"),
        ({"target": [0, 3], "other": 3}, "^target and other are one class, for photo 1"),
    ],
)
def test_what_is_out_of_bounds_is_named(net: nn.Module, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        perturbation(net, PHOTOS, "edges", **options)


def test_the_bounds_themselves_are_served(net: nn.Module) -> None:
    whole = perturbation(net, PHOTOS, "edges", patch=20, steps=4, at_once=1)
    assert whole.share.unique().tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert perturbation(net, PHOTOS, "edges", patch=20, steps=2).share.unique().tolist() == [0, 0.5, 1]
    assert len(perturbation(net, PHOTOS[..., :8], "edges", patch=8, steps=2)) == 2 * 2 * 4 * 3
    for share in (0.0, 1.0):
        removed(PHOTOS, PHOTOS[:, 0], share)


def test_random_layers_and_classes(net: nn.Module) -> None:
    names = ["7", "3", "0"]
    assert randomizable_layers(net, PHOTOS) == names
    first = with_random(net, names).state_dict()
    zero, one = (with_random(net, names, seed).state_dict() for seed in (0, 1))
    assert all(torch.equal(value, zero[name]) for name, value in first.items())
    assert not torch.equal(zero["7.weight"], one["7.weight"])
    assert torch.equal(randomized(net, 3).state_dict()["7.weight"], zero["7.weight"])
    (*_, (step, last)) = randomized_steps(net, steps(names))
    assert step.random == tuple(names)
    assert torch.equal(last.state_dict()["0.weight"], zero["0.weight"])
    taken = torch.tensor([[1]])
    assert torch.equal(random_classes(taken, 1000, 5), random_classes(taken, 1000, 5, 0))
    assert not torch.equal(random_classes(taken, 1000, 5), random_classes(taken, 1000, 5, 1))


def test_areas_come_in_the_order_of_the_curves(net: nn.Module) -> None:
    methods = {"z": Gradient(), "a": InputXGradient()}
    table = perturbation(net, PHOTOS, methods, patch=20, steps=2, target=[1, 0], other=[0, 1])
    areas = perturbation_areas(table)
    assert list(areas) == [
        *("method", "photo", "target", "other", "mode", "auc", "auc_other", "auc_random", "auc_edges"),
        *("advantage", "degenerate"),
    ]
    found = list(areas[["method", "photo", "target", "mode"]].itertuples(index=False, name=None))
    modes = ("deletion", "insertion")
    assert found == [(label, n, 1 - n, mode) for label in "za" for n in (0, 1) for mode in modes]
    assert list(perturbation_areas(table.drop(columns="method")[table.method == "a"])["mode"]) == [*modes] * 2
    backwards = perturbation_areas(table[::-1])
    assert list(backwards.method) == ["a"] * 4 + ["z"] * 4
    assert backwards.auc[::-1].tolist() == pytest.approx(areas.auc.tolist(), nan_ok=True)
