"""The randomization slider: moving a control changes the picture, the number and the sentence."""

from __future__ import annotations

import re

import pytest
import torch

from posgrad_edu.methods import explain
from posgrad_edu.metrics.randomization import randomized
from posgrad_edu.metrics.similarity import compare
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.models.loading import load_classifier
from posgrad_edu.viz import signed_number
from posgrad_edu.widgets import RandomizationSlider


@pytest.fixture(scope="module")
def clf() -> Classifier:
    return load_classifier()


@pytest.fixture(scope="module")
def slider(clf: Classifier) -> RandomizationSlider:
    return RandomizationSlider(clf, "coffee")


@pytest.fixture(autouse=True)
def at_the_start(slider: RandomizationSlider) -> None:
    slider.depth.value, slider.method.value, slider.handling.value = 0, "guided-backprop", "positive"


def pictures(slider: RandomizationSlider) -> list[str]:
    return re.findall(r'src="([^"]+)"', slider.pictures.value)


def test_it_starts_with_the_trained_network_twice(slider: RandomizationSlider, clf: Classifier) -> None:
    photo, trained, partly = pictures(slider)
    assert trained == partly != photo
    assert slider.similarity is not None
    assert slider.similarity.spearman == pytest.approx(1)
    assert clf.labels[slider.target] == "espresso"
    assert "Nothing is random yet" in slider.summary


def test_steps_run_from_none_over_the_classifier_to_all(slider: RandomizationSlider) -> None:
    assert slider.depths == (0, 1, 6, 12, 19, 25, 31, 38, 44, 50)
    assert len(slider.layers) == 50


def test_moving_the_slider_changes_picture_number_and_sentence(slider: RandomizationSlider) -> None:
    slider.method.value, slider.handling.value = "gradient", "signed"
    before = pictures(slider), slider.summary
    slider.depth.value = 50
    after = pictures(slider), slider.summary
    assert before[0][1] == after[0][1]  # the trained network's map stays
    assert before[0][2] != after[0][2]
    assert slider.similarity is not None
    assert abs(slider.similarity.spearman) < 0.1
    assert signed_number(slider.similarity.spearman) in after[1]
    assert before[1] != after[1]


def test_the_switch_decides_whether_a_random_classifier_is_noticed(slider: RandomizationSlider) -> None:
    slider.depth.value = 1
    assert slider.similarity is not None
    positive, shown = slider.similarity.spearman, pictures(slider)
    slider.handling.value = "signed"
    assert positive > 0.95
    assert slider.similarity.spearman < 0.5
    assert pictures(slider) != shown


def test_maps_are_those_of_explain(slider: RandomizationSlider, clf: Classifier) -> None:
    slider.depth.value, slider.method.value = 6, "gradcam"
    net = randomized(clf.net, 6, layers=slider.layers)
    expected = explain(net, slider.x, slider.target, "gradcam", "positive", clf.cam_layer)[0]
    assert torch.allclose(slider.maps[1], expected)
    assert slider.similarity == compare(*slider.maps)


def test_the_network_is_not_changed(slider: RandomizationSlider, clf: Classifier) -> None:
    before = clf.net.classifier.weight.clone()
    slider.depth.value = 50
    assert torch.equal(clf.net.classifier.weight, before)
    assert slider.clf.net is clf.net


def test_alt_texts_name_the_depth(slider: RandomizationSlider) -> None:
    slider.depth.value = 25
    alts = re.findall(r'alt="([^"]+)"', slider.pictures.value)
    assert "last 25 layers random" in alts[2]


def test_what_a_reader_without_a_kernel_sees(slider: RandomizationSlider) -> None:
    slider.depth.value = 1
    assert re.fullmatch(
        r"RandomizationSlider: coffee, guided-backprop, gradients positive, 1 of 50 random\. .+", repr(slider)
    )
    figure = slider.figure()
    assert "last layer random" in figure.alt
    assert [ax.get_title() for ax in figure.axes][:3] == ["photo", "trained network", "last layer random"]


def test_starting_values_and_a_class_of_ones_own(clf: Classifier) -> None:
    slider = RandomizationSlider(clf, "coffee", "punching bag", depth=1, method="gradient", handling="signed")
    assert slider.depth.value == 1
    assert clf.labels[slider.target] == "punching bag"


def test_the_slider_goes_from_nothing_to_everything(clf: Classifier) -> None:
    slider = RandomizationSlider(clf, "coffee", steps=3)
    assert [depth for _, depth in slider.depth.options] == [0, 1, 50]
