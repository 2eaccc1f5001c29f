"""Photos, and what makes tensors of them."""

from posgrad_edu.data.photos import (
    FORMATS,
    MAX_PIXELS,
    MAX_SIDE,
    PHOTOS,
    Box,
    ImageError,
    Mosaic,
    Photo,
    Source,
    load_photo,
    mosaic,
    photo_names,
    read_image,
)
from posgrad_edu.data.preprocessing import Preprocessing

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "MAX_SIDE",
    "PHOTOS",
    "Box",
    "ImageError",
    "Mosaic",
    "Photo",
    "Preprocessing",
    "Source",
    "load_photo",
    "mosaic",
    "photo_names",
    "read_image",
]
