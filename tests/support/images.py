"""Small pictures for tests: scans that the sample model was not trained on."""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image


@functools.cache
def held_out_digits() -> dict[int, list[np.ndarray]]:
    """Held-out scans by label, each [8, 8] uint8, light on dark."""
    from exporters.digits.scans import load_scans

    _, held_out = load_scans()
    return {label: list(held_out.pixels[held_out.labels == label]) for label in range(10)}


def digit_png(label: int, index: int = 0) -> bytes:
    """A held-out scan of a digit as an 8x8 grey PNG."""
    return encoded(held_out_digits()[label][index], "PNG")


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    """A uint8 picture [height, width] or [height, width, 3] in a file format that Pillow writes."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()
