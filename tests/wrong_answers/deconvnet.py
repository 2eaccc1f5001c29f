"""deconvnet(net, x, target, handling)"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from wrong_answers.guided_backprop import back, by_hand, guide, hooked, own, with_rules


class _Deconv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, handling):
        ctx.handling = handling
        return z.relu()

    @staticmethod
    def backward(ctx, grad):
        return ctx.handling(grad), None


def on_a_copy(net, x, target, handling):
    net = copy.deepcopy(net)
    for m in net.modules():
        if isinstance(m, nn.ReLU):
            m.forward = lambda z: _Deconv.apply(z, handling)
    return back(net, x, target)


def forward_replaced(net, x, target, handling):
    for m in net.modules():
        if isinstance(m, nn.ReLU):
            m.forward = lambda z: _Deconv.apply(z, handling)
    return back(net, x, target)


def layer_by_layer(net, x, target, handling):
    inputs = [x]
    for module in net:
        inputs.append(module(inputs[-1]).detach())
    grad = F.one_hot(target, inputs[-1].shape[1]).double()
    for module, a in zip(reversed(copy.deepcopy(net).double()), reversed(inputs[:-1]), strict=True):
        if isinstance(module, nn.ReLU):
            grad = handling(grad)
        else:
            leaf = a.double().requires_grad_()
            grad = torch.autograd.grad(module(leaf), leaf, grad)[0]
    return grad.sum(1)


RIGHT = {
    "backward hooks": hooked(lambda gi, go, h: h(go)),
    "own backward": own(lambda g, z, h: h(g)),
    "forward of a copy": on_a_copy,
    "layer by layer, double": layer_by_layer,
}
WRONG = {
    "guided, by grad_input": (hooked(lambda gi, go, h: h(gi)), "gate-kept"),
    "guided, by a rule": (with_rules(guide), "gate-kept"),
    "guided, by hand": (by_hand, "gate-kept"),
    "not handled": (hooked(lambda gi, go, h: go), "handling-forgotten"),
    "plain gradient": (hooked(lambda gi, go, h: gi), "plain-gradient"),
    "always positive": (hooked(lambda gi, go, h: go.relu()), "handling-hard-coded"),
    "hooks left": (hooked(lambda gi, go, h: h(go), remove=False), "hooks-left"),
    "forward replaced": (forward_replaced, "network-changed"),
    "handled at the end": (lambda net, x, t, h: h(back(net, x, t)), "handled-result"),
    "relu on activations": (own(lambda g, z, h: h(z)), "handled-activations"),
    "gate reversed": (own(lambda g, z, h: h(g) * (z <= 0)), "gate-reversed"),
    "one relu": (hooked(lambda gi, go, h: h(go), which=slice(0, 1)), "one-relu"),
    "relu of the map": (lambda *a: layer_by_layer(*a).relu(), "relu-on-result"),
    "swapped axes": (lambda *a: layer_by_layer(*a).mT, "transposed"),
}
