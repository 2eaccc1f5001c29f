"""Black boxes: saliency methods that don't say what they are, and a check of a detective who finds out.

    box = black_box(20417)               # the number chooses; the same number always gives the same box
    maps = box(net, x, target)           # raw maps (N, H, W), one class a photo in target (N,)
    maps = box(net, x, target, "mean")   # the same, asked with a contrast, as explain's

Which boxes handle gradients positively? Those that *add up* or *pass back* nothing below zero: they keep the positive
part of gradients or take magnitudes. All others don't: methods with signed gradients, also when somebody clips their
*finished* map, takes its magnitude, or adds one vector to all classes' weights first, which changes no prediction
(``models.shifted``); and maps for which no gradient is looked at: noise, the photo's edges, |x|, a mean of activations.

Only boxes that can be told apart by two measurements are here. They are rank correlations of maps: of the most and the
least likely class, and of the trained network and copies whose classifier is random, asked about the same class (a mean
of seeds 0, 1, 2). Measured on EfficientNet-Lite0 with ``photos()``, any three of the five, the smaller of the two, of
logits and with the contrast "mean":

                        logits          contrast
    positive            .82 to 1.00     .82 to 1.00
    signed             -.97 to  .11    -.97 to  .11
    signed, shifted     .84 to  .98    -.97 to -.02
    signed, clipped    -.38 to  .13    -.38 to  .13   where the least likely class's map isn't zero everywhere
    signed, magnitude  -.10 to  .54    -.10 to  .54
    noise               .00             .00
    edges, |x|, activations: exactly 1, for all maps of a photo are equal, value by value

Left out, since these two measurements can't tell: RectGrad with positive or absolute handling (about .3 to .75), and
the magnitude of its signed map; LRP with positive or absolute handling, 1.00 for logits, but a contrast passes back
relevance of both signs from the start (-.69 to .14 for positive); LRP as published (epsilon in the classifier, z+ in
the convolutions: about .5 with a random classifier); DeconvNet with signed handling, whose map is the same for all
classes up to its sign; and LayerCAM, which is GradCAM at the last layer of this network. The network is
EfficientNet-Lite0 since the one for scenes doesn't separate them: there positive GradCAM has .59 (-.14 to .94) with a
random classifier, the magnitude of its signed map .42 (-.18 to .75).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.forms import Unfit, a, not_none
from posgrad_edu.checks.engine.task import Args, Mistake, Task
from posgrad_edu.data.photos import load_photo
from posgrad_edu.engine.cam_layer import find_layer
from posgrad_edu.engine.inputs import Contrast
from posgrad_edu.engine.passes import run_without_graph
from posgrad_edu.methods import explain
from posgrad_edu.models import load_classifier
from posgrad_edu.models.shift import shift_vector, shifted

PHOTO_NAMES = ("cat", "coffee", "astronaut", "motorcycle", "china")
SIZE = 128  # pixels: a third of the time of 224
TIMEOUT = 30.0  # seconds for one box; a detective needs several maps

# --- What can be in a box ---


class BlackBox(Protocol):
    """A method that doesn't say what it is."""

    def __call__(self, net: nn.Module, x: Tensor, target: Tensor, contrast: Contrast = None) -> Tensor:
        """Return raw maps (N, H, W), one class a photo in target (N,)."""


class Kind(NamedTuple):
    """What a box computes: a method or control, its handling, what is done to the finished map, and to the network."""

    group: str  # boxes that are told apart in the same way
    method: str
    handling: str | None = None
    finish: str = ""  # "clipped" or "magnitude"
    shift: float = 0.0  # what ``shift_vector`` takes: how much is added to all classes' weights

    @property
    def positive(self) -> bool:
        """Whether what it adds up or passes back is never below zero."""
        return self.group in POSITIVE

    def __str__(self) -> str:
        words = [self.method, self.handling or "", f"finished map {self.finish}" if self.finish else ""]
        words.append("network shifted" if self.shift else "")
        return ", ".join(filter(None, words))


POSITIVE = ("aggregates", "propagates")
AGGREGATES = [("gradcam", "positive"), ("gradcam", "absolute"), ("gradcam++", "positive")]
AGGREGATES += [("fullgrad", "positive"), ("fullgrad", "absolute")]
PROPAGATES = [("guided-backprop", "positive"), ("guided-backprop", "absolute"), ("deconvnet", "positive")]
SHIFT = 0.35
SIGNED = ["gradient", "input-x-gradient", "gradcam", "gradcam++", "fullgrad", "rectgrad", "lrp"]
KINDS = [
    *(Kind("aggregates", *which) for which in AGGREGATES),
    *(Kind("propagates", *which) for which in PROPAGATES),
    *(Kind("signed", method, "signed") for method in SIGNED),
    *(Kind("clipped", method, "signed", "clipped") for method in ("gradient", "gradcam", "fullgrad", "lrp")),
    *(Kind("shifted", method, "signed", shift=SHIFT) for method in ("gradcam", "gradcam++", "fullgrad")),
    Kind("magnitude of a CAM", "gradcam", "signed", "magnitude"),
    *(Kind("magnitude", m, "signed", "magnitude") for m in ("gradient", "input-x-gradient", "fullgrad", "lrp")),
    Kind("noise", "noise"),
    Kind("photo", "edges"),
    Kind("photo", "input-magnitude"),
    Kind("activations", "activations"),
]
FINISH: dict[str, Callable[[Tensor], Tensor]] = {"clipped": lambda maps: maps.clamp(min=0), "magnitude": torch.abs}
_INSIDE: WeakKeyDictionary[BlackBox, Kind] = WeakKeyDictionary()


def boxed(kind: Kind, name: str = "black_box") -> BlackBox:
    """Return a function (net, x, target, contrast) -> maps (N, H, W) that doesn't show what it computes."""

    def box(net: nn.Module, x: Tensor, target: Tensor, contrast: Contrast = None) -> Tensor:
        if kind.method == "activations":
            return _activations(net, x)
        net = shifted(net, shift_vector(net, kind.shift)) if kind.shift else net
        maps = explain(net, x, target, kind.method, kind.handling, contrast=contrast)
        return FINISH[kind.finish](maps) if kind.finish else maps

    box.__name__ = box.__qualname__ = name
    _INSIDE[box] = kind
    return box


def _activations(net: nn.Module, x: Tensor) -> Tensor:
    """Return the mean over the channels of the layer for CAMs: it needs the network, and neither class nor gradient."""
    kept: list[Tensor] = []
    handle = find_layer(net, None, x).register_forward_hook(lambda module, inputs, output: kept.append(output.clone()))
    try:
        run_without_graph(net, x)
    finally:
        handle.remove()
    small = kept[0].mean(1, keepdim=True)
    return F.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


# --- The boxes of learners ---


def black_box(number: int) -> BlackBox:
    """Return the black box of a number, such as the digits of a student's number; the same one each time.

    About half of them handle gradients positively. Raises ``ValueError`` for what isn't a whole number from 0.
    """
    return boxed(what_is(number), f"black_box_{number}")


def what_is(number: int) -> Kind:
    """Return what is in the black box of a number: for teachers, and for learners who have handed in."""
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 0:
        raise ValueError(f"A black box has a whole number from 0, such as 20417, not {number!r}.")
    digits = int.from_bytes(hashlib.sha256(f"black box {int(number)}".encode()).digest(), "big")
    digits, positive = divmod(digits, 2)
    groups = sorted({kind.group for kind in KINDS if kind.positive == bool(positive)})
    digits, which = divmod(digits, len(groups))
    kinds = [kind for kind in KINDS if kind.group == groups[which]]
    return kinds[digits % len(kinds)]


def photos(names: Sequence[str] = PHOTO_NAMES, size: int = SIZE) -> Tensor:
    """Return sample photos (N, 3, size, size) as EfficientNet-Lite0 wants them, smaller than usual and so faster."""
    clf = _classifier()
    x = torch.cat([clf.batch(load_photo(name)) for name in names])
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


@functools.cache
def _classifier() -> Any:
    return load_classifier("efficientnet-lite0")


# --- The check of a detective ---

# The check takes one box of each line, in this order. A line is a group of kinds; those with a CAM are cheap.
LINE_UP = {kind.group: [other for other in KINDS if other.group == kind.group] for kind in KINDS}
LINE_UP["signed CAM"] = [kind for kind in LINE_UP["signed"] if "cam" in kind.method]


def _case(n: int) -> Args:
    """A fresh black box, EfficientNet-Lite0, and three photos."""
    chosen = [PHOTO_NAMES[i] for i in torch.randperm(len(PHOTO_NAMES))[:3]]
    line = list(LINE_UP.values())[n]
    return boxed(line[int(torch.randint(len(line), ()))]), _classifier().net, photos(chosen)


def verdict(answer: Any) -> list[bool]:
    """True or False, also as NumPy or PyTorch write it."""
    not_none(answer, "True or False", "Does each way through it end in a return?")
    if isinstance(answer, (Tensor, np.ndarray)) and len(answer.reshape(-1)) == 1:
        answer = answer.item()
    if not isinstance(answer, (bool, np.bool_)):
        words = f"your function returned {a(type(answer).__name__)} instead of True or False"
        raise Unfit("not-a-verdict", words, "A verdict, not a number: compare what you measured with a line.")
    return [bool(answer)]


def _judge(tries: list[Args], answers: list[list[bool]]) -> str | None:
    """Return what fooled the detective, the most telling first."""
    said = dict(zip(LINE_UP, (answer[0] for answer in answers), strict=True))
    truth = {line: _INSIDE[box].positive for line, (box, *_) in zip(LINE_UP, tries, strict=True)}
    wrong = [line for line in LINE_UP if said[line] != truth[line]]
    if not wrong:
        return None
    if len(set(said.values())) == 1:
        return "always-true" if said["noise"] else "always-false"
    if len(wrong) >= len(LINE_UP) - 2:
        return "reversed"
    return next(key for key, lines in FOOLED.items() if any(line in wrong for line in lines))


# The line-ups that each mistake shows in, the most telling first.
FOOLED = {
    "fooled-by-noise": ("noise",),
    "fooled-by-the-photo": ("photo",),
    "fooled-by-activations": ("activations",),
    "accuses-signed": ("signed CAM", "signed"),
    "fooled-by-clipping": ("clipped",),
    "fooled-by-a-reversed-map": ("magnitude of a CAM",),
    "fooled-by-magnitude": ("magnitude",),
    "fooled-by-a-shift": ("shifted",),
    "misses-propagation": ("propagates",),
    "misses-aggregation": ("aggregates",),
}
_TURNED = "Is your answer turned round? Positive handling makes maps alike that should differ."
_LINE = "Is your line too high, or a number nan, with which every comparison is false?"
_NOISE = "Noise changes with everything. What is it that a positive map fails to do?"
_PHOTO = "Such a map doesn't change in a single value when the class does. A positive map does, a little."
_KEEP = "Keep correlations' signs, ask about the least likely class, and keep the class when the network forgets."
_CLIPPED = "Maps without negative values prove nothing: see whether they change with the question."
_MAGNITUDE = "Magnitudes are always somewhat alike: raise your line, and look at more than one comparison."
_PROPAGATION = "Its maps may be negative: a first layer has weights of both signs. Look for maps that stay."
_AGGREGATION = "Let only the classifier forget: lower down, such a map does change. And is your line too high?"
_REVERSED = "What becomes of such a map when the classifier forgets? One comparison isn't enough."
_SHIFTED = "Lesson 04: by which question can such a network be asked, so that what all classes share drops out?"
_EQUAL = "Compare its values for two classes: are they alike, or exactly equal?"
_SIGNED = "you call a signed method positive because"
_A_MAP = "you call a map positive that"
DETECTIVE = Task(
    name="detective",
    signature="handles_positively(box, net, x)",
    returns="True or False, on fresh black boxes of all kinds",
    about="""
box: a method, ``box(net, x, target, contrast=None)`` -> maps (N, H, W), with one class a photo in target (N,) and
``pg.explain``'s contrast. net: EfficientNet-Lite0, or any network that you make of it. x: three photos
(3, 3, 128, 128). The answer is True if the box adds up or passes back nothing below zero, and False for signed
methods, whatever is done to their finished map, or to the logits of their network, and for maps without gradients. It
takes as long as your function takes for eleven boxes.
""",
    lesson=18,
    make=_case,
    form=verdict,
    inspect=_judge,
    tries=len(LINE_UP),
    timeout=TIMEOUT,
    mistakes=[
        Mistake("always-true", "you call every box positive", "Which number has to be low for a signed method?"),
        Mistake("always-false", "you call no box positive", _LINE),
        Mistake("reversed", "you are wrong about nearly every box", _TURNED),
        Mistake("fooled-by-noise", "you call noise positive", _NOISE),
        Mistake("fooled-by-the-photo", f"{_A_MAP} never looks at the network: the edges, say", _PHOTO),
        Mistake("fooled-by-activations", f"{_A_MAP} looks at the network, but at no class and no gradient", _EQUAL),
        Mistake("accuses-signed", "you call a signed method positive", _KEEP),
        Mistake("fooled-by-clipping", f"{_SIGNED} its finished map was clipped", _CLIPPED),
        Mistake("fooled-by-a-reversed-map", f"{_SIGNED} the magnitudes of two opposite maps are alike", _REVERSED),
        Mistake("fooled-by-magnitude", f"{_SIGNED} its finished map is a magnitude", _MAGNITUDE),
        Mistake("fooled-by-a-shift", f"{_SIGNED} one vector was added to the weights of all classes", _SHIFTED),
        Mistake("misses-propagation", "you miss a method that passes back positive gradients or shares", _PROPAGATION),
        Mistake("misses-aggregation", "you miss a method that adds up positive gradients", _AGGREGATION),
    ],
)


check_detective = checker(DETECTIVE, "check_detective")
