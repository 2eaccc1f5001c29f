"""Colours of maps: what a colour must mean is written out here, for maps whose values are known."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from posgrad_edu.data.photos import load_photo
from posgrad_edu.viz import (
    alt_text,
    colour_map,
    describe_map,
    faded,
    figure_class,
    heatmap,
    map_title,
    map_titles,
    overlay,
    pair_limit,
    show_grid,
    signed_number,
    symmetric_limit,
    to_html_img,
    to_png,
    true_minus,
    two_digits,
)
from posgrad_edu.viz.frames import film, pages, show_frames

NBSP = "\N{NO-BREAK SPACE}"


@pytest.fixture
def photo() -> Image.Image:
    return load_photo("coffee").crop((100, 0, 500, 400)).resize((96, 96))


def ramp(size: int = 96) -> np.ndarray:
    """From -1 at the left to +1 at the right."""
    return np.tile(np.linspace(-1, 1, size), (size, 1))


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, dtype=int)


def panels(figure: Any) -> dict[str, np.ndarray]:
    """The pictures in a figure, by their titles, before matplotlib resizes them."""
    return {ax.get_title(): np.asarray(ax.get_images()[0].get_array()) for ax in figure.axes if ax.get_images()}


# --- Scales ---


def test_limit_is_the_largest_magnitude_of_all_maps() -> None:
    assert symmetric_limit([np.array([[1.0, -3.0]]), torch.tensor([[2.0, 0.5]])]) == 3.0
    assert symmetric_limit([np.zeros((2, 2))]) == 1.0
    assert symmetric_limit(iter([np.full((1, 1), -1e-12)])) == 1e-12


def test_limit_by_quantile_ignores_a_few_outliers_but_is_never_zero() -> None:
    values = np.arange(1, 1001, dtype=float).reshape(10, 100)
    assert symmetric_limit([values], quantile=0.5) == pytest.approx(np.median(values))
    values[0, 0] = -1e6
    assert symmetric_limit([values], quantile=0.99) < 1000
    lone = np.zeros((100, 100))
    lone[3, 3] = -5
    assert symmetric_limit([lone], quantile=0.9) == 5.0


@pytest.mark.parametrize("quantile", [0, -0.1, 1.5, float("nan")])
def test_limit_refuses_other_quantiles_and_no_maps(quantile: float) -> None:
    with pytest.raises(ValueError, match="quantile is a share"):
        symmetric_limit([np.ones((2, 2))], quantile)
    with pytest.raises(ValueError, match="at least one map"):
        symmetric_limit([])


def test_a_pair_of_maps_has_a_scale_between_both_peaks() -> None:
    assert pair_limit(np.zeros((2, 3, 3))) == 1.0
    assert pair_limit(torch.tensor([[[0.25]], [[-1.0]]])) == 0.5
    assert pair_limit([np.array([[1.0]]), np.array([[1e-9]])]) == pytest.approx(0.05**0.5)  # not all black


# --- Colours ---


def test_colour_map_is_white_at_zero_red_for_and_blue_against() -> None:
    colours = colour_map()
    assert colours(0.5)[:3] == (1, 1, 1)
    red, blue = colours(1.0), colours(0.0)
    assert red[0] > 0.7 > 0.3 > red[2]
    assert blue[2] > 0.7 > 0.3 > blue[0]


def luminance(colour: np.ndarray) -> float:
    return float(np.array([0.2126, 0.7152, 0.0722]) @ colour)


# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as eyes without one kind of cone see it.
SEEN_BY = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("eyes", SEEN_BY)
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_for_and_against_differ_for_colour_blind_eyes(eyes: str, strength: float) -> None:
    ends = [pixels(heatmap(np.array([[v]]), 1.0))[0, 0] / 255 for v in (strength, -strength, 0.0)]
    linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in ends]
    seen = [np.clip(np.array(SEEN_BY[eyes]) @ c, 0, 1) for c in linear]
    assert np.linalg.norm(seen[0] - seen[1]) > 0.25 * strength  # red against blue
    assert np.linalg.norm(seen[0] - seen[2]) > 0.25 * strength  # red against white
    assert np.linalg.norm(seen[1] - seen[2]) > 0.25 * strength


def test_red_and_blue_are_about_equally_light() -> None:
    red, blue = (pixels(heatmap(np.array([[v]]), 1.0))[0, 0] / 255 for v in (1.0, -1.0))
    assert luminance(red) == pytest.approx(luminance(blue), abs=0.1)


def test_heatmap_is_the_colour_map_of_the_scaled_values() -> None:
    values = ramp(33) * 7
    expected = 255 * colour_map()((values / 7 + 1) / 2)[..., :3]
    assert np.abs(pixels(heatmap(values)) - expected).max() <= 1.5


def test_heatmap_has_a_pixel_for_each_value_and_clips_beyond_the_limit() -> None:
    picture = pixels(heatmap(np.array([[0, 1, 2, 50], [0, -1, -2, -50]]), limit=2.0))
    assert picture.shape == (2, 4, 3)
    assert (picture[:, 0] == 255).all()
    assert (picture[:, 2] == picture[:, 3]).all()
    assert (picture[0, 1] != picture[0, 2]).any()


# --- Overlays ---


def test_zero_map_shows_exactly_the_faded_photo(photo: Image.Image) -> None:
    assert overlay(photo, np.zeros((96, 96))) == faded(photo)
    grey = pixels(photo.convert("L"))
    assert np.abs(pixels(faded(photo))[..., 1] - (grey + 0.4 * (255 - grey))).max() <= 0.5


def test_opacity_zero_hides_nothing_and_one_hides_all(photo: Image.Image) -> None:
    assert overlay(photo, ramp(), opacity=0) == faded(photo)
    full = np.sign(ramp())
    assert overlay(photo, full, opacity=1) == heatmap(full)


def test_red_where_positive_blue_where_negative(photo: Image.Image) -> None:
    values = ramp()
    picture = pixels(overlay(photo, values))
    redness = picture[..., 0] - picture[..., 2]
    assert (redness[values > 0.05] > 0).all()
    assert (redness[values < -0.05] < 0).all()


def test_strength_is_proportional_to_the_magnitude() -> None:
    flat = Image.new("RGB", (64, 64), (128, 128, 128))
    background = pixels(faded(flat))[0, 0]
    for sign in (1, -1):
        change = {v: pixels(overlay(flat, np.full((64, 64), sign * v), 1.0))[0, 0] - background for v in (0.25, 0.5, 1)}
        assert np.abs(change[0.5] * 2 - change[1]).max() <= 2
        assert np.abs(change[0.25] * 4 - change[1]).max() <= 4
        assert np.abs(change[1]).max() > 60


def test_zero_stays_neutral_in_a_map_of_one_sign(photo: Image.Image) -> None:
    values = np.zeros((96, 96))
    values[:, 48:] = 5
    picture, plain = pixels(overlay(photo, values)), pixels(faded(photo))
    assert (picture[:, :48] == plain[:, :48]).all()
    assert (picture[:, 48:] != plain[:, 48:]).any(axis=-1).mean() > 0.99


def test_sign_flip_swaps_the_colours() -> None:
    values = ramp(32)
    assert (pixels(heatmap(values)) == pixels(heatmap(-values))[:, ::-1]).all()


def test_the_smaller_is_enlarged_to_the_larger(photo: Image.Image) -> None:
    coarse = np.array([[1.0, 1, 1], [1, 1, 1], [-1, -1, -1]])
    fine = overlay(photo, coarse)
    assert fine.size == (96, 96)
    redness = pixels(fine)[..., 0] - pixels(fine)[..., 2]
    assert (redness[:40] > 0).all()
    assert (redness[-20:] < 0).all()
    assert overlay(photo.resize((24, 24)), ramp(96)).size == (96, 96)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("photo_size", "map_size", "size"),
    [
        ((640, 480), (7, 7), None),  # other proportions
        ((2000, 1500), (8, 6), (2000, 1500)),
        ((1500, 2000), (6, 8), (1500, 2000)),
        ((8, 6), (2000, 1500), (2000, 1500)),
        ((2048, 2048), (224, 224), (2048, 2048)),
        ((224, 224), (2048, 2048), (2048, 2048)),
        ((1000, 667), (15, 10), (1000, 667)),  # as near as whole pixels allow
    ],
)
def test_a_large_overlay_is_as_large_as_the_larger_of_the_two(
    photo_size: tuple[int, int], map_size: tuple[int, int], size: tuple[int, int] | None
) -> None:
    large, values = Image.new("RGB", photo_size, (90, 120, 40)), np.ones(map_size[::-1])
    if size is None:
        with pytest.raises(ValueError, match="other proportions"):
            overlay(large, values)
    else:
        assert overlay(large, values).size == size


@pytest.mark.parametrize(("off", "fits"), [(10, True), (11, False)])
def test_a_large_photo_may_be_one_per_cent_off_the_maps_proportions(off: int, fits: bool) -> None:
    large, values = Image.new("RGB", (1000, 1000 + off)), np.ones((1000, 1000))
    if fits:
        assert overlay(large, values).size == (1000, 1010)
    else:
        with pytest.raises(ValueError, match="other proportions"):
            overlay(large, values)


def test_a_photo_of_other_proportions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"600 x 400 and the map 224 x 224.*clf\.view"):
        overlay(load_photo("coffee"), np.ones((224, 224)))
    assert overlay(load_photo("coffee"), np.ones((5, 7))).size == (600, 400)  # as near as whole cells allow


@pytest.mark.parametrize("draw", [heatmap, lambda m: overlay(Image.new("RGB", (4, 4)), m), describe_map])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_maps_that_are_not_finite_are_refused(draw: Any, bad: float) -> None:
    values = torch.ones(4, 4)
    values[1, 2] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        draw(values)


def test_shapes_kinds_and_limits() -> None:
    plain = heatmap(np.array([[1.0, -0.5]]))
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        assert heatmap(torch.tensor([[1.0, -0.5]], dtype=kind)) == plain
    assert heatmap(torch.tensor([[[1.0, -0.5]]], requires_grad=True)) == plain  # (1, H, W): one photo
    assert heatmap([[2, -1]]) == plain
    for shape in ((2, 3, 3), (3,), (0, 4)):
        with pytest.raises(ValueError, match=re.escape(f"not of shape {shape}")):
            heatmap(np.ones(shape))
    for limit in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="limit is a magnitude above zero"):
            heatmap(np.ones((2, 2)), limit)
    with pytest.raises(ValueError, match="opacity is a share"):
        overlay(Image.new("RGB", (2, 2)), np.ones((2, 2)), opacity=2)


def test_arguments_are_left_as_they_were(photo: Image.Image) -> None:
    values, before = torch.tensor(ramp()), photo.copy()
    overlay(photo, values, 0.5)
    show_grid(photo, {"a": values})
    assert torch.equal(values, torch.tensor(ramp()))
    assert photo == before


# --- Grids ---


def test_equal_values_have_equal_colours_in_all_panels(photo: Image.Image) -> None:
    weak, strong = np.full((96, 96), 0.25), np.full((96, 96), 0.25)
    strong[:, 48:] = -4  # would turn the weak half pale in a scale of its own
    seen = panels(show_grid(photo, {"weak": weak, "strong": strong}))
    assert (seen["weak"][:, :48] == seen["strong"][:, :48]).all()
    assert (seen["weak"] == pixels(overlay(photo, weak, 4.0))).all()
    assert (seen["weak"] != pixels(overlay(photo, weak, 0.25))).any()
    assert (seen["photo"] == pixels(photo)).all()


def test_a_scale_a_row(photo: Image.Image) -> None:
    rows = {"large": {"a": ramp() * 1000, "b": ramp() * 500}, "small": {"c": ramp(), "d": ramp() / 2}}
    shared = panels(show_grid(photo, rows, style="heatmap"))
    each = panels(show_grid(photo, rows, style="heatmap", share="row"))
    assert (shared["a"] == each["a"]).all()
    assert (shared["c"] > 250).all()  # nearly white beside the large ones
    assert (each["c"] == each["a"]).all()
    assert (each["d"] == each["b"]).all()


def test_a_scale_a_column_holds_for_rows_of_one_group(photo: Image.Image) -> None:
    rows = {
        "gradcam, signed": {"a": ramp(), "b": ramp() * 3},
        "gradcam, positive": {"a": ramp() * 2, "b": ramp()},
        "other": {"a": ramp() * 50, "b": ramp() * 70},
    }
    grid = show_grid(photo, rows, share="column", groups=["gradcam", "gradcam", "other"])
    bars = [ax for ax in grid.axes if ax.get_label() == "<colorbar>"]
    assert [bar.get_xlim()[1] for bar in bars] == [2, 3, 50, 70]
    assert {bar.get_xlabel() for bar in bars} == {"evidence against ← → evidence for"}
    ungrouped = show_grid(photo, rows, share="column", words=None)
    bars = [ax for ax in ungrouped.axes if ax.get_label() == "<colorbar>"]
    assert [bar.get_xlim()[1] for bar in bars] == [50, 70]
    assert {bar.get_xlabel() for bar in bars} == {""}
    with pytest.raises(ValueError, match="a group for each row"):
        show_grid(photo, rows, share="column", groups=["gradcam"])


def test_a_scale_a_map(photo: Image.Image) -> None:
    figure = show_grid(photo, {"a": ramp(), "b": ramp() * 3}, style="heatmap", share="map")
    assert (panels(figure)["a"] == panels(figure)["b"]).all()
    bars = [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]
    assert [bar.get_ylim()[1] for bar in bars] == [1, 3]
    assert [len(bar.texts) for bar in bars] == [0, 2]  # the words stand where nothing else does


def test_limits_by_scale(photo: Image.Image) -> None:
    figure = show_grid(photo, {"a": ramp(), "b": ramp()}, style="heatmap", share="column", limit=[2, 4])
    assert (panels(figure)["a"] == heatmap(ramp(), 2)).all()
    assert (panels(figure)["b"] == heatmap(ramp(), 4)).all()
    with pytest.raises(ValueError, match=r"1 don't fit 2 scale"):
        show_grid(photo, {"a": ramp(), "b": ramp()}, share="map", limit=[2])


def test_a_style_and_a_quantile_for_each_row(photo: Image.Image) -> None:
    spiked = ramp()
    spiked[0, 0] = 500
    rows = {"cam": {"a": spiked}, "fine": {"b": spiked}}
    figure = show_grid(photo, rows, share="row", style=["overlay", "heatmap"], quantile=[None, 0.99])
    assert (panels(figure)["a"] == overlay(photo, spiked, 500)).all()
    assert (figure.axes[-3].images[0].get_array() == heatmap(spiked, symmetric_limit([spiked], 0.99))).all()
    with pytest.raises(ValueError, match=r"one style, or one for each row of maps: 1 don't fit 2 row"):
        show_grid(photo, rows, style=["overlay"])


def test_words_of_maps_that_are_no_evidence() -> None:
    figure = show_grid(None, {"m": np.abs(ramp())}, style="heatmap", words=("strong", ""))
    assert [text.get_text() for text in figure.axes[-1].texts] == ["strong", ""]
    assert "vidence" not in figure.alt
    assert figure.alt.startswith("m: Red only, most of it ")
    plain = show_grid(None, {"m": ramp()}, style="heatmap", words=None)
    assert list(plain.axes[-1].texts) == []
    assert "most blue " in plain.alt
    assert describe_map(np.zeros((2, 2)), evidence=False) == "No colour anywhere: the map is zero."


def test_size_is_how_wide_a_panel_is(photo: Image.Image) -> None:
    small, large = (show_grid(photo, {"a": ramp()}, size=size) for size in (2, 4))
    assert large.get_size_inches()[0] - small.get_size_inches()[0] == pytest.approx(2 * 2)
    with pytest.raises(ValueError, match="above 0, not 0"):
        show_grid(photo, {"a": ramp()}, size=0)


def test_frames_have_the_grid_s_scales_and_one_size(photo: Image.Image) -> None:
    rows = {"signed": {"a": ramp(), "b": ramp() * 3}, "positive": {"a": ramp() * 2, "b": ramp()}}
    frames = show_frames(photo, rows, share="column", groups=["cam", "cam"])
    for frame, (label, maps) in zip(frames, rows.items(), strict=True):
        assert (panels(frame)["a"] == overlay(photo, maps["a"], 2)).all()
        assert (panels(frame)["b"] == overlay(photo, maps["b"], 3)).all()
        assert frame.alt.startswith(f"{label}. a: ")
    assert len({tuple(frame.get_size_inches()) for frame in frames}) == 1
    own = show_frames(photo, rows, share="row", style=["overlay", "heatmap"], quantile=[None, 0.9])
    assert (panels(own[0])["a"] == overlay(photo, ramp(), 3)).all()
    assert (panels(own[1])["a"] == heatmap(ramp() * 2, symmetric_limit(rows["positive"].values(), 0.9))).all()


def test_maps_lie_in_the_same_places_where_titles_take_more_lines_and_fewer(photo: Image.Image) -> None:
    titles = "short", "a title that takes more than one line of the figure, since it goes on and on"
    for labels in (titles, titles[::-1]):
        frames = show_frames(photo, {label: {"a": ramp()} for label in labels})
        one, other = (np.asarray(frame) for frame in pages(frames))
        assert one.shape == other.shape
        different = (one != other).any(axis=(1, 2)).nonzero()[0]
        assert 0 < different.max() < len(one) / 4  # the titles alone


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_a_film_cuts_no_frame_off(photo: Image.Image, kind: str) -> None:
    small, large = (show_grid(photo, {"a": ramp()}, size=size) for size in (1.0, 1.5))
    for figures in ([small, large], [large, small]):
        made = Image.open(io.BytesIO(film(figures, kind, dpi=50)))
        assert made.size == tuple((large.get_size_inches() * 50).astype(int))


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_a_film_shows_each_frame_long_enough_to_read(photo: Image.Image, kind: str) -> None:
    frames = show_frames(photo, {"one": {"a": ramp()}, "two": {"a": -ramp()}})
    film_made = Image.open(io.BytesIO(film(frames, kind, dpi=50)))
    assert (film_made.format, film_made.n_frames) == (kind.upper(), 2)  # type: ignore[attr-defined]
    levels = []
    for n in range(2):
        film_made.seek(n)
        film_made.load()
        assert film_made.info["duration"] >= 2500
        levels.append(np.asarray(film_made.convert("RGB")).astype(int))
    assert np.abs(levels[0] - levels[1]).mean() > 1


def test_limit_and_quantile_are_passed_on() -> None:
    values = ramp() * 3
    assert (panels(show_grid(None, {"m": values}, style="heatmap", limit=9))["m"] == heatmap(values, 9)).all()
    spiked = ramp()
    spiked[0, 0] = 500
    by_quantile = panels(show_grid(None, {"m": spiked}, style="heatmap", quantile=0.99))["m"]
    assert (by_quantile == heatmap(spiked, symmetric_limit([spiked], 0.99))).all()


def test_layout_of_lines_and_rows(photo: Image.Image) -> None:
    six = show_grid(photo, {f"m{i}": ramp() for i in range(6)}, columns=3, colour_bar=False)
    assert [ax.get_subplotspec().get_geometry()[:2] for ax in six.axes] == [(2, 4)] * 7
    assert [ax.get_subplotspec().colspan.start for ax in six.axes] == [0, 1, 2, 3, 1, 2, 3]
    rows = {label: {name: ramp() for name in ("signed", "positive")} for label in ("GradCAM", "gradient")}
    grid = show_grid(photo, rows, colour_bar=False)
    assert [ax.get_ylabel() for ax in grid.axes] == ["", "GradCAM", "", "gradient", ""]
    assert [ax.get_title() for ax in grid.axes] == ["photo", "signed", "positive", "", ""]


def test_colour_bar_names_both_sides_and_its_ends() -> None:
    figure = show_grid(None, {"m": ramp() * 0.5}, style="heatmap")
    bar = figure.axes[-1]
    assert bar.get_ylim() == (-0.5, 0.5)
    assert [label.get_text() for label in bar.get_yticklabels()] == ["−0.5", "0", "+0.5"]
    heights = {text.get_text().replace("\n", " "): text.xy[1] for text in bar.texts}
    assert heights == {"evidence for": 1, "evidence against": 0}
    assert len(show_grid(None, {"m": ramp()}, style="heatmap", colour_bar=False).axes) == 1
    rows = {"a": {"m": ramp()}, "b": {"m": 2 * ramp()}}
    bars = show_grid(None, rows, style="heatmap", share="row").axes[-2:]
    assert [bar.get_ylim() for bar in bars] == [(-1, 1), (-2, 2)]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("limit", [None, 0.5])  # 0.5: values lie beyond the scale, so its ends are pointed
@pytest.mark.parametrize("share", ["all", "row"])
@pytest.mark.slow
def test_words_beside_a_colour_bar_keep_clear_of_it(count: int, limit: float | None, share: Any) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    rows = {f"row {i}": {"signed": ramp(), "positive": ramp() / 2} for i in range(count)}
    figure = show_grid(Image.new("RGB", (96, 96)), rows, limit=limit, share=share)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    bars = [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]
    words = [text.get_window_extent(renderer) for bar in bars for text in bar.texts]
    numbers = [label.get_window_extent(renderer) for bar in bars for label in bar.get_yticklabels()]
    drawn = [
        Bbox.union([bar.get_window_extent(renderer), *(patch.get_window_extent(renderer) for patch in bar.patches)])
        for bar in bars
    ]
    assert len(words) == 2
    assert all(len(bar.patches) == 2 * (limit is not None) for bar in bars)  # the points
    assert not any(word.overlaps(other) for word in words for other in [*numbers, *drawn])


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("size", [(96, 96), (60, 96), (96, 50)])
def test_no_text_is_cut_off_and_no_titles_overlap(count: int, size: tuple[int, int]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    name = "class 747, punching bag, punch bag, punching ball, punchball < 0.1 %, logit -3.6"
    maps = {f"{name} {i}": np.ones(size[::-1]) for i in range(count)}
    figure = show_grid(Image.new("RGB", size), maps, title="A long title that says what this is about. " * 3)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = [t.get_window_extent(renderer) for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    assert len(boxes) > count + 3
    for box in boxes:
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y1 <= figure.bbox.y1 + 1
    titles = [ax.title.get_window_extent(renderer) for ax in figure.axes if ax.get_title()]
    for i, one in enumerate(titles):
        assert not any(one.overlaps(other) for other in titles[:i])


def test_grid_refusals(photo: Image.Image) -> None:
    with pytest.raises(ValueError, match="style is 'overlay' or 'heatmap'"):
        show_grid(photo, {"m": ramp()}, style="contour")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="share 'all' or 'row'"):
        show_grid(photo, {"m": ramp()}, share="each")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs the photo"):
        show_grid(None, {"m": ramp()})
    for maps in ({}, {3: ramp()}):
        with pytest.raises(ValueError, match="by their titles"):
            show_grid(photo, maps)  # type: ignore[arg-type]
    for mixed in ({"row": {"m": ramp()}, "map": ramp()}, {"row": {"m": ramp()}, "empty": {}}):
        with pytest.raises(ValueError, match="none of them empty"):
            show_grid(photo, mixed)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="columns is for maps without rows"):
        show_grid(photo, {"row": {"m": ramp()}}, columns=2)
    with pytest.raises(ValueError, match="columns is 1 or more"):
        show_grid(photo, {"m": ramp()}, columns=0)


# --- In Jupyter ---


def test_figure_shows_in_jupyter_with_alt_text(photo: Image.Image) -> None:
    formatter = pytest.importorskip("IPython.core.formatters").DisplayFormatter()
    figure = show_grid(photo, {"signed": ramp()}, title="GradCAM")
    data, metadata = formatter.format(figure)
    assert base64.b64decode(data["image/jpeg"]).startswith(b"\xff\xd8")  # with a photo in it
    assert metadata == {"image/jpeg": {"alt": figure.alt}}
    assert figure.alt.startswith("GradCAM. signed: Most evidence for the class")
    assert show_grid(photo, {"signed": ramp()}, alt="my words").alt == "my words"


def test_plain_text_output_does_not_depend_on_the_values(photo: Image.Image) -> None:
    formatter = pytest.importorskip("IPython.core.formatters").DisplayFormatter()
    texts = {formatter.format(show_grid(photo, {"m": ramp() * s}))[0]["text/plain"] for s in (1, -3)}
    assert len(texts) == 1


def test_importing_needs_no_matplotlib_and_drawing_no_pyplot() -> None:
    code = """
        import sys
        import numpy as np
        from PIL import Image
        from posgrad_edu import viz
        viz.overlay(Image.new("RGB", (9, 9)), np.ones((9, 9)))
        assert "matplotlib" not in sys.modules
        viz.to_png(viz.show_grid(Image.new("RGB", (9, 9)), {"m": np.ones((9, 9))}))
        assert "matplotlib.pyplot" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=120)


@pytest.mark.slow
def test_figures_can_be_drawn_in_threads(photo: Image.Image) -> None:
    def draw(i: int) -> bytes:
        return to_png(show_grid(photo, {"m": ramp() * (1 + i % 2)}))

    alone = [draw(0), draw(1)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(8))) == alone * 4


# --- Words ---


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.954, "95 %"), (0.0123, "1.2 %"), (0.0004, "< 0.1 %"), (0, "0 %"), (1, "100 %"), (0.999, "> 99 %")],
)
def test_map_title(probability: float, text: str) -> None:
    assert map_title("espresso", probability).replace(NBSP, " ") == f"espresso {text}"
    assert NBSP in map_title("espresso", probability)


@pytest.mark.parametrize(
    ("value", "text"), [(478.3, "480"), (24.2, "24"), (0.1549, "0.15"), (1.0, "1"), (12_345, "12000")]
)
def test_two_digits(value: float, text: str) -> None:
    assert two_digits(value) == text


def test_signed_numbers_have_a_true_minus_and_zero_none() -> None:
    assert [signed_number(value) for value in (-0.001, 0.256, -1.25)] == ["+0.00", "+0.26", "−1.25"]
    assert [signed_number(value, 0) for value in (-0.4, -10371.9)] == ["+0", "−10372"]
    assert true_minus("-1 to -2") == "−1 to −2"


def test_titles_of_classes_that_share_a_label() -> None:
    titles = map_titles([(134, "crane", 0.34), (2, "cup", 0.1), (517, "crane", 0.34), (2, "cup", 0.1)])
    assert [title.replace(NBSP, " ") for title in titles] == [
        "crane (class 134) 34 %",
        "cup 10 %",
        "crane (class 517) 34 %",
        "cup 10 %",
    ]


def test_map_title_with_logit_and_refusal() -> None:
    assert map_title("punching-bag", 0.5, -3.64).splitlines()[1] == "logit −3.6"
    assert map_title("punching-bag", 0.5, -3.64).startswith("punching-bag 50")
    assert map_title("cup", 0.5, 2.0).endswith("logit +2.0")
    for wrong in (95, -0.1, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 1"):
            map_title("cup", wrong)


@pytest.mark.parametrize("row", range(3))
@pytest.mark.parametrize("column", range(3))
def test_describe_map_names_the_place(row: int, column: int) -> None:
    values = np.zeros((30, 60))
    values[10 * row + 4, 20 * column + 9] = 3
    vertical, horizontal = ("upper", "middle", "lower")[row], ("left", "centre", "right")[column]
    place = "in the centre" if row == column == 1 else f"{vertical} {horizontal}"
    assert describe_map(values) == f"Evidence for the class only, most of it {place}."
    assert describe_map(-values) == f"Evidence against the class only, most of it {place}."


def test_describe_map_counts_the_signs() -> None:
    values = np.zeros((9, 9))
    values[0, 0], values[8, 8] = 62, -38
    assert describe_map(torch.tensor(values), limit=124).replace(NBSP, " ") == (
        "Most evidence for the class upper left, most evidence against it lower right; "
        "62 % of the magnitude is positive; the strongest value is 50 % of the scale."
    )
    assert describe_map(np.zeros((1, 1))) == "No evidence anywhere: the map is zero."
    assert alt_text("GradCAM for cup", np.zeros((2, 2))).startswith("GradCAM for cup: No evidence")


# --- Output ---


class Images(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "img"
        self.found.append(dict(attrs))


def test_png_holds_the_same_pixels(photo: Image.Image) -> None:
    assert Image.open(io.BytesIO(to_png(photo))).convert("RGB") == photo
    assert Image.open(io.BytesIO(to_png(show_grid(photo, {"m": ramp()})))).format == "PNG"


def test_html_img_holds_the_picture_and_escapes_its_text(photo: Image.Image) -> None:
    nasty = "\"><script>alert('x')</script> & < 0.1 %"
    parser = Images()
    parser.feed(to_html_img(photo, nasty, width=300))
    (image,) = parser.found
    assert image["alt"] == nasty
    assert image["width"] == "300"
    kind, data = (image["src"] or "").split(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") == photo


@pytest.mark.parametrize("alt", ["", "  "])
def test_html_img_refuses_empty_alt_text(photo: Image.Image, alt: str) -> None:
    with pytest.raises(ValueError, match="alt is empty"):
        to_html_img(photo, alt)


def test_a_chart_shows_in_jupyter_as_png() -> None:
    figure = figure_class()(figsize=(2, 2))
    figure.add_subplot().plot([0, 1])
    figure.alt = "a rising line"
    data, metadata = figure._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata == {"image/png": {"alt": "a rising line"}}
