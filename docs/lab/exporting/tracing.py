"""The package's own methods, traced: what a method does with one photo becomes a graph that a browser can run.

Nothing is written anew here. ``make_fx`` runs a method's ``record`` and ``read`` once, on a sample photo, and notes
each operation that torch carries out, those of the way back among them. What was a choice then becomes an input:

    photo     (1, 3, 224, 224)  as ``clf.preprocess`` gives it
    score     (1, 1000)         s of the contrast Σ_k s_k f_k: a class, or a class minus what it is held against
    positive  ()                0 for signed handling, 1 for positive, 2 for absolute
    shift     ()                a of ``models.shift_vector``: lesson 04's vector, added to each class's weights

One branch of ``engine`` depends on values, and is the same for all photos of a network: whether a layer's input can be
negative (LRP's z+). The engine's checks run before, on the same network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.experimental import proxy_tensor
from torch.fx.experimental.proxy_tensor import make_fx

import posgrad_edu as pg
from posgrad_edu.engine.contrast import Weights, contrasted
from posgrad_edu.engine.passes import with_gradients
from posgrad_edu.handling import Handling
from posgrad_edu.methods import Method, fullgrad, rectgrad
from posgrad_edu.methods.base import finish
from posgrad_edu.models.shift import last_layer, shift_vector

INPUTS = ("photo", "score", "positive", "shift")


class Shifted(nn.Module):
    """A classifier whose last layer's weights have a vector added, for each class the same; it keeps its logits.

    The same as ``models.shifted``, without a copy: the weights are derived anew in each forward pass.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.head = net, f"{last_layer(net)}.weight"
        self.shift: Tensor | float = 0.0
        self.logits = torch.empty(0)
        self.train(net.training)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.net.get_parameter(self.head).detach()
        moved = weight + shift_vector(self.net, self.shift)  # type: ignore[arg-type]  # a tensor is a number, too
        self.logits = torch.func.functional_call(self.net, {self.head: moved}, (x,))
        return self.logits


def switch(positive: Tensor) -> Handling:
    """Return the handling that an input of the graph chooses: h(g) = g for g >= 0, (1 - positive) · g below.

    With positive = 0, 1, 2 that is signed, positive and absolute handling, value by value.
    """
    slope = (1 - positive).reshape(1)
    return Handling("chosen", lambda information: F.prelu(information, slope))


def graph_of(function: Callable[..., list[Tensor]], *inputs: Tensor) -> fx.GraphModule:
    """Return the graph of a function, without the shortcuts that the package takes for the photo at hand.

    What NumPy does leaves no trace, so a k-th smallest value is PyTorch's; no step is left out that others may need.
    """
    with (
        mock.patch.object(rectgrad, "kth_smallest", lambda values, k: values.kthvalue(k, dim=1).values),
        mock.patch.object(fullgrad, "nowhere", return_value=False),
        mock.patch.object(proxy_tensor, "extract_val", return_value=None),  # two thirds of the time, and nobody asks
    ):
        return make_fx(function, _error_on_data_dependent_ops=False)(*inputs)


def trace(net: Shifted, x: Tensor, methods: Mapping[str, Method]) -> fx.GraphModule:
    """Return the graph of several methods with one record: (photo, score, positive, shift) -> their maps, the logits.

    net: in evaluation mode, frozen. x: a sample photo (1, 3, H, W). methods: by the names of their outputs. A method
    with the handling ``None`` gets the one that the input ``positive`` chooses, unless it has no published one.
    """
    for method in methods.values():
        net.shift = 0.0
        pg.explain(net, x, 0, method)  # all checks: they examine values, and have no place in the graph

    target = torch.zeros(1, 1, dtype=torch.long)  # a class that exists: ``score`` says what is asked

    def run(photo: Tensor, score: Tensor, positive: Tensor, shift: Tensor) -> list[Tensor]:
        net.shift = shift
        chosen = [_with_switch(method, positive) for method in methods.values()]
        with with_gradients(), contrasted(Weights(score.unsqueeze(1)), "the export"):
            if len(chosen) == 1:
                maps = [chosen[0].maps(net, photo.clone(), target)]
            else:
                record = chosen[0].record(net, photo.clone(), target)
                maps = [method.read(record) for method in chosen]
        return [*(finish(m, photo, 0) for m in maps), net.logits.detach()]

    score = F.one_hot(torch.tensor([0]), len(net.logits[0])).float()
    # The branches that depend on values are taken as this photo takes them: see above.
    graph = graph_of(run, x, score, torch.tensor(1.0), torch.tensor(0.0))
    net.shift = 0.0
    return graph


def _with_switch(method: Method, positive: Tensor) -> Method:
    if method.active_handling is None or method.handling is not None:
        return method
    return dataclasses.replace(method, handling=switch(positive))
