"""The gradient, and input x gradient: which pixels would change the logit.

The gradient of class c's logit f_c with regard to the photo x says how the logit would change if a pixel were
a little brighter:

    gradient          R = ∂f_c(x) / ∂x
    input x gradient  R = x ⊙ ∂f_c(x) / ∂x

The second multiplies by the pixel itself. For a network of linear layers without biases and ReLUs it shares
out the logit completely: the sum of R is f_c(x).

Nothing inside these two methods aggregates or clips, so the handling acts on the *finished* map. That makes
them a control: clipping after an honest propagation hides negative evidence, but what is left still depends on
the class and on the network.

Example:
    >>> maps = explain(net, x, target=282, method="input-x-gradient")

References:
    Simonyan, Vedaldi, Zisserman. Deep Inside Convolutional Networks. ICLR workshop 2014. arXiv:1312.6034, sec. 3.
    Shrikumar et al. Not Just a Black Box. 2016. arXiv:1605.01713 (input x gradient).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from torch import Tensor, nn

from posgrad_edu.engine.contrast import seeds
from posgrad_edu.engine.graph import Gate, gates
from posgrad_edu.engine.passes import forward, input_gradients
from posgrad_edu.methods.base import InputSpaceMethod

Back = Callable[[Tensor, Tensor, Gate], Tensor]


class PhotoPass:
    """A forward pass with its graph down to the photo, for all methods that go back through it as it is.

    The network runs once; ``gradient`` goes back with the derivatives themselves, and ``signal`` with another rule at
    each ReLU, which is hooked to the nodes of autograd's graph that are ReLUs.
    """

    def __init__(self, net: nn.Module, x: Tensor, target: Tensor) -> None:
        self.net = net
        self.x = x.requires_grad_()
        self.logits = forward(net, self.x, target)
        self.seed = seeds(self.logits.detach(), target)
        self.only_once = False  # whether what the forward pass left in memory is freed on the way back
        self._gates: list[Gate] | None = None

    @cached_property
    def gradient(self) -> Tensor:
        """The gradient of each asked logit with regard to the photo, (N, K, C, H, W)."""
        return input_gradients(self.logits, self.seed, self.x, retain_graph=not self.only_once)

    def gates(self, method: str) -> list[Gate]:
        """Return the network's ReLUs; refuse, in the method's name, a network that ReLU rules don't cover."""
        if self._gates is None:
            self._gates = gates(method, self.net, self.logits, self.x)
        return self._gates

    def signal(self, rule: Back, method: str) -> Tensor:
        """Return what arrives at the input (N, K, C, H, W) where ``rule`` decides what each ReLU passes on."""
        with ExitStack() as hooks:
            for gate in self.gates(method):
                hooks.callback(gate.on_gradient(rule).remove)
            return input_gradients(self.logits, self.seed, self.x, retain_graph=not self.only_once)


@dataclass(frozen=True)
class PassMethod(InputSpaceMethod):
    """A method that goes back from the logit to the photo; those that do share one forward pass."""

    record_options: ClassVar[tuple[str, ...]] = ()

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        record = self.record(net, x, target)
        record.only_once = True  # nobody else reads it
        return self.read(record)

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> PhotoPass:
        return PhotoPass(net, x, target)


@dataclass(frozen=True)
class Gradient(PassMethod):
    """The gradient of the logit with regard to the input (Simonyan et al. 2014, sec. 3.1)."""

    name: ClassVar[str] = "gradient"
    record_options: ClassVar[tuple[str, ...]] = ()

    def read(self, record: PhotoPass) -> Tensor:
        return self.handle(self.reduced(record.gradient))


@dataclass(frozen=True)
class InputXGradient(Gradient):
    """The input times the gradient of the logit with regard to it (Shrikumar et al. 2016)."""

    name: ClassVar[str] = "input-x-gradient"

    def read(self, record: PhotoPass) -> Tensor:
        return self.handle(self.reduced(record.x.detach().unsqueeze(1) * record.gradient))
