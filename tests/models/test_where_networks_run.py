"""Which devices there are, and what is said of one that isn't here. What runs there: ``tests/test_devices.py``."""

from __future__ import annotations

from typing import Any

import networks
import pytest
import torch

import posgrad_edu as pg
from posgrad_edu.engine import passes
from posgrad_edu.errors import DeviceError
from posgrad_edu.models import as_device, device_names, devices


class TwoCards:
    """What ``torch.accelerator`` says where there are two graphics cards."""

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def current_accelerator() -> torch.device:
        return torch.device("cuda")

    @staticmethod
    def device_count() -> int:
        return 2


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "accelerator", TwoCards)


def test_the_cpu_comes_first() -> None:
    assert device_names()[0] == "cpu"
    assert as_device("cpu") == as_device(torch.device("cpu")) == torch.device("cpu")


def test_a_build_for_cards_without_one(two_cards: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TwoCards, "is_available", staticmethod(lambda: False))
    assert device_names() == ["cpu"]


def test_each_card_has_a_name(two_cards: None) -> None:
    assert device_names() == ["cpu", "cuda:0", "cuda:1"]
    for name in ("cpu", "cuda", "cuda:0", "cuda:1"):
        assert as_device(name) == torch.device(name)


@pytest.mark.parametrize("name", ["cuda:2", "mps", "gpu", "meta", ""])
def test_others_are_refused_with_those_that_are_here(name: str, two_cards: None) -> None:
    with pytest.raises(DeviceError, match=f"^There is no device '{name}' here. There are: cpu, cuda:0, cuda:1.$"):
        as_device(name)


def test_where_there_is_no_card_it_is_said_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "device_names", lambda: ["cpu"])
    with pytest.raises(DeviceError, match=r"There are: cpu\. PyTorch sees no other: look at its version, and at "):
        pg.load_classifier("scenes").to("cuda")


def test_photos_elsewhere_are_refused_before_anything_runs() -> None:
    net, x, _ = networks.make("plain")
    elsewhere = torch.empty_like(x, device="meta")
    with pytest.raises(ValueError, match=r"^x is on meta, the network on cpu\. Give it x\.to\('cpu'\)\.$"):
        pg.engine.inputs.check_precision(net, elsewhere)
    net.fc2.to("meta")  # a network that is spread over devices moves the photos itself
    pg.engine.inputs.check_precision(net, elsewhere)


def test_convolutions_are_exact_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn: Any = torch.backends.cudnn
    since_2_9 = getattr(cudnn, "conv", None)
    setting, name, exact = (cudnn, "allow_tf32", False) if since_2_9 is None else (since_2_9, "fp32_precision", "ieee")
    before, seen = getattr(setting, name), []
    net, x, _ = networks.make("plain")
    net.register_forward_hook(lambda *_: seen.append(getattr(setting, name)))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    pg.explain(net, x, 0, "gradient")
    assert set(seen) == {before}  # no card, nothing to set
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    seen.clear()
    pg.explain(net, x, 0, "gradient")
    passes.run_without_graph(net, x)
    assert set(seen) == {exact}
    assert getattr(setting, name) == before
