"""Numbers of ``pg.explain`` that the page's maps are held against: means of blocks, small enough to be stored."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

import posgrad_edu as pg
from exporting.catalogue import POSITIVE
from posgrad_edu.models import Classifier

PHOTOS = ("coffee", "cat", "rocket", "motorcycle", "flower")
BLOCK = 8  # pixels: a map becomes 28 x 28 means
# How far the page's maps may be from the package's, in parts of the largest magnitude. Other programs add up the same
# products in another order. Of 6.2 million units up to four then lie on the other side of a ReLU's kink, and open or
# close a path to the photo; LRP's signed rule divides by sums near zero. The package in float32 and in float64 differ
# by as much. tests/lab shows that nothing else differs.
EXACT, AT_KINKS = 1e-4, 5e-2
GATED = ("gradient", "input-x-gradient", "fullgrad")
GATED_UNLESS_POSITIVE = ("guided-backprop", "lrp")  # lrp as published, too, is positive but for the last layer


def references(clf: Classifier) -> dict[str, Any]:
    """Return, for five photos, all methods and their handlings, the map of the photo's most likely class.

    Each has ``largest``, the map's largest magnitude, ``means``, 28 rows of 28 block means, and ``within``.
    """
    found = []
    for photo in PHOTOS:
        x = clf.preprocess(pg.load_photo(photo)).unsqueeze(0)
        target = clf.top(pg.load_photo(photo), 1)[0].index
        for name in pg.METHODS:
            kinds = ["published", "signed", "positive"] if name == "lrp" else [*POSITIVE]
            chosen = {kind: pg.METHODS[name](None if kind == "published" else kind) for kind in kinds}
            for kind, map in pg.explain(clf.net, x, target, chosen).items():
                what = {"photo": photo, "class": target, "method": name, "handling": kind}
                found.append({**what, "within": within(name, kind), **_numbers(map[0])})
    return {"block": BLOCK, "maps": found}


def within(method: str, handling: str) -> float:
    """Return how far another program's map may be from the package's."""
    signed = method in GATED_UNLESS_POSITIVE and handling not in ("positive", "published")
    return AT_KINKS if method in GATED or signed else EXACT


def _numbers(map: Tensor) -> dict[str, Any]:
    means = F.avg_pool2d(map[None, None], BLOCK)[0, 0]
    rounded = [[float(f"{v:.7g}") for v in row] for row in means.tolist()]
    return {"largest": float(map.abs().max()), "means": rounded}
