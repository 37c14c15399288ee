"""A picture's file, opened: its format is known, its header is read and within limits, and nothing is decoded yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from services.shared.errors import InvalidInput, TooLarge, UndecodableImage, UnsupportedMediaType
from services.shared.imaging.signatures import FORMATS, foreign_kind_of, format_of

MAX_SCANS = 50  # of a JPEG; encoders write ten. Each is a pass over the whole picture, however few bytes it has
MAX_RUN_LENGTH_PIXELS = 1 << 20  # of a BMP; Pillow's decoder for run lengths is Python, 0.2 s for this many

# How often a decoder may read from the file. Headers are walked in Python: millions of empty segments would hold the
# interpreter for seconds. The smallest parts of honest files are GIF's: two reads for 256 bytes.
_FREE_READS = 10_000
_BYTES_PER_READ = 64
_RUN_LENGTH_READS = 300_000  # Pillow reads a run-length BMP byte by byte

_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF 6.0, section 15
# A marker that is neither a stuffed zero, a restart nor padding (ISO/IEC 10918-1, B.1.1).
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9

# The classes themselves, not Image.open: it tries kinds of file by turns, and turns a JPEG with a second picture
# behind it (every panorama and Ultra HDR phone) into something else.
_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
}


@contextmanager
def open_picture(data: bytes, *, max_pixels: int) -> Iterator[tuple[str, ImageFile.ImageFile]]:
    """The format's name and the opened picture. What decoders raise inside the `with` is translated, too.

    Raises UndecodableImage, UnsupportedMediaType, or TooLarge, the last before any pixel is decoded.
    """
    name = _format(data)
    # Pillow's own limit is one variable for the whole process, and warns where it should refuse. The size is checked
    # here instead: nothing else in the process reads pictures.
    Image.MAX_IMAGE_PIXELS = None
    _check_webp_canvas(data, name, max_pixels)
    try:
        with _READERS[name](_CountedReads(data, name)) as image:
            _check_size(image.size, max_pixels)
            _check_work(image, name, data, max_pixels)
            yield name, image
    except InvalidInput:
        raise
    except MemoryError:
        raise TooLarge("the picture does not fit in memory") from None
    except Exception as error:  # decoders answer hostile bytes with any exception there is
        raise UndecodableImage(f"this {name} image cannot be decoded: {_reason(error)}") from error


def is_interleaved(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether an opened JPEG has its one scan of all components: libjpeg decodes any other by way of coefficients that
    it keeps for the whole picture, and reads on for more scans."""
    layers, start = getattr(image, "layers", 0), _position(image)
    header = data[max(start - 8 - 2 * layers, 0) : start]
    whole = bytes((0xFF, _START_OF_SCAN, 0, 6 + 2 * layers, layers))
    return "progressive" not in image.info and header.startswith(whole)


class _CountedReads(BytesIO):
    """A file of `data` that refuses to be read in more parts than an honest file of its length has."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        by_length = min(len(data), _RUN_LENGTH_READS) if name == "bmp" else len(data) // _BYTES_PER_READ
        self._reads_left = _FREE_READS + by_length

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads_left -= 1
        if self._reads_left < 0:
            raise UndecodableImage("the file is made of too many parts")
        return super().read(size)


def _format(data: bytes) -> str:
    if not data:
        raise UndecodableImage("the image is empty: 0 bytes")
    name = format_of(data)
    if name is not None:
        return name
    kind = foreign_kind_of(data)
    if kind is not None:
        raise UnsupportedMediaType(f"{kind} is not read here: send one of {', '.join(FORMATS)}")
    raise UndecodableImage(f"the bytes are not an image: none of {', '.join(FORMATS)} begins like this")


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise UndecodableImage(f"the header says {width}x{height} pixels")
    if width * height > max_pixels:
        raise TooLarge(f"the picture has {width}x{height} pixels; at most {max_pixels} are read")


def _check_work(image: ImageFile.ImageFile, name: str, data: bytes, max_pixels: int) -> None:
    """Refuses what costs more than its pixels say: tiles beyond the picture, scans without end, long run lengths."""
    if name == "tiff":
        _check_size(allocated_size(image), max_pixels)
    elif name == "jpeg" and not is_interleaved(image, data):
        if _count_scans(data, _position(image)) > MAX_SCANS:
            raise TooLarge(f"the picture has more than {MAX_SCANS} scans")
    elif name == "bmp" and image.tile and image.tile[0].codec_name == "bmp_rle":
        _check_size(image.size, min(max_pixels, MAX_RUN_LENGTH_PIXELS))


def allocated_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    """Width and height of what a decoder allocates: the picture's, or those of one tile of a TIFF if it is larger."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return image.size
    tile = (int(image.tag_v2.get(tag, 1)) for tag in (_TILE_WIDTH, _TILE_LENGTH))
    width, height = (max(side, of_tile) for side, of_tile in zip(image.size, tile, strict=True))
    return width, height


def _position(image: ImageFile.ImageFile) -> int:
    """How far an opened picture was read: the beginning of a JPEG's first scan."""
    return image.fp.tell() if image.fp else 0


def _count_scans(data: bytes, start: int) -> int:
    """The scans of a JPEG whose first one has its data at `start`, up to one more than MAX_SCANS.

    Segments are stepped over, so a thumbnail inside one does not count; what follows the end of the picture neither.
    """
    scans, marker = 1, _MARKER.search(data, start)
    while marker is not None and data[marker.start() + 1] != _END_OF_IMAGE and scans <= MAX_SCANS:
        scans += data[marker.start() + 1] == _START_OF_SCAN
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        marker = _MARKER.search(data, marker.end() + length)
    return scans


def _check_webp_canvas(data: bytes, name: str, max_pixels: int) -> None:
    """Refuses a WebP by the size in its header (RFC 9649, 2.5 to 2.7): its decoder allocates that when opened."""
    if name != "webp" or len(data) < 30:
        return
    match data[12:16]:
        case b"VP8X":
            size = int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        case b"VP8L":
            packed = int.from_bytes(data[21:25], "little")
            size = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            size = int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
        case _:
            return
    _check_size(size, max_pixels)


def _reason(error: Exception) -> str:
    """The first line of a decoder's message, without the Python objects that some of them quote."""
    line = str(error).partition("\n")[0]
    return line[:120] if line and " at 0x" not in line else type(error).__name__
