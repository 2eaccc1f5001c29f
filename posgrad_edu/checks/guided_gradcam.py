"""Guided GradCAM: the map of guided backprop, weighted by GradCAM's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.given import BATCHES
from posgrad_edu.checks.engine.task import Args, Mistake, Task

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
    size = guided.shape[-2:]
    return F.interpolate(cam[:, None], size=tuple(size), mode=mode, align_corners=corners)[:, 0]


def _guided_gradcam(guided: Tensor, cam: Tensor) -> Tensor:
    return guided * _enlarged(cam.relu(), guided)


def _pooled(values: Tensor, like: Tensor) -> Tensor:
    height, width = like.shape[-2:]
    return F.adaptive_avg_pool2d(values[:, None], (height, width))[:, 0]


def _resized_down(guided: Tensor, cam: Tensor) -> Tensor:
    return F.interpolate(guided[:, None], size=tuple(cam.shape[-2:]), mode="bilinear")[:, 0]


def _by_largest(values: Tensor) -> Tensor:
    return values / values.abs().amax((1, 2), keepdim=True).clamp(min=1e-12)


def _unit(values: Tensor) -> Tensor:
    low, high = values.amin((1, 2), keepdim=True), values.amax((1, 2), keepdim=True)
    return (values - low) / (high - low).clamp(min=1e-12)


def _share(values: Tensor) -> Tensor:
    return values / values.sum((1, 2), keepdim=True).clamp(min=1e-12)


_RELU = "Only what speaks for the class in GradCAM's map, max(cam, 0), lets values of the guided map pass."
_ENLARGE = 'F.interpolate(..., size=(H, W), mode="bilinear", align_corners=False), on a tensor with four axes.'
_GUIDED_KEPT = "The guided map enters as it is, with its signs; the ReLU belongs to GradCAM's map alone."
_NOT_SCALED = "Both maps enter as they are: scaling belongs to drawing."

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
    lesson=5,
    make=_maps,
    right=_guided_gradcam,
    hint="Three steps: the ReLU of GradCAM's map, enlarged to the guided map's size, times the guided map.",
    mistakes=[
        Mistake("cam-signed", "you left out the ReLU of GradCAM's map", _RELU),
        lambda g, c: g * _enlarged(c, g),
        Mistake(
            "relu-too-late",
            "you took the ReLU of GradCAM's map after enlarging it",
            "First the ReLU, then the enlarging: between a red and a blue value the two orders differ.",
        ),
        lambda g, c: g * _enlarged(c, g).relu(),
        Mistake("cam-absolute", "you took the magnitude of GradCAM's map instead of its ReLU", _RELU),
        lambda g, c: g * _enlarged(c.abs(), g),
        lambda g, c: g * _enlarged(c, g).abs(),
        Mistake("cam-reversed", "you kept what speaks against the class in GradCAM's map", _RELU),
        lambda g, c: g * _enlarged(c.clamp(max=0), g),
        lambda g, c: g * _enlarged((-c).relu(), g),
        Mistake("relu-on-guided", "you took the ReLU of the guided map instead of GradCAM's", _GUIDED_KEPT),
        lambda g, c: g.relu() * _enlarged(c, g),
        Mistake("relu-on-guided", "you dropped the negative values of the guided map, or of the product", _GUIDED_KEPT),
        lambda g, c: g.relu() * _enlarged(c.relu(), g),
        Mistake("relu-on-guided", "you took the magnitude of the guided map", _GUIDED_KEPT),
        lambda g, c: g.abs() * _enlarged(c.relu(), g),
        Mistake("relu-on-product", "you took the ReLU of the product instead of GradCAM's map", _RELU),
        lambda g, c: (g * _enlarged(c, g)).relu(),
        Mistake("align-corners", "you enlarged with align_corners=True", _ENLARGE),
        lambda g, c: g * _enlarged(c.relu(), g, corners=True),
        Mistake("not-bilinear", "you enlarged by repeating the nearest values", _ENLARGE),
        lambda g, c: g * _enlarged(c.relu(), g, "nearest", None),
        Mistake("not-bilinear", "you enlarged by repeating values, as pooling does", _ENLARGE),
        lambda g, c: g * _pooled(c.relu(), g),
        Mistake("not-bilinear", "you enlarged with bicubic interpolation", _ENLARGE),
        lambda g, c: g * _enlarged(c.relu(), g, "bicubic"),
        Mistake(
            "guided-shrunk",
            "you made the guided map as coarse as GradCAM's",
            "It is GradCAM's map that changes its size: the result is as fine as the guided map.",
        ),
        lambda g, c: _pooled(g, c) * c.relu(),
        lambda g, c: _resized_down(g, c) * c.relu(),
        Mistake(
            "guided-shrunk",
            "you multiplied in GradCAM's size and enlarged the product",
            "Enlarge GradCAM's map first: else the fine structure of the guided map is gone.",
        ),
        lambda g, c: _enlarged(_pooled(g, c) * c.relu(), g),
        lambda g, c: _enlarged(_resized_down(g, c) * c.relu(), g),
        Mistake("added", "you added the two maps", "Multiply them, position by position."),
        lambda g, c: g + _enlarged(c.relu(), g),
        Mistake(
            "masked",
            "you used GradCAM's map as a mask of zeros and ones",
            "Multiply by its values: how much a place counts matters.",
        ),
        lambda g, c: g * _enlarged((c > 0).to(c), g),
        lambda g, c: g * (_enlarged(c.relu(), g) > 0),
        lambda g, c: g * (_enlarged(c, g) > 0),
        Mistake("cam-normalized", "you scaled GradCAM's map to 0..1", _NOT_SCALED),
        lambda g, c: g * _enlarged(_by_largest(c.relu()), g),
        Mistake("cam-normalized", "you scaled GradCAM's map to 0..1 after enlarging it", _NOT_SCALED),
        lambda g, c: g * _by_largest(_enlarged(c.relu(), g)),
        Mistake("cam-normalized", "you scaled GradCAM's map to 0..1", _NOT_SCALED),
        lambda g, c: g * _enlarged(_unit(c.relu()), g),
        Mistake("cam-normalized", "you scaled GradCAM's map to 0..1 after enlarging it", _NOT_SCALED),
        lambda g, c: g * _unit(_enlarged(c.relu(), g)),
        Mistake("cam-normalized", "you scaled GradCAM's map to 0..1 and left out its ReLU", _RELU),
        lambda g, c: g * _enlarged(_unit(c), g),
        lambda g, c: g * _unit(_enlarged(c, g)),
        Mistake("cam-normalized", "you made GradCAM's map add up to 1", _NOT_SCALED),
        lambda g, c: g * _share(_enlarged(c.relu(), g)),
        Mistake("cam-normalized", "you took a sigmoid of GradCAM's map", _RELU),
        lambda g, c: g * _enlarged(c.sigmoid(), g),
        Mistake("guided-normalized", "you divided the guided map by its largest magnitude", _NOT_SCALED),
        lambda g, c: _by_largest(g) * _enlarged(c.relu(), g),
        Mistake("guided-normalized", "you scaled the guided map to 0..1, which moves its zero", _NOT_SCALED),
        lambda g, c: _unit(g) * _enlarged(c.relu(), g),
        Mistake("guided-normalized", "you divided both maps by their largest magnitude", _NOT_SCALED),
        lambda g, c: _by_largest(g) * _enlarged(_by_largest(c.relu()), g),
        Mistake(
            "batch-mixed",
            "you multiplied by the mean of all photos' GradCAM maps",
            "The first axis counts photos: each has a GradCAM map of its own.",
        ),
        lambda g, c: g * _enlarged(c.relu().mean(0, keepdim=True), g),
        Mistake(
            "first-photo-only",
            "you multiplied each photo by the first photo's GradCAM map",
            "Each photo has a GradCAM map of its own.",
        ),
        lambda g, c: g * _enlarged(c.relu()[:1], g),
        Mistake(
            "cam-averaged", "you multiplied by GradCAM's mean, one number a photo", "Multiply position by position."
        ),
        lambda g, c: g * c.relu().mean((1, 2), keepdim=True),
        Mistake("guided-ignored", "the guided map isn't in your result", "Multiply by it, position by position."),
        lambda g, c: _enlarged(c.relu(), g),
        lambda g, c: _enlarged(c, g),
        Mistake(
            "cam-ignored",
            "your result is the guided map itself, without GradCAM's",
            "Multiply by it, position by position.",
        ),
        lambda g, c: g,
    ],
)


check_guided_gradcam = checker(GUIDED_GRADCAM)
