"""What people really send, through a running stack: the same top-1 as decoding it with Pillow alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pytest
from PIL import Image, ImageOps

from exporters.digits.model import DIGITS_DIR, image_settings
from services.shared.imaging.base import as_pixels
from services.shared.imaging.fit import fit
from tests.support.image_files import exif
from tests.support.stack import ALONE, Stack, running_stack
from tests.support.stroke_digits import draw_digit

ROTATED_RIGHT = 6  # EXIF: the stored picture must be turned clockwise to stand upright, as phones store portraits


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("photos"), "--processes", "1", *ALONE) as running:
        yield running


def paper(label: int, width: int, height: int) -> Image.Image:
    """A digit in ink on a sheet, unevenly lit, as RGB."""
    side = min(width, height)
    drawn = np.full((height, width), 255, np.float32)
    top, left = (height - side) // 2, (width - side) // 2
    drawn[top : top + side, left : left + side] = np.asarray(draw_digit(label, 3).on_canvas(side)).reshape(side, side)
    light = np.linspace(0.86, 1.0, width, dtype=np.float32)[None, :]
    grey = (drawn * light).astype(np.uint8)
    return Image.merge("RGB", [Image.fromarray(grey), Image.fromarray(grey), Image.fromarray(grey // 8 * 8)])


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def phone_photo(label: int) -> bytes:
    """12 megapixels, portrait, stored on its side."""
    upright = paper(label, 3000, 4000)
    return saved(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=88, exif=exif(ROTATED_RIGHT))


def screenshot(label: int) -> bytes:
    picture = paper(label, 800, 600).convert("RGBA")
    picture.putalpha(255)
    return saved(picture, "PNG")


def cmyk_scan(label: int) -> bytes:
    return saved(paper(label, 1240, 1754).convert("CMYK"), "JPEG", quality=92)


def animated_gif(label: int) -> bytes:
    frames = [paper((label + n) % 10, 320, 320).convert("P") for n in range(3)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


def deep_png(label: int) -> bytes:
    grey = np.asarray(paper(label, 400, 500).convert("L")).astype(np.uint16) * 257
    return saved(Image.fromarray(grey), "PNG")


def reference_top_1(data: bytes) -> int:
    """Decoded whole by Pillow, by nothing of ours."""
    with Image.open(io.BytesIO(data)) as image:
        image.seek(0)
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        if upright.mode == "RGBA":
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
        pixels = as_pixels(np.asarray(upright.convert("L")))
    session = onnxruntime.InferenceSession(DIGITS_DIR / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    batch = fit(pixels, image_settings())[None]
    return int(np.asarray(session.run(None, {"image": batch})[0]).argmax())


@pytest.mark.parametrize("make", [phone_photo, screenshot, cmyk_scan, animated_gif, deep_png])
@pytest.mark.parametrize("label", range(0, 10, 3))
def test_the_same_top_1_as_pillow_alone(stack: Stack, make, label: int) -> None:  # type: ignore[no-untyped-def]
    data = make(label)
    answer = httpx.post(
        f"{stack.url}/v1/models/digits/predict", content=data, headers={"content-type": "application/octet-stream"}
    )
    assert answer.status_code == 200, answer.text
    [result] = answer.json()["results"]
    assert result["predictions"][0]["index"] == reference_top_1(data) == label


def test_a_portrait_is_reported_upright(stack: Stack, tmp_path: Path) -> None:
    answer = httpx.post(f"{stack.url}/v1/models/digits/predict", files={"image": phone_photo(5)})
    assert answer.json()["results"][0]["image"] == {"width": 3000, "height": 4000, "format": "jpeg"}
