"""The ClassSlider: one photo, and the map for each class of the network's ranking, from the most to the least likely.

The map for the most likely class stays. Beside it stands the map for the class that the slider points at, and a
sentence says how alike the two are. A second control keeps all of a map, its positive part, or its magnitude: for the
gradient that acts on the finished map, for Guided Backprop at each ReLU on the way back.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.handling import ABSOLUTE, POSITIVE, SIGNED
from posgrad_edu.loading import load_classifier
from posgrad_edu.methods import explain, get_method
from posgrad_edu.methods.relu_rules import ReLUMethod
from posgrad_edu.models import Classifier
from posgrad_edu.photos import load_photo
from posgrad_edu.similarity import spearman
from posgrad_edu.widgets.parts import IN_LINE, gallery, map_titles, status

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

SHOWN = ("gradient", "input-x-gradient", "guided-backprop")
HANDLINGS = (SIGNED, POSITIVE, ABSOLUTE)
FULL_COLOUR = 0.99  # gradients have a few extreme pixels: colour is full from this share of the magnitudes on
STEPS = (1, 2, 3, 10, 30, 100, 300)  # places in the ranking, counted from either end


class ClassSlider(widgets.VBox):
    """A slider over the network's ranking of classes, and toggles for the method and for what is kept of its signs.

    clf: a ``Classifier``, the default network if ``None``. photo: a picture, or the name of a sample photo.
    methods: names of methods in input space. ranks: places in the ranking, 1 for the most likely class; ``None`` for
    some of them, dense at both ends.
    start: values for the controls rank (a place), method (a name) and handling ("signed", "positive", "absolute").
    Results: ``maps`` (2, H, W) of the most likely class and the chosen one, ``classes`` (indices), ``spearman``,
    ``summary`` (text), ``figure()`` (static).
    """

    def __init__(
        self,
        clf: Classifier | None = None,
        photo: Image | str = "coffee",
        methods: Sequence[str] = SHOWN,
        ranks: Sequence[int] | None = None,
        **start: Any,
    ) -> None:
        self.clf = load_classifier() if clf is None else clf
        picture = load_photo(photo) if isinstance(photo, str) else photo
        self.view = self.clf.view(picture)
        self._x = self.clf.batch(picture)
        self._logits = self.clf.logits(picture)
        self.ranking: list[int] = self._logits.argsort(descending=True).tolist()
        self._make_controls(methods, spread(len(self.ranking)) if ranks is None else ranks)
        self._compute = functools.lru_cache(maxsize=256)(self._explain)
        self.maps: Tensor = torch.empty(0)
        self.spearman = float("nan")
        self.summary = ""
        for name, value in start.items():
            if name not in self.controls:
                raise ValueError(f"The ClassSlider has no control {name!r}. There are: {', '.join(self.controls)}.")
            self.controls[name].value = value
        for control in self.controls.values():
            control.observe(self._changed, "value")
        super().__init__([*self.controls.values(), self.pictures, self.words])
        self.refresh()

    def __repr__(self) -> str:
        return f"ClassSlider: {self.setting}. {self.summary}"

    # --- Controls ---

    def _make_controls(self, methods: Sequence[str], ranks: Sequence[int]) -> None:
        for name in methods:
            get_method(name)  # a name that doesn't exist is refused now
        last = len(self.ranking)
        if not ranks:
            raise ValueError("The ClassSlider needs at least one place in the ranking.")
        for rank in ranks:
            if not 1 <= rank <= last:
                raise ValueError(f"ranks are places in the ranking, 1 (most likely) to {last} (least), not {rank}.")
        named = {"description_width": "90px"}
        places = [(f"{rank} of {last}: {self.clf.labels[self.ranking[rank - 1]]}", rank) for rank in ranks]
        self.rank = widgets.SelectionSlider(
            options=places, value=ranks[min(1, len(ranks) - 1)], description="Class", continuous_update=False,
            layout={"width": "560px"}, style=named,
        )  # fmt: skip
        self.method = widgets.ToggleButtons(
            layout=IN_LINE, options=list(methods), description="Method", style={**named, "button_width": "150px"}
        )
        self.handling = widgets.ToggleButtons(
            layout=IN_LINE,
            options=[h.name for h in HANDLINGS], description="Keep", tooltips=[h.meaning for h in HANDLINGS],
            style={**named, "button_width": "150px"},
        )  # fmt: skip
        self.pictures, self.words = widgets.HTML(), widgets.HTML()
        self.controls = {"rank": self.rank, "method": self.method, "handling": self.handling}

    def _changed(self, change: dict) -> None:
        self.refresh()

    # --- From the controls to maps ---

    def refresh(self) -> None:
        """Compute what the controls ask for, and show it; what can't be computed is said in words."""
        method, handling = self.method.value, self.handling.value
        try:
            self.maps = torch.stack([self._compute(c, method, handling) for c in self.classes])
            limit = self.limit
        except (ValueError, NotImplementedError) as error:
            self.maps, self.spearman = torch.empty(0), float("nan")
            self._say(str(error))
            self.pictures.value = ""
            return
        self.spearman = spearman(*self.maps.cpu().double().numpy())
        self._say(describe(self.spearman, *self.labels))
        self.pictures.value = self._html(limit)

    def _explain(self, target: int, method: str, handling: str) -> Tensor:
        return explain(self.clf.net, self._x, target, method, handling)[0]

    @property
    def classes(self) -> tuple[int, int]:
        """The indices of the most likely class and of the chosen one."""
        return self.ranking[0], self.ranking[self.rank.value - 1]

    @property
    def labels(self) -> tuple[str, str]:
        """The names of the two classes."""
        return self.clf.labels[self.classes[0]], self.clf.labels[self.classes[1]]

    @property
    def inside(self) -> bool:
        """Whether the method handles signs at each ReLU, rather than in the finished map."""
        return issubclass(get_method(self.method.value), ReLUMethod)

    @property
    def limit(self) -> float:
        """The magnitude of full colour, from the most likely class's map: the same at each place of the slider.

        Clipping a finished map leaves it alone, too. Clipping inside makes other signals, which need their own.
        """
        handling = self.handling.value if self.inside else SIGNED.name
        return viz.symmetric_limit([self._compute(self.ranking[0], self.method.value, handling)], FULL_COLOUR)

    @property
    def setting(self) -> str:
        """What the controls say, in words."""
        place = f"class {self.rank.value} of {len(self.ranking)}, {self.labels[1]}"
        where = "at each ReLU" if self.inside else "in the finished map"
        return f"{self.method.value}, {self.handling.value} {where}, {place}"

    # --- What is shown ---

    def _html(self, limit: float) -> str:
        panels = [(self.view, "The photo, as the network sees it", "photo")]
        for title, values in zip(self._titles(), self.maps, strict=True):
            alt = viz.alt_text(f"{self.method.value}, {self.handling.value}, for {title}", values, limit)
            panels.append((viz.heatmap(values, limit), alt, title))
        key = "Red: a brighter pixel raises the logit. Blue: it lowers it."
        if self.method.value == "input-x-gradient":
            key = "Red: the pixel's product is positive. Blue: negative."
        return gallery(panels, f"{key} Full colour at ±{limit:.2g} at each place of the slider.")

    def _titles(self) -> list[str]:
        most, chosen = map_titles(self.clf, self.classes, self._logits)
        return [f"most likely: {most}", f"place {self.rank.value}: {chosen}"]

    def _say(self, words: str) -> None:
        self.summary = words
        self.words.value = status(words)

    def figure(self) -> Figure:
        """Return what is shown as a figure, for readers without a running kernel."""
        panels = dict(zip(self._titles(), self.maps, strict=True))
        return viz.show_grid(self.view, panels, limit=self.limit, style="heatmap", title=self.setting)


def spread(classes: int) -> list[int]:
    """Return places in a ranking of that many classes: the first and last few, and some between."""
    return sorted({place for step in STEPS if 2 * step <= classes + 1 for place in (step, classes + 1 - step)})


def describe(number: float, most: str, chosen: str) -> str:
    """Return one plain sentence on how alike the chosen class's map is to the most likely one's, with the number."""
    if most == chosen:
        return f"This is {most} itself, the most likely class. Move the slider to compare."
    if math.isnan(number):
        return "One of the maps is constant, so there is nothing to compare."
    says = f"Rank correlation of {chosen} with {most}: {f'{round(number, 2) + 0.0:+.2f}'.replace('-', '−')}."
    if number > 0.9:
        return f"{says} The same map: it doesn't tell the two classes apart."
    if number > 0.5:
        return f"{says} Much alike."
    if number > 0.2:
        return f"{says} Partly alike."
    if number >= -0.2:
        return f"{says} Hardly related."
    if number >= -0.5:
        return f"{says} Partly reversed: where one is red, the other tends to be blue."
    return f"{says} Reversed: what is red for one is blue for the other."
