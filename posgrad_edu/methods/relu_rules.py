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

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from posgrad_edu.engine.contrast import seeds
from posgrad_edu.engine.graph import Gate, gates
from posgrad_edu.engine.passes import forward, input_gradients
from posgrad_edu.handling import POSITIVE, Handling
from posgrad_edu.methods.base import InputSpaceMethod

Back = Callable[[Tensor, Tensor, Gate], Tensor]


class ReLUPass:
    """A forward pass whose ReLUs follow, on the way back, the rule that is wanted then.

    The network runs as it is; the rule is hooked to the nodes of autograd's graph that are ReLUs. So one forward pass
    serves all rules: ``signal(rule)`` goes back through it once more.
    """

    def __init__(self, net: nn.Module, x: Tensor, target: Tensor, method: str) -> None:
        # False before the last reading: what the forward pass left in memory is then freed on the way.
        self.keep = True
        self.x = x.requires_grad_()
        self.logits = forward(net, self.x, target)
        self.seed = seeds(self.logits.detach(), target)
        self.gates = gates(method, net, self.logits, self.x)

    def signal(self, rule: Back) -> Tensor:
        """Return what arrives at the input (N, K, C, H, W) where ``rule`` decides what each ReLU passes on."""
        with ExitStack() as hooks:
            for gate in self.gates:
                hooks.callback(gate.on_gradient(rule).remove)
            return input_gradients(self.logits, self.seed, self.x, retain_graph=self.keep)


@dataclass(frozen=True)
class ReLUMethod(InputSpaceMethod):
    """The gradient with ``back`` as the way back through each ReLU; what the three methods share."""

    published: ClassVar[Handling] = POSITIVE
    record_options: ClassVar[tuple[str, ...]] = ()

    def back(self, grad: Tensor, gated: Tensor, gate: Gate) -> Tensor:
        """Return what passes downwards, from what arrives, G, and what its own derivative makes of it, G ⊙ [z > 0].

        gated: nobody else holds it, so it may be written into.
        """
        raise NotImplementedError

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        record = self.record(net, x, target)
        record.keep = False
        return self.read(record)

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> ReLUPass:
        return ReLUPass(net, x, target, self.name)

    def read(self, record: ReLUPass) -> Tensor:
        return self.reduced(record.signal(self.back))


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

    def back(self, grad: Tensor, gated: Tensor, gate: Gate) -> Tensor:
        return self.handle_own(gated)  # h(G) ⊙ [z > 0] = h(G ⊙ [z > 0]), since h(0) = 0
