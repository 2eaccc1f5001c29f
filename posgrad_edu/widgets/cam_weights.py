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

from posgrad_edu import viz
from posgrad_edu.handling import POSITIVE, SIGNED
from posgrad_edu.loading import load_classifier
from posgrad_edu.methods import explain_all
from posgrad_edu.methods.cam import CAM, GradCAM, GradCAMPlusPlus
from posgrad_edu.methods.layers import find_layer
from posgrad_edu.models import Classifier
from posgrad_edu.photos import load_photo
from posgrad_edu.similarity import spearman
from posgrad_edu.widgets.parts import IN_LINE, find_class, gallery, map_titles, pair_limit, spatial_layers, status

if TYPE_CHECKING:
    from matplotlib.figure import Figure
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


class CamWeights(widgets.VBox):
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
        self.clf = load_classifier() if clf is None else clf
        picture = load_photo(photo) if isinstance(photo, str) else photo
        self.view = self.clf.view(picture)
        self._x = self.clf.batch(picture)
        self._logits = self.clf.logits(picture)
        self.classes = tuple(find_class(self.clf, str(word), self._logits) for word in (class_a, class_b))
        if self.classes[0] == self.classes[1]:
            raise ValueError(f"Both classes are {self.labels[0]}. Choose two, so that their maps can be compared.")
        self._make_controls(spatial_layers(self.clf) if layers is None else list(layers))
        self._compute = functools.lru_cache(maxsize=32)(self._look)
        self.maps: Tensor = torch.empty(0)
        self.numbers: dict[Choice, float] = {}
        self.summary = ""
        for name, value in start.items():
            if name not in self.controls:
                raise ValueError(f"CamWeights has no control {name!r}. There are: {', '.join(self.controls)}.")
            self.controls[name].value = value
        for control in self.controls.values():
            control.observe(self._changed, "value")
        super().__init__([*self.controls.values(), self.pictures, self.words])
        self.refresh()

    def __repr__(self) -> str:
        return f"CamWeights: {self.setting}. {self.summary}"

    # --- Controls ---

    def _make_controls(self, layers: Sequence[str]) -> None:
        if not layers:
            raise ValueError("CamWeights needs at least one layer.")
        for name in layers:
            find_layer(self.clf.net, name, self._x)  # a name that doesn't exist is refused now
        named = {"style": {"description_width": "90px"}}
        self.average = widgets.ToggleButtons(
            layout=IN_LINE,
            options=list(AVERAGES), description="Averaging", **named,
            tooltips=["as in GradCAM: all positions count the same", "as in GradCAM++: each counts by its alpha"],
        )  # fmt: skip
        self.handling = widgets.ToggleButtons(
            layout=IN_LINE,
            options=list(SIGNS),
            description="Gradients",
            tooltips=[SIGNED.meaning, POSITIVE.meaning],
            **named,
        )
        last = self.clf.cam_layer if self.clf.cam_layer in layers else layers[-1]
        self.layer = widgets.Dropdown(options=list(layers), value=last, description="Layer", **named)
        self.pictures, self.words = widgets.HTML(), widgets.HTML()
        self.controls = {"average": self.average, "handling": self.handling, "layer": self.layer}

    def _changed(self, change: dict) -> None:
        self.refresh()

    # --- From the controls to maps ---

    def refresh(self) -> None:
        """Compute what the controls ask for, and show it; what can't be computed is said in words."""
        try:
            found = self._compute(self.layer.value)
        except (ValueError, NotImplementedError) as error:
            self.maps, self.numbers = torch.empty(0), {}
            self._say(str(error))
            self.pictures.value = ""
            return
        self.maps, self.numbers = found.maps[self._choice], found.spearman
        self._say(self._sentence())
        self.pictures.value = self._html(self.limit)

    def _look(self, layer: str) -> Layer:
        """Make all four kinds of map at once: they share one forward pass."""
        kinds = {(average, signs): AVERAGES[average](signs, layer) for average in AVERAGES for signs in SIGNS}
        target = torch.tensor([self.classes], device=self._x.device)
        labelled = {" ".join(choice): method for choice, method in kinds.items()}
        found = explain_all(self.clf.net, self._x, target, labelled)
        with torch.enable_grad():
            activation, grads = GradCAM(layer=layer).record(self.clf.net, self._x.clone(), target)
        positions = activation.shape[2] * activation.shape[3]
        units = {PLAIN: 1.0, ALPHA: positions / 2}
        maps = {choice: found[" ".join(choice)][0] / units[choice[0]] for choice in kinds}
        numbers = {choice: spearman(*pair.cpu().double().numpy()) for choice, pair in maps.items()}
        grad = torch.cat(grads)
        products = torch.where(grad == 0, math.nan, activation.sum((2, 3), keepdim=True) * grad)
        return Layer(maps, numbers, products)

    @property
    def _choice(self) -> Choice:
        return self.average.value, self.handling.value

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the two classes."""
        return tuple(self.clf.labels[c] for c in self.classes)

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
        red = ", ".join(
            f"{label} {float((m > 0).float().mean()):.0%}" for label, m in zip(self.labels, self.maps, strict=True)
        )
        return f"Red: {red}. Rank correlation {_digits(self.spearman)}. {self._about_alpha()}"

    def _about_alpha(self) -> str:
        products = self.products[~self.products.isnan()]
        if not len(products):
            return "All gradients are zero."
        alpha = 1 / (2 + products)
        near = int(((products + 2).abs() < NEAR).sum())
        beyond = int((products < -2).sum())
        return (
            f"Alpha from {alpha.min():.3g} to {alpha.max():.3g}".replace("-", "−")
            + f"; {near} of {len(products)} values near the pole, {beyond} beyond it."
        )

    def _html(self, limit: float) -> str:
        panels = [(self.view, "The photo, as the network sees it", "photo")]
        for title, values in zip(self._titles(), self.maps, strict=True):
            alt = viz.alt_text(f"{self.setting}, for {title}", values, limit)
            panels.append((viz.overlay(self.view, values, limit), alt, title))
        times = float(self.maps.abs().max()) / limit
        beyond = f" The strongest value here is {times:.3g} times that." if times > 1 else ""
        scale = f"Full colour at ±{limit:.2g} in all maps of this layer.{beyond}"
        return gallery(panels, f"Red: evidence for. Blue: evidence against. {scale}") + self._table()

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

    def _titles(self) -> list[str]:
        return map_titles(self.clf, self.classes, self._logits)

    def _say(self, words: str) -> None:
        self.summary = words
        self.words.value = status(words)

    def figure(self) -> Figure:
        """Return what is shown as a figure, for readers without a running kernel."""
        panels = dict(zip(self._titles(), self.maps, strict=True))
        return viz.show_grid(self.view, panels, limit=self.limit, title=self.setting)


def _digits(number: float) -> str:
    return "–" if math.isnan(number) else f"{round(number, 2) + 0.0:+.2f}".replace("-", "−")


def _cell(number: float, shown: bool) -> str:
    return f"<td><b>{_digits(number)}</b> (shown)</td>" if shown else f"<td>{_digits(number)}</td>"
