"""Deletion and insertion curves: against their definition in plain form, a linear model's formula, and Quantus."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import numpy as np
import pytest
import quantus
import torch
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.methods import GradCAM, Gradient, InputXGradient
from posgrad_edu.metrics import perturbation as face  # the function: the module has its name
from posgrad_edu.metrics.perturbation import BASELINES, PERTURBATIONS, covered, logit_contrast, patch_ranks, removed

SIZE = 12
generator = torch.Generator().manual_seed(0)
PHOTOS = torch.randn(3, 1, SIZE, SIZE, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(1)
    body = nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5)).double().eval()


def linear() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(SIZE**2, 4, bias=False)).double().eval()


def plain_curve(net: nn.Module, photo: Tensor, hidden: Tensor, saliency: Tensor, patch: int, steps: int) -> Any:
    """The definition, pixel by pixel and one picture after another; returns the scores of deletion and insertion."""
    cells = [(top, left) for top in range(0, SIZE, patch) for left in range(0, SIZE, patch)]
    cells.sort(key=lambda cell: -float(saliency[cell[0] : cell[0] + patch, cell[1] : cell[1] + patch].sum()))
    curves: dict[str, list[Tensor]] = {"deletion": [], "insertion": []}
    for step in range(steps + 1):
        count = round(len(cells) * step / steps)
        for mode, scores in curves.items():
            picture, other = (photo.clone(), hidden) if mode == "deletion" else (hidden.clone(), photo)
            for top, left in cells[:count]:
                picture[:, top : top + patch, left : left + patch] = other[:, top : top + patch, left : left + patch]
            scores.append(net(picture[None])[0])
    return {mode: torch.stack(scores) for mode, scores in curves.items()}


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(("patch", "steps"), [(1, 12), (3, 5), (5, 4)], ids=["pixels", "squares", "cut squares"])
def test_curves_are_their_definition(net: nn.Module, baseline: str, patch: int, steps: int) -> None:
    photos = PHOTOS[:2]
    table = pg.perturbation(net, photos, "gradcam", layer="0", baseline=baseline, patch=patch, steps=steps, at_once=7)
    hidden = covered(photos, baseline)
    for n, photo in enumerate(photos):
        logits = net(photo[None])[0]
        for order, asked in (("own", logits.argmax()), ("other", logits.argmin())):
            saliency = pg.explain(net, photo[None], int(asked), "gradcam", layer="0")[0]
            curves = plain_curve(net, photo, hidden[n], saliency, patch, steps)
            for mode in PERTURBATIONS:
                some = table[(table.photo == n) & (table.order == order) & (table["mode"] == mode)]
                expected = curves[mode][:, logits.argmax()] - curves[mode].mean(1)
                np.testing.assert_allclose(some.score, expected.detach(), atol=1e-12)
                whole, nothing = sorted(expected[[0, -1]].tolist(), reverse=True)
                if not some.degenerate.any():
                    np.testing.assert_allclose(some.kept, (some.score - nothing) / (whole - nothing), atol=1e-12)


@pytest.mark.parametrize("contrast", [None, "mean", 3])
def test_a_linear_models_curve_is_a_sum_of_sorted_contributions(contrast: str | int | None) -> None:
    net = linear()
    weights = net[1].weight.detach()
    shift = {None: 0, "mean": weights.mean(0), 3: weights[3]}[contrast]
    for target in range(3):
        parts = (PHOTOS.flatten(1) * (weights[target] - shift)).numpy()
        rank = np.argsort(-(PHOTOS.flatten(1) * weights[target]).numpy(), axis=1)
        gone = np.take_along_axis(parts, rank, 1).cumsum(1)[:, 8::9]
        table = pg.perturbation(
            net,
            PHOTOS,
            "input-x-gradient",
            target=target,
            other=3,
            scored=contrast,
            baseline="zero",
            patch=1,
            steps=16,
        )
        own = table[table.order == "own"]
        for n in range(len(PHOTOS)):
            deletion = own[(own.photo == n) & (own["mode"] == "deletion")].score.to_numpy()
            insertion = own[(own.photo == n) & (own["mode"] == "insertion")].score.to_numpy()
            np.testing.assert_allclose(deletion, parts[n].sum() - np.array([0, *gone[n]]), atol=1e-12)
            np.testing.assert_allclose(insertion, [0, *gone[n]], atol=1e-12)


def test_no_order_beats_the_contributions_of_a_linear_model() -> None:
    net = linear()
    table = pg.perturbation(net, PHOTOS, "input-x-gradient", scored=None, baseline="zero", patch=1, steps=48)
    wide = table[~table.degenerate].pivot(index=["photo", "mode", "share"], columns="order", values="score")
    assert len(wide)
    for order in ("other", "random", "edges"):
        assert (wide.own <= wide[order] + 1e-9).loc[:, "deletion"].all()
        assert (wide.own >= wide[order] - 1e-9).loc[:, "insertion"].all()
    areas = pg.perturbation_areas(table)
    assert (areas.advantage[~areas.degenerate] > 0).all()


def quantus_scores(metric: Any, net: nn.Module) -> np.ndarray:
    """Quantus' scores of gradient maps for the most likely class; Quantus works in float32."""
    target = net(PHOTOS).argmax(1)
    maps = pg.explain(net, PHOTOS, target, "gradient")
    inputs = {"x_batch": PHOTOS.float().numpy(), "y_batch": target.numpy(), "a_batch": maps.unsqueeze(1).numpy()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array(metric(model=copy.deepcopy(net).float(), **inputs, softmax=False, device="cpu"))


OPTIONS: dict[str, Any] = {"normalise": False, "abs": False, "perturb_baseline": 0.0, "disable_warnings": True}


def deletions(table: Any) -> np.ndarray:
    own = table[(table.order == "own") & (table["mode"] == "deletion")]
    return own.score.to_numpy().reshape(len(PHOTOS), -1)


def test_pixels_as_quantus_flips_them(net: nn.Module) -> None:
    theirs = quantus_scores(quantus.PixelFlipping(features_in_step=SIZE, **OPTIONS), net)
    ours = pg.perturbation(net, PHOTOS, "gradient", scored=None, baseline="zero", patch=1, steps=SIZE)
    np.testing.assert_allclose(deletions(ours)[:, 1:], theirs, atol=1e-6)


def test_regions_as_quantus_perturbs_them(net: nn.Module) -> None:
    metric = quantus.RegionPerturbation(patch_size=4, regions_evaluation=9, order="morf", **OPTIONS)
    theirs = quantus_scores(metric, net)
    ours = deletions(pg.perturbation(net, PHOTOS, "gradient", scored=None, baseline="zero", patch=4, steps=9))
    np.testing.assert_allclose(ours[:, :1] - ours[:, 1:], theirs, atol=1e-6)


def test_areas_are_those_under_the_curves(net: nn.Module) -> None:
    table = pg.perturbation(net, PHOTOS, "gradcam", layer="0", patch=2, steps=9)
    areas = pg.perturbation_areas(table)
    assert areas.photo.tolist() == [0, 0, 1, 1, 2, 2]
    for row in areas.itertuples():
        some = table[(table.photo == row.photo) & (table["mode"] == row.mode)]
        expected = {
            order: np.sum(np.diff(curve.share) * (curve.kept.to_numpy()[1:] + curve.kept.to_numpy()[:-1]) / 2)
            for order, curve in some.groupby("order")
        }
        if not row.degenerate:
            got = {"own": row.auc, "other": row.auc_other, "random": row.auc_random, "edges": row.auc_edges}
            assert got == pytest.approx(expected)
            sign = 1 if row.mode == "insertion" else -1
            assert row.advantage == pytest.approx(sign * (row.auc - row.auc_other))
        else:
            assert math.isnan(row.advantage)
    assert not areas.degenerate.all()


def test_maps_of_two_classes_that_are_alike_have_no_advantage(net: nn.Module) -> None:
    areas = pg.perturbation_areas(pg.perturbation(net, PHOTOS, "edges", patch=2, steps=9))
    alike = areas[~areas.degenerate]
    assert (alike.advantage == 0).all()
    assert (alike.auc == alike.auc_edges).all()


def test_a_constant_map_orders_nothing(net: nn.Module) -> None:
    silent = nn.Sequential(*net[:4], nn.Threshold(1e9, 0.0), *net[4:]).eval()
    table = pg.perturbation(silent, PHOTOS, "gradcam", target=0, other=1, patch=2, steps=4)
    own = table[table.order == "own"]
    assert own.degenerate.all()
    assert own.kept.isna().all()
    assert pg.perturbation_areas(table).degenerate.all()


def test_a_photo_whose_covering_takes_nothing_away_is_flagged(net: nn.Module) -> None:
    logits = net(PHOTOS)
    table = pg.perturbation(net, PHOTOS, "gradient", target=logits.argmin(1), other="runner-up", patch=2, steps=4)
    for n in range(len(PHOTOS)):
        ends = table[(table.photo == n) & (table["mode"] == "deletion") & (table.order == "random")]
        assert ends.degenerate.eq(ends.score.iloc[0] <= ends.score.iloc[-1]).all()
    assert table.degenerate.any()


def test_several_methods_share_their_passes(net: nn.Module) -> None:
    seen: list[int] = []
    counted = net.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    methods = {"one": Gradient(), "again": Gradient(), "third": InputXGradient()}
    options: dict[str, Any] = {"patch": 2, "steps": 6, "at_once": 5, "progress": False}
    table = pg.perturbation(net, PHOTOS, methods, **options)
    counted.remove()
    orders = 2 * 2 + 2  # own and other of two that differ, random and edges
    assert sum(n for n in seen) < len(PHOTOS) * (orders * 2 * 5 + 20)
    assert max(seen) <= 5
    for label, method in methods.items():
        alone = pg.perturbation(net, PHOTOS, method, **options)
        together = table[table.method == label].drop(columns="method").reset_index(drop=True)
        np.testing.assert_allclose(together.score, alone.score, atol=1e-12)
        assert together.drop(columns=["score", "kept"]).equals(alone.drop(columns=["score", "kept"]))


def test_a_photo_alone_has_the_curves_it_has_in_company(net: nn.Module) -> None:
    together = pg.perturbation(net, PHOTOS, "gradient", patch=3, steps=4)
    alone = pg.perturbation(net, PHOTOS[2:], "gradient", patch=3, steps=4)
    np.testing.assert_allclose(together[together.photo == 2].score, alone.score, atol=1e-12)


def test_patches_that_are_alike_come_in_a_random_order() -> None:
    flat = patch_ranks(torch.zeros(8, 8), patch=2)
    assert flat.unique().tolist() == list(range(16))
    assert flat[::2, ::2].flatten().tolist() != list(range(16))
    assert torch.equal(flat, patch_ranks(torch.zeros(8, 8), patch=2))
    assert not torch.equal(flat, patch_ranks(torch.zeros(8, 8), patch=2, seed=1))


def test_the_most_important_quarter_is_removed() -> None:
    maps = torch.arange(SIZE**2).reshape(1, SIZE, SIZE).repeat(3, 1, 1).double()
    assert torch.equal(removed(PHOTOS, maps, 0.25, "zero", patch=1)[:, :, :9], PHOTOS[:, :, :9])
    assert (removed(PHOTOS, maps, 0.25, "zero", patch=1)[:, :, 9:] == 0).all()
    assert torch.equal(removed(PHOTOS, maps, 0), PHOTOS)
    assert torch.equal(removed(PHOTOS, maps, 1, "blur"), covered(PHOTOS, "blur"))
    with pytest.raises(ValueError, match="share"):
        removed(PHOTOS, maps, 25)


def test_what_photos_are_covered_with() -> None:
    assert torch.equal(covered(PHOTOS, "zero"), torch.zeros_like(PHOTOS))
    assert torch.allclose(covered(PHOTOS, "mean"), PHOTOS.mean((2, 3), keepdim=True))
    large = torch.randn(1, 3, 64, 48, generator=generator)
    blurred = covered(large, "blur")
    assert blurred.shape == large.shape
    assert blurred.std() < 0.15 * large.std()


def test_contrast_is_what_no_shift_of_all_logits_changes() -> None:
    logits = torch.tensor([[1.0, 2.0, 6.0]])
    assert logit_contrast(logits, 2).item() == 3
    assert logit_contrast(logits + 100, 2).item() == 3
    assert logit_contrast(logits, 2, contrast=0).item() == 5
    assert logit_contrast(logits, 2, contrast=None).item() == 6
    with pytest.raises(ValueError, match=r"no contrast 'meen'\. Did you mean 'mean'"):
        logit_contrast(logits, 2, contrast="meen")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"baseline": "gray"}, "baseline"),
        ({"patch": 0}, "patch is a side in pixels from 1 to 12"),
        ({"patch": 4, "steps": 10}, "2 to 9"),
        ({"at_once": 0}, "at_once"),
        ({"contrast": "meen"}, "contrast"),
        ({"contrast": 5}, "5 classes"),
        ({"target": 1, "other": 1}, "one class"),
        ({"other": "most"}, "class to compare with"),
    ],
)
def test_what_makes_no_sense_is_refused(net: nn.Module, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pg.perturbation(net, PHOTOS, "gradient", **{"patch": 2, "steps": 4, **options})


def test_the_method_is_chosen_as_everywhere(net: nn.Module) -> None:
    named = face(net, PHOTOS, "gradcam", "positive", layer="0", patch=2, steps=4)
    made = face(net, PHOTOS, GradCAM("positive", layer="0"), patch=2, steps=4)
    assert named.equals(made)
    assert "method" not in named
