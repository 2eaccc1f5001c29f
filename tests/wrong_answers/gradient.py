"""gradient(net, x, target)"""

import copy

import torch


def with_grad(net, x, target):
    x = x.clone().requires_grad_()
    logits = net(x)
    return torch.autograd.grad(logits[torch.arange(len(x)), target].sum(), x)[0].sum(1)


def with_backward(net, x, target):
    leaf = x.detach().clone().requires_grad_()
    net(leaf).gather(1, target.view(-1, 1)).sum().backward()
    return leaf.grad.sum(dim=1)


def photo_by_photo(net, x, target):
    maps = []
    for photo, c in zip(x, target, strict=True):
        leaf = photo[None].clone().requires_grad_()
        net(leaf)[0, c].backward()
        maps.append(leaf.grad[0].sum(0))
    return torch.stack(maps)


def with_grad_outputs(net, x, target):
    x = x.clone().requires_grad_()
    z = net(x)
    one_hot = torch.nn.functional.one_hot(target, z.shape[1]).to(z)
    return torch.autograd.grad(z, x, grad_outputs=one_hot)[0].sum(1)


def with_vjp(net, x, target):
    def score(photos):
        return net(photos).gather(1, target[:, None]).sum()

    return torch.func.grad(score)(x).sum(1).detach()


def in_double(net, x, target):
    return with_grad(copy.deepcopy(net).double(), x.double(), target)


def with_a_loss(net, x, target):
    leaf = x.clone().requires_grad_()
    torch.nn.functional.cross_entropy(net(leaf), target).backward()
    return leaf.grad.sum(1)


def scored(score):
    def gradient(net, x, target):
        leaf = x.clone().requires_grad_()
        score(net(leaf), target).backward()
        return leaf.grad.sum(1)

    return gradient


def each_with_one_graph(net, x, target):
    x = x.clone().requires_grad_()
    z = net(x)
    return torch.stack([torch.autograd.grad(z[n, c], x)[0][n].sum(0) for n, c in enumerate(target)])


def on_the_input_itself(net, x, target):
    x.requires_grad_()
    net(x)[range(len(x)), target].sum().backward()
    return x.grad.sum(1)


def in_training_mode(net, x, target):
    net.train()
    return with_grad(net, x, target)


def freezes(net, x, target):
    for p in net.parameters():
        p.requires_grad_(False)
    return with_grad(net, x, target)


def forgot_requires_grad(net, x, target):
    return torch.autograd.grad(net(x)[:, target].sum(), x)[0].sum(1)


def grad_by_another_copy(net, x, target):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(net(x)[:, target].sum(), leaf)[0].sum(1)


def without_graph(net, x, target):
    x = x.clone().requires_grad_()
    with torch.no_grad():
        z = net(x)
    return torch.autograd.grad(z[:, target].sum(), x)[0].sum(1)


def not_a_scalar(net, x, target):
    x = x.clone().requires_grad_()
    net(x)[torch.arange(len(x)), target].backward()
    return x.grad.sum(1)


def grad_of_a_copy(net, x, target):
    x.requires_grad_()
    z = x * 1.0
    net(z)[torch.arange(len(x)), target].sum().backward()
    return z.grad.sum(1)


def undetached(net, x, target):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(net(x).gather(1, target[:, None]).sum(), x, create_graph=True)[0].sum(1) + 0 * x.sum(1)


RIGHT = {
    "autograd.grad": with_grad,
    "backward": with_backward,
    "photo by photo": photo_by_photo,
    "grad_outputs": with_grad_outputs,
    "torch.func": with_vjp,
    "double": in_double,
}
WRONG = {
    "softmax": (scored(lambda z, t: z.softmax(1)[range(len(t)), t].sum()), "softmax"),
    "log-softmax": (scored(lambda z, t: z.log_softmax(1)[range(len(t)), t].sum()), "softmax"),
    "loss": (with_a_loss, "loss"),
    "all logits": (scored(lambda z, t: z.sum()), "all-logits"),
    "largest logit": (scored(lambda z, t: z.max(1).values.sum()), "largest-logit"),
    "largest logit of a photo alone": (
        scored(lambda z, t: (z[range(len(t)), t] if len(t) > 1 else z.max(1).values).sum()),
        "largest-logit",
    ),
    "first class for all": (scored(lambda z, t: z[:, int(t[0])].sum()), "first-class-for-all"),
    "table": (scored(lambda z, t: z[:, t].sum()), "all-classes-asked"),
    "mean": (scored(lambda z, t: z[range(len(t)), t].mean()), "averaged-logits"),
    "absolute": (lambda *a: with_backward(*a).abs(), "absolute-result"),
    "relu": (lambda *a: with_backward(*a).relu(), "relu-on-result"),
    "sign": (lambda *a: -with_backward(*a), "wrong-sign"),
    "times input": (lambda net, x, t: (x * photo_by_photo_colours(net, x, t)).sum(1), "times-input"),
    "colours kept": (lambda net, x, t: photo_by_photo_colours(net, x, t), "channels-kept"),
    "colours averaged": (lambda net, x, t: photo_by_photo_colours(net, x, t).mean(1), "colours-averaged"),
    "one graph": (each_with_one_graph, "retain-graph"),
    "accumulates": (on_the_input_itself, "accumulates"),
    "training mode": (in_training_mode, "mode-changed"),
    "frozen": (freezes, "requires-grad-changed"),
    "no requires_grad": (forgot_requires_grad, "no-graph"),
    "another copy": (grad_by_another_copy, "unused"),
    "no graph": (without_graph, "no-graph"),
    "no scalar": (not_a_scalar, "not-a-scalar"),
    "grad of a copy": (grad_of_a_copy, "none"),
    "undetached": (undetached, "not-detached"),
    "normalized": (lambda *a: with_backward(*a) / with_backward(*a).abs().amax((1, 2), keepdim=True), "normalized"),
    "transposed": (lambda *a: with_backward(*a).transpose(1, 2), "transposed"),
}


def photo_by_photo_colours(net, x, target):
    x = x.clone().requires_grad_()
    net(x).gather(1, target[:, None]).sum().backward()
    return x.grad
