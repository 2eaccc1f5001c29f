"""What the tries of many tasks are made of: small random networks, photos, classes, a layer's values, handlings."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from posgrad_edu.checks.engine.draw import until
from posgrad_edu.handling import HANDLINGS

CLASSES = 5
BATCHES = (3, 3, 2, 1)  # photos in each of the four tries; the first two have equal shapes, the last only one
COLOURS = (3, 3, 1, 3)  # of these photos
DARK = 4  # rows and columns of a photo that is black in a corner: there the input of a ReLU can be exactly 0
PHOTO = (8, 6)  # height and width differ, so that swapped axes show
KINK = 1e-5  # no ReLU's input is nearer to 0: there rounding would decide whether a gradient passes

Handle = Callable[[Tensor], Tensor]  # a handling, or anything a learner may call in its place


def handling(n: int) -> Handle:
    """Return the handling of the n-th try: positive, signed, absolute, negative."""
    return HANDLINGS[("positive", "signed", "absolute", "negative")[n]]


def network(batchnorm: bool = False, inplace: bool = False, classes: int = CLASSES, colours: int = 3) -> nn.Sequential:
    """Return a random classifier of photos (N, colours, 8, 6) with three ReLU modules, in evaluation mode.

    batchnorm: each convolution is followed by one, and the second convolution has no bias of its own.
    inplace: the ReLUs overwrite their input, as in many of torchvision's networks.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv1=nn.Conv2d(colours, 6, 3, padding=1))
    if batchnorm:
        layers["norm1"] = nn.BatchNorm2d(6, eps=0.03)  # large enough that it shows where it is forgotten
    layers["relu1"] = nn.ReLU(inplace)
    layers["conv2"] = nn.Conv2d(6, 7, 3, padding=1, bias=not batchnorm)
    if batchnorm:
        layers["norm2"] = nn.BatchNorm2d(7, eps=0.03)
    layers |= {"relu2": nn.ReLU(inplace), "pool": nn.AvgPool2d(2), "flat": nn.Flatten()}
    layers |= {"fc1": nn.Linear(7 * 4 * 3, 10), "relu3": nn.ReLU(inplace), "fc2": nn.Linear(10, classes)}
    for module in layers.values():
        _initialize(module)
    return nn.Sequential(layers).eval()


def _initialize(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        fan = module.weight[0].numel()
        nn.init.normal_(module.weight, std=(2 / fan) ** 0.5)
        if module.bias is not None:
            nn.init.normal_(module.bias, std=0.3)
    elif isinstance(module, nn.BatchNorm2d):
        for tensor, low, high in [(module.weight, 0.5, 1.5), (module.bias, -0.5, 0.5)]:
            nn.init.uniform_(tensor, low, high)
        module.running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr]
        module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]


def photos(n: int) -> Tensor:
    """Return the photos (N, colours, 8, 6) of the n-th try."""
    return torch.randn(BATCHES[n], COLOURS[n], *PHOTO)


def classes(n: int) -> Tensor:
    """Return one class a photo (N,) for the n-th try; where there are several photos, they aren't all alike."""
    found = torch.randint(CLASSES, (BATCHES[n],))
    if len(found) > 1:
        found[1] = (found[0] + 1 + torch.randint(CLASSES - 1, ())) % CLASSES
    return found


def asked(
    n: int, batchnorm: bool = False, inplace: bool = False, dark: bool = False
) -> tuple[nn.Sequential, Tensor, Tensor]:
    """Return a network, photos and one class a photo for the n-th try, away from the kinks of its ReLUs, or on them.

    The class of a photo that comes alone is neither the first nor the most or least likely one. dark: photos have a
    black corner, and the first convolution's biases are 0, so that some inputs of the first ReLU are exactly 0.
    """

    def drawn() -> tuple[nn.Sequential, Tensor, Tensor]:
        net, x = network(batchnorm, inplace, colours=COLOURS[n]), photos(n)
        if dark:
            x[:, :, :DARK, :DARK] = 0
            nn.init.zeros_(net.get_parameter("conv1.bias"))
        return net, x, classes(n)

    return until(_is_fit, drawn)


def _is_fit(asked: tuple[nn.Sequential, Tensor, Tensor]) -> bool:
    net, x, target = asked
    return _off_the_kinks(net, x) and (len(x) > 1 or _is_no_guess(net, x, int(target[0])))


@torch.no_grad()
def _is_no_guess(net: nn.Module, x: Tensor, target: int) -> bool:
    logits = net(x)[0]
    return target not in (0, int(logits.argmax()), int(logits.argmin()))


@torch.no_grad()
def _off_the_kinks(net: nn.Sequential, x: Tensor) -> bool:
    for module in net:
        if isinstance(module, nn.ReLU) and bool(((x != 0) & (x.abs() < KINK)).any()):
            return False
        x = module(x)
    return True


def layer(n: int) -> tuple[Tensor, Tensor, Handle]:
    """Return activations and gradients (N, 5, 4, 6) of a layer, and a handling, for the n-th try."""
    shape = (BATCHES[n], 5, 4, 6)
    return torch.randn(shape), torch.randn(shape), handling(n)
