"""What the widgets keep has a bound, and a toggle computes nothing that is there already."""

from __future__ import annotations

import gc
import itertools
import random
import weakref
from typing import Any

import networks
import pytest
import torch
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.methods import METHODS
from posgrad_edu.metrics import similarity
from posgrad_edu.widgets import ClassSlider, Explorer, RandomizationSlider, panel, theme
from posgrad_edu.widgets.panel import RECORDS


@pytest.fixture
def clf() -> pg.Classifier:
    return pg.Classifier(networks.seeded(networks.batchnorm).float(), pg.Preprocessing(size=16, resize=16))


@pytest.mark.parametrize("method", ["gradcam", "guided-backprop", "gradient", "fullgrad"])
def test_neither_the_other_handling_nor_another_class_costs_a_forward_pass(clf: pg.Classifier, method: str) -> None:
    runs: list[int] = []
    run = clf.net.forward
    clf.net.forward = lambda x: (runs.append(1), run(x))[1]  # type: ignore[method-assign]
    lab = Explorer(clf, ["coffee"], method=method, handling="signed")
    runs.clear()
    Explorer(clf, ["coffee"]).close()  # lets go of its own records alone
    runs.clear()
    lab.handling.value = "positive"
    assert not lab._failed
    assert runs == []
    lab.class_b.value = str(next(c for c in range(len(clf.labels)) if c not in lab.classes))
    assert not lab._failed
    assert (runs == []) == (method != "fullgrad")  # whose terms need another run for other classes
    lab._clear_caches()
    lab.refresh()
    assert runs


@pytest.mark.parametrize("contrast", ["none", "mean", "other"])
@pytest.mark.parametrize("method", METHODS)
def test_a_map_that_was_shown_beside_another_class_is_not_computed_again(
    clf: pg.Classifier, monkeypatch: pytest.MonkeyPatch, method: str, contrast: str
) -> None:
    classes = [0, 1, 2]
    lab = Explorer(clf, ["coffee"], method=method, class_a="0", class_b="1", contrast=contrast)
    asked: list[Any] = []
    explain = RECORDS.explain

    def noted(net: nn.Module, x: Tensor, target: Any, *rest: Any, **options: Any) -> Tensor:
        asked.append(target[0])
        return explain(net, x, target, *rest, **options)

    monkeypatch.setattr(RECORDS, "explain", noted)
    lab.class_b.value = "2"
    both = contrast == "other"  # class A's contrast has changed, too
    assert {*map(tuple, asked)} == {(0, 2) if both else (2,)}
    for lab.class_a.value, lab.class_b.value in itertools.product(map(str, classes), repeat=2):
        assert not lab._failed or (both and lab.class_a.value == lab.class_b.value)
        if not lab._failed:
            against = torch.tensor([[*reversed(lab.classes)]]) if both else {"none": None}.get(contrast, contrast)
            right = pg.explain(clf.net, lab._x, [list(lab.classes)], method, contrast=against)[0]
            torch.testing.assert_close(lab.maps, right, rtol=1e-5, atol=1e-6 * float(right.abs().max()))


@pytest.mark.parametrize("method", ["gradcam", "guided-backprop"])
def test_a_map_of_one_photo_is_not_shown_for_another(clf: pg.Classifier, method: str) -> None:
    RECORDS.clear()  # what earlier tests left
    lab = Explorer(clf, ["coffee", "cat"], method=method, handling="signed", class_a="0", class_b="1")
    for lab.photo.value in ("cat", "coffee", "cat"):
        x = clf.batch(pg.load_photo(lab.photo.value))
        assert torch.equal(lab.maps, pg.explain(clf.net, x, [[0, 1]], method, "signed")[0])
    lab.close()
    assert len(RECORDS) == 0  # nor are those of an earlier photo left


def test_the_explorer_measures_no_more_than_it_says(clf: pg.Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSIM and HOG take longer than both rank correlations, and only ``similarity`` asks for them."""
    slow = [0]
    monkeypatch.setattr(panel, "compare", lambda *maps: slow.append(1) or similarity.compare(*maps))
    lab = Explorer(clf, ["coffee"])
    moved = RandomizationSlider(clf, "coffee", methods=["gradcam"], steps=3, depth=1)
    assert "Rank correlation" in lab.summary
    assert "Rank correlation" in moved.summary
    assert sum(slow) == 0
    found = lab.similarity
    assert sum(slow) == 1
    assert found is not None
    assert (lab.spearman, lab.spearman_abs) == pytest.approx(found[:2], abs=1e-12)


def test_a_photo_is_encoded_once(clf: pg.Classifier) -> None:
    theme._png.cache_clear()  # full, it would push out the photo, and it may know these maps from another test
    lab = Explorer(clf, ["coffee"], handling="signed")
    before = theme._png.cache_info()
    lab.handling.value = "positive"
    after = theme._png.cache_info()
    assert after.hits == before.hits + 1
    assert after.misses == before.misses + 2  # both maps


def test_records_are_let_go_when_the_network_changes_or_the_panel_is_closed(clf: pg.Classifier) -> None:
    RECORDS.clear()  # what earlier tests left
    lab = Explorer(clf, ["coffee"], method="guided-backprop")
    assert len(RECORDS) > 0
    before = lab.maps
    with torch.no_grad():
        next(clf.net.parameters()).mul_(2)
    lab.handling.value = "signed"
    assert torch.equal(lab.maps, pg.explain(clf.net, lab._x, [list(lab.classes)], "guided-backprop", "signed")[0])
    assert not torch.equal(lab.maps, before)
    lab.close()
    assert len(RECORDS) == 0


def test_pairs_of_maps_that_were_compared_are_let_go(clf: pg.Classifier) -> None:
    """The ClassSlider puts a pair together at each move: caches that know it by its identity would only grow."""
    slider = ClassSlider(clf, "coffee")
    pairs = []
    for method, (_, rank) in itertools.product(slider.method.options, slider.rank.options):
        slider.method.value, slider.rank.value = method, rank
        assert slider.similarity is not None
        pairs.append(weakref.ref(slider._kept_maps))
    assert not slider._failed
    assert sum(pair() is not None for pair in pairs) <= 4
    assert len(pairs) > 10


@pytest.mark.slow
def test_five_hundred_toggles_leave_memory_flat(clf: pg.Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the caches are full, what comes in pushes out as much. They are small here, so that they fill up soon."""
    monkeypatch.setattr(panel, "KEPT_PICTURES", 20)
    monkeypatch.setattr(Explorer, "_kept", 20)
    lab = Explorer(clf, ["coffee", "cat"])
    classes = [str(c) for c in range(len(clf.labels))]
    values = {"method": list(METHODS), "handling": ["signed", "positive", "absolute"], "photo": ["coffee", "cat"]}
    values |= {"class_a": classes, "class_b": classes}
    alive: list[weakref.ref[Tensor]] = []
    draw, explain = random.Random(0), RECORDS.explain

    def noted(*args: Any, **options: Any) -> Tensor:
        maps = explain(*args, **options)
        alive.append(weakref.ref(maps.untyped_storage()))
        return maps

    monkeypatch.setattr(RECORDS, "explain", noted)
    for _ in range(500):
        name = draw.choice(list(values))
        lab.controls[name].value = draw.choice([v for v in values[name] if v != lab.controls[name].value])
    gc.collect()
    assert not lab._failed
    assert len(alive) > 200
    assert sum(ref() is not None for ref in alive) <= 2 * lab._kept
    assert len(lab._latest) <= 2 * lab._kept
    assert lab._drawn.cache_info().currsize <= panel.KEPT_PICTURES
    assert len(RECORDS) <= RECORDS.most
