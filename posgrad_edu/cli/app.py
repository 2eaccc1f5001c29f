"""The command line: ``posgrad-edu doctor``, ``lab``, ``exercise``, ``explain`` and ``study``.

    posgrad-edu doctor                                     # is everything here that the course needs?
    posgrad-edu lab                                        # open the course in JupyterLab; cli_lab.py
    posgrad-edu exercise 02                                # open your copy of an exercise; cli_lab.py
    posgrad-edu explain coffee --class espresso --method gradcam --handling positive --out map.png
    posgrad-edu study --jobs 2 --out results               # measure all of it; cli_study.py

A mistake is answered with one line on stderr and exit code 2; ``doctor`` exits with 1 if something is amiss.
What a command needs beyond the package itself is imported when it runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posgrad_edu import __version__
from posgrad_edu.cli.errors import one_line_errors
from posgrad_edu.cli.lab import exercise, lab
from posgrad_edu.cli.study import study

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image
    from torch import Tensor

    from posgrad_edu.methods import Method
    from posgrad_edu.models.classifier import Classifier, Prediction

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


for command in (lab, exercise, study):
    app.command()(command)


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
    from posgrad_edu.models import DEFAULT_CLASSIFIER, load_classifier

    load_classifier()  # compares the file's SHA-256, too
    return f"{DEFAULT_CLASSIFIER}, its checksum is right"


def _check_photos() -> str:
    from posgrad_edu.data.photos import PHOTOS, load_photo

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

    from posgrad_edu.methods.cam import CAM
    from posgrad_edu.models import load_classifier

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
    from posgrad_edu.data.photos import load_photo, read_image

    path = Path(photo)
    if path.exists() or path.suffix or path.name != photo:
        return read_image(path)
    return load_photo(photo)


def predictions(clf: Classifier, photo: Image, words: Sequence[str]) -> list[Prediction]:
    """Return the classes that words stand for, each once, with the photo's probabilities."""
    from posgrad_edu.models.classifier import Prediction, resolve_class

    logits, probabilities = clf.logits(photo), clf.probabilities(photo)
    indices = dict.fromkeys(resolve_class(clf, word, logits) for word in words)
    return [Prediction(i, clf.labels[i], float(probabilities[i])) for i in indices]


def _method(name: str, handling: str, layer: str | None) -> Method:
    """Return the method; a misspelt name is refused now, before the network is loaded."""
    from posgrad_edu.errors import unknown_name
    from posgrad_edu.handling import HANDLINGS
    from posgrad_edu.methods import resolve

    if handling not in (PUBLISHED, *HANDLINGS):
        raise unknown_name("handling", handling, (PUBLISHED, *HANDLINGS))
    return resolve(name, None if handling == PUBLISHED else handling, layer)


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
