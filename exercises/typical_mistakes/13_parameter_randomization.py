"""Five typically wrong answers to 13_parameter_randomization, by grade id; for the grading demonstration."""

ANSWERS = {
    # seed 0's second layer gets what seed 1's first layer gets
    "solution-1": """
def cascading_randomization(net, layers, seed):
    current, networks = copy.deepcopy(net), []
    for n, name in enumerate(layers):
        torch.manual_seed(seed + n)
        for p in current.get_submodule(name).parameters():
            p.data = p.data.mean() + p.data.std() * torch.randn(p.shape)
        networks.append(copy.deepcopy(current))
    return networks
""",
    # asks each network about its own favourite class
    "solution-2": """
def parameter_sensitivity(net, nets, x, target, explain):
    trained, rows = explain(net, x, target), []
    for other in nets:
        now = explain(other, x, other(x).argmax(1))
        rows.append([spearman(a.numpy(), b.numpy()) for a, b in zip(trained, now)])
    return rows
""",
    # correlations where steps are asked for
    "guess-3": """
guess = {"gradcam signed": 0.1, "gradcam positive": 0.9, "guided-backprop signed": 0.1, "guided-backprop positive": 1.0}
""",
    # one draw stands for all
    "solution-3": """
def curve(net, draws, x, target, explain):
    return np.mean(parameter_sensitivity(net, draws[0], x, target, explain), axis=1).tolist()
""",
    # zeros have ranks, too
    "solution-4": """
def data_sensitivity(net, other, x, target, explain, mask):
    pairs = zip(explain(net, x, target) * mask, explain(other, x, target) * mask)
    return [spearman(a.numpy(), b.numpy()) for a, b in pairs]
""",
}
