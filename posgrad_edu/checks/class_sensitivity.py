"""Class sensitivity: the rank correlation of a method's maps for the most and the least likely class."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from posgrad_edu.checks.engine import forms
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.draw import until
from posgrad_edu.checks.engine.given import COLOURS, network, photos
from posgrad_edu.checks.engine.mutations import then
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task
from posgrad_edu.checks.gradients import of_input
from posgrad_edu.checks.spearman import Compare, spearman, wrong_comparisons

Explain = Callable[[nn.Module, Tensor, Tensor], Tensor]
Pairs = Callable[[Tensor], Sequence[Tensor]]  # logits -> the two classes of each photo


_DOUBLES: WeakKeyDictionary[nn.Module, tuple[list[tuple[int, int]], nn.Module]] = WeakKeyDictionary()


def gradient_maps(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Return input x gradient's maps (N, H, W): a method to measure.

    In double precision, so that no two pixels change places in their order when photos are explained one by one.
    """
    if target.shape != (len(x),):
        raise ValueError(f"explain takes one class a photo, target of shape ({len(x)},), not {tuple(target.shape)}.")
    x = x.double()
    return (x * of_input(_in_double(net), x, target)).sum(1)


def _in_double(net: nn.Module) -> nn.Module:
    """Return the network's copy in double precision; made anew where the network's values have changed since."""
    values = [*net.parameters(), *net.buffers()]
    state = [(id(value), value._version) for value in values]
    if net not in _DOUBLES or _DOUBLES[net][0] != state:
        _DOUBLES[net] = state, copy.deepcopy(net).double()
    return _DOUBLES[net][1]


def maps_of(explain: Explain, net: nn.Module, x: Tensor, classes: Tensor) -> Tensor:
    """Return ``explain(net, x, classes)``, computed once for all the mistakes of a draw."""
    return _remembered(explain, net, x, tuple(classes.tolist()))


@lru_cache(maxsize=256)
def _remembered(explain: Explain, net: nn.Module, x: Tensor, classes: tuple[int, ...]) -> Tensor:
    return explain(net, x, torch.tensor(classes))


def _to_compare(n: int) -> Args:
    """A network, photos (N, 3, 8, 6) and a method; the first photos differ in their most and least likely class."""
    return *until(_differ, lambda: (network(colours=COLOURS[n]), photos(n))), gradient_maps


def _differ(asked: tuple[nn.Module, Tensor]) -> bool:
    """Whether the first two photos do in both classes, if there are two."""
    net, x = asked
    return len(x) == 1 or all(int(classes[0]) != int(classes[1]) for classes in _most_and_least(net(x)))


def _most_and_least(logits: Tensor) -> Sequence[Tensor]:
    return logits.argmax(1), logits.argmin(1)


def _sensitivity(
    net: nn.Module, x: Tensor, explain: Explain, pairs: Pairs = _most_and_least, compare: Compare = spearman
) -> Tensor:
    first, second = (maps_of(explain, net, x, classes) for classes in pairs(net(x).detach()))
    return torch.tensor([compare(a, b) for a, b in zip(first, second, strict=True)])


def _asking(pairs: Pairs) -> Function:
    return partial(_sensitivity, pairs=pairs)


def _likely(n: int, m: int) -> Function:
    """Return the measurement with the n-th and the m-th most likely class."""
    return _asking(lambda z: z.argsort(1, descending=True)[:, [n, m]].unbind(1))


def _same_for_all(z: Tensor, *classes: Tensor | int) -> list[Tensor]:
    return [torch.as_tensor(c).expand(len(z)) for c in classes]


def _all_at_once(net: nn.Module, x: Tensor, explain: Explain) -> Tensor:
    first, second = (maps_of(explain, net, x, classes) for classes in _most_and_least(net(x).detach()))
    return torch.full((len(x),), spearman(first, second))


def _neighbours(net: nn.Module, x: Tensor, explain: Explain) -> Tensor:
    maps = maps_of(explain, net, x, net(x).argmax(1))
    return torch.tensor([spearman(a, b) for a, b in zip(maps, maps.roll(1, 0), strict=True)])


_LEAST = "Ask for logits.argmax(1) and logits.argmin(1)."
_OWN = "Each photo has a most and a least likely class of its own: argmax(1), argmin(1)."
_LOGITS = "A large negative logit is the least likely: argmin of the logits, not of their magnitudes."
_ONE_EACH = "One number for each photo."
CLASS_SENSITIVITY = Task(
    name="class sensitivity",
    signature="class_sensitivity(net, x, explain)",
    returns="(N,), one rank correlation a photo",
    about="""
net: a classifier, x -> logits (N, classes). x: photos (N, C, H, W). explain: a method, ``explain(net, x, target)``
-> maps (N, H, W), with one class a photo in target (N,). The two maps of a photo that are compared are those of its
most and its least likely class. The result is a tensor, an array or a list. ``posgrad_edu.metrics.spearman`` may
be used.
""",
    lesson=12,
    make=_to_compare,
    right=_sensitivity,
    form=forms.numbers,
    hint="For each photo: two maps, of the most and of the least likely class, and their rank correlation.",
    mistakes=[
        Mistake("runner-up", "you compared the most likely class with the second, not with the least likely", _LEAST),
        _likely(0, 1),
        Mistake("wrong-end", "you compared the two least likely classes", _LEAST),
        _likely(-1, -2),
        Mistake("wrong-end", "you compared the least likely class with the second", _LEAST),
        _likely(-1, 1),
        Mistake("wrong-end", "you compared the most likely class with the last but one", _LEAST),
        _likely(0, -2),
        Mistake("same-class", "all your numbers are 1, as where a map is compared with itself", _LEAST),
        _likely(0, 0),
        Mistake("wrong-end", "you compared the most likely class with one in the middle", _LEAST),
        _likely(0, 2),
        Mistake("by-index", "you compared the least likely class with the first of the list", _LEAST),
        _asking(lambda z: (*_same_for_all(z, 0), z.argmin(1))),
        Mistake("by-index", "you compared the first class with the last, whatever the network says", _LEAST),
        _asking(lambda z: _same_for_all(z, 0, z.shape[1] - 1)),
        Mistake("by-index", "you compared the first class with the second, whatever the network says", _LEAST),
        _asking(lambda z: _same_for_all(z, 0, 1)),
        Mistake("by-index", "you compared the most likely class with the first of the list", _LEAST),
        _asking(lambda z: (z.argmax(1), *_same_for_all(z, 0))),
        Mistake("class-missing", "you left out the last class, or the first", _LEAST),
        _asking(lambda z: _most_and_least(z[:, :-1])),
        _asking(lambda z: [found + 1 for found in _most_and_least(z[:, 1:])]),
        _asking(lambda z: _most_and_least(z[:, 1:])),
        Mistake("by-magnitude", "you took the logit nearest zero for the least likely class", _LOGITS),
        _asking(lambda z: (z.argmax(1), z.abs().argmin(1))),
        Mistake("by-magnitude", "you sorted the logits by magnitude", _LOGITS),
        _asking(lambda z: _most_and_least(z.abs())),
        Mistake("first-photo-classes", "you asked all photos about the classes of the first one", _OWN),
        _asking(lambda z: _same_for_all(z, z[0].argmax(), z[0].argmin())),
        Mistake("batch-mixed", "you took the most and least likely class of the whole batch", _OWN),
        _asking(lambda z: _same_for_all(z, z.mean(0).argmax(), z.mean(0).argmin())),
        Mistake("batch-mixed", "you ranked the maps of all photos together", _ONE_EACH),
        _all_at_once,
        then(_all_at_once, lambda rho: rho[0]),
        then(_all_at_once, lambda rho: rho[:1]),
        Mistake("photos-compared", "you compared the maps of two photos", "Two classes of one photo."),
        _neighbours,
        Mistake("averaged", "you averaged over the photos", _ONE_EACH),
        then(_sensitivity, torch.mean),
        then(_sensitivity, lambda rho: rho.mean().expand(len(rho))),
        Mistake("one-photo", "you measured the first, or last, photo only", _ONE_EACH),
        then(_sensitivity, lambda rho: rho[0]),
        then(_sensitivity, lambda rho: rho[:1]),
        then(_sensitivity, lambda rho: rho[0].expand(len(rho))),
        then(_sensitivity, lambda rho: rho[-1]),
        then(_sensitivity, lambda rho: rho[-1:]),
        *wrong_comparisons(_sensitivity),
    ],
)
check_class_sensitivity = checker(CLASS_SENSITIVITY)
