"""The audit of one method: its page, the words for its numbers, and which methods of ours its maps are like."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from torch import nn
from typer.testing import CliRunner

import posgrad_edu as pg
from posgrad_edu.cli import audit
from posgrad_edu.cli.app import app
from posgrad_edu.study import measuring, planning, summarize
from posgrad_edu.study.audit import QUESTIONS, audit_page, nearest, word

VALUES = {"mine": [0.8, 0.9, 0.85], "noise": [0.01, -0.02, 0.0], "edges": [1.0, 1.0, 1.0]}
CLASS, PLACE, COVER = QUESTIONS[0], QUESTIONS[4], QUESTIONS[5]


def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "network": "net",
            "check": "class",
            "photo": f"photo {n}",
            "method": method,
            "handling": "none",
            "contrast": contrast,
            "comparison": "random",
            "target": 0,
            "other": 1,
            "spearman": value if contrast == "logit" else -value,
            "degenerate": False,
        }
        for method, values in VALUES.items()
        for n, value in enumerate(values)
        for contrast in ("logit", "mean")
    )


def test_a_page_has_a_line_for_each_question_that_was_measured() -> None:
    page = audit_page("mine", summarize(rows()), [("gradcam, signed", 0.987), ("gradient, signed", 0.5)])
    lines = [line for line in page.splitlines() if line.startswith("| another class")]
    contrast, logit = lines  # the contrast first
    assert contrast.startswith(
        "| another class, drawn at random | contrast | −0.85 [−0.90, −0.80] | 0.00 | −1.00 | – |"
    )
    assert contrast.endswith("| depends on the class |")
    assert logit.startswith("| another class, drawn at random | logit | 0.85 [0.80, 0.90] | 0.00 | 1.00 | – |")
    assert logit.endswith("| **doesn't depend on the class** |")
    assert "most like: gradcam, signed 0.99, gradient, signed 0.50" in page


def test_a_method_that_was_not_measured_is_refused() -> None:
    with pytest.raises(ValueError, match=r"holds no other\. There are: edges, mine, noise"):
        audit_page("other", summarize(rows()))


def interval(score: str, low: float, high: float, area: float = 0.3) -> dict[str, Any]:
    return {f"{score}_low": low, f"{score}_high": high, "area": area}


@pytest.mark.parametrize(
    ("question", "score", "ends", "said"),
    [
        (CLASS, "spearman", (0.51, 0.9), "**doesn't depend on the class**"),
        (CLASS, "spearman", (0.1, 0.49), "depends on the class"),
        (CLASS, "spearman", (0.5, 0.9), "undecided"),
        (CLASS, "spearman", (0.1, 0.5), "undecided"),
        (CLASS, "spearman", (float("nan"), float("nan")), "undecided"),
        (PLACE, "energy", (0.31, 0.9), "points there"),
        (PLACE, "energy", (0.1, 0.29), "**points elsewhere**"),
        (PLACE, "energy", (0.2, 0.4), "undecided"),
        (COVER, "advantage", (0.01, 0.2), "knows more than another class's map"),
        (COVER, "advantage", (-0.2, -0.01), "**another class's map knows more**"),
        (COVER, "advantage", (-0.1, 0.1), "undecided"),
    ],
)
def test_words_follow_from_intervals(question: Any, score: str, ends: tuple[float, float], said: str) -> None:
    assert word(question, interval(score, *ends)) == said


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("captum:InputXGradient", "input-x-gradient, signed"), ("zennit:EpsilonPlus", "lrp, published")],
)
def test_the_nearest_method_of_ours_is_found(theirs: str, ours: str) -> None:
    label, score = nearest(theirs, pg.load_classifier("scenes"), [pg.scenes.make_scene(3).image])[0]
    assert label == ours
    assert score == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_the_command_prints_a_page(tmp_path: Path) -> None:
    call = ["audit", "captum:GuidedBackprop", "--networks", "scenes", "--limit", "2", "--out", str(tmp_path / "page")]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    assert "most like: guided-backprop, positive 1.00" in result.stdout
    assert len([line for line in result.stdout.splitlines() if line.startswith("| ")]) == 2 + 2 * len(QUESTIONS)
    assert (tmp_path / "page" / "audit.md").read_text(encoding="utf-8").strip() in result.stdout


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a network of one convolution, which looks at photos of 16 x 16 pixels."""
    conv, head = nn.Conv2d(3, 4, 3), nn.Sequential(nn.Flatten(), nn.Linear(4 * 14 * 14, 5))
    clf = pg.Classifier(nn.Sequential(conv, nn.ReLU(), head).eval(), pg.Preprocessing(size=16, resize=16))
    for module in (planning, measuring, audit):
        monkeypatch.setattr(module, "load_classifier", lambda *_, **__: clf)
    monkeypatch.setattr(audit, "nearest", lambda *_: [])
    measuring._classifier.cache_clear()
    yield "tiny"
    measuring._classifier.cache_clear()


def test_what_could_not_be_measured_is_said(tmp_path: Path, tiny: str) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    pg.load_photo("cat").resize((16, 16)).save(photos / "b.png")
    (photos / "a.png").write_bytes(b"no picture")
    call = ["audit", "gradient", "--networks", tiny, "--images", str(photos), "--out"]
    result = CliRunner().invoke(app, [*call, str(tmp_path / "page")])
    assert result.exit_code == 1, result.output
    assert "posgrad-edu: left out a.png (class): " in result.stderr
    assert result.stdout.startswith("# gradient")
    (photos / "b.png").unlink()
    nothing = CliRunner().invoke(app, [*call, str(tmp_path / "nothing")])
    assert nothing.exit_code == 1
    assert "posgrad-edu: Nothing could be measured. The first reason: " in nothing.stderr  # behind a progress bar


def test_the_command_refuses_what_does_not_exist() -> None:
    result = CliRunner().invoke(app, ["audit", "captum:Nothing"])
    assert result.exit_code == 2
    assert "no method of captum" in result.output
