"""DeconvNet and Guided Backprop: the gradient, with another rule for going back through a ReLU.

A ReLU computes a = max(z, 0). With G the signal that arrives from above, h the handling, and [·] a gate that is
1 where the condition holds and 0 elsewhere, what each method passes on downwards is

    gradient          G ⊙ [z > 0]
    deconvnet         h(G)                                    published: h = positive
    guided backprop   h(G) ⊙ [z > 0]                          published: h = positive

With h signed, guided backprop *is* the gradient. With h positive no evidence against the class ever passes a layer:
lesson 10 shows what that does when it is repeated in every layer. A ReLU6 is gated at 6 as well.

These rules are made for ReLUs. A network without any, or with a smooth activation such as SiLU in a ReLU's place,
is refused; sigmoid gates and attention keep their own derivative.

Example:
    >>> maps = explain(net, x, target=282, method="guided-backprop", handling="signed")

References:
    Zeiler, Fergus. Visualizing and Understanding Convolutional Networks. ECCV 2014. arXiv:1311.2901.
    Springenberg et al. Striving for Simplicity. ICLR workshop 2015. arXiv:1412.6806, sec. 3.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from posgrad_edu.engine.backward import CLAMP, RELU, SMOOTH, backward_rules, own_backward, refuse, relu_limit
from posgrad_edu.engine.passes import forward, input_gradients
from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.handling import POSITIVE, Handling
from posgrad_edu.methods.base import InputSpaceMethod

Back = Callable[[Tensor, Tensor, Tensor], Tensor]


class ReLUPass:
    """A forward pass whose ReLUs ask, on the way back, for the rule that is wanted then.

    So one forward pass serves all rules: ``signal(rule)`` goes back through it once more.
    """

    def __init__(self, net: nn.Module, x: Tensor, target: Tensor, method: str) -> None:
        self.x, self.target, self.method = x.requires_grad_(), target, method
        self.treated = 0
        self.chosen: list[Back] = []  # the rule that is wanted now
        with backward_rules(dict.fromkeys(RELU + CLAMP, self.relu) | dict.fromkeys(SMOOTH, self.smooth)):
            self.logits = forward(net, x, target)
        if not self.treated:
            raise UnsupportedOperation(
                f"{method} acts on ReLUs, and none was seen in this network, so it would be the plain "
                "gradient. Use method='gradient', or a ReLU network that is not compiled or scripted."
            )

    def signal(self, rule: Back) -> Tensor:
        """Return what arrives at the input (N, K, C, H, W) where ``rule`` decides what each ReLU passes on."""
        self.chosen[:] = [rule]
        return input_gradients(self.logits, self.target, self.x, retain_graph=True)

    def relu(self, func: Callable[..., Any], input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run a ReLU; note what it lets through, and where its gate is open."""
        limit = relu_limit(func, (input, *args), kwargs)
        if limit is None:
            return func(input, *args, **kwargs)
        self.treated += 1
        noted: list[Tensor] = []
        chosen = self.chosen  # not self: it holds the logits, whose graph would hold it, and none would ever be freed

        def compute(z: Tensor) -> Tensor:
            output = func(z, *args, **kwargs)
            a = output.clone()  # an in-place operation may overwrite the output later
            noted.extend((a, (a > 0) & (a < limit)))
            return output

        return own_backward(compute, lambda grad: (chosen[0](grad, *noted),), input)

    def smooth(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        """Refuse an activation that the rules say nothing about."""
        raise refuse(self.method, func, "It is made for ReLUs: choose a ReLU network, or another method.")


@dataclass(frozen=True)
class ReLUMethod(InputSpaceMethod):
    """The gradient with ``back`` as the way back through each ReLU; what the three methods share."""

    published: ClassVar[Handling] = POSITIVE
    record_options: ClassVar[tuple[str, ...]] = ()

    def back(self, grad: Tensor, a: Tensor, gate: Tensor) -> Tensor:
        """Return what passes downwards, from what arrives, the ReLU's output and where its gate is open."""
        raise NotImplementedError

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> ReLUPass:
        return ReLUPass(net, x, target, self.name)

    def read(self, record: ReLUPass) -> Tensor:
        return self.reduced(record.signal(self.back))


@dataclass(frozen=True)
class DeconvNet(ReLUMethod):
    """What flows back through each ReLU is handled, but not gated (Zeiler and Fergus 2014, sec. 2.1)."""

    name: ClassVar[str] = "deconvnet"

    def back(self, grad: Tensor, a: Tensor, gate: Tensor) -> Tensor:
        return self.handle(grad)


@dataclass(frozen=True)
class GuidedBackprop(ReLUMethod):
    """What flows back through each ReLU is handled, then gated (Springenberg et al. 2015, sec. 3.4)."""

    name: ClassVar[str] = "guided-backprop"

    def back(self, grad: Tensor, a: Tensor, gate: Tensor) -> Tensor:
        return self.handle(grad) * gate
