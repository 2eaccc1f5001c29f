"""CamWeights: GradCAM and GradCAM++ taken apart, to see which of two ingredients changes the map.

From GradCAM to GradCAM++ takes two steps, and each has its own toggle: the gradients are weighted by alpha before they
are added up, and negative gradients are dropped. The two can be flipped alone, for two classes of one photo, at any
layer. The number of all four combinations is shown below the maps.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import ipywidgets as widgets
import torch
from torch import Tensor

from posgrad_edu.engine.cam_layer import find_layer
from posgrad_edu.engine.passes import with_gradients
from posgrad_edu.handling import POSITIVE, SIGNED
from posgrad_edu.methods.base import finish
from posgrad_edu.methods.cam import CAM, GradCAM, GradCAMPlusPlus
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.widgets.panel import TwoClassPanel, rank_correlation
from posgrad_edu.widgets.parts import (
    find_pair,
    gallery,
    handling_toggles,
    in_percent,
    layer_scale,
    minus,
    number,
    pair_limit,
    spatial_layers,
    toggles,
)

if TYPE_CHECKING:
    from PIL.Image import Image

PLAIN, ALPHA = "plain mean", "alpha"
AVERAGES: dict[str, type[CAM]] = {PLAIN: GradCAM, ALPHA: GradCAMPlusPlus}
SIGNS = (SIGNED.name, POSITIVE.name)
NEAR = 0.1  # how near S · g = -2 counts as near the pole
Choice = tuple[str, str]  # average, signs


class Layer(NamedTuple):
    """What is known of one layer, whatever the toggles say."""

    maps: dict[Choice, Tensor]  # (2, H, W) each, in GradCAM's unit
    spearman: dict[Choice, float]  # of the two classes' maps
    products: Tensor  # S · g, (2, C, h, w); nan where g is zero


class CamWeights(TwoClassPanel):
    """Two toggles, alpha and the gradients' signs, which lead from GradCAM to GradCAM++ one step at a time.

    clf: a ``Classifier``, the default network if ``None``. photo: a picture, or the name of a sample photo.
    class_a, class_b: a word, an index, "most likely", "runner-up" or "least likely".
    layers: names of the network's layers; ``None`` for all outer ones that have positions.
    start: values for the controls average ("plain mean", "alpha"), handling ("signed", "positive") and layer.
    Results: ``maps`` (2, H, W), ``classes`` (indices), ``numbers`` (the rank correlation of each combination),
    ``products`` (S · g), ``spearman``, ``summary`` (text), ``figure()`` (static).

    GradCAM++ adds up where GradCAM averages. Its maps are divided by half the number of positions: where alpha is 1/2
    everywhere they are GradCAM's, and so all four share one scale.
    """

    def __init__(
        self,
        clf: Classifier | None = None,
        photo: Image | str = "coffee",
        class_a: str | int = "most likely",
        class_b: str | int = "least likely",
        layers: Sequence[str] | None = None,
        **start: Any,
    ) -> None:
        super().__init__(clf, photo)
        self.classes = find_pair(self.clf, (class_a, class_b), self._logits)
        self._compute = functools.lru_cache(maxsize=32)(self._look)
        self._make_controls(spatial_layers(self.clf) if layers is None else list(layers))
        self._begin(["average", "handling", "layer"], start)

    def _make_controls(self, layers: Sequence[str]) -> None:
        if not layers:
            raise ValueError("CamWeights needs at least one layer.")
        for name in layers:
            find_layer(self.clf.net, name, self._x)  # a name that doesn't exist is refused now
        style = {"description_width": "90px"}
        effects = ["as in GradCAM: all positions count the same", "as in GradCAM++: each counts by its alpha"]
        self.average = toggles("Averaging", list(AVERAGES), effects, style=style)
        self.handling = handling_toggles("Gradients", (SIGNED, POSITIVE), style=style)
        last = self.clf.cam_layer if self.clf.cam_layer in layers else layers[-1]
        self.layer = widgets.Dropdown(options=list(layers), value=last, description="Layer", style=style)

    # --- From the controls to maps ---

    def _forget(self) -> None:
        super()._forget()
        self.numbers: dict[Choice, float] = {}

    def _measure(self) -> None:
        found = self._compute(self.layer.value)
        self.maps, self.numbers = found.maps[self._choice], found.spearman

    def _look(self, layer: str) -> Layer:
        """Make all four kinds of map at once: they share one forward pass."""
        kinds = {(average, signs): AVERAGES[average](signs, layer) for average in AVERAGES for signs in SIGNS}
        target = torch.tensor([self.classes], device=self._x.device)
        with with_gradients():
            record = GradCAM(layer=layer).record(self.clf.net, self._x.clone(), target)
        activation, grads = record
        positions = activation.shape[2] * activation.shape[3]
        units = {PLAIN: 1.0, ALPHA: positions / 2}
        found = {choice: finish(kind.read(record), self._x, target)[0] for choice, kind in kinds.items()}
        maps = {choice: pair / units[choice[0]] for choice, pair in found.items()}
        numbers = {choice: rank_correlation(pair) for choice, pair in maps.items()}
        grad = torch.cat(grads)
        products = torch.where(grad == 0, math.nan, activation.sum((2, 3), keepdim=True) * grad)
        return Layer(maps, numbers, products)

    @property
    def _choice(self) -> Choice:
        return self.average.value, self.handling.value

    @property
    def spearman(self) -> float:
        """The rank correlation of the two maps shown; nan if one is constant, or where nothing is shown."""
        return self.numbers.get(self._choice, math.nan)

    @property
    def products(self) -> Tensor:
        """S · g at the chosen layer (2, C, h, w), for each class; nan where g is zero and alpha therefore, too."""
        return self._compute(self.layer.value).products

    @property
    def limit(self) -> float:
        """The magnitude of full colour: at each layer one for both maps, which neither toggle changes."""
        return pair_limit(self._compute(self.layer.value).maps[PLAIN, SIGNED.name])

    @property
    def setting(self) -> str:
        """What the controls say, in words."""
        return f"{self.layer.value}, {self.average.value}, {self.handling.value} gradients"

    # --- What is shown ---

    def _sentence(self) -> str:
        if math.isnan(self.spearman):
            return "One of the maps is constant, so there is nothing to compare."
        red = in_percent(self.labels, (self.maps > 0).float().mean((1, 2)).tolist())
        return f"Red: {red}. Rank correlation {number(self.spearman)}. {self._about_alpha()}"

    def _about_alpha(self) -> str:
        products = self.products[~self.products.isnan()]
        if not len(products):
            return "All gradients are zero."
        alpha = 1 / (2 + products)
        near = int(((products + 2).abs() < NEAR).sum())
        beyond = int((products < -2).sum())
        ends = minus(f"{alpha.min():.3g} to {alpha.max():.3g}")
        return f"Alpha from {ends}; {near} of {len(products)} values near the pole, {beyond} beyond it."

    def _html(self) -> str:
        return gallery(self._panels(self.setting), layer_scale(self.maps, self.limit)) + self._table()

    def _table(self) -> str:
        """Return the four rank correlations as a table; the one that is shown is set bold."""
        head = "".join(f'<th scope="col">{average}</th>' for average in AVERAGES)
        rows = "".join(
            f'<tr><th scope="row">{signs}</th>'
            + "".join(_cell(self.numbers[average, signs], (average, signs) == self._choice) for average in AVERAGES)
            + "</tr>"
            for signs in SIGNS
        )
        caption = '<caption style="text-align:left">Rank correlation of the two classes\' maps</caption>'
        return f'<table style="border-spacing:12px 2px">{caption}<tr><td></td>{head}</tr>{rows}</table>'


def _cell(value: float, shown: bool) -> str:
    digits = "–" if math.isnan(value) else number(value)
    return f"<td><b>{digits}</b> (shown)</td>" if shown else f"<td>{digits}</td>"
