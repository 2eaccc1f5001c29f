"""Wrong answers that derive from a right one by themselves: a wrong argument, a finished result that is changed.

The standard way to write a mistake is a knob on the right answer: the right answer takes what may go wrong as a keyword
(``score=``, ``axes=``, ``back=``), and a mistake is ``partial(right, axes=(1,))``. The helpers here are for what needs
no knob.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from posgrad_edu.checks.engine.task import Function, Mistake
from posgrad_edu.handling import POSITIVE, SIGNED

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Then:
    """A function followed by a change of its finished result; a draw computes the result once for all its changes."""

    function: Function
    change: Callable[[Any], Any]  # into something else; the result stays as it is

    def __call__(self, *args: Any, **knobs: Any) -> Any:
        """Return the changed result."""
        return self.change(self.function(*args, **knobs))


def then(function: Function, change: Callable[[Any], Any]) -> Function:
    """Return the function followed by a change of its finished result."""
    return Then(function, change)


def each(function: Function, change: Callable[[Any], Any]) -> Function:
    """Return the function with each part of its finished result changed."""
    return then(function, lambda parts: [change(part) for part in parts])


def on_arguments(function: Function, change: Callable[[Any], Any], *places: int) -> Function:
    """Return the function with some arguments changed, counted from 0, or from the end below 0."""

    def changed(*args: Any) -> Any:
        mine = list(args)
        for place in places:
            mine[place] = change(mine[place])
        return function(*mine)

    return changed


def with_argument(function: Function, place: int, value: Any) -> Function:
    """Return the function with another value in place of one argument, counted from 0, or from the end below 0."""
    return on_arguments(function, lambda _: value, place)


def unchanged(given: T) -> T:
    """Return what is given: for a step that is left out."""
    return given


def swapped(function: Function, one: int = 0, other: int = 1) -> Function:
    """Return the function with two arguments in each other's place."""

    def exchanged(*args: Any) -> Any:
        mine = list(args)
        mine[one], mine[other] = mine[other], mine[one]
        return function(*mine)

    return exchanged


def completed(ways: Iterable[Any], make: Callable[[Any], Function]) -> list[Mistake | Function]:
    """Return a table of mistakes in one step, with ``make(...)`` of each wrong way to take it: the whole answer."""
    return [way if isinstance(way, Mistake) else make(way) for way in ways]


def handling_ignored(right: Function, hint: str, place: int = -1) -> list[Mistake | Function]:
    """Return the mistakes of who doesn't use the handling, an argument of the right answer."""
    return [
        Mistake("handling-forgotten", "you didn't use the handling", hint),
        with_argument(right, place, SIGNED),
        Mistake("handling-hard-coded", "you always drop the negative gradients, whatever the handling", hint),
        with_argument(right, place, POSITIVE),
    ]


_SUM = "Add up the colour channels with sum(1)."
_AS_THEY_ARE = "The map is signed: add the colours up as they are."
_IN_PLACE_OF_SUM: list[Any] = [
    Mistake("absolute", "you took absolute values before adding up the colours", _AS_THEY_ARE),
    lambda g: g.abs().sum(1),
    Mistake("absolute", "you took the largest magnitude of the colours", _AS_THEY_ARE),
    lambda g: g.abs().amax(1),
    Mistake("relu-on-result", "you dropped negative values before adding up the colours", _AS_THEY_ARE),
    lambda g: g.relu().sum(1),
    Mistake("squared", "you squared the values", _AS_THEY_ARE),
    lambda g: g.square().sum(1),
    Mistake("colours-averaged", "you averaged over the colours instead of adding up", _SUM),
    lambda g: g.mean(1),
    Mistake("colours-averaged", "you took the largest value of the colours", _SUM),
    lambda g: g.amax(1),
    Mistake("colours-averaged", "you took the colour of the largest magnitude, with its sign", _SUM),
    lambda g: g.gather(1, g.abs().argmax(1, keepdim=True))[:, 0],
    Mistake("colours-averaged", "you took the length of the three colours' vector", _AS_THEY_ARE),
    lambda g: g.square().sum(1).sqrt(),
    Mistake("one-colour", "you returned the first colour only", _SUM),
    lambda g: g[:, 0],
    Mistake("one-colour", "you returned the last colour only", _SUM),
    lambda g: g[:, -1],
    Mistake("three-colours", "you counted on three colours: a photo of one has gone wrong", _SUM),
    lambda g: 3 * g.mean(1),
    Mistake("channels-kept", "you kept the colour channels", _SUM),
    lambda g: g,
    Mistake("channels-kept", "you kept an axis for the colour channel", "sum(1) without keepdim gives (N, H, W)."),
    lambda g: g.sum(1, keepdim=True),
    Mistake("wrong-axis", "you added up over rows or columns instead of colours", _SUM),
    lambda g: g.sum(2),
    lambda g: g.sum(3),
    Mistake("batch-mixed", "you added up over the photos instead of the colours", _SUM),
    lambda g: g.sum(0),
]


def colours(values: Function) -> list[Mistake | Function]:
    """Return the mistakes of bringing colour channels together; the right result is ``values(...).sum(1)``."""
    return completed(_IN_PLACE_OF_SUM, partial(then, values))
