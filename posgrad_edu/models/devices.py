"""Where networks run: on the CPU, a graphics card (cuda), an Apple chip's GPU (mps), or what else PyTorch finds."""

from __future__ import annotations

import torch

from posgrad_edu.errors import DeviceError

CPU = "cpu"


def device_names() -> list[str]:
    """Return the names of this computer's devices: "cpu", and "cuda:0", "cuda:1", ..., "mps:0" or what there is."""
    if not torch.accelerator.is_available() or (found := torch.accelerator.current_accelerator()) is None:
        return [CPU]
    return [CPU, *(f"{found.type}:{number}" for number in range(torch.accelerator.device_count()))]


def as_device(device: str | torch.device) -> torch.device:
    """Return the device of this name; "cuda" is the one that PyTorch takes first.

    Raises ``DeviceError`` for one that isn't here, with those that are.
    """
    here = device_names()
    known = {*here, f"{CPU}:0", *(name.partition(":")[0] for name in here)}
    if str(device) not in known:
        advice = "" if len(here) > 1 else " PyTorch sees no other: look at its version, and at the driver."
        raise DeviceError(f"There is no device {str(device)!r} here. There are: {', '.join(here)}.{advice}")
    return torch.device(device)
