"""Is what a network computes something that a map can explain? Asked once for each network and shape of photos.

A map of one photo says what in *this* photo made the logit. That needs three things, whatever the method:

    the same answer twice     a dropout that is still active draws another network each time
    photos that don't meet    statistics over the batch make a photo's logit depend on its neighbours
    nobody in between         hooks left on the backward pass may change what arrives

Each is tried on the caller's own photos, not looked up in a list of layers. A network that passed is remembered until
its modules change.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from posgrad_edu.engine.passes import checked_logits, predict, with_gradients
from posgrad_edu.errors import UnsupportedOperation

Found = TypeVar("Found")

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
# Settings, and functions: an activation, or a ``forward`` in the class's place. Numbers may count how often it ran.
_NOTED = {bool, str, FunctionType, BuiltinFunctionType, MethodType, partial}
# Of each network, its structure then, and which audits it has passed with which shapes of photos, and what they found.
_passed: weakref.WeakKeyDictionary[nn.Module, tuple[Hashable, dict[Hashable, Any]]] = weakref.WeakKeyDictionary()
# The network that is being explained, and what it has passed as it is now: looked up once for an explanation.
_explained: ContextVar[list[Any] | None] = ContextVar("explained", default=None)


@contextmanager
def explaining(net: nn.Module) -> Iterator[None]:
    """Look only once whether this network has changed, however often it's asked for inside: nobody changes it now."""
    token = _explained.set([net, None])
    try:
        yield
    finally:
        _explained.reset(token)


def audit(net: nn.Module, x: Tensor) -> None:
    """Refuse, with a ``ValueError`` that says why, a network whose maps would not be about one photo each.

    net: in evaluation mode. x: photos (N, C, H, W). Costs two forward passes and for N > 1 a backward pass, the first
    time; then next to nothing.
    """
    once(_audit, net, x)


def answer(net: nn.Module, x: Tensor) -> Tensor:
    """Return logits (N, classes) without values: asked once, and again after weights were written into."""
    return once(_answer, net, x, state=versions(net))


def _answer(net: nn.Module, x: Tensor) -> Tensor:
    return predict(net, x).to("meta")


def once(examine: Callable[..., Found], net: nn.Module, x: Tensor, *others: Any, state: Hashable = None) -> Found:
    """Return ``examine(net, x, *others)``, or what it found for this network, in this structure, and such photos.

    state: what else its answer depends on, such as ``versions(net)``: in another one it's asked anew.
    """
    kind = (examine, x.shape, x.dtype, x.device)
    passed = _passed_by(net)
    if kind not in passed or passed[kind][0] != state:
        passed[kind] = state, examine(net, x, *others)
    return passed[kind][1]


def versions(net: nn.Module) -> Hashable:
    """Return what tells whether a network's tensors have other values: PyTorch counts what writes into them.

    An optimizer's step and ``load_state_dict`` count. Who writes through ``.data`` isn't noticed.
    """
    return tuple(
        (id(value), 0 if value.is_inference() else value._version) for value in (*net.parameters(), *net.buffers())
    )


def _passed_by(net: nn.Module) -> dict[Hashable, Any]:
    explained = _explained.get()
    if explained is None or explained[0] is not net:
        return _passed_now(net)
    if explained[1] is None:
        explained[1] = _passed_now(net)
    return explained[1]


def _passed_now(net: nn.Module) -> dict[Hashable, Any]:
    now = structure(net)
    if net not in _passed or _passed[net][0] != now:
        _passed[net] = (now, {})
    return _passed[net][1]


def parts(net: nn.Module) -> list[nn.Module]:
    """Return a network and the modules inside it; a third of the time that ``net.modules()`` takes."""
    found = [net]
    for module in found:  # grows on the way
        inside = module.__dict__.get("_modules")  # scripted modules have none
        found += module.children() if inside is None else [m for m in inside.values() if m is not None]
    return found


def structure(net: nn.Module) -> Hashable:
    """Return what tells whether a network's modules, hooks, functions or settings have changed, not values of tensors.

    Called before each map, so it goes by the modules' dictionaries.
    """
    modules = parts(net)
    found: list[object] = [(id(module), module.__class__) for module in modules]
    for module in modules:
        fields = module.__dict__
        noted = [value for value in fields.values() if value.__class__ in _NOTED]
        # Functions weakly, since one may hold the network; not by id, which the next one may get.
        found += [weakref.ref(value) if callable(value) else value for value in noted]
        for kind in HOOKS:
            if fields.get(kind):
                found += [(kind, number) for number in _numbers(fields[kind])]
    return tuple(found)


def _numbers(hooks: Mapping[int, Callable[..., object]]) -> list[int]:
    """Return the hooks' numbers, of which each has its own. Those of ``watch`` change nothing that lasts."""
    all_now = list(hooks.items())  # another thread may add to them
    return [number for number, hook in all_now if not hasattr(hook, "ours")]


def _audit(net: nn.Module, x: Tensor) -> None:
    _refuse_backward_hooks(net)
    with with_gradients():
        photos = x.detach().clone().requires_grad_()
        logits = checked_logits(net, photos)
        if not torch.isfinite(logits).all():
            raise ValueError("The logits of these photos are not finite, so that there is nothing to explain.")
        if len(x) > 1 and logits.requires_grad:
            _refuse_photos_that_meet(logits, photos)
    _refuse_other_answers(logits.detach(), predict(net, _other_neighbours(x)), len(x))


def _refuse_backward_hooks(net: nn.Module) -> None:
    for name, module in net.named_modules():
        if module._backward_hooks or module._backward_pre_hooks:
            where = f"the layer {name!r}" if name else "the network"
            raise UnsupportedOperation(
                f"A backward hook is on {where}, and could change each gradient. "
                "Remove it: register_full_backward_hook returned a handle with remove()."
            )


def _refuse_photos_that_meet(logits: Tensor, photos: Tensor) -> None:
    try:
        (grad,) = torch.autograd.grad(logits[0].sum(), photos, allow_unused=True)
    except (
        RuntimeError
    ):  # an in-place operation that only a rule of ours can go back through: see the other photos' logits
        return
    if grad is not None and grad[1:].any():
        raise UnsupportedOperation(
            "The photos of a batch influence one another in this network, as in a BatchNorm without running "
            "statistics. Explain them one at a time."
        )


def _other_neighbours(x: Tensor) -> Tensor:
    """Return the photos with the first as it is and all others mirrored and dimmed."""
    return torch.cat([x[:1], 0.5 * x[1:].flip(-1)])


def _refuse_other_answers(logits: Tensor, again: Tensor, photos: int) -> None:
    scale = float(logits[0].abs().max())
    rounding = 1e4 * torch.finfo(logits.dtype).eps if logits.is_floating_point() else 0.0
    if (logits[0] - again[0]).abs().max() > rounding * scale:
        neighbours = ", or depends on the other photos of the batch" if photos > 1 else ""
        raise ValueError(
            f"Asked twice about the same photo, the network gives two answers{neighbours}. Look for a dropout that is "
            "still active (F.dropout without training=self.training), or other random parts."
        )
