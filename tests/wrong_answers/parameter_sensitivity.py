"""parameter_sensitivity(net, nets, x, target, explain)"""

import numpy as np
import torch
from scipy import stats

from posgrad_edu.metrics.similarity import compare, spearman


def rho(a, b):
    return float(stats.spearmanr(a.flatten(), b.flatten()).statistic)


def by_loops(net, nets, x, target, explain, alike=rho):
    trained = explain(net, x, target)
    table = []
    for randomized in nets:
        now = explain(randomized, x, target)
        table.append([alike(trained[n], now[n]) for n in range(len(x))])
    return table


def photo_by_photo(net, nets, x, target, explain):
    found = np.zeros((len(nets), len(x)))
    for n in range(len(x)):
        photo, c = x[n : n + 1], target[n : n + 1]
        before = explain(net, photo, c)[0].numpy()
        for d, randomized in enumerate(nets):
            found[d, n] = spearman(before, explain(randomized, photo, c)[0].numpy())
    return found


def ranks_once(net, nets, x, target, explain):
    """All maps are ranked along one axis; the correlation is a product of what is left without the mean."""
    maps = torch.stack([explain(each, x, target) for each in [net, *nets]]).flatten(2).double()
    ranks = torch.from_numpy(stats.rankdata(maps.numpy(), axis=-1))
    ranks = ranks - ranks.mean(-1, keepdim=True)
    unit = ranks / ranks.norm(dim=-1, keepdim=True)
    return (unit[1:] * unit[0]).sum(-1)


def rows_of_tensors(net, nets, x, target, explain):
    old = explain(net, x, target)
    return [
        torch.tensor([compare(a, b).spearman for a, b in zip(old, explain(f, x, target), strict=True)]) for f in nets
    ]


def as_generator(*args):
    yield from by_loops(*args)


def argmax_each_time(net, nets, x, target, explain):
    trained = explain(net, x, target)
    table = torch.empty(len(nets), len(x))
    for d, randomized in enumerate(nets):
        with torch.no_grad():
            classes = randomized(x).max(dim=1).indices
        for n, (a, b) in enumerate(zip(trained, explain(randomized, x, classes), strict=True)):
            table[d, n] = rho(a, b)
    return table


def previous(net, nets, x, target, explain):
    before, table = explain(net, x, target), []
    for randomized in nets:
        now = explain(randomized, x, target)
        table.append([rho(a, b) for a, b in zip(before, now, strict=True)])
        before = now
    return table


def in_one_heap(net, nets, x, target, explain):
    return [[rho(explain(net, x, target), explain(f, x, target))] * len(x) for f in nets]


def first_class(net, nets, x, target, explain):
    return by_loops(net, nets, x, target[0].repeat(len(x)), explain)


def first_map(net, nets, x, target, explain):
    trained = explain(net, x, target)[0]
    return [[rho(trained, now) for now in explain(f, x, target)] for f in nets]


def favourites(net, nets, x, target, explain):
    return by_loops(net, nets, x, net(x).argmax(dim=1), explain)


def nan_filled(*args):
    return torch.tensor(by_loops(*args)).nan_to_num()


def last_network(net, nets, x, target, explain):
    return by_loops(net, [nets[-1] for _ in nets], x, target, explain)


def changed(change):
    return lambda *args: change(np.array(by_loops(*args)))


def differently(alike):
    return lambda *args: by_loops(*args, alike=alike)


RIGHT = {
    "loops, a list of lists": by_loops,
    "photo by photo, an array": photo_by_photo,
    "ranks in one go, a tensor": ranks_once,
    "rows of tensors": rows_of_tensors,
    "yielded": as_generator,
}
WRONG = {
    "argmax on the random network": (argmax_each_time, "class-chosen-anew"),
    "the trained network's favourite": (favourites, "target-unused"),
    "previous step": (previous, "previous-step"),
    "against the first random network": (
        lambda net, nets, *a: by_loops(nets[0], nets, *a), "random-with-random"),
    "net for randomized": (lambda net, nets, *a: by_loops(net, [net] * len(nets), *a), "with-itself"),
    "last network only": (last_network, "one-network"),
    "off by one": (lambda net, nets, *a: by_loops(net, nets[:-1], *a), "last-step-missing"),
    "from the second": (lambda net, nets, *a: by_loops(net, nets[1:], *a), "first-step-missing"),
    "step zero": (lambda net, nets, *a: by_loops(net, [net, *nets], *a), "step-zero"),
    "from the end": (lambda net, nets, *a: by_loops(net, nets[::-1], *a), "reversed"),
    "(N, steps)": (lambda *a: list(zip(*by_loops(*a), strict=True)), "transposed"),
    "one long list": (lambda *a: [rho for row in by_loops(*a) for rho in row], "flattened"),
    "mean of the photos": (changed(lambda t: t.mean(1).tolist()), "averaged"),
    "mean of the steps": (changed(lambda t: t.mean(0)), "averaged"),
    "one number": (changed(np.mean), "averaged"),
    "one heap": (in_one_heap, "batch-mixed"),
    "one class for all": (first_class, "first-photo-class"),
    "first photo's map": (first_map, "first-photo-map"),
    "Pearson": (differently(lambda a, b: np.corrcoef(a.flatten(), b.flatten())[0, 1]), "no-ranks"),
    "cosine": (differently(lambda a, b: (a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-12)), "cosine"),
    "differences": (differently(lambda a, b: torch.dist(a, b)), "a-difference"),
    "magnitudes": (differently(lambda a, b: rho(a.abs(), b.abs())), "absolute-values"),
    "sorted": (differently(lambda a, b: rho(a.flatten().sort()[0], b.flatten().sort()[0])), "sorted-values"),
    "absolute": (changed(np.abs), "absolute-result"),
    "distance": (changed(lambda t: 1 - t), "distance"),
    "nan filled": (nan_filled, "constant-map"),
    "nothing returned": (lambda *a: by_loops(*a).clear(), "returns-none"),
    "a dictionary": (lambda *a: dict(enumerate(by_loops(*a))), "wrong-type"),
}  # fmt: skip
