"""Mistakes that any task can have, in words, and those of them that can be seen from the right answer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from posgrad_edu.checks.core import Answer, Mistake, Task, alike

_UNCHANGED = "The network that you are given is left as it was: work on a copy, or undo it in a finally block."

GENERAL: dict[str, Mistake] = {
    m.key: m
    for m in [
        Mistake("not-callable", "hand over the function itself",
                "Give its name without brackets: check_...(my_function)."),
        Mistake("timeout", "your function was stopped", "Does a loop never end?"),
        # What a function leaves behind.
        Mistake(
            "hooks-left",
            "your hooks are still on the network",
            "Keep what register_..._hook returns, and call its remove() in a finally block.",
        ),
        Mistake("mode-changed", "you switched between training and evaluation mode", _UNCHANGED),
        Mistake("parameters-changed", "you changed the network's weights", "Work on copy.deepcopy(net)."),
        Mistake(
            "buffers-changed",
            "you changed the network's running statistics",
            "In training mode a forward pass updates BatchNorm: leave the network in evaluation mode.",
        ),
        Mistake("requires-grad-changed", "you left requires_grad of the network's weights changed", _UNCHANGED),
        Mistake("network-changed", "you replaced parts of the network that you were given", _UNCHANGED),
        Mistake("torch-changed", "a function of torch itself is still replaced by yours",
                "Put it back in a finally block."),
        Mistake(
            "input-changed",
            "you changed a tensor that you were given",
            "Operations such as clamp_() and += work in place: write clamp(), or clone() first.",
        ),
        Mistake(
            "not-detached",
            "the values are right, but they still hold the whole graph in memory",
            "Return result.detach().",
        ),
        Mistake(
            "accumulates",
            "called twice with the same input, your function doubles its answer",
            "backward() adds to .grad: start from x.detach().clone().requires_grad_(), or use torch.autograd.grad.",
        ),
        Mistake(
            "not-repeatable",
            "called twice with the same input, your function gives two answers",
            "Something random or something kept from the last call is in it.",
        ),
        # What a result looks like.
        Mistake("wrong-shape", "your result has another shape", "Check which axes you add up, and which are kept."),
        Mistake("wrong-count", "your list has another length", "Count what belongs to it."),
        Mistake("not-finite", "your result holds nan or inf", "Somewhere you divide by zero."),
        Mistake(
            "constant",
            "your answer is the same whatever the input",
            "Use the arguments, not variables of the notebook that happen to have other names.",
        ),
        Mistake("all-zero", "your result is zero everywhere", "Which factor is zero, and why?"),
        Mistake("wrong-sign", "the sign of your result is reversed",
                "Look for a minus, or a difference the wrong way round."),
        Mistake(
            "relu-on-result",
            "you dropped the negative values of the finished result",
            "A last ReLU is another operation than handling the gradients: evidence against should stay visible.",
        ),
        Mistake("absolute-result", "you took the absolute value of the finished result", "The result keeps its sign."),
        Mistake(
            "normalized",
            "you normalized the result",
            "Return raw values: scaling belongs to drawing, and can hide what two maps have apart.",
        ),
        Mistake("wrong-factor", "your result is right but for a constant factor",
                "A mean where a sum belongs, or a stray number?"),
        Mistake(
            "batch-mixed",
            "you mixed the photos of the batch",
            "The first axis counts photos: nothing is added or averaged over it.",
        ),
        Mistake("first-photo-only", "only the first photo is right",
                "Look for an index [0] that belongs to each photo."),
        Mistake("channels-kept", "you kept the colour channels", "Add them up: the result has one value a position."),
        Mistake(
            "squeezed",
            "an axis of length 1 has gone",
            "squeeze() without a number also removes a batch of one photo: name the axis.",
        ),
        Mistake("transposed", "rows and columns are swapped", "Height comes before width."),
        Mistake(
            "remembers",
            "the first try was right, the others weren't",
            "Something of an earlier call is still there: a global list, or a default argument that is a list.",
        ),
    ]
}  # fmt: skip


BY_A_FACTOR = "off by a factor"


def general(task: Task, rights: list[Answer], answers: list[Answer], correct: list[bool]) -> Mistake | None:
    """Return the general mistake that turns the right answers into these, if there is one."""
    if alike(answers[0], answers[1]) and not alike(rights[0], rights[1]):
        zero = all(not part.any() for part in answers[0])
        return task.find("all-zero" if zero else "constant")
    for key, change in _CHANGES:
        if all(_explains(change, right, answer) for right, answer in zip(rights, answers, strict=True)):
            return task.find(key)
    if all(_proportional(a, r) for a, r in zip(answers, rights, strict=True)):
        return task.find("wrong-factor")
    if correct[0] and not any(correct[1:]):
        return task.find("remembers")
    if all(_first_only(r, a) for r, a in zip(rights, answers, strict=True)):
        return task.find("first-photo-only")
    return None


def _explains(change: Callable[[Tensor], Tensor], right: Answer, answer: Answer) -> bool:
    try:
        return alike(answer, [change(part) for part in right])
    except (RuntimeError, IndexError):
        return False


def _over_photo(values: Tensor, smallest: bool) -> Tensor:
    flat = values.flatten(1)
    found = flat.amin(1) if smallest else flat.amax(1)
    return found.reshape(-1, *[1] * (values.ndim - 1))


def unit(values: Tensor) -> Tensor:
    """Return each photo's values scaled to 0..1."""
    low, high = _over_photo(values, True), _over_photo(values, False)
    return (values - low) / (high - low)


def by_largest(values: Tensor) -> Tensor:
    """Return each photo's values divided by the largest magnitude."""
    return values / _over_photo(values.abs(), False)


def _unit_batch(values: Tensor) -> Tensor:
    return (values - values.min()) / (values.max() - values.min())


def _relu(values: Tensor) -> Tensor:
    return values.clamp(min=0)


_CHANGES: list[tuple[str, Callable[[Tensor], Tensor]]] = [
    ("wrong-sign", torch.neg),
    ("relu-on-result", _relu),
    ("absolute-result", torch.abs),
    ("normalized", unit),
    ("normalized", _unit_batch),
    ("normalized", by_largest),
    ("normalized", lambda t: t / t.abs().max()),
    ("normalized", lambda t: _relu(t) / _over_photo(_relu(t), False)),
    ("normalized", lambda t: _relu(t) / _relu(t).max()),
    ("normalized", lambda t: unit(t.abs())),
    ("normalized", lambda t: unit(_relu(t))),
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


def after() -> dict[str, Callable[[Tensor], Tensor]]:
    """Return what a learner may do to a finished result, by the words for it; for two mistakes at once."""
    return {
        BY_A_FACTOR: lambda t: t / t.abs().max() if t.any() else t,
        "without its negative values": _relu,
        "made absolute": torch.abs,
        "normalized": unit,
        "divided by its largest value": by_largest,
        "reversed in sign": torch.neg,
    }


def _proportional(answer: Answer, right: Answer) -> bool:
    """Whether one positive factor leads from the right answer to this one."""
    if [p.shape for p in answer] != [p.shape for p in right] or not any(p.any() for p in answer):
        return False
    size = sum(float(p.double().abs().sum()) for p in answer) / sum(float(p.double().abs().sum()) for p in right)
    return size > 0 and alike(answer, [p * size for p in right])


def _first_only(right: Answer, answer: Answer) -> bool:
    pairs = list(zip(right, answer, strict=False))
    return len(right) == len(answer) and all(
        r.shape == a.shape and r.ndim > 0 and len(r) > 0 and alike([a[:1]], [r[:1]]) for r, a in pairs
    )
