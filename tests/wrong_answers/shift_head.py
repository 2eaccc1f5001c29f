"""shift_head(net, layer, v)"""

import copy
from collections import OrderedDict

import torch
from torch import nn


def in_place_on_a_copy(net, layer, v):
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.get_submodule(layer).weight += v
    return other


def by_state_dict(net, layer, v):
    other, values = copy.deepcopy(net), net.state_dict()
    values[f"{layer}.weight"] = values[f"{layer}.weight"] + v
    other.load_state_dict(values)
    return other


def new_layer(net, layer, v):
    other = copy.deepcopy(net)
    old = other.get_submodule(layer)
    new = nn.Linear(old.in_features, old.out_features)
    new.weight = nn.Parameter(torch.stack([row + v for row in old.weight]).detach())
    new.bias = old.bias
    other.set_submodule(layer, new)
    return other


def by_a_hook(net, layer, v):
    other = copy.deepcopy(net)
    other.get_submodule(layer).register_forward_hook(
        lambda module, inputs, logits: logits + (inputs[0] @ v.to(logits))[:, None]
    )
    return other


def of_each_row(change):
    """change(row, v, number) -> another row"""

    def own(net, layer, v):
        other = copy.deepcopy(net)
        head = other.get_submodule(layer)
        rows = [change(row, v, c) for c, row in enumerate(head.weight.detach())]
        head.weight = nn.Parameter(torch.stack(rows))
        return other

    return own


def of_the_bias(change):
    def own(net, layer, v):
        other = copy.deepcopy(net)
        head = other.get_submodule(layer)
        head.bias = nn.Parameter(change(head.bias.detach(), v))
        return other

    return own


def without_bias(net, layer, v):
    other = new_layer(net, layer, v)
    other.get_submodule(layer).bias = None
    return other


def no_copy(net, layer, v):
    with torch.no_grad():
        net.get_submodule(layer).weight.add_(v)
    return net


def shallow_copy(net, layer, v):
    other = copy.copy(net)
    with torch.no_grad():
        other.get_submodule(layer).weight.add_(v)
    return other


def needs_grad(net, layer, v):
    other = copy.deepcopy(net)
    other.get_submodule(layer).weight += v
    return other


RIGHT = {
    "in place on a copy": in_place_on_a_copy,
    "state dict": by_state_dict,
    "a new layer": new_layer,
    "a hook that adds the same number to all logits": by_a_hook,
}
WRONG = {
    "a copy": (lambda net, layer, v: copy.deepcopy(net), "not-shifted"),
    "forgot to assign": (of_each_row(lambda row, v, c: row), "not-shifted"),
    "columns": (of_each_row(lambda row, v, c: row + v[c]), "wrong-axis"),
    "first class": (of_each_row(lambda row, v, c: row + v * (c == 0)), "one-class"),
    "last class": (of_each_row(lambda row, v, c: row + v * (c == 9)), "one-class"),
    "bias": (of_the_bias(lambda bias, v: bias + v), "bias-shifted"),
    "bias, sum": (of_the_bias(lambda bias, v: bias + sum(v.tolist())), "bias-shifted"),
    "without bias": (without_bias, "bias-lost"),
    "only v": (of_each_row(lambda row, v, c: v), "replaced"),
    "times": (of_each_row(lambda row, v, c: row * v), "multiplied"),
    "minus": (of_each_row(lambda row, v, c: row - v), "subtracted"),
    "twice": (lambda net, layer, v: new_layer(in_place_on_a_copy(net, layer, v), layer, v), "added-twice"),
    "mean of v": (of_each_row(lambda row, v, c: row + v.mean()), "one-number"),
    "unit length": (of_each_row(lambda row, v, c: row + nn.functional.normalize(v, dim=0)), "normalized"),
    "magnitude of v": (of_each_row(lambda row, v, c: row + v.abs()), "argument-changed"),
    "the network itself": (no_copy, "parameters-changed"),
    "a shallow copy": (shallow_copy, "parameters-changed"),
    "leaf in place": (needs_grad, "leaf-in-place"),
    "the last layer": (lambda net, layer, v: new_layer(net, layer, v).get_submodule(layer), "broken-network"),
    "by attribute": (lambda net, layer, v: in_place_on_a_copy(copy.deepcopy(net), getattr(net, layer) and layer, v),
                     "error"),
    "a transposed weight": (of_each_row(lambda row, v, c: torch.cat([row, v])), "broken-network"),
    "the weight": (lambda net, layer, v: net.get_submodule(layer).weight.detach() + v, "wrong-type"),
    "nothing": (lambda net, layer, v: None, "returns-none"),
    "name fixed": (lambda net, layer, v: in_place_on_a_copy(net, "fc2", v), "error"),
    "another network": (
        lambda net, layer, v: nn.Sequential(OrderedDict(flat=nn.Flatten(), fc=nn.LazyLinear(10))), "not-repeatable"),
}  # fmt: skip
