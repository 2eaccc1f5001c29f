"""Guided GradCAM: the map of guided backprop, weighted by GradCAM's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from posgrad_edu.checks.engine.changes import Change, by_largest, unit
from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES
from posgrad_edu.checks.engine.mutations import then, unchanged
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task

Place = Callable[[Tensor, int, int], Tensor]  # pixels of the large map, the two maps' lengths -> where in the small one
GUIDED_SIZES = ((8, 6), (8, 6), (9, 7), (12, 8))
CAM_SIZES = ((4, 3), (4, 3), (4, 3), (3, 4))  # a whole factor, none, and two different ones


def _maps(n: int) -> Args:
    """Maps of guided backprop (N, H, W) and of GradCAM (N, h, w), both with negative values and of any size."""
    strength = 0.5 + 2 * torch.rand(BATCHES[n], 1, 1)
    cam = strength * torch.randn(BATCHES[n], *CAM_SIZES[n])
    cam[:, 1, 1].abs_()  # no map is empty, and none is without a negative value
    cam[:, 2, 1].abs_().neg_()
    return torch.randn(BATCHES[n], *GUIDED_SIZES[n]), cam


def _enlarged(cam: Tensor, guided: Tensor, mode: str = "bilinear", corners: bool | None = False) -> Tensor:
    return F.interpolate(cam[:, None], size=guided.shape[1:], mode=mode, align_corners=corners)[:, 0]


def _centre(i: Tensor, small: int, large: int) -> Tensor:
    """Return where in the small map pixel i of the large one has its centre."""
    return (i + 0.5) * small / large - 0.5


def _matrix(small: int, large: int, place: Place, swapped: bool) -> Tensor:
    """Return the weights (large, small) of linear interpolation at other places, cut off at the edges."""
    at = place(torch.arange(large), small, large).clamp(0, small - 1)
    low = at.floor().long()
    share = (1 - (at - low) if swapped else at - low)[:, None]
    high = (low + 1).clamp(max=small - 1)
    return (1 - share) * F.one_hot(low, small) + share * F.one_hot(high, small)


def _placed(place: Place, swapped: bool = False) -> Function:
    """Return the map enlarged by hand, with another place of each pixel, or the weights of its neighbours swapped."""

    def enlarge(cam: Tensor, guided: Tensor) -> Tensor:
        rows, columns = (_matrix(cam.shape[n], guided.shape[n], place, swapped) for n in (1, 2))
        return rows @ cam @ columns.T

    return _with(enlarge=enlarge)


def _pooled(values: Tensor, like: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(values[:, None], (like.shape[1], like.shape[2]))[:, 0]


def _guided_gradcam(
    guided: Tensor,
    cam: Tensor,
    small: Change = torch.relu,
    large: Change = unchanged,
    fine: Change = unchanged,
    times: Callable[[Tensor, Tensor], Tensor] = torch.mul,
    enlarge: Callable[[Tensor, Tensor], Tensor] = _enlarged,
) -> Tensor:
    """Return guided GradCAM's maps. small, large: of GradCAM's map, before and after enlarging; fine: of the other."""
    return times(fine(guided), large(enlarge(small(cam), guided)))


def _with(**changes: Any) -> Function:
    return partial(_guided_gradcam, **changes)


_RELU = "Only what speaks for the class in GradCAM's map, max(cam, 0), lets values of the guided map pass."
_FIRST = "First the ReLU, then the enlarging: between a red and a blue value the two orders differ."
_ENLARGE = 'F.interpolate(..., size=(H, W), mode="bilinear", align_corners=False), on a tensor with four axes.'
_PLACES = "Pixel i of the large map lies at (i + 0.5) * h / H - 0.5 of the small one; or F.interpolate."
_GUIDED_KEPT = "The guided map enters as it is, with its signs; the ReLU belongs to GradCAM's map alone."
_NOT_SCALED = "Both maps enter as they are: scaling belongs to drawing."
_FINE = "Enlarge GradCAM's map before you multiply: the result is as fine as the guided map."
_OWN = "The first axis counts photos: each has a GradCAM map of its own."
_POSITIONS = "Multiply the two maps, position by position."
GUIDED_GRADCAM = Task(
    name="guided gradcam",
    signature="guided_gradcam(guided, cam)",
    returns="maps (N, H, W)",
    about="""
guided: maps of guided backprop (N, H, W), signed. cam: raw maps of GradCAM (N, h, w), signed and of another size.
The result is guided times max(cam, 0), enlarged to (H, W) bilinearly with ``align_corners=False``; nothing is
normalized, and the guided map keeps its signs.

Reference: Selvaraju et al. Grad-CAM. ICCV 2017. arXiv:1610.02391, sec. 3.2.
""",
    lesson=8,
    make=_maps,
    right=_guided_gradcam,
    hint="Three steps: the ReLU of GradCAM's map, enlarged to the guided map's size, times the guided map.",
    mistakes=[
        Mistake("cam-signed", "you left out the ReLU of GradCAM's map", _RELU),
        _with(small=unchanged),
        Mistake("relu-too-late", "you took the ReLU of GradCAM's map after enlarging it", _FIRST),
        _with(small=unchanged, large=torch.relu),
        Mistake("cam-absolute", "you took the magnitude of GradCAM's map instead of its ReLU", _RELU),
        _with(small=torch.abs),
        _with(small=unchanged, large=torch.abs),
        Mistake("cam-reversed", "you kept what speaks against the class in GradCAM's map", _RELU),
        _with(small=lambda c: c.clamp(max=0)),
        _with(small=lambda c: (-c).relu()),
        Mistake("relu-on-guided", "you took the ReLU of the guided map instead of GradCAM's", _GUIDED_KEPT),
        _with(small=unchanged, fine=torch.relu),
        Mistake("relu-on-guided", "you dropped the negative values of the guided map, or of the product", _GUIDED_KEPT),
        _with(fine=torch.relu),
        Mistake("relu-on-guided", "you took the magnitude of the guided map", _GUIDED_KEPT),
        _with(fine=torch.abs),
        Mistake("relu-on-product", "you took the ReLU of the product instead of GradCAM's map", _RELU),
        then(_with(small=unchanged), torch.relu),
        Mistake("align-corners", "you enlarged with align_corners=True", _ENLARGE),
        _with(enlarge=partial(_enlarged, corners=True)),
        Mistake("not-bilinear", "you enlarged by repeating values", _ENLARGE),
        _with(enlarge=partial(_enlarged, mode="nearest", corners=None)),
        _with(enlarge=_pooled),
        Mistake("not-bilinear", "you enlarged with bicubic interpolation", _ENLARGE),
        _with(enlarge=partial(_enlarged, mode="bicubic")),
        Mistake("size-swapped", "you enlarged to (W, H) and swapped the axes afterwards", _ENLARGE),
        _with(enlarge=lambda c, g: _enlarged(c, g.transpose(1, 2)).transpose(1, 2)),
        Mistake("size-swapped", "you enlarged the transposed map to (W, H) and took it as (H, W)", _ENLARGE),
        _with(enlarge=lambda c, g: _enlarged(c, g.transpose(1, 2)).reshape(g.shape)),
        Mistake("places", "half a pixel is missing: pixel i of n lies at (i + .5) / n", _PLACES),
        *map(_placed, (lambda i, n, m: i * n / m, lambda i, n, m: (i + 0.5) * n / m, lambda i, n, m: i * n / m - 0.5)),
        Mistake("places", "you added half a pixel where it should be taken off, or the other way round", _PLACES),
        *map(_placed, (lambda i, n, m: (i + 0.5) * n / m + 0.5, lambda i, n, m: (i - 0.5) * n / m - 0.5)),
        _placed(lambda i, n, m: (i - 0.5) * n / m + 0.5),
        Mistake("places", "the weights of the two neighbours are swapped", _PLACES),
        _placed(_centre, swapped=True),
        Mistake("guided-shrunk", "you made the guided map as coarse as GradCAM's", _FINE),
        lambda g, c: _pooled(g, c) * c.relu(),
        lambda g, c: _enlarged(g, c) * c.relu(),
        Mistake("guided-shrunk", "you multiplied in GradCAM's size and enlarged the product", _FINE),
        lambda g, c: _enlarged(_pooled(g, c) * c.relu(), g),
        lambda g, c: _enlarged(_enlarged(g, c) * c.relu(), g),
        Mistake("added", "you added the two maps", _POSITIONS),
        _with(times=torch.add),
        _with(times=torch.add, small=unchanged),
        Mistake("divided", "you divided the guided map by GradCAM's", _POSITIONS),
        _with(times=torch.div),
        Mistake("squared", "you squared GradCAM's map", _POSITIONS),
        _with(small=lambda c: c.relu() ** 2),
        _with(large=torch.square),
        Mistake("squared", "you squared the guided map", _POSITIONS),
        _with(fine=torch.square),
        Mistake("masked", "you used GradCAM's map as a mask of zeros and ones", "How much a place counts matters."),
        _with(small=lambda c: (c > 0).to(c)),
        _with(large=lambda c: c > 0),
        _with(small=unchanged, large=lambda c: c > 0),
        Mistake("cam-normalized", "you scaled GradCAM's map to 0..1", _NOT_SCALED),
        _with(small=lambda c: by_largest(c.relu())),
        _with(small=lambda c: unit(c.relu())),
        _with(large=by_largest),
        _with(large=unit),
        Mistake("cam-normalized", "you scaled GradCAM's map to 0..1 and left out its ReLU", _RELU),
        _with(small=unit),
        _with(small=unchanged, large=unit),
        Mistake("cam-normalized", "you made GradCAM's map add up to 1", _NOT_SCALED),
        _with(large=lambda c: c / c.sum((1, 2), keepdim=True)),
        Mistake("cam-normalized", "you took a sigmoid of GradCAM's map", _RELU),
        _with(small=torch.sigmoid),
        Mistake("guided-normalized", "you divided the guided map by its largest magnitude", _NOT_SCALED),
        _with(fine=by_largest),
        Mistake("guided-normalized", "you scaled the guided map to 0..1, which moves its zero", _NOT_SCALED),
        _with(fine=unit),
        Mistake("guided-normalized", "you divided both maps by their largest magnitude", _NOT_SCALED),
        _with(fine=by_largest, small=lambda c: by_largest(c.relu())),
        Mistake("batch-mixed", "you multiplied by the mean of all photos' GradCAM maps", _OWN),
        _with(large=lambda c: c.mean(0, keepdim=True)),
        Mistake("first-photo-only", "you multiplied each photo by the first photo's GradCAM map", _OWN),
        _with(large=lambda c: c[:1]),
        Mistake("photos-mixed", "you multiplied each photo by another photo's GradCAM map", _OWN),
        _with(small=lambda c: c.relu().flip(0)),
        _with(small=lambda c: c.relu().roll(1, 0)),
        _with(small=lambda c: c.relu().roll(-1, 0)),
        Mistake("cam-averaged", "you multiplied by GradCAM's mean, one number a photo", _POSITIONS),
        lambda g, c: g * c.relu().mean((1, 2), keepdim=True),
        Mistake("guided-ignored", "the guided map isn't in your result", _POSITIONS),
        _with(fine=torch.ones_like),
        _with(fine=torch.ones_like, small=unchanged),
        Mistake("cam-ignored", "your result is the guided map itself, without GradCAM's", _POSITIONS),
        lambda g, c: g,
    ],
)
check_guided_gradcam = checker(GUIDED_GRADCAM)
