"""What covering the marked places takes away: areas under deletion and insertion curves, by baseline and patch.

    OMP_NUM_THREADS=1 python benchmarks/perturbation.py            # on one core about 25 minutes

EfficientNet-Lite0 on eight photos, against the least likely class, and the scenes' network on 48 scenes, the first
digit against the second, each with every baseline and with smaller and larger patches. Writes docs/perturbation.csv,
one row a photo, mode and setting; what stands there isn't measured again, so that a run can go on where one stopped.
Prints means over photos with bootstrap intervals. ``perturbation.md`` in docs holds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, NamedTuple

import pandas as pd
import torch
import typer
from document import DOCS, METHODS, write_section
from torch import Tensor

import posgrad_edu as pg
from posgrad_edu.methods import Method, resolve
from posgrad_edu.metrics.perturbation import BASELINES
from posgrad_edu.models.loading import SCENES
from posgrad_edu.scenes import make_scenes, scene_tensors
from posgrad_edu.study import interval
from posgrad_edu.study.formatting import markdown_table

PHOTOS = ("cat", "coffee", "rocket", "astronaut", "motorcycle", "china", "flower", "clock")
FILE = DOCS / "perturbation.csv"
DIGITS = 4  # of the areas in the file
SCORES = ("auc", "auc_other", "auc_random", "auc_edges", "advantage")


class Setting(NamedTuple):
    """One way to cover photos."""

    network: str
    baseline: str
    patch: int


SETTINGS = (
    *(Setting(SCENES, baseline, 4) for baseline in BASELINES),
    Setting(SCENES, "mean", 2),
    Setting(SCENES, "mean", 8),
    *(Setting(pg.models.DEFAULT_CLASSIFIER, baseline, 16) for baseline in BASELINES),
)


def shown(network: str, scenes: int) -> tuple[list[str], Tensor, Tensor | None, str | Tensor]:
    """Return what a network is shown: names, photos, the class asked about, and the other one."""
    clf = pg.load_classifier(network)
    if network != SCENES:
        return list(PHOTOS), torch.cat([clf.batch(pg.load_photo(name)) for name in PHOTOS]), None, "least"
    drawn = make_scenes(scenes)
    first, second = (torch.tensor([scene.digits[k] for scene in drawn]) for k in (0, 1))
    return [f"scene-{scene.seed}" for scene in drawn], scene_tensors(drawn)[0], first, second


def measured(setting: Setting, methods: dict[str, Method], scenes: int, steps: int) -> Iterator[pd.DataFrame]:
    """Yield the areas of each photo."""
    names, x, target, other = shown(setting.network, scenes)
    net = pg.load_classifier(setting.network).net
    for n, name in enumerate(names):
        asked = {"target": None if target is None else target[[n]]}
        against = other if isinstance(other, str) else other[[n]]
        options = {"baseline": setting.baseline, "patch": setting.patch, "steps": steps, "progress": False}
        table = pg.perturbation(net, x[[n]], methods, other=against, **asked, **options)
        yield pg.perturbation_areas(table).assign(photo=name, **setting._asdict())


def summary(rows: pd.DataFrame) -> str:
    """Return tables of means over photos with intervals: all areas for one setting, then the advantage in each."""
    parts = []
    for (network, mode), of_mode in rows.groupby(["network", "mode"], sort=False):
        settings = list(dict.fromkeys(zip(of_mode.baseline, of_mode.patch, strict=True)))
        first = of_mode[(of_mode.baseline == settings[0][0]) & (of_mode.patch == settings[0][1])]
        lines = [[f"`{label}`", *(estimate(some, score) for score in SCORES)] for label, some in by_map(first)]
        parts += [f"{network}, {mode}, patches of {settings[0][1]} pixels, baseline {settings[0][0]}:"]
        parts += [markdown_table(["map", "own", "other's", "random", "edges", "own better by"], lines)]
        lines = [
            [
                f"`{label}`",
                *(estimate(some[(some.baseline == b) & (some.patch == p)], "advantage") for b, p in settings),
            ]
            for label, some in by_map(of_mode)
        ]
        used = [of_mode[(of_mode.baseline == b) & (of_mode.patch == p)] for b, p in settings]
        lines.append(["photos used", *(f"{s.photo[~s.degenerate].nunique()} of {s.photo.nunique()}" for s in used)])
        parts += ["The own order is better than the other class's by:"]
        parts += [markdown_table(["map", *(f"{baseline}, {patch} pixels" for baseline, patch in settings)], lines)]
    return "\n\n".join(parts)


def by_map(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield from rows.groupby("method", sort=False)


def estimate(rows: pd.DataFrame, score: str) -> str:
    """Return a mean over photos with its bootstrap interval, in words."""
    values = rows[score][~rows.degenerate]
    low, high = interval(values)
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]".replace("-", "−")


def main(
    scenes: Annotated[int, typer.Option(help="How many scenes.")] = 48,
    steps: Annotated[int, typer.Option(help="Equal parts that are covered one after another.")] = 8,
    write: Annotated[bool, typer.Option("--write/--print-only", help="Write into docs.")] = True,
) -> None:
    """Measure what isn't in the file yet, print, and write."""
    methods = {label: resolve(*given) for label, given in METHODS.items()}
    rows = pd.read_csv(FILE) if FILE.exists() else pd.DataFrame(columns=[*Setting._fields])
    for setting in SETTINGS:
        there = (rows[list(Setting._fields)] == list(setting)).all(axis=1).any()
        if there:
            continue
        found = pd.concat(measured(setting, methods, scenes, steps))
        rows = pd.concat([rows, found.round(DIGITS)], ignore_index=True) if len(rows) else found.round(DIGITS)
        print(setting, flush=True)
        if write:
            rows.to_csv(FILE, index=False)
    print(summary(rows))
    if write:
        write_section("perturbation.md", "perturbation.py", summary(rows))


if __name__ == "__main__":
    typer.run(main)
