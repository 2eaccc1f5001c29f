"""The Explorer: one photo, two classes, one method and its switch, side by side.

Maps are drawn as pictures inside ``widgets.HTML``, with a line of text that says the same in numbers. Each control has
a name and works from the keyboard. Maps are computed once and kept.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import ipywidgets as widgets
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.data.photos import load_photo
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.methods import METHODS, explain
from posgrad_edu.methods.cam import CAM
from posgrad_edu.metrics.similarity import Similarity
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.widgets.panel import TwoClassPanel
from posgrad_edu.widgets.parts import (
    COMPUTING,
    EVIDENCE,
    class_box,
    describe,
    find_classes,
    gallery,
    pair_limit,
    side_by_side,
    spatial_layers,
    toggles,
)

if TYPE_CHECKING:
    from PIL.Image import Image

PHOTOS = ("coffee", "cat", "rocket", "motorcycle", "astronaut", "china", "flower")
PUBLISHED = "as published"
MOST_DETAIL = 0.995  # maps in input space have a few extreme pixels: these may saturate


class Explorer(TwoClassPanel):
    """Controls for photo, classes, method, handling, layer and opacity, and what they show.

    clf: a ``Classifier``, the default network if ``None``. photos: names of sample photos, or pictures by name.
    Each control is an ipywidget with a plain ``value``: photo, class_a, class_b, method, handling, layer, opacity.
    A class is a word, an index, "most likely", "runner-up" or "least likely".
    Results: ``maps`` (2, H, W), ``classes`` (indices), ``similarity``, ``summary`` (text), ``figure()`` (static).
    """

    def __init__(
        self, clf: Classifier | None = None, photos: Mapping[str, Image] | Sequence[str] = PHOTOS, **start: Any
    ) -> None:
        pictures = photos if isinstance(photos, Mapping) else {name: load_photo(name) for name in photos}
        if not pictures:
            raise ValueError("The Explorer needs at least one photo.")
        super().__init__(clf, next(iter(pictures.values())))
        self.photos = dict(pictures)
        self._inputs = functools.lru_cache(maxsize=32)(self._named)
        self._compute = functools.lru_cache(maxsize=256)(self._explain)
        self._make_controls()
        rows = [
            side_by_side(self.photo, self.method, self.layer),
            side_by_side(self.class_a, self.class_b, self.opacity),
            self.handling,
        ]
        self._begin(["photo", "class_a", "class_b", "method", "handling", "layer", "opacity"], start, rows)

    # --- Controls ---

    def _make_controls(self) -> None:
        wide = {"width": "280px"}  # three fit beside each other
        only = len(self.photos) == 1  # then there's nothing to choose
        self.photo = widgets.Dropdown(options=list(self.photos), description="Photo", disabled=only, layout=wide)
        self.class_a = class_box(self.clf, "Class A", "most likely", **wide)
        self.class_b = class_box(self.clf, "Class B", "least likely", **wide)
        self.method = widgets.Dropdown(options=list(METHODS), value="gradcam", description="Method", layout=wide)
        meanings = ["as the method's authors do", *(h.meaning for h in HANDLINGS.values())]
        self.handling = toggles("Gradients", [PUBLISHED, *HANDLINGS], meanings, style={"button_width": "110px"})
        self.layer = widgets.Dropdown(
            options=spatial_layers(self.clf), value=self.clf.cam_layer, description="Layer", layout=wide
        )
        self.opacity = widgets.FloatSlider(
            value=0.85, min=0, max=1, step=0.05, description="Opacity", continuous_update=False, layout=wide
        )

    @property
    def _is_cam(self) -> bool:
        """Whether the method looks at one layer: its maps are coarse and drawn over the photo."""
        return issubclass(METHODS[self.method.value], CAM)

    # --- From the controls to maps ---

    def _forget(self) -> None:
        super()._forget()
        self.similarity: Similarity | None = None

    def _measure(self) -> None:
        self.layer.disabled = self.opacity.disabled = not self._is_cam
        self.view, self._x, self._logits = self._inputs(self.photo.value)
        self.classes = find_classes(self.clf, (self.class_a.value, self.class_b.value), self._logits)
        self.words.value = COMPUTING
        self.maps = self._maps(self.handling.value)
        self.similarity = self._compare(self.maps)

    def _named(self, photo: str) -> tuple[Image, Tensor, Tensor]:
        return self._read(self.photos[photo])

    def _maps(self, handling: str) -> Tensor:
        layer = self.layer.value if self._is_cam else None
        return self._compute(self.photo.value, self.method.value, handling, layer, *self.classes)

    def _explain(self, photo: str, method: str, handling: str, layer: str | None, a: int, b: int) -> Tensor:
        _, x, _ = self._inputs(photo)
        chosen = None if handling == PUBLISHED else handling
        return explain(self.clf.net, x, [[a, b]], method, chosen, layer)[0]

    # --- What is shown ---

    @property
    def setting(self) -> str:
        """What the controls say, in words."""
        return f"{self.photo.value}, {self._heading}"

    @property
    def _heading(self) -> str:
        return f"{self.method.value}, gradients {self.handling.value}"

    @property
    def _style(self) -> Literal["overlay", "heatmap"]:
        return "overlay" if self._is_cam else "heatmap"

    @property
    def limit(self) -> float:
        """The magnitude of full colour, one for both maps, so that the weaker of the two can still be seen."""
        if self._is_cam:
            # Signed maps set the scale of a CAM, whatever the switch says: flipping it changes the colours.
            return pair_limit(self._maps("signed"))
        return viz.symmetric_limit(self.maps, quantile=MOST_DETAIL)

    def _sentence(self) -> str:
        assert self.similarity is not None
        first, second = self.labels
        return describe(self.similarity, first, second, same_class=self.classes[0] == self.classes[1])

    def _html(self) -> str:
        what, limit = f"{self.method.value} with {self.handling.value} gradients", self.limit
        panels = [(self.view, f"The photo: {self.photo.value}", self.photo.value)]
        for letter, title, values in zip("AB", self._titles(), self.maps, strict=True):
            alt = viz.alt_text(f"{what} for class {letter}, {title}", values, limit)
            panels.append((self._picture(values, limit), alt, f"{letter}: {title}"))
        return gallery(panels, f"{EVIDENCE} Full colour at ±{viz.two_digits(limit)} in both maps.")

    def _picture(self, values: Tensor, limit: float) -> Image:
        if self._style == "heatmap":
            return viz.heatmap(values, limit)
        return viz.overlay(self.view, values, limit, self.opacity.value)
