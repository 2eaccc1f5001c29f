"""How a check works: run a learner's function on fresh random tries, compare, and name the mistake.

A ``Task`` knows the right answer, how to make a try, and a table of named mistakes. Most of these are small wrong
implementations. Where the learner's answer isn't the right one, it is compared with each of them on the same tries:
the mistake whose answers are the learner's is the learner's mistake. That is all there is to it, so a new mistake is
one line more in a table.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from posgrad_edu.checks.engine import forms, nearby, partly, snapshot, surroundings, tracebacks
from posgrad_edu.checks.engine.compare import EXACTLY, alike
from posgrad_edu.checks.engine.diagnosis import REMEMBERS, UNKNOWN, Finding, diagnose, of_memory, settled, was_rounding
from posgrad_edu.checks.engine.draw import Draw, as_number, chosen, fresh
from posgrad_edu.checks.engine.general import named
from posgrad_edu.checks.engine.sandbox import Outcome, call
from posgrad_edu.checks.engine.task import Answer, Args, Function, Mistake, Result, Task

AGAIN = 3  # calls with the same input: a small random number is the same twice in one of some hundred pairs of calls
SETS = 3  # of tries, where the first leaves doubt
_FILLED = " (backward() also filled .grad of the network's parameters; torch.autograd.grad leaves them alone.)"


class Check(Protocol):
    """The function that checks a task."""

    __name__: str

    def __call__(self, function: Function, timeout: float = ..., seed: int | str | None = None) -> Result:
        """Check a learner's function."""


class Failed(Exception):
    """Ends a check: what is wrong is known."""

    def __init__(self, mistake: Mistake, printed: str = "", also: str = "") -> None:
        super().__init__(mistake.says)
        self.key, self.says, self.hint, self.printed = mistake.key, mistake.says + also, mistake.hint, printed


def checker(task: Task, name: str = "") -> Check:
    """Return the public function ``check_...(function)`` of a task; its docstring is made of what the task states.

    name: where it isn't that of the function to write.
    """

    def checked(function: Function, timeout: float = task.timeout, seed: int | str | None = None) -> Result:
        return check(task, function, timeout, seed)

    checked.__name__ = checked.__qualname__ = name or f"check_{task.function}"
    checked.__module__ = "posgrad_edu.checks"
    about = f"{task.about.strip()}\n\n" if task.about else ""
    example = f"    def {task.signature}:\n        {task.body}\n\n    {checked.__name__}({task.function})\n"
    checked.__doc__ = f"Check ``{task.signature}`` -> {task.returns}.\n\n{about}{example}"
    return checked


def check(task: Task, function: Function, timeout: float | None = None, seed: int | str | None = None) -> Result:
    """Try a learner's function on fresh random networks and inputs, and say what is wrong with it, if anything.

    timeout: seconds for each call. seed: of the tries; if not given, that in the environment variable
    POSGRAD_EDU_SEED, or else a fresh one. Whatever the function does, this returns a ``Result``.
    """
    seed, undone = chosen(seed), ""
    try:
        if not callable(function):
            raise Failed(named(task, "not-callable"), also=f", not {forms.a(type(function).__name__)}")
        with surroundings.as_they_were() as undone:
            torch.manual_seed(as_number(seed))
            note = _examine(task, function, task.timeout if timeout is None else timeout)
    except Failed as end:
        says = f"{end.says}. Before the check: {undone}" if undone else end.says
        return Result(task.name, False, says, end.key, end.hint, task.lesson, end.printed, seed)
    says = f"right on {task.tries} fresh random tries.{note}" + (f" Before the check: {undone}." if undone else "")
    return Result(task.name, True, says, lesson=task.lesson, seed=seed)


def _examine(task: Task, function: Function, timeout: float) -> str:
    """Raise ``Failed`` with what is wrong; return what may be said beside "right"."""
    asked = _ask(task, function, timeout)
    if task.inspect is not None:
        key = task.inspect(asked.draw.args, asked.answers)
        if key is not None:
            raise Failed(named(task, key), asked.printed)
        return asked.note
    found = diagnose(asked.draw, asked.answers)
    if found is not None and found.certain and found.first.key not in nearby.KEYS:
        raise Failed(found.first, asked.printed)
    again, repeatable = _called_again(task, function, timeout, asked, AGAIN if found else 1)
    if found is not None:
        mistake = found.first if found.certain else _confirmed(task, function, timeout, found, repeatable)
        if mistake is not None:
            raise Failed(_explained(task, function, timeout, mistake, asked, again, repeatable), asked.printed)
    if not alike(again, asked.answers[-1], task.rounding):
        raise Failed(_unrepeatable(task, again, asked.answers[-1]), asked.printed)
    if asked.kept_graph:
        raise Failed(named(task, "not-detached"), asked.printed)
    return asked.note


def _called_again(task: Task, function: Function, timeout: float, asked: Asked, times: int) -> tuple[Answer, bool]:
    """Call the function so often on the last try, or until it gives something else; return that, and whether not."""
    for _ in range(times):
        again = _read(task, function, _call(function, asked.last, timeout), timeout)
        if not alike(again, asked.answers[-1], times=EXACTLY):
            return again, False
    return again, True


def _explained(
    task: Task, function: Function, timeout: float, mistake: Mistake, asked: Asked, again: Answer, repeatable: bool
) -> Mistake:
    """Return the mistake, or a truer one where two calls differ, with what is right about what nothing explains."""
    if not repeatable and mistake.key in (UNKNOWN, *nearby.KEYS):
        return _unrepeatable(task, again, asked.answers[-1])
    return partly.told(mistake, asked.draw, asked.answers, partial(_answer, task, function, timeout))


def _unrepeatable(task: Task, again: Answer, before: Answer) -> Mistake:
    doubled = alike(again, [2 * part for part in before])
    return named(task, "accumulates" if doubled else "not-repeatable")


def _answer(task: Task, function: Function, timeout: float, args: Args) -> Answer | None:
    """Return what the function answers once more; ``None`` where it doesn't."""
    try:
        found = _read(task, function, _call(function, copy.deepcopy(args), timeout), timeout)
    except Failed:
        return None
    return [part.detach().cpu() for part in found]


def _confirmed(task: Task, function: Function, timeout: float, found: Finding, repeatable: bool) -> Mistake | None:
    """Return the mistake of a function whose first set of tries left doubt: more, fresh sets decide.

    ``None`` where it was rounding.
    """
    findings: list[Finding | None] = [found]
    for _ in range(SETS - 1):
        asked = _ask(task, function, timeout)
        findings.append(diagnose(asked.draw, asked.answers))
        if found.first.key == REMEMBERS:
            return of_memory(findings[-1], repeatable)
        mistake = settled(findings)
        if mistake is not None or was_rounding(findings):
            return mistake
    return found.first


class Asked(NamedTuple):
    """A set of tries and what the learner's function gave for them."""

    draw: Draw
    answers: list[Any]
    last: Args  # the very arguments of the last call
    printed: str
    kept_graph: bool
    note: str


def _ask(task: Task, function: Function, timeout: float) -> Asked:
    """Call the function on a fresh set of tries; raise ``Failed`` for an error, or for what it left changed."""
    drawn, answers, kept, note = fresh(task), [], False, ""
    for args in drawn.args:
        mine = copy.deepcopy(args)
        before = snapshot.take(mine)
        outcome = _call(function, mine, timeout)
        answers.append(_read(task, function, outcome, timeout))
        change = snapshot.changed(before)
        if change is not None:
            raise Failed(named(task, change), outcome.printed)
        kept = kept or any(isinstance(a, Tensor) and a.requires_grad for a in answers[-1])
        if snapshot.filled_gradients(before):
            note = _FILLED
    if task.inspect is None:
        answers = [[part.detach().cpu() for part in answer] for answer in answers]
        drawn.dtypes = sorted({part.dtype for answer in answers for part in answer}, key=str)
    return Asked(drawn, answers, mine, outcome.printed, kept, note)


def _call(function: Function, args: Args, timeout: float) -> Outcome:
    with surroundings.modes_kept():
        return call(function, args, timeout)


def _read(task: Task, function: Function, outcome: Outcome, timeout: float) -> Any:
    """Return the answer of a call in the form that was asked for, or raise ``Failed`` with what went wrong."""
    if outcome.timed_out:
        raise Failed(named(task, "timeout"), outcome.printed, f" after {forms.count(timeout, 'second')}")
    if outcome.error is not None:
        raise Failed(Mistake(*tracebacks.explain(outcome.error, function, task.signature)), outcome.printed)
    try:
        return task.form(outcome.value)
    except forms.Unfit as unfit:
        raise Failed(Mistake(unfit.key, unfit.says, unfit.hint), outcome.printed) from None
    except Exception as error:  # an object of the learner's own may fail in any way when it is looked at
        words = f"what you returned, {forms.a(type(outcome.value).__name__)}, can't be read ({type(error).__name__})"
        plain = Mistake("wrong-type", words, "Return a plain tensor, or plain numbers.")
        raise Failed(plain, outcome.printed) from None
