"""Small random float64 networks, one for each way in which real classifiers are put together.

    net, x, target = make("residual")

Built anew at each call from the same seed, so no test can spoil another's network.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import torchvision.models as tv
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

import posgrad_edu as pg

CLASSES = 6
PHOTOS = 3
RECTGRAD_Q = 0.9
TARGET = torch.tensor([0, 1, 5])
TARGETS = torch.tensor([[0, 3], [1, 2], [5, 4]])


class Counted(nn.Module):
    """A network that counts its forward passes."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.passes = net, 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return self.net(x)


class Spelled(nn.Module):
    """Two convolutions and two linear layers, with a pluggable ``relu`` between them; weights from one seed."""

    def __init__(self, relu: Callable[[Tensor], Tensor] | None = None, bias: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(8, 12, 3, padding=1, bias=bias)
        self.fc1 = nn.Linear(12 * 16, 20, bias=bias)
        self.fc2 = nn.Linear(20, CLASSES, bias=bias)
        self.relu = relu  # a module is registered, and re-used three times; a function is only kept

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.relu(self.conv1(x)), 2)
        x = F.avg_pool2d(self.relu(self.conv2(x)), 2)
        return self.fc2(self.relu(self.fc1(x.flatten(1))))


class IgnoredReturn(Spelled):
    """The same network, whose ReLUs are in place and whose return value nobody reads."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x.relu_()
        x = self.conv2(F.max_pool2d(x, 2))
        x.relu_()
        x = self.fc1(F.avg_pool2d(x, 2).flatten(1))
        x.relu_()
        return self.fc2(x)


def plain(inplace: bool = False, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 8, 3, padding=1, bias=bias),
            relu1=nn.ReLU(inplace),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(8, 12, 3, padding=1, bias=bias),
            relu2=nn.ReLU(inplace),
            pool2=nn.AvgPool2d(2),
            flat=nn.Flatten(),
            fc1=nn.Linear(12 * 16, 20, bias=bias),
            relu3=nn.ReLU(inplace),
            fc2=nn.Linear(20, CLASSES, bias=bias),
        )
    )


def batchnorm() -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 8, 3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(8),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(8, 12, 3, padding=1),
            bn2=nn.BatchNorm2d(12),
            relu2=nn.ReLU(),
            pool2=nn.AdaptiveAvgPool2d(2),
            flat=nn.Flatten(),
            fc=nn.Linear(48, CLASSES),
        )
    )


class NarrowResNet(tv.ResNet):
    """torchvision's ResNet with one block a stage, and an eighth of its channels."""

    def __init__(self) -> None:
        super().__init__(BasicBlock, [1, 1, 1, 1])
        self.fc = nn.Linear(64, CLASSES)

    def _make_layer(self, block: type, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
        return super()._make_layer(block, planes // 8, *args, **kwargs)


def residual(inplace: bool = True) -> nn.Module:
    net = NarrowResNet()
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = inplace
    return net


def relu6() -> nn.Module:
    net = tv.MobileNetV2(CLASSES, inverted_residual_setting=[[1, 8, 1, 1], [3, 12, 2, 2], [3, 16, 1, 2]])
    with torch.no_grad():  # wide enough that some units pass 6
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.mul_(2)
    return net


def dense() -> nn.Module:
    return tv.DenseNet(growth_rate=4, block_config=(2, 2), num_init_features=8, bn_size=2, num_classes=CLASSES)


MAKERS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "plain": (plain, 16),
    "batchnorm": (batchnorm, 16),
    "inplace": (lambda: plain(inplace=True), 16),
    "functional": (lambda: Spelled(F.relu), 16),
    "reused": (lambda: Spelled(nn.ReLU()), 16),
    "residual": (residual, 40),
    "dense": (dense, 32),
    "relu6": (relu6, 32),
}
ALL = tuple(MAKERS)
RELU_ONLY = tuple(name for name in MAKERS if name != "relu6")


def seeded(maker: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Return ``maker()`` in float64 and evaluation mode, with parameters and statistics from one seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = maker().double().eval()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
                with torch.no_grad():
                    module.weight.mul_(torch.empty_like(module.weight).normal_(1, 0.2))
                    module.bias.normal_(0, 0.2)
    return net


def photos(size: int, count: int = PHOTOS, seed: int = 1) -> Tensor:
    """Return a batch (count, 3, size, size) of values of either sign."""
    return torch.randn(count, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def make(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Return the network of that name, a batch of photos for it, and one class for each photo."""
    maker, size = MAKERS[name]
    return seeded(maker), photos(size), TARGET.clone()


def spelled(relu: Callable[[Tensor], Tensor], kind: type[Spelled] = Spelled) -> nn.Module:
    return seeded(lambda: kind(relu))


class Toy(nn.Module):
    """conv, ReLU, conv, ReLU, linear, ReLU, linear; biases everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 3, 3, stride=2)
        self.fc1, self.fc2 = nn.Linear(3 * 4, 7), nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


def as_matrix(apply: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Tensor:
    """Return the matrix of a linear function: one column for each unit vector."""
    units = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    return torch.stack([apply(unit.unsqueeze(0)).flatten() for unit in units], dim=1)


def toy() -> tuple[Toy, Tensor, list[Tensor], list[Tensor]]:
    """Return the toy network, photos, its four layers as matrices, and their biases as vectors."""
    net = seeded(Toy, seed=5)
    x = torch.randn(3, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    c1, c2 = net.conv1, net.conv2
    matrices = [
        as_matrix(lambda t: F.conv2d(t, c1.weight, padding=1), (2, 6, 6)),
        as_matrix(lambda t: F.conv2d(t, c2.weight, stride=2), (4, 6, 6)),
        net.fc1.weight,
        net.fc2.weight,
    ]
    biases = [c1.bias.repeat_interleave(36), c2.bias.repeat_interleave(4), net.fc1.bias, net.fc2.bias]
    return net, x, [m.detach() for m in matrices], [b.detach() for b in biases]


class Counting(nn.Module):
    """Counts how often the network inside it runs, and on how many photos."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.net(x)


def largest(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference, relative to the largest value of ``theirs``."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    assert torch.isfinite(ours).all()
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def explain(net: nn.Module, x: Tensor, target: Any, method: str, handling: Any = None, **options: Any) -> Tensor:
    """Call ``pg.explain``; rectgrad cuts nine tenths, for its published .98 leaves nothing of layers under 50 units."""
    if method == "rectgrad":
        options.setdefault("q", RECTGRAD_Q)
    maps = pg.explain(net, x, target, method, handling, **options)
    assert maps.abs().max() > 0, f"{method} gave an empty map, which agrees with anything"
    return maps
