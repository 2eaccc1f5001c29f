"""gradcam(activations, gradients, handling)"""

import torch
import torch.nn.functional as F


def by_loops(A, G, h):
    kept = h(G)
    maps = torch.zeros(A.shape[0], A.shape[2], A.shape[3])
    for n in range(A.shape[0]):
        for k in range(A.shape[1]):
            maps[n] += kept[n, k].mean() * A[n, k]
    return maps


def photo_by_photo(A, G, h):
    return torch.stack([(h(g).flatten(1).mean(1)[:, None, None] * a).sum(0) for a, g in zip(A, G, strict=True)])


def forgets_the_photos_after_the_first(A, G, h):
    w = h(G)[0].mean((1, 2))
    return torch.einsum("k,nkij->nij", w, A)


def mean_without_keepdim(A, G, h):
    return (h(G).mean((2, 3)) * A).sum(1)


def last_channel_only(A, G, h):
    for k in range(A.shape[1]):
        maps = h(G)[:, k].mean((1, 2))[:, None, None] * A[:, k]
    return maps


RIGHT = {
    "einsum": lambda A, G, h: torch.einsum("nk,nkij->nij", h(G).mean((2, 3)), A),
    "loops": by_loops,
    "photo by photo": photo_by_photo,
    "pooling, double": lambda a, b, s: (F.adaptive_avg_pool2d(s(b.double()), 1) * a.double()).sum(dim=1),
    "matrix product": lambda A, G, h: (
        h(G).flatten(2).mean(2)[:, None] @ A.flatten(2)
    ).reshape(len(A), *A.shape[2:]),
}  # fmt: skip
WRONG = {
    "wrong axis": (lambda A, G, h: torch.einsum("nij,nkij->nij", h(G).mean(1), A), "wrong-axis"),
    "all axes": (
        lambda A, G, h: torch.stack([h(g).mean() * a.sum(0) for g, a in zip(G, A, strict=True)]), "wrong-axis"),
    "rows only": (lambda A, G, h: (h(G).mean(dim=2, keepdim=True) * A).sum(dim=1), "wrong-axis"),
    "handled after the mean": (lambda A, G, h: torch.einsum("nk,nkij->nij", h(G.mean((2, 3))), A), "handled-too-late"),
    "handled activations": (lambda A, G, h: torch.einsum("nk,nkij->nij", G.mean((2, 3)), h(A)), "handled-activations"),
    "handled map": (lambda A, G, h: h(torch.einsum("nk,nkij->nij", G.mean((2, 3)), A)), "handled-result"),
    "not handled": (lambda A, G, h: torch.einsum("nk,nkij->nij", G.mean((2, 3)), A), "handling-forgotten"),
    "always positive": (lambda A, G, h: (G.relu().mean((-1, -2), True) * A).sum(1), "handling-hard-coded"),
    "last relu": (lambda A, G, h: by_loops(A, G, h).relu(), "relu-on-result"),
    "batch mixed": (lambda A, G, h: torch.einsum("k,nkij->nij", h(G).mean((0, 2, 3)), A), "batch-mixed"),
    "LayerCAM": (lambda A, G, h: torch.einsum("nkij,nkij->nij", h(G), A), "no-average"),
    "sum": (lambda A, G, h: torch.einsum("nkij,nkab->nab", h(G), A), "sum-for-mean"),
    "mean of channels": (lambda A, G, h: by_loops(A, G, h) / A.shape[1], "mean-for-sum"),
    "swapped": (lambda A, G, h: by_loops(G, A, h), "arguments-swapped"),
    "min-max": (lambda A, G, h: (by_loops(A, G, h) - by_loops(A, G, h).min()) / (
        by_loops(A, G, h).max() - by_loops(A, G, h).min()), "normalized"),
    "divided by the largest": (lambda A, G, h: by_loops(A, G, h) / by_loops(A, G, h).abs().max(), "normalized"),
    "wrong sign": (lambda A, G, h: -by_loops(A, G, h), "wrong-sign"),
    "first photo's weights": (forgets_the_photos_after_the_first, "first-photo-only"),
    "magnitudes": (lambda A, G, h: by_loops(A, G.abs(), h), "absolute-gradients"),
    "magnitudes of the handled": (lambda A, G, h: by_loops(A, h(G).abs(), lambda t: t), "absolute-gradients"),
    "largest": (lambda A, G, h: torch.einsum("nk,nkij->nij", h(G).flatten(2).max(2).values, A), "other-statistic"),
    "median": (lambda A, G, h: torch.einsum("nk,nkij->nij", h(G).flatten(2).median(2)[0], A), "other-statistic"),
    "squeezed": (lambda A, G, h: by_loops(A, G, h).squeeze(), "squeezed"),
    "no keepdim": (mean_without_keepdim, "shapes"),
    "softmax of the weights": (lambda A, G, h: torch.einsum(
        "nk,nkij->nij", torch.softmax(h(G).mean((2, 3)), 1), A), "normalized-weights"),
    "channels apart": (lambda A, G, h: A * h(G).mean((2, 3))[..., None, None], "not-summed"),
    "changes its input": (lambda A, G, h: A.mul_(h(G).mean((2, 3), keepdim=True)).sum(1), "input-changed"),
    "two mistakes": (lambda A, G, h: (h(G.mean((2, 3), keepdim=True)) * A).sum(1).relu(), "handled-too-late"),
    "two mistakes, a factor": (lambda A, G, h: (h(G.sum((2, 3), keepdim=True)) * A).sum(1), "handled-too-late"),
}  # fmt: skip
