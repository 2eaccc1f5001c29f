"""Prepare signed maps for a colour map: from -1 to 1, and zero stays zero."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from posgrad_edu.checks.engine.changes import by_photo, over, unit, unit_batch
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES
from posgrad_edu.checks.engine.mutations import then
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task

TINY = 1e-6  # the size of the last try's map: the gradients of some networks are no larger


def _maps(n: int) -> Args:
    """Signed maps (N, 5, 7) of different sizes, with zeros, whose largest magnitude is positive or negative in turn.

    In the second try one is positive throughout and one negative; in the third one is zero; the last is tiny.
    """
    maps = torch.randn(BATCHES[n], 5, 7)
    flat = maps.flatten(1)
    largest = flat.gather(1, flat.abs().argmax(1, keepdim=True)).sign()[:, :, None]
    turns = torch.ones(len(maps), 1, 1)
    turns[n % 2 :: 2] = -1
    small = (torch.rand_like(maps) < 0.2) & (maps.abs() < _largest(maps))
    maps = (maps * largest * turns).masked_fill(small, 0)
    if n == 1:
        maps[0], maps[1] = maps[0].abs() + 0.1, -maps[1].abs() - 0.1
    if n == 2:
        maps[1] = 0
    sizes = torch.tensor([1.0, 30.0, 0.01])[: len(maps), None, None]  # the first isn't the largest
    return (maps * (TINY if n == 3 else sizes),)


def _largest(maps: Tensor) -> Tensor:
    return by_photo(maps.abs())


def _smallest_value(maps: Tensor) -> Tensor:
    return by_photo(maps, largest=False)


def _scaled(maps: Tensor, size: Callable[[Tensor], Tensor] = _largest) -> Tensor:
    return over(maps, size(maps))


def _by(size: Callable[[Tensor], Tensor]) -> Function:
    return partial(_scaled, size=size)


def _min_max(maps: Tensor) -> Tensor:
    return unit(maps).masked_fill(_largest(maps) == 0, 0.0)


def _stretched(maps: Tensor) -> Tensor:
    return 2 * maps - 1


def _clipped(maps: Tensor) -> Tensor:
    return maps.clamp(-1, 1)


def _centred(maps: Tensor) -> Tensor:
    return maps - maps.mean((1, 2), keepdim=True)


def _deviation(maps: Tensor) -> Tensor:
    return maps.std((1, 2), keepdim=True)


def _added_up(maps: Tensor) -> Tensor:
    return maps.sum((1, 2), keepdim=True)


_LARGEST = "Divide each map by its own largest magnitude: maps.abs(), and its largest value over the last two axes."
_NO_EVIDENCE = "Where the largest magnitude is 0, there is no evidence: return zeros for such a map."
_ZERO = "Nothing may be added or taken away, for zero has a meaning: divide only."
_ONE = "One number for a map, and each has its own: the largest magnitude over both of its axes."
_MAGNITUDES = "The largest magnitude may be that of a negative value: abs() first, then the largest."
_SIGNS = "The map keeps both signs, and one number divides both."
_STRAIGHT = "Dividing by one number keeps all proportions; a curve or a limit doesn't."
_NO_EPSILON = "A map of size 1e-6 is a map like any other: decide by itself what happens where all is zero."
SCALED = Task(
    name="scaled",
    signature="scaled(maps)",
    returns="maps (N, H, W) from -1 to 1, for a colour map whose middle is zero",
    about="""
maps: (N, H, W), signed, of any size. Each is divided by its own largest magnitude. Zero stays zero, each value
keeps its sign, and a map that is zero throughout stays so.
""",
    lesson=1,
    make=_maps,
    right=_scaled,
    blank=True,
    hint=_LARGEST,
    mistakes=[
        Mistake("not-finite", "a map is zero throughout, and you divided zero by zero there", _NO_EVIDENCE),
        lambda m: m / _largest(m),
        Mistake("zero-moved", "you stretched each map from -1 to 1 by its smallest and largest value", _ZERO),
        then(_min_max, _stretched),
        lambda m: _stretched(unit(m)).masked_fill(_largest(m) == 0, 0.0),
        then(unit, _stretched),
        Mistake("zero-moved", "you subtracted each map's smallest value, perhaps to scale it to 0..1", _ZERO),
        _min_max,
        unit,
        Mistake("zero-moved", "you scaled by the smallest and largest value of all maps", _ZERO),
        unit_batch,
        then(unit_batch, _stretched),
        Mistake("zero-moved", "you brought each map to 0..1, with zero in the middle", _ZERO),
        then(_scaled, lambda m: (m + 1) / 2),
        Mistake("zero-moved", "you subtracted each map's mean", _ZERO),
        lambda m: _scaled(_centred(m)),
        Mistake("zero-moved", "you subtracted each map's mean and divided by its standard deviation", _ZERO),
        lambda m: over(_centred(m), _deviation(m)),
        Mistake("one-scale", "you divided all maps by one number; here each has its own scale", _ONE),
        _by(lambda m: m.abs().max()),
        Mistake("largest-value", "you divided by the largest value, not the largest magnitude", _MAGNITUDES),
        _by(by_photo),
        Mistake("largest-value", "you divided by the magnitude of the largest value", _MAGNITUDES),
        _by(then(by_photo, torch.abs)),
        Mistake("largest-value", "you divided by the magnitude of the smallest value", _MAGNITUDES),
        _by(then(_smallest_value, torch.abs)),
        Mistake("largest-value", "you divided by the largest value, and cut off at -1 and 1", _MAGNITUDES),
        *(then(_by(size), _clipped) for size in (by_photo, then(by_photo, torch.abs))),
        Mistake("multiplied", "you multiplied by the largest magnitude instead of dividing", _LARGEST),
        lambda m: m * _largest(m),
        Mistake("size-returned", "you returned the sizes instead of what is divided by them", _LARGEST),
        lambda m: _largest(m).expand_as(m),
        Mistake("other-size", "you divided by the square of the largest magnitude, or by its root", _LARGEST),
        _by(lambda m: _largest(m) ** 2),
        _by(lambda m: _largest(m).sqrt()),
        Mistake("two-scales", "you gave positive and negative values a scale each", _SIGNS),
        lambda m: _scaled(m.clamp(min=0)) + _scaled(m.clamp(max=0)),
        Mistake("positive-only", "you dropped the negative values", _SIGNS),
        lambda m: _scaled(m.relu()),
        Mistake("positive-only", "you scaled the magnitudes to 0..1 by their smallest and largest", _SIGNS),
        lambda m: _min_max(m.abs()),
        Mistake("other-size", "you divided by the standard deviation", _LARGEST),
        _by(_deviation),
        Mistake("other-size", "you divided by the sum of the magnitudes", _LARGEST),
        _by(lambda m: _added_up(m.abs())),
        Mistake("other-size", "you divided by the mean of the magnitudes", _LARGEST),
        _by(lambda m: m.abs().mean((1, 2), keepdim=True)),
        Mistake("other-size", "you divided by the sum of the values", _LARGEST),
        _by(_added_up),
        Mistake("other-size", "you divided by the square root of the sum of squares", _LARGEST),
        _by(lambda m: _added_up(m.square()).sqrt()),
        Mistake("other-size", "you divided by the difference of the largest and the smallest value", _LARGEST),
        _by(lambda m: by_photo(m) - _smallest_value(m)),
        Mistake("wrong-axis", "you gave each row of a map its own scale", _ONE),
        _by(lambda m: m.abs().amax(2, keepdim=True)),
        Mistake("wrong-axis", "you gave each column of a map its own scale", _ONE),
        _by(lambda m: m.abs().amax(1, keepdim=True)),
        Mistake("batch-mixed", "you gave each position the largest magnitude over the photos", _ONE),
        _by(lambda m: m.abs().amax(0, keepdim=True)),
        Mistake("not-scaled", "you returned the maps as they were", _LARGEST),
        lambda m: m,
        Mistake("clipped", "you cut the values off at -1 and 1", _STRAIGHT),
        _clipped,
        Mistake("clipped", "you divided by a quantile, and cut off what lies beyond", _LARGEST),
        then(_by(lambda m: m.abs().flatten(1).quantile(0.99, 1)[:, None, None]), _clipped),
        Mistake("squashed", "you sent the values through a curve, such as tanh", _STRAIGHT),
        torch.tanh,
        torch.sigmoid,
        Mistake("squashed", "you kept nothing but the sign", _STRAIGHT),
        torch.sign,
        Mistake("epsilon", "you added an epsilon to the denominator that is large enough to show", _NO_EPSILON),
        *(_by(then(_largest, partial(torch.add, other=10.0**-n))) for n in range(10)),
        Mistake("epsilon", "a map of tiny values isn't scaled rightly", _NO_EPSILON, pattern=(True, True, True, False)),
        Mistake("zero-map", "a map of zeros didn't stay zero", _NO_EVIDENCE, pattern=(True, True, False, True)),
        Mistake("normalized", "you moved or bent the values as well", _LARGEST),
    ],
)
check_scaled = checker(SCALED)
