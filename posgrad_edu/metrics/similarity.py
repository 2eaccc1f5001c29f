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
from numpy.typing import NDArray
from torch import Tensor

HOG_CELL = 16  # pixels
HOG_BLOCK = 3  # cells

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
    return compare_all(first, second)[0]


def compare_all(first: Tensor, second: Tensor) -> list[Similarity]:
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
    """Return what the measures see of each map (..., H, W): made once, it can be compared many times."""
    return _of_each(_features_of, maps.reshape(-1, *maps.shape[-2:]))


def compare_features(first: Sequence[Features | None], second: Sequence[Features | None]) -> list[Similarity]:
    """Compare what ``features`` returned for two stacks of maps, each with its counterpart."""
    return _of_each(lambda pair: _similarity(*pair), zip(first, second, strict=True))


def _of_each(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return the function of each item, in order, computed by as many threads as PyTorch may use.

    NumPy lets other threads work while it sorts and counts, so that no core waits for another.
    """
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
    from scipy.stats import rankdata

    return _correlation(rankdata(a), rankdata(b))


def ssim(a: NDArray, b: NDArray) -> float:
    """Return the structural similarity of two maps (H, W), each scaled to 0..1 first."""
    return _ssim_of_pictures(_unit(a), _unit(b))


def hog(a: NDArray, b: NDArray) -> float:
    """Return the correlation of two maps' histograms of oriented gradients; each map (H, W) is scaled to 0..1 first.

    nan if one is constant, or smaller than 48 x 48 pixels.
    """
    return _correlation(_histograms(_unit(a)), _histograms(_unit(b)))


# --- What the measures look at: made once for each map ---


class Features(NamedTuple):
    """What the measures see of one map; ``None`` stands for a degenerate one."""

    ranks: NDArray
    ranks_abs: NDArray
    picture: NDArray  # scaled to 0..1
    histograms: NDArray


def _features_of(saliency: Tensor) -> Features | None:
    from scipy.stats import rankdata

    if is_degenerate(saliency):
        return None
    values = saliency.detach().cpu().double().numpy()
    ranks = rankdata(values)
    ranks_abs = ranks if values.min() >= 0 else rankdata(np.abs(values))  # ranking takes half of the time
    picture = _unit(values)
    return Features(ranks, ranks_abs, picture, _histograms(picture))


def _similarity(a: Features | None, b: Features | None) -> Similarity:
    if a is None or b is None:
        return Similarity(math.nan, math.nan, math.nan, math.nan, degenerate=True)
    return Similarity(
        spearman=_correlation(a.ranks, b.ranks),
        spearman_abs=_correlation(a.ranks_abs, b.ranks_abs),
        ssim=_ssim_of_pictures(a.picture, b.picture),
        hog=_correlation(a.histograms, b.histograms),
        degenerate=False,
    )


def _correlation(a: NDArray, b: NDArray) -> float:
    """Return Pearson's correlation of two vectors; nan for empty or constant ones."""
    from scipy.stats import pearsonr

    if a.size < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(pearsonr(a, b).statistic)


def _ssim_of_pictures(a: NDArray, b: NDArray) -> float:
    from skimage.metrics import structural_similarity

    if min(a.shape) < 7:  # the measure looks through windows of 7 x 7
        return math.nan
    return float(structural_similarity(a, b, data_range=1.0))


def _histograms(picture: NDArray) -> NDArray:
    """Return the vector of a picture's histograms of oriented gradients; empty where no block of cells fits in."""
    from skimage.feature import hog as histograms_of_gradients

    if min(picture.shape) < HOG_CELL * HOG_BLOCK:
        return np.empty(0)
    return histograms_of_gradients(
        picture, orientations=9, pixels_per_cell=(HOG_CELL, HOG_CELL), cells_per_block=(HOG_BLOCK, HOG_BLOCK)
    )


def _unit(values: NDArray) -> NDArray:
    span = np.ptp(values)
    return (values - values.min()) / (span if span > 0 else 1.0)
