"""Parameter sensitivity: the trained network's maps against those of networks that forgot more and more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from posgrad_edu.checks.class_sensitivity import Explain, gradient_maps
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.forms import Unfit
from posgrad_edu.checks.engine.given import CLASSES, network, photos
from posgrad_edu.checks.engine.task import Args, Mistake, Task
from posgrad_edu.checks.spearman import pearson, ranks

STEPS = (4, 4, 2, 3)  # of the tries; never as many as photos
Compare = Callable[[Tensor, Tensor], float]
Classes = Callable[[nn.Module, nn.Module, Tensor, Tensor], Tensor]


def _to_compare(n: int) -> Args:
    """A trained network, networks that are other ones, photos, classes and a method.

    No photo is asked about the class that a network finds most likely. In the third try the last network's map is
    constant: its classifier is all zero. No other map is.
    """
    while True:
        net, others = network(), [network() for _ in range(STEPS[n])]
        if n == 2:
            nn.init.zeros_(others[-1].get_parameter("fc2.weight"))
        x = photos(n)
        likely = {int(c) for other in [net, *others] for c in other(x).argmax(1)}
        free = [c for c in range(CLASSES) if c not in likely]
        if len(free) < min(2, len(x)):
            continue
        chosen = torch.tensor([free[k % len(free)] for k in range(len(x))])
        constant = [bool((gradient_maps(other, x, chosen).flatten(1).std(1) == 0).any()) for other in [net, *others]]
        if constant == [False] * STEPS[n] + [n == 2]:
            return net, others, x, chosen, gradient_maps


def table(answer: Any) -> list[Tensor]:
    """Correlations (steps, N): a tensor, an array, or a list of lists, tensors or arrays."""
    if answer is None:
        raise Unfit("returns-none", "your function returned None instead of numbers", "Does its last line say return?")
    try:
        if isinstance(answer, (list, tuple)):
            answer = np.array([[float(v) for v in row] for row in answer])
        found = answer.detach() if isinstance(answer, Tensor) else torch.from_numpy(np.array(answer, dtype=float))
    except (TypeError, ValueError, RuntimeError):
        return [_row(answer)]
    return [found.double()]


def _row(answer: Any) -> Tensor:
    """Numbers in one row, or the end: rows of several lengths, or nothing that could be read as numbers."""
    try:
        if isinstance(answer, dict):
            raise TypeError
        return torch.tensor([float(v) for v in answer], dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Unfit(
            "wrong-type",
            "what you returned can't be read as a table of numbers",
            "One row for each network, with one number for each photo.",
        ) from None


def _rho(one: Tensor, other: Tensor) -> float:
    return pearson(ranks(one), ranks(other))


def _kept(trained: nn.Module, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return target


def _own(trained: nn.Module, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return net(x).argmax(1)


def _of_trained(trained: nn.Module, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return trained(x).argmax(1)


def _measured(
    first: Classes = _kept, then: Classes = _kept, compare: Compare = _rho, pick: Callable[..., Any] | None = None
) -> Callable[..., Tensor]:
    """Return a measurement: the classes that the trained and the other networks are asked about, and the comparison.

    pick: takes the list of all stacks of maps, the trained network's first, and gives the pairs of stacks to compare.
    """

    def measure(net: nn.Module, nets: Sequence[nn.Module], x: Tensor, target: Tensor, explain: Explain) -> Tensor:
        stacks = [explain(net, x, first(net, net, x, target))]
        stacks += [explain(other, x, then(net, other, x, target)) for other in nets]
        pairs = pick(stacks) if pick else [(stacks[0], stack) for stack in stacks[1:]]
        rows = [[compare(a, b) for a, b in zip(one, other, strict=True)] for one, other in pairs]
        return torch.tensor(rows, dtype=torch.float64)

    return measure


_sensitivity = _measured()


def _rows_at_once(net: nn.Module, nets: Sequence[nn.Module], x: Tensor, target: Tensor, explain: Explain) -> Tensor:
    """Return one correlation a network, of all photos' maps in one heap."""
    trained = explain(net, x, target)
    return torch.tensor([_rho(trained, explain(other, x, target)) for other in nets], dtype=torch.float64)


def _changed_by(change: Callable[[Tensor], Tensor]) -> Compare:
    return lambda a, b: _rho(change(a), change(b))


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.cosine_similarity(a.flatten().double(), b.flatten().double(), 0))


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm())


_CLASS = "Ask every network about the classes in target: otherwise the choice of the class gets mixed in."
_TRAINED = "Each network is compared with the trained one: its maps are made once, before the loop."
_ROWS = "One number for each network and each photo: ask for the ranks of one photo's two maps at a time."
PARAMETER_SENSITIVITY = Task(
    name="parameter sensitivity",
    signature="parameter_sensitivity(net, nets, x, target, explain)",
    returns="(steps, N), rank correlations",
    about="""
net: the trained network, x -> logits (N, classes). nets: a list of networks with random layers, one a step. x:
photos (N, C, H, W). target: one class a photo, (N,); every network is asked about it. explain: a method,
``explain(net, x, target)`` -> maps (N, H, W). Row d has, for each photo, the rank correlation of the trained
network's map with that of ``nets[d]``, and nan where one of the two is constant. The result is a tensor, an array
or a list of rows. ``posgrad_edu.metrics.similarity.spearman`` may be used.
""",
    lesson=9,
    make=_to_compare,
    right=_sensitivity,
    form=table,
    hint="For each network and photo: the trained network's map, this network's map, and their rank correlation.",
    mistakes=[
        Mistake(
            "class-chosen-anew", "you asked each random network about the class it finds most likely itself", _CLASS
        ),
        _measured(then=_own),
        Mistake(
            "class-chosen-anew", "you asked each network, also the trained one, about its own most likely class", _CLASS
        ),
        _measured(_own, _own),
        Mistake(
            "target-unused",
            "you asked about the class that the trained network finds most likely",
            "The classes are given: use the argument target.",
        ),
        _measured(_of_trained, _of_trained),
        Mistake(
            "target-unused",
            "you asked the trained network about its most likely class, the others about target",
            "Both maps of a pair answer the same question.",
        ),
        _measured(_of_trained),
        Mistake("target-unused", "you asked the random networks about the trained one's favourite class", _CLASS),
        _measured(then=_of_trained),
        Mistake("first-photo-class", "you asked all photos about the first one's class", "target has a class a photo."),
        _measured(lambda t, n, x, c: c[:1].expand(len(c)), lambda t, n, x, c: c[:1].expand(len(c))),
        Mistake("previous-step", "you compared each network with the one a step before", _TRAINED),
        _measured(pick=lambda s: list(pairwise(s))),
        Mistake("random-with-random", "you compared each network with the first random one", _TRAINED),
        _measured(pick=lambda s: [(s[1], other) for other in s[1:]]),
        Mistake("random-with-random", "you compared each network with the last one", _TRAINED),
        _measured(pick=lambda s: [(s[-1], other) for other in s[1:]]),
        Mistake("with-itself", "you compared the trained network with itself", "Is net where a random one belongs?"),
        _measured(pick=lambda s: [(s[0], s[0])] * (len(s) - 1)),
        Mistake("one-network", "all your rows belong to the last network", "Use the network of each step."),
        _measured(pick=lambda s: [(s[0], s[-1])] * (len(s) - 1)),
        Mistake("one-network", "all your rows belong to the first random network", "Use the network of each step."),
        _measured(pick=lambda s: [(s[0], s[1])] * (len(s) - 1)),
        Mistake("last-step-missing", "the last network is missing", "One row for each network in nets."),
        lambda *a: _sensitivity(*a)[:-1],
        Mistake("first-step-missing", "the first random network is missing", "One row for each network in nets."),
        lambda *a: _sensitivity(*a)[1:],
        Mistake(
            "step-zero",
            "your first row compares the trained network with itself",
            "One row for each network in nets, and none for the trained one.",
        ),
        _measured(pick=lambda s: [(s[0], other) for other in s]),
        Mistake("reversed", "your rows run from the last network to the first", "Take nets in the order given."),
        lambda *a: _sensitivity(*a).flip(0),
        Mistake("transposed", "photos and steps are swapped", "Rows are steps, columns are photos: (steps, N)."),
        lambda *a: _sensitivity(*a).T,
        Mistake("flattened", "your numbers lie in one row", "A table (steps, N): one row for each network."),
        lambda *a: _sensitivity(*a).flatten(),
        Mistake("averaged", "you averaged over the photos", "One number for each network and each photo."),
        lambda *a: _sensitivity(*a).mean(1),
        lambda *a: _sensitivity(*a).mean(1, keepdim=True),
        Mistake("averaged", "you averaged over the networks", "One row for each network."),
        lambda *a: _sensitivity(*a).mean(0),
        Mistake("averaged", "you averaged over photos and networks", "One number for each network and each photo."),
        lambda *a: _sensitivity(*a).mean(),
        Mistake("batch-mixed", "you ranked the maps of all photos together", _ROWS),
        _rows_at_once,
        lambda *a: _rows_at_once(*a)[:, None],
        lambda *a: _rows_at_once(*a)[:, None].expand(-1, len(a[2])),
        Mistake("photos-compared", "you compared the maps of two photos", "Both maps of a pair are of one photo."),
        _measured(pick=lambda s: [(s[0], other.roll(1, 0)) for other in s[1:]]),
        Mistake(
            "first-photo-map",
            "you compared with the trained network's map of the first photo",
            "Each photo has a map of its own.",
        ),
        _measured(pick=lambda s: [(s[0][:1].expand_as(s[0]), other) for other in s[1:]]),
        Mistake("no-ranks", "you correlated the values, not their ranks", "Use the rank correlation."),
        _measured(compare=pearson),
        Mistake("cosine", "you took the cosine of the maps, not their rank correlation", "Use the rank correlation."),
        _measured(compare=_cosine),
        Mistake(
            "a-difference",
            "you measured how far the maps' values are apart",
            "Random weights change a map's scale: compare ranks.",
        ),
        _measured(compare=_distance),
        Mistake(
            "absolute-values",
            "you compared the magnitudes of the maps",
            "Rank the maps with their signs: magnitudes can't tell a map from its reverse.",
        ),
        _measured(compare=_changed_by(torch.abs)),
        Mistake("positive-values", "you compared the positive parts of the maps", "Rank the whole maps."),
        _measured(compare=_changed_by(torch.relu)),
        Mistake("absolute-result", "you took the absolute value of the correlation", "Reversed maps have -1."),
        lambda *a: _sensitivity(*a).abs(),
        Mistake("squared", "you squared the correlation", "It has a sign."),
        lambda *a: _sensitivity(*a) ** 2,
        Mistake("distance", "you returned 1 - correlation", "Maps that are alike have 1."),
        lambda *a: 1 - _sensitivity(*a),
        Mistake(
            "constant-map",
            "a constant map has no ranks to compare, so its number is nan",
            "A 0 or 1 in its place would look like a finding: leave the nan.",
            pattern=(True, True, False, True),
        ),
    ],
)


check_parameter_sensitivity = checker(PARAMETER_SENSITIVITY)
