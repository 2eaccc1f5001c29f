"""A first randomization test: how many layers can lose what they learned before the map changes?

A slider sets how many layers, counted from the output, hold random weights. Beside the map of the trained network
stands the map of the partly random one, for the same class, with the rank correlation of the two in a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from PIL.Image import Image
from torch import Tensor

from posgrad_edu.handling import POSITIVE, SIGNED
from posgrad_edu.metrics.randomization import evenly_spaced
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.viz import signed_number
from posgrad_edu.widgets.controls import dropdown, handling_toggles, slider
from posgrad_edu.widgets.panel import RECORDS, WeightsPanel, is_cam
from posgrad_edu.widgets.sentences import describe

SHOWN = ("guided-backprop", "gradient", "deconvnet", "gradcam")


class RandomizationSlider(WeightsPanel):
    """Controls for how many layers are random, the method and its handling, and what they do to the map.

    clf: a ``Classifier``, the default network if ``None``. photo: the name of a sample photo, or a picture.
    target: the class that is explained all along, a word or an index; ``None`` for the trained network's most likely.
    seed: which random weights. methods: names to choose from. steps: how many depths the slider has, 3 or more.
    start: values to start with, such as ``depth=50``, ``method="gradient"``, ``handling="signed"``.

    Each control is an ipywidget with a plain ``value``: depth, method, handling.
    Results: ``maps`` (2, H, W), trained and partly random; ``similarity``, ``summary`` (text), ``figure()`` (static).
    """

    def __init__(
        self,
        clf: Classifier | None = None,
        photo: str | Image = "coffee",
        target: str | int | None = None,
        seed: int = 0,
        methods: Sequence[str] = SHOWN,
        steps: int = 10,
        **start: Any,
    ) -> None:
        self.steps = steps
        super().__init__(clf, photo, "most likely" if target is None else target, seed)
        self.photo, self.x = self._shown_photo, self._x
        self.photo_name = photo if isinstance(photo, str) else "photo"
        self.depth = slider("Random layers", self._steps_in_words())
        self.method = dropdown("Method", list(methods))
        self.handling = handling_toggles((SIGNED, POSITIVE), value=POSITIVE.name)
        self._begin(["depth", "method", "handling"], start)

    def _settle(self) -> None:
        super()._settle()
        self._offer("depth", self._steps_in_words(), 0)

    def _steps_in_words(self) -> list[tuple[str, int]]:
        depths = [0, *evenly_spaced(len(self.layers), self.steps - 1)]
        return [(f"{depth} of {depths[-1]}", depth) for depth in depths]

    @property
    def depths(self) -> tuple[int, ...]:
        """How many layers can be random: the slider's steps."""
        return tuple(depth for _, depth in self.depth.options)

    def _maps(self) -> Tensor:
        return self._pair(tuple(self.layers[: self.depth.value]), self.method.value, self.handling.value)

    def _explain(self, random: tuple[str, ...], method: str, handling: str) -> Tensor:
        layer = self.clf.cam_layer if is_cam(method) else None
        return RECORDS.explain(self._network(random), self._x, self.target, method, handling, layer)[0]

    @property
    def setting(self) -> str:
        return f"{self.photo_name}, {self._what}, {self.depth.value} of {self.depths[-1]} random"

    @property
    def _what(self) -> str:
        return f"{self.method.value}, gradients {self.handling.value}"

    def _titles(self) -> list[str]:
        named = {0: "nothing random", 1: "last layer random"}
        return ["trained network", named.get(self.depth.value, f"last {self.depth.value} layers random")]

    def _sentence(self) -> str:
        depth = self.depth.value
        if depth == 0:
            return f"Nothing is random yet: both maps are the trained network's, for {self.clf.labels[self.target]}."
        layers = "the last layer is" if depth == 1 else f"the last {depth} layers are"
        comparison = describe(self.spearman, "the trained network", "the random one", "networks")
        if math.isnan(self.spearman):
            return f"Now {layers} random. {comparison}"
        number = signed_number(self.spearman)
        return f"Rank correlation {number}, while {layers} random. {comparison}"
