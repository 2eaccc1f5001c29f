"""alpha(activations, gradients)"""

import numpy as np
import torch


def long_form(A, G):
    S = A.sum((2, 3), keepdim=True)
    below = 2 * G**2 + S * G**3
    return torch.where(G != 0, G**2 / torch.where(G != 0, below, 1.0), 0.0)


def by_loops(A, G):
    out = torch.zeros_like(G)
    for n in range(G.shape[0]):
        for k in range(G.shape[1]):
            S = A[n, k].sum()
            for i in range(G.shape[2]):
                for j in range(G.shape[3]):
                    g = G[n, k, i, j]
                    if g != 0:
                        out[n, k, i, j] = 1 / (2 + S * g)
    return out


def with_mask(A, G):
    S = torch.einsum("nkij->nk", A.double())[..., None, None].expand_as(G)
    out, some = torch.zeros_like(G, dtype=torch.float64), G != 0
    g = G[some].double()
    out[some] = g**2 / (2 * g**2 + S[some] * g**3)
    return out


def with_numpy(A, G):
    a, g = A.numpy().astype(float), G.numpy().astype(float)
    with np.errstate(invalid="ignore"):
        found = g**2 / (2 * g**2 + a.sum(axis=(2, 3), keepdims=True) * g**3)
    return torch.from_numpy(np.nan_to_num(found))


def edits_a_copy(A, G):
    below = 2 * G**2 + A.sum((2, 3), keepdim=True) * G**3
    out = G**2
    out[G != 0].div_(below[G != 0])
    return out


def no_zero(A, G):
    return G**2 / (2 * G**2 + A.sum((2, 3), keepdim=True) * G**3)


def written(S, G, two=2.0, eps=0.0):
    """The long form with a sum of one's own."""
    return torch.nan_to_num(G.pow(2) / (two * G.pow(2) + S * G.pow(3) + eps), posinf=0.0, neginf=0.0)


def changes_its_input(A, G):
    found = long_form(A, G)
    G.pow_(2)
    return found


def without_keepdim(A, G):
    return 1 / (2 + A.sum((2, 3)) * G)


def channel_sum(A):
    return A.flatten(2).sum(2)[:, :, None, None]


RIGHT = {
    "long form": long_form,
    "loops": by_loops,
    "mask, double": with_mask,
    "NumPy": with_numpy,
    "short form": lambda A, G: (G != 0) / (2 + A.sum((-1, -2), True) * G),
    "cancelled once": lambda A, G: torch.nan_to_num(G / (2 * G + channel_sum(A) * G * G)),
}
WRONG = {
    "0 / 0": (no_zero, "not-finite"),
    "short form everywhere": (lambda A, G: (2 + channel_sum(A) * G).reciprocal(), "half-at-zero"),
    "nan becomes one": (lambda A, G: no_zero(A, G).nan_to_num(1.0), "one-at-zero"),
    "nan becomes one half": (lambda A, G: no_zero(A, G).nan_to_num(0.5), "half-at-zero"),
    "sum of gradients": (lambda A, G: written(channel_sum(G), G), "sum-of-gradients"),
    "swapped": (lambda A, G: long_form(G, A), "arguments-swapped"),
    "sum over channels": (lambda A, G: written(torch.einsum("nkij->nij", A)[:, None], G), "wrong-axis"),
    "sum over all but photos": (lambda A, G: written(A.flatten(1).sum(1)[:, None, None, None], G), "wrong-axis"),
    "sum over rows": (lambda A, G: written(A.sum(2, keepdim=True), G), "wrong-axis"),
    "sum over columns": (lambda A, G: written(A.sum(-1, keepdim=True), G), "wrong-axis"),
    "sum over the batch": (lambda A, G: written(channel_sum(A).sum(0), G), "batch-mixed"),
    "sum of everything": (lambda A, G: written(A.sum(), G), "batch-mixed"),
    "no sum": (written, "sum-missing"),
    "mean": (lambda A, G: written(A.mean((2, 3), keepdim=True), G), "mean-for-sum"),
    "sum of products": (
        lambda A, G: (G != 0) / (2 + torch.einsum("nkij,nkij->nk", A, G)[..., None, None]), "product-summed"),
    "sum of A g³": (
        lambda A, G: torch.nan_to_num(G**2 / (2 * G**2 + (A * G**3).sum((2, 3), keepdim=True))), "product-summed"),
    "cubes summed": (
        lambda A, G: torch.nan_to_num(G**2 / (2 * G**2 + A * channel_sum(G**3))), "cubes-summed"),
    "positive activations": (lambda A, G: written(channel_sum(A.relu()), G), "handled-sum"),
    "positive gradients": (lambda A, G: long_form(A, torch.relu(G)), "handled-before-alpha"),
    "2 missing": (lambda A, G: written(channel_sum(A), G, two=1.0), "two-missing"),
    "2 g alone": (
        lambda A, G: torch.nan_to_num(G**2 / (2 * G + channel_sum(A) * G**3)), "wrong-power"),
    "g³ missing": (lambda A, G: torch.nan_to_num(G**2 / (2 * G**2 + channel_sum(A) * G**2)), "wrong-power"),
    "S cubed": (lambda A, G: torch.nan_to_num(G**2 / (2 * G**2 + (channel_sum(A) * G) ** 3)), "wrong-power"),
    "minus": (lambda A, G: torch.nan_to_num(G**2 / (2 * G**2 - channel_sum(A) * G**3)), "wrong-sign"),
    "twice a half": (lambda A, G: long_form(A, G) / 2, "wrong-factor"),
    "edits a copy": (edits_a_copy, "undivided"),
    "epsilon 1e-8": (lambda A, G: written(channel_sum(A), G, eps=1e-8), "epsilon"),
    "epsilon 1e-6": (lambda A, G: written(channel_sum(A), G, eps=1e-6), "epsilon"),
    "no brackets": (
        lambda A, G: torch.nan_to_num(G**2 / (2 * G**2)) + channel_sum(A) * G**3, "brackets"),
    "upside down": (
        lambda A, G: torch.nan_to_num((2 * G**2 + channel_sum(A) * G**3) / G**2), "upside-down"),
    "negative alpha dropped": (lambda A, G: by_loops(A, G).relu(), "pole-hidden"),
    "adds up to 1": (
        lambda A, G: torch.stack([a / a.sum((1, 2), keepdim=True) for a in long_form(A, G)]), "normalized-alpha"),
    "times gradient": (lambda A, G: G**3 / torch.where(G == 0, 1.0, 2 * G**2 + channel_sum(A) * G**3),
                       "weights-instead"),
    "added up": (lambda A, G: torch.einsum("nkij->nk", long_form(A, G)), "not-by-position"),
    "no keepdim": (without_keepdim, "shapes"),
    "changes its input": (changes_its_input, "input-changed"),
    "squeezed": (lambda A, G: long_form(A, G).squeeze(), "squeezed"),
}  # fmt: skip
