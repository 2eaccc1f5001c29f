"""Panels about two classes of one photo: given ones, at one of the network's layers, or chosen in boxes."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import ipywidgets as widgets
import torch
from PIL import Image
from torch import Tensor, nn

from posgrad_edu import viz
from posgrad_edu.methods.registry import AnyHandling
from posgrad_edu.metrics.similarity import is_degenerate
from posgrad_edu.models.classifier import Classifier, resolve_class
from posgrad_edu.widgets.controls import (
    NONE,
    OTHER,
    class_box,
    class_word,
    contrast_of,
    find_classes,
    find_pair,
    layer_sizes,
    meanings,
    toggles,
    understood,
    usual_layer,
)
from posgrad_edu.widgets.panel import RECORDS, MapPanel, is_cam
from posgrad_edu.widgets.sentences import CONSTANT

MEANINGS = 12  # of a word: so many classes are offered


class Latest(OrderedDict[Hashable, Tensor]):
    """Maps of one class each, those asked for last at the end."""

    cache_clear = OrderedDict.clear  # as other caches of a panel are emptied


class TwoClassPanel(MapPanel):
    """Maps of a photo for two ``classes`` (indices), on one scale."""

    classes: tuple[int, ...]

    def __init__(self, clf: Classifier | None, photo: Image.Image | str) -> None:
        super().__init__(clf, photo)
        self._latest = Latest()

    def _explain_classes(
        self,
        method: str,
        handling: AnyHandling = None,
        layer: str | None = None,
        contrast: str = NONE,
        net: nn.Module | None = None,
        name: Hashable = None,
        **options: Any,
    ) -> Tensor:
        """Return maps of ``classes`` (2, H, W); that of a class which was shown beside another isn't computed again.

        layer: of a CAM, ``None`` for the classifier's ``cam_layer``; other methods have none. contrast: a value of
        ``contrast_list``. net: ``None`` for the classifier's. name: tells this network or photo from others of the
        same panel. options: those of the method.
        """
        layer = (layer or self.clf.cam_layer) if is_cam(method) else None
        asked = name, method, handling, layer, contrast, *options.items()
        others = self.classes[::-1] if contrast == OTHER else self.classes
        keys = [(asked, *pair) for pair in zip(self.classes, others, strict=True)]
        if new := [key for key in dict.fromkeys(keys) if key not in self._latest]:
            _, target, against = zip(*new, strict=True)
            contrasts, net = contrast_of(contrast, against), self.clf.net if net is None else net
            maps = RECORDS.explain(net, self._x, [list(target)], method, handling, layer, contrasts, **options)[0]
            self._latest.update(zip(new, maps, strict=True))
        for key in keys:
            self._latest.move_to_end(key)
        while len(self._latest) > 2 * self._kept:
            self._latest.popitem(last=False)
        return torch.stack([self._latest[key] for key in keys])

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the two classes."""
        return tuple(self.clf.labels[c] for c in self.classes)

    def _titles(self) -> list[str]:
        """Return label, probability and logit of each class."""
        logits = self._logits_shown()
        shares = logits.sigmoid() if self.clf.multilabel else logits.softmax(0)
        return [viz.map_title(self.clf.labels[c], float(shares[c]), float(logits[c])) for c in self.classes]

    def _logits_shown(self) -> Tensor:
        return self._logits

    def _nothing_to_compare(self) -> str:
        """Say why the two maps can't be compared, where that is so."""
        if self.classes[0] == self.classes[1]:
            return f"Both maps are for {self.labels[0]}. Choose another class B."
        empty = [label for label, values in zip(self.labels, self.maps, strict=True) if not values.any()]
        if empty:
            return f"The map for {' and for '.join(empty)} is zero everywhere, so there is nothing to compare."
        return CONSTANT if any(map(is_degenerate, self.maps)) else ""


class LayerPanel(TwoClassPanel):
    """Maps of two given classes at one of the network's layers, ``layer``; each layer has its own scale.

    class_a, class_b: as ``resolve_class`` takes them. layers: names, early to late; ``None`` for all outer ones that
    have positions.
    """

    _scale_of = "in all maps of this layer"
    _names: ClassVar[tuple[str, ...]]  # of the controls

    def __init__(
        self,
        clf: Classifier | None = None,
        photo: Image.Image | str = "coffee",
        class_a: str | int = "most likely",
        class_b: str | int = "least likely",
        layers: Sequence[str] | None = None,
        **start: Any,
    ) -> None:
        super().__init__(clf, photo)
        self._asked, self._asked_layers = (class_a, class_b), layers
        self._settle()
        self._make_controls()
        self._begin(self._names, start)

    def _make_controls(self) -> None:
        raise NotImplementedError

    def _settle(self) -> None:
        self.classes = find_pair(self.clf, self._asked, self._logits)
        self.sizes = layer_sizes(self.clf, self._x, self._asked_layers)
        self._offer("layer", list(self.sizes), usual_layer(self.clf, self.sizes))


class ClassBoxPanel(TwoClassPanel):
    """Two classes that are chosen in boxes, ``class_a`` and ``class_b``; letters keep two maps of one class apart.

    A word that fits several classes, or none, is answered with a question: ``which`` has a button for each class that
    may be meant. What is taken for a class though it isn't its label is said.
    """

    def __init__(
        self, clf: Classifier | None, photo: Image.Image | str, class_a: str | int, class_b: str | int
    ) -> None:
        super().__init__(clf, photo)
        self.classes = find_classes(self.clf, (class_a, class_b), self._logits)  # one that doesn't exist is refused now
        # A name is looked for among all names; logits are the same object for the same photo.
        self._class_of = functools.lru_cache(maxsize=64)(lambda word, logits: resolve_class(self.clf, word, logits))
        self.class_a = class_box(self.clf, "Class A", class_word(self.clf, class_a, self._logits))
        self.class_b = class_box(self.clf, "Class B", class_word(self.clf, class_b, self._logits))
        self.which = toggles("", [], [], layout={"display": "none"})
        self.which.observe(self._told, "value")
        self._unclear: widgets.Combobox | None = None  # the box that ``which`` asks about

    def _begin(self, names: Sequence[str], start: Mapping[str, Any], *below: widgets.Widget) -> None:
        words = {n: class_word(self.clf, start[n], self._logits) for n in ("class_a", "class_b") if n in start}
        super()._begin(names, {**start, **words}, self.which, *below)

    def _chosen_classes(self) -> tuple[int, ...]:
        if self._unclear is not None:
            self._ask(None)
        return self._class_in(self.class_a), self._class_in(self.class_b)

    def _measure(self) -> None:
        self.classes = self._chosen_classes()
        super()._measure()

    def _class_in(self, box: widgets.Combobox) -> int:
        """Return the class that a box's word stands for; where it's no one class, offer what may be meant."""
        try:
            return self._class_of(box.value, self._logits)
        except ValueError:
            self._ask(box)
            raise

    def _ask(self, box: widgets.Combobox | None) -> None:
        """Offer what the word in a box may mean; ``None`` for nothing to ask."""
        options = meanings(self.clf, box.value)[:MEANINGS] if box else []
        self._unclear = None  # while the options change
        self.which.options, self.which.value = options, None
        self._unclear = box
        self.which.description = f"{box.description}:" if box else ""
        self.which.layout.display = "flex" if options else "none"

    def _told(self, change: dict) -> None:
        if self._unclear is not None and change["new"] is not None:
            self._unclear.value = change["new"]

    def _remark(self) -> str:
        boxes = self.class_a, self.class_b
        words = (understood(self.clf, box.value, c) for box, c in zip(boxes, self.classes, strict=True))
        return " ".join(filter(None, words))

    def _titles(self) -> list[str]:
        return [f"{letter}: {title}" for letter, title in zip("AB", self._lines(), strict=True)]

    def _lines(self) -> list[str]:
        """Return a title for each map, without its letter."""
        return super()._titles()
