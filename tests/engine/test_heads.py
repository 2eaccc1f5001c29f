"""Gradients of many classes at one layer: the same as one by one, in few passes, and never all in memory."""

from __future__ import annotations

from collections.abc import Callable

import networks as nets
import pytest
import torch
from networks import explain
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.engine import heads

CLASSES = 40


def net(*head: nn.Module, inputs: int = 6) -> nn.Module:
    return nets.seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), *head, nn.Flatten(), nn.Linear(inputs, CLASSES))
    )


HEADS: dict[str, Callable[[], nn.Module]] = {
    "average": lambda: net(nn.AdaptiveAvgPool2d(1)),
    "linear": lambda: net(inputs=6 * 36),
    "hidden layer": lambda: net(nn.Flatten(), nn.Linear(6 * 36, 7), nn.ReLU(inplace=True), inputs=7),
    "with BatchNorm": lambda: net(nn.BatchNorm2d(6), nn.AdaptiveAvgPool2d(1)),
    "average beside all positions": lambda: nets.seeded(lambda: Beside()),
    "its own hook": lambda: nets.seeded(lambda: Hooked()),
}


class Beside(nn.Module):
    """A head that averages its layer, and looks at each position besides."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.a, self.b = nn.Conv2d(3, 6, 3), nn.Linear(6, CLASSES), nn.Linear(6 * 36, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x)
        return self.b(z.flatten(1)) + self.a(z.mean((2, 3)))


class Hooked(nn.Module):
    """A network that looks at a gradient's values on the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 6, 3), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x).mean((2, 3))
        if z.requires_grad:
            z.register_hook(lambda g: 2 * g if float(g.abs().sum()) > 0 else g)
        return self.fc(z)


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "layercam"])
@pytest.mark.parametrize("head", HEADS)
def test_many_classes_are_what_each_gives_alone(head: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "AT_ONCE", 3 * 3 * 6 * 36)  # three classes of three photos
    network, x, classes = HEADS[head](), nets.photos(8), torch.arange(CLASSES).expand(3, -1)
    layer = "1" if isinstance(network, nn.Sequential) else "conv"
    together = explain(network, x, classes, method, layer=layer)
    for c in (0, 1, 17, CLASSES - 1):
        assert nets.largest(together[:, c], explain(network, x, c, method, layer=layer)) < 1e-12


def test_a_thousand_classes_take_few_passes_back_and_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nets.seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 64, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1000))
    )
    x, calls, sizes, taken = nets.photos(20, count=1), [], [], torch.autograd.grad

    def counted(*args: object, **kwargs: object) -> tuple[Tensor, ...]:
        found = taken(*args, **kwargs)  # type: ignore[arg-type]
        calls.append(kwargs)
        sizes.append(found[0].numel())
        return found

    monkeypatch.setattr(torch.autograd, "grad", counted)
    maps = pg.explain(network, x, [[*range(1000)]], "gradcam", layer="0", upsample=False)
    assert maps.shape == (1, 1000, 20, 20)
    assert len(calls) == 1
    assert max(sizes) == 1000 * 64  # not 400 positions each


@pytest.mark.parametrize("target", [1, [[0, 1], [2, 3], [3, 0]]])
def test_maps_may_be_left_in_the_layer_s_resolution(target: object) -> None:
    network, x = HEADS["average"](), nets.photos(8)
    small = explain(network, x, target, "layercam", layer="1", upsample=False)
    assert small.shape[-2:] == (6, 6)
    full = explain(network, x, target, "layercam", layer="1")
    assert torch.equal(
        nn.functional.interpolate(small.reshape(3, -1, 6, 6), (8, 8), mode="bilinear").reshape(full.shape), full
    )
    both = pg.explain(network, x, target, {u: pg.METHODS["layercam"](layer="1", upsample=u) for u in (True, False)})
    assert torch.equal(both[True], full)
    assert torch.equal(both[False], small)
