"""The colours, and the scale that says how strong they are: red speaks for the class, blue against it, zero is white.

Maps that are compared need one scale: with a scale each, two maps that differ by a factor of a thousand look the same,
and a switch that does nothing can't be told from one that does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from posgrad_edu.viz.maps import Map, as_array

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap

# Far apart in hue and of like lightness, so that neither side looks stronger; also apart for colour-blind eyes.
RED = (206, 0, 24)
BLUE = (0, 66, 208)
FADE = 0.4  # how far a photo's greys move towards white under an overlay: on black, no colour could be seen


def hex_code(colour: tuple[int, int, int]) -> str:
    """Return a colour as matplotlib and HTML write it: #ce0018."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


# How charts draw each handling. Line and marker differ, too, so that colour is never needed to tell them apart.
CHART_STYLES: dict[str, dict[str, Any]] = {
    "signed": {"color": hex_code(BLUE), "linestyle": "-", "marker": "o"},
    "positive": {"color": hex_code(RED), "linestyle": "--", "marker": "s"},
    "control": {"color": "#555555", "linestyle": ":", "marker": "v"},
}


def symmetric_limit(maps: Iterable[Map], quantile: float | None = None) -> float:
    """Return the magnitude at which colours are full, one for all ``maps``: never 0 (1, where all are zero).

    quantile: None takes the largest magnitude. Maps of the input's gradient have a few pixels far above all
    others; .999 lets those few saturate, so that the rest can be seen. Taken over the pixels of all maps.
    """
    magnitudes = [np.abs(as_array(m)).ravel() for m in maps]
    if not magnitudes:
        raise ValueError("A scale needs at least one map.")
    if quantile is not None and not 0 < quantile <= 1:
        raise ValueError(f"quantile is a share above 0 and at most 1, such as .999, not {quantile}.")
    together = np.concatenate(magnitudes)
    limit = float(together.max() if quantile is None else np.quantile(together, quantile))
    return limit or float(together.max()) or 1.0  # a quantile can be 0 where the map isn't


def pair_limit(maps: Iterable[Map]) -> float:
    """Return one magnitude of full colour for two maps, between both peaks, so that the weaker can still be seen."""
    weaker, stronger = sorted(float(np.abs(as_array(m)).max()) for m in maps)
    return math.sqrt(max(weaker, 0.05 * stronger) * stronger) or 1.0


def colour_map() -> LinearSegmentedColormap:
    """Return the matplotlib colour map of ``heatmap``: blue against, white at zero, red for."""
    from matplotlib.colors import LinearSegmentedColormap

    stops = [tuple(c / 255 for c in colour) for colour in (BLUE, (255, 255, 255), RED)]
    return LinearSegmentedColormap.from_list("evidence", stops, N=511)  # odd: zero is exactly white
