"""Angles: between two vectors, and how they shrink as a chain of matrices grows."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from posgrad_edu.checks.engine import forms
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.draw import until
from posgrad_edu.checks.engine.mutations import on_arguments, swapped, then
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task

TINY = 2e-8  # radians, so about a millionth of a degree: the cosine of it is 1 in double precision

# --- The angle between two vectors ---


def _pair(n: int) -> Args:
    """Two vectors: at a wide angle, a narrow one, a tiny one; one of them zero; opposite, three times; in float32."""
    first, other = torch.randn(2, 60 if n == 2 else 9, dtype=torch.float64)
    turn = first.dot(other).sign()
    narrow, wide = first + 2 * turn * other, -first - 2 * turn * other
    if n == 2:
        return first, 5 * (first + TINY * first.norm() / other.norm() * other)
    if n == 3:
        return first, torch.zeros_like(first)
    if n in (4, 5, 6):
        return _opposite(n)
    second = wide if n == 0 else narrow
    return (first.float(), second.float()) if n == 7 else (first, 3 * second)


def _opposite(n: int) -> Args:
    """Exactly opposite vectors whose cosine, computed in one of the usual ways, comes out below -1."""

    def drawn() -> tuple[Tensor, Tensor]:
        first = torch.randn(9, dtype=torch.float64)
        return first, -(0.5 + torch.rand((), dtype=torch.float64)) * first

    def is_below(pair: tuple[Tensor, Tensor]) -> bool:
        first, second = pair
        by_lengths = float(first @ second / (first.norm() * second.norm()))
        of_units = float((first / first.norm()) @ (second / second.norm()))
        return (by_lengths < -1 or n == 5) and (of_units < -1 or n == 4)

    return until(is_below, drawn)


def angle(first: Tensor, second: Tensor) -> float:
    """Return the angle between two vectors in degrees, exact for all sizes; nan if one vector is zero."""
    return _by_halves(_unit(first.double()), _unit(second.double()))


def _by_halves(one: Tensor, other: Tensor) -> float:
    """Return the angle of two vectors of one length, from its half."""
    return _degrees(2 * torch.atan2((one - other).norm(), (one + other).norm()))


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()


def _unit_with(epsilon: float, vector: Tensor) -> Tensor:
    return vector.double() / (vector.double().norm() + epsilon)


def _degrees(radians: Tensor) -> float:
    return math.degrees(float(radians))


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    return (_unit(first.double()) @ _unit(second.double())).clamp(-1, 1)


def _sine(first: Tensor, second: Tensor) -> Tensor:
    """Return the sine, from what of one vector stands at right angles on the other."""
    one, other = _unit(first.double()), _unit(second.double())
    return (one - (one @ other) * other).norm()


_RIGHT, _WRONG = True, False
_OPPOSITE = [(_WRONG, None, None), (None, _WRONG, None), (None, None, _WRONG)]  # which of three opposite pairs is wrong
_HALF = (
    "Two unit vectors: the length of their difference is 2 sin(θ/2), that of their sum 2 cos(θ/2); atan2 takes both."
)
_LENGTHS = "Divide each vector by its own length first."
_ROUNDED = "Rounding can put a cosine just below -1 or a sine above 1, and acos or asin of that is nan. " + _HALF
_ATAN2 = "Rounding can put a sine or cosine just above 1 in size; atan2 doesn't mind."
_TINY = "Near 1 the cosine hardly changes, so acos can't tell; nor can float32. " + _HALF
_NO_EPSILON = "Divide by the lengths as they are, in float64; where one is 0, return nan."
_SIGN = "A cosine's sign tells them apart, and atan2 takes it; asin and atan give nothing above 90."
_DEGREES = "Degrees: times 180 / π."
_INVERSE = "Which function turns it into an angle?"


_OFF_OPPOSITE = "for opposite vectors your angle is nan or wrong"
_NUMBER = "A number such as 0 or 90 would look like a finding."
_TINY_WRONG = (_RIGHT, _RIGHT, _WRONG, None, _RIGHT, _RIGHT, _RIGHT, _RIGHT)
_ZERO_WRONG = (_RIGHT, _RIGHT, None, _WRONG, _RIGHT, _RIGHT, _RIGHT, _RIGHT)
_FOLDED = (_WRONG, _RIGHT, None, None, _WRONG, _WRONG, _WRONG, _RIGHT)


def _opposite_wrong(key: str, says: str, hint: str, tiny: bool) -> list[Mistake]:
    """Return the rows of who is wrong for one opposite pair at least. tiny: whether tiny angles are right."""
    return [Mistake(key, says, hint, pattern=(_RIGHT, _RIGHT, tiny, None, *which, _RIGHT)) for which in _OPPOSITE]


ANGLE = Task(
    name="angle",
    signature="angle(first, second)",
    returns="the angle between two vectors in degrees, from 0 to 180",
    about="""
first, second: vectors (n,), float32 or float64, of any lengths. The angle is as exact for tiny angles and opposite
vectors as for others. If a vector is zero, it is nan: no direction, no angle. A float, or a tensor of one value.
""",
    lesson=16,
    make=_pair,
    right=angle,
    form=forms.number,
    tries=8,
    hint="Unit vectors first; then the angle from the lengths of their difference and of their sum, in degrees.",
    mistakes=[
        *_opposite_wrong("acos-nan", f"{_OFF_OPPOSITE}, and tiny angles aren't exact", _ROUNDED, False),
        *_opposite_wrong("opposite", _OFF_OPPOSITE, _ATAN2, True),
        Mistake("inexact", "tiny angles aren't exact: yours is off, perhaps 0", _TINY, pattern=_TINY_WRONG),
        Mistake("zero-vector", "a vector of zeros has no direction, so the angle is nan", _NUMBER, pattern=_ZERO_WRONG),
        Mistake("radians", "your angle is in radians", _DEGREES),
        then(angle, math.radians),
        Mistake("radians", "you turned degrees into radians once too often or the wrong way round", _DEGREES),
        lambda a, b: math.radians(math.radians(angle(a, b))),
        Mistake("cosine", "you returned the cosine, not the angle", _INVERSE),
        _cosine,
        Mistake("cosine", "you returned 1 minus the cosine, not the angle", _INVERSE),
        lambda a, b: 1 - _cosine(a, b),
        Mistake("chord", "you returned the distance of the unit vectors", "It's 2 sin(θ/2): solve for θ."),
        lambda a, b: (_unit(a.double()) - _unit(b.double())).norm(),
        Mistake("sine", "you returned the sine, not the angle", _INVERSE),
        _sine,
        Mistake("folded", "beyond 90 degrees your angle is wrong", _SIGN, pattern=_FOLDED),
        Mistake("half-angle", "your angle is half of what it should be", "atan2 of the two lengths is θ/2."),
        then(angle, lambda found: found / 2),
        Mistake("supplement", "your angle is 180 degrees minus the right one", "Are sum and difference swapped?"),
        then(angle, lambda found: 180 - found),
        Mistake("not-normalized", "your angle depends on the vectors' lengths", _LENGTHS),
        _by_halves,
        Mistake("not-normalized", "you divided only one vector by its length", _LENGTHS),
        on_arguments(_by_halves, _unit, 0),
        on_arguments(_by_halves, _unit, 1),
        Mistake("not-halved", "you took atan2 of the two lengths without the 2, or the other way round", _HALF),
        then(angle, lambda found: 90 - found / 2),
        then(angle, lambda found: 90 - found),
        Mistake("gradians", "your angle is in other units: turns, gradians, or shares of 180 degrees", _DEGREES),
        *(then(angle, partial(operator.mul, factor)) for factor in (1 / 360, 1 / 180, 10 / 9, 1 / 90)),
        Mistake("differences", "you returned the length of the vectors' difference", _HALF),
        lambda a, b: float((a.double() - b.double()).norm()),
        Mistake("cosine", "you returned the scalar product, not the angle", _INVERSE),
        lambda a, b: float(a.double() @ b.double()),
        Mistake("half-tangent", "you returned the quotient of the two lengths, not its angle", _HALF),
        lambda a, b: math.tan(math.radians(angle(a, b)) / 2),
        Mistake("not-normalized", "your cosine isn't divided by the vectors' lengths", _LENGTHS),
        lambda a, b: _degrees((a @ b).clamp(-1, 1).acos()),
        lambda a, b: _degrees((a @ b).acos()),
        Mistake("epsilon", "you added a small number to the lengths", _NO_EPSILON),
        *(on_arguments(_by_halves, partial(_unit_with, 10.0**-n), 0, 1) for n in range(3, 8)),
        Mistake("centred", "you took off the mean: that is the angle of a correlation", "Take vectors as they are."),
        on_arguments(angle, lambda vector: vector - vector.mean(), 0, 1),
        Mistake("magnitudes", "you dropped the signs of the vectors' entries", "They decide the direction."),
        on_arguments(angle, torch.abs, 0, 1),
        Mistake("not-finite", "your angle is nan or inf for vectors that aren't zero", _ROUNDED),
    ],
)
check_angle = checker(ANGLE)


# --- The angle after each matrix of a chain ---

STRONG, WEAK = 8.0, 0.02  # the entries' spread, for chains whose plain product leaves the range of float32
SIZES = ((6, 4, 1.0), (6, 4, 1.0), (16, 80, STRONG), (16, 80, WEAK), (6, 0, 1.0), (5, 3, 1.0))  # width, depth, spread
ROUNDING = 0.01  # degrees: 30 times what float32 can do to a chain that is steady
FLAT = 0.1  # of a product's size: a vector that it makes shorter lies next to what it turns into zero


def _chain(n: int) -> Args:
    """Square matrices, and two vectors: short chains; one that overflows; one that vanishes; none at all; positive."""
    width, depth, spread = SIZES[n]

    def drawn() -> Args:
        matrices = [spread * torch.randn(width, width) for _ in range(depth)]
        return [matrix.abs() for matrix in matrices] if n == 5 else matrices, *torch.randn(2, width)

    return until(_is_steady, drawn)


def _is_steady(chain: Args) -> bool:
    """Whether the vectors are neither alike nor at right angles, and float32 keeps where they go."""
    matrices, first, second = chain
    if not 0.15 < abs(float(_cosine(first, second))) < 0.98:
        return False
    vectors = torch.stack([_unit(first.double()), _unit(second.double())], 1)
    product = torch.eye(len(vectors), dtype=torch.float64)
    for matrix in matrices:
        product = _unit(matrix.double() @ product)
        if (product @ vectors).norm(dim=0).min() < FLAT:
            return False
    return True


Step = Callable[[Tensor, Tensor], Tensor]


def _angles(
    matrices: Sequence[Tensor],
    first: Tensor,
    second: Tensor,
    step: Step = torch.mv,
    of: Callable[[Tensor, Tensor], float] = angle,
) -> list[float]:
    """Return the angle, or what ``of`` makes of two vectors, before the first step and after each."""
    one, other = first.double(), second.double()
    found = [of(one, other)]
    for matrix in matrices:
        one, other = step(matrix.double(), one), step(matrix.double(), other)
        size = (one.norm() + other.norm()).clamp(min=torch.finfo(torch.float64).tiny)
        one, other = one / size, other / size
        found.append(of(one, other))
    return found


def _only_one(matrices: Sequence[Tensor], first: Tensor, second: Tensor) -> list[float]:
    return [angle(one, second) for one in _signals(matrices, first)]


def _to_start(matrices: Sequence[Tensor], first: Tensor, second: Tensor) -> list[float]:
    return [angle(one, first) if n else angle(first, second) for n, one in enumerate(_signals(matrices, first))]


def _signals(matrices: Sequence[Tensor], vector: Tensor) -> list[Tensor]:
    found = [vector.double()]
    for matrix in matrices:
        found.append(_unit(matrix.double() @ found[-1]))
    return found


_RESCALE = "Divide both vectors by their lengths after each matrix: an angle doesn't mind."
_ONE_EACH = "One angle before the first matrix, then one after each."
_ALL_SO_FAR = "After n matrices each vector has gone through the first n of them."
_BOTH = "Both vectors go through the same matrices."
_AS_THEY_ARE = "The matrices come as they are to be used."
_TWO = "Compare the two vectors."
_FROM_THEN = "Look at what happens to the two vectors from then on, and in which unit."
_GROWS = (_RIGHT, _RIGHT, _WRONG, None, None, _RIGHT)  # which tries are right
_SHRINKS = (_RIGHT, _RIGHT, _RIGHT, _WRONG, None, _RIGHT)
_NONE = (_RIGHT, _RIGHT, _RIGHT, _RIGHT, _WRONG, _RIGHT)


def _by_step(step: Step) -> Function:
    return partial(_angles, step=step)


def _of_each(change: Callable[[Tensor], Tensor]) -> Callable[[Sequence[Tensor]], list[Tensor]]:
    return lambda matrices: [change(matrix) for matrix in matrices]


def _from_wrong_side(matrices: Sequence[Tensor], first: Tensor, second: Tensor) -> list[float]:
    chains = [matrices[:n][::-1] for n in range(len(matrices) + 1)]
    return [_angles(chain, first, second)[-1] for chain in chains]


ANGLES_BY_DEPTH = Task(
    name="angles by depth",
    signature="angles_by_depth(matrices, first, second)",
    returns="the angles of two vectors after 0, 1, 2, ... matrices",
    about="""
matrices: L matrices (n, n), of any scale; matrices[0] acts first. first, second: vectors (n,). Returned are L + 1
angles in degrees: that of first and second, then that of matrices[0] @ first and matrices[0] @ second, and so on.
They are right for long chains, too, whose numbers would outgrow float32. A list of floats, a tensor or an array.
""",
    lesson=16,
    make=_chain,
    right=_angles,
    form=forms.numbers,
    tries=6,
    rounding=ROUNDING,
    hint="Start with the angle of the two vectors; then, matrix by matrix, multiply both, rescale, and take the angle.",
    mistakes=[
        Mistake("overflow", "in a long chain your numbers grow until they are inf", _RESCALE, pattern=_GROWS),
        Mistake("underflow", "in a long chain your numbers shrink until they are 0", _RESCALE, pattern=_SHRINKS),
        Mistake("no-matrices", "without any matrix the list still holds one angle", _ONE_EACH, pattern=_NONE),
        Mistake("depth-zero-missing", "the first angle, before any matrix, is missing", _ONE_EACH),
        then(_angles, lambda found: found[1:]),
        Mistake("last-missing", "the angle after the last matrix is missing", _ONE_EACH),
        then(_angles, lambda found: found[: max(len(found) - 1, 1)]),
        Mistake("last-only", "you returned only the angle after the last matrix", _ONE_EACH),
        then(_angles, lambda found: found[-1:]),
        then(_angles, lambda found: found[-1]),
        Mistake("wrong-order", "you multiplied by the matrices from the last to the first", "matrices[0] acts first."),
        on_arguments(_angles, lambda matrices: matrices[::-1], 0),
        Mistake("wrong-order", "you multiplied the product from the wrong side", "A new matrix stands on the left."),
        _from_wrong_side,
        Mistake("list-reversed", "your list is the wrong way round", "The angle without any matrix comes first."),
        then(_angles, lambda found: found[::-1]),
        Mistake("transposed", "you multiplied by the transposed matrices", "matrix @ vector, not vector @ matrix."),
        on_arguments(_angles, _of_each(torch.t), 0),
        Mistake("entrywise", "you multiplied entry by entry", "matrix @ vector adds up over the columns."),
        _by_step(lambda matrix, vector: (matrix * vector[:, None]).sum(1)),
        Mistake("not-cumulative", "each of your matrices acts on the vectors that came in", _ALL_SO_FAR),
        lambda matrices, a, b: [angle(a, b), *(angle(matrix @ a, matrix @ b) for matrix in matrices)],
        Mistake("first-matrix-again", "you multiplied by the first matrix again and again", _ALL_SO_FAR),
        on_arguments(_angles, lambda matrices: matrices[:1] * len(matrices), 0),
        Mistake("second-stays", "only your first vector goes through the matrices", _BOTH),
        _only_one,
        Mistake("second-stays", "only your second vector goes through the matrices", _BOTH),
        swapped(_only_one, 1, 2),
        Mistake("with-its-past", "you compared a vector with what it was at the start", _TWO),
        _to_start,
        Mistake("with-its-past", "you compared a vector with what it was before the matrix", _TWO),
        lambda matrices, a, b: [angle(a, b), *(angle(*two) for two in pairwise(_signals(matrices, a)))],
        Mistake("clamped", "you dropped negative numbers on the way", _AS_THEY_ARE),
        _by_step(lambda matrix, vector: (matrix @ vector).clamp(min=0)),
        Mistake("clamped", "you dropped the matrices' negative numbers", _AS_THEY_ARE),
        on_arguments(_angles, _of_each(torch.relu), 0),
        Mistake("magnitudes", "you took magnitudes on the way", _AS_THEY_ARE),
        _by_step(lambda matrix, vector: (matrix @ vector).abs()),
        Mistake("magnitudes", "you took the magnitudes of the matrices' entries", _AS_THEY_ARE),
        on_arguments(_angles, _of_each(torch.abs), 0),
        Mistake("first-photo-only", "only the first angle, before any matrix, is right", _FROM_THEN),
        Mistake("radians", "your angles are in radians", _DEGREES),
        then(_angles, lambda found: [math.radians(degrees) for degrees in found]),
        Mistake("supplement", "your angles are 180 degrees minus the right ones", "Are sum and difference swapped?"),
        then(_angles, lambda found: [180 - degrees for degrees in found]),
        Mistake("half-angle", "your angles are half of what they should be", "atan2 of the two lengths is θ/2."),
        then(_angles, lambda found: [degrees / 2 for degrees in found]),
        Mistake("not-normalized", "your angles depend on the vectors' lengths", _LENGTHS),
        partial(_angles, of=_by_halves),
        Mistake("folded", "beyond 90 degrees your angles are wrong: they go back to 0", _SIGN),
        then(_angles, lambda found: [min(degrees, 180 - degrees) for degrees in found]),
        Mistake("every-other", "you took only every other matrix, or each twice", _ALL_SO_FAR),
        on_arguments(_angles, lambda matrices: matrices[::2], 0),
        on_arguments(_angles, lambda matrices: [m for m in matrices for _ in range(2)], 0),
        on_arguments(_angles, _of_each(lambda m: m @ m), 0),
        Mistake("one-behind", "your list is one step behind: the start twice, and the last step missing", _ONE_EACH),
        then(_angles, lambda found: [found[0], *found[:-1]] if len(found) > 1 else found),
        Mistake("start-twice", "the first angle, before any matrix, stands twice in your list", _ONE_EACH),
        then(_angles, lambda found: [found[0], *found]),
        Mistake("first-matrix-missing", "the first matrix doesn't act", _ALL_SO_FAR),
        on_arguments(_angles, lambda matrices: matrices[1:], 0),
        Mistake("first-matrix-missing", "the first matrix doesn't act, and the last one twice", _ALL_SO_FAR),
        on_arguments(_angles, lambda matrices: [*matrices[1:], *matrices[-1:]], 0),
        Mistake("differences", "you returned how much each matrix changes the angle", "The angles themselves."),
        then(_angles, lambda found: [found[0], *(b - a for a, b in pairwise(found))]),
        Mistake("cosine", "you returned cosines, not angles", "Degrees, as in angle()."),
        partial(_angles, of=lambda one, other: float(_cosine(one, other))),
    ],
)
check_angles_by_depth = checker(ANGLES_BY_DEPTH)
