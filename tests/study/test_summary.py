"""Means, intervals and verdicts of a study: hand-made rows, whose numbers are known or written out plainly here."""

from __future__ import annotations

import functools
import itertools
import math
import re
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from posgrad_edu.data.files import write_table
from posgrad_edu.methods import METHODS
from posgrad_edu.study.claims import CLAIMS, WHY, WHY_OF_A_CONTRAST, reason
from posgrad_edu.study.formatting import format_estimate, markdown_table
from posgrad_edu.study.report import markdown_report
from posgrad_edu.study.schema import in_order, published_handling
from posgrad_edu.study.summary import MEASURES, interval, intervals, read_summary, stages, summarize
from posgrad_edu.study.verdicts import VERDICTS, verdict, verdict_table

NAN = math.nan


def row(**values: Any) -> dict[str, Any]:
    """A comparison for two classes, unless told otherwise."""
    usual: dict[str, Any] = {"network": "net", "check": "class", "photo": "cat", "method": "gradcam"}
    usual |= {"handling": "signed", "target": 1, "other": 2, "degenerate": False}
    if values.get("check", "class") == "class":
        usual |= {"comparison": "least"}
    values = usual | values
    if values["check"] != "localization" and "spearman" in values:
        values = {"spearman_abs": abs(values["spearman"]), "ssim": 0.5, "hog": 0.25} | values
        if math.isnan(values["spearman"]):
            values |= {"ssim": NAN, "hog": NAN, "degenerate": values["degenerate"]}
    return values


def classes(values: list[float], **more: Any) -> list[dict[str, Any]]:
    """A row a photo: photo 0, photo 1, ..."""
    return [row(photo=f"photo {n}", spearman=value, **more) for n, value in enumerate(values)]


def cascade(by_depth: dict[int, float], layers: int, **more: Any) -> list[dict[str, Any]]:
    """A row a depth."""
    usual = {"check": "parameters", "mode": "cascading", "layers": layers, "seed": 0, "other": None} | more
    return [row(depth=depth, layer=f"layer {depth}", spearman=value, **usual) for depth, value in by_depth.items()]


def one(summary: pd.DataFrame, **wanted: str) -> Any:
    """The only row of a summary with these values."""
    found = summary[np.all([summary[name] == value for name, value in wanted.items()], axis=0)]
    assert len(found) == 1, (wanted, len(found))
    return found.iloc[0]


def study() -> pd.DataFrame:
    """Rows of each check, two networks, controls and a degenerate map."""
    random = np.random.default_rng(5)
    rows = []
    for network, (method, handling), n in itertools.product(
        ("big", "small"),
        [
            ("gradcam", "signed"),
            ("gradcam", "positive"),
            ("guided-backprop", "signed"),
            ("guided-backprop", "positive"),
        ],
        range(6),
    ):
        height = 0.9 if handling == "positive" and network == "big" else 0.0
        names = {"network": network, "method": method, "handling": handling, "photo": f"photo {n}"}
        for comparison in ("least", "runner-up"):
            noise = float(random.uniform(-0.05, 0.05))
            rows.append(row(**names, comparison=comparison, spearman=height + noise))
        for seed in range(2):
            at = {d: height + float(random.uniform(-0.05, 0.05)) for d in (1, 2, 4)}
            rows += cascade(at, 4, **names, seed=seed)
        rows.append(row(**names, check="data", spearman=float(random.uniform(-1, 1)), other=None))
        place = {"energy": 0.5, "energy_abs": 0.4, "energy_other": 0.2, "hit": float(n % 2), "area": 0.25}
        rows += [row(**names, check="localization", object=k, **place) for k in range(2)]
    for network, n in itertools.product(("big", "small"), range(6)):
        control = {"network": network, "method": "noise", "handling": "none", "photo": f"photo {n}"}
        rows.append(row(**control, spearman=-0.001))
        rows += cascade({1: 0.001, 2: -0.001, 4: 0.0}, 4, **control)
    rows[0] |= {"spearman": NAN, "spearman_abs": NAN, "ssim": NAN, "hog": NAN, "degenerate": True}
    return pd.DataFrame(rows)


@functools.cache
def measured() -> pd.DataFrame:
    """The summary of the study; no test changes it."""
    return summarize(study())


# --- Intervals ---


def test_an_interval_is_the_middle_of_the_resampled_means() -> None:
    values = np.random.default_rng(3).normal(size=12)
    random = np.random.default_rng(4)
    means = [statistics.fmean(random.choice(values, size=12)) for _ in range(20000)]
    assert interval(values) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.05)


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([0, 1], (0, 1)),  # both 0 in a quarter of all resamples, both 1 in a quarter
        ([0, 0, 0, 1], (0, 0.75)),  # three ones or more: 1 in 20; four: 1 in 256
        ([0] * 39 + [1], (0, 3 / 40)),  # binomial(40, 1/40): three or more 8 %, four or more 1.8 %
    ],
)
def test_intervals_of_few_values_are_known(values: list[float], ends: tuple[float, float]) -> None:
    assert interval(values) == pytest.approx(ends)


def test_an_interval_needs_two_photos_and_a_constant_has_no_length() -> None:
    assert all(map(math.isnan, (*interval([]), *interval([0.3]))))
    assert interval([0.1] * 7) == (0.1, 0.1)  # to the last bit, though 0.1 * 7 / 7 isn't
    assert interval(np.full(3, -1.0)) == (-1.0, -1.0)


def test_intervals_taken_together_are_those_taken_alone() -> None:
    random = np.random.default_rng(0)
    vectors = [random.normal(size=size) for size in (5, 9, 5, 0, 1, 9, *[7] * 230)]
    together = intervals([*vectors, np.ones(4)])
    assert together[-1] == (1.0, 1.0)
    np.testing.assert_allclose(together[:-1], [interval(v) for v in vectors], rtol=1e-12)


# --- Means over photos ---


def test_means_are_over_photos() -> None:
    mean = one(summarize(pd.DataFrame(classes([0.2, -0.4, 0.8]))), method="gradcam")
    assert mean.spearman == pytest.approx(0.2)
    assert mean.spearman_abs == pytest.approx(1.4 / 3)
    assert (mean.spearman_low, mean.spearman_high) == interval([0.2, -0.4, 0.8])
    assert (mean.ssim, mean.ssim_low, mean.hog) == (0.5, 0.5, 0.25)
    assert (mean.photos, mean.used, mean.comparisons, mean.degenerate) == (3, 3, 3, 0)
    assert math.isnan(mean.energy)
    assert mean.group == "least"


def test_a_photo_counts_once_however_often_it_was_measured() -> None:
    many = [row(photo="cat", object=k, check="localization", energy=0.2, hit=1.0) for k in range(5)]
    few = [row(photo="dog", object=0, check="localization", energy=0.8, hit=0.0)]
    mean = one(summarize(pd.DataFrame(many + few)), check="localization")
    assert (mean.energy, mean.hit) == (pytest.approx(0.5), pytest.approx(0.5))
    assert (mean.photos, mean.comparisons) == (2, 6)
    assert mean.group == "objects"


def test_a_depth_counts_once_however_many_seeds_it_has() -> None:
    rows = cascade({1: 0.9, 2: 0.0}, 2) + cascade({1: 0.5}, 2, seed=1) + cascade({1: 0.1}, 2, seed=2)
    summary = summarize(pd.DataFrame(rows))
    assert one(summary, group="mean").spearman == pytest.approx((0.5 + 0.0) / 2)
    assert one(summary, group="classifier").spearman == pytest.approx(0.5)


def test_the_difference_is_within_a_photo() -> None:
    signed, positive = [0.1, -0.5, 0.3], [0.9, 0.4, 0.7]
    rows = (
        classes(signed) + classes(positive, handling="positive") + classes([1.0] * 3, method="edges", handling="none")
    )
    summary = summarize(pd.DataFrame(rows))
    differences = [b - a for a, b in zip(signed, positive, strict=True)]
    mean = one(summary, handling="positive")
    assert mean.difference == pytest.approx(statistics.fmean(differences))
    assert (mean.difference_low, mean.difference_high) == pytest.approx(interval(differences))
    assert mean.paired == 3
    for handling in ("signed", "none"):
        assert math.isnan(one(summary, handling=handling).difference)
        assert one(summary, handling=handling).paired == 0


def test_the_difference_pairs_seeds_and_depths_too() -> None:
    signed = cascade({1: 0.0, 2: 0.2}, 2) + cascade({1: 0.4, 2: NAN}, 2, seed=1, degenerate=True)
    signed[2]["degenerate"] = False
    positive = cascade({1: 1.0, 2: 0.5}, 2, handling="positive") + cascade(
        {1: 0.6, 2: 0.9}, 2, handling="positive", seed=1
    )
    mean = one(summarize(pd.DataFrame(signed + positive)), handling="positive", group="mean")
    at_1, at_2 = ((1.0 - 0.0) + (0.6 - 0.4)) / 2, 0.5 - 0.2  # at depth 2, seed 1 has nothing to be held against
    assert mean.difference == pytest.approx((at_1 + at_2) / 2)
    assert mean.spearman == pytest.approx(((1.0 + 0.6) / 2 + (0.5 + 0.9) / 2) / 2)


def test_networks_and_classes_are_not_paired_with_each_other() -> None:
    rows = [row(spearman=0.1), row(spearman=0.9, handling="positive", network="other")]
    rows += [row(spearman=0.9, handling="positive", other=3)]
    assert summarize(pd.DataFrame(rows)).paired.tolist() == [0, 0, 0]


def test_for_localization_the_difference_is_of_energy() -> None:
    rows = [row(check="localization", energy=0.75, hit=1.0), row(check="localization", energy=0.5, hit=0.0)]
    rows[1]["handling"] = "positive"
    assert one(summarize(pd.DataFrame(rows)), handling="positive").difference == pytest.approx(-0.25)


def test_degenerate_maps_are_counted_and_left_out_of_the_mean() -> None:
    rows = classes([0.5, NAN, 0.7], degenerate=False)
    rows[1]["degenerate"] = True
    mean = one(summarize(pd.DataFrame(rows)), method="gradcam")
    assert mean.spearman == pytest.approx(0.6)
    assert (mean.photos, mean.used, mean.comparisons, mean.degenerate) == (3, 2, 3, 1)


def test_maps_that_are_all_degenerate_still_have_a_row() -> None:
    mean = one(summarize(pd.DataFrame(classes([NAN, NAN], degenerate=True))), method="gradcam")
    assert math.isnan(mean.spearman)
    assert math.isnan(mean.spearman_low)
    assert (mean.photos, mean.used, mean.degenerate) == (2, 0, 2)


def test_one_photo_has_a_mean_and_no_interval() -> None:
    mean = one(summarize(pd.DataFrame(classes([0.5]))), method="gradcam")
    assert mean.spearman == 0.5
    assert math.isnan(mean.spearman_low)
    assert math.isnan(mean.spearman_high)


def test_the_order_of_rows_and_columns_makes_no_difference() -> None:
    rows = study()
    shuffled = rows.sample(frac=1, random_state=2)[list(reversed(rows.columns))]
    pd.testing.assert_frame_equal(summarize(rows), summarize(shuffled), check_exact=True)


def test_sums_do_not_hang_on_the_order_of_rows() -> None:
    values = np.random.default_rng(1).uniform(-1, 1, size=60)  # added up in another order, they differ in the last bit
    rows = pd.DataFrame(
        [row(**{"check": "data", "photo": f"photo {n % 2}", "seed": n, "spearman": v}) for n, v in enumerate(values)]
    )
    means = {one(summarize(rows.sample(frac=1, random_state=k)), check="data").spearman for k in range(4)}
    assert len(means) == 1


def test_a_measure_may_be_missing_without_a_degenerate_map() -> None:
    """Maps smaller than 48 x 48 pixels have no HOG."""
    mean = one(summarize(pd.DataFrame([row(spearman=0.5, hog=NAN)])), method="gradcam")
    assert math.isnan(mean.hog)
    assert mean.ssim == 0.5


# --- Stages ---


def test_stages_of_a_cascade() -> None:
    every = list(range(1, 10))
    assert stages(every, 9) == {"classifier": [1], "half": [4], "all": [9], "mean": every}
    assert stages([1, 17, 33, 50], 50) == {"classifier": [1], "half": [17], "all": [50], "mean": [1, 17, 33, 50]}
    assert stages([1, 2], 2) == {"classifier": [1], "half": [1], "all": [2], "mean": [1, 2]}
    assert stages([50, 1, 1, 50], 50) == {"classifier": [1], "all": [50], "mean": [1, 50]}  # no half within a quarter
    assert stages([1], 50) == {"classifier": [1]}
    assert stages([20, 50], 50) == {"half": [20], "all": [50]}  # no mean of a cascade that doesn't begin
    assert stages([1, 9], 9, "cascading-from-input")["first layer"] == [1]
    assert "classifier" not in stages([1, 9], 9, "cascading-from-input")
    assert stages([3, 5], 9, "independent") == {"mean": [3, 5]}
    assert stages([3], 12) == stages([9], 12) | {"half": [3]} == {"half": [3]}  # a quarter of the layers off, no more
    assert stages([2], 12) == stages([16], 12) == {}


def test_stages_in_a_summary() -> None:
    rows = cascade({1: 0.9, 3: 0.6, 6: 0.0}, 6) + cascade({1: 0.7, 3: 0.2, 6: 0.2}, 6, photo="dog")
    summary = summarize(pd.DataFrame(rows)).set_index("group")
    assert summary.spearman.to_dict() == pytest.approx({"classifier": 0.8, "half": 0.4, "all": 0.1, "mean": 1.3 / 3})
    assert summary.depths.to_dict() == {"classifier": 1, "half": 1, "all": 1, "mean": 3}
    assert summary.depth.drop("mean").to_dict() == {"classifier": 1, "half": 3, "all": 6}
    assert math.isnan(summary.depth["mean"])
    assert set(summary.layers) == {6}
    assert (summary.spearman_low["mean"], summary.spearman_high["mean"]) == pytest.approx(interval([0.5, 1.1 / 3]))


def test_a_photo_not_yet_measured_at_each_depth_is_not_in_the_mean_over_depths() -> None:
    rows = cascade({1: 0.9, 2: 0.5}, 2) + cascade({1: 0.1}, 2, photo="dog")
    summary = summarize(pd.DataFrame(rows))
    assert (one(summary, group="mean").spearman, one(summary, group="mean").photos) == (pytest.approx(0.7), 1)
    assert (one(summary, group="classifier").spearman, one(summary, group="classifier").photos) == (0.5, 2)


# --- Refusals ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"check": "clas"}, "Did you mean 'class'"),
        ({"handling": None}, "no handling"),
        ({"degenerate": None}, "no degenerate"),
        ({"spearman": NAN}, "aren't flagged as degenerate"),
        ({"check": "localization", "energy": 0.1}, "no energy or no hit"),
        ({"check": "parameters", "mode": "cascading", "layers": 3}, "needs a depth from 1"),
        ({"check": "parameters", "mode": "cascade", "layers": 3, "depth": 1}, "Did you mean 'cascading'"),
    ],
)
def test_rows_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        summarize(pd.DataFrame([row(spearman=0.5), row(photo="dog", spearman=0.5) | change]))


def test_rows_that_are_missing_are_refused() -> None:
    with pytest.raises(ValueError, match="no photo, handling"):
        summarize(pd.DataFrame([row(spearman=0.5)]).drop(columns=["photo", "handling"]))
    with pytest.raises(ValueError, match="There are no rows"):
        summarize(pd.DataFrame([row(spearman=0.5)]).iloc[:0])
    with pytest.raises(ValueError, match="Measured twice: network net, check class, photo cat, method gradcam"):
        summarize(pd.DataFrame([row(spearman=0.5), row(spearman=0.6)]))
    with pytest.raises(ValueError, match="same number of layers"):
        summarize(pd.DataFrame(cascade({1: 0.5}, 4) + cascade({2: 0.5}, 5)))


# --- Verdicts ---


@pytest.mark.parametrize(
    ("alike_low", "difference_low", "expected"),
    [
        (0.51, 0.01, "agrees"),
        (0.5, 0.01, "partly"),  # above .5, not at it
        (0.51, 0.0, "partly"),
        (0.51, -0.3, "partly"),
        (0.5, 0.0, "disagrees"),
        (-1.0, -2.0, "disagrees"),
        (NAN, 0.3, "not measured"),
        (0.9, NAN, "not measured"),
    ],
)
def test_the_rule(alike_low: float, difference_low: float, expected: str) -> None:
    assert verdict(alike_low, difference_low) == expected


def judged(signed: list[float] | None, positive: list[float] | None) -> Any:
    """The verdict's row on GradCAM and the class."""
    rows = classes(signed or [], handling="signed") + classes(positive or [], handling="positive")
    for r in rows:
        r["degenerate"] = math.isnan(r["spearman"])
    table = verdict_table(summarize(pd.DataFrame(rows)))
    return one(table, method="gradcam", check="class", handling="positive")


def test_verdicts_of_rows() -> None:
    agrees = judged([0.0, 0.1, -0.1], [0.9, 0.8, 0.9])
    assert (agrees.verdict, agrees.why, agrees.reading) == ("agrees", "", "alike, more so than signed")
    assert (agrees.signed, agrees.positive) == (pytest.approx(0.0), pytest.approx(2.6 / 3))
    assert agrees.difference == pytest.approx(2.6 / 3)
    assert agrees.photos == 3
    for signed, positive, result, reading in (
        ([-0.9, -0.8, -0.9], [0.1, 0.2, 0.1], "partly", "not alike, more so than signed"),
        ([0.9, 0.8, 0.9], [0.9, 0.8, 0.9], "partly", "alike, not surely more so than signed"),
        ([0.1, 0.2], [0.1, 0.2], "disagrees", "not alike, not surely more so than signed"),
        ([0.3, 0.3, 0.3], [-0.3, 0.9, 0.1], "disagrees", "not surely alike, not surely more so than signed"),
        ([0.3, 0.3], [0.1, 0.2], "disagrees", "not alike, less so than signed"),
        ([0.9, 0.9], [0.5, 0.5], "disagrees", "not alike, less so than signed"),  # .5 isn't above .5
        ([0.4, 0.4], [0.5, 0.4], "disagrees", "not alike, not surely more so than signed"),
    ):
        found = judged(signed, positive)
        assert (found.verdict, found.reading) == (result, reading)
        assert found.why == WHY["gradcam", "class"]


def test_a_contrast_has_reasons_of_its_own() -> None:
    for claim in CLAIMS:
        assert reason(claim, "logit") == WHY[claim.method, claim.check]
        other = reason(claim, "mean")
        assert other == WHY_OF_A_CONTRAST.get(claim.method, WHY[claim.method, claim.check])
        assert (other != reason(claim, "logit")) == (claim.method == "lrp")


def test_what_is_missing_gives_no_verdict() -> None:
    for signed, positive, reading in (
        (None, [0.9, 0.8], "signed has no rows"),
        ([0.1, 0.2], None, "this version has no rows"),
        ([0.1, 0.2], [NAN, NAN], "each map of this version is degenerate"),
        ([NAN, NAN], [0.9, 0.8], "each map of signed is degenerate"),
        ([NAN, 0.1], [0.9, NAN], "no photo has values of both versions"),
        ([0.1], [0.9], "one photo gives no interval"),
        ([NAN, 0.1], [0.9, 0.9], "one photo gives no interval"),
    ):
        found = judged(signed, positive)
        assert (found.verdict, found.why, found.reading) == ("not measured", "", reading)


def test_degenerate_maps_are_counted_beside_a_verdict() -> None:
    found = judged([0.1, NAN, 0.2, 0.0], [0.9, 0.8, NAN, NAN])
    assert (found.degenerate, found.comparisons, found.photos) == (3, 8, 1)


def test_parameters_are_judged_by_the_mean_over_the_cascade() -> None:
    rows = []
    for n, lift in enumerate((0.0, 0.01, 0.02)):
        high, low = {1: 1.0, 2: 0.9, 3: 0.8, 4: 0.0}, {1: 0.1, 2: 0.0, 3: 0.0, 4: 0.0}
        for handling, at in (("positive", high), ("signed", low)):
            lifted = {d: value - lift for d, value in at.items()}
            rows += cascade(lifted, 4, photo=f"photo {n}", method="guided-backprop", handling=handling)
    summary = summarize(pd.DataFrame(rows))
    found = one(verdict_table(summary), method="guided-backprop", check="parameters")
    assert found.positive == pytest.approx(2.7 / 4 - 0.01)
    assert found.verdict == "agrees"  # though at the end, with all layers random, nothing is left
    assert one(summary, group="all", handling="positive").spearman == pytest.approx(-0.01)
    until_three = pd.DataFrame([r for r in rows if r["depth"] < 4])
    assert (
        one(verdict_table(summarize(until_three)), method="guided-backprop", check="parameters").verdict
        == "not measured"
    )


def test_each_network_has_its_own_verdict() -> None:
    table = verdict_table(measured())
    found = table[table.method == "guided-backprop"].set_index(["check", "network"]).verdict.to_dict()
    assert found == {
        ("class", "big"): "agrees",
        ("class", "small"): "disagrees",
        ("parameters", "big"): "agrees",
        ("parameters", "small"): "disagrees",
    }
    assert set(table[table.method == "lrp"].verdict) == {"not measured"}


def test_fullgrad_is_judged_as_published_too() -> None:
    signed = classes([0.0, 0.1], method="fullgrad")
    rows = [*signed, *classes([0.9, 0.95], method="fullgrad", handling="absolute")]
    table = verdict_table(
        summarize(pd.DataFrame([*rows, *classes([0.2, 0.3], method="fullgrad", handling="positive")]))
    )
    assert one(table, method="fullgrad", check="class", handling="absolute").verdict == "agrees"
    assert one(table, method="fullgrad", check="class", handling="positive").verdict == "partly"


def test_the_claims_cover_what_the_abstract_names() -> None:
    named = {"gradcam++", "fullgrad", "lrp", "rectgrad", "guided-backprop"}
    for check in ("class", "parameters"):
        claims = [claim for claim in CLAIMS if claim.check == check]
        assert {claim.method for claim in claims if claim.source == "abstract"} == named
        assert {claim.method for claim in claims if claim.source == "variant"} == {"gradcam", "layercam", "deconvnet"}
    assert {claim.method for claim in CLAIMS} <= set(METHODS)
    assert len({claim.text for claim in CLAIMS}) == len(CLAIMS)
    assert {(claim.method, claim.check) for claim in CLAIMS} == set(WHY)
    for claim in CLAIMS:  # a claim about a method as published is about what it does as published
        if claim.source == "abstract" and claim.method != "fullgrad":
            assert claim.handling == (published_handling(claim.method) or "positive")
    assert published_handling("fullgrad") == "absolute"
    assert published_handling("lrp") is published_handling("one's own") is None


# --- Files and the report ---


@pytest.mark.slow
def test_a_summary_comes_back_from_its_file(tmp_path: Path) -> None:
    summary = summarize(study().replace({"network": {"small": "NA"}}))
    write_table(summary, tmp_path / "summary.csv")
    again = read_summary(tmp_path / "summary.csv")
    pd.testing.assert_frame_equal(summary, again, check_exact=True)
    assert markdown_report(again) == markdown_report(summary)
    (tmp_path / "other.csv").write_text("network,check\nbig,class\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.csv isn't a summary: it has no contrast, method"):
        read_summary(tmp_path / "other.csv")


def test_the_same_rows_give_the_same_markdown_report() -> None:
    assert markdown_report(measured()) == markdown_report(summarize(study().sample(frac=1, random_state=8)))


def lines_with(text: str, *parts: str) -> list[str]:
    return [line for line in text.splitlines() if all(part in line for part in parts)]


def test_the_report_shows_what_the_summary_holds() -> None:
    summary = measured()
    text = markdown_report(summary, title="A try")
    assert text.startswith("# A try\n")
    assert "big (up to 6 photos a check), small (up to 6 photos a check)" in text
    verdicts = verdict_table(summary)
    for (check, network), some in verdicts.groupby(["check", "network"]):
        counts = " | ".join(str(int((some.verdict == name).sum())) for name in VERDICTS)
        question = {"class": "class: the least likely one", "parameters": "network's parameters"}[check]
        assert f"| {question} | logit | {network} | {counts} |" in text
    big = text[text.index("\n## big\n") : text.index("\n## small\n")]
    mean = one(summary, network="big", check="class", group="runner-up", method="gradcam", handling="positive")
    (line,) = lines_with(big[big.index("runner-up") : big.index("### Parameters")], "`gradcam`", "| positive |")
    assert f"| {mean.spearman:.2f} [{mean.spearman_low:.2f}, {mean.spearman_high:.2f}] |" in line
    assert "| 6 | 0 of 6 |" in line
    (line,) = lines_with(big[: big.index("runner-up")], "`gradcam`", "| signed, as published |")
    assert "| 6 | 1 of 6 |" in line
    cascades = big[big.index("### Parameters: cascading, 4 layers") : big.index("### Data")]
    assert "classifier (depth 1) | half (depth 2) | all (depth 4) | mean of 3 depths" in cascades
    assert len(lines_with(cascades, "`noise` | none")) == 1
    (line,) = lines_with(big[big.index("### Place") :], "`gradcam`", "| positive |")
    assert "0.50 [0.50, 0.50] | 0.00 [0.00, 0.00] | 0.20 [0.20, 0.20] | 0.40 [0.40, 0.40] | 0.25 |" in line


def test_the_report_explains_only_where_it_does_not_agree() -> None:
    text = markdown_report(measured())
    for key in (("gradcam", "class"), ("guided-backprop", "class")):  # the small network disagrees
        assert text.count(WHY[key]) == 1
    assert WHY["fullgrad", "class"] not in text  # wasn't measured
    explained = text[text.index("## What may explain") : text.index("## How to read")]
    assert lines_with(explained, "Guided Backprop", "(class, small): disagrees,", " → ")
    assert not lines_with(explained, "(class, big)")
    assert "What may explain" not in markdown_report(measured()[measured().network == "big"])


def test_a_comparison_of_somebody_s_own_has_a_title() -> None:
    rows = pd.DataFrame(classes([0.5, 0.6])).assign(comparison="by hand")
    assert "### Class: by hand" in markdown_report(summarize(rows))


def test_the_report_writes_numbers_plainly() -> None:
    text = markdown_report(measured())
    assert "0.00 [0.00, 0.00]" in text  # noise, -.001
    assert "−" in text
    assert not re.search(r"(?<![\w-])-\d|−0\.00|nan|None|\d\.\d{3}", text)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.876, -0.876, -0.004), "0.88 [−0.88, 0.00]"),
        ((0.5, -0.25, 0.996), "0.50 [−0.25, 1.00]"),
        ((0.5, NAN, NAN), "0.50 [no interval]"),
        ((NAN, NAN, NAN), "–"),
    ],
)
def test_numbers(values: tuple[float, ...], expected: str) -> None:
    assert format_estimate(dict(zip(("x", "x_low", "x_high"), values, strict=True)), "x") == expected


def test_a_report_of_one_photo_says_that_there_is_no_interval() -> None:
    text = markdown_report(summarize(pd.DataFrame(classes([0.5]) + classes([0.9], handling="positive"))))
    assert "0.90 [no interval]" in text
    assert "**not measured**: one photo gives no interval" in text
    assert "net (up to 1 photo a check)" in text


def test_methods_come_in_the_packages_order() -> None:
    names = [("noise", "none"), ("mine", "odd"), ("lrp", "positive"), ("lrp", "signed"), ("gradient", "signed")]
    names += [("lrp", "odd"), ("lrp", "even"), ("another", "signed"), ("another", "negative")]
    table = pd.DataFrame(names, columns=["method", "handling"])
    assert list(in_order(table).itertuples(index=False, name=None)) == [
        ("gradient", "signed"),
        ("lrp", "signed"),
        ("lrp", "positive"),
        ("lrp", "even"),
        ("lrp", "odd"),
        ("noise", "none"),
        ("another", "signed"),
        ("another", "negative"),
        ("mine", "odd"),
    ]


def test_every_measure_has_its_columns() -> None:
    summary = measured()
    assert {f"{m}{end}" for m in MEASURES for end in ("", "_low", "_high")} <= set(summary.columns)
    assert not summary.duplicated(["network", "check", "contrast", "method", "handling", "group", "mode"]).any()


def test_the_committed_verdicts_are_what_the_committed_summary_says() -> None:
    docs = Path(__file__).resolve().parents[2] / "docs"
    text = (docs / "verdicts.md").read_text(encoding="utf-8")
    assert text.startswith(markdown_report(read_summary(docs / "verdicts.csv"))), "make verdicts writes both anew"


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    table = markdown_table(["of |x|", "b"], [["1", "a \\| b"]])
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()]
    assert [len(line) for line in cells] == [2, 2, 2]
    assert table.splitlines()[0] == "| of \\|x\\| | b |"
    assert table.splitlines()[2] == "| 1 | a \\| b |"  # escaped once
