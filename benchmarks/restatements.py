"""The methods once more, in the plainest way, to hold the package against: no graph, no caching, one photo at a time.

A mode replaces functions while a network runs (``torch.overrides``), and autograd does the rest. Nothing is imported
from the package. Valid where the network calls these functions in Python and uses what they return.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

RELUS = {"relu": math.inf, "relu_": math.inf, "relu6": 6.0}
CLAMPS = ("hardtanh", "hardtanh_", "clamp", "clamp_", "clamp_min", "clamp_min_", "clip")
SMOOTH = {
    *("silu", "silu_", "gelu", "elu", "elu_", "selu", "celu", "mish", "softplus", "hardswish", "leaky_relu", "prelu"),
    *("leaky_relu_", "rrelu", "tanh", "erf", "softsign", "logsigmoid"),
}
Back = Callable[[Tensor, Tensor, Tensor], Tensor]


class GatedReLU(torch.autograd.Function):
    """min(max(z, 0), limit), with a way back of somebody else's."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, limit: float, back: Back) -> Tensor:
        a = z.clamp(0, limit)
        ctx.save_for_backward(a)
        ctx.limit, ctx.back = limit, back
        return a

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (a,) = ctx.saved_tensors
        return ctx.back(grad, a, (a > 0) & (a < ctx.limit)), None, None


def relu_limit(func: Callable, args: tuple, kwargs: dict) -> float | None:
    """Return where a ReLU stops growing; ``None`` for another function."""
    name = func.__name__
    if name in ("max", "maximum") and len(args) > 1 and isinstance(args[1], Tensor) and not args[1].requires_grad:
        return None if args[1].any() else math.inf
    if name in RELUS:
        return RELUS[name]
    if name not in CLAMPS:
        return None
    low = kwargs.get("min_val", kwargs.get("min", args[1] if len(args) > 1 else -1 if "tanh" in name else None))
    high = kwargs.get("max_val", kwargs.get("max", args[2] if len(args) > 2 else 1 if "tanh" in name else None))
    return (math.inf if high is None else float(high)) if low == 0 else None


class Seen(TorchFunctionMode):
    """Notes which functions work on what depends on the photo, and whether a ReLU6 has reached 6."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.saturated = False

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        limit = relu_limit(func, args, kwargs or {})
        if limit is not None and isinstance(args[0], Tensor):
            self.saturated |= bool((args[0] >= limit).any())
        output = func(*args, **(kwargs or {}))
        if isinstance(output, Tensor) and output.requires_grad:
            self.names.add(func.__name__)
        return output


class WithReLUs(TorchFunctionMode):
    """Runs a network whose ReLUs have the way back ``back(grad, a, gate)``."""

    def __init__(self, back: Back) -> None:
        super().__init__()
        self.back = back

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        limit = relu_limit(func, args, kwargs)
        if limit is None or not args[0].requires_grad:
            return func(*args, **kwargs)
        return GatedReLU.apply(args[0], limit, self.back)


def rectified(grad: Tensor, a: Tensor, gate: Tensor, handle: Callable[[Tensor], Tensor], q: float = 0.98) -> Tensor:
    """Return what RectGrad passes on: the (1 - q) largest contributions."""
    signal = handle(grad) * gate
    contribution = (a * signal).abs()
    threshold = contribution.flatten().sort().values[math.ceil(q * contribution.numel()) - 1]
    return signal * (contribution > threshold)


def relu_rules(handle: Callable[[Tensor], Tensor]) -> dict[str, Back]:
    """Return, by the method's name, what passes a ReLU on the way back."""
    return {
        "guided-backprop": lambda g, a, gate: handle(g) * gate,
        "deconvnet": lambda g, a, gate: handle(g),
        "rectgrad": lambda g, a, gate: rectified(g, a, gate, handle),
    }


def relu_map(net: nn.Module, x: Tensor, target: int, back: Back) -> tuple[Tensor, Tensor]:
    """Return the map (H, W) of one photo (1, C, H, W), and the logits that it was made of."""
    photo = x.clone().requires_grad_()
    with WithReLUs(back):
        logits = net(photo)
    (grad,) = torch.autograd.grad(logits[0, target], photo)
    return grad[0].sum(0), logits.detach()


SUMS = ("add", "sub", "rsub", "__rsub__", "__radd__", "__add__", "__sub__")


class WithShifts(TorchFunctionMode):
    """Adds a zero wherever a bias enters, so that its gradient is the bias's."""

    def __init__(self) -> None:
        super().__init__()
        self.biases: list[Tensor] = []
        self.zeros: list[Tensor] = []

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func.__name__ in SUMS and isinstance(output, Tensor) and output.requires_grad:
            operands = [a for a in args[:2] if isinstance(a, Tensor) and a.requires_grad]
            if len(operands) != 1:
                return output
            nothing = (output - operands[0] * (-1 if "rsub" in func.__name__ else 1)).detach()
        elif func in (F.conv2d, F.conv3d, F.linear, F.batch_norm) and args[0].requires_grad:
            nothing = func(torch.zeros_like(args[0]), *args[1:], **(kwargs or {})).detach()
        else:
            return output
        if nothing.ndim == 4:
            self.biases.append(nothing)
            self.zeros.append(torch.zeros_like(output).requires_grad_())
            output = output + self.zeros[-1]
        return output


def fullgrad_map(net: nn.Module, x: Tensor, target: int, handle: Callable[[Tensor], Tensor]) -> Tensor:
    """Return FullGrad's map (H, W) of one photo; a layer without a bias adds nothing."""
    photo = x.clone().requires_grad_()
    shifts = WithShifts()
    with shifts:
        logits = net(photo)
    grads = torch.autograd.grad(logits[0, target], [photo, *shifts.zeros], allow_unused=True)
    found = torch.zeros_like(x[0, 0])
    for factor, grad in zip([x, *shifts.biases], grads, strict=True):
        term = handle(factor * (torch.zeros_like(factor) if grad is None else grad))
        size = term.abs()
        span = size.max() - size.min()
        scaled = term.sign() * (size - size.min()) / (span if span > 0 else 1)
        found += F.interpolate(scaled.sum(1, True), x.shape[-2:], mode="bilinear", align_corners=True)[0, 0]
    return found


class WithRelevance(TorchFunctionMode):
    """Rescales what each layer's handled contributions make, so that x times the gradient is LRP's relevance."""

    def __init__(self, handle: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.handle = handle

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in (F.conv1d, F.conv2d, F.conv3d, F.linear) and args[0].requires_grad:
            return self.layer(func, *args, **kwargs)
        limit = relu_limit(func, args, kwargs)
        if limit is not None and args[0].requires_grad:
            z = args[0]
            return z * (z.detach().clamp(0, limit) / torch.where(z == 0, 1, z).detach())
        return func(*args, **kwargs)

    def layer(self, func: Callable, a: Tensor, w: Tensor, b: Tensor | None = None, *rest: Any, **k: Any) -> Tensor:
        z = func(a, w, b, *rest, **k).detach()
        bias = 0 if b is None else self.handle(b.detach()).reshape(-1, *[1] * (z.ndim - 2 if z.ndim > 3 else 0))
        positive, negative = (a > 0).to(a), (a < 0).to(a)
        parts = func(a * positive, self.handle(w), None, *rest, **k)
        parts = parts + func(-a * negative, self.handle(-w), None, *rest, **k) + bias
        fixed = parts.detach()
        return parts * (z / (fixed + 1e-6 * torch.where(fixed >= 0, 1.0, -1.0)))


def lrp_map(net: nn.Module, x: Tensor, target: int, handle: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return LRP's map (H, W) of one photo from relevance 1, and the logits; BatchNorms must be merged already."""
    photo = x.clone().requires_grad_()
    with WithRelevance(handle):
        logits = net(photo)
    (grad,) = torch.autograd.grad(logits[0, target], photo)
    return (x * grad)[0].sum(0) / logits[0, target].detach(), logits.detach()


def cam_map(method: str, a: Tensor, grad: Tensor, handle: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a class activation map (h, w) of activations (C, h, w) and their gradients."""
    if method == "gradcam":
        return (handle(grad).mean((1, 2), keepdim=True) * a).sum(0)
    if method == "layercam":
        return (handle(grad) * a).sum(0)
    share = torch.where(grad == 0, 0.0, grad**2 / (2 * grad**2 + a.sum((1, 2), keepdim=True) * grad**3))
    return ((share * handle(grad)).sum((1, 2), keepdim=True) * a).sum(0)
