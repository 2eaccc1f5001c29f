"""What the project promises about itself: layout, sizes, documents that tell the truth, imports that cost little."""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import json
import os
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from longest import LONGEST
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

import posgrad_edu as pg
from posgrad_edu.cli.app import app
from posgrad_edu.data.photos import PHOTOS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it where Python doesn't

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "posgrad_edu"
MODULES = sorted(PACKAGE.rglob("*.py"))
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "exercises/README.md")
TEXTS = [*DOCUMENTS, "docs/learners.md", "docs/instructors.md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(name: str | Path) -> str:
    """Return the text of a file of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def relative(path: Path) -> str:
    """Return a path as it's written in the project; an id for parametrized tests."""
    return path.relative_to(ROOT).as_posix()


# --- layout and sizes ---


def test_the_files_that_tests_begin_with_are_there() -> None:
    assert {*LONGEST} <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}


@pytest.mark.parametrize(
    "name",
    [
        *("notebooks", "posgrad_edu", "exercises", "tests", "environment.yml", "README.md", "Makefile", "LICENSE"),
        *("CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"),
    ],
)
def test_layout(name: str) -> None:
    assert (ROOT / name).exists()


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LONGEST_FUNCTION = 40  # lines of code: what one sees at a glance
# Functions that are longer, as "posgrad_edu/file.py: function", and why.
LONG_FUNCTIONS: dict[str, str] = {
    "posgrad_edu/checks/gradcam.py: shared": "a table of mistakes, which several tasks have",
    "posgrad_edu/checks/lrp.py: wrong_denominators": "a table of mistakes, which several tasks have",
    "posgrad_edu/checks/relu_rules.py: _shared": "a table of mistakes, which several tasks have",
}


def lines_with_code(source: str) -> set[int]:
    """Return the numbers of the lines that hold code: neither blank, nor comment, nor docstring."""
    documented = (ast.Module, ast.ClassDef, *FUNCTIONS)
    strings = [node.body[0] for node in ast.walk(ast.parse(source)) if isinstance(node, documented) if docstring(node)]
    docstrings = {line for s in strings for line in range(s.lineno, (s.end_lineno or s.lineno) + 1)}
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.string.strip() and token.type != tokenize.COMMENT:
            code |= set(range(token.start[0], token.end[0] + 1))
    return code - docstrings


def docstring(node: ast.AST) -> str | None:
    """Return the docstring of a module, class or function."""
    return ast.get_docstring(node)  # type: ignore[arg-type]


def lengths(source: str) -> Iterator[tuple[str, int]]:
    """Yield each function's name and lines of code, from ``def`` on, with the functions inside it."""
    code = lines_with_code(source)
    for f in ast.walk(ast.parse(source)):
        if isinstance(f, FUNCTIONS):
            yield f.name, len(code & set(range(f.lineno, (f.end_lineno or f.lineno) + 1)))


def test_lines_are_counted_rightly() -> None:
    source = (
        '"""Module."""\n\n# comment\nx = """a\n\nb"""\n\ndef f():\n    """One.\n\n    Two."""\n\n    return x  # y\n'
    )
    assert lines_with_code(source) == {4, 5, 6, 8, 13}
    assert list(lengths(source)) == [("f", 2)]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_functions_are_short(path: Path) -> None:
    long = {name: n for name, n in lengths(path.read_text(encoding="utf-8")) if n > LONGEST_FUNCTION}
    assert {name: n for name, n in long.items() if f"{relative(path)}: {name}" not in LONG_FUNCTIONS} == {}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_what_is_public_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert docstring(tree), "the module"
    assert [name for name, node in public(tree) if not docstring(node)] == []


def public(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield the public classes and functions of a module, and the public methods of its public classes.

    A method that redefines one of a base class needs no docstring of its own: it inherits the contract. Nor does one
    of several signatures (``overload``) of a function that has one.
    """
    kinds = (ast.ClassDef, ast.FunctionDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_") and not is_overload(node):
            yield node.name, node
            if isinstance(node, ast.ClassDef) and not node.bases:
                methods = [m for m in node.body if isinstance(m, ast.FunctionDef) and not m.name.startswith("_")]
                setters = [m for m in methods if any(isinstance(d, ast.Attribute) for d in m.decorator_list)]
                yield from ((f"{node.name}.{m.name}", m) for m in methods if m not in setters and not is_overload(m))


def is_overload(node: ast.ClassDef | ast.FunctionDef) -> bool:
    """Tell whether a function is decorated as one of several signatures."""
    return any(isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list)


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Yield name and text of each file that git would keep, pictures left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.is_file() and path != Path(__file__).resolve() and b"\0" not in path.read_bytes():
            yield name, path.read_text(encoding="utf-8")


def test_no_file_knows_this_computer_or_a_package_index() -> None:
    folder = re.compile(r"(?<![\w.~)}\]/-])/(?:work|home|root|tmp|Users)/\w")
    index = re.compile(r"pypi\.org|pythonhosted\.org|download\.pytorch\.org|conda\.anaconda\.org|/simple/?\b")
    found = {name: [*folder.findall(text), *index.findall(text)] for name, text in tracked_texts()}
    assert {name: hits for name, hits in found.items() if hits} == {}


# --- versions and dependencies ---


def test_there_is_one_version() -> None:
    assert PROJECT.get("version", pg.__version__) == pg.__version__
    assert f"version = {{{pg.__version__}}}" in read("README.md")
    assert yaml.safe_load(read("CITATION.cff"))["version"] == pg.__version__


def bounds(requirements: list[str]) -> dict[str, str]:
    """Return the bounds of each requirement such as "torch>=2.4" or "torch>=2.4,<2.15"."""
    found = (re.fullmatch(r"([\w-]+)>=([\d.]+(?:,<[\d.]+)?)", requirement) for requirement in requirements)
    return {match[1]: match[2] for match in found if match}


def test_conda_and_pip_install_the_same() -> None:
    conda = yaml.safe_load(read("environment.yml"))
    *packages, pip = conda["dependencies"]
    extras = PROJECT["optional-dependencies"]
    ours = bounds([*PROJECT["dependencies"], *extras["notebooks"], *extras["tests"]])
    assert conda["name"] == PROJECT["name"]
    assert "conda-forge" in conda["channels"]
    assert packages[:2] == ["python=3.11", "pip"]
    assert pip == {"pip": ["-e .[tests]"]}
    theirs = {name.replace("pytorch-cpu", "torch"): bound for name, bound in bounds(packages[2:]).items()}
    assert len(theirs) == len(packages) - 2  # each one has a lower bound
    assert {"torch", "torchvision", "ipywidgets", "jupyterlab", "matplotlib", "nbval"} <= set(theirs)
    assert theirs == {name: ours.get(name) for name in theirs}


def test_each_dependency_says_what_for() -> None:
    text = read("pyproject.toml")
    lines = [line for line in text.splitlines() if re.match(r'  "[\w-]+>=', line)]
    assert lines
    assert [line for line in lines if not re.search(r'",\s+# \w', line)] == []


def test_the_package_declares_what_it_imports() -> None:
    names = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "IPython": "ipykernel"}
    names |= {"lazy_loader": "lazy-loader"}
    names |= {"jupyter_client": "ipykernel", "huggingface_hub": "timm"}  # depended on by these, which is their contract
    extras = PROJECT["optional-dependencies"]
    ours = bounds([*PROJECT["dependencies"], *extras["notebooks"], *extras["cluster"]])
    used: set[str] = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                used.add(node.module.partition(".")[0])
    others = used - set(sys.stdlib_module_names) - {"posgrad_edu"}
    assert {name for name in others if names.get(name, name) not in ours} == set()


# --- habits ---

WORKFLOW = ".github/workflows/tests.yml"


def make_targets() -> set[str]:
    """Return what one can `make`."""
    return set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))


def workflow_commands() -> list[str]:
    """Return the lines that the hosted workflow runs, continued or not."""
    jobs = yaml.safe_load(read(WORKFLOW))["jobs"].values()
    return [line for job in jobs for step in job["steps"] for line in step.get("run", "").splitlines()]


def test_the_workflow_runs_everything_and_the_quick_tests() -> None:
    commands = workflow_commands()
    assert ".ci/run" in commands
    assert os.access(ROOT / ".ci" / "run", os.X_OK) or sys.platform == "win32"
    made = {word for line in commands if line.startswith("make ") for word in line.split()[1:] if "=" not in word}
    assert made == {"unit"}
    assert made <= make_targets()
    quick = re.findall(r"^QUICK := (.+)$", read("Makefile"), re.MULTILINE)
    assert [line for line in commands if "pytest" in line and quick[0] not in line] == []


def test_the_workflow_covers_systems_and_versions() -> None:
    matrix = yaml.safe_load(read(WORKFLOW))["jobs"]["quick"]["strategy"]["matrix"]
    assert {"macos-latest", "windows-latest"} <= set(matrix["os"])
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13"]


def test_coverage_is_that_of_the_package() -> None:
    """pytest takes a folder that follows ``--cov`` for what is to be covered."""
    assert re.findall(r"--cov\S*", read("Makefile")) == ["--cov=posgrad_edu"]


def test_hooks_need_nothing_from_a_network() -> None:
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert [hook["repo"] for hook in hooks] == ["local"]
    assert {hook["language"] for hook in hooks[0]["hooks"]} == {"system"}
    named = [word for hook in hooks[0]["hooks"] for word in hook["entry"].split() if word.startswith("tests/")]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_changelog_has_what_is_to_come_and_this_version() -> None:
    assert re.findall(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)[:2] == ["Unreleased", pg.__version__]


def test_mutants_that_are_excused_say_why() -> None:
    rows = tomllib.loads(read("tests/mutants.toml")).get("mutant", [])
    assert all(set(row) == {"function", "before", "after", "reason"} for row in rows)
    assert all(importable(row["function"]) for row in rows), "a function was renamed"


def importable(name: str) -> bool:
    """Say whether there is a function or method of this dotted name."""
    try:
        return callable(pkgutil.resolve_name(name))
    except (ImportError, AttributeError):
        return False


# --- imports ---


@pytest.mark.slow
def test_importing_is_cheap_and_offline() -> None:
    script = """
import socket, sys

def refuse(*arguments, **options):
    raise AssertionError("a socket was opened")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
sys.addaudithook(lambda event, arguments: refuse() if event == "socket.connect" else None)
import posgrad_edu as pg
heavy = {"matplotlib", "timm", "skimage", "sklearn", "pandas", "scipy", "torchvision", "IPython", "ipywidgets"}
print(sorted((heavy | {"torch", "numpy"}) & set(sys.modules)))
pg.explain, pg.localization, pg.load_classifier, pg.viz, pg.scenes, pg.study, pg.checks
print(sorted(heavy & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "[]\n[]\n"


def test_the_package_s_face_only_hands_names_on() -> None:
    source = read("posgrad_edu/__init__.py")
    assert len(source.splitlines()) < 40
    assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    stub = ast.parse(read("posgrad_edu/__init__.pyi"))
    imported = {alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    (listed,) = (ast.literal_eval(node.value) for node in stub.body if isinstance(node, ast.Assign))
    assert listed == sorted(imported, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert set(listed) == set(pg.__all__) == set(dir(pg))


def test_every_public_name_is_there() -> None:
    def all_modules() -> Iterator[ModuleType]:
        for found in pkgutil.walk_packages(pg.__path__, "posgrad_edu."):
            yield importlib.import_module(found.name)

    for module in (pg, *all_modules()):
        missing = [name for name in getattr(module, "__all__", []) if not hasattr(module, name)]
        assert missing == [], module.__name__


# --- documents ---


def blocks(name: str, language: str) -> list[str]:
    """Return the fenced blocks of one language in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```$", read(name), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", [*DOCUMENTS, "docs/perturbation.md"])
def test_code_in_documents_runs_and_prints_what_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    monkeypatch.setitem(sys.modules, "document", module := ModuleType("document"))  # dataclasses look their module up
    assert blocks(name, "python")
    for block in blocks(name, "python"):
        with contextlib.redirect_stdout(printed):
            exec(compile(block, name, "exec"), module.__dict__)
    assert printed.getvalue() == "".join(blocks(name, "text"))
    assert list(tmp_path.iterdir()) == []


def test_ten_lines_make_show_and_compare_maps() -> None:
    (block,) = blocks("README.md", "python")
    assert len([line for line in block.splitlines() if line]) <= 10
    assert all(call in block for call in (".explain(", ".show()", ".compare("))


def test_the_clone_command_names_the_repository_once_it_is_known() -> None:
    address = re.search(r'^Repository\s*=\s*"([^"]+)"', read("pyproject.toml"), re.MULTILINE)
    clone = re.findall(r"^    git clone (.+) posgrad_edu$", read("README.md"), re.MULTILINE)
    assert clone == [address[1] if address else "<the address of this repository>"]


def frames(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the levels of each frame of a film, and how many milliseconds it stays."""
    film = Image.open(path)
    for n in range(getattr(film, "n_frames", 1)):
        film.seek(n)
        film.load()
        yield np.asarray(film.convert("RGB")).astype(int), film.info.get("duration", 0)


def test_the_readmes_picture_turns_from_blue_to_red_and_can_be_read() -> None:
    path = ROOT / "docs" / "first_look.webp"
    assert path.stat().st_size <= 1.5e6
    (signed, first), (positive, second) = frames(path)
    assert min(first, second) >= 2500
    middle, two_thirds = signed.shape[0] // 2, 2 * signed.shape[1] // 3
    cup = np.s_[middle - 150 : middle, two_thirds + 60 : -80]  # of the class that isn't there
    redness = [(frame[cup][..., 0] - frame[cup][..., 2]).mean() for frame in (signed, positive)]
    assert redness[0] < -30 < 30 < redness[1]
    (picture,) = re.findall(r"<picture>.*?</picture>", read("README.md"), re.DOTALL)
    assert 'media="(prefers-reduced-motion: reduce)" srcset="docs/first_look.jpg"' in picture
    assert (ROOT / "docs" / "first_look.jpg").is_file()
    (alt,) = re.findall(r'<img src="docs/first_look.webp" alt="([^"]+)"', picture)
    assert all(word in alt for word in ("espresso", "punching bag", "red", "blue"))


@pytest.mark.parametrize("name", TEXTS)
def test_make_targets_in_documents_exist(name: str) -> None:
    targets = make_targets()
    named = set(re.findall(r"(?:^    |`)make ([a-z-]+)", read(name), re.MULTILINE))
    assert {"lab", "test"} <= targets
    assert named
    assert named <= targets


@pytest.mark.parametrize("name", TEXTS)
def test_commands_in_documents_exist(name: str) -> None:
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"posgrad-edu ([a-z]+)", read(name))) <= commands


@pytest.mark.slow
def test_the_readmes_command_draws_the_readmes_picture(tmp_path: Path) -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "make_first_look.py"))["draw"](tmp_path)
    assert re.search(r"gradcam, signed, class 967, espresso.*Evidence for the class only", drawn)
    for name in ("first_look.webp", "first_look.jpg"):
        for (new, _), (kept, _) in zip(frames(tmp_path / name), frames(ROOT / "docs" / name), strict=True):
            assert new.shape == kept.shape, "python docs/make_first_look.py"
            assert np.abs(new - kept).mean() < 1, "python docs/make_first_look.py"


@pytest.mark.slow
def test_the_readmes_explain_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^    posgrad-edu (explain .*)$", read("README.md"), re.MULTILINE)
    assert lines
    for line in lines:
        result = CliRunner().invoke(app, shlex.split(line))
        assert result.exit_code == 0, result.output
        assert (tmp_path / shlex.split(line)[-1]).stat().st_size > 10_000


@pytest.mark.parametrize("name", [*DOCUMENTS, *(relative(p) for p in ROOT.glob("docs/*.md"))])
def test_links_to_files_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", read(name))
    files = [link for link in links if "://" not in link]
    assert [link for link in files if not (ROOT / name).parent.joinpath(link).exists()] == []


def test_files_named_in_the_readme_exist() -> None:
    named = re.findall(r"`((?:posgrad_edu|docs|tests)/[\w/]*(?:\.\w+)?)`", read("README.md"))
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_map_of_the_course_is_honest() -> None:
    rows = re.findall(r"^\| (\d\d) \| \[.+?\]\((.+?)\) \| (?:\[.+?\]\((.+?)\))? ?\|$", read("README.md"), re.MULTILINE)
    assert [number for number, *_ in rows] == [f"{n:02d}" for n in range(len(rows))]
    assert {lesson for _, lesson, _ in rows} == {relative(path) for path in (ROOT / "notebooks").glob("*.ipynb")}
    exercises = {relative(path) for path in (ROOT / "exercises" / "release").glob("*/*.ipynb")}
    assert {exercise for *_, exercise in rows if exercise} == exercises


def test_the_readme_names_every_method_and_photo() -> None:
    text = read("README.md")
    assert [name for name in pg.METHODS | pg.ATTENTION_METHODS if f"`{name}`" not in text] == []
    rows = [f"| `{p.name}` | {p.package} | {p.licence} | {p.credit} |" for p in PHOTOS]
    assert [row for row in rows if row not in text] == []


def test_how_methods_are_published_is_said_rightly() -> None:
    methods = pg.METHODS | pg.ATTENTION_METHODS
    for name, published in re.findall(r"^\| `([\w+-]+)` \| .* \| (\w+) \|$", read("README.md"), re.MULTILINE):
        if name in methods:
            assert getattr(methods[name].published, "name", None) == published, name


def test_notebooks_are_committed_with_outputs() -> None:
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert all(cell["execution_count"] for cell in code), path.name
        assert any(cell["outputs"] for cell in code), path.name
        assert notebook["metadata"]["kernelspec"]["name"] == "python3", path.name


def test_the_table_of_networks_adds_up() -> None:
    text = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    header, networks = rows[0], rows[1:]
    cells = [cell.split(", ") for row in networks for cell in row[1:]]
    assert header == ["network", *pg.METHODS]
    assert all(len(row) == len(header) for row in networks)
    assert all(mark == "yes" or mark.isdigit() for cell in cells for mark in cell), "none is wrong or not tried"
    right = sum(2 if cell == ["yes"] else "yes" in cell for cell in cells)  # signed and positive
    said = f"{right} right, {2 * len(cells) - right} refused, 0 wrong"
    assert f"{len(networks)} networks of torchvision and timm" in text
    assert said in text
    assert f"Which of {len(networks)} networks" in (ROOT / "README.md").read_text(encoding="utf-8")
