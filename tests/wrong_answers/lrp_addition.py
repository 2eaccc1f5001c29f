"""lrp_addition(a, b, relevance, epsilon)"""

import numpy as np
import torch


def with_where(a, b, R, e):
    z = a + b
    z = torch.where(z >= 0, z + e, z - e)
    return a / z * R, b / z * R


def by_loops(a, b, R, e):
    out = [torch.zeros(a.shape, dtype=torch.float64) for _ in range(2)]
    for place in np.ndindex(*a.shape):
        x, y = float(a[place]), float(b[place])
        z = x + y
        z = z - e if z < 0 else z + e
        for received, part in zip(out, (x, y), strict=True):
            received[place] = part / z * float(R[place])
    return out


def in_numpy(a, b, R, e):
    a, b, R = (t.double().numpy() for t in (a, b, R))
    total = a + b
    total += np.where(total < 0, -e, e)
    return [torch.from_numpy(part * R / total) for part in (a, b)]


def autograd(a, b, R, e):
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    z = a + b
    sign = (z >= 0).float() * 2 - 1
    got = torch.autograd.grad(z, (a, b), (R / (z + e * sign)).detach())
    return tuple((t * g).detach() for t, g in zip((a, b), got, strict=True))


def stacked(a, b, R, e):
    both = torch.stack([a, b])
    z = both.sum(0)
    return tuple(both * (R / (z + torch.copysign(torch.tensor(e), z))))


def through_the_plus(a, b, R, e):
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    return torch.autograd.grad(a + b, (a, b), R)


def over(divide):
    """The rule with a learner's own denominator."""
    return lambda a, b, R, e: tuple(part * R / divide(a, b, e) for part in (a, b))


def alone(first):
    """The second summand treated as the first is, in a call of its own."""
    return lambda a, b, R, e: (first(a, b, R, e), first(b, a, R, e))


def of_all_positions(a, b, e):
    sums = [z.sum() for z in a + b]
    return torch.stack([z - e if z < 0 else z + e for z in sums]).view(-1, 1, 1, 1)


def attached(a, b, R, e):
    return with_where(a.requires_grad_(), b, R, e)


def by_gradient(a, b, R, e):
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    z = a + b
    got = torch.autograd.grad((z * R / torch.where(z < 0, z - e, z + e)).sum(), (a, b))
    return [(t * g).detach() for t, g in zip((a, b), got, strict=True)]


def changes(a, b, R, e):
    z = a.add_(b)
    z = torch.where(z >= 0, z + e, z - e)
    return (a - b) / z * R, b / z * R


RIGHT = {
    "where": with_where,
    "loops, double": by_loops,
    "numpy, a list": in_numpy,
    "autograd": autograd,
    "stacked, copysign": stacked,
}
WRONG = {
    "derivative of +": (through_the_plus, "passed-to-both"),
    "half each": (lambda a, b, R, e: [0.5 * R, 0.5 * R], "halved"),
    "other order": (lambda a, b, R, e: with_where(a, b, R, e)[::-1], "swapped"),
    "plus epsilon": (over(lambda a, b, e: a + b + e), "epsilon-sign"),
    "towards zero": (lambda a, b, R, e: autograd(a, b, R, -e), "epsilon-sign"),
    "torch.sign": (over(lambda a, b, e: (a + b) + e * (a + b).sign()), "sign-of-zero"),
    "torch.sign, no nan": (lambda a, b, R, e: [
        torch.nan_to_num(part * R / ((a + b) + e * (a + b).sign()), 0, 0, 0) for part in (a, b)], "sign-of-zero"),
    "minus at zero": (over(lambda a, b, e: torch.where(a + b > 0, a + b + e, a + b - e)), "sign-of-zero"),
    "sign of the summand": (alone(lambda x, y, R, e: x / (x + y + e * torch.where(x >= 0, 1, -1)) * R),
                            "epsilon-of-one"),
    "sign of the first": (over(lambda a, b, e: a + b + torch.copysign(torch.tensor(e), a)), "epsilon-of-one"),
    "no epsilon": (over(lambda a, b, e: a + b), "epsilon-missing"),
    "own epsilon": (lambda a, b, R, e: with_where(a, b, R, 1e-9), "epsilon-missing"),
    "clamp": (over(lambda a, b, e: torch.maximum(a + b, torch.tensor(e))), "epsilon-clamp"),
    "by magnitudes": (lambda a, b, R, e: with_where(a.abs(), b.abs(), R, e), "absolute-shares"),
    "sum of magnitudes": (over(lambda a, b, e: a.abs() + b.abs() + e), "absolute-denominator"),
    "magnitude of the sum": (over(lambda a, b, e: (a + b).abs() + e), "absolute-denominator"),
    "z+": (lambda a, b, R, e: in_numpy(a.clamp(min=0), b.clamp(min=0), R, e), "positive-only"),
    "rest for b": (lambda a, b, R, e: (with_where(a, b, R, e)[0], R - with_where(a, b, R, e)[0]), "remainder"),
    "largest": (lambda a, b, R, e: (torch.where(a.abs() > b.abs(), R, 0.0), torch.where(a.abs() > b.abs(), 0.0, R)),
                "winner-takes-all"),
    "not divided": (over(lambda a, b, e: 1.0), "not-divided"),
    "no summand": (alone(lambda x, y, R, e: R / (x + y + e * torch.where(x + y < 0, -1.0, 1.0))), "input-missing"),
    "a whole sum": (over(of_all_positions), "all-positions"),
    "one tensor": (lambda a, b, R, e: torch.stack(with_where(a, b, R, e)), "wrong-type"),
    "the first only": (lambda a, b, R, e: [with_where(a, b, R, e)[0]], "wrong-count"),
    "their sum": (lambda a, b, R, e: sum(with_where(a, b, R, e)), "wrong-type"),
    "sign": (lambda a, b, R, e: [-part for part in with_where(a, b, R, e)], "wrong-sign"),
    "no negative relevance": (lambda a, b, R, e: [p.relu() for p in with_where(a, b, R, e)], "relu-on-result"),
    "quotient not detached": (by_gradient, "quotient-not-detached"),
    "attached": (attached, "not-detached"),
    "changes a": (changes, "input-changed"),
}  # fmt: skip
