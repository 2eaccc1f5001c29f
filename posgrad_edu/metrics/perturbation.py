"""Does covering what a map marks take the class away? Deletion and insertion curves, and the areas under them.

    deletion    cover the photo patch by patch, the map's most important first, and watch the class's score fall
    insertion   begin with all covered, uncover the most important first, and watch the score rise

The score is a contrast, the class's logit minus the mean of all logits: a number added to all logits alike changes no
prediction, and so it shouldn't change a curve. ``kept`` is the score between that of the covered photo, 0, and that of
the whole one, 1. How fast a curve falls says little by itself. Four orders are held against one another:

    own      by the map for the asked class       random   by noise
    other    by the same method's map for         edges    by the photo's edges, which know no network
             another class

What the own order does better than the other class's is what the map knows about the class; what it does better than
edges, about the network. (On scenes the contrast adds to it: covering another digit raises the score, too.) A covered
photo is one that the network has never seen, and what it answers to that depends on what the patches are covered with
(``baseline``): compare several before you believe a difference.

Example:
    >>> table = perturbation(clf.net, x, "gradcam", "positive")
    >>> perturbation_areas(table)                            # one row a photo and mode
    >>> pg.plot(table)

References:
    Samek et al. Evaluating the Visualization of What a Deep Neural Network Has Learned. IEEE TNNLS 2017.
        arXiv:1509.06321, sec. III (regions, most relevant first).
    Petsiuk, Das, Saenko. RISE. BMVC 2018. arXiv:1806.07421, sec. 4.1 (deletion, insertion, area under the curve).
    Sturmfels, Lundberg, Lee. Visualizing the Impact of Feature Attribution Baselines. Distill 2020 (baselines).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posgrad_edu.engine.contrast import MEAN, contrasts
from posgrad_edu.engine.inputs import Contrast, Target, check_network, check_photos
from posgrad_edu.engine.passes import predict
from posgrad_edu.errors import unknown_name
from posgrad_edu.methods import AnyHandling, Edges, Method, Methods, Noise, explain
from posgrad_edu.metrics.sensitivity import other_classes
from posgrad_edu.metrics.similarity import is_degenerate
from posgrad_edu.metrics.tables import as_table, batches, by_label, of_photos
from posgrad_edu.progress import bar

if TYPE_CHECKING:
    from pandas import DataFrame

Baseline = Literal["mean", "blur", "zero"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
Perturbation = Literal["deletion", "insertion"]
PERTURBATIONS: tuple[Perturbation, ...] = get_args(Perturbation)
ORDERS = ("own", "other", "random", "edges")
BLUR = 16  # the blur's standard deviation is this part of the photo's longer side: digits and faces are gone


# --- One photo ---


def covered(x: Tensor, baseline: Baseline | str = "mean") -> Tensor:
    """Return photos (N, C, H, W) with all covered.

    baseline: "mean" for each photo's own mean colour, "blur" for the photo out of focus, "zero" for zeros: the data's
    mean where photos are normalized, and black paper in a scene. ``ValueError`` for another.
    """
    from torchvision.transforms.functional import gaussian_blur

    if baseline not in BASELINES:
        raise unknown_name("baseline", baseline, BASELINES)
    if baseline == "mean":
        return x.mean((2, 3), keepdim=True).expand_as(x)
    if baseline == "zero":
        return torch.zeros_like(x)
    deviation = max(x.shape[-2:]) / BLUR
    width = 2 * min(math.ceil(3 * deviation), min(x.shape[-2:]) - 1) + 1  # a mirrored border has no more than that
    return gaussian_blur(x, [width, width], [deviation, deviation])


def patch_ranks(saliency: Tensor, patch: int = 1, seed: int = 0) -> Tensor:
    """Return for each pixel (H, W) the rank of its patch, 0 for the patch in which the map adds up to most.

    patch: the side of the squares in pixels; those at the right and lower rim may be cut. Patches of one sum come in a
    random order, of ``seed``: a map that is zero in most places must not cover the photo line by line.
    """
    height, width = saliency.shape
    values = saliency.detach().cpu().double()
    sums = F.avg_pool2d(values[None, None], patch, ceil_mode=True, divisor_override=1)[0, 0]
    generator = torch.Generator("cpu").manual_seed(seed)
    shuffled = torch.randperm(sums.numel(), generator=generator, device="cpu")  # whatever the default is
    order = shuffled[sums.flatten()[shuffled].argsort(descending=True, stable=True)]
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order), device="cpu")
    pixels = ranks.reshape(sums.shape).repeat_interleave(patch, 0).repeat_interleave(patch, 1)
    return pixels[:height, :width]


def removed(
    x: Tensor, maps: Tensor, share: float, baseline: Baseline | str = "mean", patch: int = 8, seed: int = 0
) -> Tensor:
    """Return photos (N, C, H, W) of which the most important share of the patches is covered.

    maps: (N, H, W), one a photo. share: 0 to 1. The other options are those of ``perturbation``.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is a part of the photo from 0 to 1, not {share}.")
    ranked = torch.stack([patch_ranks(saliency, patch, seed) for saliency in maps]).unsqueeze(1).to(x.device)
    count = round(share * (int(ranked.max()) + 1))
    return torch.where(ranked < count, covered(x, baseline), x)


def logit_contrast(logits: Tensor, target: int, contrast: str | int | None = "mean") -> Tensor:
    """Return the score (N,) of a class in logits (N, classes).

    contrast: "mean" for the logit minus the mean of all logits, a class for minus its logit, ``None`` for the logit.
    """
    if isinstance(contrast, str) and contrast != MEAN:
        raise unknown_name("contrast", contrast, [MEAN])
    if isinstance(contrast, int) and not 0 <= contrast < logits.shape[1]:
        raise ValueError(f"contrast {contrast} is out of range: the network has {logits.shape[1]} classes.")
    return contrasts(logits, MEAN if isinstance(contrast, str) else contrast)[:, target]


# --- A table ---


class _Covering(NamedTuple):
    """How photos are covered, the same for every map."""

    patch: int
    counts: list[int]  # of covered patches, but for none and all
    share: list[float]  # of the patches, from 0 to 1
    scored: str | int | None
    at_once: int
    seed: int


def perturbation(
    net: nn.Module,
    x: Tensor,
    method: Methods = "gradcam",
    handling: AnyHandling = None,
    target: Target | None = None,
    other: str | Target = "least",
    scored: str | int | None = "mean",
    baseline: Baseline | str = "mean",
    patch: int = 8,
    steps: int = 16,
    seed: int = 0,
    at_once: int = 16,
    progress: bool = True,
    contrast: Contrast = None,
    **options: Any,
) -> DataFrame:
    """Return deletion and insertion curves: one row a photo, mode, order and share of the photo.

    net, x, method, handling, contrast, options: as for ``explain``. target, other: as for ``class_sensitivity``.
    scored: what is taken from the class's logit to score a picture, see ``logit_contrast``. baseline: what patches are
        covered with, see ``covered``. patch: their side in pixels. steps: how many equal parts are covered one after
        another.
    seed: of the random order and of patches that are alike. at_once: pictures in one forward pass, which bounds memory.
        progress: whether a bar is shown if it takes more than two seconds.
    Columns: photo, target, other, mode ("deletion" or "insertion"), order (one of ``ORDERS``), share (of the photo that
    is covered, or uncovered), score (the contrast, in logits), kept (0 for all covered, 1 for the whole photo) and
    degenerate, which flags a map that orders nothing and a photo whose covering takes nothing away; there kept is nan.
    Of several methods first method. Orders that several methods share are measured once.
    Raises what ``explain`` and ``class_sensitivity`` do, and ``ValueError`` for options that make no sense.
    """
    methods = by_label(method, handling, options)
    check_network(net)
    check_photos(x)
    covering = _covering(x, patch, steps, scored, at_once, seed)
    hidden = covered(x, baseline)
    logits = torch.cat([predict(net, part) for part in x.split(at_once)])
    first = logits.argmax(1) if target is None else other_classes(logits, target)
    second = other_classes(logits, other)
    if (first == second).any():
        raise ValueError(f"target and other are one class, for photo {int((first == second).nonzero()[0])}. Give two.")
    rows: list[dict[str, Any]] = []
    with bar(what="covering", total=len(x), disable=not progress, delay=2, leave=False) as shown:
        for photos in batches(range(len(x))):
            pairs = torch.stack([first[photos], second[photos]], dim=1)
            for n, maps in zip(
                photos, _maps(net, x[photos], pairs, methods, seed, of_photos(contrast, photos, x)), strict=True
            ):
                asked = {"photo": n, "target": int(first[n]), "other": int(second[n])}
                rows += _curves(net, x[n], hidden[n], maps, asked, covering)
                shown.update()
    return as_table(rows, method)


def _covering(x: Tensor, patch: int, steps: int, scored: str | int | None, at_once: int, seed: int) -> _Covering:
    height, width = x.shape[-2:]
    if not 1 <= patch <= min(height, width):
        raise ValueError(f"patch is a side in pixels from 1 to {min(height, width)}, not {patch}.")
    patches = math.ceil(height / patch) * math.ceil(width / patch)
    if not 2 <= steps <= patches:
        raise ValueError(f"steps is 2 to {patches}, the number of patches, not {steps}. A smaller patch allows more.")
    if at_once < 1:
        raise ValueError(f"at_once is 1 or more pictures, not {at_once}.")
    counts = [round(patches * step / steps) for step in range(1, steps)]
    return _Covering(patch, counts, [0.0, *(c / patches for c in counts), 1.0], scored, at_once, seed)


def _maps(
    net: nn.Module, x: Tensor, pairs: Tensor, methods: Mapping[Any, Method], seed: int, contrast: Contrast
) -> Iterator[dict[tuple[Any, str], Tensor]]:
    """Yield for each photo the maps (H, W) that order it, by method and order."""
    wanted: dict[Hashable, Method] = {("method", label): method for label, method in methods.items()}
    wanted |= {("control", "random"): Noise(seed=seed), ("control", "edges"): Edges()}
    found = explain(net, x, pairs, wanted, contrast=contrast)
    for n in range(len(x)):
        maps: dict[tuple[Any, str], Tensor] = {}
        for label in methods:
            maps |= {(label, order): found["method", label][n, k] for k, order in enumerate(("own", "other"))}
            maps |= {(label, order): found["control", order][n, 0] for order in ("random", "edges")}
        yield maps


def _curves(
    net: nn.Module,
    photo: Tensor,
    hidden: Tensor,
    maps: Mapping[tuple[Any, str], Tensor],
    asked: Mapping[str, int],
    covering: _Covering,
) -> list[dict[str, Any]]:
    """Return the rows of one photo (C, H, W), which is ``hidden`` where it's covered."""
    ranked = {key: patch_ranks(saliency, covering.patch, covering.seed) for key, saliency in maps.items()}
    different = {ranks.numpy().tobytes(): ranks for ranks in ranked.values()}  # alike ones are run once
    whole, nothing = _scores(net, iter([photo, hidden]), 2, asked["target"], covering)
    pictures = _pictures(photo, hidden, [*different.values()], covering.counts)
    count = len(different) * len(PERTURBATIONS) * len(covering.counts)
    scores = iter(_scores(net, pictures, count, asked["target"], covering))
    ends = {"deletion": (whole, nothing), "insertion": (nothing, whole)}
    curves = {
        (key, mode): [ends[mode][0], *(next(scores) for _ in covering.counts), ends[mode][1]]
        for key in different
        for mode in PERTURBATIONS
    }
    rows = []
    for (label, order), ranks in ranked.items():
        useless = whole <= nothing or is_degenerate(maps[label, order])
        for mode in PERTURBATIONS:
            for share, score in zip(covering.share, curves[ranks.numpy().tobytes(), mode], strict=True):
                kept = math.nan if useless else (score - nothing) / (whole - nothing)
                point = {"mode": mode, "order": order, "share": share}
                rows.append({"method": label, **asked, **point, "score": score, "kept": kept, "degenerate": useless})
    return rows


def _pictures(photo: Tensor, hidden: Tensor, ranked: Sequence[Tensor], counts: Sequence[int]) -> Iterator[Tensor]:
    """Yield the pictures (C, H, W) of each order: deletion at each count, then insertion at each."""
    for ranks in ranked:
        ranks = ranks.to(photo.device)
        yield from (torch.where(ranks < count, hidden, photo) for count in counts)
        yield from (torch.where(ranks < count, photo, hidden) for count in counts)


def _scores(net: nn.Module, pictures: Iterator[Tensor], count: int, target: int, covering: _Covering) -> list[float]:
    """Return the score of each of ``count`` pictures, ``covering.at_once`` of them in a forward pass."""
    scores: list[float] = []
    while len(scores) < count:
        some = [next(pictures) for _ in range(min(covering.at_once, count - len(scores)))]
        scores += logit_contrast(predict(net, torch.stack(some)), target, covering.scored).tolist()
    return scores


# --- Areas ---


def perturbation_areas(table: DataFrame) -> DataFrame:
    """Return the areas under the curves of a ``perturbation`` table: one row a photo and mode, of each method.

    Columns: photo, target, other, mode, auc (of the own order, 0 to 1 where a curve stays between its ends), auc_other,
    auc_random, auc_edges, advantage (by how much the own order is better than the other class's: a deletion curve
    should be low, an insertion curve high) and degenerate, where auc or auc_other is nan. Of several first method.
    """
    import pandas as pd

    names = [name for name in ("method", "photo", "target", "other", "mode") if name in table]
    rows = []
    for key, some in table.groupby(names, sort=False):
        areas = {order: _area(curve) for order, curve in some.groupby("order")}
        better = areas["own"] - areas["other"]
        advantage = better if key[-1] == "insertion" else -better
        of_orders = {f"auc_{order}": areas[order] for order in ORDERS[1:]}
        rows.append(
            {**dict(zip(names, key, strict=True)), "auc": areas["own"], **of_orders, "advantage": advantage}
            | {"degenerate": math.isnan(advantage)}
        )
    return pd.DataFrame(rows)


def _area(curve: DataFrame) -> float:
    """Return the area under one curve, by the trapezoidal rule."""
    from scipy.integrate import trapezoid

    ordered = curve.sort_values("share")
    return float(trapezoid(ordered.kept, ordered.share))
