"""A switch that is flipped in a picture: rows of maps one after another, in the same places and scales, as a film."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from posgrad_edu.viz.grid import scales, show_grid
from posgrad_edu.viz.maps import Maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECONDS = 3.0  # how long a frame stays: long enough to look at two maps


def show_frames(photo: Image.Image, rows: Mapping[str, Maps], **options: Any) -> list[Figure]:
    """Return a figure for each row of maps, its label as its title; options: those of ``show_grid`` for all rows.

    Scales are those of the grid: with ``share="column"`` two frames of one group have the same ones.
    """
    share, found = options.get("share", "all"), scales(rows, **options)
    figures = []
    for r, (label, maps) in enumerate(rows.items()):
        here = [scale for scale in found if any(row == r for row, _ in scale.places)]
        style = options.get("style", "overlay")
        own = {
            "share": "all" if share == "row" else share,
            "groups": None,
            "limit": [scale.limit for scale in here],
            "style": style if isinstance(style, str) else style[r],
            "quantile": None,
            "title": label,
        }
        figures.append(show_grid(photo, maps, columns=len(maps), **options | own))
    return figures


def film(figures: Sequence[Figure], kind: str, dpi: float, seconds: float = SECONDS) -> bytes:
    """Return the bytes of an endless film in a format of Pillow's, such as "webp" or "gif", each frame that long."""
    frames = [_pixels(figure, dpi) for figure in figures]
    file = io.BytesIO()
    how: dict[str, Any] = {"quality": 85, "method": 6} if kind == "webp" else {"optimize": True}
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=round(1000 * seconds), loop=0, **how)
    return file.getvalue()


def _pixels(figure: Figure, dpi: float) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return Image.open(file).convert("RGB")
