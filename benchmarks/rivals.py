"""Who computes which map in benchmarks/speed.py, each with the setting that is quickest for it.

A rival is made once for a network, as a user keeps an object, and then called for each map; what it sets up lies
outside the timed part. It gets a copy of the network that nobody else has, since some change the network for good.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
import torchvision.models
from torch import Tensor, nn

import posgrad_edu as pg

FORWARD, BOTH = "forward", "forward and backward"  # the bare passes that times are held against
OURS = "posgrad_edu"
GATES = "; it sees only `nn.ReLU`, so each ReLU6 of Lite0 is made a subclass of that, which computes the same"
Compute = Callable[[], Tensor]


@dataclass(frozen=True)
class Subject:
    """A network in evaluation mode, a photo (1, C, H, W) with its likeliest class, and the layer that CAMs look at."""

    net: nn.Module
    x: Tensor
    target: int
    layer: str

    def copied(self, graph_from_layer: bool = False) -> tuple[nn.Module, nn.Module]:
        """Return a copy of the network and its layer, no parameter of which requires a gradient.

        graph_from_layer: except one bias just before the layer's end, so that what is hooked there has a graph to hook
        into, and no gradient flows further down.
        """
        net = copy.deepcopy(self.net).requires_grad_(False)
        layer = net.get_submodule(self.layer)
        if graph_from_layer:
            before: list[nn.Parameter] = []
            for module in net.modules():
                before += module.parameters(recurse=False)
                if module is ([*layer.modules()][-1]):
                    break
            before[-1].requires_grad_()
        return net, layer


class Gate(nn.ReLU):
    """A ReLU6 that is an ``nn.ReLU``, too: captum and zennit change the way back of these alone."""

    def forward(self, input: Tensor) -> Tensor:
        return F.relu6(input)


def gated(net: nn.Module) -> nn.Module:
    """Return the network with a ``Gate`` in each ReLU6's place; it computes the same as before."""
    for parent in [*net.modules()]:
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(parent, name, Gate())
    return net


@dataclass(frozen=True)
class Rival:
    """One way to a map: ``make`` sets it up for a subject and returns what computes the map.

    setting: what was chosen, for the table. positive: the map's negative part is cut off, so ours is compared without
    it. other: by what its map differs in its definition, where it does.
    """

    name: str
    make: Callable[[Subject], Compute]
    setting: str = ""
    positive: bool = False
    other: str = ""


@dataclass(frozen=True)
class Work:
    """One kind of map, the bare pass that it is held against, and those who compute it; ours comes first."""

    name: str
    unit: str
    rivals: tuple[Rival, ...]
    networks: tuple[str, ...] = ("efficientnet-lite0", "resnet50", "vgg16", "scenes")
    most: int = field(default=1000, repr=False)  # rounds


# --- Networks ---


def subject(name: str, seed: int = 0) -> Subject:
    """Return a network with a photo: real weights where they need no download, else random ones by a seed."""
    photo = pg.load_photo("coffee")
    if name in ("efficientnet-lite0", "scenes"):
        clf = pg.load_classifier(name)
        net, x = clf.net.eval(), clf.batch(photo)
    else:
        x = pg.load_classifier().batch(photo)
        torch.manual_seed(seed)
        net = getattr(torchvision.models, name)(weights=None)
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        for module in net.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # captum's hooks don't bear ReLUs that write over their input
        for norm in norms:
            norm.train().momentum = None  # the statistics become those of the one pass below
        with torch.no_grad():
            if norms:
                net(torch.cat([x, x.flip(3)]))
        net.eval()
    net.requires_grad_(False)
    with torch.no_grad():
        target = int(net(x)[0].argmax())
    layer = pg.Classifier(net, lambda img: x[0]).cam_layer
    if name == "resnet50":  # there it is a ReLU that runs three times, which pytorch-grad-cam can't tell apart
        layer = "layer4"  # ends with the last of these runs
    return Subject(net, x, target, layer)


def bare(unit: str, subject: Subject) -> Compute:
    """Return the pass that no method can do without: forward, or forward and back to the photo."""
    net, x, target = subject.net, subject.x, subject.target

    def forward() -> Tensor:
        with torch.no_grad():
            return net(x)

    def both() -> Tensor:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(net(leaf)[0, target], leaf)[0]

    return forward if unit == FORWARD else both


# --- Ours ---


def ours(method: str, classes: int | None = None, **options: Any) -> Rival:
    """Return ``pg.explain`` as a user calls it; the audit's forward passes ran once, in the warm round."""

    def make(s: Subject) -> Compute:
        target = s.target if classes is None else [list(range(classes))]
        return lambda: pg.explain(s.net, s.x, target, method, **options)[0]

    return Rival(OURS, make, "`pg.explain` as one calls it")


# --- captum ---


def captum(name: str, gates: bool = False, **options: Any) -> Rival:
    def make(s: Subject) -> Compute:
        import captum.attr

        net = s.copied()[0]
        method = getattr(captum.attr, name)(gated(net) if gates else net)
        x = s.x.clone().requires_grad_()
        return lambda: method.attribute(x, target=s.target, **options).sum(1)[0].detach()

    return Rival("captum", make, f"object kept, parameters without gradients{GATES if gates else ''}")


def captum_cam(classes: int | None = None) -> Rival:
    def make(s: Subject) -> Compute:
        import captum.attr

        net, layer = s.copied(graph_from_layer=True)
        method, size = captum.attr.LayerGradCam(net, layer), s.x.shape[-2:]

        def one(target: int) -> Tensor:
            coarse = method.attribute(s.x, target=target).detach()
            return captum.attr.LayerAttribution.interpolate(coarse, size, "bilinear")[0, 0]

        return _of(one, s.target, classes)

    return Rival("captum", make, "object kept, gradients only from the layer up, enlarged as ours")


# --- pytorch-grad-cam ---


def grad_cam(name: str, classes: int | None = None, other: str = "") -> Rival:
    def make(s: Subject) -> Compute:
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        net, layer = s.copied(graph_from_layer=name != "FullGrad")
        cam = getattr(pytorch_grad_cam, name)(net, [] if name == "FullGrad" else [layer])
        return _of(lambda c: torch.from_numpy(cam(s.x, [ClassifierOutputTarget(c)])[0]), s.target, classes)

    from_where = "gradients of the input" if name == "FullGrad" else "gradients only from the layer up"
    return Rival("pytorch-grad-cam", make, f"object kept, {from_where}", positive=True, other=other)


# --- torchcam ---


def torchcam(name: str, other: str = "") -> Rival:
    def make(s: Subject) -> Compute:
        import torchcam.methods

        net, layer = s.copied(graph_from_layer=True)
        cam, size = getattr(torchcam.methods, name)(net, layer), s.x.shape[-2:]

        def one(target: int) -> Tensor:
            coarse = cam(target, net(s.x), normalized=False)[0].detach()
            return F.interpolate(coarse[None], size, mode="bilinear")[0, 0]

        return _of(one, s.target, None)

    setting = "hooks kept, gradients only from the layer up, enlarged as ours"
    return Rival("torchcam", make, setting, positive=True, other=other)


# --- zennit ---


def zennit(name: str, gates: bool = False, other: str = "") -> Rival:
    def make(s: Subject) -> Compute:
        import zennit.composites
        from zennit.canonizers import SequentialMergeBatchNorm

        net = gated(s.copied()[0]) if gates else s.copied()[0]
        composite = getattr(zennit.composites, name)(canonizers=[SequentialMergeBatchNorm()])
        composite.register(net)  # stays: the rules are hooked in, and BatchNorm merged, once
        seed = F.one_hot(torch.tensor([s.target]), net(s.x).shape[1]).to(s.x.dtype)

        def compute() -> Tensor:
            leaf = s.x.clone().requires_grad_()
            return torch.autograd.grad(net(leaf), leaf, seed)[0].sum(1)[0]

        return compute

    setting = "rules hooked in and BatchNorm merged once (none on Lite0, whose BatchNorms hold their activation)"
    return Rival("zennit", make, f"{setting}{GATES if gates else ''}", other=other)


# --- What is computed ---

LITE0 = ("efficientnet-lite0",)
STRETCHED = "stretches what is left of the coarse map to 0..1"
ADDITIONS = "hands all relevance to both sides of an addition, and leaves BatchNorm's eps in force after merging it"
WORKS = (
    Work("gradient", BOTH, (ours("gradient"), captum("Saliency", abs=False))),
    Work(
        "guided-backprop",
        BOTH,
        (
            ours("guided-backprop"),
            captum("GuidedBackprop", gates=True),
            zennit("GuidedBackprop", gates=True),
        ),
    ),
    Work(
        "deconvnet",
        BOTH,
        (ours("deconvnet"), captum("Deconvolution", gates=True), zennit("DeconvNet", gates=True)),
    ),
    Work("rectgrad", BOTH, (ours("rectgrad"),)),
    Work(
        "gradcam", FORWARD, (ours("gradcam"), captum_cam(), grad_cam("GradCAM", other=STRETCHED), torchcam("GradCAM"))
    ),
    Work(
        "gradcam++",
        FORWARD,
        (
            ours("gradcam++"),
            grad_cam("GradCAMPlusPlus", other=f"adds 1e-6 to α's denominator; {STRETCHED}"),
            torchcam("GradCAMpp", other="divides a copy by α's denominator, so that its weights are G² · max(G, 0)"),
        ),
    ),
    Work("layercam", FORWARD, (ours("layercam"), grad_cam("LayerCAM", other=STRETCHED), torchcam("LayerCAM"))),
    Work(
        "fullgrad",
        BOTH,
        (ours("fullgrad"), grad_cam("FullGrad", other="scales each channel's term to 0..1 before it adds them up")),
    ),
    Work("lrp", BOTH, (ours("lrp"), zennit("EpsilonPlus", other=ADDITIONS))),
    *(
        Work(
            f"gradcam, {count} classes",
            FORWARD,
            (ours("gradcam", count), captum_cam(count), grad_cam("GradCAM", count, STRETCHED))[
                : 3 if count < 1000 else 1
            ],
            (*LITE0,),
            most=10 if count < 100 else 3,
        )
        for count in (10, 100, 1000)
    ),
    Work("gradcam, 1000 classes, coarse", FORWARD, (ours("gradcam", 1000, upsample=False),), LITE0, most=10),
)


def _of(one: Callable[[int], Tensor], target: int, classes: int | None) -> Compute:
    """Return what computes one class's map, or the maps of the first ``classes``, one after another."""
    return (lambda: one(target)) if classes is None else (lambda: torch.stack([one(c) for c in range(classes)]))


def installed(rivals: Iterable[Rival]) -> list[Rival]:
    """Return the rivals that are there; torchcam is in the extra ``bench`` alone."""
    modules = {"pytorch-grad-cam": "pytorch_grad_cam"}
    return [r for r in rivals if importlib.util.find_spec(modules.get(r.name, r.name))]
