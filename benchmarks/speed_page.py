"""The tables and charts of docs/performance.md, made of what benchmarks/speed.py measured.

python benchmarks/speed_page.py           # anew from benchmarks/results/speed.json
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from document import DOCS, write_section
from rivals import BOTH, OURS, WORKS

from posgrad_edu import viz
from posgrad_edu.study.formatting import markdown_table

FILE = Path(__file__).with_name("results") / "speed.json"
NAMES = {"efficientnet-lite0": "Lite0", "resnet50": "ResNet-50", "vgg16": "VGG-16"}
RIVALS = {  # marker and colour; ours is full, the others hollow
    OURS: ("o", "#0042d0"),
    "captum": ("s", "#ce0018"),
    "pytorch-grad-cam": ("^", "#00705a"),
    "torchcam": ("v", "#6a4c00"),
    "zennit": ("D", "#7a3e9d"),
}
CAM_MS, OTHER_MS = 100, 150  # bounds of the widgets


class Goal(NamedTuple):
    """What a method cost before the engine was made faster, on Lite0, ResNet-50 and VGG-16, and what it may cost.

    most: in bare passes. shares: of the rival's time.
    """

    before: tuple[float | None, ...]
    most: tuple[float, ...] = ()
    rival: str = ""
    shares: tuple[float, ...] = ()


GOALS = {
    "gradient": Goal((1.01, 0.99, 1.00), (1.05,) * 3),
    "guided-backprop": Goal((1.48, 1.21, 1.03), (1.10,) * 3, "captum", (1,) * 3),
    "deconvnet": Goal((1.30, 1.18, 1.02), (1.10,) * 3),
    "rectgrad": Goal((2.50, 1.65, 1.34), (1.6, 1.3, 1.2)),
    "gradcam": Goal((1.18, 0.99, 1.16), (1.08,) * 3),
    "gradcam++": Goal((1.08, 1.03, None), (1.08,) * 3),
    "layercam": Goal((1.09, 0.99, None), (1.08,) * 3),
    "fullgrad": Goal((1.66, 1.27, 1.12), (1.2,) * 3),
    "lrp": Goal((3.04, 2.43, 1.74), (), "zennit", (0.5, 0.4, 0.45)),
    "gradcam, 10 classes": Goal((1.3,)),
    "gradcam, 100 classes": Goal((3.1,)),
    "gradcam, 1000 classes": Goal((24.7,), (15,)),
    "gradcam, 1000 classes, coarse": Goal((None,), (3,)),
}

Row = Mapping[str, Any]


def write_page(results: Mapping[str, Any]) -> None:
    """Write all sections of docs/performance.md, and its charts."""
    rows = results["passes"]
    sections = {
        "machine": machine_sentence(results["machine"]),
        "methods": methods_table(rows),
        "goals": f"{goals_table(rows)}\n\n{methods_picture(rows)}",
        "classes": classes_table(rows),
        "widgets": widgets_table(results["widgets"]),
        "imports": imports_sentence(results["imports"]),
    }
    if "measures" in results:
        sections["measures"] = f"```text\n{results['measures'].strip()}\n```"
    for name, text in sections.items():
        write_section("performance.md", f"speed.py {name}", text)
    methods_chart(rows)
    widgets_chart(results["widgets"])


# --- Words and numbers ---


def machine_sentence(found: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    busy = "" if found["load"] is None else f", load {found['load']:.1f} when it began"
    busy_words = (
        " Beside other work, so times are those of the processor, not of the clock, but for the import."
        if found["busy"]
        else ""
    )
    options = found.get("options", "--busy" if found["busy"] else "")  # none: that is make bench
    command = f"python benchmarks/speed.py {options}" if options else "make bench"
    return (
        f"Measured on {found['date']} by `{command}`: {found['processor']}, {found['cores']} cores{busy}; PyTorch "
        f"with {found['threads']} thread(s), Python {found['python']}, {versions}.{busy_words}"
    )


def ratio(row: Row) -> str:
    """Return a ratio with the middle half of its rounds."""
    low, median, high = (number(row["ratio"][end]) for end in ("low", "median", "high"))
    return f"{median} [{low}, {high}]"


def number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def map_against_ours(row: Row) -> str:
    """Say whether a rival's map is ours."""
    if "map" not in row:
        return ""
    difference, correlation = row["map"]["difference"], row["map"]["correlation"]
    if difference < 1e-4:
        return "the same" if difference == 0 else f"the same to {difference:.0e}"
    return f"correlation {correlation:.3f}"


def memory(row: Row) -> str:
    return f"{row['peak_mib']:.0f}" if row.get("peak_mib") is not None else "–"


def methods_table(rows: Iterable[Row]) -> str:
    """Return a line a work and rival, with a network's ratio, map and memory in a column each."""
    rows = list(rows)
    networks = [name for name in NAMES if any(r["network"] == name for r in rows)]
    lines = []
    for work in (w for w in WORKS if "classes" not in w.name):
        for rival in dict.fromkeys(r["rival"] for r in rows if r["work"] == work.name):
            found = {r["network"]: r for r in rows if (r["work"], r["rival"]) == (work.name, rival)}
            if rival == "bare":
                cells = [f"{found[n]['ms']:.0f} ms" if n in found else "" for n in networks]
            else:
                cells = [ratio(found[n]) if n in found else "" for n in networks]
            maps = "; ".join(dict.fromkeys(f"{map_against_ours(found[n])}" for n in networks if n in found)).strip("; ")
            peaks = " / ".join(memory(found[n]) if n in found else "–" for n in networks)
            lines.append([work.name, f"bare, {work.unit}" if rival == "bare" else rival, *cells, peaks, maps])
    header = ["method", "who", *(NAMES[n] for n in networks), "peak, MiB", "map against ours"]
    return f"{markdown_table(header, lines)}\n\n{settings(rows)}"


def settings(rows: Iterable[Row]) -> str:
    """Say which setting each rival has, and by what its maps differ."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row["rival"] != "bare":
            words = row["setting"] + (f"; {row['other']}" if row["other"] else "")
            methods = found.setdefault(row["rival"], {}).setdefault(words, [])
            if row["work"] not in methods and "classes" not in row["work"]:
                methods.append(row["work"])
    return "\n".join(
        f"* **{rival}**, {', '.join(methods)}: {words}."
        for rival, some in found.items()
        for words, methods in some.items()
        if methods
    )


def goals_table(rows: Iterable[Row]) -> str:
    """Return a line a method, with before, now and the bound for each network."""
    rows, lines = list(rows), []
    for work, goal in GOALS.items():
        cells, unmet = [], []
        for n, (network, name) in enumerate(NAMES.items()):
            found = {r["rival"]: r for r in rows if (r["network"], r["work"]) == (network, work)}
            if OURS not in found:
                cells.append("")
                continue
            before = goal.before[n] if n < len(goal.before) else None
            most, met = bound(n, goal, found)
            now = f"**{number(found[OURS]['ratio']['median'])}**"
            cells.append(f"{'–' if before is None else number(before)} → {now}{f', at most {most}' if most else ''}")
            unmet += [] if met else [name]
        lines.append([work, *cells, ", ".join(unmet)])
    return markdown_table(["method", *NAMES.values(), "not met"], lines)


def bound(n: int, goal: Goal, found: Mapping[str, Row]) -> tuple[str, bool]:
    """Return the bounds for network n in words, and whether they are met."""
    now = found[OURS]["ratio"]["median"]
    words, met = [], True
    if n < len(goal.most):
        words, met = [number(goal.most[n])], now <= goal.most[n]
    if n < len(goal.shares) and goal.rival in found:
        share = now / found[goal.rival]["ratio"]["median"]
        words.append(f"{goal.shares[n]:g} × {goal.rival}'s time (is {share:.2f})")
        met = met and share <= goal.shares[n]
    return " and ".join(words), met


def classes_table(rows: Iterable[Row]) -> str:
    """Return the cost of many classes' maps at once on Lite0."""
    lines = [
        [r["work"].removeprefix("gradcam, "), r["rival"], ratio(r), f"{r['ms']:.0f}", memory(r), map_against_ours(r)]
        for r in rows
        if "classes" in r["work"] and r["rival"] != "bare"
    ]
    return markdown_table(["GradCAM for", "who", "× forward", "ms", "peak, MiB", "map against ours"], lines)


def widgets_table(rows: Iterable[Row]) -> str:
    """Return a line for each change of a widget, CAMs and the rest apart: the method that takes longest."""
    groups: dict[tuple[str, str, bool], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["widget"], row["control"], row["cam"]), []).append(row)
    lines = []
    for (widget, control, cam), some in groups.items():
        worst = max(some, key=lambda r: r["cold_ms"])
        alone = "–" if worst["passes_ms"] is None else f"{worst['passes_ms']:.0f}"
        most = CAM_MS if cam else OTHER_MS
        within = f"{sum(r['cold_ms'] <= most for r in some)} of {len(some)}"
        cached = f"{max(r['cached_ms'] for r in some):.0f}"
        lines.append([widget, control, worst["method"], f"{worst['cold_ms']:.0f}", alone, str(most), within, cached])
    header = [
        "widget",
        "what changes",
        "slowest method",
        "cold, ms",
        "the method alone",
        "bound",
        "methods within",
        "cached, ms",
    ]
    return markdown_table(header, lines)


def imports_sentence(found: Mapping[str, Any]) -> str:
    seconds = f"`import posgrad_edu as pg; pg.explain` takes {found['seconds']:.1f} s"
    return f"{seconds}, {ratio(found)} times as long as `import torch, torchvision`."


# --- Charts ---


def methods_picture(rows: Iterable[Row]) -> str:
    """Return the chart of methods for the page, with words for those who don't see it."""
    there = {r["network"] for r in rows}
    names = ", ".join(name for network, name in NAMES.items() if network in there)
    return f"![Each method's time in bare passes on {names}, a mark for each package.](figures/speed-methods.png)"


def methods_chart(rows: Iterable[Row]) -> None:
    """Draw a panel a network: each method's time in bare passes, a mark for each who computes it."""
    rows = [r for r in rows if r["rival"] != "bare" and "classes" not in r["work"]]
    networks = [name for name in NAMES if any(r["network"] == name for r in rows)]
    works = list(dict.fromkeys(r["work"] for r in rows))
    figure = viz.figure_class()(figsize=(3.4 * len(networks) + 1.2, 4.4), dpi=110, layout="constrained")
    axes = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    for ax, network in zip(axes, networks, strict=True):
        for rival, (marker, colour) in RIVALS.items():
            some = [r for r in rows if (r["network"], r["rival"]) == (network, rival)]
            at = [works.index(r["work"]) for r in some]
            middle = [r["ratio"]["median"] for r in some]
            ends = [[r["ratio"][end] for r in some] for end in ("low", "high")]
            face = colour if rival == OURS else "none"
            ax.hlines(at, *ends, color=colour, linewidth=1.2)
            ax.plot(middle, at, marker, color=colour, markerfacecolor=face, label=rival, zorder=3)
        n = list(NAMES).index(network)
        before = [(g.before[n], works.index(w)) for w, g in GOALS.items() if w in works and g.before[n] is not None]
        ax.plot(*zip(*before, strict=True), "|", color="black", markersize=12, label=f"{OURS}, before")
        ax.axvline(1, color="#bbbbbb", linewidth=0.8, zorder=0)
        ax.set(xscale="log", title=NAMES[network], yticks=range(len(works)), yticklabels=works)
        log_ticks(ax)
    axes[0].invert_yaxis()
    figure.supxlabel(f"times a bare pass: forward for CAMs,\n{BOTH} for the rest", fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=min(len(labels), 2 * len(networks) + 1),
        fontsize=8,
        frameon=False,
    )
    figure.savefig(DOCS / "figures" / "speed-methods.png")


def log_ticks(ax: Any) -> None:
    """Write plain numbers at a logarithmic axis."""
    high = ax.get_xlim()[1]
    ticks = [t for t in (0.5, 1, 1.5, 2, 3, 5, 10, 25, 50) if t <= high and not (t == 1.5 and high > 8)]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_xticks([], minor=True)


def widgets_chart(rows: Iterable[Row]) -> None:
    """Draw the cold toggles of the Explorer, what changes by its mark, with the bounds."""
    rows = [r for r in rows if r["widget"] == "Explorer"]
    methods = list(dict.fromkeys(r["method"] for r in rows))
    figure = viz.figure_class()(figsize=(7, 3.8), dpi=110, layout="constrained")
    ax = figure.subplots()
    looks: dict[str, tuple[str, str, Callable[[Row], float]]] = {
        "another handling": ("o", "#0042d0", lambda r: r["cold_ms"]),
        "another class": ("s", "#ce0018", lambda r: r["cold_ms"]),
        "the method alone, two classes": ("|", "black", lambda r: r["passes_ms"]),
    }
    for (label, (marker, colour, value)), control in zip(
        looks.items(), ("handling", "class_b", "handling"), strict=True
    ):
        some = [r for r in rows if r["control"] == control]
        at = [methods.index(r["method"]) for r in some]
        ax.plot([value(r) for r in some], at, marker, color=colour, label=label, markersize=12 if marker == "|" else 6)
    for n, method in enumerate(methods):
        cam = next(r["cam"] for r in rows if r["method"] == method)
        ax.vlines(CAM_MS if cam else OTHER_MS, n - 0.4, n + 0.4, color="#6e6e6e", linestyle=":")
    ax.plot([], [], ":", color="#6e6e6e", label="bound")
    ax.set(yticks=range(len(methods)), yticklabels=methods, xlabel="milliseconds to the new picture", xlim=(0, None))
    ax.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    figure.savefig(DOCS / "figures" / "speed-widgets.png")


if __name__ == "__main__":
    write_page(json.loads(FILE.read_text()))
