"""Answers that are right for another argument: for magnitudes of what was given, say, or for another photo's values."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from posgrad_edu.checks.engine.changes import Change, by_largest
from posgrad_edu.checks.engine.draw import Draw
from posgrad_edu.checks.engine.general import GENERAL
from posgrad_edu.checks.engine.mutations import on_arguments, swapped
from posgrad_edu.checks.engine.task import Answer, Mistake, Task

ARGUMENT_CHANGES: list[tuple[str, Change]] = [
    ("without its negative values", torch.relu),
    ("without its positive values", lambda t: t.clamp(max=0)),
    ("made absolute", torch.abs),
    ("with its sign turned", torch.neg),
    ("squared", torch.square),
    ("replaced by its signs", torch.sign),
    ("replaced by ones", torch.ones_like),
    ("minus its mean", lambda t: t - t.mean()),
    ("divided by its largest magnitude", lambda t: t / t.abs().max()),
]
FIRST = "of the first photo in place of each photo's own"
OF_PHOTOS: list[tuple[str, Change]] = [  # for what has one entry a photo
    (FIRST, lambda t: t[:1].expand_as(t)),
    ("of the last photo in place of each photo's own", lambda t: t[-1:].expand_as(t)),
    ("of the next photo in place of each photo's own", lambda t: t.roll(-1, 0)),
    ("of the photo before in place of each photo's own", lambda t: t.roll(1, 0)),
    ("with the photos in reverse order", lambda t: t.flip(0)),
    ("averaged over the photos", lambda t: t.mean(0, keepdim=True).expand_as(t)),
    ("added up over the photos", lambda t: t.sum(0, keepdim=True).expand_as(t)),
    ("minus each photo's mean", lambda t: t - t.flatten(1).mean(1).reshape(-1, *[1] * (t.ndim - 1))),
    ("divided by each photo's largest magnitude", by_largest),
]


def counts_photos(task: Task) -> bool:
    """Whether the first axis of a task's answer counts photos, as its words say."""
    return "(N" in task.returns + task.about


def right_for_another(draw: Draw, answers: list[Answer]) -> Mistake | None:
    """Return the mistake of who gives, on all tries, the right answer to arguments one of which is another."""
    names, right = draw.task.arguments, draw.task.right
    assert right is not None
    places = [n for n in range(len(names)) if all(_holds_numbers(args[n]) for args in draw.args)]
    for place in places:
        for words, change in _changes(draw, place):
            if draw.same(answers, draw.wrongs(on_arguments(right, change, place))):
                key = "first-photo-only" if words == FIRST else "argument-changed"
                return _mistake(f"with {names[place]} {words}", key)
    for one, other in combinations(places, 2):
        if draw.same(answers, draw.wrongs(swapped(right, one, other))):
            return _mistake(f"with {names[one]} and {names[other]} in each other's place")
    return None


def _mistake(words: str, key: str = "argument-changed") -> Mistake:
    return replace(GENERAL[key], says=f"your answer is the right one {words}")


def _holds_numbers(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _changes(draw: Draw, place: int) -> list[tuple[str, Change]]:
    pairs = zip(draw.args, draw.rights, strict=True)
    by_photo = counts_photos(draw.task) and all(args[place].shape[:1] == right[0].shape[:1] for args, right in pairs)
    return ARGUMENT_CHANGES + (OF_PHOTOS if by_photo else [])
