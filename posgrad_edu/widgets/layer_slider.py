"""The LayerSlider: GradCAM for two classes of one photo, at any layer, with its two switches.

The switches are easily mixed up. The handling acts on the gradients, before they are averaged into weights. The
final ReLU acts on the finished map. Here both stand side by side, so that each can be flipped alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from posgrad_edu.engine.cam_layer import find_layer
from posgrad_edu.engine.layers import is_spatial, watch
from posgrad_edu.engine.passes import run_without_graph
from posgrad_edu.handling import POSITIVE, SIGNED
from posgrad_edu.methods import explain
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.widgets.panel import TwoClassPanel, rank_correlation
from posgrad_edu.widgets.parts import (
    find_pair,
    gallery,
    handling_toggles,
    in_percent,
    layer_scale,
    number,
    pair_limit,
    slider,
    spatial_layers,
    toggles,
)

if TYPE_CHECKING:
    from PIL.Image import Image

METHOD = "gradcam"


class LayerSlider(TwoClassPanel):
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
        super().__init__(clf, photo)
        self.classes = find_pair(self.clf, (class_a, class_b), self._logits)
        self.sizes = self._positions(spatial_layers(self.clf) if layers is None else list(layers))
        self._compute = functools.lru_cache(maxsize=256)(self._explain)
        self.layer = slider("Layer", list(self.sizes), value=self._last_layer(), layout={"width": "480px"})
        self.handling = handling_toggles("Gradients", (SIGNED, POSITIVE))
        effects = ["show the finished map as it is", "set the finished map's negative values to zero"]
        self.relu = toggles("Final ReLU", [("off", False), ("on", True)], effects)
        self._begin(["layer", "handling", "relu"], start)

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

        with watch(modules, seen):
            run_without_graph(self.clf.net, self._x)
        for name in layers:
            if name not in sizes:
                raise ValueError(f"The layer {name!r} has no output with positions. Leave it out of layers.")
        return {name: sizes[name] for name in layers}

    # --- From the controls to maps ---

    def _forget(self) -> None:
        super()._forget()
        self.spearman = math.nan

    def _measure(self) -> None:
        self.maps = self._compute(self.layer.value, self.handling.value, self.relu.value)
        self.spearman = rank_correlation(self.maps)

    def _explain(self, layer: str, handling: str, relu: bool) -> Tensor:
        return explain(self.clf.net, self._x, [list(self.classes)], METHOD, handling, layer=layer, relu=relu)[0]

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
        red = f"Red: {in_percent(self.labels, (self.maps > 0).float().mean((1, 2)).tolist())}."
        empty = [label for label, m in zip(self.labels, self.maps, strict=True) if not m.any()]
        if empty:
            return f"{red} The map for {' and for '.join(empty)} is zero everywhere, so there is nothing to compare."
        if math.isnan(self.spearman):
            return f"{red} One of the maps is constant, so there is nothing to compare."
        return f"{red} Rank correlation {number(self.spearman)}."

    def _html(self) -> str:
        return gallery(self._panels(f"GradCAM at {self.setting}"), layer_scale(self.maps, self.limit))
