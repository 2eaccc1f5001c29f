"""Five answers to 09_rectgrad that are wrong in typical ways, by grade id; for the grading demonstration."""

ANSWERS = {
    # one bar for the whole batch, only brought into the right shape
    "solution-1": """
def threshold(contributions, q):
    bar = torch.quantile(contributions, q) if q else torch.tensor(0.0)
    return bar.expand(len(contributions), 1, 1, 1)
""",
    # the strength of the signal decides, not its contribution
    "solution-2": """
def rectgrad(gradients, activations, handling, q):
    signal = handling(gradients) * (activations > 0)
    strength = signal.abs().flatten(1)
    bar = torch.quantile(strength, q, dim=1) if q else torch.zeros(len(signal))
    return signal * (signal.abs() > bar[:, None, None, None])
""",
    # nn.ReLU's function, but this network has ReLU6s
    "solution-3": """
def rectgrad_map(net, x, target, handling, q):
    def rule(func, z, **how):
        output = func(z, **how)
        a = output.detach().clone()
        on_gradient(output, lambda R: rectgrad(R, a, handling, q))
        return output

    x = x.clone().requires_grad_()
    with backward_rules({F.relu: rule}):
        chosen = net(x).gather(1, target[:, None]).sum()
    return torch.autograd.grad(chosen, x)[0].sum(dim=1)
""",
    # per cent
    "guess-4": 'guess = {"zeros": 98, "shuffled": 0.5}',
    # the zeros are shuffled with everything else
    "solution-4": """
def shuffled(saliency, seed):
    order = torch.randperm(saliency.numel(), generator=torch.Generator().manual_seed(seed))
    return saliency.flatten()[order].reshape(saliency.shape)


def readings(one, other):
    def ranks(a, b):
        return spearman(a.numpy(), b.numpy())

    return {
        "zeros": float((one == 0).float().mean()),
        "signed": ranks(one, other),
        "magnitudes": ranks(one.abs(), other.abs()),
        "shuffled": ranks(shuffled(one, 0).abs(), shuffled(other, 0).abs()),
    }
""",
}
