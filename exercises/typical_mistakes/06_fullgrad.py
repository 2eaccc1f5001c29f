"""Six answers to 06_fullgrad that are wrong in typical ways, by grade id; for the grading demonstration."""

ANSWERS = {
    # the variance itself where its root belongs
    "solution-1": """
def fullgrad_terms(net, x, target):
    values, places = [x], [x.clone().requires_grad_()]

    def note(func, z, *args, **how):
        out = func(z, *args, **how)
        if func is F.batch_norm:
            mean, var = args[:2]
            bias = how["bias"] - mean * how["weight"] / (var + how["eps"])
        else:
            bias = args[1]
        if bias is not None:
            values.append(bias.reshape(-1, *[1] * (out.ndim - 2)))
            places.append(out)
        return out.clone()

    with backward_rules(dict.fromkeys([F.conv2d, F.batch_norm, F.linear], note)):
        logits = net(places[0])
    chosen = logits.gather(1, target[:, None]).sum()
    gradients = torch.autograd.grad(chosen, places)
    return [(value * gradient).detach() for value, gradient in zip(values, gradients, strict=True)]
""",
    # each channel has a range of its own
    "solution-2": """
def fullgrad(terms, size, handling):
    maps = 0
    for term in terms:
        u = handling(term)
        low, high = u.abs().amin((2, 3), keepdim=True), u.abs().amax((2, 3), keepdim=True)
        u = u.sign() * (u.abs() - low) / torch.where(high > low, high - low, 1.0)
        maps = maps + F.interpolate(u, size=size, mode="bilinear", align_corners=True).sum(1)
    return maps
""",
    # a gap has no sign
    "guess-3": 'guess = {"scenes": 0, "efficientnet-lite0": -4, "lite0, plain ReLUs": 0}',
    # the linear layer has no place in the map, but in the sum
    "solution-3": """
def total(terms, handling):
    return sum(handling(term).double().sum((1, 2, 3)) for term in terms if term.ndim == 4)
""",
    # no rank correlation
    "guess-4": 'guess = {"signed": 0.5, "absolute": 95, "positive": 95}',
    # all photos in one comparison
    "solution-4": """
def alike(one, two, handling):
    maps = [fullgrad([t for t in terms if t.ndim == 4], (20, 20), handling) for terms in (one, two)]
    return [spearman(maps[0].flatten().numpy(), maps[1].flatten().numpy())]
""",
}
