"""The course as nbgrader sees it: make what learners get, and grade synthetic submissions.

    python exercises/course.py release              # source/ -> release/
    python exercises/course.py grade-demo           # submissions of one assignment, graded: prints the points
    python exercises/course.py timings              # minutes and points -> docs/instructors.md
    python exercises/course.py rubrics              # what earns each point -> docs/rubrics.md

The first two work in a temporary folder: no gradebook is left behind, and yours isn't touched.
"""

from __future__ import annotations

import base64
import io
import os
import re
import runpy
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import nbformat
import pandas as pd
import typer
from nbformat import NotebookNode
from nbformat.warnings import MissingIDFieldWarning
from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from PIL import Image
from sqlalchemy.exc import SAWarning
from traitlets.config import Config, PyFileConfigLoader

HERE = Path(__file__).resolve().parent
SOURCE, RELEASE, MISTAKES = HERE / "source", HERE / "release", HERE / "typical_mistakes"
ASSIGNMENTS = sorted(path.name for path in SOURCE.iterdir() if path.is_dir())
# nbgrader calls a command, alembic, that lies beside this Python, also where no environment is activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
for expected in (SAWarning, MissingIDFieldWarning):  # nbgrader's affairs
    warnings.filterwarnings("ignore", category=expected)
JPEG = {"format": "JPEG", "quality": 88, "subsampling": 0, "optimize": True}  # a fifth of the PNG, and as clear

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


class Points(NamedTuple):
    """What a cell of a submission earned, of how many; ``waits``: a person still has to look."""

    earned: float
    possible: float
    waits: bool


class Course:
    """This course in a folder of its own: its settings and assignments, and no one's gradebook."""

    def __init__(self, root: Path) -> None:
        self.root = root
        config: Config = PyFileConfigLoader("nbgrader_config.py", path=str(HERE)).load_config()
        config.CourseDirectory.root = str(root)
        self.database = f"sqlite:///{root / 'gradebook.db'}"
        config.CourseDirectory.db_url = self.database
        self.warnings: dict[str, list[str]] = {}  # what autograding said of each student's last submission
        self.api = NbGraderAPI(CourseDirectory(config=config), config=config)

    def generate(self, assignment: str) -> Path:
        """Make what learners get of an assignment, and return its folder."""
        shutil.copytree(SOURCE / assignment, self.root / "source" / assignment, ignore=shutil.ignore_patterns(".*"))
        _must(self.api.generate_assignment(assignment))
        return self.root / "release" / assignment

    def submit(self, student: str, assignment: str, notebook: NotebookNode) -> None:
        """Hand in a notebook, with the files that were released beside it."""
        folder = self.root / "submitted" / student / assignment
        shutil.copytree(self.root / "release" / assignment, folder)
        nbformat.write(notebook, folder / f"{assignment}.ipynb")

    def grade(self, student: str, assignment: str) -> dict[str, Points]:
        """Grade a submission and write its feedback; return the points of each graded cell."""
        graded = _must(self.api.autograde(assignment, student))
        self.warnings[student] = [line for line in graded["log"].splitlines() if line.startswith("[WARNING]")]
        _must(self.api.generate_feedback(assignment, student))
        with Gradebook(self.database) as book:
            grades = book.find_submission_notebook(assignment, assignment, student).grades
            return {g.name: Points(g.auto_score or 0.0, g.max_score, bool(g.needs_manual_grade)) for g in grades}

    def feedback(self, student: str, assignment: str) -> str:
        """Return the page that a student gets back."""
        path = self.root / "feedback" / student / assignment / f"{assignment}.html"
        return path.read_text(encoding="utf-8")


def _must(outcome: dict[str, Any]) -> dict[str, Any]:
    if not outcome["success"]:
        raise RuntimeError("nbgrader failed:\n" + "\n".join(filter(None, (outcome.get("log"), outcome.get("error")))))
    return outcome


# --- What learners get ---


def read(folder: Path, assignment: str) -> NotebookNode:
    """Return an assignment's notebook from ``SOURCE`` or ``RELEASE``, or from another folder of assignments."""
    return nbformat.read(folder / assignment / f"{assignment}.ipynb", as_version=4)


def pictures(assignment: str) -> dict[str, bytes]:
    """Return the expected pictures by file name: outputs of the source's cells that have a tag "expected_..."."""
    found = {}
    for cell in read(SOURCE, assignment).cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("expected_"):
                data = picture_in(cell)
                if data is None:
                    raise ValueError(f"The source of {assignment} has no picture {tag}: run it first.")
                found[f"{tag}.jpg"] = _as_jpeg(data)
    return found


def picture_in(cell: NotebookNode) -> bytes | None:
    """Return the first picture that a cell has put out, a JPEG (figures with photos) or a PNG; ``None`` without any."""
    kinds = ("image/jpeg", "image/png")
    drawn = [o.data[kind] for o in cell.outputs for kind in kinds if kind in o.get("data", {})]
    return base64.b64decode(drawn[0]) if drawn else None


def _as_jpeg(data: bytes) -> bytes:
    """Return a picture's file as that of a JPEG; one that is a JPEG already loses nothing more."""
    picture, file = Image.open(io.BytesIO(data)), io.BytesIO()
    if picture.format == "JPEG":
        return data
    picture.convert("RGB").save(file, **JPEG)
    return file.getvalue()


@app.command()
def release() -> None:
    """Make release/ anew from source/: solutions and hidden tests are taken out, expected pictures put in."""
    with tempfile.TemporaryDirectory() as folder:
        course = Course(Path(folder))
        for assignment in ASSIGNMENTS:
            for name, data in pictures(assignment).items():
                (SOURCE / assignment / name).write_bytes(data)
            made = course.generate(assignment)
            shutil.rmtree(RELEASE / assignment, ignore_errors=True)
            shutil.copytree(made, RELEASE / assignment)
            typer.echo(f"release/{assignment}")
        for old in {path.name for path in RELEASE.iterdir() if path.is_dir()} - set(ASSIGNMENTS):
            shutil.rmtree(RELEASE / old)


# --- For teachers ---

INSTRUCTORS = HERE.parent / "docs" / "instructors.md"
TIMINGS = re.compile(r"(<!-- begin: timings -->\n).*?(<!-- end: timings -->)", re.DOTALL)
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
TASK = re.compile(r"^\*([a-z, ]+) · .* · (\d+) minutes\*$", re.MULTILINE)


def timing_rows() -> list[str]:
    """Return a row a lesson, of a Markdown table: its minutes, and the minutes, points and kinds of its exercise."""
    rows = []
    exercises = {name[:2]: name for name in ASSIGNMENTS}
    for path in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells[:4])
        title, minutes = _found(TITLE, text), _found(re.compile(r"about (\d+) minutes"), text)
        about = ["", "", "", ""]
        if path.stem[:2] in exercises:
            about = _exercise(exercises[path.stem[:2]])
        rows.append(f"| {title} | {minutes} | {' | '.join(about)} |")
    return rows


def _exercise(assignment: str) -> list[str]:
    """Return an exercise's number, minutes, points, and what is done in it."""
    cells = read(SOURCE, assignment).cells
    tasks = [match for cell in cells for match in TASK.finditer(cell.source)]
    marks = [cell.metadata.get("nbgrader", {}) for cell in cells]
    points = [mark["points"] for mark in marks if mark.get("grade")]
    by_hand = [mark["points"] for mark in marks if mark.get("grade") and mark.get("solution")]
    kinds = dict.fromkeys(kind for task in tasks for kind in task[1].split(", "))
    minutes = sum(int(task[2]) for task in tasks)
    return [assignment[:2], str(minutes), f"{sum(points)} ({sum(by_hand)} by hand)", ", ".join(kinds)]


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    if match is None:
        raise ValueError(f"Nothing like {pattern.pattern!r} stands in this notebook's first cells: {text[:60]!r}")
    return match[1]


def timings_section(text: str) -> str:
    """Return a document's text with the table of timings in its place."""
    head = "| lesson | minutes | exercise | minutes | points | kinds of task |\n|---|---|---|---|---|---|\n"
    table = head + "\n".join(timing_rows()) + "\n"
    return TIMINGS.sub(lambda marks: f"{marks[1]}\n{table}\n{marks[2]}", text)


@app.command()
def timings() -> None:
    """Write the minutes and points of all lessons and exercises into docs/instructors.md."""
    INSTRUCTORS.write_text(timings_section(INSTRUCTORS.read_text(encoding="utf-8")), encoding="utf-8")


RUBRICS = HERE.parent / "docs" / "rubrics.md"
TASK_TITLE = re.compile(r"^## (Task (\d+) · .+)$", re.MULTILINE)
EARNS = re.compile(r"\*What earns points:\* (.+?)(?=\n\n|\Z)", re.DOTALL)
CRITERION = re.compile(r"(.+?) \((\d+)\)(?:[;.,]| and |$)\s*(?:and )?")
RUBRICS_HEAD = """# Rubric sheets

What earns each point of each exercise, for marking by hand (☐) and for answering questions. Made from the exercises by
`python exercises/course.py rubrics`; the model answers stand in `exercises/source`, and what four points look like in
[instructors.md](instructors.md#rubrics).
"""


def rubric(assignment: str) -> str:
    """Return an exercise's sheet: a row for each graded cell, and for each point that a person gives."""
    cells = read(SOURCE, assignment).cells
    titles = {found[2]: found[1] for cell in cells for found in TASK_TITLE.finditer(cell.source)}
    heading = _found(TITLE, cells[0].source)
    rows = ["| task | cell | points | what earns them |", "|---|---|---|---|"]
    for cell in (cell for cell in cells if cell.metadata.get("nbgrader", {}).get("grade")):
        number, points = grade_id(cell).split("-")[1], cell.metadata.nbgrader.points
        if is_test(cell):
            rows.append(f"| {titles[number]} | {grade_id(cell)} | {points} | {_tested(cell)} |")
        for words, each in [] if is_test(cell) else criteria(cells, number):
            rows.append(f"| {titles[number]} | {grade_id(cell)} ☐ | {each} | {words} |")
    return "\n".join([f"## {heading}", "", *rows, ""])


def criteria(cells: list[NotebookNode], task: str) -> list[tuple[str, int]]:
    """Return what earns points in a task that a person marks, and how many each."""
    (statement,) = [cell.source for cell in cells if grade_id(cell) == f"task-{task}"]
    text = " ".join(_found(EARNS, statement).split())
    return [(words.strip(" ;,"), int(points)) for words, points in CRITERION.findall(text)]


def _tested(cell: NotebookNode) -> str:
    """Return by what a machine gives a cell's points."""
    if grade_id(cell).endswith("-guess"):
        return "a guess is written down; a wrong one costs nothing"
    checks = ", ".join(f"`{name}`" for name in dict.fromkeys(re.findall(r"checks\.(check_\w+)", cell.source)))
    hidden = ", and tests that aren't shown" if "BEGIN HIDDEN" in cell.source else ""
    return (checks or "the tests in the cell") + hidden


def rubrics_text() -> str:
    """Return the page with all sheets."""
    return "\n".join([RUBRICS_HEAD, *map(rubric, ASSIGNMENTS)])


@app.command()
def rubrics() -> None:
    """Write what earns each point of all exercises into docs/rubrics.md."""
    RUBRICS.write_text(rubrics_text(), encoding="utf-8")


# --- Synthetic submissions ---


def is_answer(cell: NotebookNode) -> bool:
    """Whether learners write into this cell."""
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def is_test(cell: NotebookNode) -> bool:
    """Whether this cell earns points by running."""
    return bool(cell.metadata.get("nbgrader", {}).get("grade")) and not is_answer(cell)


def grade_id(cell: NotebookNode) -> str:
    """Return the name by which nbgrader knows a cell."""
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def blank(assignment: str) -> NotebookNode:
    """The assignment as it was handed out."""
    return read(RELEASE, assignment)


def with_answers(assignment: str, answers: dict[str, str]) -> NotebookNode:
    """The assignment with some cells filled in, by grade id."""
    notebook = blank(assignment)
    for cell in notebook.cells:
        if is_answer(cell):
            cell.source = answers.get(grade_id(cell), cell.source)
    return notebook


def solutions(assignment: str) -> dict[str, str]:
    """Return the right answers by grade id."""
    mark = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)
    return {grade_id(cell): mark.sub("", cell.source) for cell in read(SOURCE, assignment).cells if is_answer(cell)}


def perfect(assignment: str) -> NotebookNode:
    """All answers right."""
    return with_answers(assignment, solutions(assignment))


def half(assignment: str) -> NotebookNode:
    """The first half of the answers right, the others not written."""
    answers = list(solutions(assignment).items())
    return with_answers(assignment, dict(answers[: len(answers) // 2]))


def mistakes(assignment: str) -> dict[str, str]:
    """Return typically wrong answers by grade id."""
    return runpy.run_path(str(MISTAKES / f"{assignment}.py"))["ANSWERS"]


def wrong(assignment: str) -> NotebookNode:
    """Each answer wrong in a way that is typical of it."""
    return with_answers(assignment, mistakes(assignment))


def copied_tests(assignment: str) -> NotebookNode:
    """Nothing solved; each test cell has a copy above it that tests nothing."""
    notebook = blank(assignment)
    cells: list[NotebookNode] = []
    for cell in notebook.cells:
        if is_test(cell):
            cells.append(NotebookNode(cell | {"source": "print('all right')", "id": f"copy-{cell.id}"}))
        cells.append(cell)
    notebook.cells = cells
    return notebook


def changed_tests(assignment: str) -> NotebookNode:
    """Nothing solved; each test cell tests nothing any more."""
    notebook = blank(assignment)
    for cell in filter(is_test, notebook.cells):
        cell.source = "print('all right')"
    return notebook


def deleted_tests(assignment: str) -> NotebookNode:
    """Nothing solved; the test cells are gone."""
    notebook = blank(assignment)
    notebook.cells = [cell for cell in notebook.cells if not is_test(cell)]
    return notebook


def colab(assignment: str) -> NotebookNode:
    """All answers right, as Colab saves it: no ids of cells, its own notes, widgets without their state."""
    notebook = perfect(assignment)
    notebook.nbformat_minor = 0
    views = {"ab12": {"model_module": "@jupyter-widgets/base", "model_name": "LayoutModel", "state": {}}}
    notebook.metadata |= {
        "colab": {"provenance": [], "gpuType": "T4"},
        "accelerator": "GPU",
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "widgets": {"application/vnd.jupyter.widget-state+json": views},
    }
    for n, cell in enumerate(notebook.cells):
        del cell["id"]
        cell.metadata |= {"id": f"Xy{n:02d}"}
        if cell.cell_type == "code":
            cell.metadata |= {"outputId": f"out-{n}", "colab": {"base_uri": "https://localhost:8080/", "height": 35}}
            cell.outputs = [NotebookNode(output_type="stream", name="stdout", text="from Colab\n")]
    return notebook


def ends_kernel(assignment: str) -> NotebookNode:
    """All answers right but the first, which leaves Python as soon as it's defined."""
    answers = solutions(assignment)
    first = next(iter(answers))
    return with_answers(assignment, answers | {first: "import os\n\nos._exit(1)"})


HONEST = (perfect, colab, ends_kernel, blank, half, wrong)
TAMPERED = (copied_tests, changed_tests, deleted_tests)
SUBMISSIONS: dict[str, Callable[[str], NotebookNode]] = {kind.__name__: kind for kind in HONEST + TAMPERED}


def grade_all(course: Course, assignment: str, kinds: Iterable[str]) -> pd.DataFrame:
    """Grade synthetic submissions; return points by cell (rows) and kind (columns), and the seconds that each took."""
    course.generate(assignment)
    columns: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        course.submit(kind, assignment, SUBMISSIONS[kind](assignment))
        start = time.perf_counter()
        points = course.grade(kind, assignment)
        seconds = time.perf_counter() - start
        columns["possible"] = {name: f"{p.possible:g}" for name, p in points.items()}
        columns["possible"] |= {"sum": f"{sum(p.possible for p in points.values()):g}", "seconds": ""}
        columns[kind] = {name: "by hand" if p.waits else f"{p.earned:g}" for name, p in points.items()}
        columns[kind] |= {"sum": f"{sum(p.earned for p in points.values()):g}", "seconds": f"{seconds:.0f}"}
    return pd.DataFrame(columns)


@app.command()
def grade_demo(
    assignment: Annotated[str, typer.Argument(help="Which assignment.")] = "02_gradcam",
    keep: Annotated[Path | None, typer.Option(help="A new folder for submissions, gradebook and feedback.")] = None,
) -> None:
    """Grade synthetic submissions of an assignment, and print what each cell earned."""
    if assignment not in ASSIGNMENTS:
        raise typer.BadParameter(f"There are: {', '.join(ASSIGNMENTS)}.")
    if keep is not None and keep.exists():
        raise typer.BadParameter(f"{keep} is there already. Name a folder that isn't.")
    with tempfile.TemporaryDirectory() as folder:
        typer.echo(grade_all(Course(Path(folder)), assignment, SUBMISSIONS).to_string())
        if keep is not None:
            shutil.copytree(folder, keep)


if __name__ == "__main__":
    app()
