"""Tiny PNGs to pixels: what the reference makes of them, in a fifth of its time.

A picture of a few hundred pixels costs Pillow more in Python than in decoding. Only the plain kind is read here: grey
or colour, 8 bits, not interlaced, no palette, no transparency, every checksum right. Chunks, their order and their
meaning: PNG (Third Edition), sections 5 and 11.
"""

from __future__ import annotations

import zlib

import cv2
import numpy as np

from services.shared.imaging.base import Pixels, as_pixels

MAX_TINY_BYTES = 8 * 1024
MAX_TINY_PIXELS = 128 * 128
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_IHDR_END = 33
_PLAIN = {b"\x08\0\0\0\0": 1, b"\x08\2\0\0\0": 3}  # depth, colour type, and three zeros -> channels
# What says nothing about the pixels as they are read here, and cannot be wrong in a way for which the reference refuses
# the picture: no profile, nothing compressed, and no text that could be EXIF or XMP, which turn a picture.
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9, b"tIME": 7}
_UNREAD = (b"bKGD", b"sBIT")
_KEYWORDS = frozenset((b"Title", b"Author", b"Description", b"Copyright", b"Software", b"Comment", b"Creation Time",
                       b"Source", b"date:create", b"date:modify", b"date:timestamp"))  # fmt: skip


def is_tiny_png(data: bytes) -> bool:
    """Whether the bytes say that they are a PNG of at most MAX_TINY_PIXELS in at most MAX_TINY_BYTES."""
    if len(data) > MAX_TINY_BYTES or not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR":
        return False
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return 0 < width * height <= MAX_TINY_PIXELS


def decode_tiny_png(data: bytes, channels: int) -> Pixels | None:
    """HxWxC of a tiny PNG that has that many channels itself; None for one that the reference must judge."""
    if _PLAIN.get(data[24:29]) != channels:
        return None
    compressed = _image_data(data)
    if compressed is None:
        return None
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    row = 1 + width * channels
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(compressed, row * height + 1)
    except zlib.error:
        return None
    if len(raw) != row * height or not inflater.eof:
        return None
    highest = max(raw[::row])
    if not highest:  # no row is filtered
        rows = np.frombuffer(raw, np.uint8).reshape(height, row)
        return np.ascontiguousarray(rows[:, 1:]).reshape(height, width, channels)
    if highest > 4:
        return None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape[:2] != (height, width) or pixels.dtype != np.uint8:
        return None
    return as_pixels(pixels if channels == 1 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def _image_data(data: bytes) -> bytes | None:
    """The zlib stream of a file that ends with its IEND; None when a chunk is unknown, out of order or damaged."""
    view = memoryview(data)
    if int.from_bytes(data[8:12], "big") != 13 or not _checksum(view, 12, 17):
        return None
    parts: list[bytes] = []
    at, before, whole = _IHDR_END, b"IHDR", len(data)
    while at + 12 <= whole:
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > whole or not _checksum(view, at + 4, length + 4):
            return None
        if kind == b"IDAT":
            if parts and before != kind:  # they follow each other (section 5.6); the reference reads the first run only
                return None
            parts.append(data[at + 8 : end - 4])
        elif kind == b"IEND":
            return b"".join(parts) if end == whole and not length else None
        elif not _is_silent(kind, data[at + 8 : end - 4]):
            return None
        at, before = end, kind
    return None


def _is_silent(kind: bytes, content: bytes) -> bool:
    if kind == b"tEXt":
        return content.partition(b"\0")[0] in _KEYWORDS
    return kind in _UNREAD or _LENGTHS.get(kind) == len(content)


def _checksum(view: memoryview, start: int, length: int) -> bool:
    end = start + length
    return zlib.crc32(view[start:end]) == int.from_bytes(view[end : end + 4], "big")
