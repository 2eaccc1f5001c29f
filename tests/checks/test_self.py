"""Each coded mistake, handed back to its own check, is named as itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from test_checks import TASKS

from posgrad_edu.checks.engine.check import check
from posgrad_edu.checks.engine.draw import draw
from posgrad_edu.checks.engine.task import Mistake, Task

Case = tuple[Task, Mistake, Callable[..., Any]]
CASES: list[Case] = [(t, m, wrong) for t in TASKS for m in t.mistakes for wrong in m.implementations]


@pytest.mark.parametrize(("task", "mistake", "wrong"), CASES, ids=lambda part: getattr(part, "says", None))
def test_a_coded_mistake_is_named_as_itself(task: Task, mistake: Mistake, wrong: Callable[..., Any]) -> None:
    result = check(task, wrong)
    assert result.key == mistake.key, result
    assert not draw(task).hidden()
