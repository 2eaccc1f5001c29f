"""The Explorer: one photo, two classes, one method and its switch, side by side.

Maps are drawn as pictures inside ``widgets.HTML``, with a line of text that says the same in numbers. Each control has
a name and works from the keyboard. Maps are computed once and kept.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
from PIL.Image import Image
from torch import Tensor

from posgrad_edu.data.photos import load_photo
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.viz import overlay, pair_limit, signed_number
from posgrad_edu.widgets.class_panels import ClassBoxPanel
from posgrad_edu.widgets.controls import (
    CONTRASTS,
    contrast_list,
    dropdown,
    number_slider,
    spatial_layers,
    toggles,
    usable_methods,
)
from posgrad_edu.widgets.panel import RECORDS, is_cam, style_of
from posgrad_edu.widgets.sentences import describe
from posgrad_edu.widgets.style import ROOM

OFFERED = ("coffee", "cat", "rocket", "motorcycle", "astronaut", "china", "flower")
PUBLISHED = "as published"
CONTROL_NAMES = ("photo", "method", "layer", "class_a", "class_b", "opacity", "contrast", "handling", "size")
SIZES = ("page", "room")


class Explorer(ClassBoxPanel):
    """Controls for photo, classes, method, handling, layer and opacity, and what they show.

    clf: a ``Classifier``, the default network if ``None``. photos: names of sample photos, or pictures by name.
    Each control is an ipywidget with a plain ``value``: photo, class_a, class_b, method, handling, layer, opacity,
    contrast ("none", "mean", "other"), size ("page", "room": large, for a projector). A class is a word, an index,
    "most likely", "runner-up" or "least likely".
    Results: ``maps`` (2, H, W), ``classes`` (indices), ``similarity``, ``summary`` (text), ``figure()`` (static).
    """

    _scale_of = "in both maps"

    def __init__(
        self, clf: Classifier | None = None, photos: Mapping[str, Image] | Sequence[str] = OFFERED, **start: Any
    ) -> None:
        pictures = photos if isinstance(photos, Mapping) else {name: load_photo(name) for name in photos}
        if not pictures:
            raise ValueError("The Explorer needs at least one photo.")
        super().__init__(clf, next(iter(pictures.values())), "most likely", "least likely")
        self.photos = dict(pictures)
        self._inputs = functools.lru_cache(maxsize=32)(lambda name: self._read(self.photos[name]))
        self.rest = widgets.HTML()  # which methods aren't offered
        only = len(self.photos) == 1  # then there's nothing to choose
        self.photo = dropdown("Photo", list(self.photos), disabled=only)
        methods, layers = self._find_offers()
        self.method = dropdown("Method", methods, value=_first(methods))
        self.layer = dropdown("Layer", layers, value=self.clf.cam_layer if layers else None)
        self.opacity = number_slider("Opacity", 0.85, 0, 1, 0.05)
        self.contrast = contrast_list()
        meanings = ["as the method's authors do", *(h.meaning for h in HANDLINGS.values())]
        self.handling = toggles("Gradients", [PUBLISHED, *HANDLINGS], meanings)  # lesson 00 names it so
        self.size = toggles("Size", SIZES, ["as large as the page's letters", "large, for a projector"])
        self._begin(CONTROL_NAMES, start, self.rest)

    def _find_offers(self) -> tuple[list[str], list[str]]:
        """Return the methods that can explain this network, and the layers for CAMs; say which methods can't."""
        methods, rest = usable_methods(self.clf, self._x)
        words = f"Not offered, because this network does what they have no rule for: {', '.join(rest)}."
        self.rest.value = f"<small>{words}</small>" if rest else ""
        self.rest.layout.display = None if rest else "none"
        return methods, spatial_layers(self.clf) if any(map(is_cam, methods)) else []

    def _settle(self) -> None:
        methods, layers = self._find_offers()
        self._offer("method", methods, _first(methods))
        self._offer("layer", layers, self.clf.cam_layer if layers else None)

    def close(self) -> None:
        super().close()
        self.photos = {}

    def _measure(self) -> None:
        (self.add_class if self.size.value == "room" else self.remove_class)(ROOM)
        self.layer.disabled = not is_cam(self.method.value)
        self.opacity.disabled = style_of(self.method.value) == "heatmap"
        before = self._x
        self.view, self._x, self._logits = self._inputs(self.photo.value)
        if before is not self._x:
            RECORDS.clear(before)  # closing lets go of those of the last photo
        self.photo_name = self.photo.value
        super()._measure()

    def _maps(self) -> Tensor:
        return self._with(self.handling.value)

    def _with(self, handling: str) -> Tensor:
        """Return the maps that the other controls ask for, with this handling."""
        chosen = None if handling == PUBLISHED else handling
        layer, contrast = self.layer.value, self.contrast.value
        return self._explain_classes(self.method.value, chosen, layer, contrast, name=self.photo_name)

    @property
    def limit(self) -> float:
        """The magnitude of full colour, one for both maps, so that the weaker of the two can still be seen."""
        # Signed maps set the scale of a coarse map, whatever the switch says: flipping it changes the colours.
        return pair_limit(self._with("signed")) if self._style == "overlay" else super().limit

    @property
    def setting(self) -> str:
        about = {value: f", {words}" for words, value in CONTRASTS} | {"none": ""}
        return f"{self.photo.value}, {self.method.value}, gradients {self.handling.value}{about[self.contrast.value]}"

    def _sentence(self) -> str:
        if nothing := self._nothing_to_compare():
            return nothing
        values, magnitudes = (signed_number(value) for value in (self.spearman, self.spearman_abs))
        numbers = f"Rank correlation of the maps {values}, of their magnitudes {magnitudes}."
        return f"{numbers} {describe(self.spearman, *self.labels)}"

    def _picture(self, values: Tensor, limit: float) -> Image:
        if self._style == "overlay":
            return overlay(self.view, values, limit, self.opacity.value)
        return super()._picture(values, limit)


def _first(methods: Sequence[str]) -> str:
    """Return the method to begin with: GradCAM, or what comes nearest to it for a vision transformer."""
    return next((name for name in ("gradcam", "gradient-rollout") if name in methods), methods[0])
