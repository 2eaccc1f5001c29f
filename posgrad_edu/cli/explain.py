"""The command ``posgrad-edu explain``: draw what in a photo speaks for a class, and say it in words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL.Image import Image
from torch import Tensor

from posgrad_edu.cli.errors import one_line_errors
from posgrad_edu.cli.study import Device
from posgrad_edu.data import load_photo, read_image
from posgrad_edu.data.files import whole_file
from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.methods import COARSE, Method, resolve
from posgrad_edu.models.classifier import Classifier, Prediction, in_words, resolve_class, resolve_contrast
from posgrad_edu.models.devices import as_device
from posgrad_edu.models.explanation import drawn_how
from posgrad_edu.models.loading import load_classifier
from posgrad_edu.study.schema import PUBLISHED
from posgrad_edu.viz import describe_map, map_title, map_titles
from posgrad_edu.viz.frames import film, show_frames
from posgrad_edu.viz.grid import PANEL, ScaleOf, scales, show_grid

STILL_ENDINGS, FILM_ENDINGS = (".png", ".jpg", ".jpeg", ".pdf", ".svg"), (".gif", ".webp")
FIGURE_ENDINGS = (*STILL_ENDINGS, *FILM_ENDINGS)
SCALES: dict[str, ScaleOf] = {"class": "column", "row": "row", "map": "map"}  # classes make columns
MOST_PIXELS = 200e6  # of a picture: more needs several GB while it is drawn
DEFAULT_CLASSES, DEFAULT_METHODS, DEFAULT_HANDLINGS = ["most likely"], ["gradcam"], [PUBLISHED]

Classes = Annotated[list[str], typer.Option("--class", help="A label, a number, runner-up, least likely.")]
Methods = Annotated[list[str], typer.Option("--method", help="gradcam, lrp, ...")]
Handlings = Annotated[list[str], typer.Option("--handling", help="signed, positive, negative, ...")]
Scale = Annotated[str, typer.Option("--scale", help="What shares one: class (in a method's rows), row, or map.")]


def explain(
    photo: Annotated[str, typer.Argument(help="A picture's file, or the name of a sample photo: coffee.")],
    classes: Classes = DEFAULT_CLASSES,
    methods: Methods = DEFAULT_METHODS,
    handlings: Handlings = DEFAULT_HANDLINGS,
    out: Annotated[Path, typer.Option(help=f"The picture to write: {' '.join(FIGURE_ENDINGS)}")] = Path("map.png"),
    network: Annotated[str, typer.Option(help="A classifier of torchvision or timm.")] = "efficientnet-lite0",
    contrast: Annotated[str | None, typer.Option(help="Subtract this logit: mean (of all), or a class.")] = None,
    layer: Annotated[str | None, typer.Option(help="The layer that CAMs look at, if not the last.")] = None,
    scale: Scale = "row",
    size: Annotated[float, typer.Option(help="How wide a map is, in inches.")] = PANEL,
    dpi: Annotated[float, typer.Option(help="Pixels in an inch.")] = 110,
    device: Device = "cpu",
    download: Annotated[bool, typer.Option("--download", help="Fetch weights that aren't here.")] = False,
) -> None:
    """Draw what in a photo speaks for a class (red) and against it (blue), and say it in words.

    --class, --method and --handling can be given several times. Classes make columns; methods and handlings
    make rows. A .gif or .webp shows the rows one after another.
    """
    with one_line_errors():
        _check_out(out, photo)
        _check_size(scale, size, dpi)
        chosen = {f"{m}, {h}": _method(m, h, layer) for m in methods for h in handlings}
        as_device(device)  # refused now, before the network is loaded
        picture = open_photo(photo)
        clf = load_classifier(network, download=download).to(device)
        asked = predictions(clf, picture, classes)
        against = resolve_contrast(clf, contrast, clf.logits(picture))
        x, targets = clf.batch(picture), [[one.index for one in asked]]
        rows = {title: method(clf.net, x, targets, against)[0] for title, method in chosen.items()}
        if against is not None:
            rows = {f"{title}, {in_words(against, clf.labels)}": maps for title, maps in rows.items()}
        how = {"share": SCALES[scale], "groups": [method.name for method in chosen.values()], "size": size}
        how |= drawn_how([not isinstance(method, COARSE) for method in chosen.values()])
        grid = _grid(asked, rows)
        _write(out, clf.view(picture), grid, how, dpi)
        typer.echo("\n".join([*_sentences(asked, rows, _limits(grid, how)), f"Written to {out}."]))


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


def _grid(asked: Sequence[Prediction], rows: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the maps (K, H, W) of each method and handling, by the class's heading."""
    headings = map_titles(asked)
    return {title: dict(zip(headings, maps, strict=True)) for title, maps in rows.items()}


def _write(out: Path, view: Image, grid: Mapping[str, Mapping[str, Tensor]], how: dict[str, Any], dpi: float) -> None:
    """Draw the figure, or a film of its rows, and write it whole or not at all."""
    moves = out.suffix.lower() in FILM_ENDINGS
    figures = show_frames(view, grid, **how) if moves else [show_grid(view, grid, **how)]
    width, height = figures[0].get_size_inches() * dpi
    if width * height * len(figures) > MOST_PIXELS:
        raise ValueError(f"The picture would have {width:.0f} x {height:.0f} pixels. Choose a smaller --size or --dpi.")
    kind = out.suffix[1:].lower()
    with whole_file(out) as file:
        if moves:
            file.write(film(figures, kind, dpi))
        else:
            figures[0].savefig(file, format=kind, dpi=dpi)


def _limits(grid: Mapping[str, Mapping[str, Tensor]], how: dict[str, Any]) -> dict[tuple[int, int], float]:
    """Return each map's magnitude of full colour, by row and column."""
    return {place: scale.limit for scale in scales(grid, **how) for place in scale.places}


def _sentences(
    asked: Sequence[Prediction], rows: Mapping[str, Tensor], limits: Mapping[tuple[int, int], float]
) -> Iterator[str]:
    """Yield what each map shows, in words."""
    for r, (title, maps) in enumerate(rows.items()):
        for c, (one, values) in enumerate(zip(asked, maps, strict=True)):
            heading = f"{title}, class {one.index}, {map_title(one.label, one.probability)}"
            yield f"{heading}: {describe_map(values, limits[r, c] if len(asked) > 1 else None)}"


def _check_size(scale: str, size: float, dpi: float) -> None:
    """Refuse a scale that doesn't exist, and sizes of nothing."""
    if scale not in SCALES:
        raise unknown_name("scale", scale, SCALES)
    if not (0.5 <= size <= 50 and 10 <= dpi <= 2400):
        raise ValueError(f"--size is 0.5 to 50 inches and --dpi 10 to 2400 pixels, not {size:g} and {dpi:g}.")


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
