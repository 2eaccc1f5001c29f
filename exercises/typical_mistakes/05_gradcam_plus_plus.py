"""Six answers to 05_gradcam_plus_plus that are wrong in typical ways, by grade id; for the grading demonstration."""

ANSWERS = {
    # 0 / 0 where the gradient is zero
    "solution-1": """
def alpha(activations, gradients):
    S = activations.sum(dim=(2, 3), keepdim=True)
    return gradients**2 / (2 * gradients**2 + S * gradients**3)
""",
    # the line that looks unusual, and does its work
    "culprit-2": "culprit = 6",
    # alpha of the handled gradients
    "solution-2": """
def gradcam_plus_plus(activations, gradients, handling):
    S = activations.sum(dim=(2, 3), keepdim=True)
    g = handling(gradients)
    weights = (g / (2 + S * g)).sum(dim=(2, 3), keepdim=True)
    return (weights * activations).sum(dim=1)
""",
    # per cent
    "guess-3": """
guess = {"alpha alone": -40, "clamp alone": 80}
step = "clamp"
""",
    # magnitudes hide that the maps are reversed
    "solution-3": """
def table(layer, first, second):
    (A, g), (_, other) = record(layer, first), record(layer, second)
    found = {"mean": {}, "alpha": {}}
    for h in (pg.SIGNED, pg.POSITIVE):
        mean = [(h(t).mean(dim=(2, 3), keepdim=True) * A).sum(dim=1).abs() for t in (g, other)]
        plus = [gradcam_plus_plus(A, t, h).abs() for t in (g, other)]
        for kind, maps in {"mean": mean, "alpha": plus}.items():
            found[kind][h.name] = sum(spearman(a.numpy(), b.numpy()) for a, b in zip(*maps)) / 6
    return found
""",
    # handled the product instead of the gradient
    "solution-5": """
def layercam(activations, gradients, handling):
    return handling(gradients * activations).sum(dim=1)
""",
}
