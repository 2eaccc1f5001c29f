"""attention_rollout(weights)"""

import numpy as np
import torch


def from_the_first(weights):
    R = torch.eye(weights[0].shape[-1])
    for A in weights:
        R = 0.5 * R + 0.5 * A.mean(dim=1) @ R
    return R


def from_the_last(weights):
    R = torch.eye(weights[0].shape[-1])
    for A in reversed(weights):
        R = R @ (torch.eye(A.shape[-1]) + A.mean(1)) / 2
    return R


def photo_by_photo(weights):
    found = []
    for n in range(len(weights[0])):
        R = np.eye(weights[0].shape[-1])
        for A in weights:
            M = A[n].double().numpy().mean(0)
            R = (np.eye(len(M)) + M) / 2 @ R
        found.append(torch.from_numpy(R))
    return torch.stack(found)


def joined(factor, step=lambda R, M: M @ R):
    """factor(A, I) -> (N, T, T)"""

    def own(weights):
        eye = torch.eye(weights[0].shape[-1])
        R = eye.expand(len(weights[0]), -1, -1)
        for A in weights:
            R = step(R, factor(A, eye))
        return R

    return own


def half(A, eye):
    return (eye + A.mean(1)) / 2


def by_matrix_power(weights):
    """Rows that add up to 1 by themselves: a sum of heads, scaled."""
    return joined(lambda A, eye: (eye + A.sum(1)) / (eye + A.sum(1)).sum(-1, keepdim=True))(weights)


def begun(start):
    """start(weights, I) -> what the product begins with"""

    def own(weights):
        R = start(weights, torch.eye(weights[0].shape[-1]))
        for A in weights:
            R = half(A, torch.eye(A.shape[-1])) @ R
        return R

    return own


RIGHT = {"from the first layer": from_the_first, "from the last layer": from_the_last, "in NumPy": photo_by_photo}
WRONG = {
    "from the right": (joined(half, lambda R, M: R @ M), "wrong-order"),
    "reversed": (lambda weights: from_the_first(weights[::-1]), "wrong-order"),
    "entry by entry": (joined(half, lambda R, M: torch.where(torch.eye(R.shape[-1]) == R, M, M * R)), "entrywise"),
    "entry by entry, from the identity": (joined(half, lambda R, M: M * R), "entrywise"),
    "from ones": (begun(lambda weights, eye: torch.ones(len(weights[0]), *eye.shape)), "ones"),
    "first layer twice": (begun(lambda weights, eye: half(weights[0], eye)), "first-layer-twice"),
    "first layer as it is": (lambda weights: from_the_first(weights[1:]) @ weights[0].mean(1), "no-identity"),
    "identity at the end": (
        lambda weights: (joined(lambda A, eye: A.mean(1))(weights) + torch.eye(weights[0].shape[-1])) / 2,
        "identity-once"),
    "no product": (joined(lambda A, eye: A.mean(1), lambda R, M: 0.5 * (R + M)), "added"),
    "softmax": (joined(lambda A, eye: (eye + A.mean(1).softmax(dim=2)) / 2), "softmax-again"),
    "R transposed": (lambda weights: from_the_first(weights).transpose(1, 2), "transposed"),
    "sum of layers": (lambda weights: sum((torch.eye(A.shape[-1]) + A.mean(1)) / 2 for A in weights), "added"),
    "mean of layers": (lambda weights: sum(half(A, torch.eye(A.shape[-1])) for A in weights) / len(weights), "added"),
    "without the identity": (joined(lambda A, eye: A.mean(1)), "no-identity"),
    "not halved": (joined(lambda A, eye: eye + A.mean(1)), "not-halved"),
    "identity whole": (joined(lambda A, eye: eye + 0.5 * A.mean(1)), "half-missing"),
    "ones": (joined(lambda A, eye: (1 + A.mean(1)) / 2), "ones"),
    "sum of heads": (joined(lambda A, eye: (eye + A.sum(1)) / 2), "sum-of-heads"),
    "sum of heads, scaled": (by_matrix_power, "sum-of-heads"),
    "maximum": (joined(lambda A, eye: (eye + A.max(dim=1).values) / 2), "largest-head"),
    "first head": (joined(lambda A, eye: (eye + A[:, 0]) / 2), "one-head"),
    "heads apart": (
        lambda weights: torch.stack([from_the_first([A[:, [h]] for A in weights]) for h in range(weights[0].shape[1])])
        .mean(0), "heads-apart"),
    "transposed": (joined(lambda A, eye: (eye + A.mean(1).transpose(1, 2)) / 2), "transposed"),
    "first layer left out": (lambda weights: from_the_first(weights[1:]), "layer-missing"),
    "last layer": (lambda weights: from_the_first(weights[-1:]), "last-layer"),
    "class token's row": (lambda weights: from_the_first(weights)[:, 0, :], "only-a-row"),
    "class token's map": (lambda weights: from_the_first(weights)[:, 0, 1:], "only-a-row"),
    "identity left out": (lambda weights: from_the_first(weights) - torch.eye(weights[0].shape[-1]), "identity-taken"),
    "in place": (lambda weights: [A.mul_(0.5) for A in weights] and from_the_first(weights), "input-changed"),
    "popped": (lambda weights: weights.pop(), "list-changed"),
    "nothing": (lambda weights: None, "returns-none"),
}  # fmt: skip
