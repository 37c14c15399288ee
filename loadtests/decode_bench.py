"""CPU time of an image's way from bytes to tensor, by decoder: `python -m loadtests.decode_bench`.

Renders its own pictures, so that a run needs nothing but this file. Prints the best of several runs, in milliseconds of
CPU time of one thread, for an ImageNet classifier (224 x 224 of 256) and, for the small PNG, a 28 x 28 grey model.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from services.shared.imaging.decode import decode
from services.shared.imaging.fit import fit
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import ImageSettings

IMAGENET = ImageSettings(224, 224, 3, resize=256)
SMALL = ImageSettings(28, 28, 1, fit="stretch", color="grey")


def photo(width: int, height: int) -> Image.Image:
    """Smooth colours, textures of several grains and a camera's softness: what a photo is to a JPEG decoder."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    canvas = np.stack((x / width * 200, y / height * 220, 255 - x / width * 120 - y / height * 80), axis=-1)
    for grain, strength in ((4, 12), (12, 20), (60, 40)):
        noise = random.normal(0, strength, (height // grain + 2, width // grain + 2, 1)).astype(np.float32)
        canvas += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)[:, :, np.newaxis]
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def reference(data: bytes, settings: ImageSettings) -> None:
    """Pillow decodes every pixel."""
    fit(decode(data, color=settings.color).pixels, settings)


def draft(data: bytes, settings: ImageSettings) -> None:
    """Pillow's own reduced decoding, to at least twice the target as the fast path has it."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (2 * max(settings.resize, settings.width), 2 * max(settings.resize, settings.height)))
        pixels = np.asarray(image.convert("RGB" if settings.channels == 3 else "L"))
    fit(pixels.reshape(*pixels.shape[:2], settings.channels), settings)


def fast(data: bytes, settings: ImageSettings) -> None:
    """What serves."""
    ImagePreprocessor(settings)(data)


def cpu_ms(run: Callable[[], None], *, seconds: float) -> float:
    """The least CPU time of one run, of as many as fit into `seconds`, and of three at least."""
    best, end, runs = float("inf"), time.monotonic() + seconds, 0
    run()
    while runs < 3 or time.monotonic() < end:
        begin = time.thread_time()
        run()
        best, runs = min(best, time.thread_time() - begin), runs + 1
    return 1000 * best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="per measurement")
    seconds = parser.parse_args().seconds
    cv2.setNumThreads(1)
    large = photo(4000, 2667)
    pictures = {
        "PNG, grey, 28x28": (encoded(photo(28, 28).convert("L"), "PNG"), SMALL),
        "JPEG, 640x427": (encoded(photo(640, 427), "JPEG", quality=85), IMAGENET),
        "JPEG, 4000x2667": (encoded(large, "JPEG", quality=85), IMAGENET),
        "JPEG, 4000x2667, progressive": (encoded(large, "JPEG", quality=85, progressive=True), IMAGENET),
    }
    table = Table("picture", "KB", "Pillow", "Pillow draft", "fast path", title="CPU-ms per image, bytes to tensor")
    for name, (data, settings) in pictures.items():
        paths = (reference, draft, fast)
        times = [cpu_ms(partial(path, data, settings), seconds=seconds) for path in paths]
        table.add_row(name, f"{len(data) / 1000:.1f}", *(f"{ms:.3f}" if ms < 1 else f"{ms:.1f}" for ms in times))
    Console().print(table)


if __name__ == "__main__":
    main()
