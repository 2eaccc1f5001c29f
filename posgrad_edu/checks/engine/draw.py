"""The random tries of one check: fresh each time, and repeatable from a seed."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import torch

from posgrad_edu.checks.engine.compare import STEADY, alike, answer_of, apart, in_double, nearer
from posgrad_edu.checks.engine.mutations import Then
from posgrad_edu.checks.engine.task import Answer, Args, Function, Mistake, Task

SEED = "POSGRAD_EDU_SEED"  # the environment variable that fixes the seed of all checks
# At most, of a try or of all tries together. At most a quarter of the draws are unfit (a test counts them). Were it
# half, all of them would be in less than one of a million.
REDRAWS = 20
T = TypeVar("T")


def until(fit: Callable[[T], bool], draw: Callable[[], T], times: int = 1000) -> T:
    """Return the first fit one of what is drawn; the last one, should none be fit after so many."""
    for _ in range(times):
        found = draw()
        if fit(found):
            break
    return found


def chosen(seed: int | str | None) -> int | str:
    """Return the seed that is given, or the one in the environment, or else a fresh one: constants can't pass."""
    if seed is None:
        seed = os.environ.get(SEED) or None
    return random.SystemRandom().getrandbits(32) if seed is None else seed


def as_number(seed: int | str) -> int:
    """Return what torch's stream is seeded with; a seed may be any text."""
    return random.Random(str(seed)).getrandbits(32)


class Draw:
    """The arguments of all tries, the right answers, and what each mistake answers, computed when asked for, once."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.args: list[Args] = []
        self.rights: list[Answer] = []
        for n in range(task.tries):
            self._add(n)
        self.dtypes: list[torch.dtype] = []  # of a learner's answers, before they are compared
        self._wrongs: dict[tuple[Function, int], Answer | None] = {}
        self._finished: dict[tuple[Function, int], Any] = {}

    def _add(self, n: int) -> None:
        """Draw a try until it is fit for comparing answers."""
        args, right = until(self._is_fit, lambda: self._answered(self.task.make(n)), REDRAWS)
        self.args.append(args)
        self.rights.append(right)

    def _answered(self, args: Args) -> tuple[Args, Answer]:
        return args, answer_of(self.task, self.task.right, args) or [] if self.task.right else []

    def _is_fit(self, answered: tuple[Args, Answer]) -> bool:
        args, right = answered
        return self.task.right is None or (self._says_something(right) and self._is_steady(args, right))

    def _says_something(self, right: Answer) -> bool:
        """Whether the right answer isn't zero throughout, which could hide mistakes."""
        if not self.task.blank and any(part.ndim > 1 and not part.flatten(1).any(1).all() for part in right):
            return False
        return any(part.any() for part in right)

    def _is_steady(self, args: Args, right: Answer) -> bool:
        """Whether rounding can't be seen in the right answer: near a pole or a kink it can."""
        assert self.task.right is not None
        exact = answer_of(self.task, self.task.right, in_double(args))
        return alike(right, exact, self.task.rounding, STEADY)

    def only(self, tries: Sequence[int]) -> Draw:
        """Return some of the tries."""
        found = copy.copy(self)
        found.args, found.rights = [self.args[n] for n in tries], [self.rights[n] for n in tries]
        found._wrongs, found._finished = {}, {}
        return found

    def wrong(self, implementation: Function, n: int) -> Answer | None:
        """Return what a wrong implementation answers to the n-th try."""
        if (implementation, n) not in self._wrongs:
            self._wrongs[implementation, n] = answer_of(self.task, partial(self._result, implementation, n), ())
        return self._wrongs[implementation, n]

    def _result(self, function: Function, n: int) -> Any:
        """Return what a function gives for the n-th try; a result that several mistakes change is computed once."""
        if not isinstance(function, Then):
            return function(*self.args[n])
        before = function.function, n
        if before not in self._finished:
            self._finished[before] = self._result(*before)
        return function.change(self._finished[before])

    def wrongs(self, implementation: Function) -> Iterator[Answer | None]:
        """Yield what it answers to each try."""
        return (self.wrong(implementation, n) for n in range(len(self.args)))

    def hides_a_mistake(self) -> bool:
        """Whether a wrong implementation is on no try clearly apart from the right answer: who makes it would pass."""
        return not all(self._shows(wrong) for mistake in self.task.mistakes for wrong in mistake.wrong)

    def _shows(self, implementation: Function) -> bool:
        pairs = zip(self.wrongs(implementation), self.rights, strict=True)
        return any(apart(wrong, right, self.task.rounding) for wrong, right in pairs)

    def explained_by(self, answers: list[Answer], nearly: bool = False) -> list[Mistake]:
        """Return the mistakes that give these answers, or nearly so, in the order of the table."""
        mistakes = self.task.mistakes
        return [m for m in mistakes if any(self.same(answers, self.wrongs(wrong), nearly) for wrong in m.wrong)]

    def same(self, answers: Iterable[Answer], wrongs: Iterable[Answer | None], nearly: bool = False) -> bool:
        """Whether the answers to all tries are certain wrong ones, or nearly so."""
        tries = zip(answers, wrongs, self.rights, strict=True)
        if nearly:
            return all(nearer(answer, wrong, right, self.task.rounding) for answer, wrong, right in tries)
        return all(alike(answer, wrong, self.task.rounding) for answer, wrong, _ in tries)


def fresh(task: Task) -> Draw:
    """Return a draw on which each mistake shows; the last one, should none do after so many."""
    return until(lambda draw: not draw.hides_a_mistake(), lambda: Draw(task), REDRAWS)
