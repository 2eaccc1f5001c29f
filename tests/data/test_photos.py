"""Photos: what each file format should look like is written out here, pixel by pixel."""

from __future__ import annotations

import io
import os
import socket
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from posgrad_edu.data.photos import load_photo, mosaic, photo_credits, photo_names
from posgrad_edu.data.reading import ImageError, read_image


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("photos must not need the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def corners(width: int = 40, height: int = 24) -> Image.Image:
    """A picture whose every orientation looks different: red, green, blue and white quarters."""
    picture = Image.new("RGB", (width, height), "white")
    picture.paste("red", (0, 0, width // 2, height // 2))
    picture.paste("lime", (width // 2, 0, width, height // 2))
    picture.paste("blue", (0, height // 2, width // 2, height))
    return picture


def encode(picture: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A grey PNG that claims this size, with no more than a few bytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


# --- Sample photos ---


def test_every_sample_photo_loads_and_is_a_real_picture() -> None:
    assert len(photo_names()) == len(set(photo_names())) >= 12
    for name in photo_names():
        photo = load_photo(name)
        assert photo.mode == "RGB"
        assert min(photo.size) >= 224, name
        assert np.asarray(photo).std() > 10, name


def test_at_least_six_photos_are_in_colour() -> None:
    spread = {name: np.ptp(np.asarray(load_photo(name), dtype=int), axis=2).mean() for name in photo_names()}
    assert sum(value > 5 for value in spread.values()) >= 6


def test_the_cat_is_the_file_that_scikit_image_ships() -> None:
    skimage_data = pytest.importorskip("skimage.data")
    assert np.array_equal(np.asarray(load_photo("cat")), skimage_data.chelsea())
    assert load_photo("chelsea") == load_photo("cat")


def test_credits_name_a_licence_and_an_author_for_each_photo() -> None:
    credits = photo_credits()
    assert [photo.name for photo in credits] == photo_names()
    for photo in credits:
        assert photo.licence.strip(), photo.name
        assert photo.credit.strip(), photo.name
        assert photo.package in ("scikit-image", "scikit-learn")
    licence = {photo.name: photo.licence for photo in credits}
    assert licence["cat"] == licence["coffee"] == "CC0"
    assert licence["flower"] == licence["china"] == "CC BY 2.0"


def test_unknown_photo_names_the_nearest_and_all() -> None:
    with pytest.raises(ValueError, match="Did you mean 'coffee'") as error:
        load_photo("cofee")
    assert all(name in str(error.value) for name in photo_names())
    with pytest.raises(ValueError, match="no sample photo"):
        load_photo("")
    with pytest.raises(ValueError, match="no sample photo"):
        load_photo(3)  # type: ignore[arg-type]


def test_photo_of_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert photo_names() == []
    with pytest.raises(FileNotFoundError, match="pip install scikit-image"):
        load_photo("cat")


# --- Formats ---


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_formats_give_the_same_pixels(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"picture.{format.lower()}"
    corners().save(path)
    assert np.array_equal(np.asarray(read_image(path)), np.asarray(corners()))


@pytest.mark.parametrize(("format", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"quality": 95})])
def test_lossy_formats_give_nearly_the_same_pixels(format: str, options: dict[str, int]) -> None:
    read = np.asarray(read_image(encode(corners(), format, **options)), dtype=int)
    assert np.abs(read - np.asarray(corners(), dtype=int)).mean() < 12
    assert tuple(read[2, 2]) == pytest.approx((255, 0, 0), abs=12)


def test_path_string_bytes_memoryview_and_open_file_agree(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    corners().save(path)
    data = path.read_bytes()
    with path.open("rb") as file:
        from_file = read_image(file)
        assert not file.closed
    for source in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data)):
        assert read_image(source) == from_file == corners()


def test_format_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(encode(corners(), "PNG"))
    assert read_image(path) == corners()


def test_grey_and_black_and_white() -> None:
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    read = np.asarray(read_image(encode(grey, "PNG")))
    assert all(np.array_equal(read[..., c], np.asarray(grey)) for c in range(3))
    two = np.asarray(read_image(encode(grey.point(lambda v: 255 * (v > 99), "1"), "PNG")))
    assert set(two.ravel().tolist()) == {0, 255}


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_on_white(format: str) -> None:
    picture = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        picture.putpixel((x, 0), (200, 0, 0, alpha))
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    read = np.asarray(read_image(encode(picture, format, **options)), dtype=float)[0]
    opacity = np.array([0, 128, 255])[:, None] / 255
    assert np.abs(read - (opacity * [200, 0, 0] + (1 - opacity) * 255)).max() <= 1


def test_grey_with_alpha_is_laid_on_white() -> None:
    picture = Image.new("LA", (2, 1), (0, 0))
    picture.putpixel((1, 0), (0, 255))
    assert np.asarray(read_image(encode(picture, "PNG")))[0].tolist() == [[255] * 3, [0] * 3]


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_palette_with_a_transparent_entry(format: str) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    assert np.asarray(read_image(encode(picture, format)))[0].tolist() == [[10, 20, 30], [40, 50, 60]]
    seen = read_image(encode(picture, format, transparency=0))
    assert np.asarray(seen)[0].tolist() == [[255, 255, 255], [40, 50, 60]]


def test_cmyk() -> None:
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    for format in ("JPEG", "TIFF"):
        assert np.asarray(read_image(encode(ink, format)))[4, 4] == pytest.approx([255, 0, 0], abs=3)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(format: str) -> None:
    levels = np.array([[0, 128, 129, 257, 20_000, 32_768, 65_000, 65_535]], dtype=np.uint16)
    read = np.asarray(read_image(encode(Image.fromarray(levels), format)))[0, :, 0]
    assert np.abs(read - levels[0] / 257).max() <= 0.5
    assert read.tolist() == [0, 0, 1, 1, 78, 128, 253, 255]


def test_sixteen_bit_grey_with_a_transparent_level() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">HH", 1000, 25_700)))
    png = b"\x89PNG\r\n\x1a\n" + header + chunk(b"tRNS", struct.pack(">H", 1000)) + pixels + chunk(b"IEND", b"")
    assert np.asarray(read_image(png))[0, :, 0].tolist() == [255, 100]


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "lime")]
    for format in ("GIF", "PNG", "WEBP", "MPO"):  # MPO: several JPEGs in one, as many phones write
        options = {"lossless": True} if format == "WEBP" else {}
        data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert np.asarray(read_image(data))[4, 4] == pytest.approx([255, 0, 0], abs=3), format


ORIENTATIONS = {
    1: lambda p: p,
    2: ImageOps.mirror,
    3: lambda p: p.rotate(180),
    4: ImageOps.flip,
    5: lambda p: ImageOps.mirror(p.rotate(-90, expand=True)),
    6: lambda p: p.rotate(-90, expand=True),
    7: lambda p: ImageOps.mirror(p.rotate(90, expand=True)),
    8: lambda p: p.rotate(90, expand=True),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_exif_rotation_is_applied(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 98, "subsampling": 0} if format == "JPEG" else {}
    read = read_image(encode(corners(), format, exif=exif, **options))
    upright = ORIENTATIONS[orientation](corners())
    assert read.size == upright.size
    assert np.abs(np.asarray(read, dtype=int) - np.asarray(upright, dtype=int)).mean() < 4


def test_notes_of_the_camera_are_left_out() -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    assert read_image(encode(corners(), "JPEG", exif=exif, comment=b"at home")).info == {}


def test_one_pixel() -> None:
    for format in ("PNG", "GIF", "BMP"):
        assert np.asarray(read_image(encode(Image.new("RGB", (1, 1), "red"), format))).tolist() == [[[255, 0, 0]]]


# --- Large pictures ---


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.slow
def test_108_megapixels_are_read_quickly_and_returned_smaller(tmp_path: Path, format: str) -> None:
    path = tmp_path / "large"
    large = Image.new("L", (12_000, 9_000), 40)
    large.paste(200, (0, 0, 6_000, 9_000))
    large.save(path, format, **({"compress_level": 1} if format == "PNG" else {}))
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's warning at 89 million pixels must not reach the learner
        picture = read_image(path)
    assert time.perf_counter() - start < 10
    assert picture.size == (4096, 3072)
    pixels = np.asarray(picture)[..., 0].astype(int)
    assert np.abs(pixels[:, :2000] - 200).max() <= 2
    assert np.abs(pixels[:, 2100:] - 40).max() <= 2


def test_max_side_none_keeps_the_size() -> None:
    wide = encode(Image.new("RGB", (5000, 2), "red"), "PNG")
    assert read_image(wide, max_side=None).size == (5000, 2)
    assert read_image(wide).size == (4096, 2)
    assert read_image(encode(corners(), "PNG"), max_side=20).size == (20, 12)


def test_reading_leaves_pillow_and_the_warning_filters_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    read_image(encode(corners(), "PNG"))
    with pytest.raises(ImageError):
        read_image(png_of_size(30_000, 30_000))
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


@pytest.mark.parametrize("size", [(15_001, 10_000), (60_000, 60_000), (2_000_000_000, 1)])
def test_decompression_bombs_are_refused(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"More than 150 million.*Make it smaller"):
        read_image(png_of_size(*size))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # also where someone has switched Pillow's own check off
    with pytest.raises(ImageError, match=rf"{size[0]} x {size[1]} pixels"):
        read_image(png_of_size(*size))


# --- Refusals ---


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, format: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), format)
    path = tmp_path / "cut"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ImageError, match=r"damaged or cut short|isn't a picture that can be read") as error:
        read_image(path)
    assert "cut" in str(error.value)


def test_damaged_png_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = bytearray(encode(Image.fromarray(noise), "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageError, match="damaged"):
        read_image(data)


def test_text_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("not a picture")
    with pytest.raises(ImageError, match=r"notes\.jpg' isn't a picture .* JPEG"):
        read_image(path)


def test_empty_file_directory_missing_file_and_web_address(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match=r"empty\.png' is empty"):
        read_image(tmp_path / "empty.png")
    with pytest.raises(ImageError, match="empty"):
        read_image(b"")
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(ImageError, match="web address"):
        read_image("https://example.org/cat.jpg")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    corners().save(path)
    path.chmod(0)
    with pytest.raises(ImageError, match="Check who may read it"):
        read_image(path)


def test_heic_from_a_phone_names_the_way_out() -> None:
    with pytest.raises(ImageError, match="HEIC or AVIF: export it as JPEG"):
        read_image(b"\x00\x00\x00\x18ftypheic" + bytes(100))


def test_32_bit_levels_are_refused() -> None:
    for values in (np.ones((4, 4), np.float32), np.full((4, 4), 70_000, np.int32)):
        with pytest.raises(ImageError, match="32 bits a pixel"):
            read_image(encode(Image.fromarray(values), "TIFF"))


def test_text_stream_and_other_objects() -> None:
    with pytest.raises(ImageError, match="mode 'rb'"):
        read_image(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="not int"):
        read_image(3)  # type: ignore[arg-type]


def test_image_error_is_a_value_error() -> None:
    assert issubclass(ImageError, ValueError)


# --- Mosaics ---


def test_mosaic_of_two_puts_each_photo_in_its_box() -> None:
    made = mosaic([Image.new("RGB", (90, 50), "red"), Image.new("RGB", (20, 70), "blue")])
    assert made.image.size == (224, 224)
    assert made.boxes == [(0, 0, 112, 224), (112, 0, 224, 224)]
    assert made.names == ["photo 1", "photo 2"]
    for box, colour in zip(made.boxes, ((255, 0, 0), (0, 0, 255)), strict=True):
        assert made.image.crop(box).getcolors() == [((box[2] - box[0]) * (box[3] - box[1]), colour)]


@pytest.mark.parametrize("size", [2, 97, 224])
def test_mosaic_of_four_covers_each_pixel_once_in_reading_order(size: int) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
    made = mosaic([Image.new("RGB", (30, 20), colour) for colour in colours], size)
    covered = np.zeros((size, size), int)
    for (left, top, right, bottom), colour in zip(made.boxes, colours, strict=True):
        covered[top:bottom, left:right] += 1
        assert (np.asarray(made.image)[top:bottom, left:right] == colour).all()
    assert (covered == 1).all()
    assert made.boxes[1][0] > made.boxes[0][0]
    assert made.boxes[2][1] > made.boxes[0][1]


def test_mosaic_crops_about_the_centre_and_keeps_proportions() -> None:
    photo = Image.new("RGB", (300, 100), "blue")
    photo.paste("red", (125, 0, 175, 100))  # the middle 50 x 100: the shape of a half
    tile = mosaic([photo, photo], 100).image.crop((1, 0, 49, 100))
    assert np.asarray(tile)[:, 2:-2].reshape(-1, 3).tolist() == [[255, 0, 0]] * (44 * 100)


def test_mosaic_boxes_survive_a_centre_crop() -> None:
    made = mosaic([Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "blue")], 224)
    seen = np.asarray(made.image.resize((256, 256), Image.Resampling.BICUBIC).crop((16, 16, 240, 240)))
    for (left, top, right, bottom), colour in zip(made.boxes, ((255, 0, 0), (0, 0, 255)), strict=True):
        assert (seen[top:bottom, left + 2 : right - 2] == colour).all()


def test_mosaic_by_name_and_with_transparency() -> None:
    made = mosaic(["cat", "coffee"])
    assert made.names == ["cat", "coffee"]
    assert np.asarray(made.image).std() > 10
    clear = mosaic([Image.new("RGBA", (9, 9)), Image.new("L", (9, 9), 7)], 4)
    assert np.asarray(clear.image)[0].tolist() == [[255] * 3, [255] * 3, [7] * 3, [7] * 3]


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_mosaic_of_any_other_number_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"two or four photos, not {count}"):
        mosaic(["cat"] * count)


def test_mosaic_refuses_a_bare_name_and_a_size_without_room() -> None:
    with pytest.raises(ValueError, match="list of two or four photos, not 'ab'"):
        mosaic("ab")
    with pytest.raises(ValueError, match="no room"):
        mosaic(["cat", "coffee"], size=1)
