"""Cascading randomization: networks that forget more and more layers.

Random weights can't be compared with right ones, so this check looks at what has to hold for any of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain, combinations, permutations
from typing import Any

import torch
from torch import Tensor, nn

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.forms import Unfit
from posgrad_edu.checks.engine.task import Args, Mistake, Task

LAYERS = ["fc", "conv4", "conv3", "conv2", "conv1"]  # from the output down
SPREAD = (0.6, 1.6)  # a layer's new standard deviation, as a factor of the old one
SHIFT = 0.5  # its new mean may be off by so many standard deviations
OF_ONE_SHAPE = ("conv2", "conv3", "conv4")  # layers whose random numbers can be compared, place by place
TRIES = 5
_COPY = "Append a copy.deepcopy(...) of the whole network at each step, and return the list."


def _trained(n: int) -> Args:
    """A network whose weights have a mean and scale of their own, the layers' names, and a seed.

    The first two tries are the same; the third has another seed, the fourth another network, the fifth the next seed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch.initial_seed() + (n == 3))  # drawn anew for each check
        layers: OrderedDict[str, nn.Module] = OrderedDict(conv1=nn.Conv2d(3, 8, 3, padding=1), norm1=nn.BatchNorm2d(8))
        layers["relu1"] = nn.ReLU()
        for k in (2, 3, 4):
            layers |= {f"conv{k}": nn.Conv2d(8, 8, 3, padding=1), f"relu{k}": nn.ReLU()}
        layers |= {"pool": nn.AdaptiveAvgPool2d(3), "flat": nn.Flatten(), "fc": nn.Linear(72, 6)}
        net = nn.Sequential(layers)
        for p in net.parameters():
            nn.init.normal_(p, mean=0.6, std=1.5)
        seed = int(torch.randint(1000, ()))
    return net.eval(), list(LAYERS), seed + {2: 1000, 4: 1}.get(n, 0)


def networks(answer: Any) -> list[nn.Module]:
    """A list, or anything else that can be listed, of networks."""
    if isinstance(answer, nn.Module):
        raise Unfit("wrong-type", "your function returned one network instead of a list", _COPY)
    if answer is None:
        raise Unfit("returns-none", "your function returned None instead of a list of networks", "Does it say return?")
    if not isinstance(answer, (list, tuple)) or not all(isinstance(part, nn.Module) for part in answer):
        words = f"your function returned a {type(answer).__name__} that isn't a list of networks"
        raise Unfit("wrong-type", words, _COPY)
    return list(answer)


def _weights(net: nn.Module, layer: str) -> tuple[Tensor, Tensor]:
    return net.get_parameter(f"{layer}.weight").detach(), net.get_parameter(f"{layer}.bias").detach()


def _forgot(net: nn.Module, trained: nn.Module) -> list[str]:
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
    return None


def _one(net: nn.Module, layers: Sequence[str], nets: list[nn.Module]) -> str | None:
    """Return what is wrong with the networks of one try."""
    key = _order(net, layers, nets)
    if key is not None:
        return key
    for step, forgetful in enumerate(nets, start=1):
        if _others_changed(net, forgetful):
            return "others-changed"
        if any(torch.equal(_weights(forgetful, name)[1], _weights(net, name)[1]) for name in layers[:step]):
            return "bias-kept"
    if any(not torch.equal(*(_weights(n, layers[d])[0] for n in nets[d : d + 2])) for d in range(len(nets) - 1)):
        return "redrawn"
    return _values(net, nets[-1])


def _order(net: nn.Module, layers: Sequence[str], nets: list[nn.Module]) -> str | None:
    """Return what is wrong with which layers are random when, or with what stands in the list."""
    if any(_built(forgetful) != _built(net) for forgetful in nets):
        return "not-copies"
    if len(nets) > 1 and len({id(forgetful) for forgetful in nets}) == 1:
        return "same-network"
    parameters = [{id(p) for p in forgetful.parameters()} for forgetful in [net, *nets]]
    if any(a & b for a, b in combinations(parameters, 2)):
        return "shared-weights"
    if len(nets) == len(layers) + 1 and not _forgot(nets[0], net):
        return "step-zero"
    if len(nets) != len(layers):
        return "wrong-count"
    found = [set(_forgot(forgetful, net)) for forgetful in nets]
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


def _others_changed(net: nn.Module, forgetful: nn.Module) -> bool:
    """Whether anything but the named layers differs: here, the BatchNorm."""
    old, new = net.state_dict(), forgetful.state_dict()
    others = [name for name in old if name.split(".")[0] not in LAYERS]
    return any(not torch.equal(old[name], new[name]) for name in others)


def _values(net: nn.Module, forgetful: nn.Module) -> str | None:
    """Return what is wrong with the random numbers of the last step, where all layers are random."""
    for name in LAYERS:
        pairs = list(zip(_weights(net, name), _weights(forgetful, name), strict=True))
        if any(not n.isfinite().all() or n.std() < 1e-6 * o.std() for o, n in pairs):
            return "not-random"
        old, new = pairs[0]
        if _similar(old, new) > 0.5:
            return "still-trained"
        if any(torch.isin(n.abs(), o.abs()).all() for o, n in pairs):
            return "permuted"
        factor, shift = float(new.std() / old.std()), float((new.mean() - old.mean()).abs() / old.std())
        if not SPREAD[0] < factor < SPREAD[1] or shift > SHIFT:
            return _stream(forgetful) or "wrong-scale"
    return _stream(forgetful)


def _stream(forgetful: nn.Module) -> str | None:
    """Return whether layers of one shape hold the same random numbers, up to shift and scale."""
    alike = [_weights(forgetful, name)[0] for name in OF_ONE_SHAPE]
    return "same-stream" if any(_similar(a, b) > 0.9 for a, b in combinations(alike, 2)) else None


def _similar(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


_WRITTEN = "Are the new weights written into the copy?"
_ONE_MORE = "Cascading: one more layer at each step, and what is random stays random."
_DRAW = "Draw new numbers, with the trained tensor's mean and standard deviation: nothing learned stays."
_NAMED = "Only the layers that are named become random."
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
    lesson=9,
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
        Mistake("wrong-count", "your list doesn't have one network for each layer", "One step for each of layers."),
        Mistake("nothing-random", "no layer of your networks is random", _WRITTEN),
        Mistake("wrong-end", "you began at the wrong end", "layers is ordered from the output down: take it as it is."),
        Mistake("independent", "one random layer a network: that is independent randomization", _ONE_MORE),
        Mistake("all-at-once", "all layers are random from the first step on", _ONE_MORE),
        Mistake("wrong-direction", "your networks learn again: the first has all layers random", _ONE_MORE),
        Mistake("one-behind", "your networks are one step behind", "Make the layer random before you append the copy."),
        Mistake("wrong-layers", "other layers are random than should be", "Step d has layers[:d] random, no others."),
        Mistake("others-changed", "you changed the BatchNorm, too", _NAMED),
        Mistake("bias-kept", "the biases kept what they learned", "A layer's bias becomes random like its weight."),
        Mistake("redrawn", "layers that were random got other numbers at a later step", "Draw each layer once."),
        Mistake("not-random", "the new weights or biases of a layer are all alike", _DRAW),
        Mistake("still-trained", "the new weights still resemble the trained ones", f"Don't add noise. {_DRAW}"),
        Mistake("permuted", "the new weights are the trained values in other places or with other signs", _DRAW),
        Mistake("wrong-scale", "the new weights have another mean or scale than the trained ones", _DRAW),
        Mistake("same-stream", "layers of one shape got the same random numbers", _SEED_ONCE),
        Mistake("seed-unused", "the same seed gives other weights", "torch.manual_seed(seed), or a Generator."),
        Mistake("seed-constant", "another seed gives the same weights", "Use the argument seed."),
        Mistake("overlapping-seeds", "layers share random numbers with others under the next seed", _SEED_ONCE),
    ],
)
check_cascading_randomization = checker(CASCADING_RANDOMIZATION)
