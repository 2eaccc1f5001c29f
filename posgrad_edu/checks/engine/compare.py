"""When two answers are the same: equal values, up to rounding, in any formulation.

Three things can be found. Two answers are *alike*: apart by less than ``WITHIN`` of the largest value. They are
*apart*: by more than ten times that. What lies between is neither, and nothing is concluded from it.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from posgrad_edu.checks.engine.task import Answer, Args, Function, Task

WITHIN = 1e-4  # relative to the largest value
CLEARLY = 10.0  # times the tolerance
EXACTLY = 0.01  # of the tolerance: what one function gives twice for the same input


def answer_of(task: Task, function: Function, args: Args) -> Answer | None:
    """Return the answer of one of our own implementations; ``None`` where it can't be computed."""
    try:
        return [part.detach() for part in task.form(function(*copy.deepcopy(args)))]
    except (RuntimeError, IndexError, ValueError, ZeroDivisionError):
        return None


def alike(ours: Answer | None, theirs: Answer | None, rounding: float = 1e-9, times: float = 1.0) -> bool:
    """Whether two answers are equal up to ``times`` the tolerance, which is ``WITHIN`` of their largest value.

    rounding: of a task; it is tolerated as well.
    """
    if ours is None or theirs is None or [p.shape for p in ours] != [p.shape for p in theirs]:
        return False
    pairs = zip(ours, theirs, strict=True)
    return all(_alike(a.detach().double(), b.detach().double(), rounding, times) for a, b in pairs)


def apart(ours: Answer | None, theirs: Answer | None, rounding: float = 1e-9) -> bool:
    """Whether two answers are clearly not equal."""
    return not alike(ours, theirs, rounding, CLEARLY)


def _alike(a: Tensor, b: Tensor, rounding: float, times: float) -> bool:
    finite = b[b.isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    return torch.allclose(a, b, rtol=0.0, atol=times * (WITHIN * scale + rounding), equal_nan=True)
