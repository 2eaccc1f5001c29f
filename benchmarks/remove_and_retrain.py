"""Remove and retrain, in small: what can a network still learn of scenes without the places that a map marks?

    OMP_NUM_THREADS=1 python benchmarks/remove_and_retrain.py      # eight trainings, on one core about ten minutes

A network that meets covered pictures for the first time answers at random (docs/perturbation.md). So Hooker et al.
cover training and held-out pictures alike and train a new network on them: what it still gets right, the covered places
weren't needed for. Here each scene loses the tenth of its patches that a map for its *first* digit marks most. A map
that knows its class takes the first digit away and leaves the others. One that marks all ink takes a little of each.

Patches become black paper, so that a hole on paper can't be seen. A hole in ink can: its shape may tell a new network
what was there (Rong et al. 2022), which makes every number for the first digit an upper bound.

Writes docs/remove_and_retrain.csv, a row a training; what stands there isn't trained again. The same rows go as a table
into docs/perturbation.md.

References:
    Hooker et al. A Benchmark for Interpretability Methods in Deep Neural Networks. NeurIPS 2019. arXiv:1806.10758.
    Rong et al. A Consistent and Efficient Evaluation Strategy for Attribution Methods. ICML 2022. arXiv:2202.00449.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from document import DOCS, write_section
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.methods import resolve
from posgrad_edu.metrics.perturbation import removed
from posgrad_edu.progress import bar
from posgrad_edu.scenes import Scene, make_scene, scene_tensors, scenes_net
from posgrad_edu.scenes.training import HELD_OUT, Recipe, fold, train
from posgrad_edu.study.formatting import markdown_table

NOTHING = "nothing"
WAYS: dict[str, tuple[str, str | None] | None] = {
    NOTHING: None,
    "gradcam, signed": ("gradcam", "signed"),
    "gradcam, positive": ("gradcam", "positive"),
    "noise": ("noise", None),
    "lrp, positive": ("lrp", "positive"),
    "guided-backprop, positive": ("guided-backprop", "positive"),
    "edges": ("edges", None),
    "lrp, signed": ("lrp", "signed"),
}
COLUMNS = ("removed by", "first digit found", "other digits found", "absent digits denied", "bits right")


def scenes(count: int, start: int, split: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return pictures (N, 1, 64, 64), answers (N, 10) and the first digits (N,)."""
    drawn: list[Scene] = [make_scene(seed, split=split) for seed in range(start, start + count)]
    return *scene_tensors(drawn), torch.tensor([scene.digits[0] for scene in drawn])


def without(x: Tensor, first: Tensor, way: str, share: float) -> Tensor:
    """Return the pictures without what the map for each first digit marks most."""
    given = WAYS[way]
    if given is None:
        return x
    net, method = pg.load_classifier("scenes").net, resolve(*given)
    parts = bar([*zip(x.split(100), first.split(100), strict=True)], way)
    return torch.cat([removed(some, pg.explain(net, some, of, method), share, "zero", patch=4) for some, of in parts])


def found(net: nn.Module, x: Tensor, y: Tensor, first: Tensor) -> dict[str, float]:
    """Return how much a network gets right: of the first digits, the others that are there, and those that aren't."""
    with torch.no_grad():
        yes = torch.cat([net(part) for part in x.split(200)]) > 0
    asked = nn.functional.one_hot(first, y.shape[1]).bool()
    groups = asked, (y > 0) & ~asked, y == 0, torch.ones_like(asked)
    right = yes == (y > 0)
    return {name: right[group].float().mean().item() for name, group in zip(COLUMNS[1:], groups, strict=True)}


def main(
    training: Annotated[int, typer.Option(help="Training scenes.")] = 3000,
    held_out: Annotated[int, typer.Option(help="Held-out scenes.")] = 500,
    steps: Annotated[int, typer.Option(help="Batches that each network is trained on.")] = 400,
    depth: Annotated[int, typer.Option(help="Convolutions of each network.")] = 8,
    share: Annotated[float, typer.Option(help="Share of each scene that is removed.")] = 0.1,
    only: Annotated[
        list[str] | None, typer.Option(help="Only these ways, such as 'edges'.", show_default="all")
    ] = None,
    file: Annotated[Path, typer.Option(help="Where trainings are kept.")] = DOCS / "remove_and_retrain.csv",
    write: Annotated[bool, typer.Option("--write/--print-only", help="Write into docs/perturbation.md.")] = True,
) -> None:
    """Train what isn't in the file yet, print, and write."""
    setting: dict[str, Any] = {"scenes": training, "steps": steps, "depth": depth, "share": share}
    rows = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=[*COLUMNS, *setting])
    here = (rows[list(setting)] == [*setting.values()]).all(axis=1)
    missing = [way for way in only or WAYS if way not in set(rows[here]["removed by"])]
    if missing:
        x, y, first = scenes(training, 0, "train")
        tests = scenes(held_out, HELD_OUT.start, "test")
    for way in missing:
        torch.manual_seed(0)  # the same first weights each time
        net = scenes_net(depth, batch_norm=True)
        train(net, without(x, first, way, share), y, Recipe(steps), progress=True)
        result = found(fold(net), without(tests[0], tests[2], way, share), *tests[1:])
        row = pd.DataFrame([{"removed by": way, **{k: round(v, 4) for k, v in result.items()}, **setting}])
        rows = pd.concat([rows, row], ignore_index=True) if len(rows) else row
        rows.to_csv(file, index=False)
        print(row.to_string(header=False, index=False), flush=True)
    here = (rows[list(setting)] == [*setting.values()]).all(axis=1)
    lines = [
        [f"`{row[0]}`", *(f"{value:.1%}" for value in row[1:])] for row in rows[here][list(COLUMNS)].values.tolist()
    ]
    table = markdown_table(COLUMNS, lines)
    print(table)
    if write:
        write_section("perturbation.md", "remove_and_retrain.py", table)


if __name__ == "__main__":
    typer.run(main)
