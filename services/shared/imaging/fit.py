"""A picture of any size to a model's target: every fit is a window on the picture, sampled at the target's size."""

from __future__ import annotations

import math

import cv2
import numpy as np

from services.shared.imaging.base import Box, Pixels, as_pixels
from services.shared.imaging.ink import Ink, find_ink
from services.shared.imaging.settings import ImageSettings
from services.shared.imaging.words import Interpolation

MARGIN = 4 / 28  # on each side of what `content` frames: MNIST's digits are 20 pixels of 28

ENLARGE: dict[Interpolation, int] = {
    "area": cv2.INTER_LINEAR,  # an area kernel narrower than a pixel; OpenCV's own would repeat pixels
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
    "nearest": cv2.INTER_NEAREST,
}


def fit(pixels: Pixels, settings: ImageSettings) -> Pixels:
    """The uint8 target of `settings`, contiguous, from an upright HxWxC picture with the settings' channels."""
    ink = find_ink(pixels) if settings.polarity != "as_is" or settings.fit == "content" else None
    height, width = pixels.shape[:2]
    window = choose_window(height, width, settings, ink.box if ink else None)
    fill = ink.background if ink else (0,) * settings.channels
    target = _sample(pixels, window, settings, fill)
    if ink is None or settings.polarity == "as_is":
        return target
    if settings.fit == "content" and settings.channels == 1:
        return _spread(target, ink, dark_on_light=settings.polarity == "dark_on_light")
    return 255 - target if ink.is_dark != (settings.polarity == "dark_on_light") else target


def shown_window(pixels: Pixels, settings: ImageSettings) -> Box:
    """The part of an upright HxWxC picture that `fit` puts on the target, edge to edge, to the rounding of a pixel.

    `choose_window` says what is wanted; sampling takes whole pixels of the picture to whole pixels of the target, so
    what is shown differs by up to half a pixel of the target. 100 wide, 51 high, contained in 28x28: -24.5..75.5 is
    wanted downwards; 51 rows become 14, below 7 rows of padding, so -25.5..76.5 is shown.
    """
    framed = find_ink(pixels).box if settings.fit == "content" else None
    height, width = pixels.shape[:2]
    window = choose_window(height, width, settings, framed)
    left, right = _shown(window.left, window.right, width, settings.width)
    top, bottom = _shown(window.top, window.bottom, height, settings.height)
    return Box(left, top, right, bottom)


def _shown(low: float, high: float, source: int, target: int) -> tuple[float, float]:
    taken, (start, stop) = span(low, high, source, target)
    pixel = len(taken) / (stop - start)
    return taken.start - start * pixel, taken.start + (target - start) * pixel


def choose_window(height: int, width: int, settings: ImageSettings, ink: Box | None) -> Box:
    """The part of a picture that becomes the target; it may reach beyond the picture, where there is background.

    28x28 target, 100 wide, 50 high: stretch 0..100 x 0..50, cover 25..75 x 0..50, contain 0..100 x -25..75, and content
    with ink at 40..60 x 10..50 gives a window of 40 * 28/20 = 56 pixels around (50, 30): 22..78 x 2..58.
    """
    across, down = settings.width / width, settings.height / height  # target pixels per source pixel
    match settings.fit:
        case "stretch":
            return Box(0, 0, width, height)
        case "cover":
            scale = settings.resize / min(width, height) if settings.resize else max(across, down)
            return _around(width / 2, height / 2, settings.height, settings.width, scale)
        case "content" if ink is not None:
            return frame(ink, height, width, settings.height, settings.width)
        case _:
            return _around(width / 2, height / 2, settings.height, settings.width, min(across, down))


def frame(ink: Box, height: int, width: int, target_height: int, target_width: int) -> Box:
    """The window of the target's shape around `ink` on a picture, with MARGIN beside the side that fills it."""
    across, down = target_width / width, target_height / height
    scale = min(across * width / (ink.right - ink.left), down * height / (ink.bottom - ink.top)) * (1 - 2 * MARGIN)
    return _around((ink.left + ink.right) / 2, (ink.top + ink.bottom) / 2, target_height, target_width, scale)


def _around(x: float, y: float, target_height: int, target_width: int, scale: float) -> Box:
    half_width, half_height = target_width / scale / 2, target_height / scale / 2
    return Box(x - half_width, y - half_height, x + half_width, y + half_height)


def _sample(pixels: Pixels, window: Box, settings: ImageSettings, fill: tuple[int, ...]) -> Pixels:
    """The window at the target's size. Work and memory follow the target and the source, never the window."""
    x, width = span(window.left, window.right, pixels.shape[1], settings.width)
    y, height = span(window.top, window.bottom, pixels.shape[0], settings.height)
    part = _resize(pixels[y.start : y.stop, x.start : x.stop], width[1] - width[0], height[1] - height[0], settings)
    if part.shape == (settings.height, settings.width, settings.channels):
        return part
    target = np.empty((settings.height, settings.width, settings.channels), np.uint8)
    target[:] = fill
    into_y, into_x = (slice(max(lo, 0), hi) for lo, hi in (height, width))
    room = target[into_y, into_x]
    skip_y, skip_x = max(-height[0], 0), max(-width[0], 0)
    room[:] = part[skip_y : skip_y + room.shape[0], skip_x : skip_x + room.shape[1]]
    return target


def span(low: float, high: float, source: int, target: int) -> tuple[range, tuple[int, int]]:
    """Along one axis: the whole source pixels that the window touches, and where on the target they lie."""
    scale = target / (high - low)
    # A source pixel that is larger than a target pixel counts when the window touches it, and sticks out of the target.
    # A smaller one counts when its better half is inside: taking all would widen the window, always to the outside.
    first, last = (math.floor(low), math.ceil(high)) if scale > 1 else (round(low), round(high))
    # Comparisons, as min and max would cost a tiny picture more than its rounding does.
    first = 0 if first < 0 else first if first < source else source - 1
    last = source if last > source else last
    last = last if last > first else first + 1
    start, stop = round((first - low) * scale), round((last - low) * scale)
    start = start if start < target else target - 1
    return range(first, last), (start, stop if stop > start else start + 1)


def _resize(pixels: Pixels, width: int, height: int, settings: ImageSettings) -> Pixels:
    """Shrinks by averaging areas, then enlarges by the settings' kernel; a picture may need each along one axis."""
    pixels = np.ascontiguousarray(pixels)
    if width < pixels.shape[1] or height < pixels.shape[0]:
        smaller = min(width, pixels.shape[1]), min(height, pixels.shape[0])
        pixels = as_pixels(cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA))
    if (height, width) != pixels.shape[:2]:
        pixels = as_pixels(cv2.resize(pixels, (width, height), interpolation=ENLARGE[settings.interpolation]))
    return pixels


def _spread(target: Pixels, ink: Ink, *, dark_on_light: bool) -> Pixels:
    """A grey drawing over the full range: background at one end, its strongest stroke at the other.

    After sampling: a stroke much thinner than a target pixel is faint only then.
    """
    lit, level = (255 - target, 255 - ink.background[0]) if ink.is_dark else (target, ink.background[0])
    strength = np.maximum(lit, np.uint8(level)) - np.uint8(level)
    peak = int(strength.max())
    light = as_pixels(cv2.convertScaleAbs(strength, alpha=255 / peak)) if ink.box and peak else np.zeros_like(target)
    return 255 - light if dark_on_light else light
