from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageOps

from services.shared.errors import TooLarge, UnsupportedMediaType
from services.shared.imaging.base import Pixels
from services.shared.imaging.decode import decode
from tests.support import image_files as files
from tests.support.image_corpus import SIZE, good_images, with_alpha
from tests.support.image_hostile import hostile_images
from tests.support.image_scenes import scene

Expected = Callable[[Image.Image], Image.Image]


def rgb_of(data: bytes) -> Pixels:
    return decode(data, color="rgb").pixels


def on_white(image: Image.Image) -> Image.Image:
    """What alpha means, in floating point."""
    rgba = np.asarray(image.convert("RGBA")).astype(np.float64)
    alpha = rgba[:, :, 3:] / 255
    return Image.fromarray(np.rint(rgba[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8))


def with_white_for(index: int, image: Image.Image) -> Image.Image:
    pixels = np.asarray(image.convert("RGB")).copy()
    pixels[np.asarray(image) == index] = 255
    return Image.fromarray(pixels)


def shades(image: Image.Image) -> Image.Image:
    alpha = np.asarray(range(0, 256, 8), np.uint8)[np.asarray(image)]
    out = image.convert("RGBA")
    out.putalpha(Image.fromarray(alpha))
    return on_white(out)


LOSSLESS: dict[str, Expected] = {
    "png RGB": lambda rgb: rgb,
    "png grey": lambda rgb: rgb.convert("L"),
    "png grey and alpha": lambda rgb: on_white(with_alpha(rgb).convert("LA")),
    "png black and white": lambda rgb: rgb.convert("1"),
    "png palette": lambda rgb: rgb.quantize(32),
    "png palette, one colour transparent": lambda rgb: with_white_for(3, rgb.quantize(32)),
    "png palette, shades of transparency": lambda rgb: shades(rgb.quantize(32)),
    "png 16-bit grey": lambda rgb: rgb.convert("L"),
    "png 16-bit RGB": lambda rgb: rgb,
    "png animated": lambda rgb: rgb,
    "png 1 x 3000": lambda rgb: rgb.resize((1, 3000)),
    "png 3000 x 1": lambda rgb: rgb.resize((3000, 1)),
    "png one pixel": lambda rgb: rgb.resize((1, 1)),
    "gif": lambda rgb: rgb.quantize(64),
    "gif transparent": lambda rgb: with_white_for(1, rgb.quantize(64)),
    "gif animated": lambda rgb: rgb.quantize(64),
    "bmp RGB": lambda rgb: rgb,
    "bmp palette": lambda rgb: rgb.quantize(64),
    "bmp black and white": lambda rgb: rgb.convert("1"),
    "bmp run lengths": lambda _: Image.fromarray(np.tile(np.repeat(np.array([16, 192], np.uint8), 4), (8, 1))),
    "tiff RGB": lambda rgb: rgb,
    "tiff LZW": lambda rgb: rgb,
    "tiff deflate, RGBA": lambda rgb: on_white(with_alpha(rgb)),
    "tiff CMYK scan": lambda rgb: rgb,
    "tiff fax": lambda rgb: rgb.convert("1"),
    "tiff palette": lambda rgb: rgb.quantize(16),
    "tiff 16-bit grey": lambda rgb: rgb.convert("L"),
    "tiff 12-bit grey": lambda rgb: rgb.convert("L").crop((0, 0, 60, SIZE[1])),
    "tiff two pages": lambda rgb: rgb,
    "webp lossless, RGBA": lambda rgb: on_white(with_alpha(rgb)),
}
LOSSY: dict[str, Expected] = {
    "jpeg": lambda rgb: rgb,
    "jpeg 4:4:4": lambda rgb: rgb,
    "jpeg 4:2:2": lambda rgb: rgb,
    "jpeg progressive": lambda rgb: rgb,
    "jpeg grey": lambda rgb: rgb.convert("L"),
    "jpeg kept as RGB": lambda rgb: rgb,
    "jpeg CMYK scan": lambda rgb: rgb,
    "jpeg YCCK": lambda rgb: rgb,
    "jpeg restart markers": lambda rgb: rgb,
    "jpeg with a second picture behind it": lambda rgb: rgb,
    "tiff JPEG inside": lambda rgb: rgb,
    "tiff LAB": lambda rgb: rgb,
    "tiff YCbCr": lambda rgb: rgb,
    "webp": lambda rgb: rgb,
    "webp animated": lambda rgb: rgb,
    "avif": lambda rgb: rgb,
    "avif RGBA": lambda rgb: on_white(with_alpha(rgb)),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_pictures_come_out_as_they_went_in(name: str) -> None:
    want = np.asarray(LOSSLESS[name](scene(*SIZE)).convert("RGB")).astype(int)
    got = rgb_of(good_images()[name]).astype(int)
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= 1  # alpha is rounded


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_pictures_keep_the_mean_of_every_patch(name: str) -> None:
    want = LOSSY[name](scene(*SIZE)).convert("RGB")
    got = Image.fromarray(rgb_of(good_images()[name]))
    assert got.size == want.size
    off = np.abs(np.asarray(got.reduce(8)).astype(int) - np.asarray(want.reduce(8)))
    assert off.mean() <= 2.5  # 2 at most is what compression does here; channels or sides exchanged give 40


@pytest.mark.parametrize("name", [name for name in good_images() if "12 megapixels" not in name])
def test_every_picture_can_be_grey_and_says_what_it_is(name: str) -> None:
    data = good_images()[name]
    grey, rgb = decode(data, color="grey"), decode(data, color="rgb")
    assert (grey.width, grey.height, grey.format) == (rgb.width, rgb.height, name.split(maxsplit=1)[0])
    assert (rgb.height, rgb.width) == rgb.pixels.shape[:2]
    assert grey.pixels.shape == (*rgb.pixels.shape[:2], 1)
    luma = rgb.pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey.pixels[:, :, 0] - luma).max() <= 1.01  # ITU-R BT.601, rounded


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_pictures_are_turned_by_their_exif_orientation(kind: str, orientation: int) -> None:
    data = files.saved(scene(48, 32), kind, exif=files.exif(orientation))
    stored = files.saved(scene(48, 32), kind)
    want = Image.fromarray(rgb_of(stored))
    want.getexif()[0x0112] = orientation
    turned = ImageOps.exif_transpose(want)
    source = decode(data, color="rgb")
    assert np.array_equal(source.pixels, np.asarray(turned))
    assert (source.width, source.height) == turned.size


@pytest.mark.parametrize("orientation", [0, 9, 77, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    data = files.saved(scene(48, 32), "PNG", exif=files.exif(orientation))
    assert np.array_equal(rgb_of(data), np.asarray(scene(48, 32)))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's; the tests make errors of warnings
def test_broken_exif_spoils_no_picture() -> None:
    source = decode(hostile_images()["JPEG with broken EXIF"], color="rgb")
    assert (source.width, source.height) == (64, 48)


@pytest.mark.parametrize(
    ("depth", "color_type", "rows", "key", "want"),
    [
        (1, files.GREY, [b"\x50"], b"\0\0", [255, 255, 255, 255]),
        (1, files.GREY, [b"\x50"], b"\0\1", [0, 255, 0, 255]),
        (2, files.GREY, [b"\x1b"], b"\0\2", [0, 85, 255, 255]),
        (4, files.GREY, [b"\x01\x2f"], b"\0\2", [0, 17, 255, 255]),
        (8, files.GREY, [b"\0\1\2\3"], b"\0\2", [0, 1, 255, 3]),
        (16, files.GREY, [b"\0\0\x80\0\x12\x34\x12\x35"], b"\x12\x34", [0, 128, 255, 18]),
        (8, files.RGB, [bytes(3) + b"\2\2\2" + b"\x09" * 6], b"\0\2\0\2\0\2", [0, 255, 9, 9]),
        (16, files.RGB, [bytes(6) + b"\x12\x34" * 3 + b"\x90\0" * 6], b"\x12\x34" * 3, [0, 255, 144, 144]),
    ],
)
def test_the_transparent_colour_of_a_png_is_white_at_every_depth(
    depth: int, color_type: int, rows: list[bytes], key: bytes, want: list[int]
) -> None:
    data = files.png(4, 1, depth, color_type, rows, files.png_chunk(b"tRNS", key))
    assert rgb_of(data)[0, :, 0].tolist() == want


@pytest.mark.parametrize(
    ("bits", "photometric", "data", "want"),
    [
        (8, 1, b"\0\x80\xff", [0, 128, 255]),
        (8, 0, b"\0\x80\xff", [255, 127, 0]),
        (12, 1, b"\x00\x08\x00\xff\xf0", [0, 128, 255]),
        (16, 1, b"\0\0\0\x80\xff\xff", [0, 128, 255]),
        (16, 0, b"\0\0\0\x80\xff\xff", [255, 127, 0]),  # an X-ray: white is zero
    ],
)
def test_grey_tiffs_have_their_levels_at_every_depth(bits: int, photometric: int, data: bytes, want: list[int]) -> None:
    tiff = files.tiff(3, 1, data, bits=bits, photometric=photometric)
    assert rgb_of(tiff)[0, :, 0].tolist() == want


def test_16_bits_with_alpha_are_put_on_white() -> None:
    row = b"\0\0" * 3 + b"\0\0" + b"\x40\0" * 3 + b"\xff\xff"
    assert rgb_of(files.png(2, 1, 16, files.RGBA, [row]))[0].tolist() == [[255] * 3, [64] * 3]


@pytest.mark.parametrize("name", ["TIFF of floats", "TIFF of 32 bits"])
def test_pixels_without_a_range_are_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="32 bits"):
        decode(hostile_images()[name], color="rgb")


def test_a_picture_higher_than_a_band_is_the_same_as_one_in_a_band() -> None:
    picture = with_alpha(scene(700, 1500, seed=9))  # two bands
    want = np.asarray(on_white(picture)).astype(int)
    assert np.abs(rgb_of(files.saved(picture, "PNG", compress_level=1)).astype(int) - want).max() <= 1


def test_the_limit_on_pixels_counts_exactly() -> None:
    data = files.saved(scene(40, 30), "PNG")
    assert decode(data, color="rgb", max_pixels=1200).width == 40
    with pytest.raises(TooLarge, match="40x30"):
        decode(data, color="rgb", max_pixels=1199)
