"""Benchmarks whose results stand in docs: they run in tiny, go on where they stopped, and mean what they say."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import posgrad_edu as pg
from posgrad_edu.methods import LRP
from posgrad_edu.methods.lrp_rules import Epsilon, Gamma, LinearLayer, Redistribution

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


@pytest.fixture
def road(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import lrp_road

    return lrp_road


def tiny() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)
    return nn.Sequential(*layers).double().eval()


X = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_rules_by_depth_have_lrp_at_their_ends(road: ModuleType) -> None:
    net = tiny()
    for lower, rule in ((0, Epsilon()), (3, Gamma(0.25))):
        ours = road.ByDepth(gamma=0.25, lower=lower)(net, X, [[0, 1], [2, 0]])
        assert torch.allclose(ours, LRP(rule=rule)(net, X, [[0, 1], [2, 0]]), atol=1e-12)
    assert isinstance(road.gamma_rule(0), Epsilon)
    assert torch.allclose(
        LRP(rule=road.gamma_rule(math.inf))(net, X, 0), pg.explain(net, X, 0, "lrp", "positive"), atol=1e-12
    )


def test_rules_by_depth_layer_by_layer(road: ModuleType) -> None:
    net = tiny()
    relevance = F.one_hot(torch.tensor([1, 1]), 3).double()
    inputs = [X.flatten(1)]
    for k in (2, 4):
        inputs.append(net[: k + 1](X))
    for k, rule in ((2, Epsilon()), (1, Gamma(0.1)), (0, Gamma(0.1))):
        linear = net[[1, 3, 5][k]]
        layer = LinearLayer(F.linear, inputs[k].detach(), linear.weight.detach(), linear.bias.detach())
        (relevance,) = Redistribution(layer, rule)(relevance)
    expected = relevance.reshape(X.shape).sum(1)
    assert torch.allclose(road.ByDepth(gamma=0.1, lower=2)(net, X, 1), expected, atol=1e-12)


@pytest.mark.slow
def test_remove_and_retrain_in_tiny_goes_on_where_it_stopped(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    sizes = ["--training", "40", "--held-out", "12", "--steps", "2", "--file", str(file), "--print-only"]
    command = [sys.executable, str(ROOT / "benchmarks/remove_and_retrain.py"), *sizes]
    environment = {**os.environ, "TQDM_DISABLE": "1", "PYTHONPATH": str(ROOT)}

    def run() -> str:
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    run()
    whole = pd.read_csv(file)
    assert len(whole) == whole["removed by"].nunique() == 8
    assert whole["bits right"].between(0, 1).all()
    whole.iloc[:-1].to_csv(file, index=False)
    text = run()
    assert len(text.splitlines()) == 1 + 2 + 8  # one training, and the table
    pd.testing.assert_frame_equal(pd.read_csv(file), whole)  # the same seed trains the same network


@pytest.mark.slow
def test_documents_hold_what_their_tables_of_data_say(road: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import perturbation
    import randomization_criticism as criticism

    rows = pd.read_csv(DOCS / "lrp_road.csv", keep_default_na=False)
    rows["spearman"] = pd.to_numeric(rows.spearman, errors="coerce")
    assert road.table(rows) in (DOCS / "lrp_road.md").read_text(encoding="utf-8")
    assert perturbation.summary(pd.read_csv(perturbation.FILE)) in (DOCS / "perturbation.md").read_text(
        encoding="utf-8"
    )
    floor = criticism.floor_table(pd.read_csv(criticism.FILE))
    assert floor in (DOCS / "randomization.md").read_text(encoding="utf-8")
    assert np.isfinite(rows.spearman).all()


# --- Three depths of one family ---


@pytest.fixture
def depth(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import depth

    return depth


def test_the_page_of_depths_has_the_numbers_of_its_file(depth: ModuleType) -> None:
    assert depth.tables(pd.read_csv(depth.FILE)) in (DOCS / "depth.md").read_text(encoding="utf-8")


def test_networks_are_compared_on_what_all_of_them_have(depth: ModuleType) -> None:
    def row(network: str, photo: str, spearman: float, check: str = "parameters", **other: Any) -> dict[str, Any]:
        of = {
            "comparison": "random",
            "depth": 1,
            "seed": 0,
            "contrast": "mean",
            "method": "lrp",
            "handling": "positive",
        }
        return of | {"network": network, "photo": photo, "check": check, "spearman": spearman} | other

    lite0, lite1, lite2 = depth.FAMILY
    first = [row(lite0, "cat", 0.2), row(lite0, "cat", 0.4, depth=2), row(lite0, "dog", 0.9), row("scenes", "cat", 0.9)]
    first += [row(lite0, "cat", 0.9, seed=1), row(lite0, "cat", 1.0, depth=0), row(lite0, "cat", 0.5, "class", seed=-1)]
    first += [row(lite0, "cat", 0.9, "class", comparison="least")]
    second = [row(lite1, "cat", 0.6), row(lite2, "cat", 0.7)]
    found = depth.estimates(depth.common([pd.DataFrame(first), pd.DataFrame(second)]))
    assert dict(zip(found.check + found.network, found.spearman, strict=True)) == {
        f"class{lite0}": 0.5,
        f"parameters{lite0}": 0.3,
        f"parameters{lite1}": 0.6,
        f"parameters{lite2}": 0.7,
    }
    assert set(found.photos) == {1}


BREAKS = """
import json, sys
import torch
import posgrad_edu as pg
from posgrad_edu.handling import POSITIVE, SIGNED
from posgrad_edu.engine.contrast import contrasts

def seen():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2, bias=False)).eval()
    net[1].weight.data.copy_(torch.tensor([[1.0, -2, 3], [1, 1, 1]]))
    x, values = torch.ones(1, 3, 1, 1), torch.tensor([-1.0, 1.0])
    against = pg.explain(net, x, 0, "gradient", contrast=1).sum().item()
    centred = contrasts(torch.tensor([[1.0, 3.0]]), "mean").tolist()
    return [POSITIVE(values).tolist(), SIGNED(values).tolist(), against, centred]

before = seen()
import posgrad_edu.handling as h
import posgrad_edu.engine.contrast as c
exec(sys.stdin.read())
print(json.dumps([before, seen()]))
"""
CHANGED = {
    "nothing": {},
    "positive does nothing": {0: [-1.0, 1.0]},
    "signed clamps": {1: [0.0, 1.0], 2: 0.0},
    "contrast ignored": {2: 2.0, 3: [[1.0, 3.0]]},
}


@pytest.fixture
def mutations(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import lesson_mutations

    return lesson_mutations


@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.slow  # a Python of its own each, with PyTorch in it
def test_a_broken_library_is_broken_as_it_is_called(mutations: ModuleType, name: str) -> None:
    assert set(mutations.FIRST_LINES) == set(mutations.USES) == set(CHANGED)
    broken = subprocess.run(
        [sys.executable, "-c", BREAKS], input=mutations.FIRST_LINES[name], capture_output=True, text=True, timeout=120
    )
    assert broken.returncode == 0, broken.stderr
    before, after = json.loads(broken.stdout)
    assert before == [[0.0, 1.0], [-1.0, 1.0], -1.0, [[-1.0, 1.0]]]
    assert after == [CHANGED[name].get(n, value) for n, value in enumerate(before)]


def test_each_break_concerns_a_lesson(mutations: ModuleType) -> None:
    code = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "notebooks").glob("*.ipynb")}
    for name, pattern in mutations.USES.items():
        assert any(re.search(pattern, text.replace('\\"', '"'), re.IGNORECASE) for text in code.values()), name


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import speed

    return speed


def test_in_each_round_all_take_their_turn(speed: ModuleType) -> None:
    turns: list[str] = []
    works = {name: lambda name=name: turns.append(name) for name in "abc"}
    times = speed.in_rounds(works, 0, most=20, least=6)
    assert {name: len(values) for name, values in times.items()} == dict.fromkeys("abc", 6)  # the budget is spent
    rounds = ["".join(turns[n : n + 3]) for n in range(0, len(turns), 3)]
    assert {"".join(sorted(one)) for one in rounds} == {"abc"}
    assert len(set(rounds)) > 1
    assert len(speed.in_rounds(works, 60, most=4, least=1)["a"]) == 4


def test_the_spread_of_a_ratio_is_its_middle_half(speed: ModuleType) -> None:
    assert speed.spread([5.0, 1.0, 2.0, 3.0, 4.0]) == {"median": 3, "low": 2, "high": 4}
    assert speed.spread([7.0]) == {"median": 7, "low": 7, "high": 7}


def test_likeness_finds_what_is_wrong_and_not_how_maps_are_scaled(speed: ModuleType) -> None:
    ours = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(0))
    same = speed.likeness(ours, 5 * ours, positive=False)
    assert same == {"difference": pytest.approx(0, abs=1e-6), "correlation": pytest.approx(1)}
    cut = speed.likeness(ours, ours.clamp(min=0) / 7, positive=True)
    assert cut["difference"] < 1e-6
    wrong = ours.clone()
    wrong[1] *= -1  # one class of three
    assert speed.likeness(ours, wrong, positive=False)["correlation"] == pytest.approx(-1)
    wrong = ours.clone()
    wrong[2, 0, 0] += 0.1 * ours[2].abs().max()
    assert speed.likeness(ours, wrong, positive=False)["difference"] > 0.05


def test_likeness_of_maps_without_a_positive_part(speed: ModuleType) -> None:
    ours = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(0))
    ours[1] = -ours[1].abs()
    same = speed.likeness(ours, ours.clamp(min=0), positive=True)
    assert same == {"difference": 0, "correlation": pytest.approx(1)}
    assert speed.likeness(ours, ours.abs(), positive=True) == {"difference": 1, "correlation": pytest.approx(0)}


def test_a_number_that_is_none_is_not_published(
    speed: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import speed_page

    assert "1.000" not in speed_page.map_against_ours({"map": {"difference": math.nan, "correlation": math.nan}})
    monkeypatch.setattr(speed, "FILE", tmp_path / "results" / "speed.json")
    with pytest.raises(ValueError, match="JSON"):
        speed.save({"passes": [math.nan]})
    assert not speed.FILE.exists()


def test_the_page_of_speed_has_marks_for_all_sections(speed: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import speed_page

    written: dict[str, str] = {}
    monkeypatch.setattr(speed_page, "write_section", lambda _, section, text: written.update({section: text}))
    monkeypatch.setattr(speed_page, "methods_chart", lambda rows: None)
    monkeypatch.setattr(speed_page, "widgets_chart", lambda rows: None)
    results = json.loads(speed_page.FILE.read_text(encoding="utf-8"))
    speed_page.write_page(results | {"measures": "a table"})
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    for section in written:
        assert f"<!-- begin: benchmarks/{section} -->" in page
        assert f"<!-- end: benchmarks/{section} -->" in page
    assert "speed.py measures" in written
    networks = {row["network"] for row in results["passes"]}
    picture = re.search(r"!\[.*\]", written["speed.py goals"])
    assert picture is not None
    assert {n for n, name in speed_page.NAMES.items() if name in picture[0]} == networks


def test_the_page_of_speed_names_the_options(speed: ModuleType) -> None:
    import speed_page

    found = speed.machine(1) | {"busy": True, "options": "--busy --least 9"}
    assert "`python benchmarks/speed.py --busy --least 9`" in speed_page.machine_sentence(found)
    assert "`make bench`" in speed_page.machine_sentence(found | {"busy": False, "options": ""})


def test_memory_is_not_measured_where_it_cannot_be_asked(speed: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed.ctypes, "CDLL", lambda _: object())  # a C library without malloc_trim
    assert speed.peaks_of("scenes", [("gradient", "bare")], 1) == [None]


def test_gradients_begin_at_the_layer_that_is_hooked(speed: ModuleType) -> None:
    import rivals

    s = rivals.subject("scenes")
    net, _ = s.copied(graph_from_layer=True)
    asked = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    assert asked == ["conv8.bias"]
    assert not any(parameter.requires_grad for parameter in s.net.parameters())


def test_rivals_see_the_relu6s_of_lite0(speed: ModuleType) -> None:
    import rivals

    s = rivals.subject("efficientnet-lite0")
    with torch.no_grad():
        assert torch.equal(rivals.gated(s.copied()[0])(s.x), s.net(s.x))
    for work in (w for w in rivals.WORKS if w.name in ("guided-backprop", "deconvnet")):
        first, *others = (rival.make(s)() for rival in work.rivals)
        assert len(others) == 2
        for other in others:
            assert speed.likeness(first, other, positive=False)["difference"] < 1e-5


def test_coarse_maps_are_those_of_a_thousand_classes(speed: ModuleType) -> None:
    import rivals

    s = rivals.subject("efficientnet-lite0")
    (work,) = (w for w in rivals.WORKS if w.name == "gradcam, 1000 classes, coarse")
    assert work.rivals[0].make(s)().shape == (1000, 7, 7)


def test_goals_hold_a_method_against_passes_and_against_a_rival(speed: ModuleType) -> None:
    import speed_page
    from rivals import WORKS

    assert set(speed_page.GOALS) == {work.name for work in WORKS}

    def rows(ours: float, theirs: float) -> list[dict[str, Any]]:
        one = {"network": "vgg16", "work": "guided-backprop"}
        found = {"posgrad_edu": ours, "captum": theirs}
        return [one | {"rival": name, "ratio": {"median": ratio}} for name, ratio in found.items()]

    def line(ours: float, theirs: float) -> list[str]:
        (found,) = (t for t in speed_page.goals_table(rows(ours, theirs)).splitlines() if "guided" in t)
        return [cell.strip() for cell in found.strip("|").split("|")][3:]

    assert line(1.02, 1.02) == ["1.03 → **1.02**, at most 1.10 and 1 × captum's time (is 1.00)", ""]
    assert line(1.05, 1.00) == ["1.03 → **1.05**, at most 1.10 and 1 × captum's time (is 1.05)", "VGG-16"]
    assert line(1.20, 1.25)[-1] == "VGG-16"


def test_networks_that_the_page_has_no_place_for_are_refused(speed: ModuleType) -> None:
    speed.refuse_unknown(speed.NETWORKS, write=True)
    speed.refuse_unknown(["scenes"], write=False)
    for name, write in (("scenes", True), ("resnet18", False)):
        with pytest.raises(speed.typer.BadParameter, match=f"'{name}' isn't one of"):
            speed.refuse_unknown([name], write)


def test_quantus_test_is_told_how_to_count(speed: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        told.append(command[2:])
        return subprocess.CompletedProcess(command, 0, "a table")

    monkeypatch.setattr(speed.subprocess, "run", run)
    assert speed.quantus_test(whole=True, threads=1, busy=True) == "a table"
    speed.quantus_test(whole=True, threads=3, busy=False)
    speed.quantus_test(whole=False, threads=3, busy=True)
    assert told == [["--threads", "1", "--busy"], ["--threads", "3"], ["--photos", "4", "--layers", "4"]]


@pytest.mark.slow
def test_speed_runs_in_quick(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/speed.py"), "--quick", "--threads", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {line[2] for line in lines if line[0] == "scenes"} >= {"bare", "posgrad_edu", "captum", "zennit"}
    exact = [line for line in lines if line[0] == "scenes" and line[2] in ("captum", "zennit")]
    assert exact
    assert all(float(line[-2]) < 1e-5 for line in exact)  # on a chain of plain ReLUs all define the same maps
    assert {"Explorer", "MapComparison", "RandomizationSlider"} <= {line[0] for line in lines}
