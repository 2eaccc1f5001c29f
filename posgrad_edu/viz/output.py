"""Pictures and figures as PNG and HTML, and figures that Jupyter shows without pyplot.

Nothing stays open that way, and figures can be drawn in threads.
"""

from __future__ import annotations

import base64
import functools
import html
import io
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def to_png(picture: Figure | Image.Image) -> bytes:
    """Return a figure or picture as the bytes of a PNG file."""
    file = io.BytesIO()
    if isinstance(picture, Image.Image):
        picture.save(file, "PNG", compress_level=1)  # a widget draws anew at each click: quick beats small
    else:
        picture.savefig(file, format="png")
    return file.getvalue()


def to_jpeg(figure: Figure) -> bytes:
    """Return a figure as the bytes of a JPEG file, for those that hold photos; letters stay sharp."""
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", pil_kwargs={"quality": 85, "subsampling": 0, "optimize": True})
    return file.getvalue()


def to_html_img(picture: Figure | Image.Image | bytes, alt: str, width: int | None = None) -> str:
    """Return an ``<img>`` element that holds the picture itself, so that it needs no file; width in pixels.

    picture: a figure, a picture, or the bytes of a PNG file.
    """
    if not alt.strip():
        raise ValueError("alt is empty. Say what the picture shows; describe_map(map) does so for a map.")
    data = base64.b64encode(picture if isinstance(picture, bytes) else to_png(picture)).decode("ascii")
    size = "" if width is None else f' width="{int(width)}"'
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}"{size} style="max-width:100%">'


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
            photos = any(ax.images for ax in self.axes)  # a fifth of the PNG's size, and notebooks keep it
            kind, data = ("image/jpeg", to_jpeg(self)) if photos else ("image/png", to_png(self))
            picture = base64.b64encode(data).decode("ascii")
            # The plain text is the same for all maps, so that notebooks run again compare as equal.
            return {kind: picture, "text/plain": "<figure of maps>"}, {kind: {"alt": self.alt}}

    return MapFigure
