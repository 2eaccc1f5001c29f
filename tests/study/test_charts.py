"""Charts of a study: what is drawn is held against means taken plainly here."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pandas as pd
import pytest
import torch

import posgrad_edu as pg
from posgrad_edu.methods import METHODS, resolve
from posgrad_edu.scenes import make_scene
from posgrad_edu.study.charts import _one_cascade, _points, dot_plot, plot, randomization_curves
from posgrad_edu.study.summary import interval, summarize
from posgrad_edu.viz import to_png

BLUE, RED, BLACK = "#0042d0", "#ce0018", "#000000"
NAN = math.nan
PHOTOS = ("cat", "coffee", "rocket")


def height(method: str, handling: str, photo: str, depth: int = 0, seed: int = 0) -> float:
    """A number that differs in each row, between -.5 and 1."""
    base = {"positive": 0.8, "absolute": 0.6, "none": 0.1}.get(handling, -0.2)
    return base - 0.05 * depth + 0.01 * seed + 0.03 * PHOTOS.index(photo) ** 2 - 0.002 * len(method)


def cascade(methods: dict[str, tuple[str, ...]], network: str = "net", mode: str = "cascading") -> pd.DataFrame:
    rows = []
    for method, handlings in methods.items():
        for handling in handlings:
            for photo in PHOTOS:
                for depth in (1, 3, 6):
                    for seed in (0, 1):
                        value = height(method, handling, photo, depth, seed)
                        names = {"network": network, "check": "parameters", "photo": photo, "method": method}
                        place = {"mode": mode, "depth": depth, "layers": 6, "seed": seed, "layer": f"conv{depth}"}
                        rows.append({**names, "handling": handling, **place, "spearman": value, "degenerate": False})
    return pd.DataFrame(rows)


def classes(methods: dict[str, tuple[str, ...]], network: str = "net", comparison: str = "least") -> pd.DataFrame:
    rows = []
    for method, handlings in methods.items():
        for handling in handlings:
            for photo in PHOTOS:
                names = {"network": network, "check": "class", "photo": photo, "method": method, "handling": handling}
                value = height(method, handling, photo)
                rows.append({**names, "comparison": comparison, "spearman": value, "degenerate": False})
    return pd.DataFrame(rows)


BOTH = ("signed", "positive")
USUAL = {"gradcam": BOTH, "guided-backprop": BOTH, "noise": ("none",), "edges": ("none",)}
LONG = dict.fromkeys(METHODS, (*BOTH, "absolute", "negative")) | {"noise": ("none",), "input-magnitude": ("none",)}


def panels(figure: Any) -> dict[str, Any]:
    return {ax.get_title(): ax for ax in figure.axes if ax.get_title()}


def lines(ax: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")}


def points(ax: Any) -> list[tuple[str, float, float, float, str, str]]:
    """Each mean with whiskers: line of the axis, mean, low, high, colour, marker."""
    names = [label.get_text() for label in ax.figure.axes[0].get_yticklabels()]
    places = dict(zip(ax.get_yticks(), names, strict=True))
    found = []
    for drawn in ax.containers:
        mean, _, (whiskers,) = drawn
        ((low, y), (high, _)) = whiskers.get_segments()[0]
        name = places[min(places, key=lambda place: abs(place - y))]
        found.append((name, mean.get_xdata()[0], low, high, mean.get_color(), mean.get_marker()))
    return found


def texts_in(artist: Any) -> list[Any]:
    from matplotlib.text import Text

    return [text for text in artist.findobj(Text) if text.get_text().strip() and text.get_visible()]


def assert_nothing_is_clipped(figure: Any) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas_of = FigureCanvasAgg(figure)
    canvas_of.draw()  # lays the figure out
    renderer = canvas_of.get_renderer()
    canvas = figure.bbox
    shown = [ax for ax in figure.axes if ax.axison]
    hidden = {text for ax in figure.axes if not ax.axison for text in texts_in(ax)}
    for axis in (axis for ax in shown for axis in (ax.xaxis, ax.yaxis)):  # ticks beyond the ends aren't drawn
        ends = sorted(axis.get_view_interval())
        beyond = [t for t in axis.get_major_ticks() if not ends[0] <= t.get_loc() <= ends[1]]
        hidden |= {text for tick in beyond for text in texts_in(tick)}
    assert shown
    boxes = {}
    for text in texts_in(figure):
        if text in hidden:
            continue
        box = text.get_window_extent(renderer)
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= canvas.x1 + 1 and box.y1 <= canvas.y1 + 1
        assert inside, f"{text.get_text()!r} is clipped"
        boxes[text] = box
    apart = [*figure.legends[0].get_texts(), figure._supxlabel, *(ax.title for ax in shown)]
    for i, one in enumerate(apart):
        for other in apart[:i]:
            assert not boxes[one].overlaps(boxes[other]), f"{one.get_text()!r} lies on {other.get_text()!r}"


# --- Parameters ---


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """What the curves are drawn from."""
    return _points(_one_cascade(rows))


def test_curves_are_means_over_photos() -> None:
    table = curves(cascade(USUAL))
    wanted = (table.method == "gradcam") & (table.handling == "positive")
    at = table[wanted].set_index("depth")
    assert list(at.index) == [0, 1, 3, 6]
    assert (at["mean"][0], at.low[0], at.high[0]) == (1, 1, 1)
    for depth in (1, 3, 6):
        photos = [
            statistics.fmean(height("gradcam", "positive", photo, depth, seed) for seed in (0, 1)) for photo in PHOTOS
        ]
        assert at["mean"][depth] == pytest.approx(statistics.fmean(photos))
        assert (at.low[depth], at.high[depth]) == pytest.approx(interval(photos))
        assert at.photos[depth] == 3


def test_degenerate_maps_leave_a_gap_in_a_curve() -> None:
    rows = cascade({"gradcam": BOTH})
    lost = (rows.depth == 3) & (rows.handling == "signed")
    rows.loc[lost, "spearman"], rows.loc[lost, "degenerate"] = NAN, True
    table = curves(rows)
    gap = table[(table.depth == 3) & (table.handling == "signed")].iloc[0]
    assert math.isnan(gap["mean"])
    assert gap.photos == 0
    figure = randomization_curves(rows)
    assert "gradcam, signed: −0.21, –, −0.46." in figure.alt
    to_png(figure)


def test_a_panel_a_method_with_both_handlings_and_the_controls() -> None:
    rows = cascade(USUAL)
    figure = randomization_curves(rows)
    table = curves(rows)
    assert list(panels(figure)) == ["gradcam", "guided-backprop"]
    for method, ax in panels(figure).items():
        drawn = lines(ax)
        assert list(drawn) == ["noise", "edges", "signed", "positive"]
        for handling in BOTH:
            expected = table[(table.method == method) & (table.handling == handling)]
            assert drawn[handling].get_xdata().tolist() == [0, 1, 3, 6]
            assert drawn[handling].get_ydata().tolist() == expected["mean"].tolist()
        assert drawn["noise"].get_ydata().tolist() == table[table.method == "noise"]["mean"].tolist()
        assert len(ax.collections) == 2  # a band each for signed and positive
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["signed", "positive", "noise", "edges"]
    for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
        assert handle.get_color() == drawn[text.get_text()].get_color()


def test_colour_is_not_needed_to_tell_curves_apart() -> None:
    drawn = lines(panels(randomization_curves(cascade(LONG | {"edges": ("none",)})))["fullgrad"])
    assert set(drawn) == {"signed", "positive", "absolute, as published", "noise", "edges"}
    assert drawn["signed"].get_color() == BLUE
    assert drawn["positive"].get_color() == RED
    assert drawn["absolute, as published"].get_color() == BLACK
    assert drawn["noise"].get_color() == drawn["edges"].get_color() == "#6e6e6e"
    looks = {(line.get_linestyle(), line.get_marker()) for line in drawn.values()}
    assert len(looks) == 5
    assert len({str(line._dash_pattern) for line in drawn.values() if line.get_color() == "#6e6e6e"}) == 2


def test_bands_are_the_intervals() -> None:
    rows = cascade({"gradcam": ("signed",)})
    table = curves(rows)
    (band,) = panels(randomization_curves(rows))["gradcam"].collections
    heights = {(round(x), round(y, 9)) for x, y in band.get_paths()[0].vertices}
    for _, point in table.iterrows():
        assert {(point.depth, round(point.low, 9)), (point.depth, round(point.high, 9))} <= heights


@pytest.mark.slow
@pytest.mark.parametrize("methods", [{"gradcam": BOTH}, USUAL, LONG])
def test_labels_of_curves_are_not_clipped(methods: dict[str, tuple[str, ...]]) -> None:
    assert_nothing_is_clipped(randomization_curves(cascade(methods)))


def test_the_description_of_curves_says_the_numbers() -> None:
    rows = cascade(USUAL)
    text = randomization_curves(rows).alt
    assert "net, with 1, 3, 6 random layers." in text
    mean = {
        depth: statistics.fmean(
            height("gradcam", "positive", photo, depth, seed) for photo in PHOTOS for seed in (0, 1)
        )
        for depth in (1, 3, 6)
    }
    assert f"gradcam, positive: {mean[1]:.2f}, {mean[3]:.2f}, {mean[6]:.2f}." in text
    assert "edges: " in text
    assert "negative" not in randomization_curves(cascade(LONG)).alt  # not drawn


def test_the_description_of_curves_takes_the_depth_in_the_middle() -> None:
    rows = cascade(USUAL)
    more = [rows.assign(depth=rows.depth.map(depths)) for depths in ({1: 1, 3: 3, 6: 6}, {1: 2, 3: 4, 6: 5})]
    assert "with 1, 4, 6 random layers." in randomization_curves(pd.concat(more)).alt


def test_curves_know_where_a_cascade_starts() -> None:
    for mode, words in (("cascading", "from the output downwards"), ("cascading-from-input", "from the input upwards")):
        figure = randomization_curves(cascade(USUAL, mode=mode))
        assert figure._supxlabel.get_text() == f"random layers, {words}, of 6"


def test_curves_of_several_cascades_or_none_are_refused() -> None:
    several = pd.concat([cascade(USUAL), cascade(USUAL, network="other")])
    with pytest.raises(ValueError, match="there are 2: net, cascading, logit; other, cascading, logit"):
        randomization_curves(several)
    with pytest.raises(ValueError, match=r"there are 0\. Choose"):
        randomization_curves(classes(USUAL))


def test_one_photo_has_a_curve_without_a_band() -> None:
    rows = cascade({"gradcam": ("signed",)})
    figure = randomization_curves(rows[rows.photo == "cat"])
    drawn = lines(panels(figure)["gradcam"])["signed"].get_ydata()
    assert drawn[1] == pytest.approx(height("gradcam", "signed", "cat", 1, 0) + 0.005)
    to_png(figure)


# --- Classes ---


def test_points_are_the_summarys_means_and_intervals() -> None:
    summary = summarize(classes(USUAL))
    (ax,) = panels(dot_plot(summary)).values()
    assert ax.get_title() == "net, 3 photos"
    found = {(name, colour): (mean, low, high) for name, mean, low, high, colour, _ in points(ax)}
    assert len(found) == 2 * 2 + 2
    for _, row in summary.iterrows():
        colour = {"signed": BLUE, "positive": RED, "none": "#6e6e6e"}[row.handling]
        expected = (row.spearman, row.spearman_low, row.spearman_high)
        assert found[row.method, colour] == pytest.approx(expected)


def test_methods_stand_in_order_with_controls_below() -> None:
    figure = dot_plot(summarize(classes(LONG)))
    (ax,) = panels(figure).values()
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [*METHODS, "noise", "input-magnitude"]
    assert list(ax.get_yticks()) == sorted(ax.get_yticks(), reverse=True)
    assert ax.get_xlim() == (-1.05, 1.05)
    zero, half = (line.get_xdata()[0] for line in ax.get_lines()[:2])
    assert (zero, half) == (0, 0.5)
    markers = {colour: marker for _, _, _, _, colour, marker in points(ax) if colour != "#6e6e6e"}
    assert len(set(markers.values())) == len(markers) == 3
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["signed", "positive", "absolute, as published"]


def test_a_panel_a_network_and_only_the_group_asked_for() -> None:
    rows = pd.concat(
        [classes(USUAL), classes({"gradcam": BOTH}, "other"), classes({"lrp": BOTH}, comparison="runner-up")]
    )
    summary = summarize(rows)
    figure = dot_plot(summary)
    assert list(panels(figure)) == ["net, 3 photos", "other, 3 photos"]
    assert {name for name, *_ in points(panels(figure)["other, 3 photos"])} == {"gradcam"}
    assert_nothing_is_clipped(figure)
    (ax,) = panels(dot_plot(summary, "class", "runner-up")).values()
    assert {name for name, *_ in points(ax)} == {"lrp"}
    with pytest.raises(ValueError, match="with the group 'present' in this summary; its groups are: least, runner-up"):
        dot_plot(summary, "class", "present")


@pytest.mark.parametrize("methods", [{"gradcam": BOTH}, LONG])
def test_labels_of_points_are_not_clipped(methods: dict[str, tuple[str, ...]]) -> None:
    rows = classes(methods)
    assert_nothing_is_clipped(dot_plot(summarize(rows)))
    assert_nothing_is_clipped(dot_plot(summarize(rows.replace("least", "runner-up")), "class", "runner-up"))


def test_one_photo_has_a_point_without_whiskers_and_a_degenerate_one_none() -> None:
    rows = classes({"gradcam": BOTH})
    rows = rows[rows.photo == "cat"].reset_index(drop=True)
    rows.loc[0, "spearman"], rows.loc[0, "degenerate"] = NAN, True
    (ax,) = panels(dot_plot(summarize(rows))).values()
    ((name, mean, low, high, colour, _),) = points(ax)
    assert (name, colour) == ("gradcam", RED)
    assert mean == low == high == pytest.approx(height("gradcam", "positive", "cat"))
    assert ax.get_title() == "net, 1 photo"


def test_the_description_of_points_says_the_numbers() -> None:
    summary = summarize(classes(LONG))
    text = dot_plot(summary).alt
    mean = statistics.fmean(height("gradcam", "signed", photo) for photo in PHOTOS)
    assert f"gradcam signed −{abs(mean):.2f}" in text
    assert "noise 0.14" in text
    assert "fullgrad absolute" in text
    assert "gradcam absolute" not in text  # not drawn
    assert "gradcam positive" not in dot_plot(summary, handlings=("signed",)).alt


def test_figures_show_themselves_with_their_description() -> None:
    for figure in (randomization_curves(cascade(USUAL)), dot_plot(summarize(classes(USUAL)))):
        data, metadata = figure._repr_mimebundle_()
        assert set(data) == {"image/png", "text/plain"}
        assert metadata["image/png"]["alt"] == figure.alt
        assert figure.canvas.manager is None  # not made by pyplot, which would keep it open


# --- Any table ---

TWO = {handling: resolve("gradcam", handling) for handling in BOTH}
NAMED = {"noise": resolve("noise"), "mine": resolve("gradcam", "positive")}


@pytest.fixture(scope="module")
def asked() -> tuple[torch.nn.Module, torch.Tensor, list, list]:
    """The scenes' network, two scenes, their boxes and classes."""
    clf, scenes = pg.load_classifier("scenes"), [make_scene(seed) for seed in range(2)]
    x = torch.cat([clf.batch(scene.image) for scene in scenes])
    return clf.net, x, [scene.boxes for scene in scenes], [list(scene.digits) for scene in scenes]


def test_a_table_of_one_method_is_drawn(asked: Any) -> None:
    net, x, boxes, classes_ = asked
    table = pg.class_sensitivity(net, x, "gradcam", "positive")
    (ax,) = panels(plot(table)).values()
    ((_, mean, _, _, colour, _),) = points(ax)
    assert (mean, colour) == (pytest.approx(table.spearman.mean()), BLACK)  # nobody said which handling it is
    assert ax.get_title() == "2 photos"
    table = pg.localization(net, x, boxes, classes_, "gradcam")
    figure = plot(table)
    ((_, mean, *_),) = points(figure.axes[0])
    assert mean == pytest.approx(table.groupby("photo").energy.mean().mean())
    assert figure.axes[0].get_lines()[1].get_xdata()[0] == pytest.approx(table.groupby("photo").area.mean().mean())
    assert figure.alt.startswith("Share of the evidence that lies in the object's box, asked about")
    assert figure.legends == []
    table = pg.parameter_sensitivity(net, x, "gradcam", depths=2, seeds=[0])
    (line,) = [line for line in plot(table).axes[0].get_lines() if len(line.get_xdata()) == 3]
    assert line.get_ydata().tolist() == pytest.approx([1, *table.groupby("depth").spearman.mean()])


def test_areas_under_curves_are_drawn(asked: Any) -> None:
    net, x, *_ = asked
    areas = pg.perturbation_areas(pg.perturbation(net, x, "gradcam", steps=2, progress=False))
    of_deletion = areas[areas["mode"] == "deletion"]
    ((_, mean, *_),) = points(plot(of_deletion).axes[0])
    assert mean == pytest.approx(of_deletion.advantage.mean())
    with pytest.raises(ValueError, match="One figure shows one mode"):
        plot(areas)


def test_labels_that_name_handlings_share_a_line_in_their_colours(asked: Any) -> None:
    net, x, *_ = asked
    table = pg.class_sensitivity(net, x, TWO)
    figure = plot(table)
    means = table.groupby("method").spearman.mean()
    found = {colour: mean for _, mean, _, _, colour, _ in points(figure.axes[0])}
    assert found == {BLUE: pytest.approx(means["signed"]), RED: pytest.approx(means["positive"])}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["signed", "positive"]


def test_all_handlings_of_a_measures_table_are_drawn(asked: Any) -> None:
    net, x, *_ = asked
    methods = {handling: resolve("gradcam", handling) for handling in ("negative", "absolute")}
    figure = plot(pg.class_sensitivity(net, x, methods))
    drawn = points(figure.axes[0])
    assert len(drawn) == len({marker for *_, marker in drawn}) == 2
    assert "negative" in figure.alt


def test_other_labels_have_a_line_each_with_controls_below(asked: Any) -> None:
    net, x, boxes, classes_ = asked
    twin = pg.load_classifier("scenes", weights="permuted-labels").net
    for table in (pg.data_sensitivity(net, twin, x, NAMED), pg.localization(net, x, boxes, classes_, NAMED)):
        figure = plot(table)
        assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["mine", "noise"]
        assert "mine " in figure.alt
        assert "noise " in figure.alt
        to_png(figure)


def test_layers_randomized_one_at_a_time_have_no_beginning() -> None:
    rows = cascade({"gradcam": BOTH}, mode="independent")
    assert curves(rows).depth.min() == 1
    figure = plot(rows)
    assert figure._supxlabel.get_text() == "the one random layer, counted from the output, of 6"
    assert "with layer 1, 3, 6 random." in figure.alt


def test_a_study_of_several_checks_is_drawn_one_at_a_time() -> None:
    rows = pd.concat([cascade(USUAL), classes(USUAL)], ignore_index=True)
    summary = summarize(rows)
    assert plot(rows).alt == plot(summary).alt == dot_plot(summary).alt
    assert plot(rows, "parameters").alt == randomization_curves(rows).alt
    assert plot(summary, "parameters").alt == dot_plot(summary, "parameters", "mean").alt
    with pytest.raises(ValueError, match="holds no data; there is: class, parameters"):
        plot(rows, "data")


def test_a_summary_of_several_modes_is_refused() -> None:
    summary = summarize(pd.concat([cascade(USUAL), cascade(USUAL, mode="cascading-from-input")]))
    with pytest.raises(ValueError, match="not cascading, cascading-from-input"):
        plot(summary)


def test_controls_alone_are_drawn() -> None:
    figure = plot(cascade({"noise": ("none",)}))
    assert list(panels(figure)) == ["noise"]
    assert list(lines(figure.axes[0])) == ["noise"]


@pytest.mark.parametrize("columns", [["a", "b"], ["photo", "spearman"], ["target", "energy"]])
def test_other_tables_are_refused(columns: list[str]) -> None:
    with pytest.raises(ValueError, match=f"columns {', '.join(columns)} can't be drawn"):
        plot(pd.DataFrame([[0] * len(columns)], columns=columns))
    with pytest.raises(ValueError, match="no sanity test; there is: none"):
        plot(cascade(USUAL).iloc[:0])
