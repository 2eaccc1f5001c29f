"""The command ``posgrad-edu study``: measure, and write tables, verdicts and figures.

    posgrad-edu study                                        # the default: two networks, all methods, all checks
    posgrad-edu study --methods gradcam --methods lrp --networks vgg16 --images photos --jobs 4 --out vgg

In the folder of ``--out``:

    rows.parquet, rows.csv       every comparison; the columns are those of ``study.TYPES``
    summary.csv, verdicts.csv    means over photos with intervals; the paper's claims
    report.md                    both as text, with what couldn't be measured
    figures/                     curves over randomized layers, class sensitivity, maps
    units/                       what is finished, so that the same command goes on where it stopped

Exit code 0 when all was measured, 1 when the study stopped or a photo couldn't be read, 2 for a mistake in the
command, 130 after Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posgrad_edu.cli.errors import one_line_errors

if TYPE_CHECKING:
    from pandas import DataFrame

    from posgrad_edu.study.measure import Plan
    from posgrad_edu.study.run import Outcome

INTERRUPTED = 130  # as a shell says it


def study(
    methods: Annotated[list[str] | None, typer.Option(help="gradcam, lrp, ...", show_default="all")] = None,
    handlings: Annotated[
        list[str] | None,
        typer.Option(
            help="signed, positive, negative, absolute, published.", show_default="signed, positive, published"
        ),
    ] = None,
    checks: Annotated[
        list[str] | None, typer.Option(help="class, parameters, localization, data.", show_default="all")
    ] = None,
    networks: Annotated[
        list[str] | None,
        typer.Option(help="Of torchvision or timm.", show_default="efficientnet-lite0, scenes"),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="A folder with pictures, in subfolders or not.", show_default="sample photos")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most that many pictures, evenly spread.")] = None,
    scenes: Annotated[int, typer.Option(help="How many scenes the network of scenes looks at.")] = 16,
    mode: Annotated[str, typer.Option(help="cascading, cascading-from-input, independent.")] = "cascading",
    depths: Annotated[int, typer.Option(help="At how many depths parameters are randomized.")] = 8,
    seeds: Annotated[int, typer.Option(help="How many draws of random parameters.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="How many processes.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help="A Dask cluster's scheduler: tcp://host:port.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch weights that aren't here.")] = False,
    out: Annotated[Path, typer.Option(help="The folder for results; run again to go on there.")] = Path("study"),
) -> None:
    """Measure how much maps depend on the class and on the network's parameters, and hold it against the paper.

    Options in the plural can be given several times. Noise, edges and |x| are always measured along as controls.
    """
    from posgrad_edu.models import WeightsError
    from posgrad_edu.study.measure import Study, plan
    from posgrad_edu.study.run import Interrupted, StudyStopped, run

    given = {"methods": methods, "handlings": handlings, "checks": checks, "networks": networks}
    with one_line_errors():
        chosen = Study(
            **{field: tuple(names) for field, names in given.items() if names},
            images=images, limit=limit, scenes=scenes, mode=mode, depths=depths, seeds=seeds,
        )  # fmt: skip
        out.mkdir(parents=True, exist_ok=True)
        planned = plan(chosen, download)
    for (network, method), reason in planned.refused.items():
        typer.echo(f"posgrad-edu: {method} is left out for {network}: {reason}", err=True)
    try:
        outcome = run(planned.units, out, jobs, scheduler)
        write_results(outcome, planned, out)
    except (StudyStopped, WeightsError, OSError) as error:
        typer.echo(f"posgrad-edu: {error}", err=True)
        raise typer.Exit(INTERRUPTED if isinstance(error, Interrupted) else 1) from error
    _say(outcome, planned, out)
    raise typer.Exit(1 if outcome.failures else 0)


def write_results(outcome: Outcome, planned: Plan, out: Path) -> None:
    """Write the tables, the report and the figures; ``StudyStopped`` if there are no rows."""
    from posgrad_edu.study.claims import verdict_table
    from posgrad_edu.study.run import StudyStopped, write_table
    from posgrad_edu.study.summary import report, summarize

    if outcome.rows.empty:
        first = f" The first reason: {outcome.failures[0].reason}" if outcome.failures else ""
        raise StudyStopped(f"Nothing could be measured.{first}")
    summary = summarize(outcome.rows)
    tables = {"rows.parquet": outcome.rows, "rows.csv": outcome.rows}
    tables |= {"summary.csv": summary, "verdicts.csv": verdict_table(summary)}
    for name, table in tables.items():
        write_table(table, out / name)
    figures = write_figures(outcome.rows, summary, planned, out / "figures")
    text = report(summary) + _pictures(figures) + _not_measured(outcome, planned)
    (out / "report.md").write_text(text, encoding="utf-8")


def write_figures(rows: DataFrame, summary: DataFrame, planned: Plan, folder: Path) -> dict[str, str]:
    """Write, for each network and what was measured of it, curves, class sensitivity and an example's maps.

    Returns what each figure shows, in words, by its file's name.
    """
    from posgrad_edu.study.charts import class_sensitivity_bars, randomization_curves
    from posgrad_edu.study.measure import example, plain
    from posgrad_edu.viz import show_grid

    folder.mkdir(exist_ok=True)
    shown: dict[str, str] = {}
    for network, of_network in summary.groupby("network"):
        figures = {}
        if "least" in set(of_network.group):
            figures["class"] = class_sensitivity_bars(of_network)
        if of_network["mode"].str.startswith("cascading").any():
            measured = rows[(rows.network == network) & (rows.check == "parameters")]
            figures["parameters"] = randomization_curves(measured)
        measured_photos = set(rows.photo[rows.network == network])  # a damaged one has no rows, and no example
        unit = next(u for u in planned.units if u.network == network and u.picture.name in measured_photos)
        view, maps = example(unit)
        figures["maps"] = show_grid(view, maps, limit=1, style="heatmap", title=f"{unit.picture.name}, {network}")
        for name, figure in figures.items():
            # As PNG, maps of fine noise would fill megabytes.
            file = f"{name}-{plain(str(network))}.{'jpg' if name == 'maps' else 'png'}"
            figure.savefig(folder / file)
            shown[file] = figure.alt  # type: ignore[attr-defined]  # viz and charts give their figures one
    return shown


def _pictures(figures: Mapping[str, str]) -> str:
    """Return a section of the report with the figures."""
    lines = [f"![{' '.join(alt.split())}](figures/{file})" for file, alt in figures.items()]
    return "\n## Figures\n\n" + "\n\n".join(lines) + "\n"


def _not_measured(outcome: Outcome, planned: Plan) -> str:
    """Return a section of the report on what is missing in it; empty if nothing is."""
    lines = [f"* {f.photo} ({f.network}, {f.check}): {f.reason}" for f in outcome.failures]
    lines += [f"* {method} on {network}: {reason}" for (network, method), reason in planned.refused.items()]
    return "\n## What couldn't be measured\n\n" + "\n".join(lines) + "\n" if lines else ""


def _say(outcome: Outcome, planned: Plan, out: Path) -> None:
    for failure in outcome.failures:
        typer.echo(f"posgrad-edu: left out {failure.photo} ({failure.check}): {failure.reason}", err=True)
    before = len(planned.units) - outcome.computed - len(outcome.failures)
    already = f", {before} were there already" if before else ""
    typer.echo(f"{outcome.computed} units measured{already}. Written to {out}: report.md has the verdicts.")
