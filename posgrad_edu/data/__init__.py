"""Photos, and what makes tensors of them."""

from posgrad_edu.data.photos import PHOTOS, Box, Mosaic, Photo, load_photo, mosaic, photo_names
from posgrad_edu.data.preprocessing import Preprocessing
from posgrad_edu.data.reading import FORMATS, MAX_PIXELS, MAX_SIDE, ImageError, Source, read_image, upright

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
    "upright",
]
