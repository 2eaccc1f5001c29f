"""A switch that is flipped in a picture: rows of maps one after another, in the same places and scales, as a film."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from posgrad_edu.viz.grid import TITLE, scales, show_grid
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
    _give_titles_one_height(figures)
    return figures


def _give_titles_one_height(figures: Sequence[Figure]) -> None:
    """Let all titles take as many lines as the longest, so that maps lie in the same places."""
    titles = [figure.get_suptitle() for figure in figures]
    lines, height = (max(title.count("\n") for title in titles), max(figure.get_figheight() for figure in figures))
    for figure, title in zip(figures, titles, strict=True):
        figure.suptitle("\n" * (lines - title.count("\n")) + title, fontsize=TITLE)
        figure.set_figheight(height)


def film(figures: Sequence[Figure], kind: str, dpi: float, seconds: float = SECONDS) -> bytes:
    """Return the bytes of an endless film in a format of Pillow's, such as "webp" or "gif", each frame that long."""
    frames = pages(figures, dpi)
    file = io.BytesIO()
    how: dict[str, Any] = {"quality": 85, "method": 6} if kind == "webp" else {"optimize": True}
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=round(1000 * seconds), loop=0, **how)
    return file.getvalue()


def pages(figures: Sequence[Figure], dpi: float = 110) -> list[Image.Image]:
    """Return the figures' pixels on white pages of one size, at the bottom, since titles stand at the top."""
    drawn = [_pixels(figure, dpi) for figure in figures]
    width, height = (max(sizes) for sizes in zip(*(one.size for one in drawn), strict=True))
    found = [Image.new("RGB", (width, height), "white") for _ in drawn]
    for page, one in zip(found, drawn, strict=True):
        page.paste(one, (0, height - one.height))
    return found


def _pixels(figure: Figure, dpi: float) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return Image.open(file).convert("RGB")
