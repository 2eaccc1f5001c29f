"""gradcam_plus_plus(activations, gradients, handling)"""

import torch


def written_out(A, G, h):
    S = A.sum((2, 3), keepdim=True)
    below = 2 * G**2 + S * G**3
    alpha = torch.where(below != 0, G**2 / torch.where(below != 0, below, 1.0), 0.0)
    return torch.einsum("nkij,nkij,nkab->nab", alpha, h(G), A)


def by_loops(A, G, h):
    kept, maps = h(G), []
    for a, g, p in zip(A.double(), G.double(), kept.double(), strict=True):
        cam = 0
        for k in range(len(a)):
            alpha = 1 / (2 + a[k].sum() * g[k])
            cam = cam + (alpha * p[k]).sum() * a[k]
        maps.append(cam)
    return torch.stack(maps)


def divided_by_zero(A, G, h):
    alpha = G**2 / (2 * G**2 + A.sum((2, 3), keepdim=True) * G**3)
    return ((alpha * h(G)).sum((2, 3), keepdim=True) * A).sum(1)


def edits_a_copy(A, G, h):
    alpha, some = G.square(), G != 0
    alpha[some] /= 1  # this one assigns
    alpha[some].div_((2 * G**2 + A.sum((2, 3), keepdim=True) * G**3)[some])  # this one doesn't
    return ((alpha * h(G)).sum((2, 3), keepdim=True) * A).sum(1)


def with_alpha(alpha, handled=lambda G, h: h(G)):
    def cam(A, G, h):
        weights = torch.nan_to_num(alpha(A, G, h) * handled(G, h)).sum(dim=(-2, -1))
        return torch.einsum("nk,nkij->nij", weights, A)

    return cam


def alpha(S, G):
    return torch.nan_to_num(G * G / (2 * G * G + S * G * G * G))


RIGHT = {
    "written out": written_out,
    "loops, double": by_loops,
    "short alpha": lambda a, g, h: (
        (h(g) / (2 + g * a.sum(3, keepdim=True).sum(2, keepdim=True))).sum((2, 3), keepdim=True) * a
    ).sum(1),
    "nan to num": with_alpha(lambda A, G, h: alpha(A.sum((2, 3), keepdim=True), G)),
}
WRONG = {
    "0 / 0": (divided_by_zero, "not-finite"),
    "sum of gradients": (with_alpha(lambda A, G, h: alpha(G.sum((2, 3), True), G)), "sum-of-gradients"),
    "sum over channels": (with_alpha(lambda A, G, h: alpha(A.sum(1, True), G)), "wrong-axis"),
    "sum over everything": (with_alpha(lambda A, G, h: alpha(A.sum((1, 2, 3), True), G)), "wrong-axis"),
    "sum over the batch": (with_alpha(lambda A, G, h: alpha(A.sum((0, 2, 3), True), G)), "batch-mixed"),
    "no sum": (with_alpha(lambda A, G, h: alpha(A, G)), "sum-missing"),
    "mean": (with_alpha(lambda A, G, h: alpha(A.mean((2, 3), True), G)), "mean-for-sum"),
    "2 missing": (with_alpha(lambda A, G, h: G * G / (G * G + A.sum((2, 3), True) * G**3)), "two-missing"),
    "alpha of handled": (with_alpha(lambda A, G, h: alpha(A.sum((2, 3), True), h(G))), "handled-before-alpha"),
    "handled product": (lambda A, G, h: torch.einsum(
        "nkij,nkab->nab", h(alpha(A.sum((2, 3), True), G) * G), A), "handled-too-late"),
    "not handled": (lambda A, G, h: written_out(A, G, lambda t: t), "handling-forgotten"),
    "always positive": (lambda A, G, h: written_out(A, G, torch.relu), "handling-hard-coded"),
    "no alpha": (with_alpha(lambda A, G, h: 1.0), "alpha-missing"),
    "GradCAM": (with_alpha(lambda A, G, h: 1 / 24), "alpha-missing"),
    "minus": (with_alpha(lambda A, G, h: alpha(-A.sum((2, 3), True), G)), "wrong-sign"),
    "S of products": (with_alpha(lambda A, G, h: 1 / (2 + (A * G).sum((2, 3), True))), "product-summed"),
    "2 outside": (with_alpha(lambda A, G, h: 1 / (2 * (1 + A.sum((2, 3), True) * G))), "two-outside"),
    "magnitudes": (lambda A, G, h: written_out(A, G, lambda t: h(t).abs()), "absolute-gradients"),
    "no gradient": (with_alpha(lambda A, G, h: alpha(A.sum((2, 3), True), G), lambda G, h: 1.0), "gradient-missing"),
    "averaged": (lambda A, G, h: written_out(A, G, h) / 24, "weights-averaged"),
    "wrong power": (with_alpha(lambda A, G, h: G**2 / (2 * G**2 + A.sum((2, 3), True) * G**2)), "wrong-power"),
    "edits a copy": (edits_a_copy, "undivided"),
    "last relu": (lambda A, G, h: written_out(A, G, h).clamp(min=0), "relu-on-result"),
    "position by position": (lambda A, G, h: (alpha(A.sum((2, 3), True), G) * h(G) * A).sum(1), "no-average"),
}  # fmt: skip
