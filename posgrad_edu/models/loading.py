"""Classifiers by name: the network, its preprocessing, and what its classes are called.

    clf = load_classifier()                            # EfficientNet-Lite0, pretrained, works offline
    clf = load_classifier("scenes")                    # digits in scenes, comes with this package
    clf = load_classifier("scenes-transformer")        # the same by a vision transformer
    clf = load_classifier("vgg16", download=True)      # fetched once, by torchvision

Nothing is fetched unless you say ``download=True``; ``weights.py`` has the files.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from posgrad_edu.data import Preprocessing
from posgrad_edu.errors import unknown_name
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.models.weights import (
    DEFAULT_CLASSIFIER,
    FETCH_AGAIN,
    LITE,
    SCENES,
    SCENES_TRANSFORMER,
    WeightsError,
    lite_state,
    load_in_order,
    scenes_state,
    timm_state,
    torchvision_state,
)
from posgrad_edu.scenes import NAMES, ScenePreprocessing, ScenesTransformer, scenes_net

if TYPE_CHECKING:
    from PIL.Image import Image

Offline = Literal[  # no download
    "efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2", "scenes", "scenes-transformer"
]
Weights = Literal["pretrained", "random", "permuted-labels"]
Builder: TypeAlias = "Callable[[str, str, bool], tuple[nn.Module, Callable[[Image], Tensor]]]"


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
    name: Offline | str = DEFAULT_CLASSIFIER,
    *,
    weights: Weights | str = "pretrained",
    download: bool = False,
    seed: int = 0,
) -> Classifier:
    """Return a classifier by name, in eval mode, its parameters frozen, on the CPU.

    name: "efficientnet-lite0", "scenes" or "scenes-transformer", which work offline; "efficientnet-lite1" or "-lite2",
        deeper ones of the first's family, with the extra "networks"; or any classification network of torchvision
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
    if name in (SCENES, SCENES_TRANSFORMER):
        labels = [str(digit) for digit in range(len(NAMES))]
        return {"labels": labels, "synonyms": [(word,) for word in NAMES], "multilabel": True}
    # torchvision's are all ImageNet-1k; timm's say how many classes they have, and 1000 means ImageNet-1k.
    if getattr(net, "num_classes", 1000) != 1000:
        return {}
    labels, synonyms = _imagenet_names()
    return {"labels": labels, "synonyms": synonyms}


def _builder(name: str) -> Builder:
    """Return the function that builds the network of this name; ``ValueError`` with the nearest names."""
    if name in _BUILDERS:
        return _BUILDERS[name]
    import timm
    from torchvision import models

    in_torchvision = models.list_models(module=models)
    if name in in_torchvision:
        return _build_torchvision
    versions = timm.list_pretrained(f"{name.partition('.')[0]}.*")
    if name in timm.list_models() or name in versions:
        return _build_timm
    raise unknown_name("classifier", name, [*_BUILDERS, *in_torchvision, *timm.list_models(), *versions])


def _build_lite(name: str, weights: str, download: bool) -> tuple[nn.Module, Preprocessing]:
    import timm

    _check_version(weights)
    net = timm.create_model(f"tf_{name.replace('-', '_')}", pretrained=False)
    if weights == "pretrained":
        load_in_order(net, lite_state(name))
    return net, _timm_preprocessing(net)


def _build_scenes(name: str, weights: str, download: bool) -> tuple[nn.Module, Callable[[Image], Tensor]]:
    _check_version(weights, ["permuted-labels"] if name == SCENES else [])
    net = scenes_net() if name == SCENES else ScenesTransformer()
    if weights != "random":
        net.load_state_dict(scenes_state(name, weights))
    return net, ScenePreprocessing()


_BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(LITE, _build_lite),
    SCENES: _build_scenes,
    SCENES_TRANSFORMER: _build_scenes,
}


def _build_torchvision(name: str, weights: str, download: bool) -> tuple[nn.Module, Preprocessing]:
    from torchvision import models

    versions = models.get_model_weights(name)
    _check_version(weights, versions.__members__)
    version = versions[weights] if weights in versions.__members__ else versions.DEFAULT
    # The weights first: building a large network only to find that they are missing takes seconds.
    state = None if weights == "random" else torchvision_state(name, version, download)
    options: dict[str, Any] = {}  # what a network must be told to fit its pretrained weights
    if name in ("googlenet", "inception_v3"):
        options = {"transform_input": True, "aux_logits": True, "init_weights": False}
    elif name.startswith("vit_"):
        options = {"image_size": version.meta["min_size"][0]}
    net = models.get_model(name, weights=None, **options)
    if state is not None:
        with _fitting(name):
            net.load_state_dict(state, assign=True)  # not copied: they stay mapped from their file
    for head in {"aux1", "aux2", "AuxLogits"} & dict(net.named_children()).keys():
        setattr(net, head, None)  # only trained with, never part of an answer
        net.aux_logits = False
    crop = version.transforms()
    scale = tuple(crop.mean), tuple(crop.std)
    return net, Preprocessing(crop.crop_size[0], crop.resize_size[0], *scale, crop.interpolation.value)


def _build_timm(name: str, weights: str, download: bool) -> tuple[nn.Module, Preprocessing]:
    import timm

    _check_version(weights)
    config = timm.get_pretrained_cfg(name)
    if config and config.num_classes == 0:
        raise ValueError(f"{name!r} gives features, not classes, so there is no class to explain.")
    if weights == "random":
        net = timm.create_model(name, pretrained=False)
        return net, _timm_preprocessing(net)
    # Given as tensors, so that timm reads no file itself, and doesn't ask the hub whether there's a newer one.
    source = {"state_dict": timm_state(name, config, download), "custom_load": False}
    with _fitting(name):
        net = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=source)
    config_of_net: Any = net.pretrained_cfg
    config_of_net.pop("state_dict", None)  # or it would be kept, and copied with the network
    return net, _timm_preprocessing(net)


@contextlib.contextmanager
def _fitting(name: str) -> Iterator[None]:
    """Say in one line that tensors don't fit a network; PyTorch lists all their names."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError, AssertionError) as error:
        reason = str(error).strip().splitlines()[:2]
        raise WeightsError(
            f"The weights on this computer aren't those of {name!r} ({' '.join(map(str.strip, reason))}). Delete their "
            f"file. {FETCH_AGAIN}"
        ) from error


def _timm_preprocessing(net: nn.Module) -> Preprocessing:
    """Return timm's own settings for a network; ``ValueError`` for rare ways of cropping."""
    from timm.data import resolve_data_config

    config = resolve_data_config({}, model=net)
    height, width = config["input_size"][1:]
    resize = int(height / config["crop_pct"]), int(width / config["crop_pct"])
    squeeze = config["crop_mode"] == "squash"
    crops = config["crop_mode"] == "center" and height == width and config["crop_pct"] <= 1  # above 1: a black frame
    if not (squeeze or crops):
        raise ValueError("Preprocessing can't crop as this network wants it. Use timm and Classifier(net, ...).")
    scale = tuple(config["mean"]), tuple(config["std"])
    return Preprocessing((height, width), resize if squeeze else resize[0], *scale, config["interpolation"])


def _check_version(weights: str, versions: Iterable[str] = ()) -> None:
    if weights not in (known := ["pretrained", "random", *versions]):
        raise unknown_name("version of the weights", weights, known)
