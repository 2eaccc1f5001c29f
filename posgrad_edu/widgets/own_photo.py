"""OwnPhoto: a photo of the learner's own, uploaded or from a path, handed over to the Explorer.

The photo is read by ``photos.read_image``: upright, without what the camera noted in the file, and refused in words
where it can't be read faithfully. It stays on this computer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from PIL.Image import Image
from torch import Tensor

from posgrad_edu.data import Source, read_image
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.models.loading import load_classifier
from posgrad_edu.widgets.controls import side_by_side
from posgrad_edu.widgets.explorer import Explorer
from posgrad_edu.widgets.theme import LIST, gallery, status

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTINGS = ("class_a", "class_b", "method", "handling", "layer", "opacity")  # of the Explorer
ASK = "Upload a photo, or give the path of one and press Enter. It stays on this computer."


class OwnPhoto(widgets.VBox):
    """A button and a path to choose a photo with, what the network says to it, and an Explorer for it.

    clf: a ``Classifier``, the default network if ``None``. path: a photo to begin with. start: values for the
    Explorer's controls (class_a, class_b, method, handling, layer, opacity); another photo finds them as they are then.
    Results: ``photo`` and ``explorer`` (``None`` where there is no photo), ``maps`` (2, H, W), ``summary`` (text),
    ``figure()`` (static). Raises ``ValueError`` for a control that the Explorer doesn't have.
    """

    def __init__(self, clf: Classifier | None = None, path: str = "", **start: Any) -> None:
        for name in start:
            if name not in SETTINGS:
                raise ValueError(f"OwnPhoto has no setting {name!r}. There are: {', '.join(SETTINGS)}.")
        self.clf = load_classifier() if clf is None else clf
        self.photo: Image | None = None
        self.explorer: Explorer | None = None
        self.summary = ""
        self._start = start
        self.upload = widgets.FileUpload(accept="image/*", multiple=False, description="Upload a photo")
        self.path = widgets.Text(
            description="Path", placeholder="such as photos/holiday.jpg", continuous_update=False, layout=LIST
        )
        self.controls = {"upload": self.upload, "path": self.path}
        self.pictures, self.words = widgets.HTML(), widgets.HTML()
        self._choice = side_by_side(self.upload, self.path)
        super().__init__([])
        self.upload.observe(self._uploaded, "value")
        self.path.observe(self._named, "value")
        self._without(ASK)
        self.path.value = path

    def __repr__(self) -> str:
        return f"OwnPhoto: {self.summary}{f' {self.explorer!r}' if self.explorer else ''}"

    def _uploaded(self, change: dict) -> None:
        if self.upload.value:  # a tuple with one file, or none
            file = self.upload.value[0]
            # The file itself isn't kept: it may say where it was taken, and a notebook may be saved with its widgets.
            self.upload.value = ()
            self.path.value = ""
            self.show(bytes(file["content"]), file["name"])

    def _named(self, change: dict) -> None:
        if words := self.path.value.strip().strip("\"'"):
            self.show(words)

    def show(self, source: Source, name: str | None = None) -> None:
        """Read a photo from a path, bytes or an open file, and explore it; what can't be read is said in words."""
        self._say("Reading ...")
        try:
            photo = read_image(source)
            title = name or (str(source).replace("\\", "/").rpartition("/")[2] if isinstance(source, str) else "photo")
            answer = self._answer(photo, title)
            explorer = Explorer(self.clf, {title: photo}, **self._settings())
        except (OSError, ValueError, RuntimeError) as error:  # torch raises RuntimeError, out of memory for one
            self._without(str(error))
            return
        self.photo, self.explorer = photo, explorer
        self.pictures.value = self._html(photo, title)
        self._say(answer)
        self.children = [self._choice, self.words, self.pictures, explorer]

    def _settings(self) -> dict[str, Any]:
        """Return values for the next Explorer's controls: those of the last one, or the first ones."""
        if self.explorer is not None:
            self._start = {name: self.explorer.controls[name].value for name in SETTINGS}
        return self._start

    def _answer(self, photo: Image, title: str) -> str:
        best = ", ".join(f"{p.label} {p.probability:.0%}" for p in self.clf.top(photo, k=min(3, len(self.clf.labels))))
        view = self.clf.view(photo)
        size = f"{photo.width} × {photo.height} pixels, shown to the network as {view.width} × {view.height}"
        return f"{title}: {size}. The network says: {best}."

    def _without(self, words: str) -> None:
        """Show words in place of a photo, so that the last one isn't taken for an answer."""
        self._settings()
        self.photo = self.explorer = None
        self.pictures.value = ""
        self._say(words)
        self.children = [self._choice, self.words]

    @property
    def maps(self) -> Tensor:
        """The Explorer's two maps (2, H, W); empty where there is no photo."""
        return torch.empty(0) if self.explorer is None else self.explorer.maps

    def _html(self, photo: Image, title: str) -> str:
        small = photo.copy()
        small.thumbnail((520, 520))
        view = self.clf.view(photo)
        return gallery(
            [(small, f"Your photo: {title}", title), (view, "What the network sees of it", "what the network sees")], ""
        )

    def _say(self, words: str) -> None:
        self.summary = words
        self.words.value = status(words)

    def figure(self) -> Figure:
        """Return the Explorer's figure, for readers without a running kernel; ``ValueError`` without a photo."""
        if self.explorer is None:
            raise ValueError("There is no photo yet. Set path.value, or call show(path).")
        return self.explorer.figure()
