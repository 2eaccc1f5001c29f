"""The exercises: their form, the release made from them, what stubs and typical mistakes are told, and grading."""

from __future__ import annotations

import base64
import html
import importlib.util
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import numpy as np
import pytest
from jupyter_client.manager import KernelManager, start_new_kernel
from nbclient import NotebookClient
from PIL import Image

pytest.importorskip("nbgrader", reason="needs the extra 'instructor'")

ROOT = Path(__file__).resolve().parents[1]
EXERCISES = ROOT / "exercises"
WIDTH = 125
SHORT = 30  # of a call in a hint: a function's name and what it takes, and not what is done with it
KINDS = {"implement", "predict", "measure", "debug", "explain", "transfer"}
# What a cell that isn't written yet says for itself.
NOT_WRITTEN = r"isn't written yet|Write your code here, in place of this line|\bmissing\b"


def load_course() -> ModuleType:
    spec = importlib.util.spec_from_file_location("course", EXERCISES / "course.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


course = load_course()
ASSIGNMENTS: list[str] = course.ASSIGNMENTS
every_assignment = pytest.mark.parametrize("name", ASSIGNMENTS)


def source(name: str) -> nbformat.NotebookNode:
    return course.read(course.SOURCE, name)


def release(name: str) -> nbformat.NotebookNode:
    return course.read(course.RELEASE, name)


def marks(cell: Any) -> dict[str, Any]:
    return cell.metadata.get("nbgrader", {})


def prose(notebook: nbformat.NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def points(notebook: nbformat.NotebookNode) -> dict[str, int]:
    """Return the points of each graded cell."""
    return {marks(c)["grade_id"]: marks(c)["points"] for c in notebook.cells if marks(c).get("grade")}


def tasks(name: str) -> Iterator[tuple[str, str]]:
    """Yield number and text of each task: from its heading to the next one."""
    parts = re.split(r"^## Task (\d+) · ", prose(source(name)), flags=re.MULTILINE)
    yield from zip(parts[1::2], parts[2::2], strict=True)


LINE = r"^\*([a-z, ]+) · (\d+(?: \+ \d+)*) points?(, given by a person)? · (easy|medium|hard) · (\d+) minutes\*$"


def line(text: str) -> tuple[set[str], list[int], bool, int]:
    """Return the kinds, the points of each graded cell, whether a person gives them, and the minutes of a task."""
    found = re.search(LINE, text, re.MULTILINE)
    assert found, f"a task says its kind, points, difficulty and minutes: {text[:80]!r}"
    return set(found[1].split(", ")), [int(p) for p in found[2].split(" + ")], bool(found[3]), int(found[5])


# --- Form ---


def test_each_is_called_like_its_lesson_but_for_the_capstone() -> None:
    lessons = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    (capstone,) = set(ASSIGNMENTS) - lessons
    assert capstone.endswith("_capstone")
    assert len({name[:2] for name in ASSIGNMENTS}) == len(ASSIGNMENTS)


@every_assignment
def test_an_assignment_says_first_what_it_is_for(name: str) -> None:
    first = source(name).cells[0].source
    rows = dict(re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \|$", first, re.MULTILINE))
    assert list(rows) == ["You practise", "You need", "Time", "Points"]
    graded = points(source(name))
    by_hand = sum(p for key, p in graded.items() if key.startswith("answer"))
    assert rows["Points"] == f"{sum(graded.values())}, of which {by_hand} are given by a person"
    minutes = sum(line(text)[3] for _, text in tasks(name))
    assert rows["Time"] == f"about {minutes} minutes"


@every_assignment
def test_tasks_say_kind_points_difficulty_and_minutes(name: str) -> None:
    graded = points(source(name))
    found = list(tasks(name))
    assert 3 <= len(found) <= 6
    assert [number for number, _ in found] == [str(n + 1) for n in range(len(found))]
    for number, text in found:
        kinds, each, by_hand, _ = line(text)
        assert kinds <= KINDS
        own = {key: p for key, p in graded.items() if re.search(rf"-{number}(-|$)", key)}
        assert list(own.values()) == each
        assert by_hand == all(key.startswith("answer") for key in own)


@every_assignment
def test_each_assignment_has_something_to_repair_and_to_explain(name: str) -> None:
    kinds = set().union(*(line(text)[0] for _, text in tasks(name)))
    assert "explain" in kinds
    assert "debug" in kinds or name.endswith("_capstone")


def test_all_kinds_occur_often() -> None:
    kinds = [line(text)[0] for name in ASSIGNMENTS for _, text in tasks(name)]
    assert all(sum(kind in found for found in kinds) >= 5 for kind in KINDS)


@every_assignment
def test_cells_are_called_as_nbgrader_calls_them(name: str) -> None:
    named = [(cell.id, course.grade_id(cell)) for cell in source(name).cells if course.grade_id(cell)]
    assert [pair for pair in named if pair[0] != pair[1]] == [], "a cell's id, beside its grade_id"


@every_assignment
def test_hints_come_in_three_grades(name: str) -> None:
    coded = {cell.id.split("-")[1] for cell in source(name).cells if cell.id.startswith("solution-")}
    for number, text in tasks(name):
        hints = re.findall(r"<details><summary>(.+?)</summary>(.+?)</details>", text, re.DOTALL)
        if number not in coded:
            continue
        assert len(hints) % 3 == 0, f"task {number} has {len(hints)} hints"
        assert hints, f"task {number} has no hints"
        for n, (summary, words) in enumerate(hints):
            assert summary.startswith(f"Hint {n % 3 + 1}")
            assert n % 3 == 2 or "<code>" not in words, f"task {number}: code belongs into the third hint"


@every_assignment
def test_no_hint_is_a_line_of_the_solution(name: str) -> None:
    cells = source(name).cells
    solved = "".join("".join(cell.source.split()) for cell in cells if cell.id.startswith("solution-"))
    hinted = [
        html.unescape(code) for _, text in tasks(name) for code in re.findall(r"<code>(.+?)</code>", text, re.DOTALL)
    ]
    calls = [code for code in hinted if len(code) >= SHORT and "(" in code]
    assert [code for code in calls if "".join(code.split()) in solved] == []


@every_assignment
def test_points_are_where_nbgrader_looks(name: str) -> None:
    for cell in source(name).cells:
        mark = marks(cell)
        if cell.id.startswith("test-"):
            assert (cell.cell_type, mark["grade"], mark["solution"], mark["locked"]) == ("code", True, False, True)
            assert "assert" in cell.source
        elif cell.id.startswith("answer-"):
            assert (cell.cell_type, mark["grade"], mark["solution"]) == ("markdown", True, True)
            assert "Marking" in cell.source, "a model answer says how it is marked"
        elif mark and not mark["solution"]:
            assert mark["locked"], "learners can't change a statement by mistake"


@every_assignment
def test_links_and_pictures_lead_somewhere_from_source_and_release(name: str) -> None:
    for folder in (course.SOURCE, course.RELEASE):
        text = prose(course.read(folder, name))
        targets = [t for t in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text) if "://" not in t]
        assert any("notebooks" in t for t in targets)
        assert [t for t in targets if not (folder / name / t).exists()] == []
        for alt, _ in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text):
            assert len(alt.split()) >= 8, f"{alt!r} says too little of what a picture shows"


# --- The sources' outputs, which test_outputs.py compares ---


@every_assignment
def test_sources_ran_from_top_to_bottom_without_errors(name: str) -> None:
    code = [cell for cell in source(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [o for cell in code for o in cell.outputs]
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []
    printed = "\n".join(o.text for o in outputs if o.output_type == "stream")
    assert len(re.findall(r"\d|\bTrue\b|\bFalse\b", printed)) >= 4
    assert re.findall(r"-0\.0+\b(?!\d|e)|\d\.\d{7,}|0x[0-9a-f]{6,}", printed) == []


@every_assignment
def test_cells_are_short_and_lines_fit(name: str) -> None:
    for cell in source(name).cells:
        if cell.cell_type == "code" and not cell.id.startswith("test-"):
            assert len(cell.source.splitlines()) <= 32, cell.id
            assert max(map(len, cell.source.splitlines())) <= WIDTH, cell.id


# --- What learners get ---


@pytest.fixture(scope="module")
def gradebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new gradebook. nbgrader asks another program for its version, which takes three seconds."""
    folder = tmp_path_factory.mktemp("gradebook")
    course.Gradebook(course.Course(folder).database).close()
    return folder / "gradebook.db"


@pytest.fixture
def own(tmp_path: Path, gradebook: Path) -> Any:
    """A course of the test's own, with a copy of the new gradebook."""
    shutil.copy(gradebook, tmp_path)
    return course.Course(tmp_path)


@pytest.mark.slow
@every_assignment
def test_the_release_is_made_from_the_source(name: str, own: Any) -> None:
    """Otherwise: make release"""
    made = own.generate(name)
    committed = course.RELEASE / name
    assert {p.name for p in made.iterdir()} == {p.name for p in committed.iterdir() if not p.name.startswith(".")}
    assert json.loads((made / f"{name}.ipynb").read_text()) == json.loads((committed / f"{name}.ipynb").read_text())


@every_assignment
def test_expected_pictures_are_those_that_the_source_draws(name: str) -> None:
    named = set(re.findall(r"\]\((expected_\w+\.jpg)\)", prose(source(name))))
    drawn = course.pictures(name)
    assert named == set(drawn)
    for file, data in drawn.items():
        ours = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)
        theirs = np.asarray(Image.open(course.RELEASE / name / file).convert("RGB"), dtype=float)
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).mean() < 2


@every_assignment
def test_no_solution_or_hidden_test_is_released(name: str) -> None:
    handed_out = json.dumps(release(name))
    assert not re.search(r"(BEGIN|END) (SOLUTION|HIDDEN)|Marking", handed_out)
    shown = "\n".join(cell.source for cell in release(name).cells)
    for cell in source(name).cells:
        regions = re.findall(r"### BEGIN \w+.*?\n(.*?)### END", cell.source, re.DOTALL)
        if cell.id.startswith("answer-"):
            regions = [cell.source]
        secret = [row.strip() for region in regions for row in region.splitlines() if len(row.strip()) > 30]
        # A line that the statement shows, too, such as one of a broken function, is no secret.
        open_text = "\n".join(re.sub(r"### BEGIN.*?### END", "", c.source, flags=re.DOTALL) for c in source(name).cells)
        assert [row for row in secret if row in shown and row not in open_text] == []


@pytest.fixture(scope="module")
def kernel(quick_kernels: None) -> Iterator[KernelManager]:
    """One kernel for all notebooks: to start it takes longer than to run most of them."""
    manager, client = start_new_kernel(env={**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"})
    client.stop_channels()
    yield manager
    manager.shutdown_kernel(now=True)


def run(name: str, answers: dict[str, str], kernel: KernelManager) -> dict[str, str]:
    """Run the released notebook with some answers; return the error of each test cell, "" where it passed."""
    notebook = course.with_answers(name, answers)
    first = nbformat.v4.new_code_cell(f"%reset -f\n%cd -q {course.RELEASE / name}")
    notebook.cells.insert(0, first)
    NotebookClient(notebook, km=kernel, timeout=120, allow_errors=True).execute(cleanup_kc=False)
    return {cell.id: error(cell) for cell in notebook.cells if course.is_test(cell)}


def error(cell: Any) -> str:
    found = [o for o in cell.outputs if o.output_type == "error"]
    return f"{found[0].ename}: {found[0].evalue}" if found else ""


@pytest.mark.slow
@every_assignment
def test_stubs_fail_and_say_that_nothing_is_written_yet(name: str, kernel: KernelManager) -> None:
    for cell, said in run(name, {}, kernel).items():
        assert re.match(r"(AssertionError|NotImplementedError): .*", said, re.DOTALL), f"{cell}: {said or 'passed'}"
        assert re.search(NOT_WRITTEN, said), f"{cell}: {said}"


@pytest.mark.slow
@every_assignment
def test_typical_mistakes_are_told_what_is_wrong(name: str, kernel: KernelManager) -> None:
    answers = course.mistakes(name)
    assert len(answers) >= min(5, sum(c.id.startswith(("solution", "guess")) for c in source(name).cells))
    assert set(answers) <= {cell.id for cell in source(name).cells if course.is_answer(cell)}
    said = run(name, answers, kernel)
    for key in answers:
        number = re.search(r"-(\d+)", key)
        assert number
        own = {cell: words for cell, words in said.items() if re.search(rf"-{number[1]}(-|$)", cell)}
        assert any(re.match(r"AssertionError: .{20,}", words, re.DOTALL) for words in own.values()), (key, own)
        assert not any(re.search(NOT_WRITTEN, words) for words in own.values() if words), (key, own)


# --- For teachers ---


def test_the_table_of_timings_is_that_of_lessons_and_exercises() -> None:
    """Otherwise: python exercises/course.py timings"""
    text = course.INSTRUCTORS.read_text(encoding="utf-8")
    assert course.timings_section(text) == text
    assert text.count("by hand) |") == len(ASSIGNMENTS)


def test_times_of_the_whole_course_are_said_rightly() -> None:
    """What docs/learners.md says of hours, from the same table."""
    text = (ROOT / "docs" / "learners.md").read_text(encoding="utf-8")
    rows = [row.split(" | ") for row in course.timing_rows()]
    lessons, exercises = sum(int(row[1]) for row in rows), sum(int(row[3] or 0) for row in rows)
    said = re.search(r"about (\d+) hours of lessons and, if you do all of them, (\d+) hours of exercises", text)
    assert said
    assert abs(int(said[1]) - lessons / 60) < 0.6
    assert abs(int(said[2]) - exercises / 60) < 0.6


def test_hours_of_a_week_are_said_rightly() -> None:
    """What docs/syllabus.md says, from the same table: the shortest week, and the longest. Each has two exercises."""
    text = (ROOT / "docs" / "syllabus.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in course.timing_rows()]
    lesson, exercise = ({row[0][:2]: int(row[column] or 0) for row in rows} for column in (1, 3))
    hours = []
    weeks = re.findall(r"^\| \d \|[^|]+\| (\d\d) to (\d\d) \|([^|]+)\|", text, re.MULTILINE)
    for first, last, handed_in in weeks:
        longest = sorted(exercise[number] for number in re.findall(r"\d\d", handed_in))[-2:]
        hours.append((sum(lesson[f"{n:02}"] for n in range(int(first), int(last) + 1)) + sum(longest)) / 60)
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
    assert len(hours) == 5
    assert f"{words[round(min(hours))]} to {words[round(max(hours))]} hours a week at home" in " ".join(text.split())


def test_rubric_sheets_are_those_of_the_exercises() -> None:
    """Otherwise: python exercises/course.py rubrics"""
    assert course.RUBRICS.read_text(encoding="utf-8") == course.rubrics_text()


@every_assignment
def test_a_rubric_sheet_adds_up_to_each_cell_s_points(name: str) -> None:
    rows = re.findall(r"^\| Task .+? \| (\S+?)( ☐)? \| (\d+) \| (.+?) \|$", course.rubric(name), re.MULTILINE)
    sums: dict[str, int] = {}
    for cell, by_hand, each, words in rows:
        assert bool(by_hand) == cell.startswith("answer")
        assert len(words) >= 10, words
        sums[cell] = sums.get(cell, 0) + int(each)
    assert sums == points(source(name))


# --- Grading ---


@pytest.mark.slow
@pytest.mark.usefixtures("quick_kernels")
def test_grading_synthetic_submissions(own: Any) -> None:
    """A copied, a changed and a deleted test cell earn nothing; the feedback says what was wrong."""
    name = "02_gradcam"
    table = course.grade_all(own, name, course.SUBMISSIONS)
    total = {kind: float(table.loc["sum", kind]) for kind in table.columns}
    by_machine = sum(p for key, p in points(source(name)).items() if key.startswith("test"))
    assert total["perfect"] == total["colab"] == by_machine
    assert 0 < total["half"] < total["perfect"]
    assert 0 < total["ends_kernel"] < total["perfect"]
    assert table.loc["test-1", "ends_kernel"] == "0"
    assert {kind for kind, earned in total.items() if not earned} == {
        "blank", "wrong", "copied_tests", "changed_tests", "deleted_tests"
    }  # fmt: skip
    assert table.loc["answer-4", "perfect"] == "by hand"
    assert table.loc["answer-4", "blank"] == "0"
    assert all(float(table.loc["seconds", kind]) < 60 for kind in course.SUBMISSIONS)
    assert "you averaged over the channels instead of the positions" in own.feedback("wrong", name)
    assert all("KernelEnded" not in own.feedback(kind, name) for kind in ("perfect", "colab"))
    assert "This cell ended the kernel" in own.feedback("ends_kernel", name)


@pytest.mark.slow
def test_who_changed_no_test_is_not_warned_of(own: Any) -> None:
    """nbgrader alone says of each honest submission that checksums have changed: hidden tests are missing there."""
    name = "02_gradcam"
    own.generate(name)
    config = own.api.config.Autograde
    config.autograde_preprocessors = [kind for kind in config.autograde_preprocessors if "Execute" not in kind.__name__]
    for kind in ("perfect", "colab", "blank", "changed_tests"):
        own.submit(kind, name, course.SUBMISSIONS[kind](name))
        own.grade(kind, name)
    # nbgrader's log is shared with whatever else runs here: a kernel that another test left behind may complain in it
    told = {kind: [line for line in lines if "KernelClient" not in line] for kind, lines in own.warnings.items()}
    assert told["perfect"] == told["colab"] == told["blank"] == []
    assert sum("checksum" in line for line in told["changed_tests"]) == 5  # its test cells


def test_wrong_is_wrong_in_five_ways() -> None:
    assert len(course.mistakes("02_gradcam")) == 5


def test_pictures_are_small() -> None:
    for path in course.RELEASE.rglob("*.jpg"):
        assert path.stat().st_size < 300_000, path.name


def test_expected_pictures_are_read_from_outputs() -> None:
    """The oracle of ``pictures``: the same picture as in the source's output, but for what JPEG leaves out."""
    drawn = course.pictures("02_gradcam")["expected_gradcam.jpg"]
    cell = next(c for c in source("02_gradcam").cells if "expected_gradcam" in c.metadata.get("tags", []))
    kinds = ("image/png", "image/jpeg")
    data = next(o.data[kind] for o in cell.outputs for kind in kinds if kind in o.get("data", {}))
    ours = np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB"), dtype=float)
    theirs = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), dtype=float)
    assert np.abs(ours - theirs).mean() < 4
