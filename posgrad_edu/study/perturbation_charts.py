"""A chart of deletion and insertion curves: what covering a photo in one order or another leaves of the class's score.

    perturbation_curves(perturbation(net, x, "gradcam", "positive"))

The own order is blue, drawn through; the other class's red, dashed; random and edges are grey. Lines are means over
photos, bands their bootstrap intervals. What the figure shows stands in words in ``figure.alt``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from posgrad_edu.metrics.perturbation import ORDERS, PERTURBATIONS, perturbation_areas
from posgrad_edu.study.formatting import format_number
from posgrad_edu.study.summary import intervals
from posgrad_edu.viz import BLUE, RED, figure_class, hex_code

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

COLUMNS = {"photo", "mode", "order", "share", "kept"}  # by which a table of curves is known
STYLES: dict[str, dict[str, Any]] = {
    "own": {"color": hex_code(BLUE), "linestyle": "-"},
    "other": {"color": hex_code(RED), "linestyle": "--"},
    "random": {"color": "#6e6e6e", "linestyle": ":"},
    "edges": {"color": "#6e6e6e", "linestyle": (0, (6, 2))},
}
WORDS = {
    "own": "the asked class's map",
    "other": "another class's map",
    "random": "random order",
    "edges": "the photo's edges",
}
AXES = {"deletion": "share that is covered", "insertion": "share that is uncovered"}


def perturbation_curves(table: DataFrame) -> Figure:
    """Return a figure of what is left of the score: a column a mode, a line of panels a method.

    table: as ``perturbation`` returns it, of one method or several. Degenerate curves are left out.
    Raises ``ValueError`` where no curve is left.
    """
    rows = table if "method" in table else table.assign(method="")
    points = _points(rows)
    if points.empty:
        raise ValueError("Every curve of this table is degenerate: covering these photos takes nothing away.")
    methods = list(dict.fromkeys(points.method))
    figure = figure_class()(figsize=(6.6, 2.3 * len(methods) + 1.1), dpi=110, layout="constrained")
    axes = figure.subplots(len(methods), len(PERTURBATIONS), sharex=True, sharey=True, squeeze=False)
    for method, line in zip(methods, axes, strict=True):
        for mode, ax in zip(PERTURBATIONS, line, strict=True):
            _draw(ax, points[(points.method == method) & (points["mode"] == mode)])
            ax.set_title(f"{method}{', ' * bool(method)}{mode}", fontsize=10)
    for mode, ax in zip(PERTURBATIONS, axes[-1], strict=True):
        ax.set_xlabel(AXES[mode])
    figure.supylabel("share of the class's score that is left", fontsize=10)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9, frameon=False)
    figure.alt = _words(rows)
    return figure


def _points(rows: DataFrame) -> DataFrame:
    """Return a row a method, mode, order and share: the mean over photos, and its interval low and high."""
    import pandas as pd

    names = ["method", "mode", "order", "share"]
    keys, vectors = [], []
    for key, some in rows[~rows.degenerate.astype(bool)].groupby(names, sort=False):
        keys.append(key)
        vectors.append(some.kept.to_numpy(dtype=float))
    lines = [
        (*key, float(values.mean()), *ends) for key, values, ends in zip(keys, vectors, intervals(vectors), strict=True)
    ]
    return pd.DataFrame(lines, columns=[*names, "mean", "low", "high"])


def _draw(ax: Axes, points: DataFrame) -> None:
    for order in ORDERS:
        curve = points[points.order == order].sort_values("share")
        if curve.empty:
            continue
        ax.plot(curve.share, curve["mean"], label=WORDS[order], linewidth=1.5, **STYLES[order])
        if order in ("own", "other"):
            ax.fill_between(curve.share, curve.low, curve.high, color=STYLES[order]["color"], alpha=0.15, linewidth=0)
    ax.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)


def _words(rows: DataFrame) -> str:
    areas = perturbation_areas(rows)
    sentences = ["What is left of the class's score while a photo is covered or uncovered, as means over photos."]
    for (method, mode), some in areas.groupby(["method", "mode"], sort=False):
        found = {order: np.nanmean(values) for order, values in _by_order(some) if not values.isna().all()}
        numbers = ", ".join(f"{WORDS[order]} {format_number(found.get(order, math.nan))}" for order in ORDERS)
        sentences.append(f"{method}{', ' * bool(method)}{mode}, area under the curve: {numbers}.")
    return " ".join(sentences)


def _by_order(areas: DataFrame) -> list[tuple[str, Any]]:
    return [("own", areas.auc), *((order, areas[f"auc_{order}"]) for order in ORDERS[1:])]
