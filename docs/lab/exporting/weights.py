"""The file with the network's weights, shared by all graphs, and what replaces parts of it where layers are random."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import onnx
import torch
from torch import Tensor, nn

from posgrad_edu.metrics.randomization import randomizable_layers, randomized_steps, steps

FILE = "weights.bin"


class Range(NamedTuple):
    """Where one tensor lies in a file, in bytes."""

    name: str
    offset: int
    length: int


def tensors(net: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that a network computes with, by name, in the file's order: float32, not counters."""
    return {name: t.detach() for name, t in net.state_dict().items() if t.is_floating_point()}


def ranges(net: nn.Module) -> dict[str, Range]:
    """Return where each tensor lies in the weight file."""
    found, offset = {}, 0
    for name, tensor in tensors(net).items():
        found[name] = Range(name, offset, 4 * tensor.numel())
        offset += 4 * tensor.numel()
    return found


def as_bytes(some: Iterable[Tensor]) -> bytes:
    """Return tensors one after the other, little-endian float32, as browsers on all machines of today read them."""
    return b"".join(tensor.numpy().astype("<f4").tobytes() for tensor in some)


def place(model: onnx.ModelProto, where: dict[str, Range]) -> None:
    """Tell a model's initializers that have no data where in the weight file they lie."""
    for initializer in model.graph.initializer:
        if initializer.data_location == onnx.TensorProto.EXTERNAL:
            _, offset, length = where[initializer.name]
            for key, value in {"location": FILE, "offset": offset, "length": length}.items():
                initializer.external_data.add(key=key, value=str(value))


class RandomStep(NamedTuple):
    """A step of the slider: how many layers are random, which are new, and what takes their place."""

    depth: int
    layers: list[str]
    replaced: list[Range]
    data: bytes


def random_steps(net: nn.Module, x: Tensor, seed: int, stages: Iterable[str]) -> Iterator[RandomStep]:
    """Yield the cascade of ``metrics.randomization`` from the output down, a step for each block.

    x: a photo (1, 3, H, W). stages: the last ones that become random, as "blocks.5". What a step replaces stays
    replaced in those after it.
    """
    layers, where = randomizable_layers(net, x), ranges(net)
    trained, done = tensors(net), 0
    depths = _ends_of_blocks(layers, tuple(f"{stage}." for stage in stages))
    for step, other in randomized_steps(net, steps(layers, depths=depths), seed):
        changed, new = tensors(other), layers[done : step.depth]
        names = [n for n in trained if n.rpartition(".")[0] in new and not torch.equal(trained[n], changed[n])]
        yield RandomStep(step.depth, new, [where[n] for n in names], as_bytes(changed[n] for n in names))
        done = step.depth


def _ends_of_blocks(layers: list[str], stages: tuple[str, ...]) -> list[int]:
    """Return the depths at which a block, or a layer outside of blocks, is random as a whole."""
    blocks = [".".join(name.split(".")[:3]) for name in layers]
    wanted = [n for n, name in enumerate(layers) if name.startswith(stages) or not name.startswith("blocks.")]
    ends = [n + 1 for n in range(len(layers) - 1) if blocks[n] != blocks[n + 1]]
    first_kept = next(n for n in range(len(layers)) if n not in wanted)
    return [end for end in ends if end <= first_kept]


def patched(weights: bytes, steps: Iterable[RandomStep]) -> bytes:
    """Return the weight file after these steps, as the page makes it."""
    changed = bytearray(weights)
    for step in steps:
        at = 0
        for _, offset, length in step.replaced:
            changed[offset : offset + length] = step.data[at : at + length]
            at += length
    return bytes(changed)


def summary(step: RandomStep, file: str) -> dict[str, Any]:
    """Return what the manifest says of a step: ranges in the weight file, whose new bytes lie in ``file`` in order."""
    replaced = [{"name": name, "offset": offset, "length": length} for name, offset, length in step.replaced]
    return {"depth": step.depth, "layers": step.layers, "file": file, "replaced": replaced}
