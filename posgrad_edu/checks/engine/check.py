"""How a check works: run a learner's function on fresh random tries, compare, and name the mistake.

A ``Task`` knows the right answer, how to make a try, and a table of named mistakes. Most of these are small wrong
implementations. Where the learner's answer isn't the right one, it is compared with each of them on the same tries:
the mistake whose answers are the learner's is the learner's mistake. That is all there is to it, so a new mistake is
one line more in a table.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from posgrad_edu.checks.engine import forms, snapshot, tracebacks
from posgrad_edu.checks.engine.compare import EXACTLY, alike
from posgrad_edu.checks.engine.diagnosis import REMEMBERS, Finding, diagnose, of_memory, settled, was_rounding
from posgrad_edu.checks.engine.draw import Draw, as_number, chosen, fresh
from posgrad_edu.checks.engine.general import named
from posgrad_edu.checks.engine.sandbox import Outcome, call
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Result, Task

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
    seed = chosen(seed)
    try:
        if not callable(function):
            raise Failed(named(task, "not-callable"), also=f", not {type(function).__name__}")
        with snapshot.as_it_was():
            torch.manual_seed(as_number(seed))
            note = _examine(task, function, task.timeout if timeout is None else timeout)
    except Failed as end:
        return Result(task.name, False, end.says, end.key, end.hint, task.lesson, end.printed, seed)
    return Result(task.name, True, f"right on {task.tries} fresh random tries.{note}", lesson=task.lesson, seed=seed)


def _examine(task: Task, function: Function, timeout: float) -> str:
    """Raise ``Failed`` with what is wrong; return what may be said beside "right"."""
    if task.inspect is not None:
        return _inspect(task, task.inspect, _ask(task, function, timeout))
    asked = _ask(task, function, timeout)
    found = diagnose(asked.draw, asked.answers)
    if found is not None and found.certain:
        raise Failed(found.first, asked.printed)
    again = _read(task, function, call(function, asked.last, timeout), timeout)
    if found is not None:
        mistake = _confirmed(task, function, timeout, found, alike(again, asked.answers[-1], times=EXACTLY))
        if mistake is not None:
            raise Failed(mistake, asked.printed)
    if not alike(again, asked.answers[-1], task.rounding):
        doubled = alike(again, [2 * part for part in asked.answers[-1]])
        raise Failed(named(task, "accumulates" if doubled else "not-repeatable"), asked.printed)
    if asked.kept_graph:
        raise Failed(named(task, "not-detached"), asked.printed)
    return asked.note


def _inspect(task: Task, inspect: Callable[[list[Args], list[Any]], str | None], asked: Asked) -> str:
    key = inspect(asked.draw.args, asked.answers)
    if key is not None:
        raise Failed(named(task, key), asked.printed)
    return asked.note


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
        outcome = call(function, mine, timeout)
        answers.append(_read(task, function, outcome, timeout))
        change = snapshot.changed(before)
        if change is not None:
            raise Failed(named(task, change), outcome.printed)
        kept = kept or any(isinstance(a, Tensor) and a.requires_grad for a in answers[-1])
        if snapshot.filled_gradients(before):
            note = _FILLED
    if task.inspect is None:
        answers = [[part.detach().cpu() for part in answer] for answer in answers]
    return Asked(drawn, answers, mine, outcome.printed, kept, note)


def _read(task: Task, function: Function, outcome: Outcome, timeout: float) -> Any:
    """Return the answer of a call in the form that was asked for, or raise ``Failed`` with what went wrong."""
    if outcome.timed_out:
        raise Failed(named(task, "timeout"), outcome.printed, f" after {timeout:g} seconds")
    if outcome.error is not None:
        raise Failed(Mistake(*tracebacks.explain(outcome.error, function, task.signature)), outcome.printed)
    try:
        return task.form(outcome.value)
    except forms.Unfit as unfit:
        raise Failed(Mistake(unfit.key, unfit.says, unfit.hint), outcome.printed) from None
