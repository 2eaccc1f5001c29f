"""The VerdictExplorer, driven as a notebook cell drives it: claims, networks, and the line between alike and not."""

from __future__ import annotations

import html
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from showing import is_pale

from posgrad_edu.study import summarize, verdict, verdict_table
from posgrad_edu.widgets import VerdictExplorer
from posgrad_edu.widgets.verdict_explorer import JUDGED

# Rank correlations of three photos: of signed and of positive maps, by network, check and method.
VALUES = {
    ("deep", "class", "gradcam"): ([-0.8, -0.7, -0.9], [0.9, 0.95, 0.8]),  # agrees
    ("deep", "class", "lrp"): ([0.0, 0.1, 0.2], [0.3, 0.4, 0.35]),  # more alike, but not alike
    ("shallow", "class", "gradcam"): ([0.1, -0.1, 0.0], [-0.1, 0.1, 0.0]),  # neither
    ("deep", "parameters", "gradcam"): ([0.1, 0.0, 0.2], [0.6, 0.7, 0.65]),  # agrees, up to a line at .6
}


def rows() -> pd.DataFrame:
    found = []
    for (network, check, method), handlings in VALUES.items():
        for handling, values in zip(("signed", "positive"), handlings, strict=True):
            for photo, value in enumerate(values):
                row = {
                    "network": network,
                    "check": check,
                    "photo": f"photo {photo}",
                    "method": method,
                    "handling": handling,
                    "spearman": value,
                    "degenerate": False,
                }
                if check == "class":
                    found.append(row | {"comparison": "least", "target": 0, "other": 1})
                else:
                    at = {"mode": "cascading", "layers": 2, "seed": 0}
                    found += [row | at | {"depth": depth, "layer": str(depth)} for depth in (1, 2)]
    return pd.DataFrame(found)


@pytest.fixture(scope="module")
def summary() -> pd.DataFrame:
    return summarize(rows())


@pytest.fixture
def explorer(summary: pd.DataFrame) -> VerdictExplorer:
    return VerdictExplorer(summary)


@pytest.mark.slow
def test_it_starts_with_the_rule_of_the_package(explorer: VerdictExplorer, summary: pd.DataFrame) -> None:
    expected = verdict_table(summary)
    expected = expected[expected.verdict != "not measured"]
    assert len(expected) == len(explorer.table) == 4
    for row in expected.itertuples():
        explorer.check.value, explorer.network.value = row.check, row.network
        explorer.version.value = f"{row.method}, {row.handling}"
        assert explorer.verdict == row.verdict
        assert explorer.summary.startswith(row.verdict.capitalize())
    assert explorer.counts == {name: (expected.verdict == name).sum() for name in ("agrees", "partly", "disagrees")}
    assert explorer.counts == {"agrees": 2, "partly": 1, "disagrees": 1}


def test_the_line_decides_the_first_half_alone() -> None:
    assert [verdict(0.6, 0.1, line) for line in (0.3, 0.55, 0.6, 0.9)] == ["agrees", "agrees", "partly", "partly"]
    assert [verdict(0.6, -0.1, line) for line in (0.3, 0.9)] == ["partly", "disagrees"]
    assert verdict(math.nan, 0.1, 0.3) == verdict(0.6, math.nan, 0.3) == "not measured"


def test_moving_the_line_changes_verdict_counts_sentence_and_picture(explorer: VerdictExplorer) -> None:
    explorer.check.value = "parameters"
    said, shown = explorer.summary, explorer.pictures.value
    assert explorer.verdict == "agrees"
    low = float(explorer.row.positive_low)  # type: ignore[union-attr]
    assert 0.55 < low < 0.65
    assert f"from {low:.2f} on" in said
    explorer.threshold.value = 0.7
    assert explorer.verdict == "partly"
    assert explorer.counts == {"agrees": 1, "partly": 2, "disagrees": 1}
    assert explorer.summary != said
    assert explorer.pictures.value != shown
    explorer.threshold.value = 0.5
    assert (explorer.summary, explorer.pictures.value) == (said, shown)


def test_it_says_where_no_line_matters(explorer: VerdictExplorer) -> None:
    explorer.network.value = "shallow"
    assert "No line between 0.3 and 0.9 changes this verdict" in explorer.summary


def test_counts_are_those_of_all_claims(explorer: VerdictExplorer) -> None:
    for line in (0.3, 0.5, 0.65, 0.9):
        alike = (explorer.table.positive_low > line).astype(int) + (explorer.table.difference_low > 0).astype(int)
        assert list(explorer.counts_at(line).values()) == [(alike == n).sum() for n in (2, 1, 0)]


def test_what_was_not_measured_is_said(explorer: VerdictExplorer) -> None:
    explorer.version.value, explorer.network.value = "lrp, positive", "shallow"
    assert "no verdict" in explorer.summary
    assert is_pale(explorer)
    assert explorer.verdict == "not measured"
    explorer.network.value = "deep"
    assert explorer.verdict == "partly"
    assert "<img" in explorer.pictures.value


def test_the_alt_text_says_what_the_picture_shows(explorer: VerdictExplorer) -> None:
    intervals, counts = re.findall(r'alt="([^"]+)"', html.unescape(explorer.pictures.value))
    assert explorer.setting in intervals
    assert explorer.summary in counts
    assert explorer.setting in explorer.figure().alt


def test_each_line_is_named(explorer: VerdictExplorer) -> None:
    (legend,) = [ax.get_legend() for ax in explorer.figure().axes if ax.get_legend()]
    assert [text.get_text() for text in legend.get_texts()] == [*JUDGED, "shown"]


@pytest.mark.slow
def test_the_figure_shows_the_intervals_on_one_scale(explorer: VerdictExplorer) -> None:
    limits = set()
    for explorer.network.value in ("deep", "shallow"):
        left = explorer.figure().axes[0]
        limits.add(left.get_xlim())
        drawn = [line.get_xdata()[0] for line in left.lines if len(line.get_xdata()) == 1]
        row = explorer.row
        assert row is not None
        assert drawn == [row.difference, row.positive, row.signed]
    assert len(limits) == 1


def test_start_values_and_mistakes(summary: pd.DataFrame) -> None:
    explorer = VerdictExplorer(summary, check="parameters", threshold=0.8)
    assert "parameters check of the logit, deep, alike above 0.80" in repr(explorer)
    only_signed = rows()[rows().handling == "signed"]
    with pytest.raises(ValueError, match="No claim can be judged"):
        VerdictExplorer(summarize(only_signed))


def test_it_takes_the_summary_that_comes_with_the_course() -> None:
    from posgrad_edu.study import read_summary

    path = Path(__file__).parents[2] / "docs" / "verdicts.csv"
    explorer = VerdictExplorer(read_summary(path), version="lrp, positive", network="scenes")
    assert len(explorer.table) == 108  # 54 of contrasts, 54 of logits
    assert sum(explorer.counts.values()) == 36
    assert explorer.verdict == "disagrees"
    explorer.contrast.value = "logit"
    assert explorer.verdict == "agrees"
