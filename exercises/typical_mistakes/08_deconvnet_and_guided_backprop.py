"""Six answers to 08_deconvnet_and_guided_backprop that are wrong in typical ways, by grade id; for the grading
demonstration.
"""

ANSWERS = {
    # an honest gradient, clipped at its end
    "solution-1": """
def guided_backprop(net, x, target, handling):
    pixels = x.clone().requires_grad_()
    chosen = net(pixels).gather(1, target[:, None]).sum()
    return handling(torch.autograd.grad(chosen, pixels)[0]).sum(dim=1)
""",
    # grad_in has been gated already
    "solution-1-deconvnet": """
def deconvnet(net, x, target, handling):
    relus = [m for m in net.modules() if isinstance(m, nn.ReLU)]
    handles = [m.register_full_backward_hook(lambda m, grad_in, grad_out: (handling(grad_in[0]),)) for m in relus]
    pixels = x.clone().requires_grad_()
    chosen = net(pixels).gather(1, target[:, None]).sum()
    arrived = torch.autograd.grad(chosen, pixels)[0]
    for handle in handles:
        handle.remove()
    return arrived.sum(dim=1)
""",
    # more kinds of modules, but calls are still not seen
    "solution-2": """
def guided_everywhere(net, x, target, handling):
    relus = [m for m in net.modules() if isinstance(m, (nn.ReLU, nn.ReLU6))]
    handles = [m.register_full_backward_hook(lambda m, grad_in, grad_out: (handling(grad_in[0]),)) for m in relus]
    try:
        pixels = x.clone().requires_grad_()
        chosen = net(pixels).gather(1, target[:, None]).sum()
        arrived = torch.autograd.grad(chosen, pixels)[0]
    finally:
        for handle in handles:
            handle.remove()
    return arrived.sum(dim=1)
""",
    # no rank correlation
    "guess-3": 'guess = {"output": 4, "photo": 29}',
    # magnitudes hide that the maps are reversed
    "solution-3": """
def alike(handling):
    maps = [pg.explain(net, xs, c, "guided-backprop", handling).abs() for c in (most, least)]
    return [spearman(one.numpy(), other.numpy()) for one, other in zip(*maps)]
""",
    # between a red and a blue place the two orders differ
    "solution-4": """
def guided_gradcam(guided, cam):
    big = F.interpolate(cam[:, None], size=guided.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    return guided * big.clamp(min=0)
""",
}
