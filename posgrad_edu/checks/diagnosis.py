"""Which mistake gives this answer? The task's own wrong implementations first, then mistakes that any task can have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from posgrad_edu.checks.core import Answer, Args, Mistake, Task, alike, answer_of
from posgrad_edu.checks.general import BY_A_FACTOR, after, general

Tries = Sequence[Args]


def diagnose(task: Task, tries: Tries, answers: list[Answer]) -> Mistake | None:
    """Return the mistake that explains the answers to all tries; ``None`` if they are right."""
    assert task.right is not None
    rights = [answer_of(task, task.right, args) or [] for args in tries]
    correct = [alike(answer, right) for answer, right in zip(answers, rights, strict=True)]
    if all(correct):
        return None
    wrongs = [_Wrong(task, mistake, tries) for mistake in task.mistakes if mistake.wrong is not None]
    return (
        _same(wrongs, answers)
        or _by_pattern(task, correct)
        or _not_finite(task, rights, answers)
        or general(task, rights, answers, correct)
        or _with_something_else(wrongs, answers)
        or _wrong_shape(task, rights, answers)
        or _unknown(task, rights, answers, correct)
    )


def _by_pattern(task: Task, correct: list[bool]) -> Mistake | None:
    for mistake in task.mistakes:
        if mistake.pattern and all(want in (None, got) for want, got in zip(mistake.pattern, correct, strict=True)):
            return mistake
    return None


class _Wrong:
    """A mistake and what its wrong implementation answers to each try, computed when it is asked for, and once."""

    def __init__(self, task: Task, mistake: Mistake, tries: Tries) -> None:
        self.task, self.mistake, self.tries = task, mistake, tries
        self.known: list[Answer | None] = []

    def answers(self) -> Iterator[Answer | None]:
        assert self.mistake.wrong is not None
        for n, args in enumerate(self.tries):
            if n == len(self.known):
                self.known.append(answer_of(self.task, self.mistake.wrong, args))
            yield self.known[n]


def _same(wrongs: Sequence[_Wrong], answers: list[Answer]) -> Mistake | None:
    for wrong in wrongs:
        if all(alike(answer, theirs) for answer, theirs in zip(answers, wrong.answers(), strict=True)):
            return wrong.mistake
    return None


def _with_something_else(wrongs: Sequence[_Wrong], answers: list[Answer]) -> Mistake | None:
    """Return a mistake that, together with one change to the finished answer, explains it: two mistakes at once."""
    if not any(part.any() for answer in answers for part in answer):
        return None  # zero throughout: too many changes could lead there
    for words, change in after().items():
        # A factor is seen by bringing both to one scale.
        mine = [_changed(change, answer) for answer in answers] if words == BY_A_FACTOR else answers
        for wrong in wrongs:
            if all(_becomes(change, theirs, own) for own, theirs in zip(mine, wrong.answers(), strict=True)):
                says = f"{wrong.mistake.says}; beside that, the result is {words}"
                return replace(wrong.mistake, says=says)
    return None


def _becomes(change: Callable[[Tensor], Tensor], theirs: Answer | None, own: Answer) -> bool:
    if theirs is None or [t.shape for t in theirs] != [t.shape for t in own]:
        return False
    try:
        return alike(own, _changed(change, theirs))
    except (RuntimeError, IndexError):  # a change of maps, and these are numbers
        return False


def _changed(change: Callable[[Tensor], Tensor], answer: Answer) -> Answer:
    return [change(part) if part.ndim else part for part in answer]


def _not_finite(task: Task, rights: list[Answer], answers: list[Answer]) -> Mistake | None:
    for right, answer in zip(rights, answers, strict=True):
        meant = all(part.isfinite().all() for part in right)
        if meant and not all(part.isfinite().all() for part in answer):
            return task.find("not-finite")
    return None


def _wrong_shape(task: Task, rights: list[Answer], answers: list[Answer]) -> Mistake | None:
    for right, answer in zip(rights, answers, strict=True):
        if len(right) != len(answer):
            general_words = task.find("wrong-count")
            return replace(
                general_words, says=f"your list holds {len(answer)} tensors where there should be {len(right)}"
            )
        for ours, theirs in zip(right, answer, strict=True):
            if ours.shape != theirs.shape:
                words = f"your result has the shape {tuple(theirs.shape)} instead of {tuple(ours.shape)}"
                return replace(task.find("wrong-shape"), says=words)
    return None


def _unknown(task: Task, rights: list[Answer], answers: list[Answer], correct: list[bool]) -> Mistake:
    """Return what can be said of an answer that no known mistake explains."""
    share = _share_of_right_values(rights, answers)
    some = f"right on {sum(correct)} of {len(correct)} tries" if any(correct) else "wrong on all tries"
    values = f" ({share:.0%} of the values are right)" if share >= 0.01 else ""
    says = f"the shape is right, the values are {some}{values}, and it is none of the mistakes known here"
    return Mistake("unknown", says, task.hint)


def _share_of_right_values(rights: list[Answer], answers: list[Answer]) -> float:
    pairs = [pair for r, a in zip(rights, answers, strict=True) for pair in zip(r, a, strict=True)]
    close = [torch.isclose(a.double(), r.double(), rtol=1e-3, atol=1e-7, equal_nan=True).flatten() for r, a in pairs]
    return float(torch.cat(close).double().mean())
