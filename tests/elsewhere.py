"""A device that no computer has: its tensors say that they are elsewhere, and compute on the CPU.

    with Elsewhere() as device:
        pg.explain(net.to(device), x.to(device), 0, "gradcam")     # an error where a tensor of the CPU meets x

PyTorch refuses operands of two devices only where there are two, so ``torch.zeros(3)`` without a device goes unnoticed
on a computer without a GPU. Here each tensor on the device holds the one on the CPU that it stands for, and refused is

    what a GPU refuses         operands of two devices, but for one number for all values, and a CPU's positions
    what an Apple GPU refuses  float64
    what gives other numbers   drawing at random on the device

All else gives the CPU's numbers, to the last digit.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

# A name that each build of PyTorch knows, and none has anything behind. Autograd serves it on the CPU's own thread.
DEVICE = torch.device("lazy")
CPU = torch.device("cpu")
aten = torch.ops.aten
# These copy from one device to another, or read positions.
CROSSING = {aten._to_copy, aten.copy_, aten.copy, aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}


class There(Tensor):
    """A tensor elsewhere. ``here``: the one on the CPU that it stands for."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> There:
        assert here.device == CPU
        layout = {"strides": here.stride(), "storage_offset": here.storage_offset(), "dtype": here.dtype}
        made = Tensor._make_wrapper_subclass(cls, here.size(), device=DEVICE, **layout)
        made.here = here
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    def tolist(self) -> Any:  # this and the next PyTorch gives to no class but its own
        return self.here.tolist()

    def __format__(self, spec: str) -> str:
        return format(self.here, spec)

    def untyped_storage(self) -> torch.UntypedStorage:  # which memory is whose, LRP asks
        return self.here.untyped_storage()

    @property
    def _version(self) -> int:  # type: ignore[override]
        return self.here._version


class Elsewhere(TorchDispatchMode):
    """Inside this context tensors can be made elsewhere, and moved there."""

    def __enter__(self) -> torch.device:
        asked = torch.is_autocast_enabled
        known = lambda kind: kind != DEVICE.type and asked(kind)  # noqa: E731  an error for a device without autocast
        self.patches = ExitStack()
        self.patches.enter_context(patch.object(torch, "is_autocast_enabled", known))
        for function in (torch.tensor, torch.as_tensor):
            self.patches.enter_context(patch.object(torch, function.__name__, partial(of_numbers, function)))
        self.patches.enter_context(patch.object(Tensor, "new_tensor", new_tensor))
        torch._C._set_only_lift_cpu_tensors(True)  # lists that serve as positions stay on the CPU
        super().__enter__()
        return DEVICE

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch._C._set_only_lift_cpu_tensors(False)
        self.patches.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def of_numbers(function: Any, *args: Any, device: Any = None, **kwargs: Any) -> Tensor:
    """Make a tensor of Python's numbers on the CPU, then move it: PyTorch has no way to make it there."""
    made = function(*args, **kwargs)
    return made if device is None else made.to(device)


def new_tensor(like: Tensor, data: Any, **kwargs: Any) -> Tensor:
    return torch.tensor(data, **{"dtype": like.dtype, "device": like.device} | kwargs)


def run(func: Any, args: Any, kwargs: Any) -> Any:
    """Compute an operation on the CPU. The result is elsewhere if an operand is, unless the call names a device."""
    operands = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    there = [each for each in operands if isinstance(each, There)]
    named = kwargs.get("device")
    elsewhere = bool(there) if named is None else torch.device(named) == DEVICE
    if there and func.overloadpacket not in CROSSING:
        refuse_two_devices(func, operands)
    if elsewhere and torch.Tag.nondeterministic_seeded in func.tags:
        raise RuntimeError(f"{func} draws at random elsewhere: other numbers on each device. Draw on the CPU.")
    args, kwargs = tree_map_only(There, lambda t: t.here, (args, kwargs if named is None else kwargs | {"device": CPU}))
    results = func(*args, **kwargs)
    if not elsewhere:
        return results
    written = {id(each.here): each for each in there}  # what an operation in place returns
    return tree_map_only(Tensor, lambda t: written[id(t)] if id(t) in written else there_of(func, t), results)


def there_of(func: Any, here: Tensor) -> There:
    if here.dtype == torch.float64:
        raise RuntimeError(f"{func} gives float64 elsewhere, which not each device knows.")
    return There(here)


def refuse_two_devices(func: Any, operands: list[Tensor]) -> None:
    for each in operands:
        number = each.ndim == 0 and torch.Tag.pointwise in func.tags
        if not isinstance(each, There) and not number:
            raise RuntimeError(f"{func} gets a tensor {tuple(each.shape)} of the CPU and one elsewhere.")
