"""CamWeights, driven as a notebook cell drives it: two ingredients, flipped one at a time."""

from __future__ import annotations

import math
import re

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.viz import pair_limit
from posgrad_edu.widgets import CamWeights

LAYERS = ["blocks.5", "blocks.6", "bn2.act"]
CHOICES = [(average, signs) for average in ("plain mean", "alpha") for signs in ("signed", "positive")]


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier("efficientnet-lite0")


@pytest.fixture(scope="module")
def made(clf: pg.Classifier) -> CamWeights:
    return CamWeights(clf, "coffee", layers=LAYERS)


@pytest.fixture
def widget(made: CamWeights) -> CamWeights:
    """One widget for all tests, each time back at its start: the maps stay cached."""
    made.average.value, made.handling.value, made.layer.value = "plain mean", "signed", "bn2.act"
    return made


@pytest.fixture(scope="module")
def last(clf: pg.Classifier) -> tuple[Tensor, list[Tensor]]:
    """Channels of the last layer and the gradients of both classes, by the definition."""
    with torch.no_grad():
        activation = clf.net.forward_features(clf.batch(pg.load_photo("coffee")))
    activation.requires_grad_()
    logits = clf.net.forward_head(activation)[0]
    classes = (int(logits.argmax()), int(logits.argmin()))
    grads = [torch.autograd.grad(logits[c], activation, retain_graph=True)[0] for c in classes]
    return activation.detach(), grads


def pictures(widget: CamWeights) -> list[str]:
    return re.findall(r'src="([^"]+)"', widget.pictures.value)


def by_hand(activation: Tensor, grad: Tensor, average: str, signs: str) -> Tensor:
    """The definition, channel by channel: alpha in its long form, relative to one half."""
    small = torch.zeros(activation.shape[2:])
    for a, g in zip(activation[0], grad[0], strict=True):
        kept = g if signs == "signed" else torch.relu(g)
        alpha = g**2 / (2 * g**2 + a.sum() * g**3) if average == "alpha" else torch.full_like(g, 0.5)
        small += (2 * torch.nan_to_num(alpha) * kept).mean() * a
    return F.interpolate(small[None, None], size=(224, 224), mode="bilinear")[0, 0]


@pytest.mark.parametrize(("average", "signs"), CHOICES)
def test_maps_follow_the_definition(
    widget: CamWeights, last: tuple[Tensor, list[Tensor]], average: str, signs: str
) -> None:
    widget.average.value, widget.handling.value = average, signs
    activation, grads = last
    expected = torch.stack([by_hand(activation, g, average, signs) for g in grads])
    assert torch.allclose(widget.maps, expected, atol=1e-5)
    number = spearmanr(*expected.flatten(1).numpy()).statistic
    assert widget.numbers[average, signs] == pytest.approx(number, abs=0.01)
    assert widget.spearman == widget.numbers[average, signs]
    assert f"{widget.spearman:+.2f}".replace("-", "−") in widget.summary
    assert f"{average}, {signs} gradients" in repr(widget)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("average", "signs"), CHOICES)
def test_maps_are_the_packages_up_to_the_unit(
    widget: CamWeights, clf: pg.Classifier, layer: str, average: str, signs: str
) -> None:
    widget.layer.value, widget.average.value, widget.handling.value = layer, average, signs
    method, positions = ("gradcam++", 49) if average == "alpha" else ("gradcam", 2)
    x = clf.batch(pg.load_photo("coffee"))
    expected = pg.explain(clf.net, x, [list(widget.classes)], method, signs, layer=layer)[0] * 2 / positions
    assert torch.allclose(widget.maps, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_the_clamp_and_not_alpha_takes_the_class(widget: CamWeights) -> None:
    before, number = pictures(widget), widget.spearman
    widget.average.value = "alpha"
    assert abs(widget.spearman - number) < 0.1
    assert pictures(widget)[1:] != before[1:]
    widget.average.value, widget.handling.value = "plain mean", "positive"
    assert widget.spearman > 0.8 > -0.8 > number
    assert "punching bag 100%" in widget.summary
    clamped = widget.maps
    widget.average.value = "alpha"
    assert spearmanr(*torch.stack([clamped[1], widget.maps[1]]).flatten(1).numpy()).statistic > 0.99


def test_products_and_the_pole(widget: CamWeights, last: tuple[Tensor, list[Tensor]]) -> None:
    activation, grads = last
    expected = torch.cat([activation.sum((2, 3), keepdim=True) * g for g in grads])
    assert torch.allclose(widget.products, expected, atol=1e-5)
    alpha = 1 / (2 + expected)
    assert f"Alpha from {alpha.min():.3g} to {alpha.max():.3g}; 0 of 125440 values near the pole" in widget.summary
    widget.layer.value = "blocks.5"
    near = ((widget.products + 2).abs() < 0.1).sum()
    beyond = (widget.products < -2).sum()
    assert near > 0
    assert f"; {near} of 18816 values near the pole, {beyond} beyond it." in widget.summary


def test_a_gradient_of_zero_has_no_alpha() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        net[4].weight[:, 0] = 0  # nobody listens to the first channel
    small = pg.Classifier(net, pg.Preprocessing(size=16, resize=16))
    widget = CamWeights(small, "cat", layers=["1"])
    assert widget.products[:, 0].isnan().all()
    assert not widget.products[:, 1:].isnan().any()
    assert "of 1176 values" in widget.summary  # 2 classes x 3 channels x 14 x 14


def test_toggles_leave_the_scale_alone(widget: CamWeights) -> None:
    for layer in LAYERS:
        widget.layer.value, widget.average.value, widget.handling.value = layer, "plain mean", "signed"
        limit = pair_limit(widget.maps)
        for widget.average.value, widget.handling.value in CHOICES:
            assert widget.limit == limit
            assert f"Full colour at ±{limit:.2g} " in widget.pictures.value


def test_a_value_beyond_the_scale_is_said(widget: CamWeights) -> None:
    widget.layer.value, widget.average.value = "blocks.5", "alpha"
    said = re.search(r"strongest value here is (\S+) times", widget.pictures.value)
    assert said is not None
    assert float(said[1]) == pytest.approx(float(widget.maps.abs().max()) / widget.limit, rel=0.01)


def test_the_table_holds_all_four_numbers(widget: CamWeights) -> None:
    widget.handling.value = "positive"
    cells = re.findall(r"<td>(.+?)</td>", widget.pictures.value)
    assert len(cells) == 4
    for cell, (signs, average) in zip(
        cells, [(s, a) for s in ("signed", "positive") for a in ("plain mean", "alpha")], strict=True
    ):
        assert f"{widget.numbers[average, signs]:+.2f}".replace("-", "−") in cell
        assert ("(shown)" in cell) == ((average, signs) == ("plain mean", "positive"))
    assert widget.pictures.value.count('scope="row"') == widget.pictures.value.count('scope="col"') == 2


def test_a_layer_is_computed_once(widget: CamWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posgrad_edu.widgets.cam_weights.GradCAM", None)
    widget.average.value, widget.handling.value = "alpha", "positive"
    assert len(pictures(widget)) == 3


def test_a_layer_costs_one_forward_pass() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    widget = CamWeights(pg.Classifier(net, pg.Preprocessing(size=16, resize=16)), "cat", layers=["0", "1"], layer="0")
    seen = []
    net.register_forward_hook(lambda *asked: seen.append(asked))
    widget.refresh()  # a hook makes it another network, so that all is looked up again
    seen.clear()
    widget.layer.value = "1"
    assert len(seen) == 1
    assert len(widget.numbers) == 4


def test_rounding_errors_of_a_constant_map_are_not_ranked() -> None:
    """Each map of a layer that is the same at all places comes back from resizing with rounding errors."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Upsample(scale_factor=5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    ).eval()
    widget = CamWeights(pg.Classifier(net, pg.Preprocessing(size=224, resize=224)), "cat", layers=["2"])
    assert any(pair.amax((1, 2)).gt(pair.amin((1, 2))).any() for pair in widget._compute("2").maps.values())
    assert all(math.isnan(number) for number in widget.numbers.values())
    assert "nothing to compare" in widget.summary


def test_figure_shows_what_the_widget_shows(widget: CamWeights) -> None:
    widget.average.value, widget.handling.value = "alpha", "positive"
    figure = widget.figure()
    assert "bn2.act, alpha, positive gradients" in figure.alt
    assert "punching bag" in figure.alt
    assert "Evidence for the class only" in figure.alt


def test_start_values_and_own_photo(clf: pg.Classifier) -> None:
    widget = CamWeights(
        clf, pg.load_photo("rocket"), "missile", 283, ["blocks.6"], average="alpha", handling="positive"
    )
    assert widget.classes == (clf.index("missile"), 283)
    assert widget.labels == ("missile", clf.labels[283])
    assert "blocks.6, alpha, positive gradients" in repr(widget)


def test_a_constant_map_is_said() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        net[4].weight.zero_()
        net[4].bias.copy_(torch.tensor([1.0, 0.0]))
    widget = CamWeights(pg.Classifier(net, pg.Preprocessing(size=16, resize=16)), "cat", layers=["1"])
    assert "nothing to compare" in widget.summary
    assert math.isnan(widget.spearman)
    assert "<td>–</td>" in widget.pictures.value


def test_all_outer_layers_are_there_unless_chosen(clf: pg.Classifier) -> None:
    widget = CamWeights(clf, "cat")
    assert widget.layer.options[0] == "conv_stem"
    assert widget.layer.value == "bn2.act"


def test_mistakes_are_refused_with_advice(clf: pg.Classifier) -> None:
    for arguments, says in [
        ({"layers": ["blocks.66"]}, "blocks.6"),
        ({"layers": []}, "at least one layer"),
        ({"class_b": "expresso"}, "Did you mean 'espresso'"),
        ({"class_b": "espresso"}, "Both classes are espresso"),
        ({"photo": "cofee"}, "coffee"),
    ]:
        with pytest.raises(ValueError, match=says):
            CamWeights(clf, **arguments)
