"""CamWeights: GradCAM and GradCAM++ taken apart, to see which of two ingredients changes the map.

From GradCAM to GradCAM++ takes two steps, and each has its own toggle: the gradients are weighted by alpha before they
are added up, and negative gradients are dropped. The two can be flipped alone, for two classes of one photo, at any
layer. The number of all four combinations is shown below the maps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from posgrad_edu.engine.passes import with_gradients
from posgrad_edu.handling import POSITIVE, SIGNED
from posgrad_edu.methods.base import finish
from posgrad_edu.methods.cam import CAM, GradCAM, GradCAMPlusPlus
from posgrad_edu.viz import pair_limit, signed_number, true_minus
from posgrad_edu.widgets import theme
from posgrad_edu.widgets.class_panels import LayerPanel
from posgrad_edu.widgets.controls import dropdown, handling_toggles, toggles, usual_layer
from posgrad_edu.widgets.panel import rank_correlation
from posgrad_edu.widgets.sentences import rank_correlation_is, red_shares

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


class CamWeights(LayerPanel):
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

    _kept = 32
    _names = ("average", "handling", "layer")

    def _make_controls(self) -> None:
        effects = ["as in GradCAM: all positions count the same", "as in GradCAM++: each counts by its alpha"]
        self.average = toggles("Averaging", list(AVERAGES), effects)
        self.handling = handling_toggles((SIGNED, POSITIVE), "Gradients")  # lesson 05 names it so
        self.layer = dropdown("Layer", list(self.sizes), value=usual_layer(self.clf, self.sizes))

    def _clear(self) -> None:
        super()._clear()
        self.numbers: dict[Choice, float] = {}

    def _maps(self) -> Tensor:
        found = self._compute(self.layer.value)
        self.numbers = found.spearman
        return found.maps[self._choice]

    def _explain(self, layer: str) -> Layer:
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
        grad = torch.stack([*grads], dim=1)[0]
        products = torch.where(grad == 0, math.nan, activation.sum((2, 3), keepdim=True) * grad)
        return Layer(maps, numbers, products)

    @property
    def _choice(self) -> Choice:
        return self.average.value, self.handling.value

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
        return f"{self.layer.value}, {self.average.value}, {self.handling.value} gradients"

    def _sentence(self) -> str:
        if nothing := self._nothing_to_compare():
            return nothing
        numbers = f"{red_shares(self.labels, self.maps)} {rank_correlation_is(self.spearman)}"
        return f"{numbers} {self._about_alpha()}"

    def _about_alpha(self) -> str:
        products = self.products[~self.products.isnan()]
        if not len(products):
            return "All gradients are zero."
        alpha = 1 / (2 + products)
        near = int(((products + 2).abs() < NEAR).sum())
        beyond = int((products < -2).sum())
        ends = true_minus(f"{alpha.min():.3g} to {alpha.max():.3g}")
        return f"Alpha from {ends}; {near} of {len(products)} values near the pole, {beyond} beyond it."

    def _html(self) -> str:
        rows = [(signs, [self._cell((average, signs)) for average in AVERAGES]) for signs in SIGNS]
        return super()._html() + theme.table("Rank correlation of the two classes' maps", AVERAGES, rows)

    def _cell(self, choice: Choice) -> str:
        """Return a rank correlation in HTML; the one that is shown is set bold."""
        value = self.numbers[choice]
        digits = "–" if math.isnan(value) else signed_number(value)
        return f"<b>{digits}</b> (shown)" if choice == self._choice else digits
