"""What a concept file states: a task, its right answer, and a table of named mistakes; and what a check returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from posgrad_edu.checks.engine import forms

TITLES = {
    0: "Start here",
    1: "Gradients",
    2: "GradCAM",
    3: "Two switches and the layer",
    4: "What a logit means",
    5: "GradCAM++",
    6: "FullGrad",
    7: "Opening the engine",
    8: "DeconvNet and Guided Backprop",
    9: "RectGrad",
    10: "LRP by hand",
    11: "LRP on a real network",
    12: "Class sensitivity",
    13: "Parameter randomization",
    14: "Testing the tests",
    15: "Covering pixels",
    16: "Products of positive matrices",
    17: "Block by block",
    18: "The claims, tested",
    19: "Attention",
    20: "Your own photo, network and method",
    21: "Which map on Monday",
}
TRIES = 4
TIMEOUT = 10.0  # seconds for each call

Args = tuple[Any, ...]
Answer = list[Tensor]
Function = Callable[..., Any]
# Which tries are right, in a mistake's ``pattern``: True, False, or None for either.
Pattern = tuple[bool | None, ...]


@dataclass(frozen=True)
class Mistake:
    """A typical mistake: a key, what is said of it, a hint of one sentence, and the wrong implementation.

    wrong: each takes what the learner's function takes and gives its wrong answer; none for what is seen otherwise.
    pattern: for a mistake that shows by which tries are right.
    """

    key: str
    says: str
    hint: str
    wrong: tuple[Function, ...] = ()
    pattern: Pattern | None = None


def _table(rows: Iterable[Mistake | Function]) -> tuple[Mistake, ...]:
    """Give each mistake the wrong implementations that follow it."""
    found: list[Mistake] = []
    for row in rows:
        if isinstance(row, Mistake):
            found.append(row)
        else:
            found[-1] = replace(found[-1], wrong=(*found[-1].wrong, row))
    return tuple(found)


@dataclass(frozen=True)
class Task:
    """Something to implement.

    signature, returns, about: how a learner would write it, what it gives, and what each argument is; from these the
    docstring of its check is made. body: the function's last line in that docstring's example. right: the right answer.
    make: the arguments of the n-th try, drawn from torch's random stream; the first two tries have equal shapes.
    mistakes: the table, a list of each mistake and, after it, its wrong implementations. inspect: for answers that
    can't be compared with a right one, a function of all tries' arguments and answers that returns a mistake's key or
    ``None``. tries: how many. rounding: the absolute difference that float32 leaves between two right ways to compute
    an answer, where it isn't small beside the answer's largest value. blank: whether the right answer for one photo
    may be zero throughout. timeout: seconds for each call.
    """

    name: str
    signature: str
    lesson: int
    make: Callable[[int], Args]
    mistakes: Sequence[Any]
    right: Function | None = None
    returns: str = ""
    about: str = ""
    body: str = "..."
    form: Callable[[Any], Any] = forms.tensor
    inspect: Callable[[list[Args], list[Any]], str | None] | None = None
    tries: int = TRIES
    rounding: float = 1e-9
    blank: bool = False
    timeout: float = TIMEOUT
    hint: str = "Compare with the equation in the lesson, factor by factor."

    def __post_init__(self) -> None:
        object.__setattr__(self, "mistakes", _table(self.mistakes))

    @property
    def arguments(self) -> list[str]:
        """The names of its arguments."""
        return self.signature.partition("(")[2].rstrip(")").split(", ")

    @property
    def function(self) -> str:
        """The name of the function to write."""
        return self.signature.partition("(")[0]


@dataclass(frozen=True)
class Result:
    """What a check found: true if passed; printed, it says what is wrong, a hint, and where to read.

    key: a short fixed name of the mistake, ``None`` if passed. seed: of its random tries; given to the check again, it
    brings the same ones.
    """

    task: str
    passed: bool
    says: str
    key: str | None = None
    hint: str = ""
    lesson: int = 0
    printed: str = field(default="", repr=False)
    seed: int | str = 0

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        if self.passed:
            return f"✓ {self.task}: {self.says}"
        lines = [f"✗ {self.task}: {self.says}.", f"  Hint: {self.hint}"]
        lines.append(f"  Read: lesson {self.lesson:02d}, {TITLES[self.lesson]}.")
        if self.printed:
            lines.append("  Your function printed: " + self.printed.strip().replace("\n", "\n    "))
        return "\n".join(lines)
