"""Which changes count as none in ``make mutants``: words of errors, and what a library takes for the same."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]

NOTHING = {
    "words": ("raise ValueError('a')", "raise ValueError('XXaXX')"),
    "no words": ("raise ValueError('a')", "raise ValueError(None)"),
    "words around a number": ("raise ValueError(f'a {n}')", "raise ValueError(f'XXaXX {n}')"),
    "words kept in a variable": ("s = 'a' if n else ''\nraise E(f'{s}.')", "s = None\nraise E(f'{s}.')"),
    "advice": ("s = 'a'\nraise refuse('b', n, s)", "s = None\nraise refuse('b', n, s)"),
    "a tolerance": ("return 8 * torch.finfo(n).eps * m", "return 9 * torch.finfo(n).eps * m"),
    "a name": ("raise unknown_name('mode', n, MODES)", "raise unknown_name(None, n, MODES)"),
    "an error that is returned": ("return ValueError('a')", "return ValueError(None)"),
    "a warning": ("warnings.warn('a')", "warnings.warn('XXaXX')"),
    "strict": ("zip(a, b, strict=True)", "zip(a, b, strict=False)"),
    "no strict": ("zip(a, b, strict=True)", "zip(a, b)"),
    "a type": ("return cast('a', n)", "return cast('b', n)"),
    "words of a bar": ("bar(n, 'a', unit='b')", "bar(n, 'A', unit='XXbXX')"),
    "an order": ("t.groupby(n, sort=False)", "t.groupby(n, sort=None)"),
    "an encoding": ("open(n, encoding='utf-8')", "open(n, encoding='UTF-8')"),
    "to bytes": ("n.encode('utf-8', 'replace')", "n.encode('UTF-8', 'replace')"),
}
SOMETHING = {
    "another number": ("raise ValueError(f'a {n}')", "raise ValueError(f'a {m}')"),
    "another error": ("raise ValueError('a')", "raise TypeError('a')"),
    "another condition": ("if n:\n    raise ValueError('a')", "if not n:\n    raise ValueError('a')"),
    "a variable that is read elsewhere": ("s = 'a'\nif s:\n    raise E(f'{s}')", "s = 'b'\nif s:\n    raise E(f'{s}')"),
    "a tolerance of another kind": ("return 8 * torch.finfo(n).eps", "return 8 / torch.finfo(n).eps"),
    "another factor": ("return 8 * n.size", "return 9 * n.size"),
    "a value in the words": ("s = f(n)\nraise E(f'{s}')", "s = f(m)\nraise E(f'{s}')"),
    "a name that is looked for": ("raise unknown_name('mode', n, M)", "raise unknown_name('mode', None, M)"),
    "a choice of names": ("raise unknown_name('mode', n, f(m))", "raise unknown_name('mode', n, f(None))"),
    "words of a report": ("return 'a'", "return 'b'"),
    "an order that is asked for": ("t.groupby(n, sort=False)", "t.groupby(n, sort=True)"),
    "what is of a type": ("return cast('a', n)", "return cast('a', m)"),
    "a frame": ("legend(frameon=False)", "legend(frameon=None)"),
    "how errors are met": ("n.encode('utf-8', 'replace')", "n.encode('utf-8', 'REPLACE')"),
    "no encoding": ("open(n, encoding='utf-8')", "open(n)"),
    "a bar that isn't shown": ("bar(n, 'a', disable=False)", "bar(n, 'a', disable=True)"),
}


@pytest.fixture
def mutants(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import mutants

    return mutants


def alike(mutants: ModuleType, pair: tuple[str, str]) -> bool:
    functions = ["def f(n, m):\n" + "\n".join(f"    {line}" for line in code.splitlines()) for code in pair]
    first, second = (ast.dump(mutants.Silent().visit(ast.parse(code).body[0])) for code in functions)
    return first == second


@pytest.mark.parametrize("name", NOTHING)
def test_what_no_test_should_notice(mutants: ModuleType, name: str) -> None:
    assert alike(mutants, NOTHING[name])


@pytest.mark.parametrize("name", SOMETHING)
def test_what_counts(mutants: ModuleType, name: str) -> None:
    assert not alike(mutants, SOMETHING[name])
