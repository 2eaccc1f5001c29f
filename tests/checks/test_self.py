"""Each coded mistake, handed back to its own check, is named as itself; on fresh tries, without the call in between."""

from __future__ import annotations

import pytest
import torch
from test_checks import TASKS

from posgrad_edu.checks.engine.diagnosis import diagnose
from posgrad_edu.checks.engine.draw import Draw, as_number
from posgrad_edu.checks.engine.task import Task


@pytest.mark.parametrize("task", [task for task in TASKS if task.right], ids=lambda task: task.name)
def test_each_coded_mistake_is_named_as_itself(task: Task, seed: str) -> None:
    torch.manual_seed(as_number(seed))
    draw = Draw(task)
    while draw.hides_a_mistake():
        draw = Draw(task)
    assert diagnose(draw, draw.rights) is None
    misnamed = []
    for mistake in task.mistakes:
        for wrong in mistake.wrong:
            answers = [answer for answer in draw.wrongs(wrong) if answer is not None]
            assert len(answers) == task.tries, (mistake.key, mistake.says)
            found = diagnose(draw, answers)
            if found is None or not found.certain or found.mistakes[0].key != mistake.key:
                misnamed.append((mistake.key, mistake.says, found))
    assert misnamed == []
