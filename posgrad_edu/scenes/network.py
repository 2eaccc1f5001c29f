"""The network that is trained on scenes: a plain chain of convolutions and ReLUs, and where its weights lie."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from posgrad_edu.data.preprocessing import Preprocessing
from posgrad_edu.scenes.pictures import CLASSES, SIZE

WEIGHTS = Path(__file__).with_name("weights")
# Files in that folder, and the SHA-256 that `python -m posgrad_edu.scenes train` printed for each.
SCENES_WEIGHTS = {
    "pretrained": ("scenes.safetensors", "8a99ff382f122202dc4dd0c5958c3c511930d7b00fab971ebab8716c62a818c4"),
    "permuted-labels": (
        "scenes-permuted-labels.safetensors",
        "c220125b6224c666b72481606112149cefec73786c403d520b5e86ee7f3f70fe",
    ),
}

TRANSFORMER_WEIGHTS = {
    "pretrained": (
        "scenes-transformer.safetensors",
        "982a49202d9efa402241522d62ff619dd8c691192ed2c7c52b90e218920f11b6",
    ),
}

# How many convolutions there are before each halving of the resolution (64, 32, 16, 8), by depth.
STAGES = {4: (1, 1, 1, 1), 6: (1, 1, 2, 2), 8: (1, 2, 3, 2), 12: (1, 3, 4, 4)}
CHANNELS = (12, 24, 48, 64)
Head = Literal["average", "max"]
HEADS = {"average": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}


class ScenePreprocessing:
    """What a classifier of scenes does to a picture: grey, 64 x 64, brightness 0..1, not normalized.

    A scene passes as it is, so that its boxes hold in the tensor and in maps. The network's input is nowhere negative,
    which is what LRP's z+ rule asks for.
    """

    def view(self, img: Image.Image) -> Image.Image:
        """Return what the network sees: mode "L", 64 x 64; of another picture its centre, made smaller or larger."""
        return Preprocessing(size=SIZE, resize=SIZE).view(img).convert("L")

    def __call__(self, img: Image.Image) -> Tensor:
        """Return the picture as a tensor (1, 64, 64), float32."""
        return torch.from_numpy(np.asarray(self.view(img), dtype=np.float32) / 255).unsqueeze(0)


def scenes_net(depth: int = 8, head: Head | str = "average", batch_norm: bool = False) -> nn.Sequential:
    """Return an untrained network, pictures (N, 1, 64, 64) -> logits (N, 10), as a plain chain of layers.

    conv1, relu1, [pool1], ..., conv8, relu8, then the mean (or largest) value of each channel, and a linear layer.
    depth: convolutions, 4, 6, 8 or 12. head: "average" or "max", what happens to the positions.
    batch_norm: put a BatchNorm between each convolution and its ReLU, to train with; ``fold`` takes it out again.
    Raises ``ValueError`` for another depth or head.
    """
    if depth not in STAGES or head not in HEADS:
        raise ValueError(f"depth is one of {list(STAGES)}, head one of {list(HEADS)}; not {depth!r}, {head!r}.")
    net = nn.Sequential()
    number, before = 0, 1
    for stage, (convolutions, channels) in enumerate(zip(STAGES[depth], CHANNELS, strict=True), start=1):
        for _ in range(convolutions):
            number += 1
            net.add_module(f"conv{number}", nn.Conv2d(before, channels, 3, padding=1))
            if batch_norm:
                net.add_module(f"norm{number}", nn.BatchNorm2d(channels))
            net.add_module(f"relu{number}", nn.ReLU())
            before = channels
        if stage < len(CHANNELS):
            net.add_module(f"pool{stage}", nn.MaxPool2d(2))
    net.add_module(head, HEADS[head](1))
    net.add_module("flatten", nn.Flatten())
    net.add_module("head", nn.Linear(before, CLASSES))
    for layer in net:
        if isinstance(layer, nn.Conv2d):  # He et al. 2015: keeps the signal's size through any number of ReLUs
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.get_parameter("bias"))
    return net
