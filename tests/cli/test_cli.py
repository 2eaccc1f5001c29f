"""The command line: what it prints, what it writes, what it refuses, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner, Result

import posgrad_edu as pg
from posgrad_edu.cli import course as cli_course
from posgrad_edu.cli import doctor
from posgrad_edu.cli import lab as cli_lab
from posgrad_edu.cli.app import app
from posgrad_edu.cli.explain import predictions
from posgrad_edu.models import weights
from posgrad_edu.viz import heatmap, overlay, symmetric_limit, two_digits
from posgrad_edu.widgets.controls import find_classes

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


def run(*arguments: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """Run a command that has to fail with one line on stderr and exit code 2; return that line."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("posgrad-edu: ")
    return result.stderr


def pixels(path: Path) -> np.ndarray:
    """Return a picture's levels."""
    return np.asarray(Image.open(path).convert("RGB"))


# --- the program itself ---


@pytest.mark.slow
def test_the_installed_program_writes_a_picture(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("posgrad-edu")
    command = [str(program), "explain", "coffee", "--class", "espresso", "--handling", "positive"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=300)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert f"gradcam, positive, class 967, espresso 95{NO_BREAK_SPACE}%: Evidence for the class only" in result.stdout
    assert result.stdout.endswith("Written to map.png.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]
    assert pixels(tmp_path / "map.png").std() > 10


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("doctor", "lab", "explain"):
        assert command in result.stdout


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_help_is_not_cut_off(columns: int) -> None:
    text = CliRunner().invoke(app, ["--help"], terminal_width=columns).stdout.partition("Commands:")[2]
    assert "..." not in text
    assert max(map(len, text.splitlines())) <= columns
    words = " ".join(text.replace("-\n", "-").split())
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        first = re.split(r"(?<=[.?])\s", " ".join((command.help or "").split()))[0]
        assert re.sub(r"-\s+", "-", f"{name} {first}") in re.sub(r"-\s+", "-", words), name


def test_version() -> None:
    assert run("--version").stdout == f"posgrad-edu {pg.__version__}\n"


# --- explain ---


@pytest.mark.slow
def test_handlings_give_different_pictures(tmp_path: Path) -> None:
    pictures = []
    for handling in ("signed", "positive"):
        out = tmp_path / f"{handling}.png"
        result = run("explain", "coffee", "--class", "least likely", "--handling", handling, "--out", out)
        assert result.exit_code == 0, result.output
        assert "class 747, punching bag" in result.stdout
        pictures.append(pixels(out).astype(int))
    assert pictures[0].shape == pictures[1].shape
    signed, positive = (picture[..., 0].sum() - picture[..., 2].sum() for picture in pictures)
    assert signed < positive  # blue against the punching bag, red for it


@pytest.mark.slow
def test_a_grid_has_a_row_a_method_and_handling_and_a_column_a_class(tmp_path: Path) -> None:
    one, grid = tmp_path / "one.png", tmp_path / "grid.png"
    assert run("explain", "cat", "--out", one).exit_code == 0
    many = ["--class", "tabby", "--class", "runner-up", "--class", 282, "--class", "281"]
    many += ["--method", "gradcam", "--method", "gradient", "--handling", "published", "--handling", "positive"]
    result = run("explain", "cat", *many, "--out", grid)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    classes = ["class 281, tabby", "class 285, Egyptian cat", "class 282, tiger cat"]  # 281 is tabby: drawn once
    rows = [f"{method}, {handling}" for method in ("gradcam", "gradient") for handling in ("published", "positive")]
    for line, start in zip(lines, [f"{row}, {one}" for row in rows for one in classes], strict=False):
        assert line.startswith(start)
    assert len(lines) == 4 * 3 + 1
    assert pixels(grid).shape[0] > 3 * pixels(one).shape[0]
    assert pixels(grid).shape[1] > 1.5 * pixels(one).shape[1]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are written."""
    figures: list[Any] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **o: (figures.append(self), save(self, *a, **o)))
    return figures


def ends(figure: Any) -> list[str]:
    """Return the upper end of each colour bar, as it is written."""
    bars = [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]
    return [(bar.get_xticklabels() if bar.get_xlabel() else bar.get_yticklabels())[-1].get_text() for bar in bars]


GROUPS = ["--class", "espresso", "--class", "least likely", "--method", "gradcam", "--method", "gradient"]
GROUPS += ["--handling", "signed", "--handling", "positive"]


@pytest.mark.parametrize(("scale", "bars"), [("row", 4), ("class", 4), ("map", 8)])
def test_scales(scale: str, bars: int, tmp_path: Path, drawn: list[Any]) -> None:
    clf, coffee = pg.load_classifier(), pg.load_photo("coffee")
    classes = [clf.index("espresso"), clf.least_likely(coffee)]
    x = clf.batch(coffee)
    cams = torch.stack([pg.explain(clf.net, x, [classes], "gradcam", h)[0].abs() for h in ("signed", "positive")])
    result = run("explain", "coffee", *GROUPS, "--scale", scale, "--out", tmp_path / "map.png")
    assert result.exit_code == 0, result.output
    (figure,) = drawn
    assert len(ends(figure)) == bars
    # GradCAM's bars come first; those of gradients, whose few extreme pixels saturate, are never one with them.
    expected = {
        "row": cams.amax((1, 2, 3)),
        "class": cams.amax((0, 2, 3)),
        "map": cams.amax((2, 3)).flatten(),
    }[scale]
    assert ends(figure)[: len(expected)] == [f"+{two_digits(float(value))}" for value in expected]


def test_a_mixed_grid_keeps_the_photo_below_the_coarse_maps(tmp_path: Path, drawn: list[Any]) -> None:
    mixed = ["--method", "gradcam", "--method", "gradient", "--handling", "signed"]
    assert run("explain", "coffee", *mixed, "--out", tmp_path / "map.png").exit_code == 0
    clf, coffee = pg.load_classifier(), pg.load_photo("coffee")
    cam, gradient = (pg.explain(clf.net, clf.batch(coffee), 967, name)[0] for name in ("gradcam", "gradient"))
    pictures = [np.asarray(ax.images[0].get_array()) for ax in drawn[0].axes if ax.images]
    assert (pictures[1] == overlay(clf.view(coffee), cam, symmetric_limit([cam]))).all()
    assert (pictures[2] == heatmap(gradient, symmetric_limit([gradient], 0.999))).all()


def test_size_and_resolution(tmp_path: Path) -> None:
    sizes = {}
    for name, options in {"plain": [], "dpi": ["--dpi", 220], "size": ["--size", 4.4]}.items():
        out = tmp_path / f"{name}.png"
        assert run("explain", "coffee", "--out", out, *options).exit_code == 0
        sizes[name] = Image.open(out).size
    assert np.abs(np.subtract(sizes["dpi"], np.multiply(2, sizes["plain"]))).max() <= 1
    assert sizes["size"][0] - sizes["plain"][0] == pytest.approx(2 * 2.2 * 110, abs=2)  # the photo and one map


@pytest.mark.parametrize("ending", [".webp", ".gif"])
def test_a_film_flips_the_switch(ending: str, tmp_path: Path) -> None:
    out = tmp_path / f"flip{ending}"
    classes = ["--class", "espresso", "--class", "least likely", "--handling", "signed", "--handling", "positive"]
    assert run("explain", "coffee", *classes, "--scale", "class", "--out", out).exit_code == 0
    film = Image.open(out)
    colours = []
    for n in range(film.n_frames):  # type: ignore[attr-defined]
        film.seek(n)
        frame = np.asarray(film.convert("RGB")).astype(int)
        height, width = frame.shape[:2]
        right = frame[height // 4 : height // 2, 2 * width // 3 : -width // 8]  # the punching bag's map
        colours.append((right[..., 0] - right[..., 2]).mean())
    assert len(colours) == 2
    assert colours[0] < -10 < 10 < colours[1]  # blue turns red


@pytest.mark.slow
def test_a_contrast_is_drawn_and_said(tmp_path: Path) -> None:
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    asked = ("explain", "cat", "--class", "tabby", "--contrast")
    mean, lynx = run(*asked, "mean", "--out", one), run(*asked, "lynx", "--out", other)
    assert "gradcam, published, logit minus the mean of all, class 281, tabby" in mean.output
    assert "logit minus lynx's, class 281, tabby" in lynx.output
    assert one.read_bytes() != other.read_bytes()


@pytest.mark.slow
def test_every_ending_gives_that_kind_of_file(tmp_path: Path) -> None:
    begins = {".png": b"\x89PNG", ".JPG": b"\xff\xd8", ".pdf": b"%PDF", ".svg": b"<?xml"}
    for ending, start in begins.items():
        out = tmp_path / f"map{ending}"
        assert run("explain", "cat", "--out", out).exit_code == 0
        assert out.read_bytes().startswith(start)
    assert len(list(tmp_path.iterdir())) == len(begins)  # nothing else is left behind


@pytest.mark.slow
def test_a_photo_of_ones_own_and_a_layer(tmp_path: Path) -> None:
    photo = tmp_path / "my cat.jpg"
    pg.load_photo("cat").save(photo)
    out = tmp_path / "map.png"
    result = run("explain", photo, "--layer", "blocks.5", "--out", out)
    assert result.exit_code == 0, result.output
    deep = run("explain", photo, "--out", tmp_path / "deep.png")
    assert deep.exit_code == 0
    assert not np.array_equal(pixels(out), pixels(tmp_path / "deep.png"))


def test_a_picture_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "map.png"
    out.write_bytes(b"the old one")

    def full(self: Any, file: BinaryIO, **options: Any) -> None:
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    assert "No space left" in refused("explain", "cat", "--out", out)
    assert out.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "index"),
    [
        ("espresso", 967),
        ("Espresso", 967),
        ("967", 967),
        ("most likely", 967),
        ("least-likely", 747),
        ("RUNNER UP", 968),
    ],
)
def test_words_for_classes(word: str, index: int) -> None:
    clf, coffee = pg.load_classifier(), pg.load_photo("coffee")
    assert [one.index for one in predictions(clf, coffee, [word])] == [index]
    assert find_classes(clf, [word], clf.logits(coffee)) == (index,)  # the widgets take the same words


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["cofee"], "Did you mean 'coffee'"),
        (["nowhere.jpg"], "There is no file 'nowhere.jpg'"),
        (["."], "is a folder"),
        (["broken.jpg"], "isn't a picture"),
        (["cat", "--class", "tigre cat"], "Did you mean 'tiger cat'"),
        (["cat", "--class", "1000"], "classes are 0 to 999"),
        (["cat", "--class", "-1"], "classes are 0 to 999"),
        (["cat", "--method", "gradcan"], "Did you mean 'gradcam'"),
        (["cat", "--handling", "posit"], "'positive'"),
        (["cat", "--network", "resnet5"], "'resnet50'"),
        (["cat", "--layer", "blocks.99"], "Did you mean 'blocks."),
        (["cat", "--layer", "foo"], "there are: conv_stem, bn1, blocks.0, "),
        (["cat", "--scale", "column"], "There is no scale 'column'. There are: class, row, map."),
        (["cat", "--dpi", "0"], "--dpi 10 to 2400"),
        (["cat", "--size", "nan"], "not nan and 110"),
        (["cat", "--size", "50", "--dpi", "1200"], "Choose a smaller --size or --dpi"),
        (["cat", "--contrast", "1000"], "classes are 0 to 999"),
        (["cat", "--contrast", "most likely"], "would be held against itself"),
        (["cat", "--method", "lrp", "--layer", "blocks.5"], "'layer'"),
        (["cat", "--out", "map.txt"], "isn't the name of a picture"),
        (["cat", "--out", "map"], "isn't the name of a picture"),
        (["cat", "--out", "nowhere/map.png"], "There is no folder 'nowhere'"),
        (["cat", "--out", "folder.png"], "is a folder"),
        (["mine.png", "--out", "mine.png"], "would be overwritten"),
    ],
)
def test_mistakes_are_answered_with_one_line(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.jpg").write_bytes(b"not a picture")
    Path("folder.png").mkdir()
    pg.load_photo("cat").save("mine.png")
    before = sorted(tmp_path.iterdir())
    assert says in refused("explain", *arguments)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "can't be written to" in refused("explain", "cat", "--out", tmp_path / "map.png")


def test_weights_that_are_not_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    said = refused("explain", "cat", "--network", "vgg16", "--out", tmp_path / "map.png")
    assert "not on this computer. --download fetches them once (528 MB)." in said
    assert "download=True" not in said  # who types commands writes no Python
    assert "weights=" not in said


# --- doctor ---


def test_doctor_finds_all_well() -> None:
    result = run("doctor")
    assert result.exit_code == 0, result.output
    *steps, verdict = result.stdout.splitlines()
    assert all(line.startswith("ok ") for line in steps)
    found = [line.split()[1] for line in steps]
    assert found == [
        f"{name}:" for name in ("python", *doctor.PACKAGES, "devices", "weights", "photos", "kernel", "map")
    ]
    assert verdict.startswith("All is well")


def test_doctor_names_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._devices().startswith("cpu")
    monkeypatch.setattr(doctor, "device_names", lambda: ["cpu", "cuda:0", "cuda:1"])
    assert doctor._devices() == "cpu, cuda:0, cuda:1; commands take --device cuda:0"


@pytest.mark.parametrize("command", [("explain", "coffee"), ("study",), ("audit", "gradcam")])
def test_a_device_that_is_not_here(command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused(*command, "--device", "cuda:99")
    assert said.startswith("posgrad-edu: There is no device 'cuda:99' here. There are: cpu")
    assert list(tmp_path.iterdir()) == []


def doctor_problem(name: str) -> str:
    """Return what doctor says of the step ``name``, which has to be a problem."""
    result = run("doctor")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    (line,) = [line for line in result.stdout.splitlines() if line.startswith(f"problem  {name}: ")]
    return line


def test_doctor_finds_broken_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = weights.lite_file(weights.DEFAULT_CLASSIFIER)
    broken = tmp_path / whole.name
    broken.write_bytes(whole.read_bytes()[:-1])
    monkeypatch.setattr(weights, "lite_file", lambda name: broken)
    assert "Install it again" in doctor_problem("weights")


def test_doctor_finds_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package"))
    assert "pip install" in doctor_problem("no-such-package")


def test_doctor_finds_missing_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    from posgrad_edu.data import photos

    lost = photos.Photo("lost", "scikit-image", "data/lost.png", "", "", "")
    monkeypatch.setattr(photos, "PHOTOS", (*photos.PHOTOS, lost))
    assert "lost missing. pip install" in doctor_problem("photos")


def test_doctor_finds_a_foreign_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    foreign = SimpleNamespace(argv=[str(tmp_path / "python"), "-m", "ipykernel_launcher"])
    monkeypatch.setattr("jupyter_client.kernelspec.KernelSpecManager.get_kernel_spec", lambda *_: foreign)
    assert "ipykernel install --sys-prefix" in doctor_problem("kernel")


def test_doctor_promises_no_course_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli_course, "PACKAGE", tmp_path / "site-packages" / "posgrad_edu")
    monkeypatch.chdir(tmp_path)
    assert doctor._course().startswith(", but the course isn't here. Change to its folder")


def test_doctor_and_a_course_that_cannot_be_written_to(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._course() == ": posgrad-edu lab opens the course."
    read_only(monkeypatch, course)
    assert "can't be written to. Copy '" in doctor._course()


# --- lab ---


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that ``lab`` would have started; each ends with exit code 3."""
    commands: list[list[str]] = []

    def start(command: list[str], env: dict[str, str], cwd: Path | None) -> SimpleNamespace:
        folder = Path(env["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0])
        assert json.loads((folder / "labconfig" / "page_config.json").read_text())["disabledExtensions"]
        commands.append(command)
        return SimpleNamespace(wait=lambda: 3)

    monkeypatch.setattr(cli_lab.subprocess, "Popen", start)
    for name in cli_lab.IN_JUPYTER:  # also where these tests run in a hub's terminal
        monkeypatch.delenv(name, raising=False)
    return commands


@pytest.fixture
def course(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A course of three lessons, which is the current folder."""
    root = tmp_path.resolve() / "a course"
    (root / "notebooks").mkdir(parents=True)
    for name in ("00_start_here", "02_gradcam", "05_more"):
        (root / "notebooks" / f"{name}.ipynb").write_text("{}")
    for name in ("02_gradcam", "05_gradcam_plus_plus"):
        (root / "exercises" / "release" / name).mkdir(parents=True)
        (root / "exercises" / "release" / name / f"{name}.ipynb").write_text("{}")
        (root / "exercises" / "release" / name / "expected.png").write_bytes(b"")
    monkeypatch.chdir(root)
    return root


def test_lab_opens_the_first_lesson(course: Path, started: list[list[str]]) -> None:
    assert run("lab").exit_code == 3  # JupyterLab's own
    (command,) = started
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={course}" in command
    assert "--LabApp.default_url=/lab/tree/my-course/00_start_here.ipynb" in command
    assert "--LabApp.news_url=None" in command
    assert ("--allow-root" in command) == (hasattr(os, "geteuid") and os.geteuid() == 0)
    assert not any("port" in word or "browser" in word for word in command)


@pytest.mark.parametrize("word", ["02", "2", "02_grad", "notebooks/02_gradcam.ipynb"])
def test_lab_opens_a_lesson(word: str, course: Path, started: list[list[str]]) -> None:
    run("lab", word, "--port", 8899, "--no-browser")
    (command,) = started
    assert "--LabApp.default_url=/lab/tree/my-course/02_gradcam.ipynb" in command
    assert {"--ServerApp.port=8899", "--ServerApp.port_retries=0", "--no-browser"} <= set(command)


def test_lab_finds_the_course_from_a_folder_in_it(
    course: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("notebooks")
    run("lab", "05_more.ipynb")
    assert f"--ServerApp.root_dir={course}" in started[0]
    assert "--LabApp.default_url=/lab/tree/my-course/05_more.ipynb" in started[0]


def test_lab_elsewhere_opens_the_course_beside_the_package(
    course: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_course, "PACKAGE", course / "posgrad_edu")
    run("lab")
    assert f"--ServerApp.root_dir={course}" in started[0]


LESSON = {
    "cells": [
        {"cell_type": "markdown", "metadata": {}, "source": "# 02"},
        {"cell_type": "code", "metadata": {}, "source": "1 + 1", "execution_count": 1, "outputs": [{"text": "2"}]},
    ]
}


def test_a_learner_gets_lessons_without_answers(course: Path, started: list[list[str]]) -> None:
    lesson = course / "notebooks" / "02_gradcam.ipynb"
    lesson.write_text(json.dumps(LESSON))
    (lesson.parent / "drawings").mkdir()
    (lesson.parent / "drawings" / "02.svg").write_text("<svg/>")
    assert "Your copy: my-course/02_gradcam.ipynb" in run("lab", "02", "--copy-only").output
    assert started == []
    mine = course / "my-course"
    text, code = json.loads((mine / "02_gradcam.ipynb").read_text())["cells"]
    assert text == LESSON["cells"][0]
    assert code == LESSON["cells"][1] | {"execution_count": None, "outputs": []}
    assert json.loads(lesson.read_text()) == LESSON
    assert sorted(p.name for p in mine.iterdir()) == [
        *("00_start_here.ipynb", "02_gradcam.ipynb", "05_more.ipynb", "drawings")
    ]
    assert (mine / "drawings" / "02.svg").exists()


def test_a_copy_of_a_lesson_is_never_overwritten(course: Path, started: list[list[str]]) -> None:
    run("lab", "02", "--copy-only")
    copy = course / "my-course" / "02_gradcam.ipynb"
    copy.write_text("my notes")
    run("lab", "02")
    assert copy.read_text() == "my notes"
    for name in ("02_gradcam-2", "02_gradcam-3"):
        said = run("lab", "--fresh", "02").output
        assert f"Your copy: my-course/{name}.ipynb" in said
        assert "The one before stays: my-course/02_gradcam.ipynb" in said
        assert f"--LabApp.default_url=/lab/tree/my-course/{name}.ipynb" in started[-1]
    assert copy.read_text() == "my notes"


def test_drawings_of_a_read_only_installation_can_be_replaced(course: Path) -> None:
    kept = course / "notebooks" / "drawings" / "02.svg"
    kept.parent.mkdir()
    kept.write_text("<svg/>")
    for path in (kept, kept.parent):
        path.chmod(path.stat().st_mode & ~0o222)
    mine = course / "my-course" / "drawings"
    for drawn in ("<svg/>", "<svg>better</svg>"):
        kept.chmod(0o644)
        kept.write_text(drawn)
        kept.chmod(0o444)
        assert run("lab", "02", "--copy-only").exit_code == 0
        assert [path.name for path in mine.iterdir()] == ["02.svg"]
        assert (mine / "02.svg").read_text() == drawn
        assert all(path.stat().st_mode & 0o200 for path in (mine, mine / "02.svg"))  # else no second time, but for root
    kept.parent.chmod(0o755)


def test_a_fresh_copy_of_a_new_lesson_is_its_first(course: Path, started: list[list[str]]) -> None:
    assert run("lab", "--fresh", "05", "--copy-only").output == "Your copy: my-course/05_more.ipynb\n"


def test_a_fresh_copy_is_of_a_lesson(course: Path, started: list[list[str]]) -> None:
    (course / "own.ipynb").write_text("{}")
    assert "isn't a lesson. Name one" in refused("lab", "--fresh", "own.ipynb")
    run("lab", "own.ipynb")
    assert "--LabApp.default_url=/lab/tree/own.ipynb" in started[0]


def test_the_address_of_a_notebook_of_any_name_is_whole(course: Path, started: list[list[str]]) -> None:
    (course / "own work #1.ipynb").write_text("{}")
    run("lab", "own work #1.ipynb")
    assert "--LabApp.default_url=/lab/tree/own%20work%20%231.ipynb" in started[0]


def test_a_copy_alone_needs_a_place(course: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    read_only(monkeypatch, course)
    assert "can't be written to. Copy '" in refused("lab", "--copy-only")
    assert started == []


def test_lab_without_a_course(started: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_course, "PACKAGE", tmp_path / "site-packages" / "posgrad_edu")
    assert "Change to the course's folder" in refused("lab")
    assert started == []


def test_lab_with_a_notebook_that_is_not_there(course: Path, started: list[list[str]], tmp_path: Path) -> None:
    assert "'02_gradcam'" in refused("lab", "02_gradcm")
    (tmp_path / "other.ipynb").write_text("{}")
    assert "Copy it into notebooks" in refused("lab", "../other.ipynb")
    assert started == []


def test_lab_without_jupyterlab(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_lab.importlib.util, "find_spec", lambda name: None)
    for name in cli_lab.IN_JUPYTER:
        monkeypatch.delenv(name, raising=False)
    for word, copy in {"lab": "my-course/02_gradcam.ipynb", "exercise": "exercises/mine/02_gradcam"}.items():
        said = run(word, "02")
        assert said.exit_code == 2
        assert "pip install" in said.stderr
        assert f"Your copy: {copy}" in said.stdout  # made all the same
        assert (course / copy).exists()


@pytest.mark.parametrize("name", ["JUPYTERHUB_SERVICE_PREFIX", "JUPYTER_SERVER_ROOT", "JPY_PARENT_PID"])
def test_in_a_jupyter_that_runs_no_second_one_is_started(
    name: str, course: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    for word, copy in {"lab": "my-course/02_gradcam.ipynb", "exercise": "exercises/mine/02_gradcam/"}.items():
        said = run(word, "02")
        assert said.exit_code == 0
        assert "running already" in said.output
        assert copy in said.output
    assert started == []
    run("lab", "02", "--port", 8899)  # who names a port wants another one
    assert len(started) == 1


def test_exit_codes_pass_through_and_a_signal_reaches_the_child() -> None:
    assert cli_lab._run([sys.executable, "-c", "raise SystemExit(7)"], os.environ) == 7
    before = signal.getsignal(signal.SIGTERM)
    parent = f"import os, signal; os.kill({os.getpid()}, signal.SIGTERM); signal.pause()"
    assert cli_lab._run([sys.executable, "-c", parent], os.environ) == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_lab_takes_photos_that_jupyter_alone_would_lose(course: Path, started: list[list[str]]) -> None:
    from jupyter_server.serverapp import ServerApp

    run("lab")
    (option,) = [word for word in started[0] if word.startswith("--ServerApp.tornado_settings=")]
    server = ServerApp()
    server.parse_command_line([option])
    assert server.tornado_settings["websocket_max_message_size"] > cli_lab.UPLOAD_MB * 10**6


def read_only(monkeypatch: pytest.MonkeyPatch, *roots: Path) -> None:
    """Let these folders and what lies in them look as to somebody who may only read, whoever runs the tests."""

    def inside(path: object) -> bool:
        return any(Path(str(path)).is_relative_to(root) for root in roots)

    access, mkdir = os.access, os.mkdir

    def refuse(path: str, *rest: Any, **options: Any) -> None:
        if inside(path):
            raise PermissionError(13, "Permission denied", str(path))
        mkdir(path, *rest, **options)

    monkeypatch.setattr(os, "access", lambda path, mode: access(path, mode) and not (mode == os.W_OK and inside(path)))
    monkeypatch.setattr(os, "mkdir", refuse)


def test_lab_says_that_nothing_is_saved(
    course: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_only(monkeypatch, course)
    said = run("lab").stderr
    assert "so changes aren't saved. Copy '" in said
    assert len(started) == 1


@pytest.mark.parametrize("home", ["none", "read-only"])
def test_lab_without_a_home(
    home: str, course: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    if home == "none":
        monkeypatch.setattr(Path, "home", none)
    else:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        (tmp_path / "home").mkdir()
        read_only(monkeypatch, tmp_path / "home")
    environments = []
    monkeypatch.setattr(cli_lab, "_run", lambda command, env, start_in: environments.append(env) or 0)
    assert "no home can be written to" in run("lab").stderr
    assert environments[0]["HOME"] == environments[0]["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0]


# --- exercise ---


def test_exercise_where_nothing_can_be_written(
    course: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_only(monkeypatch, course)
    said = refused("exercise", "02")
    assert f"can't be written to. Copy '{course}' to a folder of your own" in said
    assert started == []


def test_exercise_of_another_user(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("exercise", "02", "--copy-only").exit_code == 0
    read_only(monkeypatch, course / "exercises" / "mine")
    assert "02_gradcam' can't be written to. Copy" in refused("exercise", "02")


def test_a_copy_of_what_is_read_only_can_be_written(course: Path) -> None:
    release = course / "exercises" / "release" / "02_gradcam"
    for path in (*release.iterdir(), release):
        path.chmod(path.stat().st_mode & ~0o222)
    assert run("exercise", "02", "--copy-only").exit_code == 0
    mine = course / "exercises" / "mine"
    assert all(path.stat().st_mode & 0o200 for path in mine.rglob("*"))
    assert [path.name for path in mine.iterdir()] == ["02_gradcam"]
    release.chmod(0o755)


def test_a_copy_that_fails_leaves_nothing(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: str, **_: object) -> None:
        raise OSError(28, "No space left on device", target)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", full)
        assert "No space left on device" in refused("exercise", "02")
    assert list((course / "exercises" / "mine").iterdir()) == []
    assert run("exercise", "02", "--copy-only").exit_code == 0


def test_exercise_without_exercises(course: Path) -> None:
    shutil.rmtree(course / "exercises")
    assert "There is no exercises/release in '" in refused("exercise", "02")


def test_exercise_opens_a_copy_and_never_overwrites_it(course: Path, started: list[list[str]]) -> None:
    mine = course / "exercises" / "mine" / "02_gradcam"
    assert "Your copy: exercises/mine/02_gradcam/02_gradcam.ipynb" in run("exercise", "2", "--copy-only").output
    assert started == []
    assert (mine / "expected.png").exists()
    (mine / "02_gradcam.ipynb").write_text('{"answers": 1}')
    assert run("exercise", "02", "--no-browser").exit_code == 3  # JupyterLab's own
    assert "--LabApp.default_url=/lab/tree/exercises/mine/02_gradcam/02_gradcam.ipynb" in started[0]
    assert (mine / "02_gradcam.ipynb").read_text() == '{"answers": 1}'


def test_the_path_of_a_copy_is_the_one_from_where_one_stands(
    course: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder, path in {"exercises": "mine", "notebooks": "../exercises/mine"}.items():
        monkeypatch.chdir(course / folder)
        said = run("exercise", "02", "--copy-only").output
        assert said == f"Your copy: {path}/02_gradcam/02_gradcam.ipynb\n"
        assert Path(said.removeprefix("Your copy: ").strip()).is_file()
    assert run("lab", "05", "--copy-only").output == "Your copy: ../my-course/05_more.ipynb\n"
    monkeypatch.setattr(cli_lab, "__file__", str(course / "posgrad_edu" / "cli" / "lab.py"))
    monkeypatch.chdir(tmp_path)  # not in the course: it's found where the package lies
    assert Path(run("exercise", "02", "--copy-only").output.removeprefix("Your copy: ").strip()).is_file()


def test_exercise_that_is_not_there(course: Path, started: list[list[str]]) -> None:
    assert "'05_gradcam_plus_plus'" in refused("exercise", "03_gradcam++")
    assert "exercise" in refused("exercise", "0")
    assert not (course / "exercises" / "mine").exists()
