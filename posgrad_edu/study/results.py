"""Writing what a study found into a folder: tables, the report and figures.

rows.parquet, rows.csv       every comparison; the columns are those of ``schema.TYPES``
summary.csv, verdicts.csv    means over photos with intervals; the paper's claims
report.md                    both as text, with what couldn't be measured
figures/                     curves over randomized layers, class sensitivity, maps
units/                       what is finished, written by ``running.py``
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posgrad_edu.data import ImageError
from posgrad_edu.data.files import whole_file, write_table, write_text
from posgrad_edu.metrics.perturbation import PERTURBATIONS
from posgrad_edu.study.charts import dot_plot, randomization_curves
from posgrad_edu.study.measuring import example, stays_trained
from posgrad_edu.study.planning import Plan, file_name
from posgrad_edu.study.report import markdown_report
from posgrad_edu.study.running import Outcome
from posgrad_edu.study.schema import leading_contrast
from posgrad_edu.study.summary import summarize
from posgrad_edu.study.verdicts import verdict_table
from posgrad_edu.viz import show_grid

if TYPE_CHECKING:
    from pandas import DataFrame


def write_results(outcome: Outcome, planned: Plan, out: Path) -> None:
    """Write the tables, the report and the figures; ``StudyStopped`` if there are no rows."""
    summary = summarize(outcome.some_rows())
    tables = {"rows.parquet": outcome.rows, "rows.csv": outcome.rows}
    tables |= {"summary.csv": summary, "verdicts.csv": verdict_table(summary)}
    for name, table in tables.items():
        write_table(table, out / name)
    figures = write_figures(outcome.rows, summary, planned, out / "figures")
    sections = [_still_trained(outcome.rows), _pictures(figures), _not_measured(outcome, planned)]
    write_text(markdown_report(summary) + "".join(sections), out / "report.md")


def write_figures(rows: DataFrame, summary: DataFrame, planned: Plan, folder: Path) -> dict[str, str]:
    """Write, for each network and what was measured of it, curves, class sensitivity and an example's maps.

    Returns what each figure shows, in words, by its file's name.
    """
    shown: dict[str, str] = {}
    for network, of_network in summary.groupby("network"):
        of_contrast = of_network[of_network.contrast == leading_contrast(of_network)]
        figures = _figures(str(network), rows[rows.network == network], of_contrast, planned)
        for name, figure in figures.items():
            kind = "jpg" if name == "maps" else "png"  # as PNG, maps of fine noise would fill megabytes
            path = folder / f"{name}-{file_name(str(network))}.{kind}"
            with whole_file(path) as file:
                figure.savefig(file, format=kind)
            shown[path.name] = figure.alt
    return shown


def _figures(network: str, rows: DataFrame, summary: DataFrame, planned: Plan) -> dict[str, Any]:
    """Return the figures of one network, by what they show."""
    figures: dict[str, Any] = {}
    if "class" in set(summary.check):
        figures["class"] = dot_plot(summary, "class")
    if summary["mode"].str.startswith("cascading").any():
        figures["parameters"] = randomization_curves(rows[rows.contrast == summary.contrast.iloc[0]])
    covered = summary[summary.check == "perturbation"]
    for mode in PERTURBATIONS:
        if len(some := covered[covered["mode"] == mode]):
            figures[f"perturbation-{mode}"] = dot_plot(some, "perturbation")
    photos = set(rows.photo)  # a damaged one has no rows, and no example
    for unit in planned.units:
        if unit.network == network and unit.picture.name in photos:
            try:
                view, maps = example(unit)
            except (OSError, ImageError):  # a photo that was measured and has been removed since
                continue
            figures["maps"] = show_grid(view, maps, limit=1, style="heatmap", title=f"{unit.picture.name}, {network}")
            break
    return figures


def _still_trained(rows: DataFrame) -> str:
    """Return a section of the report on what no randomization reached; empty if nothing was left."""
    kept = {name: stays_trained(str(name)) for name in rows[rows.check == "parameters"].network.unique()}
    lines = [f"* {name}: {what}" for name, what in kept.items() if what]
    heading = "\n## What keeps its trained values where all layers are random\n\n"
    return heading + "\n".join(lines) + "\n" if lines else ""


def _pictures(figures: Mapping[str, str]) -> str:
    """Return a section of the report with the figures."""
    lines = [f"![{' '.join(alt.split())}](figures/{file})" for file, alt in figures.items()]
    return "\n## Figures\n\n" + "\n\n".join(lines) + "\n"


def _not_measured(outcome: Outcome, planned: Plan) -> str:
    """Return a section of the report on what is missing in it; empty if nothing is."""
    lines = [f"* {f.photo} ({f.network}, {f.check}): {f.reason}" for f in outcome.failures]
    lines += [f"* {method} on {network}: {reason}" for (network, method), reason in planned.refused.items()]
    return "\n## What couldn't be measured\n\n" + "\n".join(lines) + "\n" if lines else ""
