"""RectGrad: go back only through the ReLUs that contribute most.

A ReLU computes a = max(z, 0). With G the signal that arrives from above, h the handling, and [·] a gate that is
1 where the condition holds and 0 elsewhere, what is passed on downwards is

    rectgrad          h(G) ⊙ [z > 0] ⊙ [|a ⊙ h(G)| > τ]       published: h = positive

τ is the q-th quantile, over all units of a layer in each photo, of |a ⊙ h(G)| ⊙ [z > 0]: a closed gate counts as 0. For
q = 0, τ is 0 and nothing is cut: rectgrad is the gradient with h signed, and guided backprop with h positive.

Example:
    >>> maps = explain(net, x, target=282, method="rectgrad", handling="signed", q=0.9)

Reference: Kim et al. Why are Saliency Maps Noisy? ICCV workshop 2019. arXiv:1902.04893, eq. 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posgrad_edu.engine.graph import Gate
from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.methods.photo_pass import PhotoPass
from posgrad_edu.methods.relu_rules import ReLUMethod


@dataclass(frozen=True)
class RectGrad(ReLUMethod):
    """Only the largest contributions a ⊙ G of each layer pass (Kim et al. 2019, eq. 2).

    q: share of the contributions that is cut in each layer and photo, 0 <= q < 1. A layer with fewer than
    1 / (1 - q) values passes nothing, since only what exceeds the threshold passes: fifty for the published q.
    times_input: multiply the result by the input, as the authors' final maps are.
    """

    name: ClassVar[str] = "rectgrad"
    reads_once: ClassVar[bool] = True

    q: float = 0.98
    times_input: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.q < 1:
            raise ValueError(f"q is the share of contributions to cut, 0 <= q < 1, not {self.q}.")

    def back(self, grad: Tensor, gated: Tensor, gate: Gate) -> Tensor:
        signal = self.handle_own(gated)
        contribution = (gate.values() * signal).abs_()  # where the gate is closed, the signal is 0
        return signal.mul_(contribution > quantile(contribution, self.q))

    def read(self, record: PhotoPass) -> Tensor:
        for gate in record.gates(self.name):
            pictures, photos = len(gate.values()), len(record.x)
            if pictures > photos:
                raise UnsupportedOperation(
                    f"rectgrad: a ReLU of this network runs on {pictures} pictures for {photos} photo(s), so it isn't "
                    "clear which contributions compete. Choose another method."
                )
        signal = record.signal(self.back, self.name)
        return self.reduced(record.x.detach().unsqueeze(1) * signal if self.times_input else signal)


def quantile(values: Tensor, q: float) -> Tensor:
    """Return the q-th quantile of each sample's values >= 0, shaped to broadcast; 0 for q = 0 (nothing is cut).

    It is the smallest value that at least the share q of the sample's values doesn't exceed.
    """
    per_sample = values.flatten(1)
    shape = (-1, *[1] * (values.ndim - 1))
    if q == 0:
        return per_sample.new_zeros(len(per_sample)).reshape(shape)
    rank = math.ceil(q * per_sample.shape[1])
    return kth_smallest(per_sample, rank).reshape(shape)


def kth_smallest(values: Tensor, k: int) -> Tensor:
    """Return the k-th smallest of each row of values >= 0 (N, n), k from 1 on: ``values.kthvalue(k)``.

    On a GPU as the least of the largest: Apple's has no ``kthvalue`` before PyTorch 2.9. On a processor by NumPy's
    partial sort of what isn't 0: most contributions are, and many equal values slow it down.
    """
    if values.device.type != "cpu" or values.dtype == torch.bfloat16:  # which NumPy doesn't know
        return values.topk(values.shape[1] - k + 1, dim=1).values[:, -1]
    return values.new_tensor([_kth_smallest(row, k) for row in values.detach().numpy()])


def _kth_smallest(row: NDArray, k: int) -> float:
    others = row.compress(row != 0)  # nan among them, and larger than all numbers, as for kthvalue
    above = k - (row.size - len(others))
    return np.partition(others, above - 1)[above - 1] if above > 0 else 0.0
