"""Several methods at once, for the price of few forward passes.

GradCAM, GradCAM++ and LayerCAM read the same activations and gradients; a map with positive gradients is made of the
same ones as a map with signed gradients. So methods with equal ``record_key`` share one record:

    explain_all(net, x, target, {"signed": GradCAM("signed"), "positive": GradCAM("positive")})

DeconvNet, Guided Backprop and RectGrad share their forward pass, and each goes back through it with its own rule. LRP
shares with nothing: its rules decide what each layer keeps on the way up.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

from torch import Tensor, nn

from posgrad_edu.engine.inputs import Target, checked_classes
from posgrad_edu.engine.passes import with_gradients
from posgrad_edu.methods.base import Method, finish


def explain_all(net: nn.Module, x: Tensor, target: Target, methods: Mapping[str, Method]) -> dict[str, Tensor]:
    """Return the maps of each method under its key, the same that each would give on its own.

    net, x, target, and the shape of each result: as for ``explain``. methods: ``Method`` objects by any label.
    Raises what ``explain`` does; one method that refuses the network refuses them all.
    """
    classes = checked_classes(net, x, target)
    found: dict[str, Tensor] = {}
    with with_gradients():
        for labels in by_record(methods):
            first = methods[labels[0]]
            if len(labels) == 1:
                found[labels[0]] = finish(first.maps(net, x.detach().clone(), classes.clone()), x, target)
                continue
            record = first.record(net, x.detach().clone(), classes.clone())
            found |= {label: finish(methods[label].read(record), x, target) for label in labels}
    return {label: found[label] for label in methods}


def by_record(methods: Mapping[str, Method]) -> Iterable[list[str]]:
    """Return the labels in groups; within a group one record serves all."""
    groups: dict[Hashable, list[str]] = {}
    for label, method in methods.items():
        groups.setdefault(method.record_key(), []).append(label)
    return groups.values()
