"""docs/results.md: the paper's networks by the same command, here with stand-in weights, and the format of rows."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision.models as tv
from typer.testing import CliRunner

import posgrad_edu as pg
from posgrad_edu.cli.app import app
from posgrad_edu.study.schema import TYPES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "results.md"


def test_the_document_lists_every_column_with_its_type() -> None:
    kinds = {"text": "string", "integer": "Int64", "number": "Float64", "boolean": "boolean"}
    rows = re.findall(r"^\| ([\w, ]+) \| (text|integer|number|boolean) \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    said = {name: kinds[kind] for names, kind in rows for name in names.split(", ")}
    assert said == TYPES


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "weights", "checks"),
    [("vgg16", tv.VGG16_Weights, ["class"]), ("resnet50", tv.ResNet50_Weights, ["class", "parameters"])],
)
def test_the_papers_networks_are_measured_by_the_same_command(
    name: str, weights: type[tv.WeightsEnum], checks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "torch" / "checkpoints"
    cache.mkdir(parents=True)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(cache.parent))
    monkeypatch.setattr(weights.DEFAULT.value, "url", "https://nowhere.invalid/stand-in.pth")
    torch.save(tv.get_model(name, weights=None).state_dict(), cache / "stand-in.pth")
    photos = tmp_path / "photos"
    photos.mkdir()
    pg.load_photo("coffee").resize((80, 60)).save(photos / "coffee.png")
    few = [word for check in checks for word in ("--checks", check)]
    few += ["--methods", "gradcam", "--classes", "1", "--depths", "2", "--seeds", "1", "--limit", "1"]
    call = ["study", "--networks", name, "--images", str(photos), *few, "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    rows = pd.read_parquet(tmp_path / "out" / "rows.parquet")
    assert {*rows.network} == {name}
    assert {*rows.check} == {*checks}
    assert rows.spearman[~rows.degenerate].between(-1, 1).all()
