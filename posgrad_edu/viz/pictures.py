"""Maps as pictures: alone, or over the photo that they are about."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from posgrad_edu.viz.colours import BLUE, FADE, RED, symmetric_limit
from posgrad_edu.viz.maps import Array, Map, as_array

BINS = 64  # of ranks, along each side of the picture of ranks


def overlay(photo: Image.Image, map: Map, limit: float | None = None, opacity: float = 0.85) -> Image.Image:
    """Return the photo, grey and faded, under the map's colours: the stronger the evidence, the denser.

    photo: the part of the photo that the map is about, such as ``clf.view(photo)``. It must have the map's
        proportions; where the sizes differ, the smaller is enlarged to the larger, bilinearly.
    limit: the magnitude of full colour, best ``symmetric_limit`` of all maps compared; None: this map's own.
    opacity: how much of the photo full colour hides, 0 to 1. Zero evidence hides nothing.
    """
    values = as_array(map)
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity is a share from 0 to 1, not {opacity}.")
    size = _common_size(photo.size, (values.shape[1], values.shape[0]))
    background = np.asarray(faded(photo).resize(size, Image.Resampling.BILINEAR), dtype=np.float64)
    return _blend(background, _enlarged(_scaled(values, limit), size), opacity)


def faded(photo: Image.Image) -> Image.Image:
    """Return the photo in light greys, of the same size: what an overlay shows where there is no evidence."""
    grey = np.asarray(photo.convert("L"), dtype=np.float64)
    levels = np.rint(grey + FADE * (255 - grey)).astype(np.uint8)
    return Image.fromarray(levels).convert("RGB")


def heatmap(map: Map, limit: float | None = None) -> Image.Image:
    """Return the map alone in colours on white, a pixel for each value; for maps as fine as the photo.

    limit: the magnitude of full colour, best ``symmetric_limit`` of all maps compared; None: this map's own.
    """
    scaled = _scaled(as_array(map), limit)
    return _blend(np.full((*scaled.shape, 3), 255.0), scaled, opacity=1.0)


def rank_picture(first: Map, second: Map, magnitudes: bool = False) -> Image.Image:
    """Return a grey picture of how many pixels have which rank in two maps (H, W); the darker, the more.

    Column: the rank in ``first``, lowest at the left; row: the rank in ``second``, lowest at the bottom; 64 x 64 cells,
    each drawn as 4 x 4 pixels. Ties share their mean rank. magnitudes: rank absolute values.
    """
    from scipy.stats import rankdata

    values = [as_array(m) for m in (first, second)]
    ranks = [rankdata(np.abs(v) if magnitudes else v) / v.size for v in values]
    columns, rows = [np.minimum((r * BINS).astype(int), BINS - 1) for r in ranks]
    counts = np.zeros((BINS, BINS))
    np.add.at(counts, (BINS - 1 - rows.ravel(), columns.ravel()), 1)
    shade = np.rint(255 * (1 - np.log1p(counts) / np.log1p(counts.max()))).astype(np.uint8)
    return Image.fromarray(shade).resize((4 * BINS, 4 * BINS), Image.Resampling.NEAREST)


def _blend(background: Array, scaled: Array, opacity: float) -> Image.Image:
    """Mix red or blue into (H, W, 3) levels, in proportion to the magnitude of (H, W) values in -1..1."""
    colour = np.where(scaled[..., None] > 0, RED, BLUE)
    share = opacity * np.abs(scaled)[..., None]
    mixed = (1 - share) * background + share * colour
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def _scaled(values: Array, limit: float | None) -> Array:
    """Divide by the limit and clip to -1..1."""
    limit = symmetric_limit([values]) if limit is None else limit
    if not (math.isfinite(limit) and limit > 0):
        raise ValueError(f"A limit is a magnitude above zero, not {limit}. symmetric_limit(maps) finds one.")
    return np.clip(values / limit, -1, 1)


def _enlarged(values: Array, size: tuple[int, int]) -> Array:
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR), dtype=np.float64).clip(-1, 1)


def _common_size(photo: tuple[int, int], map: tuple[int, int]) -> tuple[int, int]:
    """Return the larger of two (width, height); refuse where one would have to be stretched."""
    (small_w, small_h), (large_w, large_h) = sorted((photo, map))
    scale = large_w / small_w
    if abs(small_h * scale - large_h) > max(1.0, scale, 0.01 * large_h):
        raise ValueError(
            f"The photo is {photo[0]} x {photo[1]} and the map {map[0]} x {map[1]}: of other proportions, so that "
            "evidence would land on the wrong places. Give the part that the network saw, as clf.view(photo)."
        )
    return large_w, large_h
