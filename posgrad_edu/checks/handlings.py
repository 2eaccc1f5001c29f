"""The switch itself: what is kept of gradient information."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from posgrad_edu.checks.engine.check import check
from posgrad_edu.checks.engine.task import TIMEOUT, Args, Mistake, Result, Task
from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import HANDLINGS, Handling


def _information(n: int) -> Args:
    """Values of either sign, some exactly 0, in one to four axes."""
    shape = [(3, 4), (3, 4), (2, 3, 4, 5), (7,)][n]
    values = 2 * torch.randn(shape)
    return (torch.where(torch.rand(shape) < 0.1, 0.0, values),)


_EACH = "The handling acts on each value by itself, and keeps the shape."
_AS_IS = "What is kept stays as it is"
_MISTAKES: list[Any] = [
    Mistake("did-nothing", "you returned the values as they came", ""),
    lambda t: t,
    Mistake("other-half", "you kept the negative values only", ""),
    lambda t: t.clamp(max=0),
    Mistake("other-half", "you kept the positive values only", ""),
    lambda t: t.clamp(min=0),
    Mistake("absolute", "you took the absolute values", ""),
    torch.abs,
    Mistake("sign-turned", "you turned the sign of what you kept", f"{_AS_IS}: a negative value stays negative."),
    lambda t: (-t).clamp(min=0),
    Mistake("sign-turned", "you turned the sign of what you kept", f"{_AS_IS}: a positive value stays positive."),
    lambda t: -t.clamp(min=0),
    Mistake("sign-turned", "you turned all signs", f"{_AS_IS}."),
    torch.neg,
    Mistake("sign-turned", "you made all values negative", f"{_AS_IS}."),
    lambda t: -t.abs(),
    Mistake("mask", "you returned a mask of zeros and ones", "Multiply it with the values."),
    lambda t: (t > 0).float(),
    lambda t: (t < 0).float(),
    lambda t: (t >= 0).float(),
    Mistake("mask", "you returned the signs alone", "Multiply them with the strengths."),
    torch.sign,
    Mistake("dropped", "you cut the other values out", "Set them to 0: the shape stays."),
    lambda t: t[t > 0],
    lambda t: t[t < 0],
    lambda t: t[t >= 0],
    Mistake("summed", "you added the values up", _EACH),
    lambda t: t.clamp(min=0).sum(),
    Mistake("summed", "you looked at the largest value only", _EACH),
    lambda t: t.max(),
    Mistake("squashed", "you cut large values off", "Only the sign decides."),
    lambda t: t.clamp(0, 1),
    lambda t: t.clamp(-1, 1),
    *(lambda t, low=low, sign=sign: sign(t).clamp(low, 1) for low in (-1, 0) for sign in (torch.abs, torch.neg)),
    lambda t: t.clamp(-1, 0),
    Mistake("smoothed", "you added a small number under a root or to the values", _AS_IS + "."),
    *(lambda t, e=10.0**-n: (t * t + e).sqrt() for n in range(1, 5)),
    *(lambda t, e=10.0**-n: t.clamp(min=0) + e for n in (1, 2)),
    Mistake("squashed", "you squashed the values", "Only the sign decides."),
    torch.sigmoid,
    torch.tanh,
    Mistake("squared", "you squared the values", "Multiply with a mask, not with the values."),
    torch.square,
    Mistake("squared", "you squared the values", "Multiply with a mask."),
    lambda t: t * t.clamp(min=0),
    Mistake("leaky", "you let a part of the other sign through", "Set it to 0."),
    torch.nn.functional.leaky_relu,
    torch.nn.functional.elu,
    Mistake("leaky", "you used a smooth ReLU", "Set the other sign to 0."),
    torch.nn.functional.gelu,
    torch.nn.functional.softplus,
    torch.nn.functional.silu,
]


_SIGNS = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0])


def _task(right: Handling) -> Task:
    """Return the task of a handling; a mistake without a hint of its own is told what the handling means."""
    meaning = f"{right.name.capitalize()} means: {right.meaning}."
    rows = [replace(row, hint=row.hint or meaning) if isinstance(row, Mistake) else row for row in _MISTAKES]
    task = Task(right.name, f"{right.name}(information)", 0, _information, rows, right=right, hint=meaning, blank=True)
    # The other half of one handling is right for another.
    wrong = [m for m in task.mistakes if not any(torch.equal(way(_SIGNS), right(_SIGNS)) for way in m.wrong)]
    return replace(task, mistakes=wrong)


HANDLING = {name: _task(handling) for name, handling in HANDLINGS.items()}


def check_handling(
    function: Callable[[Tensor], Tensor], handling: str = "positive", timeout: float = TIMEOUT, seed: int | None = None
) -> Result:
    """Check ``positive(information)``, or another handling by its name, -> what is kept.

    information: a tensor of any shape; the result has the same shape. handling: "positive", "negative", "absolute" or
    "signed". What isn't kept becomes 0. Raises ``ValueError`` for a handling that doesn't exist.

        def positive(information):
            ...

        check_handling(positive)
    """
    if handling not in HANDLING:
        raise unknown_name("handling", handling, HANDLING)
    return check(HANDLING[handling], function, timeout, seed)
