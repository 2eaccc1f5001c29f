"""Change the library in small ways, one at a time, and see which changes the quick tests notice.

    make mutants SAMPLE=200

mutmut makes the changed copies ("mutants") and runs for each one the tests that reach the changed function; which
files and which tests, says ``[tool.mutmut]`` in pyproject.toml. Without a sample that takes hours. Changes to the words
of an error or to ``zip(strict=...)`` don't count, nor do the mutants that ``tests/mutants.toml`` names: no test can
tell them from the original. mutmut is imported where it is used, so that the tests of this file do without.

One of them anew, after a test was added: ``mutmut run NAME``. What it changes: ``mutmut show NAME``.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import random
import re
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EQUIVALENT = Path("tests/mutants.toml")
MISSED = ("survived", "no tests")


class Silent(ast.NodeTransformer):
    """Take out of a function what no test should notice, so that two functions that differ in it alone become the same.

    * The words of errors and warnings, and variables that hold nothing but such words; with ``None`` for words the
      error comes all the same, of the same kind. What is put into the words, such as a number, stays.
    * ``strict`` in ``zip``, which only guards what can't be, and the type in ``cast``, which only checkers read.
    * How many rounding errors a tolerance allows, as in ``8 * finfo.eps``: one more or fewer can't be pinned.
    * The words beside a progress bar.
    * ``None`` for ``False`` where pandas and Matplotlib ask for truth alone; "UTF-8" for "utf-8".
    """

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        for name in _only_said(node):
            for part in ast.walk(node):
                if isinstance(part, ast.Assign) and _assigned(part) == name and _is_text(part.value):
                    part.value = ast.Constant("")
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        self.generic_visit(node)
        if node.exc is not None:
            without_words(node.exc)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = ast.unparse(node.func).rpartition(".")[2]
        for keyword in node.keywords:
            if keyword.arg in ("sort", "squeeze") and ast.unparse(keyword.value) == "None":
                keyword.value = ast.Constant(False)
        if name == "zip":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "strict"]
        if name == "cast":
            node.args[0] = ast.Constant(None)
        if name in ("encode", "decode"):
            node.args = [*map(_lowered, node.args[:1]), *node.args[1:]]
        return without_words(node) if _is_said(name) or name == "bar" else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        is_number = isinstance(node.left, ast.Constant) and isinstance(node.left.value, int | float)
        if is_number and isinstance(node.op, ast.Mult) and isinstance(node.right, ast.Attribute):
            node.left = ast.Constant(1) if node.right.attr == "eps" else node.left
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        self.generic_visit(node)
        if node.arg == "encoding":
            node.value = _lowered(node.value)
        return node


def without_words(node: ast.expr) -> ast.expr:
    """Empty the words in an expression; ``None`` in their place counts as words, too."""
    if isinstance(node, ast.Call):
        node.args = [_emptied(arg) for arg in node.args]
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            part.value = ""
    return node


def _emptied(arg: ast.expr) -> ast.expr:
    return ast.Constant("") if isinstance(arg, ast.Constant) and isinstance(arg.value, str | None) else arg


def _lowered(node: ast.expr) -> ast.expr:
    """Return the name of an encoding in small letters."""
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return ast.Constant(node.value.lower()) if is_text else node  # type: ignore[attr-defined, union-attr]


def _is_said(name: str) -> bool:
    """Tell whether what is called makes an error or a warning."""
    return name.endswith(("Error", "Operation")) or name in ("warn", "unknown_name")


def _only_said(function: ast.AST) -> list[str]:
    """Return the variables that are read in the words of errors alone."""
    errors = [node.exc for node in ast.walk(function) if isinstance(node, ast.Raise)]
    said = [arg for error in errors if isinstance(error, ast.Call) for arg in error.args]
    within = {id(name) for words in said for name in ast.walk(words)}
    read: dict[str, list[ast.Name]] = {}
    for name in ast.walk(function):
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Load):
            read.setdefault(name.id, []).append(name)
    return [name for name, found in read.items() if all(id(one) in within for one in found)]


def _assigned(node: ast.Assign) -> str | None:
    target = node.targets[0]
    return target.id if isinstance(target, ast.Name) and len(node.targets) == 1 else None


def _is_text(node: ast.expr) -> bool:
    """Tell whether an expression is words or ``None``, as they stand or as a choice: nothing that could go wrong."""
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) and _is_text(node.orelse)
    if isinstance(node, ast.JoinedStr):
        return all(isinstance(part.value, ast.Name | ast.Constant) for part in node.values)  # type: ignore[attr-defined]
    return isinstance(node, ast.Constant) and isinstance(node.value, str | None)


def changes_only_words(path: Path, name: str) -> bool:
    """Say whether a mutant differs from the original in the words of an error alone."""
    from mutmut.mutation.data import MutantLineSpans

    spans = MutantLineSpans.load(path)
    assert spans is not None
    mutant = name.rpartition(".")[2]
    original = re.sub(r"__mutmut_\d+$", "__mutmut_orig", mutant)
    sources = spans.read_function_sources([original, mutant])
    functions = [ast.parse(textwrap.dedent(source)).body[0] for source in sources]
    for function in functions:
        assert isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        function.name = original
    first, second = (ast.dump(Silent().visit(function)) for function in functions)
    return first == second


def generate(jobs: int) -> list[str]:
    """Make all mutants anew, in the folder ``mutants``, and return the names of those that change more than words."""
    from mutmut.__main__ import collect_source_file_mutation_data, create_mutants
    from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir

    shutil.rmtree("mutants", ignore_errors=True)
    Path("mutants").mkdir()
    with contextlib.redirect_stdout(io.StringIO()):
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(jobs)
    found, _ = collect_source_file_mutation_data(mutant_names=[])
    return [name for file, name, _ in found if not changes_only_words(file.path, name)]


def change(name: str) -> dict[str, str]:
    """Return which function a mutant changes, and how: as ``tests/mutants.toml`` names it."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    diff = [line for line in get_diff_for_mutant(name).splitlines() if not line.startswith(("---", "+++", "@@"))]
    lines = {sign: " ".join(line[1:].strip() for line in diff if line.startswith(sign)) for sign in "-+"}
    function = re.sub(r"__mutmut_\d+$", "", name).replace(".x_", ".").replace(".xǁ", ".").replace("ǁ", ".")
    return {"function": function, "before": lines["-"], "after": lines["+"]}


def equivalent() -> dict[tuple[str, str, str], str]:
    """Return the reason for each mutant that no test can tell from the original."""
    rows = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("mutant", [])
    return {(row["function"], row["before"], row["after"]): row["reason"] for row in rows}


def report(names: list[str]) -> None:
    """Print what became of these mutants: those that no test noticed, by name, and the score."""
    from mutmut.__main__ import collect_source_file_mutation_data
    from mutmut.stats import status_by_exit_code

    codes = {name: code for _, name, code in collect_source_file_mutation_data(mutant_names=names)[0]}
    excused = equivalent()
    counts: Counter[str] = Counter()
    for name in sorted(codes):
        status = status_by_exit_code[codes[name]]
        if status in MISSED:
            row = change(name)
            if tuple(row.values()) in excused:
                status = "equivalent"
            else:
                print(f"{status}: {name}\n  - {row['before']}\n  + {row['after']}")
        counts[status] += 1
    print(", ".join(f"{count} {status}" for status, count in counts.most_common()))
    counted = len(codes) - counts["equivalent"] - counts["not checked"]
    noticed = counted - sum(counts[status] for status in MISSED)
    print(f"Noticed: {noticed} of {counted}, {noticed / max(counted, 1):.1%}")


def main() -> None:
    """Make mutants, choose some, run the tests on each, report."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--sample", type=int, default=0, help="how many mutants, drawn at random; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--only", default="", help="a part of the names, such as posgrad_edu.metrics")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    chosen = parser.parse_args()
    names = [name for name in generate(chosen.jobs) if chosen.only in name]
    total = len(names)
    if not names:  # which mutmut would take for all of them
        parser.error(f"No mutant's name contains {chosen.only!r}.")
    if 0 < chosen.sample < total:
        names = random.Random(chosen.seed).sample(names, chosen.sample)
    print(f"{len(names)} of {total} mutants, seed {chosen.seed}", flush=True)
    mutmut = [sys.executable, "-m", "mutmut", "run", "--max-children", str(chosen.jobs)]
    subprocess.run([*mutmut, *names], check=True)
    report(names)


if __name__ == "__main__":
    main()
