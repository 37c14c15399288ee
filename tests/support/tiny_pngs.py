"""Tiny PNGs made byte by byte, with every row filter there is."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from tests.support.image_files import GREY, PNG_SIGNATURE, RGB, RGBA, png_chunk

KINDS = {1: GREY, 3: RGB, 4: RGBA}
IEND = png_chunk(b"IEND", b"")


def header(width: int, height: int, depth: int = 8, kind: int = GREY, interlace: int = 0) -> bytes:
    content = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace)
    return PNG_SIGNATURE + png_chunk(b"IHDR", content)


def filtered(pixels: np.ndarray, filters: list[int]) -> bytes:
    """The rows of HxWxC bytes with their filters (PNG, section 9.2), one after the other."""
    height, width, channels = pixels.shape
    rows = np.zeros((height + 1, (width + 1) * channels), np.int32)  # a pixel and a row of zeros before the first
    rows[1:, channels:] = pixels.reshape(height, -1)
    out = []
    for y in range(1, height + 1):
        here, left = rows[y, channels:], rows[y, :-channels]
        up, corner = rows[y - 1, channels:], rows[y - 1, :-channels]
        nearest = np.abs(np.stack([up - corner, left - corner, left + up - 2 * corner])).argmin(axis=0)
        paeth = np.choose(nearest, [left, up, corner])
        predicted = (np.zeros_like(here), left, up, (left + up) // 2, paeth)[filters[y - 1]]
        out.append(bytes([filters[y - 1]]) + ((here - predicted) % 256).astype(np.uint8).tobytes())
    return b"".join(out)


def picture(pixels: np.ndarray, filters: list[int] | None = None, before: bytes = b"", after: bytes = b"") -> bytes:
    height, width, channels = pixels.shape
    data = zlib.compress(filtered(pixels, filters or [0] * height))
    return header(width, height, 8, KINDS[channels]) + before + png_chunk(b"IDAT", data) + after + IEND


def drawn(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """Few levels, so that also the largest fits into the bytes of a tiny file."""
    random = np.random.default_rng(seed)
    levels = random.integers(0, 256, 3, dtype=np.uint8)
    blocks = levels[random.integers(0, 3, (-(-height // 8), -(-width // 8), channels))]
    return np.ascontiguousarray(blocks.repeat(8, 0).repeat(8, 1)[:height, :width])
