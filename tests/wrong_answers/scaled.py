"""scaled(maps)"""

import numpy as np
import torch
import torch.nn.functional as F


def by_loop(maps):
    out = torch.zeros_like(maps)
    for n, m in enumerate(maps):
        if m.any():
            out[n] = m / max(m.max(), -m.min())
    return out


def in_numpy(maps):
    m = maps.double().numpy()
    size = np.abs(m).reshape(len(m), -1).max(1)
    size[size == 0] = 1
    return torch.from_numpy(m / size[:, None, None])


def by_norm(maps):
    return F.normalize(maps.flatten(1), p=torch.inf, dim=1).reshape(maps.shape)


def zeros_afterwards(maps):
    return (maps / maps.abs().amax((-2, -1), keepdim=True)).nan_to_num(0.0)


def mapwise(change):
    return lambda maps: torch.stack([change(m) for m in maps])


def stretched(m):
    low, high = m.min(), m.max()
    return torch.zeros_like(m) if low == high else -1 + 2 * (m - low) / (high - low)


def unguarded(maps):
    return maps / maps.abs().flatten(1).max(1).values.view(-1, 1, 1)


def guarded(m, size):
    return m / size if size else m


def each_sign(m):
    red, blue = m.relu(), (-m).relu()
    return guarded(red, red.max()) - guarded(blue, blue.max())


def in_place(maps):
    for m in maps:
        m /= m.abs().max().clamp(min=1e-12)
    return maps


def zscore(m):
    return guarded(m - m.mean(), m.std())


def grey_for_nothing(m):
    return m / m.abs().max() if m.any() else torch.full_like(m, 0.5)


RIGHT = {
    "loop": by_loop,
    "NumPy, double": in_numpy,
    "normalize": by_norm,
    "zeros afterwards": zeros_afterwards,
    "clamped to next to nothing": lambda m: m / m.abs().amax((1, 2), keepdim=True).clamp(min=1e-20),
    "where": lambda m: torch.where(m == 0, m, m / m.abs().amax(2).amax(1)[:, None, None]),
}
WRONG = {
    "stretched": (mapwise(stretched), "zero-moved"),
    "min-max": (mapwise(lambda m: guarded(m - m.min(), m.max() - m.min())), "zero-moved"),
    "min-max of the batch": (lambda m: m.sub(m.min()).div(m.max() - m.min()), "zero-moved"),
    "grey in the middle": (lambda m: 0.5 + 0.5 * by_loop(m), "zero-moved"),
    "z-score": (mapwise(zscore), "zero-moved"),
    "one number for all": (lambda m: m / max(m.max(), -m.min()), "one-scale"),
    "largest value": (mapwise(lambda m: guarded(m, m.max())), "largest-value"),
    "magnitude of the smallest": (mapwise(lambda m: guarded(m, abs(m.min()))), "largest-value"),
    "each sign": (mapwise(each_sign), "two-scales"),
    "positive part": (mapwise(lambda m: guarded(m.relu(), m.relu().max())), "positive-only"),
    "absolute": (lambda m: by_norm(m).abs(), "absolute-result"),
    "standard deviation": (mapwise(lambda m: guarded(m, m.std())), "other-size"),
    "length": (lambda m: F.normalize(m.flatten(1), dim=1).view_as(m), "other-size"),
    "sum of magnitudes": (lambda m: F.normalize(m.flatten(1), p=1, dim=1).view_as(m), "other-size"),
    "range": (mapwise(lambda m: guarded(m, m.max() - m.min())), "other-size"),
    "rows": (lambda m: F.normalize(m, p=torch.inf, dim=2), "wrong-axis"),
    "columns": (lambda m: F.normalize(m, p=torch.inf, dim=1), "wrong-axis"),
    "over photos": (lambda m: F.normalize(m, p=torch.inf, dim=0, eps=1e-30), "batch-mixed"),
    "nan for nothing": (unguarded, "not-finite"),
    "half for nothing": (mapwise(grey_for_nothing), "zero-map"),
    "epsilon": (lambda m: m / (m.abs().amax((1, 2), keepdim=True) + 1e-8), "epsilon"),
    "large epsilon": (mapwise(lambda m: m / (m.abs().max() + 1e-3)), "epsilon"),
    "as they were": (lambda m: m.clone(), "not-scaled"),
    "hardtanh": (F.hardtanh, "clipped"),
    "tanh": (lambda m: m.tanh(), "squashed"),
    "sign": (lambda m: (m > 0).float() - (m < 0).float(), "squashed"),
    "reversed": (lambda m: -by_loop(m), "wrong-sign"),
    "in place": (in_place, "input-changed"),
    "the first map's size": (lambda m: m / m[0].abs().max(), "first-photo-only"),
    "8 bits": (lambda m: (127 * by_loop(m)).round().to(torch.int8), "wrong-dtype"),
    "no keepdim": (lambda m: m / m.abs().amax((1, 2)), "shapes"),
    "128 levels": (lambda m: 127 * by_loop(m), "wrong-factor"),
}
