"""The command ``posgrad-edu grade``: nbgrader's Formgrader in JupyterLab, for instructors.

Formgrader reads ``nbgrader_config.py`` in the folder where JupyterLab is started; anywhere else its tables are empty.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import typer

from posgrad_edu.cli.course import found_course
from posgrad_edu.cli.errors import one_line_errors
from posgrad_edu.cli.lab import NoBrowser, Port, run_lab

EXERCISES = Path("exercises")
FORMGRADER = "/lab?formgrader=true"


def grade(port: Port = None, no_browser: NoBrowser = False) -> None:
    """Open the grading of exercises, nbgrader's Formgrader, in JupyterLab. For instructors: it needs the sources."""
    with one_line_errors():
        if importlib.util.find_spec("nbgrader") is None:
            raise OSError("nbgrader isn't installed. Add what instructors need: pip install 'posgrad-edu[instructor]'")
        root = graded_course()
    typer.echo(f"Submissions belong into {root / EXERCISES / 'submitted'}/STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb")
    run_lab(root, FORMGRADER, port, no_browser, start_in=root / EXERCISES)


def graded_course() -> Path:
    """Return the folder of a course that can be graded: one with the exercises' sources and nbgrader's settings."""
    root = found_course()
    if root is None or not all((root / EXERCISES / name).exists() for name in ("source", "nbgrader_config.py")):
        raise FileNotFoundError(
            "There are no exercises/source and exercises/nbgrader_config.py here, and an installed wheel doesn't hold "
            "them. Get the repository or the sdist, change to its folder and try again."
        )
    return root
