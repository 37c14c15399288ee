"""Pictures to send: the same bytes in every run, of the sizes that decoders care about."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Canvas = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A generated picture. `texture` is the strength of its finest grain, which with the quality (of a JPEG) decides
    how many bytes it has."""

    name: str
    width: int
    height: int
    suffix: str
    texture: float = 1.0
    quality: int = 85


SMALL = Picture("28px", 28, 28, ".png")
MEDIUM = Picture("640x427", 640, 427, ".jpg")  # 46 KB
LARGE = Picture("12MP", 4000, 2667, ".jpg", texture=0.5)  # 1.3 MB, as a phone's camera makes it
HEAVY = Picture("12MP-4MB", 4000, 2667, ".jpg", texture=3.0, quality=94)  # as a larger camera makes it
PICTURES = {each.name: each for each in (SMALL, MEDIUM, LARGE, HEAVY)}


def write_picture(picture: Picture, directory: Path) -> Path:
    """The picture's file, made when it is not there."""
    path = directory / f"{picture.name}{picture.suffix}"
    if not path.exists():
        data = _png(picture) if picture.suffix == ".png" else _jpeg(picture)
        fresh = path.with_name(f".{path.name}.fresh")
        fresh.write_bytes(data)
        fresh.replace(path)
    return path


def fitting_picture(height: int, width: int) -> Picture:
    """The picture for a model's input of this size: a small one for a small input."""
    return SMALL if max(height, width) <= 64 else MEDIUM


def scene(width: int, height: int, *, texture: float = 1.0) -> Image.Image:
    """Smooth colours, textures of several grains and a camera's softness: what a photo is to a JPEG decoder."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    canvas: Canvas = np.stack((x / width * 200, y / height * 220, 255 - x / width * 120 - y / height * 80), axis=-1)
    for grain, strength in ((4, 12 * texture), (12, 20), (60, 40)):
        canvas += strength * _enlarged_noise(random, width, height, grain)[:, :, np.newaxis]
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def _enlarged_noise(random: np.random.Generator, width: int, height: int, grain: int) -> Canvas:
    """Noise of this grain in pixels, smoothly enlarged to the size; about 1 in strength."""
    coarse = random.normal(0, 1, (height // grain + 2, width // grain + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _png(picture: Picture) -> bytes:
    """A dark stroke on light paper: what a model of drawings looks for, and what a small model is sent."""
    grey = np.full((picture.height, picture.width), 235, np.uint8)
    grey[picture.height // 5 : -picture.height // 5, picture.width // 2 - 2 : picture.width // 2 + 2] = 25
    grey += np.random.default_rng(0).integers(0, 20, grey.shape, dtype=np.uint8)
    return _encoded(Image.fromarray(grey), "PNG")


def _jpeg(picture: Picture) -> bytes:
    made = scene(picture.width, picture.height, texture=picture.texture)
    return _encoded(made, "JPEG", quality=picture.quality)


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()
