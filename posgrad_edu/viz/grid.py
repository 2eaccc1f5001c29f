"""Figures of maps side by side, in one scale, or in one for each row, column or map."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from PIL import Image

from posgrad_edu.viz.colours import colour_map, symmetric_limit
from posgrad_edu.viz.maps import Maps, as_array
from posgrad_edu.viz.output import figure_class
from posgrad_edu.viz.pictures import heatmap, overlay
from posgrad_edu.viz.words import EVIDENCE, alt_text, two_digits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL = 2.2  # inches a panel is wide; at 10 points about 24 letters fit above it
LETTERS = 11  # letters that fit above an inch
BAR = 0.5  # inches that a colour bar below maps takes, with its numbers and words
TITLE = 13  # points
Rows: TypeAlias = list[tuple[str, Maps]]
Style: TypeAlias = Literal["overlay", "heatmap"]
ScaleOf: TypeAlias = Literal["all", "row", "column", "map"]


class Scale(NamedTuple):
    """The magnitude of full colour, and the places (row, column) of the maps that it holds for."""

    limit: float
    places: list[tuple[int, int]]


def show_grid(
    photo: Image.Image | Sequence[Image.Image] | None,
    maps: Maps | Mapping[str, Maps],
    *,
    limit: float | Sequence[float] | None = None,
    share: ScaleOf = "all",
    groups: Sequence[Hashable] | None = None,
    quantile: float | Sequence[float | None] | None = None,
    style: Style | Sequence[Style] = "overlay",
    title: str | None = None,
    columns: int | None = None,
    colour_bar: bool = True,
    words: tuple[str, str] | None = EVIDENCE,
    size: float = PANEL,
    alt: str | None = None,
) -> Figure:
    """Return a figure of the photo and maps side by side, in one symmetric scale; Jupyter shows it.

    photo: the part of the photo that the maps are about, ``clf.view(photo)``, or a photo for each row of maps; None
        leaves its panel out.
    maps: by title, ``{"signed": map}``; or rows of them by label, ``{"GradCAM": {"signed": map}}``.
    limit: the magnitude of full colour, one for all scales or one for each, row by row; None finds it in the maps, see
        ``symmetric_limit`` for ``quantile``.
    share: one scale for "all", or for each "row", "column" or "map".
    groups: whose units each row has, such as its method: rows of different groups never share a scale.
    quantile, style: one for all rows, or one for each.
    columns: maps in a line, for maps without rows; None: up to four.
    words: what red and blue mean, beside the colour bar; None where they don't speak for a class and against it.
    size: inches that a panel is wide.
    alt: what the figure shows, in words; None describes each map. It is kept in ``figure.alt``.
    """
    rows = _rows(maps, columns)
    styles = _for_each_row("style", style, rows)
    _check(photo, styles, share, size)
    photos = _photos(photo, rows)
    found = _scales(rows, limit, share, _for_each_row("quantile", quantile, rows), groups)
    limits = {place: scale.limit for scale in found for place in scale.places}
    bars = len({scale.places[0][0] for scale in found}) if share == "column" and colour_bar else 0
    figure, axes = _empty_grid(rows, photos, title, size, BAR * bars)
    for r, ((label, row), line) in enumerate(zip(rows, axes, strict=True)):
        for c, (heading, values, ax) in enumerate(zip(_headings(rows, r, size), row.values(), line, strict=True)):
            over = styles[r] == "overlay"
            full = limits[r, c]
            picture = overlay(photos[r % len(photos)], values, full) if over else heatmap(values, full)
            draw_picture(ax, picture, heading)
        line[0].set_ylabel(textwrap.fill(label, 20), fontsize=11)
    if colour_bar:
        _add_colour_bars(figure, axes, found, rows, share, words)
    figure.alt = alt or _describe_grid(rows, limits, title, words)
    return figure


def scales(maps: Mapping[str, Maps], **options: Any) -> list[Scale]:
    """Return the scales that ``show_grid`` would draw rows of maps in, given the same options."""
    rows = _rows(maps, None)
    quantiles = _for_each_row("quantile", options.get("quantile"), rows)
    return _scales(rows, options.get("limit"), options.get("share", "all"), quantiles, options.get("groups"))


def _check(photo: object, styles: Sequence[str], share: str, size: float) -> None:
    """Refuse what can't be drawn, with a ``ValueError``."""
    if not set(styles) <= set(get_args(Style)) or share not in get_args(ScaleOf):
        raise ValueError(
            "style is 'overlay' or 'heatmap', share 'all' or 'row', 'column' or 'map'; "
            f"not {', '.join(map(repr, dict.fromkeys(styles)))}, {share!r}."
        )
    if "overlay" in styles and photo is None:
        raise ValueError("An overlay needs the photo. Give it, or choose style='heatmap'.")
    if not size > 0:
        raise ValueError(f"size is how many inches wide a panel is, above 0, not {size}.")


def _for_each_row(what: str, value: Any, rows: Rows) -> list[Any]:
    """Return a value for each row: the one that is given for all, or those that are."""
    if value is None or isinstance(value, str | float | int):
        return [value] * len(rows)
    if len(value) != len(rows):
        raise ValueError(f"Give one {what}, or one for each row of maps: {len(value)} don't fit {len(rows)} row(s).")
    return list(value)


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


def _scales(
    rows: Rows,
    limit: float | Sequence[float] | None,
    share: ScaleOf,
    quantiles: Sequence[float | None],
    groups: Sequence[Hashable] | None,
) -> list[Scale]:
    """Return the scales, from above, and the maps that each holds for."""
    if groups is not None and len(groups) != len(rows):
        raise ValueError(f"Give a group for each row of maps: {len(groups)} don't fit {len(rows)} row(s).")
    found: dict[Hashable, list[tuple[int, int]]] = {}
    for r, (_, row) in enumerate(rows):
        group = None if groups is None else groups[r]
        for c in range(len(row)):
            key = {"all": group, "row": r, "column": (group, c), "map": (r, c)}[share]
            found.setdefault(key, []).append((r, c))
    values = [list(row.values()) for _, row in rows]
    places = list(found.values())
    if limit is None:
        limit = [symmetric_limit((values[r][c] for r, c in them), quantiles[them[0][0]]) for them in places]
    limits = [*limit] if isinstance(limit, Sequence) else [float(limit)] * len(places)
    if len(limits) != len(places):
        raise ValueError(f"Give one limit, or one for each scale: {len(limits)} don't fit {len(places)} scale(s).")
    return [Scale(one, them) for one, them in zip(limits, places, strict=True)]


def _photos(photo: Image.Image | Sequence[Image.Image] | None, rows: Rows) -> list[Image.Image]:
    """Return no photo, one for all rows, or one for each."""
    photos = [] if photo is None else [photo] if isinstance(photo, Image.Image) else list(photo)
    if photo is not None and len(photos) not in (1, len(rows)):
        raise ValueError(f"Give one photo, or one for each row of maps: {len(photos)} don't fit {len(rows)} row(s).")
    return photos


def _empty_grid(
    rows: Rows, photos: list[Image.Image], title: str | None, size: float, more: float
) -> tuple[Any, list[list[Any]]]:
    """Return a figure with a photo drawn first in each row that has one, and axes for each map; more: inches below."""
    first = int(bool(photos))
    width = first + max(len(row) for _, row in rows)
    height, breadth = as_array(next(iter(rows[0][1].values()))).shape
    lines = sum(max(h.count("\n") + bool(h) for h in _headings(rows, r, size)) for r in range(len(rows)))
    inches = (size * width + 1.0, (size * height / breadth + 0.1) * len(rows) + 0.18 * lines + 0.2 + more)
    heading = textwrap.fill(title, int(9 * inches[0])) if title else ""
    figure = figure_class()(
        figsize=(inches[0], inches[1] + 0.3 * (heading.count("\n") + bool(title))), dpi=110, layout="compressed"
    )
    grid = figure.add_gridspec(len(rows), width)
    if heading:
        figure.suptitle(heading, fontsize=TITLE)
    for r, one in enumerate(photos):
        draw_picture(figure.add_subplot(grid[r, 0]), one, "" if r else "photo")
    axes = [[figure.add_subplot(grid[r, first + c]) for c in range(len(row))] for r, (_, row) in enumerate(rows)]
    return figure, axes


def draw_picture(ax: Any, picture: Image.Image, title: str) -> None:
    """Draw a picture into a figure's axes, with its title and without ticks."""
    ax.imshow(np.asarray(picture.convert("RGB")))
    ax.set_title(title, fontsize=10)
    ax.set(xticks=[], yticks=[])


def _headings(rows: Rows, r: int, size: float) -> list[str]:
    """Return what stands above the panels of row r: nothing where the first row's titles hold for all."""
    names = list(rows[r][1])
    if r > 0 and all(list(row) == names for _, row in rows):
        return [""] * len(names)
    # In lines as wide as a panel; line breaks that are there stay.
    letters = max(1, int(LETTERS * size))
    return ["\n".join(textwrap.fill(line, letters) for line in name.splitlines()) for name in names]


def _add_colour_bars(
    figure: Any, axes: list[list[Any]], scales: list[Scale], rows: Rows, share: ScaleOf, words: tuple[str, str] | None
) -> None:
    """Draw each scale beside its maps, or below them where it is a column's, and say at both ends what it means."""
    below = share == "column"
    bars = [_add_colour_bar(figure, axes, scale, rows, below) for scale in scales]
    if words is None:
        return
    red, blue = words
    if below:
        for bar, _ in bars:
            bar.set_xlabel(" ← → ".join(part for part in (blue, red) if part), fontsize=8)
        return
    # Beside several maps of a line, the words stand at the last one, where nothing else does.
    right = [
        bar
        for bar, scale in zip(bars, scales, strict=True)
        if scale.places[-1][1] == len(axes[scale.places[-1][0]]) - 1
    ]
    _beside(*right[0], textwrap.fill(red, 9), above=True)
    _beside(*right[-1], textwrap.fill(blue, 9), above=False)


def _add_colour_bar(figure: Any, axes: list[list[Any]], scale: Scale, rows: Rows, below: bool) -> tuple[Any, float]:
    """Draw a scale beside or below its maps. Pointed ends say that values lie beyond it; their share is returned."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    limit, lines = scale.limit, 1 if below else len({r for r, _ in scale.places})
    values = [list(rows[r][1].values())[c] for r, c in scale.places]
    beyond = any(np.abs(as_array(m)).max() > limit for m in values)
    tip = 0.05 / lines if beyond else 0.0  # as long on a bar beside many rows as beside one
    bar = figure.colorbar(
        ScalarMappable(Normalize(-limit, limit), colour_map()),
        ax=[axes[r][c] for r, c in scale.places],
        location="bottom" if below else "right",
        aspect=16 * lines,
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


def _describe_grid(
    rows: Rows, limits: Mapping[tuple[int, int], float], title: str | None, words: tuple[str, str] | None
) -> str:
    sentences = [f"{title}."] if title else []
    for r, (label, row) in enumerate(rows):
        for c, (name, values) in enumerate(row.items()):
            what = " ".join(f"{label}, {name}".split()) if label else " ".join(name.split())
            sentences.append(alt_text(what, values, limits[r, c], evidence=words == EVIDENCE))
    return " ".join(sentences)
