"""class_sensitivity(net, x, explain)"""

import numpy as np
import torch
from scipy import stats

from posgrad_edu.metrics.similarity import compare, spearman


def correlate(a, b):
    return spearman(a.numpy(), b.numpy())


def measure(first, second, alike=correlate, finish=torch.tensor):
    """Compare the classes that first(logits) and second(logits) choose, one a photo."""

    def own(net, x, explain):
        with torch.no_grad():
            z = net(x)
        one, other = explain(net, x, first(z)), explain(net, x, second(z))
        return finish([alike(a, b) for a, b in zip(one, other, strict=True)])

    return own


def most(z):
    return z.argmax(1)


def with_a_graph(net, x, explain):
    """The right numbers, in tensors that still belong to the network's graph."""
    z = net(x)
    maps = explain(net, x, most(z)), explain(net, x, least(z))
    return [correlate(a, b) + 0 * logits.sum() for a, b, logits in zip(*maps, z, strict=True)]


def least(z):
    return z.argmin(1)


def photo_by_photo(net, x, explain):
    found = []
    for n in range(len(x)):
        photo = x[n : n + 1]
        order = net(photo)[0].argsort()
        a, b = explain(net, photo, order[-1:]), explain(net, photo, order[:1])
        found.append(float(stats.spearmanr(a.flatten(), b.flatten()).statistic))
    return found


def whole_batch(net, x, explain):
    z = net(x)
    return [correlate(explain(net, x, most(z)), explain(net, x, least(z)))] * len(x)


def one_class(net, x, explain):
    return [compare(*explain(net, x, net(x).argmax())).spearman]


RIGHT = {
    "argmax and argmin": measure(most, least),
    "photo by photo, a list": photo_by_photo,
    "softmax, an array": measure(lambda z: z.softmax(1).topk(1).indices[:, 0], lambda z: z.sort(1).indices[:, 0],
                                 finish=np.array),
    "least first": measure(least, most, lambda a, b: compare(a, b).spearman),
}  # fmt: skip
WRONG = {
    "runner-up": (measure(most, lambda z: z.topk(2, dim=1).indices[:, 1]), "runner-up"),
    "two least": (measure(least, lambda z: z.topk(2, dim=1, largest=False).indices[:, 1]), "wrong-end"),
    "same class": (measure(most, lambda z: (-z).argmin(1)), "same-class"),
    "by index": (
        measure(lambda z: torch.zeros(len(z), dtype=torch.long), lambda z: torch.full((len(z),), 4)), "by-index"),
    "nearest zero": (measure(most, lambda z: z.abs().argmin(1)), "by-magnitude"),
    "first photo's": (measure(lambda z: z[0].argmax().repeat(len(z)), lambda z: z[0].argmin().repeat(len(z))),
                      "first-photo-classes"),
    "whole batch": (whole_batch, "batch-mixed"),
    "average": (measure(most, least, finish=np.mean), "averaged"),
    "Pearson": (measure(most, least, lambda a, b: torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]),
                "no-ranks"),
    "magnitudes": (measure(most, least, lambda a, b: correlate(a.abs(), b.abs())), "absolute-values"),
    "absolute": (measure(most, least, lambda a, b: abs(correlate(a, b))), "absolute-result"),
    "distance": (measure(most, least, lambda a, b: 1 - correlate(a, b)), "distance"),
    "cosine": (measure(most, least, lambda a, b: float(torch.nn.functional.cosine_similarity(
        a.flatten()[None], b.flatten()[None]))), "cosine"),
    "with a graph": (with_a_graph, "not-detached"),
    "with a graph, wrong": (lambda net, x, explain: [z.max() - z.min() for z in net(x)], "unknown"),
    "lists with a graph": (lambda *a: [[value] for value in with_a_graph(*a)], "wrong-type"),
    "one class for a batch": (one_class, "error"),
}  # fmt: skip
