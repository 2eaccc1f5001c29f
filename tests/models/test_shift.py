"""One vector added to all classes' weights: the same predictions, an untouched original, and what has no such layer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product

import networks as nets
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

import posgrad_edu as pg
from posgrad_edu.methods import METHODS
from posgrad_edu.models import shift_vector, shifted


def body() -> list[nn.Module]:
    return [nn.Conv2d(3, 8, 3), nn.ReLU()]


def averaged() -> nn.Module:
    """A 1 x 1 convolution over positions gives the logits, whose mean is taken afterwards."""
    return nn.Sequential(*body(), nn.Conv2d(8, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def convolution() -> nn.Module:
    """A 1 x 1 convolution after the average, as in some networks of timm."""
    return nn.Sequential(*body(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 6, 1, bias=False), nn.Flatten())


HEADS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "linear": (nets.plain, "fc2"),
    "residual": (nets.residual, "fc"),
    "functional": (lambda: nets.Spelled(torch.relu), "fc2"),
    "relu6": (nets.relu6, "classifier.1"),
    "averaged convolution": (averaged, "2"),
    "convolution": (convolution, "3"),
}


@pytest.mark.parametrize(("maker", "head"), HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("a", [0.25, -1.0])
def test_predictions_stay_and_logits_grow_by_one_number(maker: Callable[[], nn.Module], head: str, a: float) -> None:
    net, x = nets.seeded(maker), nets.photos(16)
    weights = copy.deepcopy(net.state_dict())
    v = shift_vector(net, a)
    assert torch.equal(v, a * net.get_submodule(head).weight.detach().flatten(1).min(0).values.abs())
    other = shifted(net, v, x)
    before, after = net(x).detach(), other(x).detach()
    grown = after - before
    assert torch.allclose(before.softmax(1), after.softmax(1), rtol=0, atol=1e-12)
    assert torch.allclose(grown, grown[:, :1].expand_as(grown), rtol=0, atol=1e-12 * float(after.abs().max()))
    assert grown.abs().min() > 1e-3
    assert all(torch.equal(weights[name], value) for name, value in net.state_dict().items())
    changed = {name for name, value in other.state_dict().items() if not torch.equal(value, weights[name])}
    assert changed == {f"{head}.weight"}


def test_any_vector_will_do(clf: pg.Classifier) -> None:
    v = torch.linspace(-1, 1, 20)
    other = shifted(clf.net, v)
    assert torch.equal(other.fc2.weight, clf.net.fc2.weight + v)


@pytest.fixture
def clf() -> pg.Classifier:
    return pg.Classifier(
        nets.seeded(nets.plain).float(), pg.Preprocessing(size=16, resize=16), labels=list("abcdef"), cam_layer="conv1"
    )


def test_of_a_classifier_it_is_a_classifier(clf: pg.Classifier) -> None:
    photo = pg.load_photo("cat")
    other = shifted(clf, shift_vector(clf.net, 0.5))
    assert isinstance(other, pg.Classifier)
    assert (other.name, other.labels, other.cam_layer) == ("Sequential, shifted", clf.labels, "conv1")
    assert other.net is not clf.net
    assert torch.allclose(other.probabilities(photo), clf.probabilities(photo), rtol=0, atol=1e-6)
    assert (other.logits(photo) - clf.logits(photo)).min() > 0.01
    ours, theirs = (each.explain(photo, "c", "gradient", contrast="mean").map for each in (other, clf))
    assert nets.largest(ours, theirs) < 1e-4
    other.cam_layer = "conv2"
    assert clf.cam_layer == "conv1"


def test_weights_that_are_made_of_others_are_shifted_too() -> None:
    class Doubled(nn.Module):
        def forward(self, w: Tensor) -> Tensor:
            return 2 * w

    for change in (
        lambda layer: parametrize.register_parametrization(layer, "weight", Doubled()),
        lambda layer: prune.l1_unstructured(layer, "weight", 0.3),
    ):
        net, x = nets.seeded(nets.plain), nets.photos(16)
        change(net.fc2)
        net.eval()
        v = shift_vector(net, 0.5)
        assert torch.equal(v, 0.5 * net.fc2.weight.detach().min(0).values.abs())
        other = shifted(net, v, x)
        assert torch.allclose(other.fc2.weight, net.fc2.weight + v)
        assert torch.allclose(other(x).softmax(1), net(x).softmax(1), rtol=0, atol=1e-12)


# --- Refusals ---


class AfterAll(nn.Module):
    """Does something to the logits, in its own forward."""

    def __init__(self, last: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.last = nets.plain(), last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.net(x))


NO_HEAD: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "squeezenet": (
        lambda: nn.Sequential(*body(), nn.Conv2d(8, 6, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "a ReLU follows the last layer with weights, '2'",
    ),
    "a maximum": (
        lambda: nn.Sequential(*body(), nn.Conv2d(8, 6, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten()),
        "a AdaptiveMaxPool2d follows",
    ),
    "a wide convolution": (
        lambda: nn.Sequential(*body(), nn.Conv2d(8, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "the last layer with weights, '2', is a Conv2d",
    ),
    "a norm": (lambda: nn.Sequential(nets.plain(), nn.BatchNorm1d(6)), "'1', is a BatchNorm1d"),
    "a softmax": (lambda: nn.Sequential(nets.plain(), nn.Softmax(1)), "a Softmax follows"),
    "no weights": (lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "no layer has weights"),
}


@pytest.mark.parametrize(("maker", "message"), NO_HEAD.values(), ids=NO_HEAD)
def test_a_network_without_such_a_layer_is_refused(maker: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shifted(nets.seeded(maker), torch.ones(8))
    with pytest.raises(ValueError, match=message):
        shift_vector(nets.seeded(maker), 0.5)


@pytest.mark.parametrize("last", [torch.relu, torch.square], ids=["relu", "square"])
def test_what_modules_do_not_show_photos_do(last: Callable[[Tensor], Tensor]) -> None:
    net, x = nets.seeded(lambda: AfterAll(last)), nets.photos(16)
    v = shift_vector(net, 3.0)
    with pytest.raises(ValueError, match="changes this network's softmax by"):
        shifted(net, v, x)
    assert shifted(net, v) is not net  # nobody looked


def test_a_vector_that_does_not_fit_is_refused(clf: pg.Classifier) -> None:
    for v in (torch.ones(6), torch.ones(1, 20), torch.full((20,), torch.nan), 0.5, [1.0] * 20):
        with pytest.raises(ValueError, match="a value for each of the 20 inputs of the network's last layer"):
            shifted(clf, v)


def test_probabilities_that_are_no_softmax_would_change(clf: pg.Classifier) -> None:
    clf.multilabel = True
    with pytest.raises(ValueError, match="multilabel: its probabilities are sigmoids"):
        shifted(clf, torch.ones(20))


def test_a_network_in_training_is_refused() -> None:
    with pytest.raises(ValueError, match="training mode"):
        shifted(nets.plain(), torch.ones(20))


# --- EfficientNet-Lite0 ---


@pytest.mark.slow
@pytest.mark.parametrize("a", [0.25, -1.0])
def test_lite0_predicts_the_same(a: float) -> None:
    clf = pg.load_classifier("efficientnet-lite0")
    single = shifted(clf, shift_vector(clf.net, a))
    for photo in [pg.load_photo(name) for name in ("coffee", "cat", "rocket")]:
        assert torch.allclose(single.probabilities(photo), clf.probabilities(photo), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_lite0_explains_the_same_contrast() -> None:
    """float64, so that what is left is rounding: Σ_k s_k (w_k + v) is 1,000 sums rounded at the size of v."""
    clf = pg.load_classifier("efficientnet-lite0")
    net, x = copy.deepcopy(clf.net).double(), clf.batch(pg.load_photo("coffee")).double()
    target, others = net(x).argmax(1), [shifted(net, shift_vector(net, a), x) for a in (0.25, -1.0)]
    made = {(name, handling): METHODS[name](handling) for name, handling in product(METHODS, ("signed", "positive"))}
    before, *after = (pg.explain(n, x, target, made, contrast="mean") for n in (net, *others))
    for method, handling in made:
        for maps in after:
            apart = nets.largest(maps[method, handling], before[method, handling])
            if method == "lrp" and handling == "positive":
                assert apart > 0.01
            elif method == "lrp":
                assert apart < 1e-3  # epsilon's share of logits near zero
            else:
                assert apart < 1e-6, (method, handling)
