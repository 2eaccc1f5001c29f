"""The same maps from captum, pytorch-grad-cam and zennit; the largest differences are printed at the end of the run."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import captum.attr as ca
import networks as nets
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import zennit.composites as zc
import zennit.rules as zr
import zennit.torchvision as zt
from captum.attr._utils import lrp_rules as captum_rules
from networks import explain, largest
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, LayerCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.types import Convolution

from posgrad_edu.methods.lrp_rules import AlphaBeta, Epsilon, Flat, Gamma, Rule, ZBox, Zero, ZPlus

Agrees = Callable[..., None]
Case = tuple[str, nn.Module, Tensor, Tensor]
# Captum and zennit hook modules, so they need each ReLU to be one, used once and not in place.
MODULE_RELUS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "plain": (nets.plain, 16),
    "batchnorm": (nets.batchnorm, 16),
    "residual, not in place": (lambda: nets.residual(inplace=False), 40),
}


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """Captum warns about each hook it sets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def modular(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    maker, size = MODULE_RELUS[name]
    return nets.seeded(maker), nets.photos(size), nets.TARGET


# Captum


def test_saliency(case: Case, agrees: Agrees) -> None:
    name, net, x, target = case
    theirs = ca.Saliency(net).attribute(x.clone(), target=target, abs=False)
    agrees("captum Saliency", name, explain(net, x, target, "gradient", reduce=None), theirs, within=0)


def test_input_x_gradient(case: Case, agrees: Agrees) -> None:
    name, net, x, target = case
    theirs = ca.InputXGradient(net).attribute(x.clone(), target=target)
    agrees("captum InputXGradient", name, explain(net, x, target, "input-x-gradient", reduce=None), theirs, within=0)


@pytest.mark.parametrize("name", MODULE_RELUS)
@pytest.mark.parametrize(
    ("method", "theirs"), [("guided-backprop", ca.GuidedBackprop), ("deconvnet", ca.Deconvolution)]
)
def test_modified_backprop(method: str, theirs: type, name: str, agrees: Agrees) -> None:
    net, x, target = modular(name)
    ours = explain(net, x, target, method, reduce=None)
    agrees(f"captum {theirs.__name__}", name, ours, theirs(net).attribute(x.clone(), target=target), within=0)


def test_captum_misses_functional_relus_and_we_do_not() -> None:
    """Why this package doesn't hook modules: captum's guided backprop of such a network is the plain gradient."""
    net, x, target = nets.make("functional")
    theirs = ca.GuidedBackprop(net).attribute(x.clone(), target=target)
    assert torch.equal(theirs, explain(net, x, target, "gradient", reduce=None))
    assert largest(explain(net, x, target, "guided-backprop", reduce=None), theirs) > 0.1


CAM_LAYERS = {
    "plain": "relu2",
    "batchnorm": "relu2",
    "functional": "conv2",
    "residual": "layer3",
    "dense": "features.denseblock2",
    "relu6": "features.5",
}


@pytest.mark.parametrize("name", CAM_LAYERS)
def test_layer_gradcam(name: str, agrees: Agrees) -> None:
    net, x, target = nets.make(name)
    layer = CAM_LAYERS[name]
    theirs = ca.LayerGradCam(net, net.get_submodule(layer)).attribute(x.clone(), target=target)
    resized = F.interpolate(theirs.detach(), x.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    agrees("captum LayerGradCam", name, explain(net, x, target, "gradcam", layer=layer), resized, within=1e-12)


def test_layer_gradcam_without_resizing(agrees: Agrees) -> None:
    net, x, target = nets.make("plain")  # relu1 has the photo's resolution
    theirs = ca.LayerGradCam(net, net.relu1).attribute(x.clone(), target=target).detach()[:, 0]
    agrees(
        "captum LayerGradCam", "plain, no resizing", explain(net, x, target, "gradcam", layer="relu1"), theirs, 1e-12
    )


CAPTUM_LRP: dict[str, tuple[Callable[[], Any], Rule]] = {
    "epsilon": (lambda: captum_rules.EpsilonRule(1e-6), Epsilon()),
    "gamma": (captum_rules.GammaRule, Gamma(epsilon=1e-9)),
    "z+": (captum_rules.Alpha1_Beta0_Rule, ZPlus(epsilon=1e-9)),
}


class Captums(nn.Module):
    """What captum's LRP takes: no pooling, which has another epsilon there, and flattening by a function."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        conv1, conv2 = nn.Conv2d(3, 8, 3, 2, 1, bias=bias), nn.Conv2d(8, 6, 3, padding=1, bias=bias)
        self.convs = nn.Sequential(conv1, nn.ReLU(), conv2, nn.ReLU())
        self.fcs = nn.Sequential(nn.Linear(96, 20, bias=bias), nn.ReLU(), nn.Linear(20, 6, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.fcs(self.convs(x).flatten(1))


@pytest.mark.parametrize("rule", CAPTUM_LRP)
def test_captum_lrp(rule: str, agrees: Agrees) -> None:
    """Comparable where captum's gamma and alpha1-beta0 are defined: inputs >= 0 and no biases, in the convolutions."""
    theirs_rule, ours_rule = CAPTUM_LRP[rule]
    net, x = nets.seeded(lambda: Captums(bias=rule == "epsilon")), nets.photos(8)
    x = x if rule == "epsilon" else x.abs()
    for module in net.modules():  # captum deletes these after the call
        if isinstance(module, nn.Conv2d):
            module.rule = theirs_rule()
        elif isinstance(module, nn.Linear):
            module.rule = captum_rules.EpsilonRule(1e-6)
    theirs = ca.LRP(net).attribute(x.clone(), target=nets.TARGET).detach()
    ours = explain(net, x, nets.TARGET, "lrp", conv=ours_rule, linear="epsilon", seed="logit", reduce=None)
    agrees(f"captum LRP {rule}", "conv, linear", ours, theirs, within=1e-11)


# pytorch-grad-cam


class Louder(nn.Module):
    """Multiplies the logits: pytorch-grad-cam adds 1e-6 to GradCAM++'s denominators, which then doesn't matter."""

    def __init__(self, net: nn.Module, factor: float) -> None:
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.net(x)


def min_max(maps: Tensor) -> Tensor:
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / (1e-7 + maps.amax((1, 2), keepdim=True))


@pytest.mark.parametrize("name", CAM_LAYERS)
@pytest.mark.parametrize(
    ("method", "theirs"), [("gradcam", GradCAM), ("gradcam++", GradCAMPlusPlus), ("layercam", LayerCAM)]
)
def test_pytorch_grad_cam(method: str, theirs: type, name: str, agrees: Agrees) -> None:
    """Its maps go through a ReLU, a min-max, a resize and a min-max; so do ours here."""
    net, x, target = nets.make(name)
    net = Louder(net, 1e4).eval()
    layer = net.get_submodule("net." + CAM_LAYERS[name])
    with theirs(model=net, target_layers=[layer]) as cam:
        # a copy: it sets requires_grad on its input
        result = cam(input_tensor=x.clone(), targets=[ClassifierOutputTarget(c) for c in target.tolist()])
    ours = min_max(explain(net, x, target, method, layer=layer, relu=True))
    agrees(f"pytorch-grad-cam {theirs.__name__}", name, ours, torch.from_numpy(np.asarray(result)).double(), 1e-5)


# zennit

ZENNIT: dict[str, tuple[Callable[[], Any], Rule]] = {
    "zero": (lambda: zr.Epsilon(epsilon=0), Zero()),
    "epsilon": (zr.Epsilon, Epsilon()),
    "epsilon .3": (lambda: zr.Epsilon(epsilon=0.3), Epsilon(epsilon=0.3)),
    "z+": (zr.ZPlus, ZPlus()),
    "gamma": (zr.Gamma, Gamma()),
    "gamma 1.5": (lambda: zr.Gamma(gamma=1.5), Gamma(gamma=1.5)),
    "alpha-beta": (zr.AlphaBeta, AlphaBeta()),
    "alpha 1 beta 0": (lambda: zr.AlphaBeta(alpha=1.0, beta=0.0), AlphaBeta(alpha=1, beta=0)),
    "flat": (zr.Flat, Flat()),
}


def zennit_canonizers(name: str) -> list[Any]:
    return {"batchnorm": [SequentialMergeBatchNorm()]}.get(name, [zt.ResNetCanonizer()] if "residual" in name else [])


def without_eps(net: nn.Module) -> nn.Module:
    """Move each BatchNorm's eps into its variance: the same function.

    zennit's MergeBatchNorm leaves the eps in force after merging: the BatchNorm that remains, with variance 1, weight 1
    and bias 0, still divides by sqrt(1 + eps). So its canonized network computes slightly other logits than the
    network that it was given (see ``test_zennit_keeps_the_eps_of_a_merged_batchnorm``), and only where eps is 0
    can two implementations be compared to the last digits.
    """
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var += module.eps
            module.eps = 0.0
    return net


def zennit_map(net: nn.Module, x: Tensor, target: Tensor, composite: Any, classes: int = nets.CLASSES) -> Tensor:
    """Return zennit's relevance for a one-hot seed, which is ours with ``seed="one"``."""
    with Gradient(net, composite) as attributor:
        return attributor(x.clone(), torch.eye(classes, dtype=x.dtype)[target])[1].detach()


def compare(net: nn.Module, x: Tensor, target: Tensor, composite: Any, **options: Any) -> tuple[Tensor, Tensor]:
    ours = explain(net, x, target, "lrp", seed="one", reduce=None, **options)
    return ours, zennit_map(net, x, target, composite)


@pytest.mark.parametrize("name", MODULE_RELUS)
@pytest.mark.parametrize("rule", ZENNIT)
def test_zennit_rules(rule: str, name: str, agrees: Agrees) -> None:
    theirs, ours_rule = ZENNIT[rule]
    if rule == "zero" and "residual" in name:
        pytest.skip("zennit's additions always have an epsilon; ours have none under LRP-0")
    net, x, target = modular(name)
    if rule == "zero":  # nor have our averages
        net.pool2 = nn.MaxPool2d(2 if name == "plain" else 4).eval()
    net = without_eps(net)
    layers = [*zc.layer_map_base(), (Convolution, theirs()), (nn.Linear, theirs())]
    composite = zc.LayerMapComposite(layers, canonizers=zennit_canonizers(name))
    ours, relevance = compare(net, x, target, composite, rule=ours_rule)
    agrees(f"zennit {rule}", name, ours, relevance, within=1e-11)


@pytest.mark.parametrize("name", MODULE_RELUS)
@pytest.mark.parametrize("first", ["z-box", "flat"])
def test_zennit_first_layer(first: str, name: str, agrees: Agrees) -> None:
    net, x, target = modular(name)
    net = without_eps(net)
    low, high = x.amin((0, 2, 3)), x.amax((0, 2, 3))
    theirs, rule = {
        "z-box": (
            zr.ZBox(low[None, :, None, None], high[None, :, None, None]),
            ZBox(tuple(low.tolist()), tuple(high.tolist())),
        ),
        "flat": (zr.Flat(), Flat()),
    }[first]
    layers = [*zc.layer_map_base(), (Convolution, zr.Gamma()), (nn.Linear, zr.Epsilon())]
    composite = zc.SpecialFirstLayerMapComposite(layers, [(Convolution, theirs)], canonizers=zennit_canonizers(name))
    ours, relevance = compare(net, x, target, composite, conv=Gamma(), linear=Epsilon(), first=rule)
    agrees(f"zennit {first} first", name, ours, relevance, within=1e-11)


@pytest.mark.parametrize("name", MODULE_RELUS)
def test_zennit_epsilon_plus(name: str, agrees: Agrees) -> None:
    net, x, target = modular(name)
    net = without_eps(net)
    ours, theirs = compare(net, x, target, zc.EpsilonPlus(canonizers=zennit_canonizers(name)))
    agrees("zennit EpsilonPlus (published)", name, ours, theirs, within=1e-11)


@pytest.mark.parametrize("name", MODULE_RELUS)
def test_zennit_epsilon_gamma_box(name: str, agrees: Agrees) -> None:
    net, x, target = modular(name)
    net = without_eps(net)
    composite = zc.EpsilonGammaBox(low=-6.0, high=6.0, canonizers=zennit_canonizers(name))
    ours, theirs = compare(net, x, target, composite, conv=Gamma(), linear=Epsilon(), first=ZBox(-6, 6))
    agrees("zennit EpsilonGammaBox", name, ours, theirs, within=1e-11)


def test_zennit_keeps_the_eps_of_a_merged_batchnorm(agrees: Agrees) -> None:
    """What is left between the two where eps is not 0 is zennit's: ours equals its map of the truly fused network."""
    net, x, target = modular("batchnorm")
    for module in (net.bn1, net.bn2):
        module.eps = 0.1
    before = net(x).detach()
    composite = zc.EpsilonPlus(canonizers=[SequentialMergeBatchNorm()])
    with composite.context(net) as canonized:
        assert largest(canonized(x).detach(), before) > 0.01  # another function
    ours, theirs = compare(net, x, target, composite)
    assert largest(ours, theirs) > 1e-3
    fused = nn.Sequential()
    fused.append(torch.nn.utils.fusion.fuse_conv_bn_eval(net.conv1, net.bn1)).append(net.relu1).append(net.pool1)
    fused.append(torch.nn.utils.fusion.fuse_conv_bn_eval(net.conv2, net.bn2)).append(net.relu2).append(net.pool2)
    fused.append(net.flat).append(net.fc).eval()
    assert largest(fused(x).detach(), before) < 1e-12
    theirs = zennit_map(fused, x, target, zc.EpsilonPlus())
    agrees("zennit EpsilonPlus (published)", "batchnorm, fused", ours, theirs, within=1e-11)
