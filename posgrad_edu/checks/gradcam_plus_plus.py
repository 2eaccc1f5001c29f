"""GradCAM++: alpha, one number for each channel and position, and the map whose weights are made with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from posgrad_edu.checks.engine.changes import over
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.draw import until
from posgrad_edu.checks.engine.given import layer
from posgrad_edu.checks.engine.mutations import completed, swapped, then
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task
from posgrad_edu.checks.gradcam import SPACE, cam, mean, shared, total
from posgrad_edu.handling import SIGNED, Handling

SMALL = 0.01  # gradients of a real network are small, too, so that an epsilon in the denominator shows


def layer_with_poles(n: int) -> Args:
    """As ``layer``, with some gradients at 0 and S · g on both sides of the pole at -2, but not close to it.

    Nor is it close to the poles of typical mistakes, where rounding would tell apart what is equal.
    """

    def drawn() -> Args:
        a, g, h = layer(n)
        near = (g.abs() < 0.05) | (torch.rand_like(g) < 0.1) | ((2 + total(a) * g).abs() < 0.5)
        axes = ((0, 2, 3), (1,), (2,), (3,), (1, 2, 3), (0, 1, 2, 3))
        others = (2 * total(a), -total(a), total(a.relu()), total(a.abs()), a, mean(a), *(total(a, x) for x in axes))
        for wrong in others:
            near |= (2 + wrong * g).abs() < 0.05
        return a, torch.where(near, 0.0, g), h

    return until(_off_other_poles, drawn)


def _off_other_poles(asked: Args) -> bool:
    a, g, _ = asked
    poles = (2 + total(g) * g, 2 + total(g) * a, 2 + total(a * g), total(alpha(a, g)))
    return all(bool((pole.abs() > 0.02).all()) for pole in poles)


def _layer_of_small_gradients(n: int) -> Args:
    """Activations and gradients (N, 5, 4, 6), as in ``layer_with_poles``, but small gradients."""
    a, g, _ = layer_with_poles(n)
    return a / SMALL, g * SMALL


def alpha(a: Tensor, g: Tensor, s: Callable[[Tensor], Tensor] = total, two: float = 2.0) -> Tensor:
    """Return GradCAM++'s alpha (N, C, h, w), 0 where the gradient is. s: what is made of the activations."""
    return _inverse(g, two + s(a) * g)


def _with_powers(above: float = 2, first: float = 2, second: float = 3) -> Function:
    """Return alpha with other powers of g: above the line, and of its two terms below."""
    return lambda a, g: over(g**above, 2 * g**first + total(a) * g**second)


def _inverse(g: Tensor, below: Tensor) -> Tensor:
    return torch.where(g == 0, 0.0, 1 / below)


def _summed(*axes: int) -> Function:
    return partial(alpha, s=partial(total, axes=axes))


def _below(a: Tensor, g: Tensor) -> Tensor:
    return 2 * g**2 + total(a) * g**3


_EQUATION = "alpha = g² / (2 g² + S g³), with S the sum of the channel's activations over its positions."
_S = "S is one number for each channel of each photo: activations.sum((2, 3), keepdim=True)."
_ZERO = "Set alpha to 0 where g is 0, with torch.where; 1 / (2 + S g) is the short form for all other g."
_POWERS = "g² above; below, g² belongs to the 2 and g³ to the sum S."
_COPY = "alpha[mask] is a copy, which div_ changes in vain: assign to alpha[mask], or use torch.where."
_AS_GIVEN = "Keep them as the equation gives them."
_POSITION = "S adds up the activations alone; the power of g that multiplies it is that of the position itself."
_PLAIN = "S is the plain sum: activations of either sign count as they are."
_POLE = "Beyond the pole, at S g < -2, alpha is negative: leave it so."
_UNHANDLED = "alpha takes the gradients as they are; only the gradients that it multiplies are handled."
_WRONG_ALPHAS: list[Any] = [  # of both tasks
    Mistake("not-finite", "alpha is 0 / 0 where the gradient is zero", _ZERO),
    Mistake("sum-of-gradients", "you added up the gradients in alpha instead of the activations", _EQUATION),
    lambda a, g: alpha(g, g),
    Mistake("wrong-axis", "you added up the activations over channels in alpha instead of positions", _S),
    _summed(1),
    Mistake("wrong-axis", "you added up the activations over channels and positions in alpha", _S),
    _summed(1, 2, 3),
    Mistake("wrong-axis", "you added up the activations over one of the two axes of positions only in alpha", _S),
    _summed(2),
    _summed(3),
    Mistake("batch-mixed", "you added up the activations of all photos of the batch in alpha", _S),
    _summed(0, 2, 3),
    _summed(0, 1, 2, 3),
    Mistake("sum-missing", "in alpha you used the activation of each position instead of their sum", _EQUATION),
    partial(alpha, s=lambda a: a),
    Mistake("mean-for-sum", "in alpha you averaged the activations instead of adding them up", _EQUATION),
    partial(alpha, s=mean),
    Mistake("two-missing", "the 2 is missing from alpha's denominator", _EQUATION),
    partial(alpha, two=1.0),
    Mistake("other-factor", "the denominator has another factor than 2 before g²", _EQUATION),
    *(partial(alpha, two=two) for two in (-2.0, -1.0, 0.5, 3.0, 4.0)),
    Mistake("term-missing", "the term 2 g² is missing from alpha's denominator", _EQUATION),
    partial(alpha, two=0.0),
    Mistake("term-missing", "the term S g³ is missing from alpha's denominator", _EQUATION),
    partial(alpha, s=torch.zeros_like),
    Mistake("sum-missing", "the sum S is missing from alpha's denominator", _EQUATION),
    partial(alpha, s=torch.ones_like),
    Mistake("wrong-power", "the denominator's S isn't multiplied by g³, but by another power of g, or added", _POWERS),
    *(_with_powers(second=power) for power in (-1, 0, 1, 2, 4)),
    lambda a, g: over(g**2, 2 * g**2 + total(a) + g**3),
    Mistake("not-multiplied", "you divided S and g³ instead of multiplying", _EQUATION),
    lambda a, g: over(g**2, 2 * g**2 + total(a) / g**3),
    Mistake("wrong-sign", "alpha has the wrong sign where g is negative, as with abs(g)", _EQUATION),
    lambda a, g: alpha(a, g) * g.sign(),
    Mistake("undivided", "alpha is g² throughout: nothing was divided", _COPY),
    lambda a, g: g**2,
    Mistake("wrong-sign", "the sum is subtracted in alpha's denominator", _EQUATION),
    partial(alpha, s=lambda a: -total(a)),
    Mistake("product-summed", "you added up activation times gradient, instead of activations", _POSITION),
    lambda a, g: _inverse(g, 2 + total(a * g)),
    lambda a, g: over(g**2, 2 * g**2 + total(a * g**3)),
    Mistake("cubes-summed", "you added up g³ over the positions instead of the activations", _POSITION),
    lambda a, g: over(g**2, 2 * g**2 + a * total(g**3)),
    Mistake("handled-sum", "you dropped the negative activations before you added them up", _PLAIN),
    lambda a, g: alpha(a.relu(), g),
    Mistake("handled-sum", "you added up the magnitudes of the activations", _PLAIN),
    lambda a, g: alpha(a.abs(), g),
    Mistake("handled-before-alpha", "you dropped the negative gradients first", _UNHANDLED),
    lambda a, g: alpha(a, g.relu()),
    Mistake("handled-before-alpha", "you took the magnitudes of the gradients", _UNHANDLED),
    lambda a, g: alpha(a, g.abs()),
    Mistake("two-outside", "the 2 multiplies the whole denominator", "2 belongs to the first term only."),
    lambda a, g: _inverse(g, 2 * (1 + total(a) * g)),
    Mistake("wrong-power", "the sum is raised to the third power, too", _POWERS),
    lambda a, g: over(g**2, 2 * g**2 + (total(a) * g) ** 3),
    Mistake("wrong-power", "the numerator isn't g²", _POWERS),
    *(_with_powers(above=power) for power in (0, 1, 4)),
    lambda a, g: over(torch.full_like(g, 2), _below(a, g)),
    Mistake("wrong-power", "the first term of the denominator has another power of g than g²", _POWERS),
    *(_with_powers(first=power) for power in (0, 1, 3, 4)),
    Mistake("brackets", "you divided by 2 g² and then added S g³", "Put the whole denominator into brackets."),
    lambda a, g: torch.where(g == 0, 0.0, 0.5 + total(a) * g**3),
    Mistake("upside-down", "numerator and denominator have changed places", _EQUATION),
    lambda a, g: torch.where(g == 0, 0.0, 2 + total(a) * g),
    Mistake("pole-hidden", "you dropped the negative values of alpha", _POLE),
    then(alpha, torch.relu),
    Mistake("pole-hidden", "you took the magnitude of the denominator", _POLE),
    then(alpha, torch.abs),
    Mistake("normalized-alpha", "you made the alphas of each channel add up to 1", _AS_GIVEN),
    lambda a, g: alpha(a, g) / total(alpha(a, g)),
]


def plus_plus_weights(a: Tensor, g: Tensor, h: Handling, factor: Function = alpha) -> Tensor:
    """Return GradCAM++'s weights (N, C, 1, 1)."""
    return total(factor(a, g) * h(g))


_BEFORE = "alpha can be negative, so the order matters: alpha * handling(gradients), then the sum."
_MULTIPLY = "alpha multiplies the handled gradients before they are added up; without it that is GradCAM, scaled."
_ONE_WEIGHT = "Each channel has one weight: the sum over its positions of alpha times gradient."
GRADCAM_PLUS_PLUS = Task(
    name="gradcam++",
    signature="gradcam_plus_plus(activations, gradients, handling)",
    returns="maps (N, h, w)",
    about="""
As for ``check_gradcam``; here the weight of a channel is the sum over its positions of alpha * handling(gradients),
with alpha = g² / (2 g² + S g³), and 0 where the gradient g is 0. S is the sum of the channel's activations over its
positions. The map is raw and signed.
""",
    lesson=5,
    make=layer_with_poles,
    right=cam(plus_plus_weights),
    mistakes=[
        *completed(_WRONG_ALPHAS, lambda wrong: cam(partial(plus_plus_weights, factor=wrong))),
        Mistake("handled-before-alpha", "you computed alpha from the handled gradients", _UNHANDLED),
        cam(lambda a, g, h: total(alpha(a, h(g)) * h(g))),
        Mistake("handled-too-late", "you handled alpha times gradient instead of the gradient", _BEFORE),
        cam(lambda a, g, h: total(h(alpha(a, g) * g))),
        Mistake("handled-too-late", "you handled the finished weights instead of the gradients", _BEFORE),
        cam(lambda a, g, h: h(plus_plus_weights(a, g, SIGNED))),
        Mistake("alpha-missing", "you left alpha out", _MULTIPLY),
        cam(lambda a, g, h: total(h(g))),
        cam(lambda a, g, h: mean(h(g))),
        Mistake("sums-apart", "you added up alpha and the gradients apart, and multiplied their sums", _ONE_WEIGHT),
        cam(lambda a, g, h: total(alpha(a, g)) * total(h(g))),
        cam(lambda a, g, h: mean(alpha(a, g)) * mean(h(g))),
        Mistake("gradient-missing", "you took alpha itself as the weight", _MULTIPLY),
        cam(lambda a, g, h: total(alpha(a, g))),
        Mistake("weights-averaged", "you averaged over the positions, as alpha already does", _ONE_WEIGHT),
        cam(lambda a, g, h: mean(alpha(a, g) * h(g))),
        Mistake("no-average", "you multiplied position by position, without adding up the weights", _ONE_WEIGHT),
        cam(lambda a, g, h: alpha(a, g) * h(g)),
        *shared(plus_plus_weights),
    ],
)
check_gradcam_plus_plus = checker(GRADCAM_PLUS_PLUS)

_SECOND = "The first argument is the activations: S is their sum, and g is the second one."
_EPSILON = "Gradients squared are small, too: set alpha to 0 where g is 0, and divide by the denominator as it is."
_ITSELF = "That comes in the next step: return alpha itself, (N, C, h, w)."
ALPHA = Task(
    name="alpha",
    signature="alpha(activations, gradients)",
    returns="alpha (N, C, h, w) of GradCAM++",
    about="""
activations, gradients: (N, C, h, w), of one layer and of the logit with regard to it. alpha is g² / (2 g² + S g³),
and 0 where the gradient g is 0. S is the sum of the channel's activations over its positions.
""",
    lesson=5,
    make=_layer_of_small_gradients,
    right=alpha,
    hint="Compare with the equation: which sum is S, and which power belongs to which term?",
    mistakes=[
        *_WRONG_ALPHAS,
        Mistake("half-at-zero", "alpha is one half where the gradient is zero", _ZERO),
        lambda a, g: 1 / (2 + total(a) * g),
        Mistake("one-at-zero", "alpha is one where the gradient is zero", _ZERO),
        lambda a, g: torch.where(g == 0, 1.0, alpha(a, g)),
        Mistake("arguments-swapped", "activations and gradients have changed places", _SECOND),
        swapped(alpha),
        Mistake("weights-instead", "you multiplied alpha by the gradient already", _ITSELF),
        lambda a, g: alpha(a, g) * g,
        Mistake("not-by-position", "you added alpha up over the positions", _ITSELF),
        lambda a, g: alpha(a, g).sum(SPACE),
        Mistake("epsilon", "you added a small number to the denominator", _EPSILON),
        *(
            lambda a, g, e=e: over(g**2, _below(a, g) + e)
            for e in (1e-9, 1e-8, 1e-7, torch.finfo().eps, 1e-6, 1e-5, 1e-4)
        ),
        *(lambda a, g, e=e: over(g**2, _below(a, g).clamp(min=e)) for e in (1e-9, 1e-8, 1e-7, 1e-6)),
    ],
)
check_alpha = checker(ALPHA)
