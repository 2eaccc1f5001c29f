"""One forward pass with its graph down to the photo, for all methods that go back through it.

The gradient goes back as it is; DeconvNet, Guided Backprop and RectGrad with another rule at each ReLU. So the network
runs once for all of them, and for each handling:

    record = PhotoPass(net, x, target)
    record.gradient                          # ∂f_c/∂x
    record.signal(rule, "guided-backprop")   # the same, with ``rule`` at each ReLU
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from torch import Tensor, nn

from posgrad_edu.engine.contrast import seeds
from posgrad_edu.engine.graph import Gate, gates
from posgrad_edu.engine.passes import check_classes, forward, input_gradients
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

    def again(self, target: Tensor) -> PhotoPass:
        """Return the same forward pass for other classes (N, K)."""
        check_classes(self.logits, target)
        other = copy.copy(self)
        vars(other).pop("gradient", None)
        other.seed = seeds(self.logits.detach(), target)
        return other

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
    reads_once: ClassVar[bool] = False  # whether ``read`` goes back once, so that the graph isn't needed any more

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if ("read" in vars(cls) or "record" in vars(cls)) and "reads_once" not in vars(cls):
            cls.reads_once = False  # another way to read may go back several times

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        record = self.record(net, x, target)
        if self.reads_once:
            record.only_once = True
        return self.read(record)

    def record(self, net: nn.Module, x: Tensor, target: Tensor) -> PhotoPass:
        return PhotoPass(net, x, target)

    def record_again(self, record: PhotoPass, target: Tensor) -> PhotoPass | None:
        return record.again(target) if type(record) is PhotoPass else None
