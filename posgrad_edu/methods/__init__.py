"""The saliency methods and the controls by name, and ``explain``, the one function that calls them all."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from posgrad_edu.engine.inputs import Target
from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import Handling
from posgrad_edu.methods.base import Method, make_method
from posgrad_edu.methods.cam import GradCAM, GradCAMPlusPlus, LayerCAM
from posgrad_edu.methods.controls import Edges, InputMagnitude, Noise
from posgrad_edu.methods.fullgrad import FullGrad
from posgrad_edu.methods.gradient import Gradient, InputXGradient
from posgrad_edu.methods.lrp import LRP
from posgrad_edu.methods.rectgrad import RectGrad
from posgrad_edu.methods.relu_rules import DeconvNet, GuidedBackprop
from posgrad_edu.methods.sharing import explain_all

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

# Maps that explain nothing, to hold the others against.
CONTROLS: dict[str, type[Method]] = {control.name: control for control in (Noise, Edges, InputMagnitude)}


def get_method(method: str | type[Method]) -> type[Method]:
    """Return the method or control of that name; a ``Method`` class of one's own is returned as it is.

    Raises ``ValueError`` with the nearest names for a name that doesn't exist.
    """
    if isinstance(method, type) and issubclass(method, Method):
        return method
    known = METHODS | CONTROLS
    if method not in known:
        raise unknown_name("method", method, known)
    return known[method]


def configure(
    method: str | type[Method],
    handling: str | Handling | None = None,
    layer: str | nn.Module | None = None,
    **options: Any,
) -> Method:
    """Return a method with its options, ready to be called; the arguments are those of ``explain``."""
    if layer is not None:
        options["layer"] = layer
    return make_method(get_method(method), {"handling": handling, **options})


def explain(
    net: nn.Module,
    x: Tensor,
    target: Target,
    method: str | type[Method] = "gradcam",
    handling: str | Handling | None = None,
    layer: str | nn.Module | None = None,
    **options: Any,
) -> Tensor:
    """Return the saliency maps of photos for the classes asked about, raw and signed.

    net: a classifier in evaluation mode, x -> logits (N, classes); nothing in it is changed.
    x: photos (N, C, H, W). target: one class for all, (N,) one each, or (N, K) for K classes at once.
    method: a name of ``METHODS`` or ``CONTROLS``, or a ``Method`` class. handling: "signed", "positive",
    "negative", "absolute", or ``None`` for the method as published. layer: for CAMs only, a module or its name,
    ``None`` for the last layer with positions. options: those of the method, such as ``q`` of rectgrad.
    Returns (N, H, W), or (N, K, H, W), in x's resolution, dtype and device; with ``reduce=None`` the colour channels
    stand before H.
    Raises ``ValueError`` for input that makes no sense, ``UnsupportedOperation`` for an operation of the network
    that the method has no rule for.
    """
    return configure(method, handling, layer, **options)(net, x, target)


__all__ = ["CONTROLS", "METHODS", "Method", "configure", "explain", "explain_all", "get_method"]
