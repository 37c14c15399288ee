"""What visitors send: drawings of digits for the sample model, photos for others; the same in every run."""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, ImageDraw

from services.cli.measure.pictures import scene

KINDS = ("digits", "photos")
_COUNT = 16


@functools.cache
def pictures(kind: str) -> tuple[tuple[bytes, str], ...]:
    """Bytes and media type of each: drawings of 28 to 280 pixels as PNG, or photos of up to two megapixels as JPEG."""
    random = np.random.default_rng(0)
    made = [_drawing(i % 10, int(random.integers(28, 280))) for i in range(_COUNT)]
    if kind == "digits":
        return tuple((_encoded(each, "PNG"), "image/png") for each in made)
    sides = ((320, 240), (640, 427), (1024, 768), (1600, 1200))
    return tuple(
        (_encoded(scene(*sides[i % len(sides)], texture=1 + i / _COUNT), "JPEG"), "image/jpeg") for i in range(_COUNT)
    )


def _drawing(digit: int, side: int) -> Image.Image:
    """A digit, dark on paper."""
    paper = Image.new("L", (side, side), 240)
    ImageDraw.Draw(paper).text((side / 2, side / 2), str(digit), fill=20, font_size=side * 0.8, anchor="mm")
    return paper


def _encoded(picture: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()
