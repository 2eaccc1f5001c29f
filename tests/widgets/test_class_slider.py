"""The ClassSlider, driven as a notebook cell drives it: places in the ranking, and where signs are dropped."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import posgrad_edu as pg
from posgrad_edu.widgets import ClassSlider
from posgrad_edu.widgets.class_slider import some_places


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier("efficientnet-lite0")


@pytest.fixture(scope="module")
def made(clf: pg.Classifier) -> ClassSlider:
    return ClassSlider(clf, "coffee")


@pytest.fixture
def slider(made: ClassSlider) -> ClassSlider:
    """One slider for all tests, each time back at its start: the maps stay cached."""
    made.rank.value, made.method.value, made.handling.value = 2, "gradient", "signed"
    return made


@pytest.fixture(scope="module")
def ranking(clf: pg.Classifier) -> list[int]:
    with torch.no_grad():
        logits = clf.net(clf.batch(pg.load_photo("coffee")))[0].tolist()
    return sorted(range(1000), key=lambda c: -logits[c])


def pictures(slider: ClassSlider) -> list[str]:
    return re.findall(r'src="([^"]+)"', slider.pictures.value)


def plain_gradient(clf: pg.Classifier, c: int) -> torch.Tensor:
    """The definition: autograd, colours added up."""
    x = clf.batch(pg.load_photo("coffee")).requires_grad_()
    clf.net(x)[0, c].backward()
    assert x.grad is not None
    return x.grad.sum(1)[0]


def test_it_starts_at_the_runner_up(slider: ClassSlider, ranking: list[int]) -> None:
    assert slider.classes == (ranking[0], ranking[1])
    assert slider.labels == ("espresso", "cup")
    assert len(pictures(slider)) == 3
    assert "most likely: espresso" in slider.pictures.value
    assert "place 2: cup" in slider.pictures.value


@pytest.mark.parametrize("rank", [1, 3, 1000])
def test_maps_are_the_gradients_of_the_classes_at_these_places(
    slider: ClassSlider, clf: pg.Classifier, ranking: list[int], rank: int
) -> None:
    slider.rank.value = rank
    expected = torch.stack([plain_gradient(clf, ranking[0]), plain_gradient(clf, ranking[rank - 1])])
    for handling, handle in {
        "signed": lambda m: m,
        "positive": lambda m: m.clamp(min=0),
        "absolute": torch.abs,
    }.items():
        slider.handling.value = handling
        assert torch.allclose(slider.maps, handle(expected), atol=1e-5)
        number = spearmanr(*handle(expected).flatten(1).numpy()).statistic
        assert slider.spearman == pytest.approx(number, abs=0.01)
    if rank > 1:
        assert f"{slider.spearman:+.2f}" in slider.summary  # absolute: never negative here


def test_guided_backprop_is_clipped_inside(slider: ClassSlider, clf: pg.Classifier) -> None:
    slider.rank.value, slider.method.value = 1000, "guided-backprop"
    assert slider.inside
    assert slider.spearman < 0
    slider.handling.value = "positive"
    target = torch.tensor([slider.classes])
    expected = pg.explain(clf.net, clf.batch(pg.load_photo("coffee")), target, "guided-backprop")[0]
    assert torch.allclose(slider.maps, expected, atol=1e-5)
    assert slider.spearman > 0.95
    assert "The same map" in slider.summary
    assert "positive at each ReLU" in repr(slider)
    slider.method.value = "gradient"
    assert not slider.inside
    assert slider.spearman < 0.5
    assert "positive in the finished map" in repr(slider)


def test_the_absolute_value_hides_a_reversal(slider: ClassSlider) -> None:
    slider.rank.value = 1000
    assert slider.spearman < -0.1
    assert "reversed" in slider.summary
    assert "−" in slider.summary
    before = pictures(slider)
    slider.handling.value = "absolute"
    assert slider.spearman > 0.3
    assert "reversed" not in slider.summary
    assert pictures(slider) != before


def test_input_x_gradient_is_the_product(slider: ClassSlider, clf: pg.Classifier) -> None:
    slider.method.value = "input-x-gradient"
    x = clf.batch(pg.load_photo("coffee"))
    leaf = x.clone().requires_grad_()
    clf.net(leaf)[0, slider.classes[1]].backward()
    assert leaf.grad is not None
    assert torch.allclose(slider.maps[1], (x * leaf.grad).sum(1)[0], atol=1e-5)
    assert "product" in slider.pictures.value


def test_one_scale_for_all_places(slider: ClassSlider) -> None:
    for slider.method.value in ("gradient", "guided-backprop"):
        for slider.handling.value in ("signed", "positive"):
            limits = set()
            for slider.rank.value in (2, 1000):
                limits.add(slider.limit)
                assert f"Full colour at ±{slider.limit:.2g} " in slider.pictures.value
            assert len(limits) == 1


def test_clipping_a_finished_map_leaves_its_scale(slider: ClassSlider) -> None:
    slider.rank.value = 1  # the most likely class itself
    magnitudes = slider.maps[0].abs().flatten().numpy()
    assert slider.limit == pytest.approx(np.quantile(magnitudes, 0.99), rel=1e-4)
    before = slider.limit
    for slider.handling.value in ("positive", "absolute"):
        assert slider.limit == before


def test_the_most_likely_class_itself(slider: ClassSlider) -> None:
    slider.rank.value = 1
    _, left, right = pictures(slider)
    assert left == right
    assert slider.summary == "This is espresso itself, the most likely class. Move the slider to compare."


def test_a_method_without_a_rule_for_the_network_is_said() -> None:
    sigmoid = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    small = pg.Classifier(sigmoid.eval(), pg.Preprocessing(size=32, resize=32))
    one = ClassSlider(small, "cat")
    one.method.value = "guided-backprop"
    assert "silu" in one.summary
    assert math.isnan(one.spearman)
    one.method.value = "gradient"
    assert len(pictures(one)) == 3


def test_alt_texts_name_the_setting(slider: ClassSlider) -> None:
    alts = re.findall(r'alt="([^"]+)"', slider.pictures.value)
    assert "gradient, signed, for most likely: espresso" in alts[1]
    assert "cup" in alts[2]


def test_figure_shows_what_the_widget_shows(slider: ClassSlider) -> None:
    slider.handling.value = "absolute"
    figure = slider.figure()
    assert "absolute in the finished map, class 2 of 1000, cup" in figure.alt
    headings = [" ".join(ax.get_title().split()) for ax in figure.axes]
    assert headings[0] == "photo"
    assert headings[1].startswith("most likely: espresso")
    assert headings[2].startswith("place 2: cup")


def test_start_values_own_photo_and_places(clf: pg.Classifier) -> None:
    own = ClassSlider(clf, pg.load_photo("rocket"), ["gradient"], [1, 500], rank=500, handling="positive")
    assert [value for _, value in own.rank.options] == [1, 500]
    assert own.labels[0] == "missile"
    assert own.rank.options[1][0].startswith("500 of 1000: ")
    assert (own.maps >= 0).all()


def test_mistakes_are_refused_with_advice(clf: pg.Classifier) -> None:
    for arguments, says in [
        ({"photo": "cofee"}, "coffee"),
        ({"methods": ["gradiant"]}, "gradient"),
        ({"ranks": [0]}, r"1 \(most likely\) to 1000 \(least\), not 0"),
        ({"ranks": [1, 1001]}, "not 1001"),
        ({"ranks": []}, "at least one place"),
    ]:
        with pytest.raises(ValueError, match=says):
            ClassSlider(clf, **arguments)


@pytest.mark.parametrize(
    ("classes", "places"),
    [
        (1000, [1, 2, 3, 10, 30, 100, 300, 701, 901, 971, 991, 998, 999, 1000]),
        (10, [1, 2, 3, 8, 9, 10]),
        (5, [1, 2, 3, 4, 5]),
        (2, [1, 2]),
    ],
)
def test_places_are_dense_at_both_ends(classes: int, places: list[int]) -> None:
    assert some_places(classes) == places
