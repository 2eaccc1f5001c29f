"""The ShiftSlider, driven as a notebook cell drives it: predictions that stay, maps of logits that don't."""

from __future__ import annotations

import re

import networks as nets
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import posgrad_edu as pg
from posgrad_edu.models import shift_vector, shifted
from posgrad_edu.viz import signed_number
from posgrad_edu.widgets import ShiftSlider
from posgrad_edu.widgets.shift_slider import SHIFTS


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier("efficientnet-lite0")


@pytest.fixture(scope="module")
def made(clf: pg.Classifier) -> ShiftSlider:
    return ShiftSlider(clf, "coffee", "espresso", "punching bag")


@pytest.fixture
def slider(made: ShiftSlider) -> ShiftSlider:
    """One slider for all tests, each time back at its start: the maps stay cached."""
    made.shift.value, made.method.value = 0.0, "gradcam"
    made.handling.value, made.contrast.value = "signed", "none"
    made.class_b.value = "punching bag"
    return made


def test_it_starts_with_the_network_as_it_is(slider: ShiftSlider, clf: pg.Classifier) -> None:
    assert tuple(a for _, a in slider.shift.options) == SHIFTS
    expected = pg.explain(clf.net, clf.batch(pg.load_photo("coffee")), [[967, 747]], "gradcam", "signed")[0]
    assert torch.equal(slider.maps, expected)
    assert slider.softmax_change == 0


@pytest.mark.parametrize("contrast", ["none", "mean", "other"])
@pytest.mark.slow
def test_maps_are_those_of_the_shifted_network(slider: ShiftSlider, clf: pg.Classifier, contrast: str) -> None:
    slider.shift.value, slider.contrast.value, slider.handling.value = 0.25, contrast, "positive"
    net = shifted(clf.net, shift_vector(clf.net, 0.25))
    against = {"none": None, "mean": "mean", "other": [[747, 967]]}[contrast]
    x = clf.batch(pg.load_photo("coffee"))
    expected = pg.explain(net, x, [[967, 747]], "gradcam", "positive", contrast=against)[0]
    assert torch.equal(slider.maps, expected)
    assert slider.spearman == pytest.approx(spearmanr(*expected.flatten(1).double().numpy()).statistic, abs=1e-6)


def test_a_shift_turns_the_maps_of_logits_round_and_no_prediction(slider: ShiftSlider, clf: pg.Classifier) -> None:
    assert slider.spearman < -0.5
    slider.shift.value = 0.25
    assert slider.spearman > 0.5
    assert 0 < slider.softmax_change < 1e-6
    assert "each class's softmax changes by less than 0.000001" in slider.summary
    assert signed_number(slider.spearman) in slider.summary
    logits = shifted(clf.net, shift_vector(clf.net, 0.25))(clf.batch(pg.load_photo("coffee")))[0]
    assert f"logit +{float(logits[967]):.1f}" in slider.pictures.value
    assert re.search(r"A: espresso 95\s%", slider.pictures.value)


def test_the_map_of_a_contrast_stays(slider: ShiftSlider) -> None:
    slider.contrast.value = "mean"
    before = slider.maps
    slider.shift.value = -1.0
    assert nets.largest(slider.maps, before) < 1e-3  # float32: a thousand sums rounded at the size of the shift
    assert slider.spearman < -0.5
    assert slider.setting == "gradcam, signed, shift -1, minus the mean of all"


def test_the_classifier_is_left_alone(slider: ShiftSlider, clf: pg.Classifier) -> None:
    weight = clf.net.get_classifier().weight.clone()
    slider.shift.value = 0.5
    assert torch.equal(clf.net.get_classifier().weight, weight)


def test_what_makes_no_sense_is_refused(clf: pg.Classifier) -> None:
    for shifts in ((), (float("nan"),)):
        with pytest.raises(ValueError, match="shifts are finite numbers"):
            ShiftSlider(clf, shifts=shifts)
    with pytest.raises(ValueError, match="has no control 'layer'"):
        ShiftSlider(clf, layer="bn2")


def test_a_network_without_such_a_layer_is_said_in_words() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    slider = ShiftSlider(pg.Classifier(net.eval(), pg.Preprocessing(size=16, resize=16)), "cat")
    assert "a ReLU follows the last layer with weights" in slider.summary
    multilabel = pg.Classifier(nets.seeded(nets.plain).float(), pg.Preprocessing(size=16, resize=16), multilabel=True)
    assert "probabilities are sigmoids" in ShiftSlider(multilabel, "cat").summary
