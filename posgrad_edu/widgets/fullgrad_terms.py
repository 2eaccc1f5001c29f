"""The FullGradLayers widget: FullGrad's map for two classes of one photo, put together term by term.

The slider adds the terms in the order of the forward pass: the input's first, then one bias after the other. Below the
maps stands what the added terms sum up to, beside the logit that they should explain when all are there.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.handling import ABSOLUTE, POSITIVE, SIGNED, get_handling
from posgrad_edu.methods.fullgrad import FullGrad, fullgrad_terms
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.widgets.panel import TwoClassPanel, rank_correlation
from posgrad_edu.widgets.parts import (
    class_box,
    find_classes,
    gallery,
    handling_toggles,
    number,
    setting_scale,
    side_by_side,
    slider,
    toggles,
)

if TYPE_CHECKING:
    from PIL.Image import Image

FULL_COLOUR = 0.995  # the input's term has a few pixels far above all others; this share of pixels isn't saturated
SCALINGS = {False: "terms as they are", True: "each term rescaled"}


class FullGradLayers(TwoClassPanel):
    """A slider over how many terms are added, toggles for their handling and their scaling, and two classes.

    clf: a ``Classifier``, the default network if ``None``. photo: a picture, or the name of a sample photo.
    class_a, class_b: a word, an index, "most likely", "runner-up" or "least likely".
    steps: about how many positions the slider has, 2 or more; the first is the input alone, the last is all terms.
    start: values for the controls terms (how many), handling ("signed", "absolute", "positive"), rescale (True for
        each term brought to the range [-1, 1], as published, or False).
    Results: ``maps`` (2, H, W), ``totals`` (two sums of kept terms, in logits), ``logits`` (two), ``spearman``,
    ``summary`` (text), ``figure()`` (static).
    """

    def __init__(
        self,
        clf: Classifier | None = None,
        photo: Image | str = "coffee",
        class_a: str | int = "most likely",
        class_b: str | int = "least likely",
        steps: int = 11,
        **start: Any,
    ) -> None:
        super().__init__(clf, photo)
        self._terms = functools.lru_cache(maxsize=2)(self._contributions)
        self._compute = functools.lru_cache(maxsize=12)(self._added_up)
        self.classes = find_classes(self.clf, (class_a, class_b), self._logits)
        self.sizes = [tuple(term.shape[3:]) for term in self._terms(self.classes)]  # () for a linear layer's
        self._make_controls(class_a, class_b, spread(len(self.sizes), steps))
        rows = [self.terms, self.handling, self.rescale, side_by_side(self.class_a, self.class_b)]
        self._begin(["terms", "handling", "rescale", "class_a", "class_b"], start, rows)

    # --- Controls ---

    def _make_controls(self, class_a: str | int, class_b: str | int, counts: list[int]) -> None:
        style = {"description_width": "90px"}
        wide = {**style, "button_width": "150px"}
        steps = [(self._count_in_words(count), count) for count in counts]
        self.terms = slider("Terms", steps, value=counts[-1], layout={"width": "560px"}, style=style)
        self.handling = handling_toggles("Handling", (SIGNED, ABSOLUTE, POSITIVE), style=wide)
        effects = ["in logits, so that they add up", "each to the same range in the photo, as published"]
        self.rescale = toggles("Scaling", [(words, on) for on, words in SCALINGS.items()], effects, style=wide)
        self.class_a = class_box(self.clf, "Class A", class_a, "320px", style=style)
        self.class_b = class_box(self.clf, "Class B", class_b, "320px", style=style)

    def _count_in_words(self, count: int) -> str:
        return "the input alone" if count == 1 else f"the input and {count - 1} of {len(self.sizes) - 1} biases"

    @property
    def counts(self) -> tuple[int, ...]:
        """How many terms can be added: the slider's steps."""
        return tuple(count for _, count in self.terms.options)

    # --- From the controls to maps ---

    def _forget(self) -> None:
        super()._forget()
        self.totals: tuple[float, ...] = (math.nan, math.nan)
        self.logits: tuple[float, ...] = (math.nan, math.nan)
        self.spearman = math.nan

    def _measure(self) -> None:
        self.classes = find_classes(self.clf, (self.class_a.value, self.class_b.value), self._logits)
        maps, totals = self._compute(self.classes, self.handling.value, self.rescale.value)
        step = self.counts.index(self.terms.value)
        self.maps = maps[step]
        self.totals = tuple(totals[step].tolist())
        self.logits = tuple(float(self._logits[c]) for c in self.classes)
        self.spearman = rank_correlation(self.maps)

    def _contributions(self, classes: tuple[int, ...]) -> list[Tensor]:
        return [term[0] for term in fullgrad_terms(self.clf.net, self._x, [list(classes)])]

    def _added_up(self, classes: tuple[int, ...], handling: str, rescale: bool) -> tuple[Tensor, Tensor]:
        """Return, for each position of the slider, maps (2, H, W) and the kept terms' sums (2,), stacked."""
        method, keep = FullGrad(handling, rescale=rescale), get_handling(handling)
        size = self._x.shape[-2:]
        added, total = torch.zeros(2, *size), torch.zeros(2, dtype=torch.float64)
        maps, totals = [], []
        for count, term in enumerate(self._terms(classes), start=1):
            total = total + keep(term).double().flatten(1).sum(1).cpu()
            if term.ndim == 4:  # a linear layer's term has no position: it counts in the sum, not in the map
                added = added + method.psi(term[None], size)[0].cpu()
            if count in self.counts:
                maps.append(added)
                totals.append(total)
        return torch.stack(maps), torch.stack(totals)

    @property
    def limit(self) -> float:
        """The magnitude of full colour, one for both maps. Each setting has its own: see the note below the maps."""
        return viz.symmetric_limit(self.maps, FULL_COLOUR)

    @property
    def setting(self) -> str:
        """What the controls say, in words."""
        return f"{self._count_in_words(self.terms.value)}, {self.handling.value}, {SCALINGS[self.rescale.value]}"

    # --- What is shown ---

    def _sentence(self) -> str:
        what = "Terms before rescaling" if self.rescale.value else "Terms"
        sums = " and ".join(
            f"{amount(total)} for {label} (logit {amount(logit)})"
            for label, total, logit in zip(self.labels, self.totals, self.logits, strict=True)
        )
        if self.classes[0] == self.classes[1]:
            return f"{what} add up to {sums}. Both maps are for {self.labels[0]}. Choose another class B."
        if math.isnan(self.spearman):
            return f"{what} add up to {sums}. One of the maps is constant, so there is nothing to compare."
        return f"{what} add up to {sums}. Rank correlation {number(self.spearman)}."

    def _titles(self) -> list[str]:
        """Return a title for each map; letters keep two maps of one class apart."""
        lines = zip("AB", self.labels, self.totals, self.logits, strict=True)
        return [f"{letter}: {label}\nterms {amount(t)}, logit {amount(f)}" for letter, label, t, f in lines]

    @property
    def _heading(self) -> str:
        return f"FullGrad: {self.setting}"

    def _html(self) -> str:
        return gallery(self._panels(f"FullGrad of {self.setting}"), setting_scale(self.limit))


def spread(terms: int, steps: int) -> list[int]:
    """Return numbers of terms, evenly spread from 1 (the input alone) to all of them."""
    if steps < 2:
        raise ValueError(f"steps is 2 or more, not {steps}: the input alone, and all terms.")
    return sorted({1 + round((terms - 1) * i / (steps - 1)) for i in range(steps)})


def amount(logits: float) -> str:
    """Return an amount with its sign and a true minus: one decimal, or three digits from 100 on."""
    return number(float(f"{logits:.3g}"), 0) if abs(logits) >= 100 else number(logits, 1)
