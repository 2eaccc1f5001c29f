"""Pictures read as a viewer would show them: from a file, from bytes, or opened with PIL by somebody else.

What comes out is a ``PIL.Image`` of mode RGB, upright. A file that can't be read faithfully is refused, never guessed
at: a map of half a photo would look like a result.
"""

from __future__ import annotations

import io
import math
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile, PngImagePlugin, UnidentifiedImageError

MAX_PIXELS = 150_000_000  # a 12,000 x 9,000 photo has 108 million
# Most formats are decoded to 4 bytes a pixel: .6 GB at most. Pillow takes 16 for WebP, libjpeg 6 for progressive JPEG.
MAX_PIXELS_WEBP, MAX_PIXELS_PROGRESSIVE = 40_000_000, 100_000_000
MAX_BYTES = 500_000_000  # of a file; 150 million pixels without compression take 450 million
MAX_SIDE = 4096  # networks look at 224 to 600 pixels, so more only costs memory
MAX_NOTES = 64 << 20  # bytes of a PNG's colour profile or text; Pillow itself gives up at 1 MiB
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")  # how files of these begin

# Pillow's settings and warning filters belong to the whole process.
_reading = threading.RLock()

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]


class ImageError(ValueError):
    """A picture that can't be read faithfully. The message says why, and what to do."""


def read_image(source: Source, max_side: int | None = MAX_SIDE) -> Image.Image:
    """Return the picture in a path, in bytes or in an open binary file, as RGB and upright.

    Transparency is laid on white, 16-bit grey is scaled to 8 bits, the EXIF rotation is applied, an animation
    gives its first frame, colour profiles are ignored. Reading takes up to .7 GB of memory, for 150 million pixels.

    max_side: a picture with more pixels than this on a side is returned smaller, in proportion; None: as it is.

    Raises ``FileNotFoundError``, or ``ImageError`` for what can't be read: damaged or empty files, folders, pipes,
    other formats, more than 150 million pixels.
    """
    if isinstance(source, str | os.PathLike):
        path = _checked_path(source)
        with _open_path(path) as file:
            return _read(file, f"'{path}'", max_side)
    if isinstance(source, bytes | bytearray | memoryview):
        return _read(io.BytesIO(source), "This picture", max_side)
    if not hasattr(source, "read"):
        raise ImageError(f"A picture is read from a path, bytes or an open file, not {type(source).__name__}.")
    return _read(_seekable(source), "This file", max_side)


def upright(picture: Image.Image, name: str = "This picture", max_side: int | None = None) -> Image.Image:
    """Return a picture that PIL opened as a viewer would show it: RGB, or mode L if it's grey; ``picture`` stays.

    It is decoded, turned as its EXIF data say, laid on white where it's transparent. Where ``max_side`` makes it
    smaller, that costs no second picture of its size. Raises ``ImageError`` for damaged data, and for levels of which
    nothing says how bright they are.
    """
    with _own_settings():
        try:
            picture.load()
            turn = _TURNS.get(picture.getexif().get(0x0112, 1))
        except Exception as error:  # damaged data fails in as many ways as there are decoders
            raise ImageError(
                f"{name} is damaged or cut short, so that only a part of it can be read ({error}). "
                "Save or download it again."
            ) from error
        shown = _shown(picture, name, max_side)
    return shown if turn is None else shown.transpose(turn)


# What the EXIF tag "orientation" asks for; 1 is upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


# --- Files ---


def _checked_path(source: str | os.PathLike[str]) -> Path:
    """Return the path of a file that can be read to its end, ``~`` expanded."""
    path = Path(source)
    if path.parts and path.parts[0].lower() in ("http:", "https:"):
        address = path.as_posix().replace(":/", "://", 1)  # a Path keeps one of two slashes
        raise ImageError(f"'{address}' is a web address. Save the picture to a file first, and give its path.")
    if path.parts and path.parts[0].startswith("~") and not path.exists():
        with suppress(RuntimeError):  # nobody of this name has a home here: said below
            path = path.expanduser()
    try:
        kind = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        if isinstance(error, PermissionError):
            raise ImageError(f"'{path}' can't be opened: {error.strerror}. Check who may read it.") from error
        raise FileNotFoundError(
            f"There is no file '{path}'. The current folder is '{Path.cwd()}': give a path that starts there, "
            "or a full one."
        ) from error
    if stat.S_ISDIR(kind.st_mode):
        raise ImageError(f"'{path}' is a folder. Give the path of one picture in it.")
    if not stat.S_ISREG(kind.st_mode):
        raise ImageError(f"'{path}' is a pipe or a device, not a file. Save the picture to a file, and give its path.")
    return path


def _open_path(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise ImageError(f"'{path}' can't be opened: {error.strerror}. Check who may read it.") from error


def _seekable(file: IO[bytes]) -> IO[bytes]:
    """Return a file that Pillow can move in: the same one, or what a stream that can't be rewound still holds."""
    try:
        regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (AttributeError, OSError, ValueError):
        regular = True  # nothing of the operating system, such as bytes or a member of an archive
    if regular and (not hasattr(file, "seekable") or file.seekable()):
        return file
    held = io.BytesIO()
    while held.tell() <= MAX_BYTES:
        block = file.read(1 << 20)
        if isinstance(block, str):
            raise _as_text("This file")
        if not block:
            held.seek(0)
            return held
        held.write(block)
    raise _too_long("This file")


def _check_length(file: IO[bytes], name: str) -> None:
    """Refuse what holds nothing, more than a photo can, or text."""
    file.seek(0)
    start = file.read(16)
    if not isinstance(start, bytes):
        raise _as_text(name)
    if not start:
        raise ImageError(f"{name} is empty. Save it again.")
    file.seek(0, os.SEEK_END)
    if file.tell() > MAX_BYTES:
        raise _too_long(name)
    file.seek(0)


def _as_text(name: str) -> ImageError:
    return ImageError(f"{name} was opened as text. Open it with mode 'rb'.")


def _too_long(name: str) -> ImageError:
    return ImageError(f"{name} has more than {MAX_BYTES // 10**6} MB, which no photo needs. Save it as JPEG or PNG.")


# --- Pictures in files ---


def _read(file: IO[bytes], name: str, max_side: int | None) -> Image.Image:
    _check_length(file, name)
    with _own_settings(), _identify(file, name) as picture:
        _check_size(picture, name)
        if max_side is not None:
            picture.draft(picture.mode, (max_side, max_side))  # a JPEG is decoded at a fraction of its size
        result = upright(picture, name, max_side).convert("RGB")
    result.info.clear()  # what the camera noted, such as where it was, shall not end up in a shared notebook
    return result


@contextmanager
def _own_settings() -> Iterator[None]:
    """Read under this module's limits, whatever Pillow's settings are, and leave those as they were.

    A truncated file is an error. The number of pixels is checked here, so Pillow's warning at 89 million is silent.
    """
    ours = {
        (ImageFile, "LOAD_TRUNCATED_IMAGES"): False,
        (Image, "MAX_IMAGE_PIXELS"): None,
        (PngImagePlugin, "MAX_TEXT_CHUNK"): MAX_NOTES,
        (PngImagePlugin, "MAX_TEXT_MEMORY"): MAX_NOTES,
    }
    with _reading, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before: dict[tuple[Any, str], Any] = {place: getattr(*place) for place in ours}
        try:
            for place, value in ours.items():
                setattr(*place, value)
            yield
        finally:
            for place, value in before.items():
                setattr(*place, value)


def _identify(file: IO[bytes], name: str) -> Image.Image:
    """Read the header alone; the pixels come later, when their number is known to be harmless."""
    try:
        return Image.open(file, formats=FORMATS)
    except Exception as error:  # damaged headers fail in as many ways as there are formats
        file.seek(0)
        start = file.read(16)
        if not start.startswith(BEGINNINGS):
            advice = _advice(start)
            raise ImageError(
                f"{name} isn't a picture that can be read here: PNG, JPEG, WebP, GIF, BMP, TIFF. {advice}"
            ) from error
        why = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
        raise ImageError(
            f"{name} is damaged or cut short, or made in a way that can't be read here{why}. "
            "Save or download it again, or open it in a photo editor and export it as JPEG."
        ) from error


def _advice(start: bytes) -> str:
    """Return what to do with a file of another kind, told by its first bytes."""
    if start[4:8] == b"ftyp":  # the box that HEIC, AVIF and films begin with
        if start[8:12] in (b"heic", b"heix", b"heim", b"hevc", b"mif1", b"msf1", b"avif", b"avis"):
            return "It looks like HEIC or AVIF: export it as JPEG."
        return "It looks like a film: save one picture of it."
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<head")):
        return "It looks like a web page: save the picture itself."
    return "Save it as one of these."


def _check_size(picture: Image.Image, name: str) -> None:
    """Refuse what would fill the memory before it's decoded."""
    most, kind = MAX_PIXELS, ""
    if picture.format == "WEBP":
        most, kind = MAX_PIXELS_WEBP, " in a WebP file"
    elif picture.info.get("progressive"):
        most, kind = MAX_PIXELS_PROGRESSIVE, " in a progressive JPEG"
    if picture.width * picture.height > most:
        raise ImageError(
            f"{name} has {picture.width} x {picture.height} pixels. More than {most // 10**6} million{kind} are "
            "refused, since a small file can hide a picture that fills the memory. Make it smaller in a photo editor "
            "first."
        )


# --- Any mode to RGB ---


def _shown(picture: Image.Image, name: str, max_side: int | None) -> Image.Image:
    """Return the picture in colours, or in 8-bit grey, at most ``max_side`` large."""
    width, height = picture.size
    if max_side is None or max(width, height) <= max_side:
        return _in_colours(picture, name)
    scale = max(width, height) / max_side
    size = max(1, round(width / scale)), max(1, round(height / scale))
    # In strips of a few rows, since a second large picture, and a third with its opacity, wouldn't fit into memory.
    result = Image.new("RGB", size)
    step = max(1, (1 << 22) // math.ceil(width * scale))  # rows of the result that take four million pixels
    for top in range(0, size[1], step):
        bottom = min(top + step, size[1])
        first, last = top * height / size[1], bottom * height / size[1]
        margin = math.ceil(2 * scale) + 2  # how far bicubic interpolation looks
        begin, end = max(0, math.floor(first) - margin), min(height, math.ceil(last) + margin)
        strip = _in_colours(picture.crop((0, begin, width, end)), name, picture).convert("RGB")
        box = (0, first - begin, width, min(last - begin, strip.height))
        result.paste(strip.resize((size[0], bottom - top), Image.Resampling.BICUBIC, box=box), (0, top))
    return result


def _in_colours(picture: Image.Image, name: str, whole: Image.Image | None = None) -> Image.Image:
    """Turn any mode into RGB or L: what is transparent becomes white, levels without a known range are refused.

    whole: the file that a strip was cut from; it knows its format and what its levels mean.
    """
    file = whole or picture
    # Until version 11 Pillow read a 16-bit PNG as mode I, which holds 32 bits.
    if picture.mode.startswith("I;16") or (picture.mode == "I" and file.format == "PNG"):
        return _to_eight_bits(picture, file)
    if picture.mode in ("I", "F"):
        _check_levels(picture, name, file)
        return picture.convert("L")
    if not picture.has_transparency_data:
        try:
            return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
        except ValueError as error:
            raise ImageError(f"{name} has the colour mode {picture.mode}. Save it as RGB or grey.") from error
    layer = picture.convert("RGBA")
    white = Image.new("RGB", picture.size, "white")
    white.paste(layer, mask=layer.getchannel("A"))
    return white


def _to_eight_bits(picture: Image.Image, file: Image.Image) -> Image.Image:
    """Scale 0..65535 to 0..255, rounded. Pillow's own conversion makes everything above 255 white."""
    levels = np.array(picture, dtype=np.uint32)
    white = 65535
    if file.format == "TIFF":
        tags = file.tag_v2  # type: ignore[attr-defined]  # only a TIFF has them
        white = (1 << min(tags.get(258, (16,))[0], 16)) - 1  # microscopes save 12 bits
        if tags.get(262) == 0:  # WhiteIsZero, which Pillow minds up to 8 bits
            levels = white - levels.clip(max=white)
    transparent = file.info.get("transparency")  # a PNG may declare one level transparent
    if isinstance(transparent, int):
        levels[levels == transparent] = white
    return Image.fromarray(((levels * 255 + white // 2) // white).clip(max=255).astype(np.uint8))


def _check_levels(picture: Image.Image, name: str, file: Image.Image) -> None:
    """Refuse levels of 32 bits, except in a picture made by a program, where 0 to 255 are what is usual."""
    low, high = picture.getextrema()
    if file.format is not None or not (low >= 0 and 1 < high <= 255):  # type: ignore[operator]  # one channel
        raise ImageError(
            f"{name} has 32 bits a pixel or levels below 0, and nothing says which value is white. "
            "Save it with 8 or 16 bits, from 0 on; an array: Image.fromarray((255 * a).astype('uint8'))."
        )
