"""Grading: what this course adds to nbgrader, cell by cell, and ``posgrad-edu grade`` in a real browser."""

from __future__ import annotations

import os
import runpy
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from chromium import CHROMIUM, NEEDS_CHROMIUM, QUIET
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from typer.testing import CliRunner

from posgrad_edu.cli import course as cli_course
from posgrad_edu.cli.app import app

pytest.importorskip("nbgrader", reason="needs the extra 'instructor'")

ROOT = Path(__file__).resolve().parents[1]
EXERCISES = ROOT / "exercises"
grading = SimpleNamespace(**runpy.run_path(str(EXERCISES / "grading.py")))
offline = SimpleNamespace(**runpy.run_path(str(EXERCISES / "offline.py")))


# --- A cell that ends its kernel ---


def executed(*sources: str) -> list[Any]:
    """Return the cells of a submission, run as autograding does."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    execute = grading.ExecuteTheOthers(timeout=60, extra_arguments=grading.kernel_arguments(), store_widget_state=False)
    return execute.preprocess(notebook, {"metadata": {"path": str(ROOT)}})[0].cells


def errors(cell: Any) -> list[str]:
    return [output.ename for output in cell.outputs if output.output_type == "error"]


@pytest.mark.slow
def test_a_cell_that_ends_its_kernel_costs_that_cell() -> None:
    before, ends, needs_it, after = executed(
        "a = 1", "import os\nb = 2\nos._exit(1)", "print(b)", "print(a + 1)\nassert a == 1"
    )
    assert errors(before) == []
    assert errors(ends) == ["KernelEnded"]
    assert errors(needs_it) == ["NameError"]
    assert errors(after) == []
    assert after.outputs[0].text == "2\n"


@pytest.mark.slow
def test_two_cells_may_end_the_kernel() -> None:
    ends = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    one, middle, two, last = executed(
        ends if os.name == "posix" else "import os\nos._exit(1)",
        "a = 1",
        "exit_ = __import__('os')._exit\nexit_(0)",
        "print(a)",
    )
    assert [errors(cell) for cell in (one, middle, two, last)] == [["KernelEnded"], [], ["KernelEnded"], []]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
def test_a_cell_that_takes_all_memory_is_refused_it() -> None:
    takes, after = executed(f"taken = bytearray({2 * grading.MEMORY_GB} << 30)", "print('here')")
    assert errors(takes) == ["MemoryError"]
    assert after.outputs[0].text == "here\n"


def test_a_kernel_that_does_not_start_is_not_a_cell_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from nbclient.exceptions import DeadKernelError
    from nbgrader.preprocessors import Execute

    def dead(*_: Any) -> None:
        raise DeadKernelError("Kernel died")

    monkeypatch.setattr(Execute, "preprocess", dead)
    with pytest.raises(DeadKernelError):
        executed("1")


# --- What other programs leave in a submission ---


def test_what_other_programs_leave_is_taken_away() -> None:
    mark = {"nbgrader": {"grade_id": "test-1", "grade": True}, "tags": ["a"]}
    cell = new_code_cell("1", metadata=mark | {"id": "Xy", "outputId": "o", "colab": {"height": 35}})
    metadata = {
        "widgets": {"application/vnd.jupyter.widget-state+json": {"ab": {}}},
        "colab": {},
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
    }
    notebook = new_notebook(cells=[cell], metadata=metadata)
    (tidied,) = grading.ForgetOtherPrograms().preprocess(notebook, {})[0].cells
    assert tidied.metadata == mark
    assert set(notebook.metadata) == {"kernelspec"}


# --- Feedback ---


def page_of(*texts: str) -> str:
    notebook = new_notebook(cells=[new_markdown_cell(text) for text in texts])
    return offline.OfflinePage().from_notebook_node(notebook)[0]


def test_formulas_need_no_script() -> None:
    page = page_of(r"With $w_k = \frac{1}{n} \sum_{ij} h(G_{k,ij})$:" + "\n\n" + r"$$\text{map} = \sum_k w_k A_k$$")
    assert page.count("<math") == 2
    assert page.count('display="block"') == 1
    assert "<mfrac>" in page
    assert r"\frac" not in page.replace("alttext", "")


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = page_of("$x$")
    assert offline.ELSEWHERE.findall(page) == []
    assert "cdnjs" not in page.split("</head>")[0].split("mermaid")[0]


@pytest.mark.parametrize("wrong", [r"$\frac{1}$", "$5 and 6$ coins", r"$\begin{cases} 1$"])
def test_a_formula_that_is_none_is_shown_as_it_was_written(wrong: str) -> None:
    assert "This stands" in page_of(f"{wrong}\n\nThis stands.")


@pytest.mark.slow
def test_all_formulas_of_the_exercises_are_understood() -> None:
    for path in (EXERCISES / "release").glob("*/*.ipynb"):
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
        formulas = sum(text.count("$") for text in cells)
        page = page_of(*cells)
        assert page.count("<math") >= formulas // 4, path.name
        assert "$$" not in page.split("<body")[1], path.name


# --- posgrad-edu grade ---


def test_grade_needs_the_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli_course, "PACKAGE", tmp_path / "site-packages" / "posgrad_edu")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["grade"])
    assert result.exit_code == 2
    assert "Get the repository or the sdist" in result.stderr


def test_grade_needs_nbgrader(monkeypatch: pytest.MonkeyPatch) -> None:
    from posgrad_edu.cli import grade

    monkeypatch.setattr(grade.importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["grade"])
    assert result.exit_code == 2
    assert "pip install 'posgrad-edu[instructor]'" in result.stderr


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where ``posgrad-edu grade`` serves a copy of the course, until the test ends."""
    shutil.copytree(EXERCISES, tmp_path / "exercises", ignore=shutil.ignore_patterns(".*", "mine", "gradebook.db"))
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    env = {**os.environ, "JUPYTER_TOKEN": "here", "PYTHONPATH": str(ROOT)}
    start = [sys.executable, "-c", "from posgrad_edu.cli.app import app; app()"]
    command = [*start, "grade", "--port", str(port), "--no-browser"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)
        try:
            for _ in range(200):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2).close()
                    break
                except OSError:
                    time.sleep(0.3)
            yield f"http://127.0.0.1:{port}/?token=here"
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.browser
@pytest.mark.slow
@NEEDS_CHROMIUM
def test_grade_opens_formgrader_with_the_assignments_in_its_table(address: str, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as play:
        context = play.chromium.launch_persistent_context(tmp_path / "p", executable_path=CHROMIUM, args=QUIET)
        page = context.new_page()
        page.goto(address)
        table = page.frame_locator("iframe").locator("table")
        table.get_by_text("02_gradcam").wait_for(timeout=120_000)
        rows = table.locator("tbody tr").count()
        text = table.inner_text()
        if folder := os.environ.get("POSGRAD_EDU_SHOTS"):
            page.screenshot(path=Path(folder) / "formgrader.png")
        context.close()
    assert rows == len(list((EXERCISES / "source").iterdir()))
    assert "No data available" not in text
