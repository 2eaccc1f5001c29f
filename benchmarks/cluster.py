"""What it costs to pin a study's units to devices, and what a graphics card could gain.

    python benchmarks/cluster.py          # about two minutes on two cores

Two workers of Dask on this computer, each with one abstract GPU to give: units run on the CPU, and wait for a GPU as
units of ``--device cuda`` do. Writes its section of docs/scale.md.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
import typer
from distributed import LocalCluster
from document import write_section
from joblib import Parallel, delayed

import posgrad_edu as pg
from posgrad_edu.methods import CONTROLS, METHODS
from posgrad_edu.metrics import features
from posgrad_edu.study import Study, measure, plan
from posgrad_edu.study.running import GPU, _workers

EMPTY, ROUNDS = 200, 5
NETWORK, PHOTO = "efficientnet-lite0", "cat"


def seconds(address: str, pinned: bool, work: Callable[[Any], Any], items: Sequence[Any]) -> float:
    """Return the wall seconds of some work, handed out as a study does."""
    with _workers(1, address, pinned):
        start = time.perf_counter()
        list(Parallel(batch_size=1, return_as="generator_unordered")(delayed(work)(item) for item in items))
        return time.perf_counter() - start


def compared(address: str, work: Callable[[Any], Any], items: Sequence[Any]) -> tuple[float, float]:
    """Return the median seconds without and with pins, measured in turns."""
    seconds(address, False, work, items)  # warm up
    turns = [[seconds(address, pinned, work, items) for pinned in (False, True)] for _ in range(ROUNDS)]
    free, pinned = (statistics.median(of_one) for of_one in zip(*turns, strict=True))
    return free, pinned


def maps_and_measures() -> tuple[float, float]:
    """Return the processor seconds of a photo's maps of all methods, and of what the measures look at in them."""
    clf = pg.load_classifier(NETWORK)
    x = clf.batch(pg.load_photo(PHOTO))
    handled = {f"{name}, {h}": pg.methods.resolve(name, h) for name in METHODS for h in ("signed", "positive")}
    methods: dict[str, Any] = handled | {name: pg.methods.resolve(name) for name in CONTROLS}
    times = []
    for _ in range(ROUNDS + 1):
        start = time.process_time()
        maps = torch.stack([*pg.explain(clf.net, x, 0, methods).values()])
        between = time.process_time()
        features(maps)
        times.append((between - start, time.process_time() - between))
    return tuple(statistics.median(of_one) for of_one in zip(*times[1:], strict=True))  # type: ignore[return-value]


def section() -> str:
    """Measure, and return the section for the document."""
    study = Study(networks=("scenes",), scenes=8, checks=("class",), methods=("gradcam", "gradient"))
    with LocalCluster(n_workers=2, threads_per_worker=1, resources={GPU: 1}, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        empty = compared(address, abs, range(EMPTY))
        units = compared(address, measure, some := plan(study).units)
    maps, measures = maps_and_measures()
    gain = (maps + measures) / measures
    milliseconds = [f"{1000 * each / EMPTY:.1f} ms" for each in empty]
    return (
        "Measured on two cores, with two workers of one abstract GPU each, all on the CPU, medians of "
        f"{ROUNDS} rounds: a unit without work takes {milliseconds[0]}, pinned {milliseconds[1]}; {len(some)} "
        f"small units take {units[0]:.1f} s, pinned {units[1]:.1f} s.\n\n"
        f"Reckoned: of a photo's {maps + measures:.2f} processor seconds for all methods, signed and positive "
        f"({NETWORK}, one class), the maps take {maps:.2f}, and what the measures look at {measures:.2f}. A GPU takes "
        f"over the maps alone. However fast it is, a worker becomes at most {gain:.1f} times faster."
    )


def main(write: Annotated[bool, typer.Option("--write/--print-only", help="Write into docs/scale.md.")] = True) -> None:
    """Measure, print, and write the figures into docs/scale.md."""
    torch.set_num_threads(1)
    text = section()
    print(text)
    if write:
        write_section("scale.md", "cluster.py", text)


if __name__ == "__main__":
    typer.run(main)
