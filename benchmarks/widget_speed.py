"""How long a widget takes from a control's change to the new picture, in the kernel: for benchmarks/speed.py.

A control is set as a click sets it, and returns when the picture and the sentence are in place; what the browser then
needs isn't counted. Cold: nothing of the new state has been computed, the state before it has, so the widget may use
what the two share. Cached: the same change again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, NamedTuple

import posgrad_edu as pg
from posgrad_edu.methods import CONTROLS, METHODS, explain
from posgrad_edu.widgets import (
    CamWeights,
    ClassSlider,
    Explorer,
    FullGradLayers,
    LayerSlider,
    MapComparison,
    RandomizationSlider,
    ShiftSlider,
    ThresholdSlider,
)
from posgrad_edu.widgets.panel import MapPanel

Clock = Callable[[], float]


class Toggle(NamedTuple):
    """A change of one control: from a state that is shown to one that isn't computed yet."""

    panel: MapPanel
    before: dict[str, Any]  # controls of the state before
    control: str
    value: Any
    cam: bool = False


def widget_rows(network: str, rounds: int, clock: Clock = time.perf_counter) -> Iterator[dict[str, Any]]:
    """Yield a row a toggle: the milliseconds of cold and cached changes."""
    clf = pg.load_classifier(network)
    scene = pg.scenes.make_scene(3, digits=(3, 7)).image if network == "scenes" else None
    photo = pg.load_photo("coffee") if scene is None else scene
    passes = _passes(clf, photo, rounds, clock)
    for toggle in toggles(clf, photo):
        cold, cached = zip(*(_timed(toggle, clock) for _ in range(rounds)), strict=True)
        method = toggle.before.get("method", "")
        row = {"widget": type(toggle.panel).__name__, "method": method, "control": toggle.control}
        row |= {"cam": toggle.cam, "cold_ms": median(cold), "slowest_ms": max(cold), "cached_ms": median(cached)}
        row["passes_ms"] = passes.get(method)
        print(
            f"{row['widget']:20} {method:18} {toggle.control:9} {row['cold_ms']:7.0f} {row['cached_ms']:6.1f}",
            flush=True,
        )
        yield row


def toggles(clf: pg.Classifier, photo: Any) -> Iterator[Toggle]:
    """Yield the toggles that the lessons show; each widget is closed when the next one is asked for."""
    last = clf.labels[-2]
    cams = {name for name in METHODS if issubclass(METHODS[name], pg.methods.cam.CAM)}

    def of(panel: MapPanel, *changes: tuple[dict[str, Any], str, Any]) -> Iterator[Toggle]:
        for before, control, value in changes:
            cam = before.get("method") in cams or isinstance(panel, (LayerSlider, CamWeights))
            yield Toggle(panel, before, control, value, cam)
        panel.close()

    signed = [{"method": name, "handling": "signed"} for name in METHODS]
    least = {"class_b": "least likely"}
    both = [change for s in signed for change in ((s, "handling", "positive"), (s | least, "class_b", last))]
    yield from of(Explorer(clf, {"photo": photo}), *both)
    slider_states = [s for s in signed if s["method"] in ("gradient", "input-x-gradient", "guided-backprop")]
    ranks = ClassSlider(clf, photo)
    places = [place for _, place in ranks.rank.options]
    yield from of(ranks, *[c for s in slider_states for c in ((s, "handling", "positive"), (s, "rank", places[-2]))])
    yield from of(MapComparison(clf, photo), *[(s, "handling", "positive") for s in signed])
    plain = {"handling": "signed"}
    yield from of(LayerSlider(clf, photo), (plain, "handling", "positive"), (plain, "relu", True))
    yield from of(CamWeights(clf, photo), (plain | {"average": "plain mean"}, "average", "alpha"))
    yield from of(ThresholdSlider(clf, photo), (plain, "handling", "positive"), (plain, "q", 0.5))
    yield from of(FullGradLayers(clf, photo), (plain, "handling", "absolute"))
    shown = [s for s in signed if s["method"] in ("gradcam", "gradient", "guided-backprop")]
    yield from of(RandomizationSlider(clf, photo), *[(s | {"depth": 1}, "handling", "positive") for s in shown])
    if not clf.multilabel:
        yield from of(ShiftSlider(clf, photo), *[(s, "handling", "positive") for s in shown])


def _timed(toggle: Toggle, clock: Clock) -> tuple[float, float]:
    """Return the milliseconds of a cold and of a cached change."""
    panel, start = toggle.panel, {toggle.control: _other(toggle)} | toggle.before
    _set(panel, start)
    panel._clear_caches()
    panel.refresh()  # the state before is there again, and nothing else
    cold = _change(panel, toggle, clock)
    _set(panel, start)
    return cold, _change(panel, toggle, clock)


def _other(toggle: Toggle) -> Any:
    """Return a value that the control has before it's changed, where the state before doesn't say."""
    control = toggle.panel.controls[toggle.control]
    values = [o[1] if isinstance(o, tuple) else o for o in control.options]
    return next(v for v in values if v != toggle.value)


def _set(panel: MapPanel, values: dict[str, Any]) -> None:
    for name, value in values.items():
        panel.controls[name].value = value


def _change(panel: MapPanel, toggle: Toggle, clock: Clock) -> float:
    start = clock()
    panel.controls[toggle.control].value = toggle.value
    milliseconds = 1000 * (clock() - start)
    if panel._failed:
        raise RuntimeError(panel.summary)
    return milliseconds


def _passes(clf: pg.Classifier, photo: Any, rounds: int, clock: Clock) -> dict[str, float]:
    """Return what a method's own passes take for the maps of two classes, without a widget, in milliseconds."""
    x = clf.batch(photo)

    def work(name: str) -> Callable[[], object]:
        return lambda: explain(clf.net, x, [[0, 1]], name, None if name in CONTROLS else "positive")

    found = {}
    for name in METHODS:
        times = []
        for _ in range(rounds + 1):
            start = clock()
            work(name)()
            times.append(1000 * (clock() - start))
        found[name] = median(times[1:] or times)
    return found
