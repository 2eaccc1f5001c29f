"""Each coded mistake, handed back to its own check, is named as itself; on fresh tries, without the call in between."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from test_checks import TASKS
from torch import Tensor

from posgrad_edu.checks.engine import compare, draw, snapshot
from posgrad_edu.checks.engine.check import SETS
from posgrad_edu.checks.engine.diagnosis import Finding, diagnose, settled, was_rounding
from posgrad_edu.checks.engine.mutations import then
from posgrad_edu.checks.engine.task import Function, Mistake, Task

COMPARED = [task for task in TASKS if task.right]


def names(task: Task) -> str:
    """Return an id without spaces; the functions of two tasks may have one name."""
    return task.name.replace(" ", "-")


def fresh(task: Task, seed: str) -> draw.Draw:
    torch.manual_seed(draw.as_number(seed))
    return draw.fresh(task)


@pytest.mark.slow
@pytest.mark.parametrize("task", COMPARED, ids=names)
def test_each_coded_mistake_is_named_as_itself(task: Task, seed: str) -> None:
    """On the first set of tries, or on another where two mistakes happen to agree on that one, as the check does."""
    sets = [fresh(task, f"{seed} {n}" if n else seed) for n in range(SETS)]
    assert all(diagnose(drawn, drawn.rights) is None for drawn in sets)
    misnamed = []
    for mistake in task.mistakes:
        for wrong in mistake.wrong:
            found = next((f for f in (named(drawn, wrong) for drawn in sets) if f and f.certain), named(sets[0], wrong))
            if found is None or not found.certain or found.first.says != mistake.says:
                misnamed.append(f"{mistake.says}: {how_it_is_named(mistake, found)}")
    assert misnamed == [], "\n".join(misnamed)


@pytest.mark.slow
@pytest.mark.parametrize("task", COMPARED, ids=names)
def test_few_draws_are_unfit(task: Task) -> None:
    """The last of so many redraws is handed out, fit or not: rarer than one of a million, were half of them unfit."""
    assert 0.5**draw.REDRAWS < 1e-6
    drawn = draw.Draw(task)
    for n in range(task.tries):
        tried = [drawn._answered(task.make(n)) for _ in range(24)]
        assert sum(not drawn._is_fit(each) for each in tried) <= 6, f"try {n}"
    assert sum(draw.Draw(task).hides_a_mistake() for _ in range(8)) <= 1


def named(drawn: draw.Draw, wrong: Function) -> Finding | None:
    """Return what the answers of a wrong implementation are found to be."""
    answers = [answer for answer in drawn.wrongs(wrong) if answer is not None]
    assert len(answers) == drawn.task.tries, wrong
    return diagnose(drawn, answers)


def how_it_is_named(mistake: Mistake, found: Finding | None) -> str:
    """Return the fault in words; rows that give the same answers are one mistake, and should be one row."""
    if found is None:
        return "passes as right"
    others = [f"{other.key}: {other.says}" for other in found.mistakes if other.says != mistake.says]
    same = len(others) < len(found.mistakes)
    return f"{'gives the same answers as' if same else 'is named as'} {'; '.join(others)}"


@pytest.mark.slow
@pytest.mark.parametrize("task", COMPARED, ids=names)
def test_own_implementations_change_nothing_that_they_are_given(task: Task, seed: str) -> None:
    drawn = fresh(task, seed)
    before = [snapshot.take(args) for args in drawn.args]
    for mistake in task.mistakes:
        for wrong in mistake.wrong:
            list(drawn.wrongs(wrong))
    assert [snapshot.changed(state) for state in before] == [None] * task.tries


@pytest.mark.slow
@pytest.mark.parametrize("task", COMPARED, ids=names)
def test_results_that_mistakes_share_give_what_each_gives_alone(task: Task, seed: str) -> None:
    drawn = fresh(task, seed)
    for mistake in task.mistakes:
        for wrong in mistake.wrong:
            for shared, args in zip(list(drawn.wrongs(wrong)), drawn.args, strict=True):
                alone = compare.answer_of(task, wrong, args)
                assert shared is alone is None or compare.gap(shared, alone) == 0, mistake.says


@pytest.mark.slow
@pytest.mark.parametrize("task", COMPARED, ids=names)
def test_right_answers_are_steady(task: Task, seed: str) -> None:
    """Each can be computed in float64, too: that is how a try is known on which rounding would show."""
    drawn = fresh(task, seed)
    for args, right in zip(drawn.args, drawn.rights, strict=True):
        exact = compare.answer_of(task, task.right, compare.in_double(args))  # type: ignore[arg-type]
        assert compare.gap(right, exact, task.rounding) <= compare.STEADY


# --- what is concluded from several sets of tries ---


def finding(*keys: str, certain: bool = False, correct: bool | None = False) -> Finding:
    return Finding([Mistake(key, key, key) for key in keys], certain, [correct])


@pytest.mark.parametrize(
    ("findings", "key"),
    [
        ([finding("a")], None),
        ([finding("a"), finding("b")], None),
        ([finding("a"), finding("a")], "a"),
        ([finding("a"), None, finding("a")], "a"),
        ([finding("a", "b"), finding("b", "c")], "b"),
        ([finding("a", "b"), finding("a", "b")], None),
        ([finding("a", "b"), finding("a", "b"), finding("b")], "b"),
        ([finding("a"), finding("b", certain=True)], "b"),
    ],
)
def test_what_comes_up_twice_is_settled(findings: list[Finding | None], key: str | None) -> None:
    found = settled(findings)
    assert (found and found.key) == key


def test_a_doubt_that_does_not_come_again_was_rounding() -> None:
    assert SETS >= 3
    assert was_rounding([finding("unknown", correct=None), None])
    assert not was_rounding([finding("unknown", correct=False), None])
    assert not was_rounding([finding("unknown", correct=None), finding("unknown", correct=None)])


# --- gaps ---


def gap(ours: object, theirs: object, rounding: float = 0.0) -> float:
    return compare.gap([torch.tensor(ours)], [torch.tensor(theirs)], rounding)


def test_gaps_count_tolerances_of_the_largest_value() -> None:
    assert gap([1.0, 100.0], [1.002, 100.0]) == pytest.approx(2.0, rel=1e-2)
    assert gap([0.0], [1e-3], rounding=1e-3) == pytest.approx(1.0, rel=1e-2)
    assert gap([torch.nan, torch.inf, 1.0], [torch.nan, torch.inf, 1.0], rounding=1e-9) == 0
    assert gap([torch.nan, 1.0], [2.0, 1.0]) == gap([2.0], [torch.inf], 1.0) == gap([torch.inf], [-torch.inf], 1.0)
    assert gap([torch.nan, 1.0], [2.0, 1.0]) == gap([1.0], [1.0, 1.0]) == compare.gap(None, []) == torch.inf
    assert compare.gap([torch.ones(0)], [torch.ones(0)]) == 0


def test_gaps_are_those_of_the_definition_whatever_the_values() -> None:
    strange = torch.tensor([0.0, 1e-3, -5.0, 1e300, torch.inf, -torch.inf, torch.nan], dtype=torch.float64)
    for one, other in itertools.product(itertools.product(strange, repeat=2), repeat=2):
        ours, theirs = torch.stack(one), torch.stack(other)
        pairs = list(zip(ours.tolist(), theirs.tolist(), strict=True))
        apart = [0.0 if a == b or (a != a and b != b) else abs(a - b) for a, b in pairs]
        largest = max((abs(b) for _, b in pairs if math.isfinite(b)), default=0.0)
        expected = max(math.inf if math.isnan(gap) else gap for gap in apart) / (compare.WITHIN * largest + 1e-9)
        assert compare.gap([ours], [theirs]) == pytest.approx(expected, rel=1e-12), (ours, theirs)


def test_a_mistake_explains_what_is_ten_times_nearer_to_it_than_to_the_right_answer() -> None:
    def nearer(ours: float, wrong: float) -> bool:
        parts: list[Tensor] = [torch.tensor([value, 1.0], dtype=torch.float64) for value in (ours, wrong, 0.0)]
        return compare.nearer([parts[0]], [parts[1]], [parts[2]])

    assert nearer(0.109, 0.1)
    assert not nearer(0.111, 0.1)
    assert nearer(2.005, 2.0)
    assert not nearer(2.03, 2.0)  # a hundredth at most


def test_draws_on_which_a_mistake_hides_are_drawn_again() -> None:
    def make(n: int) -> tuple[Tensor]:
        return (torch.randn(2),)

    rows = [Mistake("absolute", "you took absolute values", "Keep the signs."), torch.abs]
    task = Task("copy", "copy(values)", 0, make, rows, right=torch.clone, tries=1)
    torch.manual_seed(0)
    assert any(draw.Draw(task).hides_a_mistake() for _ in range(20))
    assert not any(draw.fresh(task).hides_a_mistake() for _ in range(20))


def test_a_result_that_several_mistakes_change_is_computed_once_for_each_try() -> None:
    calls: list[float] = []

    def product(a: Tensor, b: Tensor) -> Tensor:
        calls.append(float(a[0]))
        return a * b

    def make(n: int) -> tuple[Tensor, Tensor]:
        return torch.full((2,), n + 1.0), torch.randn(2)

    doubled = then(product, lambda found: 2 * found)
    wrong = [doubled, then(product, torch.neg), then(doubled, torch.neg), then(product, lambda found: found[5])]
    rows = [Mistake("wrong-sign", "you turned the sign", "Keep it."), *wrong]
    drawn = draw.Draw(Task("product", "product(a, b)", 0, make, rows, right=torch.mul, tries=2))
    for n, (a, b) in enumerate(drawn.args):
        answers = [drawn.wrong(function, n) for function in wrong]
        assert answers[3] is None
        for answer, factor in zip(answers[:3], (2, -1, -2), strict=True):
            assert torch.equal(answer[0], factor * a * b)  # type: ignore[index]
    assert calls == [1.0, 2.0]
    assert drawn.only([1]).wrong(doubled, 0)[0].equal(2 * drawn.rights[1][0])  # type: ignore[index]


def test_draws_end_where_none_is_fit() -> None:
    drawn = iter(range(100))
    assert draw.until(lambda number: number == 3, lambda: next(drawn)) == 3
    assert draw.until(lambda number: False, lambda: next(drawn), times=5) == 8


def test_tries_on_which_rounding_shows_are_drawn_again() -> None:
    """As it does in the difference of two numbers that are close to each other."""

    def make(n: int) -> tuple[Tensor]:
        return (10.0 ** -torch.randint(1, 3, ()) * torch.rand(50),)

    task = Task("difference", "difference(values)", 0, make, [], right=lambda x: (x + 1) - 1, tries=1)
    torch.manual_seed(0)
    assert min(draw.Draw(task).args[0][0].max().item() for _ in range(20)) > 0.05
