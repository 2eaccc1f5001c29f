"""What a study writes into its folder, from rows that cost nothing to make."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from posgrad_edu.study import summarize, verdict_table
from posgrad_edu.study.planning import Plan
from posgrad_edu.study.report import markdown_report
from posgrad_edu.study.results import write_results
from posgrad_edu.study.running import Failure, Outcome, StudyStopped
from posgrad_edu.study.schema import typed

FAILURE = Failure("scenes", "class", "torn.png", "the file is damaged")
PLAN = Plan([], {("scenes", "rectgrad"): "no rule for it"})


def rows() -> pd.DataFrame:
    """Return rows of both sanity tests on the network of scenes, of two photos, with both contrasts."""
    found = []
    for photo in ("a", "b"):
        for handling, value in (("signed", 0.1), ("positive", 0.9)):
            for contrast in ("logit", "mean"):
                row = {"network": "scenes", "photo": photo, "method": "gradcam", "handling": handling}
                row |= {"contrast": contrast, "target": 1, "spearman": value, "degenerate": False}
                found.append(row | {"check": "class", "comparison": "random", "other": 2})
                cascade = {"check": "parameters", "mode": "cascading", "layers": 2, "seed": 0}
                found += [row | cascade | {"depth": depth, "layer": str(depth)} for depth in (1, 2)]
    return typed(pd.DataFrame(found))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study")
    write_results(Outcome(rows(), [FAILURE], 6), PLAN, path)
    return path


def test_tables_hold_the_rows_their_means_and_verdicts(folder: Path) -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "rows.parquet"), rows())
    assert len(pd.read_csv(folder / "rows.csv")) == len(rows())
    assert len(pd.read_csv(folder / "summary.csv")) == len(summarize(rows()))
    verdicts = pd.read_csv(folder / "verdicts.csv")
    assert verdicts.verdict.tolist() == verdict_table(summarize(rows())).verdict.tolist()


def test_the_report_ends_with_what_no_table_says(folder: Path) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    report = markdown_report(summarize(rows()))
    assert text.startswith(report)
    rest = text.removeprefix(report)
    assert "What keeps its trained values" not in rest  # every layer of this network becomes random
    figures, missing = rest.split("## What couldn't be measured")
    assert "(figures/class-scenes.png)" in figures
    assert "(figures/parameters-scenes.png)" in figures
    assert "Rank correlation of the maps for two classes, most likely and random ones" in figures
    assert missing.strip().splitlines() == [
        "* torn.png (scenes, class): the file is damaged",
        "* rectgrad on scenes: no rule for it",
    ]
    assert sorted(path.name for path in (folder / "figures").iterdir()) == ["class-scenes.png", "parameters-scenes.png"]


@pytest.mark.slow
def test_nothing_is_said_of_what_is_not_missing(tmp_path: Path) -> None:
    write_results(Outcome(rows(), [], 6), Plan([], {}), tmp_path)
    assert "couldn't be measured" not in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_study_without_rows_says_why() -> None:
    with pytest.raises(StudyStopped, match=r"Nothing could be measured\. The first reason: the file is damaged"):
        write_results(Outcome(typed(pd.DataFrame()), [FAILURE], 0), PLAN, Path())
