"""The one switch of this package: what a method does with the sign of its gradient information.

Every saliency method has exactly one place where that sign matters: where it *aggregates* gradients into
weights (GradCAM++, FullGrad) or where it *propagates* them through a layer (Guided Backprop, RectGrad, LRP).
There it calls a ``Handling`` and nowhere does it ask "positive or not?":

    weights = handling(grad).mean((2, 3))      # an aggregation
    grad_in = handling(grad_out) * (z > 0)     # a propagation

``SIGNED`` and ``POSITIVE`` are the two that the course compares. ``NEGATIVE`` and ``ABSOLUTE`` are controls:
they too lose half of the signal, so they tell *positivity* apart from mere loss.

>>> POSITIVE(torch.tensor([-2.0, 3.0]))
tensor([0., 3.])

Reference: Khakzar, Baselizadeh, Navab. Rethinking Positive Aggregation and Propagation of Gradients in
Gradient-based Saliency Methods. 2020. arXiv:2012.00362.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from posgrad_edu.errors import unknown_name


@dataclass(frozen=True)
class Handling:
    """A function of gradient information, applied to each value by itself, with a name.

    ``function`` maps a tensor of any shape to one of the same shape. It must scale with its input,
    function(c · t) = c · function(t) for c > 0, so that a method's map scales with the logit it explains.
    in_place: the same, written into the tensor that it is given; ``None`` where there is no such function.
    """

    name: str
    function: Callable[[Tensor], Tensor] = field(repr=False, compare=False)
    meaning: str = field(repr=False, default="")
    in_place: Callable[[Tensor], Tensor] | None = field(repr=False, compare=False, default=None)

    def __call__(self, information: Tensor) -> Tensor:
        return self.function(information)

    def __str__(self) -> str:
        return self.name


def _everything(information: Tensor) -> Tensor:
    return information


def _positive_part(information: Tensor) -> Tensor:
    return information.clamp(min=0)


def _positive_part_(information: Tensor) -> Tensor:
    return information.clamp_(min=0)


def _negative_part(information: Tensor) -> Tensor:
    return information.clamp(max=0)


def _negative_part_(information: Tensor) -> Tensor:
    return information.clamp_(max=0)


SIGNED = Handling("signed", _everything, "keep evidence for and against", _everything)
POSITIVE = Handling("positive", _positive_part, "keep evidence for, drop evidence against", _positive_part_)
NEGATIVE = Handling("negative", _negative_part, "keep evidence against, drop evidence for", _negative_part_)
ABSOLUTE = Handling("absolute", torch.abs, "keep the strength of evidence, drop its sign", torch.abs_)

HANDLINGS: dict[str, Handling] = {h.name: h for h in (SIGNED, POSITIVE, NEGATIVE, ABSOLUTE)}
HandlingName = Literal["signed", "positive", "negative", "absolute"]  # for editors to complete


def get_handling(handling: str | Handling) -> Handling:
    """Return the ``Handling`` of that name; one that is already a ``Handling`` is returned as it is.

    Raises ``ValueError`` with the nearest names for a name that doesn't exist.
    """
    if isinstance(handling, Handling):
        return handling
    if handling not in HANDLINGS:
        raise unknown_name("handling", handling, HANDLINGS)
    return HANDLINGS[handling]
