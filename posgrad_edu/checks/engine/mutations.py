"""Wrong answers that derive from a right one by themselves: a wrong argument, a finished result that is changed.

The standard way to write a mistake is a knob on the right answer: the right answer takes what may go wrong as a keyword
(``score=``, ``axes=``, ``back=``), and a mistake is ``partial(right, axes=(1,))``. The helpers here are for what needs
no knob.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from posgrad_edu.checks.engine.general import GENERAL
from posgrad_edu.checks.engine.task import Function, Mistake
from posgrad_edu.handling import POSITIVE, SIGNED

SUM_COLOURS = "Add up the colour channels with sum(1)."


def then(function: Function, change: Callable[[Any], Any]) -> Function:
    """Return the function followed by a change of its finished result."""
    return lambda *args: change(function(*args))


def with_argument(function: Function, place: int, value: Any) -> Function:
    """Return the function with another value in place of one argument, counted from 0, or from the end below 0."""

    def replaced(*args: Any) -> Any:
        mine = list(args)
        mine[place] = value
        return function(*mine)

    return replaced


def swapped(function: Function, one: int = 0, other: int = 1) -> Function:
    """Return the function with two arguments in each other's place."""

    def exchanged(*args: Any) -> Any:
        mine = list(args)
        mine[one], mine[other] = mine[other], mine[one]
        return function(*mine)

    return exchanged


def known(key: str, *wrong: Function, hint: str = "") -> Mistake:
    """Return a mistake in the general words for its key."""
    mistake = GENERAL[key]
    return replace(mistake, wrong=wrong, hint=hint or mistake.hint)


def handling_ignored(right: Function, hint: str, place: int = -1) -> list[Mistake]:
    """Return the mistakes of who doesn't use the handling, an argument of the right answer."""
    return [
        Mistake("handling-forgotten", "you didn't use the handling", hint, with_argument(right, place, SIGNED)),
        Mistake(
            "handling-hard-coded",
            "you always drop the negative gradients, whatever the handling",
            hint,
            with_argument(right, place, POSITIVE),
        ),
    ]


def colours(values: Callable[..., Tensor]) -> list[Mistake]:
    """Return the mistakes of bringing colour channels together; the right result is ``values(...).sum(1)``."""

    def row(key: str, says: str, hint: str, *changes: Callable[[Tensor], Tensor]) -> Mistake:
        return Mistake(key, says, hint, tuple(then(values, change) for change in changes))

    signed = "The map is signed: add the colours up as they are."
    return [
        row("absolute", "you took absolute values before adding up the colours", signed, lambda g: g.abs().sum(1)),
        row("absolute", "you took the largest magnitude of the colours", signed, lambda g: g.abs().amax(1)),
        row(
            "relu-on-result",
            "you dropped negative values before adding up the colours",
            signed,
            lambda g: g.relu().sum(1),
        ),
        row("squared", "you squared the values", signed, lambda g: g.square().sum(1)),
        row("colours-averaged", "you averaged over the colours instead of adding up", SUM_COLOURS, lambda g: g.mean(1)),
        row("colours-averaged", "you took the largest value of the colours", SUM_COLOURS, lambda g: g.amax(1)),
        row("one-colour", "you returned the first colour only", SUM_COLOURS, lambda g: g[:, 0]),
        row("channels-kept", "you kept the colour channels", SUM_COLOURS, lambda g: g),
        row(
            "channels-kept",
            "you kept an axis for the colour channel",
            "sum(1) without keepdim gives (N, H, W).",
            lambda g: g.sum(1, keepdim=True),
        ),
        row(
            "wrong-axis",
            "you added up over rows or columns instead of colours",
            SUM_COLOURS,
            lambda g: g.sum(2),
            lambda g: g.sum(3),
        ),
        row("batch-mixed", "you added up over the photos instead of the colours", SUM_COLOURS, lambda g: g.sum(0)),
    ]
