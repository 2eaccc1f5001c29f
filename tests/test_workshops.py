"""The workshops: their notebooks' form, and slides that need no network. test_outputs.py runs their cells."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from chromium import CHROMIUM, NEEDS_CHROMIUM, QUIET

pytest.importorskip("latex2mathml", reason="needs the extra 'slides'")
pytest.importorskip("sphinx_revealjs", reason="needs the extra 'slides'")

ROOT = Path(__file__).resolve().parents[1]
WORKSHOPS = sorted((ROOT / "notebooks" / "workshops").glob("*.ipynb"))
MINUTES = {"workshop_90_minutes": 90, "workshop_half_a_day": 210}
lessons = SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "lessons.py")))
slides = SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "make_slides.py")))

every_workshop = pytest.mark.parametrize("path", WORKSHOPS, ids=[path.stem for path in WORKSHOPS])


def cells(path: Path, kind: str | None = None) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if kind in (None, cell.cell_type)]


def prose(path: Path) -> str:
    return "\n\n".join(cell.source for cell in cells(path, "markdown"))


def test_there_are_two() -> None:
    assert {path.stem for path in WORKSHOPS} == set(MINUTES)


@every_workshop
def test_its_parts_fill_the_time_without_a_gap(path: Path) -> None:
    parts = [(int(a), int(b)) for a, b in re.findall(r"^## (\d+)–(\d+) · ", prose(path), re.MULTILINE)]
    assert [start for start, _ in parts] == [0, *(end for _, end in parts[:-1])]
    assert parts[-1][1] == MINUTES[path.stem]
    (said,) = re.findall(r"\*\*Time\*\* \| (\d+) minutes: (.+?) \|", prose(path))
    assert int(said[0]) == MINUTES[path.stem]
    assert [int(n) for n in re.findall(r"\d+", said[1])] == [end - start for start, end in parts]


@every_workshop
def test_instructors_find_its_parts_in_their_plan(path: Path) -> None:
    plan = (ROOT / "docs" / "instructors.md").read_text(encoding="utf-8")
    assert f"](../notebooks/workshops/{path.name})" in plan
    parts = re.findall(r"^## (\d+–\d+) · ", prose(path), re.MULTILINE)
    own = [part for part in parts if path.stem.endswith("minutes") or int(part.split("–")[0]) >= 75]
    assert [part for part in own if f"| {part} |" not in plan] == []


@every_workshop
def test_it_ran_from_top_to_bottom_without_errors(path: Path) -> None:
    code = cells(path, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert [o for cell in code for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"] == []
    assert "widgets" not in json.loads(path.read_text(encoding="utf-8"))["metadata"]


@every_workshop
def test_each_figure_has_words(path: Path) -> None:
    for output in (o for cell in cells(path, "code") for o in cell.outputs if "data" in o):
        for kind in {"image/png", "image/jpeg"} & set(output.data):
            assert len(output.metadata[kind]["alt"].split()) >= 4


@every_workshop
def test_links_lead_to_files(path: Path) -> None:
    targets = [t for t in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose(path)) if "://" not in t]
    assert targets
    assert [target for target in targets if not (path.parent / target).exists()] == []


@every_workshop
def test_questions_are_answered_after_they_are_asked_and_numbers_are_printed(path: Path) -> None:
    questions = lessons.questions(path)
    assert len(questions) >= 3
    for question in questions:
        assert question.answer not in prose(path)
    minutes = {number for pair in re.findall(r"^## (\d+)–(\d+)", prose(path), re.MULTILINE) for number in pair}
    assert [number for number in lessons.unprinted_numbers(path) if number not in minutes] == []


def test_what_both_workshops_hold_is_the_same() -> None:
    one, other = ({cell.id: cell.source for cell in cells(path)} for path in WORKSHOPS)
    both = set(one) & set(other) - {"title", "write", "close"}
    assert len(both) >= 15
    assert [name for name in both if one[name] != other[name]] == []


@every_workshop
def test_nothing_has_to_be_pasted_to_pass_its_checks(path: Path) -> None:
    """With the model answers in place of the stubs, the checks are content and the pictures are drawn."""
    code = {cell.id: cell.source for cell in cells(path, "code")}
    answers = {
        "stub": "    return (handling(gradients).mean(dim=(2, 3), keepdim=True) * activations).sum(1)",
        "stub-summary": "    import math\n    found = [r for r in correlations if not math.isnan(r)]\n"
        "    return (sum(found) / len(found) if found else math.nan), len(correlations) - len(found)",
    }
    shown: list[Any] = []
    space: dict[str, Any] = {"display": shown.append}
    needed = ["setup", "stub", "own-maps", *(name for name in code if name == "stub-summary")]
    for name in needed:
        source = re.sub(r"^    raise NotImplementedError.*$", answers.get(name, ""), code[name], flags=re.MULTILINE)
        exec(compile(source.replace("print(checks.", "second = (checks."), name, "exec"), space)
    assert space["result"], space["result"]
    assert len(shown) == 1
    assert space.get("second", True), space["second"]


# --- Slides ---


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all slides."""
    folder = tmp_path_factory.mktemp("slides")
    slides.main(folder)
    return folder


@every_workshop
def test_slides_ask_and_name_nothing_elsewhere(path: Path, made: Path) -> None:
    page = (made / f"{path.stem}.html").read_text(encoding="utf-8")
    loaded = re.findall(r"""<(?:script|link|img)\b[^>]*\b(?:src|href)=["'](?!data:)([^"']+)""", page)
    assert loaded
    assert [name for name in loaded if not (made / name).is_file()] == []
    assert page.count('class="question"') == len(lessons.questions(path))
    assert page.count("<math") >= 5
    assert "widget-view" not in page
    assert "raise NotImplementedError" not in page


@pytest.mark.browser
@pytest.mark.slow
@NEEDS_CHROMIUM
def test_slides_run_without_a_network_and_fit(made: Path, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as play:
        context = play.chromium.launch_persistent_context(tmp_path, executable_path=CHROMIUM, args=QUIET)
        context.set_offline(True)
        page, asked, wrong = context.new_page(), [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        for path in WORKSHOPS:
            page.goto((made / f"{path.stem}.html").as_uri())
            page.wait_for_function("() => window.Reveal && Reveal.isReady()")
            too_long = page.evaluate(TOO_LONG)
            assert too_long == [], path.stem
        context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


TOO_LONG = """() => {
  const found = [];
  for (let n = 0; n < Reveal.getTotalSlides(); n++) {
    const slide = Reveal.getCurrentSlide();
    if (slide.scrollHeight > slide.clientHeight + 1) found.push(slide.innerText.slice(0, 60));
    while (Reveal.availableFragments().next) Reveal.nextFragment();
    Reveal.next();
  }
  return found;
}"""
