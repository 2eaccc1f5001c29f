"""The command ``posgrad-edu doctor``: is everything here that the course needs, and does it work?"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

from posgrad_edu.cli.course import OWN_FOLDER, found_course, is_carried
from posgrad_edu.cli.lab import copy_first
from posgrad_edu.data import photos
from posgrad_edu.methods import explain
from posgrad_edu.models.devices import device_names
from posgrad_edu.models.loading import DEFAULT_CLASSIFIER, load_classifier

PACKAGES = ("torch", "torchvision", "timm", "ipywidgets", "jupyterlab")


class Problem(Exception):
    """Something that the course needs isn't as it should be; the message says what to do."""


def doctor() -> None:
    """Check that everything the course needs is here and works. Exit code 1 if something is amiss."""
    typer.echo(f"ok       python: {'.'.join(map(str, sys.version_info[:3]))} in {sys.prefix}")
    steps: dict[str, Callable[[], str]] = {name: partial(_package, name) for name in PACKAGES}
    steps |= {"devices": _devices, "weights": _weights, "photos": _photos, "kernel": _kernel, "map": _map}
    problems = [_passes(name, step) for name, step in steps.items()].count(False)
    typer.echo(f"{problems} to put right." if problems else f"All is well{_course()}")
    raise typer.Exit(int(problems > 0))


def _course() -> str:
    """Return how to open the course from here, if it's here."""
    root = found_course()
    if root is None and is_carried():
        return f": posgrad-edu lab opens the course, in a new folder here, {OWN_FOLDER}."
    if root is None:
        return ", but the course isn't here. Change to its folder, the one that holds notebooks: posgrad-edu lab"
    if not os.access(root, os.W_OK):  # copies of lessons are made there
        return f", but the course can't be written to. {copy_first(root)}"
    return ": posgrad-edu lab opens the course."


def _passes(name: str, step: Callable[[], str]) -> bool:
    """Take a step, which returns what is fine or raises what isn't; print one line, and return whether it's fine."""
    try:
        typer.echo(f"ok       {name}: {step()}")
    except Exception as error:  # whatever is broken, the other steps shall still be taken
        kind = "" if isinstance(error, Problem) else f"{type(error).__name__}: "
        typer.echo(f"problem  {name}: {kind}{' '.join(str(error).split())}")
        return False
    return True


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        raise Problem("not installed. pip install 'posgrad-edu[notebooks]'") from None


def _devices() -> str:
    names = device_names()
    return ", ".join(names) + (f"; commands take --device {names[1]}" if len(names) > 1 else "")


def _weights() -> str:
    load_classifier()  # compares the file's SHA-256, too
    return f"{DEFAULT_CLASSIFIER}, its checksum is right"


def _photos() -> str:
    missing = [photo for photo in photos.PHOTOS if photo.path is None]
    if missing:
        packages = " ".join(sorted({photo.package for photo in missing}))
        names = ", ".join(photo.name for photo in missing)
        raise Problem(f"{names} missing. pip install --force-reinstall --no-deps {packages}")
    for photo in photos.PHOTOS:
        photos.load_photo(photo.name)
    return f"all {len(photos.PHOTOS)} can be read"


def _kernel() -> str:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    install = f"{sys.executable} -m ipykernel install --sys-prefix"
    try:
        program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        raise Problem(f"no kernel python3, which the notebooks ask for. {install}") from None
    # Jupyter runs a plain "python" with the interpreter that it runs in itself. A venv's python is a link,
    # so it isn't resolved.
    plain = program in ("python", "python3", "python{}.{}".format(*sys.version_info))
    if not plain and not Path(program).is_relative_to(sys.prefix):
        raise Problem(f"python3 runs {program}, another environment's Python. {install}")
    return "python3 belongs to this environment"


def _map() -> str:
    clf = load_classifier()
    x = clf.batch(photos.load_photo("coffee"))
    start = time.perf_counter()
    found = explain(clf.net, x, clf.index("espresso"), method="gradcam")
    if not found.max() > 0:
        raise Problem("nothing speaks for the espresso. pip install --force-reinstall torch torchvision timm")
    return f"GradCAM of the coffee in {1000 * (time.perf_counter() - start):.0f} ms"
