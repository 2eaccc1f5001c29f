"""input_x_gradient(net, x, target)"""

import torch

from wrong_answers.gradient import photo_by_photo_colours as grads
from wrong_answers.gradient import with_backward


def einsum(net, x, target):
    return torch.einsum("nchw,nchw->nhw", x, grads(net, x, target))


def by_loop(net, x, target):
    g = grads(net, x, target)
    out = torch.zeros(len(x), *x.shape[2:], dtype=torch.float64)
    for n in range(len(x)):
        for c in range(x.shape[1]):
            out[n] += x[n, c] * g[n, c]
    return out


def functional(net, x, target):
    _, back = torch.func.vjp(net, x)
    (g,) = back(torch.eye(5)[target])
    return (g * x).sum(1).detach()


def softmax(net, x, target):
    x = x.clone().requires_grad_()
    p = torch.softmax(net(x), dim=1)[range(len(x)), target]
    g = torch.autograd.grad(p.sum(), x)[0]
    return (g * x.detach()).sum(1)


def attached(net, x, target):
    x = x.clone().requires_grad_()
    g = torch.autograd.grad(net(x)[range(len(x)), target].sum(), x)[0]
    return (x * g).sum(1)


def changes_x(net, x, target):
    g = grads(net, x, target)
    x *= g
    return x.sum(1)


def leaves_a_hook(net, x, target):
    net[0].register_forward_hook(lambda m, i, o: None)
    return einsum(net, x, target)


def zeroes_weights(net, x, target):
    with torch.no_grad():
        net[0].bias.zero_()
    return einsum(net, x, target)


RIGHT = {"einsum": einsum, "loop, double": by_loop, "torch.func": functional,
         "product then sum": lambda n, i, t: grads(n, i, t).mul(i).sum(dim=1)}  # fmt: skip
WRONG = {
    "gradient": (with_backward, "input-missing"),
    "softmax": (softmax, "softmax"),
    "attached": (attached, "not-detached"),
    "sum then product": (lambda n, x, t: x.sum(1) * with_backward(n, x, t), "summed-too-early"),
    "relu of the gradient": (lambda n, x, t: (grads(n, x, t).relu() * x).sum(1), "relu-on-gradient"),
    "absolute gradient": (lambda n, x, t: (grads(n, x, t).abs() * x).sum(1), "absolute-input"),
    "absolute products": (lambda n, x, t: (grads(n, x, t) * x).abs().sum(1), "absolute"),
    "sum of both": (lambda n, x, t: (grads(n, x, t) + x).sum(1), "added"),
    "squared": (lambda n, x, t: ((grads(n, x, t) * x) ** 2).sum(1), "squared"),
    "changes x": (changes_x, "input-changed"),
    "hook": (leaves_a_hook, "hooks-left"),
    "changes weights": (zeroes_weights, "parameters-changed"),
    "photos added up": (lambda n, x, t: einsum(n, x, t).sum(0), "batch-mixed"),
    "relu": (lambda n, x, t: torch.relu(einsum(n, x, t)), "relu-on-result"),
    "axis": (lambda n, x, t: (grads(n, x, t) * x).sum(-1), "wrong-axis"),
}
