"""What all panels of controls have in common: start values, pictures with words, errors in words."""

from __future__ import annotations

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
from PIL import Image

import posgrad_edu as pg
from posgrad_edu import viz, widgets
from posgrad_edu.metrics.similarity import compare
from posgrad_edu.study import read_summary
from posgrad_edu.widgets.cascade_curves import COLUMNS
from posgrad_edu.widgets.controls import find_pair
from posgrad_edu.widgets.panel import MapPanel, Panel, TwoClassPanel, rank_correlation
from posgrad_edu.widgets.theme import gallery, table

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
    "ThresholdSlider": (lambda clf, **start: widgets.ThresholdSlider(clf, "cat", **start), "q", 0.5),
    "VerdictExplorer": (lambda clf, **start: widgets.VerdictExplorer(read_summary(SUMMARY), **start), "threshold", 0.8),
}
WITH_CLASS_BOXES = ("Explorer", "FullGradLayers", "ThresholdSlider")


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
    *rows, pictures, words = panel.children
    assert (pictures, words) == (panel.pictures, panel.words)
    inside = [control for row in rows for control in getattr(row, "children", [row])]
    assert set(inside) == set(panel.controls.values())
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
        assert panel.pictures.value == ""
        if isinstance(panel, MapPanel):
            assert panel.maps.numel() == 0
            with pytest.raises(ValueError, match="nothing to draw"):
                panel.figure()
    panel.refresh()
    assert shown(panel) == before


def test_what_cannot_be_drawn_is_said_in_words(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*state: object) -> str:
        raise ValueError("This map holds NaN.")

    monkeypatch.setattr(panel, "_drawn", refuse)
    panel.refresh()
    assert panel.summary == "This map holds NaN."
    assert panel.pictures.value == ""


@pytest.mark.parametrize(
    ("name", "maps"), [("Explorer", "_compute"), ("RandomizationSlider", "_pair")], indirect=["name"]
)
def test_it_does_not_say_computing_for_ever(
    name: str, maps: str, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*asked: object) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(panel, maps, fail)
    _, control, value = PANELS[name]
    panel.controls[control].value = value
    assert panel.summary == "DefaultCPUAllocator: not enough memory"
    assert "computing" not in panel.words.value
    assert panel.pictures.value == ""


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
    monkeypatch.setattr(panel, "_compute", lambda *asked: given)
    panel.refresh()
    assert math.isnan(panel.spearman)
    assert "One of the maps is constant" in panel.summary


@pytest.mark.parametrize("name", WITH_CLASS_BOXES, indirect=True)
def test_a_class_that_does_not_exist_is_said_and_then_forgotten(panel: Any) -> None:
    before = panel.pictures.value
    panel.class_b.value = "elk"
    assert "no class 'elk'" in panel.summary
    assert panel.pictures.value == ""
    panel.class_b.value = "least likely"
    assert panel.pictures.value == before
    panel.class_b.value = panel.labels[0]
    assert "hoose another class B" in panel.summary


def test_a_figure_says_what_it_shows(panel: Any) -> None:
    figure = panel.figure()
    assert panel.setting.rpartition(", ")[2] in figure.alt
    data, metadata = figure._repr_mimebundle_()  # Jupyter shows it without pyplot
    assert data["image/png"]
    assert metadata["image/png"]["alt"] == figure.alt


def test_a_pair_is_two_classes(clf: pg.Classifier) -> None:
    logits = clf.logits(pg.load_photo("cat"))
    most, least = find_pair(clf, ("most likely", "least likely"), logits)
    assert (most, least) == (int(logits.argmax()), int(logits.argmin()))
    with pytest.raises(ValueError, match=f"Both classes are {LABELS[most]}"):
        find_pair(clf, (LABELS[most], most), logits)


def test_a_gallery_escapes_words_and_keeps_widths() -> None:
    page = gallery([(Image.new("RGB", (2, 2)), "a & b", "one\n<two>")], "note <3>", widths=[90])
    assert "a &amp; b" in page
    assert "one<br>&lt;two&gt;" in page
    assert "note &lt;3&gt;" in page
    assert 'width="90"' in page
    assert "width:90px" in page


def test_a_gallery_needs_a_width_for_each_picture() -> None:
    picture = (Image.new("RGB", (2, 2)), "alt", "caption")
    assert gallery([picture] * 5, "").count("<img") == 5
    with pytest.raises(ValueError, match="zip"):
        gallery([picture] * 2, "", widths=[90])


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
