"""A study: every method with every handling, on every network and photo, through every check.

    study = Study(methods=("gradcam", "lrp"), networks=("efficientnet-lite0",))
    rows = pd.concat(measure(unit) for unit in plan(study).units)

This module says what is measured; ``running.py`` does it on several processes or a cluster, and takes up a study where
it was interrupted. A study falls into **units**: one network, one check, one picture, all methods and handlings, since
those share forward passes. A unit's result depends on nothing but what is written in the unit.

The pictures: a network of photos looks at the sample photos, or at those in a folder. Pairs of them make mosaics, where
each photo's place is known; what is asked about is the class that the network finds most likely for that photo alone.
The network of scenes looks at scenes of digits (``scenes.py``), whose classes and places are known.

    class          two classes of one picture: the most likely (in a scene or mosaic: the first object's) against the
                   least likely, the runner-up, and another one that is in the picture ("present")
    parameters     the trained network against copies with random layers; the class is kept
    localization   does the map for each object of a mosaic or scene lie where that object is?
    data           the scenes' network against its twin that was trained on permuted labels

Noise, the photo's edges and |x| go through the same checks: the controls (``methods/controls.py``).

References: Khakzar, Baselizadeh, Navab 2020. arXiv:2012.00362. Adebayo et al. 2018. arXiv:1810.03292.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from posgrad_edu.data.photos import PHOTOS, mosaic, read_image
from posgrad_edu.engine.passes import predict
from posgrad_edu.errors import UnsupportedOperation, unknown_name
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.methods import CONTROLS, METHODS, Method, explain, resolve
from posgrad_edu.metrics import (
    MODES,
    compare_features,
    data_sensitivity,
    features,
    localization,
    parameter_sensitivity,
)
from posgrad_edu.models import DEFAULT_CLASSIFIER, SCENES, Classifier, load_classifier
from posgrad_edu.scenes.pictures import make_scene

if TYPE_CHECKING:
    from pandas import DataFrame

CHECKS = ("class", "parameters", "localization", "data")
NO_HANDLING = "none"  # a control has no gradients
TWIN = "permuted-labels"  # the weights of a network that was trained on wrong labels
PUBLISHED = "published"  # as the method's authors handle them
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
VERSION = 1  # of what a unit measures: another one makes old results unfit

# The columns of the table, and their types: the same for each unit, whatever it measures.
NUMBERS = ("spearman", "spearman_abs", "ssim", "hog", "energy", "energy_abs", "energy_other", "hit", "area")
TYPES = {
    **dict.fromkeys(("network", "check", "photo", "method", "handling"), "string"),
    **dict.fromkeys(("target", "other"), "Int64"),
    **dict.fromkeys(("comparison", "mode"), "string"),
    **dict.fromkeys(("depth", "layers"), "Int64"),
    "layer": "string",
    **dict.fromkeys(("seed", "object"), "Int64"),
    **dict.fromkeys(NUMBERS, "Float64"),
    "degenerate": "boolean",
}


# --- What to measure ---


@dataclass(frozen=True)
class Study:
    """What is measured. Each field has a default; a name that doesn't exist is refused with the nearest ones.

    methods, handlings: names of ``METHODS`` and ``HANDLINGS``, or "published"; each combination is measured once, and
        the controls always.
    checks: some of ``CHECKS``. A check that a network can't take (data, for all but the scenes) is left out for it.
    networks: names for ``load_classifier``.
    images: a folder with pictures, in subfolders or not; ``None`` for the sample photos. limit: at most that many of
        them, evenly spread over the folder. scenes: how many scenes the network of scenes looks at.
    mode, depths, seeds: how parameters are randomized: the order, how many depths, how many draws.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    handlings: tuple[str, ...] = ("signed", "positive", PUBLISHED)
    checks: tuple[str, ...] = CHECKS
    networks: tuple[str, ...] = (DEFAULT_CLASSIFIER, SCENES)
    images: Path | None = None
    limit: int | None = None
    scenes: int = 16
    mode: str = "cascading"
    depths: int = 8
    seeds: int = 3

    def __post_init__(self) -> None:
        known: dict[str, Collection[str]] = {"methods": METHODS, "handlings": (*HANDLINGS, PUBLISHED), "checks": CHECKS}
        for field, names in known.items():
            wrong = [name for name in getattr(self, field) if name not in names]
            if wrong:
                raise unknown_name(field.removesuffix("s"), wrong[0], names)
        if self.mode not in MODES:
            raise unknown_name("mode of randomization", self.mode, MODES)
        for field in ("methods", "handlings", "checks", "networks"):
            if not getattr(self, field):
                raise ValueError(f"A study needs one of the {field} at least.")
            object.__setattr__(self, field, tuple(dict.fromkeys(getattr(self, field))))  # each once
        for field, least in {"scenes": 1, "depths": 2, "seeds": 1, "limit": 1}.items():
            if (value := getattr(self, field)) is not None and value < least:
                raise ValueError(f"{field} is {least} or more, not {value}.")


class Picture(NamedTuple):
    """One picture, as a worker can find it: ``parts`` are paths of photos (two for a mosaic), or a scene's seed."""

    name: str
    kind: str  # "photo", "mosaic" or "scene"
    parts: tuple[str, ...]


class Unit(NamedTuple):
    """A part of a study that is computed as a whole. ``key`` names all that its result depends on."""

    network: str
    check: str
    picture: Picture
    labels: tuple[tuple[str, str], ...]  # methods with their handlings
    options: tuple[tuple[str, Any], ...]  # how parameters are randomized; nothing for other checks
    key: str

    @property
    def file(self) -> Path:
        """Where its result is kept, in a study's folder ``units``."""
        return Path(plain(self.network), self.check, f"{plain(self.picture.name)}-{self.key}.parquet")


class Plan(NamedTuple):
    """A study's units, in order, and which methods refuse which network: why, by (network, method)."""

    units: list[Unit]
    refused: dict[tuple[str, str], str]


def plan(study: Study, download: bool = False) -> Plan:
    """Return a study's units. Loads the networks and tries each method on each once, so that mistakes show now.

    download: whether weights that aren't on this computer may be fetched. Raises ``ValueError`` for a study without
    a unit, ``WeightsError`` for a network without weights, ``FileNotFoundError`` for a folder that isn't there.
    """
    units: list[Unit] = []
    refused: dict[tuple[str, str], str] = {}
    for network in study.networks:
        clf = load_classifier(network, download=download)
        labels, reasons = usable(clf, study)
        refused |= {(network, method): reason for method, reason in reasons.items()}
        if not any(method in METHODS for method, _ in labels):  # the controls alone say nothing of a network
            continue
        weights = _weights_digest(clf.net)
        if network == SCENES and "data" in study.checks:
            weights += _weights_digest(load_classifier(SCENES, weights=TWIN).net)
        for picture in pictures(study, network):
            for check in study.checks:
                if _fits(check, network, picture):
                    units.append(_unit(study, network, weights, check, picture, labels))
    if not units:
        raise ValueError(f"There is nothing to measure: {_why_nothing(study, refused)}")
    return Plan(units, refused)


def _why_nothing(study: Study, refused: Mapping[tuple[str, str], str]) -> str:
    """Return why a study has no unit: checks that fit no network, methods that refuse those they fit."""
    checks = ", ".join(study.checks)
    if not refused:
        return f"{checks} fits none of these networks."
    reasons = "".join(f" {method} on {network}: {reason}" for (network, method), reason in refused.items())
    return f"{checks} fits no network that one of the methods works on.{reasons}"


def usable(clf: Classifier, study: Study) -> tuple[tuple[tuple[str, str], ...], dict[str, str]]:
    """Return the methods with their handlings, and the controls, that work on a network; why not the others."""
    x = clf.batch()
    labels: list[tuple[str, str]] = []
    reasons: dict[str, str] = {}
    for name in study.methods:
        try:
            resolve(name)(clf.net, x, 0)
            labels += dict.fromkeys((name, _handling(name, handling)) for handling in study.handlings)
        except (UnsupportedOperation, ValueError) as error:
            reasons[name] = " ".join(str(error).split())
    return (*labels, *((name, NO_HANDLING) for name in CONTROLS)), reasons


def _handling(method: str, handling: str) -> str:
    """Return the handling that "published" means; a method whose own is none of the four keeps the word."""
    published = METHODS[method].published
    return published.name if handling == PUBLISHED and published else handling


def pictures(study: Study, network: str) -> list[Picture]:
    """Return the pictures that a network looks at: photos and mosaics of pairs of them, or scenes."""
    if network == SCENES:
        return [Picture(f"scene-{seed}", "scene", (str(seed),)) for seed in range(study.scenes)]
    found = _sample_photos() if study.images is None else _photos_in(study.images)
    if study.limit is not None and study.limit < len(found):
        found = [found[i * len(found) // study.limit] for i in range(study.limit)]
    half = len(found) // 2  # pairs of photos far apart: neighbours in a folder are often of one class
    pairs = zip(found[:half], found[half : 2 * half], strict=True)
    together = [Picture(f"{a.name}+{b.name}", "mosaic", (*a.parts, *b.parts)) for a, b in pairs]
    return found + together


def _sample_photos() -> list[Picture]:
    return [Picture(photo.name, "photo", (str(photo.path),)) for photo in PHOTOS if photo.path is not None]


def _photos_in(folder: Path) -> list[Picture]:
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder '{folder}'. Give one that holds pictures, in subfolders or not.")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    if not paths:
        raise FileNotFoundError(f"There are no pictures in '{folder}': no file ends with {' '.join(ENDINGS)}.")
    return [Picture(path.relative_to(folder).as_posix(), "photo", (str(path),)) for path in paths]


def _fits(check: str, network: str, picture: Picture) -> bool:
    """Tell whether a check can be made of a network and a picture."""
    if check == "data":
        return network == SCENES
    if check == "localization":
        return picture.kind != "photo"
    return check == "class" or picture.kind != "mosaic"


def _unit(
    study: Study, network: str, weights: str, check: str, picture: Picture, labels: tuple[tuple[str, str], ...]
) -> Unit:
    options: tuple[tuple[str, Any], ...] = ()
    if check == "parameters":
        options = (("mode", study.mode), ("depths", study.depths), ("seeds", tuple(range(study.seeds))))
    depends_on = [VERSION, network, weights, check, picture.name, _stamps(picture), labels, options]
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    return Unit(network, check, picture, labels, options, key)


def _stamps(picture: Picture) -> list[list[int]]:
    """Return size and time of each file, which change when somebody repairs or replaces a photo."""
    if picture.kind == "scene":
        return []
    return [[(stat := Path(part).stat()).st_size, stat.st_mtime_ns] for part in picture.parts]


def _weights_digest(net: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        digest.update(name.encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def plain(name: str) -> str:
    """Return a name that is fit for a file, whatever the system."""
    return re.sub(r"[^\w.+-]+", "_", name)[-100:]


# --- Measuring one unit ---


def measure(unit: Unit) -> DataFrame:
    """Return a unit's rows: columns and types of ``TYPES``.

    Uses one thread, so that several units can be measured side by side, and so that the number of processes changes
    nothing. Raises ``ImageError`` or ``OSError`` for a photo that can't be read.
    """
    import pandas as pd

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        clf = _classifier(unit.network)
        shown = _show(unit.picture, clf)
        table = _MEASURES[unit.check](clf, shown, _methods(unit), **dict(unit.options))
    finally:
        torch.set_num_threads(threads)
    named = [json.loads(label) for label in table["method"]]
    table["method"], table["handling"] = [m for m, _ in named], [h for _, h in named]
    table["network"], table["check"], table["photo"] = unit.network, unit.check, unit.picture.name
    return typed(table) if len(table) else typed(pd.DataFrame())


def _methods(unit: Unit) -> dict[str, Method]:
    """Return a unit's methods, ready to be called; the keys are names and handlings as JSON."""
    configured = {}
    for name, handling in unit.labels:
        own = handling in (NO_HANDLING, PUBLISHED)
        configured[json.dumps([name, handling])] = resolve(name, None if own else handling)
    return configured


def typed(table: DataFrame) -> DataFrame:
    """Return a table with the columns and types of ``TYPES``; what a check doesn't measure is missing."""
    import pandas as pd

    missing = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in TYPES.items()})
    return table.reindex(columns=list(TYPES)).astype(TYPES) if len(table) else missing


@functools.lru_cache(maxsize=2)
def _classifier(name: str, weights: str = "pretrained") -> Classifier:
    return load_classifier(name, weights=weights)  # kept, since a worker is given many units


class _Shown(NamedTuple):
    """What a network is shown: a picture as a batch of one, and the objects in it with their boxes, if known."""

    image: Image.Image
    x: Tensor
    classes: list[int]
    boxes: list[tuple[int, int, int, int]]


def _show(picture: Picture, clf: Classifier) -> _Shown:
    if picture.kind == "scene":
        scene = make_scene(int(picture.parts[0]))
        return _Shown(scene.image, clf.batch(scene.image), list(scene.digits), scene.boxes)
    photos = [read_image(part) for part in picture.parts]
    if picture.kind == "photo":
        return _Shown(photos[0], clf.batch(photos[0]), [], [])
    together = mosaic(photos, size=clf.batch().shape[-1])
    classes = [clf.top(photo, k=1)[0].index for photo in photos]
    return _Shown(together.image, clf.batch(together.image), classes, together.boxes)


def _asked(clf: Classifier, shown: _Shown) -> tuple[int, dict[str, int]]:
    """Return the class that is explained, and those it's compared with, by how they were chosen."""
    order = predict(clf.net, shown.x)[0].argsort(descending=True).tolist()
    target = shown.classes[0] if shown.classes else order[0]
    others = {"present": shown.classes[1]} if shown.classes else {"runner-up": order[1]}
    if clf.name == SCENES or not shown.classes:  # in a mosaic only the two photos' classes are compared
        others["least"] = order[-1]
    return target, {comparison: other for comparison, other in others.items() if other != target}


def _measure_class(clf: Classifier, shown: _Shown, methods: Mapping[str, Method]) -> DataFrame:
    import pandas as pd

    target, others = _asked(clf, shown)
    rows = []
    for label, maps in explain(clf.net, shown.x, [[target, *others.values()]], methods).items():
        first, *rest = features(maps)
        alike = compare_features([first] * len(rest), rest)
        for (comparison, other), similarity in zip(others.items(), alike, strict=True):
            asked = {"comparison": comparison, "target": target, "other": other}
            rows.append({"method": label, **asked, **similarity._asdict()})
    return pd.DataFrame(rows, columns=None if rows else ["method"])


def _measure_parameters(
    clf: Classifier, shown: _Shown, methods: Mapping[str, Method], mode: str, depths: int, seeds: Sequence[int]
) -> DataFrame:
    target = shown.classes[:1] or None
    return parameter_sensitivity(
        clf.net, shown.x, methods, target=target, mode=mode, seeds=seeds, depths=depths, progress=False
    )


def _measure_localization(clf: Classifier, shown: _Shown, methods: Mapping[str, Method]) -> DataFrame:
    return localization(clf.net, shown.x, [shown.boxes], [shown.classes], methods)


def _measure_data(clf: Classifier, shown: _Shown, methods: Mapping[str, Method]) -> DataFrame:
    twin = _classifier(clf.name, TWIN)
    return data_sensitivity(clf.net, twin.net, shown.x, methods, target=shown.classes[:1])


_MEASURES: dict[str, Callable[..., DataFrame]] = {
    "class": _measure_class,
    "parameters": _measure_parameters,
    "localization": _measure_localization,
    "data": _measure_data,
}


def example(unit: Unit) -> tuple[Image.Image, dict[str, dict[str, Tensor]]]:
    """Return what the network sees of a unit's picture, and maps by method and title.

    For each handling that all methods have, or where there is none, for each that a method has: the maps for the class
    that is explained and for the least likely one, divided by one number for the two, the magnitude that 99 % of their
    pixels don't exceed.
    """
    from posgrad_edu.viz import symmetric_limit

    clf = _classifier(unit.network)
    shown = _show(unit.picture, clf)
    target, others = _asked(clf, shown)
    classes = [target, others.get("least", target)]
    rows: dict[str, dict[str, Tensor]] = {}
    for label, maps in explain(clf.net, shown.x, [classes], _methods(unit)).items():
        method, handling = json.loads(label)
        scaled = maps[0] / symmetric_limit(maps[0], quantile=0.99)
        titles = [f"{handling}: {clf.labels[c]}" for c in classes]
        if method in METHODS:
            rows.setdefault(method, {}).update(zip(titles, scaled, strict=True))
    everywhere = [title for title in next(iter(rows.values())) if all(title in row for row in rows.values())]
    return clf.view(shown.image), {m: {title: row[title] for title in everywhere or row} for m, row in rows.items()}


def combined(tables: Iterable[DataFrame]) -> DataFrame:
    """Return the rows of all units in one table."""
    import pandas as pd

    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else typed(pd.DataFrame())
