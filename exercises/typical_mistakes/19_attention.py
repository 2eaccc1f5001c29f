"""Five answers to 19_attention that are wrong in typical ways, by grade id; for the grading demonstration."""

ANSWERS = {
    # the later layer on the right
    "solution-1": """
def attention_rollout(weights):
    I = torch.eye(weights[0].shape[-1])
    R = I
    for layer in weights:
        R = R @ (I + layer.mean(dim=1)) / 2
    return R
""",
    # the clamp after the mean over heads
    "solution-2": """
def gradient_rollout(weights, gradients, handling):
    R = torch.eye(weights[0].shape[-1])
    for layer, grad in zip(weights, gradients, strict=True):
        R = R + handling((grad * layer).mean(dim=1)) @ R
    return R
""",
    # the class token left out, but still a column
    "solution-3": """
def token_map(R):
    return R[:, 1:, 0].reshape(-1, 8, 8)
""",
    # percentages
    "guess-4": 'guess = {"clamped after the mean": 30, "clamped in each head": 60}',
    # clamps the finished product
    "solution-4": """
def late_rollout(weights, gradients, handling):
    return handling(gradient_rollout(weights, gradients, pg.SIGNED))


def alike(rollout, handling, one, other):
    maps = [token_map(rollout(*pair, handling)) for pair in (one, other)]
    return sum(spearman(a.numpy(), b.numpy()) for a, b in zip(*maps, strict=True)) / len(maps[0])
""",
}
