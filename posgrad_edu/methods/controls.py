"""Controls: maps that explain nothing, in the same tables as the methods that claim to.

    noise             standard normal numbers, other ones for each question
    edges             the photo's edges: the same whatever the network and the class
    input-magnitude   |x|, summed over the colour channels: the same whatever the network and the class

Each shows what a check can't tell. The edges look like a reasonable explanation and know nothing of the network: they
are what a map has to differ from to mean anything, and the checks of sensitivity do catch them. Noise is caught by none
of these: ask about another class, or randomize the network, and the map changes completely, as it should. To *pass* a
sensitivity check is thus not enough; it takes the place of the evidence to tell noise from an explanation.

None of the three has gradients, so the handling acts on the finished map, and the network serves to know its classes.
A contrast is another question: noise is drawn anew, and the other two stay as they are.

Example:
    >>> maps = explain(net, x, target=282, method="edges")

Reference:
    Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018. arXiv:1810.03292, sec. 1 (the edge detector).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from posgrad_edu.engine.audit import answer
from posgrad_edu.engine.contrast import (
    Weights,
    check_range,
    check_reference,
    for_each_reference,
    ignore_reference,
    reference,
)
from posgrad_edu.methods.base import Method


@dataclass
class Question:
    """What is asked: the same for all controls and contrasts, so that the network is looked at only once for them."""

    net: nn.Module
    x: Tensor
    target: Tensor

    @cached_property
    def of_network(self) -> int:
        """The checksum of the network's parameters."""
        found = 0
        for parameter in self.net.parameters():
            found = checksum(parameter, found)
        return found


@dataclass(frozen=True)
class Control(Method):
    """A map without an explanation; what the three share."""

    record_options: ClassVar[tuple[str, ...]] = ()

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> Question:
        logits = answer(net, x)
        check_range(target, logits)  # refuses a class that doesn't exist, as every method does
        check_reference(logits)
        ignore_reference()
        return Question(net, x, target)

    def draw(self, asked: Question, target: Tensor) -> Tensor:
        """Return the maps (N, K, H, W) for the classes target (N, K), some of those asked about; not handled yet."""
        raise NotImplementedError

    def read(self, record: Question) -> Tensor:
        maps = for_each_reference(lambda classes: self.draw(record, classes), record.target)
        return self.handle(maps.to(record.x))


@dataclass(frozen=True)
class Noise(Control):
    """Standard normal noise, drawn anew for each question: which network is asked, about which photo, and which class.

    The same question gets the same noise, in whatever batch it is asked. Another class, a photo that differs in one
    value, or a network that differs in one parameter makes another question, and its noise is independent. This is
    why noise "passes" each check of sensitivity with rank correlations of 0: it changes with everything and shows
    nothing.

    seed: for another noise altogether.
    """

    name: ClassVar[str] = "noise"

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed < 0:
            raise ValueError(f"seed is a whole number from 0, not {self.seed}.")

    def draw(self, asked: Question, target: Tensor) -> Tensor:
        size = asked.x.shape[-2:]
        maps = [
            [
                np.random.default_rng([self.seed, asked.of_network, checksum(photo), c, *other]).standard_normal(size)
                for c, other in zip(classes, others, strict=True)
            ]
            for photo, classes, others in zip(asked.x, target.tolist(), held_against(target), strict=True)
        ]
        return torch.from_numpy(np.array(maps))


@dataclass(frozen=True)
class Edges(Control):
    """The Sobel magnitude of the photo's channel mean, x as the network gets it (Adebayo et al. 2018, fig. 1)."""

    name: ClassVar[str] = "edges"

    def draw(self, asked: Question, target: Tensor) -> Tensor:
        from skimage.filters import sobel

        edges = np.array([sobel(grey) for grey in asked.x.cpu().double().mean(1).numpy()])
        return torch.from_numpy(edges).unsqueeze(1).repeat(1, target.shape[1], 1, 1)


@dataclass(frozen=True)
class InputMagnitude(Control):
    """|x|, summed over the colour channels: what input x gradient would be if the gradient said nothing."""

    name: ClassVar[str] = "input-magnitude"

    def draw(self, asked: Question, target: Tensor) -> Tensor:
        return asked.x.abs().sum(1, keepdim=True).repeat(1, target.shape[1], 1, 1)


def held_against(target: Tensor) -> list[list[list[int]]]:
    """Return, for each class of target (N, K), a number that tells its contrast from others, or no number."""
    against = reference()
    if against is None:
        return [[[] for _ in classes] for classes in target]
    if isinstance(against, Weights):
        return [[[checksum(s)] for s in classes] for classes in against.s.expand(*target.shape, -1)]
    numbers = against.expand_as(target) + 2 if isinstance(against, Tensor) else torch.ones_like(target)
    return numbers.unsqueeze(2).tolist()


def checksum(values: Tensor, start: int = 0) -> int:
    """Return the CRC-32 of a tensor's bytes, going on from that of what came before."""
    return zlib.crc32(values.detach().cpu().flatten().view(torch.uint8).numpy().data, start)
