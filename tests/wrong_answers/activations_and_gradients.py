"""activations_and_gradients(net, x, target, layer)"""

from collections import OrderedDict

import torch
from torch import nn


def choose(z, target):
    return z[torch.arange(len(z)), target].sum()


def cloned_in_a_hook(net, x, target, layer):
    kept = []

    def note(module, args, output):
        kept.append(output)
        return output.clone()

    handle = net.get_submodule(layer).register_forward_hook(note)
    try:
        score = choose(net(x), target)
    finally:
        handle.remove()
    (g,) = torch.autograd.grad(score, kept)
    return kept[0].detach(), g


def in_two_halves(net, x, target, layer):
    names = [name for name, _ in net.named_children()]
    cut = names.index(layer) + 1
    a = net[:cut](x).detach().requires_grad_()
    choose(net[cut:](a.clone()), target).backward()
    return [a.detach(), a.grad]


def tensor_hook(net, x, target, layer):
    kept = {}

    def note(module, args, output):
        kept["a"] = output.detach().clone()
        output.register_hook(lambda g: kept.__setitem__("g", g.clone()))

    with_hook = net.get_submodule(layer).register_forward_hook(note)
    choose(net(x), target).backward()
    with_hook.remove()
    return kept["a"], kept["g"]


def stepwise(net, x, target, layer):
    a = None
    for name, module in net.named_children():
        x = module(x)
        if name == layer:
            a = x
            x = x.clone()
    (g,) = torch.autograd.grad(choose(x, target), a)
    return a.detach(), g


def hook_left(net, x, target, layer):
    kept = []
    net.get_submodule(layer).register_forward_hook(lambda m, i, o: kept.append(o))
    z = net(x)
    return kept[0].detach(), torch.autograd.grad(choose(z, target), kept[0])[0]


def overwritten(net, x, target, layer):
    kept = {}

    def note(module, args, output):
        kept["a"] = output.detach()
        output.register_hook(lambda g: kept.__setitem__("g", g))

    handle = net.get_submodule(layer).register_forward_hook(note)
    choose(net(x), target).backward()
    handle.remove()
    return kept["a"], kept["g"]


def full_backward_hook(net, x, target, layer):
    kept = {}
    module = net.get_submodule(layer)
    one = module.register_forward_hook(lambda m, i, o: kept.__setitem__("a", o.detach().clone()))
    two = module.register_full_backward_hook(lambda m, gi, go: kept.__setitem__("g", go[0]))
    choose(net(x), target).backward()
    one.remove()
    two.remove()
    return kept["a"], kept["g"]


def softmaxed(net, x, target, layer):
    layers = OrderedDict([*net.named_children(), ("softmax", nn.Softmax(1))])
    return in_two_halves(nn.Sequential(layers), x, target, layer)


def relu_layer(net, x, target, layer):
    return stepwise(net, x, target, layer.replace("conv", "relu"))


def always_conv2(net, x, target, layer):
    return stepwise(net, x, target, "conv2")


def weight_grad(net, x, target, layer):
    a, _ = stepwise(net, x, target, layer)
    return a, torch.autograd.grad(choose(net(x), target), net.get_submodule(layer).weight)[0]


def attached(net, x, target, layer):
    a = None
    for name, module in net.named_children():
        x = module(x)
        if name == layer:
            a, x = x, x.clone()
    return a, torch.autograd.grad(choose(x, target), a)[0]


RIGHT = {"hook that clones": cloned_in_a_hook, "two halves": in_two_halves, "tensor hook": tensor_hook,
         "step by step": stepwise}  # fmt: skip
WRONG = {
    "hook left": (hook_left, "hooks-left"),
    "overwritten": (overwritten, "overwritten"),
    "full backward hook and in-place ReLU": (full_backward_hook, "in-place"),
    "softmax": (softmaxed, "softmax"),
    "the ReLU's output": (relu_layer, "wrong-layer"),
    "always the same layer": (always_conv2, "wrong-layer"),
    "gradient of the weights": (weight_grad, "weight-gradient"),
    "swapped": (lambda *a: tuple(reversed(stepwise(*a))), "swapped"),
    "attached": (attached, "not-detached"),
    "product": (lambda *a: stepwise(*a)[0] * stepwise(*a)[1], "wrong-type"),
    "positive gradients": (lambda *a: (stepwise(*a)[0], stepwise(*a)[1].clamp(min=0)), "relu-on-result"),
}
