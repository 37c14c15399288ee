"""The quick way onto a target: pixel for pixel what `fit` gives."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.imaging.base import Pixels
from services.shared.imaging.fit import fit
from services.shared.imaging.ink import FEW_ROWS, _median, _ring
from services.shared.imaging.settings import ImageSettings
from services.shared.imaging.tiny import (
    Placement,
    TinyFit,
    border_level,
    choose_fit,
    fit_drawing,
    fit_picture,
    place_drawing,
    place_picture,
)
from services.shared.imaging.words import Fit, Interpolation, Polarity

FITS, KERNELS, POLARITIES = get_args(Fit), get_args(Interpolation), get_args(Polarity)
TARGETS = [(28, 28), (20, 33), (64, 48), (1, 1)]
DRAWING = ImageSettings(28, 28, 1, fit="content", color="grey", polarity="light_on_dark", interpolation="bicubic")

sides = st.integers(1, 30) | st.integers(1, FEW_ROWS + 6)


@st.composite
def drawings(draw: st.DrawFn) -> Pixels:
    """Strokes of any level on a background, sharp or noisy, anywhere on the picture and over its edge."""
    height, width, background = draw(sides), draw(sides), draw(st.sampled_from([0, 255]) | st.integers(0, 255))
    picture = np.full((height, width, 1), background, np.uint8)
    for _ in range(draw(st.integers(0, 3))):
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        high, wide = draw(st.integers(1, height)), draw(st.integers(1, width))
        picture[y : y + high, x : x + wide] = draw(st.sampled_from([0, 255]) | st.integers(0, 255))
    noise = draw(st.sampled_from([0, 0, 6, 40]))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    noisy = picture.astype(int) + random.integers(-noise, noise + 1, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def check(pixels: Pixels, wanted: ImageSettings) -> None:
    before = pixels.copy()
    found, expected = choose_fit(wanted)(pixels, wanted), fit(pixels, wanted)
    assert found.shape == (wanted.height, wanted.width, wanted.channels)
    assert np.array_equal(found, expected)
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert found.dtype == np.uint8
    assert np.array_equal(pixels, before)


@settings(max_examples=600, deadline=None, derandomize=True, database=None)
@given(
    drawings(), st.sampled_from(TARGETS), st.sampled_from(KERNELS), st.sampled_from(["light_on_dark", "dark_on_light"])
)
def test_a_drawing_comes_onto_the_target_as_by_fit(
    pixels: Pixels, target: tuple[int, int], kernel: Interpolation, polarity: Polarity
) -> None:
    check(
        pixels,
        ImageSettings(*target, 1, fit="content", color="grey", polarity=polarity, interpolation=kernel),
    )


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    drawings(),
    st.sampled_from([1, 3]),
    st.sampled_from(TARGETS),
    st.sampled_from(FITS),
    st.sampled_from(KERNELS),
    st.sampled_from(POLARITIES),
    st.booleans(),
)
def test_whatever_is_wanted_it_is_what_fit_gives(
    pixels: Pixels,
    channels: int,
    target: tuple[int, int],
    fit_: Fit,
    kernel: Interpolation,
    polarity: Polarity,
    is_resized: bool,
) -> None:
    resize = max(target) + 5 if is_resized and fit_ == "cover" else 0
    wanted = ImageSettings(*target, channels, fit=fit_, resize=resize, polarity=polarity, interpolation=kernel)
    check(np.ascontiguousarray(pixels.repeat(channels, 2)), wanted)


@pytest.mark.parametrize("polarity", ["light_on_dark", "dark_on_light"])
@pytest.mark.parametrize("level", [0, 1, 100, 127, 128, 254, 255])
@pytest.mark.parametrize("ink", [0, 15, 16, 17, 111, 116, 200, 239, 240, 255])
def test_every_contrast_has_its_threshold_and_its_spread(level: int, ink: int, polarity: Polarity) -> None:
    pixels = np.full((28, 28, 1), level, np.uint8)
    pixels[8:20, 10:18, 0] = np.linspace(level, ink, 12 * 8).reshape(12, 8)
    check(pixels, ImageSettings(28, 28, 1, fit="content", polarity=polarity))


@pytest.mark.parametrize("rows", [[[0, 0, 255, 255]], [[0], [0], [255], [255]], [[9, 9, 200, 200, 200]], [[0, 255]]])
def test_a_picture_of_one_row_or_column_has_the_border_that_fit_sees(rows: list[list[int]]) -> None:
    check(np.array(rows, np.uint8)[:, :, np.newaxis], DRAWING)


def test_the_pictures_memory_is_not_the_targets() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for fit_ in ("stretch", "cover", "contain"):
        target = fit_picture(pixels, ImageSettings(8, 8, 3, fit=fit_))
        assert np.array_equal(target, pixels)
        assert not np.shares_memory(target, pixels)


@pytest.mark.parametrize(
    ("wanted", "way"),
    [
        (DRAWING, fit_drawing),
        (ImageSettings(28, 28, 1, fit="content", polarity="dark_on_light"), fit_drawing),
        (ImageSettings(28, 28, 3, fit="content", polarity="light_on_dark"), fit),
        (ImageSettings(28, 28, 1, fit="content"), fit),
        (ImageSettings(28, 28, 1, fit="contain", polarity="light_on_dark"), fit),
        (ImageSettings(28, 28, 1), fit_picture),
        (ImageSettings(32, 32, 3, fit="stretch"), fit_picture),
        (ImageSettings(32, 32, 3, fit="contain"), fit_picture),
        (ImageSettings(32, 32, 3, fit="cover", resize=40), fit_picture),
    ],
)
def test_the_settings_say_which_way_is_quickest(wanted: ImageSettings, way: TinyFit) -> None:
    assert choose_fit(wanted) is way


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.integers(2, FEW_ROWS), st.integers(1, FEW_ROWS), st.sampled_from([1, 2, 3, 9, 256]), st.integers(0, 9))
def test_the_level_of_a_border_is_the_median_of_the_ring(height: int, width: int, levels: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, levels, (height, width, 1), dtype=np.uint8)
    assert border_level(pixels.tobytes(), height, width) == _median(_ring(pixels))[0]


def test_a_level_that_fills_both_ends_but_not_half_of_the_border_is_not_its_median() -> None:
    pixels = np.full((40, 5, 1), 9, np.uint8)
    pixels[[0, -1]] = 200
    assert border_level(pixels.tobytes(), 40, 5) == 9


@pytest.mark.parametrize(
    ("ink", "height", "width", "place"),
    [
        # As high as the margins want it: where it is, in the middle, unscaled.
        ((8, 4, 12, 20), 28, 28, Placement((slice(0, 28), slice(0, 28)), None, None, None, (0, 0, 0, 0))),
        # Twice as large: all of it, halved.
        ((16, 8, 24, 40), 56, 56, Placement((slice(0, 56), slice(0, 56)), (28, 28), None, None, (0, 0, 0, 0))),
        # Half as large: 14 pixels around its middle, doubled.
        ((9, 9, 6, 10), 28, 28, Placement((slice(7, 21), slice(5, 19)), None, (28, 28), None, (0, 0, 0, 0))),
        # In the corner: the margin lies beyond the picture.
        ((0, 0, 20, 20), 28, 28, Placement((slice(0, 24), slice(0, 24)), None, None, None, (4, 0, 4, 0))),
        # One pixel: it is twenty of the target's, the next ones stick out of it.
        (
            (3, 3, 1, 1),
            7,
            7,
            Placement((slice(2, 5), slice(2, 5)), None, (60, 60), (slice(16, 44), slice(16, 44)), (0, 0, 0, 0)),
        ),
    ],
)
def test_a_drawing_is_placed(ink: tuple[int, int, int, int], height: int, width: int, place: Placement) -> None:
    assert place_drawing(ink, height, width, 28, 28) == place


@pytest.mark.parametrize(
    ("height", "width", "fit_", "resize", "place"),
    [
        (28, 28, "cover", 0, Placement((slice(0, 28), slice(0, 28)), None, None, None, (0, 0, 0, 0))),
        (56, 28, "cover", 0, Placement((slice(14, 42), slice(0, 28)), None, None, None, (0, 0, 0, 0))),
        (56, 28, "stretch", 0, Placement((slice(0, 56), slice(0, 28)), (28, 28), None, None, (0, 0, 0, 0))),
        (14, 56, "stretch", 0, Placement((slice(0, 14), slice(0, 56)), (28, 14), (28, 28), None, (0, 0, 0, 0))),
        (14, 28, "contain", 0, Placement((slice(0, 14), slice(0, 28)), None, None, None, (7, 7, 0, 0))),
        (28, 14, "contain", 0, Placement((slice(0, 28), slice(0, 14)), None, None, None, (0, 0, 7, 7))),
        (28, 28, "cover", 56, Placement((slice(7, 21), slice(7, 21)), None, (28, 28), None, (0, 0, 0, 0))),
    ],
)
def test_a_whole_picture_is_placed(height: int, width: int, fit_: Fit, resize: int, place: Placement) -> None:
    assert place_picture(height, width, 28, 28, fit_, resize) == place
