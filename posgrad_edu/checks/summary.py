"""A summary that counts: the mean over the maps that can be ranked, and how many can't."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.forms import Unfit
from posgrad_edu.checks.engine.task import Args, Mistake, Task

Pair = tuple[float, float]
Numbers = Sequence[float]


def _correlations(n: int) -> Args:
    """A list of correlations: some nan, and two exact 0; the third try has no nan, the last nothing else.

    The mean is above 0 in the first try, below in the second, so that a lost sign shows.
    """
    if n == 3:
        return ([math.nan] * 5,)
    found = (torch.rand(9 + n // 2) - 0.1).tolist()
    found[4], found[5], found[6] = 0.0, -0.3, 0.0  # one of the other sign; two, so that leaving them out shows
    for place in ((0, 3, 7), (2, 8), ())[n]:
        found[place] = math.nan
    turn = 1 if (_mean(_ranked(found)) > 0) == (n != 1) else -1
    return ([turn * value for value in found],)


def pair(answer: Any) -> list[Tensor]:
    """The mean and the number of degenerate maps: a tuple, list, array or tensor of two numbers."""
    if answer is None:
        raise Unfit(
            "returns-none",
            "your function returned None instead of a mean and a number",
            "Does its last line say return?",
        )
    if isinstance(answer, (set, dict, str)):
        raise Unfit(
            "wrong-type",
            f"your function returned a {type(answer).__name__} instead of a mean and a number",
            "return mean, number gives both, in this order.",
        )
    try:
        parts = [float(part) for part in answer]
    except TypeError:
        raise Unfit(
            "no-count", "you returned one number", "Return two: the mean, and how many maps can't be ranked."
        ) from None
    except (ValueError, RuntimeError):
        raise Unfit(
            "wrong-type", "what you returned isn't a mean and a number", "return mean, number gives both."
        ) from None
    if len(parts) != 2:
        raise Unfit(
            "wrong-count",
            f"you returned {len(parts)} numbers instead of two",
            "A mean over all that can be ranked, and how many can't.",
        )
    return [torch.tensor(part, dtype=torch.float64) for part in parts]


def _ranked(values: Numbers) -> list[float]:
    return [v for v in values if not math.isnan(v)]


def _mean(values: Numbers) -> float:
    return sum(values) / len(values) if values else math.nan


def _degenerate(values: Numbers) -> int:
    return len(values) - len(_ranked(values))


def _summary(values: Numbers) -> Pair:
    return _mean(_ranked(values)), _degenerate(values)


def _filled(values: Numbers, stand_in: float) -> list[float]:
    return [stand_in if math.isnan(v) else v for v in values]


def _with_mean(mean: Callable[[list[float]], float]) -> Callable[[Numbers], Pair]:
    """Return a summary that takes another mean of what can be ranked."""
    return lambda values: (mean(_ranked(values)) if _ranked(values) else math.nan, _degenerate(values))


def _with_count(count: Callable[[Numbers], float]) -> Callable[[Numbers], Pair]:
    """Return a summary that counts something else."""
    return lambda values: (_mean(_ranked(values)), count(values))


def _zeros_too(values: Numbers) -> Pair:
    kept = [v for v in _ranked(values) if v != 0]
    return _mean(kept), len(values) - len(kept)


def _median(values: Numbers) -> float:
    return float(torch.tensor(values).quantile(0.5))


_ZERO = "Take the mean over those alone that have a correlation: a 0 that you fill in looks like two unrelated maps."
_COUNT = "The second number says how many maps can't be ranked: count the nan."
SUMMARY = Task(
    name="summary",
    signature="summary(correlations)",
    returns="(mean, number of degenerate maps)",
    about="""
correlations: a list of rank correlations, one a photo, with nan where one of the two maps is constant. The mean is
that of all others; where nothing else is left it is nan. The number counts the nan.
""",
    lesson=8,
    make=_correlations,
    right=_summary,
    form=pair,
    hint="The mean over all numbers that aren't nan, and how many are.",
    mistakes=[
        Mistake("zero-filled", "maps that can't be ranked count as 0 in your mean", _ZERO),
        lambda v: (_mean(_filled(v, 0.0)), _degenerate(v)),
        Mistake("zero-filled", "maps that can't be ranked count as 0 in your mean, and nobody learns of them", _ZERO),
        lambda v: (_mean(_filled(v, 0.0)), 0),
        Mistake("filled", "maps that can't be ranked count as 1 in your mean", "No number may stand in for them."),
        lambda v: (_mean(_filled(v, 1.0)), _degenerate(v)),
        Mistake("filled", "maps that can't be ranked count as -1 in your mean", "No number may stand in for them."),
        lambda v: (_mean(_filled(v, -1.0)), _degenerate(v)),
        Mistake(
            "nan-mean",
            "a single nan makes your mean nan",
            "nan equals nothing, not even itself, so == can't find it: math.isnan can.",
        ),
        lambda v: (_mean(v), _degenerate(v)),
        Mistake(
            "nan-mean",
            "a single nan makes your mean nan, and you count none",
            "nan equals nothing, not even itself, so == can't find it: math.isnan can.",
        ),
        lambda v: (_mean(v), 0),
        Mistake("silently-dropped", "you drop what can't be ranked, and say that there was nothing to drop", _COUNT),
        _with_count(lambda v: 0),
        Mistake("counts-ranked", "you count the maps that can be ranked, not the others", _COUNT),
        _with_count(lambda v: len(_ranked(v))),
        Mistake("counts-all", "you count all maps", _COUNT),
        _with_count(len),
        Mistake("only-whether", "you say whether there are such maps, not how many", _COUNT),
        _with_count(lambda v: float(_degenerate(v) > 0)),
        Mistake(
            "share",
            "you return the share of the maps that can't be ranked, not their number",
            "Don't divide the count.",
        ),
        _with_count(lambda v: _degenerate(v) / len(v)),
        Mistake("share", "you return their percentage, not their number", "Don't divide the count."),
        _with_count(lambda v: 100 * _degenerate(v) / len(v)),
        Mistake(
            "zero-is-degenerate",
            "you count a correlation of exactly 0 as degenerate",
            "0 means unrelated, which is a finding; only nan means that nothing could be compared.",
        ),
        _zeros_too,
        Mistake(
            "zero-is-degenerate",
            "you count each correlation of exactly 0 as degenerate, too",
            "0 means unrelated, which is a finding; only nan means that nothing could be compared.",
        ),
        _with_count(lambda v: _zeros_too(v)[1]),
        Mistake(
            "zero-is-degenerate",
            "you leave correlations of exactly 0 out of the mean",
            "0 means unrelated, which is a finding; only nan means that nothing could be compared.",
        ),
        lambda v: (_zeros_too(v)[0], _degenerate(v)),
        Mistake("swapped", "the two numbers are in the wrong order", "First the mean, then the number."),
        lambda v: _summary(v)[::-1],
        Mistake("absolute-values", "you averaged the magnitudes", "A reversed map has -1: the sign counts."),
        _with_mean(lambda v: _mean([abs(x) for x in v])),
        Mistake("absolute-result", "you took the absolute value of the mean", "The mean keeps its sign."),
        _with_mean(lambda v: abs(_mean(v))),
        Mistake(
            "negative-dropped",
            "you left the negative correlations out of the mean",
            "They can be ranked very well: reversed.",
        ),
        _with_mean(lambda v: _mean([x for x in v if x > 0])),
        Mistake("negative-dropped", "you set the negative correlations to 0", "Keep them: reversed maps."),
        _with_mean(lambda v: _mean([max(x, 0) for x in v])),
        Mistake("median", "you took the median, not the mean", "Add them up, and divide by how many there are."),
        _with_mean(_median),
        Mistake("sum", "you added the correlations up and didn't divide", "Divide by how many can be ranked."),
        _with_mean(sum),
        lambda v: (sum(_ranked(v)), _degenerate(v)),
        Mistake("wrong-denominator", "you divided by one less than there are", "Divide by how many can be ranked."),
        _with_mean(lambda v: sum(v) / (len(v) - 1)),
        Mistake("distance", "you returned 1 - mean", "Maps that are alike have 1."),
        _with_mean(lambda v: 1 - _mean(v)),
        Mistake(
            "nothing-ranked",
            "where no map can be ranked, there is no mean: it is nan, and all are counted",
            "Ask how many are left before you divide; a 0 would look like a finding.",
            pattern=(True, True, True, False),
        ),
    ],
)


check_summary = checker(SUMMARY)
