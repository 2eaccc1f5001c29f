"""What every lesson keeps to, seen without running it: outputs that nbval can compare, the course's form, links."""

from __future__ import annotations

import copy
import json
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
course = SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "lessons.py")))
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
LONGEST_CELL = 15  # lines of code: blank ones and comments don't count
SHORTEST_LESSON, LONGEST_LESSON = 15, 25  # cells
MOST_WORDS, MOST_LINES, MOST_BYTES = 1400, 150, 800_000

Cell = dict[str, Any]

every_lesson = pytest.mark.parametrize("path", LESSONS, ids=[path.stem for path in LESSONS])


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def cells(path: Path, kind: str) -> list[Cell]:
    """Return a notebook's cells of one kind, their sources as one string."""
    return [cell | {"source": text(cell["source"])} for cell in read(path)["cells"] if cell["cell_type"] == kind]


def text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)


def prose(path: Path) -> str:
    return "\n\n".join(cell["source"] for cell in cells(path, "markdown"))


def outputs(path: Path) -> list[dict[str, Any]]:
    return [output for cell in cells(path, "code") for output in cell["outputs"]]


def compared_texts(path: Path) -> list[str]:
    """Return the texts that nbval compares and that say something: not what a figure or a widget is called."""
    found = [text(o["text"]) for o in outputs(path) if o["output_type"] == "stream"]
    for data in (o["data"] for o in outputs(path) if "data" in o):
        if not {WIDGET, *PICTURES} & set(data):
            found.append(text(data.get("text/plain", "")))
    return [t for t in found if t.strip()]


# --- Outputs ---


@every_lesson
def test_cells_ran_once_from_top_to_bottom(path: Path) -> None:
    counts = [cell["execution_count"] for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1))


@every_lesson
def test_outputs_hold_numbers_to_compare(path: Path) -> None:
    """nbval compares texts only: a lesson without any passes, whatever the package does."""
    telling = [t for t in compared_texts(path) if re.search(r"\d|\bTrue\b|\bFalse\b", t)]
    assert len(telling) >= 4


@every_lesson
def test_outputs_are_the_same_on_any_machine(path: Path) -> None:
    printed = "\n".join(compared_texts(path))
    assert re.findall(r"-0\.0+\b(?!\d|e)", printed) == []  # the sign of a zero is rounding
    assert re.findall(r"\d\.\d{7,}", printed) == []  # nor do the last digits of a float agree
    assert re.findall(r"0x[0-9a-f]{6,}|/home/|/Users/|/tmp/|[A-Z]:\\", printed) == []


@every_lesson
def test_no_errors_or_warnings_are_kept(path: Path) -> None:
    wrong = [o for o in outputs(path) if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert wrong == []


@every_lesson
def test_no_cell_is_exempt_from_comparison(path: Path) -> None:
    for cell in cells(path, "code"):
        assert not re.search(r"NBVAL_|PYTEST_VALIDATE_IGNORE", cell["source"])
        assert not {"raises-exception", "nbval-skip", "nbval-ignore-output"} & set(cell["metadata"].get("tags", []))


@every_lesson
def test_no_widget_state_is_kept(path: Path) -> None:
    """Without a kernel it shows controls that do nothing."""
    assert "widgets" not in read(path)["metadata"]
    assert all("widgets" not in cell["metadata"] for cell in read(path)["cells"])


@every_lesson
def test_each_picture_has_words(path: Path) -> None:
    seen = 0
    for output in outputs(path):
        for kind in set(PICTURES) & set(output.get("data", {})):
            seen += 1
            alt = output["metadata"].get(kind, {}).get("alt", "")
            assert len(alt.split()) >= 4, f"{alt!r} says too little of what a picture shows"
        for image in re.findall(r"<img\b[^>]*>", text(output.get("data", {}).get("text/html", ""))):
            assert re.search(r'alt="[^"]+"', image), image[:100]
    assert seen > 0
    assert re.findall(r"!\[\s*\]\(", prose(path)) == []


@every_lesson
def test_a_static_figure_stands_beside_each_widget(path: Path) -> None:
    """Where no kernel runs, a widget is a line of text."""
    code = cells(path, "code")
    for n, cell in enumerate(code):
        shown = [text(o["data"]["text/plain"]) for o in cell["outputs"] if WIDGET in o.get("data", {})]
        if any(not words.startswith("Predict:") for words in shown):
            following = [kind for c in code[n : n + 3] for o in c["outputs"] for kind in o.get("data", {})]
            assert set(PICTURES) & set(following), f"{shown[0]}: no figure in the same cell or the next two"


# --- Form ---


@every_lesson
def test_code_cells_are_short(path: Path) -> None:
    long = [cell["source"] for cell in cells(path, "code") if course.lines_of_code(cell["source"]) > LONGEST_CELL]
    assert long == []


@every_lesson
def test_a_lesson_is_neither_too_short_nor_too_long(path: Path) -> None:
    size = course.size(path)
    assert SHORTEST_LESSON <= size.cells <= LONGEST_LESSON
    assert size.words <= MOST_WORDS
    assert size.lines <= MOST_LINES
    assert path.stat().st_size <= MOST_BYTES


@every_lesson
def test_a_lesson_takes_the_minutes_of_the_model(path: Path) -> None:
    assert course.size(path).seconds > 0, "measure it: python docs/lessons.py seconds"
    assert f"about {course.size(path).minutes} minutes" in prose(path), "python docs/lessons.py minutes"


@every_lesson
def test_a_lesson_asks_in_its_title(path: Path) -> None:
    assert title(path).endswith("?")


@every_lesson
def test_a_lesson_is_drawn(path: Path) -> None:
    drawn = re.findall(r"!\[(.+?)\]\(drawings/(.+?)\.svg\)", prose(path), re.DOTALL)
    assert path.stem in [name for _, name in drawn]
    assert all(len(alt.split()) >= 10 for alt, _ in drawn)


@every_lesson
def test_each_question_can_be_asked_in_a_quiz(path: Path) -> None:
    questions = course.questions(path)  # refuses one without an answer or without words on the other choices
    assert 1 <= len(questions) <= 3
    assert all(len(question.feedback.split()) >= 12 for question in questions)


def test_the_first_choice_is_right_now_and_then_and_the_last_one_no_more_often() -> None:
    questions = [question for path in LESSONS for question in course.questions(path)]
    first, last = (sum(question.choices[n] == question.answer for question in questions) for n in (0, -1))
    assert len(questions) / 4 <= first <= len(questions) / 2
    assert last <= len(questions) / 2


@every_lesson
def test_numbers_in_texts_come_from_cells(path: Path) -> None:
    assert course.unprinted_numbers(path) == []


@every_lesson
def test_nothing_tells_an_answer_before_it_is_asked_for(path: Path) -> None:
    """The words of the right choice don't stand in a text above the question."""
    for question in course.questions(path):
        above = prose(path).split(question.asks)[0] if question.asks in prose(path) else ""
        assert question.answer not in above


@every_lesson
def test_a_lesson_says_first_what_it_is_for(path: Path) -> None:
    first = cells(path, "markdown")[0]["source"]
    if path.name.startswith("00"):  # opens with a puzzle, in one cell of code; what it's for stands right below
        own = [cell for cell in read(path)["cells"] if "colab" not in cell["metadata"].get("tags", [])]
        assert [cell["cell_type"] for cell in own[:3]] == ["markdown", "code", "markdown"]
        first += cells(path, "markdown")[1]["source"]
    rows = dict(re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \|$", first, re.MULTILINE))
    assert list(rows) == ["You will be able to", "You need", "Time"]
    assert re.search(r"\babout \d+ minutes\b", rows["Time"])
    assert "laptop CPU" in rows["You need"]


@every_lesson
def test_a_lesson_lets_predict_and_says_what_to_remember(path: Path) -> None:
    code = "\n".join(cell["source"] for cell in cells(path, "code"))
    assert code.count("Predict(") >= 1
    assert code.count(".reveal(") >= code.count("Predict("), "a prediction is never compared with what was measured"
    assert len(re.findall(r"^## Remember$", prose(path), re.MULTILINE)) == 1
    assert re.search(r"^\*\*Papers?:\*\*", prose(path), re.MULTILINE)
    assert "https://arxiv.org/abs/2012.00362" in prose(path)


@every_lesson
def test_a_lesson_has_more_text_than_code(path: Path) -> None:
    words = len(prose(path).split())
    assert words > sum(len(cell["source"].split()) for cell in cells(path, "code"))


# --- Lessons among each other ---


def links(path: Path) -> list[tuple[str, str]]:
    """Return words and target of each link to a file."""
    found = re.findall(r"\[([^\]]+)\]\(([^)#\s]+)(?:#[^)]*)?\)", prose(path))
    return [(words, target) for words, target in found if "://" not in target]


@every_lesson
def test_links_lead_to_files(path: Path) -> None:
    assert [target for _, target in links(path) if not (path.parent / target).exists()] == []


@every_lesson
def test_a_lesson_says_where_to_practise(path: Path) -> None:
    """Exercises are called like their lessons; a lesson without one names another's, such as the capstone."""
    line = re.search(
        r"^\*\*Where to practise:\*\*.*?`posgrad-edu exercise (\d\d)`.*?\]\((\S+?)\)", prose(path), re.M | re.S
    )
    assert line, "no line on where to practise that names an exercise and links to it"
    number, target = line.groups()
    own = path.stem if (ROOT / "exercises" / "source" / path.stem).exists() else r"\d\d_\w+"
    assert re.fullmatch(rf"\.\./exercises/release/({own})/\1\.ipynb", target), f"{target} isn't its exercise"
    assert f"/{number}_" in target


@every_lesson
def test_links_to_lessons_say_which(path: Path) -> None:
    titles = {lesson.name: title(lesson) for lesson in LESSONS}
    for words, target in links(path):
        if target in titles and (number := re.match(r"\d\d\b", words)):
            assert number[0] == target[:2]
            if " · " in words:
                assert titles[target].startswith(" ".join(words.split())), f"the lesson is called {titles[target]}"


def title(path: Path) -> str:
    match = re.match(r"# (.+)\n", cells(path, "markdown")[0]["source"] + "\n")
    assert match, f"{path.name} doesn't begin with its title"
    return match[1]


@every_lesson
def test_no_lesson_speaks_of_one_that_is_still_to_come(path: Path) -> None:
    found = re.findall(r"still to come|to come\b|coming soon|once (?:they are|it is|it's) there", prose(path))
    assert found == []


def test_numbers_are_unique_and_titles_agree_with_the_readme() -> None:
    numbers = [path.name[:2] for path in LESSONS]
    assert numbers == [f"{n:02d}" for n in range(len(LESSONS))]
    rows = re.findall(r"^\| (\d\d) \| \[(.+?)\]\(notebooks/(.+?)\)", (ROOT / "README.md").read_text(), re.MULTILINE)
    for number, words, name in rows:
        assert name.startswith(f"{number}_")
        assert title(ROOT / "notebooks" / name).startswith(f"{number} · {words}"), name
    for path in LESSONS:
        assert title(path).startswith(f"{path.name[:2]} · ")


# --- Colab ---


@pytest.fixture
def colab(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    import colab

    return colab


@every_lesson
def test_a_lesson_s_second_cell_is_the_one_for_colab(path: Path, colab: ModuleType) -> None:
    found = [cell for cell in read(path)["cells"] if "colab" in cell["metadata"].get("tags", [])]
    assert found == [read(path)["cells"][1]]
    assert text(found[0]["source"]) == colab.source(colab.address()), "python docs/colab.py"
    assert found[0]["outputs"] == []
    assert found[0]["metadata"]["jupyter"] == {"source_hidden": True}


@pytest.mark.parametrize("where", [None, "https://github.com/someone/course"])
def test_the_cell_for_colab_does_nothing_elsewhere(
    colab: ModuleType, where: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    shell = SimpleNamespace(
        run_line_magic=lambda name, line: asked.append((name, line)), system=lambda line: asked.append(("!", line))
    )
    names = {"get_ipython": lambda: shell}
    exec(colab.source(where), names)
    assert asked == []
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    if where is None:
        with pytest.raises(SystemExit, match=r"no address to install it from\. Ask whoever gave it to you"):
            exec(colab.source(where), names)
    else:
        exec(colab.source(where), names)
        assert asked == [
            ("pip", f"install -q 'posgrad-edu @ git+{where}'"),
            ("!", "posgrad-edu lab --copy-only --folder /content/course"),
            ("cd", "-q /content/course/my-course"),
        ]


def test_the_cell_for_colab_is_put_in_once_and_moves_the_numbers_by_one(colab: ModuleType) -> None:
    first = new_code_cell("1 + 1", execution_count=1, outputs=[new_output("execute_result", execution_count=1)])
    before = new_notebook(cells=[new_markdown_cell("# Why?"), first, new_code_cell("x", execution_count=2)])
    once = colab.with_cell(copy.deepcopy(before), None)
    again = colab.with_cell(copy.deepcopy(once), "https://github.com/someone/course")
    for made in (once, again):
        code = [cell for cell in made.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == [1, 2, 3]
        assert code[1].outputs[0].execution_count == 2
        assert [cell.source for cell in code[1:]] == ["1 + 1", "x"]
    assert "someone" in again.cells[1].source
