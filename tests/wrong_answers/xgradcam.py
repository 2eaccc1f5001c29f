"""xgradcam(activations, gradients, handling)"""

import numpy as np
import torch
import torch.nn.functional as F


def by_loops(A, G, h):
    kept = h(G)
    maps = torch.zeros(A.shape[0], A.shape[2], A.shape[3])
    for n in range(len(A)):
        for k in range(A.shape[1]):
            total = A[n, k].sum()
            if total != 0:
                maps[n] += (A[n, k] * kept[n, k]).sum() / total * A[n, k]
    return maps


def in_numpy(A, G, h):
    a, g = A.double().numpy(), h(G).double().numpy()
    total = a.sum((2, 3))
    weights = np.divide((a * g).sum((2, 3)), total, out=np.zeros_like(total), where=total != 0)
    return torch.from_numpy(np.einsum("nk,nkij->nij", weights, a))


def zeros_afterwards(A, G, h):
    shares = A / A.sum((2, 3), keepdim=True)
    shares[~shares.isfinite()] = 0
    return torch.einsum("nkij,nkij,nkab->nab", shares, h(G), A)


def masked(A, G, h):
    below = A.sum((-2, -1))
    w = (A * h(G)).sum((-2, -1))
    alive = below != 0
    weights = torch.zeros_like(w)
    weights[alive] = w[alive] / below[alive]
    return (weights.unsqueeze(-1).unsqueeze(-1) * A).sum(-3)


def with_weights(make):
    """weights (N, C) -> map"""
    return lambda A, G, h: torch.einsum("nk,nkij->nij", make(A, G, h), A)


def divided(above, below):
    return torch.where(below == 0, torch.zeros_like(above), above / below)


def weight(A, g):
    return divided((A * g).sum((2, 3)), A.sum((2, 3)))


def silent_only(A, G, h):
    return (A * h(G)).sum((2, 3)) / (A.sum((2, 3)) + (A == 0).all(3).all(2))


RIGHT = {
    "loops": by_loops,
    "NumPy, double": in_numpy,
    "zeros afterwards": zeros_afterwards,
    "masked": masked,
    "nan_to_num with all three": lambda A, G, h: (
        (A * h(G) / A.sum((2, 3), True)).nan_to_num(0, 0, 0).sum((2, 3), True) * A
    ).sum(1),
    "the sum plus one where it is zero": with_weights(
        lambda A, G, h: torch.where(A.sum((2, 3)) == 0, 0.0, (A * h(G)).sum((2, 3)) / (
            A.sum((2, 3)) + (A.sum((2, 3)) == 0)))
    ),
}  # fmt: skip
WRONG = {
    "GradCAM": (lambda A, G, h: (F.adaptive_avg_pool2d(h(G), 1) * A).sum(1), "plain-mean"),
    "shares over channels": (with_weights(lambda A, G, h: (A / A.sum(1, keepdim=True) * h(G)).sum((2, 3))),
                             "wrong-axis"),
    "shares over all": (lambda A, G, h: torch.stack(
        [((a / a.sum() * g).sum((1, 2))[:, None, None] * a).sum(0) for a, g in zip(A, h(G), strict=True)]),
        "wrong-axis"),
    "shares of a row": (with_weights(lambda A, G, h: divided((A * h(G)).sum(3), A.sum(3)).sum(2)), "wrong-axis"),
    "nan where silent": (with_weights(lambda A, G, h: (A * h(G)).sum((2, 3)) / A.sum((2, 3))), "not-finite"),
    "only silence seen to": (with_weights(silent_only), "cancelling"),
    "nan_to_num": (with_weights(lambda A, G, h: ((A * h(G)).sum((2, 3)) / A.sum((2, 3))).nan_to_num()), "cancelling"),
    "tiny epsilon": (with_weights(lambda A, G, h: (A * h(G)).sum((2, 3)) / (A.sum((2, 3)) + 1e-7)), "epsilon"),
    "large epsilon": (with_weights(lambda A, G, h: (A * h(G)).sum((2, 3)) / (A.sum((2, 3)) + 1e-2)), "epsilon"),
    "epsilon that matters for small ones": (
        with_weights(lambda A, G, h: (A / (1e-5 + A.sum((2, 3), keepdim=True)) * h(G)).sum((2, 3))), "epsilon"),
    "clamped sum": (with_weights(lambda A, G, h: (A * h(G)).sum((2, 3)) / A.sum((2, 3)).clamp_min(1e-8)),
                    "negative-sum"),
    "positive sums only": (with_weights(lambda A, G, h: torch.where(
        A.sum((2, 3)) > 0, (A * h(G)).sum((2, 3)) / A.sum((2, 3)), 0.0)), "negative-sum"),
    "magnitudes": (with_weights(lambda A, G, h: divided((A * h(G)).sum((2, 3)), A.flatten(2).norm(p=1, dim=2))),
                   "magnitudes"),
    "normalize": (with_weights(lambda A, G, h: (F.normalize(A.flatten(2), p=1, dim=2) * h(G).flatten(2)).sum(2)),
                  "magnitudes"),
    "handled weights": (with_weights(lambda A, G, h: h(weight(A, G))), "handled-too-late"),
    "handled products": (with_weights(lambda A, G, h: h(divided(A, A.sum((2, 3), keepdim=True)) * G).sum((2, 3))),
                         "handled-too-late"),
    "handled activations": (with_weights(lambda A, G, h: weight(h(A), h(G))), "handled-activations"),
    "handled map": (lambda A, G, h: h(by_loops(A, G, lambda g: g)), "handled-result"),
    "not handled": (lambda A, G, h: masked(A, G, torch.clone), "handling-forgotten"),
    "always positive": (lambda A, G, h: in_numpy(A, G, torch.relu), "handling-hard-coded"),
    "divided again": (with_weights(lambda A, G, h: weight(A, h(G)) / G[0, 0].numel()), "divided-again"),
    "mean of activations": (with_weights(lambda A, G, h: divided((A * h(G)).sum((2, 3)), A.mean((2, 3)))),
                            "mean-for-sum"),
    "not divided": (with_weights(lambda A, G, h: torch.einsum("nkij,nkij->nk", A, h(G))), "total-missing"),
    "batch mixed": (lambda A, G, h: torch.einsum("k,nkij->nij", weight(A, h(G)).sum(0), A), "batch-mixed"),
    "shares over the batch": (with_weights(lambda A, G, h: divided((A * h(G)).sum((2, 3)), A.sum((0, 2, 3))[None])),
                              "batch-mixed"),
    "LayerCAM": (lambda A, G, h: torch.einsum("nkij,nkij->nij", A, h(G)), "layercam"),
    "softmax": (with_weights(lambda A, G, h: (F.softmax(A.flatten(2), -1) * h(G).flatten(2)).sum(-1)), "other-shares"),
    "swapped": (lambda A, G, h: by_loops(G, A, h), "arguments-swapped"),
    "last relu": (lambda A, G, h: F.relu(by_loops(A, G, h)), "relu-on-result"),
    "channels apart": (lambda A, G, h: A * weight(A, h(G))[..., None, None], "not-summed"),
    "first photo's weights": (lambda A, G, h: torch.einsum("k,nkij->nij", weight(A, h(G))[0], A), "first-photo-only"),
    "no keepdim": (lambda A, G, h: (A / A.sum((2, 3)) * h(G)).sum((2, 3)), "shapes"),
    "changes its input": (lambda A, G, h: A.div_(A.sum((2, 3), keepdim=True)).mul_(h(G)).sum(1), "input-changed"),
    "two mistakes": (lambda A, G, h: F.relu((h(G).mean((2, 3), keepdim=True) * A).sum(1)), "plain-mean"),
}  # fmt: skip
