"""One page about one map, for whoever has to decide by it: what was asked, how it was made, what stands against it.

    page = map_report(clf, photo, "espresso")
    page                                     # in a notebook: the map, its controls, six fields
    page.spearman_classes                    # the numbers, as plain attributes
    page.save("espresso.html")               # one file with everything in it

A map alone can't show that it answers the question above it. So three maps are held against it that should differ: the
same method's for random classes, the same network's with a random last layer, and the photo's edges. With the object's
box, a fourth number says how much of the evidence for the class lies in it. One photo has no interval: a number gets a
word by the line that a study uses, but no verdict.

References:
    Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018. arXiv:1810.03292 (random layers, the edge detector).
    Khakzar, Baselizadeh, Navab 2020. arXiv:2012.00362, sec. 4 (maps of two classes).
    Mitchell et al. Model Cards for Model Reporting. FAT* 2019. arXiv:1810.03993 (one page, always the same fields).
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.data import Box
from posgrad_edu.data.files import whole_file, write_text
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.methods import AnyHandling, Method, OneMethod, explain, resolve
from posgrad_edu.methods.cam import CAM
from posgrad_edu.metrics import energy_in_box, is_degenerate, similarities
from posgrad_edu.metrics.randomization import randomizable_layers, with_random
from posgrad_edu.metrics.sensitivity import RANDOM_CLASSES, random_classes
from posgrad_edu.models.classifier import AnyClass, Classifier, resolve_class, resolve_contrast
from posgrad_edu.models.explanation import QUANTILE, Explanation
from posgrad_edu.study.formatting import format_number, markdown_table
from posgrad_edu.study.verdicts import ALIKE_ABOVE
from posgrad_edu.viz.output import to_jpeg

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

FIELDS = ("Network and photo", "Question", "Method", "Handling", "Controls", "Limits")
HEADS = 3  # networks with a random last layer
MEASURED = f"Rank correlations with this map, where above {ALIKE_ABOVE} is alike, and the share in a box."
UNSURE = 0.5  # below it, the network itself gives the class less than half
PASSING = "That a map differs from its controls doesn't prove it right: noise differs from all of them."
STYLE = "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto} td,th{text-align:left;padding-right:1em}"


class Control(NamedTuple):
    """A line of the page: what the map is held against, the number as text, and what the number says."""

    against: str
    number: str
    says: str


@dataclass(frozen=True, eq=False)
class MapReport:
    """A map with what one has to know before one believes it; it shows itself in a notebook.

    network, label, target, probability, most_likely: who was asked about what, and what the network itself says.
    method, handling, layer, contrast: how the map was made; layer is "" but for CAMs. photo: what the network sees.
    map, other_map, head_map, edges_map: (H, W), of the class, of the first other class, of the first network with a
        random last layer, and the photo's edges. fine: whether maps have the photo's detail.
    classes, of_classes: the other classes, and the rank correlation of each one's map with the map.
    head, of_heads: the last layer's name, and the rank correlation for each draw of its weights.
    spearman_edges: the rank correlation of the map's magnitudes, for edges have no sign, with the edges.
    share_in_box, box_area: the share of the map's positive part in the object's box, and of the photo; or ``None``.
    """

    network: str
    photo: Image = field(repr=False)
    label: str
    target: int
    probability: float = field(repr=False)
    most_likely: str
    method: str
    handling: str
    layer: str
    contrast: str
    fine: bool = field(repr=False)
    map: Tensor = field(repr=False)
    other_map: Tensor = field(repr=False)
    head_map: Tensor = field(repr=False)
    edges_map: Tensor = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    of_classes: tuple[float, ...] = field(repr=False)
    head: str = field(repr=False)
    of_heads: tuple[float, ...] = field(repr=False)
    spearman_edges: float = field(repr=False)
    share_in_box: float | None = field(repr=False, default=None)
    box_area: float | None = field(repr=False, default=None)

    @property
    def spearman_classes(self) -> float:
        """The mean rank correlation with the other classes' maps; nan where none could be compared."""
        return _mean(self.of_classes)

    @property
    def spearman_head(self) -> float:
        """The mean rank correlation with the maps of the network with a random last layer."""
        return _mean(self.of_heads)

    @property
    def title(self) -> str:
        """What stands above the page."""
        return f"What a map can say about {self.label!r}"

    def controls(self) -> list[Control]:
        """Return a line for each thing that the map is held against."""
        lines = [
            Control(_of_classes(self), _spread(self.of_classes), _says(self.spearman_classes)),
            Control(
                f"maps of the network with {self.head!r} random, {len(self.of_heads)} draws",
                _spread(self.of_heads),
                _says(self.spearman_head),
            ),
            Control(
                "the photo's edges (the map's magnitudes)",
                format_number(self.spearman_edges),
                _says(self.spearman_edges),
            ),
        ]
        if self.share_in_box is not None and self.box_area is not None:
            where = f"of the evidence for the class, the share in its box, which covers {viz.percent(self.box_area)}"
            lines.append(
                Control(where, format_number(self.share_in_box), _says_of_box(self.share_in_box, self.box_area))
            )
        return lines

    def limits(self) -> list[str]:
        """Return in sentences what this map doesn't show: first what was found here, then what holds for any map."""
        lines = []
        if self.spearman_classes > ALIKE_ABOVE:
            lines.append(f"It doesn't say what speaks for {self.label} and not for others: their maps are alike.")
        if self.spearman_head > ALIKE_ABOVE:
            lines.append("It doesn't show what the last layer has learned: with random weights it is much the same.")
        if is_degenerate(self.map):
            lines.append("The map is constant, or not finite: it points nowhere.")
        if self.probability < UNSURE:
            lines.append(f"The network itself gives {self.label} only {viz.percent(self.probability)}.")
        if self.contrast == "logit":
            lines.append("A single logit also holds what is added to all classes alike; a contrast leaves that out.")
        if self.share_in_box is None:
            lines.append("Whether it points to the object wasn't measured: no box was given.")
        return [*lines, PASSING, "One photo: what holds here needn't hold for the next."]

    def fields(self) -> dict[str, str]:
        """Return the page's six fields, by ``FIELDS``, as text."""
        rows = "; ".join(f"{line.against}: {line.number} ({line.says})" for line in self.controls())
        return {**_made_how(self), "Controls": f"{MEASURED} {rows}.", "Limits": " ".join(self.limits())}

    def figure(self) -> Figure:
        """Return the photo, the map, and what it is held against, each in its own scale; words are in ``.alt``."""
        maps = {
            viz.map_title(self.label, self.probability): self.map,
            f"another class: {self.classes[0]}": self.other_map,
            "last layer random": self.head_map,
            "edges": self.edges_map,
        }
        style: Any = "heatmap" if self.fine else "overlay"
        scaled = {name: _scaled(one, QUANTILE if self.fine else None) for name, one in maps.items()}
        return viz.show_grid(self.photo, scaled, limit=1.0, style=style, title="Each map in its own scale")

    def markdown(self, picture: str = "") -> str:
        """Return the page in Markdown; picture: the address of a file with the figure, or none."""
        image = [f"![{_alt(self.figure())}]({picture})"] if picture else []
        fields = [f"**{name}.** {words}" for name, words in _made_how(self).items()]
        table = markdown_table(["held against", "measured", "says"], self.controls())
        limits = "\n".join(f"* {line}" for line in self.limits())
        return (
            "\n\n".join([f"# {self.title}", *image, *fields, f"**Controls.** {MEASURED}", table, "**Limits.**", limits])
            + "\n"
        )

    def html(self, heading: str = "h3") -> str:
        """Return the page's content in HTML, with the figure in it; text has the colour of what is around it."""
        figure = self.figure()
        data = base64.b64encode(to_jpeg(figure)).decode("ascii")
        parts = [
            f"<{heading}>{escape(self.title)}</{heading}>",
            f'<img src="data:image/jpeg;base64,{data}" alt="{escape(_alt(figure))}" style="max-width:100%">',
            *(f"<p><b>{name}.</b> {escape(words)}</p>" for name, words in _made_how(self).items()),
            f"<p><b>Controls.</b> {MEASURED}</p>",
            _html_table(["held against", "measured", "says"], self.controls()),
            "<p><b>Limits.</b></p>",
            f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in self.limits())}</ul>",
        ]
        return "\n".join(parts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page: one .html with the picture in it, or a .md with a .jpg of the same name beside it.

        A file that is there is replaced. Raises ``ValueError`` for another ending.
        """
        path = Path(path)
        if path.suffix == ".html":
            head = f'<meta charset="utf-8"><title>{escape(self.title)}</title><style>{STYLE}</style>'
            body = self.html("h1")
            write_text(f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n', path)
        elif path.suffix == ".md":
            picture = path.with_suffix(".jpg")
            with whole_file(picture) as file:
                file.write(to_jpeg(self.figure()))
            write_text(self.markdown(picture.name), path)
        else:
            raise ValueError(
                f"A report is saved as .html or .md, not as {path.suffix or 'a name without an ending'!r}."
            )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/html": self.html(), "text/plain": repr(self)}


# --- Measuring ---


def map_report(
    clf: Classifier,
    photo: Image,
    label: AnyClass = "most likely",
    *,
    method: OneMethod = "gradcam",
    handling: AnyHandling = None,
    contrast: AnyClass | None = "mean",
    against: int | Sequence[AnyClass] | None = None,
    box: Box | None = None,
    seed: int = 0,
) -> MapReport:
    """Return one page about the map of a photo for a class.

    label, method, handling, contrast: as for ``clf.explain``, but for one class and one method.
    against: the other classes, as a list of words or numbers; or how many random ones, ``None`` for ten, or all there
        are. box: where the object is, (left, top, right, bottom) in the pixels of what the network sees.
    seed: decides the random classes, and the weights of the last layer, which are drawn three times.
    Raises what ``clf.explain`` does, and ``ValueError`` for several methods, for other classes that are none, and for a
    network that has no last layer, or holds it so that it can't be replaced.
    """
    chosen = _one_method(clf, method, handling)
    logits = clf.logits(photo)
    target, held = resolve_class(clf, label, logits), resolve_contrast(clf, contrast, logits)
    others = _other_classes(clf, logits, target, held, against, seed)
    found: Any = clf.explain(photo, [target, *others], chosen, contrast=held)
    own, *rest = found
    head, of_heads = _random_heads(clf, photo, own, chosen, held, seed)
    edges = explain(clf.net, clf.batch(photo), target, "edges")[0]
    return MapReport(
        network=str(clf.name),
        most_likely=clf.top(photo, k=1)[0].label,
        layer=str(chosen.layer) if isinstance(chosen, CAM) else "",
        other_map=rest[0].map,
        head_map=of_heads[0],
        edges_map=edges,
        classes=tuple(one.label for one in rest),
        of_classes=_correlations(own.map, [one.map for one in rest]),
        head=head,
        of_heads=_correlations(own.map, of_heads),
        spearman_edges=_correlations(own.map.abs(), [edges])[0],
        share_in_box=None if box is None else energy_in_box(own.map, box),
        box_area=None if box is None else energy_in_box(torch.ones_like(own.map), box),
        **{name: getattr(own, name) for name in _ASKED},
    )


# What a report has from the explanation.
_ASKED = ("photo", "label", "target", "probability", "method", "handling", "contrast", "fine", "map")


def _one_method(clf: Classifier, method: OneMethod, handling: AnyHandling) -> Method:
    """Return the method ready to be called, a CAM with its layer."""
    chosen = resolve(method, handling)
    if not isinstance(chosen, Method):
        raise ValueError("A report is about one map. Give one method, not several.")
    if isinstance(chosen, CAM) and not isinstance(chosen.layer, str):
        names = {module: name for name, module in clf.net.named_modules()}  # a copy knows its layers by name
        return dataclasses.replace(
            chosen, layer=clf.cam_layer if chosen.layer is None else names.get(chosen.layer, chosen.layer)
        )
    return chosen


def _other_classes(
    clf: Classifier,
    logits: Tensor,
    target: int,
    held: int | str | None,
    against: int | Sequence[AnyClass] | None,
    seed: int,
) -> list[int]:
    """Return the classes whose maps the map is held against, none of them the one that is asked about."""
    if isinstance(against, Sequence) and not isinstance(against, str):
        found = [resolve_class(clf, word, logits) for word in against]
        if not found or target in found:
            raise ValueError(f"against names other classes than {clf.labels[target]!r}, one or more; not {against!r}.")
        return found
    if isinstance(against, str):
        raise ValueError(f"against is a list of classes, such as [{against!r}], or how many random ones.")
    taken = {target} | ({held} if isinstance(held, int) else set())
    left = len(logits) - len(taken)
    if not left:
        raise ValueError(
            f"No other class is left beside {clf.labels[target]!r} and its contrast. Choose another contrast."
        )
    count = min(RANDOM_CLASSES, left) if against is None else against
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= left:
        raise ValueError(f"against is {count!r}, not a list of classes, or how many random ones, 1 to {left}.")
    return random_classes(torch.tensor([sorted(taken)], device="cpu"), len(logits), count, seed)[0].tolist()


def _random_heads(
    clf: Classifier, photo: Image, own: Explanation, method: Method, held: int | str | None, seed: int
) -> tuple[str, list[Tensor]]:
    """Return the last layer's name, and the maps (H, W) of the network with random weights in it, one a draw."""
    layers = randomizable_layers(clf.net, clf.batch(photo))
    if not layers:
        raise ValueError("This network has no layer whose weights can be made random, so that a control is missing.")
    head, logits, maps = layers[0], clf.logits(photo), []
    for draw in range(seed, seed + HEADS):
        changed = copy.copy(clf)
        changed.net = with_random(clf.net, [head], draw)
        if torch.equal(changed.logits(photo), logits):
            raise ValueError(
                f"A copy of this network still answers with the trained {head!r}: something holds the layer."
            )
        maps.append(changed.explain(photo, own.target, method, contrast=held).map)
    return head, maps


def _correlations(own: Tensor, others: Sequence[Tensor]) -> tuple[float, ...]:
    """Return the rank correlation of a map (H, W) with each of others; nan where one of the two is constant."""
    return tuple(each.spearman for each in similarities(torch.stack([*others]).to(own), own))


# --- Words ---


def _made_how(report: MapReport) -> dict[str, str]:
    """Return the fields that say how the map was made."""
    size = f"{report.photo.width} × {report.photo.height}"
    sure = f"it gives {report.label} {viz.percent(report.probability)}"
    first = "" if report.label == report.most_likely else f"; its most likely class is {report.most_likely}"
    layer = f", at layer {report.layer!r}" if report.layer else ""
    handling = HANDLINGS.get(report.handling)
    meaning = f": {handling.meaning}" if handling is not None else ""
    return {
        "Network and photo": f"{report.network}, which sees {size} pixels; {sure}{first}.",
        "Question": f"What speaks for {report.label}? Explained is its {report.contrast}.",
        "Method": f"{report.method}{layer}.",
        "Handling": f"{report.handling}{meaning}.",
    }


def _of_classes(report: MapReport) -> str:
    shown = ", ".join(report.classes[:3]) + (", ..." if len(report.classes) > 3 else "")
    return f"maps of {len(report.classes)} other class{'es' * (len(report.classes) > 1)} ({shown})"


def _spread(values: Sequence[float]) -> str:
    """Return the mean of several numbers, and from where to where they go."""
    known = [value for value in values if not math.isnan(value)]
    if len(known) < 2:
        return format_number(_mean(values))
    return f"{format_number(_mean(values))} ({format_number(min(known))} to {format_number(max(known))})"


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _says(value: float) -> str:
    if math.isnan(value):
        return "can't be compared"
    return "alike" if value > ALIKE_ABOVE else "differs"


def _says_of_box(share: float, area: float) -> str:
    if math.isnan(share):
        return "there is no evidence for the class"
    return "more than its area" if share > area else "no more than its area"


# --- The page ---


def _scaled(saliency: Tensor, quantile: float | None) -> Tensor:
    """Return a map (H, W) whose full colour is at 1."""
    return saliency / viz.symmetric_limit([saliency], quantile)


def _alt(figure: Figure) -> str:
    words: str = figure.alt  # type: ignore[attr-defined]
    return words


def _html_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines]
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    return f"<table><tr>{heads}</tr>{''.join(rows)}</table>"
