"""MatrixDepth: the numbers it shows are those of the matrices it names."""

from __future__ import annotations

import base64
import io
import math
import re

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from posgrad_edu.widgets import MatrixDepth
from posgrad_edu.widgets.matrix_depth import (
    DEEPEST,
    ENTRIES,
    GATES,
    WIDTHS,
    angle_between,
    angle_in_words,
    propagate,
    ratio_of,
)

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def made() -> MatrixDepth:
    return MatrixDepth()


@pytest.fixture
def slider(made: MatrixDepth) -> MatrixDepth:
    made.depth.value, made.entries.value, made.gates.value, made.width.value = 1, "signed", 0.0, 64
    return made


def layers(depth: int, entries: str, gates: float, width: int, seed: int = 0) -> list[Array]:
    """The matrices, drawn anew: normal entries, then the switch, then the closed gates' rows set to zero."""
    weights, gate_order = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    drawn = []
    for _ in range(depth):
        matrix = weights.standard_normal((width, width))
        if entries == "positive":
            matrix = np.where(matrix > 0, matrix, 0)
        closed = gate_order.permutation(width) < round(gates * width)
        matrix[closed] = 0
        drawn.append(matrix)
    return drawn


def degrees(one: Array, other: Array) -> float:
    return math.degrees(math.acos(np.clip(one @ other / np.linalg.norm(one) / np.linalg.norm(other), -1, 1)))


@pytest.mark.parametrize("entries", ENTRIES)
@pytest.mark.parametrize("gates", [0.0, 0.5])
@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.slow
def test_angle_and_ratio_are_those_of_the_matrices(slider: MatrixDepth, entries: str, gates: float, depth: int) -> None:
    slider.depth.value, slider.entries.value, slider.gates.value = depth, entries, gates
    one, other = np.eye(64)[0], np.eye(64)[1]
    product = np.eye(64)
    for matrix in layers(depth, entries, gates, 64):
        product = matrix @ product
        one, other = matrix @ one, matrix @ other
        if entries == "clamped":
            one, other = np.where(one > 0, one, 0), np.where(other > 0, other, 0)
    assert slider.angle == pytest.approx(degrees(one, other), abs=1e-4)
    for shown, expected in zip(slider.vectors, (one, other), strict=True):
        assert shown == pytest.approx(expected / np.linalg.norm(expected))
    if entries == "clamped":
        assert math.isnan(slider.ratio)
        assert "no singular values" in slider.summary
    else:
        gram = np.sort(np.linalg.eigvalsh(product.T @ product))  # the squares of the singular values
        assert slider.ratio == pytest.approx(math.sqrt(gram[-2] / gram[-1]), rel=1e-4)


def test_it_starts_at_right_angles_whatever_the_matrices(slider: MatrixDepth) -> None:
    slider.depth.value = 0
    for slider.entries.value in ENTRIES:
        assert slider.angle == pytest.approx(90)
    slider.entries.value = "signed"
    assert slider.ratio == 1


def test_positive_collapses_signed_does_not_and_the_clamp_is_in_between(slider: MatrixDepth) -> None:
    slider.depth.value, slider.width.value = 6, 128
    angles = {}
    for slider.entries.value in ENTRIES:
        angles[slider.entries.value] = slider.angle
    assert angles["positive"] < 1 < 20 < angles["clamped"] < 60 < angles["signed"]


def test_width_hurts_positive_and_helps_signed() -> None:
    positive = [propagate("positive", 0.0, width).ratios[1] for width in WIDTHS[1:]]
    signed = [propagate("signed", 0.0, width).ratios[33] for width in WIDTHS]
    assert positive == sorted(positive, reverse=True)
    assert signed[0] < 0.1 < 0.5 < signed[-1]


def test_gates_close_the_share_they_say_and_leave_the_weights_alone() -> None:
    for gates in GATES[:-1]:
        vectors = propagate("positive", gates, 64).vectors
        assert (vectors[5] == 0).all(0).sum() == round(gates * 64)
    free, gated = (propagate("signed", gates, 64).vectors[1, 0] for gates in (0.0, 0.5))
    opened = gated != 0
    assert gated[opened] == pytest.approx(free[opened] / np.linalg.norm(free[opened]))


def test_where_nothing_arrives_that_is_said(slider: MatrixDepth) -> None:
    slider.depth.value, slider.width.value, slider.gates.value = 5, 4, 0.9
    assert math.isnan(slider.angle)
    assert "Nothing arrives" in slider.summary
    assert 'src="data:image/png' in slider.pictures.value
    slider.width.value = 128
    assert "The angle between" in slider.summary


@pytest.mark.slow
def test_moving_a_control_changes_picture_and_words(slider: MatrixDepth) -> None:
    seen = set()
    for slider.depth.value in (2, 3):
        for slider.entries.value in ENTRIES:
            for slider.gates.value in (0.0, 0.25):
                for slider.width.value in (16, 64):
                    seen.add((slider.pictures.value, slider.summary, slider.setting))
    assert len({picture for picture, _, _ in seen}) == len({words for _, words, _ in seen}) == len(seen) == 24
    found = re.search(r'src="data:image/png;base64,([^"]+)"', slider.pictures.value)
    assert found is not None
    levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("L"))
    assert levels.std() > 10


def test_the_figure_shows_the_signals(slider: MatrixDepth) -> None:
    slider.depth.value, slider.entries.value = 4, "positive"
    scatter, angles = slider.figure().axes
    dots = scatter.lines[-1]
    assert np.array([dots.get_xdata(), dots.get_ydata()]) == pytest.approx(slider.vectors)
    curves = {line.get_label(): line.get_ydata() for line in angles.lines}
    for entries in ENTRIES:
        assert curves[entries] == pytest.approx(propagate(entries, 0.0, 64).angles, nan_ok=True)
        assert len(curves[entries]) == DEEPEST + 1
    assert angles.lines[-1].get_xdata()[0] == 4


def test_the_alt_text_names_the_setting_and_says_the_numbers(slider: MatrixDepth) -> None:
    slider.depth.value = 3
    entries, by_depth = re.findall(r'alt="([^"]+)"', slider.pictures.value)
    assert "3 layers of width 64, signed, 0 % of the gates closed" in entries
    assert slider.summary in by_depth
    assert slider.figure().alt == slider.alt
    assert slider.setting in slider.alt
    assert slider.summary in slider.alt


def test_each_line_is_named(slider: MatrixDepth) -> None:
    (legend,) = [ax.get_legend() for ax in slider.figure().axes if ax.get_legend()]
    assert [text.get_text() for text in legend.get_texts()] == ["signed", "positive", "clamped", "shown"]


def test_seed_and_start_values() -> None:
    one = MatrixDepth(seed=1, depth=2, entries="positive", gates=0.25, width=16)
    assert one.setting == "2 layers of width 16, positive, 25 % of the gates closed"
    assert one.angle != MatrixDepth(seed=2, depth=2, entries="positive", gates=0.25, width=16).angle
    assert MatrixDepth().setting.startswith("1 layer of width 64")


@pytest.mark.parametrize(
    ("angle", "ratio", "says"),
    [
        (90.0, 0.9, "The second singular value is 0.90 of the first. The two can be told apart."),
        (0.04, 1e-5, "below 0.1 degrees. The second singular value is below 0.001 of the first."),
        (4.0, 0.05, "is 0.050 of the first. Which signal went in can hardly be told"),
        (179.0, 0.05, "only the sign tells the two apart"),
    ],
)
def test_the_sentence_follows_the_numbers(angle: float, ratio: float, says: str) -> None:
    assert says in angle_in_words("signed", angle, ratio)


def test_tiny_angles_are_exact_and_rank_one_is_zero() -> None:
    tilt = 1e-9
    assert angle_between(np.array([1.0, 0]), np.array([1.0, tilt])) == pytest.approx(math.degrees(tilt))
    assert angle_between(np.array([1.0, 0]), np.array([-1.0, 0])) == pytest.approx(180)
    assert ratio_of(np.outer([1.0, 2, 3], [4.0, 5, 6])) < 1e-12
    assert ratio_of(np.diag([1.0, 4.0, 2.0])) == pytest.approx(0.5)
    assert math.isnan(ratio_of(np.zeros((3, 3))))
