"""The FullGradLayers widget: FullGrad's map for two classes of one photo, put together term by term.

The slider adds the terms in the order of the forward pass: the input's first, then one bias after the other. Below the
maps stands what the added terms sum up to, beside the logit that they should explain when all are there.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from posgrad_edu.handling import ABSOLUTE, POSITIVE, SIGNED, get_handling
from posgrad_edu.methods.fullgrad import FullGrad, enlarged, fullgrad_terms
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.viz import signed_number
from posgrad_edu.widgets.class_panels import ClassBoxPanel
from posgrad_edu.widgets.controls import handling_toggles, slider, toggles
from posgrad_edu.widgets.sentences import rank_correlation_is

SCALINGS = {False: "terms as they are", True: "each term rescaled"}


class FullGradLayers(ClassBoxPanel):
    """A slider over how many terms are added, toggles for their handling and their scaling, and two classes.

    clf: a ``Classifier``, the default network if ``None``. photo: a picture, or the name of a sample photo.
    class_a, class_b: a word, an index, "most likely", "runner-up" or "least likely".
    steps: about how many positions the slider has, 2 or more; the first is the input alone, the last is all terms.
    start: values for the controls terms (how many), handling ("signed", "absolute", "positive"), rescale (True for
        each term brought to the range [-1, 1], as published, or False).
    Results: ``maps`` (2, H, W), ``totals`` (two sums of kept terms, in logits), ``logits`` (two), ``spearman``,
    ``summary`` (text), ``figure()`` (static).
    """

    _kept = 12

    def __init__(
        self,
        clf: Classifier | None = None,
        photo: Image | str = "coffee",
        class_a: str | int = "most likely",
        class_b: str | int = "least likely",
        steps: int = 11,
        **start: Any,
    ) -> None:
        super().__init__(clf, photo, class_a, class_b)
        self._terms = functools.lru_cache(maxsize=2)(self._contributions)
        self.steps = steps
        self._settle()
        self.terms = slider("Terms", self._steps_in_words(), value=len(self.sizes))
        self.handling = handling_toggles((SIGNED, ABSOLUTE, POSITIVE))
        effects = ["in logits, so that they add up", "each to the same range in the photo, as published"]
        self.rescale = toggles("Scaling", [(words, on) for on, words in SCALINGS.items()], effects)
        self._begin(["terms", "handling", "rescale", "class_a", "class_b"], start)

    def _settle(self) -> None:
        classes = self._chosen_classes()
        self.sizes = [tuple(term.shape[3:]) for term in self._terms(classes)]  # () for a linear layer's
        self._offer("terms", self._steps_in_words(), len(self.sizes))

    def _steps_in_words(self) -> list[tuple[str, int]]:
        return [(self._count_in_words(count), count) for count in some_counts(len(self.sizes), self.steps)]

    def _count_in_words(self, count: int) -> str:
        return "the input alone" if count == 1 else f"the input and {count - 1} of {len(self.sizes) - 1} biases"

    @property
    def counts(self) -> tuple[int, ...]:
        """How many terms can be added: the slider's steps."""
        return tuple(count for _, count in self.terms.options)

    def _clear(self) -> None:
        super()._clear()
        self.totals: tuple[float, ...] = (math.nan, math.nan)
        self.logits: tuple[float, ...] = (math.nan, math.nan)

    def _maps(self) -> Tensor:
        maps, totals = self._compute(self.classes, self.handling.value, self.rescale.value)
        step = self.counts.index(self.terms.value)
        self.totals = tuple(totals[step].tolist())
        self.logits = tuple(float(self._logits[c]) for c in self.classes)
        return maps[step]

    def _contributions(self, classes: tuple[int, ...]) -> list[Tensor]:
        return [term[0] for term in fullgrad_terms(self.clf.net, self._x, [list(classes)])]

    def _explain(self, classes: tuple[int, ...], handling: str, rescale: bool) -> tuple[Tensor, Tensor]:
        """Return, for each position of the slider, maps (2, H, W) and the kept terms' sums (2,), stacked."""
        method, handle = FullGrad(handling, rescale=rescale), get_handling(handling)
        size = self._x.shape[-2:]
        added, total = torch.zeros(2, *size, device="cpu"), torch.zeros(2, dtype=torch.float64, device="cpu")
        maps, totals = [], []
        for count, term in enumerate(self._terms(classes), start=1):
            total = total + handle(term).cpu().double().flatten(1).sum(1)
            if term.ndim == 4:  # a linear layer's term has no position: it counts in the sum, not in the map
                added = added + enlarged(method.psi(term[None]), size)[0].cpu()
            if count in self.counts:
                maps.append(added)
                totals.append(total)
        return torch.stack(maps), torch.stack(totals)

    @property
    def setting(self) -> str:
        return f"{self._count_in_words(self.terms.value)}, {self.handling.value}, {SCALINGS[self.rescale.value]}"

    def _sentence(self) -> str:
        what = "Terms before rescaling" if self.rescale.value else "Terms"
        sums = " and ".join(
            f"{amount(total)} for {label} (logit {amount(logit)})"
            for label, total, logit in zip(self.labels, self.totals, self.logits, strict=True)
        )
        compared = self._nothing_to_compare() or rank_correlation_is(self.spearman)
        return f"{what} add up to {sums}. {compared}"

    def _lines(self) -> list[str]:
        lines = zip(self.labels, self.totals, self.logits, strict=True)
        return [f"{label}\nterms {amount(total)}, logit {amount(logit)}" for label, total, logit in lines]

    @property
    def _heading(self) -> str:
        return f"FullGrad of {self.setting}"


def some_counts(terms: int, steps: int) -> list[int]:
    """Return numbers of terms, evenly spread from 1 (the input alone) to all of them."""
    if steps < 2:
        raise ValueError(f"steps is 2 or more, not {steps}: the input alone, and all terms.")
    return sorted({1 + round((terms - 1) * i / (steps - 1)) for i in range(steps)})


def amount(logits: float) -> str:
    """Return an amount with its sign and a true minus: one decimal, or three digits from 100 on."""
    return signed_number(float(f"{logits:.3g}"), 0) if abs(logits) >= 100 else signed_number(logits, 1)
