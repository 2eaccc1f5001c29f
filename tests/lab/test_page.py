"""The browser lab in a real browser: its maps against ``pg.explain``, its controls, links, and what it never does."""

from __future__ import annotations

import base64
import functools
import http.server
import os
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np
import pytest
import torch
from once import exported_once
from PIL import Image
from torch import Tensor

import posgrad_edu as pg
from posgrad_edu.methods.cam import CAM
from posgrad_edu.metrics.randomization import with_random
from posgrad_edu.metrics.similarity import spearman
from posgrad_edu.models.shift import shift_vector, shifted
from posgrad_edu.widgets import Explorer, RandomizationSlider, ShiftSlider

playwright = pytest.importorskip("playwright.sync_api")

ROOT = Path(__file__).parents[2]
LAB = ROOT / "docs" / "lab"
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
NPM = shutil.which("npm")
QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
MINUTE = 60_000  # playwright counts milliseconds
PHOTOS = ("coffee", "cat", "rocket", "motorcycle", "flower")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    # CI installs a browser and node, so there a missing one is a failure; a learner's machine may do without.
    pytest.mark.skipif(
        None in (CHROMIUM, shutil.which("npm")) and not os.environ.get("CI"), reason="needs chromium, npm"
    ),
]


# --- The page, served from its own origin ---


def npm(*arguments: str) -> None:
    """Run npm in docs/lab, where its packages are installed."""
    if not (LAB / "node_modules" / "onnxruntime-web").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=LAB, check=True, timeout=300)
    done = subprocess.run(["npm", *arguments], cwd=LAB, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A plain server of files."""

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is served: a plain server, as it would be anywhere."""
    folder = exported_once(tmp_path_factory)
    npm("run", "build", "--", str(folder))
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/index.html"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    if CHROMIUM is None:
        pytest.fail("No chromium on PATH. .ci/run installs it; Debian: apt-get install chromium.")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


# The page itself has no door for tests: they listen to what its worker tells it.
LISTEN = """
window.Worker = class extends Worker {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({data}) => { if (data.kind === "answer") window.answer = data.answer; });
  }
};
window.packed = map => btoa(Array.from(new Uint8Array(map.buffer), b => String.fromCharCode(b)).join(""));
"""


class Lab:
    """A page of the lab, and what it asked for and complained about."""

    def __init__(self, browser: playwright.Browser, address: str, **context: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 800}, **context)
        self.page = self.context.new_page()
        self.address = address
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self.heard)
        self.page.add_init_script(LISTEN)
        self.clf = pg.load_classifier()

    def heard(self, message: playwright.ConsoleMessage) -> None:
        """Keep a complaint, but for Chromium's own about a machine without a graphics processor."""
        if message.type in ("error", "warning") and message.text != "No available adapters.":
            self.complaints.append(message.text)

    def open(self, state: str = "", query: str = "") -> Lab:
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}{query}{state}")
        self.page.locator("#stage").wait_for(timeout=2 * MINUTE)
        return self

    def shown(self) -> int:
        return int(self.page.evaluate("document.documentElement.dataset.shown ?? 0"))

    def go(self, **state: Any) -> dict[str, Any]:
        """Follow a link within the page, and return the answer; without a photo, to the coffee."""
        state = {
            "photo": "coffee",
            "turn": self.shown(),
            **state,
        }  # turn: no link is the last one
        return self.after(lambda: self.page.evaluate("hash => { location.hash = hash; }", urlencode(state)))

    def slide(self, name: str, place: int) -> None:
        """Move a slider, as keys or a finger would."""
        self.page.eval_on_selector(
            f"#{name}", "(e, value) => { e.value = value; e.dispatchEvent(new Event('change')); }", str(place)
        )

    def flip(self) -> None:
        self.page.focus("#handlings input:checked")
        self.page.keyboard.press("ArrowRight" if "signed" in self.page.url else "ArrowLeft")

    def layer(self, method: str) -> str | None:
        return self.clf.cam_layer if issubclass(pg.METHODS[method], CAM) else None

    def after(self, act: Any) -> dict[str, Any]:
        """Do something, and return the answer to it."""
        before = self.shown()
        act()
        self.page.wait_for_function("n => document.documentElement.dataset.shown > n", arg=before, timeout=MINUTE)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        return self.page.evaluate("({...answer, maps: answer.maps.map(packed), logits: packed(answer.logits)})")

    def sentence(self) -> str:
        return self.page.inner_text("#sentence")


@pytest.fixture(scope="module")
def lab(browser: playwright.Browser, address: str) -> Iterator[Lab]:
    """The lab, opened once with a link; tests that change what is stored open their own."""
    lab = Lab(browser, address).open("#photo=coffee&handling=signed")
    yield lab
    assert lab.complaints == []
    lab.context.close()


def unpacked(text: str) -> Tensor:
    """Return a map (H, W) that the page holds, or another square number of floats."""
    values = torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype="<f4").copy())
    side = round(values.numel() ** 0.5)
    return values.reshape(side, side) if side * side == values.numel() else values


# --- Its maps are the package's ---


# Rounding differs between two programs, so a ReLU6 or ReLU whose input lies at a kink may be open here and closed
# there: a gate's whole share of the gradient comes or goes. Where a map passes through all of the network's gates,
# single pixels may then differ by more than rounding; all others are the same.
GATES = ("gradient", "input-x-gradient", "fullgrad", "guided-backprop", "lrp")
ROUNDING = 1e-4  # of the largest magnitude
FLIPPED = 0.3  # of the largest magnitude, at single pixels
ALIKE = 0.998  # rank correlation with the package's map, gates at kinks or not


class Difference(NamedTuple):
    """How far the page's two maps lie from the package's, in shares of the largest magnitude of each."""

    largest: float
    median: float
    correlation: float  # the smaller of the two maps'


def difference(lab: Lab, answer: dict[str, Any], method: str, handling: str, **options: Any) -> Difference:
    """Compare the page's answer with the package's; net, x and targets may be given among the options."""
    photo = pg.load_photo(answer["state"]["photo"])
    net, x = options.pop("net", lab.clf.net), options.pop("x", lab.clf.batch(photo))
    chosen = None if handling == "published" else handling
    ours = torch.stack([unpacked(text) for text in answer["maps"]])
    theirs = pg.explain(net, x, [options.pop("targets", answer["classes"])], method, chosen, **options)[0]
    apart = (ours - theirs).abs() / theirs.abs().amax((1, 2), keepdim=True).clamp_min(1e-12)
    pairs = zip(ours.double().numpy(), theirs.double().numpy(), strict=True)
    alike = min(spearman(a, b) for a, b in pairs)
    return Difference(float(apart.max()), float(apart.flatten(1).median(1).values.max()), alike)


def check(found: Difference, method: str, where: str) -> None:
    if method in GATES:
        assert found.largest <= FLIPPED, where
        assert found.median <= 1e-3, where
        assert found.correlation >= ALIKE, where
    else:
        assert found.largest <= ROUNDING, where


@pytest.mark.parametrize("photo", PHOTOS)
def test_maps_are_those_of_the_package(lab: Lab, photo: str) -> None:
    for method in pg.METHODS:
        for handling in ("signed", "positive"):
            answer = lab.go(photo=photo, method=method, handling=handling)
            found = difference(lab, answer, method, handling, layer=lab.layer(method))
            print(f"{photo} {method} {handling}: {found}")
            check(found, method, f"{method} {handling} of {photo}: {found}")


@pytest.mark.parametrize("handling", ["absolute", "published"])
def test_further_handlings_are_those_of_the_package(lab: Lab, handling: str) -> None:
    methods = ["lrp"] if handling == "published" else ["gradcam++", "rectgrad", "deconvnet", "fullgrad"]
    for method in methods:
        answer = lab.go(method=method, handling=handling)
        check(difference(lab, answer, method, handling, layer=lab.layer(method)), method, method)


def test_contrasts_layers_and_the_final_relu_are_those_of_the_package(lab: Lab) -> None:
    last = lab.clf.cam_layer
    for contrast in ("mean", "other"):
        answer = lab.go(contrast=contrast, handling="signed")
        against = "mean" if contrast == "mean" else torch.tensor([answer["classes"][::-1]])
        check(difference(lab, answer, "gradcam", "signed", layer=last, contrast=against), "gradcam", contrast)
    layers = lab.page.eval_on_selector_all("#layer option", "options => options.map(option => option.value)")
    assert layers[0] == last
    assert len(layers) >= 4
    for layer in layers[1:]:
        answer = lab.go(layer=layer, handling="signed")
        found = difference(lab, answer, "gradcam", "signed", layer=layer)
        assert found.largest <= 0.02, layer  # gates of later layers: one more or less changes a channel's whole weight
        assert found.correlation >= 0.999, layer
    answer = lab.go(relu=1, handling="signed")
    check(difference(lab, answer, "gradcam", "signed", layer=last, relu=True), "gradcam", "final ReLU")


def test_a_shift_is_that_of_the_package(lab: Lab) -> None:
    net = shifted(lab.clf.net, shift_vector(lab.clf.net, 0.25))
    answer = lab.go(shift=0.25, handling="signed")
    check(difference(lab, answer, "gradcam", "signed", net=net, layer=lab.clf.cam_layer), "gradcam", "shift")
    with closing(ShiftSlider(lab.clf, shift=0.25, handling="signed", method="gradcam")) as slider:
        assert lab.sentence().split("Rank")[1] == slider.summary.split("Rank")[1]
    assert lab.page.inner_text("#shift-words") == "+0.25"


def test_random_layers_are_those_of_the_package(lab: Lab) -> None:
    x = lab.clf.batch(pg.load_photo("coffee"))
    layers = pg.metrics.randomizable_layers(lab.clf.net, x)
    lab.go(photo="coffee")
    steps = int(lab.page.get_attribute("#depth", "max") or 0)
    assert steps >= 3
    for step in (1, steps):
        answer = lab.after(lambda step=step: lab.slide("depth", step))
        depth = answer["state"]["depth"]
        net = with_random(lab.clf.net, layers[:depth], 0)
        espresso = answer["classes"][0]
        trained, random = (
            torch.cat([pg.explain(each, x, espresso, "gradcam", "positive", lab.clf.cam_layer)])[0]
            for each in (lab.clf.net, net)
        )
        for text, theirs in zip(answer["maps"], (trained, random), strict=True):
            assert float((unpacked(text) - theirs).abs().max()) <= 10 * ROUNDING * float(theirs.abs().max()), depth
        with closing(RandomizationSlider(lab.clf, method="gradcam", handling="positive", steps=len(layers))) as slider:
            slider.depth.value = depth
            assert lab.sentence() == slider.summary
    lab.after(lambda: lab.slide("depth", 0))


# --- What it says and how it is used ---


def test_it_says_what_the_explorer_says(lab: Lab) -> None:
    with closing(Explorer(lab.clf, ("coffee", "cat"))) as explorer:
        for photo, b, handling in (("coffee", "cup", "signed"), ("cat", "African hunting dog", "positive")):
            explorer.photo.value, explorer.class_b.value, explorer.handling.value = photo, b, handling
            answer = lab.go(photo=photo, b=b, handling=handling)
            assert lab.sentence() == explorer.summary
            assert answer["limits"][0] == pytest.approx(explorer.limit, rel=1e-4)


def test_the_puzzle_first_and_the_switch_by_keyboard(browser: playwright.Browser, address: str) -> None:
    lab = Lab(browser, address).open()
    page = lab.page
    assert page.locator("#caption-a").inner_text().startswith("Map 1")
    assert not page.locator("#verdict").is_visible()
    page.wait_for_function("() => !document.querySelector('#guess').hidden")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.guess") == "0"
    lab.after(lambda: page.keyboard.press("Enter"))
    assert page.locator("#heading").inner_text().split(":")[0] in ("Right", "No")
    assert "espresso" in page.locator("#caption-a").inner_text()
    assert page.evaluate("document.activeElement.value") == "positive"
    answer = lab.after(lambda: page.keyboard.press("ArrowLeft"))
    assert answer["state"]["handling"] == "signed"
    assert answer["spearman"] < -0.5
    assert page.locator("#heading").inner_text() == "Now it answers."
    assert "Opposite maps" in lab.sentence()
    assert lab.complaints == []
    lab.context.close()


def test_a_link_restores_everything(browser: playwright.Browser, address: str, lab: Lab) -> None:
    lab.go(photo="rocket", a="missile", b="espresso", method="lrp", handling="positive", contrast="mean")
    link, sentence = lab.page.url, lab.sentence()
    other = Lab(browser, address).open("#" + link.split("#")[1])
    assert other.sentence() == sentence
    chosen = "[...document.querySelectorAll(':checked')].filter(e => e.type === 'radio').map(e => e.value)"
    assert sorted(other.page.evaluate(chosen)) == ["positive", "rocket"]
    values = {name: other.page.input_value(f"#{name}") for name in ("class-a", "class-b", "method", "contrast")}
    assert values == {"class-a": "missile", "class-b": "espresso", "method": "lrp", "contrast": "mean"}
    other.context.grant_permissions(["clipboard-read", "clipboard-write"])
    other.page.click("#share")
    other.page.wait_for_function("() => document.querySelector('#share-words').textContent.startsWith('Copied')")
    assert other.page.evaluate("navigator.clipboard.readText()").endswith(link.split("#")[1])
    other.context.close()


def test_a_word_is_completed_asked_about_or_refused(lab: Lab) -> None:
    page = lab.page
    lab.go(photo="coffee")
    page.fill("#class-b", "jers")
    page.locator("#class-b-list li").first.wait_for()
    assert "jersey" in page.locator("#class-b-list").inner_text()
    page.keyboard.press("ArrowDown")
    assert lab.after(lambda: page.keyboard.press("Enter"))["classes"][1] == lab.clf.index("jersey")

    page.fill("#class-b", "crane")
    page.keyboard.press("Escape")
    page.fill("#class-b", "crane")
    page.keyboard.press("Enter")
    page.locator("#which").wait_for()
    assert "fits" in page.inner_text("#which-question")
    offered = page.locator("#which-options button").all_inner_texts()
    assert offered == [lab.clf.labels[c] for c in lab.clf.find("crane")][:12]
    assert lab.after(lambda: page.click("#which-options button >> nth=1"))["classes"][1] == lab.clf.find("crane")[1]
    assert not page.locator("#which").is_visible()

    page.fill("#class-b", "xqzzk")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => document.querySelector('#sentence').textContent.includes('None of the 1,000 classes')"
    )
    assert page.locator("#stage.old").count() == 1  # the last maps stay, pale
    lab.go(photo="coffee")


def test_an_impostor_is_a_class_that_isnt_there(lab: Lab) -> None:
    lab.go(photo="coffee", handling="signed")
    answer = lab.after(lambda: lab.page.click("#impostor"))
    shares = lab.clf.probabilities(pg.load_photo("coffee"))
    assert shares[answer["classes"][1]] < 1e-4
    assert answer["state"]["handling"] == "positive"
    assert answer["spearman"] > 0.9
    assert "rules out" in lab.sentence()


def test_own_photos_stay_here_and_stand_upright(browser: playwright.Browser, address: str, tmp_path: Path) -> None:
    lab = Lab(browser, address).open("#photo=coffee")
    upright = pg.load_photo("coffee")
    upright.save(tmp_path / "upright.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=turned)
    upright.resize((6000, 4000)).save(tmp_path / "large.jpg")
    (tmp_path / "words.jpg").write_text("no photo")
    sent = len(lab.requests)

    answers = []
    for name in ("upright.png", "turned.png", "large.jpg"):
        answers.append(lab.after(lambda name=name: lab.page.set_input_files("#file", tmp_path / name)))
        assert lab.page.inner_text("#caption-a").startswith("A: espresso")
    assert answers[0]["maps"] == answers[1]["maps"]
    assert "photo=own" in lab.page.url
    lab.page.set_input_files("#file", tmp_path / "words.jpg")
    lab.page.wait_for_function("() => document.querySelector('#sentence').textContent.includes('or it is damaged')")
    assert lab.requests[sent:] == []
    other = Lab(browser, address)
    other.page.goto(lab.page.url)
    other.page.wait_for_function("() => document.querySelector('#sentence').textContent.includes('photos never leave')")
    lab.context.close()
    other.context.close()


def test_the_newest_request_wins(lab: Lab) -> None:
    lab.go(photo="coffee")
    names = ("rectgrad", "lrp", "fullgrad", "deconvnet", "gradcam")
    hurry = "names => names.forEach(name => { method.value = name; method.dispatchEvent(new Event('change')); })"
    answer = lab.after(lambda: lab.page.evaluate(hurry, list(names)))
    assert answer["state"]["method"] == "gradcam"
    time.sleep(1)
    assert lab.answer()["state"]["method"] == "gradcam"


def test_it_is_small_enough_to_be_embedded(browser: playwright.Browser, address: str) -> None:
    lab = Lab(browser, address, color_scheme="light")
    page = lab.page
    page.add_init_script("addEventListener('message', e => (window.told ??= []).push(e.data))")
    page.goto(address.replace("index.html", "model/manifest.json"))
    page.evaluate("""address => {
      const frame = document.createElement("iframe");
      frame.src = address; frame.width = 700; frame.height = 900; document.body.replaceChildren(frame);
    }""", f"{address}?embed=1&theme=dark#photo=coffee&handling=signed")  # fmt: skip
    page.wait_for_function("() => (window.told ?? []).some(m => m.posgradLabReady)", timeout=MINUTE)
    frame = page.frames[1]
    assert frame.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 23, 26)"
    assert not frame.locator("#controls").is_visible()
    frame.click("#more")
    assert frame.locator("#controls").is_visible()
    assert "handling=signed" in (frame.get_attribute("#whole", "href") or "")
    assert page.evaluate("told.filter(m => m.posgradLabHeight).at(-1).posgradLabHeight") > 300
    lab.context.close()


# --- What it never does, and how it looks ---


def test_no_request_leaves_the_origin(lab: Lab, address: str) -> None:
    origin = address.rsplit("/", 1)[0]
    assert len(lab.requests) > 20
    assert {url for url in lab.requests if not url.startswith((origin, "data:", "blob:"))} == set()
    with pytest.raises(playwright.Error):
        lab.page.evaluate("fetch('http://localhost:9/')")  # the policy forbids it
    lab.complaints.clear()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(browser: playwright.Browser, address: str, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    lab = Lab(browser, address, color_scheme=theme)
    for state in ("", "#photo=coffee&handling=signed"):
        lab.open(state)
        lab.page.wait_for_timeout(500)
        found = [
            (rule["id"], node["html"][:120])
            for rule in axe.run(lab.page).response["violations"]
            for node in rule["nodes"]
        ]
        assert found == []
    lab.context.close()


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_is_wider_than_a_narrow_window(browser: playwright.Browser, address: str, width: int) -> None:
    lab = Lab(browser, address)
    lab.page.set_viewport_size({"width": width, "height": 740})
    for state in ("", "#photo=coffee&b=crane", "#photo=coffee&depth=2"):
        lab.page.goto("about:blank")
        lab.page.goto(f"{address}{state}")
        lab.page.wait_for_function("() => !stage.hidden || !which.hidden", timeout=MINUTE)
        assert lab.page.evaluate("document.documentElement.scrollWidth") <= width
    lab.context.close()


def test_it_is_quick(browser: playwright.Browser, address: str, record_property: Any) -> None:
    """Medians are reported; the bounds are generous, for machines that do other things, too."""
    loads = []
    for _ in range(3):
        begin = time.monotonic()
        lab = Lab(browser, address).open("#photo=coffee")
        loads.append(time.monotonic() - begin)
        lab.context.close()
    lab = Lab(browser, address).open("#photo=coffee&a=espresso")
    times: dict[str, list[float]] = {}
    for method in ("gradcam", "guided-backprop", "lrp"):
        for b in ("cup", "bucket", "violin"):  # the first of them makes the session, too
            answer = lab.go(method=method, b=b, handling="signed")
            times.setdefault(f"{method}, two new maps", []).append(answer["took"] / 1000)
            lab.page.wait_for_timeout(1000)  # meanwhile the other handling is computed
            begin = time.monotonic()
            lab.after(lab.flip)
            times.setdefault("flip", []).append(time.monotonic() - begin)
    medians = {"load": statistics.median(loads)} | {name: statistics.median(seconds) for name, seconds in times.items()}
    print({name: round(seconds, 2) for name, seconds in medians.items()})
    record_property("lab seconds", medians)
    assert medians["load"] < 12
    assert medians["flip"] < 1.5
    assert medians["gradcam, two new maps"] < 5
    lab.context.close()


def test_its_source_is_typed_linted_and_tested() -> None:
    npm("test")
