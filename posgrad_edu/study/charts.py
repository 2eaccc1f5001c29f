"""Charts of a study: how alike maps stay while the network forgets, and for two classes.

Signed is blue, drawn through, with circles; positive is red, dashed, with squares. Where the method was published with
another handling it's black, dash-dotted, with triangles; controls are grey. So colour is never needed to tell them
apart. Bands and whiskers are the bootstrap intervals over photos of ``verdicts.py``. Figures are made without pyplot;
what they show stands in words in ``figure.alt``. A grid of one photo's maps is ``viz.show_grid``'s work:

    show_grid(photo, {"GradCAM": {"signed, cat": ..., "signed, dog": ..., "positive, cat": ...}}, share="row")
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from posgrad_edu.methods import CONTROLS
from posgrad_edu.study.claims import ALIKE_ABOVE, number
from posgrad_edu.study.summary import PUBLISHED, checked, in_order, intervals
from posgrad_edu.viz import figure_class

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Style = dict[str, Any]

STYLES: dict[str, Style] = {
    "signed": {"color": "#0042d0", "linestyle": "-", "marker": "o"},
    "positive": {"color": "#ce0018", "linestyle": "--", "marker": "s"},
    "as published": {"color": "#000000", "linestyle": "-.", "marker": "^"},
}
CONTROL_STYLES: dict[str, Style] = {
    "noise": {"color": "#6e6e6e", "linestyle": ":", "marker": "v"},
    "edges": {"color": "#6e6e6e", "linestyle": (0, (6, 2)), "marker": "D"},
    "input-magnitude": {"color": "#6e6e6e", "linestyle": (0, (1, 1)), "marker": "P"},
}
COLUMNS = 4  # panels in a line
MARKER = 4.5  # points


# --- Parameters ---


def randomization_curves(rows: DataFrame) -> Figure:
    """Return a figure of the rank correlation with the trained network's map over the number of random layers.

    rows: a study's rows of the parameters check, of one network and one cascading mode; other checks are left out. A
    panel for each method: the mean over photos, its interval as a band, noise and edges in grey. At no random layers
    each map is compared with itself: 1.
    Raises ``ValueError`` where there are no such rows, or rows of several networks or modes.
    """
    table = curves(rows)
    methods = [name for name in table.method.unique() if name not in CONTROLS]
    controls = [name for name in ("noise", "edges") if name in set(table.method)]
    lines = math.ceil(len(methods) / COLUMNS)
    columns = min(len(methods), COLUMNS)
    figure = figure_class()(figsize=(max(2.5 * columns + 0.6, 4.8), 2.2 * lines + 1.2), dpi=110, layout="constrained")
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for name, ax in zip(methods, axes, strict=False):
        for control in controls:
            _curve(ax, table[table.method == control], CONTROL_STYLES[control], control)
        for handling, style in _versions(name).items():
            _curve(ax, table[(table.method == name) & (table.handling == handling)], style, _label(handling, style))
        ax.set_title(name, fontsize=10)
        ax.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    for ax in axes[len(methods) :]:
        ax.set_axis_off()
    for ax in axes[max(0, len(methods) - columns) : len(methods)]:
        ax.tick_params(labelbottom=True)  # also where the line below it is not full
    lowest = np.nanmin([0.0, table.low.min(), table["mean"].min()])
    margin = 0.03 * table.depth.max()
    axes[0].set(xlim=(-margin, table.depth.max() + margin), ylim=(min(-0.25, lowest - 0.05), 1.05))
    figure.supxlabel(f"random layers, {_direction(rows)}, of {int(checked(rows).layers.max())}", fontsize=10)
    figure.supylabel("rank correlation with the trained network's map", fontsize=10)
    _legend(figure, axes)
    figure.alt = describe_randomization(rows)
    return figure


def describe_randomization(rows: DataFrame) -> str:
    """Return alt text for ``randomization_curves``: each curve at its first, middle and last depth."""
    table = curves(rows)
    depths = sorted({int(depth) for depth in table.depth if depth > 0})
    chosen = [depths[0], depths[len(depths) // 2], depths[-1]]
    sentences = [
        f"Rank correlation of maps with those of the trained network, {checked(rows).network.iloc[0]}, "
        f"with {', '.join(map(str, chosen))} random layers."
    ]
    for (method, handling), curve in table.groupby(["method", "handling"], sort=False):
        if handling not in (*_versions(method), "none"):
            continue
        at = dict(zip(curve.depth, curve["mean"], strict=True))
        name = method if handling == "none" else f"{method}, {handling}"
        sentences.append(f"{name}: {', '.join(number(at.get(depth, math.nan)) for depth in chosen)}.")
    return " ".join(sentences)


def curves(rows: DataFrame) -> DataFrame:
    """Return a row a method, handling and depth: the mean of spearman over photos, its interval low and high, photos.

    rows: as for ``randomization_curves``. A photo's seeds are averaged first; degenerate maps are left out.
    """
    import pandas as pd

    table = _one_cascade(rows)
    by_photo = table.groupby(["method", "handling", "depth", "photo"]).spearman.mean()
    keys, vectors = [], []
    for key, values in by_photo.groupby(["method", "handling", "depth"]):
        keys.append(key)
        vectors.append(values.to_numpy()[~np.isnan(values.to_numpy())])
    points = [
        (*key, float(values.mean()) if len(values) else math.nan, *ends, len(values))
        for key, values, ends in zip(keys, vectors, intervals(vectors), strict=True)
    ]
    start = [(*version, 0, 1.0, 1.0, 1.0, 0) for version in dict.fromkeys(key[:2] for key in keys)]
    names = ["method", "handling", "depth", "mean", "low", "high", "photos"]
    return in_order(pd.DataFrame(start + points, columns=names)).reset_index(drop=True)


def _one_cascade(rows: DataFrame) -> DataFrame:
    table = checked(rows)
    table = table[(table.check == "parameters") & (table["mode"] != "independent")]
    found = [f"{network}, {mode}" for network, mode in dict.fromkeys(zip(table.network, table["mode"], strict=True))]
    if len(found) != 1:
        raise ValueError(
            f"One figure shows one cascade of one network; here there are {len(found)}{': ' * bool(found)}"
            f"{'; '.join(found)}. Choose, such as rows[(rows.network == name) & (rows['mode'] == 'cascading')]."
        )
    return table


def _direction(rows: DataFrame) -> str:
    from_input = (_one_cascade(rows)["mode"] == "cascading-from-input").any()
    return "from the input upwards" if from_input else "from the output downwards"


def _curve(ax: Any, curve: DataFrame, style: Style, label: str) -> None:
    if curve.empty:
        return
    marks = {"markersize": MARKER if label not in CONTROL_STYLES else 0, "linewidth": 1.5}
    ax.plot(curve.depth, curve["mean"], label=label, **{**style, **marks})
    if label not in CONTROL_STYLES:
        ax.fill_between(curve.depth, curve.low, curve.high, color=style["color"], alpha=0.15, linewidth=0)


# --- Classes ---


def class_sensitivity_bars(summary: DataFrame, group: str = "least") -> Figure:
    """Return a figure of how alike two classes' maps are: a panel a network, a line a method, with intervals.

    summary: as ``verdicts.summarize`` makes it. group: which second class, "least", "runner-up" or "present".
    The line at 0.5 is the one that a verdict asks about. Raises ``ValueError`` where nothing was measured.
    """
    table = _class_rows(summary, group)
    networks, methods = sorted(table.network.unique()), list(table.method.unique())
    figure = figure_class()(
        figsize=(3.6 * len(networks) + 1.6, 0.36 * len(methods) + 1.5), dpi=110, layout="constrained"
    )
    axes = figure.subplots(1, len(networks), sharex=True, sharey=True, squeeze=False).ravel()
    place = {name: -i - 0.5 * (name in CONTROLS) for i, name in enumerate(methods)}  # controls a little apart
    for network, ax in zip(networks, axes, strict=True):
        for value, stroke in ((0, "-"), (ALIKE_ABOVE, ":")):
            ax.axvline(value, color="#999999", linewidth=1, linestyle=stroke, zorder=0)
        for name in methods:
            rows = table[(table.network == network) & (table.method == name)]
            versions = {"none": CONTROL_STYLES.get(name, {})} if name in CONTROLS else _versions(name)
            for shift, (handling, style) in enumerate(versions.items()):
                some = rows[rows.handling == handling]
                y = place[name] + (0.0 if name in CONTROLS else 0.18 - 0.18 * shift)
                _point(ax, some, y, style, None if name in CONTROLS else _label(handling, style))
        ax.set_title(f"{network}, {_photos(int(table[table.network == network].photos.max()))}", fontsize=10)
        ax.set(xlim=(-1.05, 1.05), xticks=(-1, -0.5, 0, 0.5, 1), yticks=list(place.values()), yticklabels=methods)
    axes[0].set_ylim(min(place.values()) - 0.6, 0.6)
    which = _SECOND.get(group, group)
    figure.supxlabel(f"rank correlation of two classes' maps\n({which}; dotted: {ALIKE_ABOVE})", fontsize=10)
    _legend(figure, axes)
    figure.alt = describe_class_sensitivity(summary, group)
    return figure


def describe_class_sensitivity(summary: DataFrame, group: str = "least") -> str:
    """Return alt text for ``class_sensitivity_bars``: each mean, by network."""
    table = _class_rows(summary, group)
    sentences = [f"Rank correlation of the maps for two classes, {_SECOND.get(group, group)}, means over photos."]
    for network in sorted(table.network.unique()):
        parts = []
        for _, row in table[table.network == network].iterrows():
            if row.handling in (*_versions(row.method), "none"):
                name = row.method if row.handling == "none" else f"{row.method} {row.handling}"
                parts.append(f"{name} {number(row.spearman)}")
        sentences.append(f"{network}: {', '.join(parts)}.")
    return " ".join(sentences)


_SECOND = {
    "least": "most and least likely",
    "runner-up": "most likely and runner-up",
    "present": "both in the picture",
}


def _class_rows(summary: DataFrame, group: str) -> DataFrame:
    table = summary[(summary.check == "class") & (summary.group == group)]
    if table.empty:
        groups = sorted(summary[summary.check == "class"].group.unique())
        raise ValueError(
            f"No class check with {group!r} as the second class; there are: {', '.join(groups) or 'none'}."
        )
    return in_order(table)


def _point(ax: Any, rows: DataFrame, y: float, style: Style, label: str | None) -> None:
    """Draw a mean with its interval as whiskers; without one, the mean alone."""
    if rows.empty or math.isnan(rows.spearman.iloc[0]):
        return
    row = rows.iloc[0]
    ends = [[0.0], [0.0]]
    if not math.isnan(row.spearman_low):
        ends = [[max(0.0, row.spearman - row.spearman_low)], [max(0.0, row.spearman_high - row.spearman)]]
    looks = {"color": style["color"], "marker": style["marker"], "markersize": MARKER}
    ax.errorbar([row.spearman], [y], xerr=ends, label=label, linestyle="none", capsize=2, elinewidth=1.2, **looks)


def _photos(count: int) -> str:
    return f"{count} photo{'s' * (count != 1)}"


# --- Both ---


def _versions(method: str) -> dict[str, Style]:
    """Return the handlings of a method that are drawn, each with its style."""
    styles = {name: STYLES[name] for name in ("signed", "positive")}
    published = PUBLISHED.get(method, "signed")
    return styles if published in styles else {**styles, published: STYLES["as published"]}


def _label(handling: str, style: Style) -> str:
    return f"{handling}, as published" if style is STYLES["as published"] else handling


def _legend(figure: Any, axes: Any) -> None:
    """Draw one legend for all panels, above them."""
    found: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    first = [name for name in ("signed", "positive") if name in found]
    order = [*first, *(name for name in found if name not in first)]
    figure.legend(
        [found[name] for name in order], order, loc="outside upper center", ncols=5, fontsize=9, frameon=False
    )
