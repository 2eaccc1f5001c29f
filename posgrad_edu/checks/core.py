"""How a check works: run a learner's function on fresh random tries, compare, and name the mistake.

A ``Task`` knows the right answer, how to make a try, and a table of named mistakes. Most of these are small wrong
implementations. Where the learner's answer isn't the right one, it is compared with each of them on the same tries:
the mistake whose answers are the learner's is the learner's mistake. That is all there is to it, so a new mistake is
one line more in a table.

Answers may be right in any formulation: only values count, to a relative 1e-4.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from posgrad_edu.checks import errors, forms, snapshot
from posgrad_edu.checks.running import Outcome, call

LESSONS = {
    0: "Start here",
    1: "Gradients",
    2: "GradCAM",
    3: "GradCAM++",
    4: "FullGrad",
    5: "DeconvNet and Guided Backprop",
    6: "RectGrad",
    7: "LRP",
    8: "Class sensitivity",
    9: "Parameter randomization",
    10: "Why positive propagation collapses",
    11: "The paper's verdicts, reproduced",
    12: "Your own photo and network",
}
TIMEOUT = 10.0  # seconds for each call
TRIES = 4
WITHIN = 1e-4  # relative to the largest value

Args = tuple[Any, ...]
Answer = list[Tensor]
# Which tries are right, in a mistake's ``pattern``: True, False, or None for either.
Pattern = tuple[bool | None, ...]


@dataclass(frozen=True)
class Mistake:
    """A typical mistake: a key, what is said of it, a hint of one sentence, and the wrong implementation.

    wrong: takes what the learner's function takes and gives its wrong answer; ``None`` for what is seen otherwise.
    pattern: for a mistake that shows by which tries are right.
    """

    key: str
    says: str
    hint: str
    wrong: Callable[..., Any] | None = None
    pattern: Pattern | None = None


@dataclass(frozen=True)
class Result:
    """What a check found: true if passed; printed, it says what is wrong, a hint, and where to read.

    key: a short fixed name of the mistake, ``None`` if passed.
    """

    task: str
    passed: bool
    says: str
    key: str | None = None
    hint: str = ""
    lesson: int = 0
    printed: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        if self.passed:
            return f"✓ {self.task}: {self.says}"
        lines = [f"✗ {self.task}: {self.says}.", f"  Hint: {self.hint}"]
        lines.append(f"  Read: lesson {self.lesson:02d}, {LESSONS[self.lesson]}.")
        if self.printed:
            lines.append("  Your function printed: " + self.printed.strip().replace("\n", "\n    "))
        return "\n".join(lines)


@dataclass(frozen=True)
class Task:
    """Something to implement.

    signature: as a learner would write it. right: the right answer. make: the arguments of the n-th try, drawn from
    torch's random stream; the first two tries have equal shapes. mistakes: the table. inspect: for answers that can't
    be compared with a right one, a function of all tries' arguments and answers that returns a mistake's key or
    ``None``. tries: how many.
    """

    name: str
    signature: str
    lesson: int
    make: Callable[[int], Args]
    mistakes: Sequence[Mistake]
    right: Callable[..., Any] | None = None
    form: Callable[[Any], Any] = forms.tensor
    inspect: Callable[[list[Args], list[Any]], str | None] | None = None
    tries: int = TRIES
    hint: str = "Compare with the equation in the lesson, factor by factor."

    def find(self, key: str) -> Mistake:
        """Return this task's own words for a key, or the general ones."""
        from posgrad_edu.checks.general import GENERAL

        return next((m for m in self.mistakes if m.key == key), None) or GENERAL[key]


class Failed(Exception):
    """Ends a check: what is wrong is known."""

    def __init__(self, key: str, says: str, hint: str, printed: str = "") -> None:
        super().__init__(says)
        self.key, self.says, self.hint, self.printed = key, says, hint, printed


def failed(mistake: Mistake, printed: str = "", also: str = "") -> Failed:
    """Return (not raise) the end of a check with a known mistake."""
    return Failed(mistake.key, mistake.says + also, mistake.hint, printed)


def check(task: Task, function: Callable[..., Any], timeout: float = TIMEOUT) -> Result:
    """Try a learner's function on fresh random networks and inputs, and say what is wrong with it, if anything.

    timeout: seconds for each call. Whatever the function does, this returns a ``Result``.
    """
    try:
        if not callable(function):
            mistake = task.find("not-callable")
            raise failed(mistake, also=f", not {type(function).__name__}")
        with snapshot.as_it_was():
            torch.manual_seed(random.SystemRandom().getrandbits(32))  # fresh each time: constants can't pass
            note = _examine(task, function, timeout)
    except Failed as end:
        return Result(task.name, False, end.says, end.key, end.hint, task.lesson, end.printed)
    return Result(task.name, True, f"right on {task.tries} fresh random tries.{note}", lesson=task.lesson)


def _examine(task: Task, function: Callable[..., Any], timeout: float) -> str:
    """Raise ``Failed`` with what is wrong; return what may be said beside "right"."""
    from posgrad_edu.checks.diagnosis import diagnose

    tries, answers, kept, note = _draw(task), [], False, ""
    for args in tries:
        mine = copy.deepcopy(args)
        before = snapshot.take(mine)
        outcome = call(function, mine, timeout)
        answers.append(_read(task, function, outcome, timeout))
        change = snapshot.changed(before)
        if change is not None:
            raise failed(task.find(change), outcome.printed)
        kept = kept or any(isinstance(a, Tensor) and a.requires_grad for a in answers[-1])
        if snapshot.filled_gradients(before):
            note = " (backward() also filled .grad of the network's parameters; torch.autograd.grad leaves them alone.)"
    if task.inspect is not None:
        key = task.inspect(tries, answers)
        if key is not None:
            raise failed(task.find(key), outcome.printed)
        return note
    answers = [[part.detach().cpu() for part in answer] for answer in answers]
    found = diagnose(task, tries, answers)
    if found is not None:
        raise failed(found, outcome.printed)
    again = _read(task, function, call(function, mine, timeout), timeout)
    if not alike(again, answers[-1]):
        doubled = alike(again, [2 * part for part in answers[-1]])
        raise failed(task.find("accumulates" if doubled else "not-repeatable"), outcome.printed)
    if kept:
        raise failed(task.find("not-detached"), outcome.printed)
    return note


def _draw(task: Task) -> list[Args]:
    """Return the tries; one whose right answer is zero throughout could hide mistakes, and is drawn again."""
    tries = []
    for n in range(task.tries):
        args = task.make(n)
        while task.right is not None and not any(part.any() for part in answer_of(task, task.right, args) or []):
            args = task.make(n)
        tries.append(args)
    return tries


def _read(task: Task, function: Callable[..., Any], outcome: Outcome, timeout: float) -> Any:
    """Return the answer of a call in the form that was asked for, or raise ``Failed`` with what went wrong."""
    if outcome.timed_out:
        mistake = task.find("timeout")
        raise failed(mistake, outcome.printed, f" after {timeout:g} seconds")
    if outcome.error is not None:
        raise Failed(*errors.explain(outcome.error, function, task.signature), outcome.printed)
    try:
        return task.form(outcome.value)
    except forms.Unfit as unfit:
        raise Failed(unfit.key, unfit.says, unfit.hint, outcome.printed) from None


def answer_of(task: Task, function: Callable[..., Any], args: Args) -> Answer | None:
    """Return the answer of one of our own implementations; ``None`` where it can't be computed."""
    try:
        return [part.detach() for part in task.form(function(*copy.deepcopy(args)))]
    except (RuntimeError, IndexError, ValueError):
        return None


def alike(ours: Answer | None, theirs: Answer | None) -> bool:
    """Whether two answers are equal, up to rounding."""
    if ours is None or theirs is None or [p.shape for p in ours] != [p.shape for p in theirs]:
        return False
    return all(_alike(a.detach().double(), b.detach().double()) for a, b in zip(ours, theirs, strict=True))


def _alike(a: Tensor, b: Tensor) -> bool:
    finite = b[b.isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    return torch.allclose(a, b, rtol=0.0, atol=WITHIN * scale + 1e-9, equal_nan=True)
