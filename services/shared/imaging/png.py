"""Tiny PNGs to pixels: what the reference makes of them, in a tenth of its time.

A picture of a few hundred pixels costs Pillow more in Python than in decoding. Only the plain kind is read here: grey
or colour, with alpha or without, 8 bits, not interlaced, no palette, no colour key, no chunk that is not known. Chunks,
their order and their meaning: PNG (Third Edition), sections 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import _imaging  # what Image and ImageFile wrap: the same operations, for a tenth of the cost

from services.shared.imaging.base import Pixels

MAX_TINY_BYTES = 8 * 1024
MAX_TINY_PIXELS = 128 * 128
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BEGINNING = _SIGNATURE + b"\0\0\0\rIHDR"
_END = b"\0\0\0\0IEND\xaeB`\x82"
_HEADER_END = 33
_HEADER = struct.Struct(">II5sI")  # what follows the beginning: width, height, `_MODES`, checksum
_SMALLEST = _HEADER_END + 12 + len(_END)  # with an empty chunk between the two
_CHUNK = struct.Struct(">I4s")  # length of the content, kind; the content and its checksum follow
_MODES = {b"\x08\0\0\0\0": "L", b"\x08\2\0\0\0": "RGB", b"\x08\6\0\0\0": "RGBA"}  # depth, colour type, and three zeros
_WHITE = (255, 255, 255, 255)
_OPAQUE = (255, 255)
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


@dataclass(frozen=True, slots=True)
class TinyHeader:
    """What the first bytes of a plain tiny PNG say, in Pillow's words: `extents` is the whole picture.

    `target_mode` and `shape` (HxWxC) are what is to be made of it.
    """

    mode: str
    size: tuple[int, int]
    extents: tuple[int, int, int, int]
    target_mode: str
    shape: tuple[int, int, int]
    target_bytes: int


def decode_tiny_png(data: bytes, channels: int) -> Pixels | None:
    """HxWxC of a tiny PNG, writable, with one channel (grey) or three; None for one that the reference must judge."""
    if not (data.startswith(_BEGINNING) and _SMALLEST <= len(data) <= MAX_TINY_BYTES):
        return None
    header = read_header(data[:_HEADER_END], channels)
    if header is None:
        return None
    image = _inflate(_image_data(data), header)
    if image is None:
        return None
    mode = header.target_mode
    if header.mode != mode:
        image = _converted(image, header)
    encoder = _imaging.raw_encoder(mode, mode)
    encoder.setimage(image, header.extents)
    return np.ndarray(header.shape, np.uint8, bytearray(encoder.encode(header.target_bytes)[2]))


@lru_cache(maxsize=1024)
def read_header(header: bytes, channels: int) -> TinyHeader | None:
    """Of a PNG's first 33 bytes; None when they are damaged, or not those of a plain tiny picture.

    Remembered: pictures of one kind and size have the same.
    """
    width, height, kind, checksum = _HEADER.unpack(header[16:])
    mode = _MODES.get(kind)
    if mode is None or zlib.crc32(header[12:29]) != checksum or not 0 < width * height <= MAX_TINY_PIXELS:
        return None
    target_mode, shape = "L" if channels == 1 else "RGB", (height, width, channels)
    return TinyHeader(mode, (width, height), (0, 0, width, height), target_mode, shape, height * width * channels)


def _image_data(data: bytes) -> Sequence[bytes]:
    """The contents of the IDAT chunks between a header and `_END`; none when a chunk is unknown, out of order or
    damaged.

    Their checksums are not looked at: the reference reads past them (zlib's own is behind the rows), and damage has
    its outcome in the stream.
    """
    if not data.endswith(_END):
        return ()
    if data[33:41] == (len(data) - _SMALLEST).to_bytes(4) + b"IDAT":  # nearly always there is that one chunk
        return (data[41:-16],)
    parts: list[bytes] = []
    at, before, end = _HEADER_END, b"IHDR", len(data) - len(_END)
    while at < end:
        length, kind = _CHUNK.unpack_from(data, at)  # the end has as many bytes: there is always enough to read
        stop = at + 12 + length
        if stop > end:
            return ()
        content = data[at + 8 : stop - 4]
        if kind != b"IDAT":
            is_whole = zlib.crc32(data[at + 4 : stop - 4]) == int.from_bytes(data[stop - 4 : stop])
            if not (is_whole and _is_silent(kind, content)):
                return ()
        elif parts and before != kind:  # they follow each other (section 5.6); the reference reads the first run only
            return ()
        else:
            parts.append(content)
        at, before = stop, kind
    return parts


def _is_silent(kind: bytes, content: bytes) -> bool:
    if kind == b"tEXt":
        return content.partition(b"\0")[0] in _KEYWORDS
    return kind in _UNREAD or _LENGTHS.get(kind) == len(content)


def _inflate(parts: Sequence[bytes], header: TinyHeader) -> Any:
    """Pillow's own image of those rows, or None when the reference would report an error.

    By the reference's decoder, called as the reference calls it, a chunk at a time: whatever is odd about the stream
    (rows missing, bytes behind its end, no checksum), the outcome is the same.
    """
    image = _imaging.new(header.mode, header.size)
    decoder = _imaging.zip_decoder(header.mode, header.mode)
    decoder.setimage(image, header.extents)
    for part in parts:
        consumed, error = decoder.decode(part)
        if consumed < 0:  # it wants no more
            return None if error else image
    return None


def _converted(image: Any, header: TinyHeader) -> Any:
    """The same in `target_mode`, on white where it is transparent: the reference's operations without its wrappers."""
    if header.mode == "RGBA" and image.getband(3).getextrema() != _OPAQUE:
        image = _imaging.alpha_composite(_imaging.fill(header.mode, header.size, _WHITE), image)
    return image.convert(header.target_mode)
