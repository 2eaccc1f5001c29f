"""Measuring one unit of a study: its picture, its maps, and the scores of its sanity test."""

from __future__ import annotations

import functools
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from posgrad_edu.data import mosaic, read_image
from posgrad_edu.engine.passes import predict
from posgrad_edu.methods import CONTROLS, explain, resolve
from posgrad_edu.methods.base import Method
from posgrad_edu.metrics import (
    data_sensitivity,
    localization,
    perturbation,
    perturbation_areas,
    randomizable_layers,
    similarities,
    still_trained,
)
from posgrad_edu.metrics.sensitivity import parameter_sensitivities, random_classes
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.models.loading import load_classifier
from posgrad_edu.scenes.pictures import make_scene
from posgrad_edu.study.planning import PERMUTED_LABELS, SCENE_NETWORKS, Picture, Unit
from posgrad_edu.study.schema import LOGIT, NO_HANDLING, PUBLISHED, typed
from posgrad_edu.viz import symmetric_limit

if TYPE_CHECKING:
    from pandas import DataFrame

PATCHES, STEPS = 14, 8  # of perturbation: patches along a photo's shorter side, and parts covered one after another


def measure(unit: Unit) -> DataFrame:
    """Return a unit's rows: columns and types of ``schema.TYPES``.

    Uses one thread, so that several units can be measured side by side, and so that the number of processes changes
    nothing. Raises ``ImageError`` or ``OSError`` for a photo that can't be read, ``DeviceError`` for a device that
    isn't here.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        clf = _classifier(unit.network, device=unit.device)
        shown = _show(unit.picture, clf)
        table = _measured(unit, clf, shown)
    finally:
        torch.set_num_threads(threads)
    labels = list(table["method"])
    table["method"], table["handling"] = [label.method for label in labels], [label.handling for label in labels]
    table["network"], table["check"], table["photo"] = unit.network, unit.check, unit.picture.name
    return typed(table)


def _measured(unit: Unit, clf: Classifier, shown: _Shown) -> DataFrame:
    """Return the rows of each contrast, one below the other."""
    import pandas as pd

    options = dict(unit.options)
    methods, contrasts = _methods(unit), options.pop("contrasts")
    asked = [None if name == LOGIT else name for name in contrasts]
    if unit.check == "parameters":
        tables = _measure_parameters(clf, shown, methods, asked, **options)
    else:
        tables = [_MEASURES[unit.check](clf, shown, methods, contrast, **options) for contrast in asked]
    named = [table.assign(contrast=name) for name, table in zip(contrasts, tables, strict=True)]
    return pd.concat(named, ignore_index=True)


def _methods(unit: Unit) -> dict[Any, Method]:  # any label will do for what makes maps and compares them
    """Return a unit's methods by their labels, ready to be called."""
    own = (NO_HANDLING, PUBLISHED)
    return {label: resolve(label.method, None if label.handling in own else label.handling) for label in unit.labels}


@functools.lru_cache(maxsize=2)
def _classifier(name: str, weights: str = "pretrained", device: str = "cpu") -> Classifier:
    return load_classifier(name, weights=weights).to(device)  # kept, since a worker is given many units


class _Shown(NamedTuple):
    """What a network is shown: a picture as a batch of one, and the objects in it with their boxes, if known.

    seed: of what is drawn for this picture, by its name.
    """

    seed: int
    image: Image.Image
    x: Tensor
    classes: list[int]
    boxes: list[tuple[int, int, int, int]]


def _show(picture: Picture, clf: Classifier) -> _Shown:
    seed = zlib.crc32(picture.name.encode())
    if picture.kind == "scene":
        scene = make_scene(int(picture.parts[0]))
        return _Shown(seed, scene.image, clf.batch(scene.image), list(scene.digits), scene.boxes)
    photos = [read_image(part) for part in picture.parts]
    if picture.kind == "photo":
        return _Shown(seed, photos[0], clf.batch(photos[0]), [], [])
    together = mosaic(photos, size=clf.batch().shape[-1])
    classes = [clf.top(photo, k=1)[0].index for photo in photos]
    return _Shown(seed, together.image, clf.batch(together.image), classes, together.boxes)


def _asked(clf: Classifier, shown: _Shown, classes: int = 0) -> tuple[int, list[tuple[str, int]]]:
    """Return the class that is explained, and those it's compared with, after how they were chosen.

    classes: how many of them are random.
    """
    order = predict(clf.net, shown.x)[0].argsort(descending=True).tolist()
    target = shown.classes[0] if shown.classes else order[0]
    others = [("present", shown.classes[1])] if shown.classes else [("runner-up", order[1])]
    if clf.name in SCENE_NETWORKS or not shown.classes:  # in a mosaic only the two photos' classes are compared
        others.append(("least", order[-1]))
        count = min(classes, len(order) - 1)
        taken = torch.tensor([[target]], device="cpu")
        drawn = random_classes(taken, len(order), count, shown.seed)[0].tolist() if count else []
        others += [("random", other) for other in drawn]
    return target, [(comparison, other) for comparison, other in others if other != target]


def _measure_class(
    clf: Classifier, shown: _Shown, methods: Mapping[Any, Method], contrast: str | None, classes: int
) -> DataFrame:
    import pandas as pd

    target, others = _asked(clf, shown, classes)
    asked_for = [[target, *(other for _, other in others)]]
    rows = []
    for label, maps in explain(clf.net, shown.x, asked_for, methods, contrast=contrast).items():
        alike = similarities(maps[0, 1:], maps[0, 0])
        for (comparison, other), similarity in zip(others, alike, strict=True):
            asked = {"comparison": comparison, "target": target, "other": other}
            rows.append({"method": label, **asked, **similarity._asdict()})
    return pd.DataFrame(rows, columns=None if rows else ["method"])


def _measure_parameters(
    clf: Classifier,
    shown: _Shown,
    methods: Mapping[Any, Method],
    contrasts: Sequence[str | None],
    mode: str,
    depths: int,
    seeds: Sequence[int],
) -> list[DataFrame]:
    """Return the table of each contrast: all look at the same random networks."""
    target = shown.classes[:1] or None
    how: dict[str, Any] = {"mode": mode, "seeds": seeds, "depths": depths, "progress": False}
    return parameter_sensitivities(clf.net, shown.x, contrasts, methods, target=target, **how)


def _measure_localization(
    clf: Classifier, shown: _Shown, methods: Mapping[Any, Method], contrast: str | None
) -> DataFrame:
    return localization(clf.net, shown.x, [shown.boxes], [shown.classes], methods, contrast=contrast)


def _measure_data(clf: Classifier, shown: _Shown, methods: Mapping[Any, Method], contrast: str | None) -> DataFrame:
    permuted = _classifier(clf.name, PERMUTED_LABELS, str(shown.x.device))
    return data_sensitivity(clf.net, permuted.net, shown.x, methods, target=shown.classes[:1], contrast=contrast)


def _measure_perturbation(
    clf: Classifier, shown: _Shown, methods: Mapping[Any, Method], contrast: str | None, baseline: str
) -> DataFrame:
    import pandas as pd

    target, chosen = _asked(clf, shown)
    others = dict(chosen)
    comparison = "present" if "present" in others else "least"
    if comparison not in others:
        return pd.DataFrame(columns=["method"])
    patch = max(1, min(shown.x.shape[-2:]) // PATCHES)
    options: dict[str, Any] = {"baseline": baseline, "patch": patch, "steps": STEPS, "progress": False}
    options["contrast"] = contrast
    curves = perturbation(clf.net, shown.x, methods, target=target, other=others[comparison], **options)
    return perturbation_areas(curves).assign(comparison=comparison)


_MEASURES: dict[str, Callable[..., DataFrame]] = {  # of one contrast at a time
    "class": _measure_class,
    "localization": _measure_localization,
    "data": _measure_data,
    "perturbation": _measure_perturbation,
}


def stays_trained(network: str) -> str:
    """Say what of a network keeps its trained values at the cascade's end; nothing if all of it is random there."""
    clf = _classifier(network)
    names = still_trained(clf.net, randomizable_layers(clf.net, clf.batch()))
    owners = (clf.net.get_submodule(name.rpartition(".")[0]) for name in names)
    counts = Counter("its own" if owner is clf.net else f"{type(owner).__name__} layers" for owner in owners)
    return ", ".join(f"{count} tensors of {kind}" for kind, count in counts.items())


def example(unit: Unit) -> tuple[Image.Image, dict[str, dict[str, Tensor]]]:
    """Return what the network sees of a unit's picture, and maps by method and title.

    For each handling that all methods have, or where there is none, for each that a method has: the maps for the class
    that is explained and for the least likely one, divided by one number for the two, the magnitude that 99 % of their
    pixels don't exceed.
    """
    clf = _classifier(unit.network)
    shown = _show(unit.picture, clf)
    target, others = _asked(clf, shown)
    classes = [target, dict(others).get("least", target)]
    rows: dict[str, dict[str, Tensor]] = {}
    explained: dict[Any, Tensor] = explain(clf.net, shown.x, [classes], _methods(unit))
    for label, maps in explained.items():
        scaled = maps[0] / symmetric_limit(maps[0], quantile=0.99)
        titles = [f"{label.handling}: {clf.labels[c]}" for c in classes]
        if label.method not in CONTROLS:
            rows.setdefault(label.method, {}).update(zip(titles, scaled, strict=True))
    everywhere = [title for title in next(iter(rows.values())) if all(title in row for row in rows.values())]
    return clf.view(shown.image), {m: {title: row[title] for title in everywhere or row} for m, row in rows.items()}
