"""Answers to 10_lrp that are wrong in typical ways, by grade id; for the grading demonstration."""

ANSWERS = {
    # epsilon without the sign of the output; negative biases in z+'s denominator
    "solution-1": """
def lrp_epsilon(a, w, b, relevance, epsilon):
    s = relevance / (F.linear(a, w, b) + epsilon)
    return a * (s @ w)


def lrp_zplus(a, w, b, relevance):
    w = w.clamp(min=0)
    s = relevance / (F.linear(a, w, b) + 1e-9)
    return a * (s @ w)
""",
    # back with the forward convolution
    "solution-2": """
def lrp_epsilon_conv(a, w, b, relevance, epsilon):
    z = F.conv2d(a, w, b, padding=1)
    s = relevance / (z + epsilon * torch.where(z >= 0, 1.0, -1.0))
    return a * F.conv2d(s, w.transpose(0, 1), padding=1)
""",
    # conserved, but shared out in halves
    "solution-3": """
def lrp_addition(a, b, relevance, epsilon):
    return relevance / 2, relevance / 2
""",
    # per cent
    "guess-4": 'guess = {"with": 30, "without": 100}',
    # the handling is forgotten
    "solution-4": """
def relevances(x, target, h, bias=True):
    notes = [x]
    for layer in net:
        notes.append(layer(notes[-1]).detach())
    R = [F.one_hot(target, 10).float()]
    for layer, a in zip(reversed(net), reversed(notes[:-1])):
        if isinstance(layer, nn.Conv2d):
            R.append(lrp_epsilon_conv(a, layer.weight, layer.bias * bias, R[-1], 1e-6))
        elif isinstance(layer, nn.Linear):
            R.append(lrp_epsilon(a, layer.weight, layer.bias * bias, R[-1], 1e-6))
        else:
            R.append(weightless(layer, a, R[-1]))
    return R
""",
    # a sum over the others in place of a mean, and a ReLU on top
    "solution-5": """
def contrastive(x, target):
    all_maps = torch.stack([relevances(x, torch.full_like(target, k), positive)[-1][:, 0] for k in range(10)], dim=1)
    own = all_maps[torch.arange(len(x)), target]
    return (own - (all_maps.sum(1) - own)).relu()
""",
}
