"""Charts of what was measured: of a measure's table, of a study's rows, of their summary.

    plot(parameter_sensitivity(net, x, "gradcam", "positive"))  # see plot for the measures whose tables it takes
    randomization_curves(rows)                                  # how alike maps stay while more layers become random
    dot_plot(summary, "class", "least")                         # means and intervals, a line a method

Signed is blue, drawn through, with circles; positive is red, dashed, with squares. Where the method was published with
another handling it's black, dash-dotted, with triangles; controls are grey. So colour is never needed to tell them
apart. Bands and whiskers are the bootstrap intervals over photos of ``summary.py``. Figures are made without pyplot;
what they show stands in words in ``figure.alt``. A grid of one photo's maps is ``viz.show_grid``'s work.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from posgrad_edu.handling import HANDLINGS
from posgrad_edu.methods import CONTROLS
from posgrad_edu.study import perturbation_charts
from posgrad_edu.study.formatting import format_number
from posgrad_edu.study.schema import ALL_CHECKS, NO_HANDLING, in_order, main_score, published_handling, validated
from posgrad_edu.study.summary import GROUP_OF, intervals, summarize
from posgrad_edu.study.verdicts import ALIKE_ABOVE
from posgrad_edu.viz import CHART_STYLES, figure_class

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

Style = dict[str, Any]

STYLES: dict[str, Style] = {
    "signed": CHART_STYLES["signed"],
    "positive": CHART_STYLES["positive"],
    "negative": {"color": "#7a3e9d", "linestyle": (0, (4, 1, 1, 1, 1, 1)), "marker": "v"},
    "absolute": {"color": "#00705a", "linestyle": (0, (3, 3)), "marker": "D"},
}
AS_PUBLISHED: Style = {"color": "#000000", "linestyle": "-.", "marker": "^"}
UNNAMED: Style = {"color": "#000000", "linestyle": "-", "marker": "o"}  # of a table that names no handling
CONTROL_STYLES: dict[str, Style] = {
    "noise": {"color": "#6e6e6e", "linestyle": ":", "marker": "v"},
    "edges": {"color": "#6e6e6e", "linestyle": (0, (6, 2)), "marker": "D"},
    "input-magnitude": {"color": "#6e6e6e", "linestyle": (0, (1, 1)), "marker": "P"},
}
COLUMNS = 4  # panels in a line
MARKER = 4.5  # points


# --- Any table ---


def plot(table: DataFrame, check: str | None = None) -> Figure:
    """Return a figure of what a table holds: curves for randomized parameters, else means with their intervals.

    table: what ``class_sensitivity``, ``parameter_sensitivity``, ``localization``, ``data_sensitivity``,
        ``perturbation`` returns, for one method or several; ``perturbation_areas`` of one mode; or a study's rows, or
        their summary.
    check: which sanity test of a study is drawn; ``None`` for the first of ``ALL_CHECKS`` that the table holds.
    Raises ``ValueError`` for another table, and for what ``randomization_curves`` or ``dot_plot`` can't draw.
    """
    if set(table) >= perturbation_charts.COLUMNS:
        return perturbation_charts.perturbation_curves(table)
    is_summary = {"group", "check", "spearman_low"} <= set(table)
    rows = table if is_summary else _as_rows(table)
    found = [name for name in ALL_CHECKS if name in set(rows.check)]
    if not found or check not in (None, *found):
        raise ValueError(f"This table holds no {check or 'sanity test'}; there is: {', '.join(found) or 'none'}.")
    check = check or found[0]
    rows = rows[rows.check == check]
    handlings = None if "check" in table else tuple(rows.handling.unique())  # of a study, those that a reader compares
    if check == "parameters" and not is_summary:
        return randomization_curves(rows, handlings)
    return dot_plot(rows if is_summary else summarize(rows), check, handlings=handlings)


def _as_rows(table: DataFrame) -> DataFrame:
    """Return a measure's table with the columns that a study's rows have; the label "signed" becomes a handling."""
    filled: dict[str, Any] = {"check": _check_of(table), "network": "", "photo": "", "method": "", "degenerate": False}
    rows = table.assign(**{name: value for name, value in filled.items() if name not in table})
    if "handling" not in rows:
        is_handling = rows.method.isin(HANDLINGS)
        rows["handling"] = rows.method.where(is_handling, NO_HANDLING)
        rows["method"] = rows.method.mask(is_handling, "")
    return rows


def _check_of(table: DataFrame) -> str:
    """Return the sanity test that made a table, as its columns tell."""
    columns = set(table)
    if "check" in columns:
        return ""  # it says so itself, row by row
    if {"target", "spearman"} <= columns:
        return "parameters" if {"depth", "layers", "mode"} <= columns else "class" if "other" in columns else "data"
    if {"target", "object", "energy", "area"} <= columns:
        return "localization"
    if {"target", "other", "mode", "auc", "advantage"} <= columns:
        return "perturbation"
    raise ValueError(
        f"A table with the columns {', '.join(map(str, table))} can't be drawn. Give plot what class_sensitivity, "
        "parameter_sensitivity, localization, data_sensitivity, perturbation or perturbation_areas returns, a study's "
        "rows or summary."
    )


# --- Curves over randomized parameters ---


def randomization_curves(rows: DataFrame, handlings: Sequence[str] | None = None) -> Figure:
    """Return a figure of the rank correlation with the trained network's map over the number of random layers.

    rows: a study's rows of the parameters check, of one network, mode and contrast; others are left out. A panel for
        each method: the mean over photos, its interval as a band, noise and edges in grey. Where the mode is a cascade
        each map is compared with itself at no random layers: 1.
    handlings: which are drawn; ``None`` for signed, positive and as published.
    Raises ``ValueError`` where there are no such rows, or rows of several networks, modes or contrasts.
    """
    cascade = _one_cascade(rows)
    table = _points(cascade)
    controls = [name for name in ("noise", "edges") if name in set(table.method)]
    methods = [name for name in table.method.unique() if name not in CONTROLS] or controls
    figure, axes = _panels(len(methods))
    for name, ax in zip(methods, axes, strict=False):
        for control in controls:
            _curve(ax, table[table.method == control], CONTROL_STYLES[control], control)
        for handling in () if name in CONTROLS else _drawn(table, name, handlings):
            some = table[(table.method == name) & (table.handling == handling)]
            _curve(ax, some, _style(name, handling), _label(name, handling))
        ax.set_title(name, fontsize=10)
        ax.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    lowest = np.nanmin([0.0, table.low.min(), table["mean"].min()])
    margin = 0.03 * table.depth.max()
    axes[0].set(xlim=(-margin, table.depth.max() + margin), ylim=(min(-0.25, lowest - 0.05), 1.05))
    figure.supxlabel(f"{_DEPTHS[cascade['mode'].iloc[0]]}, of {int(cascade.layers.max())}", fontsize=10)
    figure.supylabel("rank correlation with the trained network's map", fontsize=10)
    _legend(figure, axes)
    figure.alt = _words_of_curves(cascade, table, handlings)
    return figure


# What the depth of each mode counts.
_DEPTHS = {
    "cascading": "random layers, from the output downwards",
    "cascading-from-input": "random layers, from the input upwards",
    "independent": "the one random layer, counted from the output",
}


def _one_cascade(rows: DataFrame) -> DataFrame:
    """Return the validated rows of the parameters check, if they are of one network, mode and contrast."""
    table = validated(rows)
    table = table[table.check == "parameters"]
    found = [", ".join(key) for key in table.groupby(["network", "mode", "contrast"]).groups]
    if len(found) != 1:
        raise ValueError(
            f"One figure shows one mode and contrast of one network; here there are {len(found)}{': ' * bool(found)}"
            f"{'; '.join(found)}. Choose, such as rows[(rows.network == name) & (rows.contrast == 'mean')]."
        )
    return table


def _points(cascade: DataFrame) -> DataFrame:
    import pandas as pd

    by_photo = cascade.groupby(["method", "handling", "depth", "photo"]).spearman.mean()
    keys, vectors = [], []
    for key, values in by_photo.groupby(["method", "handling", "depth"]):
        keys.append(key)
        vectors.append(values.to_numpy()[~np.isnan(values.to_numpy())])
    points = [
        (*key, float(values.mean()) if len(values) else math.nan, *ends, len(values))
        for key, values, ends in zip(keys, vectors, intervals(vectors), strict=True)
    ]
    versions = dict.fromkeys(key[:2] for key in keys)
    start = [] if cascade["mode"].iloc[0] == "independent" else [(*v, 0, 1.0, 1.0, 1.0, 0) for v in versions]
    names = ["method", "handling", "depth", "mean", "low", "high", "photos"]
    return in_order(pd.DataFrame(start + points, columns=names)).reset_index(drop=True)


def _panels(count: int) -> tuple[Any, Any]:
    """Return a figure with that many panels of one scale, and all axes; those left over are switched off."""
    lines, columns = math.ceil(count / COLUMNS), min(count, COLUMNS)
    figure = figure_class()(figsize=(max(2.5 * columns + 0.6, 4.8), 2.2 * lines + 1.2), dpi=110, layout="constrained")
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax in axes[count:]:
        ax.set_axis_off()
    for ax in axes[max(0, count - columns) : count]:
        ax.tick_params(labelbottom=True)  # also where the line below it is not full
    return figure, axes


def _curve(ax: Axes, curve: DataFrame, style: Style, label: str) -> None:
    control = label in CONTROL_STYLES
    ax.plot(
        curve.depth, curve["mean"], label=label, **{**style, "markersize": 0 if control else MARKER, "linewidth": 1.5}
    )
    if not control:
        ax.fill_between(curve.depth, curve.low, curve.high, color=style["color"], alpha=0.15, linewidth=0)


def _words_of_curves(cascade: DataFrame, table: DataFrame, handlings: Sequence[str] | None) -> str:
    network, mode = cascade.network.iloc[0], cascade["mode"].iloc[0]
    depths = sorted({int(depth) for depth in table.depth if depth > 0})
    chosen = [depths[0], depths[len(depths) // 2], depths[-1]]
    listed = ", ".join(map(str, chosen))
    random = f"layer {listed} random" if mode == "independent" else f"{listed} random layers"
    of_network = f"{network}, " if network else ""
    sentences = [f"Rank correlation of maps with those of the trained network, {of_network}with {random}."]
    for (method, handling), curve in table.groupby(["method", "handling"], sort=False):
        if method not in CONTROLS and handling not in _drawn(table, method, handlings):
            continue
        at = dict(zip(curve.depth, curve["mean"], strict=True))
        numbers = ", ".join(format_number(at.get(depth, math.nan)) for depth in chosen)
        sentences.append(f"{_version(method, handling, ', ')}: {numbers}.")
    return " ".join(sentences)


# --- Means and intervals ---


class _Scale(NamedTuple):
    """What is drawn along the x axis of a ``dot_plot``."""

    words: str
    ends: tuple[float, float]
    dotted: str  # what the dotted line stands for; nothing for no line


_SCALES = {
    "class": _Scale("rank correlation of two classes' maps", (-1, 1), f"{ALIKE_ABOVE}"),
    "parameters": _Scale("rank correlation with the trained network's map", (-1, 1), f"{ALIKE_ABOVE}"),
    "data": _Scale("rank correlation of two networks' maps", (-1, 1), f"{ALIKE_ABOVE}"),
    "localization": _Scale("share of the evidence that lies in the object's box", (0, 1), "the box's area"),
    "perturbation": _Scale("area by which the asked class's map is better than the other's", (-1, 1), ""),
}
# What each group of a check compares. A plot without a chosen group takes the first one that is there.
_GROUPS = {
    "class": {
        "random": "most likely and random ones",
        "least": "most and least likely",
        "runner-up": "most likely and runner-up",
        "present": "both in the picture",
        GROUP_OF["class"]: "of one photo",
    },
    "parameters": {
        "mean": "mean over all depths",
        "all": "all layers random",
        "half": "half of the layers random",
        "classifier": "classifier random",
        "first layer": "first layer random",
    },
    "data": {GROUP_OF["data"]: "one of them trained on permuted labels"},
    "localization": {GROUP_OF["localization"]: "asked about that object's class"},
    "perturbation": {"present": "both in the picture", "least": "most and least likely"},
}


def dot_plot(
    summary: DataFrame, check: str = "class", group: str | None = None, handlings: Sequence[str] | None = None
) -> Figure:
    """Return a figure of means with their intervals as whiskers: a panel a network, a line a method.

    summary: as ``summarize`` makes it. check: a sanity test. group: which of its groups; ``None`` for the first of
        "random", "least", "runner-up", "present" for classes, and of the stages "mean", "all", "half", ... for
        parameters.
    handlings: which are drawn; ``None`` for signed, positive and as published.
    Drawn is the rank correlation with a line at 0.5, the one that a verdict asks about; for localization the energy in
    the box, with a line at the box's area. Raises ``ValueError`` where nothing was measured.
    """
    table, group = _one_group(summary, check, group)
    networks, methods = sorted(table.network.unique()), sorted(table.method.unique(), key=lambda m: m in CONTROLS)
    size = (3.6 * len(networks) + 1.6, 0.36 * len(methods) + 1.5)
    figure = figure_class()(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots(1, len(networks), sharex=True, sharey=True, squeeze=False).ravel()
    place = {name: -i - 0.5 * (name in CONTROLS) for i, name in enumerate(methods)}  # controls a little apart
    for network, ax in zip(networks, axes, strict=True):
        _draw_network(ax, table[table.network == network], place, check, handlings)
    scale = _SCALES[check]
    low, high = scale.ends
    margin = 0.025 * (high - low)
    axes[0].set(xlim=(low - margin, high + margin), xticks=np.linspace(low, high, 5))
    axes[0].set(ylim=(min(place.values()) - 0.6, 0.6), yticks=list(place.values()), yticklabels=methods)
    axes[0].tick_params("y", length=3.5 if any(methods) else 0)
    dotted = f"; dotted: {scale.dotted}" if scale.dotted else f", {table['mode'].iloc[0]}"
    figure.supxlabel(f"{scale.words}\n({_GROUPS[check].get(group, group)}{dotted})", fontsize=10)
    _legend(figure, axes)
    figure.alt = _words_of_dots(table, check, group, handlings)
    return figure


def _one_group(summary: DataFrame, check: str, group: str | None) -> tuple[DataFrame, str]:
    """Return the summary's rows of one group of a check, and the group."""
    of_check = summary[summary.check == check]
    there = list(of_check.group.unique())
    known = list(_GROUPS.get(check, {}))
    there.sort(key=lambda name: (known.index(name) if name in known else len(known), name))
    if not there or group not in (None, *there):
        wanted = f" with the group {group!r}" if group else ""
        raise ValueError(f"No check {check!r}{wanted} in this summary; its groups are: {', '.join(there) or 'none'}.")
    chosen = group or there[0]
    found = of_check[of_check.group == chosen]
    for column in ("mode", "contrast"):
        if len(several := found[column].unique()) > 1:
            raise ValueError(
                f"One figure shows one {column}, not {', '.join(several)}. Choose: table[table[{column!r}] == name]."
            )
    return in_order(found), chosen


def _draw_network(
    ax: Axes, rows: DataFrame, place: Mapping[str, float], check: str, handlings: Sequence[str] | None
) -> None:
    """Draw one network's means into its panel; ``place`` says at which height each method stands."""
    dotted = rows.area.mean() if check == "localization" else ALIKE_ABOVE
    for value, stroke in ((0, "-"), *([(dotted, ":")] if _SCALES[check].dotted else [])):
        ax.axvline(value, color="#999999", linewidth=1, linestyle=stroke, zorder=0)
    for name, y in place.items():
        _points_of_method(ax, rows[rows.method == name], y, main_score(check), handlings)
    network, photos = rows.network.iloc[0], int(rows.photos.max())
    ax.set_title(f"{network}{', ' * bool(network)}{photos} photo{'s' * (photos != 1)}", fontsize=10)


def _points_of_method(ax: Axes, rows: DataFrame, y: float, score: str, handlings: Sequence[str] | None) -> None:
    """Draw a method's means with their intervals, each handling a little below the one before."""
    if rows.empty:
        return
    method = rows.method.iloc[0]
    drawn = _drawn(rows, method, handlings)
    first = 0 if method in CONTROLS else max(len(drawn) - 1, 2) / 2
    for shift, handling in enumerate(drawn):
        row = rows[rows.handling == handling].iloc[0]
        height = y + 0.18 * (first - shift)
        _point(ax, row, height, score)


def _point(ax: Axes, row: Any, y: float, score: str) -> None:
    """Draw a row's mean with its interval as whiskers; without one, the mean alone."""
    mean, low, high = (float(row[f"{score}{end}"]) for end in ("", "_low", "_high"))
    if math.isnan(mean):
        return
    ends = [[0.0], [0.0]] if math.isnan(low) else [[max(0.0, mean - low)], [max(0.0, high - mean)]]
    style = _style(row.method, row.handling)
    mark = {"color": style["color"], "marker": style["marker"], "markersize": MARKER, "linestyle": "none"}
    label = None if row.method in CONTROLS else _label(row.method, row.handling)
    ax.errorbar([mean], [y], xerr=ends, label=label, capsize=2, elinewidth=1.2, **mark)


def _words_of_dots(table: DataFrame, check: str, group: str, handlings: Sequence[str] | None) -> str:
    opening = {"class": "Rank correlation of the maps for two classes"}.get(check, _SCALES[check].words.capitalize())
    sentences = [f"{opening}, {_GROUPS[check].get(group, group)}, means over photos."]
    for network in sorted(table.network.unique()):
        some = table[table.network == network]
        parts = [
            f"{_version(row.method, row.handling, ' ')} {format_number(row[main_score(check)])}"
            for _, row in some.iterrows()
            if row.handling in _drawn(some, row.method, handlings)
        ]
        sentences.append(f"{network}{': ' * bool(network)}{', '.join(parts)}.")
    return " ".join(sentences)


# --- Both ---


def _drawn(table: DataFrame, method: str, handlings: Sequence[str] | None) -> list[str]:
    """Return the handlings of a method that are drawn, in order."""
    there = list(dict.fromkeys(table.handling[table.method == method]))
    usual = ["signed", "positive", *filter(None, [published_handling(method)]), NO_HANDLING]
    chosen = dict.fromkeys(usual if handlings is None else [*usual, *handlings])
    return [name for name in chosen if name in there and (handlings is None or name in handlings)]


def _style(method: str, handling: str) -> Style:
    if method in CONTROL_STYLES:
        return CONTROL_STYLES[method]
    if handling in ("signed", "positive"):
        return STYLES[handling]
    return AS_PUBLISHED if handling == published_handling(method) else STYLES.get(handling, UNNAMED)


def _label(method: str, handling: str) -> str:
    if handling == NO_HANDLING:
        return ""  # which needs no legend
    return f"{handling}, as published" if _style(method, handling) is AS_PUBLISHED else handling


def _version(method: str, handling: str, joint: str) -> str:
    """Return a method with its handling, in words."""
    return joint.join(part for part in (method, handling) if part not in ("", NO_HANDLING)) or "maps"


def _legend(figure: Any, axes: Iterable[Any]) -> None:
    """Draw one legend for all panels, above them; none where nothing has a label."""
    found: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if not found:
        return
    first = [name for name in ("signed", "positive") if name in found]
    order = [*first, *(name for name in found if name not in first)]
    figure.legend(
        [found[name] for name in order], order, loc="outside upper center", ncols=5, fontsize=9, frameon=False
    )
