"""The real network: EfficientNet-Lite0 with its ImageNet weights, on real photos."""

from __future__ import annotations

import copy
import warnings

import captum.attr as ca
import networks as nets
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import zennit.composites
import zennit.layer
from networks import largest
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from scipy.stats import spearmanr
from test_oracles import Agrees, Louder, min_max, zennit_map
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

import posgrad_edu as pg

LITE0 = "EfficientNet-Lite0"
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier()


@pytest.fixture(scope="module")
def x(clf: pg.Classifier) -> Tensor:
    """The coffee and the cat."""
    return torch.stack([clf.preprocess(pg.load_photo(name)) for name in ("coffee", "cat")])


@pytest.fixture(scope="module")
def extremes(clf: pg.Classifier, x: Tensor) -> Tensor:
    """The most and the least likely class of each photo."""
    with torch.no_grad():
        logits = clf.net(x)
    return torch.stack([logits.argmax(1), logits.argmin(1)], dim=1)


def test_gradient(clf: pg.Classifier, x: Tensor, extremes: Tensor, agrees: Agrees) -> None:
    for c in extremes.T:
        theirs = ca.Saliency(clf.net).attribute(x.clone(), target=c, abs=False)
        agrees("captum Saliency", LITE0, pg.explain(clf.net, x, c, "gradient", reduce=None), theirs, within=1e-5)


def test_gradcam(clf: pg.Classifier, x: Tensor, extremes: Tensor, agrees: Agrees) -> None:
    for c in extremes.T:
        theirs = ca.LayerGradCam(clf.net, clf.net.bn2).attribute(x.clone(), target=c).detach()
        resized = F.interpolate(theirs, x.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        ours = pg.explain(clf.net, x, c, "gradcam", layer="bn2")
        agrees("captum LayerGradCam", LITE0, ours, resized, within=1e-5)


@pytest.mark.parametrize(("method", "theirs"), [("gradcam", GradCAM), ("gradcam++", GradCAMPlusPlus)])
def test_pytorch_grad_cam(
    method: str, theirs: type, clf: pg.Classifier, x: Tensor, extremes: Tensor, agrees: Agrees
) -> None:
    net = Louder(copy.deepcopy(clf.net).requires_grad_(True), 1e3).eval()
    top = extremes[:, 0]
    with theirs(model=net, target_layers=[net.net.bn2]) as cam:
        result = cam(input_tensor=x.clone(), targets=[ClassifierOutputTarget(c) for c in top.tolist()])
    ours = min_max(pg.explain(net, x, top, method, layer="net.bn2", relu=True))
    agrees(f"pytorch-grad-cam {theirs.__name__}", LITE0, ours, torch.from_numpy(np.asarray(result)), within=1e-4)


def for_zennit(net: nn.Module) -> nn.Module:
    """Return a copy without BatchNorms, its additions as modules: neither would zennit find in timm's blocks."""
    net = copy.deepcopy(net)
    blocks = [m for m in net.modules() if isinstance(m, (InvertedResidual, DepthwiseSeparableConv))]
    for owner in (net, *blocks):
        convs = [(name, m) for name, m in owner.named_children() if isinstance(m, nn.Conv2d)]
        norms = [(name, m) for name, m in owner.named_children() if isinstance(m, nn.BatchNorm2d)]
        for (_, conv), (name, norm) in zip(convs, norms, strict=True):
            conv.weight, conv.bias = fuse_conv_bn_weights(
                *(conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
            )
            setattr(owner, name, norm.act)
    for block in blocks:
        block.branch = nn.Sequential(*(m for _, m in block.named_children()))
        block.sum = zennit.layer.Sum()
        block.forward = with_sum.__get__(block)
    return net.eval()


def with_sum(block: nn.Module, x: Tensor) -> Tensor:
    out = block.branch(x)
    return block.sum(torch.stack([x, out], dim=-1)) if block.has_skip else out


def test_lrp(clf: pg.Classifier, x: Tensor, extremes: Tensor, agrees: Agrees) -> None:
    net = copy.deepcopy(clf.net).double()
    small, c = F.interpolate(x[:1].double(), size=(96, 96), mode="area"), extremes[:1, 0]  # float64 is slow
    plain = for_zennit(net)
    assert largest(plain(small).detach(), net(small).detach()) < 1e-9
    theirs = zennit_map(plain, small, c, zennit.composites.EpsilonPlus(), classes=1000)
    ours = pg.explain(net, small, c, "lrp", reduce=None)
    agrees("zennit EpsilonPlus (published)", LITE0 + ", float64", ours, theirs, within=1e-7)


def test_guided_backprop_gates_at_six_too(clf: pg.Classifier, x: Tensor, extremes: Tensor) -> None:
    """Captum hooks nn.ReLU alone, so its guided backprop is the plain gradient here; ours is not."""
    c = extremes[:1, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = ca.GuidedBackprop(clf.net).attribute(x[:1].clone(), target=c)
    gradient = pg.explain(clf.net, x[:1], c, "gradient", reduce=None)
    assert largest(theirs, gradient) < 1e-5
    assert largest(pg.explain(clf.net, x[:1], c, "guided-backprop", reduce=None), gradient) > 0.5
    assert largest(pg.explain(clf.net, x[:1], c, "guided-backprop", "signed", reduce=None), gradient) < 1e-5


# The paper's effect, as measured with the maps of the most and of the least likely class


def rank_correlation(method: str, handling: str | None, clf: pg.Classifier, x: Tensor, extremes: Tensor) -> list[float]:
    maps = pg.explain(clf.net, x, extremes, method, handling)
    return [spearmanr(most.flatten(), least.flatten()).statistic for most, least in maps.double().numpy()]


def test_gradcam_answers_the_class_until_its_gradients_are_made_positive(
    clf: pg.Classifier, x: Tensor, extremes: Tensor
) -> None:
    assert max(rank_correlation("gradcam", "signed", clf, x, extremes)) < 0
    assert min(rank_correlation("gradcam", "positive", clf, x, extremes)) > 0.8
    assert min(rank_correlation("gradcam++", None, clf, x, extremes)) > 0.8


def test_guided_backprop_draws_the_same_map_for_any_class(clf: pg.Classifier, x: Tensor, extremes: Tensor) -> None:
    assert min(rank_correlation("guided-backprop", None, clf, x, extremes)) > 0.95
    assert max(rank_correlation("guided-backprop", "signed", clf, x, extremes)) < 0.5


def test_every_method_runs_and_leaves_a_finite_map(clf: pg.Classifier, x: Tensor, extremes: Tensor) -> None:
    small = F.interpolate(x[:1], size=(112, 112), mode="area")
    for method in pg.METHODS:
        maps = pg.explain(clf.net, small, extremes[:1], method)
        assert maps.shape == (1, 2, 112, 112)
        assert torch.isfinite(maps).all()
        assert maps.abs().max() > 0
        assert nets.largest(maps[:, 1], maps[:, 0]) > 1e-3  # another class, another map, if only by its scale
