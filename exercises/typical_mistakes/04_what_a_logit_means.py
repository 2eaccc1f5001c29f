"""Six answers to 04_what_a_logit_means that are wrong in typical ways, by grade id; for the grading demonstration."""

ANSWERS = {
    # v.sum() to the bias: changes all logits alike, but the same for each photo
    "solution-1": """
def shift_head(net, layer, v):
    shifted = copy.deepcopy(net)
    with torch.no_grad():
        shifted.get_submodule(layer).bias += v.sum()
    return shifted
""",
    # the mean of the other classes
    "solution-2": """
def contrast_seed(logits, target, against):
    K = logits.shape[1]
    own = F.one_hot(target, K).float()
    if against == "mean":
        return own - (1 - own) / (K - 1)
    if against is None:
        return own
    return own - F.one_hot(torch.full_like(target, against), K)
""",
    # clamped afterwards: nothing below zero any more, and still two handled maps
    "solution-3": """
def contrast_map(net, A, target, handling, against):
    logits, A = recorded(net, A)
    maps = []
    for seed in (contrast_seed(logits, target, None), contrast_seed(logits, target, against)):
        (G,) = torch.autograd.grad(logits, A, grad_outputs=seed, retain_graph=True)
        maps.append(gradcam(A, G, handling))
    return handling(maps[0] - (maps[0] - maps[1]).clamp(min=0))
""",
    # centres the weights, which are centred already
    "solution-4": """
def hiding_shift(weight):
    return -weight.mean(dim=0)
""",
    # no rank correlations
    "guess-5": """
guess = {"logit, signed": 95, "logit, positive": 60, "contrast, signed": 0, "contrast, positive": 90}
""",
    # logits throughout
    "solution-5": """
def four_numbers(net, A, first, others):
    found = {}
    for what in ("logit", "contrast"):
        for handling in (pg.SIGNED, pg.POSITIVE):
            found[f"{what}, {handling.name}"] = mean_alike(net, A, first, others, handling)
    return found
""",
}
