"""What all tests share: threads, seeds, the small networks, and a table of the differences to other packages."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Generator, Iterator
from typing import Any

import kernels
import longest
import networks
import numpy as np
import pytest
import torch
from torch import Tensor, nn

# Two threads gain nothing on such small networks, and cost twenty times as much where other programs want the cores.
torch.set_num_threads(1)

# torch.manual_seed notes for each kind of device that isn't used yet who called it, which takes three milliseconds.
DEVICES = torch.cuda.is_available() or torch.backends.mps.is_available()
seed_torch = torch.manual_seed if DEVICES else torch.default_generator.manual_seed


def seed(config: pytest.Config) -> int:
    """Return what all random streams begin with: 0, or what ``make repeat`` draws for each run."""
    return config.getoption("randomly_seed", 0)


def pytest_configure(config: pytest.Config) -> None:
    """Keep the order of the files: xdist would begin with those of the most tests."""
    config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)  # whoever shuffles does so afterwards
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    ranks = {name: rank for rank, name in enumerate(longest.LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


def pytest_collection_finish() -> None:
    """Take what has been imported, a million objects, out of the garbage collector's rounds: a tenth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each test from the same random streams. The checks of learners' functions have one of their own."""
    number = seed(request.config)
    monkeypatch.setenv("POSGRAD_EDU_SEED", str(number))
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002  other packages draw from it
    seed_torch(number)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Say in the report of a test that failed how to draw the same again."""
    report = yield
    if report.failed:
        report.sections.append(("seed", f"all random streams began with {seed(item.config)}"))
    return report


# --- make mutants ---

# What each fixture that several tests share has called. mutmut sees its making in the first test alone.
_called: dict[Any, set[str]] = {}


def _calls() -> set[str] | None:
    """Return the functions called since the last test, where mutmut is looking which test reaches which function."""
    if os.environ.get("MUTANT_UNDER_TEST") != "stats":
        return None
    from mutmut.state import state

    return state()._stats


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any) -> Generator[None, Any, Any]:
    if (calls := _calls()) is None or fixturedef.scope == "function":
        return (yield)
    before = {*calls}
    calls.clear()
    result = yield
    _called[fixturedef] = _called.get(fixturedef, set()) | calls
    calls |= before
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    if (calls := _calls()) is not None:
        for definitions in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
            calls.update(*(_called.get(one, ()) for one in definitions))


# --- Fixtures ---


@pytest.fixture(scope="module")
def quick_kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels that have imported PyTorch and the like already. They run this checkout, whatever is installed."""
    with kernels.started(tmp_path_factory.mktemp("kernels")):
        yield


@pytest.fixture(params=networks.ALL)
def case(request: pytest.FixtureRequest) -> tuple[str, nn.Module, Tensor, Tensor]:
    """Each network: its name, itself, photos, one class a photo."""
    return (request.param, *networks.make(request.param))


@pytest.fixture(params=networks.RELU_ONLY)
def relu_case(request: pytest.FixtureRequest) -> tuple[str, nn.Module, Tensor, Tensor]:
    """Each network whose only activation is the ReLU."""
    return (request.param, *networks.make(request.param))


@pytest.fixture
def agrees(record_property: Callable[[str, Any], None]) -> Callable[..., None]:
    """``agrees(oracle, network, ours, theirs, within)``: compare, and put the difference into the final table."""

    def compare(oracle: str, network: str, ours: Tensor, theirs: Tensor, within: float) -> None:
        difference = networks.largest(ours, theirs)
        record_property("oracle", [oracle, network, difference])
        assert theirs.abs().max() > 0
        assert difference <= within, f"{oracle} on {network}: {difference:.2g} apart"

    return compare


def pytest_terminal_summary(terminalreporter: Any) -> None:
    seen: dict[tuple[str, str], float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) != "call":
                continue
            for name, value in report.user_properties:
                if name == "oracle":
                    oracle, network, difference = value
                    seen[oracle, network] = max(difference, seen.get((oracle, network), 0.0))
    if seen:
        terminalreporter.section("largest relative difference to other packages")
        for (oracle, network), difference in sorted(seen.items()):
            terminalreporter.write_line(f"{oracle:34} | {network:22} | {difference:.1e}")
