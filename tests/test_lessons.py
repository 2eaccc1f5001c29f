"""What is made of the lessons: minutes by the model, the quiz, the drawings."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
DRAWINGS = sorted((ROOT / "docs" / "drawings").glob("[0-9]*.py"))


@pytest.fixture(scope="module")
def course() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "lessons.py")))


TEMPTING = (
    "Text.\n\n**Why the other answers tempt.** One {is} near ([02](02_gradcam.ipynb)),\nthe other $x$ = far.\n\n## Next"
)


def lesson(folder: Path, reveal: str = "Measured: red: 1 = 1.\n", text: str = TEMPTING, revealed: str = "ask") -> Path:
    """Write a lesson of one question."""
    cells = [
        new_markdown_cell("# 03 · Colours: which?\n\n| **Time** | about 7 minutes |"),
        new_code_cell('choices = ["red: 1 = 1", "blue"]\n\n# a comment\nask = Predict("Which {colour}?", choices)'),
        new_code_cell(f"{revealed}.reveal(choices[0])", outputs=[new_output("stream", text=reveal)]),
        new_markdown_cell(text),
    ]
    path = folder / "03_colours.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_minutes_are_those_of_the_model(course: SimpleNamespace) -> None:
    assert course.Size(words=900, lines=80, cells=20, questions=1, seconds=30).minutes == 20  # 5 + 10 + 2 + .5
    assert course.Size(words=900, lines=80, cells=20, questions=2, seconds=120).minutes == 25  # 5 + 10 + 4 + 2


def test_a_lesson_is_counted(course: SimpleNamespace, tmp_path: Path) -> None:
    size = course.size(lesson(tmp_path))
    assert size == (12 + len(TEMPTING.split()), 3, 4, 1, 0.0)


def test_a_question_becomes_a_part_of_a_quiz(course: SimpleNamespace, tmp_path: Path) -> None:
    (question,) = course.questions(lesson(tmp_path))
    assert question == (
        *("03.1", "Which {colour}?", ["red: 1 = 1", "blue"], "red: 1 = 1"),
        "One {is} near (lesson 02), the other $x$ = far.",
    )
    # Moodle takes a category as it stands, and would show an escaped colon as &&058;.
    assert course.gift(lesson(tmp_path)).splitlines() == [
        "// 03 · Colours: which?",
        "",
        "$CATEGORY: 03 · Colours: which?",
        "",
        "::03.1::[markdown]Which \\{colour\\}? {",
        "\t=red\\: 1 \\= 1",
        "\t~blue",
        "\t####One \\{is\\} near (lesson 02), the other \\\\\\\\(x\\\\\\\\) \\= far.",
        "}",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reveal": "Measured: green.\n"}, "prints no measured answer"),
        ({"text": "Text."}, "says **Why the other"),
        ({"revealed": "other"}, "other is revealed, but no Predict(...) above has this name"),
    ],
)
def test_a_question_that_is_not_whole_is_refused(
    course: SimpleNamespace, tmp_path: Path, change: dict[str, str], words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        course.questions(lesson(tmp_path, **change))


def test_the_quiz_is_the_lessons(course: SimpleNamespace) -> None:
    written = course.QUIZ.read_text(encoding="utf-8")
    assert written == "\n".join(course.gift(path) for path in course.LESSONS), "python docs/lessons.py questions"
    # Read as a learning management system does: one right choice a question, and nothing lost by a missing backslash.
    blocks = re.findall(r"^::(.+?)::\[markdown\](.+?)(?<!\\)\{\n(.*?)^\}$", written, re.MULTILINE | re.DOTALL)
    asked = [question for path in course.LESSONS for question in course.questions(path)]
    assert len(blocks) == len(asked)
    for (name, _, body), question in zip(blocks, asked, strict=True):
        choices = [line.strip() for line in body.splitlines() if not line.strip().startswith("####")]
        plain = [re.sub(r"\\(.)", r"\1", line[1:]) for line in choices]
        assert name == question.name
        assert plain == [" ".join(choice.split()) for choice in question.choices]
        assert [line[0] for line in choices].count("=") == 1


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("It's .92, or −.78, that is 92 % and `7.77`, 1280 channels.", []),
        ("It's 0.9 in 2012 ([x](y_3.33.ipynb), arXiv:2012.00362).", []),
        ("It's .93 or .915, 91 %, 1281 channels.", [".93", ".915", "91", "1281"]),
        ("**Papers:** 4.56,\n7.89\n\nIt's .93.", [".93"]),
    ],
)
def test_numbers_that_nobody_printed_are_found(
    course: SimpleNamespace, tmp_path: Path, text: str, unknown: list[str]
) -> None:
    printed = new_output("stream", text="espresso +0.92, cup -0.784, 1280 channels\n")
    cells = [new_markdown_cell(text), new_code_cell("print(x)", outputs=[printed])]
    nbformat.write(new_notebook(cells=cells), tmp_path / "lesson.ipynb")
    assert course.unprinted_numbers(tmp_path / "lesson.ipynb") == unknown


@pytest.mark.parametrize("script", DRAWINGS, ids=[path.stem for path in DRAWINGS])
def test_a_drawing_is_what_its_script_draws(script: Path, tmp_path: Path) -> None:
    drawing = runpy.run_path(str(script))["draw"]()
    kept = (ROOT / "notebooks" / "drawings" / f"{script.stem}.svg").read_text(encoding="utf-8")
    drawing.save(tmp_path / "new.svg")
    if f"Matplotlib v{matplotlib.__version__}," in kept:  # another version may place a letter elsewhere
        assert (tmp_path / "new.svg").read_text(encoding="utf-8") == kept, "python docs/drawings/make.py"
    assert len(drawing.alt.split()) >= 10


def test_each_drawing_is_shown_with_its_words(course: SimpleNamespace) -> None:
    texts = {path.stem: "\n".join(course.sources(course.read(path), "markdown")) for path in course.LESSONS}
    for script in DRAWINGS:
        alt = runpy.run_path(str(script))["draw"]().alt
        assert f"![{alt}](drawings/{script.stem}.svg)" in texts[script.stem]


def test_a_drawing_that_is_not_there_is_answered_with_those_that_are() -> None:
    make = runpy.run_path(str(ROOT / "docs" / "drawings" / "make.py"))
    with pytest.raises(ValueError, match=r"There is no drawing '99'\. There are: \d\d_"):
        make["scripts"](["02", "99"])
    assert [path.stem for path in make["scripts"](["02"])] == ["02_gradcam"]
    assert make["scripts"]([]) == DRAWINGS
