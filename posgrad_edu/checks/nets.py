"""Small random networks and photos to try a function on: new ones for each try."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

CLASSES = 5
PHOTOS = (3, 3, 2, 1)  # of the four tries; the first two have equal shapes, the last has a batch of one
SIZE = (8, 6)  # height and width differ, so that swapped axes show


def network(batchnorm: bool = False, inplace: bool = False) -> nn.Sequential:
    """Return a random classifier of photos (N, 3, 8, 6) with three ReLU modules, in evaluation mode.

    batchnorm: each convolution is followed by one, and the second convolution has no bias of its own.
    inplace: the ReLUs overwrite their input, as in many of torchvision's networks.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv1=nn.Conv2d(3, 6, 3, padding=1))
    if batchnorm:
        layers["norm1"] = nn.BatchNorm2d(6)
    layers["relu1"] = nn.ReLU(inplace)
    layers["conv2"] = nn.Conv2d(6, 7, 3, padding=1, bias=not batchnorm)
    if batchnorm:
        layers["norm2"] = nn.BatchNorm2d(7)
    layers |= {"relu2": nn.ReLU(inplace), "pool": nn.AvgPool2d(2), "flat": nn.Flatten()}
    layers |= {"fc1": nn.Linear(7 * 4 * 3, 10), "relu3": nn.ReLU(inplace), "fc2": nn.Linear(10, CLASSES)}
    net = nn.Sequential(layers)
    for module in net:
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
    return net.eval()


def photos(n: int) -> Tensor:
    """Return the photos (N, 3, 8, 6) of the n-th try."""
    return torch.randn(PHOTOS[n], 3, *SIZE)


def classes(n: int) -> Tensor:
    """Return one class a photo (N,) for the n-th try; where there are several photos, they aren't all alike."""
    found = torch.randint(CLASSES, (PHOTOS[n],))
    if len(found) > 1:
        found[1] = (found[0] + 1 + torch.randint(CLASSES - 1, ())) % CLASSES
    return found
