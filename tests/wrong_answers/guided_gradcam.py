"""guided_gradcam(guided, cam)"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def enlarged(cam, guided, **how):
    return nn.Upsample(size=tuple(guided.shape[1:]), **({"mode": "bilinear"} | how))(cam.unsqueeze(1)).squeeze(1)


def with_interpolate(guided, cam):
    cam = torch.where(cam > 0, cam, 0.0)
    height, width = guided.shape[-2:]
    return F.interpolate(cam.unsqueeze(1), (height, width), mode="bilinear", align_corners=False).squeeze(1) * guided


def weights(small, large):
    """How much each of the small positions counts at each of the large ones, (large, small)."""
    rows = torch.zeros(large, small, dtype=torch.float64)
    for i in range(large):
        place = min(max((i + 0.5) * small / large - 0.5, 0), small - 1)
        low = int(place)
        rows[i, low] += 1 - (place - low)
        rows[i, min(low + 1, small - 1)] += place - low
    return rows


def by_matrices(guided, cam):
    up, across = weights(cam.shape[1], guided.shape[1]), weights(cam.shape[2], guided.shape[2])
    return torch.einsum("nij,hi,wj,nhw->nhw", cam.double().clamp(min=0), up, across, guided.double())


def photo_by_photo(guided, cam):
    found = []
    for g, c in zip(guided, cam, strict=True):
        big = F.interpolate(F.relu(c)[None, None], size=g.shape, mode="bilinear")
        found.append(g * big[0, 0])
    return torch.stack(found)


def with_numpy(guided, cam):
    up, across = weights(cam.shape[1], guided.shape[1]).numpy(), weights(cam.shape[2], guided.shape[2]).numpy()
    big = np.stack([up @ np.maximum(c, 0) @ across.T for c in cam.numpy()])
    return torch.from_numpy(big * guided.numpy())


def in_place(guided, cam):
    cam[cam < 0] = 0
    return guided * enlarged(cam, guided)


def forgets_the_channels(guided, cam):
    return guided * F.interpolate(cam.relu(), size=guided.shape[-2:], mode="bilinear")


def largest(m):
    return torch.stack([one / one.abs().max() for one in m])


def min_max(m):
    return torch.stack([(one - one.min()) / (one.max() - one.min()) for one in m])


RIGHT = {
    "interpolate": with_interpolate,
    "Upsample": lambda g, c: g * enlarged(c.clamp(min=0), g),
    "photo by photo": photo_by_photo,
    "matrices, double": by_matrices,
    "NumPy": with_numpy,
}
WRONG = {
    "no relu": (lambda g, c: g * enlarged(c, g), "cam-signed"),
    "relu afterwards": (lambda g, c: g * F.relu(enlarged(c, g)), "relu-too-late"),
    "magnitude": (lambda g, c: g * enlarged(torch.sqrt(c**2), g), "cam-absolute"),
    "evidence against": (lambda g, c: photo_by_photo(g, -c), "cam-reversed"),
    "both relus": (lambda g, c: photo_by_photo(F.relu(g), c), "relu-on-guided"),
    "relu of the guided map": (lambda g, c: torch.maximum(g, torch.zeros(())) * enlarged(c, g), "relu-on-guided"),
    "relu at the end": (lambda g, c: F.relu(g * enlarged(c, g)), "relu-on-product"),
    "relu at both ends": (lambda g, c: F.relu(by_matrices(g, c)), "relu-on-guided"),
    "corners": (lambda g, c: g * enlarged(c.relu(), g, align_corners=True), "align-corners"),
    "nearest": (lambda g, c: g * enlarged(c.relu(), g, mode="nearest"), "not-bilinear"),
    "bicubic": (lambda g, c: g * enlarged(c.relu(), g, mode="bicubic"), "not-bilinear"),
    "in GradCAM's size": (
        lambda g, c: nn.AdaptiveAvgPool2d(tuple(c.shape[1:]))(g) * F.relu(c), "guided-shrunk"),
    "sum": (lambda g, c: torch.stack([g, enlarged(c.relu(), g)]).sum(0), "added"),
    "mask": (lambda g, c: torch.where(enlarged(c.relu(), g) > 0, g, 0.0), "masked"),
    "heatmap of 0 to 1": (lambda g, c: g * enlarged(largest(c.relu()), g), "cam-normalized"),
    "min-max, no relu": (lambda g, c: g * min_max(enlarged(c, g)), "cam-normalized"),
    "guided of at most 1": (lambda g, c: photo_by_photo(largest(g), c), "guided-normalized"),
    "all photos' mean": (lambda g, c: photo_by_photo(g, F.relu(c).mean(0).expand_as(c)), "batch-mixed"),
    "first photo's": (lambda g, c: photo_by_photo(g, c[0].expand_as(c)), "first-photo-only"),
    "no guided map": (lambda g, c: photo_by_photo(torch.ones_like(g), c), "guided-ignored"),
    "one number a photo": (
        lambda g, c: torch.einsum("nhw,n->nhw", g, F.relu(c).flatten(1).mean(1)), "cam-averaged"),
    "scaled at the end": (lambda g, c: largest(by_matrices(g, c)), "normalized"),
    "changes its input": (in_place, "input-changed"),
    "three axes": (forgets_the_channels, "error"),
    "no enlarging": (lambda g, c: g * c.relu(), "shapes"),
    "of a batch of one": (lambda g, c: photo_by_photo(g, c).squeeze(), "squeezed"),
}  # fmt: skip
