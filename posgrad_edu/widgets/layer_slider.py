"""The LayerSlider: GradCAM for two classes of one photo, at any layer, with its two switches.

The switches are easily mixed up. The handling acts on the gradients, before they are averaged into weights. The
final ReLU acts on the finished map. Here both stand side by side, so that each can be flipped alone.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.handling import POSITIVE, SIGNED
from posgrad_edu.loading import load_classifier
from posgrad_edu.methods import explain
from posgrad_edu.methods.layers import find_layer, is_spatial, watch
from posgrad_edu.models import Classifier
from posgrad_edu.photos import load_photo
from posgrad_edu.similarity import spearman
from posgrad_edu.widgets.parts import IN_LINE, find_class, gallery, map_titles, pair_limit, spatial_layers, status

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

METHOD = "gradcam"


class LayerSlider(widgets.VBox):
    """A slider over layers, early to late, and toggles for the gradients' handling and the final ReLU.

    clf: a ``Classifier``, the default network if ``None``. photo: a picture, or the name of a sample photo.
    class_a, class_b: a word, an index, "most likely", "runner-up" or "least likely".
    layers: names of the network's layers, early to late; ``None`` for all outer ones that have positions.
    start: values for the controls layer, handling ("signed", "positive") and relu (True, False).
    Results: ``maps`` (2, H, W), ``classes`` (indices), ``spearman``, ``summary`` (text), ``figure()`` (static).
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
        self.sizes = self._positions(spatial_layers(self.clf) if layers is None else list(layers))
        self._make_controls()
        self._compute = functools.lru_cache(maxsize=256)(self._explain)
        self.maps: Tensor = torch.empty(0)
        self.spearman = float("nan")
        self.summary = ""
        for name, value in start.items():
            if name not in self.controls:
                raise ValueError(f"The LayerSlider has no control {name!r}. There are: {', '.join(self.controls)}.")
            self.controls[name].value = value
        for control in self.controls.values():
            control.observe(self._changed, "value")
        super().__init__([*self.controls.values(), self.pictures, self.words])
        self.refresh()

    def __repr__(self) -> str:
        return f"LayerSlider: {self.setting}. {self.summary}"

    def _make_controls(self) -> None:
        self.layer = widgets.SelectionSlider(
            options=list(self.sizes), value=self._last_layer(), description="Layer", continuous_update=False,
            layout={"width": "480px"},
        )  # fmt: skip
        self.handling = widgets.ToggleButtons(
            options=[SIGNED.name, POSITIVE.name], description="Gradients", layout=IN_LINE,
            tooltips=[SIGNED.meaning, POSITIVE.meaning],
        )  # fmt: skip
        self.relu = widgets.ToggleButtons(
            options=[("off", False), ("on", True)], description="Final ReLU", layout=IN_LINE,
            tooltips=["show the finished map as it is", "set the finished map's negative values to zero"],
        )  # fmt: skip
        self.pictures, self.words = widgets.HTML(), widgets.HTML()
        self.controls = {"layer": self.layer, "handling": self.handling, "relu": self.relu}

    def _last_layer(self) -> str:
        return self.clf.cam_layer if self.clf.cam_layer in self.sizes else list(self.sizes)[-1]

    def _positions(self, layers: list[str]) -> dict[str, tuple[int, int]]:
        """Return height and width of each layer's output for this photo; refuse a layer that has none."""
        if not layers:
            raise ValueError("The LayerSlider needs at least one layer.")
        modules = {find_layer(self.clf.net, name, self._x): name for name in layers}
        sizes: dict[str, tuple[int, int]] = {}

        def seen(module: torch.nn.Module, output: object) -> None:
            if isinstance(output, Tensor) and is_spatial(output):
                sizes[modules[module]] = (output.shape[2], output.shape[3])

        with watch(modules, seen), torch.no_grad():
            self.clf.net(self._x)
        for name in layers:
            if name not in sizes:
                raise ValueError(f"The layer {name!r} has no output with positions. Leave it out of layers.")
        return {name: sizes[name] for name in layers}

    # --- From the controls to maps ---

    def _changed(self, change: dict) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Compute what the controls ask for, and show it; what can't be computed is said in words."""
        try:
            self.maps = self._compute(self.layer.value, self.handling.value, self.relu.value)
            limit = self.limit
        except (ValueError, NotImplementedError) as error:
            self.maps, self.spearman = torch.empty(0), float("nan")
            self._say(str(error))
            self.pictures.value = ""
            return
        self.spearman = spearman(*self.maps.cpu().double().numpy())
        self._say(self._sentence())
        self.pictures.value = self._html(limit)

    def _explain(self, layer: str, handling: str, relu: bool) -> Tensor:
        return explain(self.clf.net, self._x, [list(self.classes)], METHOD, handling, layer=layer, relu=relu)[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the two classes."""
        return tuple(self.clf.labels[c] for c in self.classes)

    @property
    def limit(self) -> float:
        """The magnitude of full colour: at each layer one for both maps, which neither toggle changes.

        From layer to layer it has to change: a map's unit depends on its layer's.
        """
        return pair_limit(self._compute(self.layer.value, SIGNED.name, False))

    @property
    def setting(self) -> str:
        """What the controls say, in words."""
        height, width = self.sizes[self.layer.value]
        relu = "on" if self.relu.value else "off"
        return f"{self.layer.value} ({height} × {width}), {self.handling.value} gradients, final ReLU {relu}"

    # --- What is shown ---

    def _sentence(self) -> str:
        shares = (self.maps > 0).float().mean((1, 2)).tolist()
        red = (
            "Red: " + ", ".join(f"{label} {share:.0%}" for label, share in zip(self.labels, shares, strict=True)) + "."
        )
        empty = [label for label, m in zip(self.labels, self.maps, strict=True) if not m.any()]
        if empty:
            return f"{red} The map for {' and for '.join(empty)} is zero everywhere, so there is nothing to compare."
        if self.spearman != self.spearman:
            return f"{red} One of the maps is constant, so there is nothing to compare."
        return f"{red} Rank correlation {f'{self.spearman:+.2f}'.replace('-', '−')}."

    def _html(self, limit: float) -> str:
        panels = [(self.view, "The photo, as the network sees it", "photo")]
        for title, values in zip(self._titles(), self.maps, strict=True):
            alt = viz.alt_text(f"GradCAM at {self.setting}, for {title}", values, limit)
            panels.append((viz.overlay(self.view, values, limit), alt, title))
        times = float(self.maps.abs().max()) / limit
        beyond = f" The strongest value here is {times:.3g} times that." if times > 1 else ""
        scale = f"Full colour at ±{limit:.2g} in all maps of this layer.{beyond}"
        return gallery(panels, f"Red: evidence for. Blue: evidence against. {scale}")

    def _titles(self) -> list[str]:
        return map_titles(self.clf, self.classes, self._logits)

    def _say(self, words: str) -> None:
        self.summary = words
        self.words.value = status(words)

    def figure(self) -> Figure:
        """Return what is shown as a figure, for readers without a running kernel."""
        panels = dict(zip(self._titles(), self.maps, strict=True))
        return viz.show_grid(self.view, panels, limit=self.limit, title=self.setting)
