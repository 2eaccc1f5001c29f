"""Lessons and exercises as pages: what needs a kernel is replaced by plain HTML that works without one.

A question becomes buttons (``static/questions.js``); what was measured is hidden until the reader has guessed, by
``extension.py``. A control becomes a sentence, and a link to the browser lab where that can show the same.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import lessons as course  # docs/lessons.py
import nbformat
from nbformat import NotebookNode

WIDGET = "application/vnd.jupyter.widget-view+json"
COLAB = "google.colab"  # a cell that matters there only isn't shown here
CLASSES = {"photo": "coffee", "a": "espresso", "b": "punching bag"}
# What the browser lab shows of a lesson's control, by the lesson's number and the control's name.
IN_THE_LAB: dict[tuple[str, str], dict[str, str]] = {
    ("00", "Explorer"): {
        "photo": "cat",
        "a": "tiger cat",
        "b": "African hunting dog",
        "method": "gradcam",
        "handling": "positive",
    },
    ("03", "LayerSlider"): CLASSES | {"method": "gradcam", "handling": "signed"},
    ("04", "ShiftSlider"): CLASSES | {"method": "gradcam", "handling": "signed", "shift": "0"},
    ("12", "MapComparison"): CLASSES | {"method": "guided-backprop", "handling": "signed"},
    ("13", "CascadeCurves"): CLASSES | {"method": "guided-backprop", "handling": "positive", "depth": "1"},
    ("20", "OwnPhoto"): CLASSES | {"method": "gradcam", "handling": "signed"},
}


class Asked(NamedTuple):
    """A question on a page: its id, and the question as docs/lessons.py reads it from the notebook."""

    key: str
    question: course.Question


def lesson(path: Path, has_lab: bool) -> bytes:
    """Return a lesson with its stored outputs, in which no output needs a kernel.

    Raises ``ValueError`` where a question is never revealed, or a control's output says nothing in words.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    notebook.cells = [cell for cell in notebook.cells if COLAB not in cell.source]
    asked = [Asked(f"question-{n}", q) for n, q in enumerate(course.questions(path), start=1)]
    open_ones = list(asked)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [without_kernel(o, path, asked, has_lab) for o in cell.outputs]
            for _ in range(cell.source.count(".reveal(")):
                printed = next(n for n, o in enumerate(cell.outputs) if "Measured: " in o.get("text", ""))
                cell.outputs.insert(printed + 1, as_html(verdict(open_ones.pop(0))))
    return json.dumps(notebook).encode()


def exercise(path: Path) -> bytes:
    """Return an exercise as learners get it, without nbgrader's notes."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
    return json.dumps(notebook).encode()


def without_kernel(output: NotebookNode, path: Path, asked: list[Asked], has_lab: bool) -> NotebookNode:
    """Return an output as it is, or what stands for a widget."""
    if WIDGET not in output.get("data", {}):
        return output
    words = output.data.get("text/plain", "").removesuffix("…")
    for one in asked:
        if words and f"Predict: {one.question.asks} ({' / '.join(one.question.choices)})".startswith(words):
            return as_html(question(one))
    name, colon, state = words.partition(": ")
    if not colon or name == "Predict":
        raise ValueError(f"{path.name}: the output of a control says nothing in words that is known: {words!r}.")
    return as_html(control(path.stem[:2], name, state, has_lab))


def as_html(text: str) -> NotebookNode:
    """Return an output that is HTML."""
    return nbformat.v4.new_output("display_data", {"text/html": text})


def question(asked: Asked) -> str:
    """Return a question with its choices as buttons. Without JavaScript they are a list to choose from in thought."""
    key, (_, asks, choices, answer, _) = asked
    buttons = "".join(
        f'<li><button type="button" aria-pressed="false" value="{n}">{html.escape(choice)}</button></li>'
        for n, choice in enumerate(choices)
    )
    return (
        f'<div class="question" id="{key}" role="group" aria-labelledby="{key}-asks" '
        f'data-answer="{choices.index(answer)}">'
        f'<p id="{key}-asks"><strong>Predict first.</strong> {html.escape(asks)}</p><ul>{buttons}</ul>'
        f'<p class="reply" role="status"></p></div>'
    )


def verdict(asked: Asked) -> str:
    """Return the place where the guess is held against what was measured."""
    return f'<p class="verdict" data-question="{asked.key}"></p>'


def control(number: str, name: str, state: str, has_lab: bool) -> str:
    """Return what stands for a control: what it showed, and the browser lab where that can show the same."""
    start = f"<p><strong>In the notebook, a control stands here</strong> ({html.escape(name)})."
    wanted = IN_THE_LAB.get((number, name))
    if not (has_lab and wanted):
        return f'<div class="control">{start} This page shows one of its settings.</p></div>'
    fragment = urlencode(wanted)
    return (
        f'<div class="control">{start} The browser lab begins with the same maps, and computes them on your device: '
        f'<a href="../lab/index.html#{html.escape(fragment)}">open it</a>.</p>'
        f'<details class="lab" data-lab="../lab/index.html" data-state="{html.escape(fragment)}">'
        f"<summary>Try it on this page</summary></details></div>"
    )


# --- Lists of notebooks ---


def title(path: Path) -> str:
    """Return a notebook's title, as Markdown."""
    first: Any = nbformat.read(path, as_version=4).cells[0].source
    return first.splitlines()[0].removeprefix("# ")


def able(path: Path) -> str:
    """Return what a lesson makes one able to do, or an exercise lets one practise, as Markdown."""
    text = "\n".join(
        cell.source for cell in nbformat.read(path, as_version=4).cells[:4] if cell.cell_type == "markdown"
    )
    row = re.search(r"\| \*\*You (?:will be able to|practise)\*\* \| (.*?) \|", text)
    if row is None:
        raise ValueError(f"{path.name} has no row that says what it's for.")
    return row[1]


def minutes(path: Path) -> str:
    """Return the minutes that a notebook says it takes."""
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells[:4])
    found = re.search(r"\babout (\d+) minutes", text)
    return found[1] if found else ""


def lessons_page(paths: list[Path]) -> bytes:
    """Return the page that lists the lessons."""
    text = (
        "# Lessons\n\nEach asks one question. Where a lesson lets you predict, it hides what was measured until you "
        "have guessed. To run them yourself: `posgrad-edu lab`.\n"
    )
    return _page(text, paths, "notebooks/{stem}")


def exercises_page(paths: list[Path]) -> bytes:
    """Return the page that lists the exercises."""
    text = (
        "# Exercises\n\nWhat learners get, without answers. `posgrad-edu exercise 02` makes a copy of your own and "
        "opens it; its checks say what is wrong, as often as you like. More: [how they work](exercises/README.md).\n"
    )
    return _page(text, paths, "exercises/release/{stem}/{stem}", ["exercises/README"])


def _page(text: str, paths: Iterable[Path], where: str, others: Iterable[str] = ()) -> bytes:
    what, verb = ("exercise", "practise") if others else ("lesson", "learn to")
    names = {where.format(stem=path.stem): path for path in paths}
    rows = [f"| [{title(p)}]({name}.ipynb) | {able(p)} | {minutes(p)} |" for name, p in names.items()]
    table = "\n".join([f"| {what} | you {verb} | minutes |", "|---|---|---|", *rows])
    listed = "\n".join([*names, *others])
    return f"{text}\n{table}\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n".encode()
