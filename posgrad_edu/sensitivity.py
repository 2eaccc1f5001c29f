"""Does a map depend on what it claims to explain? Here: on the class.

Class sensitivity compares the maps of one photo for two classes. A map that shows why the network sees a *cat* has to
change when it is asked about a *dog*; where the two maps are alike, the map shows something else.

Reference: Khakzar, Baselizadeh, Navab 2020. arXiv:2012.00362, sec. 4 (class sensitivity).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from posgrad_edu.errors import unknown_name
from posgrad_edu.handling import Handling
from posgrad_edu.methods import explain
from posgrad_edu.methods.base import Method
from posgrad_edu.methods.inputs import Target, as_target, check_network, check_photos
from posgrad_edu.similarity import compare

if TYPE_CHECKING:
    from pandas import DataFrame

OTHERS = ("least", "runner-up")


def class_sensitivity(
    net: nn.Module,
    x: Tensor,
    method: str | type[Method] = "gradcam",
    handling: str | Handling | None = None,
    target: Target | None = None,
    other: str | Target = "least",
    **options: Any,
) -> DataFrame:
    """Return how alike the maps of each photo are for two classes: one row a photo.

    net, x, method, handling, options: as for ``explain``. target: one class for all or (N,); ``None`` for the most
    likely. other: "least" for the class with the smallest logit, "runner-up" for the second largest, or classes.
    Columns: photo, target, other, spearman, spearman_abs, ssim, degenerate.
    Raises what ``explain`` does, and ``ValueError`` for the same class twice.
    """
    import pandas as pd

    check_network(net)
    check_photos(x)
    with torch.no_grad():
        logits = net(x)
    first = logits.argmax(1) if target is None else as_target(target, len(x), x.device)[:, 0]
    second = other_classes(logits, other)
    if (first == second).any():
        photo = int((first == second).nonzero()[0])
        raise ValueError(f"Photo {photo} would be compared with itself: both classes are {int(first[photo])}.")
    maps = explain(net, x, torch.stack([first, second], dim=1), method, handling, **options)
    rows = [
        {"photo": n, "target": int(first[n]), "other": int(second[n]), **compare(pair[0], pair[1])._asdict()}
        for n, pair in enumerate(maps)
    ]
    return pd.DataFrame(rows)


def other_classes(logits: Tensor, other: str | Target) -> Tensor:
    """Return the class (N,) that each photo's map is compared with."""
    if not isinstance(other, str):
        return as_target(other, len(logits), logits.device)[:, 0]
    if other not in OTHERS:
        raise unknown_name("class to compare with", other, OTHERS)
    return logits.argmin(1) if other == "least" else logits.topk(2, dim=1).indices[:, 1]
