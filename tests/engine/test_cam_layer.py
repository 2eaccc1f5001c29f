"""The layer that a CAM looks at: the last with positions that every path goes through, or a refusal."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import networks as nets
import pytest
import timm
import torch
import torchvision.models as tv
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.engine.cam_layer import last_spatial_layer


class Function(nn.Module):
    """Any function of a photo and some layers as a network."""

    def __init__(self, function: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.layers)


def goes_on_without(net: nn.Module, layer: str, x: Tensor) -> bool:
    """Tell whether the logits still depend on the photo when the last output of that layer is detached."""
    photo = x.clone().requires_grad_()
    runs: list[int] = []
    with torch.no_grad():
        handle = net.get_submodule(layer).register_forward_hook(lambda *_: runs.append(1))
        net(x)
        handle.remove()

    def cut(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        runs.pop()
        return output if runs else output.detach()

    handle = net.get_submodule(layer).register_forward_hook(cut)
    logits = net(photo)
    handle.remove()
    if not logits.requires_grad:
        return False
    (grad,) = torch.autograd.grad(logits.sum(), photo, allow_unused=True)
    return grad is not None and bool(grad.any())


# Expected: the name of the layer, or None where there is none to look at.
TORCHVISION = {
    "googlenet": "inception5b",
    "inception_v3": "Mixed_7c",
    "convnext_tiny": "features.7.2",
    "densenet121": "features.norm5",
    "resnet18": "layer4.1.relu",
    "mobilenet_v3_small": "features.12.2",
    "squeezenet1_1": "classifier.2",  # after the class convolution: there positive GradCAM is the signed one
    "vgg11": "features.19",
    "swin_t": "permute",
    "vit_b_16": None,
}
TIMM = {
    "tf_efficientnet_lite0": "bn2.act",
    "darknet53": "stages.4.blocks.3",
    "poolformer_s12": "stages.3.blocks.1",
    "convnextv2_atto": "stages.3.blocks.1",
    "pvt_v2_b0": "stages.3",
    "edgenext_xx_small": "stages.3.blocks.1",
    "coatnet_nano_rw_224": "norm",
    "vit_tiny_patch16_224": None,
    "deit_tiny_patch16_224": None,
    "mixer_s16_224": None,
    "levit_128s": None,
    "swin_tiny_patch4_window7_224": None,
}


def built(name: str) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in TIMM:
            return timm.create_model(name, pretrained=False).eval().requires_grad_(False)
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return tv.get_model(name, weights=None, **options).eval().requires_grad_(False)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layer"), [*TORCHVISION.items(), *TIMM.items()])
def test_known_networks(name: str, layer: str | None) -> None:
    net, x = (
        built(name),
        torch.randn(1, 3, 299 if name == "inception_v3" else 224, 299 if name == "inception_v3" else 224),
    )
    if layer is None:
        with pytest.raises(ValueError, match="tokens after"):
            last_spatial_layer(net, x)
        return
    assert last_spatial_layer(net, x) == layer
    assert not goes_on_without(net, layer, x)


@pytest.mark.parametrize("name", [name for name in nets.ALL if name != "lite0"])
def test_nothing_passes_the_layer_by(name: str) -> None:
    net, x, _ = nets.make(name)
    assert not goes_on_without(net, last_spatial_layer(net, x), x[:1])


def test_a_branch_is_not_the_layer_but_the_block_around_it_is() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.left(x), self.right(x)], 1)

    net = nn.Sequential(Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 2)).eval()
    assert last_spatial_layer(net, torch.randn(1, 3, 8, 8)) == "0"


def test_a_second_head_that_runs_last_is_left_aside() -> None:
    def two_heads(x: Tensor, body: nn.Module, fc: nn.Module, other: nn.Module) -> Tensor:
        logits = fc(body(x).mean((2, 3)))
        other(body(x).detach())
        return logits

    net = Function(two_heads, nn.Conv2d(3, 4, 3), nn.Linear(4, 2), nn.Conv2d(4, 1, 1)).eval()
    assert last_spatial_layer(net, torch.randn(1, 3, 8, 8)) == "layers.0"


def test_flips_that_are_averaged_have_no_layer_of_their_own() -> None:
    def flipped(x: Tensor, body: nn.Module, fc: nn.Module) -> Tensor:
        return fc(body(x).mean((2, 3))) + fc(body(x.flip(-1)).mean((2, 3)))

    net = Function(flipped, nn.Conv2d(3, 4, 3), nn.Linear(4, 2)).eval()
    x = torch.randn(1, 3, 8, 8)
    with pytest.raises(ValueError, match="all of its paths"):
        pg.explain(net, x, 0)
    with pytest.raises(ValueError, match="runs several times"):
        pg.explain(net, x, 0, layer="layers.0")


def test_a_layer_that_ran_on_other_pictures_than_the_photos_is_refused() -> None:
    def tiled(x: Tensor, body: nn.Module, fc: nn.Module) -> Tensor:
        crops = torch.cat([x[..., :4], x[..., 4:]])
        return fc(body(crops).mean((2, 3)).reshape(2, len(x), -1).mean(0))

    net = Function(tiled, nn.Conv2d(3, 4, 3), nn.Linear(4, 2)).eval()
    with pytest.raises(ValueError, match="2 pictures for 1 photo"):
        pg.explain(net, torch.randn(1, 3, 8, 8), 0, layer="layers.0")


def test_attention_above_the_layer_is_refused() -> None:
    def attends(x: Tensor, conv: nn.Module, fc: nn.Module) -> Tensor:
        tokens = conv(x).flatten(2).mT
        return fc(((tokens @ tokens.mT).softmax(-1) @ tokens).mean(1))

    net = Function(attends, nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 2)).eval()
    with pytest.raises(ValueError, match="tokens after"):
        last_spatial_layer(net, torch.randn(1, 3, 16, 16))


def test_a_linear_layer_on_tokens_above_the_layer_is_refused() -> None:
    """Two tokens are enough."""

    def reads_tokens(x: Tensor, conv: nn.Module, each: nn.Module, fc: nn.Module) -> Tensor:
        return fc(each(conv(x).flatten(2).mT).mean(1))

    net = Function(reads_tokens, nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8), nn.Linear(8, 2)).eval()
    with pytest.raises(ValueError, match="tokens after"):
        last_spatial_layer(net, torch.randn(1, 3, 4, 8))


def test_a_changed_network_is_looked_at_anew() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).eval()
    x = torch.randn(1, 3, 8, 8)
    assert last_spatial_layer(net, x) == "0"
    net[1] = nn.Conv2d(4, 4, 1).eval()
    assert last_spatial_layer(net, x) == "1"


def test_layers_are_named_as_people_write_them() -> None:
    net, x, target = nets.make("residual")
    name = last_spatial_layer(net, x)
    written = ".".join(part if not part.isdigit() else f"[{part}]" for part in name.split(".")).replace(".[", "[")
    expected = pg.explain(net, x, target, layer=name)
    assert torch.equal(pg.explain(net, x, target, layer=written), expected)
    assert torch.equal(pg.explain(net, x, target, layer=net.get_submodule(name)), expected)
    with pytest.raises(TypeError, match="not list"):
        pg.explain(net, x, target, layer=[name])  # type: ignore[arg-type]


class WithIdentity(nn.Module):
    """A BatchNorm whose activation is switched off by an Identity inside, as timm builds them, between convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 8, 3), NormAct(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.conv(x)).mean((2, 3)))


class NormAct(nn.BatchNorm2d):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))


class Last(nn.Module):
    """A block of tokens (N, h, w, C), nowhere named by its LayerNorm alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.fc = nn.Conv2d(3, 8, 4, 4), Block(), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block(self.stem(x).permute(0, 2, 3, 1)).mean((1, 2)))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(self.norm(x))


def test_an_identity_inside_a_layer_does_not_hide_it() -> None:
    assert last_spatial_layer(nets.seeded(WithIdentity), nets.photos(16)) == "norm"


def test_blocks_with_channels_last_are_tokens() -> None:
    with pytest.raises(ValueError, match=r"goes on with tokens after its last layer with positions .*'stem'"):
        last_spatial_layer(nets.seeded(Last), nets.photos(16))


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "layercam"])
def test_after_a_class_convolution_positive_is_signed(method: str) -> None:
    net = nets.seeded(lambda: tv.squeezenet1_1(num_classes=5))
    x = nets.photos(64)
    assert last_spatial_layer(net, x).startswith("classifier")
    signed = pg.explain(net, x, 3, method, "signed")
    assert signed.any()
    assert torch.equal(signed, pg.explain(net, x, 3, method, "positive"))
