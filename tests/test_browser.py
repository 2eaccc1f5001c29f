"""Every lesson in JupyterLab in a real browser: run all cells, move every control, see the answer, and time it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from chromium import CHROMIUM, NEEDS_CHROMIUM, QUIET
from nbformat import NotebookNode
from PIL import Image
from stored import differences

from posgrad_edu.cli.lab import UPLOAD_MB, UPLOADS

playwright = pytest.importorskip("playwright.sync_api")

ROOT = Path(__file__).parent.parent
LESSONS = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MINUTE = 60_000  # playwright counts milliseconds
FLIPS = 12
CACHED_MS = 1000  # the median of cached flips; on an idle laptop it's a tenth of that

pytestmark = [
    pytest.mark.browser,
    NEEDS_CHROMIUM,
]


# --- JupyterLab and the browser ---


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, quick_kernels: None) -> Iterator[str]:
    """JupyterLab on a copy of the course, so that nothing that the browser saves reaches the checkout."""
    course = tmp_path_factory.mktemp("course")
    own = shutil.ignore_patterns(".ipynb_checkpoints", "mine")
    for folder in ("notebooks", "docs", "exercises"):  # a lesson reads the study's results from docs
        shutil.copytree(ROOT / folder, course / folder, ignore=own)
    settings = course / "settings"
    popups = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    popups.parent.mkdir(parents=True)
    popups.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    port = free_port()
    options = [
        *(f"--port={port}", "--no-browser", "--allow-root", "--ServerApp.port_retries=0", "--IdentityProvider.token="),
        *(f"--ServerApp.root_dir={course}", f"--LabApp.user_settings_dir={settings}"),
        f"--ServerApp.tornado_settings={UPLOADS}",  # as posgrad-edu lab does
        *(f"--LabApp.workspaces_dir={course / 'workspaces'}", "--LabApp.expose_app_in_browser=True"),
    ]
    with (course / "server.log").open("wb") as log:
        # One thread a kernel: digits depend on it, and two processes of tests share the cores.
        env = {**os.environ, "POSGRAD_EDU_UPLOAD_MB": str(UPLOAD_MB), "OMP_NUM_THREADS": "1"}
        env.pop("TQDM_DISABLE", None)  # learners see progress bars, too
        process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], stdout=log, stderr=log, env=env)
        try:
            wait_for(f"http://127.0.0.1:{port}/api", process, course / "server.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def wait_for(url: str, process: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.3)
        else:
            return
    pytest.fail(f"JupyterLab didn't start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def page(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[playwright.Page]:
    """JupyterLab, opened once: loading it anew for each lesson would take longer than most lessons run."""
    if CHROMIUM is None:
        pytest.fail("No chromium on PATH. .ci/run installs it; Debian: apt-get install chromium.")
    with playwright.sync_playwright() as play:
        profile = tmp_path_factory.mktemp("profile")
        context = play.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=QUIET, viewport={"width": 1300, "height": 1000}
        )
        page = context.new_page()
        page.goto(f"{server}/lab?reset")
        page.wait_for_function("() => window.jupyterapp && window.jupyterapp.restored", timeout=2 * MINUTE)
        page.evaluate("() => window.jupyterapp.restored")
        yield page
        context.close()


@pytest.fixture(scope="module", params=LESSONS)
def lesson(
    request: pytest.FixtureRequest, page: playwright.Page, as_run: dict[str, NotebookNode]
) -> Iterator[playwright.Page]:
    """The page with one lesson open and all of its cells run."""
    open_lesson(page, request.param)
    run_all(page)
    as_run[request.param] = notebook(page)
    yield page
    close_lesson(page)


@pytest.fixture(scope="module")
def as_run() -> dict[str, NotebookNode]:
    """Each lesson that was opened, as JupyterLab would have saved it before any control was moved."""
    return {}


OPEN = """async path => {
  const panel = await window.jupyterapp.commands.execute("docmanager:open", {path, factory: "Notebook"});
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  window.panel = panel;
}"""
CLOSE = """async () => {
  await window.panel.sessionContext.shutdown();
  window.panel.context.model.dirty = false;
  window.panel.dispose();
}"""


def open_lesson(page: playwright.Page, name: str, folder: str = "notebooks") -> None:
    page.evaluate(OPEN, f"{folder}/{name}")


def close_lesson(page: playwright.Page) -> None:
    page.evaluate(CLOSE)


def run_all(page: playwright.Page) -> None:
    """Run all cells by the menu, and wait until the last one has its number and the kernel is idle again."""
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    done = """() => {
      const panel = window.panel;
      const code = panel.content.widgets.filter(c => c.model.type === "code" && c.model.sharedModel.source.trim());
      const failed = code.some(c => c.model.outputs.toJSON().some(o => o.output_type === "error"));
      const idle = panel.sessionContext.session.kernel.status === "idle";
      return idle && (failed || code.every(c => c.model.executionState === "idle" && c.model.executionCount));
    }"""
    page.wait_for_function(done, timeout=5 * MINUTE, polling=100)
    page.wait_for_timeout(300)  # the last widget is still being drawn


def notebook(page: playwright.Page) -> NotebookNode:
    """Return the open notebook with what its cells put out, as JupyterLab would save it."""
    return nbformat.from_dict(page.evaluate("() => window.panel.model.toJSON()"))


def outputs(page: playwright.Page) -> list[dict[str, Any]]:
    return [o for cell in notebook(page).cells for o in cell.get("outputs", [])]


# --- Widgets and their controls ---

WIDGET = ".jp-OutputArea-output .widget-vbox:not(.widget-vbox .widget-vbox)"
CONTROLS = ".widget-toggle-buttons, .widget-slider, .widget-dropdown, .widget-radio"

# Waits for the widget's answer to the next click or key. Answers: what changed, and after how many milliseconds.
# A picture counts from the moment that it is decoded. Where the kernel is through with the message and nothing has
# changed, there was no answer.
ARM = """widget => {
  const all = (what, say) => Array.from(widget.querySelectorAll(what), say).join("|");
  const pictures = () => all("img", i => i.src), words = () => all("[role=status], figcaption", e => e.innerText);
  const before = [pictures(), words()];
  let start = null, said = null, drawn = false;
  const began = event => { start ??= event.timeStamp; };
  const kinds = ["pointerdown", "keydown", "input"];
  kinds.forEach(kind => document.addEventListener(kind, began, true));
  window.answered = new Promise(done => {
    const end = (what, at) => {
      watcher.disconnect();
      clearInterval(clock);
      kinds.forEach(kind => document.removeEventListener(kind, began, true));
      done({what, ms: at === null ? null : at - start});
    };
    const watcher = new MutationObserver(async () => {
      if (start === null) return;
      if (widget.querySelector("[role=status]") && words() !== before[1]) said ??= performance.now();
      if (pictures() !== before[0]) {
        drawn = true;
        await Promise.all(Array.from(widget.querySelectorAll("img"), i => i.decode().catch(() => null)));
        end("picture", performance.now());
      }
    });
    watcher.observe(widget, {subtree: true, childList: true, attributes: true, characterData: true});
    const kernel = window.panel.sessionContext.session.kernel;
    const clock = setInterval(async () => {
      if (start === null || performance.now() - start < 150) return;
      clearInterval(clock);
      for (const wait of [200, 500]) {  // twice: on a busy machine the control's message may leave late
        await kernel.requestKernelInfo();  // answered in turn, so the message has been worked off
        await new Promise(resolve => setTimeout(resolve, wait));
        if (drawn) return;  // the picture answers when it is decoded
        if (said !== null) break;
      }
      end(said === null ? null : "words", said);
    }, 30);
  });
}"""


@dataclass
class Answer:
    """What a control's move changed: "picture", "words" or nothing, and after how long."""

    what: str | None
    ms: float | None


def widgets(page: playwright.Page) -> list[playwright.Locator]:
    """Return the lesson's widgets that have controls, from top to bottom."""
    found = page.locator(WIDGET, has=page.locator(CONTROLS))
    return [found.nth(i) for i in range(found.count())]


def controls(widget: playwright.Locator) -> list[playwright.Locator]:
    """Return a widget's controls that can be used now."""
    found = widget.locator(CONTROLS)
    return [found.nth(i) for i in range(found.count()) if usable(found.nth(i))]


def usable(control: playwright.Locator) -> bool:
    return control.evaluate("e => !e.querySelector('[disabled]') && e.getClientRects().length > 0")


def kind(control: playwright.Locator) -> str:
    names = (control.get_attribute("class") or "").split()
    return next(n for n in ("toggle-buttons", "slider", "dropdown", "radio") if f"widget-{n}" in names)


def answer(widget: playwright.Locator, move: Callable[[], None]) -> Answer:
    widget.evaluate(ARM)
    move()
    return Answer(**widget.page.evaluate("() => window.answered"))


def by_mouse(control: playwright.Locator) -> Iterator[Callable[[], None]]:
    """Yield moves with the mouse that give a control another value."""
    if kind(control) == "toggle-buttons":
        for i in range(control.locator("button").count()):
            button = control.locator("button").nth(i)
            if "mod-active" not in (button.get_attribute("class") or ""):
                yield button.click
    elif kind(control) == "radio":
        for i in range(control.locator("input").count()):
            if not control.locator("input").nth(i).is_checked():
                yield control.locator("input").nth(i).click
    elif kind(control) == "slider":
        for share in (0.05, 0.95, 0.5):
            box = control.locator(".noUi-target").bounding_box() or {}
            place = {"x": share * box["width"], "y": box["height"] / 2}
            yield lambda place=place: control.locator(".noUi-target").click(position=place)


def by_keyboard(control: playwright.Locator) -> Iterator[Callable[[], None]]:
    """Yield moves with keys alone that give a control another value.

    Also an arrow on a closed list: JupyterLab would go to another cell, if the widgets didn't keep keys from it.
    """
    if kind(control) == "toggle-buttons":
        for i in range(control.locator("button").count()):
            button = control.locator("button").nth(i)
            if "mod-active" not in (button.get_attribute("class") or ""):
                yield lambda button=button: button.press("Enter")
        return
    targets = {"radio": "input:not(:checked) >> nth=0", "slider": ".noUi-handle", "dropdown": "select"}
    target = control.locator(targets[kind(control)])
    keys = {
        "radio": ["Space"],
        "slider": ["ArrowLeft", "ArrowRight", "Home", "End"],
        "dropdown": ["ArrowDown", "ArrowUp"],
    }
    for combination in keys[kind(control)]:
        yield lambda combination=combination: [target.press(key) for key in combination.split()]


def answers(widget: playwright.Locator, control: playwright.Locator, moves: Callable) -> bool:
    return any(answer(widget, move).what for move in moves(control))


# --- Tests of each lesson ---


def test_all_cells_run_without_an_error(lesson: playwright.Page) -> None:
    found = outputs(lesson)
    assert [o for o in found if o["output_type"] == "error" or o.get("name") == "stderr"] == []
    assert any({"image/png", "image/jpeg"} & set(o.get("data", {})) for o in found)
    assert lesson.locator(".jp-OutputArea img").count() > 0
    assert widgets(lesson), "a lesson shows a widget with a control"


def test_outputs_are_those_that_the_lesson_holds(
    lesson: playwright.Page, as_run: dict[str, NotebookNode], request: pytest.FixtureRequest
) -> None:
    """Those of test_outputs.py, which runs all other notebooks: here they have just been run."""
    name = request.node.callspec.params["lesson"]
    assert not (found := differences(ROOT / "notebooks" / name, as_run[name], request.session)), "\n".join(found)


def test_a_cached_flip_is_quick(lesson: playwright.Page, capsys: pytest.CaptureFixture[str]) -> None:
    """Timed first, in the state that the lesson leaves: in others a toggle may change nothing."""
    for widget in widgets(lesson):
        quick = {kind(control) for control in controls(widget)} & {"toggle-buttons", "slider"}
        if widget.locator("img").count() == 0 or not quick:  # a question, or lists only
            continue
        times = cached_flips(widget)
        assert times, "no toggle or slider changes the picture"
        median, late = statistics.median(times), sorted(times)[int(0.95 * len(times))]
        with capsys.disabled():
            print(f"\n  {title(widget):60s} {len(times)} flips: median {median:.0f} ms, 95 % within {late:.0f} ms")
        assert median < CACHED_MS


def test_each_control_answers_to_mouse_and_keyboard(lesson: playwright.Page) -> None:
    """Each toggle, slider and question is moved in both ways; the browser draws the list of a drop-down by itself."""
    for widget in widgets(lesson):
        widget.scroll_into_view_if_needed()
        for control in controls(widget):
            for moves in [by_keyboard] if kind(control) == "dropdown" else [by_mouse, by_keyboard]:
                if usable(control):  # a method without layers has just disabled the choice of a layer
                    silent = f"{control.inner_text()} is silent {moves.__name__}"
                    answers_so = resizes if control.inner_text().startswith("Size") else answers_in_some_state
                    assert answers_so(widget, control, moves), silent


def resizes(widget: playwright.Locator, control: playwright.Locator, moves: Callable) -> bool:
    """Whether a control makes the widget larger or smaller, with the same picture in it."""
    for move in moves(control):
        before = widget.bounding_box()
        move()
        for _ in range(50):
            if widget.bounding_box() != before:
                return True
            widget.page.wait_for_timeout(100)
    return False


def answers_in_some_state(widget: playwright.Locator, control: playwright.Locator, moves: Callable) -> bool:
    """Whether a control answers, if need be with another one moved: where nothing passes, signs make no odds."""
    if answers(widget, control, moves):
        return True
    for other in controls(widget):
        if kind(other) in ("toggle-buttons", "slider") and other.inner_text() != control.inner_text():
            for move in by_mouse(other):
                answer(widget, move)
                if answers(widget, control, moves):
                    return True
    return False


def cached_flips(widget: playwright.Locator) -> list[float] | None:
    """Return the milliseconds from click or key to new picture for flips between two values seen before."""
    for control in controls(widget):
        there, back = flip(control)
        if there is None:
            continue
        first = [answer(widget, move).what for move in (there, back)]
        if first == ["picture", "picture"]:
            found = [answer(widget, move) for _ in range(FLIPS // 2) for move in (there, back)]
            assert {a.what for a in found} == {"picture"}
            return [a.ms for a in found if a.ms is not None]
    return None


def flip(control: playwright.Locator) -> tuple[Callable[[], None] | None, Callable[[], None] | None]:
    """Return two moves that lead to another value and back."""
    if kind(control) == "toggle-buttons":
        buttons = [control.locator("button").nth(i) for i in range(control.locator("button").count())]
        active = ["mod-active" in (b.get_attribute("class") or "") for b in buttons]
        if any(active):
            return buttons[active.index(True) - 1].click, buttons[active.index(True)].click
    if kind(control) == "slider":
        handle = control.locator(".noUi-handle")
        first = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemin")
        keys = ("ArrowRight", "ArrowLeft") if first else ("ArrowLeft", "ArrowRight")
        return (lambda: handle.press(keys[0])), (lambda: handle.press(keys[1]))
    return None, None


def title(widget: playwright.Locator) -> str:
    """Return the names of a widget's controls, which tell it from others."""
    names = widget.locator(CONTROLS).locator(".widget-label").all_inner_texts()
    return " · ".join(dict.fromkeys(n.strip() for n in names if n.strip() and not re.fullmatch(r"[\d.\s]+", n)))


def test_nothing_that_we_make_keeps_readers_out(lesson: playwright.Page) -> None:
    """axe-core on rendered texts, outputs and widgets; JupyterLab's own bars and menus are not ours."""
    assert violations(lesson) == []


@pytest.mark.parametrize("name", LESSONS)
def test_the_page_for_readers_without_jupyter_keeps_nobody_out(
    name: str, page: playwright.Page, tmp_path: Path
) -> None:
    """The same for what nbconvert makes of the stored outputs. There, each picture has its alt text."""
    nbconvert = pytest.importorskip("nbconvert")
    html, _ = nbconvert.HTMLExporter(embed_images=True).from_filename(ROOT / "notebooks" / name)
    file = tmp_path / "lesson.html"
    file.write_text(html, encoding="utf-8")
    static = page.context.new_page()
    static.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
    static.goto(file.as_uri(), wait_until="domcontentloaded")
    found = violations(static, known=(("link-in-text-block", ".jp-RenderedMarkdown"),))  # its style sheet's links
    pictures = static.locator(".jp-RenderedImage img").count()
    static.close()
    assert found == []
    assert pictures > 0


# What the frontend leaves out, by rule and element. JupyterLab doesn't show the alt text that each of our pictures
# carries (test_notebooks.py looks for it), and ipywidgets puts a slider's name beside its handle, not on it.
NOT_OURS = (("image-alt", ".jp-RenderedImage"), ("aria-input-field-name", ".noUi-handle"))


def violations(page: playwright.Page, known: tuple[tuple[str, str], ...] = NOT_OURS) -> list[str]:
    """Return what axe-core finds serious or critical: rule, element, and what to do."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, {"include": [[".jp-RenderedMarkdown"], [".jp-OutputArea-output"]]})
    nodes = [
        (v["id"], node)
        for v in found.response["violations"]
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]
    return [
        f"{rule}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for rule, node in nodes
        if not any(rule == one and closest(page, node, place) for one, place in known)
    ]


def closest(page: playwright.Page, node: dict[str, Any], place: str) -> bool:
    inside = "([target, place]) => !!document.querySelector(target).closest(place)"
    return page.evaluate(inside, [node["target"][0], place])


# --- What the first lesson promises ---


def new_explorer(lesson: playwright.Page) -> playwright.Locator:
    """Run the Explorer's cell again: other tests have moved the controls of the one before."""
    run_cell(lesson, lesson.evaluate(CELL_WITH, "lab = Explorer"))
    return lesson.locator(WIDGET, has=lesson.get_by_label("Class B"))


CELL_WITH = """words =>
  window.panel.content.widgets.find(cell => cell.model.sharedModel.source.includes(words)).model.id"""


@pytest.mark.parametrize("lesson", ["00_start_here.ipynb"], indirect=True)
def test_the_explorer_says_what_changed(lesson: playwright.Page) -> None:
    explorer = new_explorer(lesson)
    sentence = explorer.locator('p[role="status"]')
    explorer.get_by_label("Photo").select_option("coffee")
    explorer.get_by_label("Method").select_option("gradcam")
    explorer.get_by_label("Layer").select_option("bn2.act")
    for box, word in (("Class A", "most likely"), ("Class B", "least likely")):
        explorer.get_by_label(box).fill(word)
        explorer.get_by_label(box).press("Enter")
    explorer.get_by_role("button", name="signed", exact=True).click()
    sentence.get_by_text("of the maps −0.92, of their magnitudes +0.92").wait_for(timeout=MINUTE)
    explorer.get_by_role("button", name="positive", exact=True).click()
    sentence.get_by_text("of the maps +0.92, of their magnitudes +0.92").wait_for(timeout=MINUTE)
    explorer.get_by_label("Class B").fill("teepot")
    explorer.get_by_label("Class B").press("Enter")
    sentence.get_by_text("Did you mean").wait_for(timeout=MINUTE)


# --- Widths, keys and uploads ---


SCROLL = """async words => {
  const content = window.panel.content;
  const at = content.widgets.findIndex(cell => cell.model.sharedModel.source.includes(words));
  await content.scrollToItem(at, "start");
}"""


def scroll_to(page: playwright.Page, words: str) -> None:
    """Go to the cell with these words: JupyterLab hides what lies far from what is seen."""
    page.wait_for_timeout(500)  # the page may still be finding its new width
    page.evaluate(SCROLL, words)
    page.wait_for_timeout(500)


@pytest.mark.parametrize("lesson", ["00_start_here.ipynb"], indirect=True)
@pytest.mark.parametrize("width", [390, 820, 1920])
def test_widgets_fill_the_width_and_maps_stay_side_by_side(lesson: playwright.Page, width: int) -> None:
    lesson.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    lesson.set_viewport_size({"width": width, "height": 1000})
    try:
        for words in ("question = Predict", "lab = Explorer"):
            scroll_to(lesson, words)
            for panel in lesson.locator(".posgrad-edu").all():
                assert panel.evaluate("e => e.scrollWidth <= e.clientWidth"), "wider than the page"
        frames = lesson.locator(".posgrad-edu-pair .posgrad-edu-frame").all()
        one, other = (frame.bounding_box() or {} for frame in frames)
        assert one["y"] == pytest.approx(other["y"], abs=1)
        assert one["x"] + one["width"] < other["x"]
        inside = lesson.locator(".posgrad-edu", has=lesson.get_by_label("Class B")).bounding_box() or {}
        assert inside["width"] > 0.7 * width
        assert one["width"] > 0.25 * inside["width"]
    finally:
        lesson.set_viewport_size({"width": 1300, "height": 1000})
        lesson.evaluate("() => window.jupyterapp.shell.expandLeft()")


CELLS = "() => window.panel.content.widgets.map(cell => cell.model.type)"
KEYS = "data-lm-suppress-shortcuts"


@pytest.mark.parametrize("lesson", ["00_start_here.ipynb"], indirect=True)
def test_keys_on_a_control_do_not_reach_jupyterlab_but_for_saving(lesson: playwright.Page) -> None:
    """Without our style sheet "b" inserts a cell, "x" cuts one and "m" turns a code cell into text."""
    explorer = new_explorer(lesson)
    explorer.get_by_label("Photo").select_option("coffee")  # which brings it into view
    button = explorer.locator("button", has_text=re.compile("^signed$"))
    before = lesson.evaluate(CELLS)
    for key in ("b", "a", "x", "m", "d", "d"):
        button.press(key)
        lesson.wait_for_timeout(100)
    assert lesson.evaluate(CELLS) == before
    assert button.evaluate("e => document.activeElement === e")
    lesson.evaluate("() => window.panel.content.activeCell.node.focus()")
    lesson.keyboard.press("b")  # on the cell itself it still does what it says
    lesson.wait_for_timeout(500)
    assert len(lesson.evaluate(CELLS)) == len(before) + 1
    button.focus()
    assert button.get_attribute(KEYS) == ""
    lesson.evaluate("() => { window.panel.context.model.dirty = true; }")
    lesson.keyboard.press("Control+s")
    lesson.wait_for_function("() => !window.panel.context.model.dirty", timeout=MINUTE)


@pytest.mark.parametrize("lesson", ["20_your_own_photo_and_network.ipynb"], indirect=True)
@pytest.mark.parametrize("megabytes", [14, UPLOAD_MB])
def test_an_upload_of_the_size_that_is_promised_arrives(
    lesson: playwright.Page, megabytes: int, tmp_path: Path
) -> None:
    """A JPEG of noise, filled up behind its end to just below the size."""
    photo = tmp_path / f"holiday{megabytes}.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photo, quality=95)
    with photo.open("ab") as file:
        file.write(bytes(megabytes * 10**6 - photo.stat().st_size))
    scroll_to(lesson, "own = OwnPhoto")
    own = lesson.locator(WIDGET, has=lesson.get_by_label("Path"))
    assert f"up to {UPLOAD_MB} MB" in own.inner_text()
    with lesson.expect_file_chooser() as chooser:
        own.get_by_role("button", name="Upload a photo").click()
    chooser.value.set_files(photo)
    own.get_by_text(f"{photo.name}: 2000 × 1500 pixels").wait_for(timeout=2 * MINUTE)


# --- An exercise, worked through ---

EXERCISE = "02_gradcam"
# JupyterLab draws only the cells near the one that is looked at.
SHOW = """async id => {
  const content = window.panel.content;
  const at = content.widgets.findIndex(cell => cell.model.id === id);
  await content.scrollToItem(at, "center");
  content.activeCellIndex = at;
}"""
# How often the kernel had run cells when it ran this one; null while it is waiting for its turn.
COUNT = "id => window.panel.content.widgets.find(cell => cell.model.id === id).model.executionCount"
RAN = """([id, before]) => {
  const {executionCount, executionState} = window.panel.content.widgets.find(cell => cell.model.id === id).model;
  const idle = window.panel.sessionContext.session.kernel.status === "idle";
  return idle && executionState === "idle" && executionCount && executionCount !== before;
}"""
SAID = """id => {
  const cell = window.panel.content.widgets.find(cell => cell.model.id === id);
  return cell.model.outputs.toJSON().map(o => o.text || o.evalue || "").join("\\n");
}"""


@pytest.fixture(scope="module")
def exercise(page: playwright.Page) -> Iterator[playwright.Page]:
    page.evaluate("() => { window.before = window.panel; }")  # a lesson may still be open
    open_lesson(page, f"{EXERCISE}.ipynb", f"exercises/release/{EXERCISE}")
    yield page
    close_lesson(page)
    page.evaluate("() => { window.panel = window.before; }")


def solutions() -> dict[str, str]:
    """Return the source's answers by cell."""
    notebook = json.loads((ROOT / "exercises" / "source" / EXERCISE / f"{EXERCISE}.ipynb").read_text("utf-8"))
    mark = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)
    return {cell["id"]: mark.sub("", "".join(cell["source"])) for cell in notebook["cells"]}


def editor(page: playwright.Page, cell: str) -> playwright.Locator:
    page.evaluate(SHOW, cell)
    panel = page.evaluate("() => window.panel.id")
    return page.locator(f"[id='{panel}'] .jp-Notebook-cell.jp-mod-active .cm-content")


def run_cell(page: playwright.Page, cell: str) -> str:
    """Run a cell by the keyboard, and return what it says."""
    page.evaluate(SHOW, cell)
    page.evaluate("() => window.panel.content.node.focus()")
    before = page.evaluate(COUNT, cell)
    page.keyboard.press("Control+Enter")
    page.wait_for_function(RAN, arg=[cell, before], timeout=MINUTE)
    return page.evaluate(SAID, cell)


def write(page: playwright.Page, cell: str, code: str) -> None:
    """Put code into a cell as a learner would: click, select all, type."""
    editor(page, cell).click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(code)


def test_a_stub_says_that_nothing_is_written(exercise: playwright.Page) -> None:
    run_cell(exercise, "setup")
    run_cell(exercise, "solution-2")
    assert "isn't written yet" in run_cell(exercise, "test-2")


def test_a_wrong_answer_is_named(exercise: playwright.Page) -> None:
    wrong = "def gradcam(activations, gradients, handling):\n"
    wrong += "    return (handling(gradients).mean(1, keepdim=True) * activations).sum(1)"
    write(exercise, "solution-2", wrong)
    run_cell(exercise, "solution-2")
    assert "you averaged over the channels instead of the positions" in run_cell(exercise, "test-2")


@pytest.mark.parametrize("task", [1, 2])
def test_the_solution_typed_in_passes(exercise: playwright.Page, task: int) -> None:
    write(exercise, f"solution-{task}", solutions()[f"solution-{task}"])
    run_cell(exercise, f"solution-{task}")
    assert "✓" in run_cell(exercise, f"test-{task}")


def test_a_test_cell_cannot_be_changed(exercise: playwright.Page) -> None:
    before = editor(exercise, "test-2").inner_text()
    editor(exercise, "test-2").click()
    exercise.keyboard.insert_text("pass")
    assert editor(exercise, "test-2").inner_text() == before


def test_nothing_in_an_exercise_keeps_readers_out(exercise: playwright.Page) -> None:
    assert violations(exercise) == []
