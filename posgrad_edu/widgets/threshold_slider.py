"""The ThresholdSlider: RectGrad for two classes of one photo, from no threshold to a high one.

At q = 0 nothing is cut: positive RectGrad is Guided Backprop there, signed RectGrad the gradient. The sentence below
the maps says how much of each is left, and how alike the two are: pixel by pixel, and by place.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch.nn.functional as F
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.handling import POSITIVE, SIGNED
from posgrad_edu.methods import explain
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.widgets.panel import TwoClassPanel, rank_correlation
from posgrad_edu.widgets.parts import (
    class_box,
    find_classes,
    gallery,
    in_percent,
    number,
    setting_scale,
    side_by_side,
    slider,
    toggles,
)

if TYPE_CHECKING:
    from PIL.Image import Image

QUANTILES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
PUBLISHED_Q = 0.98
BLOCK = 8  # pixels: what is compared "by place" are mean magnitudes over blocks of this size
FULL_COLOUR = 0.995  # a few pixels lie far above all others; this share isn't saturated


class ThresholdSlider(TwoClassPanel):
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
        super().__init__(clf, photo)
        self._compute = functools.lru_cache(maxsize=128)(self._explain)
        self.classes = find_classes(self.clf, (class_a, class_b), self._logits)
        self._make_controls(class_a, class_b, sorted(set(quantiles)))
        rows = [self.q, self.handling, side_by_side(self.class_a, self.class_b)]
        self._begin(["q", "handling", "class_a", "class_b"], start, rows)

    def _make_controls(self, class_a: str | int, class_b: str | int, quantiles: list[float]) -> None:
        style = {"description_width": "90px"}
        first = PUBLISHED_Q if PUBLISHED_Q in quantiles else quantiles[-1]
        steps = [(f"{q:g}", q) for q in quantiles]
        self.q = slider("Quantile q", steps, value=first, layout={"width": "480px"}, style=style)
        effects = ["hold the magnitude of a · R against the threshold", "only a · R above the threshold passes"]
        names, buttons = [SIGNED.name, POSITIVE.name], {**style, "button_width": "110px"}
        self.handling = toggles("Gradients", names, effects, value=POSITIVE.name, style=buttons)
        self.class_a = class_box(self.clf, "Class A", class_a, "320px", style=style)
        self.class_b = class_box(self.clf, "Class B", class_b, "320px", style=style)

    # --- From the controls to maps ---

    def _forget(self) -> None:
        super()._forget()
        self.left: tuple[float, ...] = (math.nan, math.nan)
        self.spearman = self.by_place = math.nan

    def _measure(self) -> None:
        self.classes = find_classes(self.clf, (self.class_a.value, self.class_b.value), self._logits)
        self.maps = self._compute(self.classes, self.q.value, self.handling.value)
        self.left = tuple((self.maps != 0).float().mean((1, 2)).tolist())
        self.spearman = rank_correlation(self.maps)
        self.by_place = rank_correlation(blocks(self.maps))

    def _explain(self, classes: tuple[int, ...], q: float, handling: str) -> Tensor:
        return explain(self.clf.net, self._x, [list(classes)], "rectgrad", handling, q=q)[0].cpu()

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

    @property
    def _style(self) -> Literal["overlay", "heatmap"]:
        return "heatmap"

    def _sentence(self) -> str:
        said = f"Pixels left: {in_percent(self.labels, self.left)}."
        if self.classes[0] == self.classes[1]:
            return f"{said} Both maps are for {self.labels[0]}. Choose another class B."
        empty = [label for label, m in zip(self.labels, self.maps, strict=True) if not m.any()]
        if empty:
            return f"{said} Nothing passed for {' and for '.join(empty)}: that map is zero everywhere."
        if math.isnan(self.spearman) or math.isnan(self.by_place):
            return f"{said} One of the maps is constant, so there is nothing to compare."
        return f"{said} Rank correlation {number(self.spearman)}; of magnitudes by place {number(self.by_place)}."

    def _titles(self) -> list[str]:
        """Return a title for each map; letters keep two maps of one class apart."""
        lines = zip("AB", self.labels, self.left, strict=True)
        return [f"{letter}: {label}\n{share:.0%} of pixels left" for letter, label, share in lines]

    def _html(self) -> str:
        return gallery(self._panels(self.setting), setting_scale(self.limit))


def blocks(maps: Tensor) -> Tensor:
    """Return mean magnitudes (..., H / 8, W / 8) over blocks of 8 x 8 pixels of maps (..., H, W)."""
    return F.avg_pool2d(maps.abs(), BLOCK)
