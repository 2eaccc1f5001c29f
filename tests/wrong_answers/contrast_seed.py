"""contrast_seed(logits, target, against)"""

import torch


def by_loops(z, target, against):
    seed = torch.zeros(z.shape)
    for n, c in enumerate(target.tolist()):
        seed[n, c] += 1
        for k in range(z.shape[1]):
            if against == "mean":
                seed[n, k] -= 1 / z.shape[1]
            elif against is not None and k == against:
                seed[n, k] -= 1
    return seed


def by_autograd(z, target, against):
    """The seed is the gradient of the contrast with regard to the logits."""
    z = z.clone().requires_grad_()
    value = z.gather(1, target[:, None])[:, 0]
    if against == "mean":
        value = value - z.mean(1)
    elif against is not None:
        value = value - z[:, against]
    return torch.autograd.grad(value.sum(), z)[0]


def by_identity(z, target, against):
    unit = torch.eye(z.shape[1], dtype=torch.float64)
    taken = {"mean": unit.mean(0), None: 0 * unit[0]}.get(against) if against in ("mean", None) else unit[against]
    return unit[target] - taken


def with_rest(rest):
    """rest(z, one_hot) is taken away for the mean"""

    def own(z, target, against):
        seed = by_loops(z, target, None)
        if against == "mean":
            return seed - rest(z, seed)
        return by_loops(z, target, against)

    return own


def values(z, target, against):
    return (by_loops(z, target, against) * z).sum(1)


def own_logit_only(z, target, against):
    seed = torch.zeros_like(z)
    seed[torch.arange(len(z)), target] = 1
    return seed


def all_targets(z, target, against):
    seed = torch.zeros_like(z)
    seed[:, target] = 1
    return seed - (by_loops(z, target, None) - by_loops(z, target, against))


def probabilities(z, target, against):
    z = z.clone().requires_grad_()
    score = z.log_softmax(1).gather(1, target[:, None]).sum()
    return torch.autograd.grad(score, z)[0] if against == "mean" else by_loops(z, target, against)


def if_against(z, target, against):
    """0 is false."""
    seed = by_loops(z, target, None)
    if not against:
        return seed
    if against == "mean":
        return seed - 1 / z.shape[1]
    seed[:, against] -= 1
    return seed


def with_index(change):
    """change(seed, z, d), in place, where a class d is asked"""

    def own(z, target, against):
        seed = by_loops(z, target, None)
        if against is None or against == "mean":
            return by_loops(z, target, against)
        change(seed, z, against)
        return seed

    return own


def row_of_the_photo(seed, z, d):
    seed[d] -= 1


def row_of_the_neighbour(seed, z, d):
    seed[:, d - 1] -= 1


def minus_values(z, target, against):
    seed = own_logit_only(z, target, against)
    if against is None:
        return seed
    return seed - (z.mean(1) if against == "mean" else z[:, against])[:, None]


def other_way_round(z, target, against):
    z = z.clone().requires_grad_()
    own = z.gather(1, target[:, None])[:, 0]
    value = own if against is None else (z.mean(1) if against == "mean" else z[:, against]) - own
    return torch.autograd.grad(value.sum(), z)[0]


RIGHT = {"loops": by_loops, "gradient of the contrast": by_autograd, "rows of the identity": by_identity}
WRONG = {
    "one-hot": (own_logit_only, "no-contrast"),
    "mean forgotten": (lambda z, t, a: by_loops(z, t, None if a == "mean" else a), "mean-missing"),
    "class forgotten": (lambda z, t, a: by_loops(z, t, a if a == "mean" else None), "class-missing"),
    "always the mean": (lambda z, t, a: by_identity(z, t, "mean"), "always-mean"),
    "None is the mean": (lambda z, t, a: by_loops(z, t, "mean" if a is None else a), "always-mean"),
    "mean of the others": (with_rest(lambda z, own: (own == 0) / (z.shape[1] - 1)), "others-only"),
    "a K-th of the others": (with_rest(lambda z, own: (own == 0) / z.shape[1]), "others-only"),
    "minus one": (with_rest(lambda z, own: 1), "sum-for-mean"),
    "by photos": (with_rest(lambda z, own: 1 / len(z)), "photos-counted"),
    "one less": (with_rest(lambda z, own: 1 / (z.shape[1] - 1)), "wrong-number"),
    "1000 classes": (with_rest(lambda z, own: torch.tensor(0.001)), "wrong-number"),
    "mean over photos": (with_rest(lambda z, own: sum(own) / len(own)), "batch-mixed"),
    "log-probability": (probabilities, "softmax"),
    "values for numbers": (minus_values, "values-taken"),
    "transposed": (lambda z, t, a: by_loops(z, t, a).T, "transposed"),
    "mean logit": (with_rest(lambda z, own: z.mean(dim=1, keepdim=True)), "values-taken"),
    "other logit": (
        lambda z, t, a: by_loops(z, t, a) if a in ("mean", None) else own_logit_only(z, t, a)
        - z[:, [a]] * by_identity(z, torch.full_like(t, a), None), "values-taken"),
    "plus": (lambda z, t, a: 2 * by_loops(z, t, None) - by_loops(z, t, a), "added"),
    "turned round": (lambda z, t, a: -by_loops(z, t, a), "wrong-sign"),
    "turned round against something": (other_way_round, "turned-round"),
    "class 0 is None": (if_against, "class-0"),
    "counted from 1": (with_index(row_of_the_neighbour), "neighbour"),
    "photo of that number": (with_index(row_of_the_photo), "wrong-axis"),
    "argmax": (lambda z, t, a: by_loops(z, z.topk(1).indices[:, 0], a), "most-likely"),
    "first photo's class": (lambda z, t, a: by_loops(z, t[0].repeat(len(t)), a), "first-photo-only"),
    "table of targets": (all_targets, "all-classes-asked"),
    "value": (values, "value"),
    "products": (lambda z, t, a: by_loops(z, t, a) * z, "seed-times-logits"),
    "all contrasts": (
        lambda z, t, a: z - (z.mean(1, True) if a == "mean" else 0 if a is None else z[:, a:a + 1]), "every-contrast"),
    "whole numbers": (lambda z, t, a: by_loops(z, t, a).long(), "wrong-dtype"),
    "logits changed": (lambda z, t, a: z.zero_() + by_loops(z, t, a), "input-changed"),
    "nothing": (lambda z, t, a: None, "returns-none"),
}  # fmt: skip
