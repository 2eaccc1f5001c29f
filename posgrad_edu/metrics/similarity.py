"""How alike are two saliency maps?

    spearman      rank correlation of the signed maps: 1 the same order of pixels, -1 the reverse, 0 unrelated
    spearman_abs  rank correlation of the magnitudes: it can't tell a map from its negative
    ssim          structural similarity of the maps as pictures, each scaled to 0..1
    hog           correlation of the maps' edges: of histograms of oriented gradients, each map scaled to 0..1

Signed and absolute belong together: a map that turned its sign has spearman -1 and spearman_abs 1. hog can't tell a map
from its negative either: an edge from dark to bright has the same orientation as one from bright to dark.

A constant map has neither order nor structure, so all four are undefined; they are reported as nan and the comparison
is flagged ``degenerate``, never dropped. The same goes for a map with values that aren't finite.

HOG is taken as in the published notebooks of Adebayo et al.: cells of 16 x 16 pixels, scikit-image's defaults for the
rest (9 orientations, blocks of 3 x 3 cells). Maps of less than 48 x 48 pixels don't hold one block, and get nan. The
histograms are compared by Pearson's correlation, as the paper says; the notebooks rank them first. SSIM looks through
windows of 7 x 7 pixels, scikit-image's default.

References:
    Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018. arXiv:1810.03292, sec. 3 and app. C (the measures).
    Wang et al. Image Quality Assessment: From Error Visibility to Structural Similarity. IEEE TIP 2004 (SSIM).
    Dalal, Triggs. Histograms of Oriented Gradients for Human Detection. CVPR 2005 (HOG).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

HOG_CELL = 16  # pixels
HOG_BLOCK = 3  # cells
ORIENTATIONS = 9
HOG_MOST, HOG_SMALL = 0.2, 1e-5  # of L2-Hys: what a block's values are cut off at, and what keeps it from dividing by 0
WINDOW = 7  # pixels, of SSIM
UNBIASED = WINDOW**2 / (WINDOW**2 - 1)  # makes the mean squared difference in a window the sample's variance
LUMINANCE, CONTRAST = 0.01**2, 0.03**2  # Wang et al.'s C1 and C2, which keep SSIM finite where a window is flat

Item = TypeVar("Item")
Result = TypeVar("Result")


class Similarity(NamedTuple):
    """How alike two maps are; ``nan`` where a measure is undefined."""

    spearman: float
    spearman_abs: float
    ssim: float
    hog: float
    degenerate: bool


def compare(first: Tensor, second: Tensor) -> Similarity:
    """Compare two maps (H, W) of one photo; ``ValueError`` for maps of different or other shapes."""
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(
            f"Two maps (H, W) of one size can be compared, not {tuple(first.shape)} and {tuple(second.shape)}."
        )
    return similarities(first, second)[0]


def similarities(first: Tensor, second: Tensor) -> list[Similarity]:
    """Compare maps (..., H, W), each with its counterpart; the list has the order of ``first.flatten(0, -3)``.

    second: as many maps, of the same shape, or a single one (H, W) that each of ``first`` is compared with.
    Raises ``ValueError`` for maps of other shapes.
    """
    single = second.ndim >= 2 and second.numel() == second.shape[-2:].numel()
    if first.ndim < 2 or first.shape[-2:] != second.shape[-2:] or not (single or first.shape == second.shape):
        raise ValueError(
            f"Maps of shapes {tuple(first.shape)} and {tuple(second.shape)} have no counterparts. "
            "Give two tensors (..., H, W) of one shape, or a single map (H, W) as the second."
        )
    ours, theirs = features(first), features(second)
    return compare_features(ours, theirs * len(ours) if single else theirs)


def features(maps: Tensor) -> list[Features | None]:
    """Return what the measures see of each map (..., H, W): made once, it can be compared many times.

    Of a map of 224 x 224 that is about 2 MB: of a thousand photos 2 GB for each method.
    """
    # On the CPU first: one copy is quicker than many, and several threads must not use Apple's GPU at once.
    return _of_each(_features_of, maps.detach().cpu().reshape(-1, *maps.shape[-2:]))


def compare_features(first: Sequence[Features | None], second: Sequence[Features | None]) -> list[Similarity]:
    """Compare what ``features`` returned for two stacks of maps, each with its counterpart."""
    return _of_each(lambda pair: _similarity(*pair), zip(first, second, strict=True))


def _of_each(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return the function of each item, in order, computed by as many threads as PyTorch may use.

    NumPy lets other threads work while it sorts and counts, so that no core waits for another.
    """
    if torch.get_num_threads() == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(function, items))


def is_degenerate(saliency: Tensor) -> bool:
    """Whether a map is constant, so that it points nowhere, or holds values that aren't finite.

    Resizing a constant map leaves differences of a few rounding errors; such a map counts as constant, too.
    """
    if not torch.isfinite(saliency).all():
        return True
    rounding = torch.finfo(saliency.dtype).eps if saliency.is_floating_point() else 0.0
    return bool(saliency.max() - saliency.min() <= 8 * rounding * saliency.abs().max())


def spearman(a: NDArray, b: NDArray) -> float:
    """Return the rank correlation of two arrays' values, ties sharing their mean rank; nan if one is constant."""
    return _correlation(_direction(ranks(a)), _direction(ranks(b)))


def ssim(a: NDArray, b: NDArray) -> float:
    """Return the structural similarity of two maps (H, W), each scaled to 0..1 first."""
    return _structural_similarity(_windows(_unit(a)), _windows(_unit(b)))


def hog(a: NDArray, b: NDArray) -> float:
    """Return the correlation of two maps' histograms of oriented gradients; each map (H, W) is scaled to 0..1 first.

    nan if one is constant, or smaller than 48 x 48 pixels.
    """
    return _correlation(_direction(histograms(_unit(a))), _direction(histograms(_unit(b))))


# --- What the measures look at: made once for each map ---


class Windows(NamedTuple):
    """What SSIM sees of a map by itself: the picture, scaled to 0..1, and its mean and variance in each window."""

    picture: NDArray
    mean: NDArray
    variance: NDArray


class Features(NamedTuple):
    """What the measures see of one map. The first two and the last are vectors of length 1, see ``_direction``."""

    ranks: NDArray
    ranks_abs: NDArray
    windows: Windows
    histograms: NDArray


def _features_of(values: Tensor) -> Features | None:
    """Return the features of one map (H, W) on the CPU; ``None`` stands for a degenerate one."""
    if is_degenerate(values):
        return None
    signed = (values if values.dtype in (torch.float32, torch.float64) else values.double()).numpy()
    order = _direction(ranks(signed))
    order_abs = order if signed.min() >= 0 else _direction(ranks(np.abs(signed)))  # ranking takes most of the time
    picture = _unit(values.double().numpy())
    return Features(order, order_abs, _windows(picture), _direction(histograms(picture)))


def _similarity(a: Features | None, b: Features | None) -> Similarity:
    if a is None or b is None:
        return Similarity(math.nan, math.nan, math.nan, math.nan, degenerate=True)
    return Similarity(
        spearman=_correlation(a.ranks, b.ranks),
        spearman_abs=_correlation(a.ranks_abs, b.ranks_abs),
        ssim=_structural_similarity(a.windows, b.windows),
        hog=_correlation(a.histograms, b.histograms),
        degenerate=False,
    )


# --- Correlation, of ranks or of histograms ---


def ranks(values: NDArray) -> NDArray:
    """Return the rank of each value, from 1, as a vector; equal values share the mean of the places they take up.

    The same numbers as ``scipy.stats.rankdata`` in half of its time: that one keeps equal values in their order, which
    a mean rank has no use for, and NumPy's sort that doesn't is quicker. All ranks are nan if a value is.
    """
    values = np.ravel(values)
    sparse = 2 * np.count_nonzero(values) < values.size  # as RectGrad's maps: equal values slow the usual sort down
    order = np.argsort(values, kind="stable" if sparse else "quicksort")
    ascending = values[order]
    if not values.size or ascending[-1] != ascending[-1]:  # a nan is sorted to the end
        return np.full(values.size, math.nan)
    first = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])  # where each group of equal values begins
    after = np.r_[first[1:], values.size]
    found = np.empty(values.size)
    found[order] = np.repeat((first + 1 + after) / 2, after - first)
    return found


def _direction(vector: NDArray) -> NDArray:
    """Return a vector minus its mean, at length 1, so that the product of two is their correlation.

    Empty where no correlation is defined: of a constant vector, or one that isn't finite.
    """
    if vector.size < 2 or not np.ptp(vector) > 0:
        return np.empty(0)
    centred = vector - vector.mean()
    return centred / math.sqrt(_product(centred, centred))


def _correlation(a: NDArray, b: NDArray) -> float:
    """Return Pearson's correlation of what two directions were made of; nan if one is empty."""
    if not a.size or not b.size:
        return math.nan
    return float(np.clip(_product(a, b), -1.0, 1.0))  # rounding may lead a little beyond


def _product(a: NDArray, b: NDArray) -> float:
    """Return a · b. ``a @ b`` would wake BLAS's threads, which then keep cores busy that PyTorch's threads want."""
    return float((a * b).sum())


# --- Structural similarity ---


def _windows(picture: NDArray) -> Windows:
    mean = _window_mean(picture)
    return Windows(picture, mean, UNBIASED * (_window_mean(picture**2) - mean**2))


def _window_mean(values: NDArray) -> NDArray:
    """Return the mean of each window that lies within the picture; empty where none does."""
    from scipy.ndimage import uniform_filter

    if min(values.shape) < WINDOW:
        return np.empty((0, 0))
    border = slice(WINDOW // 2, -(WINDOW // 2))
    return uniform_filter(values, WINDOW)[border, border]


def _structural_similarity(a: Windows, b: Windows) -> float:
    """Return what ``skimage.metrics.structural_similarity`` does (Wang et al. 2004, eq. 13), for values from 0 to 1.

    Of its five means over windows four are of one map alone, so that only the fifth is left to do for each pair.
    """
    if not a.mean.size:
        return math.nan
    both = a.mean * b.mean
    covariance = UNBIASED * (_window_mean(a.picture * b.picture) - both)
    above = (2 * both + LUMINANCE) * (2 * covariance + CONTRAST)
    below = (a.mean**2 + b.mean**2 + LUMINANCE) * (a.variance + b.variance + CONTRAST)
    return float((above / below).mean())


# --- Histograms of oriented gradients ---


def histograms(picture: NDArray) -> NDArray:
    """Return the vector of a picture's histograms of oriented gradients; empty where no block of cells fits in.

    The same numbers as ``skimage.feature.hog``, block by block, in a fifth of its time, which counts all cells at once.
    """
    if min(picture.shape) < HOG_CELL * HOG_BLOCK:
        return np.empty(0)
    cells = _cells(picture)
    blocks = sliding_window_view(cells, (HOG_BLOCK, HOG_BLOCK), axis=(0, 1))  # (rows, columns, orientations, 3, 3)
    vectors = np.moveaxis(blocks, 2, -1).reshape(-1, HOG_BLOCK**2 * ORIENTATIONS)
    return _unit_length(np.minimum(_unit_length(vectors), HOG_MOST)).ravel()


def _cells(picture: NDArray) -> NDArray:
    """Return each cell's histogram: how strong the gradients of each orientation are, mean over its pixels."""
    down, right = np.zeros_like(picture), np.zeros_like(picture)
    down[1:-1] = picture[2:] - picture[:-2]
    right[:, 1:-1] = picture[:, 2:] - picture[:, :-2]
    rows, columns = (side // HOG_CELL for side in picture.shape)
    whole = slice(rows * HOG_CELL), slice(columns * HOG_CELL)  # what is left at the rim belongs to no cell
    down, right = down[whole], right[whole]
    # In NumPy these three take four times as long.
    angle = torch.atan2(torch.from_numpy(down), torch.from_numpy(right)).rad2deg().remainder(180).numpy()
    bins = ORIENTATIONS + 1  # the last for angles that rounding makes 180 degrees: scikit-image counts them nowhere
    place = np.arange(rows).repeat(HOG_CELL)[:, None] * columns + np.arange(columns).repeat(HOG_CELL)
    index = place * bins + (angle / (180 / ORIENTATIONS)).astype(int)
    strength = np.sqrt(down**2 + right**2)
    counts = np.bincount(index.ravel(), strength.ravel(), rows * columns * bins) / HOG_CELL**2
    return counts.reshape(rows, columns, bins)[..., :ORIENTATIONS]


def _unit_length(vectors: NDArray) -> NDArray:
    return vectors / np.sqrt((vectors**2).sum(1, keepdims=True) + HOG_SMALL**2)


def _unit(values: NDArray) -> NDArray:
    span = np.ptp(values)
    return (values - values.min()) / (span if span > 0 else 1.0)
