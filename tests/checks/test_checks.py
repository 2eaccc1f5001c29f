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
    fullgrad,
    gradcam_plus_plus,
    gradients,
    handlings,
    parameter_sensitivity,
    rectgrad,
    relu_rules,
    summary,
)
from posgrad_edu.checks.engine import general, sandbox, tracebacks
from posgrad_edu.checks.engine.draw import SEED
from posgrad_edu.checks.engine.task import TITLES, Result, Task
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.metrics.similarity import spearman

Learner = Callable[..., Any]
ANSWERS: dict[str, ModuleType] = {
    module.name: importlib.import_module(f"wrong_answers.{module.name}")
    for module in pkgutil.iter_modules(wrong_answers.__path__)
}
MODULES = [importlib.import_module(f"posgrad_edu.checks.{m.name}") for m in pkgutil.iter_modules(checks.__path__)]
TASKS = [task for module in MODULES for task in vars(module).values() if isinstance(task, Task)]
TASKS += handlings.HANDLING.values()
ROOT = Path(__file__).resolve().parents[2]


# These ask many networks, a large one, or long chains of matrices.
SLOW = ("detective", "parameter_sensitivity", "class_sensitivity", "cascading_randomization", "angles_by_depth")


def marks(check: str) -> list[pytest.MarkDecorator]:
    """Return the marks of a check's tests."""
    return [pytest.mark.slow] if check in SLOW else []


def right_answers() -> list[Any]:
    return [
        pytest.param(getattr(checks, f"check_{check}"), answer, id=f"{check}-{name}", marks=marks(check))
        for check, module in ANSWERS.items()
        for name, answer in module.RIGHT.items()
    ]


def wrong_ones() -> list[Any]:
    return [
        pytest.param(getattr(checks, f"check_{check}"), answer, key, id=f"{check}-{name}", marks=marks(check))
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
    assert task.lesson in TITLES
    for mistake in task.mistakes:
        assert mistake.says[0].islower() or mistake.says.split()[0] == "Kendall's", mistake.says
        assert not mistake.says.endswith("."), mistake.says
        assert mistake.hint[-1] in ".)?", mistake.hint


def test_lessons_have_the_titles_that_the_readme_gives_them() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for number, title in TITLES.items():
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
    from posgrad_edu.checks.gradcam import GRADCAM
    from posgrad_edu.checks.layercam import LAYERCAM
    from posgrad_edu.methods import METHODS

    tasks = ((GRADCAM, "gradcam"), (gradcam_plus_plus.GRADCAM_PLUS_PLUS, "gradcam++"), (LAYERCAM, "layercam"))
    for task, method in tasks:
        for n in range(4):
            a, g, handling = task.make(n)
            theirs = METHODS[method](handling).combine(a, g)  # type: ignore[attr-defined]
            torch.testing.assert_close(task.right(a, g, handling), theirs)  # type: ignore[misc]


def test_right_xgradcam_shares_out_layercams_sum_and_equals_gradcam_on_even_gradients() -> None:
    from posgrad_edu.checks.xgradcam import XGRADCAM
    from posgrad_edu.methods import METHODS

    silent = cancelling = 0
    for n in range(4):
        a, g, handling = XGRADCAM.make(n)
        kept = (a.sum((2, 3), keepdim=True) != 0).to(a)
        nothing = (a == 0).all(3).all(2)
        silent += int(nothing.sum())
        cancelling += int((kept[..., 0, 0] == 0).sum()) - int(nothing.sum())
        ours = XGRADCAM.right(a, g, handling).sum((1, 2))  # type: ignore[misc]
        theirs = METHODS["layercam"](handling).combine(a * kept, g).sum((1, 2))  # type: ignore[attr-defined]
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
        even = g.mean((2, 3), keepdim=True).expand_as(g)
        theirs = METHODS["gradcam"](handling).combine(a * kept, even)  # type: ignore[attr-defined]
        torch.testing.assert_close(XGRADCAM.right(a, even, handling), theirs, rtol=1e-3, atol=1e-5)  # type: ignore
    assert silent == 4
    assert cancelling == 1


def test_right_xgradcam_weights_are_those_of_pytorch_grad_cam() -> None:
    """Where no activations cancel: there its epsilon of 1e-7 isn't 0."""
    from posgrad_edu.checks.xgradcam import XGRADCAM

    library = pytest.importorskip("pytorch_grad_cam")
    for n in range(3):
        a, g, handling = (arg.double() if isinstance(arg, torch.Tensor) else arg for arg in XGRADCAM.make(n))
        weights = library.XGradCAM.get_cam_weights(None, None, None, None, a.numpy(), handling(g).numpy())
        theirs = torch.einsum("nk,nkij->nij", torch.from_numpy(weights), a)
        torch.testing.assert_close(XGRADCAM.right(a, g, handling), theirs, rtol=1e-4, atol=1e-4)  # type: ignore[misc]


def test_right_alpha_makes_the_packages_gradcam_plus_plus() -> None:
    from posgrad_edu.methods import METHODS

    for n in range(4):
        a, g = gradcam_plus_plus.ALPHA.make(n)
        alpha = gradcam_plus_plus.ALPHA.right(a, g)  # type: ignore[misc]
        assert not alpha[g == 0].any()
        total = a.flatten(2).sum(2)[..., None, None]
        torch.testing.assert_close(alpha * (2 * g**2 + total * g**3), g**2)
        for handling in HANDLINGS.values():
            ours = torch.einsum("nkij,nkij,nkab->nab", alpha, handling(g), a)
            theirs = METHODS["gradcam++"](handling).combine(a, g)  # type: ignore[attr-defined]
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_right_guided_gradcam_is_a_product_with_what_matrices_enlarge() -> None:
    from wrong_answers.guided_gradcam import by_matrices

    from posgrad_edu.checks.guided_gradcam import GUIDED_GRADCAM

    for n in range(4):
        guided, cam = GUIDED_GRADCAM.make(n)
        theirs = by_matrices(guided, cam).float()
        torch.testing.assert_close(GUIDED_GRADCAM.right(guided, cam), theirs)  # type: ignore[misc]


def test_right_rectgrad_is_the_packages() -> None:
    from posgrad_edu.engine.graph import as_gate
    from posgrad_edu.methods import METHODS

    for n in range(4):
        grad, a, handling, q = rectgrad.RECTGRAD.make(n)
        z = a.clone().requires_grad_()
        y = z.relu()
        as_gate(y.grad_fn).on_gradient(METHODS["rectgrad"](handling, q=q).back)  # type: ignore[arg-type, union-attr, attr-defined, call-arg]
        (theirs,) = torch.autograd.grad(y, z, grad)
        torch.testing.assert_close(rectgrad.RECTGRAD.right(grad, a, handling, q), theirs)  # type: ignore[misc]


def test_right_fullgrad_is_the_packages() -> None:
    from posgrad_edu.methods import FullGrad

    for n in range(4):
        terms, _, handling = fullgrad.FULLGRAD.make(n)
        theirs = FullGrad(handling).added([term.unsqueeze(1) for term in terms], (8, 6))
        ours = fullgrad.FULLGRAD.right(terms, (8, 6), handling)  # type: ignore[misc]
        torch.testing.assert_close(ours, theirs[:, 0])


def test_right_terms_add_up_to_the_logit() -> None:
    for n in range(4):
        net, x, target = fullgrad.FULLGRAD_TERMS.make(n)
        total = sum(term.flatten(1).sum(1) for term in fullgrad.FULLGRAD_TERMS.right(net, x, target))  # type: ignore
        torch.testing.assert_close(total, net(x).gather(1, target[:, None])[:, 0].detach(), rtol=1e-4, atol=1e-4)


def test_right_addition_is_the_packages() -> None:
    from posgrad_edu.checks.lrp_addition import LRP_ADDITION
    from posgrad_edu.methods.lrp import Propagation
    from posgrad_edu.methods.lrp_rules import Epsilon

    for n in range(4):
        a, b, relevance, _ = LRP_ADDITION.make(n)
        summands = a.double().requires_grad_(), b.double().requires_grad_()
        total = Propagation(Epsilon(), Epsilon(), first=None).addition(torch.add, *summands)
        theirs = torch.autograd.grad(total, summands, relevance.double())
        ours = LRP_ADDITION.right(*(t.detach() for t in summands), relevance.double(), 1e-6)  # type: ignore[misc]
        torch.testing.assert_close(ours, theirs)


def test_right_spearman_is_the_packages() -> None:
    from posgrad_edu.checks.spearman import SPEARMAN

    for n in range(4):
        one, other = SPEARMAN.make(n)
        theirs = spearman(one.numpy(), other.numpy())
        assert SPEARMAN.right(one, other) == pytest.approx(theirs, nan_ok=True)  # type: ignore[misc]


def test_right_angles_are_those_that_vectors_were_turned_by() -> None:
    from posgrad_edu.checks.angles import ANGLE, angle

    for degrees in (1e-7, 1e-3, 60.0, 90.0, 150.0, 179.99, 180.0):
        turned = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
        second = 0.3 * torch.stack([turned.cos(), turned.sin()])
        assert angle(torch.tensor([5.0, 0.0], dtype=torch.float64), second) == pytest.approx(degrees, rel=1e-7)
    for n in (0, 1, 7):
        one, other = (v.double() for v in ANGLE.make(n))
        theirs = torch.rad2deg(torch.acos(torch.cosine_similarity(one, other, dim=0)))
        assert angle(one, other) == pytest.approx(float(theirs))
    assert [angle(*ANGLE.make(n)) > 90 for n in (0, 1, 7)] == [True, False, False]  # the tries that tell mistakes apart


def test_right_angles_by_depth_are_those_of_the_plain_product() -> None:
    from posgrad_edu.checks.angles import ANGLES_BY_DEPTH

    for n in (0, 1, 4, 5):
        matrices, one, other = ANGLES_BY_DEPTH.make(n)
        products = [torch.eye(len(one))]
        for matrix in matrices:
            products.append(matrix @ products[-1])
        theirs = [torch.rad2deg(torch.acos(torch.cosine_similarity(P @ one, P @ other, dim=0))) for P in products]
        ours = ANGLES_BY_DEPTH.right(matrices, one, other)  # type: ignore[misc]
        assert ours == pytest.approx([float(t) for t in theirs], abs=0.1)


@pytest.mark.slow
def test_black_boxes_hold_what_their_number_says() -> None:
    import posgrad_edu as pg
    from posgrad_edu.checks.black_boxes import KINDS, black_box, boxed, photos, what_is
    from posgrad_edu.models.shift import shift_vector, shifted

    net, x = pg.load_classifier("efficientnet-lite0").net, photos(["cat", "coffee"], size=64)
    target = net(x).argmax(1)
    finish = {"": lambda maps: maps, "clipped": torch.relu, "magnitude": torch.abs}
    for kind in KINDS:
        maps = boxed(kind)(net, x, target)
        if kind.method == "activations":
            assert torch.equal(maps, boxed(kind)(net, x, target + 1))
        else:
            asked = shifted(net, shift_vector(net, kind.shift)) if kind.shift else net
            for contrast in (None, "mean"):
                theirs = finish[kind.finish](
                    pg.explain(asked, x, target, kind.method, kind.handling, contrast=contrast)
                )
                torch.testing.assert_close(boxed(kind)(net, x, target, contrast), theirs)
        assert kind.positive == (kind.handling in ("positive", "absolute"))
    assert torch.equal(black_box(20417)(net, x, target), black_box(20417)(net, x, target))
    assert str(what_is(20417)) == "gradcam, positive"  # for ever: a student's number must not change its box
    assert "gradcam" not in repr(black_box(20417))
    truths = [what_is(number).positive for number in range(1000, 2000)]
    assert 450 < sum(truths) < 550
    assert {what_is(number) for number in range(1000, 2000)} == set(KINDS)
    for number in (-1, 2.5, "20417", True):
        with pytest.raises(ValueError, match="whole number from 0"):
            black_box(number)  # type: ignore[arg-type]


@pytest.mark.slow
def test_black_boxes_can_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The docstring's numbers: all threes of the five photos."""
    from itertools import combinations

    import numpy as np
    from wrong_answers.detective import classes

    import posgrad_edu as pg
    from posgrad_edu.checks.black_boxes import KINDS, boxed, photos
    from posgrad_edu.methods.registry import resolve
    from posgrad_edu.methods.sharing import explain_contrasts
    from posgrad_edu.metrics.randomization import randomized

    hows = dict.fromkeys((kind.method, kind.handling) for kind in KINDS if kind.method != "activations")
    explained: dict[Any, list[dict[Any, torch.Tensor]]] = {}

    def once(net: torch.nn.Module, x: torch.Tensor, target: torch.Tensor, *how: Any, contrast: Any) -> torch.Tensor:
        """Boxes share maps, and maps forward passes. A shifted network is a box's own."""
        if net not in asked:
            return pg.explain(net, x, target, *how, contrast=contrast)
        key = (net, tuple(target.tolist()))
        if key not in explained:
            methods = {each: resolve(*each) for each in hows}
            explained[key] = explain_contrasts(net, x, target, methods, (None, "mean"))
        return explained[key][contrast is not None][how]

    monkeypatch.setattr("posgrad_edu.checks.black_boxes.explain", once)
    net, x = pg.load_classifier("efficientnet-lite0").net, photos()
    copies = [randomized(net, 1, seed) for seed in range(3)]
    asked = {net, *copies}
    most, least = classes(net, x)
    for kind in KINDS:
        box = boxed(kind)
        for contrast in (None, "mean"):
            maps, others = box(net, x, most, contrast), box(net, x, least, contrast)
            equal = torch.equal(maps, others)
            assert equal == (kind.group in ("photo", "activations"))

            def each(found: torch.Tensor, maps: torch.Tensor = maps) -> list[float]:
                return [spearman(a.numpy(), b.numpy()) for a, b in zip(maps, found, strict=True)]

            two = np.nan_to_num(np.array(each(others)))
            three = np.nan_to_num(np.array([each(box(copy, x, most, contrast)) for copy in copies]))
            hidden = kind.group == "shifted" and contrast is None  # all classes' maps hold the same picture
            for photo in map(list, combinations(range(5), 3)):
                smaller = min(two[photo].mean(), three[:, photo].mean())
                high = kind.positive or hidden
                assert smaller > 0.8 if high else smaller < 0.58 or equal, (str(kind), contrast, photo, smaller)


def test_right_summary_is_what_pandas_says() -> None:
    import pandas as pd

    for n in range(4):
        (correlations,) = summary.SUMMARY.make(n)
        column = pd.Series(correlations)
        ours = summary.SUMMARY.right(correlations)  # type: ignore[misc]
        assert ours == pytest.approx((column.mean(), column.isna().sum()), nan_ok=True)


def test_right_parameter_sensitivity_is_the_packages() -> None:
    from posgrad_edu.methods import explain
    from posgrad_edu.metrics.sensitivity import data_sensitivity

    task = parameter_sensitivity.PARAMETER_SENSITIVITY
    for n in range(4):
        net, nets, x, target, maps = task.make(n)
        net, nets, x = net.double(), [other.double() for other in nets], x.double()  # as maps do
        torch.testing.assert_close(maps(net, x, target), explain(net, x, target, "input-x-gradient"))
        theirs = [data_sensitivity(net, other, x, "input-x-gradient", target=target).spearman for other in nets]
        ours = task.right(net, nets, x, target, maps)  # type: ignore[misc]
        torch.testing.assert_close(ours, torch.tensor(theirs).to(ours), rtol=1e-4, atol=1e-4, equal_nan=True)


def test_right_scaled_is_what_the_packages_pictures_do() -> None:
    from posgrad_edu import viz
    from posgrad_edu.checks.scaling import SCALED

    for n in range(4):
        (maps,) = SCALED.make(n)
        ours = SCALED.right(maps)  # type: ignore[misc]
        theirs = torch.stack([m / viz.symmetric_limit([m]) for m in maps])
        torch.testing.assert_close(ours, theirs)
        assert torch.equal(ours.sign(), maps.sign())


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
        (lambda A, G, h: gradcam(A, G, h) + 1e-3 * torch.rand(()), "not-repeatable", "two answers"),
        (42, "not-callable", "not an int"),
    ],
)
def test_mishaps_are_explained(answer: Any, key: str, words: str) -> None:
    result = checks.check_gradcam(answer)
    assert not result
    assert result.key == key, result
    assert words in str(result), result


@pytest.mark.parametrize("name", [pytest.param(check, marks=marks(check)) for check in ANSWERS])
@pytest.mark.slow
def test_an_answer_that_nothing_explains_takes_no_check_down(name: str) -> None:
    """Also where a result is a number or a row of them, which have no rows and columns to transpose or normalize."""
    right = next(iter(ANSWERS[name].RIGHT.values()))

    def strange(*args: Any) -> Any:
        found = right(*args)
        return (found + 1.7) ** 3 if isinstance(found, torch.Tensor | float) else found

    result = getattr(checks, f"check_{name}")(strange)
    assert isinstance(result, Result)


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


def test_tries_are_new_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SEED)
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
        sandbox.call(endless, (), 3.0)
    monkeypatch.undo()
    assert not [thread for thread in threading.enumerate() if thread.name == "posgrad_edu check"]


def test_keys_of_errors_and_general_mistakes_are_not_mixed_up() -> None:
    assert {known.key for known in tracebacks.KNOWN} & set(general.GENERAL) == {"not-detached"}


def test_no_explanation_of_an_error_stands_behind_one_that_always_comes_first() -> None:
    for place, known in enumerate(tracebacks.KNOWN):
        for earlier in tracebacks.KNOWN[:place]:
            assert not (issubclass(known.type, earlier.type) and earlier.part in known.part), (known, earlier)


@pytest.mark.parametrize(
    ("graph", "says"), [(True, "the tensor that you differentiate by"), (False, "there is no graph")]
)
def test_a_tensor_outside_of_the_graph_is_told_from_a_lost_graph(graph: bool, says: str) -> None:
    def learner(A: Any, G: Any, h: Any) -> Any:
        logit = torch.ones(3, requires_grad=graph).sum()
        return torch.autograd.grad(logit, A)

    result = checks.check_gradcam(learner)
    assert result.key == "no-graph"
    assert says in result.says


def test_importing_the_package_leaves_the_checks_out() -> None:
    code = "import sys, posgrad_edu; print('posgrad_edu.checks' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
