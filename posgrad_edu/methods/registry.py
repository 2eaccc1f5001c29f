"""The saliency methods and the controls by name, and ``resolve``, which makes methods of whatever a caller gives.

A caller says which method by its name, its class, an instance with options of its own, or several of these by label:

    resolve("gradcam", "positive")
    resolve(GradCAM("positive"))
    resolve({"signed": GradCAM("signed"), "positive": GradCAM("positive")})
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, overload

from torch import nn

from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import Handling, HandlingName
from posgrad_edu.methods.attention import AttentionMethod, AttentionRollout, GradientRollout
from posgrad_edu.methods.base import Method, make_method
from posgrad_edu.methods.cam import CAM, GradCAM, GradCAMPlusPlus, LayerCAM
from posgrad_edu.methods.controls import Edges, InputMagnitude, Noise
from posgrad_edu.methods.fullgrad import FullGrad
from posgrad_edu.methods.gradient import Gradient, InputXGradient
from posgrad_edu.methods.lrp import LRP
from posgrad_edu.methods.rectgrad import RectGrad
from posgrad_edu.methods.relu_rules import DeconvNet, GuidedBackprop

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        Gradient,
        InputXGradient,
        GradCAM,
        GradCAMPlusPlus,
        LayerCAM,
        FullGrad,
        DeconvNet,
        GuidedBackprop,
        RectGrad,
        LRP,
    )
}

# Methods for vision transformers alone. They refuse all other networks, so that they stand in a list of their own.
ATTENTION_METHODS: dict[str, type[Method]] = {method.name: method for method in (AttentionRollout, GradientRollout)}

# Methods whose maps have few cells, each of many pixels: best seen over the photo.
COARSE: tuple[type[Method], ...] = (CAM, AttentionMethod)

# Maps that explain nothing, to hold the others against.
CONTROLS: dict[str, type[Method]] = {control.name: control for control in (Noise, Edges, InputMagnitude)}

# The names of all, for editors to complete.
MethodName = Literal[
    "gradient",
    "input-x-gradient",
    "gradcam",
    "gradcam++",
    "layercam",
    "fullgrad",
    "deconvnet",
    "guided-backprop",
    "rectgrad",
    "lrp",
]
AttentionMethodName = Literal["attention-rollout", "gradient-rollout"]
ControlName = Literal["noise", "edges", "input-magnitude"]

OneMethod: TypeAlias = MethodName | AttentionMethodName | ControlName | str | type[Method] | Method
Methods: TypeAlias = OneMethod | Mapping[Any, OneMethod]  # one, or several by labels of any kind
AnyHandling: TypeAlias = HandlingName | str | Handling | None  # None: as the method's authors published it


@overload
def resolve(method: Mapping[Any, OneMethod]) -> dict[Any, Method]: ...
@overload
def resolve(
    method: OneMethod, handling: AnyHandling = ..., layer: str | nn.Module | None = ..., **options: Any
) -> Method: ...
@overload
def resolve(
    method: Methods, handling: AnyHandling = ..., layer: str | nn.Module | None = ..., **options: Any
) -> Method | dict[Any, Method]: ...
def resolve(
    method: Methods, handling: AnyHandling = None, layer: str | nn.Module | None = None, **options: Any
) -> Method | dict[Any, Method]:
    """Return the method ready to be called, or of a mapping a dict of such methods with its labels.

    method: a name of ``METHODS``, ``ATTENTION_METHODS`` or ``CONTROLS``, a ``Method`` class or instance, or a mapping
    of labels to these.
    handling, layer, options: those of ``explain``, for a name or a class. An instance has its own already, and in a
    mapping each entry has, so that beside these they are refused.
    Raises ``ValueError`` with the nearest names for a name or an option that doesn't exist.
    """
    given = {"handling": handling, "layer": layer, **options}
    given = {name: value for name, value in given.items() if value is not None or name in options}
    if isinstance(method, Mapping):
        return _several(method, given)
    if isinstance(method, Method):
        if given:
            raise ValueError(
                f"{', '.join(given)}: this {type(method).__name__} has its options already. "
                f"Give them to it, as in {type(method).__name__}({_as_arguments(given)})."
            )
        return method
    return make_method(_kind(method), given)


def _several(methods: Mapping[Any, OneMethod], given: Mapping[str, Any]) -> dict[Any, Method]:
    if not methods:
        raise ValueError("method holds no method. Give one or more by label, such as {'signed': GradCAM('signed')}.")
    if given:
        raise ValueError(
            f"{', '.join(given)}: which method of several is that for? Give it to each, "
            f"as in {{'a label': GradCAM({_as_arguments(given)})}}."
        )
    return {label: one if isinstance(one, Method) else make_method(_kind(one), {}) for label, one in methods.items()}


def _kind(method: str | type[Method]) -> type[Method]:
    """Return the class of that name, or the class itself."""
    if isinstance(method, type) and issubclass(method, Method):
        return method
    known = METHODS | ATTENTION_METHODS | CONTROLS
    if not isinstance(method, str) or method not in known:
        raise unknown_name("method", method, known)
    return known[method]


def _as_arguments(given: Mapping[str, Any]) -> str:
    """Return options as they are written in a call; a module or a tensor as an ellipsis."""
    return ", ".join(f"{n}={v!r}" if isinstance(v, str | int | float) else f"{n}=..." for n, v in given.items())
