"""The Explorer: one photo, two classes, one method and its switch, side by side.

Maps are drawn as pictures inside ``widgets.HTML``, with a line of text that says the same in numbers. Each control has
a name and works from the keyboard. Maps are computed once and kept.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import ipywidgets as widgets
import torch
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.loading import load_classifier
from posgrad_edu.methods import METHODS, explain
from posgrad_edu.methods.cam import CAM
from posgrad_edu.models import Classifier
from posgrad_edu.photos import load_photo
from posgrad_edu.similarity import Similarity, compare
from posgrad_edu.widgets.parts import (
    IN_LINE,
    RANKED,
    describe,
    find_class,
    gallery,
    map_titles,
    pair_limit,
    spatial_layers,
    status,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

PHOTOS = ("coffee", "cat", "rocket", "motorcycle", "astronaut", "china", "flower")
PUBLISHED = "as published"
MOST_DETAIL = 0.995  # maps in input space have a few extreme pixels: these may saturate


class Explorer(widgets.VBox):
    """Controls for photo, classes, method, handling, layer and opacity, and what they show.

    clf: a ``Classifier``, the default network if ``None``. photos: names of sample photos, or pictures by name.
    Each control is an ipywidget with a plain ``value``: photo, class_a, class_b, method, handling, layer, opacity.
    A class is a word, an index, "most likely", "runner-up" or "least likely".
    Results: ``maps`` (2, H, W), ``classes`` (indices), ``similarity``, ``summary`` (text), ``figure()`` (static).
    """

    def __init__(
        self, clf: Classifier | None = None, photos: Mapping[str, Image] | Sequence[str] = PHOTOS, **start: Any
    ) -> None:
        self.clf = load_classifier() if clf is None else clf
        self.photos = dict(photos) if isinstance(photos, Mapping) else {name: load_photo(name) for name in photos}
        if not self.photos:
            raise ValueError("The Explorer needs at least one photo.")
        self._make_controls()
        self._compute = functools.lru_cache(maxsize=256)(self._explain)
        self._compare = functools.lru_cache(maxsize=256)(self._pair_similarity)  # kept maps are the same objects
        self._inputs = functools.lru_cache(maxsize=32)(self._read)
        self.maps: Tensor = torch.empty(0)
        self.classes: tuple[int, int] = (0, 0)
        self.similarity: Similarity | None = None
        self.summary = ""
        for name, value in start.items():
            if name not in self.controls:
                raise ValueError(f"The Explorer has no control {name!r}. There are: {', '.join(self.controls)}.")
            self.controls[name].value = value
        for control in self.controls.values():
            control.observe(self._changed, "value")
        rows = [
            widgets.HBox([self.photo, self.method, self.layer], layout={"flex_flow": "row wrap"}),
            widgets.HBox([self.class_a, self.class_b, self.opacity], layout={"flex_flow": "row wrap"}),
            self.handling,
        ]
        super().__init__([*rows, self.pictures, self.words])
        self.refresh()

    def __repr__(self) -> str:
        return f"Explorer: {self.photo.value}, {self.method.value}, gradients {self.handling.value}. {self.summary}"

    # --- Controls ---

    def _make_controls(self) -> None:
        wide = {"width": "300px"}
        classes = (*RANKED, *self.clf.labels)
        self.photo = widgets.Dropdown(options=list(self.photos), description="Photo", layout=wide)
        self.class_a = self._class_box("Class A", classes, "most likely")
        self.class_b = self._class_box("Class B", classes, "least likely")
        self.method = widgets.Dropdown(options=list(METHODS), value="gradcam", description="Method", layout=wide)
        self.handling = widgets.ToggleButtons(
            options=[PUBLISHED, *HANDLINGS], description="Gradients", style={"button_width": "110px"}, layout=IN_LINE,
            tooltips=["as the method's authors do", *(h.meaning for h in HANDLINGS.values())],
        )  # fmt: skip
        self.layer = widgets.Dropdown(
            options=spatial_layers(self.clf), value=self.clf.cam_layer, description="Layer", layout=wide
        )
        self.opacity = widgets.FloatSlider(
            value=0.85, min=0, max=1, step=0.05, description="Opacity", continuous_update=False, layout=wide
        )
        self.pictures, self.words = widgets.HTML(), widgets.HTML()
        self.controls = {
            name: getattr(self, name)
            for name in ("photo", "class_a", "class_b", "method", "handling", "layer", "opacity")
        }

    def _class_box(self, description: str, classes: Sequence[str], value: str) -> widgets.Combobox:
        return widgets.Combobox(
            options=classes, value=value, description=description, continuous_update=False, layout={"width": "300px"},
            placeholder="a word, such as espresso",
        )  # fmt: skip

    def _changed(self, change: dict) -> None:
        self.refresh()

    @property
    def _is_cam(self) -> bool:
        """Whether the method looks at one layer: its maps are coarse and drawn over the photo."""
        return issubclass(METHODS[self.method.value], CAM)

    # --- From the controls to maps ---

    def refresh(self) -> None:
        """Compute what the controls ask for, and show it; what can't be computed is said in words."""
        self.layer.disabled = self.opacity.disabled = not self._is_cam
        try:
            _, logits = self._inputs(self.photo.value)
            self.classes = (self._class(self.class_a, logits), self._class(self.class_b, logits))
            self.words.value = '<progress aria-label="computing"></progress> computing ...'
            self.maps = self._maps(self.handling.value)
        except (ValueError, NotImplementedError) as error:
            self.maps, self.similarity = torch.empty(0), None
            self._say(str(error))
            self.pictures.value = ""
            return
        self.similarity = self._compare(self.maps)
        self.pictures.value = self._html(logits)
        self._say(describe(self.similarity, *self.labels, same_class=self.classes[0] == self.classes[1]))

    def _read(self, photo: str) -> tuple[Tensor, Tensor]:
        """Return the photo as a batch of one, and its logits."""
        x = self.clf.preprocess(self.photos[photo]).unsqueeze(0)
        with torch.no_grad():
            return x, self.clf.net(x)[0]

    def _class(self, box: widgets.Combobox, logits: Tensor) -> int:
        return find_class(self.clf, box.value, logits)

    def _maps(self, handling: str) -> Tensor:
        layer = self.layer.value if self._is_cam else None
        return self._compute(self.photo.value, self.method.value, handling, layer, *self.classes)

    def _explain(self, photo: str, method: str, handling: str, layer: str | None, a: int, b: int) -> Tensor:
        x, _ = self._inputs(photo)
        chosen = None if handling == PUBLISHED else handling
        return explain(self.clf.net, x, [[a, b]], method, chosen, layer)[0]

    def _pair_similarity(self, maps: Tensor) -> Similarity:
        return compare(*maps)

    # --- What is shown ---

    @property
    def labels(self) -> tuple[str, str]:
        """The names of classes A and B."""
        return self.clf.labels[self.classes[0]], self.clf.labels[self.classes[1]]

    @property
    def limit(self) -> float:
        """The magnitude of full colour, one for both maps, so that the weaker of the two can still be seen."""
        if self._is_cam:
            # Signed maps set the scale of a CAM, whatever the switch says: flipping it changes the colours.
            return pair_limit(self._maps("signed"))
        return viz.symmetric_limit(self.maps, quantile=MOST_DETAIL)

    def _picture(self, values: Tensor) -> Image:
        if self._is_cam:
            return viz.overlay(self._view(), values, self.limit, self.opacity.value)
        return viz.heatmap(values, self.limit)

    def _view(self) -> Image:
        return self.clf.view(self.photos[self.photo.value])

    def _titles(self, logits: Tensor) -> list[str]:
        return map_titles(self.clf, self.classes, logits)

    def _html(self, logits: Tensor) -> str:
        what = f"{self.method.value} with {self.handling.value} gradients"
        panels = [(self._view(), f"The photo: {self.photo.value}", self.photo.value)]
        for letter, title, values in zip("AB", self._titles(logits), self.maps, strict=True):
            alt = viz.alt_text(f"{what} for class {letter}, {title}", values, self.limit)
            panels.append((self._picture(values), alt, f"{letter}: {title}"))
        key = f"Red: evidence for. Blue: evidence against. Full colour at ±{self.limit:.2g} in both maps."
        return gallery(panels, key)

    def _say(self, words: str) -> None:
        self.summary = words
        self.words.value = status(words)

    def figure(self) -> Figure:
        """Return what is shown as a figure, for readers without a running kernel."""
        _, logits = self._inputs(self.photo.value)
        panels = dict(zip(self._titles(logits), self.maps, strict=True))
        style: Literal["overlay", "heatmap"] = "overlay" if self._is_cam else "heatmap"
        title = f"{self.method.value}, gradients {self.handling.value}"
        return viz.show_grid(self._view(), panels, limit=self.limit, style=style, title=title)
