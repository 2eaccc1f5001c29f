"""Five answers to 02_gradcam that are wrong in typical ways, by grade id; for the grading demonstration."""

ANSWERS = {
    # detach() shares the memory, which a ReLU in place overwrites
    "solution-1": """
def record(net, x, target, layer):
    kept = {}
    handle = net.get_submodule(layer).register_forward_hook(lambda m, i, out: kept.update(A=out.detach(), out=out))
    logits = net(x.clone().requires_grad_())
    handle.remove()
    (gradients,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), kept["out"])
    return kept["A"], gradients
""",
    # averaged over channels instead of positions
    "solution-2": """
def gradcam(activations, gradients, handling):
    weights = handling(gradients).mean(dim=1, keepdim=True)
    return (weights * activations).sum(dim=1)
""",
    # no rank correlation
    "guess-3": 'guess = {"signed": 0.5, "positive": 95}',
    # magnitudes hide that the maps are reversed
    "solution-3": """
def alike(first, second, handling):
    pairs = zip(small_maps(first, handling).abs(), small_maps(second, handling).abs())
    return [spearman(one.numpy(), other.numpy()) for one, other in pairs]
""",
    # 0 / 0 where a channel is silent
    "solution-5": """
def xgradcam(activations, gradients, handling):
    shares = activations / activations.sum(dim=(2, 3), keepdim=True)
    weights = (shares * handling(gradients)).sum(dim=(2, 3), keepdim=True)
    return (weights * activations).sum(dim=1)
""",
}
