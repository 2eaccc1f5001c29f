"""A BatchNorm's derivative is wrong in PyTorch (2.14, CPU) where one photo's gradient comes in another layout.

In evaluation mode, with a batch of one, an input (1, C, h, w) and a gradient whose channels lie last in memory, as
after ``flatten(2).transpose(1, 2)`` in networks that go on with tokens, a wrong gradient is passed on. No error is
raised, and two photos are treated rightly. So where there is one photo, the gradient is laid out as the input is:

    with layouts(logits):
        torch.autograd.grad(logits[0, 3], x)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor
from torch.autograd.graph import Node


@contextmanager
def layouts(logits: Tensor) -> Iterator[None]:
    """Lay out gradients as a BatchNorm's input, in backward passes from these logits (N, classes) inside; for N = 1."""
    with ExitStack() as hooks:
        for node in _batch_norms(logits) if len(logits) == 1 else ():
            hooks.callback(node.register_prehook(_laid_out(node)).remove)
        yield


def _batch_norms(logits: Tensor) -> list[Node]:
    found, seen, waiting = [], set(), [logits.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if "BatchNorm" in node.name() and hasattr(node, "_saved_input"):
            found.append(node)
        waiting += [before for before, _ in node.next_functions]
    return found


def _laid_out(node: Node) -> Callable[[tuple[Tensor | None, ...]], tuple[Tensor | None, ...] | None]:
    layout = node._saved_input.stride()  # type: ignore[attr-defined]

    def hook(grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...] | None:
        grad = grads[0]
        if grad is None or grad.ndim != 4 or grad.stride() == layout:
            return None
        return (torch.empty_like(node._saved_input).copy_(grad), *grads[1:])  # type: ignore[attr-defined]

    return hook
