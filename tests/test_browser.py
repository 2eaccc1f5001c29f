"""The first lesson in JupyterLab in a real browser: run all cells, flip the switch, move a class, see it change."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api")

ROOT = Path(__file__).parent.parent
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
MINUTES = 60_000  # playwright counts milliseconds

pytestmark = [
    pytest.mark.browser,
    # CI installs a browser, so there a missing one is a failure; a learner's machine may do without.
    pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="needs chromium"),
]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on a copy of the course, so that nothing that the browser saves reaches the checkout."""
    course = tmp_path_factory.mktemp("course")
    shutil.copytree(ROOT / "notebooks", course / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    settings = course / "settings"
    popups = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    popups.parent.mkdir(parents=True)
    popups.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    port = free_port()
    options = [
        *(f"--port={port}", "--no-browser", "--allow-root", "--ServerApp.port_retries=0", "--IdentityProvider.token="),
        *(f"--ServerApp.root_dir={course}", f"--LabApp.user_settings_dir={settings}"),
        f"--LabApp.workspaces_dir={course / 'workspaces'}",
    ]
    with (course / "server.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], stdout=log, stderr=log)
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
    if CHROMIUM is None:
        pytest.fail("No chromium on PATH. .ci/run installs it; Debian: apt-get install chromium.")
    with playwright.sync_playwright() as play:
        profile = tmp_path_factory.mktemp("profile")
        context = play.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=QUIET, viewport={"width": 1300, "height": 1000}
        )
        page = context.new_page()
        page.goto(f"{server}/lab/tree/notebooks/00_start_here.ipynb?reset")
        run_all(page)
        yield page
        context.close()


def run_all(page: playwright.Page) -> None:
    """Run all cells by the menu, and wait until the kernel is idle again."""
    idle = page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    idle.wait_for(timeout=2 * MINUTES)
    # The indicator is idle before there is a kernel, too; the status bar names the kernel once it answers.
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=2 * MINUTES)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="busy"]').wait_for(timeout=1 * MINUTES)
    idle.wait_for(timeout=4 * MINUTES)


def explorer(page: playwright.Page) -> playwright.Locator:
    """The Explorer: the one widget with a toggle for gradients. JupyterLab draws cells as they scroll into view."""
    widget = page.locator(".jp-OutputArea-output", has=page.get_by_role("button", name="positive", exact=True))
    for _ in range(40):
        if widget.count():
            break
        page.locator(".jp-WindowedPanel-outer").hover()
        page.mouse.wheel(0, -400)  # after Run All, the last cell is in view
        page.wait_for_timeout(200)
    widget.first.scroll_into_view_if_needed()
    return widget.first


def shown(widget: playwright.Locator) -> tuple[list[str], str]:
    """Return digests of the pictures of maps A and B, and what the sentence below them says."""
    pictures = [image.get_attribute("src") or "" for image in widget.locator("img").all()]
    return [hashlib.sha256(p.encode()).hexdigest() for p in pictures[1:]], widget.locator(
        'p[role="status"]'
    ).inner_text()


def wait_for_sentence(widget: playwright.Locator, words: str) -> None:
    widget.locator('p[role="status"]', has_text=words).wait_for(timeout=1 * MINUTES)


def test_all_cells_run_without_an_error(page: playwright.Page) -> None:
    explorer(page)
    assert page.locator('.jp-OutputArea [data-mime-type="application/vnd.jupyter.error"]').count() == 0
    assert page.locator(".jp-OutputArea img, .jp-OutputArea canvas").count() > 0


def test_the_toggle_changes_picture_and_number(page: playwright.Page) -> None:
    widget = explorer(page)
    widget.get_by_role("button", name="signed", exact=True).click()
    wait_for_sentence(widget, "Opposite maps")
    pictures, sentence = shown(widget)
    widget.get_by_role("button", name="positive", exact=True).click()
    wait_for_sentence(widget, "Much alike")
    after, said = shown(widget)
    assert len(pictures) == len(after) == 2
    assert all(before != now for before, now in zip(pictures, after, strict=True))
    assert "-0.84" in sentence
    assert "0.85" in said


def test_a_class_typed_by_keyboard_changes_picture_and_number(page: playwright.Page) -> None:
    widget = explorer(page)
    pictures, _ = shown(widget)
    box = widget.get_by_label("Class B")
    box.fill("teapot")
    box.press("Enter")
    wait_for_sentence(widget, "teapot")
    after, _ = shown(widget)
    assert pictures[0] != after[0] or pictures[1] != after[1]
    box.fill("teepot")
    box.press("Enter")
    wait_for_sentence(widget, "Did you mean")
