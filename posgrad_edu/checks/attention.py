"""Attention rollout, and gradient rollout: the product of all layers' attention, and where the handling stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES, Handle, handling
from posgrad_edu.checks.engine.mutations import handling_ignored, on_arguments, then, unchanged
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task
from posgrad_edu.handling import SIGNED

HEADS, TOKENS = (3, 3, 2, 4), (5, 5, 6, 4)
LAYERS = (3, 3, 2, 4)


def _attention(n: int) -> Args:
    """A list of attention matrices (N, heads, T, T), the first layer first; each row adds up to 1."""
    shape = BATCHES[n], HEADS[n], TOKENS[n], TOKENS[n]
    return ([torch.randn(shape).mul(1.5).softmax(-1) for _ in range(LAYERS[n])],)


def _with_gradients(n: int) -> Args:
    """The same, with gradients of both signs for each, and a handling."""
    (weights,) = _attention(n)
    return weights, [2 * torch.randn_like(A) for A in weights], handling(n)


def _mean(A: Tensor) -> Tensor:
    return A.mean(1)


def _identity(like: Tensor) -> Tensor:
    return torch.eye(like.shape[-1], dtype=like.dtype).expand_as(like)


def _half(M: Tensor) -> Tensor:
    return (_identity(M) + M) / 2


def _plus_identity(M: Tensor) -> Tensor:
    return _identity(M) + M


def _later_left(factors: Sequence[Tensor]) -> Tensor:
    product = _identity(factors[0])
    for factor in factors:
        product = factor @ product
    return product


Heads = Callable[[Tensor], Tensor]  # (N, heads, T, T) -> (N, T, T)
Around = Callable[[Tensor], Tensor]  # (N, T, T) -> (N, T, T)
Join = Callable[[Sequence[Tensor]], Tensor]


def _rollout(
    weights: Sequence[Tensor], heads: Heads = _mean, around: Around = _half, join: Join = _later_left
) -> Tensor:
    return join([around(heads(A)) for A in weights])


def _halves_without_product(weights: Sequence[Tensor]) -> Tensor:
    found = _identity(weights[0][:, 0])
    for A in weights:
        found = (found + A.mean(1)) / 2
    return found


def _of_heads(heads: Heads) -> Function:
    return partial(_rollout, heads=heads)


def _around(around: Around) -> Function:
    return partial(_rollout, around=around)


def _normalized(M: Tensor) -> Tensor:
    return M / M.sum(-1, keepdim=True)


_LEFT = "R begins as the identity; each layer, from the first to the last, is multiplied from the left."
_EYE = "I is the identity, for what goes around attention; ones everywhere would mix all tokens."
_HEADS = "The mean over the heads, axis 1, comes before anything is multiplied: (N, T, T)."
_MATRIX = "@ multiplies matrices, * multiplies entry by entry."
_ALL = "All layers take part, each once."
_ONCE = "Begin with the identity, and multiply by each layer's factor, the first one's too, once."
_ROWS_OF_1 = "Each row of attention adds up to 1 as it comes."
_ROWS = "Each factor keeps its rows, and the later one stands on the left: no .T, no swapped indices."
_BOTH_HALVES = "Half of what a token is goes around the layer, half was read: (I + mean) / 2."
_WHOLE_R = "R holds all ways, the direct one too."
_WHOLE = "Return the whole matrix (N, T, T), with all ways in it: what becomes the map is another question."


def _of_both(right: Function) -> list[Mistake | Function]:
    """Return the mistakes of both rollouts; ``right`` takes ``heads=`` and ``join=``."""
    return [
        Mistake("wrong-order", "the later layer stands on the right in your product", _LEFT),
        partial(right, join=lambda factors: _later_left(factors[::-1])),
        Mistake("entrywise", "you multiplied the layers entry by entry", _MATRIX),
        partial(right, join=lambda factors: torch.stack(factors).prod(0)),
        partial(right, join=lambda factors: torch.stack([_identity(factors[0]), *factors]).prod(0)),
        Mistake("ones", "you began with ones everywhere instead of the identity", _LEFT),
        partial(right, join=lambda factors: _later_left([torch.ones_like(factors[0]), *factors])),
        Mistake("first-layer-twice", "the first layer is in your product twice", _ONCE),
        partial(right, join=lambda factors: _later_left([factors[0], *factors])),
        Mistake("added", "you added the layers up, or averaged them, instead of multiplying", _MATRIX),
        partial(right, join=sum),
        partial(right, join=lambda factors: sum(factors) / len(factors)),
        Mistake("heads-apart", "you multiplied each head's layers by themselves, and averaged at the end", _HEADS),
        then(partial(right, heads=unchanged), _mean),
        Mistake("sum-of-heads", "you added the heads up instead of averaging", _HEADS),
        partial(right, heads=lambda A: A.sum(1)),
        Mistake("largest-head", "you took the largest of the heads instead of their mean", _HEADS),
        partial(right, heads=lambda A: A.amax(1)),
        Mistake("one-head", "you took one head instead of the mean", _HEADS),
        partial(right, heads=lambda A: A[:, 0]),
        partial(right, heads=lambda A: A[:, -1]),
        Mistake("layer-missing", "the first, or the last, layer is missing", _ALL),
        partial(right, join=lambda factors: _later_left(factors[1:])),
        partial(right, join=lambda factors: _later_left(factors[:-1])),
        Mistake("last-layer", "you took the last, or first, layer alone", _ALL),
        partial(right, join=lambda factors: factors[-1]),
        partial(right, join=lambda factors: factors[0]),
        Mistake("only-a-row", "you returned a row of R", _WHOLE),
        then(right, lambda R: R[:, 0]),
        then(right, lambda R: R[:, 0, 1:]),
        Mistake("transposed", "your R is transposed: row i is what has come to token i", _ROWS),
    ]


ATTENTION_ROLLOUT = Task(
    name="attention rollout",
    signature="attention_rollout(weights)",
    returns="R (N, T, T)",
    about="""
weights: a list of attention matrices, one (N, heads, T, T) for each layer, the first layer first. R is the product of
all layers' (I + the mean over heads) / 2, with the later layer on the left.
""",
    lesson=19,
    make=_attention,
    right=_rollout,
    hint="Three steps for each layer: the mean over heads, half of it with half of the identity, a matrix product.",
    mistakes=[
        *_of_both(_rollout),
        Mistake("added", "you averaged each layer with what you had, without a matrix product", _MATRIX),
        _halves_without_product,
        Mistake("no-identity", "the identity is missing: a token also keeps what it was", _BOTH_HALVES),
        _around(unchanged),
        Mistake("no-identity", "the identity is missing, and you halved", _BOTH_HALVES),
        _around(lambda M: M / 2),
        Mistake("no-identity", "the identity is missing in the first layer", _ONCE),
        lambda weights: _later_left([_mean(weights[0]), *(_half(_mean(A)) for A in weights[1:])]),
        Mistake("identity-once", "you added the identity once, to the finished product", _BOTH_HALVES),
        then(_around(unchanged), _half),
        Mistake("not-halved", "you didn't halve: the rows add up to more than 1", _BOTH_HALVES),
        _around(_plus_identity),
        Mistake("half-missing", "you halved one of the two summands only", _BOTH_HALVES),
        _around(lambda M: _identity(M) + M / 2),
        _around(lambda M: _identity(M) / 2 + M),
        Mistake("ones", "you added ones everywhere instead of the identity", _EYE),
        _around(lambda M: (1 + M) / 2),
        _around(lambda M: _normalized(1 + M)),
        Mistake("sum-of-heads", "you added the heads up, and scaled each row to add up to 1", _HEADS),
        partial(_rollout, heads=lambda A: A.sum(1), around=lambda M: _normalized(_plus_identity(M))),
        Mistake("softmax-again", "you took a softmax of the attention, which is one already", _ROWS_OF_1),
        _of_heads(lambda A: A.softmax(-1).mean(1)),
        _of_heads(lambda A: A.mean(1).softmax(-1)),
        Mistake("transposed", "your attention matrices are transposed: row i is what token i reads", _MATRIX),
        _of_heads(lambda A: A.mean(1).mT),
        Mistake("columns-scaled", "you scaled the columns, not the rows, to add up to 1", _BOTH_HALVES),
        _around(lambda M: _plus_identity(M) / _plus_identity(M).sum(-2, keepdim=True)),
        Mistake("halved-once", "you halved the finished product instead of each factor", _BOTH_HALVES),
        then(_around(_plus_identity), lambda R: R / 2),
        Mistake("identity-taken", "you took the identity away from the finished product", _WHOLE_R),
        then(_rollout, lambda R: R - _identity(R)),
        Mistake("batch-mixed", "you averaged over the photos of the batch", "The first axis counts photos."),
        _of_heads(lambda A: A.mean((0, 1)).expand(len(A), -1, -1)),
    ],
)
check_attention_rollout = checker(ATTENTION_ROLLOUT)


# --- With gradients ---

Handled = Callable[[Tensor, Tensor, Handle], Tensor]  # A, G (N, heads, T, T), handling -> (N, heads, T, T)


def _handled(A: Tensor, G: Tensor, h: Handle) -> Tensor:
    return h(G * A)


def _gradient_rollout(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    h: Handle,
    handled: Handled = _handled,
    heads: Heads = _mean,
    around: Around = _plus_identity,
    join: Join = _later_left,
) -> Tensor:
    pairs = zip(weights, gradients, strict=True)
    return _rollout([handled(A, G, h) for A, G in pairs], heads, around, join)


def _with(handled: Handled, **others: Any) -> Function:
    return partial(_gradient_rollout, handled=handled, **others)


def _from_layer_to_layer(
    step: Callable[[Tensor, Tensor, Handle], Tensor], weights: Sequence[Tensor], gradients: Sequence[Tensor], h: Handle
) -> Tensor:
    """Begin with the identity; ``step`` makes the next product of it, a layer's signed mean, and the handling."""
    found = _identity(weights[0][:, 0])
    for A, G in zip(weights, gradients, strict=True):
        found = step(found, (G * A).mean(1), h)
    return found


_EACH = "Attention times its gradient, entry by entry, handled, and then the mean over heads."
_EARLY = "In a mean over heads, what speaks for the class and what speaks against it have already met."
_IN_EACH = "The handling acts in each layer, on G * A of each head."
_WHOLE_EYE = "(I + mean), without a half: the sum counts evidence, it shares nothing out."
GRADIENT_ROLLOUT = Task(
    name="gradient rollout",
    signature="gradient_rollout(weights, gradients, handling)",
    returns="R (N, T, T)",
    about="""
weights: as for ``check_attention_rollout``. gradients: a list of the logit's gradients with regard to these, of the
same shapes. handling: a function such as ``pg.POSITIVE``. R is the product of all layers' I + the mean over heads of
handling(gradients * weights), with the later layer on the left.
""",
    lesson=19,
    make=_with_gradients,
    right=_gradient_rollout,
    hint="As attention rollout; only what stands beside the identity is another matrix, and nothing is halved.",
    mistakes=[
        Mistake("handled-too-late", "you handled the mean over heads instead of each head", _EARLY),
        _with(lambda A, G, h: h((G * A).mean(1)), heads=unchanged),
        Mistake("handled-too-late", "you handled the finished product of all layers", _IN_EACH),
        lambda weights, gradients, h: h(_gradient_rollout(weights, gradients, SIGNED)),
        Mistake("handled-too-late", "you handled what you had so far, layer by layer, instead of G * A", _IN_EACH),
        partial(_from_layer_to_layer, lambda R, M, h: h(R + M @ R)),
        partial(_from_layer_to_layer, lambda R, M, h: R + h(M @ R)),
        Mistake("handled-too-late", "you handled each layer's matrix after the identity was added", _EARLY),
        _with(lambda A, G, h: h(_plus_identity((G * A).mean(1))), heads=unchanged, around=unchanged),
        _with(lambda A, G, h: h(_plus_identity(G * A)), around=unchanged),
        Mistake("halved", "you halved each factor, as in attention rollout", _WHOLE_EYE),
        partial(_gradient_rollout, around=_half),
        Mistake("no-identity", "the identity is missing", _WHOLE_EYE),
        partial(_gradient_rollout, around=unchanged),
        Mistake("ones", "you added ones everywhere instead of the identity", _EYE),
        partial(_gradient_rollout, around=lambda M: 1 + M),
        Mistake("gradients-reversed", "your gradients come in the reverse order of the layers", _ALL),
        on_arguments(_gradient_rollout, lambda gradients: gradients[::-1], 1),
        Mistake("matrix-product", "you multiplied gradient and attention as matrices", _MATRIX),
        _with(lambda A, G, h: h(G @ A)),
        Mistake("gradient-missing", "the gradient is missing: that is a map without a class", _EACH),
        _with(lambda A, G, h: h(A)),
        Mistake("attention-missing", "the attention is missing: you added the gradients up alone", _EACH),
        _with(lambda A, G, h: h(G)),
        Mistake("means-multiplied", "you averaged over heads before you multiplied", _EACH),
        _with(lambda A, G, h: h(G.mean(1) * A.mean(1)), heads=unchanged),
        _with(lambda A, G, h: h(G).mean(1) * A.mean(1), heads=unchanged),
        Mistake("absolute-gradients", "you took the magnitudes of the gradients", _EACH),
        _with(lambda A, G, h: h(G.abs() * A)),
        Mistake("transposed", "your matrices are transposed: row i is what token i reads", _MATRIX),
        _with(lambda A, G, h: h(G * A).mT),
        Mistake("rows-scaled", "you scaled each row to add up to 1", _WHOLE_EYE),
        partial(_gradient_rollout, around=lambda M: _normalized(_plus_identity(M))),
        then(_gradient_rollout, _normalized),
        Mistake("squared", "you multiplied by the attention twice", _EACH),
        _with(lambda A, G, h: h(G * A * A)),
        Mistake("identity-taken", "you took the identity away from the finished product", _WHOLE),
        then(_gradient_rollout, lambda R: R - _identity(R)),
        *_of_both(_gradient_rollout),
        *handling_ignored(_gradient_rollout, "Call handling(...) on G * A, and use what it returns."),
    ],
)
check_gradient_rollout = checker(GRADIENT_ROLLOUT)
