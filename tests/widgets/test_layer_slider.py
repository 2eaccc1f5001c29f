"""The LayerSlider, driven as a notebook cell drives it: layers, the two switches, and what they change."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import posgrad_edu as pg
from posgrad_edu.metrics.similarity import compare
from posgrad_edu.widgets import LayerSlider

ROUTE = ["bn1.act", "blocks.4", "blocks.6", "bn2.act"]


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier("efficientnet-lite0")


@pytest.fixture(scope="module")
def made(clf: pg.Classifier) -> LayerSlider:
    return LayerSlider(clf, "coffee", layers=ROUTE)


@pytest.fixture
def slider(made: LayerSlider) -> LayerSlider:
    """One slider for all tests, each time back at its start: the maps stay cached."""
    made.layer.value, made.handling.value, made.relu.value = "bn2.act", "signed", False
    return made


def pictures(slider: LayerSlider) -> list[Image.Image]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', slider.pictures.value)
    return [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in found]


def redness(picture: Image.Image) -> int:
    """Red minus blue, over all pixels."""
    levels = np.asarray(picture).astype(int)
    return int((levels[..., 0] - levels[..., 2]).sum())


def test_it_starts_at_the_last_layer_as_published(slider: LayerSlider, clf: pg.Classifier) -> None:
    assert slider.labels == ("espresso", "punching bag")
    expected = pg.explain(clf.net, clf.batch(pg.load_photo("coffee")), [list(slider.classes)], "gradcam")[0]
    assert torch.equal(slider.maps, expected)
    assert slider.spearman == compare(*expected).spearman
    assert f"{slider.spearman:+.2f}".replace("-", "−") in slider.summary


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("handling", ["signed", "positive"])
@pytest.mark.parametrize("layer", ROUTE)
@pytest.mark.slow
def test_each_state_shows_the_packages_maps(
    slider: LayerSlider, clf: pg.Classifier, layer: str, handling: str, relu: bool
) -> None:
    slider.layer.value, slider.handling.value, slider.relu.value = layer, handling, relu
    x = clf.batch(pg.load_photo("coffee"))
    expected = pg.explain(clf.net, x, [list(slider.classes)], "gradcam", handling, layer=layer, relu=relu)[0]
    assert torch.equal(slider.maps, expected)
    assert layer in slider.setting
    assert handling in repr(slider)


def test_the_handling_turns_the_absent_class_red(slider: LayerSlider) -> None:
    before, number, said = pictures(slider), slider.spearman, slider.summary
    slider.handling.value = "positive"
    after = pictures(slider)
    assert len(before) == len(after) == 3
    assert redness(before[2]) < 0 < redness(after[2])
    assert number < -0.5 < 0.5 < slider.spearman
    assert "punching bag 100%" in slider.summary
    assert slider.summary != said


def test_the_final_relu_takes_the_blue_and_adds_no_stronger_red(slider: LayerSlider) -> None:
    signed, before = slider.maps, redness(pictures(slider)[2])
    slider.relu.value = True
    assert (slider.maps >= 0).all()
    assert (slider.maps >= signed - 1e-6).all()
    assert slider.maps.max() <= signed.max() + 1e-6
    assert before < redness(pictures(slider)[2])


def test_after_positive_gradients_the_final_relu_has_nothing_to_do(slider: LayerSlider) -> None:
    slider.handling.value = "positive"
    before = slider.maps
    slider.relu.value = True
    assert torch.equal(before, slider.maps)


def test_a_map_of_zeros_is_said(clf: pg.Classifier) -> None:
    slider = LayerSlider(clf, "cat", layers=["bn2.act"], relu=True)
    assert not slider.maps[1].any()
    assert "The map for African hunting dog is zero everywhere" in slider.summary
    assert np.isnan(slider.spearman)
    slider.relu.value = False
    assert "Rank correlation" in slider.summary


def test_the_slider_goes_from_fine_to_coarse(slider: LayerSlider) -> None:
    assert list(slider.sizes) == ROUTE
    assert slider.sizes["bn1.act"] == (112, 112)
    assert slider.sizes["bn2.act"] == (7, 7)
    late = pictures(slider)[1]
    slider.layer.value = "bn1.act"
    assert pictures(slider)[1].tobytes() != late.tobytes()
    assert "112 × 112" in repr(slider)


@pytest.mark.slow
def test_toggles_leave_the_scale_alone(slider: LayerSlider) -> None:
    for layer in ROUTE:
        slider.layer.value = layer
        limits = set()
        for slider.handling.value in ("signed", "positive"):
            for slider.relu.value in (False, True):
                limits.add(slider.limit)
                shown = re.search(r"Full colour at ±(\S+)", slider.pictures.value)
                assert shown is not None
                assert shown[1] == f"{slider.limit:.2g}"
        assert len(limits) == 1


def test_a_value_beyond_the_scale_is_said(slider: LayerSlider) -> None:
    slider.layer.value, slider.handling.value = "bn1.act", "positive"
    said = re.search(r"strongest value here is (\S+) times", slider.pictures.value)
    assert said is not None
    assert float(said[1]) == pytest.approx(float(slider.maps.abs().max()) / slider.limit, rel=0.01)


def test_alt_texts_name_the_layer(slider: LayerSlider) -> None:
    slider.layer.value = "blocks.6"
    alts = re.findall(r'alt="([^"]+)"', slider.pictures.value)
    assert "blocks.6" in alts[1]


def test_figure_shows_what_the_widget_shows(slider: LayerSlider) -> None:
    slider.handling.value = "positive"
    alt = slider.figure().alt
    assert "positive gradients" in alt
    assert "punching bag" in alt


def test_start_values_and_own_photo(clf: pg.Classifier) -> None:
    slider = LayerSlider(clf, pg.load_photo("rocket"), "missile", 283, ["blocks.6"], handling="positive", relu=True)
    assert slider.layer.value == "blocks.6"
    assert slider.classes == (clf.index("missile"), 283)
    assert "blocks.6 (7 × 7), positive gradients, final ReLU on" in repr(slider)


def test_all_outer_layers_are_there_unless_chosen(clf: pg.Classifier) -> None:
    slider = LayerSlider(clf, "cat")
    assert next(iter(slider.layer.options)) == "conv_stem"
    assert slider.layer.value == "bn2.act"


def test_mistakes_are_refused_with_advice(clf: pg.Classifier) -> None:
    for arguments, says in [
        ({"layers": ["blocks.66"]}, "blocks.6"),
        ({"layers": ["classifier"]}, "no output with positions"),
        ({"layers": []}, "at least one layer"),
        ({"class_b": "expresso"}, "Did you mean 'espresso'"),
        ({"class_b": "espresso"}, "Both classes are espresso"),
        ({"photo": "cofee"}, "coffee"),
    ]:
        with pytest.raises(ValueError, match=says):
            LayerSlider(clf, **arguments)


def test_it_takes_any_network_with_positions() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).eval()
    small = pg.Classifier(net, pg.Preprocessing(size=32, resize=32))
    slider = LayerSlider(small, "cat")
    assert [slider.sizes[name] for name in slider.layer.options] == [(32, 32), (32, 32), (16, 16), (16, 16)]
    assert len(pictures(slider)) == 3
