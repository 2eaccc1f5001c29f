"""The CascadeCurves: what a randomisation test measured, and a map at each of its steps.

The curves come from rows that were measured before, over photos and draws of random weights. One of them is chosen and
drawn in colour with its range; the others stay pale behind it. A slider marks one step on the curves, and shows the
map of one photo there, beside that of the trained network.
"""

from __future__ import annotations

import functools
import io
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from posgrad_edu import viz
from posgrad_edu.methods import CONTROLS, explain_all
from posgrad_edu.methods.base import Method
from posgrad_edu.methods.cam import CAM
from posgrad_edu.models import Classifier
from posgrad_edu.photos import load_photo
from posgrad_edu.randomize import randomizable_layers, steps, with_random
from posgrad_edu.similarity import Similarity, compare
from posgrad_edu.widgets.parts import find_class, gallery, status

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

COLUMNS = ("method", "photo", "mode", "depth", "layers", "seed", "spearman")
FULL_COLOUR = 0.995  # a map's own unit is the magnitude that this share of its pixels doesn't exceed
PALE = {"signed": "#a9bdf0", "positive": "#f3b0b6", "control": "#bbbbbb"}
STRONG = {"signed": "#0042d0", "positive": "#ce0018", "control": "#555555"}
STROKE = {"signed": ("-", "o"), "positive": ("--", "s"), "control": (":", "v")}
CONTROL = "control"


class CascadeCurves(widgets.VBox):
    """Controls for the version (a method with its handling), the order of forgetting, and the step.

    rows: as ``parameter_sensitivity_all`` makes them; several tables of different modes can be put together.
    methods: the versions by the labels that the rows use. clf: the classifier that was measured.
    photo: whose map is shown: a sample photo's name, or a picture. target: the class that it's asked about, in the
    words of ``clf.index`` or "most likely". seed: which random weights the map shown has.
    start: values to start with: version, mode, depth.

    Results: ``maps`` (2, H, W), trained and forgetful; ``similarity`` of these two; ``points``, the chosen curve as
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
        self.rows, self.methods, self.clf, self.seed = rows, dict(methods), clf, seed
        picture = load_photo(photo) if isinstance(photo, str) else photo
        self.view, self._x = clf.view(picture), clf.batch(picture)
        self.target = find_class(clf, str(target), clf.logits(picture))
        self.layers = randomizable_layers(clf.net, self._x)
        if (rows["layers"] != len(self.layers)).any():
            raise ValueError(f"{clf.name} has {len(self.layers)} layers to randomise; the rows are of another network.")
        self._make_controls()
        self._compute = functools.lru_cache(maxsize=256)(self._explain)
        self._compare = functools.lru_cache(maxsize=256)(compare)
        self._chart = functools.lru_cache(maxsize=256)(self._drawn)
        self.maps: Tensor = torch.empty(0)
        self.similarity: Similarity | None = None
        self.points: dict[int, tuple[float, float, float]] = {}
        self.summary = ""
        for name, value in start.items():
            if name not in self.controls:
                raise ValueError(f"The CascadeCurves have no control {name!r}. There are: {', '.join(self.controls)}.")
            self.controls[name].value = value
        for control in self.controls.values():
            control.observe(self._changed, "value")
        super().__init__([*self.controls.values(), self.pictures, self.words])
        self.refresh()

    def __repr__(self) -> str:
        return f"CascadeCurves: {self.summary}"

    # --- Controls ---

    def _make_controls(self) -> None:
        named: dict[str, Any] = {"style": {"description_width": "110px"}}
        self.version = widgets.Dropdown(
            options=[label for label in self.methods if label in set(self.rows.method)],
            description="Method", layout={"width": "440px"}, **named,
        )  # fmt: skip
        self.mode = widgets.Dropdown(
            options=list(dict.fromkeys(self.rows["mode"])), description="Order", layout={"width": "440px"}, **named
        )
        self.depth = widgets.SelectionSlider(
            options=self._depths(), description="Random layers", continuous_update=False, layout={"width": "480px"},
            **named,
        )  # fmt: skip
        self.pictures, self.words = widgets.HTML(), widgets.HTML()
        self.controls = {"mode": self.mode, "version": self.version, "depth": self.depth}

    def _depths(self) -> list[tuple[str, int]]:
        """Return the slider's steps: nothing random, then what was measured in this order."""
        measured = sorted(int(d) for d in self.rows[self.rows["mode"] == self.mode.value].depth.unique())
        word = "only layer " if self.mode.value == "independent" else ""
        return [("0", 0), *((f"{word}{d} of {len(self.layers)}", d) for d in measured)]

    def _changed(self, change: dict) -> None:
        options = self._depths()
        if options != list(self.depth.options):  # another order was measured at other steps
            kept = self.depth.value if self.depth.value in dict(options).values() else 0
            with self.hold_trait_notifications():
                self.depth.unobserve(self._changed, "value")
                self.depth.options, self.depth.value = options, kept
                self.depth.observe(self._changed, "value")
        self.refresh()

    # --- From the controls to curves and maps ---

    def refresh(self) -> None:
        """Compute what the controls ask for, and show it; what can't be computed is said in words."""
        version, mode, depth = self.version.value, self.mode.value, self.depth.value
        self.points = self._points(version, mode)
        try:
            self.maps = torch.stack([self._compute(version, mode, d) for d in (0, depth)])
        except (ValueError, NotImplementedError) as error:
            self.maps, self.similarity = torch.empty(0), None
            self.pictures.value = ""
            self._say(str(error))
            return
        self.similarity = self._compare(*(self._compute(version, mode, d) for d in (0, depth)))
        self._say(self._sentence())
        self.pictures.value = self._html()

    def _points(self, version: str, mode: str) -> dict[int, tuple[float, float, float]]:
        """Return mean, lowest and highest value over photos and draws at each depth; 1 where nothing is random."""
        some = self.rows[(self.rows.method == version) & (self.rows["mode"] == mode)].dropna(subset="spearman")
        found = {0: (1.0, 1.0, 1.0)}
        for depth, values in some.groupby("depth").spearman:
            found[int(depth)] = (float(values.mean()), float(values.min()), float(values.max()))
        return found

    def _shown(self, version: str, mode: str) -> dict[int, tuple[float, float, float]]:
        """Return the points that are drawn: with the start at 1, but for single layers."""
        points = self._points(version, mode)
        return {d: p for d, p in points.items() if d > 0 or (mode != "independent" and len(points) > 1)}

    def _explain(self, version: str, mode: str, depth: int) -> Tensor:
        random = steps(self.layers, mode, [depth])[0].random if depth else ()
        net = with_random(self.clf.net, random, self.seed) if random else self.clf.net
        return explain_all(net, self._x, self.target, {version: self.methods[version]})[version][0]

    # --- What is shown ---

    @property
    def forgot(self) -> str:
        """Which layers are random at this step, in words."""
        depth, all_ = self.depth.value, len(self.layers)
        if depth == 0:
            return "nothing random"
        if self.mode.value == "independent":
            return f"only layer {depth} of {all_} random, counted from the output"
        start = "input" if self.mode.value == "cascading-from-input" else "output"
        return f"{depth} of {all_} random, from the {start}"

    def _sentence(self) -> str:
        head = f"{self.version.value}, {self.forgot}:"
        if self.depth.value == 0:
            return f"{head} both maps are the trained network's."
        if self.depth.value not in self.points:
            return f"{head} not measured, or no map could be compared."
        mean, low, high = (_number(v) for v in self.points[self.depth.value])
        assert self.similarity is not None
        here = "constant, nothing to compare" if self.similarity.degenerate else _number(self.similarity.spearman)
        return f"{head} rank correlation {mean} in the mean, from {low} to {high}; the map shown {here}."

    def _html(self) -> str:
        chart = self._chart(self.version.value, self.mode.value, self.depth.value)
        line = ", ".join(f"{depth}: {_number(point[0])}" for depth, point in self.points.items())
        alt = f"Curves over the number of random layers; {self.version.value}, mean by layers: {line}."
        panels = [(chart, alt, f"{self.version.value}, {self.mode.value}")]
        for title, values, unit in zip(self._titles(), self.maps, self._units(), strict=True):
            caption = f"{title} (full colour at ±{unit:.1e})"
            panels.append(
                (self._picture(values, unit), viz.alt_text(f"{self.version.value}, {title}", values), caption)
            )
        bars = "Bars in the chart: lowest to highest over photos and draws."
        key = f"Each map in its own unit: compare places, not strengths. {bars}"
        return gallery(panels, key)

    def _titles(self) -> list[str]:
        return [f"trained, {self.clf.labels[self.target]}", self.forgot]

    def _units(self) -> list[float]:
        """Return the magnitude of full colour of each map; random weights change the scale of what flows back."""
        return [viz.symmetric_limit([m], FULL_COLOUR) for m in self.maps]

    def _picture(self, values: Tensor, unit: float) -> Image.Image:
        if isinstance(self.methods[self.version.value], CAM):
            return viz.overlay(self.view, values, unit)
        return viz.heatmap(values, unit)

    def _drawn(self, version: str, mode: str, depth: int) -> Image.Image:
        """Return the curves as a picture."""
        figure = viz.figure_class()(figsize=(4.6, 4.2), dpi=110, layout="constrained")
        self._draw(figure.subplots(), version, mode, depth)
        return Image.open(io.BytesIO(viz.to_png(figure))).convert("RGB")

    def _draw(self, ax: Any, version: str, mode: str, depth: int) -> None:
        """Draw all curves of this order, the chosen one last and strong, and a line at this depth.

        Single layers are no path from one step to the next: there the points aren't joined, and don't start at 1.
        """
        alone = mode == "independent"
        for label in self.version.options:
            points, kind = self._shown(label, mode), self._kind(label)
            if label != version and points:
                pale = {"color": PALE[kind], "linewidth": 1, "zorder": 1}
                ax.plot(list(points), [p[0] for p in points.values()], "." if alone else "-", **pale)
        points, kind = self._shown(version, mode), self._kind(version)
        mean, low, high = np.array(list(points.values())).reshape(-1, 3).T
        stroke, mark = STROKE[kind]
        ax.vlines(list(points), low, high, color=STRONG[kind], alpha=0.4, linewidth=2)
        chosen = {"color": STRONG[kind], "marker": mark, "markersize": 4, "label": version, "zorder": 3}
        ax.plot(list(points), mean, linestyle="none" if alone else stroke, **chosen)
        ax.axvline(depth, color="#000000", linewidth=1.2, zorder=2)
        ax.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
        ax.set(ylim=(-1.05, 1.08), ylabel="rank correlation with the trained map")
        ax.set_xlabel("which layer is random, from the output" if alone else f"random layers, {mode}")
        ax.legend(frameon=False, loc="lower left", fontsize=9)

    def _kind(self, label: str) -> str:
        method = self.methods[label]
        return CONTROL if method.name in CONTROLS else method.switch.name if method.switch.name in PALE else CONTROL

    def _say(self, words: str) -> None:
        self.summary = words
        self.words.value = status(words)

    def figure(self) -> Figure:
        """Return what is shown as a figure, for readers without a running kernel."""
        figure = viz.figure_class()(figsize=(10.5, 3.6), dpi=110, layout="constrained")
        axes = figure.subplots(1, 3, width_ratios=(1.35, 1, 1))
        self._draw(axes[0], self.version.value, self.mode.value, self.depth.value)
        for ax, title, values, unit in zip(axes[1:], self._titles(), self.maps, self._units(), strict=True):
            ax.imshow(np.asarray(self._picture(values, unit)))
            ax.set_title(textwrap.fill(title, 32), fontsize=10)
            ax.set(xticks=[], yticks=[])
        figure.alt = f"Curves of all versions, one marked. {self.summary} Beside it the two maps."
        return figure


def _check_rows(rows: DataFrame, methods: Mapping[str, Method]) -> None:
    missing = [name for name in COLUMNS if name not in rows]
    if missing or rows.empty:
        raise ValueError(
            f"These rows have no {', '.join(missing) or 'content'}. parameter_sensitivity_all makes rows that fit."
        )
    unknown = sorted(set(rows.method) - set(methods))
    if unknown:
        raise ValueError(f"methods holds no {', '.join(map(repr, unknown))}, which the rows were measured with.")


def _number(value: float) -> str:
    """Return two digits and a sign, never a negative zero."""
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")
