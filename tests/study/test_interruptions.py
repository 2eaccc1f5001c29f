"""A study is never lost: killed, interrupted, on a full disk or on another cluster, it ends with the same table."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
from typer.testing import CliRunner

from posgrad_edu.cli.app import app
from posgrad_edu.study import Plan, Study, StudyStopped, Unit, measure, plan, run, running

pytestmark = pytest.mark.slow

# Fifteen units of some tenths of a second: enough of them to be stopped in between.
OPTIONS = {"methods": ("gradient", "guided-backprop"), "networks": ("scenes",), "scenes": 5, "depths": 2, "seeds": 1}
CHECKS = ("class", "parameters", "localization")
COMMAND = [
    sys.executable,
    "-c",
    "from posgrad_edu.cli.app import app; app()",
    "study",
    "--networks",
    "scenes",
    "--scenes",
    "5",
    "--depths",
    "2",
]
COMMAND += ["--seeds", "1", *(word for m in OPTIONS["methods"] for word in ("--methods", m))]
COMMAND += [word for check in CHECKS for word in ("--checks", check)]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
PATIENCE = 240  # seconds; on an idle computer each takes a few


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan(Study(**OPTIONS, checks=CHECKS))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def undisturbed(planned: Plan, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The table of a study that nothing happened to, by one process."""
    return table(run(planned.units, tmp_path_factory.mktemp("undisturbed"), progress=False).rows)


def table(rows: pd.DataFrame) -> bytes:
    return rows.to_csv(index=False).encode()


def finished(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*.parquet")}


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "It took too long."
        time.sleep(0.02)


def started(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start a study in a process group of its own, and wait until its first unit is finished."""
    process = subprocess.Popen(
        [*COMMAND, "--out", str(folder), *options],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background of a shell, Ctrl-C is ignored, and so it would be in their processes.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for(lambda: finished(folder) or process.poll() is not None)
    return process


def assert_goes_on(folder: Path, units: list[Unit], undisturbed: bytes) -> None:
    """Run the rest: only what was missing is measured, and the table is the same, to the byte."""
    there = len(finished(folder / "units"))
    assert 0 < there < len(units), "The study wasn't stopped in between."
    outcome = run(units, folder, progress=False)
    assert outcome.computed == len(units) - there
    assert table(outcome.rows) == undisturbed


# --- The same table, whoever measures ---


def test_one_process_or_two(planned: Plan, tmp_path: Path, undisturbed: bytes) -> None:
    outcome = run(planned.units, tmp_path, jobs=2, progress=False)
    assert table(outcome.rows) == undisturbed
    assert outcome.computed == len(planned.units)


def test_the_order_of_the_units_decides_that_of_the_rows(planned: Plan, tmp_path: Path, undisturbed: bytes) -> None:
    run(planned.units[::-1], tmp_path, progress=False)
    assert table(run(planned.units, tmp_path, progress=False).rows) == undisturbed


def test_nothing_is_measured_twice(
    planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: bytes
) -> None:
    run(planned.units, tmp_path, progress=False)
    monkeypatch.setattr(running, "measure", lambda unit: pytest.fail("measured again"))
    outcome = run(planned.units, tmp_path, progress=False)
    assert outcome.computed == 0
    assert table(outcome.rows) == undisturbed


# --- Killed ---


def test_the_process_is_killed(planned: Plan, tmp_path: Path, undisturbed: bytes) -> None:
    process = started(tmp_path, "--jobs", "2")
    process.kill()
    process.wait()
    assert_goes_on(tmp_path, planned.units, undisturbed)
    os.killpg(process.pid, signal.SIGKILL)  # its workers, which would end by themselves after a while


def test_a_worker_is_killed(planned: Plan, tmp_path: Path, undisturbed: bytes) -> None:
    process = started(tmp_path, "--jobs", "2")
    workers = [child for child in psutil.Process(process.pid).children() if "LokyProcess" in " ".join(child.cmdline())]
    assert len(workers) == 2
    workers[0].kill()
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "A worker process was ended from outside" in said
    assert "The same command goes on from there." in said
    assert "Traceback" not in said
    assert_goes_on(tmp_path, planned.units, undisturbed)


def test_ctrl_c(planned: Plan, tmp_path: Path, undisturbed: bytes) -> None:
    process = started(tmp_path, "--jobs", "2")
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all processes
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Interrupted. " in said
    assert "of 15 units are finished" in said
    assert_goes_on(tmp_path, planned.units, undisturbed)


# --- A cluster ---


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Dask scheduler."""
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    log = (folder / "log").open("w")
    process = subprocess.Popen([*command, "--no-dashboard", "--scheduler-file", file], stdout=log, stderr=log)
    try:
        wait_for(lambda: file.exists() and file.stat().st_size)
        yield pd.read_json(file, typ="series").address
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def two_workers(scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two workers of the scheduler; one is left for the test that comes after the one that kills the other."""
    folder = tmp_path_factory.mktemp("workers")
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--nthreads", "1", "--no-nanny"]
    command += ["--no-dashboard", "--local-directory", str(folder / "dask")]
    log = (folder / "log").open("w")
    workers = [subprocess.Popen(command, env=ENVIRONMENT, stdout=log, stderr=log) for _ in range(2)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def test_a_cluster_whose_user_is_killed(
    planned: Plan, tmp_path: Path, scheduler: str, two_workers: list[subprocess.Popen[bytes]], undisturbed: bytes
) -> None:
    process = started(tmp_path, "--scheduler", scheduler)
    process.kill()
    process.communicate()
    assert_goes_on(tmp_path, planned.units, undisturbed)


def test_a_cluster_gives_the_same_table_even_if_a_worker_is_killed(
    planned: Plan, tmp_path: Path, scheduler: str, two_workers: list[subprocess.Popen[bytes]], undisturbed: bytes
) -> None:
    process = started(tmp_path, "--scheduler", scheduler)
    two_workers[0].kill()
    there = len(finished(tmp_path))
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert there < len(planned.units)
    assert (tmp_path / "rows.csv").read_bytes() == undisturbed


# --- Disks and photos ---


def test_a_full_disk(planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: bytes) -> None:
    original, calls = pd.DataFrame.to_parquet, []

    def fills_up(self: pd.DataFrame, file: object, **options: object) -> None:
        calls.append(file)
        if len(calls) > 4:
            file.write(b"PAR1 and then")  # type: ignore[attr-defined]
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, file, **options)

    with monkeypatch.context() as patched:
        patched.setattr(pd.DataFrame, "to_parquet", fills_up)
        with pytest.raises(StudyStopped, match=r"No space left on device. 4 of 15 units are finished"):
            run(planned.units, tmp_path, progress=False)
    assert len(finished(tmp_path)) == 4
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".parquet"] == []
    assert_goes_on(tmp_path, planned.units, undisturbed)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_the_system_refuses_to_write(tmp_path: Path) -> None:
    limited = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); import signal; "
    limited += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from posgrad_edu.cli.app import app; app(sys.argv[1:])"
    command = [sys.executable, "-c", limited, *COMMAND[3:], "--out", str(tmp_path)]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 1
    assert "The results can't be written: File too large. 0 of 15 units are finished" in result.stderr
    assert "Traceback" not in result.stderr
    assert finished(tmp_path) == set()


def test_half_a_file_is_no_result(planned: Plan, tmp_path: Path, undisturbed: bytes) -> None:
    run(planned.units[:3], tmp_path, progress=False)
    fourth = tmp_path / "units" / planned.units[3].file
    (fourth.with_name(fourth.name + ".123.part")).write_bytes(b"PAR1")
    assert_goes_on(tmp_path, planned.units, undisturbed)
    assert list(tmp_path.rglob("*.part")) == []


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two photos, one of them cut short."""
    import posgrad_edu as pg

    folder = tmp_path / "photos"
    folder.mkdir()
    pg.load_photo("cat").save(folder / "good.png")
    pg.load_photo("coffee").save(folder / "short.png")
    whole = (folder / "short.png").read_bytes()
    (folder / "short.png").write_bytes(whole[: len(whole) // 2])
    return folder


def test_a_damaged_photo_stops_nothing(photos: Path, tmp_path: Path) -> None:
    options = [
        "--methods",
        "gradient",
        "--handlings",
        "signed",
        "--networks",
        "efficientnet-lite0",
        "--checks",
        "class",
    ]
    command = ["study", *options, "--images", str(photos), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "left out short.png" in result.stderr
    assert "cut short" in result.stderr
    rows = pd.read_csv(tmp_path / "out" / "rows.csv")
    assert {*rows.photo} == {"good.png"}
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "short.png (efficientnet-lite0, class)" in report
    # Repaired, it's measured by the next run, and what was there isn't measured again.
    import posgrad_edu as pg

    pg.load_photo("coffee").save(photos / "short.png")
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0, again.stderr
    assert "2 units measured, 1 were there already" in again.stdout
    assert {*pd.read_csv(tmp_path / "out" / "rows.csv").photo} == {"good.png", "short.png", "good.png+short.png"}


def test_a_damaged_first_photo_leaves_the_report_whole(photos: Path, tmp_path: Path) -> None:
    (photos / "short.png").rename(photos / "a.png")
    options = [
        "--methods",
        "gradient",
        "--handlings",
        "signed",
        "--networks",
        "efficientnet-lite0",
        "--checks",
        "class",
    ]
    result = CliRunner().invoke(app, ["study", *options, "--images", str(photos), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "![good.png, efficientnet-lite0. gradient, signed" in report  # the example is a photo that can be read
    assert "a.png (efficientnet-lite0, class)" in report


def test_methods_without_a_common_handling_have_a_report(tmp_path: Path) -> None:
    options = ["--networks", "scenes", "--scenes", "1", "--checks", "class", "--handlings", "published"]
    methods = ["--methods", "gradcam++", "--methods", "fullgrad"]
    result = CliRunner().invoke(app, ["study", *options, *methods, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.exception
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "gradcam++, positive:" in report
    assert "fullgrad, absolute:" in report


# --- The command ---


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results") / "out"
    result = CliRunner().invoke(app, [*COMMAND[3:], "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    return out


def test_what_is_written(results: Path, undisturbed: bytes) -> None:
    assert (results / "rows.csv").read_bytes() == undisturbed
    rows = pd.read_parquet(results / "rows.parquet")
    assert table(rows) == undisturbed
    assert "guided-backprop" in (results / "report.md").read_text(encoding="utf-8")
    assert len(pd.read_csv(results / "summary.csv")) > 10
    assert {*pd.read_csv(results / "verdicts.csv").verdict} <= {"agrees", "partly", "disagrees", "not measured"}


def test_figures_are_pictures(results: Path) -> None:
    from PIL import Image

    figures = sorted((results / "figures").glob("*"))
    assert [figure.name for figure in figures] == ["class-scenes.png", "maps-scenes.jpg", "parameters-scenes.png"]
    for figure in figures:
        assert min(Image.open(figure).size) > 200


def test_a_unit_is_measured_as_it_is_without_running(planned: Plan, undisturbed: bytes) -> None:
    first = table(measure(planned.units[0]))
    assert undisturbed.startswith(first)
