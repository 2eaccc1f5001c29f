"""What the widgets have in common: controls with pictures and a sentence below them, which follow the controls.

``Panel`` knows when to compute, to say and to draw, and a widget says what:

    _forget      sets its results to nothing: before the first look, and where they can't be computed
    _measure     computes what the controls ask for
    _sentence    says the results in words
    _html        draws them
    setting      what the controls say, in words

``PhotoPanel`` adds a network, a photo and two maps of it, and ``TwoClassPanel`` that these are for two classes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import ipywidgets as widgets
import torch
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.data.photos import load_photo
from posgrad_edu.metrics.similarity import Similarity, compare, is_degenerate, spearman
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.models.loading import load_classifier
from posgrad_edu.widgets.parts import map_titles, status

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

KEPT_PICTURES = 128  # of the latest states; the pictures of one state take up to half a megabyte


class Panel(widgets.VBox):
    """Controls, pictures and a sentence. Each control is an ipywidget with a plain ``value``.

    ``controls`` holds them by name; ``summary`` is the sentence, or the words for what can't be computed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.controls: dict[str, Any] = {}
        self.pictures, self.words = widgets.HTML(), widgets.HTML()
        self.summary = ""
        self._drawn = functools.lru_cache(maxsize=KEPT_PICTURES)(self._draw)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.setting}. {self.summary}"

    def _begin(self, names: Sequence[str], start: Mapping[str, Any], rows: Sequence[widgets.Widget] = ()) -> None:
        """Give the controls their start values, show everything, and follow the controls from now on.

        names: the attributes that hold the controls, from top to bottom. rows: how they are laid out, if not so.
        Raises ``ValueError`` for a start value of a control that doesn't exist.
        """
        self.controls = {name: getattr(self, name) for name in names}
        for name, value in start.items():
            if name not in self.controls:
                raise ValueError(f"{type(self).__name__} has no control {name!r}. There are: {', '.join(names)}.")
            self.controls[name].value = value
        for control in self.controls.values():
            control.observe(self._changed, "value")
        self.children = [*(rows or self.controls.values()), self.pictures, self.words]
        self._forget()
        self.refresh()

    def _changed(self, change: dict) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Compute what the controls ask for, and show it; what can't be computed is said in words."""
        try:
            self._measure()
            self._say(self._sentence())
            pictures = self._drawn(*(control.value for control in self.controls.values()))
        except (ValueError, RuntimeError) as error:  # also NotImplementedError, and what torch raises
            self._forget()
            self._say(str(error))
            pictures = ""
        self.pictures.value = pictures

    def _say(self, words: str) -> None:
        self.summary = words
        self.words.value = status(words)

    def _draw(self, *state: object) -> str:
        """Draw for these values of the controls. It's called through a cache: what was seen isn't drawn again."""
        return self._html()

    # --- What each widget has of its own ---

    @property
    def setting(self) -> str:
        """What the controls say, in words."""
        return ""

    def _forget(self) -> None:
        """Set the results to nothing."""

    def _measure(self) -> None:
        """Compute the results; ``ValueError`` or ``RuntimeError`` say why they can't be computed."""

    def _sentence(self) -> str:
        """Say the results in words."""
        return ""

    def _html(self) -> str:
        """Draw the results."""
        return ""


class PhotoPanel(Panel):
    """A panel about a network and a photo, of which it shows two maps, ``maps`` (2, H, W).

    clf: a ``Classifier``, the default network if ``None``. photo: a picture, or the name of a sample photo.
    """

    def __init__(self, clf: Classifier | None, photo: Image | str) -> None:
        super().__init__()
        self.clf = load_classifier() if clf is None else clf
        self.view, self._x, self._logits = self._read(load_photo(photo) if isinstance(photo, str) else photo)
        self._compare = functools.lru_cache(maxsize=256)(compare_pair)  # maps that were kept are the same objects

    def _read(self, photo: Image) -> tuple[Image, Tensor, Tensor]:
        """Return the part of the photo that the network sees, the same as a batch of one, and its logits."""
        return self.clf.view(photo), self.clf.batch(photo), self.clf.logits(photo)

    def _forget(self) -> None:
        self.maps: Tensor = torch.empty(0)

    def _need_maps(self) -> None:
        """Refuse to draw a figure where there is nothing to draw."""
        if not self.maps.numel():
            raise ValueError(f"There is nothing to draw. {self.summary}")

    @property
    def _style(self) -> Literal["overlay", "heatmap"]:
        """How maps are drawn: coarse ones over the photo, those as fine as the photo alone."""
        return "overlay"

    def _picture(self, values: Tensor, limit: float) -> Image:
        return viz.overlay(self.view, values, limit) if self._style == "overlay" else viz.heatmap(values, limit)


class TwoClassPanel(PhotoPanel):
    """A photo panel whose maps are for two ``classes`` (indices), on one scale."""

    classes: tuple[int, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the two classes."""
        return tuple(self.clf.labels[c] for c in self.classes)

    @property
    def limit(self) -> float:
        """The magnitude of full colour, one for both maps."""
        return viz.symmetric_limit(self.maps)

    @property
    def _heading(self) -> str:
        """What stands above the figure."""
        return self.setting

    def _titles(self) -> list[str]:
        """Return a title for each map."""
        return map_titles(self.clf, self.classes, self._logits)

    def _panels(self, what: str) -> list[tuple[Image, str, str]]:
        """Return the photo and both maps, each as (picture, alt text, caption); what: the maps are, in words."""
        limit = self.limit
        panels = [(self.view, "The photo, as the network sees it", "photo")]
        for title, values in zip(self._titles(), self.maps, strict=True):
            alt = viz.alt_text(f"{what}, for {title}", values, limit)
            panels.append((self._picture(values, limit), alt, title))
        return panels

    def figure(self) -> Figure:
        """Return what is shown as a figure, for readers without a running kernel; ``ValueError`` without maps."""
        self._need_maps()
        panels = dict(zip(self._titles(), self.maps, strict=True))
        return viz.show_grid(self.view, panels, limit=self.limit, style=self._style, title=self._heading)


def compare_pair(maps: Tensor) -> Similarity:
    """Return how alike two maps (2, H, W) are."""
    return compare(*maps)


def rank_correlation(maps: Tensor) -> float:
    """Return Spearman's correlation of two maps (2, H, W) and nothing else, which is quick; nan if one is constant."""
    if any(is_degenerate(values) for values in maps):
        return math.nan
    return spearman(*maps.detach().cpu().double().numpy())
