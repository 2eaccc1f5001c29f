"""The LayerSlider: GradCAM for two classes of one photo, at any layer, with its two switches.

The switches are easily mixed up. The handling acts on the gradients, before they are averaged into weights. The
final ReLU acts on the finished map. Here both stand side by side, so that each can be flipped alone.
"""

from __future__ import annotations

from torch import Tensor

from posgrad_edu.handling import POSITIVE, SIGNED
from posgrad_edu.viz import pair_limit
from posgrad_edu.widgets.class_panels import LayerPanel
from posgrad_edu.widgets.controls import handling_toggles, slider, toggles, usual_layer
from posgrad_edu.widgets.sentences import rank_correlation_is, red_shares

METHOD = "gradcam"


class LayerSlider(LayerPanel):
    """A slider over layers, early to late, and toggles for the gradients' handling and the final ReLU.

    clf: a ``Classifier``, the default network if ``None``. photo: a picture, or the name of a sample photo.
    class_a, class_b: a word, an index, "most likely", "runner-up" or "least likely".
    layers: names of the network's layers, early to late; ``None`` for all outer ones that have positions.
    start: values for the controls layer, handling ("signed", "positive") and relu (True, False).
    Results: ``maps`` (2, H, W), ``classes`` (indices), ``spearman``, ``summary`` (text), ``figure()`` (static).
    """

    _names = ("layer", "handling", "relu")

    def _make_controls(self) -> None:
        self.layer = slider("Layer", list(self.sizes), value=usual_layer(self.clf, self.sizes))
        self.handling = handling_toggles((SIGNED, POSITIVE))
        effects = ["show the finished map as it is", "set the finished map's negative values to zero"]
        self.relu = toggles("Final ReLU", [("off", False), ("on", True)], effects)

    def _maps(self) -> Tensor:
        return self._explain_classes(METHOD, self.handling.value, self.layer.value, relu=self.relu.value)

    @property
    def limit(self) -> float:
        """The magnitude of full colour: at each layer one for both maps, which neither toggle changes.

        From layer to layer it has to change: a map's unit depends on its layer's.
        """
        return pair_limit(self._explain_classes(METHOD, SIGNED.name, self.layer.value, relu=False))

    @property
    def setting(self) -> str:
        height, width = self.sizes[self.layer.value]
        relu = "on" if self.relu.value else "off"
        return f"{self.layer.value} ({height} × {width}), {self.handling.value} gradients, final ReLU {relu}"

    @property
    def _heading(self) -> str:
        return f"GradCAM at {self.setting}"

    def _sentence(self) -> str:
        compared = self._nothing_to_compare() or rank_correlation_is(self.spearman)
        return f"{red_shares(self.labels, self.maps)} {compared}"
