"""The same classifier in another gauge: one vector added to the weights of all classes.

With a_k what the last layer sees of a photo, each logit Σ_k w_ck a_k + b_c becomes Σ_k (w_ck + v_k) a_k + b_c: all of
them grow by the same number Σ_k v_k a_k. A softmax doesn't notice, and neither does a training that only knows the
softmax. A map of one logit does: what follows v comes into every class's map. A contrast of logits leaves it out.

    other = shifted(clf, shift_vector(clf.net, 0.25))
    other.top(photo) == clf.top(photo)                       # up to rounding

Reference: Srinivas, Fleuret. Rethinking the Role of Gradient-Based Attribution Methods for Model Interpretability.
ICLR 2021. arXiv:2006.09128, sec. 2 (logits may be shifted by any function of the photo).
"""

from __future__ import annotations

import copy
from typing import overload

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from posgrad_edu.engine.inputs import check_network
from posgrad_edu.engine.layers import POOLING_LIKE
from posgrad_edu.engine.passes import predict
from posgrad_edu.metrics.copies import copied, plain_weights
from posgrad_edu.models.classifier import Classifier

MEANS = tuple(kind for kind in POOLING_LIKE if "Max" not in kind.__name__)  # a maximum of sums is no sum of maxima
_NO_HEAD = (
    "One vector can be added to all classes' weights where a linear layer, or a 1 x 1 convolution that is then "
    "averaged, gives the logits. In this network {}."
)


@overload
def shifted(net: Classifier, v: Tensor) -> Classifier: ...
@overload
def shifted(net: nn.Module, v: Tensor, x: Tensor | None = ...) -> nn.Module: ...
def shifted(net: nn.Module | Classifier, v: Tensor, x: Tensor | None = None) -> nn.Module | Classifier:
    """Return a copy of a classifier in which v is added to the last layer's weights of every class.

    net: a network, or a ``Classifier``, of which a ``Classifier`` is returned; neither is changed. v: (width,), one
    value for each input of the last layer, as ``shift_vector`` makes it. x: photos (N, C, H, W) on which the two
    networks' softmax is compared; of a ``Classifier`` that is a grey picture.
    Raises ``ValueError`` for a network that doesn't end with a linear layer, or a 1 x 1 convolution and an average,
    for a v that doesn't fit, a multilabel classifier, and where the softmax of x isn't the same.
    """
    if isinstance(net, Classifier):
        if net.multilabel:
            raise ValueError(
                "This classifier is multilabel: its probabilities are sigmoids, and a vector added to all classes "
                "changes each of them. Only a softmax stays the same."
            )
        other = copy.copy(net)
        other.net, other.name = shifted(net.net, v, net.batch()), f"{net.name}, shifted"
        return other
    check_network(net)
    head = last_layer(net)
    _check_vector(v, _weights(net, head).shape[1])
    changed = copied(net)
    layer = changed.get_submodule(head)
    plain_weights(layer)
    with torch.no_grad():
        weight = layer.get_parameter("weight")
        weight.add_(v.to(weight).reshape(1, -1, *[1] * (weight.ndim - 2)))
    if x is not None:
        _compare_softmax(predict(net, x), predict(changed, x), head)
    return changed


def shift_vector(net: nn.Module, a: float) -> Tensor:
    """Return v (width,), v_k = a · |min_c w_ck|, for the last layer's weights w: the network's own scale, times a."""
    return a * _weights(net, last_layer(net)).amin(0).abs()


def last_layer(net: nn.Module) -> str:
    """Return the name of the layer that gives the logits: linear, or a 1 x 1 convolution whose output is averaged.

    Raises ``ValueError`` where the last layer with weights is another, or more than averages follow it. What a network
    does between its modules can't be seen here.
    """
    modules = [*net.named_modules()]
    with_weights = [n for n, (_, module) in enumerate(modules) if _has_weights(module)]
    if not with_weights:
        raise ValueError(_NO_HEAD.format("no layer has weights"))
    name, head = modules[with_weights[-1]]
    one_by_one = isinstance(head, nn.Conv2d) and head.kernel_size == (1, 1) and head.groups == 1
    if not (isinstance(head, nn.Linear) or one_by_one):
        raise ValueError(_NO_HEAD.format(f"the last layer with weights, {name!r}, is a {type(head).__name__}"))
    for other, module in modules[with_weights[-1] + 1 :]:
        inside = other.startswith(f"{name}.")  # what its weight is made with
        if not (inside or [*module.children()] or isinstance(module, MEANS)):
            follows = f"a {type(module).__name__} follows the last layer with weights, {name!r}"
            raise ValueError(_NO_HEAD.format(follows))
    return name


def _weights(net: nn.Module, head: str) -> Tensor:
    """Return the head's weights (classes, width)."""
    weight: Tensor = net.get_submodule(head).weight  # type: ignore[assignment]  # it may be made of other parameters
    return weight.detach().flatten(1)


def _has_weights(module: nn.Module) -> bool:
    """Tell whether a module has parameters of its own, also where a parametrization makes them of others."""
    parametrization = isinstance(module, parametrize.ParametrizationList)
    own = not parametrization and bool([*module.parameters(recurse=False)])
    return own or parametrize.is_parametrized(module)


def _check_vector(v: Tensor, width: int) -> None:
    if not isinstance(v, Tensor) or v.shape != (width,) or not torch.isfinite(v).all():
        got = f"shape {tuple(v.shape)}" if isinstance(v, Tensor) else type(v).__name__
        raise ValueError(
            f"v is a finite vector with a value for each of the {width} inputs of the network's last layer, not {got}. "
            "shift_vector(net, 0.25) makes one."
        )


def _compare_softmax(before: Tensor, after: Tensor, head: str) -> None:
    """Refuse a copy whose softmax differs by more than rounding, which grows with the logits."""
    largest = float(torch.maximum(before.abs().max(), after.abs().max()).clamp_min(1.0))
    difference = float((before.softmax(1) - after.softmax(1)).abs().max())
    if not difference <= 1e3 * torch.finfo(before.dtype).eps * largest:
        raise ValueError(
            f"A vector added to the weights of {head!r} changes this network's softmax by {difference:.2g}: the layer "
            "doesn't give the logits, or they go through something else afterwards. It can't be shifted."
        )
