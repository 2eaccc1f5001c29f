"""Colours for signed maps: red speaks for the class, blue against it, and zero is never coloured.

Maps are (H, W) arrays or tensors. Maps that are compared need one scale: with a scale each, two maps that
differ by a factor of a thousand look the same, and a switch that does nothing can't be told from one that does.
Figures are made without pyplot: nothing stays open, and they can be drawn in threads. matplotlib itself is only
imported when a figure or a colour map is asked for.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from torch import Tensor

Map: TypeAlias = "Tensor | npt.ArrayLike"
Maps: TypeAlias = Mapping[str, Map]
Array: TypeAlias = npt.NDArray[np.float64]

# Far apart in hue and of like lightness, so that neither side looks stronger; also apart for colour-blind eyes.
RED = (206, 0, 24)
BLUE = (0, 66, 208)
FADE = 0.4  # how far a photo's greys move towards white under an overlay: on black, no colour could be seen

# --- Scales ---


def symmetric_limit(maps: Iterable[Map], quantile: float | None = None) -> float:
    """Return the magnitude at which colours are full, one for all ``maps``: never 0 (1, where all are zero).

    quantile: None takes the largest magnitude. Maps of the input's gradient have a few pixels far above all
    others; .999 lets those few saturate, so that the rest can be seen. Taken over the pixels of all maps.
    """
    magnitudes = [np.abs(_array(m)).ravel() for m in maps]
    if not magnitudes:
        raise ValueError("A scale needs at least one map.")
    if quantile is not None and not 0 < quantile <= 1:
        raise ValueError(f"quantile is a share above 0 and at most 1, such as .999, not {quantile}.")
    together = np.concatenate(magnitudes)
    limit = float(together.max() if quantile is None else np.quantile(together, quantile))
    return limit or float(together.max()) or 1.0  # a quantile can be 0 where the map isn't


def colour_map() -> LinearSegmentedColormap:
    """Return the matplotlib colour map of ``heatmap``: blue against, white at zero, red for."""
    from matplotlib.colors import LinearSegmentedColormap

    stops = [tuple(c / 255 for c in colour) for colour in (BLUE, (255, 255, 255), RED)]
    return LinearSegmentedColormap.from_list("evidence", stops, N=511)  # odd: zero is exactly white


# --- Pictures ---


def overlay(photo: Image.Image, map: Map, limit: float | None = None, opacity: float = 0.85) -> Image.Image:
    """Return the photo, grey and faded, under the map's colours: the stronger the evidence, the denser.

    photo: the part of the photo that the map is about, such as ``clf.view(photo)``. It must have the map's
        proportions; where the sizes differ, the smaller is enlarged to the larger, bilinearly.
    limit: the magnitude of full colour, best ``symmetric_limit`` of all maps compared; None: this map's own.
    opacity: how much of the photo full colour hides, 0 to 1. Zero evidence hides nothing.
    """
    values = _array(map)
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
    scaled = _scaled(_array(map), limit)
    return _blend(np.full((*scaled.shape, 3), 255.0), scaled, opacity=1.0)


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


def _array(map: Map) -> Array:
    """Return a finite (H, W) array of a tensor or array; leading dimensions of one are dropped."""
    if hasattr(map, "detach"):  # a tensor; bfloat16 has no counterpart in numpy, so change it before
        map = map.detach().cpu().double().numpy()
    values = np.asarray(map, dtype=np.float64)
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"A map is (H, W), not of shape {values.shape}. Choose one, such as maps[0].")
    if not np.isfinite(values).all():
        raise ValueError("This map holds NaN or infinite values. Look for a division by zero where it was made.")
    return values


# --- Figures ---

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
                _draw(ax, heatmap(values, row_limit), heading)
            else:
                _draw(ax, overlay(photos[r % len(photos)], values, row_limit), heading)
        line[0].set_ylabel(textwrap.fill(label, 20), fontsize=11)
    if colour_bar:
        groups = [(axes, limits[0], rows)]
        if share == "row":
            groups = [([line], one, [row]) for line, one, row in zip(axes, limits, rows, strict=True)]
        bars = [_add_colour_bar(figure, *group) for group in groups]
        _beside(*bars[0], "evidence\nfor", above=True)
        _beside(*bars[-1], "evidence\nagainst", above=False)
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


def _photos(photo: Image.Image | Sequence[Image.Image] | None, rows: Rows) -> list[Image.Image]:
    """Return no photo, one for all rows, or one for each."""
    photos = [] if photo is None else [photo] if isinstance(photo, Image.Image) else list(photo)
    if photo is not None and len(photos) not in (1, len(rows)):
        raise ValueError(f"Give one photo, or one for each row of maps: {len(photos)} don't fit {len(rows)} row(s).")
    return photos


def _limits(rows: Rows, limit: float | None, share: str, quantile: float | None) -> list[float]:
    """Return the limit of each row."""
    if limit is not None:
        return [limit] * len(rows)
    if share == "row":
        return [symmetric_limit(row.values(), quantile) for _, row in rows]
    return [symmetric_limit((m for _, row in rows for m in row.values()), quantile)] * len(rows)


def _empty_grid(rows: Rows, photos: list[Image.Image], title: str | None) -> tuple[Any, list[list[Any]]]:
    """Return a figure with a photo drawn first in each row that has one, and axes for each map."""
    first = int(bool(photos))
    width = first + max(len(row) for _, row in rows)
    height, breadth = _array(next(iter(rows[0][1].values()))).shape
    lines = sum(max(h.count("\n") + bool(h) for h in _headings(rows, r)) for r in range(len(rows)))
    inches = (PANEL * width + 1.0, (PANEL * height / breadth + 0.1) * len(rows) + 0.18 * lines + 0.2)
    heading = textwrap.fill(title, int(9 * inches[0])) if title else ""
    figure = figure_class()(
        figsize=(inches[0], inches[1] + 0.3 * (heading.count("\n") + bool(title))), dpi=110, layout="compressed"
    )
    grid = figure.add_gridspec(len(rows), width)
    if heading:
        figure.suptitle(heading, fontsize=13)
    for r, photo in enumerate(photos):
        _draw(figure.add_subplot(grid[r, 0]), photo.convert("RGB"), "" if r else "photo")
    axes = [[figure.add_subplot(grid[r, first + c]) for c in range(len(row))] for r, (_, row) in enumerate(rows)]
    return figure, axes


def _draw(ax: Any, picture: Image.Image, title: str) -> None:
    ax.imshow(np.asarray(picture))
    ax.set_title(title, fontsize=10)
    ax.set(xticks=[], yticks=[])


def _headings(rows: Rows, r: int) -> list[str]:
    """Return what stands above the panels of row r: nothing where the first row's titles hold for all."""
    names = list(rows[r][1])
    if r > 0 and all(list(row) == names for _, row in rows):
        return [""] * len(names)
    # In lines as wide as a panel; line breaks that are there stay.
    return ["\n".join(textwrap.fill(line, 24) for line in name.splitlines()) for name in names]


def _add_colour_bar(figure: Any, axes: list[list[Any]], limit: float, rows: Rows) -> tuple[Any, float]:
    """Draw the scale beside axes. Pointed ends say that some values lie beyond it; their share of it is returned."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    beyond = any(np.abs(_array(m)).max() > limit for _, row in rows for m in row.values())
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


@functools.cache
def figure_class() -> type[Any]:
    """Return the class of figures, a matplotlib ``Figure`` that Jupyter shows with the alt text in ``figure.alt``.

    It is made when the first figure is drawn, since matplotlib takes long to import.
    """
    from matplotlib.figure import Figure

    class MapFigure(Figure):
        """A figure that Jupyter shows without pyplot, with ``alt`` text in the output's metadata."""

        alt = ""

        def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
            picture = base64.b64encode(to_png(self)).decode("ascii")
            # The plain text is the same for all maps, so that notebooks run again compare as equal.
            return {"image/png": picture, "text/plain": "<figure of maps>"}, {"image/png": {"alt": self.alt}}

    return MapFigure


# --- Words ---


def two_digits(magnitude: float) -> str:
    """Write a magnitude with two digits, and hundreds without an exponent: 0.15, 24, 480."""
    return f"{float(f'{magnitude:.2g}'):g}"


def map_title(label: str, probability: float, logit: float | None = None) -> str:
    """Return a panel's title such as "espresso 95 %", and the logit in a second line where it is given."""
    if not 0 <= probability <= 1 + 1e-6:
        raise ValueError(f"A probability is from 0 to 1, not {probability}. softmax makes it from logits.")
    title = f"{label} {_percent(probability)}"
    return title if logit is None else f"{title}\nlogit {f'{logit:+.1f}'.replace('-', '−')}"


def describe_map(map: Map, limit: float | None = None) -> str:
    """Return a sentence that says where a map's evidence lies, in ninths of the picture, and of which sign.

    limit: the scale's; given, the sentence ends with the strongest value's share of it, or says that it lies beyond.
    """
    values = _array(map)
    positive, negative = values.clip(min=0), -values.clip(max=0)
    total = positive.sum() + negative.sum()
    if total == 0:
        return "No evidence anywhere: the map is zero."
    if negative.sum() == 0:
        sentence = f"Evidence for the class only, most of it {_place(positive)}"
    elif positive.sum() == 0:
        sentence = f"Evidence against the class only, most of it {_place(negative)}"
    else:
        sentence = (
            f"Most evidence for the class {_place(positive)}, most evidence against it {_place(negative)}; "
            f"{_percent(positive.sum() / total)} of the magnitude is positive"
        )
    if limit is not None:
        share = np.abs(values).max() / limit
        strongest = "lies beyond" if share > 1 + 1e-6 else f"is {_percent(min(1.0, share))} of"
        sentence += f"; the strongest value {strongest} the scale"
    return f"{sentence}."


def alt_text(what: str, map: Map, limit: float | None = None) -> str:
    """Return alt text for a picture of a map: what it is, such as "GradCAM for espresso", then what it shows."""
    return f"{what}: {describe_map(map, limit)}"


def _describe_grid(rows: Rows, limits: list[float], title: str | None) -> str:
    sentences = [f"{title}."] if title else []
    for (label, row), limit in zip(rows, limits, strict=True):
        for name, values in row.items():
            what = " ".join(f"{label}, {name}".split()) if label else " ".join(name.split())
            sentences.append(alt_text(what, values, limit))
    return " ".join(sentences)


def _place(magnitudes: Array) -> str:
    """Name the ninth of a map that holds the most."""
    sums = [[cell.sum() for cell in np.array_split(band, 3, axis=1)] for band in np.array_split(magnitudes, 3)]
    row, column = divmod(int(np.argmax(sums)), 3)
    if row == column == 1:
        return "in the centre"
    return f"{('upper', 'middle', 'lower')[row]} {('left', 'centre', 'right')[column]}"


def _percent(share: float) -> str:
    """Write a share so that 0 % and 100 % only stand for none and all; no line breaks before the sign."""
    gap = "\N{NO-BREAK SPACE}"
    if 0 < share < 0.001:
        return f"<{gap}0.1{gap}%"
    if 0.99 < share < 1:
        return f">{gap}99{gap}%"
    return f"{100 * share:.1f}{gap}%" if 0 < share < 0.095 else f"{100 * share:.0f}{gap}%"


# --- Output ---


def to_png(picture: Figure | Image.Image) -> bytes:
    """Return a figure or picture as the bytes of a PNG file."""
    file = io.BytesIO()
    if isinstance(picture, Image.Image):
        picture.save(file, "PNG", compress_level=1)  # a widget draws anew at each click: quick beats small
    else:
        picture.savefig(file, format="png")
    return file.getvalue()


def to_html_img(picture: Figure | Image.Image, alt: str, width: int | None = None) -> str:
    """Return an ``<img>`` element that holds the picture itself, so that it needs no file; width in pixels."""
    if not alt.strip():
        raise ValueError("alt is empty. Say what the picture shows; describe_map(map) does so for a map.")
    data = base64.b64encode(to_png(picture)).decode("ascii")
    size = "" if width is None else f' width="{int(width)}"'
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}"{size} style="max-width:100%">'
