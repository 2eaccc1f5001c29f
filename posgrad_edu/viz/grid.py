"""Figures of maps side by side, in one scale."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from posgrad_edu.viz.colours import colour_map, symmetric_limit
from posgrad_edu.viz.maps import Maps, as_array
from posgrad_edu.viz.output import figure_class
from posgrad_edu.viz.pictures import heatmap, overlay
from posgrad_edu.viz.words import alt_text, two_digits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL = 2.2  # inches a panel is wide; at 10 points about 24 letters fit above it
Rows: TypeAlias = list[tuple[str, Maps]]


def show_grid(
    photo: Image.Image | Sequence[Image.Image] | None,
    maps: Maps | Mapping[str, Maps],
    *,
    limit: float | None = None,
    share: Literal["all", "row"] = "all",
    quantile: float | None = None,
    style: Literal["overlay", "heatmap"] = "overlay",
    title: str | None = None,
    columns: int | None = None,
    colour_bar: bool = True,
    alt: str | None = None,
) -> Figure:
    """Return a figure of the photo and maps side by side, in one symmetric scale; Jupyter shows it.

    photo: the part of the photo that the maps are about, ``clf.view(photo)``, or a photo for each row of maps; None
        leaves its panel out.
    maps: by title, ``{"signed": map}``; or rows of them by label, ``{"GradCAM": {"signed": map}}``.
    limit: the magnitude of full colour; None finds it in the maps, see ``symmetric_limit`` for ``quantile``.
    share: one scale for "all", or for each "row", where rows are methods whose units differ.
    columns: maps in a line, for maps without rows; None: up to four.
    alt: what the figure shows, in words; None describes each map. It is kept in ``figure.alt``.
    """
    if style not in ("overlay", "heatmap") or share not in ("all", "row"):
        raise ValueError(f"style is 'overlay' or 'heatmap', share 'all' or 'row'; not {style!r}, {share!r}.")
    if style == "overlay" and photo is None:
        raise ValueError("An overlay needs the photo. Give it, or choose style='heatmap'.")
    rows = _rows(maps, columns)
    limits = _limits(rows, limit, share, quantile)
    photos = _photos(photo, rows)
    figure, axes = _empty_grid(rows, photos, title)
    for r, ((label, row), line, row_limit) in enumerate(zip(rows, axes, limits, strict=True)):
        for heading, values, ax in zip(_headings(rows, r), row.values(), line, strict=True):
            if style == "heatmap":
                draw_picture(ax, heatmap(values, row_limit), heading)
            else:
                draw_picture(ax, overlay(photos[r % len(photos)], values, row_limit), heading)
        line[0].set_ylabel(textwrap.fill(label, 20), fontsize=11)
    if colour_bar:
        _add_colour_bars(figure, axes, limits, rows, share)
    figure.alt = alt or _describe_grid(rows, limits, title)
    return figure


def _rows(maps: Maps | Mapping[str, Maps], columns: int | None) -> Rows:
    """Return labelled rows; maps without rows are broken into unlabelled lines."""
    if not maps or not all(isinstance(name, str) for name in maps):
        raise ValueError("Give maps by their titles, such as {'signed': map}.")
    nested = [isinstance(m, Mapping) for m in maps.values()]
    if any(nested):
        if not all(nested) or not all(maps.values()):
            raise ValueError("Give either maps by title, or rows of maps by label, none of them empty.")
        if columns is not None:
            raise ValueError("columns is for maps without rows: here each row is a line.")
        return [(label, row) for label, row in maps.items() if isinstance(row, Mapping)]
    if columns is not None and columns < 1:
        raise ValueError(f"columns is 1 or more, not {columns}.")
    items, length = [(name, m) for name, m in maps.items() if not isinstance(m, Mapping)], columns or 4
    return [("", dict(items[i : i + length])) for i in range(0, len(items), length)]


def _limits(rows: Rows, limit: float | None, share: str, quantile: float | None) -> list[float]:
    """Return the limit of each row."""
    if limit is not None:
        return [limit] * len(rows)
    if share == "row":
        return [symmetric_limit(row.values(), quantile) for _, row in rows]
    return [symmetric_limit((m for _, row in rows for m in row.values()), quantile)] * len(rows)


def _photos(photo: Image.Image | Sequence[Image.Image] | None, rows: Rows) -> list[Image.Image]:
    """Return no photo, one for all rows, or one for each."""
    photos = [] if photo is None else [photo] if isinstance(photo, Image.Image) else list(photo)
    if photo is not None and len(photos) not in (1, len(rows)):
        raise ValueError(f"Give one photo, or one for each row of maps: {len(photos)} don't fit {len(rows)} row(s).")
    return photos


def _empty_grid(rows: Rows, photos: list[Image.Image], title: str | None) -> tuple[Any, list[list[Any]]]:
    """Return a figure with a photo drawn first in each row that has one, and axes for each map."""
    first = int(bool(photos))
    width = first + max(len(row) for _, row in rows)
    height, breadth = as_array(next(iter(rows[0][1].values()))).shape
    lines = sum(max(h.count("\n") + bool(h) for h in _headings(rows, r)) for r in range(len(rows)))
    inches = (PANEL * width + 1.0, (PANEL * height / breadth + 0.1) * len(rows) + 0.18 * lines + 0.2)
    heading = textwrap.fill(title, int(9 * inches[0])) if title else ""
    figure = figure_class()(
        figsize=(inches[0], inches[1] + 0.3 * (heading.count("\n") + bool(title))), dpi=110, layout="compressed"
    )
    grid = figure.add_gridspec(len(rows), width)
    if heading:
        figure.suptitle(heading, fontsize=13)
    for r, one in enumerate(photos):
        draw_picture(figure.add_subplot(grid[r, 0]), one, "" if r else "photo")
    axes = [[figure.add_subplot(grid[r, first + c]) for c in range(len(row))] for r, (_, row) in enumerate(rows)]
    return figure, axes


def draw_picture(ax: Any, picture: Image.Image, title: str) -> None:
    """Draw a picture into a figure's axes, with its title and without ticks."""
    ax.imshow(np.asarray(picture.convert("RGB")))
    ax.set_title(title, fontsize=10)
    ax.set(xticks=[], yticks=[])


def _headings(rows: Rows, r: int) -> list[str]:
    """Return what stands above the panels of row r: nothing where the first row's titles hold for all."""
    names = list(rows[r][1])
    if r > 0 and all(list(row) == names for _, row in rows):
        return [""] * len(names)
    # In lines as wide as a panel; line breaks that are there stay.
    return ["\n".join(textwrap.fill(line, 24) for line in name.splitlines()) for name in names]


def _add_colour_bars(figure: Any, axes: list[list[Any]], limits: list[float], rows: Rows, share: str) -> None:
    """Draw one scale beside all rows, or one beside each, and say at both ends what it means."""
    groups = [(axes, limits[0], rows)]
    if share == "row":
        groups = [([line], one, [row]) for line, one, row in zip(axes, limits, rows, strict=True)]
    bars = [_add_colour_bar(figure, *group) for group in groups]
    _beside(*bars[0], "evidence\nfor", above=True)
    _beside(*bars[-1], "evidence\nagainst", above=False)


def _add_colour_bar(figure: Any, axes: list[list[Any]], limit: float, rows: Rows) -> tuple[Any, float]:
    """Draw the scale beside axes. Pointed ends say that some values lie beyond it; their share of it is returned."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    beyond = any(np.abs(as_array(m)).max() > limit for _, row in rows for m in row.values())
    tip = 0.05 / len(axes) if beyond else 0.0  # as long on a bar beside many rows as beside one
    colours = ScalarMappable(Normalize(-limit, limit), colour_map())
    bar = figure.colorbar(
        colours,
        ax=[ax for line in axes for ax in line],
        aspect=16 * len(axes),
        pad=0.03,
        extend="both" if beyond else "neither",
        extendfrac=tip,
    )
    bar.set_ticks([-limit, 0, limit], labels=[f"−{two_digits(limit)}", "0", f"+{two_digits(limit)}"])
    return bar.ax, tip


def _beside(bar: Any, tip: float, text: str, above: bool) -> None:
    """Write above or below a colour bar, as an annotation: the layout makes room for its width.

    tip: how far the bar's pointed ends reach beyond its axes. The text keeps clear of them, and of the last number.
    """
    gap = 6 if tip else 12  # points: half a number's height, where there is no tip between
    at, shift, side = (1 + tip, gap, "bottom") if above else (-tip, -gap, "top")
    bar.annotate(text, (0, at), (0, shift), "axes fraction", textcoords="offset points", va=side, fontsize=9)


def _describe_grid(rows: Rows, limits: list[float], title: str | None) -> str:
    sentences = [f"{title}."] if title else []
    for (label, row), limit in zip(rows, limits, strict=True):
        for name, values in row.items():
            what = " ".join(f"{label}, {name}".split()) if label else " ".join(name.split())
            sentences.append(alt_text(what, values, limit))
    return " ".join(sentences)
