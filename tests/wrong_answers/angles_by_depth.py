"""angles_by_depth(matrices, first, second)"""

import math

import numpy as np
import torch


def angle(first, second):
    a, b = first.double() / first.double().norm(), second.double() / second.double().norm()
    return float(2 * torch.atan2((a - b).norm(), (a + b).norm()).rad2deg())


def each_rescaled(matrices, first, second):
    angles = [angle(first, second)]
    for matrix in matrices:
        first, second = matrix @ first, matrix @ second
        first, second = first / first.norm(), second / second.norm()
        angles.append(angle(first, second))
    return angles


def together(matrices, first, second):
    """Both vectors as two columns, rescaled by one factor."""
    both = torch.stack([first, second], dim=1)
    angles = torch.empty(len(matrices) + 1)
    angles[0] = angle(first, second)
    for n, matrix in enumerate(matrices, start=1):
        both = matrix @ both
        both = both / both.abs().max()
        angles[n] = angle(*both.T)
    return angles


def by_product(matrices, first, second):
    product, angles = torch.eye(len(first)), [angle(first, second)]
    for matrix in matrices:
        product = matrix @ product
        product /= torch.linalg.norm(product)
        angles.append(angle(product @ first, product @ second))
    return tuple(angles)


def in_double(matrices, first, second):
    """Never rescaled: double precision holds even the long chains."""
    a, b = first.numpy().astype(np.float64), second.numpy().astype(np.float64)
    found = []
    for matrix in [np.eye(len(a)), *(m.numpy() for m in matrices)]:
        a, b = matrix @ a, matrix @ b
        found.append(angle(torch.from_numpy(a), torch.from_numpy(b)))
    return np.array(found)


def not_rescaled(matrices, first, second):
    angles = [angle(first, second)]
    for matrix in matrices:
        first, second = matrix @ first, matrix @ second
        angles.append(angle(first, second))
    return angles


def divided_when_large(matrices, first, second):
    """Keeps numbers from growing, not from vanishing."""
    angles = [angle(first, second)]
    for matrix in matrices:
        first, second = matrix @ first, matrix @ second
        size = max(1.0, float(first.norm()), float(second.norm()))
        first, second = first / size, second / size
        angles.append(angle(first, second))
    return angles


def wrong_side(matrices, first, second):
    product, angles = torch.eye(len(first)), [angle(first, second)]
    for matrix in matrices:
        product = product @ matrix
        product = product / product.norm()
        angles.append(angle(product @ first, product @ second))
    return angles


def second_forgotten(matrices, first, second):
    angles = [angle(first, second)]
    for matrix in matrices:
        first = matrix @ first
        first = first / first.norm()
        angles.append(angle(first, second))
    return angles


def with_its_start(matrices, first, second):
    return [angle(first, second)] + [
        angle(one, first) for one in _through(matrices, first)
    ]  # fmt: skip


def _through(matrices, vector):
    for matrix in matrices:
        vector = matrix @ vector
        vector = vector / vector.norm()
        yield vector


def own_angle(matrices, first, second):
    pairs = zip(_through(matrices, first), _through(matrices, second), strict=True)
    return [angle(first, second), *(math.radians(angle(*pair)) for pair in pairs)]


RIGHT = {
    "each rescaled": each_rescaled,
    "together": together,
    "by the product": by_product,
    "in double precision": in_double,
}
WRONG = {
    "not rescaled": (not_rescaled, "overflow"),
    "divided when large": (divided_when_large, "underflow"),
    "no start": (lambda m, a, b: each_rescaled(m, a, b)[1:], "depth-zero-missing"),
    "no end": (lambda m, a, b: each_rescaled(m[:-1], a, b), "last-missing"),
    "only the end": (lambda m, a, b: each_rescaled(m, a, b)[-1], "last-only"),
    "nothing without matrices": (lambda m, a, b: each_rescaled(m, a, b) if m else [90.0], "no-matrices"),
    "from the last": (lambda m, a, b: together(list(reversed(m)), a, b), "wrong-order"),
    "product on the wrong side": (wrong_side, "wrong-order"),
    "reversed list": (lambda m, a, b: list(reversed(by_product(m, a, b))), "list-reversed"),
    "transposed": (lambda m, a, b: each_rescaled([x.mT for x in m], a, b), "transposed"),
    "not cumulative": (
        lambda m, a, b: [angle(a, b)] + [angle(torch.mv(x, a), torch.mv(x, b)) for x in m], "not-cumulative"),
    "always the first": (lambda m, a, b: together([m[0]] * len(m) if m else [], a, b), "first-matrix-again"),
    "second forgotten": (second_forgotten, "second-stays"),
    "with its start": (with_its_start, "with-its-past"),
    "positive part": (lambda m, a, b: by_product([x.relu() for x in m], a, b), "clamped"),
    "magnitudes": (lambda m, a, b: by_product([abs(x) for x in m], a, b), "magnitudes"),
    "radians": (lambda m, a, b: np.radians(in_double(m, a, b)), "radians"),
    "cosines": (lambda m, a, b: np.cos(np.radians(in_double(m, a, b))), "cosine"),
    "radians from depth 1": (own_angle, "first-photo-only"),
    "in place": (lambda m, a, b: [angle(a, b), *(angle(a.copy_(x @ a), b.copy_(x @ b)) for x in m)], "input-changed"),
}  # fmt: skip
