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

from torch import Tensor

from posgrad_edu.methods.photo_pass import PassMethod, PhotoPass


@dataclass(frozen=True)
class Gradient(PassMethod):
    """The gradient of the logit with regard to the input (Simonyan et al. 2014, sec. 3.1)."""

    name: ClassVar[str] = "gradient"
    reads_once: ClassVar[bool] = True

    def read(self, record: PhotoPass) -> Tensor:
        return self.handle(self.reduced_copy(record.gradient))


@dataclass(frozen=True)
class InputXGradient(Gradient):
    """The input times the gradient of the logit with regard to it (Shrikumar et al. 2016)."""

    name: ClassVar[str] = "input-x-gradient"
    reads_once: ClassVar[bool] = True

    def read(self, record: PhotoPass) -> Tensor:
        return self.handle(self.reduced(record.x.detach().unsqueeze(1) * record.gradient))
