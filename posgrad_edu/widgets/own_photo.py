"""OwnPhoto: a photo of the learner's own, uploaded or from a path, handed over to the Explorer.

The photo is read by ``data.read_image``: upright, without what the camera noted in the file, and refused in words
where it can't be read faithfully. It stays on this computer.

An upload is one message from the browser to the server, which drops messages above a limit without a word to either
side: the widget never hears of them. So what fits is said beside the button before. ``posgrad-edu lab`` and other
servers that take larger messages tell their kernels so, in the environment variable ``POSGRAD_EDU_UPLOAD_MB``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from PIL.Image import Image
from torch import Tensor

from posgrad_edu.data import Source, read_image
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.models.loading import load_classifier
from posgrad_edu.viz import map_title
from posgrad_edu.widgets.answer import Answer, in_words
from posgrad_edu.widgets.controls import in_rows
from posgrad_edu.widgets.explorer import Explorer
from posgrad_edu.widgets.theme import gallery, old

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTINGS = ("class_a", "class_b", "method", "handling", "layer", "opacity")  # of the Explorer
ASK = "Upload a photo, or give the path of one and press Enter. It stays on this computer."
UPLOAD_MB = 10  # Jupyter's own limit for one message is 10 MiB: 10.48 MB arrived in JupyterLab, 11 MB vanished
UPLOAD_VARIABLE = "POSGRAD_EDU_UPLOAD_MB"


class OwnPhoto(Answer):
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
        super().__init__()
        self.clf = load_classifier() if clf is None else clf
        self.photo: Image | None = None
        self.explorer: Explorer | None = None
        self._start = start
        self.upload = widgets.FileUpload(accept="image/*", multiple=False, description="Upload a photo")
        self.path = widgets.Text(description="Path", placeholder="such as photos/holiday.jpg", continuous_update=False)
        self.controls = {"upload": self.upload, "path": self.path}
        self.fits = widgets.HTML(f"<small>{what_fits()}</small>")
        self._choice = widgets.VBox([in_rows([self.upload, self.path]), self.fits])
        self.upload.observe(self._uploaded, "value")
        self.upload.observe(self._not_uploaded, "error")
        self.path.observe(self._named, "value")
        self._clear()
        self._say(ASK)
        self._open = True
        self.path.value = path

    def __repr__(self) -> str:
        return f"OwnPhoto: {self.summary}{f' {self.explorer!r}' if self.explorer else ''}"

    def _uploaded(self, change: dict) -> None:
        if self.upload.value:  # a tuple with one file, or none
            file = self.upload.value[0]
            content, name, size = bytes(file["content"]), file["name"], file["size"]
            # The file itself isn't kept: it may say where it was taken, and a notebook may be saved with its widgets.
            self.upload.value = ()
            self.path.value = ""
            if len(content) == size:
                self.show(content, name)
            else:
                self._fail(f"{name} arrived incomplete: {len(content)} of {size} bytes. {what_fits()}")

    def _not_uploaded(self, change: dict) -> None:
        if change["new"]:  # what the browser says of a file that it couldn't read
            self._fail(f"The browser couldn't read this file ({change['new']}). Give its path instead.")

    def _named(self, change: dict) -> None:
        if words := self.path.value.strip().strip("\"'"):
            self.show(words)

    def show(self, source: Source, name: str | None = None) -> None:
        """Read a photo from a path, bytes or an open file, and explore it; what can't be read is said in words."""
        with self._answering():
            self._clear()
            self.pictures.value = old(self._good)
            self._say("Reading ...")
            photo = read_image(source)
            title = title_of(source, name)
            answer, pictures = self._introduce(photo, title)
            self.explorer = Explorer(self.clf, {title: photo}, **self._start)
            self.photo, self._title, self._known = photo, title, self.explorer.known
            self._show(pictures)
            self._say(answer)
            self.explorer.words.observe(self._follow, "value")
            self._arrange(self._choice, self.words, self.pictures, self.explorer)

    def _follow(self, change: dict) -> None:
        """Say anew what the network says, where the Explorer has noticed that it's another one now."""
        if self.explorer is None or self.photo is None or self.explorer.known is self._known:
            return
        self._known = self.explorer.known
        try:
            words, pictures = self._introduce(self.photo, self._title)
        except Exception as error:  # the Explorer stays: it recovers together with the network
            self.pictures.value = old(self._good)
            self._say(in_words(error))
        else:
            self._show(pictures)
            self._say(words)

    def _clear(self) -> None:
        """Close the last photo's Explorer, which would keep its maps for ever; the next one starts where it was."""
        if self.explorer is not None:
            self._start = {name: self.explorer.controls[name].value for name in SETTINGS}
            self.explorer.close()
        self.photo = self.explorer = None
        self._arrange(self._choice, self.words, self.pictures)

    def _introduce(self, photo: Image, title: str) -> tuple[str, str]:
        """Return what the network says to a photo, and in HTML the photo beside what the network sees of it."""
        best = ", ".join(map_title(p.label, p.probability) for p in self.clf.top(photo, k=min(3, len(self.clf.labels))))
        view = self.clf.view(photo)
        size = f"{photo.width} × {photo.height} pixels, shown to the network as {view.width} × {view.height}"
        small = photo.copy()
        small.thumbnail((520, 520))
        yours = (small, f"Your photo: {title}", title)
        pictures = gallery([yours, (view, "What the network sees of it", "what the network sees")])
        return f"{title}: {size}. The network says: {best}.", pictures

    @property
    def maps(self) -> Tensor:
        """The Explorer's two maps (2, H, W); empty where there is no photo."""
        return torch.empty(0) if self.explorer is None else self.explorer.maps

    def figure(self) -> Figure:
        """Return the Explorer's figure, for readers without a running kernel; ``ValueError`` without a photo."""
        if self.explorer is None:
            raise ValueError("There is no photo yet. Set path.value, or call show(path).")
        return self.explorer.figure()


def title_of(source: Source, name: str | None = None) -> str:
    """Return what a photo is called: its given name, or its file's, in characters that can be sent to a browser."""
    file = str(source).replace("\\", "/").rpartition("/")[2] if isinstance(source, str) else "photo"
    return (name or file).encode(errors="replace").decode()


def upload_limit() -> int:
    """Return how many megabytes an upload may have, from ``POSGRAD_EDU_UPLOAD_MB`` or by Jupyter's own limit."""
    said = os.environ.get(UPLOAD_VARIABLE, "")
    return int(said) if said.isascii() and said.isdigit() and int(said) else UPLOAD_MB


def what_fits() -> str:
    """Say how large an upload may be, and what to do with a larger one."""
    return (
        f"Uploads: up to {upload_limit()} MB. A larger one gets lost on its way, and nothing happens: give its path "
        "instead, or save the photo smaller."
    )
