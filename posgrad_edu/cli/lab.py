"""The commands ``posgrad-edu lab`` and ``posgrad-edu exercise``: the course in JupyterLab.

    posgrad-edu lab                  # the first lesson
    posgrad-edu lab 08               # a lesson
    posgrad-edu lab workshop_90      # a workshop's notebook
    posgrad-edu exercise 08          # your own copy of an exercise

Exit code: JupyterLab's own, or 2 for a mistake in the command.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from posgrad_edu.cli.copies import LESSONS, WORKSHOPS, beginning_with, exercise_copy, lesson_copy
from posgrad_edu.cli.course import OWN_FOLDER, START, course_folder
from posgrad_edu.cli.errors import one_line_errors

# The course runs offline: no news, no look for updates, no list of extensions.
QUIET = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)
UPLOAD_MB = 100  # of a photo; Jupyter's own limit for one message is 10 MiB, and what is larger vanishes
UPLOADS = {"websocket_max_message_size": 4 * UPLOAD_MB * 10**6 // 3}  # a widget's message is larger than its file
# JupyterLab asks whether news are wanted all the same, unless it finds this in a file.
NO_QUESTION = '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}'
# Set by a hub; by a server for its terminals; and for its kernels.
IN_JUPYTER = ("JUPYTERHUB_SERVICE_PREFIX", "JUPYTER_SERVER_ROOT", "JPY_SESSION_NAME", "JPY_PARENT_PID")


Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Use this port and no other.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Only print the address.")]
CopyOnly = Annotated[bool, typer.Option("--copy-only", help="Make your copy and don't open it.")]
Folder = Annotated[
    Path | None, typer.Option(help="Where the course is or shall be.", show_default=f"found, or {OWN_FOLDER}")
]


def lab(
    notebook: Annotated[str | None, typer.Argument(help="A lesson's path, or how its name begins: 05.")] = None,
    port: Port = None,
    no_browser: NoBrowser = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make a new copy, beside the one that is there.")] = False,
    copy_only: CopyOnly = False,
    folder: Folder = None,
) -> None:
    """Open your own copy of a lesson, in my-course, without answers. It's made once, and never overwritten."""
    with one_line_errors():
        root = course_folder(folder)
        page = find_notebook(root, notebook)
        is_lesson = page.parent in (root / LESSONS, root / WORKSHOPS)
        if (fresh or copy_only) and not is_lesson:
            raise ValueError(f"'{notebook}' isn't a lesson. Name one, such as 05.")
        if is_lesson:
            page = own_lesson(root, page, fresh, copy_only)
    if not copy_only:
        open_in_lab(root, page, port, no_browser)


def own_lesson(root: Path, lesson: Path, fresh: bool, needed: bool) -> Path:
    """Return a learner's copy of a lesson and say where it is; the lesson itself where nothing can be written.

    Raises ``OSError`` there if a copy is ``needed``.
    """
    try:
        copy = lesson_copy(root, lesson, fresh)
    except PermissionError as error:
        if needed:
            raise OSError(f"'{error.filename}' can't be written to. {copy_first(root)}") from error
        typer.echo(f"posgrad-edu: '{lesson}' can't be copied, so changes aren't saved. {copy_first(root)}", err=True)
        return lesson
    typer.echo(f"Your copy: {from_here(copy, root)}")
    if copy.stem != lesson.stem:
        typer.echo(f"The one before stays: {from_here(copy.with_name(lesson.name), root)}")
    return copy


def exercise(
    name: Annotated[str, typer.Argument(help="How its name begins: 05.")],
    port: Port = None,
    no_browser: NoBrowser = False,
    copy_only: CopyOnly = False,
    folder: Folder = None,
) -> None:
    """Open your own copy of an exercise, in exercises/mine. It's made the first time, and never overwritten."""
    with one_line_errors():
        root = course_folder(folder)
        try:
            page = exercise_copy(root, name)
        except PermissionError as error:
            raise OSError(f"'{error.filename}' can't be written to. {copy_first(root)}") from error
    typer.echo(f"Your copy: {from_here(page, root)}")
    if not copy_only:
        open_in_lab(root, page, port, no_browser)


def open_in_lab(root: Path, page: Path, port: int | None, no_browser: bool) -> None:
    """Run JupyterLab on the course's folder, at one notebook, until it ends; exit with its code.

    In a JupyterLab that runs already, such as a hub's, only say where the notebook is: nobody could reach a second one.
    """
    if in_jupyter() and port is None:
        where = from_here(page, root)
        typer.echo(f"JupyterLab is running already. Open this in its list of files, on the left: {where}")
        return
    if importlib.util.find_spec("jupyterlab") is None:  # said last: the copy is made, and another program may open it
        with one_line_errors():
            raise OSError("JupyterLab isn't installed. Add what notebooks need: pip install 'posgrad-edu[notebooks]'")
    run_lab(root, f"/lab/tree/{quote(page.relative_to(root).as_posix())}", port, no_browser)


def in_jupyter() -> bool:
    """Tell whether this runs in a hub's server, or in a notebook or a terminal of any Jupyter server."""
    return any(os.environ.get(name) for name in IN_JUPYTER)


def run_lab(root: Path, address: str, port: int | None, no_browser: bool, start_in: Path | None = None) -> None:
    """Run JupyterLab on a folder, at an address such as ``/lab/tree/NOTEBOOK``, until it ends; exit with its code.

    start_in: the folder in which it's started, if not the current one; there nbgrader looks for its settings.
    """
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}", *QUIET]
    command += [f"--ServerApp.tornado_settings={UPLOADS}"]
    command += [f"--LabApp.default_url={address}"]
    command += [] if port is None else [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += ["--no-browser"] if no_browser else []
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as config:
        Path(config, "labconfig").mkdir()
        Path(config, "labconfig", "page_config.json").write_text(NO_QUESTION, encoding="utf-8")
        paths = [config, *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
        # Threads that wait for work sleep: on a busy computer, spinning ones make each map many times slower.
        env = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])  # nbgrader calls alembic
        env["POSGRAD_EDU_UPLOAD_MB"] = str(UPLOAD_MB)  # for the widget that says what fits
        if not home_is_writable():
            typer.echo("posgrad-edu: no home can be written to: settings last until JupyterLab ends.", err=True)
            env["HOME"] = config
        raise typer.Exit(_run(command, env, start_in))


def home_is_writable() -> bool:
    """Tell whether there is a home folder, which Jupyter needs, and whether it can be written to."""
    try:
        return os.access(Path.home(), os.W_OK)
    except RuntimeError:  # a user without one
        return False


def from_here(path: Path, root: Path) -> str:
    """Return a path as one would type it here: relative in the course's folder and above it, absolute elsewhere."""
    here = Path.cwd()
    near = here.is_relative_to(root) or root.is_relative_to(here)
    return (Path(os.path.relpath(path)) if near else path).as_posix()


def copy_first(root: Path) -> str:
    """Return how to come to a course that can be written to."""
    return f"Copy '{root}' to a folder of your own, change to it and try again."


def find_notebook(root: Path, word: str | None) -> Path:
    """Return the notebook that a path, or the beginning of a lesson's name, stands for; None: the start."""
    if word is None:
        return root / START
    path = Path(word).resolve()
    if path.is_file():
        if path.suffix == ".ipynb" and path.is_relative_to(root):
            return path
        raise ValueError(f"'{word}' isn't a notebook in the course's folder, '{root}'. Copy it into notebooks there.")
    pages = [*sorted((root / LESSONS).glob("*.ipynb")), *sorted((root / WORKSHOPS).glob("*.ipynb"))]
    return beginning_with(word, pages, "notebook")


def _run(command: Sequence[str], env: Mapping[str, str], start_in: Path | None = None) -> int:
    """Run a program to its end and return its exit code. Ctrl-C is left to it: JupyterLab asks back."""
    process = subprocess.Popen(command, env=env, cwd=start_in)
    handlers = {signal.SIGINT: lambda *_: None, signal.SIGTERM: lambda *_: process.terminate()}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code  # ended by a signal: as a shell says it
