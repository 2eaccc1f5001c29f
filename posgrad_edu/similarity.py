"""How alike are two saliency maps?

    spearman      rank correlation of the signed maps: 1 the same order of pixels, -1 the reverse, 0 unrelated
    spearman_abs  rank correlation of the magnitudes: it can't tell a map from its negative
    ssim          structural similarity of the maps as pictures, each scaled to 0..1

Signed and absolute belong together: a map that turned its sign has spearman -1 and spearman_abs 1. A constant map has
no order, so its rank correlation is undefined; it is reported as nan and flagged ``degenerate``, never dropped.

References:
    Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018. arXiv:1810.03292, sec. 3 and app. C (the measures).
    Wang et al. Image Quality Assessment: From Error Visibility to Structural Similarity. IEEE TIP 2004 (SSIM).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Similarity(NamedTuple):
    """How alike two maps are; ``nan`` where a measure is undefined."""

    spearman: float
    spearman_abs: float
    ssim: float
    degenerate: bool


def compare(first: Tensor, second: Tensor) -> Similarity:
    """Compare two maps (H, W) of one photo; ``ValueError`` for maps of different or other shapes."""
    a, b = (m.detach().cpu().double().numpy() for m in (first, second))
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"Two maps (H, W) of one size can be compared, not {a.shape} and {b.shape}.")
    return Similarity(
        spearman=spearman(a, b),
        spearman_abs=spearman(np.abs(a), np.abs(b)),
        ssim=ssim(a, b),
        degenerate=bool(np.ptp(a) == 0 or np.ptp(b) == 0),
    )


def spearman(a: NDArray, b: NDArray) -> float:
    """Return the rank correlation of two arrays' values, ties sharing their mean rank; nan if one is constant."""
    from scipy.stats import pearsonr, rankdata

    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(pearsonr(rankdata(a), rankdata(b)).statistic)


def ssim(a: NDArray, b: NDArray) -> float:
    """Return the structural similarity of two maps (H, W), each scaled to 0..1 first."""
    from skimage.metrics import structural_similarity

    if min(a.shape) < 7:  # the measure looks through windows of 7 x 7
        return math.nan
    return float(structural_similarity(_unit(a), _unit(b), data_range=1.0))


def _unit(values: NDArray) -> NDArray:
    span = np.ptp(values)
    return (values - values.min()) / (span if span > 0 else 1.0)
