"""Who the tokens of a vision transformer are: which stand for which place, and which the logits are read from.

A map of attention is only right if nothing else carries anything from one token to another, and if it's known which
token stands for which place. Neither is looked up in a list of networks. Both are tried, once for each network and
shape of photos:

    picture tokens     those that are another for another photo; all others are constants, such as a class token
    their places       the part of the photo that a token's gradient lies on, before any attention
    nothing else mixes with the gradient stopped at each attention, the last layer's tokens depend on the same pixels
    tokens that count  those of the last layer that the logits have a gradient for

Where tokens meet in attention alone, each stays what it was from the first layer to the last. What this can't tell:
where convolutions before the tokens let each see the whole photo, further ones among the tokens go unnoticed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from posgrad_edu.engine.attention import ADVICE, Attention, attention_layers
from posgrad_edu.engine.audit import once
from posgrad_edu.engine.graph import MAXIMA, ancestors, nodes, operation
from posgrad_edu.engine.passes import checked_logits, with_gradients
from posgrad_edu.errors import UnsupportedOperation


class Tokens(NamedTuple):
    """Who the T tokens are: the grid (h, w), which are its places row by row, and which the logits are read from."""

    grid: tuple[int, int]
    picture: list[int]
    read: list[int]


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
        if lower.product not in ancestors(upper.product):
            raise UnsupportedOperation(
                f"{method} needs layers of attention one after the other; here two stand side by side. {ADVICE}"
            )
    if order[-1] not in ancestors(order[0], around={layer.product for layer in layers}):
        raise UnsupportedOperation(
            f"{method} takes it that what attention gives is added to its input, and in this network it isn't. {ADVICE}"
        )
    above = set(order) - ancestors(layers[-1].product)
    if any(operation(node) in MAXIMA for node in above):
        raise UnsupportedOperation(f"{method} can't say which tokens a head reads that takes the largest. {ADVICE}")


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
    return grad[0].detach().cpu().double().pow(2).sum(0)  # float64 isn't known to each device


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
