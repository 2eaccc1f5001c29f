"""The layer for a CAM: outputs whose channels come last are refused, by whatever name the layer is given."""

from __future__ import annotations

import networks as nets
import pytest
import timm
import torch
import torchvision.models as tv
from torch import Tensor, nn
from torchvision.models.convnext import LayerNorm2d
from torchvision.ops import Permute

import posgrad_edu as pg
from posgrad_edu.engine.layers import channels_last, is_spatial

each_cam = pytest.mark.parametrize("method", ["gradcam", "gradcam++", "layercam"])


class ChannelsLast(nn.Module):
    """A convolution, then layers over (N, h, w, C), whose mean over positions is classified."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.conv, self.stage, self.fc = nn.Conv2d(3, 16, 3, padding=1), nn.Sequential(*layers), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.stage(self.conv(x).permute(0, 2, 3, 1)).mean((1, 2)))


@each_cam
@pytest.mark.parametrize("layer", [None, "stage", "stage.0"])
@pytest.mark.parametrize("kind", [nn.LayerNorm, lambda channels: nn.Linear(16, channels)], ids=["norm", "linear"])
def test_channels_that_come_last_are_refused(kind: type[nn.Module], layer: str | None, method: str) -> None:
    net, x = nets.seeded(lambda: ChannelsLast(kind(16))), nets.photos(8)
    refusal = (
        r"goes on with tokens after .* 'conv'" if layer is None else r"output \(3, 8, 8, 16\) has its channels last"
    )
    with pytest.raises(ValueError, match=refusal):
        pg.explain(net, x, 0, method, layer=layer)
    assert pg.explain(net, x, 0, method, layer="conv").shape == (3, 8, 8)
    assert not any(module._forward_hooks for module in net.modules())


def test_a_linear_layer_over_as_many_channels_as_rows_is_told_as_well() -> None:
    net = nets.seeded(lambda: ChannelsLast(nn.Linear(16, 16)))
    with pytest.raises(ValueError, match=r"output \(3, 16, 16, 16\) has its channels last"):
        pg.explain(net, nets.photos(16), 0, "gradcam", layer="stage")


def test_timm_s_and_torchvision_s_swin_are_refused() -> None:
    small = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 1), "num_classes": 4}
    net = timm.models.SwinTransformer(img_size=56, **small).eval()
    with pytest.raises(ValueError, match=r"goes on with tokens after"):
        pg.explain(net, torch.rand(1, 3, 56, 56), 0, "gradcam")
    with pytest.raises(ValueError, match="has its channels last"):
        pg.explain(net, torch.rand(1, 3, 56, 56), 0, "gradcam", layer="layers.1")
    net = tv.SwinTransformer([4, 4], 8, [1, 1], [1, 1], [7, 7], num_classes=4).eval()
    assert pg.explain(net, torch.rand(1, 3, 56, 56), 0, "gradcam").shape == (1, 56, 56)  # its Permute is right
    with pytest.raises(ValueError, match="has its channels last"):
        pg.explain(net, torch.rand(1, 3, 56, 56), 0, "gradcam", layer="norm")


def test_the_block_around_a_linear_layer_of_convnext_is_right() -> None:
    net = timm.models.ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 8, 8, 16), num_classes=4).eval()
    x = torch.rand(1, 3, 96, 96)
    block = pg.explain(net, x, 0, "gradcam", layer="stages.3.blocks.0")
    assert torch.equal(pg.explain(net, x, 0, "gradcam"), block)


@pytest.mark.parametrize(
    "norm",
    [
        lambda: nn.LayerNorm([16, 8, 8]),
        lambda: nn.LayerNorm([8, 8]),
        lambda: LayerNorm2d(16),
        lambda: timm.layers.LayerNorm2d(16),
        lambda: nn.Sequential(Permute([0, 2, 3, 1]), nn.Linear(16, 16), Permute([0, 3, 1, 2])),
    ],
    ids=["channels and positions", "positions", "torchvision", "timm", "block"],
)
def test_channels_that_come_second_are_not_refused(norm: type[nn.Module]) -> None:
    class Second(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.fc = nn.Conv2d(3, 16, 3, padding=1), norm(), nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.norm(self.conv(x)).mean((2, 3)))

    net, x = nets.seeded(Second), nets.photos(8)
    values = net.norm(net.conv(x)).detach()
    weights = net.fc.weight[1].detach() / 64  # the gradient of the mean over 64 positions
    expected = torch.einsum("c,nchw->nhw", weights, values)
    assert nets.largest(pg.explain(net, x, 1, "gradcam", layer="norm"), expected) < 1e-12


@pytest.mark.parametrize("norm", [LayerNorm2d, timm.layers.LayerNorm2d])
def test_as_many_channels_as_columns_are_no_sign_that_they_come_last(norm: type[nn.Module]) -> None:
    net = nets.seeded(lambda: nn.Sequential(nn.Conv2d(3, 8, 1), norm(8), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    assert pg.explain(net, nets.photos(8), 0, "gradcam", layer="1").shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("shape", "spatial"),
    [
        *(((2, 5, 1, 1), False), ((1, 1, 1, 4), True), ((1, 1, 4, 1), True), ((3, 2, 2, 2), True)),
        *(((2, 5, 4), False), ((4, 4), False), ((1, 2, 3, 4, 5), False)),
    ],
)
def test_what_has_positions(shape: tuple[int, ...], spatial: bool) -> None:
    assert is_spatial(torch.zeros(shape)) is spatial
    assert not is_spatial([torch.zeros(shape)])


@pytest.mark.parametrize(
    ("module", "shape", "last"),
    [
        (nn.Linear(4, 4), (2, 3, 5, 4), True),
        (nn.Linear(4, 4), (2, 3, 4), False),
        (nn.Conv2d(4, 4, 1), (2, 3, 5, 4), False),
        (nn.LayerNorm(4), (2, 3, 5, 4), True),
        (nn.LayerNorm(4), (2, 4, 5, 4), False),  # as many channels as columns: taken for (N, C, h, w)
        (nn.LayerNorm(3), (2, 3, 5, 4), False),
        (nn.LayerNorm((5, 4)), (2, 3, 5, 4), False),
    ],
)
def test_what_has_its_channels_last(module: nn.Module, shape: tuple[int, ...], last: bool) -> None:
    assert channels_last(module, torch.zeros(shape)) is last
    assert not channels_last(module, None)
