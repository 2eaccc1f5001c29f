"""The command ``posgrad-edu study``: measure, and write tables, verdicts and figures.

    posgrad-edu study                                        # the default: two networks, all methods, four checks
    posgrad-edu study --methods gradcam --methods lrp --networks vgg16 --images photos --jobs 4 --out vgg
    posgrad-edu study --device cuda                          # on a GPU

What is written, and where, says ``posgrad_edu/study/results.py``. Exit code 0 when all was measured, 1 when the study
stopped or a photo couldn't be read, 2 for a mistake in the command, 130 after Ctrl-C.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from posgrad_edu.cli.errors import one_line_errors
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.models import WeightsError, as_device
from posgrad_edu.study.planning import Plan, Study, plan
from posgrad_edu.study.results import write_results
from posgrad_edu.study.running import Interrupted, Outcome, StudyStopped, alone_in, not_written, run
from posgrad_edu.study.schema import CHECKS, MORE_CHECKS, PUBLISHED

INTERRUPTED = 130  # as a shell says it

HANDLING_NAMES = f"{', '.join((*HANDLINGS, PUBLISHED))}."
DEFAULT_HANDLINGS = ", ".join(Study.handlings)
CHECK_NAMES = f"{', '.join(CHECKS)}; {', '.join(MORE_CHECKS)}, which takes as long as these together."
DEFAULT_NETWORKS = ", ".join(Study.networks)

Names = list[str] | None
Methods = Annotated[Names, typer.Option(help="gradcam, lrp, ...", show_default="all")]
Handlings = Annotated[Names, typer.Option(help=HANDLING_NAMES, show_default=DEFAULT_HANDLINGS)]
Checks = Annotated[Names, typer.Option(help=CHECK_NAMES, show_default="the first four")]
Networks = Annotated[Names, typer.Option(help="Of torchvision or timm.", show_default=DEFAULT_NETWORKS)]
Images = Annotated[
    Path | None, typer.Option(help="A folder with pictures, in subfolders or not.", show_default="sample photos")
]
Limit = Annotated[int | None, typer.Option(help="At most that many pictures, evenly spread.")]
Scenes = Annotated[int, typer.Option(help="How many scenes a network of scenes looks at.")]
Contrasts = Annotated[Names, typer.Option(help="Explain a class's logit, that minus the mean.", show_default="both")]
Classes = Annotated[int, typer.Option(help="How many random classes the most likely one is compared with.")]
Mode = Annotated[str, typer.Option(help="cascading, cascading-from-input, independent.")]
Depths = Annotated[int, typer.Option(help="At how many depths parameters are randomized.")]
Seeds = Annotated[int, typer.Option(help="How many draws of random parameters.")]
Baseline = Annotated[str, typer.Option(help="What perturbation covers with: mean, blur, zero.")]
Jobs = Annotated[int, typer.Option(min=1, help="How many processes.")]
Scheduler = Annotated[str | None, typer.Option(help="A Dask cluster's scheduler: tcp://host:port.")]
Device = Annotated[
    str, typer.Option(help="Where the network runs: cpu, cuda, cuda:1, mps. With --scheduler: on its workers.")
]
Download = Annotated[bool, typer.Option("--download", help="Fetch weights that aren't here.")]
Out = Annotated[Path, typer.Option(help="The folder for results; run again to go on there.")]


def study(
    methods: Methods = None,
    handlings: Handlings = None,
    checks: Checks = None,
    networks: Networks = None,
    images: Images = None,
    limit: Limit = None,
    scenes: Scenes = 16,
    contrasts: Contrasts = None,
    classes: Classes = 3,
    mode: Mode = "cascading",
    depths: Depths = 8,
    seeds: Seeds = 3,
    baseline: Baseline = "mean",
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
    device: Device = "cpu",
    download: Download = False,
    out: Out = Path("study"),
) -> None:
    """Measure how much maps depend on the class and on the network's parameters, and hold it against the paper.

    Options in the plural can be given several times. Noise, edges and |x| are always measured along as controls.
    """
    given = {"methods": methods, "handlings": handlings, "checks": checks, "networks": networks, "contrasts": contrasts}
    fields: dict[str, Any] = {field: tuple(values) for field, values in given.items() if values}
    fields |= {"mode": mode, "classes": classes, "depths": depths, "seeds": seeds, "baseline": baseline}
    with one_line_errors():
        if scheduler is None:  # or else it's the workers that need the device
            as_device(device)
        chosen = Study(images=images, limit=limit, scenes=scenes, device=device, **fields)
        out.mkdir(parents=True, exist_ok=True)
    with one_line_stops(), alone_in(out):
        failures = _measure(chosen, out, jobs, scheduler, download)
    raise typer.Exit(1 if failures else 0)


def _measure(chosen: Study, out: Path, jobs: int, scheduler: str | None, download: bool) -> int:
    """Plan and run a study, write its results and say so; return how many units failed."""
    with one_line_errors():
        planned = plan(chosen, download)
    for (network, method), reason in planned.refused.items():
        typer.echo(f"posgrad-edu: {method} is left out for {network}: {reason}", err=True)
    outcome = run(planned.units, out, jobs, scheduler)
    write_results(outcome, planned, out)
    _say(outcome, planned, out)
    return len(outcome.failures)


@contextlib.contextmanager
def one_line_stops() -> Iterator[None]:
    """Turn what stops a study into one line on stderr, and the exit code that the module's docstring tells."""
    try:
        yield
    except (StudyStopped, WeightsError, OSError) as error:
        typer.echo(f"posgrad-edu: {not_written(error) if isinstance(error, OSError) else error}", err=True)
        raise typer.Exit(INTERRUPTED if isinstance(error, Interrupted) else 1) from error


def say_failures(outcome: Outcome) -> None:
    """Say on stderr what couldn't be measured, and why."""
    for failure in outcome.failures:
        typer.echo(f"posgrad-edu: left out {failure.photo} ({failure.check}): {failure.reason}", err=True)


def _say(outcome: Outcome, planned: Plan, out: Path) -> None:
    say_failures(outcome)
    before = len(planned.units) - outcome.computed - len(outcome.failures)
    already = f", {before} were there already" if before else ""
    typer.echo(f"{outcome.computed} units measured{already}. Written to {out}: report.md has the verdicts.")
