"""A learner's own copies: of lessons in my-course/, without outputs; of exercises in exercises/mine.

A lesson's answers stand in its outputs, so a copy has none. No copy of a notebook is ever overwritten.
"""

from __future__ import annotations

import errno
import filecmp
import itertools
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from posgrad_edu.data.files import whole_file, write_text
from posgrad_edu.errors import unknown_name

LESSONS, MY_LESSONS = Path("notebooks"), Path("my-course")
WORKSHOPS = LESSONS / "workshops"
RELEASE, MY_EXERCISES = Path("exercises", "release"), Path("exercises", "mine")
DRAWINGS = "drawings"  # what lessons show, in a folder beside them


def lesson_copy(root: Path, lesson: Path, fresh: bool = False) -> Path:
    """Return a learner's copy of a lesson; all that have none yet are copied, so that links lead to copies.

    fresh: make another copy of this one, beside the one that is there, as ``05_name-2.ipynb``.
    Raises ``PermissionError`` in a course that can't be written to.
    """
    mine = root / MY_LESSONS
    mine.mkdir(exist_ok=True)
    _must_be_writable(mine)
    _copy_drawings(root)
    copy_of_it = mine / lesson.relative_to(root / LESSONS)
    there = copy_of_it.exists()
    for path in sorted((root / LESSONS).glob("*.ipynb")) + sorted((root / WORKSHOPS).glob("*.ipynb")):
        copy = mine / path.relative_to(root / LESSONS)
        if not copy.exists():
            write_text(without_outputs(path.read_text(encoding="utf-8")), copy)
    if not (fresh and there):
        return copy_of_it
    names = (copy_of_it.with_name(f"{lesson.stem}-{n}.ipynb") for n in itertools.count(2))
    new = next(path for path in names if not path.exists())
    write_text(without_outputs(lesson.read_text(encoding="utf-8")), new)
    return new


def without_outputs(text: str) -> str:
    """Return a notebook file's text with all outputs taken out."""
    notebook = json.loads(text)
    for cell in notebook.get("cells", []):
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def exercise_copy(root: Path, word: str) -> Path:
    """Return the notebook of a learner's own copy of an exercise; it is made from the release if it isn't there.

    Raises ``PermissionError`` in a course that can't be written to.
    """
    if not (root / RELEASE).is_dir():
        raise FileNotFoundError(f"There is no {RELEASE.as_posix()} in '{root}'. Get the whole course again.")
    folder = beginning_with(word, sorted(p for p in (root / RELEASE).iterdir() if p.is_dir()), "exercise")
    mine = root / MY_EXERCISES / folder.name
    if not mine.exists():
        mine.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=mine.parent) as half:  # whole, or not there
            copy = Path(half, folder.name)
            shutil.copytree(folder, copy)
            for path in (copy, *copy.rglob("*")):  # an installation's files may be read-only, one's own aren't
                path.chmod(path.stat().st_mode | stat.S_IWUSR)
            copy.rename(mine)
    _must_be_writable(mine)
    return mine / f"{folder.name}.ipynb"


def beginning_with(word: str, paths: Sequence[Path], kind: str) -> Path:
    """Return the one path whose name begins so; a number may do without its leading zero."""
    found = [path for path in paths if path.name.startswith(word.zfill(2))]
    if len(found) != 1:
        raise unknown_name(kind, word, [path.stem for path in paths])
    return found[0]


def _copy_drawings(root: Path) -> None:
    """Copy the lessons' drawings, which no learner changes, without the rights of an installation's read-only files."""
    for drawing in (root / LESSONS / DRAWINGS).glob("*.svg"):
        copy = root / MY_LESSONS / DRAWINGS / drawing.name
        if not copy.exists() or not filecmp.cmp(drawing, copy, shallow=False):
            with whole_file(copy) as file:
                file.write(drawing.read_bytes())


def _must_be_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
