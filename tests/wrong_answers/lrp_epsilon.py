"""lrp_epsilon(a, w, b, relevance, epsilon)"""

import torch
import torch.nn.functional as F


def steady(z, e):
    return z + e * torch.where(z >= 0, 1.0, -1.0)


def four_steps(a, w, b, R, e, forward=F.linear, divide=None):
    a = a.clone().requires_grad_()
    z = forward(a, w, b)
    s = (R / (divide(z, e) if divide else steady(z, e))).detach()
    (c,) = torch.autograd.grad(z, a, s)
    return (a * c).detach()


def by_loops(a, w, b, R, e):
    out = torch.zeros(a.shape, dtype=torch.float64)
    for n in range(len(a)):
        for j in range(len(w)):
            z = float(a[n] @ w[j] + b[j])
            z += e if z >= 0 else -e
            for i in range(a.shape[1]):
                out[n, i] += a[n, i] * w[j, i] / z * R[n, j]
    return out


def einsum(a, w, b, R, e):
    c = torch.einsum("ni,ji->nij", a, w)
    return torch.einsum("nij,nj->ni", c / steady(c.sum(1) + b, e)[:, None], R)


def attached(a, w, b, R, e):
    a.requires_grad_()
    z = F.linear(a, w, b)
    (c,) = torch.autograd.grad(z, a, (R / steady(z, e)).detach())
    return a * c


def by_gradient(forward=F.linear):
    """The gradient trick, without detach()."""

    def own(a, w, b, R, e):
        a = a.clone().requires_grad_()
        z = forward(a, w, b)
        (c,) = torch.autograd.grad((z * R / steady(z, e)).sum(), a)
        return (a * c).detach()

    return own


RIGHT = {"four steps": four_steps, "loops, double": by_loops, "einsum": einsum}
WRONG = {
    "no bias": (lambda a, w, b, R, e: einsum(a, w, 0, R, e), "bias-missing"),
    "plus epsilon": (lambda a, w, b, R, e: four_steps(a, w, b, R, e, divide=lambda z, e: z + e), "epsilon-sign"),
    "towards zero": (lambda a, w, b, R, e: einsum(a, w, b, R, -e), "epsilon-sign"),
    "no epsilon": (lambda a, w, b, R, e: einsum(a, w, b, R, 0), "epsilon-missing"),
    "own epsilon": (lambda a, w, b, R, e: einsum(a, w, b, R, 1e-6), "epsilon-missing"),
    "no input": (lambda a, w, b, R, e: by_loops(a, w, b, R, e) / a, "input-missing"),
    "not divided": (lambda a, w, b, R, e: a * torch.einsum("nj,ji->ni", R, w), "not-divided"),
    "z+": (lambda a, w, b, R, e: einsum(a, w.relu(), b.relu(), R, e), "positive-only"),
    "positive relevance": (lambda a, w, b, R, e: einsum(a, w, b, R.relu(), e), "positive-only"),
    "relu": (lambda a, w, b, R, e: einsum(a, w, b, R, e).relu(), "relu-on-result"),
    "absolute": (lambda a, w, b, R, e: four_steps(a, w, b, R, e, divide=lambda z, e: z.abs() + e), "absolute"),
    "wrong sum": (lambda a, w, b, R, e: torch.einsum(
        "nij,nj->ni", a[:, :, None] * w.T / steady((a[:, :, None] * w.T).sum(2, keepdim=True), e), R), "wrong-axis"),
    "wrong side": (lambda a, w, b, R, e: a * ((R / steady(a @ w.T + b, e)) @ w.T), "shapes"),
    "bias shared": (lambda a, w, b, R, e: torch.einsum(
        "nij,nj->ni", (a[:, :, None] * w.T + b / 7) / steady(a @ w.T + b, e)[:, None], R), "bias-shared"),
    "quotient not detached": (by_gradient(), "quotient-not-detached"),
    "attached": (attached, "not-detached"),
    "sign": (lambda *args: -einsum(*args), "wrong-sign"),
}  # fmt: skip
