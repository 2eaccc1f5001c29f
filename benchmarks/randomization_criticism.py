"""What the test of random parameters can't tell: three criticisms, measured on the scenes' network and on Lite0.

    OMP_NUM_THREADS=1 python benchmarks/randomization_criticism.py        # on one core about 15 minutes

1. Noise and pixel-wise likeness (Hedström et al. 2023): the cascade's mean rank correlation, as usual and of maps
   averaged over noisy photos (sMPRT), beside the rise of the maps' complexity (eMPRT).
2. A picture of one object (Yona and Greenfeld 2021): a right map lies on the object, whatever the network learned.
   Scenes of one digit alone against usual ones: how much of a map lies in the digits' boxes, with the trained network
   and with one whose every layer is random, and how alike the two maps are.
3. What is below stays (Binder et al. 2022): where layers are random from the top down, those below still compute what
   they learned, and a map that multiplies by it must stay alike. At each depth: the maps of the trained network and of
   a random copy, and those of two random copies, which share nothing but the layers below. Where the second number is
   as high as the first, all likeness comes from below, and nothing from what the upper layers had learned. And how much
   of the activations' order the random layers themselves leave: Spearman's correlation, over channels and positions,
   of each layer's output before and after.

Writes docs/randomization_floor.csv, the chart docs/figures/randomization-floor.png, and tables into
docs/randomization.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from document import DOCS, METHODS, write_section
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.engine.layers import watch
from posgrad_edu.engine.passes import run_without_graph
from posgrad_edu.methods import Method, Smoothed, resolve
from posgrad_edu.metrics import randomizable_layers, spearman, steps, with_random
from posgrad_edu.metrics.localization import inside
from posgrad_edu.scenes import Scene, make_scenes, make_single, scene_tensors
from posgrad_edu.study import interval
from posgrad_edu.study.formatting import markdown_table
from posgrad_edu.viz import figure_class

OWN: dict[str, Method] = {label: resolve(*given) for label, given in METHODS.items()}
WITH_CONTROLS = OWN | {name: resolve(name) for name in ("noise", "edges")}
PHOTOS = ("cat", "coffee", "rocket", "flower")
FILE, CHART = DOCS / "randomization_floor.csv", DOCS / "figures" / "randomization-floor.png"


def estimate(values: Sequence[float] | pd.Series) -> str:
    """Return a mean with its bootstrap interval, in words."""
    finite = pd.Series(values, dtype=float).dropna()
    mean, low, high = (round(float(value), 2) + 0.0 for value in (finite.mean(), *interval(finite)))  # + 0.0: no -0.00
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def rank_correlation(first: Tensor, second: Tensor) -> float:
    return spearman(first.numpy(), second.numpy())


# --- 1. Noise, and complexity ---


def three_tests(net: nn.Module, x: Tensor, target: Tensor, samples: int) -> str:
    """Return a table of the cascade, sMPRT and eMPRT, a line a method."""
    smooth: dict[str, Method] = {
        label: Smoothed(method=method, samples=samples) for label, method in WITH_CONTROLS.items()
    }
    options: dict[str, Any] = {"target": target, "seeds": [0, 1]}
    usual = pg.parameter_sensitivity(net, x, WITH_CONTROLS, depths=5, **options)
    smoothed = pg.parameter_sensitivity(net, x, smooth, depths=5, **options)
    complexity = pg.complexity_sensitivity(net, x, WITH_CONTROLS, **options)
    lines = []
    for label in WITH_CONTROLS:
        means = [t[t.method == label].groupby("photo").spearman.mean() for t in (usual, smoothed)]
        rise = complexity[complexity.method == label].groupby("photo").rise.mean()
        lines.append([f"`{label}`", *map(estimate, [*means, means[1] - means[0], rise])])
    return markdown_table(["map", "cascade", "smoothed (sMPRT)", "difference", "rise of complexity (eMPRT)"], lines)


# --- 2. One object ---


def single_object(net: nn.Module, count: int) -> str:
    """Return a table of usual scenes beside scenes of one digit, a line a method."""
    layers = randomizable_layers(net, scene_tensors(make_scenes(1))[0])
    lines = []
    pictures = {"usual": make_scenes(count), "one digit": [make_single(seed) for seed in range(count)]}
    for label, method in {**WITH_CONTROLS, "the digits' ink": None}.items():
        for kind, drawn in pictures.items():
            numbers = [_of_scene(net, with_random(net, layers, scene.seed % 3), scene, method) for scene in drawn]
            lines.append([f"`{label}`" if method else label, kind, *map(estimate, zip(*numbers, strict=True))])
    header = ["map", "scene", "in the boxes, trained", "in the boxes, random", "area of the boxes"]
    return markdown_table([*header, "alike, trained and random", "alike, this class and an absent one"], lines)


def _of_scene(net: nn.Module, changed: nn.Module, scene: Scene, method: Method | None) -> list[float]:
    """Return shares of magnitudes in the boxes, the boxes' area, and rank correlations; without a method of the ink."""
    x, answers = scene_tensors([scene])
    classes = [[scene.digits[0], int(answers[0].argmin())]]
    region = inside(scene.boxes, (x.shape[-2], x.shape[-1]))
    if method is None:
        ink = (x[0, 0] * region).expand(3, -1, -1)
        maps = ink[0], ink[1], ink[2]
    else:
        (own, absent), random = method(net, x, classes)[0], method(changed, x, classes)[0, 0]
        maps = own, random, absent
    shares = [float((m.abs() * region).sum() / m.abs().sum()) for m in maps[:2]]
    alike = [rank_correlation(maps[0], other) for other in maps[1:]]
    return [*shares, float(region.double().mean()), *alike]


# --- 3. What is below stays ---


def floor(name: str, net: nn.Module, x: Tensor, target: Tensor, depths: int, seeds: Sequence[int]) -> pd.DataFrame:
    """Return, for each depth, photo and method, how alike trained and random are, and random and random."""
    layers = randomizable_layers(net, x)
    trained = pg.explain(net, x, target, OWN)
    rows = []
    for step in steps(layers, "cascading", depths):
        copies = [pg.explain(with_random(net, step.random, seed), x, target, OWN) for seed in seeds]
        for label in OWN:
            pairs = {"trained and random": [(trained, copy) for copy in copies]}
            pairs["random and random"] = [*itertools.combinations(copies, 2)]
            for pair, members in pairs.items():
                alike = [[*map(rank_correlation, a[label], b[label])] for a, b in members]
                for photo, value in enumerate(pd.DataFrame(alike).mean().tolist()):
                    place = {"network": name, "depth": step.depth, "layers": len(layers), "photo": photo}
                    rows.append({**place, "map": label, "pair": pair, "spearman": round(value, 4)})
    return pd.DataFrame(rows)


def activation_order(net: nn.Module, x: Tensor, depths: int, seeds: Sequence[int]) -> str:
    """Return a table of how much of the order of a layer's outputs is left, a line a depth, a column a layer."""
    layers = randomizable_layers(net, x)
    chosen = [layers[step.depth - 1] for step in steps(layers, "cascading", depths)]
    before = outputs(net, x, chosen)
    lines = []
    for step in steps(layers, "cascading", depths):
        copies = [outputs(with_random(net, step.random, seed), x, chosen) for seed in seeds]
        left = [
            sum(spearman(before[n][i].numpy(), copy[n][i].numpy()) for copy in copies for i in range(len(x)))
            for n in chosen
        ]
        lines.append([str(step.depth), *(f"{value / len(x) / len(copies):.2f}" for value in left)])
    return markdown_table(["random layers", *(f"`{name}`" for name in chosen)], lines)


def outputs(net: nn.Module, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Return what these layers compute."""
    modules = {net.get_submodule(name): name for name in names}
    found: dict[str, Tensor] = {}

    def note(module: nn.Module, output: Any) -> None:
        found[modules[module]] = output.detach().clone()

    with watch(modules, note):
        run_without_graph(net, x)
    return found


def floor_table(rows: pd.DataFrame) -> str:
    lines = []
    for (network, label), some in rows.groupby(["network", "map"], sort=False):
        at = some[some.depth < some.layers.iloc[0]]  # where all layers are random, nothing is below
        wide = at.groupby(["photo", "pair"]).spearman.mean().unstack()
        difference = wide["trained and random"] - wide["random and random"]
        numbers = [wide["trained and random"], wide["random and random"], difference]
        lines.append([network, f"`{label}`", *map(estimate, numbers)])
    return markdown_table(["network", "map", "trained and random", "two random", "due to the upper layers"], lines)


def floor_chart(rows: pd.DataFrame) -> None:
    """Draw both numbers over the share of random layers: a panel a method, a line of panels a network."""
    networks, labels = list(rows.network.unique()), list(OWN)
    figure = figure_class()(figsize=(2.1 * len(labels), 2.2 * len(networks) + 0.9), dpi=110, layout="constrained")
    axes = figure.subplots(len(networks), len(labels), sharex=True, sharey=True, squeeze=False)
    looks = {"trained and random": ("#0042d0", "-", "o"), "random and random": ("#ce0018", "--", "s")}
    for network, line in zip(networks, axes, strict=True):
        for label, ax in zip(labels, line, strict=True):
            some = rows[(rows.network == network) & (rows["map"] == label)]
            for pair, (colour, stroke, marker) in looks.items():
                curve = some[some.pair == pair].groupby("depth").spearman.mean()
                share = curve.index / some.layers.iloc[0]
                ax.plot(share, curve, color=colour, linestyle=stroke, marker=marker, markersize=3.5, label=pair)
            ax.set_title(f"{label}\n{network}", fontsize=8)
            ax.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    figure.supxlabel("share of the layers that is random, from the output downwards", fontsize=9)
    figure.supylabel("rank correlation of maps", fontsize=9)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(CHART)


# --- The command ---


def main(
    scenes: Annotated[int, typer.Option(help="How many scenes, of each kind.")] = 10,
    samples: Annotated[int, typer.Option(help="Noisy copies that a smoothed map is the mean of.")] = 6,
    photos: Annotated[int, typer.Option(help="How many photos for EfficientNet-Lite0; 0 leaves it out.")] = 2,
    write: Annotated[bool, typer.Option("--write/--print-only", help="Write into docs.")] = True,
) -> None:
    """Measure, print, and write each part."""

    def say(part: str, text: str) -> None:
        print(part, text, sep="\n\n", end="\n\n", flush=True)
        if write:
            write_section("randomization.md", f"randomization_criticism.py {part}", text)

    net, drawn = pg.load_classifier("scenes").net, make_scenes(scenes)
    x, target = scene_tensors(drawn)[0], torch.tensor([scene.digits[0] for scene in drawn])
    say("single", single_object(net, 2 * scenes))
    rows = floor("scenes", net, x, target, 9, range(3))
    say("floor", floor_table(rows))
    say("order-scenes", activation_order(net, x, 9, range(3)))
    say("tests", three_tests(net, x, target, samples))
    if photos:
        clf = pg.load_classifier()
        x = torch.cat([clf.batch(pg.load_photo(name)) for name in PHOTOS[:photos]])
        top = clf.net(x).argmax(1)
        rows = pd.concat([rows, floor("efficientnet-lite0", clf.net, x, top, 6, range(2))], ignore_index=True)
        say("floor", floor_table(rows))
        say("order-lite0", activation_order(clf.net, x, 6, range(2)))
    if write:
        rows.to_csv(FILE, index=False)
        floor_chart(rows)


if __name__ == "__main__":
    typer.run(main)
