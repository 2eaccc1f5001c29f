"""Similarity of maps and class sensitivity, each against its definition in plain form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import nn

import posgrad_edu as pg
from posgrad_edu.methods import CONTROLS, METHODS, resolve
from posgrad_edu.methods.sharing import explain_contrasts
from posgrad_edu.metrics import randomization, sensitivity
from posgrad_edu.metrics.randomization import randomizable_layers, with_random
from posgrad_edu.metrics.similarity import compare
from posgrad_edu.models.loading import load_classifier
from posgrad_edu.scenes.pictures import make_scenes, scene_tensors

generator = torch.Generator().manual_seed(0)
MAP = torch.randn(16, 16, generator=generator)
OTHER = torch.randn(16, 16, generator=generator)
PHOTOS_16 = torch.randn(2, 3, 16, 16, generator=generator)


def tiny() -> nn.Sequential:
    """A network of four classes, its layers numbered 0, 3 and 6 from the input."""
    torch.manual_seed(0)
    spatial = [nn.Conv2d(3, 5, 3), nn.Identity(), nn.ReLU(), nn.Conv2d(5, 6, 3), nn.ReLU()]
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*spatial, pooled, nn.Linear(6, 4)).eval()


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of the ranks they take up."""
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


@pytest.mark.parametrize("rounded", [False, True], ids=["no ties", "ties"])
def test_spearman_is_the_correlation_of_ranks(rounded: bool) -> None:
    a, b = (MAP.round(), (MAP + OTHER).round()) if rounded else (MAP, MAP + OTHER)
    expected = np.corrcoef(ranks(a.flatten().numpy()), ranks(b.flatten().numpy()))[0, 1]
    assert compare(a, b).spearman == pytest.approx(expected, abs=1e-12)


def test_a_reversed_map_differs_in_sign_only() -> None:
    reversed_ = compare(MAP, -MAP)
    assert reversed_.spearman == pytest.approx(-1)
    assert reversed_.spearman_abs == pytest.approx(1)


def test_order_is_all_that_counts() -> None:
    assert compare(MAP, MAP**3 * 100).spearman == pytest.approx(1)


def test_ssim_scales_each_map_to_0_1() -> None:
    unit = [((m - m.min()) / (m.max() - m.min())).double().numpy() for m in (MAP, OTHER)]
    assert compare(MAP, OTHER).ssim == pytest.approx(structural_similarity(*unit, data_range=1), abs=1e-6)
    assert compare(MAP, MAP * 3 - 1).ssim == pytest.approx(1)


def test_a_constant_map_is_flagged_and_not_given_a_number() -> None:
    result = compare(MAP, torch.zeros(16, 16))
    assert result.degenerate
    assert math.isnan(result.spearman)
    assert not compare(MAP, OTHER).degenerate


def test_maps_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        compare(MAP, MAP[:8])


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(1)
    body = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).double().eval()


PHOTOS = torch.randn(4, 3, 16, 16, generator=generator, dtype=torch.float64)


def test_class_sensitivity_compares_the_most_with_the_least_likely_class(net: nn.Module) -> None:
    table = pg.class_sensitivity(net, PHOTOS, method="gradcam", handling="positive")
    logits = net(PHOTOS)
    assert table.photo.tolist() == [0, 1, 2, 3]
    assert table.target.tolist() == logits.argmax(1).tolist()
    assert table.other.tolist() == logits.argmin(1).tolist()
    for row in table.itertuples():
        maps = [pg.explain(net, PHOTOS[[row.photo]], c, "gradcam", "positive")[0] for c in (row.target, row.other)]
        assert row.spearman == pytest.approx(compare(*maps).spearman, abs=1e-6)
        assert row.spearman_abs == pytest.approx(compare(*maps).spearman_abs, abs=1e-6)


def test_the_other_class_can_be_chosen(net: nn.Module) -> None:
    second = net(PHOTOS).sort(dim=1, descending=True).indices[:, 1]
    assert pg.class_sensitivity(net, PHOTOS, "gradient", other="runner-up").other.tolist() == second.tolist()
    chosen = pg.class_sensitivity(net, PHOTOS, "gradient", target=[0, 1, 2, 3], other=4)
    assert chosen[["target", "other"]].to_numpy().tolist() == [[0, 4], [1, 4], [2, 4], [3, 4]]


def test_options_reach_the_method(net: nn.Module) -> None:
    early = pg.class_sensitivity(net, PHOTOS, "gradcam", layer="0")
    late = pg.class_sensitivity(net, PHOTOS, "gradcam", layer="3")
    assert isinstance(early, pd.DataFrame)
    assert not np.allclose(early.spearman, late.spearman)


def test_degenerate_maps_are_counted(net: nn.Module) -> None:
    with torch.no_grad():
        silent = nn.Sequential(*net[:4], nn.Threshold(1e9, 0.0), *net[4:]).eval()
    table = pg.class_sensitivity(silent, PHOTOS, "gradcam", target=0, other=1)
    assert len(table) == 4
    assert table.degenerate.all()
    assert table.spearman.isna().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 1, "other": 1}, "compared with itself"),
        ({"other": "leats"}, "Did you mean 'least'"),
        ({"target": 7}, "out of range"),
        ({"target": [[0, 1]] * 4, "other": 2}, r"one class, not 2: give a number, or \(4,\) of them"),
        ({"target": 0, "other": [[1, 2]] * 4}, "one class, not 2"),
    ],
)
def test_what_makes_no_sense_is_refused(net: nn.Module, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pg.class_sensitivity(net, PHOTOS, "gradient", **options)


@pytest.mark.parametrize(
    "measure",
    [
        lambda net, x: pg.class_sensitivity(net, x, "gradient"),
        lambda net, x: pg.parameter_sensitivity(net, x, "gradient"),
        lambda net, x: pg.data_sensitivity(net, net, x, "gradient"),
        lambda net, x: pg.localization(net, x, [[(0, 0, 8, 8)]], [[0]], "gradient"),
    ],
)
def test_a_photo_that_is_no_batch_is_refused(net: nn.Module, measure: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"one photo\. Make it a batch: x\.unsqueeze\(0\)"):
        measure(net, PHOTOS[0])


@pytest.mark.parametrize("other", ["least", "runner-up"])
def test_a_single_class_has_no_other_to_compare_with(net: nn.Module, other: str) -> None:
    single = nn.Sequential(net[:-1], nn.Linear(8, 1).double()).eval()
    with pytest.raises(ValueError, match="a single class, so there is no other to compare with"):
        pg.class_sensitivity(single, PHOTOS, "gradient", other=other)


def test_a_network_in_training_is_refused_before_it_runs(net: nn.Module) -> None:
    training = nn.Sequential(nn.BatchNorm2d(3).double(), net)
    for pair in ((net, training), (training, net)):
        with pytest.raises(ValueError, match=r"Call net\.eval\(\) first"):
            pg.data_sensitivity(*pair, PHOTOS, "gradient", target="own")
    for measure in (pg.class_sensitivity, pg.parameter_sensitivity):
        with pytest.raises(ValueError, match=r"Call net\.eval\(\) first"):
            measure(training, PHOTOS, "gradient")
    assert training[0].num_batches_tracked == 0


def test_the_bar_knows_how_much_there_is_to_do_and_can_be_left_out(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int | None, dict[str, Any]]] = []

    def noted(items: Any, what: str, total: int | None, **options: Any) -> list[Any]:
        seen.append((what, total, options))
        return list(items)

    monkeypatch.setattr(sensitivity, "bar", noted)
    how = {"delay": 2, "leave": False}
    pg.class_sensitivity(net, PHOTOS, "gradient")
    assert seen.pop() == ("classes", None, {"disable": False, **how})
    for progress in (True, False):
        pg.parameter_sensitivity(net, PHOTOS, "gradient", seeds=[0, 1], depths=[1, 2, 3], progress=progress)
        assert seen.pop() == ("parameters", 6, {"disable": not progress, **how})


# --- Several methods at once ---

MEASURES = ["spearman", "spearman_abs", "ssim", "hog", "degenerate"]
SEVERAL = {"cam": ("gradcam", "signed"), "cam+": ("gradcam", "positive"), "guided": ("guided-backprop", None)}


def test_several_methods_give_what_each_gives_alone(net: nn.Module) -> None:
    methods = {label: resolve(*what) for label, what in SEVERAL.items()}
    tables = {
        "class": (pg.class_sensitivity(net, PHOTOS, methods), pg.class_sensitivity),
        "parameters": (pg.parameter_sensitivity(net, PHOTOS, methods), pg.parameter_sensitivity),
    }
    for together, alone in tables.values():
        assert list(dict.fromkeys(together.method)) == list(SEVERAL)
        for label, (method, handling) in SEVERAL.items():
            part = together[together.method == label].drop(columns="method").reset_index(drop=True)
            pd.testing.assert_frame_equal(part, alone(net, PHOTOS, method, handling))


def test_contrasts_at_once_give_what_each_gives_alone(net: nn.Module) -> None:
    methods = {label: resolve(*what) for label, what in SEVERAL.items()}
    how: dict[str, Any] = {"seeds": [0, 1], "depths": [1, 3], "target": "own"}
    asked: list[Any] = [None, "mean"]
    tables = sensitivity.parameter_sensitivities(net, PHOTOS, asked, methods, **how)
    for table, contrast in zip(tables, asked, strict=True):
        alone = pg.parameter_sensitivity(net, PHOTOS, methods, contrast=contrast, **how)
        pd.testing.assert_frame_equal(table, alone)
        assert table.attrs == alone.attrs
    assert not np.allclose(tables[0].spearman, tables[1].spearman, equal_nan=True)


def test_all_methods_and_contrasts_share_five_forward_passes(net: nn.Module) -> None:
    """One for the gradient, ReLU rules and FullGrad, one for CAMs, three for LRP: signed, positive and as published.

    Each has a graph down to the photo, or for CAMs to their layer. The controls know the network's classes by then.
    """
    methods = {(m, h): resolve(m, h) for m in METHODS for h in ("signed", "positive", None)}
    methods |= {(c, None): resolve(c) for c in CONTROLS}
    passes: list[int] = []
    hook = net.register_forward_hook(lambda _, x, logits: passes.append(len(logits)))
    explain_contrasts(net, PHOTOS, 0, methods, [None, "mean"])  # audits the network, and finds the CAMs' layer
    passes.clear()
    explain_contrasts(net, PHOTOS, 0, methods, [None, "mean"])
    hook.remove()
    assert passes == [len(PHOTOS)] * 5


def test_each_random_network_is_made_once_for_all_contrasts(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    redraw = randomization._randomize
    monkeypatch.setattr(randomization, "_randomize", lambda *a: drawn.append(a[1]) or redraw(*a))
    sensitivity.parameter_sensitivities(net, PHOTOS, [None, "mean"], "gradient", seeds=[0, 1])
    assert sorted(drawn) == sorted(["6", "2", "0"] * 3)  # for two seeds, and once to see whether a copy can be made


def test_many_photos_are_taken_in_parts(net: nn.Module) -> None:
    many = torch.randn(19, 3, 16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    table = pg.class_sensitivity(net, many, "gradient")
    assert table.photo.tolist() == list(range(19))
    last = pg.class_sensitivity(net, many[18:], "gradient")
    assert table.spearman[18] == pytest.approx(last.spearman[0])


# --- Parameters ---


@pytest.mark.parametrize("mode", ["cascading", "cascading-from-input", "independent"])
def test_parameter_sensitivity_is_what_it_says(net: nn.Module, mode: str) -> None:
    table = pg.parameter_sensitivity(net, PHOTOS, "gradient", mode=mode, seeds=(4, 7))
    layers = randomizable_layers(net, PHOTOS)
    assert layers == ["6", "2", "0"]
    order = layers[::-1] if mode == "cascading-from-input" else layers
    assert len(table) == 4 * 3 * 2
    kept = net(PHOTOS).argmax(1)
    for row in table.itertuples():
        random = order[row.depth - 1 : row.depth] if mode == "independent" else order[: row.depth]
        photo = PHOTOS[[row.photo]]
        changed = with_random(net, random, row.seed)
        maps = [pg.explain(n, photo, int(kept[row.photo]), "gradient")[0] for n in (net, changed)]
        expected = compare(*maps)
        assert (row.target, row.mode, row.layers, row.layer) == (int(kept[row.photo]), mode, 3, order[row.depth - 1])
        assert row.spearman == pytest.approx(expected.spearman, abs=1e-6)
        assert row.spearman_abs == pytest.approx(expected.spearman_abs, abs=1e-6)
        assert row.ssim == pytest.approx(expected.ssim, abs=1e-6)


def test_the_class_is_kept_unless_each_network_names_its_own(net: nn.Module) -> None:
    layers = randomizable_layers(net, PHOTOS)
    kept = pg.parameter_sensitivity(net, PHOTOS, "gradient", seeds=[0])
    own = pg.parameter_sensitivity(net, PHOTOS, "gradient", target="own", seeds=[0])
    for depth in (1, 2, 3):
        theirs = with_random(net, layers[:depth], 0)(PHOTOS).argmax(1).tolist()
        assert kept[kept.depth == depth].target.tolist() == net(PHOTOS).argmax(1).tolist()
        assert own[own.depth == depth].target.tolist() == theirs
    assert kept.target.tolist() != own.target.tolist()
    assert pg.parameter_sensitivity(net, PHOTOS, "gradient", target=[0, 1, 2, 3], seeds=[0]).target.tolist()[:4] == [
        0, 1, 2, 3,
    ]  # fmt: skip


@pytest.mark.parametrize("form", [np.array, pd.Series, torch.tensor, lambda classes: [[c] for c in classes]])
def test_classes_may_come_in_any_form(net: nn.Module, form: Callable[[list[int]], Any]) -> None:
    asked, layers = [0, 1, 2, 3], {"seeds": [0], "depths": [1]}
    pd.testing.assert_frame_equal(
        pg.parameter_sensitivity(net, PHOTOS, "gradient", target=form(asked), **layers),
        pg.parameter_sensitivity(net, PHOTOS, "gradient", target=asked, **layers),
    )
    changed = with_random(net, ["6"], 0)
    pd.testing.assert_frame_equal(
        pg.data_sensitivity(net, changed, PHOTOS, "gradient", target=form(asked)),
        pg.data_sensitivity(net, changed, PHOTOS, "gradient", target=asked),
    )


def test_depths_and_batch_norm_reach_the_networks() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    ).eval()
    net[1].running_mean.normal_()
    x = PHOTOS.float()
    kept = pg.parameter_sensitivity(net, x, "gradient", seeds=[0], depths=2)
    reset = pg.parameter_sensitivity(net, x, "gradient", seeds=[0], batchnorm="reset")
    assert kept.layer.unique().tolist() == ["5", "0"]
    assert reset.layer.unique().tolist() == ["5", "1", "0"]


def test_the_network_is_not_changed(net: nn.Module) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    pg.parameter_sensitivity(net, PHOTOS, "gradient")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "cascade"}, "Did you mean 'cascading'"),
        ({"depths": [9]}, "1 to 3"),
        ({"depths": []}, "depths holds no number"),
        ({"seeds": []}, "no number"),
        ({"target": "onw"}, "Did you mean 'own'"),
        ({"target": "own", "contrast": 2}, "^With target='own' another network .* contrast='mean'"),
        ({"target": 7}, "out of range"),
        ({"target": [[0, 1]] * 4}, "one class, not 2"),
        ({"batchnorm": "rest"}, "Did you mean 'reset'"),
    ],
)
def test_what_parameter_sensitivity_cannot_do_is_refused(net: nn.Module, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pg.parameter_sensitivity(net, PHOTOS, "gradient", **options)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.slow
def test_every_method_can_be_checked_on_the_default_network(method: str) -> None:
    clf = load_classifier()
    x = clf.batch(pg.load_photo("cat"))
    classes = pg.class_sensitivity(clf.net, x, method)
    parameters = pg.parameter_sensitivity(clf.net, x, method, seeds=[0], depths=[50])
    assert classes[MEASURES].notna().all(axis=None)
    assert parameters[MEASURES].notna().all(axis=None)
    assert abs(parameters.spearman[0]) < 0.999


# --- Data ---


def test_data_sensitivity_compares_with_the_network_of_permuted_labels() -> None:
    true, permuted = (load_classifier("scenes", weights=w).net for w in ("pretrained", "permuted-labels"))
    scenes = make_scenes(3)
    x, _ = scene_tensors(scenes)
    asked = [scene.digits[0] for scene in scenes]
    table = pg.data_sensitivity(true, permuted, x, "guided-backprop", "signed", target=asked)
    assert table.target.tolist() == asked
    for row in table.itertuples():
        maps = [pg.explain(n, x[[row.photo]], row.target, "guided-backprop", "signed")[0] for n in (true, permuted)]
        assert row.spearman == pytest.approx(compare(*maps).spearman, abs=1e-5)
    with pytest.raises(ValueError, match="one class, not 2"):
        pg.data_sensitivity(true, permuted, x, target=[[0, 1]] * 3)
    with pytest.raises(ValueError, match="With target='own' another network"):
        pg.data_sensitivity(true, permuted, x, target="own", contrast=[0] * len(x))
    own = pg.data_sensitivity(true, permuted, x, target="own")
    assert own.target.tolist() == permuted(x).argmax(1).tolist()


# --- Networks as users have them ---


def test_a_layer_given_as_a_module_is_found_in_copies() -> None:
    net = tiny()
    by_name, by_module = (pg.parameter_sensitivity(net, PHOTOS_16, layer=layer, seeds=[0]) for layer in ("3", net[3]))
    assert by_module.equals(by_name)
    labelled = pg.parameter_sensitivity(net, PHOTOS_16, {"a": resolve("gradcam", layer=net[3])}, seeds=[0])
    assert labelled.drop(columns="method").equals(by_name)
    assert pg.data_sensitivity(net, with_random(net, ["6"]), PHOTOS_16, layer=net[3]).spearman.notna().all()
    of_name, of_module = (pg.complexity_sensitivity(net, PHOTOS_16, layer=layer, seeds=[0]) for layer in ("3", net[3]))
    assert of_module.equals(of_name)
    with pytest.raises(ValueError, match="not a layer of the network"):
        pg.parameter_sensitivity(net, PHOTOS_16, layer=nn.ReLU(), seeds=[0])


def test_the_table_names_what_stays_trained() -> None:
    net = tiny()
    net[1] = nn.BatchNorm2d(5).eval()
    table = pg.parameter_sensitivity(net, PHOTOS_16, "gradient", seeds=[0])
    assert table.attrs["still_trained"] == ["1.weight", "1.bias", "1.running_mean", "1.running_var"]
    reset = pg.parameter_sensitivity(net, PHOTOS_16, "gradient", seeds=[0], batchnorm="reset")
    assert reset.attrs["still_trained"] == []


def test_a_network_whose_copies_call_its_own_layers_is_refused() -> None:
    class Holds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net = tiny()
            self.run = lambda x: net(x)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.run(x)

    for measure in (pg.parameter_sensitivity, pg.complexity_sensitivity):
        with pytest.raises(ValueError, match=r"A copy of this network still computes with the trained 'net\.6'"):
            measure(Holds().eval(), PHOTOS_16, "gradient", seeds=[0])


@pytest.mark.parametrize(("device", "dtype"), [("meta", torch.float32), (None, torch.float64)])
def test_other_defaults_change_no_measure(device: str | None, dtype: torch.dtype) -> None:
    net = tiny()
    other = with_random(net, ["6", "3"])

    def tables() -> list[pd.DataFrame]:
        return [
            pg.class_sensitivity(net, PHOTOS_16),
            pg.class_sensitivity(net, PHOTOS_16, other="random"),
            pg.parameter_sensitivity(net, PHOTOS_16, seeds=[0]),
            pg.data_sensitivity(net, other, PHOTOS_16),
        ]

    expected = tables()
    torch.set_default_device(device)
    torch.set_default_dtype(dtype)
    try:
        found = tables()
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert all(ours.equals(theirs) for ours, theirs in zip(found, expected, strict=True))


# --- Random classes, and contrasts ---


def test_random_classes_are_all_others_each_once(net: nn.Module) -> None:
    table = pg.class_sensitivity(net, PHOTOS, "gradient", other="random", classes=3, seed=5)
    assert list(table) == ["photo", "target", "other", *MEASURES, "spearman_mean"]
    assert table.photo.tolist() == [n for n in range(4) for _ in range(3)]
    assert table.target.tolist() == net(PHOTOS).argmax(1).repeat_interleave(3).tolist()
    for _, rows in table.groupby("photo"):
        assert len({*rows.other, *rows.target}) == 4
        for _, row in rows.iterrows():
            pair = [[int(row.target), int(row.other)]] * 4
            maps = pg.explain(net, PHOTOS, pair, "gradient")[int(row.photo)]
            assert row.spearman == pytest.approx(compare(*maps).spearman, abs=1e-9)
        assert rows.spearman_mean.tolist() == pytest.approx([np.mean(rows.spearman)] * 3)


def test_random_classes_follow_their_seed_and_each_can_come(net: nn.Module) -> None:
    drawn = [sensitivity.random_classes(torch.tensor([[2], [0]]), 8, 3, seed) for seed in range(60)]
    assert all(
        torch.equal(d, sensitivity.random_classes(torch.tensor([[2], [0]]), 8, 3, s)) for s, d in enumerate(drawn)
    )
    counts = torch.stack(drawn).flatten(0, 0).transpose(0, 1).flatten(1)
    for photo, taken in enumerate((2, 0)):
        times = torch.bincount(counts[photo], minlength=8)
        assert times[taken] == 0
        assert sorted(times.tolist())[1] > 60 * 3 / 7 / 3  # each of seven about 26 times
    assert not torch.equal(drawn[0][0], drawn[0][1])


def test_random_classes_are_ten_or_all_there_are(net: nn.Module) -> None:
    of = int(net(PHOTOS).shape[1])
    table = pg.class_sensitivity(net, PHOTOS[:1], "gradient", other="random")
    assert sorted([*table.other, table.target[0]]) == list(range(of))
    without = pg.class_sensitivity(net, PHOTOS[:1], "gradient", target=0, other="random", contrast=1)
    assert sorted(without.other) == list(range(2, of))


def test_random_classes_of_several_methods_and_their_mean(net: nn.Module) -> None:
    methods = {"a": resolve("gradient"), "b": resolve("gradcam")}
    table = pg.class_sensitivity(net, PHOTOS, methods, other="random", classes=2)
    for label, method in methods.items():
        alone = pg.class_sensitivity(net, PHOTOS, method, other="random", classes=2)
        pd.testing.assert_frame_equal(table[table.method == label].drop(columns="method").reset_index(drop=True), alone)
    pg.plot(table)


def test_a_methods_own_seed_is_told_from_that_of_the_classes(net: nn.Module) -> None:
    pg.class_sensitivity(net, PHOTOS[:1], "noise", seed=3)
    pg.class_sensitivity(net, PHOTOS[:1], "noise", other="random", classes=1, seed=3)
    with pytest.raises(ValueError, match="belongs into an instance"):
        pg.class_sensitivity(net, PHOTOS[:1], "lrp", other="random", seed="logit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 3}, "Give it with other='random', not 'least'"),
        ({"other": "random", "classes": 0}, "classes is 0: of . classes . are left"),
        ({"other": "random", "classes": 99}, "classes is 99: of . classes . are left"),
        ({"other": "random", "seed": 0.5}, "seed is a whole number"),
    ],
)
def test_random_classes_that_cannot_be_drawn_are_refused(net: nn.Module, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pg.class_sensitivity(net, PHOTOS, "gradient", **options)


@pytest.mark.parametrize("contrast", ["mean", 1, [1, 2, 1, 2]], ids=str)
def test_each_measure_asks_about_the_contrast(net: nn.Module, contrast: Any) -> None:
    own, other = [0] * 4, [3] * 4
    maps = pg.explain(net, PHOTOS, [[0, 3]] * 4, "gradient", contrast=contrast)
    table = pg.class_sensitivity(net, PHOTOS, "gradient", target=own, other=other, contrast=contrast)
    assert table.spearman.tolist() == pytest.approx([compare(*pair).spearman for pair in maps], abs=1e-9)
    changed = with_random(net, randomizable_layers(net, PHOTOS)[:1], seed=0)
    theirs = pg.explain(changed, PHOTOS, own, "gradient", contrast=contrast)
    expected = [compare(*pair).spearman for pair in zip(maps[:, 0], theirs, strict=True)]
    parameters = pg.parameter_sensitivity(
        net, PHOTOS, "gradient", target=own, depths=[1], seeds=[0], contrast=contrast, progress=False
    )
    assert parameters.spearman.tolist() == pytest.approx(expected, abs=1e-9)
    data = pg.data_sensitivity(net, changed, PHOTOS, "gradient", target=own, contrast=contrast)
    assert data.spearman.tolist() == pytest.approx(expected, abs=1e-9)
    places = pg.localization(net, PHOTOS, [[(0, 0, 8, 16)]] * 4, [[0]] * 4, "gradient", contrast=contrast)
    energy = [pg.energy_in_box(of_photo[0], (0, 0, 8, 16)) for of_photo in maps]
    assert places.energy.tolist() == pytest.approx(energy, abs=1e-9)


def test_a_contrast_of_the_compared_class_is_refused(net: nn.Module) -> None:
    with pytest.raises(ValueError, match="class 1 would be held against itself"):
        pg.class_sensitivity(net, PHOTOS, "gradient", target=0, other=1, contrast=1)


def test_of_two_classes_the_other_one_is_the_runner_up() -> None:
    logits = torch.tensor([[1.0, 2.0], [4.0, 3.0]])
    assert sensitivity.other_classes(logits, "runner-up").tolist() == [0, 1]
