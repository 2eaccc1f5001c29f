"""How many wrong answers that nobody wrote down are caught, and named: small changes of right answers' syntax trees."""

from __future__ import annotations

import ast
import copy
import inspect
import os
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from test_checks import ANSWERS

from posgrad_edu import checks
from posgrad_edu.checks.engine import compare, draw, sandbox, surroundings
from posgrad_edu.checks.engine.task import Answer, Task

MUTANTS = int(os.environ.get("POSGRAD_EDU_MUTANTS", "150"))  # about a minute on one core
DRAWS = 2  # independent of the check's own, to tell which mutants are wrong
WRONG = 1e-3  # of the largest value
SECONDS = 2.0  # for a call

OPERATORS: dict[type[ast.AST], tuple[type[Any], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
}
NAMES = {
    "sum": ("mean", "amax"),
    "mean": ("sum", "amax"),
    "amax": ("amin", "sum"),
    "amin": ("amax",),
    "max": ("min",),
    "min": ("max",),
    "relu": ("abs",),
    "abs": ("relu",),
    "cos": ("sin",),
    "transpose": ("clone",),
}


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the node with one small thing changed, in each way that there is."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        value = node.value
        others = [not value] if isinstance(value, bool) else [value + 1, value - 1, -value, 2 * value]
        yield from (ast.Constant(other) for other in others if other != value)
    if isinstance(node, ast.UnaryOp):
        yield node.operand
    if isinstance(node, ast.BinOp):
        yield from (ast.BinOp(node.left, other(), node.right) for other in OPERATORS.get(type(node.op), ()))
        yield from (node.left, node.right, ast.BinOp(node.right, node.op, node.left))
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in OPERATORS.get(type(node.ops[0]), ()):
            yield ast.Compare(node.left, [other()], node.comparators)
    if isinstance(node, ast.Call):
        yield from _of_call(node)
    if isinstance(node, ast.Attribute):
        yield from (ast.Attribute(node.value, other, node.ctx) for other in NAMES.get(node.attr, ()))
    if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) > 1:
        yield from (ast.Tuple(node.elts[:n] + node.elts[n + 1 :], node.ctx) for n in range(len(node.elts)))
        yield ast.Tuple(node.elts[::-1], node.ctx)
    if isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)


def _of_call(node: ast.Call) -> Iterator[ast.AST]:
    if isinstance(node.func, ast.Attribute):
        yield node.func.value  # a method isn't called
    if node.args:
        yield node.args[0]
    if len(node.args) > 1:
        yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)
        yield ast.Call(node.func, node.args[:-1], node.keywords)
    for n in range(len(node.keywords)):
        yield ast.Call(node.func, node.args, node.keywords[:n] + node.keywords[n + 1 :])


class Mutant(NamedTuple):
    """A right answer with one change: the functions it is made of, and which node of which is changed in which way."""

    answer: FunctionType
    parts: list[ast.FunctionDef]
    part: int
    node: int
    way: int

    def built(self) -> tuple[Callable[..., Any], str] | None:
        """Return the function, and its change in words; ``None`` where it is no Python any more."""
        parts = list(self.parts)
        parts[self.part] = copy.deepcopy(parts[self.part])
        node = list(ast.walk(parts[self.part]))[self.node]
        words = ast.unparse(node)
        other = list(changes(node))[self.way]
        names = dict(self.answer.__globals__)
        if not _replace(parts[self.part], node, other):
            return None
        try:
            tree = ast.fix_missing_locations(ast.Module(parts, []))  # type: ignore[arg-type]
            with warnings.catch_warnings(action="ignore"):
                exec(compile(tree, "<mutant>", "exec"), names)
        except SyntaxError:
            return None
        return names[self.answer.__name__], f"{words} -> {ast.unparse(other)}"


def reached(module: ModuleType, function: FunctionType) -> dict[str, FunctionType]:
    """Return a function and those of its module that it calls, by name."""
    found = {function.__name__: function}
    for name in function.__code__.co_names:
        other = vars(module).get(name)
        if isinstance(other, FunctionType) and other.__module__ == module.__name__ and name not in found:
            found |= reached(module, other)
    return found


def mutants(check: str) -> Iterator[Mutant]:
    """Yield all mutants of a check's right answers."""
    module = ANSWERS[check]
    tree = ast.parse(inspect.getsource(module))
    written = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for answer in module.RIGHT.values():
        if isinstance(answer, FunctionType) and answer.__name__ in written:
            parts = [written[name] for name in reached(module, answer) if name in written]
            for part, function in enumerate(parts):
                for n, node in enumerate(ast.walk(function)):
                    for way in range(len(list(changes(node)))):
                        yield Mutant(answer, parts, part, n, way)


def _replace(tree: ast.AST, node: ast.AST, other: ast.AST) -> bool:
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, field, other)
                return True
            if isinstance(value, list) and any(entry is node for entry in value):
                value[next(n for n, entry in enumerate(value) if entry is node)] = other
                return True
    return False


def task_of(check: str) -> Task | None:
    cells = getattr(checks, f"check_{check}").__closure__ or ()
    task = next((cell.cell_contents for cell in cells if isinstance(cell.cell_contents, Task)), None)
    return task if task and task.right and check != "detective" else None


def is_wrong(task: Task, draws: list[draw.Draw], function: Callable[..., Any]) -> bool:
    """Whether a function gives answers, one of which is clearly not the right one."""
    wrong = False
    for drawn in draws:
        for args, right in zip(drawn.args, drawn.rights, strict=True):
            with surroundings.as_they_were():
                answer = _read(task, sandbox.call(function, copy.deepcopy(args), SECONDS))
            if answer is None:
                return False  # an error, which anybody sees
            wrong = wrong or compare.gap(answer, right, task.rounding) * compare.WITHIN > WRONG
    return wrong


def _read(task: Task, outcome: sandbox.Outcome) -> Answer | None:
    try:
        return None if outcome.error or outcome.timed_out else [part.detach() for part in task.form(outcome.value)]
    except Exception:
        return None


@pytest.mark.slow
def test_wrong_answers_that_nobody_wrote_down_are_caught(seed: str) -> None:
    """The seed is that of all checks, POSGRAD_EDU_SEED; POSGRAD_EDU_MUTANTS is how many are tried."""
    rng = random.Random(seed)
    torch.manual_seed(draw.as_number(seed))
    tasks = {check: task for check in ANSWERS if (task := task_of(check))}
    share = -(-MUTANTS // len(tasks))
    caught, named, tried = Counter[str](), Counter[str](), Counter[str]()
    missed, unnamed = [], []
    for check, task in tasks.items():
        draws = [draw.Draw(task) for _ in range(DRAWS)]
        found = list(mutants(check))
        for mutant in rng.sample(found, len(found)):
            if tried[check] >= share:
                break
            built = mutant.built()
            if built is None or not is_wrong(task, draws, built[0]):
                continue
            result = getattr(checks, f"check_{check}")(built[0], timeout=SECONDS)
            tried[check] += 1
            caught[check] += not result
            named[check] += not result and result.key not in ("unknown", "error")
            entry = f"{check}, {mutant.answer.__name__}: {built[1]}"
            if result:
                missed.append(entry)
            elif result.key in ("unknown", "error"):
                unnamed.append(f"{entry} | {result.says}")
    print(f"caught {caught.total()} of {tried.total()}, named {named.total()}")
    print(*(f"{check}: {caught[check]} and {named[check]} of {tried[check]}" for check in tasks), sep="\n")
    print("Not caught:", *missed, "Not named:", *unnamed, sep="\n")
    assert tried.total() >= MUTANTS * 0.9
    assert caught.total() >= 0.99 * tried.total()
