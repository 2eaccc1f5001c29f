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

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from posgrad_edu.engine.passes import forward, input_gradients
from posgrad_edu.methods.base import InputSpaceMethod


@dataclass(frozen=True)
class Gradient(InputSpaceMethod):
    """The gradient of the logit with regard to the input (Simonyan et al. 2014, sec. 3.1)."""

    name: ClassVar[str] = "gradient"
    record_options: ClassVar[tuple[str, ...]] = ()

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        x.requires_grad_()
        return x.detach().unsqueeze(1), input_gradients(forward(net, x, target), target, x)

    def read(self, record: tuple[Tensor, Tensor]) -> Tensor:
        _, grads = record
        return self.handle(self.reduced(grads))


@dataclass(frozen=True)
class InputXGradient(Gradient):
    """The input times the gradient of the logit with regard to it (Shrikumar et al. 2016)."""

    name: ClassVar[str] = "input-x-gradient"

    def read(self, record: tuple[Tensor, Tensor]) -> Tensor:
        x, grads = record
        return self.handle(self.reduced(x * grads))
