"""handles_positively(box, net, x), with box(net, x, target, contrast=None)"""

import copy

import numpy as np
import torch
from scipy.stats import spearmanr

from posgrad_edu.metrics.randomization import randomized, with_random
from posgrad_edu.metrics.similarity import spearman

LINE = 0.7


def classes(net, x):
    with torch.no_grad():
        logits = net(x)
    return logits.argmax(1), logits.argmin(1)


def alike(maps, others):
    values = [spearman(a.numpy(), b.numpy()) for a, b in zip(maps, others, strict=True)]
    values = [value for value in values if value == value]
    return sum(values) / len(values) if values else 0.0


def of_classes(box, net, x):
    most, least = classes(net, x)
    return alike(box(net, x, most), box(net, x, least))


def of_contrasts(box, net, x, against="mean"):
    most, least = classes(net, x)
    return alike(box(net, x, most, against), box(net, x, least, contrast=against))


def of_random_copies(box, net, x, seeds=1, depth=1):
    most, _ = classes(net, x)
    maps = box(net, x, most)
    return sum(alike(maps, box(randomized(net, depth, seed), x, most)) for seed in range(seeds)) / seeds


def class_blind(box, net, x):
    return torch.equal(*(box(net, x, target) for target in classes(net, x)))


def both(box, net, x):
    if class_blind(box, net, x):
        return False
    return min(of_contrasts(box, net, x), of_random_copies(box, net, x, seeds=3)) > LINE


def logits_only(box, net, x):
    if class_blind(box, net, x):
        return False
    return min(of_classes(box, net, x), of_random_copies(box, net, x, seeds=3)) > LINE


def random_copies_only(box, net, x):
    """What the classifier knows is enough, asked with a contrast, if the map depends on the class at all.

    Ranks by SciPy, photo by photo.
    """
    most, least = classes(net, x)
    trained = box(net, x, most, "mean")
    if (trained == box(net, x, least, "mean")).all():
        return torch.tensor(False)
    found = []
    for seed in (0, 1, 2):
        changed = copy.deepcopy(net)
        weight = changed.get_submodule("classifier").weight
        noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            weight.copy_(weight.mean() + weight.std() * noise)
        for a, b in zip(trained, box(changed, x, most, "mean"), strict=True):
            found.append(spearmanr(a.flatten(), b.flatten()).statistic if a.std() > 0 and b.std() > 0 else 0.0)
    return np.mean(found) > 0.75


def several_classes(box, net, x):
    """Three of the least likely classes in place of one, all against an unrelated class, and two random networks."""
    order = net(x).argsort(1).detach()
    maps = box(net, x, order[:, -1], 500)
    others = [box(net, x, order[:, n], 500) for n in range(3)]
    far = [alike(maps, other) for other in others]
    blind = all((maps == other).all() for other in others)
    return bool(not blind and np.mean(far) > 0.6 and of_random_copies(box, net, x, seeds=2) > 0.65)


def randomizes_in_place(box, net, x):
    most, _ = classes(net, x)
    maps = box(net, x, most)
    with torch.no_grad():
        net.get_submodule("classifier").weight.normal_(0, 0.1)
    return alike(maps, box(net, x, most)) > LINE


def runner_up(box, net, x):
    first, second = net(x).topk(2).indices.T
    return not class_blind(box, net, x) and alike(box(net, x, first), box(net, x, second)) > LINE


def no_negative_value(box, net, x):
    maps = [box(net, x, target) for target in classes(net, x)]
    return not torch.equal(*maps) and all(bool((one >= 0).all()) for one in maps)


def changes_with_lower_layers(box, net, x):
    most, _ = classes(net, x)
    lower = with_random(net, ["conv_head"])
    photo_only = torch.equal(box(net, x, most), box(lower, x, most))
    return not photo_only and of_random_copies(box, net, x) > LINE


RIGHT = {"both": both, "random copies only": random_copies_only, "several classes": several_classes}
WRONG = {
    "always true": (lambda box, net, x: True, "always-true"),
    "always false": (lambda box, net, x: False, "always-false"),
    "reversed": (lambda *case: class_blind(*case) or of_random_copies(*case) < LINE, "reversed"),
    "looks for change": (lambda *case: abs(of_classes(*case)) < 0.3, "fooled-by-noise"),
    "two classes": (lambda *case: of_classes(*case) > LINE, "fooled-by-the-photo"),
    "random networks, any map": (lambda *case: of_random_copies(*case) > LINE, "fooled-by-the-photo"),
    "needs the network": (changes_with_lower_layers, "fooled-by-activations"),
    "two classes, not equal": (
        lambda *case: not class_blind(*case) and of_classes(*case) > 0.65, "fooled-by-a-reversed-map"),
    "magnitude of the correlation": (
        lambda *case: not class_blind(*case) and abs(of_classes(*case)) > 0.6, "accuses-signed"),
    "runner-up": (runner_up, "accuses-signed"),
    "no negative value": (no_negative_value, "fooled-by-clipping"),
    "logits only": (logits_only, "fooled-by-a-shift"),
    "line too high": (
        lambda *case: not class_blind(*case) and of_contrasts(*case) > 0.993, "misses-aggregation"),
    "too alike to be true": (
        lambda *case: LINE < of_contrasts(*case) < 0.993 and of_random_copies(*case) > LINE, "misses-propagation"),
    "randomizes in place": (randomizes_in_place, "parameters-changed"),
    "a number": (of_classes, "not-a-verdict"),
    "nothing": (lambda box, net, x: None, "returns-none"),
    "box of a network that isn't one": (lambda box, net, x: box(x, net, 0), "error"),
}  # fmt: skip
