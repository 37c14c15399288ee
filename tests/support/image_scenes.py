"""Pictures that look like photographs, screens and drawings to a decoder: gradients, textures, edges, text."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from PIL import Image, ImageDraw

from services.shared.imaging.base import Pixels, as_pixels
from tests.support.stroke_digits import Drawing


@functools.cache
def scene(width: int, height: int, seed: int = 0) -> Image.Image:
    """A colour picture with detail from three pixels to the whole frame; the same for the same arguments."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    slopes = (x / width * 200, y / height * 220, 255 - x / width * 120 - y / height * 80)
    canvas = np.stack(slopes, axis=-1)
    for grain, channels in ((3, 1), (9, 1), (40, 3)):  # fine texture is in the light, as in nature, not in the colour
        noise = random.normal(0, 14, (height // grain + 2, width // grain + 2, channels)).astype(np.float32)
        canvas += as_pixels(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC))
    picture = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for index in range(10):
        x0, y0, x1, y1 = (int(v) for v in random.integers(0, [width, height, width, height]))
        side = int(random.integers(2, max(3, min(width, height) // 4)))
        color = tuple(int(v) for v in random.integers(0, 255, 3))
        draw.line([(x0, y0), (x1, y1)], fill=color, width=1 + index % 4)
        draw.rectangle([x0, y0, x0 + side, y0 + side], fill=color)
        draw.text((x1, y1), "Grayscale 0123", fill=(0, 0, 0), font_size=max(8, height // 20))
    return picture


@functools.cache
def large_photo(width: int = 4000, height: int = 2667) -> Image.Image:
    """Twelve megapixels with a camera's softness: a scene a quarter as large, enlarged, with some grain."""
    small = np.asarray(scene(width // 4, height // 4, seed=7))
    enlarged = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    grain = np.random.default_rng(3).normal(0, 3, (256, 256, 1)).astype(np.int16)
    enlarged += np.tile(grain, (height // 256 + 1, width // 256 + 1, 1))[:height, :width]
    return Image.fromarray(np.clip(enlarged, 0, 255).astype(np.uint8))


def page_with_digit(drawing: Drawing, width: int, height: int, *, box: tuple[int, int, int]) -> Pixels:
    """White paper, HxWx3, with a digit in the square (left, top, side)."""
    page = np.full((height, width, 3), 255, np.uint8)
    left, top, side = box
    page[top : top + side, left : left + side] = drawing.on_canvas(side)[:, :, np.newaxis]
    return page
