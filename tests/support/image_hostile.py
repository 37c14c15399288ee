"""Uploads that lie, break off or want more than they say. `image_corpus` is where tests take them from."""

from __future__ import annotations

import functools
import io
import random
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

from tests.support import image_files as files
from tests.support.image_scenes import scene

SIDE = 60_000  # 3.6 billion pixels: refused whatever the limit is set to
_KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


@functools.cache
def _hostile_images() -> dict[str, bytes]:
    return (
        _not_images()
        | _broken_off()
        | _too_large()
        | _impossible_sizes()
        | _jpegs()
        | _pngs()
        | _others()
        | polyglots()
    )


def hostile_images() -> dict[str, bytes]:
    """By name, what an attacker or a broken client sends: each is refused, or harmless and answered."""
    return dict(_hostile_images())


@functools.cache
def _small(kind: str) -> bytes:
    picture = scene(64, 48, seed=5)
    return files.saved(picture.quantize(32) if kind == "GIF" else picture, kind)


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("Evil.class"), b"\xca\xfe\xba\xbe" * 50)
    return out.getvalue()


def _not_images() -> dict[str, bytes]:
    return {
        "empty": b"",
        "one byte": b"\xff",
        "random bytes": random.Random(1).randbytes(4096),
        "zeros": bytes(4096),
        "only 0xff": b"\xff" * 4096,
        "text": b"This is not an image.\n" * 20,
        "HTML": b"<!DOCTYPE html><script>alert(1)</script>",
        "SVG with an entity bomb": b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "&b;&b;">]><svg>&a;</svg>',
        "PDF": b"%PDF-1.7\n" + bytes(100),
        "ZIP": _zip(),
        "HEIC": struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(200),
        "MP4": struct.pack(">I", 24) + b"ftypisom" + bytes(4) + b"isommp42" + bytes(200),
    }


def _broken_off() -> dict[str, bytes]:
    beginnings = {f"only the signature of {kind}": _small(kind)[:12] for kind in _KINDS}
    return beginnings | {f"half a {kind}": _small(kind)[: len(_small(kind)) // 2] for kind in _KINDS}


def _too_large() -> dict[str, bytes]:
    avif = bytearray(_small("AVIF"))
    size = avif.index(b"ispe") + 8
    avif[size : size + 8] = struct.pack(">II", SIDE, SIDE)
    return {
        "bomb PNG": files.png(SIDE, SIDE, 8, files.RGB, [bytes(100)]),
        "bomb JPEG": files.jpeg_resized(_small("JPEG"), SIDE, SIDE),
        "bomb GIF": files.gif((SIDE, SIDE), (1, 1)),
        "bomb GIF, in the frame": files.gif((1, 1), (SIDE, SIDE)),
        "bomb BMP": files.bmp(SIDE, SIDE, bytes(100), bits=24),
        "bomb TIFF": files.tiff(SIDE, SIDE, bytes(100)),
        "bomb TIFF, in the tile": files.tiff(10, 10, bytes(100), compression=5, tile=SIDE - SIDE % 16),
        "bomb TIFF, in a tile of 256 megapixels": files.tiff(10, 10, bytes(100), compression=5, tile=16384),
        "bomb WebP, canvas": files.webp(b"VP8X", 16384, 16384),
        "bomb WebP, lossless": files.webp(b"VP8L", 16384, 16384),
        "bomb WebP, lossy": files.webp(b"VP8 ", 16383, 16383),
        "bomb AVIF": bytes(avif),
        "bomb PNG that keeps its word": files.png(4000, 4000, 1, files.GREY, [bytes(500)] * 4000),
    }


def _impossible_sizes() -> dict[str, bytes]:
    return {
        "PNG without width": files.png(0, 10, 8, files.GREY, [b""]),
        "JPEG without height": files.jpeg_resized(_small("JPEG"), 64, 0),
        "GIF without size": files.gif((0, 0), (0, 0)),
        "BMP of negative width": files.bmp(-10, 10, bytes(1000), bits=24),
        "BMP of the lowest height there is": files.bmp(10, -(2**31), bytes(1000), bits=24),
        "TIFF without height": files.tiff(10, 0, bytes(10)),
        "JPEG that says it is larger than it is": files.jpeg_resized(_small("JPEG"), 2000, 2000),
        "PNG that says it is larger than it is": files.png(2000, 2000, 8, files.RGB, [bytes(300)]),
        "BMP that says it is larger than it is": files.bmp(2000, 2000, bytes(100), bits=24),
        "TIFF whose strip lies beyond the file": files.tiff(100, 100, b"x"),
    }


def _jpegs() -> dict[str, bytes]:
    jpeg = _small("JPEG")
    scan = jpeg.index(b"\xff\xda") + 14
    frame = jpeg.index(b"\xff\xc0")
    noise = random.Random(2).randbytes(len(jpeg) - scan).replace(b"\xff", b"\xfe")
    tables = jpeg.index(b"\xff\xc4")
    broken_exif = b"Exif\0\0II*\0" + struct.pack("<IHHHII", 8, 0xFFFF, 0x112, 3, 0xFFFFFFFF, 0xFFFFFFFF)
    return {
        "JPEG of many scans": files.jpeg_of_many_scans(2000, 1000),
        "JPEG of a million comments": b"\xff\xd8" + b"\xff\xfe\0\2" * 1_000_000 + jpeg[2:],
        "JPEG of 12 bits": files.jpeg_of_depth(jpeg, 12),
        "JPEG of noise": jpeg[:scan] + noise + b"\xff\xd9",
        "JPEG without code tables": jpeg[:tables] + jpeg[scan - 14 :],
        "JPEG with two frame headers": jpeg[:frame] + jpeg[frame : frame + 19] + jpeg[frame:],
        "JPEG with broken EXIF": jpeg[:2]
        + b"\xff\xe1"
        + struct.pack(">H", len(broken_exif) + 2)
        + broken_exif
        + jpeg[2:],
        "JPEG whose segment is longer than the file": b"\xff\xd8\xff\xe0\xff\xff" + jpeg[6:],
    }


def _pngs() -> dict[str, bytes]:
    png = _small("PNG")
    rows = [bytes([index]) * 24 for index in range(8)]
    zeros = zlib.compress(bytes(50_000_000))
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    return {
        "PNG of many chunks": png[:33] + files.png_chunk(b"teXt", b"") * 300_000 + png[33:],
        "PNG with a text bomb": files.png(8, 8, 8, files.RGB, rows, files.png_chunk(b"zTXt", b"a\0\0" + zeros)),
        "PNG with a colour profile bomb": files.png(
            8, 8, 8, files.RGB, rows, files.png_chunk(b"iCCP", b"a\0\0" + zeros)
        ),
        "PNG with a wrong checksum": bytes(flipped),
        "PNG without pixels": files.PNG_SIGNATURE + png[8:33] + files.png_chunk(b"IEND", b""),
        "PNG whose pixels are noise": png[:33] + files.png_chunk(b"IDAT", random.Random(3).randbytes(500)),
        "PNG without its palette": files.png(8, 8, 8, files.PALETTE, [bytes(8)] * 8),
        "PNG whose chunk is longer than the file": png[:33] + b"\x7f\xff\xff\xffIDAT" + bytes(50),
        "PNG of unknown colour type": files.png(8, 8, 8, 5, [bytes(8)] * 8),
    }


def _others() -> dict[str, bytes]:
    avif = _small("AVIF")
    loop = bytearray(files.tiff(10, 10, bytes(100)))
    end = 8 + 2 + 12 * struct.unpack_from("<H", loop, 8)[0]
    loop[end : end + 4] = struct.pack("<I", 8)
    return {
        "GIF of a million comments": files.gif((1, 1), (1, 1), b"\x21\xfe\0" * 1_000_000),
        "GIF without colours": b"GIF89a\x08\0\x08\0\0\0\0\x2c\0\0\0\0\x08\0\x08\0\0\x08\xff",
        "BMP of empty rows": files.bmp(100_000_000, 1, b"\1\1\0\0\0\1", compression=1),
        "BMP of run lengths that lead nowhere": files.bmp(1000, 1000, b"\x01\x05" * 1_000_000, compression=1),
        "BMP whose pixels lie beyond the file": _small("BMP")[:10] + b"\xff\xff\xff\x7f" + _small("BMP")[14:],
        "TIFF whose pages go round in a circle": bytes(loop),
        "TIFF of noise": files.tiff(64, 64, random.Random(4).randbytes(500), compression=5),
        "TIFF of floats": files.saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"),
        "TIFF of 32 bits": files.saved(Image.fromarray(np.zeros((4, 4), np.int32)), "TIFF"),
        "WebP of zeros": files.webp(b"VP8L", 100, 100),
        "WebP of an unknown kind": files.webp(b"VP9 ", 100, 100),
        "AVIF of noise": avif[: len(avif) // 2] + random.Random(6).randbytes(len(avif) // 2),
    }


def polyglots() -> dict[str, bytes]:
    """Files that are a good picture and something else besides: the picture is read, the rest ignored."""
    # Behind the picture of a phone there is often a video, and what looks like the scans of a JPEG in it.
    video = struct.pack(">I", 24) + b"ftypisom" + b"\xff\xda\0\x08" * 1000
    return {
        "JPEG that is also a ZIP": _small("JPEG") + _zip(),
        "JPEG with a video behind it": _small("JPEG") + video,
        "GIF that is also a JAR": _small("GIF") + _zip(),
        "PNG with HTML behind it": _small("PNG") + b"<script>alert(1)</script>",
        "BMP with a program behind it": _small("BMP") + b"MZ\x90\0" + bytes(200),
        "WebP with text behind it": _small("WEBP") + b"trailing",
    }
