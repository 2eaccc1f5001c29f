"""A summary that counts: the mean over the maps that can be ranked, and how many can't."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.forms import Unfit, a, count, not_none
from posgrad_edu.checks.engine.mutations import then
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task

Numbers = Sequence[float]
Mean = Callable[[list[float]], float]


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


_TWO = "Return two: the mean, and how many maps can't be ranked."


def pair(answer: Any) -> list[Tensor]:
    """The mean and the number of degenerate maps: a tuple, list, array or tensor of two numbers."""
    not_none(answer, "two numbers")
    if isinstance(answer, (set, dict, str)):
        raise Unfit("wrong-type", f"your function returned {a(type(answer).__name__)} instead of two numbers", _TWO)
    try:
        parts = list(answer)
    except TypeError:
        raise Unfit("no-count", f"you returned one value, {a(type(answer).__name__)}, instead of two", _TWO) from None
    if len(parts) != 2:
        raise Unfit("wrong-count", f"you returned {count(len(parts), 'value')} instead of two", _TWO)
    return [_number(part, which) for part, which in zip(parts, ("mean", "number of degenerate maps"), strict=True)]


def _number(part: Any, which: str) -> Tensor:
    try:
        return torch.tensor(float(part), dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        kind = "None" if part is None else a(type(part).__name__)
        words = f"where the {which} should be, you returned {kind}"
        raise Unfit("wrong-type", words, "Return two numbers; math.nan, not None, where there is no mean.") from None


def _ranked(values: Numbers) -> list[float]:
    return [v for v in values if not math.isnan(v)]


def _mean(values: Numbers) -> float:
    return sum(values) / len(values) if values else math.nan


def _degenerate(values: Numbers) -> int:
    return len(values) - len(_ranked(values))


def _summary(
    values: Numbers,
    keep: Callable[[Numbers], list[float]] = _ranked,
    mean: Mean = _mean,
    counted: Callable[[Numbers], float] = _degenerate,
) -> tuple[float, float]:
    kept = keep(values)
    return mean(kept) if kept else math.nan, counted(values)


def _not_zero(values: Numbers) -> list[float]:
    return [v for v in _ranked(values) if v != 0]


def _zero_or_nan(values: Numbers) -> int:
    return len(values) - len(_not_zero(values))


def _filled(stand_in: float, counted: Callable[[Numbers], float] = _degenerate) -> Function:
    return partial(_summary, keep=lambda values: [stand_in if math.isnan(v) else v for v in values], counted=counted)


def _each(change: Callable[[float], float]) -> Function:
    """Return the summary with the mean of changed correlations."""
    return partial(_summary, mean=lambda kept: _mean([change(v) for v in kept]))


_ZERO = "Take the mean over those alone that have a correlation: a 0 that you fill in looks like two unrelated maps."
_NAN = "nan equals nothing, not even itself, so == can't find it: math.isnan can."
_COUNT = "The second number says how many maps can't be ranked: count the nan."
_UNRELATED = "0 means unrelated, which is a finding; only nan means that nothing could be compared."
_REVERSED = "Reversed maps can be ranked very well: the sign counts."
_DIVIDE = "Divide the sum by how many can be ranked."
_LEFT = "Ask how many are left before you divide: a 0 would look like a finding; and count all."
SUMMARY = Task(
    name="summary",
    signature="summary(correlations)",
    returns="(mean, number of degenerate maps)",
    about="""
correlations: a list of rank correlations, one a photo, with nan where one of the two maps is constant. The mean is
that of all others; where nothing else is left it is nan. The number counts the nan.
""",
    lesson=12,
    make=_correlations,
    right=_summary,
    form=pair,
    hint="The mean over all numbers that aren't nan, and how many are.",
    mistakes=[
        Mistake("zero-filled", "maps that can't be ranked count as 0 in your mean", _ZERO),
        _filled(0.0),
        lambda v: (sum(_ranked(v)) / len(v) if _ranked(v) else math.nan, _degenerate(v)),
        Mistake("zero-filled", "maps that can't be ranked count as 0 in your mean, and you count none", _ZERO),
        _filled(0.0, counted=lambda v: 0),
        Mistake("filled", "maps that can't be ranked count as 1 in your mean", "No number may stand in for them."),
        _filled(1.0),
        Mistake("filled", "maps that can't be ranked count as -1 in your mean", "No number may stand in for them."),
        _filled(-1.0),
        Mistake("nan-mean", "a single nan makes your mean nan", _NAN),
        partial(_summary, keep=list),
        Mistake("nan-mean", "a single nan makes your mean nan, and you count none", _NAN),
        partial(_summary, keep=list, counted=lambda v: 0),
        Mistake("silently-dropped", "you drop what can't be ranked, and say that there was nothing to drop", _COUNT),
        partial(_summary, counted=lambda v: 0),
        Mistake("counts-ranked", "you count the maps that can be ranked, not the others", _COUNT),
        partial(_summary, counted=lambda v: len(_ranked(v))),
        Mistake("counts-all", "you count all maps", _COUNT),
        partial(_summary, counted=len),
        Mistake("only-whether", "you say whether there are such maps, not how many", _COUNT),
        partial(_summary, counted=lambda v: float(_degenerate(v) > 0)),
        Mistake("share", "you return the share of the maps that can't be ranked, not their number", _COUNT),
        partial(_summary, counted=lambda v: _degenerate(v) / len(v)),
        Mistake("share", "you return their percentage, not their number", _COUNT),
        partial(_summary, counted=lambda v: 100 * _degenerate(v) / len(v)),
        Mistake("zero-is-degenerate", "you treat a correlation of exactly 0 as degenerate", _UNRELATED),
        partial(_summary, keep=_not_zero, counted=_zero_or_nan),
        Mistake("zero-is-degenerate", "you count each correlation of exactly 0 as degenerate, too", _UNRELATED),
        partial(_summary, counted=_zero_or_nan),
        Mistake("zero-is-degenerate", "you leave correlations of exactly 0 out of the mean", _UNRELATED),
        partial(_summary, keep=_not_zero),
        Mistake("swapped", "the two numbers are in the wrong order", "First the mean, then the number."),
        then(_summary, lambda both: both[::-1]),
        Mistake("absolute-values", "you averaged the magnitudes", _REVERSED),
        _each(abs),
        Mistake("absolute-result", "you took the absolute value of the mean", "The mean keeps its sign."),
        partial(_summary, mean=lambda v: abs(_mean(v))),
        Mistake("negative-dropped", "you left the negative correlations out of the mean", _REVERSED),
        partial(_summary, mean=lambda v: _mean([x for x in v if x > 0])),
        Mistake("negative-dropped", "you set the negative correlations to 0", _REVERSED),
        _each(lambda v: max(v, 0)),
        Mistake("other-statistic", "you took the largest or smallest correlation, not the mean", _DIVIDE),
        partial(_summary, mean=max),
        partial(_summary, mean=min),
        Mistake("other-statistic", "you took the first or last correlation, not the mean", _DIVIDE),
        partial(_summary, mean=lambda v: v[0]),
        partial(_summary, mean=lambda v: v[-1]),
        Mistake("other-statistic", "you took the standard deviation, not the mean", _DIVIDE),
        partial(_summary, mean=lambda v: float(torch.tensor(v).std())),
        Mistake("squared", "you averaged the squares", _REVERSED),
        _each(lambda v: v * v),
        partial(_summary, mean=lambda kept: _mean([v * v for v in kept]) ** 0.5),
        Mistake("median", "you took the median, not the mean", _DIVIDE),
        partial(_summary, mean=lambda v: float(torch.tensor(v).quantile(0.5))),
        Mistake("sum", "you added the correlations up and didn't divide", _DIVIDE),
        partial(_summary, mean=sum),
        lambda v: (sum(_ranked(v)), _degenerate(v)),
        Mistake("wrong-denominator", "you divided by one less, or one more, than there are", _DIVIDE),
        partial(_summary, mean=lambda v: sum(v) / (len(v) - 1)),
        partial(_summary, mean=lambda v: sum(v) / (len(v) + 1)),
        Mistake("wrong-denominator", "you divided by the number of maps that can't be ranked", _DIVIDE),
        lambda v: (sum(_ranked(v)) / (_degenerate(v) or math.nan), _degenerate(v)),
        Mistake("upside-down", "you multiplied by how many there are, or divided by the sum", _DIVIDE),
        partial(_summary, mean=lambda v: sum(v) * len(v)),
        partial(_summary, mean=lambda v: len(v) / sum(v)),
        Mistake("one-missing", "the first, or the last, correlation is missing from your mean", _COUNT),
        *(lambda v, cut=cut: (_mean(_ranked(v)[cut]), _degenerate(v)) for cut in (slice(1, None), slice(-1))),
        Mistake("count-off", "your number is one too high or too low", _COUNT),
        partial(_summary, counted=lambda v: _degenerate(v) + 1),
        partial(_summary, counted=lambda v: _degenerate(v) - 1),
        Mistake("count-off", "your number is twice what it should be, or negative", _COUNT),
        partial(_summary, counted=lambda v: 2 * _degenerate(v)),
        partial(_summary, counted=lambda v: -_degenerate(v)),
        Mistake("positions", "you add up, or list, where the degenerate maps stand instead of counting them", _COUNT),
        partial(_summary, counted=lambda v: sum(n for n, one in enumerate(v) if math.isnan(one))),
        Mistake("distance", "you returned 1 - mean", "Maps that are alike have 1."),
        _each(lambda v: 1 - v),
        Mistake("nothing-ranked", "where all are nan, so is the mean", _LEFT, pattern=(True, True, True, False)),
    ],
)
check_summary = checker(SUMMARY)
