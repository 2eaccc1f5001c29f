"""What is right about an answer that nothing explains: with which handling, in which part, for how many photos.

Each sentence is what was tried: one argument alone is changed, and the function is called again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from posgrad_edu.checks.engine.arguments import counts_photos
from posgrad_edu.checks.engine.compare import alike, answer_of, apart, same_shapes
from posgrad_edu.checks.engine.diagnosis import UNKNOWN
from posgrad_edu.checks.engine.draw import Draw
from posgrad_edu.checks.engine.task import Answer, Args, Mistake, Task
from posgrad_edu.handling import HANDLINGS

Ask = Callable[[Args], Answer | None]  # the learner's function; ``None`` where it gives no answer

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def told(mistake: Mistake, draw: Draw, answers: list[Answer], ask: Ask) -> Mistake:
    """Return the mistake, and if it is none that is known, in front of that what is right about the answers."""
    if mistake.key != UNKNOWN:
        return mistake
    for words in (_by_argument(draw, answers, ask), _by_batch(draw, answers, ask), _by_part(draw.rights, answers)):
        if words:
            return replace(mistake, says=f"{words}, and it is none of the mistakes known here")
    return mistake


def _by_argument(draw: Draw, answers: list[Answer], ask: Ask) -> str:
    """Try the handlings, or an argument's numbers, one after the other on the same photos."""
    base = next((n for n, answer in enumerate(answers) if alike(answer, draw.rights[n], draw.task.rounding)), 0)
    for place, name in enumerate(draw.task.arguments):
        options = _options([args[place] for args in draw.args])
        right: list[Any] = []
        wrong: list[Any] = []
        for option in options:
            args = (*draw.args[base][:place], option, *draw.args[base][place + 1 :])
            (right if _is_right(draw.task, args, ask) else wrong).append(option)
        if right and wrong:
            return _with(name, right, wrong)
    return ""


def _options(values: list[Any]) -> list[Any]:
    handlings = list(HANDLINGS.values())
    if all(value in handlings for value in values if not isinstance(value, Tensor)) and callable(values[0]):
        return handlings if values[0] in handlings else []
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return sorted(set(numbers)) if len(numbers) == len(values) else []


def _with(name: str, right: Sequence[Any], wrong: Sequence[Any]) -> str:
    if right[0] in list(HANDLINGS.values()):
        if len(right) == 1:
            return f"right with {right[0]} handling only"
        return f"right with {listed(right)} handling, wrong with {listed(wrong)}"
    return f"right where {name} is {listed(right)}, wrong where it is {listed(wrong)}"


def _by_batch(draw: Draw, answers: list[Answer], ask: Ask) -> str:
    """Try the first photo of a batch alone."""
    args, right, rounding = draw.args[0], draw.rights[0], draw.task.rounding
    photos = len(right[0]) if right and right[0].ndim > 1 and counts_photos(draw.task) else 0
    doubtful = not alike(answers[0], right, rounding) and not apart(answers[0], right, rounding)
    if photos < 2 or doubtful or draw.task.right is None:
        return ""
    alone = tuple(_first(arg, photos) for arg in args)
    if not alike(answer_of(draw.task, draw.task.right, alone), [part[:1] for part in right], rounding):
        return ""  # the first axis doesn't count photos
    several, one = alike(answers[0], right, rounding), _is_right(draw.task, alone, ask)
    if several == one:
        return ""
    return "right for several photos, wrong for one alone" if several else "right for one photo, wrong for several"


def _first(value: Any, photos: int) -> Any:
    if isinstance(value, Tensor):
        return value[:1] if value.ndim and len(value) == photos else value
    return type(value)(_first(part, photos) for part in value) if isinstance(value, (list, tuple)) else value


def _by_part(rights: list[Answer], answers: list[Answer]) -> str:
    """Say which tensors of a list, numbers of a row, or photos are right in all tries."""
    if not all(map(same_shapes, answers, rights)):
        return ""
    kind, parts = "part", min(map(len, rights))
    if parts == 1:
        kind = "number" if rights[0][0].ndim == 1 else "photo"
        answers, rights = ([list(part) if part.ndim else [part] for (part,) in some] for some in (answers, rights))
        tries = [n for n, right in enumerate(rights) if len(right) > 1]  # one photo alone tells nothing
        answers, rights = [answers[n] for n in tries], [rights[n] for n in tries]
    pairs = list(zip(answers, rights, strict=True))
    count = min(map(len, rights), default=0)
    right = [n for n in range(count) if all(alike([a[n]], [r[n]], 1e-6) for a, r in pairs)]
    if not right or len(right) == count:
        last = count > 1 and all(alike([a[-1]], [r[-1]], 1e-6) for a, r in pairs)
        return f"only the last {kind} is right" if last and not right else ""
    verb = "is" if len(right) == 1 else "are"
    return f"of the {kind}s the {listed([ordinal(n) for n in right])} {verb} right"


def _is_right(task: Task, args: Args, ask: Ask) -> bool:
    assert task.right is not None
    right = answer_of(task, task.right, args)
    return right is not None and alike(ask(args), right, task.rounding)


def ordinal(n: int) -> str:
    """Return "first" for 0."""
    return _ORDINALS[n] if n < len(_ORDINALS) else f"{n + 1}th"


def listed(values: Sequence[Any]) -> str:
    """Return "a", "a and b", or "a, b and c"."""
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return " and ".join([*([", ".join(words[:-1])] if words[:-1] else []), words[-1]])
