"""A first randomisation test: how much of the network may forget everything before the map changes?

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
from posgrad_edu.loading import load_classifier
from posgrad_edu.methods import METHODS, explain
from posgrad_edu.methods.cam import CAM
from posgrad_edu.models import Classifier
from posgrad_edu.photos import load_photo
from posgrad_edu.randomize import randomizable_layers, randomized, spread
from posgrad_edu.similarity import Similarity, compare
from posgrad_edu.widgets.parts import IN_LINE, gallery, status

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

SHOWN = ("guided-backprop", "gradient", "deconvnet", "gradcam")
FULL_COLOUR = 0.995  # a map's own unit is the magnitude that this share of its pixels doesn't exceed


class RandomisationSlider(widgets.VBox):
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
        self.clf = load_classifier() if clf is None else clf
        self.photo = load_photo(photo) if isinstance(photo, str) else photo
        self.photo_name = photo if isinstance(photo, str) else "photo"
        self.seed = seed
        self.x = self.clf.preprocess(self.photo).unsqueeze(0)
        self.layers = randomizable_layers(self.clf.net, self.x)
        with torch.no_grad():
            self.target = int(self.clf.net(self.x)[0].argmax()) if target is None else self.clf.index(target)
        self._make_controls(methods, [0, *spread(len(self.layers), steps - 1)])
        self._compute = functools.lru_cache(maxsize=256)(self._explain)
        self._network = functools.lru_cache(maxsize=2)(self._forgetful)  # copies of a network can be large
        self.maps: Tensor = torch.empty(0)
        self.similarity: Similarity | None = None
        self.summary = ""
        for name, value in start.items():
            if name not in self.controls:
                raise ValueError(f"The slider has no control {name!r}. There are: {', '.join(self.controls)}.")
            self.controls[name].value = value
        for control in self.controls.values():
            control.observe(self._changed, "value")
        super().__init__([self.depth, self.method, self.handling, self.pictures, self.words])
        self.refresh()

    def __repr__(self) -> str:
        return f"RandomisationSlider: {self.photo_name}, {self._what()}. {self.summary}"

    # --- Controls ---

    def _make_controls(self, methods: Sequence[str], depths: Sequence[int]) -> None:
        named = {"style": {"description_width": "110px"}}
        self.depth = widgets.SelectionSlider(
            options=[(f"{d} of {depths[-1]}", d) for d in depths], description="Random layers",
            continuous_update=False, layout={"width": "480px"}, **named,
        )  # fmt: skip
        self.method = widgets.Dropdown(options=list(methods), description="Method", layout={"width": "340px"}, **named)
        self.handling = widgets.ToggleButtons(
            options=["signed", "positive"], value="positive", description="Gradients", layout=IN_LINE,
            tooltips=["keep evidence for and against", "drop evidence against"],
            style={"button_width": "110px", "description_width": "110px"},
        )  # fmt: skip
        self.pictures, self.words = widgets.HTML(), widgets.HTML()
        self.controls = {"depth": self.depth, "method": self.method, "handling": self.handling}

    @property
    def depths(self) -> tuple[int, ...]:
        """How many layers can be random: the slider's steps."""
        return tuple(depth for _, depth in self.depth.options)

    def _changed(self, change: dict) -> None:
        self.refresh()

    # --- From the controls to maps ---

    def refresh(self) -> None:
        """Compute what the controls ask for, and show it; what can't be computed is said in words."""
        self.words.value = '<progress aria-label="computing"></progress> computing ...'
        method, handling = self.method.value, self.handling.value
        try:
            self.maps = torch.stack([self._compute(depth, method, handling) for depth in (0, self.depth.value)])
        except (ValueError, NotImplementedError) as error:
            self.maps, self.similarity = torch.empty(0), None
            self.pictures.value = ""
            self._say(str(error))
            return
        self.similarity = compare(*self.maps)
        self._say(describe(self.similarity, self.depth.value, self.clf.labels[self.target]))
        self.pictures.value = self._html()

    def _explain(self, depth: int, method: str, handling: str) -> Tensor:
        return explain(self._network(depth), self.x, self.target, method, handling, self._layer(method))[0]

    def _layer(self, method: str) -> str | None:
        return self.clf.cam_layer if issubclass(METHODS[method], CAM) else None

    def _forgetful(self, depth: int) -> nn.Module:
        return randomized(self.clf.net, depth, self.seed, layers=self.layers) if depth else self.clf.net

    # --- What is shown ---

    def _what(self) -> str:
        return f"{self.method.value}, gradients {self.handling.value}, {self.depth.value} of {self.depths[-1]} random"

    def _units(self) -> list[float]:
        """Return the magnitude of full colour of each map.

        Random weights change the scale of all that flows back, in some networks by a factor of a million. What is
        compared here is where a map is strong, so each map has its own unit; the caption says how large it is.
        """
        return [viz.symmetric_limit([m], FULL_COLOUR) for m in self.maps]

    def _titles(self) -> list[str]:
        named = {0: "nothing random", 1: "last layer random"}
        return ["trained network", named.get(self.depth.value, f"last {self.depth.value} layers random")]

    @property
    def _over_photo(self) -> bool:
        return self._layer(self.method.value) is not None

    def _html(self) -> str:
        view = self.clf.view(self.photo)
        panels = [(view, f"The photo: {self.photo_name}", self.photo_name)]
        for title, values, unit in zip(self._titles(), self.maps, self._units(), strict=True):
            alt = viz.alt_text(f"{self.method.value} with {self.handling.value} gradients, {title}", values)
            picture = viz.overlay(view, values, unit) if self._over_photo else viz.heatmap(values, unit)
            panels.append((picture, alt, f"{title} (full colour at ±{unit:.2g})"))
        key = "Red: evidence for. Blue: evidence against. Each map in its own unit: compare places, not strengths."
        return gallery(panels, key)

    def _say(self, words: str) -> None:
        self.summary = words
        self.words.value = status(words)

    def figure(self) -> Figure:
        """Return what is shown as a figure, for readers without a running kernel."""
        panels = {
            title: values / unit for title, values, unit in zip(self._titles(), self.maps, self._units(), strict=True)
        }
        style: Literal["overlay", "heatmap"] = "overlay" if self._over_photo else "heatmap"
        return viz.show_grid(self.clf.view(self.photo), panels, limit=1.0, style=style, title=self._what())


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
