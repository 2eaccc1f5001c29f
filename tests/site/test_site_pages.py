"""The built site in a browser: nothing missing, nothing from elsewhere, no answer before a guess, and for everybody."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from chromium import CHROMIUM, QUIET

from posgrad_edu.cli.site import open_server
from posgrad_edu.widgets import Predict

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("sphinx")

ROOT = Path(__file__).parents[2]
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
READY = "parent.postMessage({posgradLabHeight: 500}, '*'); parent.postMessage({posgradLabReady: true}, '*')"
# What stands for the browser lab, whose own tests are in tests/lab: it is ready when it's told so.
LAB = f"<!doctype html><title>lab</title><h1>lab</h1><script>window.ready = () => {{ {READY} }}</script>"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The pages, made anew, and what was said while they were made. Sphinx takes each warning for an error."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "lab").mkdir()
    (folder / "lab" / "index.html").write_text(LAB, encoding="utf-8")
    command = [sys.executable, "docs/site/make_site.py", "--out", str(folder / "pages")]
    command += ["--sources", str(folder / "sources"), "--lab", str(folder / "lab")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "pages", done.stdout + done.stderr


@pytest.fixture(scope="module")
def pages(built: tuple[Path, str]) -> Path:
    """The folder of the pages."""
    return built[0]


@pytest.fixture(scope="module")
def address(pages: Path) -> Iterator[str]:
    """The pages as ``posgrad-edu site`` serves them."""
    with open_server(pages, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    """Chromium."""
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: playwright.Browser, address: str) -> Iterator[playwright.Page]:
    """A new page that fails the test when it asks another host for anything, or throws an error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    amiss: list[str] = []
    opened.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else amiss.append(r.url))
    opened.on("response", lambda r: None if r.status < 400 else amiss.append(f"{r.status} {r.url}"))
    opened.on("pageerror", lambda error: amiss.append(str(error)))
    yield opened
    context.close()
    assert amiss == []


# --- What is there ---


def test_it_is_made_without_a_warning(built: tuple[Path, str]) -> None:
    assert not re.search(r"warning|error", built[1], re.IGNORECASE), built[1]


def test_every_lesson_and_exercise_has_a_page(pages: Path) -> None:
    for name in LESSONS:
        assert (pages / "notebooks" / f"{name}.html").is_file()
    for folder in (ROOT / "exercises" / "release").iterdir():
        assert (pages / "exercises" / "release" / folder.name / f"{folder.name}.html").is_file()


def test_every_text_for_readers_has_a_page(pages: Path) -> None:
    wanted = [path.stem for path in (ROOT / "docs").glob("*.md")]
    assert [name for name in wanted if not (pages / "docs" / f"{name}.html").is_file()] == []


def test_every_module_has_a_page(pages: Path) -> None:
    package = ROOT / "posgrad_edu"
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts) for p in package.rglob("*.py")}
    names = {name.removesuffix(".__init__") for name in names if not name.endswith("__main__")} - {"posgrad_edu"}
    assert {path.stem for path in (pages / "api").glob("posgrad_edu*.html")} == names


def test_the_menu_lists_what_lies_around_a_page(read: dict[Path, Links], pages: Path) -> None:
    """Lessons beside lessons, modules beside modules: with all of them, the menu was most of a page."""
    lesson, module = f"{LESSONS[9]}.html", "posgrad_edu.methods.cam.html"
    beside = {"notebooks/00_start_here.html": lesson, "api/posgrad_edu.methods.lrp.html": module, "index.html": None}
    for page, near in beside.items():
        named = {link.rpartition("/")[2] for link in read[pages / page].links}
        assert named & {lesson, module} == {near} - {None}, page


def test_search_and_sitemap(pages: Path) -> None:
    index = (pages / "searchindex.js").read_text(encoding="utf-8")
    found = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))
    assert {"notebooks/02_gradcam", "docs/glossary", "api/posgrad_edu.methods.cam"} <= set(found["docnames"])
    assert "espresso" in found["terms"]
    sitemap = (pages / "sitemap.xml").read_text(encoding="utf-8")
    assert sitemap.count("<loc>") > len(LESSONS) + 100
    assert "notebooks/02_gradcam.html</loc>" in sitemap


class Links(HTMLParser):
    """What a page names: its anchors, its links, what it loads, and its pictures without words."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.wordless: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev", "index", "search"):
            self.loads.append(values["href"])
        self.loads += [values[name] for name in ("src", "srcset", "data", "poster") if name in values]
        if tag == "img" and not values.get("alt", "").strip():
            self.wordless.append(values.get("src", "")[:80])


@pytest.fixture(scope="module")
def read(pages: Path) -> dict[Path, Links]:
    """What each page names."""
    return {path: Links(path) for path in pages.rglob("*.html")}


def test_no_link_leads_to_nothing(pages: Path, read: dict[Path, Links]) -> None:
    broken = set()
    for page, found in read.items():
        for link in set(found.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = Path(os.path.normpath(page.parent / unquote(parts.path))) if parts.path else page
            anchor = "" if target.parent == pages / "lab" else unquote(parts.fragment)  # there it's a state, no place
            if not target.is_file() or (anchor and (target not in read or anchor not in read[target].anchors)):
                broken.add(f"{page.relative_to(pages)}: {link}")
    assert broken == set()


def test_every_resource_is_local(pages: Path, read: dict[Path, Links]) -> None:
    foreign = [f"{page.name}: {url}" for page, found in read.items() for url in found.loads if urlsplit(url).netloc]
    for sheet in pages.rglob("*.css"):
        named = re.findall(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", sheet.read_text(encoding="utf-8"))
        foreign += [f"{sheet.name}: {url}" for url in itertools.chain(*named) if urlsplit(url).netloc]
    assert foreign == []


def test_every_picture_has_words(read: dict[Path, Links]) -> None:
    assert {page.name: found.wordless for page, found in read.items() if found.wordless} == {}


def test_names_in_texts_lead_to_the_reference(read: dict[Path, Links], pages: Path) -> None:
    links = read[pages / "docs" / "contrast.html"].links
    assert "../api/posgrad_edu.methods.sharing.html#posgrad_edu.methods.sharing.explain" in links  # pg.explain
    assert any("bibliography.html#" in link for link in links)


# --- Questions ---


def code_cells(name: str) -> list[list[str]]:
    """Return a lesson's code cells: those up to its first question, those up to the second, ..."""
    parts: list[list[str]] = [[]]
    for cell in nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code" and "google.colab" not in cell.source:
            parts[-1].append(cell.source.strip())
            if "= Predict(" in cell.source:
                parts.append([])
    return parts


def seen(page: playwright.Page) -> str:
    """Return the words of a page that can be read now."""
    return page.locator("article").inner_text()


def seen_code(page: playwright.Page) -> list[str]:
    """Return the code cells that can be read now."""
    script = "(all) => all.filter((one) => one.checkVisibility()).map((one) => one.innerText.trim())"
    return page.locator("article .cell_input pre").evaluate_all(script)


@pytest.mark.browser
@pytest.mark.parametrize("name", LESSONS)
def test_no_answer_before_a_guess(name: str, page: playwright.Page, address: str) -> None:
    page.goto(f"{address}/notebooks/{name}.html")
    parts = code_cells(name)
    questions = page.locator(".question")
    assert questions.count() == len(parts) - 1 > 0
    for n in range(len(parts) - 1):
        assert seen_code(page) == [code for part in parts[: n + 1] for code in part]
        assert seen(page).count("Measured: ") == n
        button = questions.nth(n).locator("button").first
        button.focus()
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == "true"
    assert seen_code(page) == [code for part in parts for code in part]
    assert all(page.locator(".verdict").all_inner_texts())


@pytest.mark.browser
def test_a_guess_is_answered_as_in_the_notebook(page: playwright.Page, address: str) -> None:
    page.goto(f"{address}/notebooks/00_start_here.html")
    question = page.locator(".question").first
    choices = question.locator("button").all_inner_texts()
    measured = "red on the cup, as for espresso"
    for choice in choices:
        question.get_by_role("button", name=choice, exact=True).click()
        notebook = Predict("?", choices)
        notebook.guess = choice
        said = f"Measured: {measured}. {page.locator('.verdict').first.inner_text()}"
        assert said == notebook.reveal(measured)
        assert question.get_by_role("status").inner_text() == f"Noted: {choice}. Read on to see."
    page.reload()  # the guess is kept in this tab
    assert "Measured: " in seen(page)


@pytest.mark.browser
def test_headings_behind_a_question_are_not_listed(page: playwright.Page, address: str) -> None:
    page.set_viewport_size({"width": 1600, "height": 900})
    page.goto(f"{address}/notebooks/16_products_of_positive_matrices.html")
    listed = page.locator(".toc-tree")
    assert "Width makes it worse" not in listed.inner_text()
    page.locator(".question button").first.click()
    assert "Width makes it worse" in listed.inner_text()


@pytest.mark.browser
def test_a_link_into_what_is_hidden_leads_to_the_question(page: playwright.Page, address: str) -> None:
    page.goto(f"{address}/notebooks/16_products_of_positive_matrices.html#width-makes-it-worse")
    page.locator("#question-1 button:focus").wait_for()
    assert not page.get_by_role("heading", name="Width makes it worse").is_visible()


@pytest.mark.browser
def test_without_javascript_a_question_can_be_opened(browser: playwright.Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/notebooks/00_start_here.html")
    assert "Measured: " not in seen(page)
    page.locator(".gate > summary").first.click()
    assert "Measured: " in seen(page)
    page.goto(f"{address}/index.html")
    page.locator("label", has_text="signed").click()
    assert page.get_by_alt_text(re.compile("Map 1, signed")).is_visible()
    context.close()


# --- The first page, and the browser lab ---


@pytest.mark.browser
def test_the_first_thing_is_the_puzzle_and_its_switch_works(page: playwright.Page, address: str) -> None:
    page.goto(f"{address}/index.html")
    assert page.get_by_alt_text(re.compile("Map 1, positive")).is_visible()
    assert not page.get_by_alt_text(re.compile("Map 1, signed")).is_visible()
    page.get_by_role("radio", name="positive only").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_alt_text(re.compile("Map 1, signed")).is_visible()
    assert not page.get_by_alt_text(re.compile("Map 1, positive")).is_visible()
    box = page.locator("#puzzle").bounding_box()
    assert box is not None
    assert box["y"] < 300


@pytest.mark.browser
def test_the_lab_takes_the_puzzles_place_when_it_is_ready(page: playwright.Page, address: str) -> None:
    page.goto(f"{address}/index.html")
    lab = page.frame_locator("iframe.lab-frame")
    assert page.locator("#puzzle").is_visible()
    lab.locator("h1").evaluate("() => window.ready()")
    page.locator("#puzzle").wait_for(state="hidden")
    frame = page.locator("iframe.lab-frame")
    box = frame.bounding_box()
    assert box is not None
    assert box["height"] == 500
    assert "embed=1" in (frame.get_attribute("src") or "")


@pytest.mark.browser
def test_the_lab_does_not_interrupt_a_reader(page: playwright.Page, address: str) -> None:
    page.goto(f"{address}/index.html")
    page.locator("label", has_text="signed").click()
    page.frame_locator("iframe.lab-frame").locator("h1").evaluate("() => window.ready()")
    button = page.get_by_role("button", name=re.compile("live puzzle"))
    button.wait_for()
    assert page.locator("#puzzle").is_visible()
    button.click()
    assert not page.locator("#puzzle").is_visible()


@pytest.mark.browser
def test_a_lab_that_takes_long_leaves_the_puzzle(page: playwright.Page, address: str) -> None:
    page.clock.install()
    page.goto(f"{address}/index.html")
    page.frame_locator("iframe.lab-frame").locator("h1").wait_for(state="attached")
    page.clock.fast_forward(60_000)
    status = page.locator(".lab-live").get_by_role("status")
    status.get_by_text("still loading").wait_for()
    assert page.get_by_alt_text(re.compile("Map 1, positive")).is_visible()
    page.frame_locator("iframe.lab-frame").locator("h1").evaluate("() => window.ready()")
    page.locator("#puzzle").wait_for(state="hidden")
    assert status.text_content() == ""


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["phone", "narrow", "saves data"])
def test_the_lab_loads_unasked_on_wide_computers_only(kind: str, browser: playwright.Browser, address: str) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    wide = {"viewport": {"width": 500 if kind == "narrow" else 1280, "height": 800}}
    context = browser.new_context(**(phone if kind == "phone" else wide))
    page = context.new_page()
    if kind == "saves data":
        page.add_init_script("Object.defineProperty(navigator, 'connection', {value: {saveData: true}})")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/index.html")
    page.locator("label", has_text="signed").click()
    button = page.get_by_role("button", name="loads 1 MB")  # what stands for the lab is small
    button.wait_for()
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if "/lab/" in url] == []
    button.click()
    page.frame_locator("iframe.lab-frame").locator("h1").evaluate("() => window.ready()")
    page.locator("#puzzle").wait_for(state="hidden")
    context.close()


@pytest.mark.browser
def test_a_lessons_control_opens_the_lab_in_the_same_state(page: playwright.Page, address: str) -> None:
    page.goto(f"{address}/notebooks/04_what_a_logit_means.html")
    for button in page.locator(".question").all():
        button.locator("button").first.click()
    assert page.locator("iframe").count() == 0
    page.get_by_text("Try it on this page").click()
    source = page.locator("iframe.lab-frame").get_attribute("src") or ""
    assert source.startswith("../lab/index.html?embed=1&theme=light#")
    assert "shift=" in source
    assert "b=punching+bag" in source


# --- For everybody ---


@pytest.mark.browser
def test_no_page_is_wider_than_a_phone(page: playwright.Page, address: str, pages: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    names = ["index.html", "api/posgrad_edu.methods.cam.html", "README.html", "lessons.html", "bibliography.html"]
    names += [f"docs/{path.name}" for path in (pages / "docs").glob("*.html")]
    names += [f"notebooks/{name}.html" for name in LESSONS]
    wide = []
    for name in names:
        page.goto(f"{address}/{name}")
        page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
        width = page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
        wide += [f"{name}: {width}"] if width > 360 else []
    assert wide == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "name", ["index.html", "notebooks/06_fullgrad.html", "api/posgrad_edu.methods.cam.html", "docs/scale.html"]
)
def test_nobody_is_kept_out(name: str, scheme: str, page: playwright.Page, address: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{address}/{name}")
    page.evaluate("document.querySelectorAll('details.gate').forEach((d) => (d.open = true))")
    page.wait_for_function("() => !document.querySelector('.math') || document.querySelector('mjx-container')")
    found = axe.run(page)
    assert [
        f"{v['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for v in found.response["violations"]
        for node in v["nodes"][:3]
    ] == []


@pytest.mark.browser
def test_search_finds_a_lesson(page: playwright.Page, address: str) -> None:
    page.goto(f"{address}/search.html?q=randomization")
    page.locator("#search-results li a").first.wait_for()
    assert page.locator("#search-results a[href*='13_parameter_randomization']").count() > 0


@pytest.mark.browser
def test_formulas_are_drawn(page: playwright.Page, address: str) -> None:
    page.goto(f"{address}/notebooks/00_start_here.html")
    page.locator("mjx-container").first.wait_for()
    assert page.locator("mjx-merror").count() == 0
