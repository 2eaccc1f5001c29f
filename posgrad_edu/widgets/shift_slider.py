"""The ShiftSlider: one vector added to all classes' weights changes no prediction. And the maps?

Each step of the slider is another copy of the network, whose last layer carries a · |min_c w_ck| more for every class.
The sentence says how much the softmax has changed, which is rounding, and how alike the two classes' maps are. Under a
contrast, the logit minus the mean of all or minus the other class's, the maps stay as they are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from PIL.Image import Image
from torch import Tensor

from posgrad_edu.handling import ABSOLUTE, POSITIVE, SIGNED
from posgrad_edu.methods import METHODS
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.models.shift import shift_vector, shifted
from posgrad_edu.viz import signed_number
from posgrad_edu.widgets.class_panels import ClassBoxPanel
from posgrad_edu.widgets.controls import CONTRASTS, contrast_list, dropdown, handling_toggles, slider
from posgrad_edu.widgets.sentences import describe

SHIFTS = (-1.0, -0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5, 1.0)
SAME = 1e-6  # a smaller change of a probability is rounding


class ShiftSlider(ClassBoxPanel):
    """A slider over the shift a, and controls for the method, its handling, the contrast and two classes.

    clf: a ``Classifier`` that ends with a linear layer, the default network if ``None``; it isn't changed. photo: a
    picture, or a sample photo's name. class_a, class_b: a word, an index, "most likely", "runner-up" or "least likely".
    shifts: the slider's steps. start: values for the controls shift, method, handling ("signed", "positive",
    "absolute") and contrast ("none", "mean", "other").
    Results: ``maps`` (2, H, W), ``spearman``, ``softmax_change`` (the largest of any class), ``summary``, ``figure()``.
    """

    def __init__(
        self,
        clf: Classifier | None = None,
        photo: Image | str = "coffee",
        class_a: str | int = "most likely",
        class_b: str | int = "least likely",
        shifts: Sequence[float] = SHIFTS,
        **start: Any,
    ) -> None:
        if not shifts or not all(math.isfinite(a) for a in shifts):
            raise ValueError(f"shifts are finite numbers, one or more; not {list(shifts)}.")
        super().__init__(clf, photo, class_a, class_b)
        self._shifted = functools.lru_cache(maxsize=2)(self._with_shift)  # copies of a network can be large
        steps = sorted({float(a) for a in shifts})
        first = 0.0 if 0.0 in steps else steps[0]
        self.shift = slider("Shift a", [(signed_number(a) if a else "0", a) for a in steps], value=first)
        self.method = dropdown("Method", list(METHODS), value="gradcam")
        self.contrast = contrast_list()
        self.handling = handling_toggles((SIGNED, POSITIVE, ABSOLUTE))
        self._begin(["shift", "method", "contrast", "handling", "class_a", "class_b"], start)

    def _with_shift(self, a: float) -> tuple[Classifier, Tensor]:
        """Return the classifier with this shift, and its logits of the photo."""
        other = shifted(self.clf, shift_vector(self.clf.net, a))
        return other, other.logits(self._shown_photo)

    def _clear(self) -> None:
        super()._clear()
        self.softmax_change = math.nan

    def _maps(self) -> Tensor:
        a, method, handling, contrast = (self.controls[n].value for n in ("shift", "method", "handling", "contrast"))
        other, logits = self._shifted(a)
        self.softmax_change = float((logits.softmax(0) - self._logits.softmax(0)).abs().max())
        return self._explain_classes(method, handling, contrast=contrast, net=other.net, name=a)

    @property
    def setting(self) -> str:
        about = {value: words for words, value in CONTRASTS}[self.contrast.value]
        return f"{self.method.value}, {self.handling.value}, shift {self.shift.value:g}, {about}"

    def _sentence(self) -> str:
        change = f"less than {SAME:f}" if self.softmax_change < SAME else f"up to {self.softmax_change:.1e}"
        softmax = f"By the shift each class's softmax changes by {change}."
        if nothing := self._nothing_to_compare():
            return f"{softmax} {nothing}"
        return f"{softmax} Rank correlation {signed_number(self.spearman)}. {describe(self.spearman, *self.labels)}"

    def _logits_shown(self) -> Tensor:
        return self._shifted(self.shift.value)[1]
