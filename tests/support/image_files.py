"""Picture files made byte by byte, for what no encoder writes: odd depths, lying headers, bombs."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

from PIL import ExifTags, Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6  # PNG's colour types


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture in a format that Pillow writes."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, color_type: int, rows: Sequence[bytes], extra: bytes = b"") -> bytes:
    """`rows` are packed samples, without filter bytes; `extra` are whole chunks that go before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"".join(
        (
            PNG_SIGNATURE,
            png_chunk(b"IHDR", header),
            extra,
            png_chunk(b"IDAT", pixels),
            png_chunk(b"IEND", b""),
        )
    )


def tiff(
    width: int,
    height: int,
    data: bytes,
    *,
    bits: int = 8,
    photometric: int = 1,
    compression: int = 1,
    orientation: int = 1,
    tile: int = 0,
) -> bytes:
    """A little-endian TIFF of one sample per pixel, in one strip or in one tile of `tile` pixels a side."""
    at = {"place": 324, "count": 325} if tile else {"place": 273, "count": 279}
    tags = {256: width, 257: height, 258: bits, 259: compression, 262: photometric, 274: orientation, 277: 1}
    tags |= {322: tile, 323: tile} if tile else {278: height}
    tags |= {at["count"]: len(data), at["place"]: 8 + 2 + 12 * (len(tags) + 2) + 4}
    directory = struct.pack("<H", len(tags))
    for tag, value in sorted(tags.items()):
        directory += struct.pack("<HHII", tag, 4, 1, value)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 0) + data


def bmp(width: int, height: int, data: bytes, *, bits: int = 8, compression: int = 0) -> bytes:
    """`compression: 1` is run lengths; a grey palette comes with 8 bits or fewer."""
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256)) if bits <= 8 else b""
    start = 54 + len(palette)
    file_header = b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, len(palette) // 4, 0)
    return file_header + info + palette + data


def gif(canvas: tuple[int, int], frame: tuple[int, int], extensions: bytes = b"") -> bytes:
    """A GIF whose one frame says that it has the size `frame` and holds next to nothing."""
    header = b"GIF89a" + struct.pack("<HH", *canvas) + b"\x80\0\0" + bytes(6)
    image = b"\x2c" + struct.pack("<HHHH", 0, 0, *frame) + b"\0" + b"\x02\x02\x4c\x01\0"
    return header + extensions + image + b";"


def webp(kind: bytes, width: int, height: int) -> bytes:
    """The beginning of a WebP of kind `VP8 `, `VP8L` or `VP8X` that says it has this size, and zeros."""
    match kind:
        case b"VP8 ":
            payload = b"\x10\x02\x00\x9d\x01\x2a" + struct.pack("<HH", width, height)
        case b"VP8L":
            payload = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14)
        case _:
            payload = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    payload += bytes(100)
    return b"RIFF" + struct.pack("<I", 12 + len(payload)) + b"WEBP" + kind + struct.pack("<I", len(payload)) + payload


def jpeg_resized(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose frame header says another size."""
    return _patched_frame(data, 5, struct.pack(">HH", height, width))


def jpeg_of_depth(data: bytes, bits: int) -> bytes:
    return _patched_frame(data, 4, bytes((bits,)))


def _patched_frame(data: bytes, offset: int, value: bytes) -> bytes:
    frame = next(
        at for marker in (b"\xff\xc0\0\x11", b"\xff\xc2\0\x11", b"\xff\xc0\0\x0b") if (at := data.find(marker)) > 0
    )
    return data[: frame + offset] + value + data[frame + offset + len(value) :]


def jpeg_of_many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG of one colour whose last scan comes again and again: a pass over the picture for 100 bytes."""
    data = saved(Image.new("RGB", (side, side), (120, 130, 140)), "JPEG", progressive=True)
    last = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last * scans + data[-2:]


def ycck_jpeg(picture: Image.Image) -> bytes:
    """A JPEG in YCCK, as Photoshop writes print pictures: YCbCr of the negative, and no black.

    Pillow writes CMYK, inverted, and an Adobe marker whose last byte says so: the planes are given as they shall be
    stored, the byte is changed to YCCK's 2.
    """
    negative = picture.convert("RGB").point(lambda level: 255 - level).convert("YCbCr")
    planes = [plane.point(lambda level: 255 - level) for plane in negative.split()]
    cmyk = Image.merge("CMYK", [*planes, Image.new("L", picture.size, 0)])
    data = saved(cmyk, "JPEG", quality=95, subsampling=0)
    adobe = data.index(b"Adobe") + 11
    return data[:adobe] + b"\x02" + data[adobe + 1 :]
