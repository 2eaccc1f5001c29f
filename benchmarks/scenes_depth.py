"""Does depth make positive propagation collapse? Eight networks on the scenes, and how their maps answer.

    OMP_NUM_THREADS=1 python benchmarks/scenes_depth.py           # about half an hour on one core

Trains 4, 6, 8 and 12 convolutions with an average and with a max head, each for the same number of steps on the same
scenes, asks each for maps of test scenes that it gets wholly right, and writes the tables into docs/scenes.md,
between the two lines that say so.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Annotated

import pandas as pd
import torch
import torch.nn.functional as F
import typer
from document import write_section
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.metrics import compare, energy_in_box, pointing_game
from posgrad_edu.scenes import CLASSES, HEADS, STAGES, Scene, make_scenes, scene_tensors, scenes_net
from posgrad_edu.scenes.training import HELD_OUT, accuracy, fold, labelled_scenes, train
from posgrad_edu.study.formatting import markdown_table

METHODS = ("gradient", "gradcam", "guided-backprop", "lrp")
CONTROL = "input-magnitude"
HANDLINGS = ("signed", "positive")
MEASURES = ("rank, both there", "rank, one absent", "cosine, both there", "asked box", "other box", "hit")


def variant(depth: int, head: str, x: Tensor, y: Tensor, steps: int) -> nn.Sequential:
    """Return a trained network of that depth and head."""
    torch.manual_seed(0)
    net = scenes_net(depth, head, batch_norm=True)
    train(net, x, y, steps, progress=True)
    return fold(net)


def answered(net: nn.Module, scenes: Sequence[Scene], n: int) -> list[Scene]:
    """Return the first ``n`` scenes that the network gets wholly right: of others it may have nothing to show."""
    x, y = scene_tensors(scenes)
    with torch.no_grad():
        right = ((net(x) > 0) == (y > 0)).all(1)
    return [scene for scene, fine in zip(scenes, right.tolist(), strict=True) if fine][:n]


def measure(net: nn.Module, scenes: Sequence[Scene], method: str, handling: str) -> Iterator[list[float]]:
    """Yield for each scene its ``MEASURES``: how alike its maps are, and where the first digit's map lies."""
    for scene in scenes:
        x, _ = scene_tensors([scene])
        asked, other, absent = pg.explain(net, x, [[*scene.digits[:2], absent_class(scene)]], method, handling)[0]
        yield [
            compare(asked, other).spearman,
            compare(asked, absent).spearman,
            F.cosine_similarity(asked.flatten(), other.flatten(), dim=0).item(),
            energy_in_box(asked, scene.boxes[0]),
            energy_in_box(asked, scene.boxes[1]),
            pointing_game(asked, scene.boxes[0]),
        ]


def absent_class(scene: Scene) -> int:
    """Return a class that isn't in the scene, not always the same."""
    missing = [digit for digit in range(CLASSES) if digit not in scene.digits]
    return missing[scene.seed % len(missing)]


# --- Tables ---


def method_table(results: pd.DataFrame) -> str:
    """Return one method's means, "signed → positive", a row a network."""
    rows = []
    for (head, depth), network in results.groupby(["head", "depth"], sort=False):
        means = [network[network.handling == handling][list(MEASURES)].mean() for handling in HANDLINGS]
        rows.append([head, str(depth), *(f"{a:.2f} → {b:.2f}".replace("-", "−") for a, b in zip(*means, strict=True))])
    return markdown_table(["head", "depth", *MEASURES], rows)


def section(networks: Sequence[Sequence[str]], results: pd.DataFrame, steps: int) -> str:
    """Return what the document shows between its marks."""
    parts = [
        f"Each network was trained for {steps} steps, and asked about held-out scenes that it gets wholly right.",
        markdown_table(["head", "depth", "parameters", "bits right", "scenes right", "asked about"], networks),
    ]
    for method in METHODS:
        parts += [f"`{method}`, signed → positive:", method_table(results[results.method == method])]
    control = results[results.method == CONTROL][list(MEASURES)].mean()
    parts += [
        f"`{CONTROL}`, a map that knows no class:",
        markdown_table(MEASURES, [[f"{value:.2f}" for value in control]]),
    ]
    missing = int(results[list(MEASURES)].isna().any(axis=1).sum())
    parts.append(f"Of {len(results):,} comparisons, {missing:,} have an undefined value, which counts in no mean.")
    return "\n\n".join(parts)


def main(
    steps: Annotated[int, typer.Option(help="Batches that each network is trained on.")] = 800,
    n: Annotated[int, typer.Option("--scenes", help="Held-out scenes that maps are made of, at most.")] = 100,
    training: Annotated[int, typer.Option(help="Training scenes.")] = 12_000,
    write: Annotated[bool, typer.Option("--write/--print-only", help="Write into docs/scenes.md.")] = True,
) -> None:
    """Train, measure, print, and write the tables into docs/scenes.md."""
    x, y = labelled_scenes(range(training), "train", progress=True)
    held_out = make_scenes(len(HELD_OUT), HELD_OUT[0])
    networks: list[list[str]] = []
    results: list[list[object]] = []
    for head, depth in itertools.product(HEADS, STAGES):
        net = variant(depth, head, x, y, steps)
        right = accuracy(net, *scene_tensors(held_out))
        size = sum(p.numel() for p in net.parameters())
        scenes = answered(net, held_out, n)
        share = f"{right.bits:.2%}", f"{right.scenes:.1%}"
        networks.append([head, str(depth), f"{size:,}", *share, str(len(scenes))])
        print(networks[-1], flush=True)
        for method, handling in [*itertools.product(METHODS, HANDLINGS), (CONTROL, "signed")]:
            values = list(measure(net, scenes, method, handling))
            results += [[head, depth, method, handling, *row] for row in values]
            print(method, handling, pd.DataFrame(values, columns=MEASURES).mean().round(2).tolist(), flush=True)
    columns = ["head", "depth", "method", "handling", *MEASURES]
    text = section(networks, pd.DataFrame(results, columns=columns), steps)
    print(text)
    if write:
        write_section("scenes.md", "scenes_depth.py", text)


if __name__ == "__main__":
    typer.run(main)
