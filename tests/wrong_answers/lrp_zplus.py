"""lrp_zplus(a, w, b, relevance)"""

import torch
import torch.nn.functional as F

from wrong_answers.lrp_epsilon import by_gradient, einsum, steady


def with_eps(a, w, b, R):
    wp, bp = w.clamp(min=0), b.clamp(min=0)
    return a * ((R / (F.linear(a, wp, bp) + 1e-9)) @ wp)


def plus(small):
    return lambda a, w, b, R: a * ((R / (F.linear(a, w.relu(), b.relu()) + small)) @ w.relu())


def contributions(a, w, b, R):
    c = torch.einsum("ni,ji->nji", a, w).relu()
    z = c.sum(2) + b.relu()
    share = torch.where(z[..., None] > 0, c / z[..., None], 0.0)
    return (share * R[..., None]).sum(1)


def by_loops(a, w, b, R):
    out = torch.zeros_like(a).double()
    for n in range(len(a)):
        for j in range(len(w)):
            parts = [max(float(x * y), 0) for x, y in zip(a[n], w[j], strict=True)]
            z = sum(parts) + max(float(b[j]), 0)
            if z > 0:
                for i, part in enumerate(parts):
                    out[n, i] += part / z * R[n, j]
    return out


def autograd(a, w, b, R):
    a = a.requires_grad_()
    z = F.linear(a, w.relu(), b.relu())
    (c,) = torch.autograd.grad(z, a, (R / steady(z, 1e-6)).detach())
    return (a * c).detach()


def zplus(w1, w2, bias, finish=lambda a, c: a * c):
    """Other weights above and below the line."""

    def rule(a, w, b, R):
        z = F.linear(a, w2(w), bias(b))
        return finish(a, torch.where(z == 0, 0.0, R / z) @ w1(w))

    return rule


def same(t):
    return t


def cut_off(a, w, b, R):
    return a * ((R / F.linear(a, w.relu(), b.relu()).clamp(min=1e-5)) @ w.relu())


RIGHT = {
    "small number": with_eps,
    "small number, cut off": cut_off,
    "1e-6": plus(1e-6),
    "contributions": contributions,
    "loops, double": by_loops,
    "autograd": autograd,
}
WRONG = {
    "0 / 0": (lambda a, w, b, R: a * ((R / F.linear(a, w.relu(), b.relu())) @ w.relu()), "not-finite"),
    "no bias": (lambda a, w, b, R: with_eps(a, w, torch.zeros_like(b), R), "bias-missing"),
    "whole bias": (zplus(F.relu, F.relu, same), "bias-negative"),
    "all weights": (lambda a, w, b, R: einsum(a, w, b, R, 1e-9), "all-weights"),
    "signed denominator": (zplus(F.relu, same, same), "denominator-signed"),
    "signed numerator": (zplus(same, F.relu, F.relu), "numerator-signed"),
    "negative weights": (zplus(lambda w: w.clamp(max=0), lambda w: w.clamp(max=0), lambda b: b.clamp(max=0)),
                         "wrong-sign-kept"),
    "absolute weights": (zplus(torch.abs, torch.abs, torch.abs), "absolute-weights"),
    "no input": (lambda a, w, b, R: contributions(a, w, b, R) / a, "input-missing"),
    "not divided": (lambda a, w, b, R: a * (R @ w.relu()), "not-divided"),
    "positive relevance": (lambda a, w, b, R: contributions(a, w, b, R.relu()), "positive-relevance"),
    "wrong sum": (lambda a, w, b, R: torch.nan_to_num(
        a[:, None] * w.relu() / (a[:, None] * w.relu()).sum(1, keepdim=True) * R[..., None]).sum(1), "wrong-axis"),
    "relu of the outputs": (lambda a, w, b, R: torch.where(
        F.linear(a, w, b) > 0, R / F.linear(a, w, b), 0.0) @ w * a, "denominator-signed"),
    "cut off at .1": (lambda a, w, b, R: a * (R / F.linear(a, w.relu(), b.relu()).clamp(0.1) @ w.relu()), "cut-off"),
    "cut off at 1": (lambda a, w, b, R: a * (R / F.linear(a, w.relu(), b.relu()).clamp_min(1) @ w.relu()), "cut-off"),
    "plus .01": (lambda a, w, b, R: a * (R / (F.linear(a, w.relu(), b.relu()) + 0.01) @ w.relu()), "cut-off"),
    "quotient not detached": (lambda a, w, b, R: by_gradient()(a, w.relu(), b.relu(), R, 1e-9), "all-zero"),
    "wrong side": (lambda a, w, b, R: a * ((R / (F.linear(a, w.relu()) + 1e-9)) @ w.relu().T), "shapes"),
}  # fmt: skip
