"""The command ``posgrad-edu study`` in this process, on two scenes: what it writes, says and refuses."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

import posgrad_edu as pg
from posgrad_edu.cli.app import app
from posgrad_edu.study import StudyStopped, measuring, planning, read_summary, running
from posgrad_edu.study import results as writing
from posgrad_edu.study.charts import dot_plot

SMALL = [
    "--networks",
    "scenes",
    "--scenes",
    "2",
    "--methods",
    "gradcam",
    "--methods",
    "lrp",
    "--depths",
    "2",
    "--seeds",
    "1",
]
SMALL += ["--checks", "class", "--checks", "parameters"]


def study(*options: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, ["study", *map(str, options)])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "out"
    result = study(*SMALL, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"4 units measured. Written to {out}: report.md has the verdicts.\n"
    return out


@pytest.mark.slow
def test_what_is_written(results: Path) -> None:
    names = {path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file()}
    figures = {f"figures/{name}" for name in ("class-scenes.png", "parameters-scenes.png", "maps-scenes.jpg")}
    units = {name for name in names if name.startswith("units/")}
    assert names - units == {"rows.parquet", "rows.csv", "summary.csv", "verdicts.csv", "report.md", *figures}
    assert len(units) == 4
    rows = pd.read_parquet(results / "rows.parquet")
    assert rows.to_csv(index=False, lineterminator="\n").encode() == (results / "rows.csv").read_bytes()
    assert {*rows.photo} == {"scene-0", "scene-1"}
    assert {"positive", "signed", "published"} == {*rows.handling[rows.method == "lrp"]}
    for figure in figures:
        assert min(Image.open(results / figure).size) > 200


@pytest.mark.slow
def test_the_report_shows_figures_and_verdicts(results: Path) -> None:
    text = (results / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# What the study measured\n\nNetworks: scenes (up to 2 photos a check).")
    assert "## Verdicts" in text
    assert "](figures/class-scenes.png)" in text
    assert "![Rank correlation of maps with those of the trained network, scenes, with 1, " in text
    assert "![scene-0, scenes. gradcam, signed" in text
    assert "What couldn't be measured" not in text
    summary = read_summary(results / "summary.csv")
    assert dot_plot(summary[summary.contrast == "mean"]).alt in text


@pytest.mark.slow
def test_running_again_measures_nothing(results: Path) -> None:
    before = (results / "report.md").read_bytes()
    result = study(*SMALL, "--out", results)
    assert "0 units measured, 4 were there already." in result.stdout
    assert (results / "report.md").read_bytes() == before


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a network of one convolution, which looks at photos of 16 x 16 pixels."""
    torch.manual_seed(0)
    conv, head = torch.nn.Conv2d(3, 4, 3), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * 14 * 14, 5))
    clf = pg.Classifier(torch.nn.Sequential(conv, torch.nn.ReLU(), head).eval(), pg.Preprocessing(size=16, resize=16))
    for module in (planning, measuring):
        monkeypatch.setattr(module, "load_classifier", lambda *_, **__: clf)
    measuring._classifier.cache_clear()
    yield "tiny"
    measuring._classifier.cache_clear()


@pytest.mark.slow
def test_a_damaged_photo_stops_nothing(tmp_path: Path, tiny: str) -> None:
    (tmp_path / "photos").mkdir()
    pg.load_photo("cat").save(tmp_path / "photos" / "b.png")
    (tmp_path / "photos" / "a.png").write_bytes((tmp_path / "photos" / "b.png").read_bytes()[:1000])
    options = ("--networks", tiny, "--methods", "gradient", "--handlings", "signed", "--checks", "class")
    result = study(*options, "--images", tmp_path / "photos", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "posgrad-edu: left out a.png (class): " in result.stderr
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "## What couldn't be measured\n\n* a.png (tiny, class): " in text
    assert "![b.png, tiny. gradient, signed" in text  # the example is a photo that can be read
    (tmp_path / "photos" / "b.png").unlink()
    nothing = study(*options, "--images", tmp_path / "photos", "--out", tmp_path / "nothing")
    assert nothing.exit_code == 1
    assert "Nothing could be measured. The first reason: " in nothing.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows neither")
def test_a_link_to_nowhere_and_a_name_that_is_no_text(tmp_path: Path, tiny: str) -> None:
    photos = tmp_path / "photos"
    (photos / "folder.png").mkdir(parents=True)
    pg.load_photo("cat").save(photos / "b.png")
    pg.load_photo("coffee").save(photos / "c.png")
    (photos / "a.png").symlink_to("nowhere.png")
    (photos / "c.png").rename(photos / os.fsdecode(b"caf\xe9.png"))
    (photos / os.fsdecode(b"d\xe9.png")).write_bytes(b"no picture")
    options = ("--networks", tiny, "--methods", "gradient", "--handlings", "signed", "--checks", "class")
    result = study(*options, "--images", photos, "--out", tmp_path / "out")
    assert result.exit_code == 1, result.exception
    assert "left out a.png (class): There is no file" in result.stderr
    assert "left out d\\udce9.png (class)" in result.stderr
    assert {*pd.read_csv(tmp_path / "out" / "rows.csv").photo} == {"b.png", "caf\\udce9.png"}
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "* a.png (tiny, class): " in report
    assert "* d\\udce9.png (tiny, class): " in report
    assert (
        "0 units measured, 2 were there already"
        in study(*options, "--images", photos, "--out", tmp_path / "out").stdout
    )


@pytest.mark.slow
def test_a_photo_that_vanishes_costs_its_maps_alone(tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a", "b"):
        pg.load_photo("cat").save(tmp_path / "photos" / f"{name}.png")
    before = writing.write_results

    def first_removed(*arguments: Any) -> None:
        (tmp_path / "photos" / "a.png").unlink()
        before(*arguments)

    monkeypatch.setattr("posgrad_edu.cli.study.write_results", first_removed)
    options = ("--networks", tiny, "--methods", "gradient", "--handlings", "signed", "--checks", "class")
    result = study(*options, "--images", tmp_path / "photos", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "![b.png, tiny. gradient" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_a_folder_that_another_study_writes_to(tmp_path: Path) -> None:
    hold = "import filelock, sys; l = filelock.FileLock(sys.argv[1]); l.acquire(); print(1, flush=True); input()"
    command = [sys.executable, "-c", hold, str(tmp_path / running.LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        result = study(*SMALL, "--out", tmp_path)
        other.kill()
    assert result.exit_code == 1
    assert result.stderr.startswith(f"posgrad-edu: Another study is writing to '{tmp_path}'. ")


@pytest.mark.slow
def test_a_disk_that_is_full_when_the_report_is_written(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (results / "report.md").read_bytes()

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    result = study(*SMALL, "--out", results)
    assert result.exit_code == 1
    assert result.stderr.endswith("\nposgrad-edu: The results can't be written: No space left on device.\n")
    assert (results / "report.md").read_bytes() == before
    assert list(results.rglob("*.part")) == []


@pytest.mark.parametrize(("error", "code"), [(running.Interrupted("Interrupted."), 130), (StudyStopped("Full."), 1)])
def test_a_study_that_stops(error: Exception, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise error

    monkeypatch.setattr("posgrad_edu.cli.study.run", stop)
    result = study(*SMALL, "--out", tmp_path)
    assert result.exit_code == code
    assert result.stderr == f"posgrad-edu: {error}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "gradcan"], "Did you mean 'gradcam'"),
        (["--networks", "efficientnet-lite"], "Did you mean"),
        (["--images", "nowhere"], "no folder 'nowhere'"),
        (["--seeds", "0"], "seeds is 1 or more"),
        (["--scenes", "1000000000"], "scenes is 100000 at most"),
        (["--seeds", "1000000000"], "seeds is 1000 at most"),
    ],
)
def test_mistakes_in_the_command(options: list[str], message: str, tmp_path: Path) -> None:
    result = study(*options, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
