"""Perturbation in a study: off unless asked for, its rows, its tables, and the chart of its curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import posgrad_edu as pg
from posgrad_edu.methods import GradCAM, resolve
from posgrad_edu.scenes import make_scene, make_scenes, scene_tensors
from posgrad_edu.study import Study, markdown_report, measure, plan, summarize
from posgrad_edu.study.charts import plot
from posgrad_edu.study.perturbation_charts import STYLES, WORDS, perturbation_curves
from posgrad_edu.study.schema import ALL_CHECKS, CHECKS

CURVES = {"baseline": "mean", "patch": 4, "steps": 8, "progress": False}  # as a study of scenes covers them


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """A small study's rows of two scenes."""
    study = Study(("gradcam",), ("signed", "positive"), ("class", "perturbation"), ("scenes",), scenes=2)
    return pd.concat([measure(unit) for unit in plan(study).units], ignore_index=True)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    drawn = make_scenes(3)
    target, other = (torch.tensor([scene.digits[k] for scene in drawn]) for k in (0, 1))
    methods = {"signed": GradCAM("signed"), "positive": GradCAM("positive")}
    net = pg.load_classifier("scenes").net
    return pg.perturbation(net, scene_tensors(drawn)[0], methods, target=target, other=other, **CURVES)


def test_a_study_covers_nothing_unless_asked() -> None:
    assert set(ALL_CHECKS) - set(CHECKS) == {"perturbation"}
    assert "perturbation" not in Study().checks
    with pytest.raises(ValueError, match="Did you mean 'blur'"):
        Study(baseline="blurr")


def test_the_baseline_belongs_to_the_units_key() -> None:
    def key(check: str, baseline: str) -> str:
        study = Study(("gradcam",), checks=(check,), networks=("scenes",), scenes=1, baseline=baseline)
        return plan(study).units[0].key

    assert key("perturbation", "mean") != key("perturbation", "blur")
    assert key("class", "mean") == key("class", "blur")


@pytest.mark.slow
def test_rows_are_the_areas_of_the_own_and_the_other_digits_map(rows: pd.DataFrame) -> None:
    some = rows[(rows.check == "perturbation") & (rows.method == "gradcam")]
    assert len(some) == 2 * 2 * 2 * 2  # scenes, contrasts, handlings, modes
    net = pg.load_classifier("scenes").net
    for row in some.itertuples():
        scene = make_scene(int(row.photo.removeprefix("scene-")))
        assert (row.comparison, row.target, row.other) == ("present", *scene.digits[:2])
        method = resolve("gradcam", row.handling)
        asked: dict[str, Any] = {"target": scene.digits[0], "other": scene.digits[1]}
        asked["contrast"] = None if row.contrast == "logit" else row.contrast
        areas = pg.perturbation_areas(pg.perturbation(net, scene_tensors([scene])[0], method, **asked, **CURVES))
        expected = areas[areas["mode"] == row.mode].iloc[0]
        assert (row.auc, row.auc_other) == pytest.approx((expected.auc, expected.auc_other), abs=1e-5)
        assert row.advantage == pytest.approx(expected.advantage, abs=1e-5)


@pytest.mark.slow
def test_the_summary_is_about_the_advantage_and_the_report_has_a_table_a_mode(rows: pd.DataFrame) -> None:
    rows = rows[rows.contrast == "mean"]
    summary = summarize(rows)
    of_gradcam = rows[(rows.check == "perturbation") & (rows.method == "gradcam")].astype({"advantage": float})
    wide = of_gradcam.pivot(index=["photo", "mode"], columns="handling", values="advantage")
    found = summary[(summary.check == "perturbation") & (summary.method == "gradcam")].set_index(["handling", "mode"])
    for mode in ("deletion", "insertion"):
        now = wide.xs(mode, level="mode")
        assert found.advantage["positive", mode] == pytest.approx(now.positive.mean())
        assert found.difference["positive", mode] == pytest.approx((now.positive - now.signed).mean())
    text = markdown_report(summary)
    assert text.count("### Perturbation: the maps of two classes that are both in the picture") == 1
    assert text.index("Deletion:") < text.index("Insertion:")
    assert "### Perturbation" not in markdown_report(summarize(rows[rows.check == "class"]))
    for mode in ("deletion", "insertion"):
        figure = plot(summary[summary["mode"] == mode], "perturbation")
        assert f"both in the picture, {mode}" in figure.get_supxlabel()
        assert ":" not in [line.get_linestyle() for line in figure.axes[0].lines]  # there is no border to cross


@pytest.mark.slow
def test_the_curves_are_means_over_photos(table: pd.DataFrame) -> None:
    figure = plot(table)
    assert len(figure.axes) == 4
    good = table[~table.degenerate]
    for ax in figure.axes:
        method, mode = ax.get_title().split(", ")
        drawn = {line.get_label(): line for line in ax.lines}
        for order, words in WORDS.items():
            some = good[(good.method == method) & (good["mode"] == mode) & (good.order == order)]
            expected = some.groupby("share").kept.mean()
            np.testing.assert_allclose(drawn[words].get_xdata(), expected.index)
            np.testing.assert_allclose(drawn[words].get_ydata(), expected.to_numpy())
    areas = pg.perturbation_areas(table)
    mean = areas[(areas.method == "signed") & (areas["mode"] == "deletion")].auc.mean()
    assert f"signed, deletion, area under the curve: the asked class's map {mean:.2f}".replace("-", "−") in figure.alt


def test_no_two_orders_look_alike() -> None:
    looks = [(style["color"], str(style["linestyle"])) for style in STYLES.values()]
    assert len(set(looks)) == len(WORDS) == len(STYLES)


@pytest.mark.slow
def test_one_method_needs_no_label_and_curves_that_say_nothing_are_refused(table: pd.DataFrame) -> None:
    alone = table[table.method == "signed"].drop(columns="method")
    assert [ax.get_title() for ax in plot(alone).axes] == ["deletion", "insertion"]
    with pytest.raises(ValueError, match="degenerate"):
        perturbation_curves(table.assign(degenerate=True))
