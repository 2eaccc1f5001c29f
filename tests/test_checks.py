"""The checks: right answers pass in any formulation, wrong ones are caught and named, and nothing takes them down."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import wrong_answers

from posgrad_edu import checks
from posgrad_edu.checks import (
    cam,
    errors,
    fullgrad,
    general,
    gradients,
    handlings,
    lrp,
    measures,
    randomization,
    relu_rules,
    running,
)
from posgrad_edu.checks.core import LESSONS, Result, Task, answer_of
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.similarity import spearman

Learner = Callable[..., Any]
ANSWERS: dict[str, ModuleType] = {
    module.name: importlib.import_module(f"wrong_answers.{module.name}")
    for module in pkgutil.iter_modules(wrong_answers.__path__)
}
MODULES = (cam, fullgrad, gradients, lrp, measures, randomization, relu_rules)
TASKS = [task for module in MODULES for task in vars(module).values() if isinstance(task, Task)]
TASKS += handlings.HANDLING.values()
ROOT = Path(__file__).resolve().parents[1]


def right_answers() -> list[Any]:
    return [
        pytest.param(getattr(checks, f"check_{check}"), answer, id=f"{check}-{name}")
        for check, module in ANSWERS.items()
        for name, answer in module.RIGHT.items()
    ]


def wrong_ones() -> list[Any]:
    return [
        pytest.param(getattr(checks, f"check_{check}"), answer, key, id=f"{check}-{name}")
        for check, module in ANSWERS.items()
        for name, (answer, key) in module.WRONG.items()
    ]


# --- every check ---


@pytest.mark.parametrize(("check", "answer"), right_answers())
def test_right_answers_pass(check: Learner, answer: Learner) -> None:
    result = check(answer)
    assert result, result
    assert result.key is None
    assert str(result).startswith("✓ ")


@pytest.mark.parametrize(("check", "answer", "key"), wrong_ones())
def test_wrong_answers_are_named(check: Learner, answer: Learner, key: str) -> None:
    result = check(answer)
    assert not result
    assert result.key == key, result
    assert re.fullmatch(r"✗ .+\.\n  Hint: .+[.)?]\n  Read: lesson \d\d, .+\.", str(result), re.DOTALL), result


def test_each_check_has_answers_enough() -> None:
    public = {name.removeprefix("check_") for name in checks.__all__ if name.startswith("check_")}
    assert public == set(ANSWERS)
    for name, module in ANSWERS.items():
        assert len(module.RIGHT) >= 3, name
        assert len(module.WRONG) >= 6, name
        assert len({key for _, key in module.WRONG.values()}) >= 6, name


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_tables_hold_mistakes(task: Task) -> None:
    assert len({mistake.key for mistake in task.mistakes}) >= 6
    assert task.lesson in LESSONS
    for mistake in task.mistakes:
        assert mistake.says[0].islower() or mistake.says.split()[0] == "Kendall's", mistake.says
        assert not mistake.says.endswith("."), mistake.says
        assert mistake.hint[-1] in ".)?", mistake.hint


def test_lessons_have_the_titles_that_the_readme_gives_them() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for number, title in LESSONS.items():
        assert re.search(rf"^\| {number:02d} \| \[?{re.escape(title)}", readme, re.MULTILINE), title


@pytest.mark.parametrize("name", [n for n in checks.__all__ if n.startswith("check_")])
def test_docstrings_state_the_signature(name: str) -> None:
    text = getattr(checks, name).__doc__
    assert re.match(r"Check ``\w+\(.*\)``", text)
    assert "def " in text


# --- the right answers themselves, against the package's methods ---


@pytest.mark.parametrize(
    ("task", "method"),
    [
        (gradients.GRADIENT, "gradient"),
        (gradients.INPUT_X_GRADIENT, "input-x-gradient"),
        (relu_rules.GUIDED_BACKPROP, "guided-backprop"),
        (relu_rules.DECONVNET, "deconvnet"),
    ],
)
@pytest.mark.parametrize("n", range(4))
def test_right_is_what_the_package_computes(task: Task, method: str, n: int) -> None:
    import posgrad_edu as pg

    net, x, target, *handling = task.make(n)
    theirs = pg.explain(net, x, target, method, *handling)
    torch.testing.assert_close(task.right(net, x, target, *handling), theirs)  # type: ignore[misc]


def test_right_cams_are_the_packages() -> None:
    from posgrad_edu.methods import METHODS

    for task, method in ((cam.GRADCAM, "gradcam"), (cam.GRADCAM_PLUS_PLUS, "gradcam++")):
        for n in range(4):
            a, g, handling = task.make(n)
            theirs = METHODS[method](handling).combine(a, g)  # type: ignore[attr-defined]
            torch.testing.assert_close(task.right(a, g, handling), theirs)  # type: ignore[misc]


def test_right_rectgrad_is_the_packages() -> None:
    from posgrad_edu.methods import METHODS

    for n in range(4):
        grad, a, handling, q = relu_rules.RECTGRAD.make(n)
        theirs = METHODS["rectgrad"](handling, q=q).back(grad, a, a > 0)  # type: ignore[attr-defined, call-arg]
        torch.testing.assert_close(relu_rules.RECTGRAD.right(grad, a, handling, q), theirs)  # type: ignore[misc]


def test_right_fullgrad_is_the_packages() -> None:
    from posgrad_edu.methods import METHODS

    for n in range(4):
        terms, _, handling = fullgrad.FULLGRAD.make(n)
        theirs = METHODS["fullgrad"](handling).read([term.unsqueeze(1) for term in terms])
        ours = fullgrad.FULLGRAD.right(terms, (8, 6), handling)  # type: ignore[misc]
        torch.testing.assert_close(ours, theirs[:, 0])


def test_right_terms_add_up_to_the_logit() -> None:
    for n in range(4):
        net, x, target = fullgrad.FULLGRAD_TERMS.make(n)
        total = sum(term.flatten(1).sum(1) for term in fullgrad.FULLGRAD_TERMS.right(net, x, target))  # type: ignore
        torch.testing.assert_close(total, net(x).gather(1, target[:, None])[:, 0].detach(), rtol=1e-4, atol=1e-4)


def test_right_spearman_is_the_packages() -> None:
    for n in range(4):
        one, other = measures.SPEARMAN.make(n)
        theirs = spearman(one.numpy(), other.numpy())
        assert measures.SPEARMAN.right(one, other) == pytest.approx(theirs, nan_ok=True)  # type: ignore[misc]


@pytest.mark.parametrize("name", HANDLINGS)
def test_each_handling_passes_its_own_check_only(name: str) -> None:
    for other, handling in HANDLINGS.items():
        assert bool(checks.check_handling(handling, name)) == (other == name)
    with pytest.raises(ValueError, match="Did you mean 'positive'"):
        checks.check_handling(F.relu, "positiv")


# --- what may happen in any check ---


def gradcam(A: torch.Tensor, G: torch.Tensor, h: Learner) -> torch.Tensor:
    return (h(G).mean((2, 3), keepdim=True) * A).sum(1)


def endless(*args: Any) -> None:
    while True:
        pass


def endless_that_catches(*args: Any) -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.001)


def endless_prints(*args: Any) -> None:
    while True:
        print("still here")


@pytest.mark.parametrize("loop", [endless, endless_that_catches, endless_prints])
def test_endless_loops_are_stopped(loop: Learner) -> None:
    start = time.perf_counter()
    result = checks.check_gradcam(loop, timeout=0.3)
    assert result.key == "timeout"
    assert "0.3 seconds" in str(result)
    assert time.perf_counter() - start < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "posgrad_edu check" and thread.is_alive()]
    assert len(str(result)) < 1000


def stub(A: Any, G: Any, h: Any) -> None:
    raise NotImplementedError


def misspelt(A: Any, G: Any, h: Any) -> Any:
    weights = h(G).mean((2, 3), keepdim=True)  # noqa: F841
    return (wieghts * A).sum(1)  # type: ignore[name-defined]  # noqa: F821


def deep(A: Any, G: Any, h: Any) -> Any:
    return deep(A, G, h)


def leaves(A: Any, G: Any, h: Any) -> None:
    sys.exit()


def strange(A: Any, G: Any, h: Any) -> None:
    raise ValueError("my own words")


def asks_if(A: Any, G: Any, h: Any) -> Any:
    return A if G > 0 else G


@pytest.mark.parametrize(
    ("answer", "key", "words"),
    [
        (stub, "not-written", "isn't written yet"),
        (misspelt, "name", "return (wieghts * A).sum(1)"),
        (deep, "recursion", "without an end"),
        (leaves, "error", "SystemExit"),
        (strange, "error", "ValueError: my own words, in line"),
        (asks_if, "if-on-tensor", "of a whole tensor"),
        (lambda A: A, "signature", "gradcam(activations, gradients, handling)"),
        (lambda A, G, h: A[9], "index", "a place that doesn't exist"),
        (lambda A, G, h: A.sum(7), "dimension", "an axis that the tensor doesn't have"),
        (lambda A, G, h: 1 / 0, "division-by-zero", "divided by zero"),
        (lambda A, G, h: G.grad * A, "none", "None"),
        (lambda A, G, h: gradcam(A, G, h) @ A, "shapes", "don't fit"),
        (lambda A, G, h: None, "returns-none", "return?"),
        (lambda A, G, h: gradcam(A, G, h).numpy(), "wrong-type", "from_numpy"),
        (lambda A, G, h: gradcam(A, G, h).tolist(), "wrong-type", "a list instead of a tensor"),
        (lambda A, G, h: list(gradcam(A, G, h)), "wrong-type", "torch.stack"),
        (lambda A, G, h: gradcam(A, G, h).long(), "wrong-dtype", "int64"),
        (lambda A, G, h: gradcam(A, G, h) / 0, "not-finite", "nan or inf"),
        (lambda A, G, h: torch.zeros(len(A), 4, 6), "all-zero", "zero everywhere"),
        (lambda A, G, h: torch.arange(24.0).reshape(1, 4, 6).expand(len(A), 4, 6), "constant", "whatever the input"),
        (lambda A, G, h: gradcam(A, G, h)[:, :2], "wrong-shape", "(3, 2, 6) instead of (3, 4, 6)"),
        (lambda A, G, h: gradcam(A, G, h) ** 3, "unknown", "none of the mistakes known here"),
        (lambda A, G, h: gradcam(A, G, h) * 3, "wrong-factor", "constant factor"),
        (lambda A, G, h: gradcam(A, G, h) + 1e-3 * torch.rand(()), "unknown", "none of the mistakes"),
        (42, "not-callable", "not int"),
    ],
)
def test_mishaps_are_explained(answer: Any, key: str, words: str) -> None:
    result = checks.check_gradcam(answer)
    assert not result
    assert result.key == key, result
    assert words in str(result), result


def test_the_learners_own_line_is_named() -> None:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    number = 1 + next(n for n, line in enumerate(lines) if line.startswith("    return (wieghts"))
    assert f"in line {number}: " in checks.check_gradcam(misspelt).says


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_of_the_result_is_free(dtype: torch.dtype) -> None:
    assert checks.check_gradcam(lambda A, G, h: gradcam(A.to(dtype), G.to(dtype), h))


def test_prints_are_shown_with_a_mistake_and_swallowed_otherwise(capsys: pytest.CaptureFixture) -> None:
    def talks(A: Any, G: Any, h: Any) -> Any:
        print("shape", tuple(A.shape))
        return gradcam(A, G, h)

    assert checks.check_gradcam(talks)
    wrong = checks.check_gradcam(lambda A, G, h: -talks(A, G, h))
    assert "Your function printed: shape (" in str(wrong)
    assert capsys.readouterr().out == ""


def test_what_is_kept_between_calls_shows() -> None:
    seen: list[Any] = []

    def remembers(A: Any, G: Any, h: Any) -> Any:
        seen.append(G)
        return gradcam(A, seen[0], h) if A.shape == seen[0].shape else gradcam(A, G, h) + 1

    assert checks.check_gradcam(remembers).key == "remembers"
    calls: list[int] = []

    def counts(A: Any, G: Any, h: Any) -> Any:
        calls.append(1)
        return gradcam(A, G, h) * (2 if len(calls) > 4 else 1)

    assert checks.check_gradcam(counts).key == "accumulates"
    assert checks.check_gradcam(counts).key == "wrong-factor"


def test_random_streams_and_torch_are_left_alone() -> None:
    from wrong_answers.guided_backprop import patched

    before, relu = torch.get_rng_state(), F.relu
    checks.check_guided_backprop(patched)
    checks.check_gradcam(lambda A, G, h: torch.manual_seed(3) and gradcam(A, G, h))
    assert torch.equal(before, torch.get_rng_state())
    assert F.relu is relu


def test_tries_are_new_each_time() -> None:
    seen: list[torch.Tensor] = []
    for _ in range(2):
        checks.check_gradcam(lambda A, G, h: seen.append(A.clone()) or gradcam(A, G, h))
    assert len(seen) == 10
    assert not torch.equal(seen[0], seen[5])


def test_checks_work_where_gradients_are_off_and_in_threads() -> None:
    from wrong_answers.gradient import with_backward

    with torch.no_grad():
        assert checks.check_gradient(with_backward)
    found: list[Result] = []
    thread = threading.Thread(target=lambda: found.append(checks.check_gradient(with_backward)))
    thread.start()
    thread.join()
    assert found[0]
    assert "backward() also filled" in str(found[0])


def test_an_interrupt_reaches_the_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Any, timeout: float | None = None) -> bool:
        if timeout == 3.0:
            raise KeyboardInterrupt
        return wait(self, timeout)

    wait = threading.Event.wait
    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        running.call(endless, (), 3.0)
    monkeypatch.undo()
    assert not [thread for thread in threading.enumerate() if thread.name == "posgrad_edu check"]


def test_wrong_implementations_can_be_computed() -> None:
    """A row of a table that fails on every try could never name anything."""
    for task in TASKS:
        for mistake in task.mistakes:
            if mistake.wrong is not None:
                assert answer_of(task, mistake.wrong, task.make(0)) is not None, (task.name, mistake.says)


def test_keys_of_errors_and_general_mistakes_are_not_mixed_up() -> None:
    assert {known.key for known in errors.KNOWN} & set(general.GENERAL) == {"not-detached"}


def test_importing_the_package_leaves_the_checks_out() -> None:
    code = "import sys, posgrad_edu; print('posgrad_edu.checks' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
