"""The tree: which room may import which, without circles, and tests in folders of the rooms' names.

A room is a folder or a file right inside ``posgrad_edu``. FACE is the package's own ``__init__``. Imports for type
checkers only count, too: who names a type knows it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "posgrad_edu"
FILES = sorted((ROOT / PACKAGE).rglob("*.py"))

FACE = ""
# A room imports only rooms of the lines above its own.
FLOORS = (
    ("errors", "progress"),
    ("handling",),
    ("engine", "data", "viz"),
    ("scenes", "methods"),
    ("metrics",),
    ("models",),
    (FACE,),
    ("study", "checks"),
    ("widgets", "cli"),
)
HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
MOST_ROOMS, MOST_ARROWS, MOST_FLOORS = 16, 60, 7


def module_name(path: Path) -> str:
    """Return what a file is called in an import, such as ``posgrad_edu.engine.layers``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield each module of this package that some code imports, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports of this package are written out in full"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in whole]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == PACKAGE)


def room(module: str) -> str:
    """Return the room of a module."""
    return module.split(".")[1] if "." in module else FACE


GRAPH = {module: set(imports(tree)) for module, tree in MODULES.items()}
ROOMS = {room(module) for module in MODULES} - {FACE}
ARROWS = {(room(module), room(target)) for module, targets in GRAPH.items() for target in targets}


def test_every_room_has_its_floor() -> None:
    assert set(HEIGHT) - {FACE} == ROOMS
    assert len(ROOMS) <= MOST_ROOMS


def test_rooms_import_only_rooms_above_them_in_the_list() -> None:
    found = [(module, target) for module, targets in GRAPH.items() for target in sorted(targets)]
    between = [(module, target) for module, target in found if room(module) != room(target)]
    wrong = [pair for pair in between if HEIGHT[room(pair[1])] >= HEIGHT[room(pair[0])]]
    assert [f"{module} imports {target}" for module, target in wrong] == []


def test_rooms_hang_together_by_few_arrows() -> None:
    between = {(a, b) for a, b in ARROWS if a != b and FACE not in (a, b)}
    assert len(between) <= MOST_ARROWS


def test_a_change_climbs_few_floors() -> None:
    """The longest chain of rooms of which each imports the next."""

    def floors(one: str) -> int:
        return 1 + max((floors(other) for name, other in ARROWS if name == one != other), default=0)

    assert max(map(floors, ROOMS)) <= MOST_FLOORS


def test_modules_import_one_another_without_circles() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_imports_stand_at_the_top() -> None:
    """An import inside a function hides a circle from Python, and from readers."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    late = {
        module: sorted({name for node in ast.walk(tree) if isinstance(node, functions) for name in imports(node)})
        for module, tree in MODULES.items()
    }
    assert {module: names for module, names in late.items() if names} == {}


def test_tests_lie_in_folders_of_the_rooms_names() -> None:
    """Beside them learners' mistakes, and what docs/ builds; a room that is one file is tested wherever it shows."""
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    built = {path.name for path in (ROOT / "docs").iterdir() if path.is_dir()}
    assert folders - ROOMS - built == set()
    assert {name for name in ROOMS if (ROOT / PACKAGE / name).is_dir()} - folders == set()
