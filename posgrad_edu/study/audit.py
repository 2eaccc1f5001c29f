"""An audit of one method, of this package or another: one page that says what its maps depend on.

    page = audit_page("captum:GuidedBackprop", summarize(rows), nearest)

The method goes through a study's checks beside the controls, and each number gets a word by one rule, set beforehand:
of two maps that should differ the mean rank correlation, with its interval over photos. Above .5 they are alike, below
.5 they differ, else it's undecided. For the place of evidence the line is the box's area, what chance would get. For
perturbation it is 0: does the method's own map make the class fall faster than the map for another class?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.methods import CONTROLS, METHODS, explain, resolve
from posgrad_edu.metrics import similarities
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.study.formatting import format_estimate, format_number, markdown_table
from posgrad_edu.study.schema import CONTRASTS, PUBLISHED, main_score, published_handling
from posgrad_edu.study.verdicts import ALIKE_ABOVE

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from PIL.Image import Image


class Question(NamedTuple):
    """A row of the page: where its number stands in a summary, and the words for above and below the line."""

    check: str
    groups: tuple[str, ...]  # the first that is there
    mode: str
    asks: str
    above: str
    below: str


_CLASS = ("**doesn't depend on the class**", "depends on the class")
_IT = ("**doesn't depend on it**", "depends on it")
_THEM = ("**doesn't depend on them**", "depends on them")
_OTHER = ("knows more than another class's map", "**another class's map knows more**")
QUESTIONS = (
    Question("class", ("random",), "", "another class, drawn at random", *_CLASS),
    Question("class", ("least",), "", "the least likely class", *_CLASS),
    Question("parameters", ("classifier",), "cascading", "a random classifier", *_IT),
    Question("parameters", ("mean",), "cascading", "more and more random layers", *_THEM),
    Question("localization", ("objects",), "", "the share in its object's box", "points there", "**points elsewhere**"),
    Question("perturbation", ("least", "present"), "deletion", "covering what it marks", *_OTHER),
    Question("perturbation", ("least", "present"), "insertion", "uncovering what it marks", *_OTHER),
)
READING = """\
Rank correlations of two maps that should differ, means over photos with bootstrap intervals: alike above 0.5. *Noise*
passes each of these questions and shows nothing, so a low number alone proves nothing; the photo's *edges* and |x| ask
no network, and fail. For the place, the line is the box's area. For covering and uncovering, the number is by how much
the area under the curve is better than with another class's map, and the line is 0. A contrast is a class's logit minus
the mean of all logits, which is what a softmax sees; a logit alone also holds what is added to all classes."""


def nearest(method: str, clf: Classifier, photos: Sequence[Image]) -> list[tuple[str, float]]:
    """Return this package's methods with their handlings, most alike first: the mean rank correlation of maps.

    Methods that refuse the network are left out. Of each photo the most likely class is explained.
    """
    scores: dict[str, list[float]] = {}
    for photo in photos:
        x = clf.batch(photo)
        target = int(clf.logits(photo).argmax())
        own = explain(clf.net, x, target, method)
        for label, ours in _others(method, clf.net, x, target).items():
            scores.setdefault(label, []).append(similarities(ours, own[0])[0].spearman)
    means = [(label, float(np.mean(found))) for label, found in scores.items()]
    return sorted((pair for pair in means if not np.isnan(pair[1])), key=lambda pair: -pair[1])


def _others(method: str, net: Any, x: Any, target: int) -> dict[str, Any]:
    found = {}
    for name in METHODS:
        as_published = [PUBLISHED] if published_handling(name) is None else []
        for handling in ("signed", "positive", "absolute", *as_published):
            if name != method:
                try:
                    ours = resolve(name, None if handling == PUBLISHED else handling)
                    found[f"{name}, {handling}"] = explain(net, x, target, ours)
                except (UnsupportedOperation, ValueError):
                    break
    return found


def audit_page(method: str, summary: DataFrame, alike: Sequence[tuple[str, float]] = ()) -> str:
    """Return one page in Markdown about a method, for each network of a summary.

    summary: as ``summarize`` makes it, with the method and the controls. alike: as ``nearest`` gives it.
    Raises ``ValueError`` where the summary doesn't hold the method.
    """
    own = summary[summary.method == method]
    if own.empty:
        raise ValueError(f"This summary holds no {method}. There are: {', '.join(summary.method.unique())}.")
    parts = [f"# {method}", READING]
    for network, rows in summary.groupby("network"):
        for handling in own.handling[own.network == network].unique():
            named = f", {handling}" if handling != "none" else ""
            parts += [f"## On {network}{named}", _table(rows, method, handling)]
    if alike:
        best = ", ".join(f"{label} {format_number(score)}" for label, score in alike[:3])
        parts.append(f"Of this package's methods its maps are most like: {best} (mean rank correlation).")
    return "\n\n".join(parts) + "\n"


def _table(rows: DataFrame, method: str, handling: str) -> str:
    lines = []
    for question in QUESTIONS:
        score = main_score(question.check)
        for contrast in reversed(CONTRASTS):
            own = _row(rows, question, contrast, method, handling)
            if own is not None:
                controls = [_row(rows, question, contrast, name) for name in CONTROLS]
                cells = ["–" if row is None else format_number(float(row[score])) for row in controls]
                asked = {"mean": "contrast"}.get(contrast, contrast)
                lines.append([question.asks, asked, format_estimate(own, score), *cells, word(question, own)])
    return markdown_table(["asked about", "of a", "this method", *CONTROLS, ""], lines)


def _row(rows: DataFrame, question: Question, contrast: str, method: str, handling: str | None = None) -> Series | None:
    wanted = {"check": question.check, "mode": question.mode, "contrast": contrast, "method": method}
    found = rows[(rows[list(wanted)] == list(wanted.values())).all(axis=1)]
    if handling is not None:
        found = found[found.handling == handling]
    of_group = [found[found.group == group].iloc[0] for group in question.groups if group in set(found.group)]
    return of_group[0] if of_group else None


def word(question: Question, row: Mapping[str, Any] | Series) -> str:
    """Return what a number and its interval say."""
    line = {"localization": float(row["area"]), "perturbation": 0.0}.get(question.check, ALIKE_ABOVE)
    low, high = (float(row[f"{main_score(question.check)}{end}"]) for end in ("_low", "_high"))
    if low > line:
        return question.above
    return question.below if high < line else "undecided"
