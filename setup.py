"""What a wheel carries beside the package: the course, as ``posgrad_edu/course``. All else stands in pyproject.toml.

Learners get lessons without outputs (the answers stand in them), released exercises, and the pages that both link to.
Instructors' files, such as the exercises' sources, aren't among them: those are in the repository and in the sdist.
"""

from __future__ import annotations

import json
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
COURSE = ("notebooks/**/*.ipynb", "notebooks/drawings/*.svg", "exercises/release/*/[!.]*")
PAGES = ("docs/*.md", "docs/*.csv", "docs/figures/*")
FOR_INSTRUCTORS = {
    "instructors.md",
    "jupyterhub.md",
    "syllabus.md",
    "rubrics.md",
    "minutes_form.md",
    "lesson_seconds.csv",
}


def carried() -> list[Path]:
    """Return the course's files, relative to the project."""
    found = [path.relative_to(HERE) for pattern in (*COURSE, *PAGES) for path in HERE.glob(pattern) if path.is_file()]
    return sorted(path for path in set(found) if not (FOR_INSTRUCTORS | {".ipynb_checkpoints"}) & set(path.parts))


def without_outputs(data: bytes) -> bytes:
    """Return a notebook's file with all outputs taken out."""
    notebook = json.loads(data)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


class BuildWithCourse(build_py):
    """Put the course into what is built. An editable installation needs none: it finds the checkout's."""

    def run(self) -> None:
        """Build the package, then copy the course into it."""
        super().run()
        if not self.editable_mode:
            for path, copy in zip(carried(), self._copies(), strict=True):
                Path(copy).parent.mkdir(parents=True, exist_ok=True)
                data = (HERE / path).read_bytes()
                Path(copy).write_bytes(without_outputs(data) if path.suffix == ".ipynb" else data)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return all files that are built."""
        return [*super().get_outputs(include_bytecode), *([] if self.editable_mode else self._copies())]

    def _copies(self) -> list[str]:
        return [str(Path(self.build_lib, "posgrad_edu", "course", path)) for path in carried()]


setup(cmdclass={"build_py": BuildWithCourse})
