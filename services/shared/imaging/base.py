"""What turns an uploaded picture into a model's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def as_pixels(array: Any) -> Pixels:
    """A uint8 array as HxWxC: OpenCV and Pillow leave the channel axis out of a grey picture."""
    pixels: Pixels = array if array.ndim == 3 else array[:, :, np.newaxis]
    return pixels


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open rectangle in pixels; sides may be fractions."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class SourceImage:
    """A decoded picture, turned upright: `pixels` is HxWxC with one channel (grey) or three (RGB).

    `width` and `height` are the source's own, after its EXIF orientation; a decoder may give fewer `pixels` than that,
    evenly reduced. `format` is lower case: `jpeg`, `png`, `webp`, `gif`, `bmp`, `tiff` or `avif`.
    """

    pixels: Pixels
    width: int
    height: int
    format: str


@dataclass(slots=True)  # not frozen: one is made for every picture, and freezing takes four times as long
class DecodedImage:
    """A model's input without batch dimension, HxWxC, and what is known of the picture that it came from.

    `window` is the part of the source that `tensor` shows, edge to edge, in the source's pixels; it may reach beyond
    the picture. Given for tasks whose answers lie on the picture (detection, segmentation), None for the others.
    """

    tensor: Pixels
    width: int
    height: int
    format: str
    window: Box | None = None


class Preprocessor(Protocol):
    """Image bytes to a uint8 array of exactly the shape that the model's input promises.

    May be called from any number of threads at once. Memory is bounded by the limit on pixels, which is checked from
    the header, before anything is decoded. Raises UndecodableImage, UnsupportedMediaType or TooLarge; nothing else.

    `is_brief`, which looks at a header only: decoding takes no longer than handing it to another thread would.

    `brief`: the same as a call gives, as quickly as `is_brief` says, waiting for nothing and raising nothing. None: the
    picture is damaged, or not of the plain tiny kind. A call gives the picture or the error.
    """

    def is_brief(self, data: bytes) -> bool: ...

    def brief(self, data: bytes) -> DecodedImage | None: ...

    def __call__(self, data: bytes) -> DecodedImage: ...
