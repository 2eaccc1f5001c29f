"""From a photo to the tensor that a network wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop the centre, scale to 0..1 and normalize: PIL image -> float32 tensor (3, H, W).

    size: the crop in pixels; an int for a square, or (height, width).
    resize: before cropping; an int for the shorter side, or (height, width), which may squeeze the photo.
    mean, std: one number per colour channel, on the 0..1 scale.
    interpolation: "bilinear", "bicubic", "nearest", ...
    """

    size: int | tuple[int, int] = 224
    resize: int | tuple[int, int] = 256
    mean: Sequence[float] = (0.485, 0.456, 0.406)
    std: Sequence[float] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"

    def view(self, img: Image) -> Image:
        """Return the part of the photo that the network sees: RGB, of the tensor's height and width."""
        from PIL import Image as PILImage
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.functional import center_crop, resize

        if not isinstance(img, PILImage.Image):
            raise TypeError(f"A photo is a PIL image, not {type(img).__name__}. PIL.Image.open(path) reads one.")
        shorter_or_both = [self.resize] if isinstance(self.resize, int) else list(self.resize)
        # To RGB first: the numbers of a palette image are names of colours and can't be interpolated.
        resized = resize(img.convert("RGB"), shorter_or_both, InterpolationMode(self.interpolation))
        return center_crop(resized, self.size)

    def __call__(self, img: Image) -> Tensor:
        """Return the photo as the network wants it: (3, H, W), float32, normalized."""
        from torchvision.transforms.functional import normalize, to_tensor

        return normalize(to_tensor(self.view(img)), list(self.mean), list(self.std))
