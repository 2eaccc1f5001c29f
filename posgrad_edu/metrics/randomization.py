"""Copies of a network in which some layers hold random weights.

A map that explains a network has to change when the network loses what it learned. So the layers with weights
(convolutions, linear and recurrent layers, attention with its projections) are re-initialized, in one of three orders:

    cascading             from the output downwards: step d has the d layers nearest the output random
    cascading-from-input  from the input upwards
    independent           one layer at a time; all others keep what they learned

    layers = randomizable_layers(net, x)              # layers[0] is nearest the output
    changed = randomized(net, 3, layers=layers)       # a copy; layers[:3] are random
    for step, changed in randomized_steps(net, steps(layers, "independent")):
        ...                                           # the three orders, step by step

Each random tensor is drawn from a normal distribution that is cut off at two standard deviations, and has the mean
and the standard deviation of the trained tensor whose place it takes: what is lost is what was learned, not the
scale. Biases are drawn likewise, from their own mean and deviation. A weight whose values are all the same has no
deviation and gets the one that torch gives new layers. Each layer and each seed has a random stream of
its own, which depends on the layer's name. Two layers of one shape must not get the same numbers, and a layer gets
the same numbers in whatever order and company it is randomized.

What a layer computes changes, however its weight is stored: of a parametrized layer (weight norm, spectral norm, ...)
or a pruned one, the copy has the weight alone, and all of its values are drawn anew, also those that were pruned.

BatchNorm keeps its statistics and its affine parameters, as other norms, embeddings and class tokens do: where all
layers are random, ``still_trained`` names what isn't. With ``batchnorm="reset"`` each BatchNorm is a layer of its
own in the order, and is reset: mean 0, variance 1, weight 1, bias 0, as when it was made.

Reference: Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018. arXiv:1810.03292, sec. 3.1.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from posgrad_edu.engine.layers import watch
from posgrad_edu.engine.passes import run_without_graph
from posgrad_edu.errors import unknown_name
from posgrad_edu.metrics.copies import copied, plain_weights

Mode = Literal["cascading", "cascading-from-input", "independent"]
BatchNormMode = Literal["keep", "reset"]
MODES: tuple[Mode, ...] = get_args(Mode)
BATCHNORM: tuple[BatchNormMode, ...] = get_args(BatchNormMode)
# Layers with weights. What is inside one, such as attention's last projection, belongs to it.
WITH_WEIGHTS = (_ConvNd, nn.Linear, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)
CUT = 2.0  # standard deviations at which the normal distribution is cut off
CUT_DEVIATION = 0.8796257  # the standard deviation of a standard normal distribution cut off there


# --- Which layers, in which order ---


def randomizable_layers(net: nn.Module, x: Tensor, *, batchnorm: BatchNormMode | str = "keep") -> list[str]:
    """Return the names of the layers with weights that a forward pass of x runs, from the output down.

    A layer that is used several times counts where it's used last. batchnorm: "reset" counts BatchNorms as well.
    """
    if batchnorm not in BATCHNORM:
        raise unknown_name("way to treat BatchNorm", batchnorm, BATCHNORM)
    layers = _with_weights(net) if batchnorm == "keep" else _with_weights(net, _BatchNorm)
    names = {module: name for name, module in layers.items()}
    seen: dict[str, None] = {}

    def note(module: nn.Module, output: object) -> None:
        seen.pop(names[module], None)
        seen[names[module]] = None

    with watch(names, note):
        run_without_graph(net, x[:1])
    return list(reversed(seen))


def still_trained(net: nn.Module, layers: Iterable[str]) -> list[str]:
    """Return the names of what keeps its trained values where all of these layers are random, in the network's order.

    Those are parameters of other kinds of layers (norms, embeddings, class tokens, ...) and of layers that don't run,
    the statistics of BatchNorms that are kept, and biases of one value, whose random one would be the same.
    """
    random: set[int] = set()
    for name in layers:
        layer = net.get_submodule(name)
        random |= {id(t) for t in _tensors(layer) if isinstance(layer, _BatchNorm) or not _has_one_value(t)}
    statistics = [(name, t) for name, t in net.named_buffers() if name.endswith(("running_mean", "running_var"))]
    return [name for name, t in (*net.named_parameters(), *statistics) if id(t) not in random]


def _has_one_value(tensor: Tensor) -> bool:
    """Tell whether it's a vector of one value, which isn't 0, as a bias that was never trained is."""
    return tensor.ndim < 2 and bool((tensor == tensor.flatten()[:1]).all()) and bool(tensor.any())


class Step(NamedTuple):
    """One step of a randomization test."""

    depth: int  # of the layers counted from where the order begins, the number or, for independent, the place
    layer: str  # the layer that became random in this step
    random: tuple[str, ...]  # all that are random now


def steps(
    layers: Sequence[str], mode: Mode | str = "cascading", depths: int | Iterable[int] | None = None
) -> list[Step]:
    """Return the steps of a randomization test over layers that are named from the output down.

    mode: one of ``MODES``. depths: which steps; an int for that many, evenly spread, the first and the last among
    them; ``None`` for all. Raises ``ValueError`` for a mode or depth that doesn't exist, and where there is no step.
    """
    if mode not in MODES:
        raise unknown_name("mode of randomization", mode, MODES)
    order = list(reversed(layers)) if mode == "cascading-from-input" else list(layers)
    if not order:
        raise ValueError("There is nothing to randomize: the network runs no layer of torch.nn that has weights.")
    if isinstance(depths, int):
        depths = evenly_spaced(len(order), depths)
    chosen = range(1, len(order) + 1) if depths is None else sorted(set(depths))
    wrong = [depth for depth in chosen if not 1 <= depth <= len(order)]
    if wrong:
        raise ValueError(f"depths are numbers of layers from 1 to {len(order)}, not {wrong[0]}.")
    if not chosen:
        raise ValueError("depths holds no number. Give one from 1 on, or None for all.")
    alone = mode == "independent"
    return [Step(d, order[d - 1], (order[d - 1],) if alone else tuple(order[:d])) for d in chosen]


def evenly_spaced(layers: int, count: int) -> list[int]:
    """Return about ``count`` depths from 1 (the classifier alone) to all layers, evenly spaced."""
    if count < 2:
        raise ValueError(f"Ask for 2 depths or more, not {count}: the first layer alone, and all of them.")
    return sorted({1, *(round(layers * i / (count - 1)) or 1 for i in range(1, count))})


# --- Random weights ---


def randomized(net: nn.Module, depth: int, seed: int = 0, *, layers: Sequence[str] | None = None) -> nn.Module:
    """Return a copy of the network whose ``depth`` layers nearest the output are random; ``net`` isn't changed.

    depth: 0 for a copy that has kept all weights, ``len(layers)`` for one without any that was trained.
    seed: another seed gives other, unrelated weights; the same seed always the same ones.
    layers: the names to count, from the output down, as ``randomizable_layers(net, x)`` finds them. ``None`` takes
        the order in which the network defines its layers, which need not be the order in which it runs them.
    Raises ``ValueError`` for a depth below 0 or above the number of layers, and for names without weights.
    """
    order = list(reversed([*_with_weights(net)])) if layers is None else list(layers)
    _check_names(net, order)
    if not 0 <= depth <= len(order):
        raise ValueError(f"depth is a number of layers from 0 to {len(order)}, not {depth}.")
    return with_random(net, order[:depth], seed)


def with_random(net: nn.Module, names: Iterable[str], seed: int = 0) -> nn.Module:
    """Return a copy of the network in which the layers of these names are random; ``net`` isn't changed.

    A BatchNorm that is named is reset. Raises ``ValueError`` for a name without weights, and for a network that can't
    be copied.
    """
    names = list(names)
    _check_names(net, names)
    changed = copied(net)
    for name in names:
        _randomize(changed.get_submodule(name), name, seed)
    return changed


def randomized_steps(net: nn.Module, steps: Iterable[Step], seed: int = 0) -> Iterator[tuple[Step, nn.Module]]:
    """Yield each step with its network, the same as ``with_random(net, step.random, seed)`` at a fraction of the cost.

    One copy serves all steps: use the network of a step before you ask for the next. ``net`` isn't changed.
    """
    changed = copied(net)
    random: set[str] = set()
    for step in steps:
        _check_names(net, step.random)
        now = set(step.random)
        for name in random - now:
            _restore(changed.get_submodule(name), net.get_submodule(name))
        for name in now - random:
            _randomize(changed.get_submodule(name), name, seed)
        random = now
        yield step, changed


def _randomize(layer: nn.Module, name: str, seed: int) -> None:
    """Make a layer's weights random, or reset a BatchNorm, in place."""
    if isinstance(layer, _BatchNorm):
        layer.reset_parameters()
        return
    plain_weights(layer)
    generator = _stream(seed, name)
    for tensor in _weights(layer):
        _redraw(tensor, generator)


@torch.no_grad()
def _restore(layer: nn.Module, trained: nn.Module) -> None:
    """Give a layer of a copy what it had learned back."""
    trained = copied(trained)
    plain_weights(trained)
    for ours, theirs in zip(_tensors(layer), _tensors(trained), strict=True):
        ours.copy_(theirs)


def _tensors(layer: nn.Module) -> list[Tensor]:
    return [*layer.parameters(), *layer.buffers()]


def _weights(layer: nn.Module) -> list[Tensor]:
    """Return the tensors that a layer computes with: its weight and bias first, whether trained or not, then others."""
    own = [getattr(layer, name, None) for name in ("weight", "bias")]
    first = [t for t in own if isinstance(t, Tensor) and t.is_leaf]  # a property's result would change nothing
    found = {id(t): t for t in (*first, *layer.parameters())}
    return [t for t in found.values() if t.is_floating_point() or t.is_complex()]


def _check_names(net: nn.Module, names: Iterable[str]) -> None:
    known = _with_weights(net, _BatchNorm)
    for name in names:
        if name not in known:
            raise unknown_name("layer with weights", name, known)


def _with_weights(net: nn.Module, *others: type[nn.Module]) -> dict[str, nn.Module]:
    """Return the layers with weights by name; what is inside one isn't a layer of its own."""
    kinds: tuple[type[nn.Module], ...] = (*WITH_WEIGHTS, *others)
    found = {name: module for name, module in net.named_modules() if isinstance(module, kinds)}
    inside = {part for module in found.values() for part in module.modules() if part is not module}
    return {name: module for name, module in found.items() if module not in inside}


def _stream(seed: int, layer: str) -> torch.Generator:
    """Return the random stream of one layer and seed. Seeds such as seed + layer would give two layers the same."""
    mixed = np.random.SeedSequence([seed, zlib.crc32(layer.encode())]).generate_state(1)[0]
    return torch.Generator().manual_seed(int(mixed))


@torch.no_grad()
def _redraw(parameter: Tensor, generator: torch.Generator) -> None:
    """Replace the values by random ones of the same mean and standard deviation; the same ones on each device."""
    trained = parameter.detach().cpu()
    deviation, mean = torch.std_mean(trained, correction=0)
    if deviation == 0 and trained.ndim > 1:  # such as a head that begins with zeros: drawn as torch does for new layers
        deviation = deviation.new_tensor(3 * trained[0].numel()).rsqrt()
    empty = torch.empty(parameter.shape, dtype=torch.float32, device="cpu")  # whatever the defaults are
    standard = nn.init.trunc_normal_(empty, 0.0, 1.0, -CUT, CUT, generator=generator)
    parameter.copy_(mean + deviation * (standard / CUT_DEVIATION).to(trained))
