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


def references(clf: Classifier) -> dict[str, Any]:
    """Return, for five photos, all methods and their handlings, the map of the photo's most likely class.

    Each has ``largest``, the map's largest magnitude, and ``means``, 28 rows of 28 block means.
    """
    found = []
    for photo in PHOTOS:
        x = clf.preprocess(pg.load_photo(photo)).unsqueeze(0)
        target = clf.top(pg.load_photo(photo), 1)[0].index
        for name in pg.METHODS:
            kinds = ["published", "signed", "positive"] if name == "lrp" else [*POSITIVE]
            chosen = {kind: pg.METHODS[name](None if kind == "published" else kind) for kind in kinds}
            for kind, map in pg.explain(clf.net, x, target, chosen).items():
                found.append({"photo": photo, "class": target, "method": name, "handling": kind, **_numbers(map[0])})
    return {"block": BLOCK, "maps": found}


def _numbers(map: Tensor) -> dict[str, Any]:
    means = F.avg_pool2d(map[None, None], BLOCK)[0, 0]
    rounded = [[float(f"{v:.7g}") for v in row] for row in means.tolist()]
    return {"largest": float(map.abs().max()), "means": rounded}
