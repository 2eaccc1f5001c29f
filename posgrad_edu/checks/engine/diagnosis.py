"""Which mistake gives this answer? The task's own wrong implementations first, then mistakes that any task can have.

A finding is *certain* where one mistake alone gives exactly the learner's answers. What is concluded from which tries
are right may be luck: such a finding has to come up again on fresh tries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from posgrad_edu.checks.engine import arguments, nearby
from posgrad_edu.checks.engine.changes import BESIDE, CHANGES, Change, changed, first_photo_right
from posgrad_edu.checks.engine.compare import alike, apart
from posgrad_edu.checks.engine.draw import Draw
from posgrad_edu.checks.engine.forms import count
from posgrad_edu.checks.engine.general import GENERAL, named
from posgrad_edu.checks.engine.task import Answer, Mistake

REMEMBERS = "remembers"
UNKNOWN = "unknown"
# Whether each try is right, clearly wrong, or (``None``) so close that neither can be said.
Correct = list[bool | None]


@dataclass(frozen=True)
class Finding:
    """Mistakes that explain the answers, the likeliest first, and whether there is no doubt."""

    mistakes: list[Mistake]
    certain: bool
    correct: Correct

    @property
    def first(self) -> Mistake:
        """The likeliest mistake."""
        return self.mistakes[0]


def settled(findings: Sequence[Finding | None]) -> Mistake | None:
    """Return the mistake that is certain in one of several sets of tries, or comes up in two, and the most often.

    ``None`` among the findings: that set was right.
    """
    found = [finding for finding in findings if finding is not None]
    for finding in found:
        if finding.certain:
            return finding.first
    times = Counter(key for finding in found for key in {mistake.key for mistake in finding.mistakes})
    (key, most), *others = times.most_common()
    if most < 2 or any(number == most for _, number in others):
        return None
    return next(mistake for finding in found for mistake in finding.mistakes if mistake.key == key)


def was_rounding(findings: Sequence[Finding | None]) -> bool:
    """Whether a set of tries was right, and no try of the others clearly wrong."""
    return None in findings and not any(False in finding.correct for finding in findings if finding is not None)


def of_memory(finding: Finding | None, repeatable: bool) -> Mistake:
    """Return what is wrong where the first try alone was right, after a second set of tries.

    repeatable: whether two calls with the same input agree.
    """
    if not repeatable:
        return Mistake(UNKNOWN, "none of the mistakes known here, and two calls with the same input differ", _SPECIAL)
    if finding is not None and finding.correct[0] is False:
        return GENERAL[REMEMBERS]
    says = "the first try was right, the others weren't, and it is none of the mistakes known here"
    return Mistake(UNKNOWN, says, _SPECIAL)


_SPECIAL = "What is particular about the first try: its handling, its sizes, its signs?"


def diagnose(draw: Draw, answers: list[Answer]) -> Finding | None:
    """Return what explains the answers to all tries; ``None`` if they are right."""
    correct = _correct(draw, answers)
    if all(correct):
        return None
    for nearly in (False, True):
        same = draw.explained_by(answers, nearly)
        if same:
            return Finding(same, not nearly and len({mistake.key for mistake in same}) == 1, correct)
        change = _changed(draw, answers, nearly)
        if change:
            return Finding([change], not nearly, correct)
    for certain, find in _WAYS:
        found = find(draw, answers)
        if found:
            return Finding([found], certain, correct)
    return Finding([_unknown(draw, answers, correct)], False, correct)


def _correct(draw: Draw, answers: list[Answer]) -> Correct:
    rounding = draw.task.rounding
    pairs = list(zip(answers, draw.rights, strict=True))
    return [True if alike(*pair, rounding) else False if apart(*pair, rounding) else None for pair in pairs]


def _changed(draw: Draw, answers: list[Answer], nearly: bool) -> Mistake | None:
    """Return the general mistake that turns the right answers into these, or nearly so, if there is one."""
    for key, change in CHANGES:
        changes = [changed(change, right) for right in draw.rights]
        if draw.same(answers, changes, nearly):
            return named(draw.task, key)
    return None


def _constant(draw: Draw, answers: list[Answer]) -> Mistake | None:
    if alike(answers[0], answers[1]) and apart(draw.rights[0], draw.rights[1]):
        if not any(part.numel() for part in answers[0]):
            return None
        zero = all(not part.any() for part in answers[0])
        return named(draw.task, "all-zero" if zero else "constant")
    return None


def _an_argument(draw: Draw, answers: list[Answer]) -> Mistake | None:
    """Return the mistake of who gives back one of the arguments as it came."""
    for place, name in enumerate(draw.task.arguments):
        given = [args[place] for args in draw.args]
        if all(isinstance(value, Tensor) for value in given) and draw.same(answers, [[value] for value in given]):
            return replace(GENERAL["argument-returned"], says=f"you returned the argument {name} as it came")
    return None


def _not_finite(draw: Draw, answers: list[Answer]) -> Mistake | None:
    for right, answer in zip(draw.rights, answers, strict=True):
        meant = all(part.isfinite().all() for part in right)
        if meant and not all(part.isfinite().all() for part in answer):
            return _with_the_others(draw, answers, named(draw.task, "not-finite"))
    return None


def _with_the_others(draw: Draw, answers: list[Answer], mistake: Mistake) -> Mistake:
    """Return a mistake of some tries, with what is to be said of those where all is finite."""
    finite = [n for n, answer in enumerate(answers) if all(part.isfinite().all() for part in answer)]
    found = nearby.by_a_factor(draw.only(finite), [answers[n] for n in finite]) if finite else None
    if not found or all(alike(answers[n], draw.rights[n]) for n in finite):
        return mistake
    tries = f"{len(answers) - len(finite)} of {len(answers)} tries"
    return replace(mistake, says=f"{mistake.says} in {tries}; in the others, {found.says}")


def _by_pattern(draw: Draw, answers: list[Answer]) -> Mistake | None:
    correct = _correct(draw, answers)
    for mistake in draw.task.mistakes:
        pairs = zip(mistake.pattern or (), correct, strict=False)
        if mistake.pattern and all(want is None or want is got for want, got in pairs):
            return mistake
    return None


def _remembers(draw: Draw, answers: list[Answer]) -> Mistake | None:
    first, *later = _correct(draw, answers)
    return named(draw.task, REMEMBERS) if first and all(right is False for right in later) else None


def _first_only(draw: Draw, answers: list[Answer]) -> Mistake | None:
    pairs = zip(answers, draw.rights, strict=True)
    return named(draw.task, "first-photo-only") if all(first_photo_right(*pair) for pair in pairs) else None


def _with_something_else(draw: Draw, answers: list[Answer]) -> Mistake | None:
    """Return a mistake that, together with one change to the finished answer, explains it: two mistakes at once."""
    if not any(part.any() for answer in answers for part in answer):
        return None  # zero throughout: too many changes could lead there
    scaled = bool(nearby.factors(answers, draw.rights))  # then no mistake is needed beside the factor
    for words, change in BESIDE.items():
        if scaled if change is None else draw.same(draw.rights, [changed(change, right) for right in draw.rights]):
            continue
        for mistake in draw.task.mistakes:
            if any(_same_beside(answers, list(draw.wrongs(wrong)), change) for wrong in mistake.wrong):
                return replace(mistake, says=f"{mistake.says}; beside that, the result is {words}")
    return None


def _same_beside(answers: list[Answer], wrongs: list[Answer | None], change: Change | None) -> bool:
    """Whether a change turns wrong answers into these; ``None`` stands for a positive factor."""
    if change is None:
        found = nearby.factors(answers, wrongs)
        return bool(found) and min(found) > 0
    return all(alike(own, changed(change, theirs)) for own, theirs in zip(answers, wrongs, strict=True))


def _wrong_shape(draw: Draw, answers: list[Answer]) -> Mistake | None:
    for right, answer in zip(draw.rights, answers, strict=True):
        if len(right) != len(answer):
            words = f"your list holds {count(len(answer), 'tensor')} where there should be {len(right)}"
            return replace(named(draw.task, "wrong-count"), says=words)
        for ours, theirs in zip(right, answer, strict=True):
            if ours.shape != theirs.shape:
                words = f"your result has the shape {tuple(theirs.shape)} instead of {tuple(ours.shape)}"
                return replace(named(draw.task, "wrong-shape"), says=words)
    return None


# For what neither a mistake of the task nor a change explains. In this order; whether what is found is certain.
_WAYS: list[tuple[bool, Callable[[Draw, list[Answer]], Mistake | None]]] = [
    (True, arguments.right_for_another),
    (False, _by_pattern),
    (True, _not_finite),
    (True, _an_argument),
    (True, _constant),
    (True, nearby.by_a_factor),
    (True, nearby.in_another_order),
    (True, nearby.by_an_addend),
    (False, _remembers),
    (False, _first_only),
    (True, _with_something_else),
    (True, _wrong_shape),
    (False, nearby.rounded),  # behind the shapes, which it takes for right
]


def _unknown(draw: Draw, answers: list[Answer], correct: Correct) -> Mistake:
    """Return what can be said of an answer that no known mistake explains."""
    share = _share_of_right_values(draw.rights, answers)
    right = correct.count(True)
    some = f"right on {right} of {len(correct)} tries" if right else "wrong on all tries"
    values = f" ({share:.0%} of the values are right)" if 0.01 <= share < 0.995 else ""
    says = f"the shape is right, the values are {some}{values}, and it is none of the mistakes known here"
    return Mistake(UNKNOWN, says, draw.task.hint)


def _share_of_right_values(rights: list[Answer], answers: list[Answer]) -> float:
    pairs = [pair for r, a in zip(rights, answers, strict=True) for pair in zip(r, a, strict=True)]
    close = [torch.isclose(a.double(), r.double(), rtol=1e-3, atol=1e-7, equal_nan=True).flatten() for r, a in pairs]
    return float(torch.cat(close).double().mean())
