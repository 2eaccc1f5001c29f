"""Whatever a learner's function returns, raises or leaves behind, a check ends in words, and the next one is right."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as modules

from posgrad_edu import checks
from posgrad_edu.checks.engine import surroundings


def gradcam(A: Tensor, G: Tensor, h: Any) -> Tensor:
    return (h(G).mean((2, 3), keepdim=True) * A).sum(1)


def gradient(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(net(x)[torch.arange(len(x)), target].sum(), x)[0].sum(1)


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    assert surroundings.put_back() == ""


# --- what is returned ---


@pytest.mark.parametrize(
    ("form", "key", "words"),
    [
        (lambda m: m.to_sparse(), "wrong-type", "returned a sparse tensor"),
        (lambda m: m[0].to_sparse_csr(), "wrong-type", "returned a sparse tensor"),
        (lambda m: m.to("meta"), "wrong-type", "returned a meta tensor"),
        (lambda m: torch.nested.nested_tensor(list(m)), "wrong-type", "returned a nested tensor"),
        (lambda m: torch.quantize_per_tensor(m, 0.1, 0, torch.qint8), "wrong-type", "returned a quantized tensor"),
        (lambda m: m.cfloat(), "wrong-dtype", "complex64"),
        (lambda m: m[:0], "wrong-shape", "(0, 4, 6) instead of (3, 4, 6)"),
        (lambda m: 3, "wrong-type", "an int instead"),
    ],
)
def test_strange_tensors_are_refused_in_words(form: Callable[[Tensor], Any], key: str, words: str) -> None:
    result = checks.check_gradcam(lambda A, G, h: form(gradcam(A, G, h)))
    assert (result.key, words in result.says) == (key, True), result


def test_numbers_of_strange_kinds_are_refused_in_words() -> None:
    assert "complex" in checks.check_spearman(lambda a, b: torch.tensor([1j])).says
    assert "a meta tensor" in checks.check_spearman(lambda a, b: torch.ones((), device="meta")).says

    class Array:
        def __array__(self, *args: Any, **keywords: Any) -> None:
            raise KeyError("never")

    assert "an Array, can't be read (KeyError)" in checks.check_spearman(lambda a, b: Array()).says


def test_an_exception_that_cannot_be_printed_is_named_by_its_type() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fails(*args: Any) -> None:
        raise Silent

    assert checks.check_gradcam(fails).says.startswith("Silent, in line")


@pytest.mark.slow
def test_one_second_is_no_seconds() -> None:
    def endless(*args: Any) -> None:
        while True:
            pass

    assert checks.check_gradcam(endless, timeout=1).says.endswith("after 1 second")


# --- what is left behind ---


def moved(net: nn.Module) -> None:
    net.double().float()
    next(net.children()).half()


def in_place(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = not module.inplace


def of_another_class(net: nn.Module) -> None:
    nn.ReLU.forward = lambda self, x: x.clamp(min=0)  # type: ignore[method-assign]


def on_all_modules(net: nn.Module) -> None:
    modules.register_module_forward_hook(lambda module, inputs, output: None)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (moved, "network-moved"),
        (in_place, "settings-changed"),
        (of_another_class, "torch-changed"),
        (on_all_modules, "global-hooks-left"),
        (lambda net: net.train(), "mode-changed"),
        (lambda net: net[0].register_forward_hook(print), "hooks-left"),
        (lambda net: net.requires_grad_(False), "requires-grad-changed"),
    ],
)
def test_what_is_left_changed_is_noticed_and_the_next_check_is_right(change: Callable[[Any], Any], key: str) -> None:
    def learner(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        found = gradient(net, x, target)
        change(net)
        return found

    assert checks.check_gradient(learner).key == key
    assert checks.check_gradient(gradient)


def test_a_list_that_is_changed_is_no_randomness() -> None:
    def summary(correlations: list[float]) -> tuple[float, int]:
        kept = []
        while correlations:
            value = correlations.pop()
            kept += [value] * (value == value)
        return sum(kept) / len(kept) if kept else float("nan"), 0

    assert checks.check_summary(summary).key == "list-changed"


@pytest.mark.parametrize("inside", [lambda m, i, o: o * float("nan"), lambda m, i, o: 1 / 0])
def test_what_an_earlier_call_left_is_undone_and_said(inside: Callable[..., Any]) -> None:
    modules.register_module_forward_hook(inside)
    nn.ReLU.forward = lambda self, x: x * float("nan")  # type: ignore[method-assign]
    result = checks.check_gradient(gradient)
    assert result
    assert "ReLU.forward is back in its place, hooks on all modules" in result.says
    assert "Before the check" not in checks.check_gradient(gradient).says


def test_modes_and_random_streams_are_as_before() -> None:
    def state() -> tuple[Any, ...]:
        return (
            torch.get_default_dtype(),
            torch.is_anomaly_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            random.getstate(),
            np.random.get_state()[1].tolist(),  # type: ignore[index]  # noqa: NPY002
            torch.get_rng_state().tolist(),
        )

    def careless(A: Tensor, G: Tensor, h: Any) -> Tensor:
        torch.set_default_dtype(torch.float64)
        torch.autograd.set_detect_anomaly(True)
        torch.use_deterministic_algorithms(True)
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        return gradcam(A, G, h)

    before = state()
    assert checks.check_gradcam(careless)
    assert state() == before


def test_checks_work_in_inference_mode() -> None:
    with torch.inference_mode():
        assert checks.check_gradient(gradient)
        assert checks.check_gradcam(gradcam)
        assert torch.is_inference_mode_enabled()
