"""What is read where from: pipes, streams, settings of Pillow; and pictures that somebody else opened with PIL."""

from __future__ import annotations

import io
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from posgrad_edu.data import Preprocessing, reading
from posgrad_edu.data.reading import ImageError, read_image, upright

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8))
SAME = Preprocessing(32, 32)


def encode(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def tiff(levels: list[int], bits: int, photometric: int) -> bytes:
    """A TIFF of one row without compression, written by hand."""
    pixels = struct.pack(f"<{len(levels)}H", *levels) if bits == 16 else bytes(levels)
    entries = {256: len(levels), 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1, 279: len(pixels)}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    entries[273] = 8
    directory = struct.pack("<H", len(entries)) + table + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory


# --- Files ---


def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ImageError, match="is a pipe or a device, not a file"):
            read_image(path)


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photo.png").write_bytes(encode(NOISE))
    assert read_image("~/photo.png") == NOISE
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_image("~nobody_of_this_name/photo.png")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_image("photo\0.png")


def test_a_stream_that_cannot_be_rewound_is_read() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, encode(NOISE))
    os.close(write_end)
    with os.fdopen(read_end, "rb") as stream:
        assert read_image(stream) == NOISE


def test_a_file_that_was_read_already_is_read_again() -> None:
    file = io.BytesIO(encode(NOISE))
    file.read()
    assert read_image(file) == NOISE


def test_endless_streams_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 4 << 20)
    with Path("/dev/zero").open("rb") as stream, pytest.raises(ImageError, match="more than 4 MB"):
        read_image(stream)
    with pytest.raises(ImageError, match="more than 4 MB"):
        read_image(bytes((4 << 20) + 1))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_pillows_flag_for_truncated_files_changes_nothing(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(NOISE, format)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ImageError, match="cut short"):
        read_image(data[: len(data) * 6 // 10])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    try:
        opened = Image.open(io.BytesIO(data[: len(data) * 6 // 10]))
    except OSError:
        return  # Pillow needs the whole file to open it
    with pytest.raises(ImageError, match="cut short"):
        SAME(opened)


def test_a_png_with_a_large_colour_profile_is_read_or_refused_truly() -> None:
    assert read_image(encode(NOISE, icc_profile=bytes(3 << 20))) == NOISE
    with pytest.raises(ImageError, match="made in a way that can't be read here"):
        read_image(encode(NOISE, icc_profile=bytes(reading.MAX_NOTES + (1 << 20))))


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"\0\0\0\x18ftypisom" + bytes(99), "It looks like a film"),
        (b"\0\0\0\x18ftypavif" + bytes(99), "HEIC or AVIF"),
        (b"<!DOCTYPE html><html>" + bytes(99), "It looks like a web page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "damaged or cut short"),
        (b"plain text, nothing else", "isn't a picture"),
    ],
)
def test_messages_say_what_a_file_is(start: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        read_image(start)


def test_what_takes_more_memory_has_a_lower_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_PIXELS_WEBP", 3000)
    monkeypatch.setattr(reading, "MAX_PIXELS_PROGRESSIVE", 3000)
    for data in (encode(NOISE, "WEBP"), encode(NOISE, "JPEG", progressive=True)):
        with pytest.raises(ImageError, match="48 x 64 pixels"):
            read_image(data)
    assert read_image(encode(NOISE, "JPEG")).size == NOISE.size


def test_pillows_warning_never_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(encode(NOISE, "GIF"), max_side=20).size == (15, 20)
    assert Image.MAX_IMAGE_PIXELS == 2000


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK"])
def test_strips_give_what_the_whole_picture_does(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    large = NOISE.resize((900, 700), Image.Resampling.BICUBIC).convert(mode)
    whole = upright(large).convert("RGB").resize((90, 70), Image.Resampling.BICUBIC)
    strips = upright(large, max_side=90)
    assert np.abs(np.asarray(strips, int) - np.asarray(whole, int)).max() <= 1


def test_white_is_zero_is_no_negative() -> None:
    assert np.asarray(read_image(tiff([0, 255, 100], 8, 0)))[0, :, 0].tolist() == [255, 0, 155]
    assert np.asarray(read_image(tiff([0, 65535, 257], 16, 0)))[0, :, 0].tolist() == [255, 0, 254]
    assert np.asarray(read_image(tiff([0, 65535, 257], 16, 1)))[0, :, 0].tolist() == [0, 255, 1]


# --- Pictures that PIL opened ---


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_phones_photo_opened_with_pil_stands_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(NOISE, exif=exif)
    opened = Image.open(io.BytesIO(data))
    assert SAME.view(opened).tobytes() == SAME.view(read_image(data)).tobytes()
    assert opened.size == NOISE.size  # it stays as it was


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA", "I;16", "CMYK"])
def test_any_picture_opened_with_pil_is_the_same_as_read(mode: str) -> None:
    if mode == "I;16":
        picture = Image.fromarray(np.linspace(0, 65535, 4096).reshape(64, 64).astype(np.uint16))
    else:
        picture = NOISE.convert(mode)
    if "A" in mode:
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    data = encode(picture, "TIFF" if mode == "CMYK" else "PNG")
    for opened in (picture, Image.open(io.BytesIO(data))):
        assert SAME.view(opened).tobytes() == SAME.view(read_image(data)).tobytes()


def test_levels_without_a_range_are_refused_in_memory_too() -> None:
    for values in (np.float32([[0, 0.5]]), np.int32([[0, 70_000]]), np.int32([[-1, 200]])):
        with pytest.raises(ImageError, match="which value is white"):
            SAME(Image.fromarray(values))
    assert SAME.view(Image.fromarray(np.int32([[200, 200]]))).getpixel((0, 0)) == (200, 200, 200)


# --- Preprocessing ---


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": 299}, r"size=299, is larger than what resize=256 leaves.*Give resize=299"),
        ({"size": (200, 300), "resize": (250, 250)}, "larger than what resize"),
        ({"size": 0}, "size is a number of pixels"),
        ({"resize": 25.5}, "resize is a number of pixels"),
        ({"mean": 0.5, "std": 0.5}, "three numbers each"),
        ({"mean": [0.5], "std": [0.5, 0.5, 0.5]}, "three numbers each"),
        ({"std": [0.2, 0, 0.2]}, "no zero"),
        ({"interpolation": "bicubik"}, "Did you mean 'bicubic'"),
    ],
)
def test_settings_that_fit_no_photo_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Preprocessing(**settings)


def test_a_wide_crop_needs_a_wide_photo() -> None:
    wide = Preprocessing(size=(96, 128), resize=100)
    assert wide(Image.new("RGB", (300, 200))).shape == (3, 96, 128)
    with pytest.raises(ValueError, match="This photo becomes 150 x 100"):
        wide(Image.new("RGB", (200, 300)))


def test_one_mean_gives_one_channel() -> None:
    grey = Preprocessing(28, 28, [0.5], [0.25])
    assert grey.view(NOISE).mode == "L"
    x = grey(Image.new("RGB", (50, 40), "white"))
    assert x.shape == (1, 28, 28)
    assert x.unique().tolist() == [2.0]


def test_thin_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="1 x 3000 pixels: too thin"):
        Preprocessing()(Image.new("RGB", (1, 3000)))
    assert Preprocessing()(Image.new("RGB", (10, 1000))).shape == (3, 224, 224)
