"""The AlphaSlider, driven as a notebook cell drives it: the road from signed to positive, and what maps do on it."""

from __future__ import annotations

import base64
import copy
import io
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from showing import is_pale
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.scenes.network import scenes_net
from posgrad_edu.scenes.pictures import make_scene
from posgrad_edu.widgets import AlphaSlider
from posgrad_edu.widgets.alpha_slider import ENLARGED, KEPT, LIMIT, rule_name, rule_options, short
from posgrad_edu.widgets.panel import RECORDS

SCENE = make_scene(3, digits=(3, 7))


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier("scenes")


@pytest.fixture(scope="module")
def made(clf: pg.Classifier) -> AlphaSlider:
    return AlphaSlider(SCENE, clf)


@pytest.fixture
def slider(made: AlphaSlider) -> AlphaSlider:
    """One slider for all tests, each time back at its start: the maps stay cached."""
    made.kept.value, made.rule.value, made.bias.value = 1.0, "gamma", "absorb"
    return made


def pictures(slider: AlphaSlider) -> list[Image.Image]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', slider.pictures.value)
    return [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in found]


def by_hand(clf: pg.Classifier, digit: int, kept: float, rule: str, bias: bool = True) -> Tensor:
    """LRP on the plain chain in float64, an independent restatement: positive contributions p, negative ones n.

    gamma: (p + k n) over its sum where the output is positive, (k p + n) over its sum where it's negative.
    alpha-beta: 1 / (1 - k) times p over its sum, minus k / (1 - k) times n over its.
    """
    values = [clf.batch(SCENE.image).double()]
    layers = list(copy.deepcopy(clf.net).double())
    for layer in layers:
        values.append(layer(values[-1]).detach())
    relevance = F.one_hot(torch.tensor([digit]), 10).double()
    for layer, a in zip(layers[::-1], values[-2::-1], strict=True):
        a = a.requires_grad_()
        if isinstance(layer, nn.ReLU):
            continue
        if not isinstance(layer, (nn.Conv2d, nn.Linear)):
            out = layer(a)
            average = isinstance(layer, nn.AdaptiveAvgPool2d)
            back = torch.autograd.grad(out, a, relevance / (out + 1e-6).detach() if average else relevance)[0]
            relevance = (a * back if average else back).detach()
            continue

        def sums(p: float, n: float, layer: nn.Module = layer, a: Tensor = a) -> Tensor:
            w, b = (p * v.clamp(min=0) + n * v.clamp(max=0) for v in (layer.weight, layer.bias))
            b = b if bias else None
            return F.conv2d(a, w, b, padding=1) if isinstance(layer, nn.Conv2d) else F.linear(a, w, b)

        z = sums(1, 1)
        if rule == "gamma":
            ways = [(sums(1, kept), (z > 0).double()), (sums(kept, 1), (z < 0).double())]
        else:
            ways = [(sums(1, 0), 1 / (1 - kept)), (sums(0, 1), -kept / (1 - kept))]
        relevance = sum(
            (a * torch.autograd.grad(t, a, part * relevance / torch.where(t < 0, t - 1e-6, t + 1e-6))[0]).detach()
            for t, part in ways
        )
    return relevance[0, 0]


def largest(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the other's peak."""
    return float((one - other).abs().max() / other.abs().max())


# In float64: signed denominators come near zero, and float32 would then differ by a per cent or two.
@pytest.mark.parametrize("bias", ["absorb", "ignore"])
@pytest.mark.parametrize("rule", ["gamma", "alpha-beta"])
@pytest.mark.parametrize("kept", [0.9, 2 / 3, 0.5, 0.1])
def test_each_step_of_the_road_shares_out_by_the_weights_it_names(
    clf: pg.Classifier, kept: float, rule: str, bias: str
) -> None:
    net, x = copy.deepcopy(clf.net).double(), clf.batch(SCENE.image).double()
    maps = pg.explain(net, x, [[3, 7]], "lrp", bias=bias, **rule_options(kept, rule))[0]
    for values, digit in zip(maps, SCENE.digits, strict=True):
        assert largest(values, by_hand(clf, digit, kept, rule, bias == "absorb")) < 1e-2


@pytest.mark.parametrize("bias", ["absorb", "ignore"])
@pytest.mark.parametrize("rule", ["gamma", "alpha-beta"])
@pytest.mark.parametrize("kept", [k for k in KEPT if k < 1])
@pytest.mark.slow
def test_each_state_shows_the_packages_maps(
    slider: AlphaSlider, clf: pg.Classifier, kept: float, rule: str, bias: str
) -> None:
    slider.rule.value, slider.kept.value, slider.bias.value = rule, kept, bias
    options = rule_options(kept, rule)
    expected = pg.explain(clf.net, clf.batch(SCENE.image), [[3, 7]], "lrp", bias=bias, **options)[0]
    assert torch.equal(slider.maps, expected)
    assert repr(slider).startswith(f"AlphaSlider: {rule_name(kept, rule)}, biases {bias}. ")


def test_the_ends_of_the_road_are_the_switch(slider: AlphaSlider, clf: pg.Classifier) -> None:
    x = clf.batch(SCENE.image)
    for kept, handling in ((1.0, "signed"), (0.0, "positive")):
        slider.kept.value = kept
        assert torch.equal(slider.maps, pg.explain(clf.net, x, [[3, 7]], "lrp", handling)[0])
    positive = slider.maps
    assert (positive >= 0).all()
    slider.rule.value = "alpha-beta"
    assert torch.equal(slider.maps, positive)  # where the two roads meet


@pytest.mark.parametrize("bias", ["absorb", "ignore"])
@pytest.mark.parametrize("rule", ["gamma", "alpha-beta"])
def test_the_road_leads_to_z_plus_but_for_gamma_without_biases(clf: pg.Classifier, rule: str, bias: str) -> None:
    x = clf.batch(SCENE.image)
    end, near = (
        pg.explain(clf.net, x, [[3, 7]], "lrp", bias=bias, **rule_options(kept, rule))[0] for kept in (0.0, 1e-4)
    )
    assert not torch.equal(near, end)
    assert (largest(near, end) < 0.01) == (bias == "absorb" or rule == "alpha-beta")


def test_energies_are_the_red_in_the_boxes(slider: AlphaSlider) -> None:
    for kept in (1.0, 0.5, 0.0):
        slider.kept.value = kept
        for values, shares in zip(slider.maps.numpy(), slider.energies, strict=True):
            red = np.maximum(values, 0).astype(np.float64)
            for (left, top, right, bottom), share in zip(SCENE.boxes, shares, strict=True):
                assert share == pytest.approx(red[top:bottom, left:right].sum() / red.sum())
    three, seven = slider.energies
    assert f"Of the red for 3, {100 * three[0]:.0f} % on the 3, {100 * three[1]:.0f} % on the 7" in slider.summary
    assert f"Of the red for 7, {100 * seven[1]:.0f} % on the 7, {100 * seven[0]:.0f} % on the 3" in slider.summary
    assert slider.sums == pytest.approx([float(m.sum()) for m in slider.maps])
    assert f"adds up to {slider.sums[0]:+.2f} of 1" in slider.summary


def test_in_between_points_better_than_both_ends(slider: AlphaSlider) -> None:
    own = {}
    for kept in KEPT:
        slider.kept.value = kept
        own[kept] = (slider.energies[0][0] + slider.energies[1][1]) / 2
    assert own[2 / 3] > 0.95 > 0.8 > max(own[1.0], own[0.0])


def test_moving_a_control_changes_picture_and_words(slider: AlphaSlider) -> None:
    seen = set()
    for slider.rule.value in ("gamma", "alpha-beta"):
        for slider.kept.value in (0.5, 0.2):
            for slider.bias.value in ("absorb", "ignore"):
                scene, one, other = pictures(slider)
                seen.add((one.tobytes(), other.tobytes(), slider.summary, slider.setting))
                assert scene.size == (64 * ENLARGED, 64 * ENLARGED)
    assert len(seen) == 8


def test_colours_are_the_maps_on_one_fixed_scale(slider: AlphaSlider) -> None:
    slider.kept.value = 0.0
    row, column = divmod(int(slider.maps[0].argmax()), 64)
    level = 1 - float(slider.maps[0].max()) / LIMIT
    red, green, blue = pictures(slider)[1].getpixel((column * ENLARGED + 1, row * ENLARGED + 1))
    assert red > max(green, blue)
    assert blue < 255 * (level + 0.3)
    assert f"Full colour at ±{LIMIT}" in slider.pictures.value
    assert "times that" not in slider.pictures.value
    slider.kept.value = 1.0
    said = re.search(r"strongest value here is (\S+) times", slider.pictures.value)
    assert said is not None
    assert float(said[1]) == pytest.approx(float(slider.maps.abs().max()) / LIMIT, rel=0.05)


def test_the_asked_digits_box_is_black(slider: AlphaSlider) -> None:
    slider.kept.value = 0.0
    _, one, other = pictures(slider)
    corners = [(left * ENLARGED - 1, top * ENLARGED - 1) for left, top, _, _ in SCENE.boxes]
    black, grey = (30, 30, 30), (150, 150, 150)
    assert [one.getpixel(corner) for corner in corners] == [black, grey]
    assert [other.getpixel(corner) for corner in corners] == [grey, black]


def test_what_has_no_rule_is_said_and_then_forgotten(slider: AlphaSlider) -> None:
    slider.rule.value = "alpha-beta"
    assert "alpha would be infinite" in slider.summary
    assert slider.maps.numel() == 0
    assert is_pale(slider)
    assert "alpha-beta (α = ∞)" in repr(slider)
    slider.kept.value = 0.5
    assert len(pictures(slider)) == 3


def test_a_map_without_red_is_said(clf: pg.Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RECORDS, "explain", lambda *a, **o: -torch.ones(1, 2, 64, 64))
    slider = AlphaSlider(SCENE, clf)
    assert "The map for 3 has no red" in slider.summary
    assert "The map for 7 has no red" in slider.summary


def test_alt_texts_name_the_rule_and_the_digit(slider: AlphaSlider) -> None:
    slider.kept.value = 0.8
    alts = re.findall(r'alt="([^"]+)"', slider.pictures.value)
    assert all("γ = 0.25" in alt for alt in alts[1:])
    assert "for 3 " in alts[1]
    assert "for 7 " in alts[2]


def test_figure_shows_what_the_widget_shows(slider: AlphaSlider) -> None:
    slider.kept.value = 0.0
    figure = slider.figure()
    assert "γ = ∞: z+" in figure.alt
    left, top, right, bottom = SCENE.boxes[0]
    frame = figure.axes[1].patches[0]
    assert (*frame.get_xy(), frame.get_width(), frame.get_height()) == (
        left - 0.5,
        top - 0.5,
        right - left,
        bottom - top,
    )


def test_start_values_and_a_scene_of_ones_own(clf: pg.Classifier) -> None:
    scene = make_scene(1)
    slider = AlphaSlider(scene, clf, kept=0.5, rule="alpha-beta", bias="ignore")
    assert slider.digits == scene.digits[:2]
    assert repr(slider).startswith("AlphaSlider: alpha-beta (α = 2, β = 1), biases ignore. Of the red for 7, ")


def test_without_arguments_it_shows_a_three_and_a_seven() -> None:
    assert AlphaSlider().digits == (3, 7)


def test_a_digit_that_the_network_does_not_see_is_refused(clf: pg.Classifier) -> None:
    blind = pg.Classifier(scenes_net(4).eval(), clf.preprocess, labels=clf.labels, multilabel=True)
    nn.init.constant_(blind.net.head.bias, -9)
    with pytest.raises(ValueError, match=r"sees no 3 in this scene: its logit is -.*Choose another scene"):
        AlphaSlider(SCENE, blind)


@pytest.mark.parametrize(
    ("kept", "rule", "name"),
    [
        (1.0, "gamma", "gamma (γ = 0: epsilon)"),
        (0.8, "gamma", "gamma (γ = 0.25)"),
        (0.0, "gamma", "gamma (γ = ∞: z+)"),
        (2 / 3, "alpha-beta", "alpha-beta (α = 3, β = 2)"),
        (0.0, "alpha-beta", "alpha-beta (α = 1, β = 0: z+)"),
    ],
)
def test_rules_are_named_as_the_papers_do(kept: float, rule: str, name: str) -> None:
    assert rule_name(kept, rule) == name


def test_numbers_are_short() -> None:
    assert [short(v) for v in (0.061, -2.03, -0.001, 5.2e7)] == ["+0.06", "−2.03", "0.00", "+5e+07"]


def test_a_scene_without_two_different_digits_is_refused() -> None:
    two = make_scene(3, digits=(3, 7))
    for one in (two._replace(digits=(3,), boxes=two.boxes[:1]), two._replace(digits=(3, 3))):
        with pytest.raises(ValueError, match="two different digits"):
            AlphaSlider(one)
