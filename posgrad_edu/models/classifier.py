"""Classifiers: a network together with all it takes to show it a photo and to name what it answers.

    clf = Classifier(my_net, Preprocessing(size=64, resize=64), labels=["cat", "dog"])
    clf.top(photo)                               # what it sees
    clf.explain(photo, "cat")                    # where it sees it

``loading.py`` has the classifiers that come by name. Heavy imports (timm, torchvision, PIL) are made where they
are used, so that importing this module costs no more than importing torch.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, overload

import torch
from torch import Tensor, nn

from posgrad_edu.data import upright
from posgrad_edu.engine.cam_layer import find_layer, last_spatial_layer
from posgrad_edu.engine.contrast import MEAN
from posgrad_edu.engine.inputs import check_network
from posgrad_edu.engine.passes import predict
from posgrad_edu.methods import COARSE, AnyHandling, Method, Methods, OneMethod, explain, resolve
from posgrad_edu.methods.cam import CAM
from posgrad_edu.models.devices import as_device
from posgrad_edu.models.explanation import Explanation, Explanations, handling_of
from posgrad_edu.models.labels import as_labels, matches, plain, single_match

if TYPE_CHECKING:
    from PIL.Image import Image

AnyClass = str | SupportsIndex  # a label or another word for a class, or its number


def _no_preprocessing(img: Image) -> Tensor:
    raise ValueError(
        "This classifier doesn't know how to prepare a photo for its network. "
        "Give it one: Classifier(net, preprocess=Preprocessing(size=..., resize=..., mean=..., std=...))."
    )


def _prepared(preprocess: Callable[[Image], Any], img: Image) -> Tensor:
    """Return what somebody's function makes of a photo: a tensor (C, H, W), as the photo is seen in a viewer.

    The dictionary that a Hugging Face processor gives, with one photo under "pixel_values", is taken apart.
    Raises ``ValueError`` for anything else.
    """
    from PIL import Image as PILImage

    if not isinstance(img, PILImage.Image):
        raise TypeError(f"A photo is a PIL image, not {type(img).__name__}. PIL.Image.open(path) reads one.")
    x = given = preprocess(upright(img, "This photo"))
    if isinstance(given, Mapping):
        x = _first_photo(given.get("pixel_values"))
        if x is None:
            raise ValueError(
                f"preprocess must give a tensor (channels, height, width); it gave a dictionary with {[*given]}. "
                'Take the photo out of it, such as: lambda img: transform(img)["image"].'
            )
    _check_photo(x)
    return x


def _check_photo(x: object) -> None:
    """Refuse what isn't one photo as a tensor (C, H, W)."""
    if not isinstance(x, Tensor) or x.ndim != 3:
        got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"preprocess must give a tensor (channels, height, width); it gave {got}.")


def _first_photo(photos: Any) -> Tensor | None:
    """Return the one photo (C, H, W) that a batch holds, a tensor, an array or a list of one; ``None`` for others."""
    try:
        one = torch.as_tensor(photos[0] if len(photos) == 1 else photos, device="cpu")
    except Exception:  # whatever it is, it isn't a photo
        return None
    return one if one.ndim == 3 and one.is_floating_point() else None


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

    net: (N, C, H, W) -> logits (N, classes). Used as it is, changed by nothing but ``to``; refused in training mode.
    preprocess: PIL image -> tensor (C, H, W). Best a ``Preprocessing``, but any function will do, also a processor of
        Hugging Face. It gets a photo as a viewer shows it: upright, in colours or 8-bit grey, nothing transparent.
    labels: a name for each class, as a list or a mapping {0: "cat", ...}; "class 0", "class 1", ... if you give none.
        Their number is compared with the network's answer to a grey picture, at once if there is a ``preprocess``.
    cam_layer: the layer that CAMs look at, a name or a module; found on first use if you give none.
    synonyms: for each class the other names that ``find`` shall know.
    multilabel: classes don't exclude one another, so probabilities are sigmoids and needn't sum to 1.
    """

    def __init__(
        self,
        net: nn.Module,
        preprocess: Callable[[Image], Tensor] | None = None,
        labels: Iterable[str] | Mapping[int, str] | Mapping[str, int] | None = None,
        cam_layer: str | nn.Module | None = None,
        name: str | None = None,
        *,
        synonyms: Iterable[Iterable[str]] | None = None,
        multilabel: bool = False,
    ) -> None:
        check_network(net)
        self.net = net
        self.preprocess = preprocess or _no_preprocessing
        if preprocess is not None and not hasattr(preprocess, "view"):  # somebody else's: it may give anything
            self.preprocess = functools.partial(_prepared, preprocess)
        self.name = name or type(net).__name__
        self.multilabel = multilabel
        self._labels = None if labels is None else as_labels(labels)
        self._synonyms = None if synonyms is None else [tuple(names) for names in synonyms]
        if labels is not None and preprocess is not None:
            self._check_number_of_labels()
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
        logits = self._answer(self.batch(img))
        self._compare_labels(len(logits))
        return logits

    def _check_number_of_labels(self) -> None:
        """Refuse labels that the network has too few or too many classes for."""
        classes = getattr(self.net, "num_classes", None)  # networks of timm say it, which is quicker
        if not isinstance(classes, int) or classes != len(self._labels or ()):
            try:
                classes = len(self._answer(self.batch()))
            except Exception:  # of a grey picture; ``logits`` says what is wrong when there is a photo
                return
        self._compare_labels(classes)

    def _compare_labels(self, classes: int) -> None:
        """Raise ``ValueError`` unless there is one label, and one entry of synonyms, for each class."""
        for name, given in (("labels", self._labels), ("entries of synonyms", self._synonyms)):
            if given is not None and len(given) != classes:
                raise ValueError(f"There are {len(given)} {name}, but {classes} logits. Give one for each.")

    def probabilities(self, img: Image) -> Tensor:
        """Return (classes,): the softmax of the logits, or of a multilabel network the sigmoids."""
        return self._probabilities(self.logits(img))

    def _probabilities(self, logits: Tensor) -> Tensor:
        return logits.sigmoid() if self.multilabel else logits.softmax(0)

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
        return resolve_class(self, "runner-up", self.logits(img))

    @overload
    def explain(
        self,
        photo: Image,
        target: AnyClass = ...,
        method: OneMethod = ...,
        handling: AnyHandling = ...,
        layer: str | nn.Module | None = ...,
        contrast: AnyClass | None = ...,
        **options: Any,
    ) -> Explanation: ...
    @overload
    def explain(
        self,
        photo: Image | Sequence[Image],
        target: AnyClass | Sequence[AnyClass] = ...,
        method: Methods = ...,
        handling: AnyHandling = ...,
        layer: str | nn.Module | None = ...,
        contrast: AnyClass | None = ...,
        **options: Any,
    ) -> Explanation | Explanations: ...
    def explain(
        self,
        photo: Image | Sequence[Image],
        target: AnyClass | Sequence[AnyClass] = "most likely",
        method: Methods = "gradcam",
        handling: AnyHandling = None,
        layer: str | nn.Module | None = None,
        contrast: AnyClass | None = None,
        **options: Any,
    ) -> Explanation | Explanations:
        """Return the map of a photo for a class, as an object that shows itself in a notebook.

        photo: a picture, or a list of them. target: a label, a number, "most likely", "runner-up" or "least likely",
        or a list of these. method, handling, layer, options: as for ``pg.explain``; ``layer=None`` takes ``cam_layer``.
        contrast: what the class's logit is held against: ``None``, "mean" for the mean of all logits, or a class.
        Of several photos, classes or methods a list-like ``Explanations``: photo by photo, of each method by method,
        of each class by class. Raises what ``pg.explain`` does, and ``ValueError`` for a word that fits no class.
        """
        chosen = resolve(method, handling, layer, **options)
        one = isinstance(chosen, Method) and not isinstance(photo, _LISTS) and not isinstance(target, _LISTS)
        methods = {_title(chosen): chosen} if isinstance(chosen, Method) else chosen
        photos, classes = _as_list(photo, "photo"), _as_list(target, "target")
        found = [each for img in photos for each in self._explained(img, classes, methods, contrast)]
        return found[0] if one else Explanations(found)

    def _explained(
        self, photo: Image, words: Sequence[AnyClass], methods: Mapping[str, Method], contrast: AnyClass | None
    ) -> list[Explanation]:
        """Return what ``explain`` does for one photo; methods stand under their titles."""
        logits, view = self.logits(photo), self.view(photo)
        probabilities = self._probabilities(logits)
        targets = [resolve_class(self, word, logits) for word in words]
        against = resolve_contrast(self, contrast, logits)
        held = in_words(against, self.labels)
        placed = {title: self._at_cam_layer(method) for title, method in methods.items()}
        found = []
        for title, maps in explain(self.net, self.batch(photo), [targets], placed, contrast=against).items():
            if maps.ndim != 4:
                raise ValueError("An Explanation holds one map (H, W). For reduce=None, ask pg.explain(clf.net, ...).")
            found += [
                Explanation(
                    map=of_class,
                    photo=view,
                    target=c,
                    label=self.labels[c],
                    probability=float(probabilities[c]),
                    method=methods[title].name,
                    handling=handling_of(methods[title]),
                    title=", ".join([str(title)] + [held] * (against is not None)),
                    contrast=held,
                    fine=not isinstance(methods[title], COARSE),
                    again=functools.partial(self._explain_again, photo, title, methods[title], contrast),
                )
                for c, of_class in zip(targets, maps[0], strict=True)
            ]
        return found

    def _explain_again(
        self, photo: Image, title: str, method: Method, contrast: AnyClass | None, word: AnyClass
    ) -> Explanation:
        return self._explained(photo, [word], {title: method}, contrast)[0]

    def _at_cam_layer(self, method: Method) -> Method:
        """Return a CAM without a layer of its own at ``cam_layer``, any other method as it is."""
        if isinstance(method, CAM) and method.layer is None:
            return dataclasses.replace(method, layer=self.cam_layer)
        return method

    def batch(self, img: Image | None = None) -> Tensor:
        """Return (1, C, H, W), where the network is; of a grey picture when only the shape matters."""
        from PIL import Image as PILImage

        x = self.preprocess(PILImage.new("RGB", (256, 256), "grey") if img is None else img)
        _check_photo(x)
        # A network without parameters works anywhere; a quantized one has some that are no floating point numbers.
        weight = next((each for each in self.net.parameters() if each.is_floating_point()), x)
        # First the precision: some devices don't know float64.
        return x.unsqueeze(0).to(weight.dtype).to(weight.device)

    def to(self, device: str | torch.device) -> Classifier:
        """Move the network to a device, as ``net.to`` does, and return this classifier: all it computes is there then.

        device: "cpu", "cuda", "cuda:1", "mps", ... ``DeviceError`` for one that isn't here, with those that are.
        """
        self.net.to(as_device(device))
        return self

    def _answer(self, x: Tensor) -> Tensor:
        check_network(self.net)  # again: somebody may have gone on training it
        return predict(self.net, x)[0]

    @property
    def labels(self) -> list[str]:
        """A name for each class."""
        if self._labels is None:
            self._labels = [f"class {i}" for i in range(len(self._answer(self.batch())))]
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
        return [index for _, index in matches(word, self.labels, self.synonyms)]

    def index(self, word: AnyClass) -> int:
        """Return the one class that a word or a number stands for; ``ValueError`` if it's none or several."""
        if isinstance(word, str):
            return single_match(word, self.labels, self.synonyms)
        number = operator.index(word)
        if not 0 <= number < len(self.labels):
            raise ValueError(f"Class {number} is out of range: classes are 0 to {len(self.labels) - 1}.")
        return number

    @property
    def cam_layer(self) -> str:
        """The name of the layer that CAMs look at; set it to another name or to a module of the network."""
        if self._cam_layer is None:
            self._cam_layer = last_spatial_layer(self.net, self.batch())
        return self._cam_layer

    @cam_layer.setter
    def cam_layer(self, layer: str | nn.Module) -> None:
        found = find_layer(self.net, layer, torch.empty(0))  # an input is only needed to look for a layer
        self._cam_layer = next(name for name, module in self.net.named_modules() if module is found)


def _title(method: Method) -> str:
    return f"{method.name}, {handling_of(method)}"


_LISTS = (list, tuple)  # a photo or a word stands for itself; these hold several


def _as_list(given: Any, what: str) -> list[Any]:
    """Return a list of one, or of what a list holds; ``ValueError`` for an empty one."""
    items = list(given) if isinstance(given, _LISTS) else [given]
    if not items:
        raise ValueError(f"{what} is an empty list. Give one or more.")
    return items


# --- From words to classes ---

# Which place a class takes among all, by its logit.
_PLACES = {"most likely": 0, "runner up": 1, "least likely": -1}


def resolve_class(clf: Classifier, word: AnyClass, logits: Tensor) -> int:
    """Return the class that a word stands for: a label, a number, "most likely", "runner-up" or "least likely".

    logits: (classes,) of the photo that is asked about. Capitals, hyphens and underscores make no difference.
    Raises ``ValueError`` where no class fits, or several.
    """
    if not isinstance(word, str):
        return clf.index(word)
    place = _PLACES.get(plain(word))
    if place is None:
        return clf.index(int(word) if re.fullmatch(r"\s*-?\d+\s*", word) else word)
    if place >= len(logits):
        raise ValueError(f"{clf.name} has a single class, so nobody comes second.")
    return int(logits.argsort(descending=True)[place])


def resolve_contrast(clf: Classifier, word: AnyClass | None, logits: Tensor) -> int | str | None:
    """Return the contrast that a word stands for: ``None``, "mean", or a class as ``resolve_class`` finds it."""
    return word if word is None or word == MEAN else resolve_class(clf, word, logits)


def in_words(contrast: int | str | None, labels: Sequence[str]) -> str:
    """Return what a map is about, such as "logit minus the mean of all"."""
    if contrast is None:
        return "logit"
    return "logit minus the mean of all" if contrast == MEAN else f"logit minus {labels[int(contrast)]}'s"
