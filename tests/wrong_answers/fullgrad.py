"""fullgrad(terms, size, handling)"""

import torch
import torch.nn.functional as F


def enlarge(t, size, **how):
    return F.interpolate(t, size=size, mode="bilinear", **({"align_corners": True} | how))


def rescale(t, axes=(1, 2, 3)):
    m = t.abs()
    m = m - m.amin(axes, keepdim=True)
    return torch.sign(t) * m / m.amax(axes, keepdim=True).clamp(min=1e-12)


def fullgrad(terms, size, h, psi=rescale, first=lambda t: t, after=lambda t: t, **how):
    total = 0
    for t in terms:
        total = total + enlarge(after(psi(h(first(t)))), size, **how).sum(dim=1)
    return total


def photo_by_photo(terms, size, h):
    maps = []
    for n in range(len(terms[0])):
        cam = torch.zeros(size, dtype=torch.float64)
        for t in terms:
            p = h(t[n].double())
            low, high = p.abs().min(), p.abs().max()
            p = (p.abs() - low) / ((high - low) or 1) * p.sign()
            cam += enlarge(p.sum(0)[None, None], size)[0, 0]
        maps.append(cam)
    return torch.stack(maps)


def channels_first(terms, size, h):
    return torch.cat([enlarge(rescale(h(t)).sum(1, keepdim=True), size) for t in terms], dim=1).sum(1)


def handle_in_place(terms, size, h):
    for n, t in enumerate(terms):
        terms[n].copy_(h(t))
    return fullgrad(terms, size, lambda t: t)


RIGHT = {"loop": fullgrad, "photo by photo, double": photo_by_photo, "channels first": channels_first}
WRONG = {
    "not rescaled": (lambda t, s, h: fullgrad(t, s, h, psi=lambda v: v), "not-rescaled"),
    "each channel": (lambda t, s, h: fullgrad(t, s, h, psi=lambda v: rescale(v, (2, 3))), "per-channel"),
    "whole batch": (lambda t, s, h: fullgrad(t, s, h, psi=lambda v: rescale(v, (0, 1, 2, 3))), "batch-mixed"),
    "min-max of signed values": (lambda t, s, h: fullgrad(t, s, h, psi=lambda v: (
        (v - v.amin((1, 2, 3), True)) / (v - v.amin((1, 2, 3), True)).amax((1, 2, 3), True))), "zero-moved"),
    "signs lost": (lambda t, s, h: fullgrad(t, s, h, after=torch.abs), "sign-lost"),
    "rescaled, then handled": (lambda t, s, h: fullgrad(t, s, lambda v: v, after=h), "handled-too-late"),
    "handled at the end": (lambda t, s, h: h(fullgrad(t, s, lambda v: v)), "handled-result"),
    "not handled": (lambda t, s, h: fullgrad(t, s, lambda v: v), "handling-forgotten"),
    "always absolute": (lambda t, s, h: fullgrad(t, s, torch.abs), "handling-hard-coded"),
    "summed first": (lambda t, s, h: fullgrad(t, s, h, first=lambda v: v.sum(1, keepdim=True)), "summed-too-early"),
    "align_corners": (lambda t, s, h: fullgrad(t, s, h, align_corners=False), "align-corners"),
    "resized first": (lambda t, s, h: fullgrad(t, s, h, first=lambda v: enlarge(v, s)), "resized-too-early"),
    "no input": (lambda t, s, h: fullgrad(t[1:], s, h), "input-missing"),
    "input only": (lambda t, s, h: fullgrad(t[:1], s, h), "bias-missing"),
    "averaged": (lambda t, s, h: fullgrad(t, s, h) / 3, "layers-averaged"),
    "divided by the largest": (lambda t, s, h: fullgrad(
        t, s, h, psi=lambda v: v / v.abs().flatten(1).max(1).values.view(-1, 1, 1, 1)), "minimum-kept"),
    "in place": (handle_in_place, "input-changed"),
    "different sizes added": (lambda t, s, h: sum(rescale(h(v)).sum(1) for v in t), "shapes"),
    "normalized": (lambda t, s, h: fullgrad(t, s, h) / fullgrad(t, s, h).abs().max(), "normalized"),
}  # fmt: skip
