"""The ThresholdSlider: RectGrad for two classes of one photo, from no threshold to a high one.

At q = 0 nothing is cut: positive RectGrad is Guided Backprop there, signed RectGrad the gradient. The sentence below
the maps says how much of each is left, and how alike the two are: pixel by pixel, and by place.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
import torch.nn.functional as F
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.handling import POSITIVE, SIGNED
from posgrad_edu.loading import load_classifier
from posgrad_edu.methods import explain
from posgrad_edu.models import Classifier
from posgrad_edu.photos import load_photo
from posgrad_edu.similarity import compare
from posgrad_edu.widgets.parts import IN_LINE, RANKED, find_class, gallery, status

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

QUANTILES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
PUBLISHED_Q = 0.98
BLOCK = 8  # pixels: what is compared "by place" are mean magnitudes over blocks of this size
FULL_COLOUR = 0.995  # a few pixels lie far above all others; this share isn't saturated


class ThresholdSlider(widgets.VBox):
    """A slider over the threshold's quantile q, a toggle for what may pass, and two classes.

    clf: a ``Classifier`` of a ReLU network, the default one if ``None``. photo: a picture, or a sample photo's name.
    class_a, class_b: a word, an index, "most likely", "runner-up" or "least likely".
    quantiles: the slider's steps, each 0 <= q < 1. start: values for the controls q and handling.
    Results: ``maps`` (2, H, W), ``left`` (share of pixels that aren't zero, one a map), ``spearman`` (pixel by pixel),
    ``by_place`` (rank correlation of mean magnitudes over blocks of 8 x 8 pixels), ``summary``, ``figure()``.
    """

    def __init__(
        self,
        clf: Classifier | None = None,
        photo: Image | str = "coffee",
        class_a: str | int = "most likely",
        class_b: str | int = "least likely",
        quantiles: Sequence[float] = QUANTILES,
        **start: Any,
    ) -> None:
        if not quantiles or any(not 0 <= q < 1 for q in quantiles):
            raise ValueError(f"quantiles are shares to cut, 0 <= q < 1, one or more; not {list(quantiles)}.")
        self.clf = load_classifier() if clf is None else clf
        picture = load_photo(photo) if isinstance(photo, str) else photo
        self.view = self.clf.view(picture)
        self._x = self.clf.batch(picture)
        self._logits = self.clf.logits(picture)
        self.classes: tuple[int, ...] = tuple(find_class(self.clf, str(c), self._logits) for c in (class_a, class_b))
        self._make_controls(str(class_a), str(class_b), sorted(set(quantiles)))
        self._compute = functools.lru_cache(maxsize=128)(self._explain)
        self.maps: Tensor = torch.empty(0)
        self.left = (float("nan"), float("nan"))
        self.spearman = self.by_place = float("nan")
        self.summary = ""
        for name, value in start.items():
            if name not in self.controls:
                raise ValueError(f"The ThresholdSlider has no control {name!r}. There are: {', '.join(self.controls)}.")
            self.controls[name].value = value
        for control in self.controls.values():
            control.observe(self._changed, "value")
        boxes = widgets.HBox([self.class_a, self.class_b], layout={"flex_flow": "row wrap"})
        super().__init__([self.q, self.handling, boxes, self.pictures, self.words])
        self.refresh()

    def __repr__(self) -> str:
        return f"ThresholdSlider: {self.setting}. {self.summary}"

    # --- Controls ---

    def _make_controls(self, class_a: str, class_b: str, quantiles: list[float]) -> None:
        named = {"description_width": "90px"}
        self.q = widgets.SelectionSlider(
            options=[(f"{q:g}", q) for q in quantiles], description="Quantile q", continuous_update=False,
            value=PUBLISHED_Q if PUBLISHED_Q in quantiles else quantiles[-1],
            layout={"width": "480px"}, style=named,
        )  # fmt: skip
        self.handling = widgets.ToggleButtons(
            layout=IN_LINE,
            options=[SIGNED.name, POSITIVE.name], value=POSITIVE.name, description="Gradients",
            tooltips=["hold the magnitude of a · R against the threshold", "only a · R above the threshold passes"],
            style={**named, "button_width": "110px"},
        )  # fmt: skip
        self.class_a, self.class_b = (
            widgets.Combobox(
                options=(*RANKED, *self.clf.labels), value=value, description=description, continuous_update=False,
                layout={"width": "320px"}, style=named, placeholder="a word, such as espresso",
            )
            for description, value in (("Class A", class_a), ("Class B", class_b))
        )  # fmt: skip
        self.pictures, self.words = widgets.HTML(), widgets.HTML()
        self.controls = {name: getattr(self, name) for name in ("q", "handling", "class_a", "class_b")}

    def _changed(self, change: dict) -> None:
        self.refresh()

    # --- From the controls to maps ---

    def refresh(self) -> None:
        """Compute what the controls ask for, and show it; what can't be computed is said in words."""
        try:
            boxes = (self.class_a, self.class_b)
            self.classes = tuple(find_class(self.clf, box.value, self._logits) for box in boxes)
            self.maps = self._compute(self.classes, self.q.value, self.handling.value)
        except (ValueError, NotImplementedError) as error:
            self.maps, self.left = torch.empty(0), (float("nan"), float("nan"))
            self.spearman = self.by_place = float("nan")
            self.pictures.value = ""
            self._say(str(error))
            return
        first, second = (float((m != 0).float().mean()) for m in self.maps)
        self.left = (first, second)
        self.spearman = compare(*self.maps).spearman
        self.by_place = compare(*blocks(self.maps)).spearman
        self._say(self._sentence())
        self.pictures.value = self._html()

    def _explain(self, classes: tuple[int, ...], q: float, handling: str) -> Tensor:
        return explain(self.clf.net, self._x, [list(classes)], "rectgrad", handling, q=q)[0].cpu()

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the two classes."""
        return tuple(self.clf.labels[c] for c in self.classes)

    @property
    def limit(self) -> float:
        """The magnitude of full colour, one for both maps. Each q and handling has its own: they differ in unit."""
        return viz.symmetric_limit(self.maps, FULL_COLOUR)

    @property
    def setting(self) -> str:
        """What the controls say, in words."""
        same = {SIGNED.name: "the gradient", POSITIVE.name: "Guided Backprop"}[self.handling.value]
        return f"RectGrad with q = {self.q.value:g}, {self.handling.value}" + ("" if self.q.value else f": {same}")

    # --- What is shown ---

    def _sentence(self) -> str:
        shares = ", ".join(f"{label} {share:.0%}" for label, share in zip(self.labels, self.left, strict=True))
        said = f"Pixels left: {shares}."
        if self.classes[0] == self.classes[1]:
            return f"{said} Both maps are for {self.labels[0]}. Choose another class B."
        empty = [label for label, m in zip(self.labels, self.maps, strict=True) if not m.any()]
        if empty:
            return f"{said} Nothing passed for {' and for '.join(empty)}: that map is zero everywhere."
        if self.spearman != self.spearman or self.by_place != self.by_place:
            return f"{said} One of the maps is constant, so there is nothing to compare."
        return f"{said} Rank correlation {number(self.spearman)}; of magnitudes by place {number(self.by_place)}."

    def _titles(self) -> list[str]:
        """Return a title for each map; letters keep two maps of one class apart."""
        lines = zip("AB", self.labels, self.left, strict=True)
        return [f"{letter}: {label}\n{share:.0%} of pixels left" for letter, label, share in lines]

    def _html(self) -> str:
        limit = self.limit
        panels = [(self.view, "The photo, as the network sees it", "photo")]
        for title, values in zip(self._titles(), self.maps, strict=True):
            alt = viz.alt_text(f"{self.setting}, for {title}", values, limit)
            panels.append((viz.heatmap(values, limit), alt, title))
        note = "Red: evidence for. Blue: evidence against. One scale for both maps, another for each setting"
        return gallery(panels, f"{note}: here full colour at ±{limit:.2g}.")

    def _say(self, words: str) -> None:
        self.summary = words
        self.words.value = status(words)

    def figure(self) -> Figure:
        """Return what is shown as a figure, for readers without a running kernel."""
        if not self.maps.numel():
            raise ValueError(f"There is nothing to draw. {self.summary}")
        panels = dict(zip(self._titles(), self.maps, strict=True))
        return viz.show_grid(self.view, panels, limit=self.limit, style="heatmap", title=self.setting)


def blocks(maps: Tensor) -> Tensor:
    """Return mean magnitudes (..., H / 8, W / 8) over blocks of 8 x 8 pixels of maps (..., H, W)."""
    return F.avg_pool2d(maps.abs(), BLOCK)


def number(value: float) -> str:
    """Return two digits with the sign, a true minus, and never a negative zero."""
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")
