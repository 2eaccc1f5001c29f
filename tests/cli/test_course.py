"""Where the course is, and what is made of a wheel's: nothing of a learner's is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from posgrad_edu.cli import copies, course, doctor
from posgrad_edu.cli.app import app


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package that carries a course of two lessons and an exercise; the current folder is another one, and empty."""
    package = tmp_path / "site-packages" / "posgrad_edu"
    lesson = copies.without_outputs('{"cells": [{"cell_type": "code", "source": "1"}]}')  # as setup.py writes it
    for name in (
        "notebooks/00_start_here.ipynb",
        "notebooks/02_gradcam.ipynb",
        "notebooks/workshops/workshop_90.ipynb",
    ):
        write(package / "course" / name, lesson)
    write(package / "course" / "exercises" / "release" / "02_gradcam" / "02_gradcam.ipynb", "{}")
    write(package / "course" / "docs" / "glossary.md", "words")
    monkeypatch.setattr(course, "PACKAGE", package)
    monkeypatch.setattr(course, "CARRIED", package / "course")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return package / "course"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def run(*words: str) -> Result:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_wheel_s_course_is_copied_to_a_folder_here(wheel: Path) -> None:
    assert f"New course in '{Path.cwd() / 'posgrad-course'}'.\n" in run("lab", "02", "--copy-only").output
    assert "New course" not in run("exercise", "02", "--copy-only").output
    here = Path.cwd()
    assert [path.name for path in here.iterdir()] == ["posgrad-course"]
    made = files(here / "posgrad-course")
    assert files(wheel) < made
    assert made - files(wheel) == {
        course.MADE_FROM,
        "my-course/00_start_here.ipynb",
        "my-course/02_gradcam.ipynb",
        "my-course/workshops/workshop_90.ipynb",
        "exercises/mine/02_gradcam/02_gradcam.ipynb",
    }


def test_a_wheel_s_course_is_copied_where_the_learner_wants_it(wheel: Path, tmp_path: Path) -> None:
    run("lab", "--copy-only", "--folder", str(tmp_path / "there"))
    assert (tmp_path / "there" / "my-course" / "00_start_here.ipynb").exists()
    assert list(Path.cwd().iterdir()) == []
    run("lab", "--copy-only", "--folder", ".")
    assert {path.name for path in Path.cwd().iterdir()} == {
        *("docs", "exercises", "my-course", "notebooks", course.MADE_FROM)
    }


def test_nothing_that_is_there_is_overwritten(wheel: Path) -> None:
    write(Path("posgrad-course/docs/glossary.md"), "my words")  # as after a copy that was interrupted
    run("lab", "02", "--copy-only")
    write(Path("posgrad-course/my-course/02_gradcam.ipynb"), "my notes")
    run("lab", "02", "--copy-only")
    assert Path("posgrad-course/docs/glossary.md").read_text() == "my words"
    assert Path("posgrad-course/my-course/02_gradcam.ipynb").read_text() == "my notes"


def test_a_copy_that_is_interrupted_is_finished_the_next_time(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(course, "whole_file", full)
        with pytest.raises(OSError, match="no space"):
            course.course_folder()
    assert course.found_course() is None
    assert files(course.course_folder()) == {*files(wheel), course.MADE_FROM}


LESSON = copies.without_outputs('{"cells": [{"cell_type": "code", "source": "2"}]}')


def test_a_newer_wheel_renews_what_the_learner_has_not_changed(wheel: Path) -> None:
    run("lab", "02", "--copy-only")
    run("exercise", "02", "--copy-only")
    root = Path("posgrad-course")
    write(root / "my-course" / "00_start_here.ipynb", "my notes")
    write(root / "docs" / "glossary.md", "my words")
    write(root / "exercises" / "mine" / "02_gradcam" / "02_gradcam.ipynb", "my answers")
    for name in ("00_start_here", "02_gradcam", "03_new"):
        write(wheel / "notebooks" / f"{name}.ipynb", LESSON)
    write(wheel / "docs" / "glossary.md", "other words")

    said = run("lab", "02", "--copy-only").stderr
    assert said.count("\n") == 1
    assert "up to date now: 4 files. What you changed stays: 2, such as docs/glossary.md." in said
    for name in ("notebooks/00_start_here", "notebooks/02_gradcam", "notebooks/03_new", "my-course/02_gradcam"):
        assert '"2"' in (root / f"{name}.ipynb").read_text(), name
    assert (root / "my-course" / "03_new.ipynb").exists()  # as any lesson that has no copy yet
    assert (root / "my-course" / "00_start_here.ipynb").read_text() == "my notes"
    assert (root / "docs" / "glossary.md").read_text() == "my words"
    assert (root / "exercises" / "mine" / "02_gradcam" / "02_gradcam.ipynb").read_text() == "my answers"
    assert run("lab", "02", "--copy-only").stderr == ""  # said once


def test_a_folder_that_no_wheel_made_is_left_alone(wheel: Path) -> None:
    write(Path("notebooks/00_start_here.ipynb"), "{}")
    assert course.course_folder() == Path.cwd()
    assert files(Path.cwd()) == {"notebooks/00_start_here.ipynb"}


def test_the_course_is_found_again_from_beside_and_from_inside(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = course.course_folder()
    assert course.course_folder() == root == Path.cwd() / "posgrad-course"
    monkeypatch.chdir(root / "notebooks")
    assert course.course_folder() == root


def test_a_workshop_s_notebook_can_be_opened_and_made_anew(wheel: Path) -> None:
    run("lab", "workshop", "--copy-only")
    run("lab", "workshop", "--copy-only", "--fresh")
    mine = Path("posgrad-course/my-course/workshops")
    assert {path.name for path in mine.iterdir()} == {"workshop_90.ipynb", "workshop_90-2.ipynb"}


def test_doctor_says_that_the_course_will_be_made(wheel: Path) -> None:
    assert doctor._course() == ": posgrad-edu lab opens the course, in a new folder here, posgrad-course."
    course.course_folder()
    assert doctor._course() == ": posgrad-edu lab opens the course."


def test_no_course_anywhere(wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(course, "CARRIED", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"There is no notebooks/00_start_here\.ipynb here\."):
        course.course_folder()
    with pytest.raises(FileNotFoundError, match="in 'there'"):
        course.course_folder(Path("there"))
