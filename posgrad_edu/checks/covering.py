"""Covering pixels: the scores of a photo that is covered more and more, and the area under their curve."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from posgrad_edu.checks.engine import forms
from posgrad_edu.checks.engine.changes import unit_batch
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import PHOTO, network
from posgrad_edu.checks.engine.mutations import swapped, then
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task

# --- The curve ---

PATCH = 2
PATCHES = PHOTO[0] * PHOTO[1] // PATCH**2
COUNTS = ([0, 3, 6, 9, 12], [0, 4, 6, 8, 12], [0, 1, 5, 12], [2, 7])  # of covered patches, in the four tries

Score = Callable[[Tensor], Tensor]  # pictures (N, C, H, W) -> (N,)


class _Scored:
    """A number for each picture: a class's logit minus the mean of all, from a network in double precision."""

    def __init__(self, net: nn.Module, c: int) -> None:
        self.net, self.c = copy.deepcopy(net).double(), c

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        logits = self.net(pictures.double())
        return logits[:, self.c] - logits.mean(1)


def _photo(n: int) -> Args:
    """A score, a photo (1, 3, 8, 6), another one that covers it, the ranks of twelve patches, and counts of them."""
    x, hidden = torch.randn(2, 1, 3, *PHOTO)
    rank = torch.randperm(PATCHES).reshape(PHOTO[0] // PATCH, PHOTO[1] // PATCH)
    rank = rank.repeat_interleave(PATCH, 0).repeat_interleave(PATCH, 1)
    return _Scored(network(), n), x, hidden, rank, list(COUNTS[n])


def _hidden(x: Tensor, hidden: Tensor) -> Tensor:
    return hidden


def _scores(
    score: Score,
    x: Tensor,
    hidden: Tensor,
    rank: Tensor,
    counts: Sequence[int],
    which: Callable[[Tensor, int], Tensor] = torch.lt,
    cover: Callable[[Tensor, Tensor], Tensor] = _hidden,
) -> Tensor:
    """Return the score of the photo with so many patches covered, for each count."""
    return torch.cat([score(torch.where(which(rank, n), cover(x, hidden), x)) for n in counts])


def _new_ones_only(score: Score, x: Tensor, hidden: Tensor, rank: Tensor, counts: Sequence[int]) -> Tensor:
    steps = pairwise([0, *counts])
    return torch.cat([score(torch.where((rank >= low) & (rank < high), hidden, x)) for low, high in steps])


def _pixels(rank: Tensor, n: int) -> Tensor:
    """The first n pixels in the order of the ranks, of however many patches."""
    order = rank.flatten().argsort(stable=True)
    return (order.argsort() < n).view_as(rank)


def _counting(change: Callable[[Sequence[int]], Sequence[int]]) -> Function:
    """The curve for other counts."""
    return lambda score, x, hidden, rank, counts: _scores(score, x, hidden, rank, change(counts))


def _beside(change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Function:
    """What is made of the scores, that of the whole photo, and that of the covered one."""
    return lambda score, x, hidden, rank, counts: change(
        _scores(score, x, hidden, rank, counts), score(x), score(hidden)
    )


def _one_colour(place: int, x: Tensor, hidden: Tensor) -> Tensor:
    some = x.clone()
    some[:, place] = hidden[:, place]
    return some


def _covering(which: Callable[[Tensor, int], Tensor]) -> Function:
    return partial(_scores, which=which)


def _by(cover: Callable[[Tensor, Tensor], Tensor]) -> Function:
    return partial(_scores, cover=cover)


_TAKE = "torch.where(rank < n, hidden, x) has the n patches of the smallest ranks covered."
_RAW = "Return the scores as they are: what they are held against belongs to the area."
_ALL_COUNTS = "One score for each entry of counts, in its order."
_COVER = "What a covered place looks like stands in hidden."
_ONE_RANK = "All pixels of a patch have one rank: compare it with n."
DELETION_CURVE = Task(
    name="deletion curve",
    signature="deletion_curve(score, x, hidden, rank, counts)",
    returns="one score for each count, as a tensor, an array or a list",
    about="""
score: a function of pictures (M, C, H, W) that gives (M,) numbers. x: a photo (1, C, H, W). hidden: what it looks like
with all covered, (1, C, H, W). rank: (H, W), whole numbers: 0 for the pixels of the patch that is covered first, 1 for
those of the next, and so on. counts: a list of how many patches are covered; it needn't begin with 0.
""",
    lesson=15,
    make=_photo,
    right=_scores,
    form=forms.numbers,
    hint="For each count: a picture with so many patches covered, and its score.",
    mistakes=[
        Mistake("insertion", "you begin with all covered and uncover: that is insertion", _TAKE),
        swapped(_scores, 1, 2),
        Mistake("insertion", "you cover the patches that come later, not the first ones", _TAKE),
        _covering(lambda rank, n: rank > n),
        Mistake("least-first", "you cover the least important patches first", "Rank 0 is covered first."),
        _covering(lambda rank, n: rank >= PATCHES - n),
        Mistake("off-by-one", "you cover one patch too many, or one too few", "Ranks count from 0: rank < n are n."),
        _covering(lambda rank, n: rank <= n),
        _covering(lambda rank, n: rank < n - 1),
        Mistake("one-patch", "you cover a single patch in each picture", "All that came before stays covered."),
        _covering(lambda rank, n: rank == n),
        _covering(lambda rank, n: rank == n - 1),
        Mistake("not-cumulative", "you cover only what is new in each step", "All that came before stays covered."),
        _new_ones_only,
        Mistake("all-but-one", "you covered all patches but one", _TAKE),
        _covering(lambda rank, n: rank != n),
        Mistake("counts-ignored", "you cover 0, 1, 2, ... patches, whatever counts says", _ALL_COUNTS),
        _counting(lambda counts: range(len(counts))),
        _counting(lambda counts: range(1, len(counts) + 1)),
        Mistake("counts-added", "you cover so many patches more each time: counts holds how many in all", _ALL_COUNTS),
        _counting(lambda counts: list(accumulate(counts))),
        Mistake("begins-whole", "your list begins with the whole photo, whatever the first count is", _ALL_COUNTS),
        _counting(lambda counts: [0, *counts[1:]]),
        _counting(lambda counts: [0, *counts]),
        Mistake("pixels", "you cover n pixels instead of n patches", _ONE_RANK),
        _covering(_pixels),
        Mistake("zeros", "you cover with zeros instead of hidden", _COVER),
        _by(lambda x, hidden: torch.zeros_like(x)),
        Mistake("own-cover", "you cover with the photo's mean instead of hidden", _COVER),
        _by(lambda x, hidden: x.mean((2, 3), keepdim=True).expand_as(x)),
        _by(lambda x, hidden: x.mean().expand_as(x)),
        Mistake("own-cover", "you cover with the mean of hidden instead of hidden itself", _COVER),
        _by(lambda x, hidden: hidden.mean((2, 3), keepdim=True).expand_as(x)),
        Mistake("added", "you added hidden to the photo instead of putting it in its place", _TAKE),
        _by(torch.add),
        Mistake("half-covered", "covered places are a mixture of the photo and hidden", _TAKE),
        _by(lambda x, hidden: (x + hidden) / 2),
        Mistake("one-colour", "you cover one colour only", "rank (H, W) counts for all colours of a pixel."),
        *(_by(partial(_one_colour, place)) for place in (0, 1, 2)),
        Mistake("kept", "you already divided by the first score, or took the last one away", _RAW),
        then(_scores, lambda s: s / s[0]),
        then(_scores, lambda s: s - s[-1]),
        then(_scores, lambda s: (s - s[-1]) / (s[0] - s[-1])),
        Mistake("kept", "you divided by the whole photo's score, or took the covered one's away", _RAW),
        _beside(lambda s, whole, covered: s / whole),
        _beside(lambda s, whole, covered: s - covered),
        _beside(lambda s, whole, covered: (s - covered) / (whole - covered)),
        Mistake("lost", "you returned how much each score has fallen, not the scores", _RAW),
        then(_scores, lambda s: s[0] - s),
        then(_scores, lambda s: s - s[0]),
        _beside(lambda s, whole, covered: whole - s),
        _beside(lambda s, whole, covered: s - whole),
        Mistake("differences", "you returned the differences from one step to the next", _RAW),
        then(_scores, lambda s: s.diff()),
        Mistake("one-missing", "the first, or the last, score is missing", _ALL_COUNTS),
        then(_scores, lambda s: s[1:]),
        then(_scores, lambda s: s[:-1]),
        Mistake("first-score-only", "you returned the first score alone", "Does return stand within the loop?"),
        then(_scores, lambda s: s[:1]),
        Mistake("first-photo-only", "only the first score is right", "What does one picture leave for the next?"),
        Mistake("relu-on-result", "you put 0 in place of negative scores", _RAW),
        then(_scores, torch.relu),
        Mistake("absolute-result", "you took the magnitudes of the scores", _RAW),
        then(_scores, torch.abs),
        Mistake("reversed", "your list begins with the largest count", _ALL_COUNTS),
        then(_scores, lambda s: s.flip(0)),
        Mistake("averaged", "you returned the mean or the sum of all scores", _ALL_COUNTS),
        then(_scores, torch.mean),
        then(_scores, torch.sum),
    ],
)
check_deletion_curve = checker(DELETION_CURVE)


# --- The area ---

POINTS = (7, 7, 5, 6, 6)  # in each of the five tries


def _curve(n: int) -> Args:
    """A list of scores from the whole photo to the covered one; some rise above the first or fall below the last.

    In the third try the covered photo's score is below zero, in the fourth it is the larger one, and in the last it is
    that of the whole photo.
    """
    high = ((0.2 if n == 2 else 2 + 2 * torch.rand(())) + torch.rand(())).item()
    low = high - 2 - torch.rand(()).item()
    scores = (low + (high - low) * (1.8 * torch.rand(POINTS[n]) - 0.4)).tolist()
    scores[1], scores[-2] = high + 0.4 + torch.rand(()).item(), low - 0.3 - torch.rand(()).item()
    scores[0], scores[-1] = {3: (low, high), 4: (high, high)}.get(n, (high, low))
    return (scores,)


def _one_number(answer: Any) -> list[Tensor]:
    """An area. None may come from one of two ways through a function, and several numbers are the curve."""
    forms.not_none(answer, "a number", "Does each way through it end with return, that to nan too?")
    try:
        return forms.number(answer)
    except forms.Unfit as unfit:
        hint = "The area of all strips is one number: add them up." if unfit.key == "not-a-number" else unfit.hint
        raise forms.Unfit(unfit.key, unfit.says, hint) from None


def _raw(scores: Sequence[float]) -> Tensor:
    return torch.tensor(scores, dtype=torch.float64)


def _kept(scores: Sequence[float]) -> Tensor:
    s = _raw(scores)
    return (s - s[-1]) / (s[0] - s[-1])


def _trapezoids(kept: Tensor) -> float:
    return float(torch.trapezoid(kept, dx=1 / (len(kept) - 1)))


Scale = Callable[[Sequence[float]], Tensor]


def _area(scores: Sequence[float], scale: Scale = _kept, under: Callable[[Tensor], float] = _trapezoids) -> float:
    """Return the area under the share that is kept; nan where covering takes nothing away."""
    return under(scale(scores)) if scores[0] > scores[-1] else math.nan


def _scaled(scale: Scale) -> Function:
    return partial(_area, scale=scale)


def _with(under: Callable[[Tensor], float]) -> Function:
    return partial(_area, under=under)


def _mean(kept: Tensor) -> float:
    return float(kept.mean())


def _simpson(kept: Tensor) -> float:
    from scipy.integrate import simpson

    return float(simpson(kept.numpy(), dx=1 / (len(kept) - 1)))


_ENDS = "kept is 1 for the first score and 0 for the last: (s - s[-1]) / (s[0] - s[-1])."
_STRIPS = (
    "Between two neighbours the curve is a straight line: a strip has their mean as height, and 1 / steps as width."
)
_LARGER = "Only the first and the last score decide: nan where the first isn't larger. Those between, and signs, don't."
_NO_AREA = "where covering takes nothing away there is no area: nan"
_NO_AREA_EITHER = "where the last score equals the first there is no area either: nan"
_TURNED = "If the first score isn't larger than the last, 1 and 0 would be turned round."
_EQUAL = "Isn't larger means smaller or equal."
_WHOLE = "The whole width is 1, however many scores there are."
_OUTSIDE = "Scores may rise above the first and fall below the last: leave them as they are."
AREA = Task(
    name="area",
    signature="area(scores)",
    returns="the area under the curve, one number",
    about="""
scores: a list of numbers, the first for the whole photo, the last for the covered one, at equal steps in between. With
the first score counted as 1 and the last as 0, the area is that under straight lines from score to score, over a
width of 1. Where the first score isn't larger than the last, covering took nothing away: the area is nan.
""",
    lesson=15,
    make=_curve,
    right=_area,
    form=_one_number,
    tries=len(POINTS),
    hint="First the share that is kept, from 1 to 0; then the strips below it.",
    mistakes=[
        Mistake("not-scaled", "you took the area under the scores, not under the share that is kept", _ENDS),
        _scaled(_raw),
        Mistake("last-not-taken", "you divided by the first score without taking the last one away", _ENDS),
        _scaled(lambda scores: _raw(scores) / scores[0]),
        Mistake("not-divided", "you took the last score away, and didn't divide", _ENDS),
        _scaled(lambda scores: _raw(scores) - scores[-1]),
        Mistake("min-max", "you scaled by the largest and smallest score instead of the first and the last", _OUTSIDE),
        _scaled(then(_raw, unit_batch)),
        Mistake("min-max", "you took the smallest score away instead of the last", _OUTSIDE),
        _scaled(lambda scores: (_raw(scores) - min(scores)) / (scores[0] - min(scores))),
        Mistake("min-max", "you divided by the largest score", _OUTSIDE),
        _scaled(lambda scores: _raw(scores) / max(scores)),
        Mistake("clamped", "you cut off what is above 1 or below 0", _OUTSIDE),
        _scaled(lambda scores: _kept(scores).clamp(0, 1)),
        _scaled(lambda scores: _kept(scores).clamp(min=0)),
        _scaled(lambda scores: _kept(scores).clamp(max=1)),
        Mistake("above", "your area lies above the curve, not under it", "1 is the whole photo, 0 the covered one."),
        then(_area, partial(operator.sub, 1)),
        Mistake("mean", "you took the mean of all values: then the ends count as much as the others", _STRIPS),
        _with(_mean),
        Mistake("one-sided", "your strips have the height of their left, or right, end", _STRIPS),
        _with(lambda kept: _mean(kept[:-1])),
        _with(lambda kept: _mean(kept[1:])),
        Mistake("ends-missing", "you left out the first and the last score", _STRIPS),
        _with(lambda kept: _mean(kept[1:-1])),
        Mistake("one-missing", "the first, or the last, score is missing", _STRIPS),
        _with(lambda kept: _trapezoids(kept[1:])),
        _with(lambda kept: _trapezoids(kept[:-1])),
        Mistake("wrong-width", "your strips are 1 wide, so that the area grows with the number of scores", _WHOLE),
        _with(lambda kept: float(torch.trapezoid(kept))),
        Mistake("wrong-width", "you divided by the number of scores instead of the number of steps", _WHOLE),
        _with(lambda kept: float(torch.trapezoid(kept)) / len(kept)),
        Mistake("sum", "you added the values up", _STRIPS),
        _with(lambda kept: float(kept.sum())),
        Mistake("simpson", "you put parabolas through the scores", "Straight lines, from score to score."),
        _with(_simpson),
        Mistake("sorted", "you sorted the scores", "They stay in the order in which the photo was covered."),
        _scaled(lambda scores: _kept(sorted(scores, reverse=True))),
        _scaled(lambda scores: _kept(scores).sort(descending=True).values),
        Mistake("rounded", "you rounded the area to 2 digits", "Rounding belongs to printing."),
        _with(lambda kept: round(_trapezoids(kept), 2)),
        Mistake("squared", "you squared the values", _OUTSIDE),
        _with(lambda kept: _trapezoids(kept**2)),
        Mistake("absolute", "you took magnitudes: what is below zero counts against the area", _OUTSIDE),
        _with(lambda kept: _trapezoids(kept.abs())),
        Mistake("median", "you took the median", _STRIPS),
        _with(lambda kept: float(kept.quantile(0.5))),
        Mistake("nothing-taken", _NO_AREA, _TURNED, pattern=(True, True, True, False, None)),
        Mistake("nothing-taken", _NO_AREA_EITHER, _EQUAL, pattern=(True, True, True, True, False)),
        Mistake("always-nan", "you return nan although the first score is the larger one", _LARGER),
        lambda scores: math.nan,
        Mistake("not-finite", "you return nan or inf for some curves whose first score is the larger one", _LARGER),
    ],
)


check_area = checker(AREA)
