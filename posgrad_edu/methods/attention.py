"""Attention rollout, and rollout weighted by gradients: which tokens a vision transformer's logit was gathered from.

Let A_l be the attention of layer l, (T, T) for each head: row i says how much token i reads from each token. What has
reached a token after all layers came by many ways; multiplying the layers' matrices adds all ways up. With E_h the
mean over heads, ∇A_l = ∂f_c / ∂A_l and h(·) the handling:

    attention-rollout   R = Π_l (I + E_h[A_l]) / 2                     no gradients, so the same map for all classes
    gradient-rollout    R = Π_l (I + E_h[h(∇A_l ⊙ A_l)])               published: h = positive

The later layer stands on the left; I is the addition around attention. The map is the row of R that belongs to the
token from which the network reads its logits, at the places of the picture's tokens:

    a class token                 its row; of two, as in a distilled network, the mean of their rows
    the average of all tokens     the mean of their rows

In gradient-rollout the identity is left out of the result: for an average it would add the same number everywhere.

A row of rollout holds how much of each token has arrived and sums to 1 over all tokens. A row of gradient-rollout with
signed handling also holds what spoke against the class. Clamping it in each layer is what Chefer et al. do ("we average
across heads using the positive part"), and is the one place of the switch here.

What the method takes for granted is tried on the network itself, see ``engine/tokens.py``: networks with windows,
pooled tokens, cross-attention or linear attention are refused by name, as is one without attention.

Example:
    >>> maps = explain(net, x, target=4, method="gradient-rollout", handling="signed")

References:
    Abnar, Zuidema. Quantifying Attention Flow in Transformers. ACL 2020. arXiv:2005.00928, sec. 3, eq. 1.
    Chefer, Gur, Wolf. Generic Attention-model Explainability. ICCV 2021. arXiv:2103.15679, eq. 5 and 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from posgrad_edu.engine.attention import attention_layers
from posgrad_edu.engine.contrast import ignore_reference
from posgrad_edu.engine.passes import forward, gradients
from posgrad_edu.engine.tokens import Tokens, tokens_of
from posgrad_edu.handling import POSITIVE, Handling
from posgrad_edu.methods.base import Method


class AttentionRecord(NamedTuple):
    """A forward pass's attention, A (N, heads, T, T) layer by layer, and for each class asked ∂f/∂A likewise."""

    tokens: Tokens
    weights: list[Tensor]
    grads: list[list[Tensor]]


def first_row(tokens: Tokens, weights: Tensor) -> Tensor:
    """Return the row (N, 1, T) of the identity that the map is read from: the mean over the tokens read."""
    row = torch.zeros(len(weights), 1, weights.shape[-1], dtype=weights.dtype, device=weights.device)
    row[..., tokens.read] = 1 / len(tokens.read)
    return row


def on_grid(row: Tensor, tokens: Tokens) -> Tensor:
    """Return a row (N, 1, T) at the picture's places, (N, h, w)."""
    return row[:, 0, tokens.picture].unflatten(-1, tokens.grid)


@dataclass(frozen=True)
class AttentionMethod(Method):
    """A map of a vision transformer's attention, one cell a token."""


@dataclass(frozen=True)
class AttentionRollout(AttentionMethod):
    """The product of all layers' mean attention, half of it going around each layer (Abnar and Zuidema 2020, eq. 1).

    It asks for no class and has no gradients: the handling acts on the finished map.
    """

    name: ClassVar[str] = "attention-rollout"
    record_options: ClassVar[tuple[str, ...]] = ()

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> tuple[Tensor, int]:
        tokens, x = tokens_of(self.name, net, x), x.requires_grad_()
        layers = attention_layers(self.name, forward(net, x, target), x)
        ignore_reference()  # it asks for no class
        row = first_row(tokens, layers[0].weights)
        for layer in reversed(layers):
            row = (row + row @ layer.weights.mean(1)) / 2
        return on_grid(row, tokens), target.shape[1]

    def read(self, record: tuple[Tensor, int]) -> Tensor:
        rollout, classes = record
        return self.handle(rollout).unsqueeze(1).repeat(1, classes, 1, 1)


@dataclass(frozen=True)
class GradientRollout(AttentionMethod):
    """Attention times its gradient, handled, averaged over heads, then rolled out (Chefer et al. 2021, eq. 5 and 6)."""

    name: ClassVar[str] = "gradient-rollout"
    published: ClassVar[Handling] = POSITIVE
    record_options: ClassVar[tuple[str, ...]] = ()

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> AttentionRecord:
        tokens, x = tokens_of(self.name, net, x), x.requires_grad_()
        logits = forward(net, x, target)
        layers = attention_layers(self.name, logits, x)
        found = [
            [layer.gradient(arrived) for layer, arrived in zip(layers, grads, strict=True)]
            for grads in gradients(logits, target, [layer.edge for layer in layers])
        ]
        return AttentionRecord(tokens, [layer.weights for layer in layers], found)

    def read(self, record: AttentionRecord) -> Tensor:
        return torch.stack([self.roll(record.tokens, record.weights, grads) for grads in record.grads], dim=1)

    def roll(self, tokens: Tokens, weights: Sequence[Tensor], grads: Sequence[Tensor]) -> Tensor:
        """Return one class's map (N, h, w) from A and ∂f/∂A, (N, heads, T, T) layer by layer."""
        start = first_row(tokens, weights[0])
        added = torch.zeros_like(start)  # kept apart from the identity's ones, beside which it may be tiny
        for attention, grad in zip(reversed(weights), reversed(grads), strict=True):
            added = added + (start + added) @ self.handle(grad * attention).mean(1)
        return on_grid(added, tokens)
