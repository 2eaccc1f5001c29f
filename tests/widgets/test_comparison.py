"""The MapComparison, driven as a notebook cell drives it: the method, the switch, the second class, what is ranked."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import posgrad_edu as pg
from posgrad_edu.metrics.similarity import Similarity, compare
from posgrad_edu.viz import rank_picture
from posgrad_edu.widgets import MapComparison
from posgrad_edu.widgets.comparison import by_measure, in_numbers


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier("efficientnet-lite0")


@pytest.fixture(scope="module")
def made(clf: pg.Classifier) -> MapComparison:
    return MapComparison(clf, "coffee", others=("least likely", "runner-up", "tiger cat"))


@pytest.fixture
def widget(made: MapComparison, clf: pg.Classifier) -> MapComparison:
    """One widget for all tests, each time back at its start: the maps stay cached."""
    made.method.value, made.handling.value, made.measure.value = "gradcam", "signed", "values"
    made.other.value = clf.index("punching bag")
    return made


def sources(widget: MapComparison) -> list[str]:
    return re.findall(r'src="([^"]+)"', widget.pictures.value)


def number(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def test_it_starts_with_the_most_against_the_least_likely(widget: MapComparison, clf: pg.Classifier) -> None:
    assert [clf.labels[c] for c in widget.classes] == ["espresso", "punching bag"]
    assert [label for label, _ in widget.other.options] == [
        "least likely: punching bag",
        "runner-up: cup",
        "tiger cat",
    ]


@pytest.mark.parametrize("handling", ["signed", "positive"])
@pytest.mark.parametrize("method", ["gradcam", "gradient"])
def test_maps_are_those_of_explain(widget: MapComparison, clf: pg.Classifier, method: str, handling: str) -> None:
    widget.method.value, widget.handling.value = method, handling
    x = clf.batch(pg.load_photo("coffee"))
    layer = {"layer": clf.cam_layer} if method == "gradcam" else {}
    expected = pg.explain(clf.net, x, [list(widget.classes)], method, handling, **layer)[0]
    assert torch.equal(widget.maps, expected)
    assert f"{method}, {handling}, espresso against punching bag" in repr(widget)


def test_the_numbers_are_those_of_the_table(widget: MapComparison, clf: pg.Classifier) -> None:
    widget.handling.value = "positive"
    row = pg.class_sensitivity(clf.net, clf.batch(pg.load_photo("coffee")), "gradcam", "positive").iloc[0]
    assert widget.similarity is not None
    assert row.other == widget.classes[1]
    for word, name in {
        "of the maps": "spearman",
        "of their magnitudes": "spearman_abs",
        "SSIM": "ssim",
        "HOG": "hog",
    }.items():
        assert getattr(widget.similarity, name) == pytest.approx(row[name], abs=1e-4)
        assert f"{word} {number(row[name])}" in widget.summary
    a, b = (m.numpy().ravel() for m in widget.maps)
    assert widget.similarity.spearman == pytest.approx(spearmanr(a, b).statistic)


def test_ranking_magnitudes_hides_that_a_map_is_reversed(widget: MapComparison) -> None:
    before = sources(widget)
    assert widget.similarity is not None
    assert widget.similarity.spearman < -0.5 < 0.5 < widget.similarity.spearman_abs
    assert "Opposite maps" in widget.summary
    widget.measure.value = "magnitudes"
    assert "a reversed map looks the same" in widget.summary
    after = sources(widget)
    assert before[:3] == after[:3]  # the photo and both maps
    assert before[3] != after[3]  # the ranks


def test_the_switch_changes_the_second_map_and_not_the_scale_of_a_cam(widget: MapComparison) -> None:
    before, limit = sources(widget), widget.limit
    widget.handling.value = "positive"
    assert sources(widget)[2] != before[2]
    assert widget.limit == limit


def test_another_second_class(widget: MapComparison, clf: pg.Classifier) -> None:
    first = widget.maps
    widget.other.value = clf.index("tiger cat")
    assert torch.allclose(widget.maps[0], first[0], rtol=1e-3, atol=1e-5)
    assert not torch.allclose(widget.maps[1], first[1], rtol=1e-3, atol=1e-5)
    assert "tiger cat" in widget.pictures.value


def test_controls_have_no_switch(widget: MapComparison) -> None:
    widget.method.value = "noise"
    assert widget.handling.disabled
    assert widget.similarity is not None
    assert abs(widget.similarity.spearman) < 0.02
    maps, shown = widget.maps, sources(widget)
    widget.handling.value = "positive"
    assert torch.equal(widget.maps, maps)
    assert sources(widget) == shown
    widget.method.value = "edges"
    assert widget.similarity.spearman == pytest.approx(1)
    assert "The same map" in widget.summary
    widget.method.value = "gradient"
    assert not widget.handling.disabled


def test_ranks_of_a_map_with_itself_lie_on_the_rising_diagonal() -> None:
    values = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    rising = np.asarray(rank_picture(values, values))[::4, ::4]
    assert rising.shape == (64, 64)
    assert np.array_equal(rising < 255, np.eye(64, dtype=bool)[::-1])  # row 0 is the top, the highest rank
    falling = np.asarray(rank_picture(values, -values))[::4, ::4] < 255
    rows, columns = np.nonzero(falling)
    assert (abs(rows - columns) <= 1).all()
    folded = np.asarray(rank_picture(values, -values, magnitudes=True))
    assert np.array_equal(folded, np.asarray(rank_picture(values.abs(), values.abs())))


def test_ranks_count_each_pixel_once_and_ties_share_a_rank() -> None:
    first = torch.tensor([[0.0, 0.0], [0.0, 5.0]])  # ranks 2, 2, 2 and 4 of 4
    second = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    cells = np.argwhere(np.asarray(rank_picture(first, second))[::4, ::4] < 255)
    assert cells.tolist() == [[0, 63], [15, 32], [31, 32], [47, 32]]


def test_the_picture_of_ranks_has_the_numbers_as_alt_text(widget: MapComparison) -> None:
    alts = re.findall(r'alt="([^"]+)"', widget.pictures.value)
    assert len(alts) == 4
    assert alts[3].startswith("Ranks of values")
    assert "of the maps −0." in alts[3]


def test_what_a_reader_without_a_kernel_sees(widget: MapComparison) -> None:
    figure = widget.figure()
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[0] == "photo"
    assert titles[1].startswith("espresso")
    assert titles[3] == "ranks of values"
    assert widget.summary in figure.alt


def test_a_constant_map_is_said_in_words_and_has_no_ranks() -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.zeros_(net[0].weight)
    own = pg.Classifier(net.eval(), pg.Preprocessing(size=48, resize=48), labels=["a", "b", "c"])
    widget = MapComparison(own, "coffee", "a", others=("b", 2), method="gradient")
    assert widget.summary == "The map for a and for b is zero everywhere, so there is nothing to compare."
    assert widget.pictures.value.count("<img") == 3
    assert len(widget.figure().axes) == 3


def test_what_cannot_be_explained_is_said_in_words() -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    own = pg.Classifier(net.eval(), pg.Preprocessing(size=48, resize=48), labels=["a", "b", "c"])
    widget = MapComparison(own, "coffee", method="lrp")
    assert "silu" in widget.summary.lower()
    assert widget.pictures.value == ""
    assert widget.similarity is None
    widget.method.value = "gradient"
    assert widget.pictures.value.count("<img") == 4


def test_refusals(clf: pg.Classifier) -> None:
    with pytest.raises(ValueError, match="espresso"):
        MapComparison(clf, "coffee", others=("least likely", "espresso"))
    with pytest.raises(ValueError, match="one class at least"):
        MapComparison(clf, "coffee", others=())


@pytest.mark.parametrize(
    ("signed", "size", "measure", "says"),
    [
        (0.95, 0.9, "values", "The same map"),
        (-0.8, 0.8, "values", "Opposite"),
        (-0.8, 0.8, "magnitudes", "a reversed map looks the same"),
        (-0.8, 0.5, "magnitudes", "Partly alike"),
        (-0.5, 0.8, "magnitudes", "Much alike"),
        (0.0, 0.4, "magnitudes", "Partly alike"),
        (0.0, 0.95, "magnitudes", "The same map"),
    ],
)
def test_the_sentence_follows_the_number_that_is_asked_for(signed: float, size: float, measure: str, says: str) -> None:
    assert says in by_measure(Similarity(signed, size, 0.3, 0.3, False), measure, "espresso", "cup")


def test_all_four_numbers_are_said() -> None:
    words = in_numbers(Similarity(-0.81, 0.66, -0.001, float("nan"), False))
    assert words == "Rank correlation of the maps −0.81, of their magnitudes +0.66; SSIM +0.00, HOG none."


def test_compare_is_what_the_widget_says(widget: MapComparison) -> None:
    assert widget.similarity == compare(*widget.maps)
