"""What a logit is held against: the seed of the backward pass.

A softmax sees differences of logits alone: one number added to all of them, even one that depends on the photo, changes
no prediction. So a map of one logit f_c answers a question that training never settled (Srinivas and Fleuret 2021,
arXiv:2006.09128). A contrast asks what the prediction depends on. It is a weighted sum of logits, Σ_k s_k f_k, and s is
the seed that the backward pass starts with:

    None      f_c                      s = e_c
    "mean"    f_c - Σ_k f_k / K        s = e_c - 1/K, for K classes
    class a   f_c - f_a                s = e_c - e_a

Methods don't know of it: inside ``contrasted`` each seed is the contrast's.

    with contrasted("mean", "gradient"):
        input_gradients(forward(net, x, target), target, x)

``Each`` holds several of these, so that one forward pass serves several questions. ``Weights`` holds any s of one's
own. That is how a method is exported once for all classes and contrasts: s is then an input of the exported graph
(docs/lab).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from posgrad_edu.errors import UnsupportedOperation

MEAN: Literal["mean"] = "mean"


@dataclass(frozen=True)
class Weights:
    """The seed itself: s (N, K, classes). Which class it is that is held against something then plays no part."""

    s: Tensor


OneReference = Literal["mean"] | Tensor | Weights | None  # a tensor holds classes, (N, K) or (N, 1)


@dataclass(frozen=True)
class Each:
    """Several references: target (N, R · K) then holds K classes for the first of them, K for the second, and so on."""

    references: tuple[OneReference, ...]


Reference = OneReference | Each


@dataclass
class _Asked:
    reference: Literal["mean"] | Tensor | Weights | Each
    applied: bool = False


_asked: ContextVar[_Asked | None] = ContextVar("contrast", default=None)


@contextmanager
def contrasted(reference: Reference, method: str) -> Iterator[None]:
    """Hold each logit against ``reference`` in the backward passes of this context, ``None`` for the logits themselves.

    method: its name. ``UnsupportedOperation`` at the end if nobody asked for the seed: its map is about a logit.
    """
    asked = None if reference is None else _Asked(reference)
    with _asking(asked):
        yield
    if asked is not None and not asked.applied:
        raise UnsupportedOperation(
            f"{method} takes its gradients without the package's engine, so that no contrast reaches it. Take them "
            "with engine.passes.input_gradients(logits, target, x), or leave contrast out."
        )


@contextmanager
def _asking(asked: _Asked | None) -> Iterator[None]:
    token = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(token)


def reference() -> OneReference:
    """Return what is asked for in this context; inside ``for_each_reference`` if there may be several."""
    asked = _asked.get()
    if asked is None:
        return None
    asked.applied = True
    if isinstance(asked.reference, Each):
        raise UnsupportedOperation("There are several contrasts here: take them one by one with for_each_reference.")
    return asked.reference


def ignore_reference() -> None:
    """Say that a map doesn't depend on what is asked: a contrast is no reason to refuse it."""
    asked = _asked.get()
    if asked is not None:
        asked.applied = True


def for_each_reference(answer: Callable[[Tensor], Tensor], target: Tensor) -> Tensor:
    """Return ``answer(target)`` for classes (N, K), called where ``reference()`` gives the one that they go with.

    answer: returns (N, K, ...). Where there are several references, it's called for each with its own part of target,
    and what it returns is joined.
    """
    asked = _asked.get()
    if asked is None or not isinstance(asked.reference, Each):
        return answer(target)
    asked.applied = True
    found = []
    references = asked.reference.references
    for one, part in zip(references, target.chunk(len(references), dim=1), strict=True):
        with _asking(None if one is None else _Asked(one)):
            found.append(answer(part))
    return torch.cat(found, dim=1)


def check_range(classes: Tensor, logits: Tensor) -> None:
    """Refuse classes that the network doesn't have."""
    last = logits.shape[1] - 1
    if classes.max() > last:
        raise ValueError(
            f"Class {int(classes.max())} is out of range: the network has {last + 1} classes, 0 to {last}."
        )


def check_reference(logits: Tensor) -> None:
    """Refuse a contrast that these logits don't have."""
    asked = _asked.get()
    if asked is None:
        return
    for one in asked.reference.references if isinstance(asked.reference, Each) else [asked.reference]:
        if isinstance(one, Weights):
            if one.s.shape[-1] != logits.shape[1]:
                raise ValueError(f"s holds {one.s.shape[-1]} weights for {logits.shape[1]} logits: one each.")
        elif isinstance(one, Tensor):
            check_range(one, logits)
        elif one == MEAN and logits.shape[1] == 1:
            raise ValueError("The network has a single class: its logit minus the mean is 0. Leave contrast out.")


def contrasts(logits: Tensor, against: Literal["mean"] | int | None) -> Tensor:
    """Return the contrast of every class (N, classes) from the logits (N, classes)."""
    if against is None:
        return logits
    return logits - (logits.mean(1, keepdim=True) if against == MEAN else logits[:, [against]])


def seeds(logits: Tensor, target: Tensor) -> Tensor:
    """Return s (N, K, classes) for the classes target (N, K) of these logits (N, classes)."""
    return for_each_reference(lambda classes: _seeds(logits, classes), target)


def _seeds(logits: Tensor, target: Tensor) -> Tensor:
    against = reference()
    if isinstance(against, Weights):
        return against.s.expand(*target.shape, -1)
    one_hot = logits.new_zeros(*target.shape, logits.shape[1])
    seed = one_hot.scatter(2, target.unsqueeze(2), 1.0)
    if against is None:
        return seed
    if isinstance(against, Tensor):
        return seed - one_hot.scatter(2, against.expand_as(target).unsqueeze(2), 1.0)
    return seed - 1 / logits.shape[1]
