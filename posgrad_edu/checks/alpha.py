"""GradCAM++'s alpha: one number for each channel and position, from the activations and gradients of one layer."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from posgrad_edu.checks.cam import SPACE, alpha, layer_with_poles
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.task import Args, Mistake, Task

SMALL = 0.01  # gradients of a real network are small, too, so that an epsilon in the denominator shows


def _make(n: int) -> Args:
    """Activations and gradients (N, 5, 4, 6): some gradients are 0, S · g lies on both sides of the pole at -2."""
    a, g, _ = layer_with_poles(n)
    g = torch.where(g.abs() < 0.05, 0.0, g)
    return a / SMALL, g * SMALL


def _total(a: Tensor, axes: tuple[int, ...] = SPACE) -> Tensor:
    return a.sum(axes, keepdim=True)


def _where_any(g: Tensor, values: Tensor) -> Tensor:
    """Return values, and 0 where the gradient is 0."""
    return torch.where(g == 0, 0.0, values)


def _over(above: Tensor, below: Tensor) -> Tensor:
    return torch.nan_to_num(above / below, posinf=0.0, neginf=0.0)


def _below(a: Tensor, g: Tensor) -> Tensor:
    return 2 * g**2 + _total(a) * g**3


def _added(a: Tensor, g: Tensor, epsilon: float) -> Tensor:
    return _over(g**2, _below(a, g) + epsilon)


def _at_least(a: Tensor, g: Tensor, epsilon: float) -> Tensor:
    return _over(g**2, _below(a, g).clamp(min=epsilon))


_EQUATION = "alpha = g² / (2 g² + S g³), with S the sum of the channel's activations over its positions."
_POWERS = "g² above; below, g² belongs to the 2 and g³ to the sum S."
_NOT_HANDLED = "alpha takes the gradients as they are: it has no handling."
_EPSILON = (
    "you added a small number to the denominator",
    "Gradients squared are small, too: set alpha to 0 where g is 0, and divide by the denominator as it is elsewhere.",
)

ALPHA = Task(
    name="alpha",
    signature="alpha(activations, gradients)",
    returns="alpha (N, C, h, w) of GradCAM++",
    about="""
activations, gradients: (N, C, h, w), of one layer and of the logit with regard to it. alpha is g² / (2 g² + S g³),
and 0 where the gradient g is 0. S is the sum of the channel's activations over its positions.
""",
    lesson=3,
    make=_make,
    right=alpha,
    hint="Compare with the equation: which sum is S, and which power belongs to which term?",
    mistakes=[
        Mistake(
            "not-finite",
            "alpha is 0 / 0 where the gradient is zero",
            "Set alpha to 0 there with torch.where, or cancel g²: alpha = 1 / (2 + S g) where g is not 0.",
        ),
        Mistake(
            "half-at-zero",
            "alpha is one half where the gradient is zero",
            "1 / (2 + S g) is the short form for g other than 0 only: set alpha to 0 where g is 0.",
        ),
        lambda a, g: 1 / (2 + _total(a) * g),
        Mistake(
            "one-at-zero",
            "alpha is one where the gradient is zero",
            "Put 0 there: a position without a gradient has no weight.",
        ),
        lambda a, g: torch.where(g == 0, 1.0, alpha(a, g)),
        Mistake("sum-of-gradients", "you added up the gradients instead of the activations", _EQUATION),
        lambda a, g: alpha(g, g),
        Mistake(
            "arguments-swapped",
            "activations and gradients have changed places",
            "The first argument is the activations: S is their sum, and g is the second one.",
        ),
        lambda a, g: alpha(g, a),
        Mistake("wrong-axis", "you added up the activations over channels instead of positions", _EQUATION),
        lambda a, g: alpha(a, g, (1,)),
        Mistake("wrong-axis", "you added up the activations over channels and positions", _EQUATION),
        lambda a, g: alpha(a, g, (1, 2, 3)),
        Mistake(
            "wrong-axis",
            "you added up the activations over one of the two axes of positions only",
            "sum((2, 3)) leaves one number a channel.",
        ),
        lambda a, g: alpha(a, g, (2,)),
        lambda a, g: alpha(a, g, (3,)),
        Mistake(
            "batch-mixed",
            "you added up the activations of all photos of the batch",
            "The first axis counts photos: S belongs to one channel of one photo.",
        ),
        lambda a, g: alpha(a, g, (0, 2, 3)),
        Mistake(
            "batch-mixed",
            "you added up everything there is, the photos of the batch too",
            "sum() without axes leaves a single number: S is one number for each photo and channel.",
        ),
        lambda a, g: alpha(a, g, (0, 1, 2, 3)),
        Mistake("sum-missing", "you used the activation of each position instead of their sum", _EQUATION),
        lambda a, g: _where_any(g, 1 / (2 + a * g)),
        Mistake("mean-for-sum", "you averaged the activations instead of adding them up", _EQUATION),
        lambda a, g: _where_any(g, 1 / (2 + a.mean(SPACE, keepdim=True) * g)),
        Mistake(
            "product-summed",
            "you added up activation times gradient, where only the activations are added up",
            "S is a sum of activations; the power of g that multiplies it is that of the position itself.",
        ),
        lambda a, g: _where_any(g, 1 / (2 + _total(a * g))),
        Mistake(
            "product-summed",
            "you added up activation times g³, where only the activations are added up",
            "S is a sum of activations; the power of g that multiplies it is that of the position itself.",
        ),
        lambda a, g: _over(g**2, 2 * g**2 + _total(a * g**3)),
        Mistake(
            "cubes-summed",
            "you added up g³ over the positions and multiplied by the activation of each",
            "It is the other way round: S adds up the activations, and g³ belongs to the position.",
        ),
        lambda a, g: _over(g**2, 2 * g**2 + a * _total(g**3)),
        Mistake(
            "handled-sum",
            "you dropped the negative activations before you added them up",
            "S is the plain sum: activations of either sign count as they are.",
        ),
        lambda a, g: alpha(a.clamp(min=0), g),
        Mistake(
            "handled-sum",
            "you added up the magnitudes of the activations",
            "S is the plain sum: activations of either sign count as they are.",
        ),
        lambda a, g: alpha(a.abs(), g),
        Mistake("handled-before-alpha", "you dropped the negative gradients first", _NOT_HANDLED),
        lambda a, g: alpha(a, g.clamp(min=0)),
        Mistake("handled-before-alpha", "you took the magnitudes of the gradients", _NOT_HANDLED),
        lambda a, g: alpha(a, g.abs()),
        Mistake("two-missing", "the 2 is missing from the denominator", _EQUATION),
        lambda a, g: _where_any(g, 1 / (1 + _total(a) * g)),
        Mistake(
            "two-outside", "the 2 multiplies the whole denominator", "2 belongs to the first term only: 2 g² + S g³."
        ),
        lambda a, g: _where_any(g, 1 / (2 * (1 + _total(a) * g))),
        Mistake("wrong-power", "the sum is multiplied by g² in the denominator", _POWERS),
        lambda a, g: _where_any(g, 1 / (2 + _total(a))),
        Mistake(
            "wrong-power",
            "the sum is raised to the third power, too",
            "S g³ is S times the third power of g: only g is raised.",
        ),
        lambda a, g: _over(g**2, 2 * g**2 + (_total(a) * g) ** 3),
        Mistake("wrong-power", "the numerator is g instead of g²", _POWERS),
        lambda a, g: _over(g, _below(a, g)),
        Mistake("wrong-power", "the numerator is 1 instead of g²", _POWERS),
        lambda a, g: _over(g**0, _below(a, g)),
        Mistake("wrong-power", "the first term of the denominator is 2 g instead of 2 g²", _POWERS),
        lambda a, g: _over(g**2, 2 * g + _total(a) * g**3),
        Mistake(
            "undivided",
            "alpha is g² throughout: nothing was divided",
            "alpha[mask] is a copy, which div_ changes in vain: assign to alpha[mask], or use torch.where.",
        ),
        lambda a, g: g**2,
        Mistake("brackets", "you divided by 2 g² and then added S g³", "Put the whole denominator into brackets."),
        lambda a, g: _where_any(g, 0.5 + _total(a) * g**3),
        Mistake("upside-down", "numerator and denominator have changed places", "g² stands above, 2 g² + S g³ below."),
        lambda a, g: _where_any(g, 2 + _total(a) * g),
        Mistake(
            "pole-hidden",
            "you dropped the negative values of alpha",
            "Beyond the pole, at S g < -2, alpha is negative: leave it so.",
        ),
        lambda a, g: alpha(a, g).clamp(min=0),
        Mistake(
            "pole-hidden",
            "you took the magnitude of the denominator",
            "Beyond the pole, at S g < -2, alpha is negative: leave it so.",
        ),
        lambda a, g: alpha(a, g).abs(),
        Mistake(
            "normalized-alpha",
            "you made the alphas of each channel add up to 1",
            "Keep them as the equation gives them.",
        ),
        lambda a, g: alpha(a, g) / alpha(a, g).sum(SPACE, keepdim=True),
        Mistake(
            "weights-instead",
            "you multiplied alpha by the gradient already",
            "That comes in the next step: return alpha itself.",
        ),
        lambda a, g: alpha(a, g) * g,
        Mistake(
            "not-by-position",
            "you added alpha up over the positions",
            "alpha has a value for each position: the result is (N, C, h, w), as the gradients are.",
        ),
        lambda a, g: alpha(a, g).sum(SPACE),
        Mistake("epsilon", *_EPSILON),
        *(partial(_added, epsilon=e) for e in (1e-9, 1e-8, 1e-7, torch.finfo(torch.float32).eps, 1e-6, 1e-5, 1e-4)),
        *(partial(_at_least, epsilon=e) for e in (1e-9, 1e-8, 1e-7, 1e-6)),
    ],
)


check_alpha = checker(ALPHA)
