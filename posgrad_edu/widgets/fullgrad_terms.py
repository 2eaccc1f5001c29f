"""The FullGradLayers widget: FullGrad's map for two classes of one photo, put together term by term.

The slider adds the terms in the order of the forward pass: the input's first, then one bias after the other. Below the
maps stands what the added terms sum up to, beside the logit that they should explain when all are there.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.handling import ABSOLUTE, POSITIVE, SIGNED, get_handling
from posgrad_edu.loading import load_classifier
from posgrad_edu.methods.fullgrad import FullGrad, fullgrad_terms
from posgrad_edu.models import Classifier
from posgrad_edu.photos import load_photo
from posgrad_edu.similarity import compare
from posgrad_edu.widgets.parts import IN_LINE, RANKED, find_class, gallery, status

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

FULL_COLOUR = 0.995  # the input's term has a few pixels far above all others; this share of pixels isn't saturated
SCALINGS = {False: "terms as they are", True: "each term rescaled"}


class FullGradLayers(widgets.VBox):
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
        self.clf = load_classifier() if clf is None else clf
        picture = load_photo(photo) if isinstance(photo, str) else photo
        self.view = self.clf.view(picture)
        self._x = self.clf.batch(picture)
        self._logits = self.clf.logits(picture)
        self._terms = functools.lru_cache(maxsize=2)(self._contributions)
        self._compute = functools.lru_cache(maxsize=12)(self._added_up)
        self.classes: tuple[int, ...] = tuple(find_class(self.clf, str(c), self._logits) for c in (class_a, class_b))
        self.sizes = [tuple(term.shape[3:]) for term in self._terms(self.classes)]  # () for a linear layer's
        self._make_controls(str(class_a), str(class_b), spread(len(self.sizes), steps))
        self.maps: Tensor = torch.empty(0)
        self.totals = self.logits = (float("nan"), float("nan"))
        self.spearman = float("nan")
        self.summary = ""
        for name, value in start.items():
            if name not in self.controls:
                raise ValueError(f"FullGradLayers has no control {name!r}. There are: {', '.join(self.controls)}.")
            self.controls[name].value = value
        for control in self.controls.values():
            control.observe(self._changed, "value")
        boxes = widgets.HBox([self.class_a, self.class_b], layout={"flex_flow": "row wrap"})
        super().__init__([self.terms, self.handling, self.rescale, boxes, self.pictures, self.words])
        self.refresh()

    def __repr__(self) -> str:
        return f"FullGradLayers: {self.setting}. {self.summary}"

    # --- Controls ---

    def _make_controls(self, class_a: str, class_b: str, counts: list[int]) -> None:
        named = {"description_width": "90px", "button_width": "150px"}
        self.terms = widgets.SelectionSlider(
            options=[(self._count_in_words(n), n) for n in counts], value=counts[-1], description="Terms",
            continuous_update=False, layout={"width": "560px"}, style={"description_width": "90px"},
        )  # fmt: skip
        handlings = (SIGNED, ABSOLUTE, POSITIVE)
        self.handling = widgets.ToggleButtons(
            layout=IN_LINE,
            options=[h.name for h in handlings], tooltips=[h.meaning for h in handlings], description="Handling",
            style=named,
        )  # fmt: skip
        self.rescale = widgets.ToggleButtons(
            layout=IN_LINE,
            options=[(words, value) for value, words in SCALINGS.items()], description="Scaling", style=named,
            tooltips=["in logits, so that they add up", "each to the same range in the photo, as published"],
        )  # fmt: skip
        self.class_a, self.class_b = (
            widgets.Combobox(
                options=(*RANKED, *self.clf.labels), value=value, description=description, continuous_update=False,
                layout={"width": "320px"}, style={"description_width": "90px"}, placeholder="a word, such as espresso",
            )
            for description, value in (("Class A", class_a), ("Class B", class_b))
        )  # fmt: skip
        self.pictures, self.words = widgets.HTML(), widgets.HTML()
        names = ("terms", "handling", "rescale", "class_a", "class_b")
        self.controls = {name: getattr(self, name) for name in names}

    def _count_in_words(self, count: int) -> str:
        return "the input alone" if count == 1 else f"the input and {count - 1} of {len(self.sizes) - 1} biases"

    @property
    def counts(self) -> tuple[int, ...]:
        """How many terms can be added: the slider's steps."""
        return tuple(count for _, count in self.terms.options)

    def _changed(self, change: dict) -> None:
        self.refresh()

    # --- From the controls to maps ---

    def refresh(self) -> None:
        """Compute what the controls ask for, and show it; what can't be computed is said in words."""
        try:
            boxes = (self.class_a, self.class_b)
            self.classes = tuple(find_class(self.clf, box.value, self._logits) for box in boxes)
            maps, totals = self._compute(self.classes, self.handling.value, self.rescale.value)
        except (ValueError, NotImplementedError) as error:
            self.maps, self.spearman = torch.empty(0), float("nan")
            self.totals = self.logits = (float("nan"), float("nan"))
            self.pictures.value = ""
            self._say(str(error))
            return
        step = self.counts.index(self.terms.value)
        self.maps = maps[step]
        first, second = totals[step].tolist()
        self.totals = (first, second)
        self.logits = (float(self._logits[self.classes[0]]), float(self._logits[self.classes[1]]))
        self.spearman = compare(*self.maps).spearman
        self._say(self._sentence())
        self.pictures.value = self._html()

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
    def labels(self) -> tuple[str, ...]:
        """The names of the two classes."""
        return tuple(self.clf.labels[c] for c in self.classes)

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
        if self.spearman != self.spearman:
            return f"{what} add up to {sums}. One of the maps is constant, so there is nothing to compare."
        return f"{what} add up to {sums}. Rank correlation {number(self.spearman, 2)}."

    def _titles(self) -> list[str]:
        """Return a title for each map; letters keep two maps of one class apart."""
        lines = zip("AB", self.labels, self.totals, self.logits, strict=True)
        return [f"{letter}: {label}\n{amount(t)} of logit {amount(f)}" for letter, label, t, f in lines]

    def _html(self) -> str:
        limit = self.limit
        panels = [(self.view, "The photo, as the network sees it", "photo")]
        for title, values in zip(self._titles(), self.maps, strict=True):
            alt = viz.alt_text(f"FullGrad of {self.setting}, for {title}", values, limit)
            panels.append((viz.overlay(self.view, values, limit), alt, title))
        note = "Red: evidence for. Blue: evidence against. One scale for both maps, another for each setting"
        return gallery(panels, f"{note}: here full colour at ±{limit:.2g}.")

    def _say(self, words: str) -> None:
        self.summary = words
        self.words.value = status(words)

    def figure(self) -> Figure:
        """Return what is shown as a figure, for readers without a running kernel."""
        if not self.maps.numel():
            raise ValueError(f"There is nothing to draw. {self.summary}")
        panels = dict(zip(self._titles(), self.maps, strict=True))
        return viz.show_grid(self.view, panels, limit=self.limit, title=f"FullGrad: {self.setting}")


def spread(terms: int, steps: int) -> list[int]:
    """Return numbers of terms, evenly spread from 1 (the input alone) to all of them."""
    if steps < 2:
        raise ValueError(f"steps is 2 or more, not {steps}: the input alone, and all terms.")
    return sorted({1 + round((terms - 1) * i / (steps - 1)) for i in range(steps)})


def amount(logits: float) -> str:
    """Return an amount with its sign and a true minus: one decimal, or three digits from 100 on."""
    if abs(logits) >= 100:
        return f"{float(f'{logits:.3g}'):+.0f}".replace("-", "−")
    return number(logits, 1)


def number(value: float, digits: int) -> str:
    """Return a number with its sign, a true minus, and never a negative zero."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")
