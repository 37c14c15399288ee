"""Image bytes to pixels with Pillow: the reference decoder. Other decoders are judged by what this one gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageFile, PngImagePlugin, TiffImagePlugin

from services.shared.errors import UnsupportedMediaType
from services.shared.imaging.base import Pixels, SourceImage, as_pixels
from services.shared.imaging.decode_plan import BAND_PIXELS
from services.shared.imaging.limits import MAX_PIXELS
from services.shared.imaging.picture_file import open_picture
from services.shared.imaging.words import Color

_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF 6.0, section 8


def decode(data: bytes, *, color: Color, max_pixels: int = MAX_PIXELS) -> SourceImage:
    """The first frame of a picture, upright, on white where it is transparent, 8 bits per channel.

    Raises UndecodableImage (also for a truncated file), UnsupportedMediaType, or TooLarge, the last before any pixel is
    decoded.
    """
    with open_picture(data, max_pixels=max_pixels) as (name, image):
        return load(image, name, color)


def load(image: ImageFile.ImageFile, name: str, color: Color) -> SourceImage:
    """Decodes a picture that `open_picture` opened; call it inside its `with`."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        _scale_color_key(image)
    image.load()
    pixels = upright(_flatten(image, color), orientation_of(image))
    height, width = pixels.shape[:2]
    return SourceImage(pixels, width, height, name)


def orientation_of(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation that is left to apply, 1 when there is none: broken EXIF spoils no picture.

    Pillow turns a TIFF itself when it loads, and then forgets the tag.
    """
    try:
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1
    return orientation if orientation in range(1, 9) else 1


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """A view turned by an EXIF orientation: the tag says where the stored row 0 and column 0 belong (TIFF 6.0, 274)."""
    match orientation:
        case 2:  # top right
            return pixels[:, ::-1]
        case 3:  # bottom right
            return pixels[::-1, ::-1]
        case 4:  # bottom left
            return pixels[::-1]
        case 5:  # left top
            return pixels.transpose(1, 0, 2)
        case 6:  # right top
            return pixels.transpose(1, 0, 2)[:, ::-1]
        case 7:  # right bottom
            return pixels.transpose(1, 0, 2)[::-1, ::-1]
        case 8:  # left bottom
            return pixels.transpose(1, 0, 2)[::-1]
        case _:
            return pixels


def _scale_color_key(image: PngImagePlugin.PngImageFile) -> None:
    """Takes the one transparent colour of a PNG (its tRNS) to the 8 bits that Pillow makes of its pixels.

    Pillow keeps the key as it is stored, so that it matches other pixels or none where a channel has 2, 4 or 16 bits.
    """
    key = image.info.get("transparency")
    match image.tile[0].args if image.tile else None:
        case "L;2":
            image.info["transparency"] = key * 85 if isinstance(key, int) else key
        case "L;4":
            image.info["transparency"] = key * 17 if isinstance(key, int) else key
        case "RGB;16B" if isinstance(key, tuple):
            image.info["transparency"] = tuple(channel >> 8 for channel in key)


def _flatten(image: Image.Image, color: Color) -> Pixels:
    """HxWxC of a loaded image of any mode, a band of rows at a time."""
    if image.mode in ("I", "F"):
        raise UnsupportedMediaType("pixels of 32 bits are not read here: send 8 or 16 bits per channel")
    width, height = image.size
    mode = "L" if color == "grey" else "RGB"
    deep = _Deep(image) if image.mode.startswith("I;16") else None
    rows = max(1, BAND_PIXELS // width)
    if rows >= height:
        return _band(image, mode, deep)
    pixels = np.empty((height, width, len(mode)), np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        pixels[top:bottom] = _band(image.crop((0, top, width, bottom)), mode, deep)
    return pixels


def _band(image: Image.Image, mode: str, deep: _Deep | None) -> Pixels:
    if deep is not None:
        image = deep.to_grey(image)
    elif image.has_transparency_data:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        white.alpha_composite(image.convert("RGBA"))
        image = white
    elif image.mode == "LAB":
        image = image.convert("RGB")  # LAB has no direct way to grey
    return as_pixels(np.asarray(image if image.mode == mode else image.convert(mode)))


class _Deep:
    """How a grey picture of more than 8 bits becomes one of 8: what Pillow leaves to its caller."""

    def __init__(self, image: Image.Image) -> None:
        key = image.info.get("transparency")
        tags: Any = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
        bits = tags.get(_BITS_PER_SAMPLE, (16,))
        self._shift = max(int(bits[0]) - 8, 0)
        self._inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        self._transparent = key if isinstance(key, int) else None

    def to_grey(self, image: Image.Image) -> Image.Image:
        levels = np.asarray(image)
        grey = (levels >> self._shift).astype(np.uint8)
        if self._inverted:
            grey = 255 - grey
        if self._transparent is not None:
            grey[levels == self._transparent] = 255
        return Image.fromarray(grey)
