"""Change the library in small ways, one at a time, and see which changes the quick tests notice.

    make mutants SAMPLE=200

mutmut makes the changed copies ("mutants") and runs for each one the tests that reach the changed function; which
files and which tests, says ``[tool.mutmut]`` in pyproject.toml. Without a sample that takes hours. Changes to the words
of an error or to ``zip(strict=...)`` don't count, nor do the mutants that ``tests/mutants.toml`` names: no test can
tell them from the original.

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

from mutmut.__main__ import collect_source_file_mutation_data, create_mutants
from mutmut.mutation.data import MutantLineSpans
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EQUIVALENT = Path("tests/mutants.toml")
MISSED = ("survived", "no tests")


class Silent(ast.NodeTransformer):
    """Takes the words out of errors and warnings, and ``strict`` out of ``zip``, which only guards what can't be."""

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return self.without_words(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if ast.unparse(node.func) == "zip":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "strict"]
        return self.without_words(node) if ast.unparse(node.func) == "warnings.warn" else self.generic_visit(node)

    def without_words(self, node: ast.AST) -> ast.AST:
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                part.value = ""
        return node


def changes_only_words(path: Path, name: str) -> bool:
    """Say whether a mutant differs from the original in the words of an error alone."""
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
    if 0 < chosen.sample < total:
        names = random.Random(chosen.seed).sample(names, chosen.sample)
    print(f"{len(names)} of {total} mutants, seed {chosen.seed}", flush=True)
    mutmut = [sys.executable, "-m", "mutmut", "run", "--max-children", str(chosen.jobs)]
    subprocess.run([*mutmut, *names], check=True)
    report(names)


if __name__ == "__main__":
    main()
