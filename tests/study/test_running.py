"""Running a study in this process: what is finished is kept, and what can't be measured stops nothing.

What only other processes can show, such as one that is killed, is in ``test_interruptions.py``.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest

from posgrad_edu.models import WeightsError
from posgrad_edu.study import Plan, Study, StudyStopped, measure, plan, run, running


@pytest.fixture(scope="module")
def planned() -> Plan:
    """Four units of one scene each, of one method."""
    return plan(Study(methods=("gradient",), networks=("scenes",), scenes=4, checks=("class",)))


@pytest.fixture(scope="module")
def tables(planned: Plan) -> dict[str, pd.DataFrame]:
    return {unit.key: measure(unit) for unit in planned.units}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tables: dict[str, pd.DataFrame]) -> Iterator[list[str]]:
    """The keys of the units that are measured; the results are there already, so that it takes no time."""
    keys: list[str] = []

    def look_up(unit: Any) -> pd.DataFrame:
        keys.append(unit.key)
        return tables[unit.key]

    monkeypatch.setattr(running, "measure", look_up)
    return keys


def test_rows_are_those_of_the_units_in_their_order(planned: Plan, tmp_path: Path, measured: list[str]) -> None:
    outcome = run(planned.units, tmp_path, progress=False)
    whole = pd.concat([measure(unit) for unit in planned.units], ignore_index=True)
    pd.testing.assert_frame_equal(outcome.rows, whole)
    assert (outcome.computed, outcome.failures) == (4, [])
    assert measured == [unit.key for unit in planned.units]
    backwards = run(planned.units[::-1], tmp_path, progress=False)
    assert backwards.computed == 0
    assert list(backwards.rows.photo.unique()) == ["scene-3", "scene-2", "scene-1", "scene-0"]


def test_what_is_there_is_not_measured_again(planned: Plan, tmp_path: Path, measured: list[str]) -> None:
    assert run(planned.units[:1], tmp_path, progress=False).computed == 1
    left = tmp_path / "units" / f"{planned.units[1].file}.17.part"  # a process was killed while it wrote
    left.write_bytes(b"PAR1")
    assert run(planned.units, tmp_path, progress=False).computed == 3
    assert len(measured) == len(set(measured)) == 4
    assert not left.exists()


def test_a_unit_that_fails_is_named_and_tried_again(
    planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: dict[str, pd.DataFrame]
) -> None:
    broken = planned.units[1].key

    def look_up(unit: Any) -> pd.DataFrame:
        if unit.key == broken:
            raise OSError("cut\n  short")
        return tables[unit.key]

    monkeypatch.setattr(running, "measure", look_up)
    outcome = run(planned.units, tmp_path, progress=False)
    assert outcome.failures == [("scenes", "class", "scene-1", "cut short")]
    assert outcome.computed == 3
    broken = ""
    again = run(planned.units, tmp_path, progress=False)
    assert (again.computed, again.failures) == (1, [])


@pytest.mark.parametrize(
    ("error", "stop", "message"),
    [
        (
            KeyboardInterrupt(),
            running.Interrupted,
            r"^Interrupted\. 2 of 4 units are finished and kept in '.*'\. The same",
        ),
        (WeightsError("no  weights"), StudyStopped, r"^no weights 2 of 4 units are finished"),
    ],
)
def test_a_study_that_stops_keeps_what_is_finished(
    error: BaseException,
    stop: type[Exception],
    message: str,
    planned: Plan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tables: dict[str, pd.DataFrame],
) -> None:
    def look_up(unit: Any) -> pd.DataFrame:
        if unit.key == planned.units[2].key:
            raise error
        return tables[unit.key]

    monkeypatch.setattr(running, "measure", look_up)
    with pytest.raises(stop, match=message):
        run(planned.units, tmp_path, progress=False)
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


def test_a_full_disk_stops_a_study(
    planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: list[str]
) -> None:
    def full(table: pd.DataFrame, path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(running, "write_table", full)
    with pytest.raises(StudyStopped, match=r"^The results can't be written: No space left on device\. 0 of 4 units"):
        run(planned.units, tmp_path, progress=False)
    assert len(measured) == 1  # no more is begun


def test_a_worker_that_is_ended_is_explained() -> None:
    class KilledWorker(Exception):
        """As Dask's."""

    assert running._reason(KilledWorker()).startswith("A worker process was ended from outside")


def test_another_version_on_a_worker_is_refused(planned: Plan) -> None:
    index, result = running._attempt(3, planned.units[0], "0.0.0")
    assert index == 3
    assert "this process 0.0.0. Install the same." in str(result)


def test_a_scheduler_that_is_not_there(planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SCHEDULER_TIMEOUT", 0.5)
    with pytest.raises(StudyStopped, match=r"No Dask scheduler answers at 'tcp://127.0.0.1:1'"):
        run(planned.units, tmp_path, scheduler="tcp://127.0.0.1:1", progress=False)


def test_a_cluster_without_dask(planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(StudyStopped, match=r"A cluster needs Dask: pip install 'posgrad-edu\[cluster\]'"):
        run(planned.units, tmp_path, scheduler="tcp://127.0.0.1:1", progress=False)


# --- Devices ---


def test_a_device_that_is_not_here_stops_a_study(planned: Plan, tmp_path: Path) -> None:
    units = [unit._replace(device="cuda:99") for unit in planned.units]
    with pytest.raises(StudyStopped, match=r"^There is no device 'cuda:99' here\. There are: cpu.* 0 of 4 units"):
        run(units, tmp_path, progress=False)


def test_results_of_another_kind_of_device_are_kept_apart() -> None:
    study = Study(methods=("gradient",), networks=("scenes",), scenes=1, checks=("class",))
    keys = [plan(replace(study, device=device)).units[0].key for device in ("cpu", "cuda", "cuda:1", "mps")]
    assert keys[1] == keys[2]
    assert len(set(keys)) == 3
    assert plan(study).units[0].key == keys[0]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A Dask cluster in this process, of two workers with four threads each; one of them has a GPU to give."""
    from distributed import Scheduler, SpecCluster, Worker

    options: dict[str, Any] = {"nthreads": 4, "dashboard": False}
    workers = {n: {"cls": Worker, "options": options | more} for n, more in enumerate(({"resources": {"GPU": 1}}, {}))}
    scheduler = {"cls": Scheduler, "options": {"dashboard": False, "protocol": "inproc://"}}
    with SpecCluster(workers=workers, scheduler=scheduler, silence_logs=50) as made:
        yield made


@pytest.mark.parametrize(("device", "at_once", "used"), [("cuda", 1, 1), ("cpu", 4, 2)])
def test_units_of_a_gpu_go_to_its_worker_one_at_a_time(
    device: str,
    at_once: int,
    used: int,
    planned: Plan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tables: dict[str, pd.DataFrame],
    cluster: Any,
) -> None:
    from distributed import get_worker

    running_now, most, workers, together = [], [], set(), threading.Barrier(at_once)

    def look_up(unit: Any) -> pd.DataFrame:
        running_now.append(unit)
        most.append(len(running_now))
        workers.add(get_worker().address)
        if at_once > 1:
            together.wait(30)  # so many run at once, however busy the computer is
        else:
            time.sleep(0.2)  # a second one would come meanwhile
        running_now.remove(unit)
        return tables[unit.key]

    monkeypatch.setattr(running, "measure", look_up)
    units = [unit._replace(device=device) for unit in planned.units]
    outcome = run(units, tmp_path, scheduler=cluster.scheduler_address, progress=False)
    assert outcome.computed == 4
    assert max(most) == at_once
    assert len(workers) == used


def test_a_cluster_without_a_gpu(planned: Plan, tmp_path: Path, cluster: Any) -> None:
    cluster.worker_spec.pop(0)
    cluster.sync(cluster._correct_state)
    units = [unit._replace(device="cuda") for unit in planned.units]
    with pytest.raises(StudyStopped, match=r"No worker at '.*' has a GPU to give\. Start one .* --resources GPU=1"):
        run(units, tmp_path, scheduler=cluster.scheduler_address, progress=False)


# --- Damaged files, other studies, processes ---


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "other columns"])
def test_a_damaged_unit_is_measured_anew(
    damage: str, planned: Plan, tmp_path: Path, measured: list[str], tables: dict[str, pd.DataFrame]
) -> None:
    whole = run(planned.units, tmp_path, progress=False).rows
    file = tmp_path / "units" / planned.units[1].file
    content = bytearray(file.read_bytes())
    if damage == "other columns":
        pd.DataFrame({"a": [1]}).to_parquet(file)
    else:
        content[30] ^= 1  # in the first column's values, which nothing but a checksum notices
        changed = {"empty": b"", "cut": content[: len(content) // 2], "flipped": content, "text": b"no table"}
        file.write_bytes(changed[damage])
    measured.clear()
    again = run(planned.units, tmp_path, progress=False)
    assert measured == [planned.units[1].key]
    assert (again.computed, again.failures) == (1, [])
    pd.testing.assert_frame_equal(again.rows, whole)
    assert run(planned.units, tmp_path, progress=False).computed == 0


HOLD = """
import sys, time
from pathlib import Path
from posgrad_edu.study.running import alone_in
with alone_in(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_two_studies_on_one_folder(planned: Plan, tmp_path: Path, measured: list[str]) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(running.FolderInUse, match=r"Another study is writing to '.*--out"):
            run(planned.units, tmp_path, progress=False)
        assert measured == []
    finally:
        other.kill()  # and leaves its file
        other.wait()
    assert (tmp_path / running.LOCK).exists()
    assert run(planned.units, tmp_path, progress=False).computed == 4
    assert not (tmp_path / running.LOCK).exists()


def test_one_process_may_lock_twice(tmp_path: Path) -> None:
    with running.alone_in(tmp_path):
        with running.alone_in(tmp_path):
            pass
        assert (tmp_path / running.LOCK).exists()


@pytest.mark.parametrize(("jobs", "processes"), [(1, 1), (3, 3), (100_000, 4)])
def test_no_more_processes_than_units(
    jobs: int, processes: int, planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: list[str]
) -> None:
    started: list[int] = []

    class Here(joblib.Parallel):
        def __init__(self, n_jobs: int, **options: Any) -> None:
            started.append(n_jobs)
            super().__init__(n_jobs=1, **options)

    monkeypatch.setattr(joblib, "Parallel", Here)
    run(planned.units, tmp_path, jobs=jobs, progress=False)
    assert started == [processes]
    run(planned.units, tmp_path, jobs=jobs, progress=False)
    assert len(started) == 1  # nothing to measure, nobody to measure it


def test_jobs_that_make_no_sense(planned: Plan, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="jobs is 1 or more, not -1"):
        run(planned.units, tmp_path, jobs=-1, progress=False)


def test_a_folder_that_cannot_be_written_to(planned: Plan, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StudyStopped, match=r"^The results can't be written: Not a directory"):
        run(planned.units, tmp_path / "file" / "out", progress=False)
