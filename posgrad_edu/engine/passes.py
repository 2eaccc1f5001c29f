"""Passes through a network: its logits, checked, and the gradients of those that were asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointError

from posgrad_edu.engine.contrast import check_range, check_reference, seeds
from posgrad_edu.engine.layout import layouts
from posgrad_edu.errors import UnsupportedOperation

_precision = threading.Lock()
_inside: list[int] = []  # threads in full precision
_before: list[Any] = []


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolve in the whole of float32 inside this context; NVIDIA's cards would round it to three digits (TF32).

    Nothing is done before the first tensor is on such a card. Matrix products are rounded only where one asks for it.
    """
    if not torch.cuda.is_initialized():
        yield
        return
    cudnn: Any = torch.backends.cudnn
    since_2_9: tuple[Any, ...] = (getattr(cudnn, "conv", None), "fp32_precision", "ieee")
    setting, name, exact = since_2_9 if since_2_9[0] is not None else (cudnn, "allow_tf32", False)
    with _precision:  # the setting is the whole process's: whoever comes first changes it, the last one puts it back
        if not _inside:
            _before[:] = [getattr(setting, name)]
            setattr(setting, name, exact)
        _inside.append(threading.get_ident())
    try:
        yield
    finally:
        with _precision:
            _inside.pop()
            if not _inside:
                setattr(setting, name, _before[0])


@contextmanager
def with_gradients() -> Iterator[None]:
    """Take gradients inside this context, even where the caller said ``no_grad()`` or ``inference_mode()``.

    A tensor made in inference mode can't take part: clone it inside.
    """
    with torch.inference_mode(False), torch.enable_grad(), full_precision():
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, CheckpointError) or "use_reentrant" in str(error):
                raise UnsupportedOperation(
                    "This network computes parts of its forward pass anew on the way back (torch.utils.checkpoint), "
                    "where no rule can follow. Switch that off, as by memory_efficient=False or "
                    "set_grad_checkpointing(False)."
                ) from error
            if "functorch transforms" in str(error):
                raise UnsupportedOperation(
                    "This network runs inside a transform of torch.func, such as vmap, where no rule can follow. "
                    "Call it on the whole batch instead."
                ) from error
            raise


def run_without_graph(net: nn.Module, x: Tensor) -> Any:
    """Run the network on photos x (N, C, H, W), which keep their values; return its output."""
    with torch.no_grad(), full_precision():
        return net(x.clone())  # a first layer that works in place overwrites this copy


def predict(net: nn.Module, x: Tensor) -> Tensor:
    """Return the network's logits (N, classes) for photos x (N, C, H, W), checked, without a graph."""
    with torch.no_grad(), full_precision():
        return checked_logits(net, x)


def checked_logits(net: nn.Module, x: Tensor) -> Tensor:
    """Return the network's logits (N, classes) for photos x (N, C, H, W), which keep their values.

    Raises ``ValueError`` for a network that returns anything else.
    """
    logits = net(x.clone())  # a first layer that works in place overwrites this copy
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x):
        got = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"The network should return logits of shape (N, classes) = ({len(x)}, ...), but returned {got}. "
            "Wrap it in a module that returns the class scores alone."
        )
    return logits


def forward(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Return the logits (N, classes), checked against the photos, the classes asked for and the contrast."""
    logits = checked_logits(net, x)
    check_classes(logits, target)
    return logits


def check_classes(logits: Tensor, target: Tensor) -> None:
    """Refuse classes, asked about or held against them, that the network doesn't have."""
    check_range(target, logits)
    check_reference(logits)


def unreachable() -> ValueError:
    """Return (not raise) the error for logits that don't depend on what is explained."""
    return ValueError(
        "The logits don't depend on what is explained through differentiable operations. "
        "Look for detach(), no_grad(), argmax or a layer that is never used in the network's forward()."
    )


def gradients(
    logits: Tensor, target: Tensor, inputs: Sequence[Any], retain_graph: bool = False
) -> Iterator[list[Tensor | None]]:
    """Yield, for each of the K classes of target (N, K), the gradients of its logit with regard to ``inputs``.

    Inside ``contrasted`` it's the gradients of the contrast; for a target (N, K, classes) of seeds those of
    Σ seed · logits. One forward pass serves all K. Photos of a batch don't meet in a network in evaluation mode, so the
    gradient of the sum over photos holds each photo's own gradient. The first of ``inputs`` is what is explained:
    logits that don't depend on it are refused; another that they don't depend on gives ``None``.
    retain_graph: keep what the forward pass left in memory, so that one can go back through it another time.
    """
    if not logits.requires_grad:
        raise unreachable()
    seed = target if target.ndim == 3 else seeds(logits, target)
    classes = seed.shape[1]
    with layouts(logits):
        for k in range(classes):
            retain = retain_graph or k < classes - 1
            found = torch.autograd.grad(logits, inputs, seed[:, k], retain_graph=retain, allow_unused=True)
            grads: list[Tensor | None] = [*found]
            if grads[0] is None:  # the logits depend on the network's parameters alone
                raise unreachable()
            yield grads


def input_gradients(logits: Tensor, target: Tensor, x: Tensor, retain_graph: bool = False) -> Tensor:
    """Return the gradient (N, K, C, H, W) of each asked logit with regard to x (N, C, H, W), photos or activations.

    target: as for ``gradients``.
    """
    found = [cast("Tensor", grads[0]) for grads in gradients(logits, target, [x], retain_graph)]  # it is never None
    return torch.stack(found, dim=1)
