"""Let a network forget: copies of it whose last layers hold random weights.

A map that explains a network has to change when the network forgets what it learned. So the layers with weights
(convolutions and linear layers) are re-initialised one after the other, from the output downwards: a *cascade*.

    layers = randomizable_layers(net, x)              # layers[0] is nearest the output
    forgetful = randomized(net, 3, layers=layers)     # a copy; layers[:3] are random

Each random tensor is drawn from a normal distribution that is cut off at two standard deviations, and has the mean
and the standard deviation of the trained tensor whose place it takes: what is lost is what was learned, not the
scale. Biases are drawn likewise, from their own mean and deviation. BatchNorm keeps its statistics and its affine
parameters. Each layer and each seed has a random stream of its own. Two layers of one shape must not get the same
numbers, and a layer gets the same numbers whether it's the last or the tenth to be randomised.

Reference: Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018. arXiv:1810.03292, sec. 3.1.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from posgrad_edu.errors import unknown_name
from posgrad_edu.methods.layers import watch

CUT = 2.0  # standard deviations at which the normal distribution is cut off
SPREAD = 0.8796257  # the standard deviation of a standard normal distribution cut off there


def randomizable_layers(net: nn.Module, x: Tensor) -> list[str]:
    """Return the names of the convolutions and linear layers that a forward pass of x runs, from the output down.

    A layer that is used several times counts where it's used last.
    """
    names = {module: name for name, module in net.named_modules() if _has_weights(module)}
    seen: dict[str, None] = {}

    def note(module: nn.Module, output: object) -> None:
        seen.pop(names[module], None)
        seen[names[module]] = None

    with watch(names, note), torch.no_grad():
        net(x[:1])
    return list(reversed(seen))


def randomized(net: nn.Module, depth: int, seed: int = 0, *, layers: Sequence[str] | None = None) -> nn.Module:
    """Return a copy of the network whose ``depth`` layers nearest the output are random; ``net`` isn't changed.

    depth: 0 for a copy that still knows everything, ``len(layers)`` for one that knows nothing.
    seed: another seed gives other, unrelated weights; the same seed always the same ones.
    layers: the names to count, from the output down, as ``randomizable_layers(net, x)`` finds them. ``None`` takes
        the order in which the network defines its layers, which need not be the order in which it runs them.
    Raises ``ValueError`` for a depth below 0 or above the number of layers, and for names without weights.
    """
    modules = {name: module for name, module in net.named_modules() if _has_weights(module)}
    order = list(reversed(modules)) if layers is None else list(layers)
    for name in order:
        if name not in modules:
            raise unknown_name("layer with weights", name, modules)
    if not 0 <= depth <= len(order):
        raise ValueError(f"depth is a number of layers from 0 to {len(order)}, not {depth}.")
    forgetful = copy.deepcopy(net)
    for index, name in enumerate(order[:depth]):
        generator = _stream(seed, index)
        layer = forgetful.get_submodule(name)
        for parameter in (layer.weight, layer.bias):
            if isinstance(parameter, Tensor):
                _redraw(parameter, generator)
    return forgetful


def _has_weights(module: nn.Module) -> bool:
    return isinstance(module, (_ConvNd, nn.Linear))


def _stream(seed: int, layer: int) -> torch.Generator:
    """Return the random stream of one layer and seed. Seeds such as seed + layer would give two layers the same."""
    mixed = np.random.SeedSequence([seed, layer]).generate_state(1)[0]
    return torch.Generator().manual_seed(int(mixed))


@torch.no_grad()
def _redraw(parameter: Tensor, generator: torch.Generator) -> None:
    """Replace the values by random ones of the same mean and standard deviation."""
    deviation, mean = torch.std_mean(parameter, correction=0)
    standard = nn.init.trunc_normal_(torch.empty(parameter.shape), 0.0, 1.0, -CUT, CUT, generator=generator)
    parameter.copy_(mean + deviation * (standard / SPREAD).to(parameter))
