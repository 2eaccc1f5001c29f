"""DeconvNet, Guided Backprop and RectGrad: the gradient, with another rule for going back through a ReLU.

A ReLU computes a = max(z, 0). With G the signal that arrives from above, h the handling, and [·] a gate that is
1 where the condition holds and 0 elsewhere, what each method passes on downwards is

    gradient          G ⊙ [z > 0]
    deconvnet         h(G)                                    published: h = positive
    guided backprop   h(G) ⊙ [z > 0]                          published: h = positive
    rectgrad          h(G) ⊙ [z > 0] ⊙ [|a ⊙ h(G)| > τ]       published: h = positive

τ is the q-th quantile, in each photo and layer, of the contributions |a ⊙ h(G)|. With h signed, guided backprop
*is* the gradient, and so is rectgrad for q = 0, where τ = 0; with h positive rectgrad for q = 0 is guided
backprop. With h positive no evidence against the class ever passes a layer: lesson 10 shows what that does when
it is repeated in every layer. A ReLU6 is gated at 6 as well.

These rules are made for ReLUs. A network without any, or with a smooth activation such as SiLU in a ReLU's place,
is refused; sigmoid gates and attention keep their own derivative.

Example:
    >>> maps = explain(net, x, target=282, method="rectgrad", handling="signed", q=0.9)

References:
    Zeiler, Fergus. Visualizing and Understanding Convolutional Networks. ECCV 2014. arXiv:1311.2901.
    Springenberg et al. Striving for Simplicity. ICLR workshop 2015. arXiv:1412.6806, sec. 3.4.
    Kim et al. Why are Saliency Maps Noisy? ICCV workshop 2019. arXiv:1902.04893 (RectGrad), eq. 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from posgrad_edu.backward import (
    CLAMP,
    RELU,
    SMOOTH,
    backward_rules,
    is_relu,
    on_gradient,
    own_backward,
    refuse,
)
from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.handling import POSITIVE, Handling
from posgrad_edu.methods.base import InputSpaceMethod, forward, input_gradients


@dataclass(frozen=True)
class ReLUMethod(InputSpaceMethod):
    """The gradient with ``relu`` as the rule for each ReLU; what the three methods share."""

    published: ClassVar[Handling] = POSITIVE

    def relu(self, compute: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        """Return ``compute(z)``, the ReLU's output, with this method's way back attached."""
        raise NotImplementedError

    def input_signal(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        """Return what arrives at the input (N, K, C, H, W)."""
        treated = 0

        def relu_rule(func: Callable[..., Any], input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            nonlocal treated
            if not is_relu(func, (input, *args), kwargs):
                return func(input, *args, **kwargs)
            treated += 1
            return self.relu(lambda t: func(t, *args, **kwargs), input)

        def smooth_rule(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
            raise refuse(self.name, func, "It is made for ReLUs: choose a ReLU network, or another method.")

        x.requires_grad_()
        with backward_rules(dict.fromkeys(RELU + CLAMP, relu_rule) | dict.fromkeys(SMOOTH, smooth_rule)):
            logits = forward(net, x, target)
        if not treated:
            raise UnsupportedOperation(
                f"{self.name} acts on ReLUs, and none was seen in this network, so it would be the plain "
                "gradient. Use method='gradient', or a ReLU network that is not compiled or scripted."
            )
        return input_gradients(logits, target, x)

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        return self.reduced(self.input_signal(net, x, target))


@dataclass(frozen=True)
class DeconvNet(ReLUMethod):
    """What flows back through each ReLU is handled, but not gated (Zeiler and Fergus 2014, sec. 2.1)."""

    name: ClassVar[str] = "deconvnet"

    def relu(self, compute: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        return own_backward(compute, lambda grad: (self.switch(grad),), z)


@dataclass(frozen=True)
class GuidedBackprop(ReLUMethod):
    """What flows back through each ReLU is handled, then gated (Springenberg et al. 2015, sec. 3.4)."""

    name: ClassVar[str] = "guided-backprop"

    def relu(self, compute: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        output = compute(z)
        on_gradient(output, self.switch)  # the ReLU's own derivative is the gate
        return output


@dataclass(frozen=True)
class RectGrad(ReLUMethod):
    """Only the largest contributions a ⊙ G of each layer pass (Kim et al. 2019, eq. 2).

    q: share of the contributions that is cut in each layer and photo, 0 <= q < 1. A layer with fewer than
    1 / (1 - q) values passes nothing, since only what exceeds the threshold passes: fifty for the published q.
    times_input: multiply the result by the input, as the authors' final maps are.
    """

    name: ClassVar[str] = "rectgrad"

    q: float = 0.98
    times_input: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.q < 1:
            raise ValueError(f"q is the share of contributions to cut, 0 <= q < 1, not {self.q}.")

    def relu(self, compute: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        output = compute(z)
        activation = output.detach().clone()  # an in-place operation may overwrite the output later

        def rectify(grad: Tensor) -> Tensor:
            signal = self.switch(grad)
            contribution = (activation * signal).abs()
            return signal * (contribution > quantile(contribution, self.q))

        on_gradient(output, rectify)
        return output

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        signal = self.input_signal(net, x, target)
        return self.reduced(x.detach().unsqueeze(1) * signal if self.times_input else signal)


def quantile(values: Tensor, q: float) -> Tensor:
    """Return the q-th quantile of each sample's values >= 0, shaped to broadcast; 0 for q = 0 (nothing is cut).

    It is the smallest value that at least the share q of the sample's values doesn't exceed.
    """
    per_sample = values.flatten(1)
    shape = (-1, *[1] * (values.ndim - 1))
    if q == 0:
        return per_sample.new_zeros(len(per_sample)).reshape(shape)
    rank = math.ceil(q * per_sample.shape[1])
    return per_sample.kthvalue(rank, dim=1).values.reshape(shape)
