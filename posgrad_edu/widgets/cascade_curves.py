"""The CascadeCurves: what a randomization test measured, and a map at each of its steps.

The curves come from rows that were measured before, over photos and draws of random weights. One of them is chosen and
drawn in colour with its range; the others stay pale behind it. A slider marks one step on the curves, and shows the
map of one photo there, beside that of the trained network.
"""

from __future__ import annotations

import functools
import io
import math
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.methods import COARSE, CONTROLS
from posgrad_edu.methods.base import Method
from posgrad_edu.metrics.randomization import steps
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.viz import signed_number
from posgrad_edu.widgets.controls import dropdown, slider
from posgrad_edu.widgets.panel import RECORDS, WeightsPanel
from posgrad_edu.widgets.theme import AXIS, LINES, MARK, PALE, Picture, chart, name_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

COLUMNS = ("method", "photo", "mode", "depth", "layers", "seed", "spearman")
CONTROL = "control"
MARGINS = {"left": 0.16, "right": 0.66, "bottom": 0.15, "top": 0.9}
DOT = 8  # the radius of the dot that marks a value, in pixels of the chart
Points = dict[int, tuple[float, float, float]]  # depth -> mean, lowest, highest


class CascadeCurves(WeightsPanel):
    """Controls for the version (a method with its handling), the order in which layers become random, and the step.

    rows: as ``parameter_sensitivity`` makes them of several methods; tables of different modes can be put together.
    methods: the versions by the labels that the rows use. clf: the classifier that was measured.
    photo: whose map is shown: a sample photo's name, or a picture. target: the class that it's asked about, in the
    words of ``clf.index`` or "most likely". seed: which random weights the map shown has.
    start: values to start with: version, mode, depth.

    Results: ``maps`` (2, H, W), trained and partly random; ``similarity`` of these two; ``points``, the chosen curve as
    depth -> (mean, lowest, highest); ``summary`` (text); ``figure()``.
    Raises ``ValueError`` for rows without the columns needed or of a label that ``methods`` doesn't hold.
    """

    def __init__(
        self,
        rows: DataFrame,
        methods: Mapping[str, Method],
        clf: Classifier,
        photo: str | Image.Image = "coffee",
        target: str | int = "most likely",
        seed: int = 0,
        **start: Any,
    ) -> None:
        _check_rows(rows, methods)
        self.rows, self.methods = rows, dict(methods)
        super().__init__(clf, photo, target, seed)
        self._points = functools.lru_cache(maxsize=256)(self._of_rows)
        self._chart = functools.lru_cache(maxsize=32)(self._curves)
        self.version = dropdown("Method", [label for label in self.methods if label in set(rows.method)])
        orders = list(dict.fromkeys(rows["mode"]))
        first = start["mode"] if start.get("mode") in orders else orders[0]  # now: the slider's steps depend on it
        self.mode = dropdown("Order", orders, value=first, disabled=len(orders) == 1)
        self.depth = slider("Random layers", self._depths())
        self._begin(["mode", "version", "depth"], start)

    def _settle(self) -> None:
        super()._settle()
        if (there := len(self.layers)) != self.rows["layers"].iloc[0] or self.rows["layers"].nunique() > 1:
            raise ValueError(f"{self.clf.name} has {there} layers to randomize; the rows are of another network.")

    def _depths(self) -> list[tuple[str, int]]:
        """Return the slider's steps: nothing random, then what was measured in this order."""
        measured = sorted(int(d) for d in self.rows[self.rows["mode"] == self.mode.value].depth.unique())
        word = "only layer " if self.mode.value == "independent" else ""
        return [("0", 0), *((f"{word}{d} of {len(self.layers)}", d) for d in measured)]

    def _measure(self) -> None:
        self._offer("depth", self._depths(), 0)  # another order was measured at other steps
        super()._measure()

    # --- From the controls to curves and maps ---

    def _maps(self) -> Tensor:
        version, mode, depth = self.version.value, self.mode.value, self.depth.value
        self._style = "overlay" if isinstance(self.methods[version], COARSE) else "heatmap"
        self.points = self._points(version, mode)
        return self._pair(steps(self.layers, mode, [depth])[0].random if depth else (), version)

    def _explain(self, random: tuple[str, ...], version: str) -> Tensor:
        return RECORDS.explain(self._network(random), self._x, self.target, self.methods[version])[0]

    def _of_rows(self, version: str, mode: str) -> Points:
        """Return mean, lowest and highest value over photos and draws at each depth; 1 where nothing is random."""
        some = self.rows[(self.rows.method == version) & (self.rows["mode"] == mode)].dropna(subset="spearman")
        by_depth = some.groupby("depth").spearman
        found = {int(d): (float(v.mean()), float(v.min()), float(v.max())) for d, v in by_depth}
        return {0: (1.0, 1.0, 1.0)} | found

    def _shown(self, version: str, mode: str) -> Points:
        """Return the points that are drawn: with the start at 1, but for single layers."""
        points = self._points(version, mode)
        return {d: p for d, p in points.items() if d > 0 or (mode != "independent" and len(points) > 1)}

    # --- What is shown ---

    @property
    def random_layers(self) -> str:
        """Which layers are random at this step, in words."""
        depth, all_ = self.depth.value, len(self.layers)
        if depth == 0:
            return "nothing random"
        if self.mode.value == "independent":
            return f"only layer {depth} of {all_} random, counted from the output"
        start = "input" if self.mode.value == "cascading-from-input" else "output"
        return f"{depth} of {all_} random, from the {start}"

    def _sentence(self) -> str:
        head = f"{self.version.value}, {self.random_layers}:"
        if self.depth.value == 0:
            return f"{head} both maps are the trained network's."
        if self.depth.value not in self.points:
            return f"{head} not measured, or no map could be compared."
        mean, low, high = (signed_number(v) for v in self.points[self.depth.value])
        here = "constant, nothing to compare" if math.isnan(self.spearman) else signed_number(self.spearman)
        return f"{head} rank correlation {mean} in the mean, from {low} to {high}; the map shown {here}."

    @property
    def _what(self) -> str:
        return self.version.value

    def _titles(self) -> list[str]:
        return [f"trained, {self.clf.labels[self.target]}", self.random_layers]

    def _panels(self) -> list[Picture]:
        """Return the curves with this step marked, and both maps."""
        line = ", ".join(f"{depth}: {signed_number(point[0])}" for depth, point in self.points.items())
        alt = f"Curves over the number of random layers; {self.version.value}, mean by layers: {line}."
        curves = (self._marked(), alt, f"{self.version.value}, {self.mode.value}")
        return [curves, *super()._panels()[1:]]

    def _method(self) -> str:
        return self.methods[self.version.value].name

    def _note(self) -> str:
        key = "Black line: this step. Bars: lowest to highest over photos and draws. Pale: the other versions."
        return f"{super()._note()} {key}"

    def _mark(self) -> tuple[int, float | None, str]:
        """Return the step that is marked, the chosen curve's value there, if there is one, and its colour."""
        version, depth = self.version.value, self.depth.value
        point = self._shown(version, self.mode.value).get(depth)
        return depth, None if point is None else point[0], LINES[self._kind(version)]["color"]

    def _marked(self) -> Image.Image:
        """Return the curves as a picture with this step marked: at each move only the mark is drawn anew."""
        curves, ax = self._chart(self.version.value, self.mode.value)
        depth, value, colour = self._mark()
        marked = curves.copy()
        draw = ImageDraw.Draw(marked)

        def place(y: float) -> tuple[float, float]:
            """Return the pixel of a value at this step; pictures count rows from the top, axes from the bottom."""
            column, from_below = ax.transData.transform((depth, y))
            return float(column), marked.height - float(from_below)

        draw.line([place(y) for y in ax.get_ylim()], "black", 2)
        if value is not None:
            x, y = place(value)
            draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), colour, "black", 2)
        return marked

    def _curves(self, version: str, mode: str) -> tuple[Image.Image, Axes]:
        """Return all curves of this order as a picture, and their axes, which know where a depth stands in it."""
        figure = chart(5, 3, lambda ax: self._plot(ax, version, mode), **MARGINS)
        return Image.open(io.BytesIO(viz.to_png(figure))).convert("RGB"), figure.axes[0]

    def _plot(self, ax: Axes, version: str, mode: str) -> None:
        """Plot all curves of this order, the chosen one last and strong.

        Single layers are no path from one step to the next: there the points aren't joined, and don't start at 1.
        """
        alone = mode == "independent"
        curves = {label: self._shown(label, mode) for label in self.version.options}
        for label, points in curves.items():
            if label != version and points:
                kind = self._kind(label)
                style = self._stroke(kind, alone) | {"color": PALE[kind], "linewidth": 1.2, "markersize": 3 * alone}
                ax.plot(list(points), [p[0] for p in points.values()], label=label, **style)
        points, kind = self._shown(version, mode), self._kind(version)
        mean, low, high = np.array(list(points.values())).reshape(-1, 3).T
        ax.vlines(list(points), low, high, color=LINES[kind]["color"], alpha=0.4, linewidth=4)
        ax.plot(list(points), mean, label=version, zorder=3, **self._stroke(kind, alone))
        ax.axhline(0, **AXIS)
        lowest = min(0.0, float(self.rows.spearman.min()))  # of all orders and versions: all charts have one scale
        ax.set(xlim=(-0.04 * len(self.layers), 1.04 * len(self.layers)), ylim=(lowest - 0.08, 1.08))
        ax.set_xlabel("which layer is random, from the output" if alone else f"random layers, {mode}", fontsize=9)
        ax.set_ylabel("rank correlation\nwith the trained map", fontsize=9, labelpad=2)
        ax.tick_params(labelsize=8)
        ax.set_title(version, color=LINES[kind]["color"], fontsize=10, loc="left")
        colours = {label: PALE[self._kind(label)] for label in curves} | {version: LINES[kind]["color"]}
        name_lines(ax, {label: curve[max(curve)][0] for label, curve in curves.items() if curve}, colours)

    def _stroke(self, kind: str, alone: bool) -> dict[str, Any]:
        """Return how a chosen curve of this kind is drawn; alone: as points that aren't joined."""
        stroke = LINES[kind] | {"markersize": 4.5, "linewidth": 1.8}
        return stroke | {"linestyle": "none"} if alone else stroke

    def _kind(self, label: str) -> str:
        method = self.methods[label]
        handling = method.active_handling
        if method.name in CONTROLS or handling is None or handling.name not in PALE:
            return CONTROL
        return handling.name

    def _figure(self) -> Figure:
        figure = viz.figure_class()(figsize=(11.5, 3.3), dpi=110, layout="constrained")
        axes = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
        self._plot(axes[0], self.version.value, self.mode.value)
        depth, value, colour = self._mark()
        axes[0].axvline(depth, **MARK)
        if value is not None:
            axes[0].plot([depth], [value], "o", color=colour, markersize=8, markeredgecolor="black", zorder=4)
        for ax, title, values, unit in zip(axes[1:], self._titles(), self._scaled, self.units, strict=True):
            viz.draw_picture(ax, self._picture(values, self.limit), textwrap.fill(title, 32))
            ax.set_xlabel(f"own unit: full colour at ±{viz.two_digits(unit)}", fontsize=8)
        figure.alt = f"Curves of all versions, one marked. {self.summary} Beside it the two maps."
        return figure


def _check_rows(rows: DataFrame, methods: Mapping[str, Method]) -> None:
    missing = [name for name in COLUMNS if name not in rows]
    if missing or rows.empty:
        raise ValueError(
            f"These rows have no {', '.join(missing) or 'content'}. parameter_sensitivity makes rows that fit."
        )
    unknown = sorted(set(rows.method) - set(methods))
    if unknown:
        raise ValueError(f"methods holds no {', '.join(map(repr, unknown))}, which the rows were measured with.")
