"""What all panels of controls have in common: start values, pictures with words, errors in words."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from ipywidgets.widgets.widget import _instances
from PIL import Image
from showing import is_pale
from torch import nn

import posgrad_edu as pg
from posgrad_edu import viz, widgets
from posgrad_edu.handling import Handling
from posgrad_edu.metrics.similarity import compare
from posgrad_edu.study import read_summary
from posgrad_edu.widgets.cascade_curves import COLUMNS
from posgrad_edu.widgets.class_panels import TwoClassPanel
from posgrad_edu.widgets.controls import find_pair
from posgrad_edu.widgets.panel import RECORDS, MapPanel, Panel, rank_correlation
from posgrad_edu.widgets.style import PENDING
from posgrad_edu.widgets.theme import colour_bar, gallery, old, table

LABELS = ["ant", "bee", "cat", "dog", "eel", "fox"]
SUMMARY = Path(__file__).parents[2] / "docs" / "verdicts.csv"
METHODS = {"gradient signed": pg.METHODS["gradient"]("signed"), "edges": pg.CONTROLS["edges"]()}
ROWS = pd.DataFrame(
    [
        (label, 0, "cascading", depth, 4, 0, value)
        for label, value in {"gradient signed": 0.1, "edges": 1.0}.items()
        for depth in (1, 4)
    ],
    columns=list(COLUMNS),
)

# How each panel is made, by its name, and a control with a value that it doesn't start with.
Maker = Callable[..., Panel]
PANELS: dict[str, tuple[Maker, str, Any]] = {
    "AlphaSlider": (lambda clf, **start: widgets.AlphaSlider(**start), "kept", 0.5),
    "CamWeights": (lambda clf, **start: widgets.CamWeights(clf, "cat", **start), "handling", "positive"),
    "CascadeCurves": (lambda clf, **start: widgets.CascadeCurves(ROWS, METHODS, clf, "cat", **start), "depth", 1),
    "ClassSlider": (lambda clf, **start: widgets.ClassSlider(clf, "cat", **start), "rank", 4),
    "Explorer": (lambda clf, **start: widgets.Explorer(clf, ["cat"], **start), "handling", "positive"),
    "FullGradLayers": (lambda clf, **start: widgets.FullGradLayers(clf, "cat", **start), "handling", "absolute"),
    "LayerSlider": (lambda clf, **start: widgets.LayerSlider(clf, "cat", **start), "handling", "positive"),
    "MapComparison": (lambda clf, **start: widgets.MapComparison(clf, "cat", **start), "method", "gradient"),
    "MatrixDepth": (lambda clf, **start: widgets.MatrixDepth(**start), "depth", 3),
    "RandomizationSlider": (lambda clf, **start: widgets.RandomizationSlider(clf, "cat", **start), "depth", 4),
    "ShiftSlider": (lambda clf, **start: widgets.ShiftSlider(clf, "cat", **start), "shift", 0.25),
    "ThresholdSlider": (lambda clf, **start: widgets.ThresholdSlider(clf, "cat", **start), "q", 0.5),
    "VerdictExplorer": (lambda clf, **start: widgets.VerdictExplorer(read_summary(SUMMARY), **start), "threshold", 0.8),
}
WITH_CLASS_BOXES = ("Explorer", "FullGradLayers", "ShiftSlider", "ThresholdSlider")


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    """A small random network on small photos: what is tested here doesn't depend on what maps show."""
    return pg.Classifier(networks.seeded(networks.plain), pg.Preprocessing(size=16, resize=16), labels=LABELS)


@pytest.fixture(scope="module", params=PANELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def made(name: str, clf: pg.Classifier) -> tuple[Panel, dict[str, Any]]:
    """One panel for all tests, and the values that its controls have at the start."""
    panel = PANELS[name][0](clf)
    return panel, {name: control.value for name, control in panel.controls.items()}


@pytest.fixture
def panel(made: tuple[Panel, dict[str, Any]]) -> Panel:
    panel, start = made
    for name, value in start.items():
        panel.controls[name].value = value
    panel.refresh()
    return panel


def alts(panel: Panel) -> list[str]:
    return re.findall(r'alt="([^"]+)"', panel.pictures.value)


def shown(panel: Panel) -> tuple[str, str, str]:
    return panel.pictures.value, panel.words.value, repr(panel)


def test_no_panel_is_forgotten() -> None:
    everything = (getattr(widgets, name) for name in widgets.__all__)
    assert {kind.__name__ for kind in everything if issubclass(kind, Panel)} == set(PANELS)


def test_it_shows_its_controls_pictures_and_words(panel: Panel) -> None:
    sheet, rows, *_, pictures, words = panel.children
    assert (pictures, words) == (panel.pictures, panel.words)
    assert "<style" in sheet.value
    assert sheet.layout.display == "none"
    assert list(rows.children) == list(panel.controls.values())
    assert all(getattr(panel, name) is control for name, control in panel.controls.items())


def test_controls_have_names_and_words_are_read_out(panel: Panel) -> None:
    assert all(control.description for control in panel.controls.values())
    assert 'role="status"' in panel.words.value
    assert panel.summary
    assert repr(panel).startswith(f"{type(panel).__name__}: {panel.setting}")
    assert repr(panel).endswith(panel.summary)


def test_each_picture_has_alt_text(panel: Panel) -> None:
    assert len(alts(panel)) == panel.pictures.value.count("<img") > 0
    if isinstance(panel, TwoClassPanel):
        assert len(panel.labels) == 2
        assert all(label in alt for label, alt in zip(panel.labels, alts(panel)[1:], strict=False))


def test_moving_a_control_changes_pictures_and_words_and_back(name: str, panel: Panel) -> None:
    _, control, value = PANELS[name]
    first, at = shown(panel), panel.controls[control].value
    panel.controls[control].value = value
    assert all(now != before for now, before in zip(shown(panel), first, strict=True))
    panel.controls[control].value = at
    assert shown(panel) == first


def test_what_was_seen_is_neither_computed_nor_drawn_again(
    name: str, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, control, value = PANELS[name]
    values = (value, panel.controls[control].value)
    seen = []
    for panel.controls[control].value in values:
        seen.append(shown(panel))
    caches = [vars(panel)[cache] for cache in ("_compute", "_compare") if cache in vars(panel)]
    misses = [cache.cache_info().misses for cache in caches]
    monkeypatch.setattr(panel, "_html", None)
    monkeypatch.setattr(RECORDS, "explain", None)
    for panel.controls[control].value, before in zip(values, seen, strict=True):
        assert shown(panel) == before
    assert [cache.cache_info().misses for cache in caches] == misses


def test_a_start_value_is_the_same_as_a_move(name: str, panel: Panel, clf: pg.Classifier) -> None:
    make, control, value = PANELS[name]
    panel.controls[control].value = value
    assert shown(make(clf, **{control: value})) == shown(panel)


def test_a_control_that_does_not_exist_is_refused_with_those_that_do(name: str, clf: pg.Classifier) -> None:
    make, control, _ = PANELS[name]
    with pytest.raises(ValueError, match=rf"^{name} has no control 'levr'\. There are: .*\b{control}\b"):
        make(clf, levr=1)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise TypeError("an exception may be broken itself")


@pytest.mark.parametrize("kind", [ValueError, NotImplementedError, RuntimeError])
def test_what_cannot_be_computed_is_said_in_words_and_then_forgotten(
    panel: Panel, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shown(panel)

    def refuse() -> None:
        raise kind("This won't do. Choose <another>.")

    with monkeypatch.context() as patch:
        patch.setattr(panel, "_measure", refuse)
        panel.refresh()
        assert panel.summary == "This won't do. Choose <another>."
        assert "&lt;another&gt;" in panel.words.value
        assert "posgrad-edu-error" in panel.words.value
        assert is_pale(panel)
        assert panel.pictures.value == old(before[0])
        if isinstance(panel, MapPanel):
            assert panel.maps.numel() == 0
            with pytest.raises(ValueError, match="nothing to draw"):
                panel.figure()
    panel.refresh()
    assert shown(panel) == before


def move(name: str, panel: Panel) -> None:
    _, control, value = PANELS[name]
    panel.controls[control].value = value


@pytest.mark.parametrize(
    ("step", "error", "says"),
    [
        ("_measure", AssertionError("too dark"), "AssertionError: too dark"),
        ("_measure", RuntimeError(), "RuntimeError"),
        ("_sentence", KeyError("x"), "KeyError: 'x'"),
        ("_sentence", Unprintable(), "Unprintable"),
        ("_html", MemoryError(), "MemoryError"),
        ("_html", StopIteration(), "StopIteration"),
    ],
    ids=lambda given: type(given).__name__,
)
@pytest.mark.slow
def test_any_exception_in_a_callback_is_said_and_leaves_no_picture(
    name: str, panel: Panel, step: str, error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, at = shown(panel), panel.controls[PANELS[name][1]].value

    def fail() -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(panel, step, fail)
        panel._drawn.cache_clear()  # type: ignore[attr-defined]
        move(name, panel)
        assert f"Stopped by {says}. " in panel.summary
        assert says in panel.trace
        assert is_pale(panel)
        assert "computing" not in panel.words.value
        assert panel.summary in repr(panel)
        with pytest.raises(ValueError, match="nothing to draw"):
            panel.figure()
    panel.controls[PANELS[name][1]].value = at
    assert shown(panel) == before
    assert panel.trace == ""
    assert panel.figure()


@pytest.mark.parametrize("step", ["_measure", "_sentence", "_html"])
@pytest.mark.slow
def test_an_interrupt_is_said_raised_again_and_recovered_from(
    name: str, panel: Panel, clf: pg.Classifier, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(panel, step, interrupt)
        panel._drawn.cache_clear()  # type: ignore[attr-defined]
        with pytest.raises(KeyboardInterrupt):
            move(name, panel)
    assert panel.summary.startswith("Interrupted")
    assert is_pale(panel)
    assert "computing" not in panel.words.value
    with pytest.raises(ValueError, match="nothing to draw"):
        panel.figure()
    panel.refresh()
    _, control, value = PANELS[name]
    assert shown(panel) == shown(PANELS[name][0](clf, **{control: value}))


def test_an_interrupted_panel_that_nobody_gets_is_closed(name: str, clf: pg.Classifier) -> None:
    make, _, _ = PANELS[name]
    kind: Any = getattr(widgets, name)

    def interrupt(self: Panel) -> None:
        raise KeyboardInterrupt

    open_before = set(_instances)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "_measure", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make(clf)
    assert set(_instances) == open_before


@pytest.mark.parametrize("name", [n for n in PANELS if n not in ("MatrixDepth", "VerdictExplorer")], indirect=True)
def test_the_last_picture_is_pale_while_the_next_one_is_computed(
    name: str, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look() -> torch.Tensor:
        seen.append((PENDING in panel.pictures._dom_classes, "computing" in panel.words.value))
        raise ValueError("enough")

    monkeypatch.setattr(panel, "_maps", look)
    move(name, panel)
    assert seen == [(True, True)]
    assert PENDING not in panel.pictures._dom_classes


def test_a_closed_panel_leaves_nothing_open(name: str, clf: pg.Classifier) -> None:
    open_before = set(_instances)
    panel = PANELS[name][0](clf)
    assert set(_instances) > open_before
    control = panel.controls[PANELS[name][1]]
    panel.close()
    assert set(_instances) == open_before
    assert all(kept.cache_info().currsize == 0 for kept in vars(panel).values() if hasattr(kept, "cache_info"))
    control.value = PANELS[name][2]  # whoever still holds a control moves nothing
    panel.close()
    assert "closed" in panel.summary
    assert "closed" in repr(panel)
    with pytest.raises(ValueError, match="closed"):
        panel.figure()


def test_what_was_never_whole_can_be_deleted(name: str, recwarn: pytest.WarningsRecorder) -> None:
    half = getattr(widgets, name).__new__(getattr(widgets, name))
    half.close()


# --- A network that changes ---

OF_A_NETWORK = [n for n in PANELS if n not in ("MatrixDepth", "VerdictExplorer")]


def fresh(name: str) -> tuple[MapPanel, nn.Module]:
    """Return a panel of its own network, and that network."""
    if name == "AlphaSlider":
        clf = copy.copy(pg.load_classifier("scenes"))
        clf.net = copy.deepcopy(clf.net)
    else:
        clf = pg.Classifier(networks.seeded(networks.plain), pg.Preprocessing(size=16, resize=16), labels=LABELS)
    return again(name, clf), clf.net


def again(name: str, clf: pg.Classifier) -> MapPanel:
    panel = widgets.AlphaSlider(None, clf) if name == "AlphaSlider" else PANELS[name][0](clf)
    assert isinstance(panel, MapPanel)
    return panel


def scale_in_place(net: nn.Module) -> None:
    with torch.no_grad():
        next(net.parameters()).mul_(1.5)


def scale_behind_the_version(net: nn.Module) -> None:
    next(net.parameters()).data.mul_(1.5)


@pytest.mark.parametrize("change", [scale_in_place, scale_behind_the_version], ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", OF_A_NETWORK)
def test_a_changed_network_gets_maps_of_its_own(name: str, change: Callable[[nn.Module], None]) -> None:
    panel, net = fresh(name)
    move(name, panel)
    before = panel.maps
    change(net)
    assert "changed since" in repr(panel)
    panel._repr_mimebundle_()  # shown in another cell, without a control moved
    assert "changed since" not in repr(panel)
    other = again(name, panel.clf)
    move(name, other)
    assert shown(other) == shown(panel)
    assert torch.equal(other.maps, panel.maps)
    assert not torch.equal(before, panel.maps) or not before.any()


@pytest.mark.parametrize("name", OF_A_NETWORK)
def test_a_figure_is_of_the_network_as_it_is(name: str) -> None:
    panel, net = fresh(name)
    scale_behind_the_version(net)
    assert "changed since" in repr(panel)
    assert panel.figure()
    assert "changed since" not in repr(panel)


@pytest.mark.parametrize("name", OF_A_NETWORK)
def test_training_mode_is_refused_and_recovered_from(name: str) -> None:
    panel, net = fresh(name)
    before = shown(panel)
    net.train()
    panel.refresh()
    assert "eval" in panel.summary
    assert is_pale(panel)
    net.eval()
    panel.refresh()
    assert shown(panel) == before


@pytest.mark.parametrize("name", ["MapComparison", "RandomizationSlider"])
def test_another_layer_for_cams_is_noticed(name: str) -> None:
    panel, _ = fresh(name)
    assert isinstance(panel, MapPanel)
    panel.controls["method"].value = "gradcam"
    before = panel.maps
    panel.clf.cam_layer = next(n for n in ("conv1", "relu1", "conv2") if n != panel.clf.cam_layer)
    panel.refresh()
    assert not torch.equal(panel.maps, before)


def test_the_ranking_follows_the_network() -> None:
    panel, net = fresh("ClassSlider")
    assert isinstance(panel, widgets.ClassSlider)
    last: Any = next(m for m in reversed(list(net.modules())) if isinstance(m, nn.Linear))
    with torch.no_grad():
        last.weight.neg_()
        last.bias.neg_()
    old = panel.ranking
    panel.refresh()
    assert panel.ranking == old[::-1]
    assert LABELS[old[-1]] in panel.rank.options[0][0]


def test_a_network_with_fewer_classes_is_refused_in_words() -> None:
    panel, net = fresh("Explorer")
    assert isinstance(panel, MapPanel)
    panel.clf.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    panel.refresh()
    assert "6 labels" in panel.summary
    assert is_pale(panel)
    assert repr(panel)
    panel.clf.net = net
    panel.refresh()
    assert panel.pictures.value


def test_layers_that_come_and_go_are_followed() -> None:
    panel, net = fresh("LayerSlider")
    assert isinstance(panel, widgets.LayerSlider)
    panel.clf.net = networks.seeded(networks.batchnorm)
    panel.refresh()
    there = dict(panel.clf.net.named_modules())
    assert set(panel.layer.options) <= set(there)
    panel.clf.net = net
    panel.refresh()
    assert set(panel.layer.options) <= set(dict(net.named_modules()))
    assert panel.pictures.value


def test_pairs_that_became_the_same_class_are_refused_in_words() -> None:
    panel, net = fresh("LayerSlider")
    panel.clf.net = nn.Sequential(net, nn.Linear(6, 6)).eval()  # type: ignore[attr-defined]
    with torch.no_grad():
        panel.clf.net[1].weight.zero_()  # type: ignore[attr-defined]
        panel.clf.net[1].bias.zero_()  # type: ignore[attr-defined]
    panel.refresh()
    assert panel.summary
    assert panel.maps.numel() == 0 or panel.classes[0] != panel.classes[1]  # type: ignore[attr-defined]


# --- What users bring along ---


def test_maps_that_a_user_changes_are_a_copy(panel: Panel) -> None:
    if isinstance(panel, MapPanel):
        before = panel.maps
        panel.maps.zero_()
        panel.refresh()
        assert torch.equal(panel.maps, before)


def test_a_photo_that_fails_in_preprocessing_is_said_and_then_forgotten() -> None:
    net = networks.seeded(networks.plain)
    prepare = pg.Preprocessing(size=16, resize=16)

    def picky(img: Image.Image) -> torch.Tensor:
        assert img.getpixel((0, 0)) != (0, 0, 0), "a black corner"
        return prepare(img)

    photos = {"bright": pg.load_photo("cat"), "dark": Image.new("RGB", (32, 32))}
    panel = widgets.Explorer(pg.Classifier(net, picky, labels=LABELS), photos)
    before = shown(panel)
    panel.photo.value = "dark"
    assert "AssertionError: a black corner" in panel.summary
    assert is_pale(panel)
    panel.photo.value = "bright"
    assert shown(panel) == before


def test_a_handling_that_raises_is_said_in_words(clf: pg.Classifier) -> None:
    def fails(information: torch.Tensor) -> torch.Tensor:
        return information.no_such_thing  # type: ignore[attr-defined]

    own = Handling("own", fails)
    methods = {"gradient signed": pg.METHODS["gradient"]("signed"), "edges": pg.METHODS["gradient"](own)}
    panel = widgets.CascadeCurves(ROWS, methods, clf, "cat")
    panel.version.value = "edges"
    assert panel.summary.startswith("Stopped by ")
    assert "in fails" in panel.trace
    assert is_pale(panel)
    panel.version.value = "gradient signed"
    assert panel.pictures.value


def test_what_cannot_be_drawn_is_said_in_words(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*state: object) -> str:
        raise ValueError("This map holds NaN.")

    monkeypatch.setattr(panel, "_drawn", refuse)
    panel.refresh()
    assert panel.summary == "This map holds NaN."
    assert is_pale(panel)


@pytest.mark.parametrize(
    ("name", "maps"), [("Explorer", "_explain_classes"), ("RandomizationSlider", "_pair")], indirect=["name"]
)
def test_it_does_not_say_computing_for_ever(
    name: str, maps: str, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*asked: object, **options: object) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(panel, maps, fail)
    _, control, value = PANELS[name]
    panel.controls[control].value = value
    assert panel.summary == "DefaultCPUAllocator: not enough memory"
    assert "computing" not in panel.words.value
    assert is_pale(panel)


CONSTANT = F.interpolate(torch.full((1, 1, 5, 5), 0.1), size=(224, 224), mode="bilinear")[0, 0]


def test_a_map_that_differs_by_rounding_errors_alone_has_no_rank_correlation() -> None:
    noise = torch.rand(224, 224, generator=torch.Generator().manual_seed(0))
    assert CONSTANT.max() > CONSTANT.min()
    assert math.isnan(rank_correlation(torch.stack([CONSTANT, noise])))
    assert math.isnan(rank_correlation(torch.stack([noise, torch.zeros(224, 224)])))
    other = noise + torch.rand(224, 224, generator=torch.Generator().manual_seed(1))
    assert rank_correlation(torch.stack([noise, other])) == compare(noise, other).spearman


@pytest.mark.parametrize("name", ["ClassSlider", "FullGradLayers", "LayerSlider"], indirect=True)
def test_a_correlation_is_the_one_that_tables_have(name: str, panel: Any) -> None:
    _, control, panel.controls[control].value = PANELS[name]
    assert panel.spearman == compare(*panel.maps).spearman


@pytest.mark.parametrize("name", ["ClassSlider", "LayerSlider", "ThresholdSlider"], indirect=True)
def test_a_map_of_rounding_errors_is_said_to_be_constant(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = torch.rand(224, 224, generator=torch.Generator().manual_seed(0))
    given = CONSTANT if isinstance(panel, widgets.ClassSlider) else torch.stack([CONSTANT, noise])
    panel._clear_caches()
    with monkeypatch.context() as patch:
        patch.setattr(RECORDS, "explain", lambda *asked, **options: given[None])
        panel.refresh()
    assert math.isnan(panel.spearman)
    assert "One of the maps is constant" in panel.summary
    panel._clear_caches()


@pytest.mark.parametrize("name", WITH_CLASS_BOXES, indirect=True)
def test_a_class_that_does_not_exist_is_said_and_then_forgotten(panel: Any) -> None:
    before = panel.pictures.value
    panel.class_b.value = "elk"
    assert "no class 'elk'" in panel.summary
    assert is_pale(panel)
    panel.class_b.value = "least likely"
    assert panel.pictures.value == before
    panel.class_b.value = panel.labels[0]
    assert "hoose another class B" in panel.summary


TWICE = ["sea lion", "sea otter", "mud puppy", "cat", "crane", "crane"]


@pytest.mark.parametrize("name", WITH_CLASS_BOXES)
def test_a_word_that_fits_several_classes_is_asked_back(name: str) -> None:
    net, synonyms = networks.seeded(networks.plain), [("seal",), (), ("axolotl",), (), (), ()]
    clf = pg.Classifier(net, pg.Preprocessing(size=16, resize=16), labels=TWICE, synonyms=synonyms)
    panel: Any = PANELS[name][0](clf, class_a="cat", class_b="axolotl") if name == "Explorer" else None
    if panel is None:
        panel = getattr(widgets, name)(clf, "cat", "cat", "axolotl")
    assert panel.summary.startswith("'axolotl' is understood as class 2, 'mud puppy'.")
    assert panel.which.layout.display == "none"
    assert {"sea lion", "seal", "most likely"} <= set(panel.class_b.options)
    panel.class_b.value = "sea"
    assert "fits 2 classes" in panel.summary
    assert is_pale(panel)
    assert panel.which.layout.display == "flex"
    assert (panel.which.description, panel.which.value) == ("Class B:", None)
    assert panel.which.options == (("sea lion", "sea lion"), ("sea otter", "sea otter"))
    panel.which.value = "sea otter"
    assert panel.class_b.value == "sea otter"
    assert panel.labels == ("cat", "sea otter")
    assert "understood" not in panel.summary
    assert panel.which.layout.display == "none"
    panel.class_b.value = "crane"  # two classes of this name: their numbers tell them apart
    assert panel.which.options == (("crane", "4"), ("crane", "5"))
    panel.which.value = "5"
    assert panel.classes == (3, 5)
    panel.class_a.value = "puppy"  # a part of one name only
    assert "no class" in panel.summary or "understood as class 2" in panel.summary
    panel.class_a.value = "se otter"
    assert panel.which.description == "Class A:"
    assert ("sea otter", "sea otter") in panel.which.options
    panel.class_a.value = "zzzzz"
    assert panel.which.layout.display == "none"


def test_a_figure_says_what_it_shows(panel: Any) -> None:
    figure = panel.figure()
    assert panel.setting.rpartition(", ")[2] in figure.alt
    data, metadata = figure._repr_mimebundle_()  # Jupyter shows it without pyplot
    (kind,) = data.keys() & {"image/png", "image/jpeg"}  # photos take less room as JPEG
    assert data[kind]
    assert metadata[kind]["alt"] == figure.alt


def test_a_pair_is_two_classes(clf: pg.Classifier) -> None:
    logits = clf.logits(pg.load_photo("cat"))
    most, least = find_pair(clf, ("most likely", "least likely"), logits)
    assert (most, least) == (int(logits.argmax()), int(logits.argmin()))
    with pytest.raises(ValueError, match=f"Both classes are {LABELS[most]}"):
        find_pair(clf, (LABELS[most], most), logits)


def test_a_gallery_escapes_words_and_keeps_proportions() -> None:
    page = gallery([(Image.new("RGB", (6, 4)), "a & b", "one\n<two>")], "a note", "")
    assert "a &amp; b" in page
    assert "one<br>&lt;two&gt;" in page
    assert page.count("<small>") == page.count("<small>a note</small>") == 1
    assert "--share:1.5" in page


def test_a_gallery_keeps_two_maps_and_their_colour_bar_together() -> None:
    pictures = [(Image.new("RGB", (2, 2)), f"alt {n}", f"caption {n}") for n in range(4)]
    page = gallery(pictures, bar=colour_bar(0.123))
    before, together = page.split('<div class="posgrad-edu-pair">')
    assert re.findall(r"alt (\d)", before) == ["0"]
    assert re.findall(r'alt \d|posgrad-edu-bar(?=")', together) == ["alt 1", "alt 2", "posgrad-edu-bar", "alt 3"]
    assert gallery(pictures).count("<img") == 4
    assert "posgrad-edu-pair" not in gallery(pictures)


def test_a_colour_bar_says_what_its_ends_mean() -> None:
    bar = colour_bar(0.123, "for it", "against it", " m")
    assert 'aria-label="Colours from blue, against it, −0.12 m, to red, for it, +0.12 m"' in bar
    assert re.findall(r"<span>(.*?)</span>", bar) == ["+0.12 m<br>for it", "0", "against it<br>−0.12 m"]


def test_nothing_old_is_shown_where_there_was_nothing() -> None:
    assert old("") == ""


def test_a_table_has_heads_for_rows_and_columns() -> None:
    page = table("Maps' numbers", ["a", "b"], [("one", ["1", "<b>2</b>"]), ("two", ["3", "4"])])
    assert re.findall(r'scope="(\w+)">(\w+)<', page) == [("col", "a"), ("col", "b"), ("row", "one"), ("row", "two")]
    assert re.findall(r"<td>([^/]+?)</td>", page.replace("</b>", "<b>")) == ["1", "<b>2<b>", "3", "4"]
    assert "Maps' numbers</caption>" in page


# How each panel of maps draws them at the start: coarse maps over the photo, those as fine as the photo alone.
STYLES = {
    "AlphaSlider": "heatmap",
    "CamWeights": "overlay",
    "CascadeCurves": "heatmap",
    "ClassSlider": "heatmap",
    "Explorer": "overlay",
    "FullGradLayers": "overlay",
    "LayerSlider": "overlay",
    "MapComparison": "overlay",
    "RandomizationSlider": "heatmap",
    "ShiftSlider": "overlay",
    "ThresholdSlider": "heatmap",
}


@pytest.mark.parametrize("name", STYLES, indirect=True)
def test_coarse_maps_lie_over_the_photo_and_fine_ones_stand_alone(name: str, panel: Any) -> None:
    values = torch.linspace(-1, 1, panel.maps[0].numel()).view_as(panel.maps[0])
    drawn, photo = panel._picture(values, 1.0), panel.view
    expected = {"overlay": viz.overlay(photo, values, 1.0), "heatmap": viz.heatmap(values, 1.0)}
    assert drawn == expected[STYLES[name]]
    assert expected["overlay"] != expected["heatmap"]


@pytest.mark.parametrize("name", ["Explorer", "MapComparison", "RandomizationSlider"], indirect=True)
def test_the_style_follows_the_method(panel: Any) -> None:
    for method, style in {"gradient": "heatmap", "gradcam": "overlay", "guided-backprop": "heatmap"}.items():
        panel.method.value = method
        assert panel._picture(panel.maps[0], 1.0) == (
            viz.heatmap(panel.maps[0], 1.0) if style == "heatmap" else viz.overlay(panel.view, panel.maps[0], 1.0)
        )
