"""fullgrad_terms(net, x, target)"""

import copy

import torch
from torch import nn

from posgrad_edu.methods.fullgrad import fullgrad_terms as packages
from wrong_answers.gradient import photo_by_photo_colours as grads


def score(z, target):
    return z[range(len(z)), target].sum()


def own_bias(m):
    return m.bias


def implicit(m):
    if isinstance(m, nn.BatchNorm2d):
        return m.bias - m.running_mean / torch.sqrt(m.running_var + m.eps) * m.weight
    return m.bias


def by_hooks(net, x, target, bias=implicit, kinds=(nn.Conv2d, nn.BatchNorm2d, nn.Linear), score=score, keep=False):
    seen, handles = [], []
    for m in net.modules():
        if isinstance(m, kinds) and m.bias is not None:
            handles.append(m.register_forward_hook(lambda m, i, o: seen.append((m, o))))
    x = x.clone().requires_grad_()
    z = net(x)
    if not keep:
        for handle in handles:
            handle.remove()
    g = torch.autograd.grad(score(z, target), [x, *(o for _, o in seen)])
    terms = [(x * g[0]).detach()]
    for (m, o), grad in zip(seen, g[1:], strict=True):
        shape = (1, -1, 1, 1) if o.ndim == 4 else (1, -1)
        terms.append(bias(m).detach().view(shape) * grad)
    return terms


def by_zero_input(net, x, target):
    """What a layer adds by itself is its output for zeros."""
    x = x.clone().requires_grad_()
    added, places, z = [], [], x
    for m in net:
        if isinstance(m, (nn.Conv2d, nn.BatchNorm2d, nn.Linear)):
            own = m(torch.zeros_like(z))
            z = m(z)
            if own.any():
                added.append(own.detach())
                places.append(z)
        else:
            z = m(z)
    g = torch.autograd.grad(score(z, target), [x, *places])
    return tuple((v * d).detach() for v, d in zip([x, *added], g, strict=True))


def of_package(net, x, target):
    return [term[:, 0] for term in packages(net, x, target[:, None])]


def parameter_gradients(net, x, target):
    x = x.clone().requires_grad_()
    net = copy.deepcopy(net)
    score(net(x), target).backward()
    return [(x * x.grad).detach(), *((p * p.grad).detach() for n, p in net.named_parameters() if "bias" in n)]


RIGHT = {"hooks": by_hooks, "outputs for zeros": by_zero_input, "the package's": of_package}
WRONG = {
    "input only": (lambda net, x, t: [x * grads(net, x, t)], "bias-missing"),
    "no input": (lambda net, x, t: by_hooks(net, x, t)[1:], "input-missing"),
    "no linear layers": (lambda net, x, t: by_hooks(net, x, t, kinds=(nn.Conv2d, nn.BatchNorm2d)), "linear-missing"),
    "no BatchNorm": (lambda net, x, t: by_hooks(net, x, t, kinds=(nn.Conv2d, nn.Linear)), "batchnorm-missing"),
    "BatchNorm's bias": (lambda net, x, t: by_hooks(net, x, t, bias=own_bias), "batchnorm-bias"),
    "parameter gradients": (parameter_gradients, "parameter-gradients"),
    "gradients": (lambda net, x, t: by_hooks(net, x, t, bias=lambda m: torch.ones_like(m.bias)), "factor-missing"),
    "input's gradient": (lambda net, x, t: [grads(net, x, t), *by_hooks(net, x, t)[1:]], "factor-missing"),
    "no last": (lambda net, x, t: by_hooks(net, x, t)[:-1], "last-missing"),
    "absolute": (lambda net, x, t: [p.abs() for p in by_hooks(net, x, t)], "absolute-result"),
    "reversed": (lambda net, x, t: by_hooks(net, x, t)[::-1], "wrong-order"),
    "softmax": (lambda net, x, t: by_hooks(net, x, t, score=lambda z, t: score(z.softmax(1), t)), "softmax"),
    "hooks left": (lambda net, x, t: by_hooks(net, x, t, keep=True), "hooks-left"),
    "batch added up": (lambda net, x, t: [p.sum(0, keepdim=True) for p in by_hooks(net, x, t)], "batch-mixed"),
    "the sum": (lambda net, x, t: sum(p.flatten(1).sum(1) for p in by_hooks(net, x, t)), "wrong-type"),
    "all logits": (lambda net, x, t: by_hooks(net, x, t, score=lambda z, t: z.sum()), "all-logits"),
}
