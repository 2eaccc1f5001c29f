"""What readers get, word for word: reports, pages and charts of a small study made by hand.

Each text is held against the file of its name in ``snapshots``. Where a change is meant, write them anew and read the
difference: ``POSGRAD_EDU_SNAPSHOTS=write pytest tests/study/test_snapshots.py``
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image

from posgrad_edu.study import markdown_report, summarize, verdict_table
from posgrad_edu.study.audit import audit_page
from posgrad_edu.study.charts import _one_cascade, _points, dot_plot, plot, randomization_curves
from posgrad_edu.study.map_report import MapReport

FOLDER = Path(__file__).parent / "snapshots"
NAN = math.nan
PHOTOS = ("a", "b", "c")
# The height of each version's rank correlations: what a verdict goes by. Other claims have no rows.
HEIGHTS = {
    ("gradcam", "signed"): 0.0,
    ("gradcam", "positive"): 0.9,  # agrees
    ("gradcam++", "signed"): 0.8,
    ("gradcam++", "positive"): 0.6,  # alike, and less so than signed: partly
    ("layercam", "signed"): 0.2,
    ("layercam", "positive"): 0.4,  # more so, and not alike: partly
    ("fullgrad", "signed"): 0.3,
    ("fullgrad", "positive"): 0.1,  # disagrees
    ("fullgrad", "absolute"): 0.32,  # not surely more so
    ("lrp", "positive"): 0.7,  # nothing to compare with
    ("lrp", "published"): 0.5,
    ("rectgrad", "signed"): 0.1,
    ("rectgrad", "positive"): 0.2,  # of other photos
    ("guided-backprop", "signed"): 0.1,
    ("guided-backprop", "positive"): NAN,  # degenerate
    ("deconvnet", "signed"): 0.1,
    ("deconvnet", "positive"): 0.9,  # of one photo
    ("noise", "none"): 0.0,
    ("edges", "none"): 1.0,
    ("captum:Mine", "none"): 0.45,
}
FEW = ("gradcam", "fullgrad", "noise", "edges", "captum:Mine")  # of the scenes, which have more checks
SHOWN = {("rectgrad", "signed"): "a", ("rectgrad", "positive"): "bc", ("deconvnet", "positive"): "a"}


def same(name: str, text: str) -> None:
    """Hold a text against its file, or write it there."""
    path = FOLDER / name
    if os.environ.get("POSGRAD_EDU_SNAPSHOTS") == "write":
        path.write_text(text, encoding="utf-8", newline="\n")
    assert text.splitlines() == path.read_text(encoding="utf-8").splitlines()


def versions() -> Iterator[tuple[dict[str, Any], float, int]]:
    """Each version on each photo and network, with its height and its number."""
    kinds = itertools.product(("net", "scenes"), HEIGHTS.items(), PHOTOS, ("logit", "mean"))
    for number, (network, ((method, handling), height), photo, contrast) in enumerate(kinds):
        if photo in SHOWN.get((method, handling), PHOTOS) and (network == "net" or method in FEW):
            names = {"network": network, "photo": photo, "method": method, "handling": handling, "contrast": contrast}
            yield names, height - 0.1 * (contrast == "mean"), number


def similarity(height: float, number: float) -> dict[str, Any]:
    """Scores of two maps: near the height, and another for each number."""
    value = height + 0.08 * math.sin(number)
    scores = {"spearman": value, "spearman_abs": abs(value), "ssim": 0.5, "hog": 0.25}
    return {**scores, "degenerate": math.isnan(value)}


@functools.cache
def study() -> pd.DataFrame:
    """Rows of every check; the scenes' network alone has twins, objects and patches."""
    rows: list[dict[str, Any]] = []
    for names, height, n in versions():
        classes = names | {"check": "class", "target": 1}
        for other, comparison in enumerate(("random", "random", "least", "runner-up", "mine")):
            rows.append(classes | {"comparison": comparison, "other": other} | similarity(height, n + other))
        modes = ("cascading", "independent") if names["method"] in FEW else ("cascading",)
        for mode, depth in itertools.product(modes, (1, 4, 8)):
            place = {"check": "parameters", "mode": mode, "depth": depth, "layers": 8, "layer": f"l{depth}", "seed": 0}
            rows.append(names | place | similarity(height, n + depth))
        if names["network"] != "scenes":
            continue
        rows.append(names | {"check": "data", "target": 1} | similarity(height, n))
        share = {"energy": 0.5 + height / 4, "energy_abs": 0.4, "energy_other": 0.2, "hit": n % 2, "area": 0.25}
        place = {"check": "localization", "target": 1, "object": 0, "degenerate": math.isnan(height)}
        rows.append(names | place | share)
        for mode, comparison in itertools.product(("deletion", "insertion"), ("present", "least")):
            covered = names | {"check": "perturbation", "mode": mode, "comparison": comparison, "degenerate": False}
            areas = {"auc": 0.5, "auc_other": 0.6, "advantage": 0.1 * math.sin(n)}
            rows.append(covered | areas | {"target": 1, "other": 2})
    return pd.DataFrame(rows)


@functools.cache
def summary() -> pd.DataFrame:
    return summarize(study())


# --- Texts ---


def test_reports() -> None:
    same("report.md", markdown_report(summary()))
    logit = summary()[(summary().contrast == "logit") & (summary().network == "net")]
    early = logit[(logit.check != "parameters") | (logit.group == "classifier")]
    same("report-logit.md", markdown_report(early, "Of logits"))


def test_verdicts() -> None:
    table = verdict_table(summary()[summary().network == "net"]).round(3)
    same("verdicts.txt", "\n\n".join("\n".join(f"{k}: {v}" for k, v in row.items()) for _, row in table.iterrows()))


def test_pages_about_a_method() -> None:
    alike = [("gradcam, signed", 0.987), ("gradient, signed", 0.5), ("lrp, signed", -0.001), ("the fourth", 0.1)]
    pages = [audit_page("captum:Mine", summary(), alike), audit_page("gradcam", summary())]
    same("audit.md", "\n".join(pages))


def report_of_a_map() -> MapReport:
    """A report without a network: the numbers say nothing of its maps."""
    ramp = torch.arange(64.0).reshape(8, 8) / 63 - 0.25
    maps = {"map": ramp, "other_map": ramp.flip(0), "head_map": ramp.T, "edges_map": ramp.abs()}
    asked = {"label": "tabby & co", "target": 3, "probability": 0.625, "most_likely": "tabby & co", "contrast": "mean"}
    made = {"network": "net", "method": "gradcam", "handling": "positive", "layer": "layer4", "fine": False}
    rest = {"classes": ("dog", "cup", "owl"), "of_classes": (0.5, 0.9, -0.25), "head": "fc", "of_heads": (0.1, NAN)}
    box = {"share_in_box": 0.75, "box_area": 0.25}
    photo = Image.new("RGB", (8, 8), (9, 99, 199))
    return MapReport(photo=photo, spearman_edges=-0.125, **maps, **asked, **made, **rest, **box)  # type: ignore[arg-type]


def variants() -> Iterable[MapReport]:
    report, change = report_of_a_map(), dataclasses.replace
    yield report
    yield change(report, classes=("dog",), of_classes=(0.75,), of_heads=(0.8, 0.9), share_in_box=0.25)
    yield change(report, classes=("a", "b", "c", "d"), of_classes=(0.5,) * 4, probability=0.49, fine=True)
    yield change(report, most_likely="dog", layer="", handling="mine", contrast="logit", probability=0.5)
    yield change(report, share_in_box=None, box_area=None, of_classes=(NAN, NAN), map=torch.ones(8, 8))
    yield change(report, share_in_box=NAN, of_classes=(0.5,), of_heads=(0.5,), spearman_edges=NAN)


def test_pages_about_a_map() -> None:
    pages = [f"{one.markdown('map.jpg')}\n{one.fields()}\n\n{one!r}\n" for one in variants()]
    html = re.sub(r"(?<=base64,)[^\"]*", "...", report_of_a_map().html())
    drawn = [drawing(one.figure()) for one in (report_of_a_map(), dataclasses.replace(report_of_a_map(), fine=True))]
    same("map.md", "\n".join([*pages, html, *drawn]))


def test_a_saved_page_about_a_map(tmp_path: Path) -> None:
    report_of_a_map().save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    same("map.html", re.sub(r"(?<=base64,)[^\"]*", "...", page))
    report_of_a_map().save(tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == report_of_a_map().markdown("page.jpg")


# --- Charts ---


def drawing(figure: Any) -> str:
    """Return in words all that a figure draws: texts, axes, lines, areas, and the legend."""
    lines = [f"size {numbers(figure.get_size_inches())} dpi {figure.dpi} {type(figure.get_layout_engine()).__name__}"]
    lines += [f"text {one.get_text()!r} {one.get_fontsize()}" for one in figure.texts]
    for ax in figure.axes:
        lines.append(f"axes {ax.get_title()!r} {ax.title.get_fontsize()} {'on' if ax.axison else 'off'}")
        lines.append(f"  x {numbers(ax.get_xlim())} {ax.get_xlabel()!r} y {numbers(ax.get_ylim())} {ax.get_ylabel()!r}")
        lines.append(f"  ticks {numbers(ax.get_xticks())} and {numbers(ax.get_yticks())}")
        lines.append(f"  ticks {[one.get_text() for one in ax.get_yticklabels()]}")
        lines += [f"  {axis.axis_name} {ticks_in_words(axis.get_major_ticks())}" for axis in (ax.xaxis, ax.yaxis)]
        lines += [f"  {line_in_words(one)}" for one in ax.lines]
        lines += [f"  {area_in_words(one)}" for one in ax.collections if len(one.get_paths()) < 9]  # not the scale
        lines += [f"  picture {one.get_array().shape} {one.get_array().mean():.3f}" for one in ax.images]
    for legend in figure.legends:
        names = [(one.get_text(), one.get_fontsize()) for one in legend.get_texts()]
        lines.append(f"legend {names} {legend.get_frame_on()}")
    return "\n".join([*lines, f"alt {figure.alt}", ""])


def numbers(values: Iterable[float]) -> str:
    return " ".join(f"{float(value) + 0.0:.3f}" for value in values)


def ticks_in_words(ticks: list[Any]) -> str:
    """Say what of an axis is visible: the ticks, their labels, the grid."""
    parts = {"ticks": "tick1line", "labels": "label1", "grid": "gridline"}
    seen = [name for name, part in parts.items() if any(getattr(tick, part).get_visible() for tick in ticks)]
    return f"has {', '.join(seen) or 'none'}"


def line_in_words(line: Any) -> str:
    label = "" if line.get_label().startswith("_") else line.get_label()
    look = (line.get_color(), line.get_linestyle(), line.get_linewidth(), line.get_zorder())
    mark = (line.get_marker(), line.get_markersize())
    return f"line {label!r} x {numbers(line.get_xdata())} y {numbers(line.get_ydata())} {look} {mark}"


def area_in_words(area: Any) -> str:
    ends = [numbers(path.vertices.ravel()) for path in area.get_paths()]
    colours = [numbers(colour) for colour in (*area.get_facecolor(), *area.get_edgecolor())]
    return f"area {ends} {colours} {numbers(area.get_linewidth())}"


def test_charts_of_classes_and_places() -> None:
    table = summary()[summary().contrast == "mean"]
    figures = [dot_plot(table, group=group) for group in (None, "least", "mine")]
    figures += [dot_plot(table, check) for check in ("data", "localization")]
    for mode in ("deletion", "insertion"):
        figures.append(dot_plot(table[table["mode"] == mode], "perturbation"))
    cascade = table[(table.check == "parameters") & (table["mode"] == "cascading")]
    figures += [dot_plot(cascade, "parameters", group) for group in ("mean", "half")]
    figures.append(dot_plot(table, handlings=("absolute", "positive")))
    same("dots.txt", "\n".join(map(drawing, figures)))


def test_charts_of_random_layers() -> None:
    rows = study()[(study().contrast == "mean") & (study().network == "net")]
    rows = rows[rows.method.isin([*FEW, "lrp", "gradcam++", "guided-backprop"])]
    cascade, independent = (rows[rows["mode"] == mode] for mode in ("cascading", "independent"))
    figures = [randomization_curves(cascade), randomization_curves(independent, ("positive", "absolute"))]
    few = cascade[cascade.method.isin(["gradcam", "noise"])]
    figures += [randomization_curves(few.assign(spearman=few.spearman - 0.6)), plot(few)]
    points = _points(_one_cascade(cascade)).round(3).to_csv(index=False)
    same("curves.txt", "\n".join([*map(drawing, figures), points]))


def covered() -> pd.DataFrame:
    """Curves of two methods and four photos, one of them degenerate."""
    kinds = itertools.product(
        ("signed", "positive"), range(4), ("deletion", "insertion"), ("own", "other", "random", "edges")
    )
    rows = []
    for n, (method, photo, mode, order) in enumerate(kinds):
        for share in (0.0, 0.5, 1.0):
            kept = 1 - share if mode == "deletion" else share
            value = kept + 0.2 * share * (1 - share) * math.sin(n)
            place = {"photo": photo, "mode": mode, "order": order, "share": share, "kept": value}
            rows.append({"method": method, "target": 1, "other": 2, **place, "degenerate": photo == 3})
    return pd.DataFrame(rows)


def test_charts_of_covering() -> None:
    table = covered()
    alone = table[table.method == "signed"].drop(columns="method")
    same("covering.txt", "\n".join(drawing(plot(one)) for one in (table, alone)))


# --- Tables that draw themselves ---


@pytest.mark.parametrize("columns", [["method"], []])
def test_a_measures_table_draws_itself(columns: list[str]) -> None:
    rows = study()[(study().contrast == "logit") & (study().network == "net") & (study().check == "parameters")]
    rows = rows[(rows["mode"] == "cascading") & (rows.method == "gradcam")]
    table = rows[["photo", "target", "depth", "layers", "mode", "seed", "layer", "spearman", "degenerate"]]
    table = table.assign(target=1, method=rows.handling)
    if not columns:
        table = table[rows.handling == "signed"].drop(columns="method")
    same(f"measured-{len(columns)}.txt", drawing(plot(table.reset_index(drop=True))))
