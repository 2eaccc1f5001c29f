"""From a photo to the tensor that a network wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from posgrad_edu.data.reading import upright
from posgrad_edu.errors import unknown_name

if TYPE_CHECKING:
    from PIL.Image import Image

INTERPOLATIONS = ("nearest", "nearest-exact", "bilinear", "bicubic", "box", "hamming", "lanczos")
THINNEST = 100  # times as long as wide: resized, a thinner picture fills the memory


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop the centre, scale to 0..1 and normalize: PIL image -> float32 tensor (C, H, W).

    size: the crop in pixels; an int for a square, or (height, width).
    resize: before cropping; an int for the shorter side, or (height, width), which may squeeze the photo.
    mean, std: one number per colour channel, on the 0..1 scale: three for colours, one for a network of grey photos.
    interpolation: "bilinear", "bicubic", "nearest", ...

    A photo that was opened with PIL is taken as ``read_image`` would read it: upright, what is transparent white.
    Raises ``ValueError`` for settings that fit no photo, such as a crop larger than what is left after resizing.
    """

    size: int | tuple[int, int] = 224
    resize: int | tuple[int, int] = 256
    mean: Sequence[float] = (0.485, 0.456, 0.406)
    std: Sequence[float] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        for name in ("size", "resize"):
            if min(numbers := _sides(getattr(self, name)), default=0) < 1 or len(numbers) > 2:
                raise ValueError(f"{name} is a number of pixels or (height, width), not {getattr(self, name)!r}.")
        if np.shape(self.mean) != np.shape(self.std) or np.shape(self.mean) not in ((1,), (3,)) or 0 in self.std:
            raise ValueError(
                f"mean and std hold three numbers each, or one for grey photos, and std no zero; not {self.mean} and "
                f"{self.std}."
            )
        if self.interpolation not in INTERPOLATIONS:
            raise unknown_name("interpolation", self.interpolation, INTERPOLATIONS)
        height, width = _both(self.size)
        left = _both(self.resize)
        if (height > left[0] or width > left[1]) if not isinstance(self.resize, int) else min(height, width) > left[0]:
            raise ValueError(f"{self._too_small()} Give resize={max(height, width)} or more.")

    def view(self, img: Image) -> Image:
        """Return the part of the photo that the network sees: RGB or L, of the tensor's height and width.

        Raises ``ImageError`` for a damaged photo, ``ValueError`` for one that is too thin or too small for the crop.
        """
        from PIL import Image as PILImage
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.functional import center_crop, resize

        if not isinstance(img, PILImage.Image):
            raise TypeError(f"A photo is a PIL image, not {type(img).__name__}. PIL.Image.open(path) reads one.")
        # First to colours: the numbers of a palette image are names of colours and can't be interpolated.
        photo = upright(img, "This photo").convert("L" if len(self.mean) == 1 else "RGB")
        if min(photo.size) * THINNEST < max(photo.size):
            raise ValueError(
                f"This picture has {photo.width} x {photo.height} pixels: too thin for a network, which would see a "
                "small part of it, much enlarged. Crop it first."
            )
        shorter_or_both = [self.resize] if isinstance(self.resize, int) else list(self.resize)
        resized = resize(photo, shorter_or_both, InterpolationMode(self.interpolation))
        height, width = _both(self.size)
        if resized.height < height or resized.width < width:
            raise ValueError(f"{self._too_small()} This photo becomes {resized.height} x {resized.width}.")
        return center_crop(resized, [height, width])

    def __call__(self, img: Image) -> Tensor:
        """Return the photo as the network wants it: (C, H, W), float32, normalized."""
        from torchvision.transforms.functional import normalize, pil_to_tensor

        # Not to_tensor: its result has the default dtype.
        with torch.device("cpu"):  # whatever the default device
            return normalize(pil_to_tensor(self.view(img)).float().div(255), list(self.mean), list(self.std))

    def _too_small(self) -> str:
        return f"The crop, size={self.size}, is larger than what resize={self.resize} leaves: its edges would be black."


def _sides(pixels: object) -> list[int]:
    """Return the numbers of pixels; nothing where something isn't one."""
    sides = pixels if isinstance(pixels, tuple | list) else [pixels]
    whole = [side for side in sides if isinstance(side, int)]
    return whole if len(whole) == len(sides) else []


def _both(pixels: int | Sequence[int]) -> tuple[int, int]:
    sides = _sides(pixels)
    return sides[0], sides[-1]
