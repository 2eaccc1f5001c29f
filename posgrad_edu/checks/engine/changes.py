"""What learners do to a finished result, whatever the task: dropped signs, normalized maps, mixed photos, ..."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from posgrad_edu.checks.engine.compare import alike
from posgrad_edu.checks.engine.task import Answer

Change = Callable[[Tensor], Tensor]


def changed(change: Change, answer: Answer | None) -> Answer | None:
    """Return an answer whose parts are changed; ``None`` where that can't be, as with a transposed number."""
    try:
        return None if answer is None else [change(part) for part in answer]
    except (RuntimeError, IndexError):
        return None


def over(values: Tensor, below: Tensor) -> Tensor:
    """Divide, and give 0 where what is divided by is 0."""
    return (values / below).masked_fill(below == 0, 0.0)


def by_photo(values: Tensor, largest: bool = True) -> Tensor:
    """Return each photo's largest, or smallest, value; it broadcasts against the values."""
    flat = values.flatten(1)
    found = flat.amax(1) if largest else flat.amin(1)
    return found.reshape(-1, *[1] * (values.ndim - 1))


def unit(values: Tensor) -> Tensor:
    """Return each photo's values scaled to 0..1."""
    low, high = by_photo(values, largest=False), by_photo(values)
    return (values - low) / (high - low)


def by_largest(values: Tensor) -> Tensor:
    """Return each photo's values divided by the largest magnitude."""
    return values / by_photo(values.abs())


def unit_batch(values: Tensor) -> Tensor:
    """Return all photos' values scaled to 0..1 together."""
    return (values - values.min()) / (values.max() - values.min())


# By the key of the general mistake; the first that explains an answer names it.
CHANGES: list[tuple[str, Change]] = [
    ("wrong-sign", torch.neg),
    ("relu-on-result", torch.relu),
    ("absolute-result", torch.abs),
    ("normalized", unit),
    ("normalized", unit_batch),
    ("normalized", by_largest),
    ("normalized", lambda t: t / t.abs().max()),
    ("normalized", lambda t: t.relu() / by_photo(t.relu())),
    ("normalized", lambda t: t.relu() / t.relu().max()),
    ("normalized", lambda t: unit(t.abs())),
    ("normalized", lambda t: unit(t.relu())),
    ("normalized", lambda t: by_largest(t.abs())),
    ("normalized", lambda t: t / t.flatten(1).sum(1).reshape(-1, *[1] * (t.ndim - 1))),
    ("batch-mixed", lambda t: t.sum(0, keepdim=True).expand_as(t)),
    ("batch-mixed", lambda t: t.mean(0, keepdim=True).expand_as(t)),
    ("batch-mixed", lambda t: t.sum(0)),
    ("batch-mixed", lambda t: t.mean(0)),
    ("batch-mixed", lambda t: t.mean(0, keepdim=True)),
    ("batch-mixed", lambda t: t.sum(0, keepdim=True)),
    ("squeezed", torch.squeeze),
    ("first-photo-only", lambda t: t[0]),
    ("first-photo-only", lambda t: t[:1]),
    ("transposed", lambda t: t.transpose(-1, -2)),
]

# What is done beside another mistake, in words; ``None`` for a factor, whatever its size.
BESIDE: dict[str, Change | None] = {
    "off by a factor": None,
    "without its negative values": torch.relu,
    "made absolute": torch.abs,
    "normalized": unit,
    "divided by its largest value": by_largest,
    "reversed in sign": torch.neg,
}


def first_photo_right(answer: Answer, right: Answer) -> bool:
    """Whether shapes fit and the values of the first photo are right."""
    pairs = list(zip(right, answer, strict=False))
    return len(right) == len(answer) and all(
        r.shape == a.shape and r.ndim > 0 and len(r) > 0 and alike([a[:1]], [r[:1]]) for r, a in pairs
    )
