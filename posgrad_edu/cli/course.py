"""Where the course is: in a checkout, in a folder of the learner's, or in an installed wheel, which is copied first.

``posgrad_edu/course`` is there only where a wheel was installed; ``setup.py`` says what is in it. The learner's folder
keeps a list of what it was made from, so that a newer wheel can tell which files the learner has changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from posgrad_edu import __version__
from posgrad_edu.cli.copies import LESSONS, MY_LESSONS
from posgrad_edu.data.files import sha256, whole_file, write_text

START = Path("notebooks", "00_start_here.ipynb")
PACKAGE = Path(__file__).resolve().parents[1]
CARRIED = PACKAGE / "course"  # what a wheel brought along
OWN_FOLDER = "posgrad-course"  # where a learner's copy of it goes
MADE_FROM = ".posgrad-edu.json"  # in that folder: the package's version, and the SHA-256 of each file that it carried


def course_folder(folder: Path | None = None) -> Path:
    """Return the course's folder; where there is none yet, make it from what was installed.

    folder: where the course is, or shall be made. ``None``: see ``found_course``, or a new ``posgrad-course`` here.
    Raises ``FileNotFoundError`` where the course is neither here nor installed.
    """
    found = found_course(folder)
    if found is not None:
        if is_carried() and (found / MADE_FROM).is_file():
            renew(found)
        return found
    if not is_carried():
        where = "here" if folder is None else f"in '{folder}'"
        raise FileNotFoundError(f"There is no {START.as_posix()} {where}. Change to the course's folder and try again.")
    root = unpacked((folder or Path(OWN_FOLDER)).resolve())
    typer.echo(f"New course in '{root}'.")
    return root


def found_course(folder: Path | None = None) -> Path | None:
    """Return the folder that holds ``notebooks``: this one, its ``posgrad-course``, one above it, or the checkout."""
    here = Path.cwd()
    places = (here, here / OWN_FOLDER, *here.parents, PACKAGE.parent) if folder is None else (folder.resolve(),)
    return next((place for place in places if (place / START).is_file()), None)


def is_carried() -> bool:
    """Tell whether a wheel was installed, which brought the course along."""
    return (CARRIED / START).is_file()


def unpacked(root: Path) -> Path:
    """Copy what a wheel brought along into a folder, and return it; files that are there already stay as they are."""
    _bring_up_to_date(root, carried_files(), _made_from(root).get("files", {}))
    return root


def renew(root: Path) -> None:
    """Bring a folder that another version made up to date, and say so; what the learner has changed stays."""
    before, now = _made_from(root), carried_files()
    if before.get("files") == now:
        return
    try:
        written, kept = _bring_up_to_date(root, now, before.get("files", {}))
    except PermissionError:
        typer.echo(f"posgrad-edu: '{root}' is of another version, and can't be written to. It stays so.", err=True)
        return
    said = f"posgrad-edu {__version__}: '{root}', made by {before.get('version')}, is up to date now: {written} files."
    yours = f" What you changed stays: {len(kept)}, such as {kept[0]}." if kept else ""
    typer.echo(said + yours, err=True)


def carried_files() -> dict[str, str]:
    """Return the SHA-256 of each file that a wheel brought along, by its path in the course."""
    files = sorted(path for path in CARRIED.rglob("*") if path.is_file())
    return {path.relative_to(CARRIED).as_posix(): sha256(path) for path in files}


def _bring_up_to_date(root: Path, now: dict[str, str], before: dict[str, str]) -> tuple[int, list[str]]:
    """Write the files that are missing, or still as they were before; return how many, and which others stay.

    A lesson's copy in my-course has the same bytes until the learner saves it. It's renewed where it's there.
    """
    written, kept = 0, []
    for file in sorted(now, key=lambda file: file == START.as_posix()):  # by the last one, a course is known
        if file == START.as_posix():  # before it, so that no course lacks the list
            write_text(json.dumps({"version": __version__, "files": now}, indent=1) + "\n", root / MADE_FROM)
        mine = MY_LESSONS / Path(file).relative_to(LESSONS) if Path(file).is_relative_to(LESSONS) else None
        for copy in (Path(file), *([mine] if mine and (root / mine).exists() else [])):
            there = sha256(root / copy) if (root / copy).exists() else None
            if there == now[file]:
                continue
            if there is None or there == before.get(file):
                with whole_file(root / copy) as target:
                    target.write((CARRIED / file).read_bytes())
                written += 1
            elif before.get(file) != now[file]:
                kept.append(copy.as_posix())
    return written, kept


def _made_from(root: Path) -> dict[str, Any]:
    """Return what the folder's list says; nothing where there is none, or none that can be read."""
    try:
        found: dict[str, Any] = json.loads((root / MADE_FROM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
