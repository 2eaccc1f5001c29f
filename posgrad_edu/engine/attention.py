"""Self-attention that ran in a forward pass, found on autograd's graph: its weights, and who its tokens are.

A layer of attention mixes tokens: O = A V with A = softmax(Q Kᵀ / √d), one A (T, T) a head. Today's networks leave it
to a fused kernel, which never writes A down. But its node keeps Q, K, V and O: A is computed again, and must give O.
The gradient with regard to A is that of O times Vᵀ. So nothing is switched off or intercepted, and whoever called the
kernel is seen. Attention that is written out in the network has a softmax as its node, which keeps A.

A map of attention is only right if nothing else carries anything from one token to another, and if it's known which
token stands for which place. Neither is looked up in a list of networks. Both are tried, once for each network and
shape of photos:

    picture tokens     those that are another for another photo; all others are constants, such as a class token
    their places       the part of the photo that a token's gradient lies on, before any attention
    nothing else mixes with the gradient stopped at each attention, the last layer's tokens depend on the same pixels
    tokens that count  those of the last layer that the logits have a gradient for

Reference: Vaswani et al. Attention Is All You Need. NeurIPS 2017. arXiv:1706.03762, eq. 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node

from posgrad_edu.engine.audit import once
from posgrad_edu.engine.graph import MAXIMA, VIEWS, nodes, operation
from posgrad_edu.engine.passes import checked_logits, with_gradients
from posgrad_edu.errors import UnsupportedOperation

FUSED = "ScaledDotProduct"  # how the nodes of all fused kernels begin, on whatever device
SOFTMAXES = ("Softmax", "SafeSoftmax")
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


class Tokens(NamedTuple):
    """Who the T tokens are: the grid (h, w), which are its places row by row, and which the logits are read from."""

    grid: tuple[int, int]
    picture: list[int]
    read: list[int]


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
        elif operation(node) in SOFTMAXES and node._saved_result.ndim > 2:  # type: ignore[attr-defined]
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
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.detach()
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
        kind = f"attention in windows or other parts of a photo: {tuple(shape)} for {photos} photo(s)"
    elif shape[-2] != shape[-1]:
        kind = f"cross-attention or attention to pooled tokens: {shape[-2]} queries, {shape[-1]} keys"
    else:
        return
    raise UnsupportedOperation(
        f"{method} has no rule for {kind}. It needs self-attention, in which each token reads all tokens. {ADVICE}"
    )


# --- Who the tokens are ---


def tokens_of(method: str, net: nn.Module, x: Tensor) -> Tokens:
    """Return who the tokens are for photos like x (N, C, H, W); tried once for a network and shape, then remembered.

    Raises ``UnsupportedOperation`` where attention isn't all that tokens meet by, or where their places aren't clear.
    """
    return once(_examine, net, x[:1], method)


def _examine(net: nn.Module, x: Tensor, method: str) -> Tokens:
    one = x.detach()
    other = one + torch.arange(one.numel(), device=x.device).cos().view_as(one).to(x)  # another in each pixel
    with with_gradients():
        pair = torch.cat([one, other]).requires_grad_()
        logits = checked_logits(net, pair)
        layers = attention_layers(method, logits, pair)
        _refuse_other_plans(method, layers, nodes(logits, pair))
        values = layers[0].values.detach()
        rounding = 8 * torch.finfo(x.dtype).eps * values.abs().max()
        differs = (values[0] - values[1]).abs().amax((0, 2)) > rounding
        picture, constant = differs.nonzero().flatten().tolist(), (~differs).nonzero().flatten().tolist()
        read = _read_tokens(method, logits, layers[-1], picture, constant)
        grid = _grid(method, layers, pair, picture, constant)
    return Tokens(grid, picture, read)


def _refuse_other_plans(method: str, layers: Sequence[Attention], order: Sequence[Node]) -> None:
    """Refuse layers that aren't a chain over the same tokens, each beside a way around it."""
    lengths = [len(layer.weights[0, 0]) for layer in layers]
    if len(set(lengths)) > 1:
        raise UnsupportedOperation(
            f"{method} needs the same tokens in each layer; here their number changes, {lengths}, as in networks that "
            f"pool or merge tokens. {ADVICE}"
        )
    for lower, upper in itertools.pairwise(layers):
        if lower.product not in _below(upper.product):
            raise UnsupportedOperation(
                f"{method} needs layers of attention one after the other; here two stand side by side. {ADVICE}"
            )
    if order[-1] not in _below(order[0], around={layer.product for layer in layers}):
        raise UnsupportedOperation(
            f"{method} takes it that what attention gives is added to its input, and in this network it isn't. {ADVICE}"
        )
    above = set(order) - _below(layers[-1].product)
    if any(operation(node) in MAXIMA for node in above):
        raise UnsupportedOperation(f"{method} can't say which tokens a head reads that takes the largest. {ADVICE}")


def _below(node: Node, around: set[Node] | None = None) -> set[Node]:
    """Return a node and all that it was made of, or all that a way leads to around some nodes."""
    found, waiting = {node}, [node]
    while waiting:
        before = {b for b, _ in waiting.pop().next_functions if b is not None} - found - (around or set())
        found |= before
        waiting += before
    return found


def _read_tokens(
    method: str, logits: Tensor, last: Attention, picture: Sequence[int], constant: Sequence[int]
) -> list[int]:
    """Return the tokens that the logits are read from: one or more constants, or all of the picture's."""
    weighted = logits[0] * (1 + torch.arange(logits.shape[1], device=logits.device)).cos()
    (arrived,) = torch.autograd.grad(weighted.sum(), [last.edge], retain_graph=True, allow_unused=True)
    gradient = last.gradient(arrived)
    if gradient[1].any():
        raise UnsupportedOperation(f"{method} can't tell which photo a head of attention belongs to. {ADVICE}")
    read = gradient[0].detach().abs().amax((0, 2)).nonzero().flatten().tolist()
    if not read:
        raise ValueError(
            "No token of this network has a part in its logits. Are its head's weights zero? Train it, or draw others."
        )
    if not (set(read) <= set(constant) or set(read) >= set(picture)):
        raise UnsupportedOperation(
            f"{method} needs a head that reads class tokens or the average of all tokens; this one reads "
            f"{len(read)} of {len(picture) + len(constant)} tokens. {ADVICE}"
        )
    return read


def _grid(
    method: str, layers: Sequence[Attention], pair: Tensor, picture: Sequence[int], constant: Sequence[int]
) -> tuple[int, int]:
    """Return the grid (h, w) of the picture's tokens; some of them are asked which pixels they depend on."""
    count = len(picture)
    asked = sorted({0, 1, count // 3, count // 2, count - 1} & set(range(count)))
    centres = []
    for token in [*(picture[i] for i in asked), *constant]:
        first, last = (_pixels(layer, token, layers, pair) for layer in (layers[0], layers[-1]))
        if (last[first == 0] > 0).any():
            raise UnsupportedOperation(
                f"{method} takes it that tokens meet in attention alone; here they also meet elsewhere, as in a "
                f"convolution among them. {ADVICE}"
            )
        centres.append(_centre(first))
    grids = [(h, count // h) for h in range(1, count + 1) if count % h == 0]
    errors = {
        grid: max(_distance(centre, i, grid) for i, centre in zip(asked, centres, strict=False)) for grid in grids
    }
    best = min(errors, key=errors.__getitem__, default=(0, 0))
    if count < 2 or not errors[best] < 1:
        raise UnsupportedOperation(
            f"{method} finds no grid, row by row, that this network's {count} tokens of a photo lie on. {ADVICE}"
        )
    return best


def _pixels(layer: Attention, token: int, layers: Sequence[Attention], pair: Tensor) -> Tensor:
    """Return how much (H, W) a layer's token depends on each pixel by other ways than attention."""
    with ExitStack() as hooks:
        for each in layers:
            hooks.callback(each.product.register_prehook(_stopped).remove)
        value = layer.values[0, :, token].pow(2).sum()
        (grad,) = torch.autograd.grad(value, pair, retain_graph=True)
    return grad[0].detach().double().pow(2).sum(0)


def _stopped(grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(None if grad is None else torch.zeros_like(grad) for grad in grads)


def _centre(energy: Tensor) -> tuple[float, float]:
    """Return where the middle of an energy (H, W) lies, as parts of the height and of the width."""
    height, width = energy.shape
    rows = (torch.arange(height, device=energy.device) + 0.5) / height
    columns = (torch.arange(width, device=energy.device) + 0.5) / width
    total = energy.sum()
    return float((energy.sum(1) * rows).sum() / total), float((energy.sum(0) * columns).sum() / total)


def _distance(centre: tuple[float, float], place: int, grid: tuple[int, int]) -> float:
    """Return how many cells, along the worse axis, a token lies from where it would be on a grid."""
    cell = divmod(place, grid[1])
    return max(abs(part * cells - at - 0.5) for part, cells, at in zip(centre, grid, cell, strict=True))
