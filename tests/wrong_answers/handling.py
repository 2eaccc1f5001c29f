"""positive(information)"""

import numpy as np
import torch
import torch.nn.functional as F


def by_loop(t):
    out = torch.empty(t.numel())
    for n, value in enumerate(t.flatten().tolist()):
        out[n] = value if value > 0 else 0
    return out.reshape(t.shape)


def in_place(t):
    t[t < 0] = 0
    return t


def in_place_clamp(t):
    return t.clamp_(min=0)


RIGHT = {
    "relu": F.relu,
    "where": lambda t: torch.where(t > 0, t, 0),
    "loop": by_loop,
    "half of sum and magnitude": lambda t: (t + t.abs()) / 2,
    "in double precision": lambda t: t.double().clamp(min=0),
    "via numpy": lambda t: torch.from_numpy(np.maximum(t.numpy(), 0)),
    "in place on a copy": lambda t: t.clone().clamp_(min=0),
}
WRONG = {
    "nothing": (lambda t: t * 1.0, "did-nothing"),
    "the other half": (lambda t: torch.where(t < 0, t, torch.zeros(())), "other-half"),
    "minimum": (lambda t: torch.minimum(t, torch.tensor(0.0)), "other-half"),
    "absolute": (lambda t: (t * t).sqrt(), "absolute"),
    "turned": (lambda t: F.relu(-t), "sign-turned"),
    "mask": (lambda t: torch.where(t > 0, 1.0, 0.0), "mask"),
    "boolean": (lambda t: t > 0, "wrong-dtype"),
    "selection": (lambda t: t[t > 0], "dropped"),
    "hardtanh": (lambda t: F.hardtanh(t, 0, 1), "squashed"),
    "leaky": (lambda t: F.leaky_relu(t), "leaky"),
    "in place": (in_place, "input-changed"),
    "in-place clamp": (in_place_clamp, "input-changed"),
    "squared": (lambda t: t * F.relu(t), "squared"),
}
