"""Self-attention found on autograd's graph, layer by layer: its weights, values and gradient, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from posgrad_edu.engine.attention import attention_layers
from posgrad_edu.errors import UnsupportedOperation

N, HEADS, T, D = 2, 3, 5, 4
MASK = torch.rand(T, T, generator=torch.Generator().manual_seed(1)) > 0.3
MASK.fill_diagonal_(True)
ADDED = torch.randn(T, T, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def photos() -> Tensor:
    x = torch.randn(N, HEADS, T, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x.requires_grad_()


def parts(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (N, heads, T, d)."""
    return x * 2 + 1, x.flip(-1) - 0.5, x.roll(1, -1) * 3


def written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (q @ k.mT / D**0.5).softmax(-1).reshape(N * HEADS, T, T)
    return torch.bmm(weights, v.reshape(N * HEADS, T, D)).reshape(N, HEADS, T, D)


WAYS: dict[str, tuple[Callable[..., Tensor], Callable[[Tensor], Tensor]]] = {
    "fused": (F.scaled_dot_product_attention, lambda s: s / D**0.5),
    "another scale": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=0.3), lambda s: s * 0.3),
    "a mask": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=MASK),
        lambda s: (s / D**0.5).masked_fill(~MASK, -torch.inf),
    ),
    "a bias": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=ADDED),
        lambda s: s / D**0.5 + ADDED,
    ),
    "written out": (written_out, lambda s: s / D**0.5),
}


@pytest.mark.parametrize("way", WAYS)
def test_weights_values_and_gradient_are_those_of_the_formula(way: str) -> None:
    attend, scored = WAYS[way]
    x = photos()
    logits = attend(*parts(x)).pow(3).sum((1, 2))
    (layer,) = attention_layers("rollout", logits, x)
    q, k, v = (part.detach() for part in parts(x))
    weights = scored(q @ k.mT).softmax(-1).requires_grad_()
    torch.testing.assert_close(layer.weights, weights.detach())
    torch.testing.assert_close(layer.values.detach(), v)
    assert not layer.weights.requires_grad
    (expected,) = torch.autograd.grad((weights @ v).pow(3)[..., 1].sum(), weights)
    (arrived,) = torch.autograd.grad(logits[:, 1].sum(), [layer.edge])
    torch.testing.assert_close(layer.gradient(arrived), expected)
    assert torch.equal(layer.gradient(None), torch.zeros_like(expected))
    assert (layer.softmax is None) == (way != "written out")


def test_layers_come_from_the_first_to_the_last() -> None:
    x = photos()
    first = F.scaled_dot_product_attention(*parts(x))
    second = written_out(*parts(first))
    found = attention_layers("rollout", second.sum((1, 2)), x)
    assert [layer.softmax is None for layer in found] == [True, False]
    torch.testing.assert_close(found[1].values.detach(), parts(first)[2].detach())


def attended(weights: Tensor, x: Tensor) -> Tensor:
    return torch.bmm(weights.reshape(-1, *weights.shape[-2:]), x.reshape(N * HEADS, T, D))


def scores(x: Tensor) -> Tensor:
    return x @ x.mT


REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "nothing": (lambda x: x * 2, "rollout reads attention, and none was seen in this network."),
    "a softmax of classes": (lambda x: x.flatten(1).softmax(1), "and none was seen in this network."),
    "windows": (
        lambda x: F.scaled_dot_product_attention(*[x.reshape(2 * N, HEADS, T, D // 2)] * 3),
        "no rule for attention in windows or other parts of a photo, 5 x 5 tokens each. It needs self-attention",
    ),
    "pooled tokens": (
        lambda x: F.scaled_dot_product_attention(x, x[:, :, :3], x[:, :, :3]),
        "no rule for cross-attention or attention to pooled tokens: 5 queries, 3 keys. It needs self-attention",
    ),
    "a query": (lambda x: F.scaled_dot_product_attention(x[:, :, :1], x, x), "pooled tokens: 1 queries, 5 keys."),
    "five axes": (
        lambda x: scores(x)[:, None].softmax(-1) @ x[:, None],
        "no rule for a softmax of shape (2, 1, 3, 5, 5). It needs self-attention, in which each token reads all",
    ),
    "no whole number of heads": (
        lambda x: torch.bmm(scores(x.flatten(0, 1)[:5]).softmax(-1), x.flatten(0, 1)[:5]),
        "no rule for a softmax of shape (5, 5, 5).",
    ),
    "shared keys": (
        lambda x: F.scaled_dot_product_attention(x, x[:, :1], x[:, :1], enable_gqa=True),
        "no rule for queries that share keys (grouped attention).",
    ),
    "causal": (
        lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
        "computes attention again, as softmax(Q Kᵀ) V, and here that isn't what the network got",
    ),
    "over queries": (
        lambda x: attended(scores(x).softmax(-2), x),
        "no rule for a softmax along another axis than the keys.",
    ),
    "read twice": (
        lambda x: attended(w := scores(x).softmax(-1), x).sum() + w.pow(2).sum() + x.sum((2, 3)),
        "multiplied by the values and nothing else; here several operations stands in between",
    ),
    "sharpened": (
        lambda x: attended(scores(x).softmax(-1) ** 2, x),
        "multiplied by the values and nothing else; here 'Pow' stands in between",
    ),
    "turned": (
        lambda x: attended(scores(x).softmax(-1).mT, x),
        "multiplied by the values and nothing else; here 'Bmm' stands in between",
    ),
    "heads left out": (
        lambda x: torch.bmm(scores(x).softmax(-1)[:, 0], x[:, 0]),
        "multiplied by the values and nothing else; here 'Bmm' stands in between",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_and_by_what_it_is(name: str) -> None:
    function, says = REFUSED[name]
    x = photos()
    output: Any = function(x)
    logits = output.reshape(N, -1) if output.numel() % N == 0 else output.sum().reshape(1, 1).expand(N, 1)
    with pytest.raises(UnsupportedOperation, match=re.escape(says)) as refused:
        attention_layers("rollout", logits, x)
    assert str(refused.value).endswith("Use a method that works on any network, such as 'gradient'.")
