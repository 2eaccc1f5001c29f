"""Where the course is: in a checkout, in a folder of the learner's, or in an installed wheel, which is copied first.

``posgrad_edu/course`` is there only where a wheel was installed; ``setup.py`` says what is in it.
"""

from __future__ import annotations

from pathlib import Path

from posgrad_edu.data.files import whole_file

START = Path("notebooks", "00_start_here.ipynb")
PACKAGE = Path(__file__).resolve().parents[1]
CARRIED = PACKAGE / "course"  # what a wheel brought along
OWN_FOLDER = "posgrad-course"  # where a learner's copy of it goes


def course_folder(folder: Path | None = None) -> Path:
    """Return the course's folder; where there is none yet, make it from what was installed.

    folder: where the course is, or shall be made. ``None``: see ``found_course``, or a new ``posgrad-course`` here.
    Raises ``FileNotFoundError`` where the course is neither here nor installed.
    """
    found = found_course(folder)
    if found is not None:
        return found
    if not is_carried():
        where = "here" if folder is None else f"in '{folder}'"
        raise FileNotFoundError(f"There is no {START.as_posix()} {where}. Change to the course's folder and try again.")
    return unpacked((folder or Path(OWN_FOLDER)).resolve())


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
    files = sorted(path.relative_to(CARRIED) for path in CARRIED.rglob("*") if path.is_file())
    for file in sorted(files, key=lambda file: file == START):  # by the last one, a course is known
        if not (root / file).exists():
            with whole_file(root / file) as copy:
                copy.write((CARRIED / file).read_bytes())
    return root
