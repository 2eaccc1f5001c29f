"""A study: every method with every handling, on every network and photo, through every sanity test.

    study = Study(methods=("gradcam", "lrp"), networks=("efficientnet-lite0",))
    rows = pd.concat(measure(unit) for unit in plan(study).units)

This module says what there is to measure. A study falls into **units**: one network, one check, one picture, all
methods and handlings, since those share forward passes. A unit's result depends on nothing but what is written in the
unit, so units can be measured in any order and by any process (``running.py``).

The pictures: a network of photos looks at the sample photos, or at those in a folder. Pairs of them make mosaics, where
each photo's place is known; what is asked about is the class that the network finds most likely for that photo alone.
The networks of scenes look at scenes of digits (``posgrad_edu.scenes``), whose classes and places are known.

The checks, made by ``measuring.py``:

    class          two classes of one picture: the most likely (in a scene or mosaic: the first object's) against
                   random ones, the least likely, the runner-up, and another one that is in the picture ("present")
    parameters     the trained network against copies with random layers; the class is kept
    localization   does the map for each object of a mosaic or scene lie where that object is?
    data           the scenes' network against its twin that was trained on permuted labels
    perturbation   does covering what a map marks take the class away, more than what another class's map marks? Only
                   where it's asked for, since it takes as long as all others together

Each is made twice, of a class's logit and of its contrast with the mean of all logits (``engine/contrast.py``). Noise,
the photo's edges and |x| go through the same checks: the controls (``methods/controls.py``).

References: Khakzar, Baselizadeh, Navab 2020. arXiv:2012.00362. Adebayo et al. 2018. arXiv:1810.03292.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from posgrad_edu.data.photos import PHOTOS
from posgrad_edu.errors import UnsupportedOperation, unknown_name
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.methods import CONTROLS, METHODS, resolve
from posgrad_edu.metrics.perturbation import BASELINES
from posgrad_edu.metrics.randomization import MODES
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.models.loading import DEFAULT_CLASSIFIER, SCENES, load_classifier
from posgrad_edu.models.weights import SCENES_TRANSFORMER
from posgrad_edu.study.schema import ALL_CHECKS, CHECKS, CONTRASTS, NO_HANDLING, PUBLISHED, published_handling

SCENE_NETWORKS = (SCENES, SCENES_TRANSFORMER)  # which look at scenes, and know digits alone
PERMUTED_LABELS = "permuted-labels"  # the weights of a network that was trained on wrong labels
PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
# More than anybody has time for, and than a plan should list.
MOST = {"scenes": 100_000, "classes": 1000, "depths": 1000, "seeds": 1000}
VERSION = 2  # of what a unit measures: another one makes old results unfit


@dataclass(frozen=True)
class Study:
    """What is measured. Each field has a default; a name that doesn't exist is refused with the nearest ones.

    methods, handlings: names of ``METHODS`` and ``HANDLINGS``, or "published"; each combination is measured once, and
        the controls always. Another package's method ("captum:GuidedBackprop", see ``methods/adapters.py``) has no
        handling.
    checks: some of ``ALL_CHECKS``. A check that a network can't take (data, for all but the scenes) is left out for it.
    networks: names for ``load_classifier``.
    images: a folder with pictures, in subfolders or not; ``None`` for the sample photos. limit: at most that many of
        them, evenly spread over the folder. scenes: how many scenes a network of scenes looks at.
    contrasts: some of ``CONTRASTS``. classes: how many random classes the most likely one is compared with.
    mode, depths, seeds: how parameters are randomized: the order, how many depths, how many draws.
    baseline: what patches are covered with, for perturbation.
    device: where the networks run when units are measured, such as "cuda". Plans are made on the CPU.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    handlings: tuple[str, ...] = ("signed", "positive", PUBLISHED)
    checks: tuple[str, ...] = CHECKS
    networks: tuple[str, ...] = (DEFAULT_CLASSIFIER, SCENES)
    images: Path | None = None
    limit: int | None = None
    scenes: int = 16
    contrasts: tuple[str, ...] = CONTRASTS
    classes: int = 3
    mode: str = "cascading"
    depths: int = 8
    seeds: int = 3
    baseline: str = "mean"
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in self.methods:
            resolve(name)  # refuses one that doesn't exist, here or in another package
        known: dict[str, Collection[str]] = {"handlings": (*HANDLINGS, PUBLISHED)}
        known |= {"checks": ALL_CHECKS, "contrasts": CONTRASTS}
        for field, names in known.items():
            wrong = [name for name in getattr(self, field) if name not in names]
            if wrong:
                raise unknown_name(field.removesuffix("s"), wrong[0], names)
        if self.mode not in MODES:
            raise unknown_name("mode of randomization", self.mode, MODES)
        if self.baseline not in BASELINES:
            raise unknown_name("baseline", self.baseline, BASELINES)
        for field in ("methods", "handlings", "checks", "contrasts", "networks"):
            if not getattr(self, field):
                raise ValueError(f"A study needs one of the {field} at least.")
            object.__setattr__(self, field, tuple(dict.fromkeys(getattr(self, field))))  # each once
        for field, least in {"scenes": 1, "classes": 0, "depths": 2, "seeds": 1, "limit": 1}.items():
            if (value := getattr(self, field)) is not None and value < least:
                raise ValueError(f"{field} is {least} or more, not {value}.")
        for field, most in MOST.items():
            if (value := getattr(self, field)) > most:
                raise ValueError(f"{field} is {most} at most, not {value}.")


class Picture(NamedTuple):
    """One picture, as a worker can find it: ``parts`` are paths of photos (two for a mosaic), or a scene's seed."""

    name: str
    kind: str  # "photo", "mosaic" or "scene"
    parts: tuple[str, ...]


class Label(NamedTuple):
    """A method with a handling, which is one of ``HANDLINGS``, "published", or "none" for a control."""

    method: str
    handling: str


class Unit(NamedTuple):
    """A part of a study that is computed as a whole. ``key`` names all that its result depends on.

    device: where it's measured. Another kind of device rounds otherwise, so that its kind belongs to the key.
    """

    network: str
    check: str
    picture: Picture
    labels: tuple[Label, ...]
    options: tuple[tuple[str, Any], ...]  # what is explained, and how a check is made
    key: str
    device: str = "cpu"

    @property
    def file(self) -> Path:
        """Where its result is kept, in a study's folder ``units``."""
        return Path(file_name(self.network), self.check, f"{file_name(self.picture.name)}-{self.key}.parquet")


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
        shown = pictures(study, network)  # first, since a folder that isn't there is found out in no time
        clf = load_classifier(network, download=download)
        labels, reasons = usable(clf, study)
        refused |= {(network, method): reason for method, reason in reasons.items()}
        if all(label.method in CONTROLS for label in labels):  # the controls alone say nothing of a network
            continue
        weights = _weights_digest(clf.net)
        if network == SCENES and "data" in study.checks:
            weights += _weights_digest(load_classifier(SCENES, weights=PERMUTED_LABELS).net)
        for picture in shown:
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


def usable(clf: Classifier, study: Study) -> tuple[tuple[Label, ...], dict[str, str]]:
    """Return the methods with their handlings, and the controls, that work on a network; why not the others."""
    x = clf.batch()
    labels: list[Label] = []
    reasons: dict[str, str] = {}
    for name in study.methods:
        try:
            resolve(name)(clf.net, x, 0)
            handlings = study.handlings if name in METHODS else (NO_HANDLING,)
            labels += dict.fromkeys(_label(name, handling) for handling in handlings)
        except (UnsupportedOperation, ValueError) as error:
            reasons[name] = " ".join(str(error).split())
    return (*labels, *(Label(name, NO_HANDLING) for name in CONTROLS)), reasons


def _label(method: str, handling: str) -> Label:
    """Return a method with its handling, and with that which "published" means, if that is a single one."""
    return Label(method, (published_handling(method) or handling) if handling == PUBLISHED else handling)


def pictures(study: Study, network: str) -> list[Picture]:
    """Return the pictures that a network looks at: photos and mosaics of pairs of them, or scenes."""
    if network in SCENE_NETWORKS:
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
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_ENDINGS and not p.is_dir())
    if not paths:
        raise FileNotFoundError(f"There are no pictures in '{folder}': no file ends with {' '.join(PHOTO_ENDINGS)}.")
    return [Picture(printable(path.relative_to(folder).as_posix()), "photo", (str(path),)) for path in paths]


def _fits(check: str, network: str, picture: Picture) -> bool:
    """Tell whether a check can be made of a network and a picture."""
    if check == "data":
        return network == SCENES
    if check == "localization":
        return picture.kind != "photo"
    return check == "class" or picture.kind != "mosaic"


def _unit(study: Study, network: str, weights: str, check: str, picture: Picture, labels: tuple[Label, ...]) -> Unit:
    options: tuple[tuple[str, Any], ...] = (("contrasts", study.contrasts),)
    if check == "class":
        options += (("classes", study.classes),)
    if check == "parameters":
        options += (("mode", study.mode), ("depths", study.depths), ("seeds", tuple(range(study.seeds))))
    if check == "perturbation":
        options += (("baseline", study.baseline),)
    depends_on: list[Any] = [VERSION, network, weights, check, picture.name, _stamps(picture), labels, options]
    kind = study.device.partition(":")[0]
    depends_on += [] if kind == "cpu" else [kind]
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    return Unit(network, check, picture, labels, options, key, study.device)


def _stamps(picture: Picture) -> list[list[int]]:
    """Return size and time of each file, which change when somebody repairs or replaces a photo."""
    return [] if picture.kind == "scene" else [_stamp(Path(part)) for part in picture.parts]


def _stamp(path: Path) -> list[int]:
    try:
        stat = path.stat()
    except OSError:  # a link to nowhere, a photo that was just removed: the unit says so when it's measured
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _weights_digest(net: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        digest.update(name.encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def printable(text: str) -> str:
    """Return a text that can be written in UTF-8: what can't becomes ``\\udcff`` and the like."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def file_name(name: str) -> str:
    """Return a name that is fit for a file, whatever the system."""
    return re.sub(r"[^\w.+-]+", "_", name)[-100:]
