"""gradient_rollout(weights, gradients, handling)"""

import torch


def from_the_first(weights, gradients, h):
    R = torch.eye(weights[0].shape[-1])
    for A, G in zip(weights, gradients, strict=True):
        R = R + h(A * G).mean(1) @ R
    return R


def row_by_row(weights, gradients, h):
    """Each row by itself, from the last layer down, as the package does it for the class token."""
    rows = torch.eye(weights[0].shape[-1]).expand(len(weights[0]), -1, -1)
    for layer in range(len(weights) - 1, -1, -1):
        rows = rows + rows @ h(weights[layer] * gradients[layer]).mean(dim=1)
    return rows


def by_einsum(weights, gradients, h):
    product = None
    for A, G in zip(weights, gradients, strict=True):
        M = torch.einsum("nhij->nij", h((A * G).double())) / A.shape[1] + torch.eye(A.shape[-1])
        product = M if product is None else torch.einsum("nij,njk->nik", M, product)
    return product


def joined(factor, step=lambda R, M: M @ R):
    """factor(A, G, h, I) -> (N, T, T)"""

    def own(weights, gradients, h):
        eye = torch.eye(weights[0].shape[-1])
        R = eye.expand(len(weights[0]), -1, -1)
        for A, G in zip(weights, gradients, strict=True):
            R = step(R, factor(A, G, h, eye))
        return R

    return own


def right(A, G, h, eye):
    return eye + h(A * G).mean(1)


def heads_apart(weights, gradients, h):
    heads = range(weights[0].shape[1])
    found = [from_the_first([A[:, [k]] for A in weights], [G[:, [k]] for G in gradients], h) for k in heads]
    return torch.stack(found).mean(0)


def begun(start):
    """start(first factor) -> what the product begins with"""

    def own(weights, gradients, h):
        R = None
        for A, G in zip(weights, gradients, strict=True):
            M = right(A, G, h, torch.eye(A.shape[-1]))
            R = M @ (start(M) if R is None else R)
        return R

    return own


def handled_sum(weights, gradients, h):
    R = torch.eye(weights[0].shape[-1])
    for A, G in zip(weights, gradients, strict=True):
        R = h(R + (A * G).mean(1) @ R)
    return R


def rows_to_1(weights, gradients, h):
    R = from_the_first(weights, gradients, h)
    return R / R.sum(dim=2, keepdim=True)


RIGHT = {"from the first layer": from_the_first, "row by row": row_by_row, "einsum, double": by_einsum}
WRONG = {
    "handled mean": (joined(lambda A, G, h, eye: eye + h((A * G).mean(1))), "handled-too-late"),
    "handled product": (lambda w, g, h: h(from_the_first(w, g, torch.clone)), "handled-too-late"),
    "handled factor": (joined(lambda A, G, h, eye: h(eye + (A * G).mean(1))), "handled-too-late"),
    "handled with the identity": (joined(lambda A, G, h, eye: h(eye + A * G).mean(1)), "handled-too-late"),
    "handled so far": (handled_sum, "handled-too-late"),
    "heads apart": (heads_apart, "heads-apart"),
    "from ones": (begun(torch.ones_like), "ones"),
    "first layer twice": (begun(torch.clone), "first-layer-twice"),
    "entry by entry": (joined(right, lambda R, M: M * R), "entrywise"),
    "rows scaled at the end": (rows_to_1, "rows-scaled"),
    "R transposed": (lambda w, g, h: from_the_first(w, g, h).mT, "transposed"),
    "halved": (joined(lambda A, G, h, eye: right(A, G, h, eye) / 2), "halved"),
    "without the identity": (joined(lambda A, G, h, eye: h(A * G).mean(1)), "no-identity"),
    "ones": (joined(lambda A, G, h, eye: 1 + h(A * G).mean(1)), "ones"),
    "from the right": (joined(right, lambda R, M: R @ M), "wrong-order"),
    "gradients as they come back": (lambda w, g, h: from_the_first(w, list(reversed(g)), h), "gradients-reversed"),
    "sum of layers": (lambda w, g, h: sum(right(A, G, h, torch.eye(A.shape[-1])) for A, G in zip(w, g, strict=True)),
                      "added"),
    "matrix product": (joined(lambda A, G, h, eye: eye + h(G @ A).mean(1)), "matrix-product"),
    "attention alone": (joined(lambda A, G, h, eye: eye + h(A).mean(1)), "gradient-missing"),
    "gradient alone": (joined(lambda A, G, h, eye: eye + h(G).mean(1)), "attention-missing"),
    "means": (joined(lambda A, G, h, eye: eye + h(A.mean(1) * G.mean(1))), "means-multiplied"),
    "sum of heads": (joined(lambda A, G, h, eye: eye + h(A * G).sum(1)), "sum-of-heads"),
    "maximum": (joined(lambda A, G, h, eye: eye + h(A * G).max(1)[0]), "largest-head"),
    "last head": (joined(lambda A, G, h, eye: eye + h(A * G)[:, -1]), "one-head"),
    "magnitudes": (joined(lambda A, G, h, eye: eye + h(A * G.abs()).mean(1)), "absolute-gradients"),
    "transposed": (joined(lambda A, G, h, eye: eye + h(A * G).mean(1).mT), "transposed"),
    "last layer": (lambda w, g, h: from_the_first(w[-1:], g[-1:], h), "last-layer"),
    "all but the last": (lambda w, g, h: from_the_first(w[:-1], g[:-1], h), "layer-missing"),
    "not handled": (lambda w, g, h: from_the_first(w, g, lambda t: t), "handling-forgotten"),
    "always positive": (lambda w, g, h: from_the_first(w, g, torch.relu), "handling-hard-coded"),
    "first row": (lambda w, g, h: from_the_first(w, g, h)[:, 0], "only-a-row"),
    "identity left out": (lambda w, g, h: from_the_first(w, g, h) - torch.eye(w[0].shape[-1]), "identity-taken"),
    "in place": (lambda w, g, h: from_the_first(w, [G.mul_(A) / A for A, G in zip(w, g, strict=True)], h),
                 "input-changed"),
    "handling as a number": (lambda w, g, h: from_the_first(w, g, lambda t: h * t), "error"),
}  # fmt: skip
