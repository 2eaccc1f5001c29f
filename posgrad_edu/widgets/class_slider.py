"""The ClassSlider: one photo, and the map for each class of the network's ranking, from the most to the least likely.

The map for the most likely class stays. Beside it stands the map for the class that the slider points at, and a
sentence says how alike the two are. A second control keeps all of a map, its positive part, or its magnitude: for the
gradient that acts on the finished map, for Guided Backprop at each ReLU on the way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.handling import ABSOLUTE, POSITIVE, SIGNED
from posgrad_edu.methods import resolve
from posgrad_edu.methods.relu_rules import ReLUMethod
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.widgets.class_panels import TwoClassPanel
from posgrad_edu.widgets.controls import handling_toggles, slider, toggles
from posgrad_edu.widgets.panel import RECORDS
from posgrad_edu.widgets.sentences import describe

SHOWN = ("gradient", "input-x-gradient", "guided-backprop")
FULL_COLOUR = 0.99  # gradients have a few extreme pixels: colour is full from this share of the magnitudes on
STEPS = (1, 2, 3, 10, 30, 100, 300)  # places in the ranking, counted from either end


class ClassSlider(TwoClassPanel):
    """A slider over the network's ranking of classes, and toggles for the method and for what is kept of its signs.

    clf: a ``Classifier``, the default network if ``None``. photo: a picture, or the name of a sample photo.
    methods: names of methods in input space. ranks: places in the ranking, 1 for the most likely class; ``None`` for
    some of them, dense at both ends.
    start: values for the controls rank (a place), method (a name) and handling ("signed", "positive", "absolute").
    Results: ``maps`` (2, H, W) of the most likely class and the chosen one, ``classes`` (indices), ``spearman``,
    ``summary`` (text), ``figure()`` (static).
    """

    _ends = ("raises the logit", "lowers the logit")
    _scale_of = "at each place of the slider"

    def __init__(
        self,
        clf: Classifier | None = None,
        photo: Image | str = "coffee",
        methods: Sequence[str] = SHOWN,
        ranks: Sequence[int] | None = None,
        **start: Any,
    ) -> None:
        for name in methods:
            resolve(name)  # a name that doesn't exist is refused now
        super().__init__(clf, photo)
        self._asked_ranks = ranks
        self._settle()
        places = self._places()
        first = places[min(1, len(places) - 1)][1]  # the runner-up, where it's there
        self.rank = slider("Class", places, value=first)
        self.method = toggles("Method", list(methods), [])
        self.handling = handling_toggles((SIGNED, POSITIVE, ABSOLUTE))
        self._begin(["rank", "method", "handling"], start)

    def _settle(self) -> None:
        self.ranking: list[int] = self._logits.argsort(descending=True).tolist()
        places = self._places()
        self._offer("rank", places, places[0][1])

    def _places(self) -> list[tuple[str, int]]:
        """Return the slider's steps: places in the ranking."""
        last = len(self.ranking)
        ranks = some_places(last) if self._asked_ranks is None else self._asked_ranks
        if not ranks:
            raise ValueError("The ClassSlider needs at least one place in the ranking.")
        for rank in ranks:
            if not 1 <= rank <= last:
                raise ValueError(f"ranks are places in the ranking, 1 (most likely) to {last} (least), not {rank}.")
        return [(f"{rank} of {last}: {self.clf.labels[self.ranking[rank - 1]]}", rank) for rank in ranks]

    def _maps(self) -> Tensor:
        self.classes = (self.ranking[0], self.ranking[self.rank.value - 1])
        method, handling = self.method.value, self.handling.value
        return torch.stack([self._compute(c, method, handling) for c in self.classes])

    def _explain(self, target: int, method: str, handling: str) -> Tensor:
        """Make one map, so that its record serves the other handlings whatever class stands beside it."""
        return RECORDS.explain(self.clf.net, self._x, target, method, handling)[0]

    @property
    def inside(self) -> bool:
        """Whether the method handles signs at each ReLU, rather than in the finished map."""
        return isinstance(resolve(self.method.value), ReLUMethod)

    @property
    def limit(self) -> float:
        """The magnitude of full colour, from the most likely class's map: the same at each place of the slider.

        Clipping a finished map leaves it alone, too. Clipping inside makes other signals, which need their own.
        """
        handling = self.handling.value if self.inside else SIGNED.name
        return viz.symmetric_limit([self._compute(self.ranking[0], self.method.value, handling)], FULL_COLOUR)

    @property
    def setting(self) -> str:
        place = f"class {self.rank.value} of {len(self.ranking)}, {self.labels[1]}"
        where = "at each ReLU" if self.inside else "in the finished map"
        return f"{self.method.value}, {self.handling.value} {where}, {place}"

    @property
    def _what(self) -> str:
        return f"{self.method.value}, {self.handling.value}"

    def _sentence(self) -> str:
        most, chosen = self.labels
        if self.rank.value == 1:
            return f"This is {most} itself, the most likely class. Move the slider to compare."
        if nothing := self._nothing_to_compare():
            return nothing
        number = viz.signed_number(self.spearman)
        return f"Rank correlation of {chosen} with {most}: {number}. {describe(self.spearman, most, chosen)}"

    def _note(self) -> str:
        colours = "what a brighter pixel does to the logit"
        if self.method.value == "input-x-gradient":
            colours = "the product of a pixel's value and its gradient"
        return f"Colours: {colours}. {super()._note()}"

    def _titles(self) -> list[str]:
        most, chosen = super()._titles()
        return [f"most likely: {most}", f"place {self.rank.value}: {chosen}"]


def some_places(classes: int) -> list[int]:
    """Return places in a ranking of that many classes: the first and last few, and some between."""
    return sorted({place for step in STEPS if 2 * step <= classes + 1 for place in (step, classes + 1 - step)})
