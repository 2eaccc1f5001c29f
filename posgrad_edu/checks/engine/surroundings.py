"""What a function may not change outside of its arguments: torch's functions, its modes, and the random streams."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as shared

# Functions that a learner may be tempted to replace, by module or class and name.
REPLACEABLE: list[tuple[Any, str]] = [
    *((F, name) for name in ("relu", "relu6", "leaky_relu", "gelu", "conv2d", "linear", "interpolate")),
    *((torch, name) for name in ("relu", "relu_", "clamp")),
    *((Tensor, name) for name in ("relu", "relu_", "clamp", "backward")),
    *((nn, name) for name in ("ReLU", "Conv2d", "Linear")),
    *((kind, "forward") for kind in (nn.ReLU, nn.ReLU6, nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.Sequential)),
    (nn.Module, "__call__"),
    (torch.autograd, "grad"),
]
ORIGINALS = [getattr(owner, name) for owner, name in REPLACEABLE]
# Where torch keeps the hooks of all modules there are, by their ids.
_HOOKS = [found for name, found in vars(shared).items() if name.startswith("_global_") and isinstance(found, dict)]


def replaced() -> str | None:
    """Return what isn't torch's own any more, as the key of a mistake; ``None`` if all is."""
    if any(now is not was for now, was in zip(_functions(), ORIGINALS, strict=True)):
        return "torch-changed"
    return "global-hooks-left" if any(_HOOKS) else None


def put_back() -> str:
    """Undo what ``replaced`` finds; return its words, empty if there was nothing."""
    found = []
    for (owner, name), now, was in zip(REPLACEABLE, _functions(), ORIGINALS, strict=True):
        if now is not was:
            setattr(owner, name, was)
            found.append(f"torch's own {getattr(owner, '__name__', 'torch')}.{name} is back in its place")
    if any(_HOOKS):
        found.append("hooks on all modules, left by an earlier call, are taken off")
        for hooks in _HOOKS:
            hooks.clear()
    return ", ".join(found)


@contextmanager
def as_they_were() -> Iterator[str]:
    """Restore torch's functions, modes, and the random streams; yield what was undone from before, in words.

    Within, gradients are on, even where the caller switched them off.
    """
    undone = put_back()
    streams = random.getstate(), np.random.get_state()  # noqa: NPY002 - learners seed the old stream
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad(), modes_kept():
            yield undone
    finally:
        put_back()
        random.setstate(streams[0])
        np.random.set_state(streams[1])  # noqa: NPY002


@contextmanager
def modes_kept() -> Iterator[None]:
    """Restore the modes that hold for all of torch."""
    dtype, level = torch.get_default_dtype(), torch.get_deterministic_debug_mode()
    anomaly, checks_nan = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.autograd.set_detect_anomaly(anomaly, checks_nan)
        torch.set_deterministic_debug_mode(level)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def _functions() -> list[Any]:
    return [getattr(owner, name) for owner, name in REPLACEABLE]
