"""guided_backprop(net, x, target, handling)"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from posgrad_edu.engine.backward import backward_rules, on_gradient, own_backward


def back(net, x, target, score=None):
    x = x.clone().requires_grad_()
    z = net(x)
    chosen = score(z, target) if score else z[range(len(x)), target].sum()
    return torch.autograd.grad(chosen, x)[0].sum(1)


def relus(net):
    return [m for m in net.modules() if isinstance(m, nn.ReLU)]


def hooked(change, remove=True, which=slice(None)):
    """With full backward hooks; change(grad_in, grad_out, handling)."""

    def method(net, x, target, handling):
        handles = [
            m.register_full_backward_hook(lambda m, gi, go: (change(gi[0], go[0], handling),))
            for m in relus(net)[which]
        ]
        found = back(net, x, target)
        if remove:
            for handle in handles:
                handle.remove()
        return found

    return method


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, handling):
        ctx.save_for_backward(z)
        ctx.handling = handling
        return z.clamp(min=0)

    @staticmethod
    def backward(ctx, grad):
        (z,) = ctx.saved_tensors
        return ctx.handling(grad) * (z > 0), None


class _GuidedReLU(nn.Module):
    def __init__(self, handling):
        super().__init__()
        self.handling = handling

    def forward(self, z):
        return _Guided.apply(z, self.handling)


def on_a_copy(net, x, target, handling):
    net = copy.deepcopy(net)
    for name, module in list(net.named_children()):
        if isinstance(module, nn.ReLU):
            setattr(net, name, _GuidedReLU(handling))
    return back(net, x, target)


def on_the_network_itself(net, x, target, handling):
    for name, module in list(net.named_children()):
        if isinstance(module, nn.ReLU):
            setattr(net, name, _GuidedReLU(handling))
    return back(net, x, target)


def with_rules(rule):
    def method(net, x, target, handling):
        with backward_rules({F.relu: rule(handling)}):
            leaf = x.clone().requires_grad_()
            score = net(leaf)[range(len(x)), target].sum()
        return torch.autograd.grad(score, leaf)[0].sum(1)

    return method


def guide(handling):
    def rule(func, z, **how):
        a = func(z, **how)
        on_gradient(a, handling)
        return a

    return rule


def own(change):
    return with_rules(
        lambda h: lambda func, z, **how: own_backward(lambda z: func(z, **how), lambda g: (change(g, z, h),), z)
    )


def patched(net, x, target, handling):
    F.relu = lambda z, inplace=False: _Guided.apply(z, handling)
    return back(net, x, target)


def patched_and_restored(net, x, target, handling):
    original = F.relu
    F.relu = lambda z, inplace=False: _Guided.apply(z, handling)
    try:
        return back(net, x, target)
    finally:
        F.relu = original


def by_hand(net, x, target, handling):
    inputs = [x]
    for module in net:
        inputs.append(module(inputs[-1]).detach())
    grad = F.one_hot(target, inputs[-1].shape[1]).float()
    for module, a in zip(reversed(net), reversed(inputs[:-1]), strict=True):
        if isinstance(module, nn.ReLU):
            grad = handling(grad) * (a > 0)
        else:
            leaf = a.clone().requires_grad_()
            grad = torch.autograd.grad(module(leaf), leaf, grad)[0]
    return grad.sum(1)


def softmax(net, x, target, handling):
    with backward_rules({F.relu: guide(handling)}):
        leaf = x.clone().requires_grad_()
        p = net(leaf).softmax(1)[range(len(x)), target].sum()
    return torch.autograd.grad(p, leaf)[0].sum(1)


def not_all_names(net, x, target, handling):
    handles = [net.get_submodule(n).register_full_backward_hook(lambda m, gi, go: (handling(go[0]) * (gi[0] != 0),))
               for n in ("relu1", "relu2")]  # fmt: skip
    found = back(net, x, target)
    [h.remove() for h in handles]
    return found


RIGHT = {
    "backward hooks": hooked(lambda gi, go, h: h(gi)),
    "modules of a copy": on_a_copy,
    "backward_rules": with_rules(guide),
    "layer by layer": by_hand,
    "patched and restored": patched_and_restored,
}
WRONG = {
    "deconvnet": (hooked(lambda gi, go, h: h(go)), "gate-missing"),
    "plain gradient": (hooked(lambda gi, go, h: gi), "plain-gradient"),
    "hooks left": (hooked(lambda gi, go, h: h(gi), remove=False), "hooks-left"),
    "always positive": (hooked(lambda gi, go, h: gi.clamp(min=0)), "handling-hard-coded"),
    "modules replaced": (on_the_network_itself, "network-changed"),
    "torch patched": (patched, "torch-changed"),
    "handled at the end": (lambda net, x, t, h: h(back(net, x, t)), "handled-result"),
    "softmax": (softmax, "softmax"),
    "relu on activations": (own(lambda g, z, h: h(z)), "handled-activations"),
    "times activation": (own(lambda g, z, h: h(g) * z.clamp(min=0)), "multiplied-by-activation"),
    "gate reversed": (own(lambda g, z, h: h(g) * (z < 0)), "gate-reversed"),
    "last ReLU only": (hooked(lambda gi, go, h: h(gi), which=slice(2, 3)), "one-relu"),
    "convolutions only": (not_all_names, "convolutions-only"),
    "absolute": (lambda *a: by_hand(*a).abs(), "absolute-result"),
    "handled product": (own(lambda g, z, h: h(g * z)), "handled-too-late"),
    "first class for all": (lambda net, x, t, h: by_hand(net, x, t[:1].expand(len(t)), h), "first-class-for-all"),
}
