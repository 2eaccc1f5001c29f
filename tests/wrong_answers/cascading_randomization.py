"""cascading_randomization(net, layers, seed)"""

import copy

import torch
from torch import nn

from posgrad_edu.metrics.randomization import randomized, randomized_steps, steps


def redraw(p, generator=None):
    with torch.no_grad():
        p.copy_(p.mean() + p.std(unbiased=False) * torch.randn(p.shape, generator=generator))


def parameters(net, name):
    layer = net.get_submodule(name)
    return [layer.weight, layer.bias]


def seeded_once(net, layers, seed):
    torch.manual_seed(seed)
    current, found = copy.deepcopy(net), []
    for name in layers:
        for p in parameters(current, name):
            redraw(p)
        found.append(copy.deepcopy(current))
    return found


def with_generators(net, layers, seed):
    found = []
    for depth in range(1, len(layers) + 1):
        changed = copy.deepcopy(net)
        for n, name in enumerate(layers[:depth]):
            generator = torch.Generator().manual_seed(100 * seed + n)
            for p in parameters(changed, name):
                redraw(p, generator)
        found.append(changed)
    return found


def of_package(net, layers, seed):
    return [randomized(net, depth, seed, layers=layers) for depth in range(1, len(layers) + 1)]


def as_generator(net, layers, seed):
    yield from seeded_once(net, layers, seed)


def varied(change=redraw, layers_of=lambda layers: layers, copies=copy.deepcopy, start=copy.deepcopy, each=None,
           kinds=slice(None)):  # fmt: skip
    def own(net, layers, seed):
        torch.manual_seed(seed)
        current, found = start(net), []
        for name in layers_of(layers):
            if each:
                each(seed)
            for p in parameters(current, name)[kinds]:
                change(p)
            found.append(copies(current))
        return found

    return own


@torch.no_grad()
def shuffled(p):
    p.copy_(p.flatten()[torch.randperm(p.numel())].view_as(p))


@torch.no_grad()
def resampled(p):
    p.copy_(p.flatten()[torch.randint(p.numel(), p.shape)])


@torch.no_grad()
def shuffled_and_flipped(p):
    shuffled(p)
    p.mul_(2 * torch.randint(2, p.shape) - 1)


def zero_biases(p):
    (redraw if p.ndim > 1 else zeros)(p)


def shuffled_biases(p):
    (redraw if p.ndim > 1 else shuffled)(p)


@torch.no_grad()
def uniform(p):
    p.copy_(p.mean() + p.std() * 3**0.5 * (2 * torch.rand_like(p) - 1))


def layer_by_layer(stream, generator=True):
    """Each layer with a random stream of its own, made of the seed and the layer's place."""

    def own(net, layers, seed):
        current, found = copy.deepcopy(net), []
        for n, name in enumerate(layers):
            number = stream(seed, n)
            own_stream = torch.Generator().manual_seed(number) if generator else torch.manual_seed(number) and None
            for p in parameters(current, name):
                redraw(p, own_stream)
            found.append(copy.deepcopy(current))
        return found

    return own


@torch.no_grad()
def zeros(p):
    p.zero_()


@torch.no_grad()
def small(p):
    nn.init.normal_(p, std=0.01)


@torch.no_grad()
def noisy(p):
    p.add_(0.1 * p.std() * torch.randn(p.shape))


def independent(net, layers, seed):
    torch.manual_seed(seed)
    found = []
    for name in layers:
        found.append(copy.deepcopy(net))
        for p in parameters(found[-1], name):
            redraw(p)
    return found


def redrawn(net, layers, seed):
    torch.manual_seed(seed)
    found = []
    for depth in range(1, len(layers) + 1):
        found.append(copy.deepcopy(net))
        for name in layers[:depth]:
            for p in parameters(found[-1], name):
                redraw(p)
    return found


def batchnorm_too(net, layers, seed):
    found = seeded_once(net, layers, seed)
    for changed in found:
        changed.norm1.reset_parameters()
    return found


def step_zero(net, layers, seed):
    return [copy.deepcopy(net), *seeded_once(net, layers, seed)]


def no_seed(net, layers, seed):
    torch.seed()
    current, found = copy.deepcopy(net), []
    for name in layers:
        for p in parameters(current, name):
            redraw(p)
        found.append(copy.deepcopy(current))
    return found


def one_copy_of_the_package(net, layers, seed):
    return [changed for _, changed in randomized_steps(net, steps(layers), seed)]


def before(net, layers, seed):
    return step_zero(net, layers, seed)[:-1]


def the_layers(net, layers, seed):
    found = seeded_once(net, layers, seed)
    return [changed.get_submodule(name) for name, changed in zip(layers, found, strict=True)]


def no_bias(net, layers, seed):
    found = seeded_once(net, layers, seed)
    for changed in found:
        changed.fc.bias = None
    return found


def replaced(size):
    """The last layer is a new one, of another build."""

    def own(net, layers, seed):
        current = copy.deepcopy(net)
        current.fc = nn.Linear(size, 32)
        return seeded_once(current, layers, seed)

    return own


@torch.no_grad()
def standard(p):
    p.copy_(torch.randn(p.shape))


def drawn(mean, deviation):
    """Other means and deviations: each takes the trained network, and the trained tensor that is replaced."""

    def own(net, layers, seed):
        torch.manual_seed(seed)
        current, found = copy.deepcopy(net), []
        for name in layers:
            for p in parameters(current, name):
                new = mean(net, p) + deviation(net, p) * torch.randn(p.shape)
                p.data = new.detach()
            found.append(copy.deepcopy(current))
        return found

    return own


def everything(net):
    return torch.cat([p.flatten() for p in net.parameters()])


def weight_beside(net, p):
    """The weight of the layer whose bias this is, or the weight itself."""
    return next(m.weight for m in net.modules() if any(p is q or torch.equal(p, q) for q in m._parameters.values()))


RIGHT = {"seeded once": seeded_once, "generators": with_generators, "the package's": of_package,
         "yielded": as_generator, "uniform": varied(uniform),
         "a stream a layer": layer_by_layer(lambda seed, n: hash((seed, n)) % 2**63)}  # fmt: skip
WRONG = {
    "same stream": (varied(each=torch.manual_seed), "same-stream"),
    "wrong end": (varied(layers_of=reversed), "wrong-end"),
    "trained network": (varied(start=lambda net: net), "parameters-changed"),
    "no copies": (varied(copies=lambda net: net), "same-network"),
    "shallow copies": (varied(copies=copy.copy), "shared-weights"),
    "yielded without a copy": (one_copy_of_the_package, "same-network"),
    "independent": (independent, "independent"),
    "zeros": (varied(zeros), "not-random"),
    "zero biases": (varied(zero_biases), "not-random"),
    "other scale": (varied(small), "wrong-scale"),
    "layers ignored": (
        lambda net, layers, seed: seeded_once(net, ["fc", "conv4", "conv3", "conv2", "conv1"], seed),
        "layers-unused",
    ),
    "mean forgotten": (drawn(lambda net, p: 0, lambda net, p: p.std()), "mean-forgotten"),
    "variance": (drawn(lambda net, p: p.mean(), lambda net, p: p.var()), "variance"),
    "variance without mean": (drawn(lambda net, p: 0, lambda net, p: p.var()), "variance"),
    "the whole network's scale": (
        drawn(lambda net, p: everything(net).mean(), lambda net, p: everything(net).std()),
        "one-scale",
    ),
    "the whole network's deviation": (drawn(lambda net, p: 0, lambda net, p: everything(net).std()), "one-scale"),
    "the last layer's scale": (
        drawn(lambda net, p: net.fc.weight.mean(), lambda net, p: net.fc.weight.std()),
        "one-scale",
    ),
    "the first layer's deviation": (drawn(lambda net, p: 0, lambda net, p: net.conv1.weight.std()), "one-scale"),
    "standard biases": (varied(lambda p: (redraw if p.ndim > 1 else standard)(p)), "bias-scale"),
    "small biases": (varied(lambda p: (redraw if p.ndim > 1 else small)(p)), "bias-scale"),
    "the weight's scale for the bias": (
        drawn(lambda net, p: weight_beside(net, p).mean(), lambda net, p: weight_beside(net, p).std()),
        "bias-scale",
    ),
    "noise in the biases": (varied(lambda p: (redraw if p.ndim > 1 else noisy)(p)), "still-trained"),
    "standard normal": (varied(standard), "wrong-scale"),
    "noise": (varied(noisy), "still-trained"),
    "shuffled": (varied(shuffled), "permuted"),
    "drawn from the trained values": (varied(resampled), "permuted"),
    "shuffled, with random signs": (varied(shuffled_and_flipped), "permuted"),
    "shuffled biases": (varied(shuffled_biases), "permuted"),
    "seed + n": (layer_by_layer(lambda seed, n: seed + n), "overlapping-seeds"),
    "seed + n, the global stream": (layer_by_layer(lambda seed, n: seed + n, generator=False), "overlapping-seeds"),
    "seed - n": (layer_by_layer(lambda seed, n: 10 + seed - n), "overlapping-seeds"),
    "2 seed + n": (layer_by_layer(lambda seed, n: 2 * seed + n), "overlapping-seeds"),
    "thousands of the seed": (lambda net, layers, seed: seeded_once(net, layers, seed // 1000), "seed-constant"),
    "weights only": (varied(kinds=slice(1)), "bias-kept"),
    "BatchNorm too": (batchnorm_too, "others-changed"),
    "redrawn": (redrawn, "redrawn"),
    "step zero": (step_zero, "step-zero"),
    "one behind": (before, "one-behind"),
    "layers instead of networks": (the_layers, "not-copies"),
    "a layer of another size": (replaced(size=36), "not-copies"),
    "a layer that lost its bias": (no_bias, "not-copies"),
    "the last only": (lambda *a: seeded_once(*a)[-1], "wrong-type"),
    "no seed": (no_seed, "seed-unused"),
    "fixed seed": (lambda net, layers, seed: seeded_once(net, layers, 0), "seed-constant"),
    "wrong direction": (lambda *a: seeded_once(*a)[::-1], "wrong-direction"),
    "one layer short": (lambda net, layers, seed: seeded_once(net, layers[1:], seed), "wrong-count"),
}
