"""``explain``: one method, or several at once for the price of few forward passes.

GradCAM, GradCAM++ and LayerCAM read the same activations and gradients; a map with positive gradients is made of the
same ones as a map with signed gradients. So methods with equal ``record_key`` share one record:

    explain(net, x, target, {"signed": GradCAM("signed"), "positive": GradCAM("positive")})

The gradient, DeconvNet, Guided Backprop and RectGrad share their forward pass, and each goes back through it with its
own rule. LRP shares with nothing: its rules decide what each layer keeps on the way up.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, overload

from torch import Tensor, nn

from posgrad_edu.engine.contrast import Each, contrasted
from posgrad_edu.engine.inputs import Contrast, Target, as_reference, checked_classes
from posgrad_edu.engine.passes import with_gradients
from posgrad_edu.methods.base import Method, finish
from posgrad_edu.methods.registry import AnyHandling, Methods, OneMethod, resolve


@overload
def explain(
    net: nn.Module, x: Tensor, target: Target, method: Mapping[Any, OneMethod], *, contrast: Contrast = ...
) -> dict[Any, Tensor]: ...
@overload
def explain(
    net: nn.Module,
    x: Tensor,
    target: Target,
    method: OneMethod = ...,
    handling: AnyHandling = ...,
    layer: str | nn.Module | None = ...,
    contrast: Contrast = ...,
    **options: Any,
) -> Tensor: ...
def explain(
    net: nn.Module,
    x: Tensor,
    target: Target,
    method: Methods = "gradcam",
    handling: AnyHandling = None,
    layer: str | nn.Module | None = None,
    contrast: Contrast = None,
    **options: Any,
) -> Tensor | dict[Any, Tensor]:
    """Return the saliency maps of photos for the classes asked about, raw and signed.

    net: a classifier in evaluation mode, x -> logits (N, classes); nothing in it is changed.
    x: photos (N, C, H, W). target: one class for all, (N,) one each, or (N, K) for K classes at once.
    method: a name of ``METHODS``, ``ATTENTION_METHODS`` or ``CONTROLS``, a ``Method`` class, a ``Method`` with its
    options, or several of these by label. handling: "signed", "positive", "negative", "absolute", or ``None`` for the
    method as published. layer: for CAMs only, a module or its name, ``None`` for the last layer with positions.
    options: those of the method, such as ``q`` of rectgrad. All three are for a name or a class.
    contrast: what each logit is held against: ``None``, "mean" for the mean of all logits, or a class, in any form that
    a target may have; see ``engine/contrast.py``.
    Returns (N, H, W), or (N, K, H, W), in x's resolution, dtype and device; with ``reduce=None`` the colour channels
    stand before H. Of several methods a dict with their labels, each map the same that its method gives alone.
    Raises ``ValueError`` for input that makes no sense, ``UnsupportedOperation`` for an operation of the network
    that the method has no rule for; one of several methods that refuses the network refuses them all.
    """
    chosen = resolve(method, handling, layer, **options)
    if isinstance(chosen, dict):
        return explain_contrasts(net, x, target, chosen, [contrast])[0]
    return chosen(net, x, target, contrast)


def explain_contrasts(
    net: nn.Module, x: Tensor, target: Target, methods: Mapping[Any, Method], contrasts: Sequence[Contrast]
) -> list[dict[Any, Tensor]]:
    """Return for each contrast what ``explain`` gives for several methods: one forward pass serves all contrasts.

    net, x, target, contrasts: as for ``explain``. methods: ready to be called, by label.
    """
    classes = checked_classes(net, x, target)
    references = [as_reference(contrast, classes) for contrast in contrasts]
    against = references[0] if len(references) == 1 else Each(tuple(references))
    asked = classes.repeat(1, len(references))
    found: list[dict[Any, Tensor]] = [{} for _ in references]
    for labels in by_record(methods):
        first = methods[labels[0]]
        with with_gradients(), contrasted(against, first.name):
            if len(labels) == 1:
                maps = {labels[0]: first.maps(net, x.detach().clone(), asked.clone())}
            else:
                record = first.record(net, x.detach().clone(), asked.clone())
                maps = {label: methods[label].read(record) for label in labels}
                del record
        for label in labels:
            for of_one, part in zip(found, maps.pop(label).chunk(len(references), dim=1), strict=True):
                of_one[label] = finish(part, x, target)
    return [{label: of_one[label] for label in methods} for of_one in found]


def by_record(methods: Mapping[Any, Method]) -> Iterable[list[Any]]:
    """Return the labels in groups; within a group one record serves all."""
    groups: dict[Hashable, list[Any]] = {}
    for label, method in methods.items():
        groups.setdefault(method.record_key(), []).append(label)
    return groups.values()
