"""What maps cost: ours and other packages' on the same photo, in units of a pass that no method can do without.

    make bench                                # on two idle cores about twelve minutes
    python benchmarks/speed.py --quick        # the small network of the scenes, a round each: does it run?
    python benchmarks/speed.py --measures     # Quantus' whole randomization test, not a part: a quarter of an hour more
    python benchmarks/speed.py --busy         # beside other work: one thread, and its processor time counts

Everybody computes in one process with the same threads. A round runs the bare pass and each rival once, in random
order, and each rival's time is divided by the bare pass's of the same round, so that a computer that gets slower for a
minute changes no ratio. Reported are the median and the middle half of these ratios. The maps of the same run are
compared. Peak memory is measured in a process of its own for each network, in which one rival computes after the other
(Linux only): by how much that process grows at most while it computes a map.

Writes benchmarks/results/speed.json, the tables of docs/performance.md and their charts in docs/figures.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import json
import multiprocessing
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rivals import BOTH, OURS, WORKS, Rival, Subject, Work, bare, installed, subject
from torch import Tensor
from widget_speed import widget_rows

FILE = Path(__file__).with_name("results") / "speed.json"
NETWORKS = ("efficientnet-lite0", "resnet50", "vgg16")
PACKAGES = ("torch", "torchvision", "timm", "captum", "grad-cam", "torchcam", "zennit", "quantus")
PART = ("--photos", "4", "--layers", "4")  # of Quantus' randomization test: a minute or two
MIB = 2**20
BARE = "bare"


Clock = Callable[[], float]
Rounds = dict[str, list[float]]


def seconds(work: Callable[[], object], clock: Clock) -> float:
    start = clock()
    work()
    return clock() - start


def in_rounds(
    works: Mapping[str, Callable[[], object]], budget: float, most: int, least: int, clock: Clock = time.perf_counter
) -> Rounds:
    """Return the seconds of each work in each round, for about ``budget`` seconds; the order is drawn in each round."""
    for work in works.values():
        work()  # warm
    times: Rounds = {name: [] for name in works}
    order, draw, start = list(works), random.Random(0), time.perf_counter()
    for n in range(most):
        if n >= least and time.perf_counter() - start > budget:
            break
        draw.shuffle(order)
        for name in order:
            times[name].append(seconds(works[name], clock))
    return times


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return the median of some values, and the ends of their middle half."""
    values = sorted(values)
    if len(values) == 1:
        return {"median": values[0], "low": values[0], "high": values[0]}
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}


# --- Maps: is what is fast also right? ---


def likeness(ours: Tensor, theirs: Tensor, positive: bool) -> dict[str, float]:
    """Return how alike two maps (..., H, W) of one class, or of several, are; of several the least alike.

    Two maps that are zero everywhere are the same: a class without positive part has such ones.

    difference: the largest of any pixel, each map divided by its own largest magnitude first, since some packages scale
    their maps. correlation: of all pixels. positive: theirs has no negative part, so ours is compared without it.
    """
    a, b = (m.detach().double().reshape(-1, m.shape[-2:].numel()) for m in (ours, theirs))
    a = a.clamp(min=0) if positive else a
    tiny = torch.finfo(torch.float64).tiny
    scaled = [m / m.abs().amax(1, keepdim=True).clamp(min=tiny) for m in (a, b)]
    centred = [torch.nn.functional.normalize(m - m.mean(1, keepdim=True)) for m in scaled]
    both_empty = (scaled[0] == 0).all(1) & (scaled[1] == 0).all(1)
    correlation = (centred[0] * centred[1]).sum(1).masked_fill(both_empty, 1)
    return {"difference": float((scaled[0] - scaled[1]).abs().max()), "correlation": float(correlation.min())}


# --- Memory, in a process of its own ---


def peaks(rows: list[dict[str, Any]], threads: int) -> None:
    """Add ``peak_mib`` to the rows: measured in a fresh process for each network, where nothing else computes."""
    context = multiprocessing.get_context("spawn")
    for network in dict.fromkeys(row["network"] for row in rows):
        some = [row for row in rows if row["network"] == network]
        with context.Pool(1) as pool:
            found = pool.apply(peaks_of, (network, [(row["work"], row["rival"]) for row in some], threads))
        for row, mib in zip(some, found, strict=True):
            row["peak_mib"] = mib


def peaks_of(network: str, asked: list[tuple[str, str]], threads: int) -> list[float | None]:
    """Return by how much this process grows at most while it computes each map, in MiB; ``None`` where it's unknown."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not (status.exists() and os.access(reset, os.W_OK) and hasattr(ctypes.CDLL(None), "malloc_trim")):
        return [None] * len(asked)  # not Linux, or one without these: some containers, another C library
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    s, works, found = subject(network), {work.name: work for work in WORKS}, []
    bare(BOTH, s)()  # what PyTorch sets up once
    for name, rival in asked:
        compute = maker(s, works[name], rival)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back, so that it is seen when it's taken again
        reset.write_text("5")  # the peak starts anew from here
        before = _kib(status, "VmRSS")
        compute()
        found.append((_kib(status, "VmHWM") - before) * 1024 / MIB)
    return found


def _kib(status: Path, what: str) -> int:
    return int(re.search(rf"{what}:\s+(\d+)", status.read_text()).group(1))  # type: ignore[union-attr]


def maker(s: Subject, work: Work, name: str) -> Callable[[], Tensor]:
    """Return what computes a rival's map, or the bare pass."""
    return bare(work.unit, s) if name == BARE else next(r for r in work.rivals if r.name == name).make(s)


# --- All of it ---


def measured(network: str, budget: float, least: int, clock: Clock) -> Iterator[dict[str, Any]]:
    """Yield a row for each work and rival, and for the bare pass."""
    s = subject(network)
    for work in WORKS:
        if network not in work.networks:
            continue
        rivals = installed(work.rivals)
        makers = {BARE: bare(work.unit, s), **{r.name: r.make(s) for r in rivals}}
        times = in_rounds(makers, budget, work.most if least > 1 else 1, least, clock)
        map_of = {r.name: makers[r.name]() for r in rivals}
        for rival in (Rival(BARE, lambda s: lambda: s.x), *rivals):
            ratios = [t / unit for t, unit in zip(times[rival.name], times[BARE], strict=True)]
            row = {"network": network, "work": work.name, "unit": work.unit, "rival": rival.name}
            row |= {"setting": rival.setting, "other": rival.other, "rounds": len(ratios)}
            row |= {"ms": 1000 * statistics.median(times[rival.name]), "ratio": spread(ratios)}
            if rival.name not in (BARE, OURS):
                row["map"] = likeness(map_of[OURS], map_of[rival.name], rival.positive)
            print(f"{network:20} {work.name:22} {rival.name:18} {in_short(row)}", flush=True)
            yield row


def in_short(row: Mapping[str, Any]) -> str:
    ratio = row["ratio"]
    words = f"{row['ms']:8.1f} ms {ratio['median']:7.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"
    return words + (f"  maps {row['map']['difference']:.0e} {row['map']['correlation']:.3f}" if "map" in row else "")


def importing(code: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)


def imports(rounds: int) -> dict[str, Any]:
    """Return the seconds until ``pg.explain`` is there, and their ratio to those of PyTorch and torchvision."""
    works = {"ours": importing("import posgrad_edu as pg; pg.explain"), "torch": importing("import torch, torchvision")}
    times = in_rounds(works, 0, rounds, rounds)
    ratios = [a / b for a, b in zip(times["ours"], times["torch"], strict=True)]
    return {"seconds": statistics.median(times["ours"]), "ratio": spread(ratios)}


def machine(threads: int) -> dict[str, Any]:
    """Return what was measured on, with what."""
    model = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        found = re.search(r"model name\s*: (.*)", info.read_text())
        model = found.group(1) if found else model
    there = {p: _version(p) for p in PACKAGES}
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "versions": {p: v for p, v in there.items() if v},
        "date": date.today().isoformat(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def save(results: Mapping[str, Any]) -> None:
    """Write what was measured so far; ``NaN`` is refused, since no browser and few programs can read it."""
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def quantus_test(whole: bool, threads: int, busy: bool) -> str:
    """Return what benchmarks/randomization.py prints, of the whole test or of a part."""
    options = ["--threads", str(threads), *(["--busy"] if busy else [])] if whole else PART
    command = [sys.executable, str(Path(__file__).with_name("randomization.py")), *options]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def refuse_unknown(networks: Iterable[str], write: bool) -> None:
    """Refuse, before anything is measured, networks that nothing is measured of, or that the page has no place for."""
    known = NETWORKS if write else (*NETWORKS, "scenes")
    for name in networks:
        if name not in known:
            hint = " It goes with --print-only or --quick." if name == "scenes" else ""
            raise typer.BadParameter(f"{name!r} isn't one of {', '.join(known)}.{hint}", param_hint="--network")


def main(
    quick: Annotated[bool, typer.Option(help="One round with the scenes' network; nothing is written.")] = False,
    network: Annotated[list[str], typer.Option(help="Which networks.")] = list(NETWORKS),  # noqa: B006
    threads: Annotated[int, typer.Option(help="Of PyTorch.")] = os.cpu_count() or 1,
    budget: Annotated[float, typer.Option(help="Seconds for each kind of map and network.")] = 8,
    least: Annotated[int, typer.Option(help="Rounds of each, however long they take.")] = 5,
    busy: Annotated[bool, typer.Option(help="Count the processor time of one thread.")] = False,
    memory: Annotated[bool, typer.Option(help="Measure peak memory, too.")] = True,
    measures: Annotated[bool, typer.Option(help="Run the whole of Quantus' randomization test, not a part.")] = False,
    write: Annotated[bool, typer.Option("--write/--print-only", help="Write results and docs.")] = True,
) -> None:
    """Measure, print, and write."""
    warnings.simplefilter("ignore")  # captum warns of each hook that it sets
    threads, clock = (1, time.process_time) if busy else (threads, time.perf_counter)
    torch.set_num_threads(threads)
    write = write and not quick
    networks, least, budget = (["scenes"], 1, 0) if quick else (network, least, budget)
    refuse_unknown(networks, write)
    results: dict[str, Any] = {"machine": machine(threads) | {"busy": busy, "options": " ".join(sys.argv[1:])}}
    rows = results["passes"] = [row for name in networks for row in measured(name, budget, least, clock)]
    results["widgets"] = list(widget_rows("scenes" if quick else "efficientnet-lite0", 1 if quick else least, clock))
    results["imports"] = imports(1 if quick else 2 * least)
    if write:
        save(results)  # what follows runs in other processes, and may fail
    if memory and not quick:
        peaks(rows, threads)
    print(json.dumps(results["imports"]))
    if measures or write:
        results["measures"] = quantus_test(measures, threads, busy)
        print(results["measures"])
    if write:
        from speed_page import write_page

        save(results)
        write_page(results)


if __name__ == "__main__":
    typer.run(main)
