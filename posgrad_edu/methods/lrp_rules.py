"""The rules of layer-wise relevance propagation: how one linear layer redistributes relevance.

A layer computes z_j = Σ_i c_ij + b_j from contributions c_ij = a_i w_ij. A rule sends the relevance R_j of each output
back to the inputs, in proportion to the contributions after a handling h:

    R_i = Σ_j  h(c_ij) / (Σ_i' h(c_i'j) + h(b_j)) · R_j

    zero         h(c) = c                          with 0/0 = 0
    epsilon      h(c) = c                          and ε · sign(z_j) added to the denominator, the stabilizer
    z+           h(c) = max(c, 0)                  for inputs of either sign
    alpha-beta   α times the rule with max(c, 0) minus β times the rule with min(c, 0), α - β = 1
    gamma        h(c) = c + γ max(c, 0) where z_j > 0, c + γ min(c, 0) where z_j < 0
    z-box        c_ij - l_i max(w_ij, 0) - u_i min(w_ij, 0) for inputs between l and u: pixels
    flat         h(c) = 1                          every connection alike

Rules with max and min in them have the same small ε in the denominator, so that nothing is divided by zero.

Example:
    >>> Redistribution(LinearLayer(F.linear, a, w, b), ZPlus())(relevance)        # (R of the inputs,)

References:
    Bach et al. On Pixel-Wise Explanations. PLoS ONE 2015, eq. 52 to 61.
    Montavon et al. Explaining Nonlinear Classification Decisions. Pattern Recognition 2017 (z+, z-box).
    Montavon et al. Layer-Wise Relevance Propagation: An Overview. 2019, table 10.1 (gamma).
    Andéol et al. Learning Domain Invariant Representations. 2021 (gamma for inputs of either sign).
    Lapuschkin et al. Unmasking Clever Hans Predictors. Nature Communications 2019 (flat).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import NamedTuple

import torch
from torch import Tensor

from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import NEGATIVE, POSITIVE, SIGNED

Elementwise = Callable[[Tensor], Tensor]  # a Handling, or another function of each value by itself


@dataclass
class LinearLayer:
    """A linear layer in the middle of a forward pass: z = apply(a, w, b), as F.linear; each time a new tensor."""

    apply: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    a: Tensor
    w: Tensor
    b: Tensor | None = None

    @cached_property
    def z(self) -> Tensor:
        """The output, for rules that look at its sign; the network's own may be overwritten."""
        return self.computed()

    def computed(self) -> Tensor:
        """Return the output, as a new tensor."""
        return self.apply(self.a, self.w, self.b)

    def sum_of(self, pairs: list[tuple[Tensor, Tensor]], bias: Tensor | None) -> Tensor:
        """Return Σ_p a_p w_p + bias.

        Without groups, several inputs side by side are one input with more channels: one convolution instead of two.
        """
        inputs, weights = zip(*pairs, strict=True)
        if len(pairs) > 1 and self.a.shape[1:2] == self.w.shape[1:2] and self.a.ndim == self.w.ndim:
            return self.apply(torch.cat(inputs, 1), torch.cat(weights, 1), bias)
        first, *others = pairs
        return reduce(torch.add, (self.apply(*pair, None) for pair in others), self.apply(*first, bias))


@dataclass
class Contributions:
    """What relevance is redistributed in proportion to: Σ_p a_p · w_p, and a bias that receives its own share.

    factor: how much of R_j is redistributed in this way, a number or a function of z. never_negative: known of the sum.
    """

    pairs: list[tuple[Tensor, Tensor]]
    bias: Tensor | None = None
    factor: Callable[[Tensor], Tensor] | float = 1.0
    never_negative: bool = False


def handled_contributions(
    layer: LinearLayer, handling: Elementwise, factor: Callable[[Tensor], Tensor] | float = 1.0
) -> Contributions:
    """Return the contributions handling(a_i w_ij), and the bias handled likewise.

    For a >= 0 they are a · handling(w), and for a < 0 |a| · handling(-w), since a handling scales with its input.
    """
    if handling is SIGNED:
        return Contributions([(layer.a, layer.w)], layer.b, factor)
    w, b = layer.w, layer.b
    if handling is not POSITIVE and handling is not NEGATIVE:  # somebody else's may work in place
        w, b = w.clone(), None if b is None else b.clone()
    bias = None if b is None else handling(b)
    pairs = [(layer.a, handling(w))]
    if not layer.a.amin() >= 0:  # it is not what a ReLU gave
        pairs = [(layer.a.clamp(min=0), pairs[0][1]), (-layer.a.clamp(max=0), handling(-layer.w))]
    return Contributions(pairs, bias, factor, never_negative=handling is POSITIVE)


@dataclass(frozen=True)
class Rule:
    """How a layer redistributes relevance; ``epsilon`` moves denominators away from zero."""

    # By name only, so that Gamma(0.5) and ZBox(low, high) mean what they say.
    epsilon: float = field(default=1e-6, kw_only=True)

    @property
    def divides_by_logit(self) -> bool:
        """Whether in a layer that gives logits the denominators have their signs."""
        return False

    def contributions(self, layer: LinearLayer) -> list[Contributions]:
        """Return what the relevance of a layer's outputs is redistributed in proportion to; several are added up."""
        raise NotImplementedError


@dataclass(frozen=True)
class Epsilon(Rule):
    """LRP-ε: the plain contributions, the denominator moved away from zero by ε (Bach et al. 2015, eq. 58)."""

    epsilon: float = 1e-6

    @property
    def divides_by_logit(self) -> bool:
        return True

    def contributions(self, layer: LinearLayer) -> list[Contributions]:
        return [handled_contributions(layer, SIGNED)]


@dataclass(frozen=True)
class Zero(Epsilon):
    """LRP-0: the plain contributions, nothing added (eq. 56)."""

    epsilon: float = 0.0


@dataclass(frozen=True)
class Handled(Rule):
    """The contributions after a ``Handling``, or another function: signed is epsilon, positive is z+."""

    handling: Elementwise

    @property
    def divides_by_logit(self) -> bool:
        return self.handling is SIGNED

    def contributions(self, layer: LinearLayer) -> list[Contributions]:
        return [handled_contributions(layer, self.handling)]


@dataclass(frozen=True)
class ZPlus(Handled):
    """LRP-z+: the positive contributions (Montavon et al. 2017)."""

    handling: Elementwise = field(default=POSITIVE, init=False)


@dataclass(frozen=True)
class AlphaBeta(Rule):
    """α times the positive contributions' share minus β times the negative ones' (Bach et al. 2015, eq. 60)."""

    alpha: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        if self.alpha < 0 or self.beta < 0 or abs(self.alpha - self.beta - 1) > 1e-9:
            raise ValueError(f"alpha - beta must be 1, neither negative; got {self.alpha} and {self.beta}.")

    def contributions(self, layer: LinearLayer) -> list[Contributions]:
        return [
            handled_contributions(layer, POSITIVE, factor=self.alpha),
            handled_contributions(layer, NEGATIVE, factor=-self.beta),
        ]


@dataclass(frozen=True)
class Gamma(Rule):
    """Contributions that agree with the sum count 1 + γ times (Montavon 2019; Andéol 2021 for any sign)."""

    gamma: float = 0.25

    @property
    def divides_by_logit(self) -> bool:
        return True

    def contributions(self, layer: LinearLayer) -> list[Contributions]:
        return [
            handled_contributions(layer, lambda c: c + self.gamma * c.clamp(min=0), factor=lambda z: (z > 0).to(z)),
            handled_contributions(layer, lambda c: c + self.gamma * c.clamp(max=0), factor=lambda z: (z < 0).to(z)),
        ]


@dataclass(frozen=True)
class ZBox(Rule):
    """For pixels between ``low`` and ``high``, numbers or one a channel (Montavon et al. 2017)."""

    low: float | tuple[float, ...] = 0.0
    high: float | tuple[float, ...] = 1.0

    def contributions(self, layer: LinearLayer) -> list[Contributions]:
        bounds = (torch.as_tensor(v, dtype=layer.a.dtype, device=layer.a.device) for v in (self.low, self.high))
        low, high = (bound.reshape(-1, *[1] * (layer.a.ndim - 2)) for bound in bounds)
        if (layer.a < low - 1e-4).any() or (layer.a > high + 1e-4).any():
            raise ValueError(f"z-box: the input leaves the box from {self.low} to {self.high}. Give its true bounds.")
        ones = torch.ones_like(layer.a)
        pairs = [(layer.a, layer.w), (-low * ones, layer.w.clamp(min=0)), (-high * ones, layer.w.clamp(max=0))]
        return [Contributions(pairs)]


@dataclass(frozen=True)
class Flat(Rule):
    """Every connection receives the same, whatever flows through it (Lapuschkin et al. 2019)."""

    def contributions(self, layer: LinearLayer) -> list[Contributions]:
        return [Contributions([(torch.ones_like(layer.a), torch.ones_like(layer.w))])]


RULES: dict[str, type[Rule]] = {
    "zero": Zero,
    "epsilon": Epsilon,
    "z+": ZPlus,
    "gamma": Gamma,
    "alpha-beta": AlphaBeta,
    "flat": Flat,
}


def get_rule(rule: str | Rule) -> Rule:
    """Return the rule of that name with its usual parameters; a ``Rule`` is returned as it is."""
    if isinstance(rule, Rule):
        return rule
    if rule not in RULES:
        raise unknown_name("LRP rule", rule, [*RULES, "ZBox(low, high)"])
    return RULES[rule]()


def stabilized(denominator: Tensor, epsilon: float, never_negative: bool = False) -> Tensor:
    """Move a denominator away from zero by epsilon, in place; for epsilon = 0 to infinity at zero, so that 0/0 gives 0.

    never_negative: what is known of its values, but for rounding.
    """
    if epsilon == 0:
        return denominator.masked_fill_(denominator == 0, torch.inf)
    if never_negative:
        return denominator.clamp_(min=0).add_(epsilon)
    return denominator.add_(torch.copysign(denominator.new_tensor(epsilon), denominator))


class Prepared(NamedTuple):
    """One kind of contributions of a layer, ready for any relevance."""

    inputs: list[Tensor]
    total: Tensor  # Σ_p a_p w_p + bias, as a graph over the inputs a_p
    denominator: Tensor
    factor: Tensor | float


class Redistribution:
    """Takes relevance from a layer's outputs to its inputs by a rule: ``Redistribution(layer, rule)(relevance)``.

    All that doesn't depend on the relevance is computed once, so several classes share it.
    """

    def __init__(self, layer: LinearLayer, rule: Rule) -> None:
        self.layer = layer
        self.rule = rule

    @cached_property
    def prepared(self) -> list[Prepared]:
        """For each kind of contributions what can be computed before the relevance is known."""
        return [self._prepare(contributions) for contributions in self.rule.contributions(self.layer)]

    @property
    def divides_by_z(self) -> bool:
        """Whether the rule's only denominator is the layer's output; a rule derived from these may have others."""
        signed = type(self.rule) is Handled and self.rule.handling is SIGNED
        return signed or type(self.rule) in (Epsilon, Zero)

    def output(self) -> Tensor:
        """Return the layer's output z, computed once where the rule needs it, too."""
        return self.prepared[0].total.detach() if self.divides_by_z else self.layer.computed()

    def _prepare(self, contributions: Contributions) -> Prepared:
        with torch.enable_grad():
            inputs = [a.detach().requires_grad_() for a, _ in contributions.pairs]
            weights = [w for _, w in contributions.pairs]
            total = self.layer.sum_of([*zip(inputs, weights, strict=True)], contributions.bias)
        factor, values = contributions.factor, total.detach()
        if self.divides_by_z:
            values = values.clone()  # the network goes on with z itself
        denominator = stabilized(values, self.rule.epsilon, contributions.never_negative)
        return Prepared(inputs, total, denominator, factor(self.layer.z) if callable(factor) else factor)

    def __call__(self, relevance: Tensor) -> tuple[Tensor]:
        received: list[Tensor] = []
        for inputs, total, denominator, factor in self.prepared:
            signal = (relevance if isinstance(factor, float) and factor == 1 else relevance * factor) / denominator
            # The gradient of Σ_p a_p w_p is the transposed layer: it brings R_j / z_j to each input.
            brought = torch.autograd.grad(total, inputs, signal, retain_graph=True)
            received += [g.mul_(a.detach()) for a, g in zip(inputs, brought, strict=True)]
        first, *others = received
        for other in others:
            first += other
        return (first,)
