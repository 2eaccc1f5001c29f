"""How the widgets look: widths, colours of charts, and the HTML around pictures and words."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from posgrad_edu import viz

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = tuple[Image, str, str]  # with its alt text and its caption

# --- Controls ---

NAME = {"description_width": "110px"}  # of a control, so that all begin below each other
BUTTONS = {**NAME, "button_width": "150px"}
NARROW_BUTTONS = {**NAME, "button_width": "110px"}
SLIDER = {"width": "560px", "max_width": "100%"}  # with the words for its value
LIST = {"width": "440px", "max_width": "100%"}
BOX = {"width": "320px", "max_width": "100%"}
THIRD: dict[str, Any] = {"layout": {"width": "280px"}, "style": {"description_width": "80px"}}  # three in a row
WRAPPED = {"flex_flow": "row wrap"}  # into the next line, where there's no room
# For ToggleButtons: the name stands before its buttons, as with other controls.
IN_LINE = {"display": "flex", "width": "auto", **WRAPPED}

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

# --- Pictures and words as HTML ---

MAP_WIDTH = 260  # pixels of the screen
BESIDE_A_CHART = (376, 224, 224)  # of a chart, and two maps
PENDING = "posgrad-edu-pending"  # the class of a picture that another will follow: pale, if that takes a while
COMPUTING = (
    f"<style>.{PENDING} {{ opacity: 0.3; transition: opacity 0.1s 0.2s }}</style>"
    '<progress aria-label="computing"></progress> computing ...'
)


def gallery(panels: Sequence[tuple[Image | Figure, str, str]], note: str, widths: Iterable[int] | None = None) -> str:
    """Return pictures or figures side by side, each with its caption, and a note below them.

    widths: of the pictures, in pixels of the screen; ``None`` for that of a map.
    """
    sizes = [MAP_WIDTH] * len(panels) if widths is None else list(widths)
    figures = (
        '<figure style="margin:0 8px 8px 0"><div style="line-height:0;border:1px solid #bbb">'
        f'{viz.to_html_img(picture, alt, width=width)}</div><figcaption style="width:{width}px">'
        f"{html.escape(caption).replace(chr(10), '<br>')}</figcaption></figure>"
        for (picture, alt, caption), width in zip(panels, sizes, strict=True)
    )
    return f'<div style="display:flex;flex-wrap:wrap">{"".join(figures)}</div><small>{html.escape(note)}</small>'


def status(words: str) -> str:
    """Return a line that a screen reader reads out when it changes."""
    sendable = words.encode(errors="replace").decode()  # a file's name may hold half a character
    return f'<p role="status" style="font-size:110%">{html.escape(sendable)}</p>'


def table(caption: str, columns: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]]) -> str:
    """Return a small table, from the names of its columns and, for each row, a name and its cells in HTML."""
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>' for name, cells in rows
    )
    caption = f'<caption style="text-align:left">{html.escape(caption, quote=False)}</caption>'
    return f'<table style="border-spacing:12px 2px">{caption}<tr><td></td>{head}</tr>{body}</table>'
