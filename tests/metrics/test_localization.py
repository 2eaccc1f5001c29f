"""Localization: each number against loops over pixels and against Quantus, and the table against both."""

from __future__ import annotations

import math

import networks as nets
import numpy as np
import pandas as pd
import pytest
import quantus
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.data import Box
from posgrad_edu.methods import CONTROLS, METHODS, resolve
from posgrad_edu.metrics.localization import energy_in_box, inside, localization, pointing_game
from posgrad_edu.scenes import make_scenes

generator = torch.Generator().manual_seed(0)
MAPS = torch.randn(5, 12, 20, generator=generator, dtype=torch.float64)  # not square: rows and columns can't swap
BOXES = [(0, 0, 20, 12), (0, 0, 1, 1), (3, 2, 9, 11), (12, 0, 20, 5), (19, 11, 20, 12)]
each_box = pytest.mark.parametrize("box", BOXES)


# --- The definitions, spelled out ---


def is_inside(box: Box, row: int, column: int) -> bool:
    left, top, right, bottom = box
    return left <= column < right and top <= row < bottom


def energy_by_hand(values: list[list[float]], *boxes: Box, unless: Box | None = None) -> float:
    within = total = 0.0
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            if value > 0:
                total += value
                left_out = unless is not None and is_inside(unless, row, column)
                if not left_out and any(is_inside(box, row, column) for box in boxes):
                    within += value
    return within / total


def hit_by_hand(values: list[list[float]], box: Box) -> float:
    largest = max(value for line in values for value in line)
    places = [(r, c) for r, line in enumerate(values) for c, value in enumerate(line) if value == largest]
    return sum(is_inside(box, r, c) for r, c in places) / len(places)


def quantus_says(metric: quantus.Metric, maps: Tensor, boxes: list[Box]) -> list[float]:
    """Return the metric's score of each map (N, H, W) with the box (N) as its segmentation."""
    masks = np.zeros((len(maps), 1, *maps.shape[1:]), dtype=bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[0, top:bottom, left:right] = True
    pictures = np.zeros((len(maps), 3, *maps.shape[1:]))
    attributions = maps.unsqueeze(1).numpy()
    return metric(
        model=nets.make("plain")[0],
        x_batch=pictures,
        y_batch=np.zeros(len(maps), dtype=int),
        a_batch=attributions,
        s_batch=masks,
        softmax=False,
    )


SILENT = {"disable_warnings": True, "display_progressbar": False}


# --- Energy in the box ---


@each_box
def test_energy_by_hand(box: Box) -> None:
    for saliency in MAPS:
        assert energy_in_box(saliency, box) == pytest.approx(energy_by_hand(saliency.tolist(), box), abs=1e-12)
        magnitudes = energy_by_hand(saliency.abs().tolist(), box)
        assert energy_in_box(saliency.abs(), box) == pytest.approx(magnitudes, abs=1e-12)


@pytest.mark.parametrize("normalize", [False, True])
def test_energy_is_quantus_s_relevance_mass_of_the_positive_part(normalize: bool) -> None:
    """Dividing a map by its largest magnitude, as Quantus does by default, changes no share."""
    metric = quantus.RelevanceMassAccuracy(abs=False, normalise=normalize, **SILENT)
    theirs = quantus_says(metric, MAPS.clamp(min=0), BOXES)
    assert [energy_in_box(m, box) for m, box in zip(MAPS, BOXES, strict=True)] == pytest.approx(theirs, abs=1e-12)


def test_energy_of_magnitudes_is_quantus_s_relevance_mass_with_abs() -> None:
    theirs = quantus_says(quantus.RelevanceMassAccuracy(abs=True, normalise=False, **SILENT), MAPS, BOXES)
    assert [energy_in_box(m.abs(), box) for m, box in zip(MAPS, BOXES, strict=True)] == pytest.approx(theirs, abs=1e-12)


def test_quantus_s_relevance_mass_of_a_signed_map_is_no_share() -> None:
    """It divides by the sum of evidence for and against, which can be anything: hence the positive part, here."""
    saliency = torch.zeros(4, 5, dtype=torch.float64)
    saliency[:2, :2] = torch.tensor([[3.0, 1.0], [-2.0, -1.0]])
    top, left = (0, 0, 5, 1), (0, 0, 1, 4)
    metric = quantus.RelevanceMassAccuracy(abs=False, normalise=False, **SILENT)
    assert quantus_says(metric, saliency[None], [top]) == pytest.approx([4.0])
    assert energy_in_box(saliency, top) == 1
    assert energy_in_box(saliency, left) == 0.75
    assert energy_in_box(saliency.abs(), left) == pytest.approx(5 / 7)


def test_energy_of_a_map_that_fills_the_box_is_quantus_s_relevance_rank() -> None:
    """Where a map is positive in as many pixels as the box has, and equally, both count the pixels they share."""
    saliency = torch.zeros(1, 12, 20, dtype=torch.float64)
    saliency[0, 4:10, 5:9] = 1
    box = (3, 2, 7, 8)
    theirs = quantus_says(quantus.RelevanceRankAccuracy(abs=False, normalise=False, **SILENT), saliency, [box])
    assert theirs == pytest.approx([2 * 4 / 24])
    assert energy_in_box(saliency[0], box) == pytest.approx(2 * 4 / 24)


@pytest.mark.parametrize("saliency", [torch.zeros(4, 4), -torch.ones(4, 4), torch.full((4, 4), math.nan)])
def test_without_positive_evidence_there_is_no_energy(saliency: Tensor) -> None:
    assert math.isnan(energy_in_box(saliency, (0, 0, 2, 2)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_isn_t_finite_leaves_nothing_to_share(value: float) -> None:
    saliency = torch.ones(4, 4)
    saliency[3, 3] = value
    assert math.isnan(energy_in_box(saliency, (0, 0, 2, 2)))
    assert math.isnan(pointing_game(saliency, (0, 0, 2, 2)))


def test_large_maps_of_low_precision_don_t_overflow() -> None:
    assert energy_in_box(torch.full((400, 400), 10.0, dtype=torch.float16), (0, 0, 200, 400)) == 0.5


def test_evidence_that_adds_up_to_one() -> None:
    saliency = torch.zeros(4, 4)
    saliency[0, :2], saliency[3, 3] = 0.25, 0.5
    assert energy_in_box(saliency, (0, 0, 2, 1)) == 0.5
    assert energy_in_box(saliency / 1024, (0, 0, 2, 1)) == 0.5


# --- The pointing game ---


@each_box
def test_pointing_by_hand(box: Box) -> None:
    for saliency in MAPS:
        assert pointing_game(saliency, box) == hit_by_hand(saliency.tolist(), box)
        row, column = divmod(int(saliency.argmax()), 20)
        assert pointing_game(saliency, (column, row, column + 1, row + 1)) == 1


def test_pointing_is_quantus_s_where_one_pixel_is_the_largest() -> None:
    maps, boxes = MAPS.repeat_interleave(len(BOXES), 0), BOXES * len(MAPS)
    theirs = quantus_says(quantus.PointingGame(abs=False, normalise=False, **SILENT), maps, boxes)
    ours = [pointing_game(m, box) for m, box in zip(maps, boxes, strict=True)]
    assert ours == [float(hit) for hit in theirs]
    assert 0 < sum(ours) < len(ours)


def test_ties_are_shared_where_quantus_counts_a_hit() -> None:
    tied = torch.zeros(12, 20, dtype=torch.float64)
    tied[[1, 1, 6, 9], [2, 18, 4, 4]] = 2
    box = (0, 0, 5, 12)
    assert pointing_game(tied, box) == hit_by_hand(tied.tolist(), box) == 0.75
    constant = torch.ones(1, 12, 20, dtype=torch.float64)
    metric = quantus.PointingGame(abs=False, normalise=False, **SILENT)
    assert [bool(hit) for hit in quantus_says(metric, torch.cat([tied[None], constant]), [box, box])] == [True, True]
    assert math.isnan(pointing_game(constant[0], box))


def test_a_resized_constant_map_points_nowhere() -> None:
    resized = F.interpolate(torch.full((1, 1, 2, 2), 0.1234567), size=(64, 64), mode="bilinear")[0, 0]
    assert resized.unique().numel() > 1
    assert math.isnan(pointing_game(resized, (0, 0, 32, 64)))


def test_a_map_of_evidence_against_still_has_a_largest_value() -> None:
    assert pointing_game(-MAPS[0].abs() - 1, BOXES[0]) == 1


# --- The table ---


class Channels(nn.Module):
    """Class c's logit is the sum of colour channel c: input x gradient is then that channel itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((2, 3))


def coloured(boxes: list[Box], size: int = 24) -> Tensor:
    """Return a picture (3, size, size): in box c, colour c is bright, and all its pixels differ."""
    picture = torch.zeros(3, size, size, dtype=torch.float64)
    for c, (left, top, right, bottom) in enumerate(boxes):
        area = (bottom - top) * (right - left)
        picture[c, top:bottom, left:right] = torch.arange(1.0, area + 1).reshape(bottom - top, right - left)
    return picture


PLACES = [[(0, 0, 10, 10), (12, 3, 20, 24)], [(1, 1, 5, 9), (8, 0, 24, 6), (6, 8, 20, 20)], [(2, 2, 4, 4)]]


def test_a_network_whose_evidence_has_known_places() -> None:
    x = torch.stack([coloured(boxes) for boxes in PLACES])
    targets = [[0, 1], [0, 1, 2], [0]]
    table = localization(Channels().eval(), x, PLACES, targets, method="input-x-gradient")
    expected = [(n, k, k, 1.0, 1.0, 0.0, 1.0) for n, boxes in enumerate(PLACES) for k in range(len(boxes))]
    columns = ["photo", "object", "target", "energy", "energy_abs", "energy_other", "hit"]
    assert list(table.columns) == [*columns, "area", "degenerate"]
    assert list(table[columns].itertuples(index=False, name=None)) == expected
    areas = [(r - left) * (b - top) / 24**2 for boxes in PLACES for left, top, r, b in boxes]
    assert table.area.tolist() == pytest.approx(areas, abs=1e-15)
    assert not table.degenerate.any()

    wrong = localization(Channels().eval(), x[:1], PLACES[:1], [[1, 0]], method="input-x-gradient")
    assert wrong.energy.tolist() == wrong.hit.tolist() == [0, 0]
    assert wrong.energy_other.tolist() == [1, 1]


@pytest.mark.parametrize("method", ["gradient", "gradcam", "noise"])
def test_each_row_by_hand(method: str) -> None:
    net, x, _ = nets.make("plain")
    boxes = [
        [(0, 0, 8, 16), (9, 1, 16, 7)],
        [(2, 2, 6, 6), (4, 4, 16, 16), (0, 9, 3, 16)],
        [(5, 5, 6, 6), (0, 0, 4, 4)],
    ]
    targets = [[0, 3], [1, 2, 5], [4, 0]]
    table = localization(net, x, boxes, targets, method, "signed")
    rows = iter(table.itertuples(index=False))
    for n, (places, classes) in enumerate(zip(boxes, targets, strict=True)):
        for k, (box, c) in enumerate(zip(places, classes, strict=True)):
            values = pg.explain(net, x[[n]], c, method, "signed")[0]
            others = [other for other in places if other != box]
            row = next(rows)
            assert (row.photo, row.object, row.target) == (n, k, c)
            assert row.energy == pytest.approx(energy_by_hand(values.tolist(), box), abs=1e-9)
            assert row.energy_abs == pytest.approx(energy_by_hand(values.abs().tolist(), box), abs=1e-9)
            assert row.energy_other == pytest.approx(energy_by_hand(values.tolist(), *others, unless=box), abs=1e-9)
            assert row.hit == hit_by_hand(values.tolist(), box)
            assert row.energy + row.energy_other <= 1 + 1e-12
    assert next(rows, None) is None


def test_objects_of_one_class_are_one_place() -> None:
    net, x, _ = nets.make("plain")
    two, another = [(0, 0, 4, 16), (10, 0, 16, 8)], (4, 0, 8, 16)
    table = localization(net, x[:1], [[*two, another]], [[2, 2, 3]], "gradient")
    values = pg.explain(net, x[:1], 2, "gradient")[0].tolist()
    assert table.energy[:2].tolist() == pytest.approx([energy_by_hand(values, *two)] * 2, abs=1e-12)
    assert table.energy_other[:2].tolist() == pytest.approx([energy_by_hand(values, another)] * 2, abs=1e-12)
    assert table.area.tolist() == pytest.approx([(64 + 48) / 256, (64 + 48) / 256, 64 / 256])


@pytest.fixture
def methods() -> dict[str, pg.Method]:
    return {
        "cam": resolve("gradcam", "signed"),
        "cam, positive": resolve("gradcam", "positive"),
        "guided": resolve("guided-backprop"),
        "noise": resolve("noise"),
    }


def test_several_methods_at_once_are_each_by_itself(methods: dict[str, pg.Method]) -> None:
    net, x, _ = nets.make("plain")
    boxes: list[list[Box]] = [[(0, 0, 8, 16), (8, 0, 16, 16)]] * 2 + [[(0, 0, 16, 5)]]
    targets = [[0, 3], [1, 2], [4]]
    table = localization(net, x, boxes, targets, methods)
    assert table.method.unique().tolist() == list(methods)
    for label, method in methods.items():
        alone = localization(net, x, boxes, targets, type(method), method.handling)
        of_label = table[table.method == label].drop(columns="method").reset_index(drop=True)
        pd.testing.assert_frame_equal(of_label, alone, atol=1e-9)


def test_more_photos_than_fit_into_one_pass() -> None:
    net, x = nets.make("plain")[0], nets.photos(16, count=37)
    boxes: list[list[Box]] = [[(0, 0, 8, 16), (8, 0, 16, 16)][: 1 + n % 2] for n in range(37)]
    targets = [[n % 6, (n + 1) % 6][: 1 + n % 2] for n in range(37)]
    table = localization(net, x, boxes, targets, "gradient")
    single = [localization(net, x[[n]], boxes[n : n + 1], targets[n : n + 1], "gradient") for n in range(37)]
    assert table.photo.tolist() == [n for n in range(37) for _ in range(1 + n % 2)]
    for column in ("object", "target", "energy", "energy_abs", "energy_other", "hit", "area"):
        assert table[column].tolist() == pytest.approx(pd.concat(single)[column].tolist(), abs=1e-9)


def test_handlings_and_objects_share_a_forward_pass(methods: dict[str, pg.Method]) -> None:
    net, x, _ = nets.make("plain")
    boxes: list[list[Box]] = [[(0, 0, 8, 16), (8, 0, 16, 16)]] * 3
    calls = []
    for names in (["cam"], ["cam", "cam, positive"], ["cam", "cam, positive", "guided"]):
        counting = nets.Counting(net).eval()
        localization(counting, x, boxes, [[0, 1]] * 3, {name: methods[name] for name in names})
        calls.append(counting.calls)
    assert calls[0] == calls[1] == calls[2] - 1


def test_options_reach_the_method() -> None:
    net, x, _ = nets.make("plain")
    given = {"boxes": [[(0, 0, 8, 16)]] * 3, "targets": [[0]] * 3}
    early, late = (localization(net, x, **given, method="gradcam", layer=layer) for layer in ("conv1", "conv2"))
    assert not np.allclose(early.energy, late.energy)
    assert early.energy.tolist() == pytest.approx(localization(net, x, **given, layer=net.conv1).energy.tolist())


def test_a_map_without_evidence_is_counted_and_flagged() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Threshold(1e9, 0.0), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    table = localization(net.double(), nets.photos(16), [[(0, 0, 8, 16), (8, 0, 16, 16)]] * 3, [[0, 1]] * 3, layer="1")
    assert len(table) == 6
    assert table.degenerate.all()
    assert table[["energy", "energy_abs", "energy_other", "hit"]].isna().all(axis=None)
    assert table.area.tolist() == [0.5] * 6


def test_a_constant_map_has_energy_and_points_nowhere() -> None:
    x = torch.ones(1, 3, 24, 24)
    table = localization(Channels().eval(), x, [[(0, 0, 12, 24)]], [[0]], "input-magnitude")
    assert table.energy.tolist() == [0.5]
    assert table.hit.isna().all()
    assert table.degenerate.all()


def test_evidence_against_alone_has_a_largest_value_and_no_energy() -> None:
    x = -torch.stack([coloured(PLACES[0])]) - 1
    table = localization(Channels().eval(), x, PLACES[:1], [[0, 1]], method="input-x-gradient")
    assert table.energy.isna().all()
    assert table.hit.tolist() == [0, 0]
    assert table.degenerate.all()


@pytest.mark.parametrize("control", CONTROLS)
def test_controls_get_what_chance_gives(control: str) -> None:
    """Of a picture of noise, that is: no control knows of the boxes."""
    x = nets.photos(96, count=4)
    boxes: list[list[Box]] = [[(0, 0, 48, 96), (48, 0, 96, 40)]] * 4
    table = localization(nets.seeded(nets.batchnorm), x, boxes, [[0, 1]] * 4, control)
    assert table.energy.tolist() == pytest.approx(table.area.tolist(), abs=0.03)


def test_every_method_gets_a_row() -> None:
    net, x, _ = nets.make("residual")
    methods = {name: resolve(name) for name in METHODS | CONTROLS}
    table = localization(net, x, [[(0, 0, 20, 40), (20, 0, 40, 40)]] * 3, [[0, 1]] * 3, methods)
    assert table.groupby("method", sort=False).size().to_dict() == dict.fromkeys(methods, 6)
    halves = table[~table.degenerate]
    assert (halves.energy + halves.energy_other).tolist() == pytest.approx([1] * len(halves))


# --- Places in the pixels of x ---


def test_scenes_of_digits() -> None:
    """A map of a network that knows the digits points at the one asked about; the photo's ink is in all boxes alike."""
    clf = pg.load_classifier("scenes")
    scenes = make_scenes(40, seed=11)
    x = torch.stack([clf.preprocess(scene.image) for scene in scenes])
    methods = {name: resolve(name) for name in ("input-x-gradient", "input-magnitude", "noise")}
    table = localization(clf.net, x, [s.boxes for s in scenes], [s.digits for s in scenes], methods)
    assert table[table.method == "noise"].target.tolist() == [digit for scene in scenes for digit in scene.digits]
    mean = table.groupby("method")[["energy", "energy_other", "hit", "area"]].mean()
    assert mean.hit["input-x-gradient"] > 0.9
    assert mean.energy["input-x-gradient"] > 1.5 * mean.energy_other["input-x-gradient"]
    assert mean.energy["input-magnitude"] < mean.energy_other["input-magnitude"]
    assert mean.energy["input-magnitude"] > 2 * mean.area["input-magnitude"]  # ink, more than chance gives
    assert mean.energy["noise"] == pytest.approx(mean.area["noise"], abs=0.01)


def test_a_mosaic_s_boxes_hold_after_the_preprocessing() -> None:
    """The default network's: 224 pixels are made 256, and cropped to 224 about the centre."""
    preprocess = pg.Preprocessing(size=224, resize=256, mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic")
    colours = ["red", "lime", "blue", "white"]
    mosaic = pg.mosaic([Image.new("RGB", (300, 200), colour) for colour in colours])
    x = preprocess(mosaic.image)
    levels = {"red": (1, -1, -1), "lime": (-1, 1, -1), "blue": (-1, -1, 1), "white": (1, 1, 1)}
    for (left, top, right, bottom), colour in zip(mosaic.boxes, colours, strict=True):
        away_from_seams = x[:, top + 4 : bottom - 4, left + 4 : right - 4]
        for channel, level in zip(away_from_seams, levels[colour], strict=True):
            assert channel.unique().tolist() == pytest.approx([level], abs=0.02)
    seam = x[0, 50]  # red to lime
    assert (seam[:112] > 0).all()
    assert (seam[112:] < 0).all()


def test_a_mosaic_of_another_size_is_refused() -> None:
    mosaic = pg.mosaic(["cat", "coffee"], size=256)
    with pytest.raises(ValueError, match="in the pixels of x, after the preprocessing has resized and cropped"):
        localization(Channels().eval(), torch.zeros(1, 3, 224, 224), [mosaic.boxes], [[0, 1]], "gradient")


def test_inside_by_hand() -> None:
    boxes = [(3, 2, 9, 11), (7, 0, 20, 4)]
    mask = inside(boxes, (12, 20))
    assert mask.tolist() == [[any(is_inside(b, r, c) for b in boxes) for c in range(20)] for r in range(12)]
    assert not inside([], (12, 20)).any()


# --- Refusals ---


@pytest.mark.parametrize(
    "box", [(-1, 0, 5, 5), (0, 0, 21, 5), (0, 0, 5, 13), (5, 0, 5, 5), (9, 0, 5, 5), (0, 6, 5, 2), (0, -2, 5, 5)]
)
def test_boxes_beyond_the_map_are_refused(box: Box) -> None:
    for measure in (energy_in_box, pointing_game):
        with pytest.raises(ValueError, match="isn't within a map 20 pixels wide and 12 high"):
            measure(MAPS[0], box)


@pytest.mark.parametrize("box", [(0, 0, 5), (0, 0, 5, 5, 5), (0, 0.5, 5, 5)])
def test_what_is_no_box_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="A box is four whole numbers"):
        energy_in_box(MAPS[0], box)


def test_a_box_that_doesn_t_fit_is_refused_before_the_network_runs() -> None:
    counting = nets.Counting(nets.make("plain")[0]).eval()
    with pytest.raises(ValueError, match="isn't within a map 16 pixels wide"):
        localization(counting, nets.photos(16), [[(0, 0, 5, 5)], [(0, 0, 5, 5)], [(0, 0, 17, 5)]], [[0]] * 3)
    assert counting.calls == 0


def test_a_batch_of_maps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in one map \(H, W\), not in shape \(5, 12, 20\)"):
        pointing_game(MAPS, BOXES[0])


@pytest.mark.parametrize(
    ("boxes", "targets", "message"),
    [
        ([[(0, 0, 5, 5)]] * 2, [[0]] * 3, "3 photo.s., but boxes for 2 and targets for 3: give a list for each photo"),
        ([[(0, 0, 5, 5)]] * 3, [[0]] * 2, "3 photo.s., but boxes for 3 and targets for 2"),
        ([[(0, 0, 5, 5)]] * 3, [[0], [0, 1], [0]], r"Photo 1 has 1 box\(es\) and 2 target\(s\)"),
        ([[(0, 0, 5, 5)], [], [(0, 0, 5, 5)]], [[0], [], [0]], r"Photo 1 has 0 box\(es\)"),
        ([[(0, 0, 17, 5)]] * 3, [[0]] * 3, "isn't within a map 16 pixels wide"),
        ([[(0, 0, 5, 5)]] * 3, [[6]] * 3, "Class 6 is out of range"),
        ([[(0, 0, 5, 5)]] * 3, [[0.5]] * 3, "a list of classes for each photo: whole numbers"),
        ([[(0, 0, 5, 5)]] * 3, [0, 0, 0], "a list of classes for each photo: whole numbers"),
    ],
)
def test_what_doesn_t_fit_is_refused(boxes: list, targets: list, message: str) -> None:
    net, x, _ = nets.make("plain")
    with pytest.raises(ValueError, match=message):
        localization(net, x, boxes, targets, "gradient")


def test_targets_can_be_a_tensor() -> None:
    net, x, _ = nets.make("plain")
    boxes: list[list[Box]] = [[(0, 0, 8, 16), (8, 0, 16, 16)]] * 3
    from_tensor = localization(net, x, boxes, nets.TARGETS, "gradient")
    pd.testing.assert_frame_equal(from_tensor, localization(net, x, boxes, nets.TARGETS.tolist(), "gradient"))
