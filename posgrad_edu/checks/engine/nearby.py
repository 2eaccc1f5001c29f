"""Answers that are right but for one thing: a factor, an addend, an order, rounding."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import permutations

import torch
from torch import Tensor

from posgrad_edu.checks.engine.compare import WITHIN, alike, gap, same_shapes
from posgrad_edu.checks.engine.draw import Draw
from posgrad_edu.checks.engine.forms import count
from posgrad_edu.checks.engine.general import GENERAL, named
from posgrad_edu.checks.engine.task import Answer, Mistake

# Of what fits any answer, if it only differs enough from call to call.
KEYS = ("wrong-factor", "added", "reordered", "mirrored", "rounded")
STEADILY = 0.05  # of what is added: so much it may vary by rounding
COARSE = 0.02  # of the largest value: further off is no rounding
DIGITS = range(7)  # after the point, that somebody may round to
HALF = {torch.float16: "half precision", torch.bfloat16: "bfloat16"}


def factors(answers: list[Answer], wanted: Iterable[Answer | None]) -> list[float]:
    """Return what factors lead from the wanted answers to these, one a try; none where there are none.

    Tries that say nothing are left out: of zeros or nan alone. Single numbers always have a factor: it must be one
    and the same, and further from 1 than rounding brings it.
    """
    found = []
    single = True
    for answer, right in zip(answers, wanted, strict=True):
        factor = None if right is None else _factor(answer, right)
        if factor is None:
            return []
        found += [factor] if factor else []
        single = single and sum(part.numel() for part in answer) == 1
    return [] if single and not (constant(found) and abs(found[0] - 1) > COARSE) else found


def constant(found: list[float]) -> bool:
    """Whether factors are one and the same."""
    return bool(found) and max(found) - min(found) <= 1e-4 * abs(found[0])


def by_a_factor(draw: Draw, answers: list[Answer]) -> Mistake | None:
    """Return the mistake of who is wrong by one factor a try, of either sign."""
    found = factors(answers, draw.rights)
    if not found or any(abs(factor - 1) < 1e-4 for factor in found):  # a try that is right needs no factor
        return None
    if max(found) < 0:
        sign = named(draw.task, "wrong-sign")
        return replace(sign, says=f"{sign.says}, and it is off by a factor")
    mistake = named(draw.task, "wrong-factor")
    if constant(found):
        size = f"it is {found[0]:.3g} times what it should be"
        return replace(mistake, says=f"{mistake.says}: {size}") if mistake == GENERAL["wrong-factor"] else mistake
    sizes = "differs from try to try" if min(found) > 0 else "differs from try to try, and so does its sign"
    return replace(GENERAL["wrong-factor"], says=f"your result is right but for a factor, which {sizes}")


def _factor(answer: Answer, right: Answer) -> float | None:
    """Return the factor; 0 where nothing can be said, ``None`` where there is none."""
    if not same_shapes(answer, right):
        return None
    ours, theirs = _flat(answer), _flat(right)
    kept = theirs.isfinite()
    if not torch.equal(kept, ours.isfinite()):
        return None
    ours, theirs = ours[kept], theirs[kept]
    if not theirs.any():
        return None if ours.any() else 0.0
    factor = float((ours * theirs).sum() / theirs.square().sum())
    return factor if factor and alike([ours], [theirs * factor]) else None


def by_an_addend(draw: Draw, answers: list[Answer]) -> Mistake | None:
    """Return the mistake of who added one number to all values."""
    wrong = [pair for pair in _pairs(draw, answers) if not alike(*pair, draw.task.rounding)]
    if not all(same_shapes(*pair) for pair in wrong):
        return None
    for answer, right in wrong:
        ours, theirs = _flat(answer), _flat(right)
        difference = (ours - theirs)[theirs.isfinite()]
        mean = difference.mean()
        varies = difference.numel() and bool((difference - mean).abs().max() > STEADILY * mean.abs())
        if difference.numel() < 2 or varies or not alike([ours], [theirs + mean]):
            return None
    return GENERAL["added"] if wrong else None


def in_another_order(draw: Draw, answers: list[Answer]) -> Mistake | None:
    """Return the mistake of who mixed up photos, numbers or parts, or mirrored the maps; each is right for itself."""
    orders: set[tuple[int, ...]] = set()
    for answer, right in _pairs(draw, answers):
        parts = len(answer) > 1
        ours, theirs = (answer, right) if parts else (list(answer[0]), list(right[0])) if answer[0].ndim else ([], [])
        found = _order(ours, theirs)
        if found is None:
            return _mirrored(draw, answers)
        orders.add(found)
    in_order = all(order == tuple(range(len(order))) for order in orders)
    return _mirrored(draw, answers) if in_order else GENERAL["reordered"]


def _order(ours: list[Tensor], theirs: list[Tensor]) -> tuple[int, ...] | None:
    """Return which of theirs each of ours is."""
    if len(ours) != len(theirs) or not 0 < len(ours) <= 20:
        return None
    if len(ours) > 5:
        orders: Iterator[tuple[int, ...]] = iter([tuple(reversed(range(len(ours))))])
    else:
        orders = permutations(range(len(ours)))
    return next((o for o in orders if all(alike([a], [theirs[n]]) for a, n in zip(ours, o, strict=True))), None)


def _mirrored(draw: Draw, answers: list[Answer]) -> Mistake | None:
    for axis, words in ((-1, "left and right are"), (-2, "top and bottom are")):
        flipped = [[p.flip(axis) if p.ndim > 2 else p for p in right] for right in draw.rights]
        if draw.same(answers, flipped):
            return replace(GENERAL["mirrored"], says=f"your result is mirrored: {words} swapped")
    return None


def rounded(draw: Draw, answers: list[Answer]) -> Mistake | None:
    """Return the mistake of who rounded, in whatever way: nearly right on all tries, in all values, in right shapes."""
    pairs = list(_pairs(draw, answers))
    furthest = max(gap(*pair, draw.task.rounding) * WITHIN for pair in pairs)
    half = [HALF[dtype] for dtype in draw.dtypes if dtype in HALF] or _been_in_half(pairs)
    if half:
        says = f"your values are right up to rounding: they are, or were, in {half[0]}"
        return replace(GENERAL["rounded"], says=says)
    found = _to_digits(pairs)
    if found or furthest > COARSE:
        return found
    digits = count(max(1, math.floor(-math.log10(furthest))), "digit")
    return replace(GENERAL["rounded"], says=f"your values are nearly right, to about {digits}")


def _been_in_half(pairs: list[tuple[Answer, Answer]]) -> list[str]:
    """Return in which half precision all values can be written, if most of them are nearly right."""
    ours, theirs = _in_a_row(pairs)
    nearly = torch.isclose(ours, theirs, rtol=COARSE, atol=1e-9, equal_nan=True).double().mean() > 0.8
    if not nearly or len(ours.unique()) < 20:  # as whole numbers can
        return []
    return [words for dtype, words in HALF.items() if torch.equal(ours, ours.to(dtype).double())]


def _to_digits(pairs: list[tuple[Answer, Answer]]) -> Mistake | None:
    ours, theirs = _in_a_row(pairs)
    kept = theirs.isfinite()
    for digits in DIGITS:
        half = 0.501 * 10.0**-digits
        steps = ours[kept] * 10.0**digits
        whole = (steps - steps.round()).abs().max() <= 1e-3 if steps.numel() else False
        if whole and steps.any() and bool(((ours - theirs)[kept].abs() <= half).all()):
            to = f"{count(digits, 'digit')} after the point" if digits else "whole numbers"
            return replace(GENERAL["rounded"], says=f"you rounded the result to {to}")
    return None


def _in_a_row(pairs: list[tuple[Answer, Answer]]) -> list[Tensor]:
    """Return all values of ours, and of theirs."""
    return [torch.cat([_flat(answer) for answer in side]) for side in zip(*pairs, strict=True)]


def _flat(answer: Answer) -> Tensor:
    return torch.cat([part.double().flatten() for part in answer]) if answer else torch.zeros(0)


def _pairs(draw: Draw, answers: list[Answer]) -> Iterator[tuple[Answer, Answer]]:
    return zip(answers, draw.rights, strict=True)
