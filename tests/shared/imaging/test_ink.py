from __future__ import annotations

import numpy as np
import pytest

from services.shared.imaging.ink import MIN_CONTRAST, _grey_level, _median, _ring, find_ink


def paper(height: int, width: int, level: int, channels: int = 1) -> np.ndarray:
    return np.full((height, width, channels), level, np.uint8)


@pytest.mark.parametrize(
    ("level", "ink", "is_dark"),
    [(255, 0, True), (0, 255, False), (160, 90, True), (90, 160, False), (128, 255, False), (127, 0, True)],
)
def test_the_border_says_what_is_background(level: int, ink: int, is_dark: bool) -> None:
    picture = paper(60, 80, level)
    picture[20:40, 30:50] = ink
    found = find_ink(picture)
    assert found.background == (level,)
    assert found.is_dark is is_dark
    assert found.box is not None
    assert (found.box.left, found.box.top, found.box.right, found.box.bottom) == (30, 20, 50, 40)


@pytest.mark.parametrize(("level", "is_dark"), [(0, False), (127, False), (128, True), (255, True)])
def test_a_blank_picture_goes_by_its_own_level(level: int, is_dark: bool) -> None:
    found = find_ink(paper(50, 50, level))
    assert (found.box, found.is_dark) == (None, is_dark)


@pytest.mark.parametrize(("contrast", "is_found"), [(MIN_CONTRAST - 1, False), (MIN_CONTRAST, True)])
def test_what_is_fainter_than_noise_is_no_drawing(contrast: int, is_found: bool) -> None:
    picture = paper(50, 50, 200)
    picture[20:30, 20:30] = 200 - contrast
    assert (find_ink(picture).box is not None) is is_found


def test_a_stroke_over_the_edge_is_outvoted() -> None:
    picture = paper(100, 100, 240)
    picture[:, 40:60] = 10
    found = find_ink(picture)
    assert found.background == (240,)
    assert found.is_dark


def test_a_one_pixel_frame_is_outvoted_on_a_large_picture() -> None:
    picture = paper(400, 400, 240)
    picture[[0, -1]] = picture[:, [0, -1]] = 0
    assert find_ink(picture).background == (240,)


def test_colours_have_a_background_for_each_channel() -> None:
    picture = paper(50, 50, 0, channels=3)
    picture[:] = (250, 240, 200)
    picture[20:30, 10:40] = (0, 0, 90)
    found = find_ink(picture)
    assert found.background == (250, 240, 200)
    assert found.is_dark
    assert found.box is not None
    assert (found.box.left, found.box.right) == (10, 40)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2), (3, 2), (1, 5000)])
def test_the_smallest_pictures_have_a_border_too(shape: tuple[int, int]) -> None:
    assert find_ink(paper(*shape, 9)).background == (9,)


def test_ink_on_a_large_picture_is_found_in_its_own_pixels() -> None:
    picture = paper(3000, 4000, 255)
    picture[900:1500, 2000:2400] = 0
    box = find_ink(picture).box
    assert box is not None
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((2000, 900, 2400, 1500), abs=8)


def test_the_short_way_to_a_small_border_is_the_median_of_the_ring() -> None:
    random = np.random.default_rng(0)
    sides = [*range(1, 9), 31, 32, 63, 64, 65]
    for height in sides:
        for width in sides:
            picture = random.integers(0, 256, (height, width, 1), dtype=np.uint8)
            assert _grey_level(picture) == _median(_ring(picture))[0], (height, width)
