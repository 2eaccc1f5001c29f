"""The rules of layer-wise relevance propagation: how one linear layer shares out relevance.

A layer computes z_j = Σ_i c_ij + b_j from contributions c_ij = a_i w_ij. A rule sends the relevance R_j of each output
back to the inputs, in proportion to what it keeps of the contributions:

    R_i = Σ_j  h(c_ij) / (Σ_i' h(c_i'j) + h(b_j)) · R_j

    zero         h(c) = c                          with 0/0 = 0
    epsilon      h(c) = c                          and ε · sign(z_j) added to the denominator
    z+           h(c) = max(c, 0)                  for inputs of either sign
    alpha-beta   α times the share by max(c, 0) minus β times the share by min(c, 0), α - β = 1
    gamma        h(c) = c + γ max(c, 0) where z_j > 0, c + γ min(c, 0) where z_j < 0
    z-box        c_ij - l_i max(w_ij, 0) - u_i min(w_ij, 0) for inputs between l and u: pixels
    flat         h(c) = 1                          every connection alike

Rules with max and min in them have the same small ε in the denominator, so that nothing is divided by zero.

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

import torch
from torch import Tensor

from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import NEGATIVE, POSITIVE, SIGNED

Keep = Callable[[Tensor], Tensor]


@dataclass
class Layer:
    """A linear layer in the middle of a forward pass: z = apply(a, w) + b, with b shaped to fit z."""

    apply: Callable[[Tensor, Tensor], Tensor]
    a: Tensor
    w: Tensor
    b: Tensor | None = None

    def output(self) -> Tensor:
        """Return z."""
        z = self.apply(self.a, self.w)
        return z if self.b is None else z + self.b


@dataclass
class Share:
    """One way to share out: contributions Σ_p a_p · w_p, the bias's own, and which part of R_j goes this way."""

    pairs: list[tuple[Tensor, Tensor]]
    bias: Tensor | float = 0.0
    part: Callable[[Tensor], Tensor] | float = 1.0  # a factor, or a mask as a function of z


def kept(layer: Layer, keep: Keep, part: Callable[[Tensor], Tensor] | float = 1.0) -> Share:
    """Return the share in proportion to keep(a_i w_ij).

    For a >= 0 that is a · keep(w), and for a < 0 it is |a| · keep(-w), since keep scales with its input.
    """
    bias = 0.0 if layer.b is None else keep(layer.b)
    if keep is SIGNED:
        return Share([(layer.a, layer.w)], bias, part)
    pairs = [(layer.a.clamp(min=0), keep(layer.w))]
    if (layer.a < 0).any():
        pairs.append((-layer.a.clamp(max=0), keep(-layer.w)))
    return Share(pairs, bias, part)


@dataclass(frozen=True)
class Rule:
    """How a layer shares out relevance; ``epsilon`` keeps denominators away from zero."""

    # By name only, so that Gamma(0.5) and ZBox(low, high) mean what they say.
    epsilon: float = field(default=1e-6, kw_only=True)

    def shares(self, layer: Layer) -> list[Share]:
        """Return the ways this rule shares out the relevance of a layer's outputs."""
        return [kept(layer, SIGNED)]


@dataclass(frozen=True)
class Zero(Rule):
    """LRP-0: the plain contributions, nothing added (Bach et al. 2015, eq. 56)."""

    epsilon: float = 0.0


@dataclass(frozen=True)
class Epsilon(Rule):
    """LRP-ε: the plain contributions, the denominator moved away from zero by ε (eq. 58)."""

    epsilon: float = 1e-6


@dataclass(frozen=True)
class Kept(Rule):
    """The contributions that a ``Handling`` keeps: positive gives z+, signed gives epsilon."""

    keep: Keep = POSITIVE

    def shares(self, layer: Layer) -> list[Share]:
        return [kept(layer, self.keep)]


@dataclass(frozen=True)
class AlphaBeta(Rule):
    """α times the positive contributions' share minus β times the negative ones' (Bach et al. 2015, eq. 60)."""

    alpha: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        if self.alpha < 0 or self.beta < 0 or abs(self.alpha - self.beta - 1) > 1e-9:
            raise ValueError(f"alpha - beta must be 1, neither negative; got {self.alpha} and {self.beta}.")

    def shares(self, layer: Layer) -> list[Share]:
        return [kept(layer, POSITIVE, self.alpha), kept(layer, NEGATIVE, -self.beta)]


@dataclass(frozen=True)
class Gamma(Rule):
    """Contributions that agree with the sum count 1 + γ times (Montavon 2019; Andéol 2021 for any sign)."""

    gamma: float = 0.25

    def shares(self, layer: Layer) -> list[Share]:
        return [
            kept(layer, lambda c: c + self.gamma * c.clamp(min=0), lambda z: (z > 0).to(z)),
            kept(layer, lambda c: c + self.gamma * c.clamp(max=0), lambda z: (z < 0).to(z)),
        ]


@dataclass(frozen=True)
class ZBox(Rule):
    """For pixels between ``low`` and ``high``, numbers or one a channel (Montavon et al. 2017)."""

    low: float | tuple[float, ...] = 0.0
    high: float | tuple[float, ...] = 1.0

    def shares(self, layer: Layer) -> list[Share]:
        bounds = (torch.as_tensor(v, dtype=layer.a.dtype, device=layer.a.device) for v in (self.low, self.high))
        low, high = (bound.reshape(-1, *[1] * (layer.a.ndim - 2)) for bound in bounds)
        if (layer.a < low - 1e-4).any() or (layer.a > high + 1e-4).any():
            raise ValueError(f"z-box: the input leaves the box from {self.low} to {self.high}. Give its true bounds.")
        ones = torch.ones_like(layer.a)
        return [
            Share(
                [
                    (layer.a, layer.w),
                    (-low * ones, layer.w.clamp(min=0)),
                    (-high * ones, layer.w.clamp(max=0)),
                ]
            )
        ]


@dataclass(frozen=True)
class Flat(Rule):
    """Every connection takes the same share, whatever flows through it (Lapuschkin et al. 2019)."""

    def shares(self, layer: Layer) -> list[Share]:
        return [Share([(torch.ones_like(layer.a), torch.ones_like(layer.w))])]


RULES: dict[str, type[Rule]] = {"zero": Zero, "epsilon": Epsilon, "z+": Kept, "gamma": Gamma, "alpha-beta": AlphaBeta}
RULES["flat"] = Flat


def get_rule(rule: str | Rule) -> Rule:
    """Return the rule of that name with its usual parameters; a ``Rule`` is returned as it is."""
    if isinstance(rule, Rule):
        return rule
    if rule not in RULES:
        raise unknown_name("LRP rule", rule, [*RULES, "ZBox(low, high)"])
    return RULES[rule]()


def stabilized(z: Tensor, epsilon: float) -> Tensor:
    """Return z moved away from zero by epsilon; for epsilon = 0, infinite at zero, so that 0/0 gives 0."""
    if epsilon == 0:
        return torch.where(z == 0, torch.inf, z)
    return z + torch.copysign(z.new_tensor(epsilon), z)


class ShareOut:
    """Takes relevance from a layer's outputs to its inputs by a rule: ``ShareOut(layer, rule)(relevance)``.

    All that doesn't depend on the relevance is computed once, so several classes share it.
    """

    def __init__(self, layer: Layer, rule: Rule) -> None:
        self.layer = layer
        self.rule = rule

    @cached_property
    def _shares(self) -> list[tuple[list[Tensor], Tensor, Tensor]]:
        """For each share: its inputs a_p, the sum Σ_p a_p w_p as a graph over them, and part / denominator."""
        prepared = []
        for share in self.rule.shares(self.layer):
            with torch.enable_grad():
                inputs = [a.detach().requires_grad_() for a, _ in share.pairs]
                first, *rest = (self.layer.apply(a, w) for a, (_, w) in zip(inputs, share.pairs, strict=True))
                total = sum(rest, start=first)
            z = total.detach() + share.bias
            part = share.part(self.layer.output()) if callable(share.part) else share.part
            prepared.append((inputs, total, part / stabilized(z, self.rule.epsilon)))
        return prepared

    def __call__(self, relevance: Tensor) -> tuple[Tensor]:
        received: list[Tensor] = []
        for inputs, total, factor in self._shares:
            # The gradient of Σ_p a_p w_p is the transposed layer: it brings R_j / z_j to each input.
            brought = torch.autograd.grad(total, inputs, relevance * factor, retain_graph=True)
            received += [a.detach() * g for a, g in zip(inputs, brought, strict=True)]
        return (reduce(torch.add, received),)
