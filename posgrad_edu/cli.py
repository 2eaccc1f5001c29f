"""The command line: ``posgrad-edu doctor``, ``posgrad-edu lab``, ``posgrad-edu explain`` and ``posgrad-edu study``.

    posgrad-edu doctor                                     # is everything here that the course needs?
    posgrad-edu lab                                        # open the course in JupyterLab
    posgrad-edu explain coffee --class espresso --method gradcam --handling positive --out map.png
    posgrad-edu study --jobs 2 --out results               # measure all of it; cli_study.py

A mistake is answered with one line on stderr and exit code 2; ``doctor`` exits with 1 if something is amiss.
What a command needs is imported when it runs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posgrad_edu import __version__
from posgrad_edu.cli_study import study

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image
    from torch import Tensor

    from posgrad_edu.methods import Method
    from posgrad_edu.models import Classifier, Prediction

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"posgrad-edu {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Build gradient-based saliency methods, flip one switch, measure what positive gradients take away."""


app.command()(study)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn the package's own errors, which say what to do, into one line on stderr and exit code 2."""
    from posgrad_edu.errors import UnsupportedOperation
    from posgrad_edu.loading import WeightsError

    try:
        yield
    except (ValueError, OSError, WeightsError, UnsupportedOperation) as error:
        typer.echo(f"posgrad-edu: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from error


# --- doctor ---

PACKAGES = ("torch", "torchvision", "timm", "ipywidgets", "jupyterlab")


class Problem(Exception):
    """Something that the course needs isn't as it should be; the message says what to do."""


@app.command()
def doctor() -> None:
    """Check that everything the course needs is here and works. Exit code 1 if something is amiss."""
    typer.echo(f"ok       python: {'.'.join(map(str, sys.version_info[:3]))} in {sys.prefix}")
    checks: dict[str, Callable[[], str]] = {name: partial(_check_package, name) for name in PACKAGES}
    checks |= {"weights": _check_weights, "photos": _check_photos, "kernel": _check_kernel, "map": _check_map}
    problems = [_report(name, check) for name, check in checks.items()].count(False)
    typer.echo(f"{problems} to put right." if problems else "All is well: posgrad-edu lab opens the course.")
    raise typer.Exit(int(problems > 0))


def _report(name: str, check: Callable[[], str]) -> bool:
    """Print one line for a check; return whether it's fine."""
    try:
        typer.echo(f"ok       {name}: {check()}")
    except Exception as error:  # whatever is broken, the other checks shall still be made
        kind = "" if isinstance(error, Problem) else f"{type(error).__name__}: "
        typer.echo(f"problem  {name}: {kind}{' '.join(str(error).split())}")
        return False
    return True


def _check_package(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        raise Problem("not installed. In the course's folder: pip install -e '.[notebooks]'") from None


def _check_weights() -> str:
    from posgrad_edu.loading import DEFAULT_CLASSIFIER, load_classifier

    load_classifier()  # compares the file's SHA-256, too
    return f"{DEFAULT_CLASSIFIER}, its checksum is right"


def _check_photos() -> str:
    from posgrad_edu.photos import PHOTOS, load_photo

    missing = [photo for photo in PHOTOS if photo.path is None]
    if missing:
        packages = " ".join(sorted({photo.package for photo in missing}))
        names = ", ".join(photo.name for photo in missing)
        raise Problem(f"{names} missing. pip install --force-reinstall --no-deps {packages}")
    for photo in PHOTOS:
        load_photo(photo.name)
    return f"all {len(PHOTOS)} can be read"


def _check_kernel() -> str:
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


def _check_map() -> str:
    import time

    import posgrad_edu as pg

    clf = pg.load_classifier()
    x = clf.preprocess(pg.load_photo("coffee")).unsqueeze(0)
    start = time.perf_counter()
    found = pg.explain(clf.net, x, clf.index("espresso"), method="gradcam")
    if not found.max() > 0:
        raise Problem("nothing speaks for the espresso. pip install --force-reinstall torch torchvision timm")
    return f"GradCAM of the coffee in {1000 * (time.perf_counter() - start):.0f} ms"


# --- lab ---

START = Path("notebooks", "00_start_here.ipynb")
# The course runs offline: no news, no look for updates, no list of extensions.
QUIET = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)
# JupyterLab asks whether news are wanted all the same, unless it finds this in a file.
NO_QUESTION = '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}'


@app.command()
def lab(
    notebook: Annotated[str | None, typer.Argument(help="A lesson's path, or how its name begins: 05.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Use this port and no other.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Open the course in JupyterLab, at its start or at a lesson. Ctrl-C ends it."""
    with one_line_errors():
        if importlib.util.find_spec("jupyterlab") is None:
            raise OSError("JupyterLab isn't installed. In the course's folder: pip install -e '.[notebooks]'")
        root = course_folder()
        page = find_notebook(root, notebook).relative_to(root).as_posix()
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}", *QUIET]
    command += [f"--LabApp.default_url=/lab/tree/{page}"]
    command += [] if port is None else [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += ["--no-browser"] if no_browser else []
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as config:
        Path(config, "labconfig").mkdir()
        Path(config, "labconfig", "page_config.json").write_text(NO_QUESTION, encoding="utf-8")
        paths = [config, *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
        # Threads that wait for work sleep: on a busy computer, spinning ones make each map many times slower.
        patient = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
        raise typer.Exit(_run(command, {**patient, "JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}))


def course_folder() -> Path:
    """Return the folder that holds ``notebooks/``: this one, one above it, or where the package lies."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (folder / START).is_file():
            return folder
    raise FileNotFoundError(f"There is no {START.as_posix()} here. Change to the course's folder and try again.")


def find_notebook(root: Path, word: str | None) -> Path:
    """Return the notebook that a path, or the beginning of a lesson's name, stands for; None: the start."""
    from posgrad_edu.errors import unknown_name

    path = root / START if word is None else Path(word).resolve()
    if path.is_file():
        if path.suffix == ".ipynb" and path.is_relative_to(root):
            return path
        raise ValueError(f"'{word}' isn't a notebook in the course's folder, '{root}'. Copy it into notebooks there.")
    lessons = sorted((root / "notebooks").glob("*.ipynb"))
    found = [lesson for lesson in lessons if lesson.name.startswith(str(word).zfill(2))]
    if len(found) != 1:
        raise unknown_name("notebook", word, [lesson.stem for lesson in lessons])
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


# --- explain ---

ENDINGS = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
PUBLISHED = "published"
CLASSES, METHODS, HANDLINGS = ["most likely"], ["gradcam"], [PUBLISHED]  # what is drawn if nothing is asked for


@app.command()
def explain(
    photo: Annotated[str, typer.Argument(help="A picture's file, or the name of a sample photo: coffee.")],
    classes: Annotated[
        list[str], typer.Option("--class", help="A label, a number, runner-up, least likely.")
    ] = CLASSES,
    methods: Annotated[list[str], typer.Option("--method", help="gradcam, lrp, ...")] = METHODS,
    handlings: Annotated[list[str], typer.Option("--handling", help="signed, positive, negative, ...")] = HANDLINGS,
    out: Annotated[Path, typer.Option(help=f"The picture to write: {' '.join(ENDINGS)}")] = Path("map.png"),
    network: Annotated[str, typer.Option(help="A classifier of torchvision or timm.")] = "efficientnet-lite0",
    layer: Annotated[str | None, typer.Option(help="The layer that CAMs look at, if not the last.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch weights that aren't here.")] = False,
) -> None:
    """Draw what in a photo speaks for a class (red) and against it (blue), and say it in words.

    --class, --method and --handling can be given several times. Classes make columns; methods and handlings
    make rows, each with a scale of its own.
    """
    import torch

    from posgrad_edu.loading import load_classifier
    from posgrad_edu.methods.cam import CAM

    with one_line_errors():
        _check_out(out, photo)
        chosen = {f"{m}, {h}": _method(m, h, layer) for m in methods for h in handlings}
        picture = open_photo(photo)
        clf = load_classifier(network, download=download)
        asked = predictions(clf, picture, classes)
        x, targets = clf.preprocess(picture).unsqueeze(0), torch.tensor([[one.index for one in asked]])
        rows = {title: method(clf.net, x, targets)[0] for title, method in chosen.items()}
        fine = not all(isinstance(method, CAM) for method in chosen.values())
        _write(_draw(clf.view(picture), asked, rows, fine), out)
        typer.echo("\n".join([*_sentences(asked, rows), f"Written to {out}."]))


def open_photo(photo: str) -> Image:
    """Return the picture in a file, or else the sample photo of that name."""
    from posgrad_edu.photos import load_photo, read_image

    path = Path(photo)
    if path.exists() or path.suffix or path.name != photo:
        return read_image(path)
    return load_photo(photo)


def resolve_class(clf: Classifier, photo: Image, word: str) -> int:
    """Return the class that a word stands for: a label, a number, "most likely", "runner-up", "least likely"."""
    match " ".join(word.casefold().replace("-", " ").split()):
        case "most likely":
            return clf.top(photo, 1)[0].index
        case "runner up":
            return clf.runner_up(photo)
        case "least likely":
            return clf.least_likely(photo)
    return clf.index(int(word) if re.fullmatch(r"\s*-?[0-9]+\s*", word) else word)


def predictions(clf: Classifier, photo: Image, words: Sequence[str]) -> list[Prediction]:
    """Return the classes that words stand for, each once, with the photo's probabilities."""
    from posgrad_edu.models import Prediction

    probabilities = clf.probabilities(photo)
    indices = dict.fromkeys(resolve_class(clf, photo, word) for word in words)
    return [Prediction(i, clf.labels[i], float(probabilities[i])) for i in indices]


def _method(name: str, handling: str, layer: str | None) -> Method:
    """Return the method; a misspelt name is refused now, before the network is loaded."""
    from posgrad_edu.errors import unknown_name
    from posgrad_edu.handling import HANDLINGS
    from posgrad_edu.methods import get_method
    from posgrad_edu.methods.base import make_method

    if handling not in (PUBLISHED, *HANDLINGS):
        raise unknown_name("handling", handling, (PUBLISHED, *HANDLINGS))
    options = {} if layer is None else {"layer": layer}
    return make_method(get_method(name), {"handling": None if handling == PUBLISHED else handling, **options})


def _draw(view: Image, asked: Sequence[Prediction], rows: dict[str, Tensor], fine: bool) -> Figure:
    """Return the figure: a column for each class, a row with its own scale for each method and handling."""
    from posgrad_edu.viz import map_title, show_grid

    headings = [map_title(one.label, one.probability) for one in asked]
    grid = {title: dict(zip(headings, maps, strict=True)) for title, maps in rows.items()}
    # Of fine maps a few pixels lie far above all others, and a photo below would hide the rest.
    return show_grid(view, grid, share="row", quantile=0.999 if fine else None, style="heatmap" if fine else "overlay")


def _sentences(asked: Sequence[Prediction], rows: dict[str, Tensor]) -> Iterator[str]:
    """Yield what each map shows, in words."""
    from posgrad_edu.viz import describe_map, map_title, symmetric_limit

    for title, maps in rows.items():
        for one, values in zip(asked, maps, strict=True):
            heading = f"{title}, class {one.index}, {map_title(one.label, one.probability)}"
            yield f"{heading}: {describe_map(values, symmetric_limit(maps) if len(asked) > 1 else None)}"


def _check_out(out: Path, photo: str) -> None:
    """Refuse a picture that couldn't be written, before anything is computed."""
    if out.suffix.lower() not in ENDINGS:
        raise ValueError(f"'{out}' isn't the name of a picture. End it with one of {' '.join(ENDINGS)}")
    if not out.parent.is_dir():
        raise ValueError(f"There is no folder '{out.parent}'. Make it first, or write elsewhere with --out.")
    if out.is_dir():
        raise ValueError(f"'{out}' is a folder. Add a file's name to it.")
    if not os.access(out.parent, os.W_OK):
        raise ValueError(f"The folder '{out.parent}' can't be written to. Write elsewhere with --out.")
    if Path(photo).exists() and out.exists() and out.samefile(photo):
        raise ValueError(f"'{out}' is the photo itself, and would be overwritten. Choose another --out.")


def _write(figure: Figure, out: Path) -> None:
    """Write the figure so that afterwards the file is there as a whole, or as it was before."""
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        figure.savefig(part, format=out.suffix[1:].lower())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
