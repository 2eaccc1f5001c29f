"""The MapComparison: two maps of one picture, for two classes, and how alike each measure finds them.

Beside the maps stands what a rank correlation looks at: each pixel's rank in the one map and in the other. A line that
rises is the same order, a line that falls the reversed one, an even cloud no relation. One switch ranks magnitudes
instead of values: it folds a falling line into a rising one, and that is what an absolute correlation can't see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL.Image import Image
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.handling import POSITIVE, SIGNED
from posgrad_edu.methods import CONTROLS, METHODS
from posgrad_edu.metrics.similarity import Similarity, is_degenerate
from posgrad_edu.models.classifier import Classifier, resolve_class
from posgrad_edu.widgets.class_panels import TwoClassPanel
from posgrad_edu.widgets.controls import RANKED, dropdown, handling_toggles, toggles
from posgrad_edu.widgets.panel import is_cam
from posgrad_edu.widgets.sentences import describe
from posgrad_edu.widgets.theme import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = {"values": "spearman", "magnitudes": "spearman_abs"}
AXES = "from left to right the pixel's rank in the first map, from bottom to top in the second"


class MapComparison(TwoClassPanel):
    """Controls for the method, its handling, the second class, and what is ranked: signed values or magnitudes.

    clf: a ``Classifier``, the default network if ``None``. photo: the name of a sample photo, or a picture.
    target: the first class: a word, an index, "most likely", "runner-up" or "least likely".
    others: the second classes to choose from, in the same words.
    start: values to start with: method, handling ("signed", "positive"), other (an index), measure ("values",
    "magnitudes").

    Results: ``maps`` (2, H, W), ``classes``, ``similarity`` with all measures, ``summary`` (text), ``figure()``.
    Raises ``ValueError`` for a control that doesn't exist, and where ``others`` holds the first class or nothing.
    """

    _scale_of = "in both maps"

    def __init__(
        self,
        clf: Classifier | None = None,
        photo: str | Image = "coffee",
        target: str | int = "most likely",
        others: Sequence[str | int] = ("least likely", "runner-up"),
        **start: Any,
    ) -> None:
        super().__init__(clf, photo)
        self._asked, self._asked_others = str(target), list(others)
        self._settle()
        methods = [*((name, name) for name in METHODS), *((f"{name} (control)", name) for name in CONTROLS)]
        self.method = dropdown("Method", methods, value="gradcam")
        self.handling = handling_toggles((SIGNED, POSITIVE))
        self.other = dropdown("Second class", list(self.others.items()))
        effects = ["rank the values, from against to for", "rank the magnitudes: for and against count alike"]
        self.measure = toggles("Ranked", list(MEASURES), effects)
        self._begin(["method", "handling", "other", "measure"], start)

    def _settle(self) -> None:
        self.target = resolve_class(self.clf, self._asked, self._logits)
        self.others = dict(self._option(word) for word in self._asked_others)
        if not self.others or self.target in self.others.values():
            label = self.clf.labels[self.target]
            raise ValueError(f"others needs one class at least, and none of them may be {label}.")
        options = list(self.others.items())
        self._offer("other", options, options[0][1])

    def _option(self, word: str | int) -> tuple[str, int]:
        """Return a second class as the box shows it, and its index."""
        index = resolve_class(self.clf, str(word), self._logits)
        label = self.clf.labels[index]
        return (f"{word}: {label}" if word in RANKED else label), index

    def _measure(self) -> None:
        self.handling.disabled = self.method.value in CONTROLS
        self.classes = (self.target, self.other.value)
        super()._measure()

    def _maps(self) -> Tensor:
        return self._explain_classes(self.method.value, self._handling)

    @property
    def _handling(self) -> str:
        return SIGNED.name if self.method.value in CONTROLS else self.handling.value  # a control has no gradients

    @property
    def limit(self) -> float:
        """The magnitude of full colour, one for both maps; that of a CAM is not changed by the handling."""
        if is_cam(self.method.value):
            return viz.pair_limit(self._explain_classes(self.method.value, SIGNED.name))
        return super().limit

    @property
    def setting(self) -> str:
        what = self.method.value if self.method.value in CONTROLS else f"{self.method.value}, {self._handling}"
        return f"{what}, {self.clf.labels[self.target]} against {self.clf.labels[self.other.value]}"

    def _sentence(self) -> str:
        if nothing := self._nothing_to_compare():
            return nothing
        assert self.similarity is not None
        sentence = by_measure(self.similarity, self.measure.value, *self.labels)
        return f"{in_numbers(self.similarity)} {sentence}"

    def _panels(self) -> list[Picture]:
        """Return the picture, the two maps and, where there are ranks, the picture of ranks."""
        shown = super()._panels()
        if not any(is_degenerate(values) for values in self.maps):
            magnitudes = self.measure.value == "magnitudes"
            title = f"ranks of {self.measure.value}"
            ranks = viz.rank_picture(self.maps[0], self.maps[1], magnitudes)
            shown.append((ranks, f"{title[0].upper()}{title[1:]}: {AXES}. {self.summary}", title))
        return shown

    def _note(self) -> str:
        return f"{super()._note()} Ranks: {AXES}; the darker, the more pixels."

    def _figure(self) -> Figure:
        panels = self._panels()
        figure = viz.figure_class()(figsize=(2.5 * len(panels), 3.5), dpi=110, layout="constrained")
        for (picture, _, title), ax in zip(panels, figure.subplots(1, len(panels)), strict=True):
            viz.draw_picture(ax, picture, title)
            if title.startswith("ranks"):
                ax.set(xlabel="rank in the first map", ylabel="rank in the second")
        figure.suptitle(self.setting, fontsize=12)
        figure.alt = " ".join(alt if alt.endswith(".") else f"{alt}." for _, alt, _ in panels)
        return figure


def in_numbers(similarity: Similarity) -> str:
    """Return the four numbers of a comparison in words."""
    values, size, structure, edges = ("none" if math.isnan(v) else viz.signed_number(v) for v in similarity[:4])
    return f"Rank correlation of the maps {values}, of their magnitudes {size}; SSIM {structure}, HOG {edges}."


def by_measure(similarity: Similarity, measure: str, a: str, b: str) -> str:
    """Say how alike two classes' maps are by one measure, "values" or "magnitudes"."""
    value = getattr(similarity, MEASURES[measure])
    if measure == "magnitudes" and value > 0.5 and similarity.spearman < -0.5:
        return "By their magnitudes they are alike: a reversed map looks the same."
    return describe(value, a, b)
