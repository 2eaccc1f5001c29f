"""The seed of all random tries: fresh for each run of the tests, printed with a failure, settable from outside."""

from __future__ import annotations

import pytest

from posgrad_edu.checks.engine.draw import SEED, chosen

RUN = chosen(None)


@pytest.fixture(autouse=True)
def seed(request: pytest.FixtureRequest, seeds: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give each test tries of its own; what is printed here is shown if the test fails.

    They follow from what ``make repeat`` draws for each run, or from the environment, or else are fresh.
    """
    run = request.config.getoption("randomly_seed", RUN)
    own = f"{run} {request.node.name}"
    print(f"The same tries again: {SEED}={run} python -m pytest ...")
    monkeypatch.setenv(SEED, own)
    return own
