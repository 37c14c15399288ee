from __future__ import annotations

import pytest

from services.shared.imaging.base import Box
from services.shared.imaging.decode_plan import (
    BAND_PIXELS,
    Reader,
    choose_reader,
    choose_reduction,
    pillow_bytes,
    reduced,
    turbojpeg_bytes,
)
from services.shared.imaging.settings import ImageSettings

STRETCH = ImageSettings(28, 28, 3, fit="stretch")
COVER = ImageSettings(224, 224, 3, resize=256)
CONTAIN = ImageSettings(28, 28, 3, fit="contain")
POLARITY = ImageSettings(28, 28, 3, fit="stretch", polarity="dark_on_light")
CONTENT = ImageSettings(28, 28, 1, fit="content", color="grey")


@pytest.mark.parametrize(
    ("format_name", "mode", "reader"),
    [
        ("jpeg", "RGB", "turbojpeg"),
        ("jpeg", "L", "turbojpeg"),
        ("jpeg", "CMYK", "pillow"),  # YCCK, too, is CMYK to Pillow
        ("png", "RGB", "pillow"),
        ("tiff", "RGB", "pillow"),
        ("gif", "P", "pillow"),
    ],
)
def test_libjpeg_turbo_reads_grey_and_colour_jpegs(format_name: str, mode: str, reader: Reader) -> None:
    assert choose_reader(format_name, mode) == reader


@pytest.mark.parametrize(
    ("height", "width", "settings", "ink", "want"),
    [
        # the worked examples: two source pixels per target pixel are left
        (100, 100, STRETCH, None, 1),
        (111, 112, STRETCH, None, 1),
        (112, 112, STRETCH, None, 2),
        (224, 224, STRETCH, None, 4),
        (448, 448, STRETCH, None, 8),
        (4480, 4480, STRETCH, None, 8),
        # the narrower axis decides where they differ
        (448, 112, STRETCH, None, 2),
        (112, 4480, STRETCH, None, 2),
        # a side that is no multiple reaches beyond the picture, by an eighth of a target pixel at most
        (448, 449, STRETCH, None, 2),
        (448, 450, STRETCH, None, 4),
        (449, 448, STRETCH, None, 2),
        (4481, 4481, STRETCH, None, 8),
        # only the shorter side counts where the picture is cut, the longer one where it is padded
        (2667, 4000, COVER, None, 4),
        (3024, 4032, COVER, None, 4),
        (427, 640, COVER, None, 1),
        (448, 104, CONTAIN, None, 8),
        (448, 100, CONTAIN, None, 4),
        (448, 1, CONTAIN, None, 2),
        # a picture smaller than the target is never reduced
        (1, 1, STRETCH, None, 1),
        (20, 4000, STRETCH, None, 1),
        # where a drawing is looked for, in a copy of 512 pixels, that many are left
        (1000, 1000, POLARITY, None, 1),
        (1024, 1024, POLARITY, None, 2),
        (4000, 2048, POLARITY, None, 4),
        (3000, 4000, CONTENT, None, 4),
        # and 40 of the drawing: two for each of the target's twenty
        (3000, 4000, CONTENT, Box(100, 100, 180, 160), 2),
        (3000, 4000, CONTENT, Box(100, 100, 179, 160), 1),
        (3000, 4000, CONTENT, Box(100, 100, 260, 110), 4),
        (8000, 8000, CONTENT, Box(0, 0, 8000, 8000), 8),
    ],
)
def test_a_picture_is_reduced_as_far_as_the_target_cannot_tell(
    height: int, width: int, settings: ImageSettings, ink: Box | None, want: int
) -> None:
    assert choose_reduction(height, width, settings, ink) == want


def test_the_first_look_for_a_drawing_is_never_finer_than_the_largest_drawing_needs() -> None:
    for side in range(512, 8192, 256):
        whole = Box(side * 0.15, side * 0.15, side * 0.85, side * 0.85)  # framed, it is the picture
        assert choose_reduction(side, side, CONTENT) == choose_reduction(side, side, CONTENT, whole)


@pytest.mark.parametrize(("side", "reduction", "want"), [(16, 8, 2), (17, 8, 3), (1, 8, 1), (7, 1, 7), (5, 2, 3)])
def test_sides_are_rounded_up(side: int, reduction: int, want: int) -> None:
    assert reduced(side, reduction) == want


@pytest.mark.parametrize(
    ("format_name", "mode", "channels", "per_pixel"),
    [("png", "RGB", 3, 10), ("png", "L", 1, 3), ("png", "I;16", 1, 4), ("bmp", "P", 3, 7), ("webp", "RGBA", 3, 22)],
)
def test_pillows_memory_follows_the_mode(format_name: str, mode: str, channels: int, per_pixel: int) -> None:
    band = 16 * BAND_PIXELS
    assert pillow_bytes(format_name, mode, 4000, 3000, channels) == 12_000_000 * per_pixel + band
    assert pillow_bytes(format_name, mode, 10, 10, channels) == 100 * (per_pixel + 16)


def test_a_reduced_jpeg_costs_its_reduced_pixels_and_its_coefficients() -> None:
    assert turbojpeg_bytes(4000, 3000, 3, 8, coefficients=0) == 2 * 3 * 500 * 375
    assert turbojpeg_bytes(4000, 3000, 3, 8, coefficients=3) == 2 * 3 * 500 * 375 + 6 * 12_000_000
