"""The command ``posgrad-edu explain``: draw what in a photo speaks for a class, and say it in words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
import typer
from PIL.Image import Image
from torch import Tensor

from posgrad_edu.cli.errors import one_line_errors
from posgrad_edu.data import load_photo, read_image
from posgrad_edu.data.files import whole_file
from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.methods import COARSE, Method, resolve
from posgrad_edu.models.classifier import Classifier, Prediction, resolve_class
from posgrad_edu.models.loading import load_classifier
from posgrad_edu.study.schema import PUBLISHED
from posgrad_edu.viz import describe_map, map_title, show_grid, symmetric_limit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE_ENDINGS = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
DEFAULT_CLASSES, DEFAULT_METHODS, DEFAULT_HANDLINGS = ["most likely"], ["gradcam"], [PUBLISHED]

Classes = Annotated[list[str], typer.Option("--class", help="A label, a number, runner-up, least likely.")]
Methods = Annotated[list[str], typer.Option("--method", help="gradcam, lrp, ...")]
Handlings = Annotated[list[str], typer.Option("--handling", help="signed, positive, negative, ...")]


def explain(
    photo: Annotated[str, typer.Argument(help="A picture's file, or the name of a sample photo: coffee.")],
    classes: Classes = DEFAULT_CLASSES,
    methods: Methods = DEFAULT_METHODS,
    handlings: Handlings = DEFAULT_HANDLINGS,
    out: Annotated[Path, typer.Option(help=f"The picture to write: {' '.join(FIGURE_ENDINGS)}")] = Path("map.png"),
    network: Annotated[str, typer.Option(help="A classifier of torchvision or timm.")] = "efficientnet-lite0",
    layer: Annotated[str | None, typer.Option(help="The layer that CAMs look at, if not the last.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch weights that aren't here.")] = False,
) -> None:
    """Draw what in a photo speaks for a class (red) and against it (blue), and say it in words.

    --class, --method and --handling can be given several times. Classes make columns; methods and handlings
    make rows, each with a scale of its own.
    """
    with one_line_errors():
        _check_out(out, photo)
        chosen = {f"{m}, {h}": _method(m, h, layer) for m in methods for h in handlings}
        picture = open_photo(photo)
        clf = load_classifier(network, download=download)
        asked = predictions(clf, picture, classes)
        x, targets = clf.preprocess(picture).unsqueeze(0), torch.tensor([[one.index for one in asked]])
        rows = {title: method(clf.net, x, targets)[0] for title, method in chosen.items()}
        fine = not all(isinstance(method, COARSE) for method in chosen.values())
        figure = _draw(clf.view(picture), asked, rows, fine)
        with whole_file(out) as file:
            figure.savefig(file, format=out.suffix[1:].lower())
        typer.echo("\n".join([*_sentences(asked, rows), f"Written to {out}."]))


def open_photo(photo: str) -> Image:
    """Return the picture in a file, or else the sample photo of that name."""
    path = Path(photo)
    if path.exists() or path.suffix or path.name != photo:
        return read_image(path)
    return load_photo(photo)


def predictions(clf: Classifier, photo: Image, words: Sequence[str]) -> list[Prediction]:
    """Return the classes that words stand for, each once, with the photo's probabilities."""
    logits, probabilities = clf.logits(photo), clf.probabilities(photo)
    indices = dict.fromkeys(resolve_class(clf, word, logits) for word in words)
    return [Prediction(i, clf.labels[i], float(probabilities[i])) for i in indices]


def _method(name: str, handling: str, layer: str | None) -> Method:
    """Return the method; a misspelt name is refused now, before the network is loaded."""
    if handling not in (PUBLISHED, *HANDLINGS):
        raise unknown_name("handling", handling, (PUBLISHED, *HANDLINGS))
    return resolve(name, None if handling == PUBLISHED else handling, layer)


def _draw(view: Image, asked: Sequence[Prediction], rows: dict[str, Tensor], fine: bool) -> Figure:
    """Return the figure: a column for each class, a row with its own scale for each method and handling."""
    headings = [map_title(one.label, one.probability) for one in asked]
    grid = {title: dict(zip(headings, maps, strict=True)) for title, maps in rows.items()}
    # Of fine maps a few pixels lie far above all others, and a photo below would hide the rest.
    return show_grid(view, grid, share="row", quantile=0.999 if fine else None, style="heatmap" if fine else "overlay")


def _sentences(asked: Sequence[Prediction], rows: dict[str, Tensor]) -> Iterator[str]:
    """Yield what each map shows, in words."""
    for title, maps in rows.items():
        for one, values in zip(asked, maps, strict=True):
            heading = f"{title}, class {one.index}, {map_title(one.label, one.probability)}"
            yield f"{heading}: {describe_map(values, symmetric_limit(maps) if len(asked) > 1 else None)}"


def _check_out(out: Path, photo: str) -> None:
    """Refuse a picture that couldn't be written, before anything is computed."""
    if out.suffix.lower() not in FIGURE_ENDINGS:
        raise ValueError(f"'{out}' isn't the name of a picture. End it with one of {' '.join(FIGURE_ENDINGS)}")
    if not out.parent.is_dir():
        raise ValueError(f"There is no folder '{out.parent}'. Make it first, or write elsewhere with --out.")
    if out.is_dir():
        raise ValueError(f"'{out}' is a folder. Add a file's name to it.")
    if not os.access(out.parent, os.W_OK):
        raise ValueError(f"The folder '{out.parent}' can't be written to. Write elsewhere with --out.")
    if Path(photo).exists() and out.exists() and out.samefile(photo):
        raise ValueError(f"'{out}' is the photo itself, and would be overwritten. Choose another --out.")
