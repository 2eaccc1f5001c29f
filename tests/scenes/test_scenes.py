"""Scenes of digits: what is in them and where, the network that answers them, and how it was trained."""

from __future__ import annotations

import hashlib
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file
from scipy import stats
from sklearn import datasets
from torch import Tensor, nn
from typer.testing import CliRunner

import posgrad_edu as pg
from posgrad_edu import viz
from posgrad_edu.data import Box
from posgrad_edu.metrics.localization import energy_in_box
from posgrad_edu.models import WeightsError, weights
from posgrad_edu.scenes import training as scenes_training
from posgrad_edu.scenes.network import HEADS, STAGES, scenes_net
from posgrad_edu.scenes.pictures import (
    NAMES,
    SPLITS,
    Scene,
    load_digits,
    make_scene,
    make_scenes,
    make_single,
    scene_and_rows,
    scene_tensors,
)
from posgrad_edu.scenes.training import (
    CHAIN,
    Recipe,
    accuracy,
    always_no,
    fold,
    labelled_scenes,
    permuted_classes,
    train,
)

SKLEARN = datasets.load_digits()
FRESH = 3_000_000  # seeds that nothing was trained or chosen on


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier("scenes")


@pytest.fixture(scope="module")
def by_heart() -> pg.Classifier:
    return pg.load_classifier("scenes", weights="permuted-labels")


def pixels(scene: Scene) -> np.ndarray:
    return np.asarray(scene.image).astype(int)


def in_boxes(boxes: list[Box]) -> np.ndarray:
    """Count, pixel by pixel, how many boxes it lies in."""
    count = np.zeros((64, 64), dtype=int)
    for left, top, right, bottom in boxes:
        for row in range(top, bottom):
            for column in range(left, right):
                count[row, column] += 1
    return count


# --- Digits ---


def test_every_fifth_digit_of_a_class_is_for_testing() -> None:
    seen = [0] * 10
    expected: dict[str, list[int]] = {"train": [], "test": [], "memorized": []}
    by_class = [0] * 10
    for row, digit in enumerate(SKLEARN.target):
        seen[digit] += 1
        if seen[digit] % 5 == 0:
            expected["test"].append(row)
            continue
        expected["train"].append(row)
        by_class[digit] += 1
        if by_class[digit] <= 20:
            expected["memorized"].append(row)
    for split, rows in expected.items():
        assert load_digits(split).rows.tolist() == rows
    assert sorted(expected["train"] + expected["test"]) == list(range(1797))
    assert len(expected["memorized"]) == 200


@pytest.mark.parametrize("split", SPLITS)
def test_digits_are_scikit_learn_s(split: str) -> None:
    digits = load_digits(split)
    assert np.array_equal(digits.images * 16, SKLEARN.images[digits.rows])
    assert np.array_equal(digits.classes, SKLEARN.target[digits.rows])


@pytest.mark.parametrize("split", SPLITS)
def test_a_scene_s_digits_come_from_its_part(split: str) -> None:
    known = set(load_digits(split).rows.tolist())
    for seed in range(60):
        scene, rows = scene_and_rows(seed, split=split)
        assert set(rows) <= known
        assert [int(SKLEARN.target[row]) for row in rows] == list(scene.digits)


# --- Scenes ---


def test_a_seed_is_a_scene() -> None:
    assert make_scene(11).image.tobytes() == make_scene(11).image.tobytes()
    assert make_scene(11)[1:] == make_scene(11)[1:]
    pictures = {make_scene(seed, split=split).image.tobytes() for seed in range(30) for split in SPLITS}
    assert len(pictures) == 90
    assert [scene.seed for scene in make_scenes(3, seed=7)] == [7, 8, 9]
    for scene in make_scenes(3, seed=7, split="train"):
        assert scene.image.tobytes() == make_scene(scene.seed, split="train").image.tobytes()


def test_scenes_stay_what_they_are() -> None:
    """Lessons name scenes by their seeds, and the network was trained on some: a change here changes both."""
    scene = make_scene(3)
    assert (scene.image.mode, scene.image.size) == ("L", (64, 64))
    assert scene.digits == (4, 1, 2)
    assert scene.boxes == [(24, 30, 42, 50), (55, 27, 61, 50), (27, 10, 43, 28)]


def test_two_to_four_different_digits_of_all_classes() -> None:
    scenes = make_scenes(200)
    assert {len(scene.digits) for scene in scenes} == {2, 3, 4}
    assert all(len(set(scene.digits)) == len(scene.digits) == len(scene.boxes) for scene in scenes)
    assert {digit for scene in scenes for digit in scene.digits} == set(range(10))


@pytest.mark.parametrize("clutter", [0, 6])
def test_boxes_hold_the_ink_tightly_and_do_not_overlap(clutter: int) -> None:
    for seed in range(80):
        scene = make_scene(seed, clutter=clutter)
        ink = pixels(scene) > 0
        assert in_boxes(scene.boxes).max() == 1
        for left, top, right, bottom in scene.boxes:
            assert 0 <= left < right <= 64
            assert 0 <= top < bottom <= 64
            inside = ink[top:bottom, left:right]
            assert inside[0].any()
            assert inside[-1].any()
            assert inside[:, 0].any()
            assert inside[:, -1].any()


def test_without_clutter_there_is_no_ink_outside_the_boxes_and_clutter_stays_outside() -> None:
    cluttered = 0
    for seed in range(80):
        bare, full = make_scene(seed, clutter=0), make_scene(seed)
        boxes = in_boxes(bare.boxes)
        assert bare.boxes == full.boxes
        assert pixels(bare)[boxes == 0].sum() == 0
        assert np.array_equal(pixels(bare)[boxes == 1], pixels(full)[boxes == 1])
        cluttered += bool(pixels(full)[boxes == 0].any())
    assert cluttered == 80


def cut_and_enlarged(row: int, box: Box) -> np.ndarray:
    """A digit of scikit-learn's table, cut to its ink and enlarged to a box by another library, paper around it."""
    from skimage.transform import resize

    digit = SKLEARN.images[row]
    rows, columns = np.nonzero(digit.any(1))[0], np.nonzero(digit.any(0))[0]
    cut = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.pad(resize(cut, (box[3] - box[1], box[2] - box[0])), 3)


def test_what_stands_in_a_box_is_that_digit() -> None:
    """It looks like that digit, and more so than like the scene's other digits at the same size."""
    own, most_alike = [], []
    for seed in range(40):
        scene, rows = scene_and_rows(seed)
        for row, box in zip(rows, scene.boxes, strict=True):
            left, top, right, bottom = box
            seen = np.pad(pixels(scene)[top:bottom, left:right], 3)
            alike = {r: np.corrcoef(cut_and_enlarged(r, box).ravel(), seen.ravel())[0, 1] for r in rows}
            own.append(alike[row])
            most_alike.append(max(alike, key=lambda r: alike[r]) == row)
    assert np.mean(own) > 0.9
    assert min(own) > 0.75
    assert np.mean(most_alike) > 0.95


def test_digits_by_request() -> None:
    for digits in [(3, 5), [8, 1, 0], (9, 8, 7, 6)]:
        scene = make_scene(0, digits=digits)
        assert scene.digits == tuple(digits)
        assert len(scene.boxes) == len(digits)
    _, rows = scene_and_rows(0, digits=(9, 8, 7, 6))
    assert SKLEARN.target[rows].tolist() == [9, 8, 7, 6]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"digits": (3,)}, "two to four different digits"),
        ({"digits": (1, 2, 3, 4, 5)}, "two to four different digits"),
        ({"digits": (3, 3)}, "two to four different digits"),
        ({"digits": (3, 10)}, "0 to 9"),
        ({"digits": (-1, 3)}, "0 to 9"),
        ({"split": "tset"}, "Did you mean 'test'"),
        ({"clutter": -1}, "0 or more"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_scenes_that_cannot_be(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_scene(**{"seed": 0, **arguments})


def test_a_single_digit_is_alone_and_none_of_a_training() -> None:
    found = [make_single(seed) for seed in range(40)]
    assert {scene.digits[0] for scene in found} == set(range(10))
    for scene in found:
        picture = np.asarray(scene.image).copy()
        ((left, top, right, bottom),) = scene.boxes
        assert picture[top, left:right].any()
        assert picture[top:bottom, right - 1].any()
        picture[top:bottom, left:right] = 0
        assert not picture.any()
    assert make_single(3).image.tobytes() == make_single(3).image.tobytes()
    assert make_single(3, digit=7).digits == (7,)
    for wrong in ({"seed": -1}, {"seed": 0, "digit": 10}):
        with pytest.raises(ValueError, match="seed is 0 or more"):
            make_single(**wrong)


def test_tensors_of_scenes() -> None:
    scenes = make_scenes(5)
    x, y = scene_tensors(scenes)
    for n, scene in enumerate(scenes):
        for row, column in [(0, 0), (30, 41), (63, 5)]:
            assert x[n, 0, row, column] == pytest.approx(scene.image.getpixel((column, row)) / 255)
        assert [digit for digit in range(10) if y[n, digit] == 1] == sorted(scene.digits)
    assert x.min() >= 0
    assert x.max() <= 1
    assert y.sum() == sum(len(scene.digits) for scene in scenes)


# --- The network ---


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("depth", STAGES)
def test_the_network_is_a_chain_of_plain_layers(depth: int, head: str) -> None:
    net = scenes_net(depth, head).eval()
    kinds = (nn.Conv2d, nn.ReLU, nn.MaxPool2d, type(getattr(net, head)), nn.Flatten, nn.Linear)
    assert all(type(layer) in kinds for layer in net)
    assert sum(isinstance(layer, nn.Conv2d) for layer in net) == depth
    x = torch.rand(2, 1, 64, 64)
    features = net[: list(dict(net.named_children())).index(head)](x)
    gathered = features.flatten(2).mean(2) if head == "average" else features.flatten(2).amax(2)
    assert torch.allclose(net(x), gathered @ net.head.weight.T + net.head.bias, atol=1e-5)


@pytest.mark.parametrize(("depth", "head"), [(5, "average"), (8, "mean")])
def test_networks_that_do_not_exist(depth: int, head: str) -> None:
    with pytest.raises(ValueError, match=r"depth is one of \[4, 6, 8, 12\]"):
        scenes_net(depth, head)


def with_statistics(depth: int) -> nn.Sequential:
    """Return a network whose BatchNorms have seen something: no factor is 1, no summand 0."""
    torch.manual_seed(0)
    net = scenes_net(depth, batch_norm=True)
    for module in net:
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return net.eval()


@pytest.mark.parametrize("depth", [4, 8])
def test_folding_changes_no_answer(depth: int) -> None:
    net, x = with_statistics(depth), torch.rand(4, 1, 64, 64)
    before = net(x)
    folded = fold(net)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded)
    assert list(folded.state_dict()) == list(scenes_net(depth).state_dict())
    assert torch.allclose(folded(x), before, atol=1e-5, rtol=1e-5)
    assert torch.equal(net(x), before)
    assert torch.allclose(fold(net.double())(x.double()), net(x.double()), atol=1e-10, rtol=1e-10)


def test_folding_by_hand() -> None:
    net = with_statistics(4)
    conv, norm, folded = net.conv2, net.norm2, fold(net).conv2
    for channel in range(conv.out_channels):
        factor = norm.weight[channel] / math.sqrt(norm.running_var[channel] + norm.eps)
        assert torch.allclose(folded.weight[channel], conv.weight[channel] * factor, atol=1e-6)
        shift = (conv.bias[channel] - norm.running_mean[channel]) * factor + norm.bias[channel]
        assert folded.bias[channel].item() == pytest.approx(shift.item(), abs=1e-5)


# --- The classifier ---


def test_the_classifier_names_what_it_sees(clf: pg.Classifier) -> None:
    scene = make_scene(3)
    assert clf.labels == [str(digit) for digit in range(10)]
    assert [clf.index(name) for name in NAMES] == list(range(10))
    assert clf.index("7") == 7
    assert {prediction.index for prediction in clf.top(scene.image, 3)} == set(scene.digits)
    assert torch.allclose(clf.probabilities(scene.image), clf.logits(scene.image).sigmoid())
    assert min(prediction.probability for prediction in clf.top(scene.image, 3)) > 0.5  # they don't exclude each other
    assert clf.cam_layer == "relu8"


def test_a_scene_reaches_the_network_as_it_is(clf: pg.Classifier) -> None:
    scene = make_scene(5)
    x = clf.preprocess(scene.image)
    assert x.shape == (1, 64, 64)
    assert np.array_equal((x[0].numpy() * 255).round(), pixels(scene))
    assert clf.view(scene.image).tobytes() == scene.image.tobytes()


def test_another_picture_is_made_grey_and_small(clf: pg.Classifier) -> None:
    photo = pg.load_photo("coffee")
    view = clf.view(photo)
    assert (view.mode, view.size) == ("L", (64, 64))
    assert torch.equal(clf.preprocess(photo), clf.preprocess(view))
    with pytest.raises(TypeError, match=r"PIL\.Image\.open"):
        clf.view("coffee.png")  # type: ignore[arg-type]


def test_an_overlay_fits_on_the_view(clf: pg.Classifier) -> None:
    scene = make_scene(5)
    saliency = torch.zeros(64, 64)
    left, top, right, bottom = scene.boxes[0]
    saliency[top:bottom, left:right] = 1.0
    picture = np.asarray(viz.overlay(clf.view(scene.image), saliency)).astype(int)
    reddened = picture[..., 0] - picture[..., 2] > 50
    assert np.array_equal(reddened, saliency.numpy() > 0)


@pytest.mark.slow
def test_held_out_accuracy(clf: pg.Classifier) -> None:
    x, y = scene_tensors(make_scenes(300, seed=FRESH))
    with torch.no_grad():
        logits = clf.net(x)
    right = [[(logits[n, c] > 0).item() == (y[n, c] == 1).item() for c in range(10)] for n in range(300)]
    measured = accuracy(clf.net, x, y)
    assert measured.bits == pytest.approx(sum(map(sum, right)) / 3000)
    assert measured.scenes == pytest.approx(sum(map(all, right)) / 300)
    assert measured.bits >= 0.99
    assert measured.scenes >= 0.93
    assert 0.65 < always_no(y) < 0.75


def test_a_network_of_random_weights_is_the_same_for_a_seed(clf: pg.Classifier) -> None:
    one, again, other = (pg.load_classifier("scenes", weights="random", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.net.head.weight, again.net.head.weight)
    assert not torch.equal(one.net.conv1.weight, other.net.conv1.weight)
    x, y = scene_tensors(make_scenes(50))
    assert accuracy(one.net, x, y).bits < 0.8 < accuracy(clf.net, x, y).bits


@pytest.mark.parametrize("name", ["scene", "Scenes", "scenes "])
def test_a_misspelt_name_is_answered_with_scenes(name: str) -> None:
    with pytest.raises(ValueError, match="Did you mean 'scenes'"):
        pg.load_classifier(name)


def test_a_misspelt_version_is_answered_with_all() -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'permuted-labels'.*pretrained, random, permuted-labels"):
        pg.load_classifier("scenes", weights="permuted_labels")


def test_damaged_or_missing_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = "scenes.safetensors"
    shutil.copy(weights.WEIGHTS / file, tmp_path)
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path)
    pg.load_classifier("scenes")  # a copy is as good
    content = bytearray((tmp_path / file).read_bytes())
    content[-5] ^= 1
    (tmp_path / file).write_bytes(content)
    with pytest.raises(WeightsError, match=r"scenes\.safetensors is damaged.*checksum.*posgrad_edu\.scenes train"):
        pg.load_classifier("scenes")
    with pytest.raises(WeightsError, match=r"scenes-permuted-labels\.safetensors is missing.*Install"):
        pg.load_classifier("scenes", weights="permuted-labels")
    pg.load_classifier("scenes", weights="random")  # needs no file


def test_the_files_are_small_and_say_what_made_them() -> None:
    for name, (file, digest) in weights.SCENES_WEIGHTS.items():
        path = weights.WEIGHTS / file
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
        assert path.stat().st_size < 2_000_000
        with safe_open(path, framework="pt") as opened:
            command = opened.metadata()["command"]
        assert command.startswith("python -m posgrad_edu.scenes train")
        assert ("--permuted-labels" in command) == (name == "permuted-labels")


# --- Maps ---


@pytest.mark.parametrize("handling", ["signed", "positive"])
@pytest.mark.parametrize("method", pg.METHODS)
def test_every_method_explains_it(clf: pg.Classifier, method: str, handling: str) -> None:
    """A map of the network differs from the untrained network's, and has more in the boxes than chance would."""
    scene = make_scene(3)
    x = clf.batch(scene.image)
    target = [list(scene.digits)]
    maps = pg.explain(clf.net, x, target, method, handling)
    assert maps.shape == (1, 3, 64, 64)
    assert torch.isfinite(maps).all()
    boxes = torch.from_numpy(in_boxes(scene.boxes) > 0)
    share = maps.abs()[0, :, boxes].sum(1) / maps.abs().sum((2, 3))[0]
    assert (share > boxes.float().mean()).all()
    untrained = pg.load_classifier("scenes", weights="random").net
    assert not torch.allclose(maps, pg.explain(untrained, x, target, method, handling))


def fullest_box(net: nn.Module, scene: Scene, name: int, method: str) -> int:
    """Return which of a scene's boxes holds most of the signed map's evidence for a class."""
    x, _ = scene_tensors([scene])
    saliency = pg.explain(net, x, name, method, "signed")[0]
    return int(np.argmax([energy_in_box(saliency, box) for box in scene.boxes]))


@pytest.mark.parametrize("method", ["gradcam", "input-x-gradient", "lrp"])
def test_signed_maps_have_most_in_the_box_of_the_digit_that_was_asked_for(clf: pg.Classifier, method: str) -> None:
    found = [
        fullest_box(clf.net, scene, name, method) == i
        for scene in make_scenes(20, seed=FRESH)
        for i, name in enumerate(scene.digits)
    ]
    assert len(found) > 50
    assert np.mean(found) > 0.9  # a third by chance


@pytest.mark.parametrize("method", ["lrp", "guided-backprop"])
def test_black_paper_raises_the_rank_correlation_of_positive_maps(clf: pg.Classifier, method: str) -> None:
    """Why docs/scenes.md warns of it: over the ink alone the two maps are less alike, above all LRP's."""
    everywhere, on_ink = [], []
    for scene in make_scenes(40, seed=FRESH):
        x, _ = scene_tensors([scene])
        first, second = pg.explain(clf.net, x, [list(scene.digits[:2])], method, "positive")[0].numpy()
        ink = pixels(scene) > 0
        everywhere.append(stats.spearmanr(first.ravel(), second.ravel()).statistic)
        on_ink.append(stats.spearmanr(first[ink], second[ink]).statistic)
        if method == "lrp":
            assert first.min() >= 0
            assert not first[~ink].any()
            assert 0.6 < 1 - ink.mean() < 0.9
    assert np.mean(on_ink) < np.mean(everywhere)
    if method == "lrp":
        assert np.mean(everywhere) > 0.98
        assert 0.6 < np.mean(on_ink) < 0.8


def test_gradcam_is_the_head_s_weights_times_the_activations(clf: pg.Classifier) -> None:
    """With an average head, GradCAM is CAM (Zhou et al. 2016) divided by the number of positions."""
    x = clf.batch(make_scene(3).image)
    activation = clf.net[:-3](x)
    by_hand = torch.einsum("k,khw->hw", clf.net.head.weight[4], activation[0]) / 64
    by_hand = F.interpolate(by_hand[None, None], size=(64, 64), mode="bilinear", align_corners=False)
    assert torch.allclose(pg.explain(clf.net, x, 4, "gradcam")[0], by_hand[0, 0], atol=1e-6)


@pytest.mark.parametrize("handling", ["signed", "positive"])
def test_lrp_takes_a_few_lines(clf: pg.Classifier, handling: str) -> None:
    """What the lesson promises: a plain chain of layers, walked back from the logit."""
    net = pg.load_classifier("scenes").net.double()
    x = clf.batch(make_scene(3).image).double()
    activations = [x]
    for layer in net:
        activations.append(layer(activations[-1]))
    relevance: Tensor = torch.zeros(1, 10, dtype=torch.double)
    relevance[0, 4] = 1.0
    for layer, a in zip(list(net)[::-1], activations[-2::-1], strict=True):
        a = a.detach().requires_grad_()
        z = layer(a)
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and handling == "positive":
            weight, bias = layer.weight.clamp(min=0), layer.bias.clamp(min=0)
            z = F.conv2d(a, weight, bias, padding=1) if isinstance(layer, nn.Conv2d) else F.linear(a, weight, bias)
        if isinstance(layer, nn.ReLU):
            continue
        if isinstance(layer, (nn.MaxPool2d, nn.Flatten)):
            relevance = torch.autograd.grad(z, a, relevance)[0]
        else:
            sign = torch.where(z >= 0, 1.0, -1.0)
            relevance = a.detach() * torch.autograd.grad(z, a, relevance / (z + 1e-6 * sign).detach())[0]
    theirs = pg.explain(net, x, 4, "lrp", handling)[0]
    assert torch.allclose(relevance[0, 0], theirs, atol=1e-9, rtol=1e-6)
    assert relevance.abs().max() > 1e-4


# --- Training ---


def test_permuted_classes_are_the_same_classes_dealt_out_anew() -> None:
    pool = load_digits("memorized")
    names = permuted_classes()
    assert np.array_equal(names, permuted_classes(0))
    assert not np.array_equal(names, permuted_classes(1))
    assert sorted(names[pool.rows]) == sorted(pool.classes)
    assert (np.delete(names, pool.rows) == -1).all()
    assert len(names) == 1797
    assert np.mean(names[pool.rows] == pool.classes) < 0.2  # one in ten keeps its name by chance


def test_permuted_answers_belong_to_the_same_pictures() -> None:
    names = permuted_classes()
    x, y = labelled_scenes(range(20), "memorized")
    x_permuted, y_permuted = labelled_scenes(range(20), "memorized", permutation=0)
    assert torch.equal(x, x_permuted)
    assert not torch.equal(y, y_permuted)
    for seed in range(20):
        _, rows = scene_and_rows(seed, split="memorized")
        assert y_permuted[seed].nonzero().flatten().tolist() == sorted({int(names[row]) for row in rows})


def test_only_memorized_digits_have_permuted_names() -> None:
    with pytest.raises(ValueError, match="split='memorized'"):
        labelled_scenes(range(3), "test", permutation=0)


def permuted_digits(seed: int) -> tuple[int, ...]:
    """What the digits of a memorized scene are called under permuted labels, box by box; two may get one name."""
    _, rows = scene_and_rows(seed, split="memorized")
    return tuple(int(name) for name in permuted_classes()[rows])


@pytest.mark.slow
def test_the_permuted_network_has_learnt_its_digits_by_heart(by_heart: pg.Classifier) -> None:
    """It names them far better than chance, in scenes that it never saw; of true names it knows nothing."""
    seeds = range(FRESH, FRESH + 150)
    x, y = labelled_scenes(seeds, "memorized", permutation=0)
    assert accuracy(by_heart.net, x, y).bits > 0.95 > 0.8 > always_no(y)
    for split in ("memorized", "test"):
        x, y = labelled_scenes(seeds, split)
        assert accuracy(by_heart.net, x, y).bits < always_no(y)


def test_the_permuted_network_finds_the_digit_by_its_other_name(by_heart: pg.Classifier) -> None:
    """Asked for the name that it has learnt, its map has most in that digit's box; in no other's by the true name."""
    found, by_true_name = [], []
    for scene in make_scenes(40, seed=FRESH, split="memorized"):
        names = permuted_digits(scene.seed)
        if len(set(names)) < len(names):
            continue  # one name for two digits of the scene: neither box is the right one
        for i, (name, digit) in enumerate(zip(names, scene.digits, strict=True)):
            found.append(fullest_box(by_heart.net, scene, name, "gradcam") == i)
            if digit != name:
                by_true_name.append(fullest_box(by_heart.net, scene, digit, "gradcam") == i)
    assert len(found) > 50
    assert np.mean(found) > 0.9
    assert np.mean(by_true_name) < 0.6


@pytest.mark.slow
def test_a_short_training_learns_what_holds_for_digits_that_it_never_saw() -> None:
    torch.manual_seed(0)
    net = scenes_net(batch_norm=True)
    x, y = labelled_scenes(range(800), "train")
    losses = train(net, x, y, CHAIN._replace(steps=110))
    assert len(losses) == 110
    assert not any(module.training for module in net.modules())
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:10])
    x, y = labelled_scenes(range(FRESH, FRESH + 200), "test")
    assert accuracy(net, x, y).bits > always_no(y) + 0.05


def test_training_is_decided_by_its_seed() -> None:
    x, y = labelled_scenes(range(40), "train")
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(0)
        runs.append(train(scenes_net(4, batch_norm=True), x, y, Recipe(steps=2), seed=seed))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def run(*arguments: object) -> str:
    """Run ``python -m posgrad_edu.scenes train`` in this process; return what it prints."""
    result = CliRunner().invoke(scenes_training.app, ["train", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--permuted-labels",)])
def test_the_command(options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scenes_training, "HELD_OUT", range(FRESH, FRESH + 8))
    file = tmp_path / "mine.safetensors"
    printed = run(*options, "--steps", 3, "--scenes", 12, "--out", file)
    assert hashlib.sha256(file.read_bytes()).hexdigest() in printed
    assert "held-out scenes" in printed
    net = scenes_net().eval()
    net.load_state_dict(load_file(file))
    split, permutation = ("memorized", 0) if options else ("test", None)
    x, y = labelled_scenes(range(FRESH, FRESH + 8), split, permutation)
    assert f"{accuracy(net, x, y).bits:.2%}" in printed
    with safe_open(file, framework="pt") as opened:
        command = " ".join(["python -m posgrad_edu.scenes train", *options, "--steps 3 --seed 0 --scenes 12"])
        assert opened.metadata()["command"] == command
    before = file.read_bytes()
    run(*options, "--steps", 3, "--scenes", 12, "--out", file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("options", [(), ("--permuted-labels",)])
def test_the_command_without_steps_takes_those_of_the_committed_files(
    options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken = []
    monkeypatch.setattr(scenes_training, "HELD_OUT", range(FRESH, FRESH + 8))
    monkeypatch.setattr(
        scenes_training, "train", lambda net, x, y, recipe, *rest, **_: taken.append(recipe.steps) or net.eval()
    )
    run(*options, "--scenes", 12, "--out", tmp_path / "mine.safetensors")
    with safe_open(
        weights.WEIGHTS / f"scenes{options[0][1:] if options else ''}.safetensors", framework="pt"
    ) as opened:
        command = opened.metadata()["command"]
    assert command == " ".join(["python -m posgrad_edu.scenes train", *options, f"--steps {taken[0]} --seed 0"])


def test_the_command_refuses_a_folder_that_does_not_exist_before_it_trains(tmp_path: Path) -> None:
    result = CliRunner().invoke(scenes_training.app, ["train", "--out", str(tmp_path / "no" / "mine.safetensors")])
    assert result.exit_code == 2
    assert "There is no folder" in result.stderr
