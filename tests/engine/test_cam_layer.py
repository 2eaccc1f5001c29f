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
from posgrad_edu.engine.cam_layer import find_layer, last_spatial_layer


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


# --- Names, and what is said of those that don't exist ---


def conv(size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(3, 3, size, padding=size // 2)


def named() -> nn.Module:
    """A stem, a short stage of blocks, a long one, a single layer in a row of its own, and a head."""
    layers = {"stem": conv(), "short": nn.Sequential(*[conv() for _ in range(12)])}
    layers |= {"long": nn.Sequential(*[conv(1) for _ in range(13)]), "one": nn.Sequential(conv())}
    layers |= {"block": nn.ModuleDict({"inside": conv()})["inside"], "pool": nn.AdaptiveAvgPool2d(1)}
    net = nn.Sequential()
    for name, layer in (layers | {"flat": nn.Flatten(), "head": nn.Linear(3, 2)}).items():
        net.add_module(name, layer)
    return net.eval()


def test_a_layer_that_does_not_exist_is_answered_with_those_that_do() -> None:
    net, x = named(), torch.randn(1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"^There is no layer 'xyz'\. From the photo up, there are: ") as refused:
        find_layer(net, "xyz", x)
    short = ", ".join(f"short.{n}" for n in range(12))
    assert str(refused.value).endswith(f"are: stem, {short}, long.0 to long.12, one, block, pool, flat, head.")
    with pytest.raises(ValueError, match=r"^There is no layer 'long\.13'\. Did you mean 'long\.3'"):
        find_layer(net, "long.13", x)


def test_a_layer_is_found_by_name_by_itself_or_as_the_last_one() -> None:
    net, x = named(), torch.randn(1, 3, 8, 8)
    modules = dict(net.named_modules())
    assert find_layer(net, "long[3]", x) is find_layer(net, "long.3", x) is modules["long.3"]
    assert find_layer(net, modules["one.0"], x) is modules["one.0"]
    assert find_layer(net, None, x) is modules["block"]
    assert last_spatial_layer(net, x) == "block"
    with pytest.raises(ValueError, match=r"^This Conv2d is not a layer of the network\. Give one of its modules"):
        find_layer(net, conv(), x)
    with pytest.raises(TypeError, match=r"^layer is a module of the network or its name, not int\. Give one layer"):
        find_layer(net, 3, x)  # type: ignore[arg-type]


def test_a_smaller_photo_may_have_another_layer() -> None:
    """Where positions run out earlier; each size is remembered by itself."""
    body = [nn.Conv2d(3, 3, 3, 2, 1) for _ in range(3)]
    net = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    sizes = {16: "2", 8: "1", 4: "0"}
    for _ in range(2):
        assert {size: last_spatial_layer(net, torch.randn(2, 3, size, size)) for size in sizes} == sizes
    assert last_spatial_layer(net, torch.randn(1, 3, 8, 16)) == "2"  # a row of two


def test_a_network_without_a_way_to_the_photo_says_so() -> None:
    net = Function(lambda x, body, fc: fc(body(x.detach()).mean((2, 3))), conv(), nn.Linear(3, 2)).eval()
    with pytest.raises(ValueError, match="The logits don't depend on what is explained"):
        last_spatial_layer(net, torch.randn(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (nn.Linear(3, 3), "goes on with tokens"),
        (nn.LayerNorm(3), "goes on with tokens"),
        (nn.Identity(), None),
        (nn.ReLU(), None),
    ],
)
def test_what_reads_tokens_after_the_layer(tail: nn.Module, message: str | None) -> None:
    def reads(x: Tensor, body: nn.Module, tail: nn.Module, fc: nn.Module) -> Tensor:
        return fc(tail(body(x).flatten(2).mT).mean(1))

    net = Function(reads, conv(), tail, nn.Linear(3, 2)).eval()
    if message is None:
        assert last_spatial_layer(net, torch.randn(1, 3, 8, 8)) == "layers.0"
        return
    with pytest.raises(ValueError, match=f"{message} after its last layer with positions .*'layers.0', so"):
        last_spatial_layer(net, torch.randn(1, 3, 8, 8))


def test_tokens_before_the_layer_and_one_token_after_it_are_none() -> None:
    def before(x: Tensor, embed: nn.Module, body: nn.Module, fc: nn.Module) -> Tensor:
        tokens = embed(x.flatten(2).mT)
        pooled = body(tokens.mT.reshape(x.shape)).mean((2, 3))
        return fc(pooled[:, None])[:, 0]  # (N, 1, C) is no row of tokens

    net = Function(before, nn.Linear(3, 3), conv(), nn.Linear(3, 2)).eval()
    assert last_spatial_layer(net, torch.randn(1, 3, 8, 8)) == "layers.1"


def test_a_1d_convolution_over_tokens_is_told() -> None:
    def reads(x: Tensor, body: nn.Module, along: nn.Module, fc: nn.Module) -> Tensor:
        return fc(along(body(x).flatten(2)).mean(2))

    net = Function(reads, conv(), nn.Conv1d(3, 3, 3, padding=1), nn.Linear(3, 2)).eval()
    with pytest.raises(ValueError, match="goes on with tokens"):
        last_spatial_layer(net, torch.randn(1, 3, 8, 8))


def test_a_gate_of_channels_above_the_layer_is_no_attention() -> None:
    """A product of what was made of one branch alone mixes no positions."""

    def gated(x: Tensor, body: nn.Module, fc: nn.Module) -> Tensor:
        v = body(x).mean((2, 3))
        return fc(torch.bmm(v[:, None], torch.eye(3).expand(len(x), 3, 3))[:, 0])

    net = Function(gated, conv(), nn.Linear(3, 2)).eval()
    assert last_spatial_layer(net, torch.randn(2, 3, 8, 8)) == "layers.0"


def test_ways_around_a_layer_are_counted_however_many_there_are() -> None:
    def many(x: Tensor, stem: nn.Module, left: nn.Module, right: nn.Module, last: nn.Module, fc: nn.Module) -> Tensor:
        a = stem(x)
        b = left(a) + right(a) + a
        c = left(b) + b  # runs twice, each time beside another way
        return fc((last(c) * 2 + c).mean((2, 3)))

    net = Function(many, conv(), conv(), conv(), conv(), nn.Linear(3, 2)).eval()
    assert last_spatial_layer(net, torch.randn(1, 3, 8, 8)) == "layers.0"
