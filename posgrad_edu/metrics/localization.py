"""Does a map point at the object it was asked about?

On a picture whose objects have known places, such as a mosaic or a scene of digits, a map for class c should lie where
c is, and not where another class is:

    energy        the share of the map's evidence for the class, its positive part, that lies in the object's box
    energy_abs    the same of the map's magnitudes: evidence for and against
    energy_other  the share of the positive part that lies in the boxes of the other classes, outside the asked one's
    hit           the pointing game: does the map's largest value lie in the box?
    area          the box's share of the picture: the energy and the hits that a map gets by chance

An energy equal to the area is what noise gets. Much more needn't mean that the map knows the class: a map of all that
is drawn, such as |x|, has energy in every box of a scene on dark paper. What tells is energy held against energy_other,
as the controls of ``methods/controls.py`` show. The two needn't add up to 1: the rest lies in no box.

Boxes are (left, top, right, bottom) in the pixels of x, with right and bottom excluded: the pixel at (row, column) is
inside where left <= column < right and top <= row < bottom. ``scenes.make_scene`` gives such boxes, and so does
``mosaic`` for a picture of the size of the network's input.

Example:
    >>> picture = mosaic(["cat", "coffee"])
    >>> x = clf.preprocess(picture.image).unsqueeze(0)
    >>> localization(clf.net, x, [picture.boxes], [[282, 967]], method="gradcam", handling="positive")

References:
    Zhang et al. Top-down Neural Attention by Excitation Backprop. IJCV 2018. arXiv:1608.00507, sec. 4.1 (pointing game;
    here without its tolerance of 15 pixels around the object).
    Wang et al. Score-CAM. CVPR workshop 2020. arXiv:1910.01279, sec. 4.3 (energy in the box).
"""

from __future__ import annotations

import math
import operator
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from posgrad_edu.data import Box
from posgrad_edu.engine.inputs import Contrast, check_photos
from posgrad_edu.methods import AnyHandling, Methods, explain
from posgrad_edu.metrics.similarity import is_degenerate
from posgrad_edu.metrics.tables import as_table, batches, by_label, of_photos

if TYPE_CHECKING:
    from pandas import DataFrame


# --- One map and one box ---


def energy_in_box(saliency: Tensor, box: Box) -> float:
    """Return the share of a map's positive part that lies in a box, 0 to 1.

    saliency: a map (H, W); give ``saliency.abs()`` for the share of magnitudes. nan for a map without a positive value,
    or with one that isn't finite: where there is no evidence, it has no place. A constant positive map gets the area.
    Raises ``ValueError`` for a box that isn't within the map.
    """
    return _energy(saliency, inside([box], _size(saliency)))


def pointing_game(saliency: Tensor, box: Box) -> float:
    """Return 1 if a map's largest value lies in a box, 0 if it doesn't (Zhang et al. 2018, sec. 4.1).

    saliency: a map (H, W). Where several pixels share the largest value, the share of them that lies in the box: what
    picking one of them blindly would give on average. nan for a constant map, which points nowhere, and for a map with
    values that aren't finite. Raises ``ValueError`` for a box that isn't within the map.
    """
    return _hit(saliency, inside([box], _size(saliency)))


def inside(boxes: Sequence[Box], size: tuple[int, int]) -> Tensor:
    """Return a mask (H, W) of the pixels in any of the boxes; ``ValueError`` for a box beyond the map's ``size``."""
    mask = torch.zeros(size, dtype=torch.bool, device="cpu")  # whatever the default is
    for box in boxes:
        left, top, right, bottom = _checked(box, size)
        mask[top:bottom, left:right] = True
    return mask


def _energy(saliency: Tensor, region: Tensor) -> float:
    evidence = saliency.detach().cpu().double().clamp(min=0)  # in float64, for a float16 sum runs over at 65504
    total = evidence.sum()
    if total == 0 or not torch.isfinite(saliency).all():
        return math.nan
    return float(evidence[region].sum() / total)


def _hit(saliency: Tensor, region: Tensor) -> float:
    if is_degenerate(saliency):
        return math.nan
    largest = (saliency == saliency.max()).cpu()
    return float(largest[region].sum() / largest.sum())


# --- A table ---


def localization(
    net: nn.Module,
    x: Tensor,
    boxes: Sequence[Sequence[Box]],
    targets: Sequence[Sequence[int]] | Tensor,
    method: Methods = "gradcam",
    handling: AnyHandling = None,
    contrast: Contrast = None,
    **options: Any,
) -> DataFrame:
    """Return how well the maps for each object of each photo point at it: one row a photo and object.

    net, x, method, handling, contrast, options: as for ``explain``. boxes: for each photo a list of boxes, in the
    pixels of x. targets: for each photo a list of classes, one a box. Objects of one class count as one place: a map
    that is asked about a class can't tell them apart.
    Columns: photo, object, target, energy, energy_abs, energy_other, hit, area, and degenerate, which flags a map
    without positive evidence or constant, whose energy or hit is therefore nan. Of several methods by label, which
    share forward passes where they can, the first column is method, the label.
    Raises what ``explain`` does, and ``ValueError`` for boxes that don't fit the photos or the targets.
    """
    methods = by_label(method, handling, options)
    check_photos(x)
    classes = _as_lists(targets)
    _check_counts(len(x), boxes, classes)
    height, width = x.shape[-2:]
    for photo in boxes:
        inside(photo, (height, width))  # a box that doesn't fit is refused now, not after a long computation
    rows = []
    for photos in _batches(classes):
        asked = torch.tensor([classes[n] for n in photos], device=x.device)
        against = of_photos(contrast, photos, x)
        for label, maps in explain(net, x[photos], asked, methods, contrast=against).items():
            for n, of_photo in zip(photos, maps, strict=True):
                rows += [{"method": label, "photo": n, **row} for row in _rows(of_photo, boxes[n], classes[n])]
    return as_table(sorted(rows, key=lambda row: row["photo"]), method)


def _rows(maps: Tensor, boxes: Sequence[Box], classes: Sequence[int]) -> list[dict[str, Any]]:
    """Return the measures of one photo: maps (K, H, W), a box and a class for each."""
    rows = []
    for k, (saliency, target) in enumerate(zip(maps, classes, strict=True)):
        size = _size(saliency)
        asked = inside([box for box, c in zip(boxes, classes, strict=True) if c == target], size)
        others = inside(boxes, size) & ~asked
        energy, hit = _energy(saliency, asked), _hit(saliency, asked)
        rows.append(
            {
                "object": k,
                "target": target,
                "energy": energy,
                "energy_abs": _energy(saliency.abs(), asked),
                "energy_other": _energy(saliency, others),
                "hit": hit,
                "area": float(asked.double().mean()),
                "degenerate": math.isnan(energy) or math.isnan(hit),
            }
        )
    return rows


def _batches(classes: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the photos in groups: a group has the same number of objects in each photo, so one target (n, K)."""
    by_objects: defaultdict[int, list[int]] = defaultdict(list)
    for n, photo in enumerate(classes):
        by_objects[len(photo)].append(n)
    return [part for group in by_objects.values() for part in batches(group)]


# --- Refusals ---


def _size(saliency: Tensor) -> tuple[int, int]:
    if saliency.ndim != 2:
        raise ValueError(f"A box is looked for in one map (H, W), not in shape {tuple(saliency.shape)}.")
    return saliency.shape[0], saliency.shape[1]


def _checked(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    height, width = size
    if len(box) != 4 or any(int(edge) != edge for edge in box):
        raise ValueError(f"A box is four whole numbers, (left, top, right, bottom) in pixels, not {tuple(box)}.")
    left, top, right, bottom = (int(edge) for edge in box)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(
            f"The box {(left, top, right, bottom)} isn't within a map {width} pixels wide and {height} high. "
            "Boxes are (left, top, right, bottom) in the pixels of x, after the preprocessing has resized and cropped."
        )
    return left, top, right, bottom


def _as_lists(targets: Sequence[Sequence[int]] | Tensor) -> list[list[int]]:
    try:
        return [[operator.index(c) for c in photo] for photo in targets]
    except TypeError as error:
        raise ValueError("targets holds a list of classes for each photo: whole numbers, one a box.") from error


def _check_counts(photos: int, boxes: Sequence[Sequence[Box]], classes: Sequence[Sequence[int]]) -> None:
    if not len(boxes) == len(classes) == photos:
        raise ValueError(
            f"{photos} photo(s), but boxes for {len(boxes)} and targets for {len(classes)}: give a list for each photo."
        )
    for n, (places, names) in enumerate(zip(boxes, classes, strict=True)):
        if len(places) != len(names) or not names:
            raise ValueError(
                f"Photo {n} has {len(places)} box(es) and {len(names)} target(s): give one class a box, at least one."
            )
