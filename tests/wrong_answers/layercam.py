"""layercam(activations, gradients, handling)"""

import torch


def by_loops(A, G, h):
    kept, maps = h(G), []
    for n in range(len(A)):
        cam = torch.zeros_like(A[n, 0])
        for k in range(A.shape[1]):
            cam = cam + kept[n, k] * A[n, k]
        maps.append(cam)
    return torch.stack(maps)


def position_by_position(A, G, h):
    kept = h(G.double())
    maps = torch.empty(A.shape[0], *A.shape[2:], dtype=torch.float64)
    for i in range(A.shape[2]):
        for j in range(A.shape[3]):
            maps[:, i, j] = torch.linalg.vecdot(kept[:, :, i, j], A[:, :, i, j].double())
    return maps


def with_weights(weights):
    def cam(A, G, h):
        return torch.einsum("nkij,nkij->nij", weights(A, G, h).expand_as(A), A)

    return cam


def alpha(A, G):
    S = A.sum((2, 3), keepdim=True)
    return torch.nan_to_num(G**2 / (2 * G**2 + S * G**3))


def overwrites(A, G, h):
    A *= h(G)
    return A.sum(1)


def last_channel_only(A, G, h):
    for k in range(A.shape[1]):
        cam = h(G)[:, k] * A[:, k]
    return cam


RIGHT = {
    "einsum": lambda A, G, h: torch.einsum("nkij,nkij->nij", h(G), A),
    "loops": by_loops,
    "positions, double": position_by_position,
    "photo by photo": lambda A, G, h: torch.stack([(a * h(g)).sum(dim=0) for a, g in zip(A, G, strict=True)]),
    "matrix product": lambda A, G, h: (
        h(G).permute(0, 2, 3, 1)[..., None, :] @ A.permute(0, 2, 3, 1)[..., None]
    )[..., 0, 0],
}  # fmt: skip
WRONG = {
    "GradCAM": (with_weights(lambda A, G, h: h(G).mean((2, 3), keepdim=True)), "averaged"),
    "GradCAM with a sum": (with_weights(lambda A, G, h: h(G).sum((2, 3), keepdim=True)), "averaged"),
    "GradCAM, handled too late": (with_weights(lambda A, G, h: h(G.mean((2, 3), keepdim=True))), "averaged"),
    "mean of channels": (with_weights(lambda A, G, h: h(G).mean(1, keepdim=True)), "averaged"),
    "activations averaged": (
        lambda A, G, h: torch.einsum("nkij,nk->nij", h(G), A.mean((2, 3))), "averaged-activations"),
    "GradCAM++": (with_weights(lambda A, G, h: (alpha(A, G) * h(G)).sum((2, 3), keepdim=True)), "plus-plus"),
    "alpha": (with_weights(lambda A, G, h: alpha(A, G) * h(G)), "alpha-used"),
    "XGradCAM": (with_weights(
        lambda A, G, h: (A * h(G)).sum((2, 3), True) / A.sum((2, 3), keepdim=True)), "xgradcam"),
    "product handled": (lambda A, G, h: sum(h(A[:, k] * G[:, k]) for k in range(A.shape[1])), "handled-product"),
    "activations handled": (lambda A, G, h: by_loops(h(A), G, lambda t: t), "handled-activations"),
    "both handled": (lambda A, G, h: by_loops(h(A), G, h), "handled-activations"),
    "positive activations": (lambda A, G, h: by_loops(A.relu(), G, h), "handled-activations"),
    "map handled": (lambda A, G, h: h(torch.einsum("nkij,nkij->nij", G, A)), "handled-result"),
    "not handled": (lambda A, G, h: (G * A).sum(1), "handling-forgotten"),
    "always positive": (with_weights(lambda A, G, h: torch.relu(G)), "handling-hard-coded"),
    "positive products": (lambda A, G, h: torch.relu(h(G) * A).sum(dim=1), "relu-on-products"),
    "last relu, as published": (lambda A, G, h: by_loops(A, G, h).relu(), "relu-on-result"),
    "min-max": (lambda A, G, h: (by_loops(A, G, h) - by_loops(A, G, h).min()) / (
        by_loops(A, G, h).max() - by_loops(A, G, h).min()), "normalized"),
    "mean over channels": (lambda A, G, h: by_loops(A, G, h) / A.shape[1], "mean-for-sum"),
    "largest": (lambda A, G, h: torch.stack([a * h(g) for a, g in zip(A, G, strict=True)]).max(1).values,
                "largest-channel"),
    "channels apart": (lambda A, G, h: A.mul(h(G)), "not-summed"),
    "keepdim": (lambda A, G, h: torch.einsum("nkij,nkij->nij", h(G), A)[:, None], "not-summed"),
    "sums multiplied": (lambda A, G, h: torch.einsum("nkij,nlij->nij", h(G), A), "sums-multiplied"),
    "positions added up": (lambda A, G, h: torch.einsum("nkij,nkij->nk", h(G), A), "positions-summed"),
    "batch mixed": (with_weights(lambda A, G, h: h(G).mean(0)), "batch-mixed"),
    "first photo's gradients": (lambda A, G, h: torch.einsum("kij,nkij->nij", h(G)[0], A), "first-photo-only"),
    "gradients alone": (lambda A, G, h: torch.einsum("nkij->nij", h(G)), "activations-missing"),
    "activations alone": (lambda A, G, h: torch.einsum("nkij->nij", A), "gradients-missing"),
    "swapped": (lambda A, G, h: by_loops(G, A, h), "handled-activations"),
    "squared": (with_weights(lambda A, G, h: h(G).square()), "squared"),
    "gradients add up to 1": (
        lambda A, G, h: by_loops(A, torch.softmax(h(G), dim=1), lambda t: t), "normalized-gradients"),
    "divided": (lambda A, G, h: by_loops(A, G, h) / (A.shape[2] * A.shape[3]), "divided"),
    "only the last channel": (last_channel_only, "one-channel"),
    "overwrites": (overwrites, "input-changed"),
    "wrong sign": (lambda A, G, h: -by_loops(A, G, h), "wrong-sign"),
    "squeezed": (lambda A, G, h: by_loops(A, G, h).squeeze(), "squeezed"),
    "two mistakes": (lambda A, G, h: by_loops(A, G, lambda t: t).relu(), "handling-forgotten"),
}  # fmt: skip
