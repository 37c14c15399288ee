"""JPEG bytes to pixels with libjpeg-turbo, reduced while decoding: a large photo costs a fraction of its pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import simplejpeg
from PIL import ImageFile

from services.shared.imaging.base import Box, Pixels, SourceImage
from services.shared.imaging.decode import orientation_of, upright
from services.shared.imaging.decode_plan import choose_reduction, reduced, turbojpeg_bytes
from services.shared.imaging.ink import find_ink
from services.shared.imaging.picture_file import is_interleaved
from services.shared.imaging.settings import ImageSettings


def decode_jpeg(
    data: bytes, image: ImageFile.ImageFile, settings: ImageSettings, take: Callable[[int], None]
) -> SourceImage | None:
    """The pixels of an opened JPEG, reduced as far as `settings` allow; None for one that the reference must judge.

    `take` is called with the bytes that a decode is about to hold, and again when a finer one replaces it: a drawing
    that turns out to be a small part of the picture is decoded a second time.
    """
    width, height = image.size
    orientation = orientation_of(image)
    tall, wide = (width, height) if orientation >= 5 else (height, width)  # the stored rows may be upright columns
    coefficients = 0 if is_interleaved(image, data) else getattr(image, "layers", 3)

    def decode_at(reduction: int) -> Pixels | None:
        take(turbojpeg_bytes(width, height, settings.channels, reduction, coefficients=coefficients))
        stored = _decode(data, width, height, reduction, settings)
        return None if stored is None else upright(stored, orientation)

    reduction = choose_reduction(tall, wide, settings)
    pixels = decode_at(reduction)
    if pixels is not None and reduction > 1 and settings.fit == "content":
        finer = choose_reduction(tall, wide, settings, _ink_at_full_size(pixels, reduction))
        if finer < reduction:
            del pixels  # no longer reserved
            pixels = decode_at(finer)
    return None if pixels is None else SourceImage(pixels, wide, tall, "jpeg")


def _decode(data: bytes, width: int, height: int, reduction: int, settings: ImageSettings) -> Pixels | None:
    """As stored, HxWxC. None when libjpeg-turbo objects to anything at all, also to what the reference forgives."""
    wide, tall = reduced(width, reduction), reduced(height, reduction)
    # A buffer of ours: the library would allocate by its own reading of the header.
    pixels: Pixels = np.empty((tall, wide, settings.channels), np.uint8)
    try:
        decoded = simplejpeg.decode_jpeg(
            data,
            "GRAY" if settings.color == "grey" else "RGB",
            min_height=tall,
            min_width=wide,
            buffer=pixels,
            strict=True,  # else a truncated file is a grey picture
        )
    except ValueError:
        return None
    return pixels if decoded.shape == pixels.shape else None


def _ink_at_full_size(pixels: Pixels, reduction: int) -> Box | None:
    box = find_ink(pixels).box
    return box and Box(*(side * reduction for side in (box.left, box.top, box.right, box.bottom)))
