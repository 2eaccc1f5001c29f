"""The commands ``posgrad-edu lab`` and ``posgrad-edu exercise``: the course in JupyterLab.

    posgrad-edu lab                  # the first lesson
    posgrad-edu lab 08               # a lesson
    posgrad-edu exercise 08          # your own copy of an exercise

Exit code: JupyterLab's own, or 2 for a mistake in the command.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from posgrad_edu.cli.errors import one_line_errors
from posgrad_edu.errors import unknown_name

START = Path("notebooks", "00_start_here.ipynb")
RELEASE, MINE = Path("exercises", "release"), Path("exercises", "mine")
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


Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Use this port and no other.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Only print the address.")]


def lab(
    notebook: Annotated[str | None, typer.Argument(help="A lesson's path, or how its name begins: 05.")] = None,
    port: Port = None,
    no_browser: NoBrowser = False,
) -> None:
    """Open the course in JupyterLab, at its start or at a lesson. Ctrl-C ends it."""
    with one_line_errors():
        root = course_folder()
        page = find_notebook(root, notebook)
    if not os.access(page, os.W_OK):
        typer.echo(f"posgrad-edu: '{page}' can't be written to, so changes aren't saved. {copy_first(root)}", err=True)
    open_in_lab(root, page, port, no_browser)


def exercise(
    name: Annotated[str, typer.Argument(help="How its name begins: 05.")],
    port: Port = None,
    no_browser: NoBrowser = False,
    copy_only: Annotated[bool, typer.Option("--copy-only", help="Make your copy and don't open it.")] = False,
) -> None:
    """Open your own copy of an exercise, in exercises/mine. It's made the first time, and never overwritten."""
    with one_line_errors():
        root = course_folder()
        try:
            page = own_copy(root, name)
        except PermissionError as error:
            raise OSError(f"'{error.filename}' can't be written to. {copy_first(root)}") from error
    typer.echo(f"Your copy: {page.relative_to(root).as_posix()}")
    if not copy_only:
        open_in_lab(root, page, port, no_browser)


def open_in_lab(root: Path, page: Path, port: int | None, no_browser: bool) -> None:
    """Run JupyterLab on the course's folder, at one notebook, until it ends; exit with its code."""
    with one_line_errors():
        if importlib.util.find_spec("jupyterlab") is None:
            raise OSError("JupyterLab isn't installed. In the course's folder: pip install -e '.[notebooks]'")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}", *QUIET]
    command += [f"--ServerApp.tornado_settings={UPLOADS}"]
    command += [f"--LabApp.default_url=/lab/tree/{page.relative_to(root).as_posix()}"]
    command += [] if port is None else [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += ["--no-browser"] if no_browser else []
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as config:
        Path(config, "labconfig").mkdir()
        Path(config, "labconfig", "page_config.json").write_text(NO_QUESTION, encoding="utf-8")
        paths = [config, *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
        # Threads that wait for work sleep: on a busy computer, spinning ones make each map many times slower.
        env = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}
        env["POSGRAD_EDU_UPLOAD_MB"] = str(UPLOAD_MB)  # for the widget that says what fits
        if not home_is_writable():
            typer.echo("posgrad-edu: no home can be written to: settings last until JupyterLab ends.", err=True)
            env["HOME"] = config
        raise typer.Exit(_run(command, env))


def home_is_writable() -> bool:
    """Tell whether there is a home folder, which Jupyter needs, and whether it can be written to."""
    try:
        return os.access(Path.home(), os.W_OK)
    except RuntimeError:  # a user without one
        return False


def course_folder() -> Path:
    """Return the folder that holds ``notebooks/``: this one, one above it, or where the package lies."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / START).is_file():
            return folder
    raise FileNotFoundError(f"There is no {START.as_posix()} here. Change to the course's folder and try again.")


def copy_first(root: Path) -> str:
    """Return how to come to a course that can be written to."""
    return f"Copy '{root}' to a folder of your own, change to it and try again."


def find_notebook(root: Path, word: str | None) -> Path:
    """Return the notebook that a path, or the beginning of a lesson's name, stands for; None: the start."""
    path = root / START if word is None else Path(word).resolve()
    if path.is_file():
        if path.suffix == ".ipynb" and path.is_relative_to(root):
            return path
        raise ValueError(f"'{word}' isn't a notebook in the course's folder, '{root}'. Copy it into notebooks there.")
    return _beginning_with(word, sorted((root / "notebooks").glob("*.ipynb")), "notebook")


def own_copy(root: Path, word: str) -> Path:
    """Return the notebook of a learner's own copy of an exercise; it is made from the release if it isn't there.

    Raises ``PermissionError`` in a course that can't be written to.
    """
    if not (root / RELEASE).is_dir():
        raise FileNotFoundError(f"There is no {RELEASE.as_posix()} in '{root}'. Get the whole course again.")
    folder = _beginning_with(word, sorted(p for p in (root / RELEASE).iterdir() if p.is_dir()), "exercise")
    mine = root / MINE / folder.name
    if not mine.exists():
        mine.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=mine.parent) as half:  # whole, or not there
            copy = Path(half, folder.name)
            shutil.copytree(folder, copy)
            for path in (copy, *copy.rglob("*")):  # an installation's files may be read-only, one's own aren't
                path.chmod(path.stat().st_mode | stat.S_IWUSR)
            copy.rename(mine)
    if not os.access(mine, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(mine))
    return mine / f"{folder.name}.ipynb"


def _beginning_with(word: str | None, paths: Sequence[Path], kind: str) -> Path:
    """Return the one path whose name begins so; a number may do without its leading zero."""
    found = [path for path in paths if path.name.startswith(str(word).zfill(2))]
    if len(found) != 1:
        raise unknown_name(kind, str(word), [path.stem for path in paths])
    return found[0]


def _run(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a program to its end and return its exit code. Ctrl-C is left to it: JupyterLab asks back."""
    process = subprocess.Popen(command, env=env)
    handlers = {signal.SIGINT: lambda *_: None, signal.SIGTERM: lambda *_: process.terminate()}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code  # ended by a signal: as a shell says it
