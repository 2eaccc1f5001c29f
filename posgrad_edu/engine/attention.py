"""Self-attention that ran in a forward pass, found on autograd's graph: its weights and their gradient.

A layer of attention mixes tokens: O = A V with A = softmax(Q Kᵀ / √d), one A (T, T) a head. Today's networks leave it
to a fused kernel, which never writes A down. But its node keeps Q, K, V and O: A is computed again, and must give O.
The gradient with regard to A is that of O times Vᵀ. So nothing is switched off or intercepted, and whoever called the
kernel is seen. Attention that is written out in the network has a softmax as its node, which keeps A.

Reference: Vaswani et al. Attention Is All You Need. NeurIPS 2017. arXiv:1706.03762, eq. 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

from posgrad_edu.engine.graph import VIEWS, nodes, operation
from posgrad_edu.errors import UnsupportedOperation

FUSED = "ScaledDotProduct"  # how the nodes of all fused kernels begin, on whatever device
ATTENTION_SOFTMAXES = ("Softmax", "SafeSoftmax")
ADVICE = "Use a method that works on any network, such as 'gradient'."


class Attention(NamedTuple):
    """One layer of self-attention that ran: weights A (N, heads, T, T), values V (N, heads, T, d), and their nodes.

    product: the node that gives O = A V. softmax: the one that gives A, ``None`` in a fused kernel.
    """

    weights: Tensor
    values: Tensor
    product: Node
    softmax: Node | None = None

    @property
    def edge(self) -> GradientEdge:
        """What to ask autograd for; ``gradient`` makes ∂f/∂A of what it gives."""
        return GradientEdge(self.softmax or self.product, 0)

    def gradient(self, arrived: Tensor | None) -> Tensor:
        """Return ∂f/∂A (N, heads, T, T) from the gradient at ``edge``; zero where none arrived."""
        if arrived is None:
            return torch.zeros_like(self.weights)
        return arrived @ self.values.mT if self.softmax is None else arrived.view_as(self.weights)


def attention_layers(method: str, logits: Tensor, photos: Tensor) -> list[Attention]:
    """Return the layers of self-attention between the photos (N, C, H, W) and their logits, from the first to the last.

    Raises ``UnsupportedOperation`` for a network without any, and for attention of another kind, by what it is.
    """
    order = nodes(logits, photos)
    above = _above(order)
    found = []
    for node in reversed(order):
        if operation(node).startswith(FUSED):
            found.append(_fused(method, node, len(photos)))
        elif operation(node) in ATTENTION_SOFTMAXES and node._saved_result.ndim > 2:  # type: ignore[attr-defined]
            found.append(_written_out(method, node, above, len(photos)))
    if not found:
        raise UnsupportedOperation(f"{method} reads attention, and none was seen in this network. {ADVICE}")
    return found


def _above(order: Sequence[Node]) -> dict[Node, list[Node]]:
    """Return, of each node, those that read its output."""
    above: dict[Node, list[Node]] = {node: [] for node in order}
    for node in order:
        for before, _ in node.next_functions:
            if before in above:
                above[before].append(node)
    return above


def _fused(method: str, node: Any, photos: int) -> Attention:
    """Return a fused kernel's attention, computed again; it must give what the kernel gave."""
    query, key, values = node._saved_query, node._saved_key, node._saved_value
    _refuse_others(method, (*query.shape[:-1], key.shape[-2]), photos)
    if key.shape[1] != query.shape[1]:
        raise UnsupportedOperation(f"{method} has no rule for queries that share keys (grouped attention). {ADVICE}")
    scale = query.shape[-1] ** -0.5 if node._saved_scale is None else node._saved_scale
    scores = query.detach() @ key.detach().mT * scale
    mask = getattr(node, "_saved_attn_mask", None)
    mask = getattr(node, "_saved_attn_bias", None) if mask is None else mask
    if mask is not None:
        scores = scores + mask.detach()  # one of booleans is saved as 0 and -inf
    weights, output = scores.softmax(-1), node._saved_output.detach()
    rounding = torch.finfo(output.dtype).eps ** 0.5 * output.abs().max()
    if not (weights @ values.detach() - output).abs().max() <= rounding:
        raise UnsupportedOperation(
            f"{method} computes attention again, as softmax(Q Kᵀ) V, and here that isn't what the network got, as with "
            f"a causal mask or a dropout. {ADVICE}"
        )
    return Attention(weights, values, node)


def _written_out(method: str, node: Any, above: dict[Node, list[Node]], photos: int) -> Attention:
    """Return the attention that a softmax in the network computes, if nothing but the product with V reads it."""
    weights = node._saved_result
    if weights.ndim == 3 and len(weights) % photos == 0:  # nn.MultiheadAttention: (N · heads, T, T)
        weights = weights.unflatten(0, (photos, -1))
    _refuse_others(method, weights.shape, photos)
    if not torch.allclose(total := weights.sum(-1), torch.ones_like(total), atol=torch.finfo(total.dtype).eps ** 0.5):
        raise UnsupportedOperation(f"{method} has no rule for a softmax along another axis than the keys. {ADVICE}")
    readers = above[node]
    while len(readers) == 1 and operation(readers[0]) in VIEWS:
        readers = above[readers[0]]
    product: Any = readers[0] if len(readers) == 1 else None
    factor = getattr(product, "_saved_self", None) if product is not None and operation(product) == "Bmm" else None
    if factor is None or factor.numel() != weights.numel() or not torch.equal(factor.reshape(weights.shape), weights):
        what = "several operations" if product is None else f"'{operation(product)}'"
        raise UnsupportedOperation(
            f"{method} needs attention weights that are multiplied by the values and nothing else; here {what} "
            f"stands in between, as where heads are mixed (talking heads). {ADVICE}"
        )
    values = product._saved_mat2.reshape(*weights.shape[:-1], -1)
    return Attention(weights.detach(), values, product, node)


def _refuse_others(method: str, shape: Sequence[int], photos: int) -> None:
    """Refuse attention weights that aren't (photos, heads, T, T), by what they are."""
    if len(shape) != 4:
        kind = f"a softmax of shape {tuple(shape)}"
    elif shape[0] != photos:
        kind = f"attention in windows or other parts of a photo, {shape[2]} x {shape[3]} tokens each"
    elif shape[-2] != shape[-1]:
        kind = f"cross-attention or attention to pooled tokens: {shape[-2]} queries, {shape[-1]} keys"
    else:
        return
    raise UnsupportedOperation(
        f"{method} has no rule for {kind}. It needs self-attention, in which each token reads all tokens. {ADVICE}"
    )
