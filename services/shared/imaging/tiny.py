"""Tiny pictures to a model's target: what `fit` makes of them, in a fifth of its time.

`fit` spends most of a tiny picture's time on the objects between its steps. Here its steps stand in a row for what is
sent most: a picture taken as it is, and a grey drawing that is framed and spread. Where on the target a picture goes
is asked of `fit`, and remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import floor
from typing import Any

import cv2
import numpy as np

from services.shared.imaging.base import Box, Pixels
from services.shared.imaging.fit import ENLARGE, choose_window, fit, frame, span
from services.shared.imaging.ink import FEW_ROWS, INK_SHARE, MIN_CONTRAST
from services.shared.imaging.settings import ImageSettings
from services.shared.imaging.words import Fit, Interpolation

TinyFit = Callable[[Pixels, ImageSettings], Pixels]


@dataclass(frozen=True, slots=True)
class Placement:
    """How the picture's `window` comes onto the target.

    It is averaged down to `reduced`, then enlarged to `enlarged` (width and height, as OpenCV has them; None: it has
    that size). Of that, `shown` is on the target (None: all of it), with `margins` above, below, left and right.
    """

    window: tuple[slice, slice]
    reduced: tuple[int, int] | None
    enlarged: tuple[int, int] | None
    shown: tuple[slice, slice] | None
    margins: tuple[int, int, int, int]


def choose_fit(settings: ImageSettings) -> TinyFit:
    """What gives the same as `fit` with these settings, and is quickest for tiny pictures."""
    if settings.polarity == "as_is" and settings.fit != "content":
        return fit_picture
    if settings.polarity != "as_is" and settings.fit == "content" and settings.channels == 1:
        return fit_drawing
    return fit


def fit_picture(pixels: Pixels, settings: ImageSettings) -> Pixels:
    """`fit` of a picture that is taken as it is, and not framed; never the picture's own memory."""
    height, width, channels = pixels.shape
    place = place_picture(height, width, settings.height, settings.width, settings.fit, settings.resize)
    part = _sampled(pixels, place, settings.interpolation)
    target: Any = cv2.copyMakeBorder(part, *place.margins, cv2.BORDER_CONSTANT)
    shaped: Pixels = target if channels > 1 else target[..., np.newaxis]
    return shaped


def fit_drawing(pixels: Pixels, settings: ImageSettings) -> Pixels:
    """`fit` of a grey drawing that is framed and spread. Those that are blank, of one row or of more than FEW_ROWS a
    side are left to it."""
    height, width, _ = pixels.shape
    if not 1 < height <= FEW_ROWS or width > FEW_ROWS:
        return fit(pixels, settings)
    level = border_level(pixels.tobytes(), height, width)
    darkest, lightest, _, _ = cv2.minMaxLoc(pixels)
    if lightest - darkest < MIN_CONTRAST:
        return fit(pixels, settings)
    is_dark = level > (darkest + lightest) / 2
    if is_dark:  # 255 - pixel > 255 - level + share: OpenCV rounds the right side down
        faintest = level - 1 - floor(INK_SHARE * (level - darkest))
        _, mask = cv2.threshold(pixels, faintest, 255, cv2.THRESH_BINARY_INV)
    else:
        _, mask = cv2.threshold(pixels, level + INK_SHARE * (lightest - level), 255, cv2.THRESH_BINARY)
    place = place_drawing(cv2.boundingRect(mask), height, width, settings.height, settings.width)
    part = _sampled(pixels, place, settings.interpolation)
    darkest, lightest, _, _ = cv2.minMaxLoc(part)
    dark_on_light = settings.polarity == "dark_on_light"
    light = cv2.LUT(part, spreading(level, int(darkest if is_dark else lightest), is_dark, dark_on_light))
    target: Any = cv2.copyMakeBorder(light, *place.margins, cv2.BORDER_CONSTANT, None, 255 if dark_on_light else 0)
    shaped: Pixels = target[..., np.newaxis]
    return shaped


def border_level(data: bytes, height: int, width: int) -> int:
    """The median of the border's pixels, the upper one of two in the middle; at least two rows."""
    ends = data[:width] + data[-width:]
    level = ends[0]
    if ends.count(level) > width + height - 2:  # more than half of the border: the middle one is among them
        return level
    ring = ends + data[width:-width:width] + data[2 * width - 1 : -1 : width]
    return sorted(ring)[len(ring) // 2]


@lru_cache(maxsize=4096)
def place_drawing(
    ink: tuple[int, int, int, int], height: int, width: int, target_height: int, target_width: int
) -> Placement:
    """Where `fit` puts a picture with ink at `ink` (left, top, width, height) when it frames drawings.

    Remembered: drawings of one source have few boxes, and finding out takes as long as half of the rest.
    """
    left, top, wide, high = ink
    window = frame(Box(left, top, left + wide, top + high), height, width, target_height, target_width)
    return _place(window, height, width, target_height, target_width)


@lru_cache(maxsize=1024)
def place_picture(height: int, width: int, target_height: int, target_width: int, fit: Fit, resize: int) -> Placement:
    """Where `fit` puts a whole picture."""
    settings = ImageSettings(target_height, target_width, 1, fit=fit, resize=resize)
    return _place(choose_window(height, width, settings, None), height, width, target_height, target_width)


def _place(window: Box, height: int, width: int, target_height: int, target_width: int) -> Placement:
    columns, (left, right) = span(window.left, window.right, width, target_width)
    rows, (top, bottom) = span(window.top, window.bottom, height, target_height)
    had = source_wide, source_high = len(columns), len(rows)
    wanted = wide, high = right - left, bottom - top
    smaller = had if wide >= source_wide and high >= source_high else (min(wide, source_wide), min(high, source_high))
    margins = top, target_height - bottom, left, target_width - right
    shown = None
    if min(margins) < 0:
        shown = slice(max(-top, 0), target_height - top), slice(max(-left, 0), target_width - left)
        margins = max(top, 0), max(margins[1], 0), max(left, 0), max(margins[3], 0)
    return Placement(
        window=(slice(rows.start, rows.stop), slice(columns.start, columns.stop)),
        reduced=None if smaller is had else smaller,
        enlarged=None if smaller == wanted else wanted,
        shown=shown,
        margins=margins,
    )


def _sampled(pixels: Pixels, place: Placement, interpolation: Interpolation) -> Pixels:
    """What of the picture lies on the target, at the target's scale: HxWxC or, of one channel, HxW."""
    part: Any = pixels[place.window]
    if place.reduced is not None:
        part = cv2.resize(part, place.reduced, None, 0, 0, cv2.INTER_AREA)
    if place.enlarged is not None:
        part = cv2.resize(part, place.enlarged, None, 0, 0, ENLARGE[interpolation])
    shown: Pixels = part if place.shown is None else part[place.shown]
    return shown


@lru_cache(maxsize=4096)
def spreading(level: int, strongest: int, is_dark: bool, dark_on_light: bool) -> Pixels:
    """What each of the 256 greys becomes: 0 where the background, at `level`, is, 255 at the strongest stroke; with
    `dark_on_light` the other way round. Ink is darker than the background where that `is_dark`, else lighter."""
    greys = np.arange(256, dtype=np.uint8)
    strength = level - np.minimum(greys, level) if is_dark else np.maximum(greys, level) - level
    peak = max(level - strongest if is_dark else strongest - level, 0)
    light: Any = strength if peak in (0, 255) else cv2.convertScaleAbs(strength, None, 255 / peak)
    table: Pixels = 255 - light if dark_on_light else light
    table.setflags(write=False)
    return table
