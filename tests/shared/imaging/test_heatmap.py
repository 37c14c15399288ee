"""Numbers over a model's input, drawn over the source: its size, its orientation, and what the model was not shown."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from services.shared.imaging.base import Box, DecodedImage
from services.shared.imaging.decode import decode
from services.shared.imaging.heatmap import MAX_HEATMAP_SIDE, MAX_OVERLAY_SIDE, heat_levels, heatmap, overlay
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import ImageSettings
from services.shared.imaging.words import Fit
from tests.support.image_files import exif, saved

SIDE = 32


def source(width: int, height: int, box: tuple[int, int, int, int], kind: str = "PNG", orientation: int = 1) -> bytes:
    """Black, and white at left, top, right, bottom; stored so that the orientation turns it upright."""
    upright = Image.new("RGB", (width, height))
    upright.paste((255, 255, 255), box)
    turned = {1: upright, 3: upright.rotate(180), 6: upright.transpose(Image.Transpose.ROTATE_90)}[orientation]
    return saved(turned, kind, exif=exif(orientation))


def settings(fit: Fit, resize: int = 0) -> ImageSettings:
    return ImageSettings(SIDE, SIDE, 3, fit=fit, resize=resize)


@pytest.mark.parametrize(
    ("fit", "resize", "width", "height", "box"),
    [
        ("stretch", 0, 64, 48, (8, 8, 24, 24)),
        ("stretch", 0, 20, 16, (4, 4, 12, 10)),
        ("cover", 0, 96, 64, (40, 16, 60, 40)),
        ("cover", 40, 96, 64, (40, 20, 60, 40)),
        ("cover", 0, 64, 200, (10, 90, 40, 120)),
        ("contain", 0, 90, 60, (30, 10, 60, 30)),
        ("content", 0, 120, 80, (50, 20, 90, 60)),
    ],
)
@pytest.mark.parametrize(("kind", "orientation"), [("PNG", 1), ("JPEG", 6), ("PNG", 3)])
def test_what_is_bright_on_the_input_is_where_it_is_on_the_source(
    fit: Fit, resize: int, width: int, height: int, box: tuple[int, int, int, int], kind: str, orientation: int
) -> None:
    image = ImagePreprocessor(settings(fit, resize), located=True)(source(width, height, box, kind, orientation))
    levels = heat_levels(image.tensor[..., 0].astype(np.float32), image, 2048)
    assert levels.shape == (height, width)
    expected = np.zeros((height, width), bool)
    expected[box[1] : box[3], box[0] : box[2]] = True
    both = expected & (levels > 127)
    either = expected | (levels > 127)
    assert both.sum() / either.sum() > 0.75


@pytest.mark.parametrize(
    ("width", "height", "hidden"),
    [
        (96, 32, (slice(0, 32), slice(0, 31))),
        (96, 32, (slice(0, 32), slice(65, 96))),
        (32, 96, (slice(0, 31), slice(0, 32))),
    ],
)
def test_it_is_zero_where_the_model_was_not_shown_the_picture(
    width: int, height: int, hidden: tuple[slice, slice]
) -> None:
    image = ImagePreprocessor(settings("cover"), located=True)(source(width, height, (0, 0, 1, 1)))
    levels = heat_levels(np.ones((SIDE, SIDE)), image, 2048)
    assert levels[hidden].max() == 0
    assert levels[height // 2, width // 2] == 255


def test_what_speaks_against_is_zero_and_what_speaks_most_is_255() -> None:
    image = DecodedImage(np.zeros((2, 2, 1), np.uint8), 2, 2, "png", Box(0, 0, 2, 2))
    assert heat_levels(np.array([[-3.0, 0.5], [0.25, 1.0]]), image, 2048).tolist() == [[0, 128], [64, 255]]
    assert not heat_levels(np.array([[-3.0, -0.5], [0.0, -1.0]]), image, 2048).any()


def test_a_large_picture_gets_a_reduced_one_of_the_same_shape() -> None:
    image = DecodedImage(np.zeros((8, 8, 1), np.uint8), 8000, 4000, "jpeg", Box(0, 0, 8000, 4000))
    drawn = heatmap(np.ones((8, 8)), image)
    assert (drawn.width, drawn.height) == (MAX_HEATMAP_SIDE, MAX_HEATMAP_SIDE // 2)
    opened = Image.open(io.BytesIO(drawn.png))
    assert (opened.mode, opened.size) == ("L", (drawn.width, drawn.height))


def test_the_overlay_is_the_picture_in_grey_with_the_heat_in_colour() -> None:
    data = source(3000, 1500, (1500, 0, 3000, 1500), "JPEG", orientation=6)
    image = ImagePreprocessor(settings("stretch"), located=True)(data)
    heat = np.zeros((SIDE, SIDE))
    heat[:, :8] = 1

    def sketch(picture: bytes, width: int, height: int) -> np.ndarray:
        return ImagePreprocessor(ImageSettings(height, width, 3, fit="stretch"))(picture).tensor

    drawn = decode(overlay(heat, image, data, sketch), color="rgb").pixels.astype(int)
    assert drawn.shape == (MAX_OVERLAY_SIDE // 2, MAX_OVERLAY_SIDE, 3)
    hot, black, white = drawn[300, 100], drawn[300, 500], drawn[300, 1000]
    assert hot[0] > hot[2] + 120
    assert black.max() - black.min() <= 2
    assert white.min() >= 253
    assert 60 < black.mean() < 120
