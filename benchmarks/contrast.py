"""What a map of one logit owes to a vector that no prediction depends on, and what is left of it under a contrast.

    python benchmarks/contrast.py [classes] [shifts]

classes: the mean over photos of the rank correlation between the most likely class's map and another's: the least
likely one's, or, first averaged, those of ten random classes. ``shifted`` adds a · |min_c w_ck| to the weights of each
class. In brackets the pairs that have no correlation, since a map is constant. Takes about twenty minutes on a laptop.

shifts: the rank correlation of the most likely class's map with itself, before and after a shift: the smallest of the
photos. Takes about three minutes. Both write their tables into ``docs/contrast.md``.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from document import write_section
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.metrics.sensitivity import random_classes
from posgrad_edu.metrics.similarity import is_degenerate, spearman
from posgrad_edu.models import shift_vector, shifted

METHODS = {
    "GradCAM signed": ("gradcam", "signed"),
    "GradCAM positive": ("gradcam", "positive"),
    "gradient signed": ("gradient", "signed"),
    "guided backprop positive": ("guided-backprop", "positive"),
}
LRP = {
    "LRP published": ("lrp", None),
    "LRP signed": ("lrp", "signed"),
    "LRP positive": ("lrp", "positive"),
}
SHIFTS = (0.0, 0.25, -0.25, -1.0)
PHOTOS = ("coffee", "cat", "rocket", "motorcycle", "astronaut", "china", "flower")
AFTER = (0.25, -1.0)  # for the comparison of a map with itself
RANDOM = 10

Numbers = dict[str, list[list[float]]]  # by label, for each photo a number a pair


def main() -> None:
    clf = pg.load_classifier("efficientnet-lite0")
    x = torch.cat([clf.batch(pg.load_photo(name)) for name in PHOTOS])
    parts = sys.argv[1:] or ["classes", "shifts"]
    if "shifts" in parts:
        write_section("contrast.md", "contrast.py shifts", before_and_after(clf, x))
    if "classes" in parts:
        write_section("contrast.md", "contrast.py classes", "\n\n".join(tables(between_classes(clf, x))))


def before_and_after(clf: pg.Classifier, x: Tensor) -> str:
    """Return a table of how alike the most likely class's map is to itself, before and after a shift."""
    methods = {
        f"{name} {handling or 'published'}": pg.METHODS[name](handling)
        for name in pg.METHODS
        for handling in ((None, "signed", "positive") if name == "lrp" else ("signed", "positive"))
    }
    target = clf.net(x).detach().argmax(1)
    networks = [clf.net, *(shifted(clf.net, shift_vector(clf.net, a), x) for a in AFTER)]
    maps = {c: [pg.explain(net, x, target, methods, contrast=c) for net in networks] for c in (None, "mean")}
    rows = ["| method | " + " | ".join(f"{c or 'logit'}, a = {a:+g}".replace("-", "−") for c in maps for a in AFTER)]
    for label in methods:
        cells = [
            f"{min(correlation(*pair) for pair in zip(first[label], other[label], strict=True)):.4f}"
            for first, *others in maps.values()
            for other in others
        ]
        rows.append(f"| {label} | " + " | ".join(cells).replace("-", "−"))
    return " |\n".join([rows[0], "|---" * (1 + 2 * len(AFTER)), *rows[1:]]) + " |"


def between_classes(clf: pg.Classifier, x: Tensor) -> dict[tuple[str, str], list[str]]:
    """Return the rows of each table, by contrast and by the other class."""
    logits = clf.net(x).detach()
    others = random_classes(logits.argmax(1)[:, None], logits.shape[1], RANDOM)
    classes = torch.cat([logits.argmax(1)[:, None], logits.argmin(1)[:, None], others], dim=1)
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for a in SHIFTS:
        net = shifted(clf.net, shift_vector(clf.net, a), x)
        change = float((net(x).softmax(1) - logits.softmax(1)).abs().max().detach())
        for contrast in ("none", "mean"):
            for other, numbers in measured(net, x, classes, None if contrast == "none" else contrast).items():
                found[contrast, other].append(row(f"{a:+g} | {change:.0e}" if a else "0 | 0", numbers))
                print(a, contrast, other, found[contrast, other][-1], flush=True)
    return found


def measured(net: nn.Module, x: Tensor, classes: Tensor, contrast: str | None) -> dict[str, Numbers]:
    """Return the correlations with the least likely class's map, and with those of random classes."""
    found: dict[str, Numbers] = {"least": defaultdict(list), "random": defaultdict(list)}
    for photo, asked in zip(x.split(1), classes, strict=True):
        for methods, of in ((METHODS, asked), (LRP, asked[:2])):
            chosen = {label: pg.METHODS[name](handling) for label, (name, handling) in methods.items()}
            for label, maps in pg.explain(net, photo, of[None], chosen, contrast=contrast).items():
                values = [correlation(maps[0, 0], other) for other in maps[0, 1:]]
                found["least"][label].append(values[:1])
                if values[1:]:
                    found["random"][label].append(values[1:])
    return found


def correlation(a: Tensor, b: Tensor) -> float:
    return math.nan if is_degenerate(a) or is_degenerate(b) else spearman(a.double().numpy(), b.double().numpy())


def row(head: str, numbers: Numbers) -> str:
    """Return a table's row: means over photos, of each first over its pairs."""
    cells = []
    for of_photos in numbers.values():
        missing = int(np.isnan(of_photos).sum())
        means = [np.nanmean(pairs) for pairs in of_photos if not np.isnan(pairs).all()]
        cells.append(f"{np.mean(means):+.2f}".replace("-", "−") + f" ({missing})" * bool(missing))
    return f"| {' | '.join([head.replace('-', '−'), *cells])} |"


def tables(found: dict[tuple[str, str], list[str]]) -> Iterator[str]:
    about = {"none": "The logit", "mean": "The logit minus the mean of all"}
    against = {"least": "the least likely class", "random": f"{RANDOM} random classes"}
    for (contrast, other), rows in found.items():
        labels = [*METHODS, *(LRP if other == "least" else ())]
        head = f"| a | softmax | {' | '.join(labels)} |\n|{'---|' * (len(labels) + 2)}"
        yield f"{about[contrast]}, the most likely class against {against[other]}:\n\n" + "\n".join([head, *rows])


if __name__ == "__main__":
    main()
