"""Where a target's pixels lie on the picture: measured on pictures, not derived from the code that draws them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from services.shared.imaging.base import Box, Pixels
from services.shared.imaging.fit import choose_window, fit, shown_window
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import ImageSettings
from services.shared.imaging.words import Fit, Task

FITS: tuple[Fit, ...] = ("stretch", "cover", "contain")
SIZES = [(28, 28), (100, 51), (51, 100), (640, 480), (37, 1000), (9, 14), (300, 7), (5, 3)]


def ramps(height: int, width: int) -> Pixels:
    """Channel 0 grows with x, channel 1 with y, 0 at one edge of the picture and 255 at the other."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 0] = np.round(255 * (np.arange(width) + 0.5) / width)
    pixels[:, :, 1] = np.round(255 * (np.arange(height) + 0.5) / height)[:, np.newaxis]
    pixels[:, :, 2] = 255  # where there is a picture
    return pixels


@pytest.mark.parametrize("fit_", FITS)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_pixel_of_the_target_shows_the_place_that_the_window_says(height: int, width: int, fit_: Fit) -> None:
    settings = ImageSettings(40, 56, 3, fit=fit_)
    target, window = fit(ramps(height, width), settings), shown_window(ramps(height, width), settings)
    for column in range(56):
        for row in range(40):
            x = window.left + (column + 0.5) / 56 * (window.right - window.left)
            y = window.top + (row + 0.5) / 40 * (window.bottom - window.top)
            if not (0.5 <= x <= width - 0.5 and 0.5 <= y <= height - 0.5) or target[row, column, 2] < 255:
                continue
            # In levels: half a pixel of the target, or of a picture so coarse that its cut edge is repeated.
            assert abs(int(target[row, column, 0]) - 255 * x / width) <= max(2.5, 128 / width)
            assert abs(int(target[row, column, 1]) - 255 * y / height) <= max(2.5, 128 / height)


def test_the_worked_example() -> None:
    shown = shown_window(np.zeros((51, 100, 3), np.uint8), ImageSettings(28, 28, 3, fit="contain"))
    assert (shown.left, shown.top, shown.right, shown.bottom) == (0, -25.5, 100, 76.5)


def test_content_is_framed_where_it_was_found() -> None:
    pixels = np.zeros((100, 200, 1), np.uint8)
    pixels[20:60, 120:140] = 255
    settings = ImageSettings(28, 28, 1, fit="content", color="grey")
    target, shown = fit(pixels, settings), shown_window(pixels, settings)
    rows, columns = np.nonzero(target[:, :, 0] > 127)
    pixel = (shown.right - shown.left) / 28
    assert shown.left + columns.min() * pixel == pytest.approx(120, abs=pixel)
    assert shown.left + (columns.max() + 1) * pixel == pytest.approx(140, abs=pixel)
    assert shown.top + rows.min() * pixel == pytest.approx(20, abs=pixel)
    assert shown.top + (rows.max() + 1) * pixel == pytest.approx(60, abs=pixel)


@pytest.mark.parametrize("fit_", FITS)
def test_a_jpeg_reduced_while_decoding_has_its_window_in_its_own_pixels(fit_: Fit) -> None:
    out = io.BytesIO()
    Image.fromarray(ramps(1201, 1603)).save(out, "JPEG", quality=95)
    settings = ImageSettings(64, 64, 3, fit=fit_, task="detection")
    window = ImagePreprocessor(settings)(out.getvalue()).window
    wanted = choose_window(1201, 1603, settings, None)
    assert window is not None
    got = np.array([window.left, window.top, window.right, window.bottom])
    want = np.array([wanted.left, wanted.top, wanted.right, wanted.bottom])
    assert np.abs(got - want).max() <= max(1201, 1603) / 64  # a pixel of the target


@pytest.mark.parametrize(
    ("task", "known"), [("classification", False), ("embedding", False), ("detection", True), ("segmentation", True)]
)
def test_only_tasks_that_need_a_window_pay_for_it(task: Task, known: bool) -> None:
    out = io.BytesIO()
    Image.new("RGB", (6, 4)).save(out, "PNG")
    decoded = ImagePreprocessor(ImageSettings(8, 8, 3, fit="stretch", task=task))(out.getvalue())
    assert decoded.window == (Box(0, 0, 6, 4) if known else None)
