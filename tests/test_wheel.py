"""The wheel: the course is in it and the solutions aren't, and where it's installed, lessons and exercises run."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
RUN = "from nbclient.cli import main; main()"  # the program "jupyter execute"
LESSON, EXERCISE = "18_the_claims_tested", "02_gradcam"  # this lesson reads a file of docs/


@pytest.fixture(scope="module")
def carried() -> list[Path]:
    """What ``setup.py`` puts into the wheel, relative to the project."""
    import setuptools

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **options: None)
        found: Callable[[], list[Path]] = runpy.run_path(str(ROOT / "setup.py"))["carried"]
    return found()


def test_the_wheel_carries_all_lessons_and_released_exercises(carried: list[Path]) -> None:
    for pattern in ("notebooks/**/*.ipynb", "notebooks/drawings/*.svg", "exercises/release/**/*.ipynb"):
        theirs = {path.relative_to(ROOT) for path in ROOT.glob(pattern) if ".ipynb_checkpoints" not in path.parts}
        assert theirs
        assert theirs - set(carried) == set()


def test_the_wheel_carries_nothing_for_instructors(carried: list[Path]) -> None:
    assert {path.parts[0] for path in carried} == {"notebooks", "exercises", "docs"}
    assert {path.parts[1] for path in carried if path.parts[0] == "exercises"} == {"release"}
    assert [path for path in carried if path.suffix == ".gift" or path.stem in ("instructors", "rubrics")] == []


def test_all_that_lessons_and_exercises_name_is_carried(carried: list[Path]) -> None:
    """Links of texts, and relative paths that code reads."""
    missing = []
    for path in (p for p in carried if p.suffix == ".ipynb"):
        cells = nbformat.read(ROOT / path, as_version=4).cells
        texts = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        named = [t for t in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", texts) if "://" not in t]
        named += re.findall(r"""["'](\.\./[\w./]+)["']""", code)
        targets = {os.path.normpath(path.parent / name) for name in named}
        missing += [(path.name, target) for target in targets if Path(target) not in carried]
    assert missing == []


def clone() -> set[str]:
    """What git keeps; empty where this is no clone."""
    if not (ROOT / ".git").exists():
        return set()
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split("\0")) - {""}


def test_the_sdist_holds_a_clone_and_nothing_that_learners_handed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from setuptools.command.egg_info import FileList

    own = (
        "downloaded/02/ada.zip",
        "submitted/ada/02/02.ipynb",
        "gradebook.db",
        "grades.csv",
        "marks.xlsx",
        "mine/a.ipynb",
    )
    strangers = {f"exercises/{name}" for name in own} | {"docs/lab/node_modules/a.js", "my-course/a.ipynb"}
    others = {name for name in clone() if not name.startswith("posgrad_edu/")}  # which the package's own list holds
    for name in strangers | others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    files = FileList()
    for line in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            files.process_template_line(line)
    found = {Path(name).as_posix() for name in files.files}
    added = {"LICENSE", "README.md", "pyproject.toml", "setup.py"}  # by setuptools itself
    assert others - found - added == set()
    assert found & strangers == set()


def test_links_of_carried_pages_lead_to_what_is_carried(carried: list[Path]) -> None:
    missing = []
    for path in (p for p in carried if p.suffix == ".md"):
        named = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / path).read_text(encoding="utf-8"))
        targets = [os.path.normpath(path.parent / name) for name in named if "://" not in name]
        missing += [(path.name, target) for target in targets if Path(target) not in carried]
    assert missing == []


# --- Built and installed ---


def command(*words: object, cwd: Path, **environment: str) -> str:
    """Run a program without the checkout on its path, and return what it prints."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", **environment}
    done = subprocess.run([*map(str, words)], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    pytest.importorskip("build", reason="needs the extra 'tests'")
    folder = tmp_path_factory.mktemp("dist")
    command(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel in it.

    The packages that it needs aren't installed anew: a .pth file shows those of the environment that runs the tests.
    Its own .pth files, among them that of an editable installation, count for nothing there.
    """
    folder = tmp_path_factory.mktemp("fresh") / "env"
    command(sys.executable, "-m", "venv", "--without-pip", folder, cwd=dist)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    python = programs / "python"
    packages = Path(command(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=dist).strip())
    (wheel,) = dist.glob("*.whl")
    options = ("--no-index", "--no-deps", "--disable-pip-version-check")
    command(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel, cwd=dist)
    theirs = {str(Path(p).resolve()) for p in sys.path if Path(p).name in ("site-packages", "dist-packages")}
    (packages / "shared.pth").write_text("\n".join(sorted(theirs)) + "\n", encoding="utf-8")
    said = command(python, "-c", "import posgrad_edu; print(posgrad_edu.__file__)", cwd=dist)
    assert Path(said.strip()).resolve().is_relative_to(folder.resolve())
    return programs


@pytest.mark.slow
def test_solutions_are_in_the_sdist_only(dist: Path) -> None:
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        pages = [n for n in names if n.startswith("posgrad_edu/course/") and n.endswith(".ipynb")]
        texts = [archive.read(name).decode() for name in pages]
    assert [name for name in names if re.search(r"exercises/(source|typical_mistakes)|\.gift$", name)] == []
    assert [text[:200] for text in texts if re.search(r"BEGIN SOLUTION|BEGIN HIDDEN|Marking", text)] == []
    assert [c for text in texts for c in json.loads(text)["cells"] if c.get("outputs")] == []
    with tarfile.open(sdist) as archive:
        kept = {name.partition("/")[2] for name in archive.getnames()}
    assert f"exercises/source/{EXERCISE}/{EXERCISE}.ipynb" in kept
    assert {"Makefile", "docs/questions.gift", "exercises/course.py", "tests/test_wheel.py"} <= kept
    assert clone() - kept == set()
    assert [name for name in kept if re.match(r"exercises/(mine|submitted|gradebook)|my-course", name)] == []


@pytest.mark.slow
def test_doctor_a_lesson_and_an_exercise_run_where_the_wheel_is_installed(installed: Path, tmp_path: Path) -> None:
    tool, python = installed / "posgrad-edu", installed / "python"
    said = command(tool, "doctor", cwd=tmp_path)
    assert "All is well: posgrad-edu lab opens the course, in a new folder here, posgrad-course." in said
    assert list(tmp_path.iterdir()) == []

    command(tool, "lab", "18", "--copy-only", cwd=tmp_path)
    command(tool, "exercise", "02", "--copy-only", cwd=tmp_path)
    root = tmp_path / "posgrad-course"
    lesson = root / "my-course" / f"{LESSON}.ipynb"
    exercise = root / "exercises" / "mine" / EXERCISE / f"{EXERCISE}.ipynb"
    fill_in(exercise)
    for page in (lesson, exercise):
        command(python, "-c", RUN, page, "--inplace", "--timeout=120", cwd=tmp_path)
    assert printed(lesson) == printed(ROOT / "notebooks" / lesson.name)
    assert "Measured." in printed(exercise)

    lesson.write_text("my notes", encoding="utf-8")
    command(tool, "lab", "18", "--copy-only", "--folder", root, cwd=installed)
    assert lesson.read_text(encoding="utf-8") == "my notes"


def fill_in(exercise: Path) -> None:
    """Write the right answers into a learner's copy of an exercise."""
    source = nbformat.read(ROOT / "exercises" / "source" / EXERCISE / exercise.name, as_version=4)
    answers = {cell.id: cell.source for cell in source.cells if cell.id.startswith(("solution", "guess"))}
    copy = nbformat.read(exercise, as_version=4)
    for cell in copy.cells:
        cell.source = answers.get(cell.id, cell.source)
    nbformat.write(copy, exercise)


def printed(path: Path) -> list[str]:
    """Return the lines that a notebook's cells have printed."""
    cells: list[Any] = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    text = "".join(o.text for cell in code for o in cell.outputs if o.output_type == "stream")
    return [line for line in text.splitlines() if line]
