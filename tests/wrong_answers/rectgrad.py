"""rectgrad(gradients, activations, handling, q)"""

import math

import numpy as np
import torch


def with_quantile(G, a, h, q):
    R = h(G)
    size = (a * R).abs()
    tau = torch.quantile(size.flatten(1), q, dim=1).view(-1, 1, 1, 1) if q else 0.0
    return torch.where(size > tau, R, 0.0)


def by_sorting(G, a, h, q):
    out = []
    for g, act in zip(h(G), a, strict=True):
        size = (g * act).abs().flatten()
        cut = math.ceil(q * len(size))
        tau = size.sort().values[cut - 1] if cut else 0
        out.append(g * ((g * act).abs() > tau))
    return torch.stack(out)


def in_numpy(G, a, h, q):
    R, act = h(G).double().numpy(), a.double().numpy()
    size = np.abs(R * act)
    tau = np.quantile(size.reshape(len(size), -1), q, axis=1)[:, None, None, None] * (q > 0)
    return torch.from_numpy(np.where(size > tau, R, 0.0))


def rule(size, passes, returns=lambda R, a, G: R, tau=None):
    """A variation of the rule; size(R, a, G) is held against its quantile, passes(size, tau)."""

    def own(G, a, h, q):
        R = h(G)
        s = size(R, a, G)
        t = tau(s, q) if tau else torch.quantile(s.flatten(1), q, dim=1)[:, None, None, None] * (q > 0)
        return returns(R, a, G) * (a > 0) * passes(s, t)

    return own


def contribution(R, a, G):
    return (a * R).abs()


RIGHT = {"quantile": with_quantile, "sorting": by_sorting, "numpy, double": in_numpy,
         "with the gate": rule(contribution, torch.gt)}  # fmt: skip
WRONG = {
    "whole batch": (rule(contribution, torch.gt, tau=lambda s, q: s.quantile(q)), "batch-mixed"),
    "each channel": (rule(contribution, torch.gt, tau=lambda s, q: s.flatten(2).quantile(q, 2)[..., None, None]),
                     "per-channel"),
    "gradients": (rule(lambda R, a, G: R.abs(), torch.gt), "threshold-of-gradients"),
    "activations": (rule(lambda R, a, G: a, torch.gt), "threshold-of-activations"),
    "signed contributions": (rule(lambda R, a, G: a * R, torch.gt), "not-absolute"),
    "unhandled contributions": (rule(lambda R, a, G: (a * G).abs(), torch.gt), "handled-too-late"),
    "not handled": (lambda G, a, h, q: with_quantile(G, a, lambda t: t, q), "handling-forgotten"),
    "always positive": (lambda G, a, h, q: with_quantile(G, a, torch.relu, q), "handling-hard-coded"),
    "smallest": (rule(contribution, torch.le), "wrong-end"),
    "1 - q": (lambda G, a, h, q: with_quantile(G, a, h, 1 - q), "wrong-share"),
    "contributions returned": (rule(contribution, torch.gt, lambda R, a, G: a * R), "contribution-returned"),
    "mask": (lambda G, a, h, q: (with_quantile(G, a, h, q) != 0).float(), "mask-returned"),
    "boolean mask": (lambda G, a, h, q: with_quantile(G, a, h, q) != 0, "wrong-dtype"),
    "not strict, with quantile": (lambda G, a, h, q: h(G) * (
        (a * h(G)).abs() >= (a * h(G)).abs().flatten(1).quantile(q, 1).view(-1, 1, 1, 1)), "not-strict"),
    "not strict": (lambda G, a, h, q: by_kth(G, a, h, q, torch.ge), "not-strict"),
    "fraction of the largest": (rule(contribution, torch.gt, tau=lambda s, q: q * s.amax((1, 2, 3), True)),
                                "fraction-of-largest"),
    "no cut": (lambda G, a, h, q: h(G) * (a > 0), "no-threshold"),
    "first photo's threshold": (rule(contribution, torch.gt, tau=lambda s, q: s[0].quantile(q)), "first-photo-only"),
}  # fmt: skip


def by_kth(G, a, h, q, passes):
    R = h(G) * (a > 0)
    size = (a * R).abs()
    k = max(1, round(q * size[0].numel()))
    tau = size.flatten(1).kthvalue(k, 1).values if q else torch.zeros(len(a))
    return R * passes(size, tau[:, None, None, None])
