"""Similarity of maps and class sensitivity, each against its definition in plain form."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import nn

import posgrad_edu as pg
from posgrad_edu.similarity import compare

generator = torch.Generator().manual_seed(0)
MAP = torch.randn(16, 16, generator=generator)
OTHER = torch.randn(16, 16, generator=generator)


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of the ranks they take up."""
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


@pytest.mark.parametrize("rounded", [False, True], ids=["no ties", "ties"])
def test_spearman_is_the_correlation_of_ranks(rounded: bool) -> None:
    a, b = (MAP.round(), (MAP + OTHER).round()) if rounded else (MAP, MAP + OTHER)
    expected = np.corrcoef(ranks(a.flatten().numpy()), ranks(b.flatten().numpy()))[0, 1]
    assert compare(a, b).spearman == pytest.approx(expected, abs=1e-12)


def test_a_reversed_map_differs_in_sign_only() -> None:
    reversed_ = compare(MAP, -MAP)
    assert reversed_.spearman == pytest.approx(-1)
    assert reversed_.spearman_abs == pytest.approx(1)


def test_order_is_all_that_counts() -> None:
    assert compare(MAP, MAP**3 * 100).spearman == pytest.approx(1)


def test_ssim_scales_each_map_to_0_1() -> None:
    unit = [((m - m.min()) / (m.max() - m.min())).double().numpy() for m in (MAP, OTHER)]
    assert compare(MAP, OTHER).ssim == pytest.approx(structural_similarity(*unit, data_range=1), abs=1e-6)
    assert compare(MAP, MAP * 3 - 1).ssim == pytest.approx(1)


def test_a_constant_map_is_flagged_and_not_given_a_number() -> None:
    result = compare(MAP, torch.zeros(16, 16))
    assert result.degenerate
    assert math.isnan(result.spearman)
    assert not compare(MAP, OTHER).degenerate


def test_maps_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        compare(MAP, MAP[:8])


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(1)
    body = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).double().eval()


PHOTOS = torch.randn(4, 3, 16, 16, generator=generator, dtype=torch.float64)


def test_class_sensitivity_compares_the_most_with_the_least_likely_class(net: nn.Module) -> None:
    table = pg.class_sensitivity(net, PHOTOS, method="gradcam", handling="positive")
    logits = net(PHOTOS)
    assert table.photo.tolist() == [0, 1, 2, 3]
    assert table.target.tolist() == logits.argmax(1).tolist()
    assert table.other.tolist() == logits.argmin(1).tolist()
    for row in table.itertuples():
        maps = [pg.explain(net, PHOTOS[[row.photo]], c, "gradcam", "positive")[0] for c in (row.target, row.other)]
        assert row.spearman == pytest.approx(compare(*maps).spearman, abs=1e-6)
        assert row.spearman_abs == pytest.approx(compare(*maps).spearman_abs, abs=1e-6)


def test_the_other_class_can_be_chosen(net: nn.Module) -> None:
    second = net(PHOTOS).sort(dim=1, descending=True).indices[:, 1]
    assert pg.class_sensitivity(net, PHOTOS, "gradient", other="runner-up").other.tolist() == second.tolist()
    chosen = pg.class_sensitivity(net, PHOTOS, "gradient", target=[0, 1, 2, 3], other=4)
    assert chosen[["target", "other"]].to_numpy().tolist() == [[0, 4], [1, 4], [2, 4], [3, 4]]


def test_options_reach_the_method(net: nn.Module) -> None:
    early = pg.class_sensitivity(net, PHOTOS, "gradcam", layer="0")
    late = pg.class_sensitivity(net, PHOTOS, "gradcam", layer="3")
    assert isinstance(early, pd.DataFrame)
    assert not np.allclose(early.spearman, late.spearman)


def test_degenerate_maps_are_counted(net: nn.Module) -> None:
    with torch.no_grad():
        silent = nn.Sequential(*net[:4], nn.Threshold(1e9, 0.0), *net[4:]).eval()
    table = pg.class_sensitivity(silent, PHOTOS, "gradcam", target=0, other=1)
    assert len(table) == 4
    assert table.degenerate.all()
    assert table.spearman.isna().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 1, "other": 1}, "compared with itself"),
        ({"other": "leats"}, "Did you mean 'least'"),
        ({"target": 7}, "out of range"),
    ],
)
def test_what_makes_no_sense_is_refused(net: nn.Module, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pg.class_sensitivity(net, PHOTOS, "gradient", **options)
