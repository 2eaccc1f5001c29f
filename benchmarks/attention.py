"""What the switch does to attention: the scenes' vision transformer, asked about digits there and absent.

    OMP_NUM_THREADS=1 python benchmarks/attention.py           # about ten minutes on one core

Writes the tables into docs/attention.md, between the two lines that say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from document import write_section
from torch import nn

import posgrad_edu as pg
from posgrad_edu.methods import AttentionRollout, Gradient, GradientRollout, InputMagnitude, Method
from posgrad_edu.metrics import compare
from posgrad_edu.scenes import CLASSES, Scene, make_scenes, scene_tensors
from posgrad_edu.scenes.training import HELD_OUT, accuracy, always_no
from posgrad_edu.study.formatting import markdown_table

ROWS: dict[str, Method] = {
    **{f"`gradient-rollout`, {h}": GradientRollout(h) for h in ("signed", "positive", "absolute", "negative")},
    "`attention-rollout`": AttentionRollout(),
    "`gradient`, signed": Gradient("signed"),
    "`input-magnitude` (control)": InputMagnitude(),
}
DRAWS = 2000  # of scenes, for intervals


def answered(net: nn.Module, scenes: Sequence[Scene], n: int) -> list[Scene]:
    """Return the first ``n`` scenes that the network gets wholly right: of others it may have nothing to show."""
    x, y = scene_tensors(scenes)
    with torch.no_grad():
        right = ((net(x) > 0) == (y > 0)).all(1)
    return [scene for scene, fine in zip(scenes, right.tolist(), strict=True) if fine][:n]


def absent(scene: Scene) -> int:
    """Return a class that isn't in the scene, not always the same."""
    missing = [digit for digit in range(CLASSES) if digit not in scene.digits]
    return missing[scene.seed % len(missing)]


def interval(values: Sequence[float] | np.ndarray) -> str:
    """Return a mean over scenes with its 95 % bootstrap interval; undefined values are left out."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if not len(known):
        return "undefined"
    draws = np.random.default_rng(0).choice(known, (DRAWS, len(known))).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{known.mean():.2f} ({low:.2f} to {high:.2f})".replace("-", "−")


def class_table(net: nn.Module, scenes: Sequence[Scene]) -> str:
    """Return rank correlations of two digits' maps: both there, also on ink alone; one there and one absent."""
    names = ["both there", "both there, inked pixels", "one absent"]
    found = []
    for scene in scenes:
        x, _ = scene_tensors([scene])
        maps = pg.explain(net, x, [[*scene.digits[:2], absent(scene)]], ROWS)
        for label, (one, two, none) in ((label, each[0]) for label, each in maps.items()):
            ink = x[0, 0] > 0
            on_ink = compare(one[ink].unsqueeze(0), two[ink].unsqueeze(0)).spearman
            found.append([label, compare(one, two).spearman, on_ink, compare(one, none).spearman])
    table = pd.DataFrame(found, columns=["map", *names]).groupby("map", sort=False)
    lines = [[label, *(interval(part[name]) for name in names)] for label, part in table]
    return markdown_table(["map", *names], lines)


def place_table(net: nn.Module, scenes: Sequence[Scene]) -> str:
    x, _ = scene_tensors(scenes)
    boxes, classes = [list(scene.boxes[:2]) for scene in scenes], [list(scene.digits[:2]) for scene in scenes]
    table = pg.localization(net, x, boxes, classes, method=ROWS)
    lines = []
    for label, part in table.groupby("method", sort=False):
        by_scene = part.groupby("photo")[["energy", "energy_other", "energy_abs", "hit", "area"]].mean()
        lines.append([label, *(interval(by_scene[name]) for name in by_scene)])
    head = ["map", "share in its own box", "in the other digit's", "share of magnitudes in its own", "hit", "area"]
    return markdown_table(head, lines)


def random_table(net: nn.Module, scenes: Sequence[Scene], seeds: int) -> str:
    x, _ = scene_tensors(scenes)
    target = torch.tensor([scene.digits[0] for scene in scenes])
    table = pg.parameter_sensitivity(net, x, target=target, method=ROWS, depths=6, seeds=range(seeds))
    depths = sorted(table.depth.unique())
    lines = []
    for label, part in table.groupby("method", sort=False):
        means = (part[part.depth == depth].groupby("photo").spearman.mean() for depth in depths)
        lines.append([label, *(interval(values) for values in means)])
    return markdown_table(["map", *(f"{depth} layers" for depth in depths)], lines)


def section(net: nn.Module, scenes: Sequence[Scene], few: int, seeds: int) -> str:
    """Return what the document shows between its marks."""
    held_out = make_scenes(len(HELD_OUT), HELD_OUT[0])
    x, y = scene_tensors(held_out)
    right = accuracy(net, x, y)
    parts = [
        f"The network gets {right.bits:.2%} of the yes-or-no answers of {len(held_out):,} held-out scenes right, "
        f'{right.scenes:.1%} of the scenes wholly ("always no": {always_no(y):.2%} of answers). Asked about are '
        f"{len(scenes)} that it gets wholly right. In brackets: 95 % of {DRAWS:,} bootstrap draws of scenes.",
        "**Class.** Spearman's rank correlation of the maps of two digits. 1: the map doesn't answer to the class.",
        class_table(net, scenes),
        "**Place.** Of the maps of each scene's first two digits: the share of the map's positive part that lies in "
        "the asked digit's box, and in the other's.",
        place_table(net, scenes),
        f"**Parameters.** Spearman's rank correlation with the map of the trained network, as its layers become random "
        f"from the output down; {few} scenes, {seeds} draws.",
        random_table(net, scenes[:few], seeds),
    ]
    return "\n\n".join(parts)


def main(
    n: Annotated[int, typer.Option("--scenes", help="Held-out scenes that maps are made of, at most.")] = 100,
    few: Annotated[int, typer.Option(help="Scenes for the randomization of parameters.")] = 20,
    seeds: Annotated[int, typer.Option(help="Draws of random parameters.")] = 3,
    write: Annotated[bool, typer.Option("--write/--print-only", help="Write into docs/attention.md.")] = True,
) -> None:
    """Measure, print, and write the tables into docs/attention.md."""
    net = pg.load_classifier("scenes-transformer").net
    scenes = answered(net, make_scenes(len(HELD_OUT), HELD_OUT[0]), n)
    text = section(net, scenes, few, seeds)
    print(text)
    if write:
        write_section("attention.md", "attention.py", text)


if __name__ == "__main__":
    typer.run(main)
