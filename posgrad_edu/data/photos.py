"""Photos: samples that need no download, and mosaics with known places.

Every function returns ``PIL.Image`` pictures of mode RGB.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image, ImageOps

from posgrad_edu.data.reading import read_image, upright
from posgrad_edu.errors import unknown_name

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, right and bottom excluded


# --- Sample photos ---


@dataclass(frozen=True)
class Photo:
    """One sample photo: its name, the package and file that hold it, its licence, its author, its subject."""

    name: str
    package: str
    file: str
    licence: str
    credit: str
    shows: str

    @property
    def path(self) -> Path | None:
        """Where the file lies; None if it isn't installed. The package is located, not imported."""
        spec = importlib.util.find_spec(_MODULES[self.package])
        if spec is None or spec.origin is None:
            return None
        path = Path(spec.origin).parent / self.file
        return path if path.is_file() else None


_MODULES = {"scikit-image": "skimage", "scikit-learn": "sklearn"}
_CC0, _PUBLIC, _FREE = "CC0", "public domain", "no known copyright restrictions"
_CITE = "use and publication permitted, citation requested"


def _skimage(name: str, file: str, licence: str, credit: str, shows: str) -> Photo:
    return Photo(name, "scikit-image", f"data/{file}", licence, credit, shows)


def _sklearn(name: str, file: str, licence: str, credit: str, shows: str) -> Photo:
    return Photo(name, "scikit-learn", f"datasets/images/{file}", licence, credit, shows)


# Licences as the packages state them: docstrings of skimage.data, README.txt of sklearn.datasets.images (where
# the flower's link, not its text, names the author). The motorcycle's is on the Middlebury page it refers to.
# First photos of things that ImageNet has classes for, then of things it has none for, then grey ones.
PHOTOS = (
    _skimage("cat", "chelsea.png", _CC0, "Stefan van der Walt", "the face of a cat"),
    _skimage("coffee", "coffee.png", _CC0, "Rachel Michetti, Pikolo Espresso Bar", "a cup of espresso"),
    _skimage("rocket", "rocket.jpg", _PUBLIC, "SpaceX", "a Falcon 9 rocket before its launch"),
    _skimage("astronaut", "astronaut.png", _PUBLIC, "NASA", "Eileen Collins in her space suit"),
    _skimage("motorcycle", "motorcycle_left.png", _CITE, "Scharstein et al., GCPR 2014", "a red motorcycle"),
    _sklearn("china", "china.jpg", "CC BY 2.0", "danielbuechele on Flickr", "a pagoda by a lake"),
    _sklearn("flower", "flower.jpg", "CC BY 2.0", "vultilion on Flickr", "a dahlia"),
    _skimage("galaxies", "hubble_deep_field.jpg", _PUBLIC, "NASA, Hubble", "thousands of galaxies"),
    _skimage("retina", "retina.jpg", _CC0, "Mikael Häggström", "the back of a human eye"),
    _skimage("tissue", "ihc.png", _FREE, "CMMI", "stained tissue under a microscope"),
    _skimage("camera", "camera.png", _CC0, "Lav Varshney", "a man with a camera on a tripod, grey"),
    _skimage("clock", "clock_motion.png", _PUBLIC, "Stefan van der Walt", "a clock, blurred by motion, grey"),
    _skimage("coins", "coins.png", _FREE, "Brooklyn Museum", "rows of Greek coins, grey"),
    _skimage("brick", "brick.png", _CC0, "CC0Textures", "a brick wall, grey"),
    _skimage("grass", "grass.png", _CC0, "linolafett on DeviantArt", "grass, grey"),
    _skimage("gravel", "gravel.png", _CC0, "CC0Textures", "gravel, grey"),
)

# Their names, for editors to complete.
PhotoName = Literal[
    "cat",
    "coffee",
    "rocket",
    "astronaut",
    "motorcycle",
    "china",
    "flower",
    "galaxies",
    "retina",
    "tissue",
    "camera",
    "clock",
    "coins",
    "brick",
    "grass",
    "gravel",
]


def photo_credits() -> list[Photo]:
    """Return name, licence, credit and subject of each sample photo that is installed."""
    return [photo for photo in PHOTOS if photo.path is not None]


def photo_names() -> list[str]:
    """Return the names of the sample photos that are installed, for ``load_photo``."""
    return [photo.name for photo in photo_credits()]


def load_photo(name: PhotoName | str) -> Image.Image:
    """Return a sample photo by its name, or by its file's ("chelsea" is the cat). Nothing is downloaded.

    Raises ``ValueError`` for an unknown name, ``FileNotFoundError`` if the package with the photo is missing.
    """
    known = {Path(photo.file).stem: photo for photo in PHOTOS} | {photo.name: photo for photo in PHOTOS}
    photo = known.get(name) if isinstance(name, str) else None
    if photo is None:
        raise unknown_name("sample photo", name, photo_names())
    if photo.path is None:
        raise FileNotFoundError(
            f"The photo {name!r} comes with {photo.package}, as {photo.file}, which isn't there. "
            f"Install it: pip install {photo.package}"
        )
    return read_image(photo.path)


# --- Mosaics ---


class Mosaic(NamedTuple):
    """A picture made of photos, and the box in which each of them is, in its pixels."""

    image: Image.Image
    boxes: list[Box]
    names: list[str]


def mosaic(photos: Sequence[Image.Image | str], size: int = 224) -> Mosaic:
    """Return two photos side by side, or four as two by two, in a square picture of ``size`` pixels.

    Each photo is cropped about its centre to the shape of its tile. Where a network's preprocessing crops about
    the centre too, and its input is ``size`` pixels wide, the boxes hold in that input and in maps of it.

    Raises ``ValueError`` for any other number of photos, or a size below 2.
    """
    if isinstance(photos, str) or len(photos) not in (2, 4):
        given = repr(photos) if isinstance(photos, str) else len(photos)
        raise ValueError(f"A mosaic takes a list of two or four photos, not {given}.")
    if size < 2:
        raise ValueError(f"A mosaic of {size} pixels has no room for its tiles. Give a size of 2 or more.")
    half = size // 2
    columns, rows = [(0, half), (half, size)], [(0, half), (half, size)]
    if len(photos) == 2:
        rows = [(0, size)]
    boxes = [(left, top, right, bottom) for top, bottom in rows for left, right in columns]
    image = Image.new("RGB", (size, size))
    for photo, (left, top, right, bottom) in zip(photos, boxes, strict=True):
        picture = (
            load_photo(photo) if isinstance(photo, str) else upright(photo, "A photo of the mosaic").convert("RGB")
        )
        tile = ImageOps.fit(picture, (right - left, bottom - top), Image.Resampling.BICUBIC)
        image.paste(tile, (left, top))
    names = [photo if isinstance(photo, str) else f"photo {i}" for i, photo in enumerate(photos, start=1)]
    return Mosaic(image, boxes, names)
