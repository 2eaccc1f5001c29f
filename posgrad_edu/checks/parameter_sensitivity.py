"""Parameter sensitivity: the trained network's maps against those of networks with more and more random layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from posgrad_edu.checks.class_sensitivity import Explain, gradient_maps, maps_of
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.draw import until
from posgrad_edu.checks.engine.forms import Unfit, not_none
from posgrad_edu.checks.engine.given import COLOURS, network, photos
from posgrad_edu.checks.engine.mutations import on_arguments, then
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task
from posgrad_edu.checks.spearman import SORTED, Compare, in_order, spearman, wrong_comparisons

STEPS = (4, 4, 2, 3)  # of the tries; never as many as photos
CLASSES = 12  # enough that some are never the most likely
Classes = Callable[[nn.Module, nn.Module, Tensor, Tensor], Tensor]  # trained, another, photos, target -> classes
Stacks = list[Tensor]  # each network's maps (N, H, W)


def _to_compare(n: int) -> Args:
    """A trained network, networks that are other ones, photos, classes and a method.

    No photo is asked about the class that a network finds most likely. In the third try the last network's map is
    constant: its classifier is all zero. No other map is.
    """

    def drawn() -> Args:
        net, *others = (network(classes=CLASSES, colours=COLOURS[n]) for _ in range(1 + STEPS[n]))
        if n == 2:
            nn.init.zeros_(others[-1].get_parameter("fc2.weight"))
        x = photos(n)
        free = [c for c in range(CLASSES) if c not in _likely(net, *others, x=x)] or [0]
        return net, others, x, torch.tensor([free[k % len(free)] for k in range(len(x))]), gradient_maps

    def is_fit(asked: Args) -> bool:
        net, others, x, chosen, _ = asked
        classes = set(chosen.tolist())
        maps = [maps_of(gradient_maps, each, x, chosen) for each in [net, *others]]
        constant = [bool((m.flatten(1).std(1) == 0).any()) for m in maps]
        right = constant == [False] * STEPS[n] + [n == 2]
        return right and len(classes) >= min(2, len(x)) and not classes & _likely(net, *others, x=x)

    return until(is_fit, drawn)


def _likely(*nets: nn.Module, x: Tensor) -> set[int]:
    return {int(c) for net in nets for c in net(x).argmax(1)}


def table(answer: Any) -> list[Tensor]:
    """Correlations (steps, N): a tensor, an array, or a list of lists, tensors or arrays."""
    not_none(answer, "numbers")
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
        words = "what you returned can't be read as a table of numbers"
        raise Unfit("wrong-type", words, "One row for each network, with one number for each photo.") from None


def _given(trained: nn.Module, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return target


def _own(trained: nn.Module, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return net(x).argmax(1)


def _of_trained(trained: nn.Module, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return trained(x).argmax(1)


def _of_first_photo(trained: nn.Module, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return target[:1].expand(len(target))


def _with_trained(stacks: Stacks) -> list[tuple[Tensor, Tensor]]:
    return [(stacks[0], other) for other in stacks[1:]]


def _sensitivity(
    net: nn.Module,
    nets: Sequence[nn.Module],
    x: Tensor,
    target: Tensor,
    explain: Explain,
    first: Classes = _given,
    later: Classes = _given,
    pairs: Callable[[Stacks], list[tuple[Tensor, Tensor]]] = _with_trained,
    compare: Compare = spearman,
) -> Tensor:
    """Return the comparisons of pairs of stacks of maps; the first stack is the trained network's.

    first, later: the classes that the trained network and the others are asked about.
    """
    stacks = [maps_of(explain, net, x, first(net, net, x, target))]
    stacks += [maps_of(explain, other, x, later(net, other, x, target)) for other in nets]
    rows = [[compare(a, b) for a, b in zip(one, other, strict=True)] for one, other in pairs(stacks)]
    return torch.tensor(rows, dtype=torch.float64)


def _rows_at_once(net: nn.Module, nets: Sequence[nn.Module], x: Tensor, target: Tensor, explain: Explain) -> Tensor:
    """Return one correlation a network, of all photos' maps in one heap."""
    trained, *others = (maps_of(explain, each, x, target) for each in [net, *nets])
    return torch.tensor([spearman(trained, other) for other in others], dtype=torch.float64)


def _pairing(pair: Callable[[Stacks, Tensor], tuple[Tensor, Tensor]]) -> Function:
    """Return the measurement of other pairs: ``pair`` takes all stacks and that of one network after the first."""
    return partial(_sensitivity, pairs=lambda stacks: [pair(stacks, other) for other in stacks[1:]])


_CLASS = "Ask every network about the classes in target: otherwise the choice of the class gets mixed in."
_GIVEN = "The classes are given: both maps of a pair answer the question of target."
_TRAINED = "Each network is compared with the trained one: its maps are made once, before the loop."
_EACH = "Use the network of each step."
_ROWS = "One row for each network in nets, and none for the trained one."
_ONE_EACH = "One number for each network and each photo: ask for the ranks of one photo's two maps at a time."
_LEAVE = "It has no ranks to compare. A 0 or 1 in its place would look like a finding: leave the nan."
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
    lesson=13,
    make=_to_compare,
    right=_sensitivity,
    form=table,
    hint="For each network and photo: the trained network's map, this network's map, and their rank correlation.",
    mistakes=[
        Mistake("class-chosen-anew", "you asked each random network about its own most likely class", _CLASS),
        partial(_sensitivity, later=_own),
        Mistake("class-chosen-anew", "you asked each network, the trained one too, about its own class", _CLASS),
        partial(_sensitivity, first=_own, later=_own),
        Mistake("target-unused", "you asked about the class that the trained network finds most likely", _GIVEN),
        partial(_sensitivity, first=_of_trained, later=_of_trained),
        Mistake("target-unused", "you asked the trained network alone about its most likely class", _GIVEN),
        partial(_sensitivity, first=_of_trained),
        Mistake("target-unused", "you asked the random networks about the trained one's favourite class", _GIVEN),
        partial(_sensitivity, later=_of_trained),
        Mistake("first-photo-class", "you asked all photos about the first one's class", "target has a class a photo."),
        partial(_sensitivity, first=_of_first_photo, later=_of_first_photo),
        Mistake("previous-step", "you compared each network with the one a step before", _TRAINED),
        partial(_sensitivity, pairs=lambda stacks: list(pairwise(stacks))),
        Mistake("random-with-random", "you compared each network with the first random one", _TRAINED),
        _pairing(lambda stacks, other: (stacks[1], other)),
        Mistake("random-with-random", "you compared each network with the last one", _TRAINED),
        _pairing(lambda stacks, other: (stacks[-1], other)),
        Mistake("with-itself", "you compared the trained network with itself", "Is net where a random one belongs?"),
        _pairing(lambda stacks, other: (stacks[0], stacks[0])),
        Mistake("one-network", "all your rows belong to the last network", _EACH),
        _pairing(lambda stacks, other: (stacks[0], stacks[-1])),
        Mistake("one-network", "all your rows belong to the first random network", _EACH),
        _pairing(lambda stacks, other: (stacks[0], stacks[1])),
        Mistake("photos-compared", "you compared the maps of two photos", "Both maps of a pair are of one photo."),
        _pairing(lambda stacks, other: (stacks[0], other.roll(1, 0))),
        _pairing(lambda stacks, other: (stacks[0].roll(1, 0), other)),
        _pairing(lambda stacks, other: (stacks[0].flip(0), other)),
        Mistake("first-photo-map", "you compared with the trained network's map of the first photo", _TRAINED),
        _pairing(lambda stacks, other: (stacks[0][:1].expand_as(other), other)),
        Mistake("last-step-missing", "the last network is missing", _ROWS),
        then(_sensitivity, lambda rows: rows[:-1]),
        Mistake("first-step-missing", "the first random network is missing", _ROWS),
        then(_sensitivity, lambda rows: rows[1:]),
        Mistake("step-zero", "your first row compares the trained network with itself", _ROWS),
        partial(_sensitivity, pairs=lambda stacks: [(stacks[0], other) for other in stacks]),
        Mistake("reversed", "your rows run from the last network to the first", "Take nets in the order given."),
        then(_sensitivity, torch.flipud),
        Mistake("transposed", "photos and steps are swapped", "Rows are steps, columns are photos: (steps, N)."),
        then(_sensitivity, torch.t),
        Mistake("flattened", "your numbers lie in one row", _ROWS),
        then(_sensitivity, torch.flatten),
        Mistake("averaged", "you averaged over the photos", _ONE_EACH),
        then(_sensitivity, lambda rows: rows.mean(1)),
        then(_sensitivity, lambda rows: rows.mean(1, keepdim=True)),
        Mistake("averaged", "you averaged over the networks", _ROWS),
        then(_sensitivity, lambda rows: rows.mean(0)),
        Mistake("averaged", "you averaged over photos and networks", _ONE_EACH),
        then(_sensitivity, torch.mean),
        Mistake("batch-mixed", "you ranked the maps of all photos together", _ONE_EACH),
        _rows_at_once,
        then(_rows_at_once, lambda rows: rows[:, None]),
        lambda *args: _rows_at_once(*args)[:, None].expand(-1, len(args[2])),
        *wrong_comparisons(_sensitivity),
        SORTED,
        partial(_sensitivity, compare=on_arguments(spearman, in_order, 0, 1)),
        Mistake("constant-map", "a constant map's number is nan", _LEAVE, pattern=(True, True, False, True)),
    ],
)
check_parameter_sensitivity = checker(PARAMETER_SENSITIVITY)
