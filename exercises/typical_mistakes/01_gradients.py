"""Five answers to 01_gradients that are wrong in typical ways, by grade id; for the grading demonstration."""

ANSWERS = {
    # back from the loss, as in training
    "solution-1": """
def gradient(net, x, target):
    leaf = x.clone().requires_grad_()
    torch.nn.functional.cross_entropy(net(leaf), target).backward()
    return leaf.grad.sum(dim=1)
""",
    # the colours are added up before the product
    "solution-2": """
def input_x_gradient(net, x, target):
    leaf = x.clone().requires_grad_()
    chosen = net(leaf).gather(1, target[:, None])
    (grads,) = torch.autograd.grad(chosen.sum(), leaf)
    return x.sum(dim=1) * grads.sum(dim=1)
""",
    # words instead of numbers
    "guess-3": 'guess = {0.1: "nearly all", 1: "half", 10: "a little"}',
    # the logit after the step, not its change
    "solution-3": """
def promised_and_real(net, x, target, step):
    leaf = x.clone().requires_grad_()
    (grads,) = torch.autograd.grad(net(leaf).gather(1, target[:, None]).sum(), leaf)
    promised = (grads.sum(dim=1) * step).sum(dim=(1, 2))
    return promised, net(x + step[:, None]).detach().gather(1, target[:, None])[:, 0]
""",
    # the largest value isn't the largest magnitude
    "solution-4": """
def scaled(maps):
    largest = maps.amax((1, 2), keepdim=True)
    return maps / torch.where(largest == 0, 1.0, largest)
""",
}
