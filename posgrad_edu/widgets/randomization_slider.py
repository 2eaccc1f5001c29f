"""A first randomization test: how much of the network may forget everything before the map changes?

A slider sets how many layers, counted from the output, hold random weights. Beside the map of the trained network
stands the map of the partly random one, for the same class, with the rank correlation of the two in a sentence.
Pictures are ``<img>`` elements with alt text, each control works from the keyboard, and maps are computed once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import ipywidgets as widgets
import torch
from torch import Tensor, nn

from posgrad_edu import viz
from posgrad_edu.data.photos import load_photo
from posgrad_edu.methods import METHODS, explain
from posgrad_edu.methods.cam import CAM
from posgrad_edu.metrics.randomization import evenly_spaced, randomizable_layers, randomized
from posgrad_edu.metrics.similarity import Similarity
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.widgets.panel import PhotoPanel
from posgrad_edu.widgets.parts import COMPUTING, EVIDENCE, gallery, slider, toggles

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

SHOWN = ("guided-backprop", "gradient", "deconvnet", "gradcam")
FULL_COLOUR = 0.995  # a map's own unit is the magnitude that this share of its pixels doesn't exceed


class RandomizationSlider(PhotoPanel):
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
        self.photo = load_photo(photo) if isinstance(photo, str) else photo
        super().__init__(clf, self.photo)
        self.photo_name = photo if isinstance(photo, str) else "photo"
        self.seed, self.x = seed, self._x
        self.layers = randomizable_layers(self.clf.net, self.x)
        self.target = int(self._logits.argmax()) if target is None else self.clf.index(target)
        self._compute = functools.lru_cache(maxsize=256)(self._explain)
        self._pair = functools.lru_cache(maxsize=256)(self._both)
        self._network = functools.lru_cache(maxsize=2)(self._forgetful)  # copies of a network can be large
        self._make_controls(methods, [0, *evenly_spaced(len(self.layers), steps - 1)])
        self._begin(["depth", "method", "handling"], start)

    # --- Controls ---

    def _make_controls(self, methods: Sequence[str], depths: Sequence[int]) -> None:
        style, counts = {"description_width": "110px"}, [(f"{depth} of {depths[-1]}", depth) for depth in depths]
        self.depth = slider("Random layers", counts, layout={"width": "480px"}, style=style)
        wide = {"width": "340px"}
        self.method = widgets.Dropdown(options=list(methods), description="Method", layout=wide, style=style)
        effects = ["keep evidence for and against", "drop evidence against"]
        buttons = {**style, "button_width": "110px"}
        self.handling = toggles("Gradients", ["signed", "positive"], effects, value="positive", style=buttons)

    @property
    def depths(self) -> tuple[int, ...]:
        """How many layers can be random: the slider's steps."""
        return tuple(depth for _, depth in self.depth.options)

    # --- From the controls to maps ---

    def _forget(self) -> None:
        super()._forget()
        self.similarity: Similarity | None = None

    def _measure(self) -> None:
        self.words.value = COMPUTING
        self.maps = self._pair(self.depth.value, self.method.value, self.handling.value)
        self.similarity = self._compare(self.maps)

    def _both(self, depth: int, method: str, handling: str) -> Tensor:
        return torch.stack([self._compute(d, method, handling) for d in (0, depth)])

    def _explain(self, depth: int, method: str, handling: str) -> Tensor:
        return explain(self._network(depth), self.x, self.target, method, handling, self._layer(method))[0]

    def _layer(self, method: str) -> str | None:
        return self.clf.cam_layer if issubclass(METHODS[method], CAM) else None

    def _forgetful(self, depth: int) -> nn.Module:
        return randomized(self.clf.net, depth, self.seed, layers=self.layers) if depth else self.clf.net

    # --- What is shown ---

    @property
    def setting(self) -> str:
        """What the controls say, in words."""
        return f"{self.photo_name}, {self._heading}"

    @property
    def _heading(self) -> str:
        return f"{self.method.value}, gradients {self.handling.value}, {self.depth.value} of {self.depths[-1]} random"

    @property
    def _style(self) -> Literal["overlay", "heatmap"]:
        return "overlay" if issubclass(METHODS[self.method.value], CAM) else "heatmap"

    def _units(self) -> list[float]:
        """Return the magnitude of full colour of each map.

        Random weights change the scale of all that flows back, in some networks by a factor of a million. What is
        compared here is where a map is strong, so each map has its own unit; the caption says how large it is.
        """
        return [viz.symmetric_limit([m], FULL_COLOUR) for m in self.maps]

    def _titles(self) -> list[str]:
        named = {0: "nothing random", 1: "last layer random"}
        return ["trained network", named.get(self.depth.value, f"last {self.depth.value} layers random")]

    def _sentence(self) -> str:
        assert self.similarity is not None
        return describe(self.similarity, self.depth.value, self.clf.labels[self.target])

    def _html(self) -> str:
        panels = [(self.view, f"The photo: {self.photo_name}", self.photo_name)]
        for title, values, unit in zip(self._titles(), self.maps, self._units(), strict=True):
            alt = viz.alt_text(f"{self.method.value} with {self.handling.value} gradients, {title}", values)
            panels.append((self._picture(values, unit), alt, f"{title} (full colour at ±{viz.two_digits(unit)})"))
        return gallery(panels, f"{EVIDENCE} Each map in its own unit: compare places, not strengths.")

    def figure(self) -> Figure:
        """Return what is shown as a figure, for readers without a running kernel; ``ValueError`` without maps."""
        self._need_maps()
        panels = {
            title: values / unit for title, values, unit in zip(self._titles(), self.maps, self._units(), strict=True)
        }
        return viz.show_grid(self.view, panels, limit=1.0, style=self._style, title=self._heading)


def describe(similarity: Similarity, depth: int, label: str) -> str:
    """Return one plain sentence on what is left of the trained network's map, with the number."""
    if depth == 0:
        return f"Nothing is random yet: both maps are the trained network's, for {label}."
    layers = "the last layer is" if depth == 1 else f"the last {depth} layers are"
    if similarity.degenerate or math.isnan(similarity.spearman):
        return f"Now {layers} random, and one of the maps is constant: it ranks no pixel above another."
    numbers = f"Rank correlation {similarity.spearman:.2f}, while {layers} random."
    if similarity.spearman > 0.9:
        return f"{numbers} Nearly the same map: it hardly shows what was learned there."
    if similarity.spearman > 0.5:
        return f"{numbers} Much alike: most of the map doesn't depend on what was learned there."
    if similarity.spearman > 0.2:
        return f"{numbers} Some of the old order is left."
    if similarity.spearman < -0.2:
        return f"{numbers} Partly reversed: the map depends on what was learned there."
    return f"{numbers} Next to nothing is left: the map depends on what was learned there."
