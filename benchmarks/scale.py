"""What a study of many photos costs, measured on a few, and what that makes for many machines.

    python benchmarks/scale.py            # about ten minutes on two cores

Measures seconds of processor time for each method and check on EfficientNet-Lite0, how much faster two processes are
than one, and what a finished unit costs to keep and to read again. Writes the tables into docs/scale.md.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from document import write_section

import posgrad_edu as pg
from posgrad_edu.methods import CONTROLS, METHODS
from posgrad_edu.metrics import features, randomizable_layers, randomized_steps, steps
from posgrad_edu.study import PUBLISHED, Study, Unit, measure, plan, run
from posgrad_edu.study.formatting import markdown_table
from posgrad_edu.study.running import UNITS, read_units

NETWORK = "efficientnet-lite0"
PHOTOS = ("cat", "coffee", "rocket", "china")  # as many for each of two processes
MANY = 50_000  # as many as ImageNet's validation set has


def processor_seconds(work: Callable[[], object]) -> float:
    """Return the processor time of a call: other programs on the computer don't count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def units_of(check: str, study: Study) -> list[Unit]:
    return [unit for unit in plan(study).units if unit.check == check and unit.picture.name in PHOTOS]


def cost_by_method() -> list[list[str]]:
    """Return a row a method: seconds a photo for signed and positive, one class, and for one random depth more."""
    clf = pg.load_classifier(NETWORK)
    x = clf.batch(pg.load_photo("cat"))
    rows = []
    for name in (*METHODS, *CONTROLS):
        handlings = ("signed", "positive") if name in METHODS else (None,)
        methods = {str(h): pg.methods.resolve(name, h) for h in handlings}
        one = [processor_seconds(lambda m=methods: pg.explain(clf.net, x, 0, m)) for _ in range(5)]
        maps = torch.stack([*pg.explain(clf.net, x, 0, methods).values()])
        compared = [processor_seconds(lambda m=maps: features(m)) for _ in range(5)]
        rows.append([name, *(f"{1000 * statistics.median(times):.0f}" for times in (one, compared))])
    return rows


def randomization_cost() -> float:
    """Return the seconds that one draw of all layers' random weights takes, depth by depth."""
    clf = pg.load_classifier(NETWORK)
    order = steps(randomizable_layers(clf.net, clf.batch()), depths=8)
    return processor_seconds(lambda: [None for _ in randomized_steps(clf.net, order)])


def seconds_by_check(study: Study) -> dict[str, float]:
    """Return the processor seconds of a unit of each check, with all methods; the median of some photos."""
    found = {}
    for check in ("class", "parameters"):
        units = units_of(check, study)
        measure(units[0])  # warm up
        found[check] = statistics.median(processor_seconds(lambda u=unit: measure(u)) for unit in units)
    return found


def speed_up(study: Study) -> tuple[float, float]:
    """Return the wall seconds of the same units with one process and with two, each once warm."""
    units = units_of("parameters", study) + units_of("class", study)
    seconds = []
    for jobs in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            run(units[-2:], Path(folder), jobs=jobs, progress=False)  # starts the processes
            start = time.perf_counter()
            run(units, Path(folder, "all"), jobs=jobs, progress=False)
            seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1]


def keeping(study: Study) -> dict[str, float]:
    """Return what finished units take: bytes on the disk, seconds to read again, rows, bytes in memory a row."""
    units = units_of("parameters", study)[:2] + units_of("class", study)[:2]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(units, folder, progress=False)
        size = sum(path.stat().st_size for path in (folder / UNITS).rglob("*.parquet")) / 2
        start = time.perf_counter()
        for _ in range(10):
            rows = read_units(units, folder)
        reading = (time.perf_counter() - start) / 10 / len(units)
    memory = rows.memory_usage(deep=True).sum() / len(rows)
    return {"bytes": size, "reading": reading, "rows": len(rows) / 2, "memory": memory}


def hours(seconds: float) -> str:
    """Write a time in the unit that suits it."""
    days = seconds / 86_400
    return f"{days:.1f} days" if days >= 2 else f"{seconds / 3600:.1f} hours"


def cluster(seconds: float, efficiency: float) -> list[list[str]]:
    """Return a row a number of machines with two cores each: the time for many photos."""
    return [
        [str(machines), str(2 * machines), hours(seconds * MANY / (2 * machines * efficiency))]
        for machines in (1, 10, 100)
    ]


def section(study: Study) -> str:
    """Measure, and return the section for the document."""
    checks, (alone, together), kept = seconds_by_check(study), speed_up(study), keeping(study)
    efficiency = alone / together / 2
    whole = [["class: three classes", f"{checks['class']:.1f}"]]
    whole.append(["parameters: 8 depths, 3 draws", f"{checks['parameters']:.1f}"])
    size, rows, minutes = MANY * kept["bytes"] / 1e9, MANY * kept["rows"], 2 * MANY * kept["reading"] / 60
    parts: Sequence[str] = (
        f"On two cores, {NETWORK}, one thread a process, medians. Milliseconds of processor time a photo, one class:",
        markdown_table(["method, signed and positive", "maps", "what the measures look at"], cost_by_method()),
        f"One draw of random weights for a cascade of 8 depths: {randomization_cost():.2f} s.",
        "A photo with all methods, handlings and controls, as the default study measures it:",
        markdown_table(["check", "processor seconds a photo"], whole),
        f"Two processes: {alone:.0f} s with one, {together:.0f} s with two, {alone / together:.2f} times faster.",
        f"A photo leaves {kept['bytes'] / 1000:.0f} kB in two files and {kept['rows']:.0f} rows. Reading a file again "
        f"takes {1000 * kept['reading']:.1f} ms, a row {kept['memory']:.0f} bytes in memory.",
        f"So {MANY:,} photos, both checks:",
        markdown_table(["machines", "cores", "time"], cluster(sum(checks.values()), efficiency)),
        f"They leave {2 * MANY:,} files, {size:.1f} GB, and {rows / 1e6:.0f} million rows: {minutes:.0f} minutes to "
        f"read them, {rows * kept['memory'] / 1e9:.0f} GB of memory for the one table that means are taken of.",
    )
    return "\n\n".join(parts)


def main(write: Annotated[bool, typer.Option("--write/--print-only", help="Write into docs/scale.md.")] = True) -> None:
    """Measure, print, and write the tables into docs/scale.md."""
    torch.set_num_threads(1)
    text = section(Study(handlings=("signed", "positive", PUBLISHED), networks=(NETWORK,)))
    print(text)
    if write:
        write_section("scale.md", "scale.py", text)


if __name__ == "__main__":
    typer.run(main)
