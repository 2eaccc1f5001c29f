"""The command ``posgrad-edu audit``: one page on what a method's maps depend on, this package's or another's.

posgrad-edu audit captum:GuidedBackprop
posgrad-edu audit zennit:EpsilonPlus --networks resnet50 --images my_photos --download
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from posgrad_edu.cli.errors import one_line_errors
from posgrad_edu.cli.study import Device, Download, Images, Jobs, Names, Networks, one_line_stops, say_failures
from posgrad_edu.data.files import write_table, write_text
from posgrad_edu.data.photos import load_photo
from posgrad_edu.models import as_device
from posgrad_edu.models.loading import load_classifier
from posgrad_edu.study.audit import audit_page, nearest
from posgrad_edu.study.planning import Plan, Study, plan
from posgrad_edu.study.running import alone_in, run
from posgrad_edu.study.schema import ALL_CHECKS, PUBLISHED
from posgrad_edu.study.summary import summarize

LIKE_PHOTOS = ("cat", "coffee")  # on which a method is held against this package's

Method = Annotated[str, typer.Argument(help="captum:NAME, grad-cam:NAME, zennit:NAME, or one of this package.")]
Handlings = Annotated[Names, typer.Option("--handling", help="For a method of this package.", show_default="published")]
Limit = Annotated[int, typer.Option(help="At most that many photos, and scenes.")]
Out = Annotated[Path | None, typer.Option(help="The folder for results.", show_default="audit-METHOD")]


def audit(
    method: Method,
    handlings: Handlings = None,
    networks: Networks = None,
    images: Images = None,
    limit: Limit = 8,
    jobs: Jobs = 1,
    device: Device = "cpu",
    download: Download = False,
    out: Out = None,
) -> None:
    """Print one page: do maps depend on the class and the network, point to the place, and cover what matters?

    Measured on photos, mosaics and scenes beside noise, edges and |x|. What is finished stays: run it again to go on.
    """
    options: dict[str, Any] = {
        "limit": limit,
        "scenes": limit,
        "depths": 5,
        "seeds": 1,
        "images": images,
        "checks": ALL_CHECKS,
        "device": device,
    }
    options |= {"networks": tuple(networks)} if networks else {}
    folder = out or Path(f"audit-{method.replace(':', '-')}")
    with one_line_errors():
        as_device(device)
        study = Study(methods=(method,), handlings=tuple(handlings or (PUBLISHED,)), **options)
        planned = plan(study, download)
        folder.mkdir(parents=True, exist_ok=True)
    for (network, _), reason in planned.refused.items():
        typer.echo(f"posgrad-edu: {network} is left out: {reason}", err=True)
    with one_line_stops(), alone_in(folder):
        failures = _audit(method, planned, folder, jobs, device)
    raise typer.Exit(1 if failures else 0)


def _audit(method: str, planned: Plan, folder: Path, jobs: int, device: str) -> int:
    """Measure, write the page and say it; return how many units failed."""
    outcome = run(planned.units, folder, jobs)
    summary = summarize(outcome.some_rows())
    say_failures(outcome)
    clf = load_classifier(planned.units[0].network).to(device)
    page = audit_page(method, summary, nearest(method, clf, [load_photo(name) for name in LIKE_PHOTOS]))
    write_table(summary, folder / "summary.csv")
    write_text(page, folder / "audit.md")
    typer.echo(page)
    return len(outcome.failures)
