"""The CascadeCurves: the curve says what the rows say, the maps are those of the network that forgot."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr

import posgrad_edu as pg
from posgrad_edu.metrics.randomization import randomizable_layers, with_random
from posgrad_edu.viz import figure_class
from posgrad_edu.widgets import CascadeCurves
from posgrad_edu.widgets.cascade_curves import COLUMNS
from posgrad_edu.widgets.theme import name_lines

METHODS = {
    "gradcam signed": pg.METHODS["gradcam"]("signed"),
    "guided-backprop positive": pg.METHODS["guided-backprop"]("positive"),
    "lrp positive": pg.METHODS["lrp"]("positive"),
    "edges": pg.CONTROLS["edges"](),
}
# Made up, so that a mean, a range and a missing value are known: method, photo, mode, depth, layers, seed, spearman
TABLE = [
    ("gradcam signed", 0, "cascading", 1, 50, 0, -0.5),
    ("gradcam signed", 0, "cascading", 1, 50, 1, 0.7),
    ("gradcam signed", 1, "cascading", 1, 50, 0, 0.1),
    ("gradcam signed", 0, "cascading", 25, 50, 0, 0.2),
    ("gradcam signed", 0, "independent", 49, 50, 0, 0.4),
    ("guided-backprop positive", 0, "cascading", 1, 50, 0, 1.0),
    ("guided-backprop positive", 0, "cascading", 25, 50, 0, 0.9),
    ("guided-backprop positive", 0, "independent", 49, 50, 0, 0.3),
    ("guided-backprop positive", 0, "cascading-from-input", 1, 50, 0, 0.25),
    ("edges", 0, "cascading", 1, 50, 0, 1.0),
    ("edges", 0, "cascading", 25, 50, 0, float("nan")),
]


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier("efficientnet-lite0")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return pd.DataFrame(TABLE, columns=["method", "photo", "mode", "depth", "layers", "seed", "spearman"])


@pytest.fixture(scope="module")
def made(rows: pd.DataFrame, clf: pg.Classifier) -> CascadeCurves:
    return CascadeCurves(rows, METHODS, clf, "coffee")


@pytest.fixture
def curves(made: CascadeCurves) -> CascadeCurves:
    """One widget for all tests, each time back at its start: what was computed stays cached."""
    made.mode.value, made.version.value, made.depth.value = "cascading", "gradcam signed", 1
    return made


def sources(curves: CascadeCurves) -> list[str]:
    return re.findall(r'src="([^"]+)"', curves.pictures.value)


def test_the_points_are_mean_and_range_of_the_rows(curves: CascadeCurves) -> None:
    assert curves.points[0] == (1.0, 1.0, 1.0)
    assert curves.points[1] == pytest.approx((0.1, -0.5, 0.7))
    assert curves.points[25] == pytest.approx((0.2, 0.2, 0.2))
    assert "rank correlation +0.10 in the mean, from −0.50 to +0.70" in curves.summary


@pytest.mark.parametrize(
    ("mode", "depth", "random"),
    [("cascading", 25, slice(0, 25)), ("independent", 49, slice(48, 49)), ("cascading-from-input", 1, slice(49, 50))],
)
@pytest.mark.slow
def test_maps_are_those_of_the_network_that_forgot(
    curves: CascadeCurves, clf: pg.Classifier, mode: str, depth: int, random: slice
) -> None:
    curves.mode.value, curves.version.value, curves.depth.value = mode, "guided-backprop positive", depth
    x = clf.batch(pg.load_photo("coffee"))
    net = with_random(clf.net, randomizable_layers(clf.net, x)[random], seed=0)
    target = clf.index("espresso")
    expected = [pg.explain(n, x, target, "guided-backprop", "positive")[0] for n in (clf.net, net)]
    assert torch.equal(curves.maps, torch.stack(expected))
    assert curves.similarity is not None
    shown = spearmanr(*(m.numpy().ravel() for m in expected)).statistic
    assert curves.similarity.spearman == pytest.approx(shown)
    assert f"the map shown {shown:+.2f}" in curves.summary
    assert curves.points[depth][0] == pytest.approx({"cascading": 0.9, "independent": 0.3}.get(mode, 0.25))


def test_another_seed_is_another_map(rows: pd.DataFrame, clf: pg.Classifier, curves: CascadeCurves) -> None:
    other = CascadeCurves(rows, METHODS, clf, "coffee", seed=1, depth=1)
    assert torch.equal(other.maps[0], curves.maps[0])
    assert not torch.allclose(other.maps[1], curves.maps[1])


def test_each_control_changes_what_is_shown(curves: CascadeCurves) -> None:
    start = sources(curves)
    curves.depth.value = 25
    deeper = sources(curves)
    assert deeper[0] != start[0]  # the line on the curves
    assert deeper[1] == start[1]  # the trained network's map
    assert deeper[2] != start[2]
    curves.version.value = "guided-backprop positive"
    other = sources(curves)
    assert all(a != b for a, b in zip(deeper, other, strict=True))


def test_at_nothing_random_both_maps_are_the_trained_one(curves: CascadeCurves) -> None:
    curves.depth.value = 0
    assert torch.equal(*curves.maps)
    assert curves.summary == "gradcam signed, nothing random: both maps are the trained network's."


def test_the_slider_follows_the_order(curves: CascadeCurves) -> None:
    assert curves.depth.options == (("0", 0), ("1 of 50", 1), ("25 of 50", 25))
    curves.depth.value = 25
    curves.mode.value = "independent"
    assert curves.depth.options == (("0", 0), ("only layer 49 of 50", 49))
    assert curves.depth.value == 0  # 25 wasn't measured in this order
    assert "nothing random" in curves.summary
    curves.depth.value = 49
    assert "only layer 49 of 50 random" in curves.summary


def test_a_step_without_a_value_is_said_in_words(curves: CascadeCurves) -> None:
    curves.version.value, curves.depth.value = "edges", 25
    assert "not measured, or no map could be compared" in curves.summary
    assert 25 not in curves.points


def test_it_starts_with_the_steps_of_the_order_asked_for(rows: pd.DataFrame, clf: pg.Classifier) -> None:
    curves = CascadeCurves(rows, METHODS, clf, "coffee", mode="independent", depth=49)
    assert curves.depth.options == (("0", 0), ("only layer 49 of 50", 49))
    assert curves.summary.startswith("gradcam signed, only layer 49 of 50 random")


def marked(curves: CascadeCurves) -> list[int]:
    """The columns of the chart that are black from the bottom of the curves to their top, but for a dot."""
    chart = Image.open(io.BytesIO(base64.b64decode(sources(curves)[0].partition(",")[2])))
    inside = np.asarray(chart.convert("L"))[60:375, 125:492]
    return (np.flatnonzero((inside < 20).mean(0) > 0.85) + 125).tolist()


def test_a_move_draws_the_mark_alone_and_in_its_place(curves: CascadeCurves) -> None:
    curves.depth.value, columns = 0, {}
    misses = curves._chart.cache_info().misses
    for curves.depth.value in (0, 1, 25):
        columns[curves.depth.value] = np.mean(marked(curves))
    assert curves._chart.cache_info().misses == misses
    ax = curves._chart("gradcam signed", "cascading")[1]
    assert columns == pytest.approx({d: ax.transData.transform((d, 0))[0] for d in columns}, abs=1.5)


def test_all_charts_have_one_scale(curves: CascadeCurves) -> None:
    limits = set()
    for curves.mode.value in ("cascading", "independent", "cascading-from-input"):
        limits.add((curves.figure().axes[0].get_xlim(), curves.figure().axes[0].get_ylim()))
    assert len(limits) == 1
    ((_, (lowest, highest)),) = limits
    assert lowest < -0.5 < 1 < highest  # all of the rows


def test_the_network_is_not_changed(curves: CascadeCurves, clf: pg.Classifier) -> None:
    before = clf.net.classifier.weight.clone()
    curves.depth.value = 25
    assert torch.equal(clf.net.classifier.weight, before)


def test_the_curves_are_drawn_from_the_points(curves: CascadeCurves) -> None:
    figure = curves.figure()
    chart = figure.axes[0]
    chosen = next(line for line in chart.lines if line.get_label() == "gradcam signed")
    assert np.allclose(chosen.get_xydata(), [[0, 1], [1, 0.1], [25, 0.2]])
    assert chosen.get_color() == "#0042d0"
    pale = [line.get_xydata().tolist() for line in chart.lines if line.get_color() == "#f3b0b6"]
    assert pale == [[[0, 1], [1, 1], [25, 0.9]]]  # the positive version that isn't chosen
    assert not [line for line in chart.lines if line.get_color() == "#a9bdf0"]  # the chosen one isn't pale as well
    assert any(np.allclose(line.get_xdata(), 1) and line.get_color() == "#000000" for line in chart.lines)
    curves.mode.value = "independent"
    alone = next(line for line in curves.figure().axes[0].lines if line.get_label() == "gradcam signed")
    assert alone.get_linestyle() == "None"
    assert np.allclose(alone.get_xydata(), [[49, 0.4]])
    curves.mode.value, curves.version.value = "cascading", "guided-backprop positive"
    chart = curves.figure().axes[0]
    chosen = next(line for line in chart.lines if line.get_label() == "guided-backprop positive")
    assert (chosen.get_color(), chosen.get_linestyle()) == ("#ce0018", "--")


def test_each_curve_is_named_without_overlap(curves: CascadeCurves) -> None:
    chart = curves.figure().axes[0]
    assert sorted(text.get_text() for text in chart.texts) == sorted(curves.version.options)
    low, high = chart.get_ylim()
    heights = sorted(text.get_position()[1] for text in chart.texts)
    assert heights[-1] <= high
    assert (np.diff(heights) > 0.99 * (high - low) / 13).all()


def test_names_of_lines_that_end_together_are_moved_apart() -> None:
    ax = figure_class()().subplots()
    ax.set_ylim(0, 13)
    name_lines(ax, {"a": 12.8, "b": 12.9, "c": 3, "d": 3}, dict.fromkeys("abcd", "black"))
    places = {text.get_text(): (text.xy[1], text.get_position()[1]) for text in ax.texts}
    assert {name: end for name, (end, _) in places.items()} == {"a": 12.8, "b": 12.9, "c": 3, "d": 3}
    heights = [places[name][1] for name in "cdab"]
    assert (np.diff(heights) >= 0.999).all()
    assert heights[-1] <= 13.001


def test_alt_texts_name_the_means_and_the_step(curves: CascadeCurves) -> None:
    alts = re.findall(r'alt="([^"]+)"', curves.pictures.value)
    assert "0: +1.00, 1: +0.10, 25: +0.20" in alts[0]
    assert "1 of 50 random, from the output" in alts[2]


def test_what_a_reader_without_a_kernel_sees(curves: CascadeCurves) -> None:
    assert repr(curves) == f"CascadeCurves: {curves.summary}"
    figure = curves.figure()
    assert [ax.get_title() for ax in figure.axes[1:]] == ["trained, espresso", "1 of 50 random, from the output"]
    assert curves.summary in figure.alt


@pytest.mark.slow
def test_it_takes_the_rows_that_are_measured(clf: pg.Classifier) -> None:
    x = clf.batch(pg.load_photo("coffee"))
    some = {"gradcam signed": METHODS["gradcam signed"]}
    measured = pg.parameter_sensitivity(clf.net, x, some, seeds=[0], depths=[1])
    curves = CascadeCurves(measured, some, clf, "coffee", depth=1)
    assert curves.similarity is not None
    assert curves.points[1][0] == pytest.approx(curves.similarity.spearman, abs=1e-3)


def test_refusals(rows: pd.DataFrame, clf: pg.Classifier) -> None:
    with pytest.raises(ValueError, match="no mode, seed"):
        CascadeCurves(rows.drop(columns=["mode", "seed"]), METHODS, clf)
    with pytest.raises(ValueError, match="no content"):
        CascadeCurves(rows[:0], METHODS, clf)
    with pytest.raises(ValueError, match="'edges'"):
        CascadeCurves(rows, {k: m for k, m in METHODS.items() if k != "edges"}, clf)
    with pytest.raises(ValueError, match="of another network"):
        CascadeCurves(rows.assign(layers=8), METHODS, clf)


def test_what_cannot_be_explained_is_said_in_words() -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 3, 3), torch.nn.SiLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    own = pg.Classifier(net.eval(), pg.Preprocessing(size=48, resize=48), labels=["a", "b", "c"])
    one = pd.DataFrame([("lrp positive", 0, "cascading", 1, 1, 0, 0.5)], columns=list(COLUMNS))
    curves = CascadeCurves(one, METHODS, own, "coffee")
    assert "silu" in curves.summary.lower()
    assert curves.pictures.value == ""
    assert curves.similarity is None
