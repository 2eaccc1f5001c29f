"""LRP's road from signed to positive: how alike two classes' maps become while gamma grows, and rules by depth.

    OMP_NUM_THREADS=1 python benchmarks/lrp_road.py                # on one core about 15 minutes

The gamma rule has epsilon at one end (gamma 0) and z+ at the other (gamma without bound). Composites change the rule
with depth, as is usual: gamma in the layers nearest the photo, epsilon above, and the z-box rule in the very first.
EfficientNet-Lite0 on eight photos: the most against the least likely class. The scenes' network on 48 scenes: the first
digit against one that isn't there, and against the second that is. A scene's paper gets exactly zero from any rule that
multiplies with the input, and ties rank alike; so there the correlation is taken over the digits' ink alone.

Writes docs/lrp_road.csv, one row a photo and rule, the chart docs/figures/lrp-road.png, and a table of means with
bootstrap intervals into docs/lrp_road.md. What stands in the file isn't measured again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import pandas as pd
import torch
import typer
from document import DOCS, write_section
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.engine.passes import forward, input_gradients, predict
from posgrad_edu.methods import LRP
from posgrad_edu.methods.lrp import Propagation
from posgrad_edu.methods.lrp_rules import Epsilon, Gamma, Rule, ZBox, ZPlus
from posgrad_edu.metrics import randomizable_layers, spearman
from posgrad_edu.scenes import make_scenes, scene_tensors
from posgrad_edu.study import interval
from posgrad_edu.study.formatting import markdown_table
from posgrad_edu.viz import figure_class

PHOTOS = ("coffee", "cat", "rocket", "flower", "astronaut", "motorcycle", "china", "clock")
GAMMAS = (0.0, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0, math.inf)
SHARES = (0.25, 0.5, 0.75)  # of the layers, those nearest the photo, that have gamma in a composite
FILE, CHART = DOCS / "lrp_road.csv", DOCS / "figures" / "lrp-road.png"
KEY = ["network", "gamma", "share", "first"]


@dataclass
class TwoParts(Propagation):
    """A forward pass whose first ``lower`` layers have one rule, and those above another."""

    below: Rule = field(default_factory=Epsilon)
    lower: int = 0
    passed: int = 0

    def weighted(self, func: Callable, input: Tensor, weight: Tensor, bias: Any = None, *rest: Any, **k: Any) -> Tensor:
        self.conv = self.linear = self.below if self.passed < self.lower else Epsilon()
        self.passed += 1
        return super().weighted(func, input, weight, bias, *rest, **k)


@dataclass(frozen=True)
class ByDepth(LRP):
    """LRP with gamma in the ``lower`` layers nearest the photo, and epsilon above."""

    gamma: float = 0.25
    lower: int = 0

    def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        _, _, first = self.rules()
        x.requires_grad_()
        parts = TwoParts(Epsilon(), Epsilon(), first, below=gamma_rule(self.gamma), lower=self.lower)
        with parts.context():
            logits = forward(net, x, target)
        return self.reduced(input_gradients(logits, target, x))


def gamma_rule(gamma: float) -> Rule:
    """Return the rule of that gamma; epsilon and z+ are its two ends."""
    return Epsilon() if gamma == 0 else ZPlus() if math.isinf(gamma) else Gamma(gamma)


class Photos(NamedTuple):
    """What a network is asked: photos, for each the class, and others by how they were chosen, where maps are read."""

    net: nn.Module
    names: list[str]
    x: Tensor
    target: Tensor
    others: dict[str, Tensor]
    where: Tensor  # (N, H, W): the pixels over which maps are compared
    box: ZBox


def photos() -> Photos:
    clf = pg.load_classifier()
    x = torch.cat([clf.batch(pg.load_photo(name)) for name in PHOTOS])
    logits = predict(clf.net, x)
    ends = clf.batch().new_tensor([0.0, 1.0])
    low, high = (
        tuple(((end - torch.tensor(clf.preprocess.mean)) / torch.tensor(clf.preprocess.std)).tolist()) for end in ends
    )
    everywhere = torch.ones_like(x[:, 0], dtype=torch.bool)
    return Photos(clf.net, [*PHOTOS], x, logits.argmax(1), {"least": logits.argmin(1)}, everywhere, ZBox(low, high))


def scenes(count: int) -> Photos:
    drawn = make_scenes(count)
    x, answers = scene_tensors(drawn)
    first, second = (torch.tensor([scene.digits[k] for scene in drawn]) for k in (0, 1))
    others = {"absent": answers.argmin(1), "present": second}
    net = pg.load_classifier("scenes").net
    return Photos(net, [f"scene-{scene.seed}" for scene in drawn], x, first, others, x[:, 0] > 0, ZBox(0.0, 1.0))


def settings(layers: int) -> Iterator[tuple[dict[str, Any], LRP]]:
    """Yield what is measured: gamma everywhere, then composites."""
    for gamma in GAMMAS:
        yield {"gamma": gamma, "share": 1.0, "first": ""}, LRP(rule=gamma_rule(gamma))
    for gamma in (0.05, 0.25, math.inf):
        for share in SHARES:
            yield {"gamma": gamma, "share": share, "first": ""}, ByDepth(gamma=gamma, lower=round(share * layers))
    for share in (0.0, *SHARES):
        composite = ByDepth(gamma=0.25, lower=round(share * layers))
        yield {"gamma": 0.25, "share": share, "first": "z-box"}, composite


def measured(shown: Photos, method: LRP) -> Iterator[dict[str, Any]]:
    """Yield for each photo and other class the rank correlation of the two maps."""
    for n, name in enumerate(shown.names):
        asked = [int(shown.target[n]), *(int(other[n]) for other in shown.others.values())]
        own, *rest = pg.explain(shown.net, shown.x[[n]], [asked], method)[0]
        for comparison, other in zip(shown.others, rest, strict=True):
            pixels = shown.where[n]
            value = spearman(own[pixels].numpy(), other[pixels].numpy())
            yield {"photo": name, "comparison": comparison, "spearman": round(value, 4)}


def chart(rows: pd.DataFrame) -> None:
    """Draw the mean correlation over gamma, a line a network and comparison, its interval as a band."""
    figure = figure_class()(figsize=(7, 4), dpi=110, layout="constrained")
    ax = figure.subplots()
    looks = {"least": ("#0042d0", "-", "o"), "absent": ("#ce0018", "--", "s"), "present": ("#00705a", "-.", "^")}
    places = {gamma: i for i, gamma in enumerate(GAMMAS)}
    road = rows[(rows.share == 1) & (rows["first"] == "")]
    for (network, comparison), some in road.groupby(["network", "comparison"], sort=False):
        colour, stroke, marker = looks[comparison]
        groups = [(places[gamma], values.spearman.to_numpy()) for gamma, values in some.groupby("gamma")]
        at, means = [p for p, _ in groups], [values.mean() for _, values in groups]
        ends = [interval(values) for _, values in groups]
        words = {"least": "most against least likely class", "absent": "a digit there, one absent"}
        label = f"{network}: {words.get(comparison, 'two digits there')}"
        ax.plot(at, means, color=colour, linestyle=stroke, marker=marker, markersize=4.5, label=label)
        ax.fill_between(at, *zip(*ends, strict=True), color=colour, alpha=0.15, linewidth=0)
    names = ["0\n(ε)", *(f"{gamma:g}" for gamma in GAMMAS[1:-1]), "∞\n(z+)"]
    ax.set(xticks=range(len(GAMMAS)), xticklabels=names, xlabel="gamma, in all layers", ylim=(-1.05, 1.05))
    ax.set_ylabel("rank correlation of two classes' maps")
    ax.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    ax.legend(fontsize=9, frameon=False, loc="lower right")
    figure.savefig(CHART)


def table(rows: pd.DataFrame) -> str:
    """Return the means with intervals, a line a rule."""
    lines = []
    columns = [*dict.fromkeys(zip(rows.network, rows.comparison, strict=True))]
    for (gamma, share, first), some in rows.groupby(["gamma", "share", "first"], sort=False):
        numbers = []
        for network, comparison in columns:
            values = some[(some.network == network) & (some.comparison == comparison)].spearman.dropna()
            low, high = interval(values)
            numbers.append(f"{values.mean():.2f} [{low:.2f}, {high:.2f}]" if len(values) else "–")
        below = "ε" if gamma == 0 or share == 0 else "z+" if math.isinf(gamma) else f"γ {gamma:g}"
        part = "all" if share == 1 else f"lower {share:.0%}, ε above" if share else "all"
        lines.append([below, part, first or "the same", *numbers])
    header = ["rule", "of the layers", "first layer", *(f"{network}, {comparison}" for network, comparison in columns)]
    return markdown_table(header, lines)


def main(
    count: Annotated[int, typer.Option("--scenes", help="How many scenes.")] = 48,
    write: Annotated[bool, typer.Option("--write/--print-only", help="Write into docs.")] = True,
) -> None:
    """Measure what isn't in the file yet, print, and write."""
    rows = pd.read_csv(FILE, keep_default_na=False) if FILE.exists() else pd.DataFrame(columns=KEY)
    rows["spearman"] = pd.to_numeric(rows.get("spearman"), errors="coerce")
    for network, shown in (("scenes", scenes(count)), ("efficientnet-lite0", photos())):
        layers = len(randomizable_layers(shown.net, shown.x))
        for setting, method in settings(layers):
            key = [network, *setting.values()]
            if (rows[KEY] == key).all(axis=1).any():
                continue
            if setting["first"]:
                method = ByDepth(gamma=method.gamma, lower=method.lower, first=shown.box)  # type: ignore[attr-defined]
            found = pd.DataFrame(measured(shown, method)).assign(network=network, **setting)
            rows = pd.concat([rows, found], ignore_index=True) if len(rows) else found
            print(*key, found.groupby("comparison").spearman.mean().round(3).to_dict(), flush=True)
            if write:
                rows.to_csv(FILE, index=False)
    print(table(rows))
    if write:
        chart(rows)
        write_section("lrp_road.md", "lrp_road.py", table(rows))


if __name__ == "__main__":
    typer.run(main)
