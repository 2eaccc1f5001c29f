"""How the widgets show things: colours of charts, and the HTML around pictures and words. ``style.py`` lays it out."""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL.Image import Image, frombytes

from posgrad_edu import viz
from posgrad_edu.viz.words import EVIDENCE
from posgrad_edu.widgets.style import OLD

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Picture = tuple[Image, str, str]  # with its alt text and its caption

# --- Charts ---

LINES: dict[str, dict[str, Any]] = {
    **viz.CHART_STYLES,
    "third": {"color": "#6a4c00", "linestyle": ":", "marker": "^"},  # beside signed and positive
    "difference": {"color": "#000000", "linestyle": "-", "marker": "D"},
}
PALE = {"signed": "#a9bdf0", "positive": "#f3b0b6", "control": "#bbbbbb"}  # what isn't chosen
AXIS: dict[str, Any] = {"color": "#bbbbbb", "linewidth": 0.8, "zorder": 0}
MARK: dict[str, Any] = {"color": "#000000", "linewidth": 1.2, "zorder": 2}
THRESHOLD: dict[str, Any] = {"color": viz.hex_code(viz.RED), "linestyle": ":", "linewidth": 1.5}
BLACK, GREY = (30, 30, 30), (150, 150, 150)  # frames drawn into a picture


def chart(width: float, height: float, draw: Callable[[Axes], object], **margins: float) -> Figure:
    """Return a chart of that many inches, for a gallery. margins: in shares; a layout engine would take longer."""
    figure = viz.figure_class()(figsize=(width, height), dpi=150)  # finer than shown, for screens that are finer, too
    draw(figure.subplots(gridspec_kw=margins))
    return figure


def name_lines(ax: Axes, ends: Mapping[str, float], colours: Mapping[str, str]) -> None:
    """Write each line's name to the right of the axes, at the height of its end, or near it where others end, too."""
    low, high = ax.get_ylim()
    gap = (high - low) / 13  # a line of letters
    names = sorted(ends, key=lambda name: ends[name])
    heights = [ends[name] for name in names]
    for n in range(1, len(names)):
        heights[n] = max(heights[n], heights[n - 1] + gap)
    heights = [height - max(0.0, max(heights) - high) for height in heights]
    for name, height in zip(names, heights, strict=True):
        stroke = {"arrowstyle": "-", "color": colours[name], "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 0}
        at: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "textcoords": ax.get_yaxis_transform()}
        ax.annotate(name, (1, ends[name]), (1.05, height), **at, arrowprops=stroke, va="center", fontsize=8)


# --- Pictures and words as HTML ---

COMPUTING = '<progress aria-label="computing"></progress> computing ...'
FOR, AGAINST = EVIDENCE  # what the ends of a colour bar stand for


def gallery(pictures: Sequence[tuple[Image | Figure, str, str]], *notes: str, bar: str = "") -> str:
    """Return pictures of one height side by side, each with its caption, and notes below them, which are HTML.

    bar: the HTML of a colour bar for the second and the third picture: then these two stay beside each other also where
    the page is narrow.
    """
    figures = [_figure(*picture) for picture in pictures]
    if bar:
        figures[1:3] = [f'<div class="posgrad-edu-pair">{"".join(figures[1:3])}{bar}</div>']
    lines = "".join(f"<div><small>{note}</small></div>" for note in notes if note)
    return f'<div class="posgrad-edu-pictures">{"".join(figures)}</div>{lines}'


def _figure(picture: Image | Figure, alt: str, caption: str) -> str:
    width, height = picture.size if isinstance(picture, Image) else picture.get_size_inches()
    words = html.escape(caption).replace("\n", "<br>")
    file: Image | Figure | bytes = picture
    if isinstance(picture, Image) and picture.mode in ("L", "RGB"):  # its pixels are all that there is to it
        file = _png(picture.mode, picture.size, picture.tobytes())
    return (
        f'<figure style="--share:{width / height:.3g}"><div class="posgrad-edu-frame">{viz.to_html_img(file, alt)}'
        f"</div><figcaption>{words}</figcaption></figure>"
    )


@functools.lru_cache(maxsize=8)
def _png(mode: str, size: tuple[int, int], pixels: bytes) -> bytes:
    """Return a picture as a PNG file; the photo, which is shown at each move, is encoded once."""
    return viz.to_png(frombytes(mode, size, pixels))


def colour_bar(limit: float, above: str = FOR, below: str = AGAINST, unit: str = "") -> str:
    """Return the scale of a map's colours as HTML: red for ``above``, blue for ``below``, full at ±limit."""
    number = viz.two_digits(limit)
    ends = (f"<span>+{number}{unit}<br>{above}</span>", "<span>0</span>", f"<span>{below}<br>−{number}{unit}</span>")
    words = f"Colours from blue, {below}, −{number}{unit}, to red, {above}, +{number}{unit}"
    return f'<div class="posgrad-edu-bar" role="img" aria-label="{words}"><i></i><div>{"".join(ends)}</div></div>'


def old(pictures: str) -> str:
    """Return pictures that no longer answer what the controls say: pale, out of reach of keys and screen readers."""
    shown = f'<small>The last answer:</small><div class="{OLD}" inert>{pictures}</div>'
    return shown if pictures else ""


def status(words: str, failed: bool = False) -> str:
    """Return a line that a screen reader reads out when it changes."""
    sendable = words.encode(errors="replace").decode()  # a file's name may hold half a character
    kind = "posgrad-edu-words posgrad-edu-error" if failed else "posgrad-edu-words"
    return f'<p role="status" class="{kind}">{html.escape(sendable)}</p>'


def table(caption: str, columns: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]]) -> str:
    """Return a small table, from the names of its columns and, for each row, a name and its cells in HTML."""
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>' for name, cells in rows
    )
    caption = f'<caption style="text-align:left">{html.escape(caption, quote=False)}</caption>'
    return f'<table style="border-spacing:12px 2px">{caption}<tr><td></td>{head}</tr>{body}</table>'
