"""Six answers to 12_class_sensitivity that are wrong in typical ways, by grade id; for the grading demonstration."""

ANSWERS = {
    # argsort gives places, not ranks
    "solution-1": """
def spearman(first, second):
    ranks = torch.stack([first.flatten().argsort(), second.flatten().argsort()]).double()
    return float(torch.corrcoef(ranks)[0, 1])
""",
    # the second largest logit, not the smallest
    "solution-2": """
def class_sensitivity(net, x, explain):
    with torch.no_grad():
        best = net(x).topk(2, dim=1).indices
    first, second = explain(net, x, best[:, 0]), explain(net, x, best[:, 1])
    return [spearman(a, b) for a, b in zip(first, second)]
""",
    # drops what can't be ranked, and says that there was nothing to drop
    "solution-3": """
def summary(correlations):
    return np.nanmean(correlations), 0
""",
    # not one of the words
    "guess-4": """
guess = {"noise, new": "passes", "noise, frozen": "passes", "edges": "fails"}
guess |= {"gradcam, signed": "passes", "gradcam, published": "fails", "guided, published": "fails"}
""",
    # the magnitude of the correlation, not the correlation of the magnitudes
    "solution-4": """
def two_checks(net, x, explain):
    signed = class_sensitivity(net, x, explain)
    return signed, [abs(rho) for rho in signed]
""",
    # draws photos for each method separately
    "solution-6": """
def paired_interval(signed, positive):
    rng, n = np.random.default_rng(0), len(signed)
    s = np.array(signed)[rng.integers(n, size=(5000, n))].mean(1)
    p = np.array(positive)[rng.integers(n, size=(5000, n))].mean(1)
    return np.mean(positive) - np.mean(signed), *np.percentile(p - s, [2.5, 97.5])
""",
}
