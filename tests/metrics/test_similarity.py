"""The four measures, each against its definition in loops, against SciPy, scikit-image and Quantus."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import quantus
import scipy.stats
import skimage.feature
import skimage.metrics
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from posgrad_edu.metrics import similarity
from posgrad_edu.metrics.similarity import (
    Similarity,
    compare,
    compare_features,
    features,
    histograms,
    hog,
    is_degenerate,
    ranks,
    similarities,
    spearman,
    ssim,
)

generator = torch.Generator().manual_seed(0)


def smooth(count: int, size: int = 64, cells: int = 7) -> Tensor:
    """Return maps (count, size, size) like those of a CAM: few positions, resized."""
    coarse = torch.randn(count, 1, cells, cells, generator=generator)
    return F.interpolate(coarse, size=(size, size), mode="bilinear")[:, 0]


NOISE = torch.randn(4, 64, 64, generator=generator)
SMOOTH = smooth(4)
PAIRS = {
    "noise": (NOISE[0], NOISE[1]),
    "alike": (NOISE[0], NOISE[0] + NOISE[1] / 2),
    "ties": (NOISE[0].round(), (NOISE[0] + NOISE[1]).round()),
    "smooth": (SMOOTH[0], SMOOTH[1]),
    "positive": (SMOOTH[0].clamp(min=0), SMOOTH[1].clamp(min=0)),
    "mixed": (SMOOTH[0], NOISE[1].abs()),
}
each_pair = pytest.mark.parametrize(("a", "b"), PAIRS.values(), ids=PAIRS)


# --- The definitions, spelled out ---


def correlation_by_hand(a: list[float], b: list[float]) -> float:
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    covariance = sum((p - mean_a) * (q - mean_b) for p, q in zip(a, b, strict=True))
    spread = math.sqrt(sum((p - mean_a) ** 2 for p in a) * sum((q - mean_b) ** 2 for q in b))
    return covariance / spread


def ranks_by_hand(values: list[float]) -> list[float]:
    """Places from 1 in the sorted list; equal values share the mean of the places they take up."""
    places: dict[float, list[int]] = {}
    for place, value in enumerate(sorted(values), start=1):
        places.setdefault(value, []).append(place)
    return [sum(places[value]) / len(places[value]) for value in values]


def unit_by_hand(saliency: Tensor) -> np.ndarray:
    values = saliency.double().numpy()
    return (values - values.min()) / (values.max() - values.min())


def ssim_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, eq. 13, in each window of 7 x 7 that lies within the pictures; the dynamic range is 1."""
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for top in range(a.shape[0] - 6):
        for left in range(a.shape[1] - 6):
            p, q = (m[top : top + 7, left : left + 7].flatten() for m in (a, b))
            (var_p, covariance), (_, var_q) = np.cov(p, q)
            luminance = (2 * p.mean() * q.mean() + c1) / (p.mean() ** 2 + q.mean() ** 2 + c1)
            values.append(luminance * (2 * covariance + c2) / (var_p + var_q + c2))
    return sum(values) / len(values)


def hog_by_hand(picture: np.ndarray) -> list[float]:
    """Dalal and Triggs 2005: gradients, 9 unsigned orientations in cells of 16 x 16, blocks of 3 x 3, L2-Hys."""
    rows, columns = (side // 16 for side in picture.shape)
    cells = np.zeros((rows, columns, 9))
    for i in range(rows * 16):
        for j in range(columns * 16):
            down = picture[i + 1, j] - picture[i - 1, j] if 0 < i < picture.shape[0] - 1 else 0.0
            right = picture[i, j + 1] - picture[i, j - 1] if 0 < j < picture.shape[1] - 1 else 0.0
            angle = math.degrees(math.atan2(down, right)) % 180
            cells[i // 16, j // 16, int(angle // 20) % 9] += math.hypot(down, right) / 256
    vector: list[float] = []
    for i in range(rows - 2):
        for j in range(columns - 2):
            block = cells[i : i + 3, j : j + 3].flatten()
            block = np.minimum(block / math.sqrt((block**2).sum() + 1e-10), 0.2)
            vector += (block / math.sqrt((block**2).sum() + 1e-10)).tolist()
    return vector


# --- Rank correlation ---


def test_equal_values_share_their_mean_rank() -> None:
    assert ranks_by_hand([5.0, 1.0, 5.0, 5.0, 7.0]) == [3, 1, 3, 3, 5]
    tied, other = np.array([[5.0, 1.0], [5.0, 7.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])
    assert spearman(tied, other) == pytest.approx(correlation_by_hand([2.5, 1, 2.5, 4], [1, 2, 3, 4]), abs=1e-15)


@each_pair
def test_spearman_by_hand(a: Tensor, b: Tensor) -> None:
    a, b = a[::4, ::4], b[::4, ::4]
    expected = correlation_by_hand(ranks_by_hand(a.flatten().tolist()), ranks_by_hand(b.flatten().tolist()))
    magnitudes = [ranks_by_hand(m.abs().flatten().tolist()) for m in (a, b)]
    assert compare(a, b).spearman == pytest.approx(expected, abs=1e-12)
    assert compare(a, b).spearman_abs == pytest.approx(correlation_by_hand(*magnitudes), abs=1e-12)


@each_pair
def test_spearman_is_that_of_scipy_and_quantus(a: Tensor, b: Tensor) -> None:
    ours = compare(a, b)
    p, q = a.flatten().numpy(), b.flatten().numpy()
    for oracle in (lambda p, q: scipy.stats.spearmanr(p, q).statistic, quantus.similarity_func.correlation_spearman):
        assert ours.spearman == pytest.approx(oracle(p, q), abs=1e-12)
        assert ours.spearman_abs == pytest.approx(oracle(abs(p), abs(q)), abs=1e-12)


def test_a_reversed_map_is_told_by_the_signed_correlation_alone() -> None:
    reversed_ = compare(SMOOTH[0], -SMOOTH[0])
    assert reversed_.spearman == pytest.approx(-1)
    assert reversed_.spearman_abs == pytest.approx(1)
    assert reversed_.hog == pytest.approx(1)
    assert reversed_.ssim < 0


VALUES = {
    "noise": NOISE[0].numpy(),
    "in double precision": NOISE[0].double().numpy(),
    "ties": NOISE[0].round().numpy(),
    "mostly zero": SMOOTH[0].clamp(min=0).numpy(),
    "few that aren't zero": NOISE[0].where(NOISE[0].abs() > 1.5, 0.0).numpy(),
    "signed zeros": np.array([0.0, -0.0, 1.0, -1.0, -0.0]),
    "whole numbers": np.array([[3, 1], [1, 2]]),
    "infinite": np.array([1.0, math.inf, -math.inf, math.inf]),
    "not a number": np.array([1.0, math.nan, 0.0]),
    "one": np.array([4.0]),
    "none": np.array([]),
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_ranks_are_those_of_scipy_to_the_last_digit(values: np.ndarray) -> None:
    assert np.array_equal(ranks(values), scipy.stats.rankdata(values).ravel(), equal_nan=True)


def test_ranks_of_values_that_are_no_numbers_correlate_with_nothing() -> None:
    assert math.isnan(spearman(VALUES["not a number"], np.arange(3.0)))
    assert math.isnan(spearman(np.ones(3), np.arange(3.0)))
    assert math.isnan(spearman(VALUES["one"], VALUES["one"]))


OTHER_THREADS = """
import time
import numpy as np
from posgrad_edu.metrics.similarity import spearman
a, b = np.random.default_rng(0).random((2, 300, 300))
spearman(a, b)
start = time.process_time() - time.thread_time()
for _ in range(20):
    spearman(a, b)
print((time.process_time() - time.thread_time() - start) / time.thread_time())
"""


@pytest.mark.slow
def test_a_correlation_wakes_no_other_thread() -> None:
    """NumPy's BLAS would, and its threads stay awake: the next pass of the network took twice as long on two cores."""
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", OTHER_THREADS], env=free, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.05


# --- Structural similarity ---


@each_pair
def test_ssim_by_hand(a: Tensor, b: Tensor) -> None:
    a, b = a[:13, :17], b[:13, :17]
    assert compare(a, b).ssim == pytest.approx(ssim_by_hand(unit_by_hand(a), unit_by_hand(b)), abs=1e-9)


@each_pair
def test_ssim_is_quantus_s_where_quantus_is_given_pictures(a: Tensor, b: Tensor) -> None:
    theirs = quantus.similarity_func.ssim(unit_by_hand(a), unit_by_hand(b))
    assert compare(a, b).ssim == pytest.approx(theirs, abs=1e-9)


def test_quantus_s_ssim_of_flattened_maps_is_no_oracle() -> None:
    """Its metrics flatten maps first: windows of 7 values along the rows then, which turning both maps changes."""
    a, b = (unit_by_hand(m) for m in PAIRS["alike"])
    flat = quantus.similarity_func.ssim(a.flatten(), b.flatten())
    assert abs(flat - ssim(a, b)) > 0.01
    stripes = np.tile(np.sin(np.arange(64.0)), (64, 1)), np.tile(np.cos(np.arange(64.0)), (64, 1))
    turned = [m.T for m in stripes]
    assert ssim(*stripes) == pytest.approx(ssim(*turned), abs=1e-9)
    along, across = (quantus.similarity_func.ssim(p.flatten(), q.flatten()) for p, q in (stripes, turned))
    assert abs(along - across) > 0.05


def test_ssim_of_maps_smaller_than_its_window_is_undefined() -> None:
    assert math.isnan(ssim(np.eye(6), np.eye(6)))
    assert ssim(np.eye(7), np.eye(7)) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(64, 64), (7, 7), (7, 40), (33, 50)])
@each_pair
def test_ssim_is_scikit_image_s(a: Tensor, b: Tensor, shape: tuple[int, int]) -> None:
    a, b = (unit_by_hand(m[: shape[0], : shape[1]]) for m in (a, b))
    theirs = skimage.metrics.structural_similarity(a, b, data_range=1.0)
    assert ssim(a, b) == pytest.approx(theirs, abs=1e-10)


# --- Histograms of oriented gradients ---


def flat(slope: float) -> np.ndarray:
    """Return a picture whose values rise to the right and, by as much as ``slope``, downwards."""
    return np.arange(50.0) + slope * np.arange(50.0)[:, None]


PICTURES = {name: unit_by_hand(pair[0]) for name, pair in PAIRS.items()}
PICTURES |= {"oblong": unit_by_hand(NOISE[0, :49]), "black": np.zeros((48, 48))}
PICTURES |= {"orientations": np.cos(np.hypot(*np.mgrid[:80, :80]) / 5)}
# Angles of 0 and 180 degrees, and one that only rounding makes 180, which scikit-image counts nowhere.
PICTURES |= {"level": flat(0), "level, to the left": -flat(0), "rounded to 180": flat(-1e-16), "nearly": flat(-1e-9)}


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_histograms_are_scikit_image_s(picture: np.ndarray) -> None:
    """It adds up in single precision, and so is right to seven digits."""
    theirs = skimage.feature.hog(picture, 9, (16, 16), (3, 3))
    assert histograms(picture) == pytest.approx(theirs, rel=2e-6, abs=2e-6)


@each_pair
def test_hog_by_hand(a: Tensor, b: Tensor) -> None:
    a, b = a[:, :50], b[:, :50]  # two columns belong to no cell
    expected = correlation_by_hand(hog_by_hand(unit_by_hand(a)), hog_by_hand(unit_by_hand(b)))
    assert compare(a, b).hog == pytest.approx(expected, abs=1e-6)
    assert hog(a.double().numpy(), b.double().numpy()) == pytest.approx(expected, abs=1e-6)


def test_hog_needs_a_block_of_three_by_three_cells() -> None:
    assert math.isnan(compare(NOISE[0, :47], NOISE[1, :47]).hog)
    assert math.isnan(compare(NOISE[0, :, :47], NOISE[1, :, :47]).hog)
    small = compare(NOISE[0, :48, :48], NOISE[1, :48, :48])
    assert abs(small.hog) < 1
    assert not compare(NOISE[0, :47], NOISE[1, :47]).degenerate


def test_hog_tells_orientations_apart() -> None:
    row = torch.linspace(0, 1, 64)
    level, upright = row.expand(64, 64), row.unsqueeze(1).expand(64, 64)
    assert compare(level, level**2).hog > 0.9
    assert compare(level, upright).hog < 0.1


# --- All at once ---


@pytest.mark.parametrize("maps", [NOISE, SMOOTH, SMOOTH.clamp(min=0)], ids=["noise", "smooth", "positive"])
def test_all_at_once_is_each_by_itself(maps: Tensor) -> None:
    others = maps.roll(1, 0)
    assert similarities(maps, others) == [compare(a, b) for a, b in zip(maps, others, strict=True)]


@pytest.mark.parametrize("shape", [(64, 64), (1, 64, 64), (1, 1, 64, 64)])
def test_one_map_is_compared_with_each(shape: tuple[int, ...]) -> None:
    together = similarities(NOISE.reshape(2, 2, 64, 64), SMOOTH[0].reshape(shape))
    assert together == [compare(m, SMOOTH[0]) for m in NOISE]
    assert len({pair.spearman for pair in together}) == 4


def test_more_dimensions_are_taken_row_by_row() -> None:
    first, second = NOISE.reshape(2, 2, 64, 64), SMOOTH.reshape(2, 2, 64, 64)
    assert similarities(first, second) == [compare(first[i, j], second[i, j]) for i in range(2) for j in range(2)]


def test_a_map_is_looked_at_once_and_sorted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes time: two sorts a map, one where its magnitudes are the map itself; one mean over windows a pair."""
    calls: dict[str, int] = {}

    def counted(name: str, function: Callable) -> Callable:
        def call(*args: Any) -> Any:
            calls[name] = calls.get(name, 0) + 1
            return function(*args)

        return call

    for name in ("ranks", "histograms", "_window_mean"):
        monkeypatch.setattr(similarity, name, counted(name, getattr(similarity, name)))
    seen = features(torch.stack([*NOISE[:3], NOISE[3].abs()]))
    assert calls == {"ranks": 7, "histograms": 4, "_window_mean": 8}
    compare_features(seen, seen[::-1])
    assert calls == {"ranks": 7, "histograms": 4, "_window_mean": 12}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_is_taken_as_it_is(dtype: torch.dtype) -> None:
    a, b = NOISE[0].to(dtype).requires_grad_(), NOISE[1].to(dtype)
    assert compare(a, b) == compare(a.detach().double(), b.double())


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (2, 8, 9), elements=st.integers(-3, 3).map(float)))
def test_order_doesn_t_matter_and_a_map_is_like_itself(pair: np.ndarray) -> None:
    a, b = torch.from_numpy(pair)
    one, other = compare(a, b), compare(b, a)
    assert one == pytest.approx(other, nan_ok=True, abs=1e-12)
    if not is_degenerate(a):
        assert compare(a, a * 3 + 1)[0:3:2] == pytest.approx((1, 1))
    if not one.degenerate:
        assert abs(one.spearman) <= 1 + 1e-12


# --- Maps that can't be compared ---


CONSTANT = {
    "zero": torch.zeros(64, 64),
    "positive": torch.full((64, 64), 0.3),
    "negative": torch.full((64, 64), -1e-9),
    "a resized constant": F.interpolate(torch.full((1, 1, 2, 2), 0.1234567), size=(64, 64), mode="bilinear")[0, 0],
    "not a number": NOISE[0].clone().index_fill_(0, torch.tensor([3]), math.nan),
    "infinite": NOISE[0].clone().index_fill_(0, torch.tensor([3]), math.inf),
}


@pytest.mark.parametrize("saliency", CONSTANT.values(), ids=CONSTANT)
def test_degenerate_maps_are_flagged_and_get_no_number(saliency: Tensor) -> None:
    nothing = Similarity(math.nan, math.nan, math.nan, math.nan, True)
    assert is_degenerate(saliency)
    assert compare(saliency, NOISE[0]) == nothing
    assert similarities(NOISE[:2], saliency) == [nothing, nothing]
    assert compare(saliency, saliency) == nothing


def test_resizing_did_leave_rounding_errors_in_a_constant_map() -> None:
    assert CONSTANT["a resized constant"].unique().numel() > 1


def test_what_is_small_or_nearly_constant_is_not_degenerate() -> None:
    assert not is_degenerate(NOISE[0] * 1e-30)
    assert not is_degenerate(NOISE[0] * 1e-4 + 1)
    assert not compare(NOISE[0] * 1e-30, NOISE[1]).degenerate
    assert not is_degenerate(torch.arange(6).reshape(2, 3))


def test_magnitudes_alone_can_be_constant() -> None:
    signs = compare(NOISE[0].sign(), NOISE[1])
    assert math.isnan(signs.spearman_abs)
    assert math.isfinite(signs.spearman)
    assert not signs.degenerate


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (NOISE[0], NOISE[0, :8]),
        (NOISE, NOISE[:2]),
        (NOISE[:1], NOISE),
        (NOISE[0, 0], NOISE[0, 0]),
        (NOISE, NOISE[0, 0]),
    ],
)
def test_maps_without_a_counterpart_are_refused(first: Tensor, second: Tensor) -> None:
    with pytest.raises(ValueError, match=r"no counterparts\. Give two tensors \(\.\.\., H, W\) of one shape"):
        similarities(first, second)
    with pytest.raises(ValueError, match="of one size can be compared, not"):
        compare(first, second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("roundings", "constant"), [(0, True), (4, True), (8, True), (16, False)])
def test_a_few_rounding_errors_are_no_structure(dtype: torch.dtype, roundings: int, constant: bool) -> None:
    saliency = torch.full((8, 8), -1.0, dtype=dtype)
    saliency[3, 3] += roundings * torch.finfo(dtype).eps
    assert is_degenerate(saliency) == constant
    assert is_degenerate(1e-6 * saliency) == constant or roundings == 8  # the scale doesn't matter


@pytest.mark.parametrize(("sign", "other"), [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_magnitudes_of_maps_of_one_sign(sign: int, other: int) -> None:
    a, b = NOISE[0].abs() + 0.1, NOISE[1].abs() + 0.1
    expected = scipy.stats.spearmanr(a.flatten(), b.flatten()).statistic
    assert compare(sign * a, other * b).spearman_abs == pytest.approx(expected, abs=1e-12)
    assert compare(sign * a, other * b).spearman == pytest.approx(sign * other * expected, abs=1e-12)
