"""The ThresholdSlider, driven as a notebook cell drives it: the quantile, the switch, and two classes."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import posgrad_edu as pg
from posgrad_edu.viz import signed_number as number
from posgrad_edu.widgets import ThresholdSlider
from posgrad_edu.widgets.threshold_slider import QUANTILES, blocks


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier("efficientnet-lite0")


@pytest.fixture(scope="module")
def made(clf: pg.Classifier) -> ThresholdSlider:
    return ThresholdSlider(clf, "coffee", "espresso", "punching bag")


@pytest.fixture
def slider(made: ThresholdSlider) -> ThresholdSlider:
    """One slider for all tests, each time back at its start: the maps stay cached."""
    made.q.value, made.handling.value = 0.98, "positive"
    made.class_a.value, made.class_b.value = "espresso", "punching bag"
    return made


def sources(slider: ThresholdSlider) -> list[str]:
    return re.findall(r'src="([^"]+)"', slider.pictures.value)


def explained(clf: pg.Classifier, slider: ThresholdSlider, method: str, **options: object) -> torch.Tensor:
    return pg.explain(clf.net, clf.batch(pg.load_photo("coffee")), [list(slider.classes)], method, **options)[0]


def test_it_starts_as_published(slider: ThresholdSlider, clf: pg.Classifier) -> None:
    assert slider.labels == ("espresso", "punching bag")
    assert torch.equal(slider.maps, explained(clf, slider, "rectgrad"))
    assert tuple(q for _, q in slider.q.options) == QUANTILES


@pytest.mark.parametrize("handling", ["signed", "positive"])
@pytest.mark.parametrize("q", [0.5, 0.9])
@pytest.mark.slow
def test_maps_are_those_of_explain(slider: ThresholdSlider, clf: pg.Classifier, q: float, handling: str) -> None:
    slider.q.value, slider.handling.value = q, handling
    assert torch.equal(slider.maps, explained(clf, slider, "rectgrad", handling=handling, q=q))
    assert f"q = {q:g}, {handling}" in repr(slider)


def test_without_threshold_it_is_two_other_methods(slider: ThresholdSlider, clf: pg.Classifier) -> None:
    slider.q.value = 0.0
    for slider.handling.value, same, words in [
        ("positive", "guided-backprop", "Guided Backprop"),
        ("signed", "gradient", "the gradient"),
    ]:
        expected = explained(clf, slider, same)
        assert torch.allclose(slider.maps, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
        assert slider.setting.endswith(words)


def test_numbers_restate_the_maps(slider: ThresholdSlider) -> None:
    maps = slider.maps.double().numpy()
    left = [np.count_nonzero(m) / m.size for m in maps]
    assert slider.left == pytest.approx(left)
    assert slider.spearman == pytest.approx(spearmanr(*maps.reshape(2, -1)).statistic, abs=1e-6)
    coarse = np.abs(maps).reshape(2, 28, 8, 28, 8).mean((2, 4)).reshape(2, -1)
    assert slider.by_place == pytest.approx(spearmanr(*coarse).statistic, abs=1e-3)
    for words in (f"{left[0]:.0%}", f"{left[1]:.0%}", number(slider.spearman), number(slider.by_place)):
        assert words in slider.summary


@pytest.mark.slow
def test_a_higher_threshold_leaves_fewer_pixels(slider: ThresholdSlider) -> None:
    for slider.handling.value in ("signed", "positive"):
        left, shown = [], set()
        for q in (0.0, 0.9, 0.98, 0.995):
            slider.q.value = q
            left.append(slider.left)
            shown.add(sources(slider)[1])
        assert len(shown) == 4
        assert all(np.all(np.less(after, before)) for before, after in itertools.pairwise(left))


def test_the_switch_changes_map_number_and_sentence(slider: ThresholdSlider) -> None:
    before, number_before, said = sources(slider), slider.spearman, slider.summary
    slider.handling.value = "signed"
    after = sources(slider)
    assert len(before) == len(after) == 3
    assert before[0] == after[0]  # the photo
    assert before[1] != after[1]
    assert before[2] != after[2]
    assert slider.spearman < 0.2 < 0.5 < number_before
    assert slider.summary != said


def test_classes_can_be_chosen(slider: ThresholdSlider, clf: pg.Classifier) -> None:
    slider.class_b.value = "runner-up"
    assert slider.classes[1] == clf.runner_up(pg.load_photo("coffee"))
    assert slider.labels[1] in slider.summary
    slider.class_b.value = "espresso"
    assert "Choose another class B" in slider.summary
    assert len(sources(slider)) == 3
    assert "B: espresso" in slider.figure().alt


def test_both_maps_share_the_scale_that_is_written_below(slider: ThresholdSlider) -> None:
    for slider.handling.value in ("signed", "positive"):
        shown = re.search(r"Full colour at ±(\S+) in both maps of this setting", slider.pictures.value)
        assert shown is not None
        assert float(shown[1]) == pytest.approx(np.quantile(slider.maps.abs().double().numpy(), 0.995), rel=0.05)


def test_alt_texts_name_the_setting(slider: ThresholdSlider) -> None:
    alts = re.findall(r'alt="([^"]+)"', slider.pictures.value)
    assert "q = 0.98, positive" in alts[1]


def test_figure_shows_what_the_widget_shows(slider: ThresholdSlider) -> None:
    slider.handling.value = "signed"
    alt = slider.figure().alt
    assert "q = 0.98, signed" in alt
    assert "punching bag" in alt


def test_a_layer_too_small_for_the_threshold_leaves_nothing_and_it_is_said() -> None:
    """32 values: none exceeds the 98th percentile of them, which is the largest."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16 * 16, 32), nn.ReLU(), nn.Linear(32, 5)
    ).eval()
    small = pg.Classifier(net, pg.Preprocessing(size=16, resize=16), labels=list("abcde"))
    slider = ThresholdSlider(small, "cat")
    assert not slider.maps.any()
    assert slider.left == (0, 0)
    assert "zero everywhere" in slider.summary
    assert np.isnan(slider.spearman)
    slider.q.value = 0.5
    assert slider.maps.any(dim=2).any(dim=1).all()
    assert "Rank correlation" in slider.summary


def test_start_values_and_a_picture_of_ones_own(clf: pg.Classifier) -> None:
    slider = ThresholdSlider(clf, pg.load_photo("rocket"), "missile", 283, (0.7, 0.3), q=0.3, handling="signed")
    assert slider.classes == (clf.index("missile"), 283)
    assert [q for _, q in slider.q.options] == [0.3, 0.7]
    assert repr(slider).startswith("ThresholdSlider: RectGrad with q = 0.3, signed. Pixels left: missile")


def test_mistakes_are_refused_with_advice(clf: pg.Classifier) -> None:
    for arguments, says in [
        ({"class_b": "expresso"}, "Did you mean 'espresso'"),
        ({"photo": "cofee"}, "coffee"),
        ({"quantiles": [0.5, 1.0]}, "0 <= q < 1"),
        ({"quantiles": []}, "one or more"),
    ]:
        with pytest.raises(ValueError, match=says):
            ThresholdSlider(clf, **arguments)


def test_a_network_without_relus_is_refused_in_words() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    slider = ThresholdSlider(pg.Classifier(net, pg.Preprocessing(size=16, resize=16)), "cat")
    assert "silu" in slider.summary
    assert "silu" in slider.words.value
    assert slider.pictures.value == ""


def test_parts() -> None:
    maps = torch.zeros(1, 16, 8)
    maps[0, :8] = torch.tensor([1.0, -1.0]).repeat(8, 4)
    assert blocks(maps).flatten().tolist() == [1.0, 0.0]
