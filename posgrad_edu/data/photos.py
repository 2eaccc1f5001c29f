"""Photos: samples that need no download, a learner's own read safely, and mosaics with known places.

Every function returns ``PIL.Image`` pictures of mode RGB, upright, as a viewer would show them. A file that
can't be read faithfully is refused, never guessed at: a map of half a photo would look like a result.
"""

from __future__ import annotations

import importlib.util
import io
import os
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from posgrad_edu.errors import unknown_name

MAX_PIXELS = 150_000_000  # a 12,000 x 9,000 photo has 108 million; Pillow itself gives up at 179 million
MAX_SIDE = 4096  # networks look at 224 to 600 pixels, so more only costs memory
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

# Opening switches Pillow's size warning off and on again, and warning filters belong to the whole process.
_opening = threading.Lock()

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, right and bottom excluded
Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]


class ImageError(ValueError):
    """A picture that can't be read faithfully. The message says why, and what to do."""


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


# --- Reading a learner's own photo ---


def read_image(source: Source, max_side: int | None = MAX_SIDE) -> Image.Image:
    """Return the picture in a path, in bytes or in an open binary file, as RGB and upright.

    Transparency is laid on white, 16-bit grey is scaled to 8 bits, the EXIF rotation is applied, an animation
    gives its first frame, colour profiles are ignored.

    max_side: a picture with more pixels than this on a side is returned smaller, in proportion; None: as it is.

    Raises ``FileNotFoundError``, or ``ImageError`` for what can't be read: damaged or empty files, folders,
    other formats, more than 150 million pixels.
    """
    if isinstance(source, str | os.PathLike):
        with _open_path(Path(source)) as file:
            return _read(file, f"'{source}'", max_side)
    if isinstance(source, bytes | bytearray | memoryview):
        return _read(io.BytesIO(source), "This picture", max_side)
    if not hasattr(source, "read"):
        raise ImageError(f"A picture is read from a path, bytes or an open file, not {type(source).__name__}.")
    return _read(source, "This file", max_side)


def _open_path(path: Path) -> IO[bytes]:
    if path.parts and path.parts[0].lower() in ("http:", "https:"):
        address = path.as_posix().replace(":/", "://", 1)  # a Path keeps one of two slashes
        raise ImageError(f"'{address}' is a web address. Save the picture to a file first, and give its path.")
    if path.is_dir():
        raise ImageError(f"'{path}' is a folder. Give the path of one picture in it.")
    if not path.exists():
        raise FileNotFoundError(
            f"There is no file '{path}'. The current folder is '{Path.cwd()}': give a path that starts there, "
            "or a full one."
        )
    try:
        return path.open("rb")
    except OSError as error:
        raise ImageError(f"'{path}' can't be opened: {error.strerror}. Check who may read it.") from error


def _read(file: IO[bytes], name: str, max_side: int | None) -> Image.Image:
    start = file.read(16)
    if not isinstance(start, bytes):
        raise ImageError(f"{name} was opened as text. Open it with mode 'rb'.")
    if not start:
        raise ImageError(f"{name} is empty. Save it again; an open file may need seek(0) first.")
    file.seek(0)
    with _identify(file, name, start) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise _too_large(name, f"{picture.width} x {picture.height} pixels")
        if max_side is not None:
            picture.draft(picture.mode, (max_side, max_side))  # a JPEG is decoded at a fraction of its size
        try:
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
        except Image.DecompressionBombError as error:
            raise _too_large(name, "too many pixels") from error
        except Exception as error:  # damaged data fails in as many ways as there are decoders
            raise ImageError(
                f"{name} is damaged or cut short, so that only a part of it can be read ({error}). "
                "Save or download it again."
            ) from error
        result = _as_rgb(picture, name)
    if max_side is not None:
        result.thumbnail((max_side, max_side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    result.info.clear()  # what the camera noted, such as where it was, shall not end up in a shared notebook
    return result


def _identify(file: IO[bytes], name: str, start: bytes) -> Image.Image:
    """Read the header alone; the pixels come later, when their number is known to be harmless."""
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit here is MAX_PIXELS, not Pillow's warning at 89 million
            return Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(name, "too many pixels") from error
    except Exception as error:
        from_phone = start[4:8] == b"ftyp"  # the box that HEIC and AVIF files begin with
        advice = "It looks like HEIC or AVIF: export it as JPEG." if from_phone else "Save it as one of these."
        raise ImageError(
            f"{name} isn't a picture that can be read here: PNG, JPEG, WebP, GIF, BMP, TIFF. {advice}"
        ) from error


def _too_large(name: str, size: str) -> ImageError:
    return ImageError(
        f"{name} has {size}. More than {MAX_PIXELS // 10**6} million are refused, since a small file can hide a "
        "picture that fills the memory. Make it smaller in a photo editor first."
    )


def _as_rgb(picture: Image.Image, name: str) -> Image.Image:
    """Turn any mode into RGB: what is transparent becomes white, levels without a known range are refused."""
    # Until version 11 Pillow read a 16-bit PNG as mode I, which holds 32 bits.
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PNG"):
        return _sixteen_to_eight_bits(picture).convert("RGB")
    if picture.mode in ("I", "F"):
        raise ImageError(
            f"{name} has 32 bits a pixel, and nothing says which value is white. Save it with 8 or 16 bits."
        )
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = Image.new("RGB", picture.size, "white")
    white.paste(layer, mask=layer.getchannel("A"))
    return white


def _sixteen_to_eight_bits(picture: Image.Image) -> Image.Image:
    """Scale 0..65535 to 0..255, rounded. Pillow's own conversion makes everything above 255 white."""
    levels = np.array(picture, dtype=np.uint32)
    transparent = picture.info.get("transparency")  # a PNG may declare one level transparent
    if isinstance(transparent, int):
        levels[levels == transparent] = 65535
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))


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
        picture = load_photo(photo) if isinstance(photo, str) else _as_rgb(photo, "A photo of the mosaic")
        tile = ImageOps.fit(picture, (right - left, bottom - top), Image.Resampling.BICUBIC)
        image.paste(tile, (left, top))
    names = [photo if isinstance(photo, str) else f"photo {i}" for i, photo in enumerate(photos, start=1)]
    return Mosaic(image, boxes, names)
