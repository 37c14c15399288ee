"""Pure: which decoder reads a picture, how much it may be reduced on the way, and the memory that this takes."""

from __future__ import annotations

from typing import Literal

from services.shared.imaging.base import Box
from services.shared.imaging.fit import choose_window
from services.shared.imaging.ink import SEARCH_SIDE
from services.shared.imaging.settings import ImageSettings

Reader = Literal["turbojpeg", "pillow"]

# Source pixels per target pixel that are left after a reduction, at least. libjpeg's reduced pixels are a little
# sharper than averaged ones; averaging two or more of them leaves less of a difference than there is between this and
# Pillow's resampling (tests/shared/imaging/test_jpeg.py measures both).
OVERSAMPLING = 2.0
# Target pixels by which a reduction may shift a picture's far edge: a side that is no multiple is rounded up.
MAX_SHIFT = 1 / 8
_REDUCTIONS = (8, 4, 2)  # libjpeg knows every eighth; the powers of two are those that it is quick at
_NARROW_MODES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}  # bytes per pixel in Pillow; 4 in all other modes
# Bytes per pixel that a format's own decoder holds beside Pillow's picture, such as two canvases and a frame.
_DECODER_BYTES = {"webp": 12, "avif": 8, "tiff": 4, "gif": 1}
BAND_PIXELS = 1 << 17  # converted at a time: stays in the cache, and palettes and alpha cost no second picture
_BAND_BYTES = 16  # per pixel of a band: cut out, as RGBA, on white, as RGB


def choose_reader(format_name: str, mode: str) -> Reader:
    """libjpeg-turbo for JPEGs that are grey or colour, Pillow for CMYK and for every other format.

    `mode` is Pillow's word for what the header says.
    """
    return "turbojpeg" if format_name == "jpeg" and mode in ("L", "RGB") else "pillow"


def choose_reduction(height: int, width: int, settings: ImageSettings, ink: Box | None = None) -> int:
    """By what an upright picture may be divided, 1, 2, 4 or 8, so that `fit` still makes the same target of it.

    28 x 28 target, stretched: 100 x 100 has 3.6 source pixels per target pixel and stays; 112 x 112 is halved; 448 x
    448 becomes an eighth, and 448 x 449 a half: its 57th eighth would reach 7 pixels beyond it, 0.4 of the target's.

    Where `fit` looks for a drawing, the picture stays as large as the copy that it looks at. Where it frames the
    drawing, `ink` decides once it is known; without it, the answer is for a drawing as large as the picture.
    """
    window = choose_window(height, width, settings, ink)
    across, down = (window.right - window.left) / settings.width, (window.bottom - window.top) / settings.height
    most = min(across, down) / OVERSAMPLING  # source pixels per target pixel
    if settings.polarity != "as_is" or settings.fit == "content":
        most = min(most, height / SEARCH_SIDE, width / SEARCH_SIDE)
    return next(
        (
            reduction
            for reduction in _REDUCTIONS
            if reduction <= most
            and _overhang(width, reduction) <= MAX_SHIFT * across
            and _overhang(height, reduction) <= MAX_SHIFT * down
        ),
        1,
    )


def _overhang(side: int, reduction: int) -> int:
    """Source pixels that the last reduced pixel covers beyond the picture."""
    return reduced(side, reduction) * reduction - side


def reduced(side: int, reduction: int) -> int:
    """A side in pixels after a reduction, as libjpeg rounds it: up."""
    return -(-side // reduction)


def pillow_bytes(format_name: str, mode: str, width: int, height: int, channels: int) -> int:
    """Memory in bytes that decoding with Pillow and fitting holds at its peak: its picture, ours, and a turned copy."""
    pixels = width * height
    per_pixel = _NARROW_MODES.get(mode, 4) + _DECODER_BYTES.get(format_name, 0) + 2 * channels
    return pixels * per_pixel + min(pixels, BAND_PIXELS) * _BAND_BYTES


def turbojpeg_bytes(width: int, height: int, channels: int, reduction: int, *, coefficients: int) -> int:
    """Memory in bytes of a reduced decode and its turned copy.

    `coefficients` per pixel are kept for the whole picture, two bytes each, whatever the reduction: 0 for a JPEG of
    one scan, up to 3 for a progressive one.
    """
    return 2 * channels * reduced(width, reduction) * reduced(height, reduction) + 2 * coefficients * width * height
