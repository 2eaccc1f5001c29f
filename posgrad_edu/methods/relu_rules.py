"""DeconvNet and Guided Backprop: the gradient, with another rule for going back through a ReLU.

A ReLU computes a = max(z, 0). With G the signal that arrives from above, h the handling, and [·] a gate that is
1 where the condition holds and 0 elsewhere, what each method passes on downwards is

    gradient          G ⊙ [z > 0]
    deconvnet         h(G)                                    published: h = positive
    guided backprop   h(G) ⊙ [z > 0]                          published: h = positive

With h signed, guided backprop *is* the gradient. With h positive no evidence against the class ever passes a layer:
lesson 16 shows what that does when it is repeated in every layer. A ReLU6 is gated at 6 as well.

These rules are made for ReLUs. A network without any, or with a smooth activation such as SiLU in a ReLU's place,
is refused; normalizations and sigmoids that scale whole channels keep their own derivative.

Example:
    >>> maps = explain(net, x, target=282, method="guided-backprop", handling="signed")

References:
    Zeiler, Fergus. Visualizing and Understanding Convolutional Networks. ECCV 2014. arXiv:1311.2901.
    Springenberg et al. Striving for Simplicity. ICLR workshop 2015. arXiv:1412.6806, sec. 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from posgrad_edu.engine.graph import Gate
from posgrad_edu.handling import POSITIVE, SIGNED, Handling
from posgrad_edu.methods.photo_pass import PassMethod, PhotoPass


@dataclass(frozen=True)
class ReLUMethod(PassMethod):
    """The gradient with ``back`` as the way back through each ReLU; what the three methods share."""

    published: ClassVar[Handling] = POSITIVE
    reads_once: ClassVar[bool] = True

    def back(self, grad: Tensor, gated: Tensor, gate: Gate) -> Tensor:
        """Return what passes downwards, from what arrives, G, and what its own derivative makes of it, G ⊙ [z > 0].

        gated: nobody else holds it, so it may be written into.
        """
        raise NotImplementedError

    def read(self, record: PhotoPass) -> Tensor:
        return self.reduced(record.signal(self.back, self.name))


@dataclass(frozen=True)
class DeconvNet(ReLUMethod):
    """What flows back through each ReLU is handled, but not gated (Zeiler and Fergus 2014, sec. 2.1)."""

    name: ClassVar[str] = "deconvnet"

    def back(self, grad: Tensor, gated: Tensor, gate: Gate) -> Tensor:
        return self.handle(grad)


@dataclass(frozen=True)
class GuidedBackprop(ReLUMethod):
    """What flows back through each ReLU is handled, then gated (Springenberg et al. 2015, sec. 3.4)."""

    name: ClassVar[str] = "guided-backprop"
    reads_once: ClassVar[bool] = True

    def read(self, record: PhotoPass) -> Tensor:
        usual = type(self) is GuidedBackprop and self.active_handling is SIGNED
        if usual and all(gate.own_derivative for gate in record.gates(self.name)):
            return self.reduced_copy(record.gradient)  # the same without a pass
        return super().read(record)

    def back(self, grad: Tensor, gated: Tensor, gate: Gate) -> Tensor:
        return self.handle_own(gated)  # h(G) ⊙ [z > 0] = h(G ⊙ [z > 0]), since h(0) = 0
