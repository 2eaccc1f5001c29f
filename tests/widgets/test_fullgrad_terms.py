"""FullGradLayers, driven as a notebook cell drives it: terms, their handling, their scaling, and two classes."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import nn

import posgrad_edu as pg
from posgrad_edu.methods.fullgrad import fullgrad_terms
from posgrad_edu.scenes.pictures import make_scene
from posgrad_edu.widgets import FullGradLayers
from posgrad_edu.widgets.fullgrad_terms import amount, some_counts

KEEP = {"signed": lambda t: t, "absolute": torch.abs, "positive": lambda t: t.clamp(min=0)}


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier("efficientnet-lite0")


@pytest.fixture(scope="module")
def made(clf: pg.Classifier) -> FullGradLayers:
    return FullGradLayers(clf, "coffee", "espresso", "punching bag", steps=3)


@pytest.fixture
def layers(made: FullGradLayers) -> FullGradLayers:
    """One widget for all tests, each time back at its start: the terms stay cached."""
    made.terms.value, made.handling.value, made.rescale.value = 51, "signed", False
    made.class_a.value, made.class_b.value = "espresso", "punching bag"
    return made


@pytest.fixture(scope="module")
def terms(clf: pg.Classifier) -> list[torch.Tensor]:
    classes = [[clf.index("espresso"), clf.index("punching bag")]]
    return [t[0] for t in fullgrad_terms(clf.net, clf.batch(pg.load_photo("coffee")), classes)]


def sources(layers: FullGradLayers) -> list[str]:
    return re.findall(r'src="([^"]+)"', layers.pictures.value)


def plain_map(terms: list[torch.Tensor], handling: str, rescale: bool) -> torch.Tensor:
    """FullGrad's definition, class by class and term by term."""
    maps = torch.zeros(2, 224, 224)
    for term in (t for t in terms if t.ndim == 4):
        for k in range(2):
            t = KEEP[handling](term[k])
            if rescale:
                t = t.sign() * (t.abs() - t.abs().min()) / (t.abs().max() - t.abs().min())
            small = t.sum(0)[None, None]  # resizing is linear, so it may come last
            maps[k] += F.interpolate(small, size=(224, 224), mode="bilinear", align_corners=True)[0, 0]
    return maps


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("handling", list(KEEP))
@pytest.mark.parametrize("count", [1, 26, 51])
@pytest.mark.slow
def test_maps_and_sums_are_those_of_the_terms_added_so_far(
    layers: FullGradLayers, terms: list[torch.Tensor], count: int, handling: str, rescale: bool
) -> None:
    layers.terms.value, layers.handling.value, layers.rescale.value = count, handling, rescale
    expected = plain_map(terms[:count], handling, rescale)
    scale = float(expected.abs().max())
    assert torch.allclose(layers.maps / scale, expected / scale, atol=1e-5)
    sums = [sum(float(KEEP[handling](t[k]).double().sum()) for t in terms[:count]) for k in range(2)]
    assert layers.totals == pytest.approx(sums, rel=1e-6, abs=1e-3)
    rank = spearmanr(*layers.maps.flatten(1).numpy()).statistic
    assert layers.spearman == pytest.approx(rank, abs=1e-6)
    assert handling in repr(layers)


def test_all_terms_as_published_are_fullgrad(layers: FullGradLayers, clf: pg.Classifier) -> None:
    layers.handling.value, layers.rescale.value = "absolute", True
    x = clf.batch(pg.load_photo("coffee"))
    expected = pg.explain(clf.net, x, [list(layers.classes)], "fullgrad")[0]
    assert torch.allclose(layers.maps, expected, rtol=1e-4)


def test_the_sum_stands_beside_the_logit(layers: FullGradLayers, clf: pg.Classifier) -> None:
    logits = clf.logits(pg.load_photo("coffee"))
    assert layers.logits == pytest.approx([float(logits[c]) for c in layers.classes])
    for value in (*layers.totals, *layers.logits):
        assert amount(value) in layers.summary
    assert "Rank correlation −0.36" in layers.summary
    assert abs(layers.totals[0]) < layers.logits[0]  # the units at six have the rest


def test_on_a_plain_relu_network_the_sum_is_the_logit() -> None:
    """Where no unit saturates, the last position of the slider explains all, the linear bias included."""
    small = pg.load_classifier("scenes")
    layers = FullGradLayers(small, make_scene(seed=3).image, "4", "0")
    assert layers.sizes[-1] == ()
    assert layers.totals == pytest.approx(layers.logits, abs=1e-3)
    layers.terms.value = layers.counts[-2]
    assert layers.totals != pytest.approx(layers.logits, abs=1e-3)


def test_dropping_signs_makes_two_classes_alike(layers: FullGradLayers) -> None:
    before, shown = layers.spearman, sources(layers)
    for layers.handling.value in ("absolute", "positive"):
        assert before < -0.2 < 0.9 < layers.spearman
        assert (layers.maps >= 0).all()
        after = sources(layers)
        assert len(after) == len(shown) == 3
        assert after[0] == shown[0]  # the photo stays
        assert after[1] != shown[1]
        assert after[2] != shown[2]


def test_adding_terms_changes_the_picture(layers: FullGradLayers) -> None:
    seen = set()
    for count in layers.counts:
        layers.terms.value = count
        seen.add(sources(layers)[1])
    assert len(seen) == 3
    layers.terms.value = 1
    assert "the input alone" in layers.setting
    layers.terms.value = 26
    assert "the input and 25 of 50 biases" in layers.setting


def test_both_maps_share_the_scale_that_is_written_below(layers: FullGradLayers) -> None:
    for layers.handling.value in ("signed", "absolute"):
        shown = re.search(r"Full colour at ±(\S+) in both maps of this setting", layers.pictures.value)
        assert shown is not None
        expected = np.quantile(layers.maps.abs().double().numpy(), 0.995)
        assert float(shown[1]) == pytest.approx(expected, rel=0.05)


def test_classes_can_be_chosen(layers: FullGradLayers, clf: pg.Classifier) -> None:
    layers.class_b.value = "runner-up"
    assert layers.classes[1] == clf.runner_up(pg.load_photo("coffee"))
    assert layers.labels[1] in layers.summary
    layers.class_b.value = "espresso"
    assert "Choose another class B" in layers.summary


def test_terms_are_computed_once(layers: FullGradLayers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posgrad_edu.widgets.fullgrad_terms.fullgrad_terms", None)
    for layers.terms.value in (1, 51):
        for layers.handling.value in ("positive", "signed"):
            assert len(sources(layers)) == 3


def test_alt_texts_name_the_setting(layers: FullGradLayers) -> None:
    alts = re.findall(r'alt="([^"]+)"', layers.pictures.value)
    assert "50 of 50 biases, signed" in alts[2]


def test_figure_shows_what_the_widget_shows(layers: FullGradLayers) -> None:
    layers.handling.value, layers.rescale.value = "absolute", True
    alt = layers.figure().alt
    assert "absolute, each term rescaled" in alt
    assert "punching bag" in alt
    assert "Evidence for the class only" in alt


def test_start_values_and_a_picture_of_ones_own(clf: pg.Classifier) -> None:
    start = {"terms": 1, "handling": "positive", "rescale": True}
    layers = FullGradLayers(clf, pg.load_photo("rocket"), "missile", 283, steps=2, **start)
    assert layers.classes == (clf.index("missile"), 283)
    assert repr(layers).startswith("FullGradLayers: the input alone, positive, each term rescaled. Terms before")


def test_mistakes_are_refused_with_advice(clf: pg.Classifier) -> None:
    for arguments, says in [
        ({"class_a": "expresso"}, "Did you mean 'espresso'"),
        ({"photo": "cofee"}, "coffee"),
        ({"steps": 1}, "2 or more"),
    ]:
        with pytest.raises(ValueError, match=says):
            FullGradLayers(clf, **arguments)


def test_a_network_that_fullgrad_refuses_is_refused_by_name() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    small = pg.Classifier(net, pg.Preprocessing(size=16, resize=16))
    with pytest.raises(NotImplementedError, match="group_norm"):
        FullGradLayers(small, "cat")


def test_parts() -> None:
    assert some_counts(51, 3) == [1, 26, 51]
    assert some_counts(3, 10) == [1, 2, 3]
    assert amount(99.94) == "+99.9"
    assert amount(-10371.9) == "−10400"
