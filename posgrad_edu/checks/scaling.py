"""Prepare signed maps for a colour map: from -1 to 1, and zero stays zero."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from posgrad_edu.checks.engine.changes import unit
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES
from posgrad_edu.checks.engine.task import Args, Mistake, Task

Size = Callable[[Tensor], Tensor]  # maps (N, H, W) -> what each is divided by, broadcast
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


def _over(maps: Tensor, size: Tensor) -> Tensor:
    """Divide, and give 0 where the size is 0."""
    return torch.where(size == 0, 0.0, maps / torch.where(size == 0, 1.0, size))


def _largest(maps: Tensor) -> Tensor:
    return maps.abs().amax((1, 2), keepdim=True)


def _scaled(maps: Tensor) -> Tensor:
    return _over(maps, _largest(maps))


def _by(size: Size) -> Callable[[Tensor], Tensor]:
    """Return what learners do who divide by another size."""
    return lambda maps: _over(maps, size(maps))


def _min_max(maps: Tensor) -> Tensor:
    return torch.where(_largest(maps) == 0, 0.0, unit(maps))


def _of_all(maps: Tensor) -> Tensor:
    return (maps - maps.min()) / (maps.max() - maps.min())


def _centred(maps: Tensor) -> Tensor:
    return maps - maps.mean((1, 2), keepdim=True)


def _deviation(maps: Tensor) -> Tensor:
    return maps.std((1, 2), keepdim=True)


def _each_sign(maps: Tensor) -> Tensor:
    return _scaled(maps.clamp(min=0)) + _scaled(maps.clamp(max=0))


def _with_epsilon(maps: Tensor, epsilon: float) -> Tensor:
    return maps / (_largest(maps) + epsilon)


def _quantile(maps: Tensor) -> Tensor:
    return maps.abs().flatten(1).quantile(0.99, 1)[:, None, None]


_LARGEST = "Divide each map by its own largest magnitude: maps.abs(), and its largest value over the last two axes."
_ZERO = "Nothing may be added or taken away, for zero has a meaning: divide only."
_ONE = "One number for a map: the largest magnitude over both of its axes."
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
    hint=_LARGEST,
    mistakes=[
        Mistake(
            "not-finite",
            "a map is zero throughout, and you divided zero by zero there",
            "Where the largest magnitude is 0, divide by 1 instead.",
        ),
        lambda m: m / _largest(m),
        Mistake("zero-moved", "you stretched each map from -1 to 1 by its smallest and largest value", _ZERO),
        lambda m: 2 * _min_max(m) - 1,
        lambda m: torch.where(_largest(m) == 0, 0.0, 2 * unit(m) - 1),
        lambda m: 2 * unit(m) - 1,
        Mistake("zero-moved", "you scaled each map to 0..1 by its smallest and largest value", _ZERO),
        _min_max,
        unit,
        Mistake("zero-moved", "you scaled to 0..1 by the smallest and largest value of all maps", _ZERO),
        _of_all,
        Mistake("zero-moved", "you stretched from -1 to 1 by the smallest and largest value of all maps", _ZERO),
        lambda m: 2 * _of_all(m) - 1,
        Mistake(
            "zero-moved",
            "you brought each map to 0..1, with zero in the middle",
            "Here zero stays 0: divide by the largest magnitude, and no more.",
        ),
        lambda m: (_scaled(m) + 1) / 2,
        Mistake("zero-moved", "you subtracted each map's mean", _ZERO),
        lambda m: _scaled(_centred(m)),
        Mistake("zero-moved", "you subtracted each map's mean and divided by its standard deviation", _ZERO),
        lambda m: _over(_centred(m), _deviation(m)),
        Mistake("zero-moved", "you subtracted each map's smallest value", _ZERO),
        lambda m: _scaled(m - m.amin((1, 2), keepdim=True)),
        Mistake(
            "one-scale",
            "you divided all maps by one number",
            "Here each map is divided by its own largest magnitude; one scale for all is the next question.",
        ),
        _by(lambda m: m.abs().max()),
        Mistake(
            "largest-value",
            "you divided by the largest value, not the largest magnitude",
            "Where blue is stronger than red, the largest magnitude belongs to a negative value: abs() first.",
        ),
        _by(lambda m: m.amax((1, 2), keepdim=True)),
        Mistake(
            "largest-value",
            "you divided by the magnitude of the largest value",
            "Take magnitudes first, then the largest of them: the other way round misses negative values.",
        ),
        _by(lambda m: m.amax((1, 2), keepdim=True).abs()),
        Mistake(
            "largest-value",
            "you divided by the magnitude of the smallest value",
            "Take magnitudes first, then the largest of them.",
        ),
        _by(lambda m: m.amin((1, 2), keepdim=True).abs()),
        Mistake(
            "two-scales",
            "you gave positive and negative values a scale each",
            "Then full red and full blue differ in strength: one number for both signs.",
        ),
        _each_sign,
        Mistake("positive-only", "you dropped the negative values", "The map keeps both signs."),
        lambda m: _scaled(m.clamp(min=0)),
        Mistake(
            "positive-only",
            "you scaled the magnitudes to 0..1 by their smallest and largest",
            "The map keeps both signs.",
        ),
        lambda m: _min_max(m.abs()),
        Mistake("other-size", "you divided by the standard deviation", _LARGEST),
        _by(_deviation),
        Mistake("other-size", "you divided by the sum of the magnitudes", _LARGEST),
        _by(lambda m: m.abs().sum((1, 2), keepdim=True)),
        Mistake("other-size", "you divided by the mean of the magnitudes", _LARGEST),
        _by(lambda m: m.abs().mean((1, 2), keepdim=True)),
        Mistake("other-size", "you divided by the sum of the values", _LARGEST),
        _by(lambda m: m.sum((1, 2), keepdim=True)),
        Mistake("other-size", "you divided by the square root of the sum of squares", _LARGEST),
        _by(lambda m: m.square().sum((1, 2), keepdim=True).sqrt()),
        Mistake("other-size", "you divided by the difference of the largest and the smallest value", _LARGEST),
        _by(lambda m: m.amax((1, 2), keepdim=True) - m.amin((1, 2), keepdim=True)),
        Mistake("wrong-axis", "you gave each row of a map its own scale", _ONE),
        _by(lambda m: m.abs().amax(2, keepdim=True)),
        Mistake("wrong-axis", "you gave each column of a map its own scale", _ONE),
        _by(lambda m: m.abs().amax(1, keepdim=True)),
        Mistake("batch-mixed", "you gave each position the largest magnitude over the photos", _ONE),
        _by(lambda m: m.abs().amax(0, keepdim=True)),
        Mistake("not-scaled", "you returned the maps as they were", _LARGEST),
        lambda m: m,
        Mistake("clipped", "you cut the values off at -1 and 1", _STRAIGHT),
        lambda m: m.clamp(-1, 1),
        Mistake("clipped", "you divided by a quantile, and cut off what lies beyond", _LARGEST),
        lambda m: _over(m, _quantile(m)).clamp(-1, 1),
        Mistake("squashed", "you sent the values through tanh", _STRAIGHT),
        torch.tanh,
        Mistake("squashed", "you sent the values through a sigmoid", _STRAIGHT),
        torch.sigmoid,
        Mistake("squashed", "you kept nothing but the sign", _STRAIGHT),
        torch.sign,
        Mistake("epsilon", "you added an epsilon to the denominator that is large enough to show", _NO_EPSILON),
        *(partial(_with_epsilon, epsilon=10.0**-n) for n in range(6)),
        Mistake("epsilon", "a map of tiny values isn't scaled rightly", _NO_EPSILON, pattern=(True, True, True, False)),
        Mistake(
            "zero-map",
            "a map that is zero throughout didn't stay zero",
            "Where there is no evidence, no colour belongs: return zeros for it.",
            pattern=(True, True, False, True),
        ),
        Mistake("normalized", "you moved or bent the values as well", _LARGEST),
    ],
)


check_scaled = checker(SCALED)
