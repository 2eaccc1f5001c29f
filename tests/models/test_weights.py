"""Files of weights: what they hold is never run, what is damaged is refused, and messages say what to do next."""

from __future__ import annotations

import hashlib
import pickle
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision import models as tv

from posgrad_edu.models import OfflineError, WeightsError, load_classifier, weights
from posgrad_edu.models.weights import read_tensors

NETWORK = "convnext_atto"


class Planted:
    """An object that writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


def raw(held: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(held))


def zipped(held: object, path: Path) -> None:
    torch.save(held, path)


def old(held: object, path: Path) -> None:
    torch.save(held, path, _use_new_zipfile_serialization=False)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    for owner, name in [(socket.socket, "connect"), (socket, "create_connection"), (socket, "getaddrinfo")]:
        monkeypatch.setattr(owner, name, refuse)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the hub waits before it tries again


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Make the hub's cache an empty folder; return where it keeps a network's file of that name."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def place(file: str, network: str = NETWORK) -> Path:
        repository = tmp_path / "hub" / f"models--{timm.get_pretrained_cfg(network).hf_hub_id.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("0" * 40)
        folder = repository / "snapshots" / ("0" * 40)
        folder.mkdir(parents=True)
        return folder / file

    return place


@pytest.fixture
def torchvision_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where torchvision's cache keeps the weights of SqueezeNet 1.1, under a name that has no checksum."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch"))
    monkeypatch.setattr(tv.SqueezeNet1_1_Weights.DEFAULT.value, "url", "https://nowhere.invalid/squeezenet.pth")
    (tmp_path / "torch" / "checkpoints").mkdir(parents=True)
    return tmp_path / "torch" / "checkpoints" / "squeezenet.pth"


# --- Code in files ---


@pytest.mark.parametrize("save", [raw, zipped, old])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_code_in_the_hubs_cache_is_not_run(
    file: str, save: Callable[..., None], hub: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = timm.get_pretrained_cfg(NETWORK)
    config.hf_hub_filename = file
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda *_, **__: config)
    trace = tmp_path / "it ran"
    state = timm.create_model(NETWORK, pretrained=False).state_dict()
    save({"state_dict": state, "args": Planted(trace)}, hub(file))
    for download in (False, True):
        with pytest.raises(WeightsError, match=r"can be read safely .*nothing in it was run\. Delete it: '"):
            load_classifier(NETWORK, download=download)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Planted(trace)))
    assert trace.exists()  # otherwise the lines above would prove nothing


@pytest.mark.parametrize("save", [raw, zipped, old])
def test_code_in_torchvisions_cache_is_not_run(save: Callable[..., None], torchvision_file: Path) -> None:
    trace = torchvision_file.with_name("it ran")
    save({"x": torch.ones(2), "y": Planted(trace)}, torchvision_file)
    with pytest.raises(WeightsError, match="nothing in it was run") as caught:
        load_classifier("squeezenet1_1")
    assert not isinstance(caught.value, OfflineError)
    assert "weights_only" not in str(caught.value)  # PyTorch's advice is to switch this off
    assert not trace.exists()


# --- Damage ---


@pytest.mark.parametrize("content", [b"", b"\x80", b"PK\x03\x04", b"\x08\0\0\0\0\0\0\0{}", b"<html>", bytes(999)])
@pytest.mark.parametrize("file", ["a.safetensors", "a.pth"])
def test_damaged_files(file: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"Delete it: '.*fetches it again"):
        read_tensors(path)


@pytest.mark.parametrize("held", [[1, 2], {"a": 1}, {"state_dict": {"a": None}}, torch.ones(2)])
def test_files_of_something_else(held: object, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="something else than tensors by name"):
        read_tensors(tmp_path / "a.pth")


@pytest.mark.parametrize("save", [zipped, old])
@pytest.mark.parametrize("key", [None, "state_dict", "state_dict_ema", "model", "model_ema"])
def test_tensors_are_found_as_training_programs_wrap_them(
    key: str | None, save: Callable[..., None], tmp_path: Path
) -> None:
    state = {"a.weight": torch.ones(2), "a.bias": torch.zeros(1)}
    save({key: state, "epoch": 3} if key else state, tmp_path / "a.pth")
    assert {name: tensor.tolist() for name, tensor in read_tensors(tmp_path / "a.pth").items()} == {
        "a.weight": [1, 1],
        "a.bias": [0],
    }


def test_a_damaged_file_of_the_hub_is_known_by_its_name(hub: Callable[[str], Path], tmp_path: Path) -> None:
    link = hub("model.safetensors")
    save_file(timm.create_model(NETWORK, pretrained=False).state_dict(), tmp_path / "new")
    digest = hashlib.sha256((tmp_path / "new").read_bytes()).hexdigest()
    blob = link.parents[2] / digest
    (tmp_path / "new").rename(blob)
    link.symlink_to(blob)
    clf = load_classifier(NETWORK)
    assert "state_dict" not in clf.net.pretrained_cfg  # or all tensors would be kept twice
    with blob.open("r+b") as file:
        file.seek(-9, 2)
        file.write(b"!")
    with pytest.raises(WeightsError, match=rf"checksum is wrong.*Delete it: '.*{digest}'"):
        load_classifier(NETWORK)


def test_a_hub_whose_version_cannot_be_read(hub: Callable[[str], Path]) -> None:
    (hub("model.safetensors").parents[2] / "refs" / "main").write_bytes(b"\xff\xfe")
    with pytest.raises(WeightsError, match=r"cache of timm/convnext_atto.* is damaged"):
        load_classifier(NETWORK)


def test_weights_of_another_network(hub: Callable[[str], Path], torchvision_file: Path) -> None:
    save_file(timm.create_model("resnet10t", pretrained=False).state_dict(), hub("model.safetensors"))
    torch.save(tv.squeezenet1_0().state_dict(), torchvision_file)
    for name in (NETWORK, "squeezenet1_1"):
        with pytest.raises(WeightsError, match=f"aren't those of '{name}'.*Delete their file") as caught:
            load_classifier(name)
        assert len(str(caught.value)) < 600


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(weights, "sha256", refuse)
    with pytest.raises(WeightsError, match=r"can't be read: Permission denied\. Check who may read it"):
        load_classifier()


# --- Memory ---


def test_torchvisions_tensors_stay_in_their_file(torchvision_file: Path) -> None:
    torch.save(tv.squeezenet1_1().state_dict(), torchvision_file)
    clf = load_classifier("squeezenet1_1")
    mapped = Path("/proc/self/maps")
    if mapped.exists():
        assert str(torchvision_file) in mapped.read_text()
    before = torchvision_file.read_bytes()
    clf.net.classifier[1].weight.zero_()  # what is written to stays this process's own
    assert torchvision_file.read_bytes() == before


# --- What is advised ---


@pytest.mark.parametrize("name", ["squeezenet1_1", NETWORK])
def test_nothing_is_advised_that_was_just_tried(name: str, hub: Callable[[str], Path], torchvision_file: Path) -> None:
    with pytest.raises(OfflineError, match="download=True"):
        load_classifier(name)
    with pytest.raises(OfflineError, match="Fetching them failed") as caught:
        load_classifier(name, download=True)
    assert "download" not in str(caught.value).partition("Fetching them failed")[2].rpartition(")")[2]
    assert "efficientnet-lite0" in str(caught.value)
