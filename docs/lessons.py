"""What the lessons hold: words, lines, minutes by a stated model, and their questions as a quiz.

    python docs/lessons.py table        # a row a lesson
    python docs/lessons.py seconds      # run each lesson in a kernel of its own: docs/lesson_seconds.csv
    python docs/lessons.py minutes      # write each lesson's row "Time", by the model
    python docs/lessons.py questions    # docs/questions.gift, for a learning management system
    python docs/lessons.py numbers      # numbers in texts that no cell prints

The model: a student reads 180 words or 8 lines of code a minute, thinks for two minutes about each question, and waits
while cells run. The sum is rounded up to five minutes.
"""

from __future__ import annotations

import ast
import csv
import math
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import typer
from nbformat import NotebookNode

from posgrad_edu.widgets.predict import as_shown

ROOT = Path(__file__).resolve().parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS, QUIZ = ROOT / "docs" / "lesson_seconds.csv", ROOT / "docs" / "questions.gift"
WORDS_A_MINUTE, LINES_A_MINUTE, MINUTES_A_QUESTION, STEP = 180, 8, 2, 5
TIME = re.compile(r"(\| \*\*Time\*\* \|.*?\babout )\d+( minutes)")
LINK = re.compile(r"\[(\d\d)\]\(\w+\.ipynb\)")
TEMPTING = "**Why the other answers tempt.**"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


class Question(NamedTuple):
    """A prediction of a lesson: what is asked, the choices, the measured answer, and why the others tempt."""

    name: str
    asks: str
    choices: list[str]
    answer: str
    feedback: str


class Size(NamedTuple):
    """How long a lesson is. lines: of code, neither blank nor only a comment. seconds: of running it."""

    words: int
    lines: int
    cells: int
    questions: int
    seconds: float

    @property
    def minutes(self) -> int:
        """Return the minutes that a student needs, by the model."""
        reading = self.words / WORDS_A_MINUTE + self.lines / LINES_A_MINUTE
        total = reading + MINUTES_A_QUESTION * self.questions + self.seconds / 60
        return STEP * math.ceil(total / STEP)


# --- Length ---


def read(path: Path) -> NotebookNode:
    """Return a lesson."""
    return nbformat.read(path, as_version=4)


def sources(notebook: NotebookNode, kind: str) -> list[str]:
    """Return the texts of all cells of one kind, "markdown" or "code"."""
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def printed(cell: NotebookNode) -> str:
    """Return what a code cell printed or returned, as text."""
    return "\n".join(o.get("text", "") + o.get("data", {}).get("text/plain", "") for o in cell.outputs)


def lines_of_code(source: str) -> int:
    """Count the lines that are neither blank nor only a comment."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in source.splitlines())


def size(path: Path) -> Size:
    """Return how long a lesson is; its seconds are those of the last measurement.

    The cell for Colab isn't the lesson's, and is folded: it counts neither as a cell nor as code.
    """
    notebook = read(path)
    notebook.cells = [cell for cell in notebook.cells if "colab" not in cell.metadata.get("tags", [])]
    code = sources(notebook, "code")
    return Size(
        words=sum(len(text.split()) for text in sources(notebook, "markdown")),
        lines=sum(map(lines_of_code, code)),
        cells=len(notebook.cells),
        questions=sum(text.count("Predict(") for text in code),
        seconds=measured_seconds().get(path.stem, 0.0),
    )


def measured_seconds() -> dict[str, float]:
    """Return the seconds that each lesson took when ``seconds`` was last run."""
    if not SECONDS.exists():
        return {}
    with SECONDS.open(newline="", encoding="utf-8") as file:
        return {row["lesson"]: float(row["seconds"]) for row in csv.DictReader(file)}


@app.command()
def table() -> None:
    """Print words, lines, cells, questions, seconds, minutes and kilobytes of each lesson, as Markdown."""
    typer.echo(
        "| lesson | words | lines | cells | questions | seconds | minutes | KB |\n|---|---|---|---|---|---|---|---|"
    )
    for path in LESSONS:
        found = size(path)
        numbers = (found.words, found.lines, found.cells, found.questions, round(found.seconds), found.minutes)
        typer.echo(f"| {path.stem} | {' | '.join(map(str, numbers))} | {path.stat().st_size // 1000} |")


@app.command()
def seconds() -> None:
    """Run each lesson in a kernel of its own, and write how long each took into docs/lesson_seconds.csv."""
    from nbclient import NotebookClient

    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    rows = []
    for path in LESSONS:
        start = time.perf_counter()
        NotebookClient(read(path), timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute()
        rows.append((path.stem, round(time.perf_counter() - start)))
        typer.echo(f"{rows[-1][1]:4d} s  {path.stem}")
    with SECONDS.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("lesson", "seconds"), *rows])


@app.command()
def minutes() -> None:
    """Write the minutes of the model into each lesson's row "Time"."""
    for path in LESSONS:
        notebook = read(path)
        for cell in notebook.cells[:4]:  # the second may be the one for Colab
            if cell.cell_type == "markdown":
                cell.source = TIME.sub(rf"\g<1>{size(path).minutes}\g<2>", cell.source)
        nbformat.write(notebook, path)


# --- Questions ---


def questions(path: Path) -> list[Question]:
    """Return a lesson's questions, in order.

    Raises ``ValueError`` for one without literal choices, a measured answer, or words on why the others tempt, and
    where something else is revealed than a prediction made above.
    """
    cells = read(path).cells
    literals: dict[str, Any] = {}
    found: dict[str, tuple[str, list[str]]] = {}
    made = []
    for n, cell in enumerate(cells):
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        literals |= _literals(tree)
        found |= {name: _asked(call, literals, path) for name, call in _assigned_calls(tree, "Predict")}
        for name in _revealed(tree):
            if name not in found:
                raise ValueError(f"{path.name}: {name} is revealed, but no Predict(...) above has this name.")
            asks, choices = found[name]
            answer = _measured(cell, choices, path)
            feedback = _tempting(cells[n + 1].source if n + 1 < len(cells) else "", path)
            made.append(Question(f"{path.stem[:2]}.{len(made) + 1}", asks, choices, answer, feedback))
    return made


def _literals(tree: ast.Module) -> dict[str, Any]:
    """Return the values of names that a cell sets to constants or lists of constants."""
    values = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                values[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return values


def _assigned_calls(tree: ast.Module, function: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield the name and call of each ``name = function(...)``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.targets[0], ast.Name):
            call = node.value
            if isinstance(call.func, ast.Name) and call.func.id == function:
                yield node.targets[0].id, call


def _asked(call: ast.Call, literals: dict[str, Any], path: Path) -> tuple[str, list[str]]:
    """Return the question and the choices of a ``Predict(...)``, in the order of its buttons."""
    try:
        asks, choices = (literals[a.id] if isinstance(a, ast.Name) else ast.literal_eval(a) for a in call.args)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path.name}: write a prediction's question and choices as plain strings.") from error
    in_order = any(k.arg == "in_order" and ast.literal_eval(k.value) for k in call.keywords)
    return asks, list(choices) if in_order else as_shown(asks, choices)


def _revealed(tree: ast.Module) -> list[str]:
    """Return the names of the questions whose answers a cell reveals."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    methods = [call for call in calls if isinstance(call, ast.Attribute) and call.attr == "reveal"]
    return [method.value.id for method in methods if isinstance(method.value, ast.Name)]


def _measured(cell: NotebookNode, choices: list[str], path: Path) -> str:
    """Return the choice that a cell's output names as measured."""
    answers = [choice for choice in choices if f"Measured: {choice}." in printed(cell)]
    if len(answers) != 1:
        raise ValueError(f"{path.name}: the cell prints no measured answer out of {choices}.")
    return answers[0]


def _tempting(text: str, path: Path) -> str:
    """Return why the other answers tempt: the paragraph, or the list, that begins so in the cell after a reveal."""
    if TEMPTING not in text:
        raise ValueError(f"{path.name}: the text after a reveal says {TEMPTING}")
    paragraphs = text[text.index(TEMPTING) + len(TEMPTING) :].strip().split("\n\n")
    lists = [p for p in paragraphs[1:2] if p.startswith(("* ", "- "))]
    words = " ".join("\n".join([paragraphs[0], *lists]).split())
    return LINK.sub(r"lesson \1", words)  # a quiz doesn't lie beside the lessons


def gift(path: Path) -> str:
    """Return a lesson's questions in GIFT, the text format that Moodle and other systems import."""
    title = sources(read(path), "markdown")[0].splitlines()[0].removeprefix("# ")
    parts = [f"// {title}\n\n$CATEGORY: {title}\n"]  # the one line in which a backslash would be shown
    for question in questions(path):
        choices = [f"\t{'=' if choice == question.answer else '~'}{_escaped(choice)}" for choice in question.choices]
        head = f"::{question.name}::[markdown]{_escaped(question.asks)} {{"
        parts.append("\n".join([head, *choices, f"\t####{_escaped(question.feedback)}", "}\n"]))
    return "\n".join(parts)


def _escaped(text: str) -> str:
    """Return text in one line, with a backslash before each sign that GIFT reads as its own.

    Moodle wants formulas in \\( \\), of which Markdown would take the backslashes, were they not double.
    """
    formulas = re.sub(r"\$([^$]+)\$", r"\\\\(\1\\\\)", " ".join(text.split()))
    return re.sub(r"([\\~=#{}:])", r"\\\1", formulas)


@app.command(name="questions")
def write_questions() -> None:
    """Write all lessons' questions into docs/questions.gift."""
    QUIZ.write_text("\n".join(gift(path) for path in LESSONS), encoding="utf-8")


# --- Numbers in texts ---

# Decimals, percentages and large numbers; not those in links, displayed formulas, code, names of papers, or years.
NUMBER = re.compile(r"(?<![\w.,:/])[−-]?(?:\d*\.\d+|\d+(?= ?%)|\d{3,})(?![\w/]|\.\d)")
NO_TEXT = re.compile(
    r"`[^`]*`|\$\$.*?\$\$|\]\([^)]*\)|arXiv:[\d.]+|\*\*Papers?:\*\*.*?(?:\n\n|\Z)|\b(?:19|20)\d\d\b", re.DOTALL
)
PRINTED = re.compile(r"\d*\.\d+(?:e[-+]\d+)?|\d+")


def unprinted_numbers(path: Path) -> list[str]:
    """Return the numbers in a lesson's texts that none of its cells prints or holds, in any sign, rounded."""
    cells = read(path).cells
    said = [f"{cell.source}\n{printed(cell)}" for cell in cells if cell.cell_type == "code"]
    known = [float(number) for text in said for number in PRINTED.findall(text)]
    texts = [NO_TEXT.sub(" ", cell.source) for cell in cells if cell.cell_type == "markdown"]
    return [number for text in texts for number in NUMBER.findall(text) if not _is_known(number, known)]


def _is_known(number: str, known: list[float]) -> bool:
    """Tell whether a number, or as a percentage its hundredth, is one of those, rounded as it is written."""
    digits = len(number.partition(".")[2])
    value = abs(float(number.replace("−", "-")))
    near = 0.5 * 10**-digits + 1e-9
    return any(abs(abs(k) - value) <= near or (not digits and abs(100 * abs(k) - value) <= near) for k in known)


@app.command()
def numbers() -> None:
    """Print the numbers of each lesson's texts that none of its cells prints or holds."""
    for path in LESSONS:
        typer.echo(f"{path.stem}: {', '.join(unprinted_numbers(path)) or 'none'}")


if __name__ == "__main__":
    app()
