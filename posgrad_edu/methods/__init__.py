"""The saliency methods by name, and ``explain``, the one function that calls them all."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import Handling
from posgrad_edu.methods.base import Method, make_method
from posgrad_edu.methods.cam import GradCAM, GradCAMPlusPlus, LayerCAM
from posgrad_edu.methods.fullgrad import FullGrad
from posgrad_edu.methods.gradient import Gradient, InputXGradient
from posgrad_edu.methods.inputs import Target
from posgrad_edu.methods.lrp import LRP
from posgrad_edu.methods.relu_rules import DeconvNet, GuidedBackprop, RectGrad

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        *(Gradient, InputXGradient, GradCAM, GradCAMPlusPlus, LayerCAM, FullGrad),
        *(DeconvNet, GuidedBackprop, RectGrad, LRP),
    )
}


def get_method(method: str | type[Method]) -> type[Method]:
    """Return the method of that name; a ``Method`` class of one's own is returned as it is."""
    if isinstance(method, type) and issubclass(method, Method):
        return method
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    return METHODS[method]


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
    method: a name of ``METHODS`` or a ``Method`` class. handling: "signed", "positive", "negative", "absolute",
    or ``None`` for the method as published. layer: for CAMs only, a module or its name, ``None`` for the last
    layer with positions. options: those of the method, such as ``q`` of rectgrad.
    Returns (N, H, W), or (N, K, H, W), in x's resolution, dtype and device.
    Raises ``ValueError`` for input that makes no sense, ``UnsupportedOperation`` for an operation of the network
    that the method has no rule for.
    """
    chosen = get_method(method)
    if layer is not None:
        options["layer"] = layer
    return make_method(chosen, {"handling": handling, **options})(net, x, target)


__all__ = ["METHODS", "Method", "explain", "get_method"]
