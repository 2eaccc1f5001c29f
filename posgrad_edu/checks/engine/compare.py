"""When two answers are the same: equal values, up to rounding, in any formulation.

The *gap* between two answers counts tolerances: ``WITHIN`` of the largest value. Up to one they are *alike*, beyond ten
they are *apart*. What lies between is neither, and nothing is concluded from it.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from posgrad_edu.checks.engine.task import Answer, Args, Function, Task

# Relative to the largest value. Right formulations in float32 were at most this far from one another: see STEADY.
WITHIN = 1e-5
CLEARLY = 10.0  # tolerances
EXACTLY = 0.1  # of a tolerance: what one function gives twice for the same input
STEADY = 0.25  # of a tolerance: what float32 and float64 may differ by in a try that is fit for comparing
NEARLY = 1000.0  # tolerances at most, between a wrong answer and the mistake that explains it
TENTH = 0.1  # of the way from a mistake's answer to the right one


def answer_of(task: Task, function: Function, args: Args) -> Answer | None:
    """Return the answer of one of our own implementations, which change nothing; ``None`` where there is none."""
    try:
        return [part.detach() for part in task.form(function(*args))]
    except (RuntimeError, IndexError, ValueError, ZeroDivisionError):
        return None


def in_double(value: Any) -> Any:
    """Return a copy of arguments in float64, with the networks and lists among them."""
    if isinstance(value, nn.Module):
        return copy.deepcopy(value).double()
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    return type(value)(map(in_double, value)) if isinstance(value, (list, tuple)) else value


def same_shapes(ours: Answer, theirs: Answer) -> bool:
    """Whether two answers have as many tensors, of the same shapes."""
    """Whether two answers have as many parts, of the same shapes."""
    return [p.shape for p in ours] == [p.shape for p in theirs]


def gap(ours: Answer | None, theirs: Answer | None, rounding: float = 1e-9) -> float:
    """Return how many tolerances lie between two answers: each is ``WITHIN`` of their largest value, plus rounding.

    Infinite where there is no answer, and where shapes or nan differ. rounding: of a task.
    """
    if ours is None or theirs is None or not same_shapes(ours, theirs):
        return math.inf
    pairs = zip(ours, theirs, strict=True)
    return max((_gap(a.detach().double(), b.detach().double(), rounding) for a, b in pairs), default=0.0)


def alike(ours: Answer | None, theirs: Answer | None, rounding: float = 1e-9, times: float = 1.0) -> bool:
    """Whether two answers are equal up to so many tolerances."""
    return gap(ours, theirs, rounding) <= times


def apart(ours: Answer | None, theirs: Answer | None, rounding: float = 1e-9) -> bool:
    """Whether two answers are clearly not equal."""
    return gap(ours, theirs, rounding) > CLEARLY


def nearer(ours: Answer | None, wrong: Answer | None, right: Answer, rounding: float = 1e-9) -> bool:
    """Whether a wrong answer explains ours: it is ten times nearer to ours than to the right one.

    This is how a mistake is known whose answers have poles, where rounding shows.
    """
    return alike(ours, wrong, rounding, max(1.0, min(TENTH * gap(wrong, right, rounding), NEARLY)))


def _gap(a: Tensor, b: Tensor, rounding: float) -> float:
    if not a.numel():
        return 0.0
    furthest, largest = (a - b).abs().max(), b.abs().max()
    if math.isfinite(furthest) and math.isfinite(largest):  # then so is each value of both
        return float(furthest / (WITHIN * largest + rounding))
    finite = torch.where(b.isfinite(), b, 0.0)
    difference = torch.where((a == b) | (a.isnan() & b.isnan()), 0.0, (a - b).abs())
    return float(difference.nan_to_num(torch.inf, torch.inf).max() / (WITHIN * finite.abs().max() + rounding))
