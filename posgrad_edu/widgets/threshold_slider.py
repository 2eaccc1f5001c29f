"""The ThresholdSlider: RectGrad for two classes of one photo, from no threshold to a high one.

At q = 0 nothing is cut: positive RectGrad is Guided Backprop there, signed RectGrad the gradient. The sentence below
the maps says how much of each is left, and how alike the two are: pixel by pixel, and by place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from PIL.Image import Image
from torch import Tensor

from posgrad_edu.handling import POSITIVE, SIGNED
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.viz import signed_number
from posgrad_edu.widgets.class_panels import ClassBoxPanel
from posgrad_edu.widgets.controls import slider, toggles
from posgrad_edu.widgets.panel import rank_correlation
from posgrad_edu.widgets.sentences import CONSTANT, in_percent

QUANTILES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
PUBLISHED_Q = 0.98
BLOCK = 8  # pixels: what is compared "by place" are mean magnitudes over blocks of this size


class ThresholdSlider(ClassBoxPanel):
    """A slider over the threshold's quantile q, a toggle for what may pass, and two classes.

    clf: a ``Classifier`` of a ReLU network, the default one if ``None``. photo: a picture, or a sample photo's name.
    class_a, class_b: a word, an index, "most likely", "runner-up" or "least likely".
    quantiles: the slider's steps, each 0 <= q < 1. start: values for the controls q and handling.
    Results: ``maps`` (2, H, W), ``left`` (share of pixels that aren't zero, one a map), ``spearman`` (pixel by pixel),
    ``by_place`` (rank correlation of mean magnitudes over blocks of 8 x 8 pixels), ``summary``, ``figure()``.
    """

    _style = "heatmap"

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
        super().__init__(clf, photo, class_a, class_b)
        steps = sorted(set(quantiles))
        first = PUBLISHED_Q if PUBLISHED_Q in steps else steps[-1]
        self.q = slider("Quantile q", [(f"{q:g}", q) for q in steps], value=first)
        effects = ["hold the magnitude of a · R against the threshold", "only a · R above the threshold passes"]
        self.handling = toggles("Handling", [SIGNED.name, POSITIVE.name], effects, value=POSITIVE.name)
        self._begin(["q", "handling", "class_a", "class_b"], start)

    def _clear(self) -> None:
        super()._clear()
        self.left: tuple[float, ...] = (math.nan, math.nan)
        self.by_place = math.nan

    def _maps(self) -> Tensor:
        maps = self._explain_classes("rectgrad", self.handling.value, q=self.q.value).cpu()
        self.left = tuple((maps != 0).float().mean((1, 2)).tolist())
        self.by_place = rank_correlation(blocks(maps))
        return maps

    @property
    def setting(self) -> str:
        same = {SIGNED.name: "the gradient", POSITIVE.name: "Guided Backprop"}[self.handling.value]
        return f"RectGrad with q = {self.q.value:g}, {self.handling.value}" + ("" if self.q.value else f": {same}")

    def _sentence(self) -> str:
        said = f"Pixels left: {in_percent(self.labels, self.left)}."
        nothing = self._nothing_to_compare() or (CONSTANT if math.isnan(self.by_place) else "")
        if nothing:
            return f"{said} {nothing}"
        pixels, places = signed_number(self.spearman), signed_number(self.by_place)
        return f"{said} Rank correlation {pixels}; of magnitudes by place {places}."

    def _lines(self) -> list[str]:
        return [f"{label}\n{share:.0%} of pixels left" for label, share in zip(self.labels, self.left, strict=True)]


def blocks(maps: Tensor) -> Tensor:
    """Return mean magnitudes (..., H / 8, W / 8) over blocks of 8 x 8 pixels of maps (..., H, W)."""
    return F.avg_pool2d(maps.abs(), BLOCK)
