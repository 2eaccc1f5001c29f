"""Run a study on several processes or a cluster, so that nothing that was finished is ever lost.

    units, refused = plan(Study())
    outcome = run(units, Path("results"), jobs=2)
    outcome.rows                                  # one table, in the order of the units

Each unit's result is written as soon as it's there, whole or not at all: into a file of another name first, which is
then renamed. A study that was interrupted (Ctrl-C, a killed process, a full disk, a power cut) is taken up where it
stopped by running it again: a unit whose file is there and whole isn't computed again. A file's name holds all that
its result depends on, so a changed study, photo or network never meets a result of the old one. A folder is one
study's at a time: another one is told so at once.

The units are independent, so the order in which they are finished doesn't matter, nor by how many processes. joblib
hands them out: to processes on this computer, or with ``scheduler`` to a Dask cluster. Only this process writes, so
the cluster's machines need no common disk, except for photos of your own, which they have to find under the same path.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import warnings
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from posgrad_edu.data.files import remove_parts, write_table
from posgrad_edu.errors import DeviceError
from posgrad_edu.models import WeightsError
from posgrad_edu.progress import bar
from posgrad_edu.study.measuring import measure
from posgrad_edu.study.planning import Unit, printable
from posgrad_edu.study.schema import TYPES, combined

if TYPE_CHECKING:
    from pandas import DataFrame

GPU = "GPU"  # what a Dask worker calls the device that it has to give: dask worker --resources GPU=1
UNITS, LOCK = "units", ".lock"
SCHEDULER_TIMEOUT = 10  # seconds
IDLE_TIMEOUT = 30  # seconds until a worker without work ends: one whose parent was killed mustn't stay for long


class Failure(NamedTuple):
    """A unit that couldn't be measured, such as one of a damaged photo, and why."""

    network: str
    check: str
    photo: str
    reason: str


class Outcome(NamedTuple):
    """What a run gave: the rows of all units that are finished, in order, and those that couldn't be measured."""

    rows: DataFrame
    failures: list[Failure]
    computed: int  # how many units were measured now; the others had been before

    def some_rows(self) -> DataFrame:
        """Return the rows; ``StudyStopped`` with the first reason if there are none."""
        if self.rows.empty:
            first = f" The first reason: {self.failures[0].reason}" if self.failures else ""
            raise StudyStopped(f"Nothing could be measured.{first}")
        return self.rows


class StudyStopped(RuntimeError):
    """A study that came to a halt before its end. What is finished is kept; the message says how to go on."""


class Interrupted(StudyStopped):
    """A study that was stopped by Ctrl-C."""


class FolderInUse(StudyStopped):
    """A folder into which another study is being written at this moment."""


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other studies out of a folder; ``FolderInUse`` if one is in it already. Can be nested.

    The system holds the lock, and opens it when the process ends, however it ends.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout:
        raise FolderInUse(
            f"Another study is writing to '{folder}'. Wait until it's finished, or write to another folder with --out."
        ) from None
    except NotImplementedError:  # a disk that knows no locks
        yield
        return
    try:
        yield
    finally:
        if lock.lock_counter == 1:
            with contextlib.suppress(OSError):  # Windows removes no file that is open
                (folder / LOCK).unlink()
        lock.release()


def run(
    units: Sequence[Unit], folder: Path, jobs: int = 1, scheduler: str | None = None, progress: bool = True
) -> Outcome:
    """Measure the units that aren't in the folder yet, write each there, and return the rows of all.

    jobs: how many processes, though never more than units; 1 for this one alone. scheduler: the address of a Dask
    scheduler, such as "tcp://host:8786", whose workers are used instead. progress: whether a bar with the time left is
    shown. Raises ``StudyStopped`` if it can't go on, with what to do. A photo that can't be read stops nothing: it's
    among the ``failures``, and is tried again by the next run.
    """
    if jobs < 1:
        raise ValueError(f"jobs is 1 or more, not {jobs}.")
    try:
        with alone_in(folder):
            return _run(units, folder, jobs, scheduler, progress)
    except OSError as error:
        raise StudyStopped(not_written(error)) from error


def _run(units: Sequence[Unit], folder: Path, jobs: int, scheduler: str | None, progress: bool) -> Outcome:
    there = {unit.key for unit in units if _kept(unit, folder) is not None}
    missing = [unit for unit in units if unit.key not in there]
    before = len(units) - len(missing)
    failures: list[Failure] = []
    written = 0
    try:
        with (
            bar(None, "study", len(units), initial=before, unit="unit", smoothing=0, disable=not progress) as shown,
            contextlib.closing(_results(missing, jobs, scheduler)) as results,
        ):
            for unit, result in results:
                if isinstance(result, Failure):
                    failures.append(result)
                else:
                    _keep(result, unit, folder)
                    written += 1
                shown.update()
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted. {_so_far(units, missing, written, folder)}") from None
    except Exception as error:
        raise StudyStopped(f"{_reason(error)} {_so_far(units, missing, written, folder)}") from error
    remove_parts(folder / UNITS)
    return Outcome(read_units(units, folder), failures, written)


# --- What is kept ---


def read_units(units: Sequence[Unit], folder: Path) -> DataFrame:
    """Return the rows of those units that are finished, in the order of the units."""
    tables = (_kept(unit, folder) for unit in units)
    return combined(table for table in tables if table is not None)


def _keep(table: DataFrame, unit: Unit, folder: Path) -> None:
    try:
        write_table(table, folder / UNITS / unit.file)
    except OSError as error:
        raise StudyStopped(not_written(error)) from error


def _kept(unit: Unit, folder: Path) -> DataFrame | None:
    """Return the rows of a unit that is finished; ``None`` if its file isn't there or is damaged."""
    import pandas as pd

    path = folder / UNITS / unit.file
    if not path.exists():
        return None
    try:
        table = pd.read_parquet(path, page_checksum_verification=True)
    except Exception:  # damaged files fail in many ways
        return None
    return table if {**table.dtypes.astype("string")} == TYPES else None


# --- Who measures ---


def _results(units: Sequence[Unit], jobs: int, scheduler: str | None) -> Generator[tuple[Unit, DataFrame | Failure]]:
    """Yield each unit with its result, in the order in which they are finished."""
    from joblib import Parallel, delayed

    if not units:
        return
    pinned = any(unit.device != "cpu" for unit in units)
    with _workers(min(jobs, len(units)), scheduler, pinned), warnings.catch_warnings():
        # joblib's word on units that are cancelled when a study stops; StudyStopped says it better.
        warnings.filterwarnings("ignore", message=".*tasks which were still being processed", category=UserWarning)
        # One unit at a time, so that each is written as soon as it's there.
        version = installed_version()
        parallel = Parallel(n_jobs=min(jobs, len(units)), batch_size=1, return_as="generator_unordered")
        for index, result in parallel(delayed(_attempt)(i, unit, version) for i, unit in enumerate(units)):
            if isinstance(result, Exception):
                raise result
            yield units[index], result


@contextlib.contextmanager
def _workers(jobs: int, scheduler: str | None, pinned: bool = False) -> Iterator[None]:
    """Let joblib use processes of one thread each, or a cluster.

    pinned: on a cluster, each unit takes one of what its worker calls a GPU, so that no two are measured on it at once,
    and none where there is none.
    """
    from joblib import parallel_config

    if scheduler is None:
        with (
            parallel_config("loky", inner_max_num_threads=1, idle_worker_timeout=IDLE_TIMEOUT)
            if jobs != 1
            else contextlib.nullcontext()
        ):
            yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("A cluster needs Dask: pip install 'posgrad-edu[cluster]'") from error
    try:
        client = Client(scheduler, timeout=SCHEDULER_TIMEOUT)
    except (OSError, ValueError) as error:
        raise ValueError(f"No Dask scheduler answers at {scheduler!r}. Start one: dask scheduler") from error
    with client:
        if pinned and not _gpus(client):
            raise ValueError(
                f"No worker at {scheduler!r} has a {GPU} to give. Start one for each: dask worker {scheduler} "
                f"--nthreads 1 --resources {GPU}=1"
            )
        with parallel_config("dask", client=client, **({"resources": {GPU: 1}} if pinned else {})):
            yield


def _gpus(client: Any) -> float:
    """Return how many devices the workers of a cluster have to give."""
    workers = client.sync(client.scheduler.identity)["workers"].values()
    return sum(worker.get("resources", {}).get(GPU, 0) for worker in workers)


def _attempt(index: int, unit: Unit, version: str) -> tuple[int, DataFrame | Failure | Exception]:
    """Measure a unit, in a worker. Errors are returned, not raised: some backends lose those that are raised."""
    if version != (own := installed_version()):
        return index, ValueError(f"A worker has posgrad-edu {own}, this process {version}. Install the same.")
    try:
        return index, measure(unit)
    except WeightsError as error:  # it would be the same with each photo
        return index, WeightsError(str(error))
    except DeviceError as error:
        return index, DeviceError(str(error))
    except Exception as error:  # whatever is wrong with a photo, the others go on
        reason = printable(" ".join(str(error).split())) or type(error).__name__
        return index, Failure(unit.network, unit.check, unit.picture.name, reason)


def installed_version() -> str:
    """Return the version of this package that is installed here; workers need the same."""
    return importlib.metadata.version("posgrad-edu")


# --- What is said ---


def _reason(error: Exception) -> str:
    """Return in words why a study stopped."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    if isinstance(error, TerminatedWorkerError) or type(error).__name__ == "KilledWorker":
        return "A worker process was ended from outside, perhaps for lack of memory. Fewer --jobs need less."
    if isinstance(error, OSError):
        return f"The processes that measure can't be started or reached: {error.strerror or error}."
    return " ".join(str(error).split())


def not_written(error: OSError) -> str:
    """Return in words why a file couldn't be written."""
    return f"The results can't be written: {error.strerror or error}."


def _so_far(units: Sequence[Unit], missing: Sequence[Unit], written: int, folder: Path) -> str:
    finished = len(units) - len(missing) + written
    return f"{finished} of {len(units)} units are finished and kept in '{folder}'. The same command goes on from there."
