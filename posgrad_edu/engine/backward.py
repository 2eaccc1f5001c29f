"""Run a network with other backward rules for chosen operations, without touching the network.

Inside ``with backward_rules({F.relu: rule}):`` PyTorch hands every torch function that the forward pass calls
to us first. Where we have a rule for it, the rule runs in its place: it returns the usual output, but may
change what flows *back* through it. Since functions are seen, not modules, it makes no difference whether a
ReLU is a module, a function, in place or used many times. Nothing is written into the network, so there is
nothing to clean up after an error, and since PyTorch keeps these modes per thread, two threads may explain the
same network at once.

A rule is a plain function that is called in the operation's place:

    def double(func, *args, **kwargs):
        output = func(*args, **kwargs)
        on_gradient(output, lambda grad: 2 * grad)
        return output

    with backward_rules({F.relu: double}):
        logits = net(x)
    logits[0, 3].backward()        # leave the mode before the backward pass

There are two ways to change a gradient. ``on_gradient`` changes what *arrives* at an operation's output and
leaves the rest to PyTorch's own, fast, derivative. ``own_backward`` replaces the derivative altogether.

Reference: ``torch.overrides.TorchFunctionMode`` in PyTorch's documentation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode, resolve_name

from posgrad_edu.errors import UnsupportedOperation

Rule = Callable[..., Any]

# One family for all the ways to call the same thing. ``F.relu(x, inplace=True)`` is F.relu with a keyword.
RELU = (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
# These are ReLUs when their lower bound is 0; an upper bound, if any, is ReLU6's second gate.
CLAMP = (
    F.hardtanh,
    F.hardtanh_,
    F.relu6,
    torch.clamp,
    torch.clamp_,
    Tensor.clamp,
    Tensor.clamp_,
    torch.clamp_min,
    torch.clamp_min_,
    Tensor.clamp_min,
    Tensor.clamp_min_,
    torch.clip,
    torch.clip_,
    Tensor.clip,
    Tensor.clip_,
)
# Layers that multiply by weights and may add a bias.
WITH_WEIGHTS = (F.conv1d, F.conv2d, F.conv3d, F.linear)
ADDITIONS = (torch.add, Tensor.add, Tensor.add_)


class backward_rules(TorchFunctionMode):
    """Context in which each torch function in ``rules`` is replaced by its rule.

    rules: maps a torch function to ``rule(func, *args, **kwargs)``, which returns what ``func`` would, or to ``None``
    to leave it alone.
    otherwise: a rule for all other functions, ``None`` to leave them alone.
    """

    def __init__(self, rules: Mapping[Callable[..., Any], Rule | None], otherwise: Rule | None = None) -> None:
        super().__init__()
        self.rules = rules
        self.otherwise = otherwise

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        rule = self.rules.get(func, self.otherwise)
        if rule is None:
            return func(*args, **(kwargs or {}))
        return rule(func, *args, **(kwargs or {}))


def on_gradient(output: Tensor, change: Callable[[Tensor], Tensor]) -> None:
    """Pass the gradient that arrives at ``output`` through ``change`` before it flows further back.

    The hook belongs to this tensor of this forward pass, not to the network. Where no gradient will flow,
    nothing is done.
    """
    if output.requires_grad:
        output.register_hook(change)


class OwnBackward(torch.autograd.Function):
    """An operation with a backward pass of ours; see ``own_backward``."""

    @staticmethod
    def forward(ctx: Any, compute: Callable, backward: Callable, *inputs: Tensor) -> Tensor:
        ctx.own = backward
        output = compute(*inputs)
        if any(output is i for i in inputs):  # an in-place operation: autograd has to know
            ctx.mark_dirty(output)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return (None, None, *ctx.own(grads[0]))


def own_backward(
    compute: Callable[..., Tensor], backward: Callable[[Tensor], tuple[Tensor | None, ...]], *inputs: Tensor
) -> Tensor:
    """Return ``compute(*inputs)``, whose backward pass is ``backward(grad_out)``: a tuple, one entry an input.

    ``compute`` may work in place. ``backward`` may be called once for each class that is explained.
    """
    return OwnBackward.apply(compute, backward, *inputs)


def relu_limit(func: Callable[..., Any], args: tuple, kwargs: dict) -> float | None:
    """Return where a ReLU, under any of its names, stops growing: inf, or 6 for a ReLU6; ``None`` for no ReLU."""
    if func in RELU:
        return math.inf
    if func not in CLAMP:
        return None
    if func is F.relu6:
        return 6.0
    positional = dict(zip(("lower", "upper"), args[1:], strict=False))
    lower = kwargs.get("min_val", kwargs.get("min", positional.get("lower")))
    upper = kwargs.get("max_val", kwargs.get("max", positional.get("upper")))
    if func in (F.hardtanh, F.hardtanh_):
        lower, upper = -1.0 if lower is None else lower, 1.0 if upper is None else upper
    upper = math.inf if upper is None else upper
    numbers = isinstance(lower, (int, float)) and isinstance(upper, (int, float))
    return float(upper) if numbers and lower == 0 and upper > 0 else None


def is_relu(func: Callable[..., Any], args: tuple, kwargs: dict) -> bool:
    """Tell whether this call is a ReLU or a ReLU6, under any of its names."""
    return relu_limit(func, args, kwargs) is not None


def is_constant(value: object, seen_photo: set[Node] | None = None) -> bool:
    """Tell whether an operand holds nothing of the photo: a number, a parameter, or a tensor made of these alone.

    seen_photo: nodes that are known to depend on the photo, added to, so that the layers of one pass are walked once.
    """
    if not isinstance(value, Tensor) or not value.requires_grad:
        return True
    if value.grad_fn is None:  # nothing made it
        return isinstance(value, torch.nn.Parameter)
    # Back through the graph: of all tensors that it may begin with, only the photo is no parameter.
    start, known = value.grad_fn, set() if seen_photo is None else seen_photo
    nodes, seen = [start], set()
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if node in known or (leaf is not None and not isinstance(leaf, torch.nn.Parameter)):
            known.add(start)
            return False
        nodes += [before for before, _ in node.next_functions if before is not None]
    return True


def function_name(func: Callable[..., Any]) -> str:
    """Return the name a reader knows an operation by, such as ``torch.nn.functional.silu``."""
    return resolve_name(func) or getattr(func, "__name__", str(func))


def refuse(method: str, func: Callable[..., Any], advice: str) -> UnsupportedOperation:
    """Return (not raise) the error for an operation that ``method`` has no rule for."""
    return UnsupportedOperation(f"{method} has no rule for {function_name(func)}. {advice}")


def scale_and_shift(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """Return the BatchNorm as channel-wise ``scale · input + shift``; the arguments are F.batch_norm's."""
    if running_mean is None or running_var is None or training:
        raise UnsupportedOperation("A BatchNorm without running statistics mixes the photos of a batch: refused.")
    scale = (running_var + eps).rsqrt() if weight is None else weight * (running_var + eps).rsqrt()
    shift = -running_mean * scale
    return scale.detach(), (shift if bias is None else shift + bias).detach()
