"""Everything runs where the network is: on a device made up for these tests (``elsewhere.py``), and on a GPU.

The first finds, on any computer, tensors made on the wrong device, float64 and random draws there. It gives the CPU's
numbers. A GPU adds up in another order, and rounds otherwise. In float32 instead of float64 these maps change by 3e-5
of their largest value at most (LRP-epsilon, which divides by small sums; all others by 5e-7). So 1e-3 leaves room for
any order, and tells a wrong map. Ranks hang on the last digits of values that are nearly alike: measures get .05.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networks
import pandas as pd
import pytest
import torch
from elsewhere import Elsewhere
from torch import Tensor, nn
from typer.testing import CliRunner

import posgrad_edu as pg
from posgrad_edu.cli.app import app
from posgrad_edu.handling import HANDLINGS
from posgrad_edu.methods import CONTROLS, METHODS, Smoothed
from posgrad_edu.methods.lrp_rules import ZBox
from posgrad_edu.metrics import randomizable_layers, randomized_steps, steps
from posgrad_edu.metrics.perturbation import BASELINES, removed
from posgrad_edu.models import devices
from posgrad_edu.scenes import ScenesTransformer, make_scene
from posgrad_edu.study import Study, measure, measuring, plan
from posgrad_edu.widgets import (
    AlphaSlider,
    CamWeights,
    ClassSlider,
    Explorer,
    FullGradLayers,
    LayerSlider,
    RandomizationSlider,
    ThresholdSlider,
)

WITHIN = {"elsewhere": 0.0, "gpu": 1e-3}


@pytest.fixture(params=["elsewhere", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """A device that isn't the CPU."""
    if request.param == "gpu":
        names = devices.device_names()
        if len(names) == 1:
            pytest.skip("this computer has no GPU that PyTorch can use (cuda, mps)")
        yield torch.device(names[1])
        return
    with Elsewhere() as made_up:
        monkeypatch.setattr(devices, "device_names", lambda: ["cpu", str(made_up)])
        yield made_up


@pytest.fixture
def within(request: pytest.FixtureRequest, device: torch.device) -> float:
    return WITHIN[request.node.callspec.params["device"]]


def pair(name: str, device: torch.device) -> tuple[nn.Module, Tensor, nn.Module, Tensor]:
    """Return a small network and photos in float32, here and on the device."""
    net, x, _ = networks.make(name)
    net, x = net.float(), x.float()
    return net, x, copy.deepcopy(net).to(device), x.to(device)


def assert_maps_agree(there: Tensor, here: Tensor, device: torch.device, within: float) -> None:
    assert (there.device, there.dtype, there.shape) == (device, here.dtype, here.shape)
    assert (there.cpu() - here).abs().max() <= within * here.abs().max()


def assert_texts_agree(there: str, here: str, within: float) -> None:
    """Both say the same; their numbers are alike, as those of measures are."""
    number = r"-?\d+\.?\d*"
    assert re.split(number, there) == re.split(number, here)
    ours, theirs = ([float(one) for one in re.findall(number, text)] for text in (here, there))
    assert theirs == pytest.approx(ours, abs=50 * within, rel=50 * within)


def methods_with(handlings: tuple[str | None, ...]) -> dict[str, pg.Method]:
    made = {}
    for name, handling in itertools.product(METHODS, handlings):
        options = {"q": networks.RECTGRAD_Q} if name == "rectgrad" else {}
        made[f"{name}, {handling}"] = METHODS[name](handling, **options)
    return made


# --- Maps ---


@pytest.mark.parametrize("contrast", [None, 2])
def test_each_method_and_handling(contrast: Any, device: torch.device, within: float) -> None:
    net, x, net_there, x_there = pair("batchnorm", device)
    target = [[0, 3], [1, 4], [5, 3]]
    methods = methods_with((None, *HANDLINGS))
    there = pg.explain(net_there, x_there, target, methods, contrast=contrast)
    for label, maps in pg.explain(net, x, target, methods, contrast=contrast).items():
        assert_maps_agree(there[label], maps, device, within)


@pytest.mark.parametrize("name", ["residual", "relu6"])
def test_networks_with_other_operations(name: str, device: torch.device, within: float) -> None:
    net, x, net_there, x_there = pair(name, device)
    methods = methods_with(("positive",))
    there = pg.explain(net_there, x_there[:1], 0, methods)
    for label, maps in pg.explain(net, x[:1], 0, methods).items():
        assert_maps_agree(there[label], maps, device, within)


@pytest.mark.parametrize("rule", ["zero", "epsilon", "gamma", "alpha-beta", "flat", ZBox(-6.0, 6.0)])
@pytest.mark.parametrize("seed", ["one", "logit"])
def test_rules_of_lrp(rule: Any, seed: str, device: torch.device, within: float) -> None:
    net, x, net_there, x_there = pair("batchnorm", device)
    options: dict[str, Any] = {"first": rule, "seed": seed} if isinstance(rule, ZBox) else {"rule": rule, "seed": seed}
    here, there = (pg.explain(*pair_of, [0, 1, 5], "lrp", **options) for pair_of in ((net, x), (net_there, x_there)))
    assert_maps_agree(there, here, device, within)


def test_attention(device: torch.device, within: float) -> None:
    torch.manual_seed(0)
    net = ScenesTransformer(width=16, blocks=2, heads=2).eval()
    x = torch.rand(2, 1, 64, 64)
    methods = {f"{name}, {h}": kind(h) for name, kind in pg.ATTENTION_METHODS.items() for h in HANDLINGS}
    there = pg.explain(copy.deepcopy(net).to(device), x.to(device), [0, 1], methods)
    for label, maps in pg.explain(net, x, [0, 1], methods).items():
        assert_maps_agree(there[label], maps, device, within or 1e-6)  # no fused kernel elsewhere: it rounds otherwise


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("contrast", [None, "mean", 2])
def test_controls(name: str, contrast: Any, device: torch.device) -> None:
    net, x, net_there, x_there = pair("plain", device)
    here, there = (
        pg.explain(net, x, 0, name, contrast=contrast),
        pg.explain(net_there, x_there, 0, name, contrast=contrast),
    )
    assert_maps_agree(there, here, device, 1e-6)


def test_a_smoothed_method_and_a_function(device: torch.device, within: float) -> None:
    net, x, net_there, x_there = pair("plain", device)
    double = pg.FunctionMethod(lambda net, x, target: 2 * x.sum(1), "double")
    for method in (Smoothed(method=METHODS["gradient"](), samples=2), double):
        assert_maps_agree(pg.explain(net_there, x_there, 0, method), pg.explain(net, x, 0, method), device, within)


# --- Measures ---


def assert_tables_agree(there: pd.DataFrame, here: pd.DataFrame, within: float) -> None:
    """Ranks hang on the last digits of values that are almost alike, so numbers may differ by fifty times as much."""
    pd.testing.assert_frame_equal(there, here, rtol=0, atol=50 * within)
    assert not here.degenerate.all()


QUIET: dict[str, Any] = {"seeds": [0], "progress": False}
BOXES = [[(0, 0, 8, 8), (4, 4, 16, 16)]] * 3
MEASURES: dict[str, Any] = {
    "class": lambda *a: pg.class_sensitivity(*a, target=0, other=1),
    "random classes": lambda *a: pg.class_sensitivity(*a, other="random", classes=2, contrast="mean"),
    "cascading": lambda *a: pg.parameter_sensitivity(*a, depths=2, **QUIET),
    "reset": lambda *a: pg.parameter_sensitivity(*a, depths=2, batchnorm="reset", target="own", **QUIET),
    "data": lambda net, x, m: pg.data_sensitivity(net, net, x, m, target=[0, 0, 0], contrast=[1, 2, 3]),
    "complexity": lambda *a: pg.complexity_sensitivity(*a, seeds=[0]),
    "localization": lambda net, x, m: pg.localization(net, x, BOXES, [[0, 1]] * 3, m),
    "perturbation": lambda *a: pg.perturbation(*a, patch=4, steps=2, progress=False),
}


@pytest.mark.parametrize("measure", MEASURES)
def test_measures(measure: str, device: torch.device, within: float) -> None:
    net, x, net_there, x_there = pair("batchnorm", device)
    methods = {"gradcam": "gradcam", "gradient": METHODS["gradient"]("positive"), "noise": "noise"}
    here, there = MEASURES[measure](net, x, methods), MEASURES[measure](net_there, x_there, methods)
    assert_tables_agree(there, here, within)


@pytest.mark.parametrize("baseline", BASELINES)
def test_covered_photos(baseline: str, device: torch.device, within: float) -> None:
    x = networks.photos(16).float()
    maps = x.sum(1)
    here, there = (
        removed(x, maps, 0.4, baseline, patch=4),
        removed(x.to(device), maps.to(device), 0.4, baseline, patch=4),
    )
    assert_maps_agree(there, here, device, within)


@pytest.mark.parametrize("mode", ["cascading", "independent"])
def test_random_weights_are_the_same_on_each_device(mode: str, device: torch.device) -> None:
    net, x, net_there, x_there = pair("batchnorm", device)
    layers = randomizable_layers(net_there, x_there)
    assert layers == randomizable_layers(net, x)
    both = zip(*(randomized_steps(one, steps(layers, mode)) for one in (net, net_there)), strict=True)
    for (_, here), (_, there) in both:
        for ours, theirs in zip(here.parameters(), there.parameters(), strict=True):
            assert theirs.device == device
            assert torch.equal(ours, theirs.cpu())


# --- Classifiers, studies, the command line, widgets ---


def test_a_classifier(device: torch.device, within: float) -> None:
    here, there = pg.load_classifier("scenes"), pg.load_classifier("scenes")
    assert there.to(str(device)) is there
    photo = make_scene(0).image
    assert there.batch(photo).device == there.logits(photo).device == device
    assert [one.index for one in there.top(photo)] == [one.index for one in here.top(photo)]
    for method in ("gradcam", "gradient"):
        ours, theirs = (clf.explain(photo, "runner-up", method, contrast="mean") for clf in (here, there))
        assert theirs.target == ours.target
        assert_maps_agree(theirs.map, ours.map, device, within)
    assert theirs.compare("least likely").similarity.spearman == pytest.approx(
        ours.compare("least likely").similarity.spearman, abs=50 * within
    )
    assert theirs.show() is not None
    assert there.to("cpu").batch(photo).device.type == "cpu"


@pytest.mark.slow
@pytest.mark.parametrize("check", ["class", "parameters", "localization", "data", "perturbation"])
def test_a_unit_of_a_study(check: str, device: torch.device, within: float) -> None:
    options: dict[str, Any] = {"methods": ("gradcam",), "networks": ("scenes",), "scenes": 1, "checks": (check,)}
    options |= {"depths": 2, "seeds": 1}
    tables = [measure(plan(Study(device=where, **options)).units[0]) for where in ("cpu", str(device))]
    measuring._classifier.cache_clear()
    assert_tables_agree(tables[1], tables[0], within)


def command(*words: object) -> str:
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_explain(device: torch.device, within: float, tmp_path: Path) -> None:
    drawn = ["explain", "coffee", "--network", "scenes", "--handling", "positive", "--out", tmp_path / "map.png"]
    here, there = command(*drawn), command(*drawn, "--device", device)
    assert "gradcam, positive, class" in there
    assert_texts_agree(there, here, within)


@pytest.mark.slow
def test_study(device: torch.device, tmp_path: Path) -> None:
    small = ["--networks", "scenes", "--scenes", "1", "--methods", "gradient", "--checks", "class"]
    assert "1 units measured" in command("study", *small, "--device", device, "--out", tmp_path)


@pytest.mark.slow
def test_audit(device: torch.device, tmp_path: Path) -> None:
    page = command("audit", "gradcam", "--networks", "scenes", "--limit", 1, "--device", device, "--out", tmp_path)
    assert page.startswith("# gradcam")


@pytest.mark.slow
def test_the_explorer(device: torch.device, within: float) -> None:
    photo = {"scene": make_scene(0).image}
    here, there = (Explorer(pg.load_classifier("scenes").to(where), photo) for where in ("cpu", device))
    for method in ("gradcam", "gradient"):
        for handling in ("signed", "positive"):
            for lab in (here, there):
                lab.method.value, lab.handling.value = method, handling
            assert (there.maps.cpu() - here.maps).abs().max() <= within * here.maps.abs().max()
            assert_texts_agree(there.summary, here.summary, within)
            assert "<img" in there.pictures.value


@pytest.mark.slow
@pytest.mark.parametrize(
    "widget", [AlphaSlider, CamWeights, ClassSlider, FullGradLayers, LayerSlider, RandomizationSlider, ThresholdSlider]
)
def test_other_widgets(widget: type[Any], device: torch.device, within: float) -> None:
    here, there = (widget(clf=pg.load_classifier("scenes").to(where)) for where in ("cpu", device))
    assert "Stopped by" not in there.summary
    assert "<img" in there.pictures.value
    if within == 0:
        assert there.summary == here.summary


@pytest.mark.slow
def test_a_shifted_classifier(device: torch.device, within: float) -> None:
    here, there = (pg.load_classifier().to(where) for where in ("cpu", device))
    moved = [pg.models.shifted(clf, pg.models.shift_vector(clf.net, 0.5)) for clf in (here, there)]
    photo = pg.load_photo("coffee")
    assert torch.allclose(moved[1].logits(photo).cpu(), moved[0].logits(photo), rtol=within, atol=10 * within)


@pytest.mark.slow
def test_a_report_on_one_map(device: torch.device, within: float) -> None:
    here, there = (pg.load_classifier("scenes").to(where) for where in ("cpu", device))
    reports = [str(pg.map_report(clf, make_scene(0).image, "runner-up", box=(4, 4, 30, 40))) for clf in (here, there)]
    assert_texts_agree(reports[1], reports[0], within)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["captum:GuidedBackprop", "grad-cam:GradCAMPlusPlus", "zennit:EpsilonPlus"])
def test_methods_of_other_packages(method: str, device: torch.device, within: float) -> None:
    net, x, net_there, x_there = pair("plain", device)
    assert_maps_agree(pg.explain(net_there, x_there, 0, method), pg.explain(net, x, 0, method), device, within)
