"""The vision transformer of the scenes: what it computes, what it knows, how it was trained, and its maps."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from typer.testing import CliRunner

import posgrad_edu as pg
from posgrad_edu.methods import AttentionRollout, GradientRollout
from posgrad_edu.models import WeightsError, weights
from posgrad_edu.scenes import Scene, ScenesTransformer, make_scene, make_scenes, scene_tensors
from posgrad_edu.scenes import training as scenes_training
from posgrad_edu.scenes.network import TRANSFORMER_WEIGHTS
from posgrad_edu.scenes.training import TRANSFORMER, accuracy, always_no, labelled_scenes, rolled, train

NAME = "scenes-transformer"
FRESH = 3_000_000  # seeds that nothing was trained or chosen on


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier(NAME)


def test_the_network_is_pytorch_s_encoder_behind_three_convolutions() -> None:
    """The same tensors in nn.TransformerEncoderLayer give the same logits."""
    torch.manual_seed(0)
    net, x = ScenesTransformer().double().eval(), torch.rand(2, 1, 64, 64, dtype=torch.float64)
    nn.init.normal_(net.class_token)
    grid = net.stem(x)
    assert grid.shape == (2, 96, 8, 8)
    tokens = torch.cat([net.class_token.repeat(2, 1, 1), grid.reshape(2, 96, 64).permute(0, 2, 1)], 1) + net.position
    for block in net.blocks:
        theirs = nn.TransformerEncoderLayer(96, 4, 192, 0.0, "gelu", batch_first=True, norm_first=True).double().eval()
        theirs.load_state_dict(
            {
                "self_attn.in_proj_weight": block.attention.qkv.weight,
                "self_attn.in_proj_bias": block.attention.qkv.bias,
                "self_attn.out_proj.weight": block.attention.out.weight,
                "self_attn.out_proj.bias": block.attention.out.bias,
                "linear1.weight": block.mlp[0].weight,
                "linear1.bias": block.mlp[0].bias,
                "linear2.weight": block.mlp[2].weight,
                "linear2.bias": block.mlp[2].bias,
                "norm1.weight": block.norm1.weight,
                "norm1.bias": block.norm1.bias,
                "norm2.weight": block.norm2.weight,
                "norm2.bias": block.norm2.bias,
            }
        )
        tokens = theirs(tokens)
    assert len(net.blocks) == 6
    assert torch.allclose(net(x), net.head(net.norm(tokens)[:, 0]), atol=1e-12)


def test_a_token_sees_22_pixels_around_the_middle_of_its_cell() -> None:
    """What docs/attention.md says of the place of maps."""
    x = torch.ones(1, 1, 64, 64, dtype=torch.float64, requires_grad=True)
    grid = ScenesTransformer().double().stem(x)
    (grad,) = torch.autograd.grad(grid[0, :, 3, 4].pow(2).sum(), x)
    rows, columns = grad[0, 0].nonzero().unbind(1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (17, 38, 25, 46)
    assert (17 + 38) / 2 == 8 * 3 + 3.5
    assert (25 + 46) / 2 == 8 * 4 + 3.5


# --- The classifier ---


def test_the_classifier_names_what_it_sees(clf: pg.Classifier) -> None:
    assert clf.labels == [str(digit) for digit in range(10)]
    assert clf.index("seven") == 7
    assert clf.multilabel
    scenes = make_scenes(20, seed=FRESH)
    best = [{one.index for one in clf.top(scene.image, len(scene.digits))} for scene in scenes]
    assert sum(found == set(scene.digits) for found, scene in zip(best, scenes, strict=True)) > 12


@pytest.mark.slow
def test_held_out_accuracy(clf: pg.Classifier) -> None:
    x, y = scene_tensors(make_scenes(500, seed=FRESH))
    measured = accuracy(clf.net, x, y)
    assert measured.bits >= 0.95
    assert measured.scenes >= 0.6
    assert always_no(y) < 0.75


def test_a_network_of_random_weights_is_the_same_for_a_seed() -> None:
    one, again, other = (pg.load_classifier(NAME, weights="random", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.net.head.weight, again.net.head.weight)
    assert not torch.equal(one.net.head.weight, other.net.head.weight)


def test_versions_and_names_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="There are: pretrained, random"):
        pg.load_classifier(NAME, weights="permuted-labels")
    with pytest.raises(ValueError, match="Did you mean 'scenes-transformer'"):
        pg.load_classifier("scenes_transformer")


def test_the_file_is_small_says_what_made_it_and_is_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file, digest = TRANSFORMER_WEIGHTS["pretrained"]
    path = weights.WEIGHTS / file
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert path.stat().st_size < 3_000_000
    with safe_open(path, framework="pt") as opened:
        command = opened.metadata()["command"]
    assert command == f"python -m posgrad_edu.scenes train --transformer --steps {TRANSFORMER.steps} --seed 0"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    (tmp_path / file).write_bytes(content)
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path)
    with pytest.raises(WeightsError, match=r"scenes-transformer\.safetensors is damaged"):
        pg.load_classifier(NAME)


# --- Training ---


def test_rolling_moves_each_picture_around_its_edges() -> None:
    x = torch.rand(6, 2, 9, 12)
    moved = rolled(x, 3, torch.Generator().manual_seed(5))
    shifts = [
        [(d, r) for d in range(-3, 4) for r in range(-3, 4) if torch.equal(after, torch.roll(before, (d, r), (1, 2)))]
        for before, after in zip(x, moved, strict=True)
    ]
    assert all(len(found) == 1 for found in shifts)
    assert len({found[0] for found in shifts}) > 2


def two_kinds(start: int, n: int, split: str) -> tuple[Tensor, Tensor]:
    """Return scenes without clutter that hold a 0 and a 1, or a 7 and a 4; the whole task takes a thousand steps."""
    scenes = [make_scene(start + i, digits=((0, 1), (7, 4))[i % 2], split=split, clutter=0) for i in range(n)]
    return scene_tensors(scenes)


@pytest.mark.slow
def test_a_short_training_learns_what_holds_for_digits_that_it_never_saw() -> None:
    torch.manual_seed(0)
    net = ScenesTransformer(width=64, blocks=2)
    losses = train(net, *two_kinds(0, 600, "train"), TRANSFORMER._replace(steps=200, batch=32, roll=0))
    assert len(losses) == 200
    assert not any(module.training for module in net.modules())
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[60:80])
    # Who knows how often each digit comes, but not which one is there, gets 80 %.
    assert accuracy(net, *two_kinds(FRESH, 200, "test")).bits > 0.9


@pytest.mark.slow
def test_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scenes_training, "HELD_OUT", range(FRESH, FRESH + 8))
    file = tmp_path / "mine.safetensors"
    options = ["train", "--transformer", "--steps", "2", "--scenes", "12", "--out", str(file)]
    result = CliRunner().invoke(scenes_training.app, options)
    assert result.exit_code == 0, result.output
    before = file.read_bytes()
    assert hashlib.sha256(before).hexdigest() in result.stdout
    net = ScenesTransformer().eval()
    net.load_state_dict(load_file(file))
    x, y = labelled_scenes(range(FRESH, FRESH + 8))
    assert f"{accuracy(net, x, y).bits:.2%}" in result.stdout
    CliRunner().invoke(scenes_training.app, options)
    assert file.read_bytes() == before


def test_permuted_labels_are_not_for_the_transformer() -> None:
    result = CliRunner().invoke(scenes_training.app, ["train", "--transformer", "--permuted-labels"])
    assert result.exit_code == 2
    assert "Permuted labels are for the chain" in result.stderr


# --- Maps ---

ALONE = {f"gradient-rollout {h}": GradientRollout(h) for h in ("signed", "positive")} | {"rollout": AttentionRollout()}


@pytest.fixture(scope="module")
def scenes(clf: pg.Classifier) -> list[Scene]:
    """Twelve scenes that the network gets wholly right."""
    drawn = make_scenes(40, seed=FRESH)
    x, y = scene_tensors(drawn)
    right = ((clf.net(x) > 0) == (y > 0)).all(1).tolist()
    return [scene for scene, fine in zip(drawn, right, strict=True) if fine][:12]


@pytest.mark.slow
def test_rollout_is_one_map_for_all_classes_unlike_gradient_rollout(clf: pg.Classifier, scenes: list[Scene]) -> None:
    x, _ = scene_tensors(scenes)
    table = pg.class_sensitivity(clf.net, x, method=ALONE)
    means = table.groupby("method").spearman.mean()
    assert means["rollout"] == pytest.approx(1)
    assert means["gradient-rollout signed"] < means["gradient-rollout positive"] < 0.9


def test_gradient_rollout_lies_in_the_box_of_the_digit_that_was_asked_for(
    clf: pg.Classifier, scenes: list[Scene]
) -> None:
    x, _ = scene_tensors(scenes)
    boxes, digits = [scene.boxes[:2] for scene in scenes], [scene.digits[:2] for scene in scenes]
    means = (
        pg.localization(clf.net, x, boxes, digits, method=ALONE).groupby("method")[["energy", "energy_other"]].mean()
    )
    for label in ("gradient-rollout signed", "gradient-rollout positive"):
        assert means.energy[label] > 2 * means.energy_other[label]
    assert means.energy["rollout"] == pytest.approx(means.energy_other["rollout"], abs=0.1)


@pytest.mark.slow
def test_random_parameters_change_gradient_rollout(clf: pg.Classifier, scenes: list[Scene]) -> None:
    x, _ = scene_tensors(scenes[:4])
    table = pg.parameter_sensitivity(clf.net, x, method=ALONE, depths=[20], seeds=[0], progress=False)
    assert set(table.method) == set(ALONE)
    assert table.groupby("method").spearman.mean()["gradient-rollout signed"] < 0.4


def test_an_explanation_shows_it_over_the_scene(clf: pg.Classifier) -> None:
    scene = make_scene(3)
    found = clf.explain(scene.image, scene.digits[0], method="gradient-rollout", handling="signed")
    assert (found.method, found.handling, found.fine) == ("gradient-rollout", "signed", False)
    assert torch.equal(
        found.map, pg.explain(clf.net, clf.batch(scene.image), scene.digits[0], "gradient-rollout", "signed")[0]
    )


def test_a_cam_has_no_place_in_it(clf: pg.Classifier) -> None:
    with pytest.raises(ValueError, match="goes on with tokens"):
        pg.explain(clf.net, clf.batch(make_scene(3).image), 4, "gradcam")
