"""Does depth make positive propagation collapse? Eight networks on the scenes, and how their maps answer.

    OMP_NUM_THREADS=2 python benchmarks/scenes_depth.py           # about twenty minutes on two cores

Trains 4, 6, 8 and 12 convolutions with an average and with a max head, each for the same number of steps on the same
scenes, asks each for maps of test scenes that it gets wholly right, and writes the tables into docs/scenes.md,
between the two lines that say so.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import typer
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.localization import energy_in_box
from posgrad_edu.scenes import CLASSES, HEADS, STAGES, Scene, make_scenes, scene_tensors, scenes_net
from posgrad_edu.scenes_training import HELD_OUT, accuracy, fold, labelled_scenes, train
from posgrad_edu.similarity import spearman

DOC = Path(__file__).resolve().parents[1] / "docs" / "scenes.md"
BEGIN, END = "<!-- begin: benchmarks/scenes_depth.py -->", "<!-- end: benchmarks/scenes_depth.py -->"
METHODS = ("gradcam", "guided-backprop", "lrp")
HANDLINGS = ("signed", "positive")
COLUMNS = ("two present", "one absent", "asked box", "other box")


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


def measure(net: nn.Module, scenes: Sequence[Scene], method: str, handling: str) -> pd.DataFrame:
    """Return a row a scene: how alike its maps are, and where the first digit's map has its positive part."""
    x, _ = scene_tensors(scenes)
    targets = torch.tensor([[*scene.digits[:2], absent(scene)] for scene in scenes])
    maps = pg.explain(net, x, targets, method, handling)
    rows = []
    for scene, (first, second, third) in zip(scenes, maps, strict=True):
        alike = spearman(first.numpy(), second.numpy()), spearman(first.numpy(), third.numpy())
        energy = energy_in_box(first, scene.boxes[0]), energy_in_box(first, scene.boxes[1])
        rows.append([*alike, *energy])
    return pd.DataFrame(rows, columns=COLUMNS)


def absent(scene: Scene) -> int:
    """Return a class that isn't in the scene, not always the same."""
    missing = [digit for digit in range(CLASSES) if digit not in scene.digits]
    return missing[scene.seed % len(missing)]


# --- Tables ---


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(values: pd.Series) -> list[str]:
    """Write means with two digits; a map without a positive value or without an order counts in neither."""
    return [f"{value:.2f}".replace("-", "−") for value in values]


def tables(networks: Sequence[Sequence[str]], means: Mapping[str, Sequence[Sequence[str]]], n: int, steps: int) -> str:
    """Return the section for the document."""
    header = ["head", "depth", *(f"{column}, {handling}" for handling in HANDLINGS for column in COLUMNS)]
    parts = [
        f"Each network was trained for {steps} steps. Means over {n} test scenes that the network gets wholly right.",
        markdown(["head", "depth", "parameters", "seconds", "held-out bits", "held-out scenes"], networks),
    ]
    for method, rows in means.items():
        parts += [f"**{method}**", markdown(header, rows)]
    return "\n\n".join(parts)


def write_section(text: str) -> None:
    """Put the text between the document's two marks."""
    before = DOC.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(before):
        raise ValueError(f"{DOC.name} needs the lines {BEGIN} and {END}, for the tables to stand between.")
    DOC.write_text(pattern.sub(lambda _: f"{BEGIN}\n\n{text}\n\n{END}", before), encoding="utf-8")


def main(
    steps: Annotated[int, typer.Option(help="Batches that each network is trained on.")] = 500,
    n: Annotated[int, typer.Option("--scenes", help="Test scenes that maps are made of.")] = 100,
    training: Annotated[int, typer.Option(help="Training scenes.")] = 12_000,
    write: Annotated[bool, typer.Option("--write/--print-only", help="Write into docs/scenes.md.")] = True,
) -> None:
    """Train, measure, print, and write the tables into docs/scenes.md."""
    x, y = labelled_scenes(range(training), "train", progress=True)
    held_out = make_scenes(len(HELD_OUT), HELD_OUT[0])
    networks: list[list[str]] = []
    means: dict[str, list[list[str]]] = {method: [] for method in METHODS}
    for head, depth in itertools.product(HEADS, STAGES):
        start = time.perf_counter()
        net = variant(depth, head, x, y, steps)
        seconds = time.perf_counter() - start
        right = accuracy(net, *scene_tensors(held_out))
        size = sum(p.numel() for p in net.parameters())
        networks.append([head, str(depth), f"{size:,}", f"{seconds:.0f}", f"{right.bits:.2%}", f"{right.scenes:.1%}"])
        scenes = answered(net, held_out, n)
        for method in METHODS:
            frames = [measure(net, scenes, method, handling).mean() for handling in HANDLINGS]
            means[method].append([head, str(depth), *(text for mean in frames for text in written(mean))])
        print(networks[-1], *(f"{method} {means[method][-1][2:]}" for method in METHODS), sep="\n", flush=True)
    section = tables(networks, means, n, steps)
    print(section)
    if write:
        write_section(section)


if __name__ == "__main__":
    typer.run(main)
