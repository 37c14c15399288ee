from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from services.shared.imaging.base import Box, Pixels
from services.shared.imaging.fit import MARGIN, choose_window, fit
from services.shared.imaging.settings import ImageSettings
from services.shared.imaging.words import Fit, Interpolation, Polarity

FITS: tuple[Fit, ...] = ("stretch", "cover", "contain", "content")
KERNELS: tuple[Interpolation, ...] = ("area", "bilinear", "bicubic", "lanczos", "nearest")


def square(fit_: Fit, side: int = 28, **more: int) -> ImageSettings:
    return ImageSettings(side, side, 3, fit=fit_, resize=more.get("resize", 0))


def grey(
    side: int = 28, fit_: Fit = "content", polarity: Polarity = "as_is", kernel: Interpolation = "area"
) -> ImageSettings:
    return ImageSettings(side, side, 1, fit=fit_, color="grey", polarity=polarity, interpolation=kernel)


@pytest.mark.parametrize(
    ("height", "width", "settings", "ink", "want"),
    [
        # the worked examples of `choose_window`
        (50, 100, square("stretch"), None, Box(0, 0, 100, 50)),
        (50, 100, square("cover"), None, Box(25, 0, 75, 50)),
        (50, 100, square("contain"), None, Box(0, -25, 100, 75)),
        (50, 100, square("content"), Box(40, 10, 60, 50), Box(22, 2, 78, 58)),
        # lying ink is framed by its width, and without ink the picture is
        (50, 100, square("content"), Box(40, 20, 60, 30), Box(36, 11, 64, 39)),
        (50, 100, square("content"), None, Box(0, -25, 100, 75)),
        (100, 50, square("cover"), None, Box(0, 25, 50, 75)),
        (100, 50, square("contain"), None, Box(-25, 0, 75, 100)),
        # ImageNet: the shorter side to 256, the middle 224 of it
        (256, 512, square("cover", 224, resize=256), None, Box(144, 16, 368, 240)),
        (512, 512, square("cover", 224, resize=256), None, Box(32, 32, 480, 480)),
        # a target that is not square
        (100, 100, ImageSettings(10, 20, 3, fit="cover"), None, Box(0, 25, 100, 75)),
        (100, 100, ImageSettings(10, 20, 3, fit="contain"), None, Box(-50, 0, 150, 100)),
        (1, 1000, square("cover"), None, Box(499.5, 0, 500.5, 1)),
        (1, 1000, square("contain"), None, Box(0, -499.5, 1000, 500.5)),
    ],
)
def test_the_window_is_the_part_that_becomes_the_target(
    height: int, width: int, settings: ImageSettings, ink: Box | None, want: Box
) -> None:
    got = choose_window(height, width, settings, ink)
    assert (got.left, got.top, got.right, got.bottom) == pytest.approx(
        (want.left, want.top, want.right, want.bottom), abs=1e-9
    )


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("fit_", FITS)
@pytest.mark.parametrize(
    ("height", "width"),
    [(1, 1), (1, 2), (2, 1), (1, 300), (300, 1), (3, 5), (28, 28), (27, 29), (101, 37), (64, 1000), (1000, 64)],
)
def test_every_size_becomes_the_target(height: int, width: int, fit_: Fit, kernel: Interpolation) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    target = fit(pixels, ImageSettings(28, 20, 3, fit=fit_, interpolation=kernel, polarity="dark_on_light"))
    assert target.shape == (28, 20, 3)
    assert target.dtype == np.uint8
    assert target.flags.c_contiguous


@pytest.mark.parametrize("fit_", FITS)
@pytest.mark.parametrize("shape", [(1, 1_000_000, 1), (1_000_000, 1, 1), (2, 70_000, 1)])
def test_extreme_shapes_cost_no_more_than_their_pixels(shape: tuple[int, int, int], fit_: Fit) -> None:
    pixels = np.full(shape, 200, np.uint8)
    target = fit(pixels, grey(fit_=fit_))
    assert target.max() == 200
    assert target[14, 14, 0] == 200


@pytest.mark.parametrize("fit_", FITS)
@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_picture_of_one_level_keeps_it_where_there_is_picture(level: int, fit_: Fit) -> None:
    target = fit(np.full((30, 30, 3), level, np.uint8), square(fit_))
    assert (target == level).all()


def test_contain_pads_with_black_and_keeps_the_middle() -> None:
    target = fit(np.full((50, 100, 3), 200, np.uint8), square("contain"))
    assert (target[7:21] == 200).all()
    assert (target[:7] == 0).all()
    assert (target[21:] == 0).all()


def test_contain_pads_with_the_background_where_it_is_known() -> None:
    target = fit(
        np.full((50, 100, 3), 200, np.uint8), ImageSettings(28, 28, 3, fit="contain", polarity="dark_on_light")
    )
    assert (target == 200).all()


def test_cover_cuts_both_sides_alike() -> None:
    pixels = np.zeros((28, 56, 1), np.uint8)
    pixels[:, 14:42] = np.arange(28, dtype=np.uint8)[:, np.newaxis]
    assert np.array_equal(fit(pixels, grey(fit_="cover")), pixels[:, 14:42])


def test_a_picture_of_the_targets_size_is_left_alone() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    for fit_ in ("stretch", "cover", "contain"):
        assert np.array_equal(fit(pixels, square(fit_)), pixels)


def test_shrinking_averages_whatever_the_kernel_is() -> None:
    pixels = np.zeros((280, 280, 1), np.uint8)
    pixels[::2] = 255
    for kernel in KERNELS:
        target = fit(pixels, grey(fit_="stretch", kernel=kernel))
        assert np.abs(target.astype(int) - 127.5).max() <= 1


def test_a_view_turned_by_exif_gives_what_its_copy_gives() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    for view in (pixels[:, ::-1], pixels[::-1], pixels.transpose(1, 0, 2)[::-1]):
        for fit_ in FITS:
            assert np.array_equal(fit(view, square(fit_)), fit(view.copy(), square(fit_)))


def canvas(side: int, stroke: int, ink: int, paper: int, place: tuple[float, float] = (0.5, 0.5)) -> Pixels:
    """A cross on paper, a twentieth of the side large or more."""
    image = Image.new("L", (side, side), paper)
    draw = ImageDraw.Draw(image)
    x, y, arm = place[0] * side, place[1] * side, max(side * 0.15, 3)
    draw.line([(x - arm, y), (x + arm, y)], fill=ink, width=stroke)
    draw.line([(x, y - arm), (x, y + arm)], fill=ink, width=stroke)
    return np.asarray(image)[:, :, np.newaxis]


@pytest.mark.parametrize("side", [64, 280, 1200, 4000])
@pytest.mark.parametrize("place", [(0.5, 0.5), (0.2, 0.25), (0.8, 0.7)])
def test_content_frames_a_thin_stroke_on_a_large_canvas(side: int, place: tuple[float, float]) -> None:
    target = fit(canvas(side, max(1, side // 400), 0, 255, place), grey(polarity="light_on_dark"))[:, :, 0]
    margin = round(28 * MARGIN)
    rows, columns = np.nonzero(target > 60)
    assert target.max() == 255
    for edge in (rows.min(), columns.min(), 27 - rows.max(), 27 - columns.max()):
        assert abs(int(edge) - margin) <= 1  # the cross fills twenty pixels, in the middle
    assert (target[:2] == 0).all()


@pytest.mark.parametrize("polarity", ["light_on_dark", "dark_on_light"])
@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (90, 160), (200, 120), (60, 90), (255, 225)])
def test_any_drawing_gets_the_polarity_and_range_that_is_asked_for(ink: int, paper: int, polarity: Polarity) -> None:
    target = fit(canvas(280, 14, ink, paper), grey(polarity=polarity))[:, :, 0]
    light = target if polarity == "light_on_dark" else 255 - target
    assert light[0, 0] == 0
    assert light[14, 14] == 255
    assert light.mean() < 128


@pytest.mark.parametrize("polarity", ["light_on_dark", "dark_on_light"])
@pytest.mark.parametrize("level", [0, 100, 255])
def test_a_blank_picture_is_all_background(level: int, polarity: Polarity) -> None:
    target = fit(np.full((100, 80, 1), level, np.uint8), grey(polarity=polarity))
    assert (target == (0 if polarity == "light_on_dark" else 255)).all()


def test_polarity_inverts_colour_pictures_whole() -> None:
    pixels = np.repeat(canvas(100, 8, 20, 240), 3, axis=2)
    settings = ImageSettings(100, 100, 3, fit="stretch", polarity="light_on_dark")
    assert np.array_equal(fit(pixels, settings), 255 - pixels)
    assert np.array_equal(fit(255 - pixels, settings), 255 - pixels)


def test_as_is_leaves_levels_alone() -> None:
    target = fit(canvas(280, 14, 90, 160), grey(polarity="as_is"))
    assert target[0, 0, 0] == 160
    assert target.min() == 90


def test_a_cut_between_pixels_goes_to_the_nearer_one() -> None:
    """A window of 66.7 to 133.3: taking every pixel that it touches would make it 66 to 134, and never narrower."""
    ramp = np.tile(np.arange(200, dtype=np.uint8), (100, 1))[:, :, np.newaxis]
    target = fit(ramp, ImageSettings(30, 20, 1, fit="cover", color="grey"))[0, :, 0].astype(int)
    assert (target[-1] - target[0]) / 19 == pytest.approx(100 / 30, abs=0.05)
