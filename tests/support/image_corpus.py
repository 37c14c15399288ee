"""Pictures that must be read, and bytes that must do no harm: one list each for every test that takes uploads.

All made by code, the same in every run.
"""

from __future__ import annotations

import functools
import struct

import numpy as np
from PIL import Image, ImageCms

from tests.support import image_files as files
from tests.support.image_hostile import hostile_images
from tests.support.image_scenes import large_photo, scene

__all__ = ["SIZE", "good_images", "hostile_images", "phone_photo", "with_alpha"]

SIZE = (61, 43)  # small and odd


@functools.cache
def phone_photo() -> bytes:
    """Twelve megapixels as a phone stores a portrait: rows of the sensor, and EXIF that says how it was held."""
    return files.saved(large_photo(4032, 3024), "JPEG", quality=85, exif=files.exif(6))


@functools.cache
def _good_images() -> dict[str, bytes]:
    rgb = scene(*SIZE)
    return (
        {"jpeg phone photo, 12 megapixels, portrait": phone_photo()}
        | _jpegs(rgb)
        | _pngs(rgb)
        | _gifs_and_bmps(rgb)
        | _tiffs(rgb)
        | _webps_and_avifs(rgb)
    )


def good_images() -> dict[str, bytes]:
    """By name, every format and kind of pixels that is read; the name begins with the format."""
    return dict(_good_images())


def with_alpha(rgb: Image.Image) -> Image.Image:
    """Transparent at the left, opaque at the right."""
    ramp = np.tile(np.linspace(0, 255, rgb.width).astype(np.uint8), (rgb.height, 1))
    out = rgb.convert("RGBA")
    out.putalpha(Image.fromarray(ramp))
    return out


def _jpegs(rgb: Image.Image) -> dict[str, bytes]:
    second = files.saved(rgb.resize((16, 12)), "JPEG")
    return {
        "jpeg": files.saved(rgb, "JPEG"),
        "jpeg 4:4:4": files.saved(rgb, "JPEG", subsampling=0, quality=95),
        "jpeg 4:2:2": files.saved(rgb, "JPEG", subsampling=1),
        "jpeg progressive": files.saved(rgb, "JPEG", progressive=True),
        "jpeg grey": files.saved(rgb.convert("L"), "JPEG"),
        "jpeg kept as RGB": files.saved(rgb, "JPEG", keep_rgb=True),
        "jpeg CMYK scan": files.saved(rgb.convert("CMYK"), "JPEG", quality=90),
        "jpeg YCCK": files.ycck_jpeg(rgb),
        "jpeg restart markers": files.saved(rgb, "JPEG", restart_marker_blocks=2),
        "jpeg with a second picture behind it": files.saved(rgb, "JPEG") + second,
        "jpeg turned upside down": files.saved(rgb, "JPEG", exif=files.exif(3)),
    }


def _pngs(rgb: Image.Image) -> dict[str, bytes]:
    width, height = rgb.size
    grey = np.asarray(rgb.convert("L"))
    deep = (np.asarray(rgb).astype(">u2") * 257).tobytes()
    palette = rgb.quantize(32)
    rows = [deep[y * width * 6 : (y + 1) * width * 6] for y in range(height)]
    frames = [rgb, rgb.transpose(Image.Transpose.ROTATE_180)]
    return {
        "png screenshot, RGBA": files.saved(with_alpha(scene(320, 200, seed=2)), "PNG"),
        "png RGB": files.saved(rgb, "PNG"),
        "png grey": files.saved(rgb.convert("L"), "PNG"),
        "png grey and alpha": files.saved(with_alpha(rgb).convert("LA"), "PNG"),
        "png black and white": files.saved(rgb.convert("1"), "PNG"),
        "png palette": files.saved(palette, "PNG"),
        "png palette, one colour transparent": files.saved(palette, "PNG", transparency=3),
        "png palette, shades of transparency": files.saved(palette, "PNG", transparency=bytes(range(0, 256, 8))),
        "png 16-bit grey": files.saved(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"),
        "png 16-bit RGB": files.png(width, height, 16, files.RGB, rows),
        "png animated": files.saved(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "png turned": files.saved(rgb, "PNG", exif=files.exif(6)),
        "png 1 x 3000": files.saved(rgb.resize((1, 3000)), "PNG"),
        "png 3000 x 1": files.saved(rgb.resize((3000, 1)), "PNG"),
        "png one pixel": files.saved(rgb.resize((1, 1)), "PNG"),
    }


def _gifs_and_bmps(rgb: Image.Image) -> dict[str, bytes]:
    palette = rgb.quantize(64)
    frames = [palette.transpose(Image.Transpose.ROTATE_180), palette.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    run_lengths = b"".join(b"\x04\x10\x04\xc0\x00\x00" for _ in range(8)) + b"\0\1"
    return {
        "gif": files.saved(palette, "GIF"),
        "gif transparent": files.saved(palette, "GIF", transparency=1),
        "gif animated": files.saved(palette, "GIF", save_all=True, append_images=frames, duration=50),
        "bmp RGB": files.saved(rgb, "BMP"),
        "bmp palette": files.saved(palette, "BMP"),
        "bmp black and white": files.saved(rgb.convert("1"), "BMP"),
        "bmp run lengths": files.bmp(8, 8, run_lengths, compression=1),
    }


def _tiffs(rgb: Image.Image) -> dict[str, bytes]:
    grey = np.asarray(rgb.convert("L"))
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(rgb, to_lab)
    assert lab is not None
    twelve_bits = b"".join(
        struct.pack(">I", (a << 16 | a >> 4 << 12 | b << 4 | b >> 4) << 8)[:3] for a, b in _pairs(grey)
    )
    return {
        "tiff RGB": files.saved(rgb, "TIFF"),
        "tiff LZW": files.saved(rgb, "TIFF", compression="tiff_lzw"),
        "tiff deflate, RGBA": files.saved(with_alpha(rgb), "TIFF", compression="tiff_adobe_deflate"),
        "tiff JPEG inside": files.saved(rgb, "TIFF", compression="jpeg"),
        "tiff CMYK scan": files.saved(rgb.convert("CMYK"), "TIFF", compression="tiff_lzw"),
        "tiff fax": files.saved(rgb.convert("1"), "TIFF", compression="group4"),
        "tiff LAB": files.saved(lab, "TIFF"),
        "tiff YCbCr": files.saved(rgb.convert("YCbCr"), "TIFF"),
        "tiff palette": files.saved(rgb.quantize(16), "TIFF"),
        "tiff 16-bit grey": files.saved(Image.fromarray(grey.astype(np.uint16) * 257), "TIFF"),
        "tiff 12-bit grey": files.tiff(60, grey.shape[0], twelve_bits, bits=12),
        "tiff two pages": files.saved(rgb, "TIFF", save_all=True, append_images=[rgb.convert("L")]),
        "tiff turned": files.saved(rgb, "TIFF", exif=files.exif(8)),
    }


def _pairs(grey: np.ndarray) -> list[tuple[int, int]]:
    """Two neighbours at a time of the first sixty columns."""
    return [(int(a), int(b)) for a, b in grey[:, :60].reshape(-1, 2)]


def _webps_and_avifs(rgb: Image.Image) -> dict[str, bytes]:
    frames = [rgb.transpose(Image.Transpose.ROTATE_180)]
    return {
        "webp": files.saved(rgb, "WEBP"),
        "webp lossless, RGBA": files.saved(with_alpha(rgb), "WEBP", lossless=True),
        "webp animated": files.saved(rgb, "WEBP", save_all=True, append_images=frames),
        "webp turned": files.saved(rgb, "WEBP", exif=files.exif(6)),
        "avif": files.saved(rgb, "AVIF", speed=10),
        "avif RGBA": files.saved(with_alpha(rgb), "AVIF", speed=10),
        "avif turned": files.saved(rgb, "AVIF", speed=10, exif=files.exif(6)),
    }
