"""Cascading randomization: networks with more and more random layers.

Random weights can't be compared with right ones, so this check looks at what has to hold for any of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import chain, combinations, permutations
from typing import Any

import torch
from torch import Tensor, nn

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.forms import Unfit, a, not_none
from posgrad_edu.checks.engine.task import Args, Mistake, Task

LAYERS = ["fc", "conv4", "conv3", "conv2", "conv1"]  # from the output down
WIDTH = 32  # channels: so many biases a layer that their mean and deviation can be told from others
SCALES = (0.1, 0.25, 0.5, 2.0, 4.0)  # deviations of the layers; none is near another, nor near its own square
SPREAD = (0.6, 1.6)  # a new standard deviation, as a factor of the trained one, over all random streams
SHIFT = 0.6  # a new mean may be off by so many standard deviations: of 96 values, 5.9 times its standard error
OF_ONE_SHAPE = ("conv2", "conv3", "conv4")  # layers whose random numbers can be compared, place by place
TRIES = 5
_COPY = "Append a copy.deepcopy(...) of the whole network at each step, and return the list."


def _trained(n: int) -> Args:
    """A network each of whose tensors has a mean and scale of its own, names of layers, and a seed.

    The first two tries are the same; the third has another seed, the fourth also another network and fewer layers, the
    fifth the next seed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch.initial_seed() + (n == 3))  # drawn anew for each check
        layers: OrderedDict[str, nn.Module] = OrderedDict(conv1=nn.Conv2d(3, WIDTH, 3, padding=1))
        layers |= {"norm1": nn.BatchNorm2d(WIDTH), "relu1": nn.ReLU()}
        for k in (2, 3, 4):
            layers |= {f"conv{k}": nn.Conv2d(WIDTH, WIDTH, 3, padding=1), f"relu{k}": nn.ReLU()}
        layers |= {"pool": nn.AdaptiveAvgPool2d(2), "flat": nn.Flatten(), "fc": nn.Linear(4 * WIDTH, WIDTH)}
        net, of_weights = nn.Sequential(layers), torch.randperm(len(LAYERS))
        of_biases = of_weights.roll(1 + int(torch.randint(len(LAYERS) - 1, ())))  # another one than the weight's
        for values in net.get_submodule("norm1").state_dict().values():
            values.copy_(1 + torch.rand(values.shape))
        for k, name in enumerate(LAYERS):
            for p, scales in zip(net.get_submodule(name).parameters(), (of_weights, of_biases), strict=True):
                scale = SCALES[scales[k]]
                mean = scale * (1 + float(torch.rand(()))) * (-1) ** int(torch.randint(2, ()))
                nn.init.normal_(p, mean, scale)
        seed = int(torch.randint(1000, ()))
    return net.eval(), LAYERS[:3] if n == 3 else list(LAYERS), seed + {2: 1000, 3: 2000, 4: 1}.get(n, 0)


def networks(answer: Any) -> list[nn.Module]:
    """A list, or anything else that can be listed, of networks."""
    if isinstance(answer, nn.Module):
        raise Unfit("wrong-type", "your function returned one network instead of a list", _COPY)
    not_none(answer, "a list of networks")
    if not isinstance(answer, (list, tuple)) or not all(isinstance(part, nn.Module) for part in answer):
        words = f"your function returned {a(type(answer).__name__)} that isn't a list of networks"
        raise Unfit("wrong-type", words, _COPY)
    return list(answer)


def _weights(net: nn.Module, layer: str) -> tuple[Tensor, Tensor]:
    return net.get_parameter(f"{layer}.weight").detach(), net.get_parameter(f"{layer}.bias").detach()


def _random_layers(net: nn.Module, trained: nn.Module) -> list[str]:
    """Return the layers whose weights differ from the trained ones."""
    return [name for name in LAYERS if not torch.equal(_weights(net, name)[0], _weights(trained, name)[0])]


def _inspect(tries: list[Args], answers: list[list[nn.Module]]) -> str | None:
    for (net, layers, _), nets in zip(tries, answers, strict=True):
        key = _one(net, layers, nets)
        if key is not None:
            return key
    first, again, other, _, following = ({name: _weights(nets[-1], name)[0] for name in LAYERS} for nets in answers)
    if any(not torch.equal(first[name], again[name]) for name in LAYERS):
        return "seed-unused"
    if any(torch.equal(first[name], of_seed[name]) for name in LAYERS for of_seed in (other, following)):
        return "seed-constant"
    if any(_similar(first[a], following[b]) > 0.9 for a, b in permutations(OF_ONE_SHAPE, 2)):
        return "overlapping-seeds"
    return _scale(tries[1:], answers[1:])  # the first two are the same


def _one(net: nn.Module, layers: Sequence[str], nets: list[nn.Module]) -> str | None:
    """Return what is wrong with the networks of one try."""
    key = _order(net, layers, nets)
    if key is not None:
        return key
    for step, changed in enumerate(nets, start=1):
        if _others_changed(net, changed):
            return "others-changed"
        if any(torch.equal(_weights(changed, name)[1], _weights(net, name)[1]) for name in layers[:step]):
            return "bias-kept"
    if any(not torch.equal(*(_weights(n, layers[d])[0] for n in nets[d : d + 2])) for d in range(len(nets) - 1)):
        return "redrawn"
    return _values(net, nets[-1], layers)


def _order(net: nn.Module, layers: Sequence[str], nets: list[nn.Module]) -> str | None:
    """Return what is wrong with which layers are random when, or with what stands in the list."""
    if any(_built(n) != _built(net) for n in nets):
        return "not-copies"
    if len(nets) > 1 and len({id(n) for n in nets}) == 1:
        return "same-network"
    parameters = [{id(p) for p in n.parameters()} for n in [net, *nets]]
    if any(a & b for a, b in combinations(parameters, 2)):
        return "shared-weights"
    if len(nets) == len(layers) + 1 and not _random_layers(nets[0], net):
        return "step-zero"
    if len(layers) < len(nets) == len(LAYERS):
        return "layers-unused"
    if len(nets) != len(layers):
        return "wrong-count"
    found = [set(_random_layers(n, net)) for n in nets]
    depths = range(1, len(layers) + 1)
    patterns = {
        None: [set(layers[:d]) for d in depths],
        "nothing-random": [set() for _ in depths],
        "wrong-end": [set(layers[-d:]) for d in depths],
        "independent": [{layers[d - 1]} for d in depths],
        "all-at-once": [set(layers) for _ in depths],
        "wrong-direction": [set(layers[:d]) for d in reversed(depths)],
        "one-behind": [set(layers[: d - 1]) for d in depths],
    }
    return next((key for key, pattern in patterns.items() if found == pattern), "wrong-layers")


def _built(net: nn.Module) -> dict[str, torch.Size]:
    """Return the shape of each tensor of a network: equal for a network and its copies, whatever they hold."""
    return {name: values.shape for name, values in chain(net.named_parameters(), net.named_buffers())}


def _others_changed(net: nn.Module, changed: nn.Module) -> bool:
    """Whether anything but the named layers differs: here, the BatchNorm."""
    old, new = net.state_dict(), changed.state_dict()
    others = [name for name in old if name.split(".")[0] not in LAYERS]
    return any(not torch.equal(old[name], new[name]) for name in others)


def _values(net: nn.Module, changed: nn.Module, layers: Sequence[str]) -> str | None:
    """Return what is wrong with the random numbers of the last step, where all these layers are random."""
    for name in layers:
        for old, new, alike in zip(_weights(net, name), _weights(changed, name), (0.5, 0.8), strict=True):
            if not new.isfinite().all() or new.std() < 1e-6 * old.std():
                return "not-random"
            if _similar(old, new) > alike:
                return "still-trained"
            if torch.isin(new.abs(), old.abs()).all():
                return "permuted"
    weights = [_weights(changed, name)[0] for name in OF_ONE_SHAPE if name in layers]
    return "same-stream" if any(_similar(a, b) > 0.9 for a, b in combinations(weights, 2)) else None


Of = Callable[[nn.Module, Tensor], Tensor]  # the trained network, one of its tensors -> what gives mean and deviation
New = list[tuple[nn.Module, Tensor, Tensor]]  # of one tensor in several tries: the trained network, old, new


def _itself(net: nn.Module, old: Tensor) -> Tensor:
    return old


def _of_all(net: nn.Module, old: Tensor) -> Tensor:
    return torch.cat([p.flatten() for p in net.parameters()])


def _of_layer(layer: str, kind: str = "") -> Of:
    """Return what gives all tensors the mean and deviation of a layer's weight or bias; or, without kind, of both."""
    return lambda net, old: net.get_parameter(f"{layer}.{kind or ('weight' if old.ndim > 1 else 'bias')}")


_ONE_FOR_ALL = [_of_all, *(_of_layer(name, kind) for name in ("fc", "conv1") for kind in ("weight", ""))]


@torch.no_grad()
def _fits(new: New, of: Of = _itself, power: int = 1, centre: int = 1) -> bool:
    """Whether random numbers have this mean, times centre, and this deviation to that power, up to chance."""
    z = torch.cat([((n - centre * of(net, o).mean()) / of(net, o).std() ** power).flatten() for net, o, n in new])
    return SPREAD[0] < float(z.std()) < SPREAD[1] and float(z.mean().abs()) < SHIFT


def _scale(tries: list[Args], answers: list[list[nn.Module]]) -> str | None:
    """Return what is wrong with the means and deviations, seen over tries whose random streams differ."""
    weights: dict[str, New] = {name: [] for name in LAYERS}
    biases: dict[str, New] = {name: [] for name in LAYERS}
    for (net, layers, _), nets in zip(tries, answers, strict=True):
        for name in layers:
            for found, old, new in zip((weights, biases), _weights(net, name), _weights(nets[-1], name), strict=True):
                found[name].append((net, old, new))
    tensors = [*weights.values(), *biases.values()]
    if all(map(_fits, tensors)):
        return None
    if all(_fits(new, centre=0) for new in tensors):
        return "mean-forgotten"
    if any(all(_fits(new, power=2, centre=centre) for new in tensors) for centre in (0, 1)):
        return "variance"
    if any(all(_fits(new, of, centre=centre) for new in tensors) for of in _ONE_FOR_ALL for centre in (0, 1)):
        return "one-scale"
    return "bias-scale" if all(map(_fits, weights.values())) else "wrong-scale"


def _similar(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


_ONE_MORE = "Cascading: one more layer at each step, and what is random stays random."
_DRAW = "Draw new numbers, with the trained tensor's mean and standard deviation: nothing learned stays."
_SCALE = "Each tensor, weight or bias, has a mean and a standard deviation of its own: draw with these."
_SEED_ONCE = "Seed once, before the loop: a seed again for each layer, or seed + n, makes layers share numbers."
CASCADING_RANDOMIZATION = Task(
    name="cascading randomization",
    signature="cascading_randomization(net, layers, seed)",
    returns="list of networks, one a step",
    about="""
net: a trained network; it is left as it was. layers: names of its convolutions and linear layers, from the output
down. The d-th network (from 1) has weights and biases of ``layers[:d]`` random; all else is as trained, and a
layer, once drawn, keeps its numbers in later steps. Each random tensor is drawn anew, with the mean and standard
deviation of the trained one: no trained value is used again, in whatever place. The same seed gives the same
networks. Another seed gives unrelated ones, and no two layers share random numbers, under one seed or under two.
""",
    lesson=13,
    make=_trained,
    form=networks,
    inspect=_inspect,
    tries=TRIES,
    mistakes=[
        Mistake("parameters-changed", "you made the trained network itself random", "Start from copy.deepcopy(net)."),
        Mistake("not-copies", "your list holds something else than copies of the whole network", _COPY),
        Mistake("same-network", "all entries of your list are one and the same network", _COPY),
        Mistake("shared-weights", "networks of your list share weights, among them or with the trained one", _COPY),
        Mistake("step-zero", "your list begins with a network that forgot nothing", "Step 1 has layers[0] random."),
        Mistake("layers-unused", "you made all layers random, whatever layers says", "Use the argument layers."),
        Mistake("wrong-count", "your list doesn't have one network for each layer", "One step for each of layers."),
        Mistake("nothing-random", "no layer of your networks is random", "Are the new weights written into the copy?"),
        Mistake("wrong-end", "you began at the wrong end", "layers is ordered from the output down: take it as it is."),
        Mistake("independent", "one random layer a network: that is independent randomization", _ONE_MORE),
        Mistake("all-at-once", "all layers are random from the first step on", _ONE_MORE),
        Mistake("wrong-direction", "your networks learn again: the first has all layers random", _ONE_MORE),
        Mistake("one-behind", "your networks are one step behind", "Make the layer random before you append the copy."),
        Mistake("wrong-layers", "other layers are random than should be", "Step d has layers[:d] random, no others."),
        Mistake("others-changed", "you changed the BatchNorm, too", "Only the layers that are named become random."),
        Mistake("bias-kept", "the biases kept what they learned", "A layer's bias becomes random like its weight."),
        Mistake("redrawn", "layers that were random got other numbers at a later step", "Draw each layer once."),
        Mistake("not-random", "the new weights or biases of a layer are all alike", _DRAW),
        Mistake("still-trained", "the new weights still resemble the trained ones", f"Don't add noise. {_DRAW}"),
        Mistake("permuted", "the new weights are the trained values in other places or with other signs", _DRAW),
        Mistake("mean-forgotten", "the new weights have the trained deviation, but not the trained mean", _SCALE),
        Mistake("variance", "the new weights' deviation is the trained variance", "std(), or the root of var()."),
        Mistake("one-scale", "all new weights have one mean and deviation, or one deviation and the mean 0", _SCALE),
        Mistake("bias-scale", "the new biases have another mean or scale than the trained ones", _SCALE),
        Mistake("wrong-scale", "the new weights have another mean or scale than the trained ones", _SCALE),
        Mistake("same-stream", "layers of one shape got the same random numbers", _SEED_ONCE),
        Mistake("seed-unused", "the same seed gives other weights", "torch.manual_seed(seed), or a Generator."),
        Mistake("seed-constant", "another seed gives the same weights", "Use the argument seed."),
        Mistake("overlapping-seeds", "layers share random numbers with others under the next seed", _SEED_ONCE),
    ],
)
check_cascading_randomization = checker(CASCADING_RANDOMIZATION)
