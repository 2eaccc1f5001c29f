"""Train the networks of the scenes: one on the true labels, one on permuted ones, and a vision transformer.

    python -m posgrad_edu.scenes train                       # about two minutes on two cores
    python -m posgrad_edu.scenes train --permuted-labels     # about three
    python -m posgrad_edu.scenes train --transformer         # about half an hour

Permuted labels (Adebayo et al. 2018, "data randomization"): the classes of the *digits* are shuffled, once and for
good. This handwritten 3 is now called an 8, that one a 0. The pictures are the same, and so is how often each class
is dealt out; only the bond between a shape and its name is cut. All that a network can do is learn each digit by heart,
which takes longer, so it gets 200 of them. It still looks at digits, each at its place, but knows nothing about threes.
A map that shows what a network has learnt must change.

The seed decides everything that is random, so the same command makes the same file, byte for byte, on one computer with
one number of threads. Elsewhere sums are taken in another order, training lets the difference grow, and the network is
another one, as good. ``docs/scenes.md`` says which of the files in ``weights/`` came out again.

BatchNorm makes a deep plain network easy to train, and LRP hard to write down. In evaluation mode it is one factor and
one summand a channel, so ``fold`` works it into the convolution before it: same answers, and what is left is a chain of
convolutions, ReLUs, pooling and one linear layer.

A transformer isn't told that a digit is the same wherever it stands, so it has to see more: each picture is rolled by
up to six pixels, another way each time. For some hundred steps its loss hardly moves, then it falls.

References:
    Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018. arXiv:1810.03292, sec. 3.2.
    Ioffe, Szegedy. Batch Normalization. ICML 2015. arXiv:1502.03167, sec. 3.1 (a linear map after training).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from posgrad_edu.progress import bar
from posgrad_edu.scenes.network import SCENES_WEIGHTS, TRANSFORMER_WEIGHTS, scenes_net
from posgrad_edu.scenes.pictures import Split, load_digits, scene_and_rows, scene_tensors
from posgrad_edu.scenes.transformer import ScenesTransformer

TRAINING_SCENES = 12_000  # those of the seeds 0 to 11,999
HELD_OUT = range(1_000_000, 1_001_000)  # the seeds of the scenes that accuracy is measured on: in no training


class Recipe(NamedTuple):
    """How a network is trained: batches, pictures in each, the largest learning rate, its decay, and the roll.

    decay: of weights, apart from the gradient (Loshchilov and Hutter 2019). roll: pixels, at most, that each picture is
    moved by along each axis, what leaves at one side coming in at the other.
    """

    steps: int
    batch: int = 32
    rate: float = 4e-3
    decay: float = 0.0
    roll: int = 0


CHAIN, PERMUTED = Recipe(1600), Recipe(2400)  # the second for permuted labels
TRANSFORMER = Recipe(3000, batch=64, rate=1.5e-3, decay=0.05, roll=6)


class Accuracy(NamedTuple):
    """How much a network gets right: the share of its yes-or-no answers, and of scenes without a wrong one."""

    bits: float
    scenes: float


# --- Data ---


def permuted_classes(seed: int = 0) -> NDArray[np.int64]:
    """Return a class for each row of scikit-learn's digits: shuffled among the memorized ones, -1 for all others."""
    pool = load_digits("memorized")
    classes = np.full(sum(len(load_digits(split).rows) for split in ("train", "test")), -1)
    classes[pool.rows] = np.random.default_rng(seed).permutation(pool.classes)
    return classes


def labelled_scenes(
    seeds: Iterable[int], split: Split | str = "test", permutation: int | None = None, progress: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the pictures (N, 1, 64, 64) of the scenes of these seeds, and the answers (N, 10) a network should give.

    permutation: the seed of ``permuted_classes`` for answers by those; ``None`` for the true ones.
    Raises ``ValueError`` for permuted answers to another split than "memorized".
    """
    if permutation is not None and split != "memorized":
        raise ValueError(f"Only the memorized digits have permuted classes: give split='memorized', not {split!r}.")
    drawn = [scene_and_rows(seed, split=split) for seed in bar(seeds, "drawing scenes", disable=not progress)]
    pictures, answers = scene_tensors([scene for scene, _ in drawn])
    if permutation is not None:
        names = permuted_classes(permutation)
        answers = torch.zeros_like(answers)
        for answer, (_, rows) in zip(answers, drawn, strict=True):
            answer[names[rows]] = 1
    return pictures, answers


# --- Training ---


def train(net: nn.Module, x: Tensor, y: Tensor, recipe: Recipe, seed: int = 0, progress: bool = False) -> list[float]:
    """Train a network in place on pictures x (N, 1, 64, 64) and answers y (N, 10); return the loss of each step.

    Binary cross-entropy, AdamW, a learning rate that rises and falls once; ``seed`` decides the batches.
    Leaves the network in evaluation mode.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=recipe.rate, total_steps=recipe.steps)
    net.train()
    if x.device.type == "cpu":
        net.to(memory_format=torch.channels_last)  # the same numbers in an order that is faster there
    losses: list[float] = []
    for _ in (steps := bar(range(recipe.steps), "training", disable=not progress)):
        chosen = torch.randint(len(x), (recipe.batch,), generator=generator, device="cpu").to(x.device)
        pictures = rolled(x[chosen], recipe.roll, generator) if recipe.roll else x[chosen]
        loss = F.binary_cross_entropy_with_logits(net(pictures), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        steps.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
    net.eval().to(memory_format=torch.contiguous_format)
    return losses


def rolled(x: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return pictures (N, C, H, W), each moved by up to ``most`` pixels along each axis, around the edges."""
    down, right = torch.randint(-most, most + 1, (2, len(x), 1), generator=generator, device="cpu").to(x.device)
    photos, channels, rows, columns = (torch.arange(size, device=x.device) for size in x.shape)
    rows = (rows - down) % x.shape[2]
    columns = (columns - right) % x.shape[3]
    return x[
        photos[:, None, None, None],
        channels[:, None, None],
        rows[:, None, :, None],
        columns[:, None, None],
    ]


def fold(net: nn.Sequential) -> nn.Sequential:
    """Return a copy of a network in evaluation mode, each BatchNorm worked into the convolution before it."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    layers = dict(net.named_children())
    folded = nn.Sequential()
    for name, layer in layers.items():
        norm = layers.get(name.replace("conv", "norm")) if isinstance(layer, nn.Conv2d) else None
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            folded.add_module(name, fuse_conv_bn_eval(layer, norm))
        elif not isinstance(layer, nn.BatchNorm2d):
            folded.add_module(name, layer)
    return folded.eval()


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> Accuracy:
    """Return how much of the answers y (N, 10) to pictures x (N, 1, 64, 64) a network gets right."""
    with torch.no_grad():
        logits = torch.cat([net(part) for part in x.split(200)])
    right = (logits > 0) == (y > 0)
    return Accuracy(right.float().mean().item(), right.all(1).float().mean().item())


def always_no(y: Tensor) -> float:
    """Return the share of bits that are right if all answers are no: chance, since most classes are absent."""
    return (y == 0).float().mean().item()


# --- The command ---

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


_COMMITTED_STEPS = f"{CHAIN.steps}, {PERMUTED.steps} for permuted labels, {TRANSFORMER.steps} for the transformer"


@app.callback()
def main() -> None:
    """Scenes of handwritten digits and the networks that are trained on them."""


@app.command(name="train")
def train_command(
    permuted_labels: Annotated[bool, typer.Option("--permuted-labels", help="Shuffle the digits' classes.")] = False,
    transformer: Annotated[bool, typer.Option("--transformer", help="Train the vision transformer.")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help=f"Batches; {_COMMITTED_STEPS}.", show_default="")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of first weights, batches and permutation.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The file to write.", show_default="in this folder")] = None,
    scenes: Annotated[int, typer.Option(min=1, help="Training scenes to draw.")] = TRAINING_SCENES,
) -> None:
    """Train a network, write it to a file, and print how well it does and the file's SHA-256."""
    from safetensors.torch import save

    if permuted_labels and transformer:
        raise typer.BadParameter("Permuted labels are for the chain of convolutions.", param_hint="--transformer")
    file = out or Path(
        (TRANSFORMER_WEIGHTS if transformer else SCENES_WEIGHTS)[
            "permuted-labels" if permuted_labels else "pretrained"
        ][0]
    )
    if not file.resolve().parent.is_dir():  # found now, not after minutes of training
        raise typer.BadParameter(f"There is no folder '{file.parent}'. Make it first.", param_hint="--out")
    split, permutation = ("memorized", seed) if permuted_labels else ("train", None)
    recipe = TRANSFORMER if transformer else PERMUTED if permuted_labels else CHAIN
    recipe = recipe._replace(steps=steps or recipe.steps)
    torch.manual_seed(seed)
    net = ScenesTransformer() if transformer else scenes_net(batch_norm=True)
    x, y = labelled_scenes(range(scenes), split, permutation, progress=True)
    train(net, x, y, recipe, seed, progress=True)
    net = fold(net) if isinstance(net, nn.Sequential) else net
    fresh = labelled_scenes(HELD_OUT, "memorized" if permuted_labels else "test", permutation)
    for name, pictures, answers in (("training", x, y), ("held-out", *fresh)):
        right, no = accuracy(net, pictures, answers), always_no(answers)
        typer.echo(f"{name} scenes: {right.bits:.2%} of bits right (always no: {no:.2%}), {right.scenes:.2%} of scenes")
    options = f"{' --permuted-labels' if permuted_labels else ''}{' --transformer' if transformer else ''}"
    options += f" --steps {recipe.steps} --seed {seed}"
    if scenes != TRAINING_SCENES:
        options += f" --scenes {scenes}"
    data = save(net.state_dict(), {"command": f"python -m posgrad_edu.scenes train{options}"})
    file.write_bytes(data)
    typer.echo(f"sha256 {hashlib.sha256(data).hexdigest()}  {file}")
