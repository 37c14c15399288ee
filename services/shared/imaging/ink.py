"""What is drawn on a picture's background: its level, which side of it the drawing lies on, and where."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from services.shared.imaging.base import Box, Pixels, as_pixels

MIN_CONTRAST = 16  # grey levels of 255; anything fainter is a blank picture, not a drawing
SEARCH_SIDE = 512  # looked at in a reduced copy: 0.2 % of a side is precise enough to frame by
_RING = 1 / 64  # of the shorter side: wide enough that a one-pixel frame or a stroke over the edge is outvoted
FEW_ROWS = 64
INK_SHARE = 0.25  # of the contrast; lets the soft edge of an enlarged scan go, keeps a thin stroke that was averaged


@dataclass(frozen=True, slots=True)
class Ink:
    """`background` has one level per channel. `is_dark`: the drawing is darker than the background. No `box`: blank."""

    background: tuple[int, ...]
    is_dark: bool
    box: Box | None


def find_ink(pixels: Pixels) -> Ink:
    """Reads the background off the border of an HxWxC picture, and what stands out from it.

    The background is the median of the border. It is a light one when it is nearer to the lightest than to the darkest
    level of the picture, so that pencil on grey paper counts as dark on light; a blank picture goes by its own level.
    """
    reduced = _reduce(pixels)
    if reduced.shape[2] == 1:
        grey, level = reduced, _grey_level(reduced)
        background: tuple[int, ...] = (level,)
    else:
        background = _median(_ring(reduced))
        grey = as_pixels(cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY))
        level = _median(_ring(grey))[0]
    darkest, lightest, _, _ = cv2.minMaxLoc(grey)
    if lightest - darkest < MIN_CONTRAST:
        return Ink(background, is_dark=level >= 128, box=None)
    is_dark = level > (darkest + lightest) / 2
    # From the background towards the ink only: what lies on the other side of the background never counts.
    contrast = level - darkest if is_dark else lightest - level
    lit, base = (255 - grey, 255 - level) if is_dark else (grey, level)
    _, mask = cv2.threshold(lit, base + INK_SHARE * contrast, 255, cv2.THRESH_BINARY)
    x, y, width, height = cv2.boundingRect(mask)
    across, down = pixels.shape[1] / grey.shape[1], pixels.shape[0] / grey.shape[0]
    return Ink(background, is_dark, Box(x * across, y * down, (x + width) * across, (y + height) * down))


def _reduce(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    if max(height, width) <= SEARCH_SIDE:
        return pixels
    size = min(width, SEARCH_SIDE), min(height, SEARCH_SIDE)
    return as_pixels(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA))


def _grey_level(pixels: Pixels) -> int:
    """The same as `_median` of `_ring` for HxWx1."""
    height, width = pixels.shape[:2]
    if height > FEW_ROWS or width > FEW_ROWS:
        return _median(_ring(pixels))[0]
    # One pixel wide, and so short that Python's sort is over before NumPy has begun.
    data = pixels.tobytes()
    ring = data[:width] + data[-width:] + data[width:-width:width] + data[2 * width - 1 : -1 : width]
    return sorted(ring)[len(ring) // 2]


def _ring(pixels: Pixels) -> Pixels:
    """The border's pixels, as rows of channels."""
    height, width, channels = pixels.shape
    edge = max(1, round(min(height, width) * _RING))
    sides = pixels[:edge], pixels[-edge:], pixels[edge:-edge, :edge], pixels[edge:-edge, -edge:]
    return np.concatenate([side.reshape(-1, channels) for side in sides])


def _median(pixels: Pixels) -> tuple[int, ...]:
    """Per channel, the upper one of two in the middle. A sort: NumPy's median costs more than all the rest here."""
    return tuple(np.sort(pixels, axis=0)[len(pixels) // 2].tolist())
