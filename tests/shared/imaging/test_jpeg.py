"""The fast path against the reference: Pillow's pixels, all of them, through the same `fit`."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from services.shared.imaging.base import DecodedImage, Pixels
from services.shared.imaging.decode import decode
from services.shared.imaging.decode_plan import choose_reduction
from services.shared.imaging.fit import fit
from services.shared.imaging.jpeg import decode_jpeg
from services.shared.imaging.picture_file import open_picture
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import ImageSettings
from tests.support import image_files as files
from tests.support.digit_models import DIGITS
from tests.support.image_corpus import phone_photo
from tests.support.image_scenes import large_photo, page_with_digit, scene
from tests.support.stroke_digits import draw_digit

IMAGENET = ImageSettings(224, 224, 3, resize=256)
STRETCH = ImageSettings(64, 48, 3, fit="stretch")
CONTAIN = ImageSettings(64, 64, 1, fit="contain", color="grey")
POLARITY = ImageSettings(64, 64, 3, fit="contain", polarity="dark_on_light")
DRAWING = ImageSettings(28, 28, 1, fit="content", color="grey", polarity="light_on_dark", interpolation="bicubic")


def reference(data: bytes, settings: ImageSettings) -> DecodedImage:
    source = decode(data, color=settings.color)
    return DecodedImage(fit(source.pixels, settings), source.width, source.height, source.format)


def difference(data: bytes, settings: ImageSettings) -> float:
    """The mean absolute difference of the two paths' tensors, in levels of 255."""
    fast, slow = ImagePreprocessor(settings)(data), reference(data, settings)
    assert (fast.width, fast.height, fast.format) == (slow.width, slow.height, slow.format)
    assert fast.tensor.shape == slow.tensor.shape
    return float(np.abs(fast.tensor.astype(int) - slow.tensor).mean())


def resampling(data: bytes, settings: ImageSettings) -> float:
    """The same measure between two ways to shrink that are both accepted: area averages, and Pillow's bilinear.

    It is what a model must live with anyway when it was trained with one and served with the other; a reduction that
    changes no more than this changes nothing that matters. About 2.5 for the scenes here.
    """
    pixels = decode(data, color=settings.color).pixels
    size = settings.width, settings.height
    bilinear = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    stretched = ImageSettings(settings.height, settings.width, 3, fit="stretch")
    return float(np.abs(bilinear.astype(int) - fit(pixels, stretched)).mean())


@cache
def encoded(size: tuple[int, int], quality: int, subsampling: int) -> bytes:
    picture = large_photo() if size == (4000, 2667) else scene(*size, seed=size[0])
    return files.saved(picture, "JPEG", quality=quality, subsampling=subsampling)


@pytest.mark.parametrize("settings", [IMAGENET, STRETCH, CONTAIN, POLARITY], ids=lambda s: s.fit + s.polarity)
@pytest.mark.parametrize(("quality", "subsampling"), [(50, 2), (85, 2), (85, 1), (95, 0)])
@pytest.mark.parametrize("size", [(320, 240), (641, 427), (1203, 803), (1600, 1066)])
def test_the_tensor_is_the_references_but_for_less_than_a_kernel_makes(
    size: tuple[int, int], quality: int, subsampling: int, settings: ImageSettings
) -> None:
    data = encoded(size, quality, subsampling)
    bound = 2.5 if choose_reduction(size[1], size[0], settings) > 1 else 0.5  # not reduced: only grey is rounded twice
    assert difference(data, settings) <= bound


@pytest.mark.parametrize("settings", [IMAGENET, STRETCH, CONTAIN, DRAWING], ids=lambda s: s.fit)
def test_twelve_megapixels_are_reduced_and_look_the_same(settings: ImageSettings) -> None:
    data = encoded((4000, 2667), 85, 2)
    assert choose_reduction(2667, 4000, settings) >= 4
    assert difference(data, settings) <= 2.5


def test_the_bound_is_what_two_accepted_kernels_differ_by() -> None:
    for size in ((1203, 803), (1600, 1066)):
        assert resampling(encoded(size, 85, 2), STRETCH) > difference(encoded(size, 85, 2), STRETCH)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(640, 448), (643, 451)])
def test_reduced_pictures_are_turned_by_their_exif_orientation(size: tuple[int, int], orientation: int) -> None:
    data = files.saved(scene(*size), "JPEG", quality=90, exif=files.exif(orientation))
    for settings in (STRETCH, ImageSettings(32, 48, 3)):
        assert difference(data, settings) <= 2.5


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_blocks": 3}, {"keep_rgb": True}])
def test_every_kind_of_jpeg_is_read_by_the_fast_path(options: dict[str, object]) -> None:
    data = files.saved(scene(640, 448), "JPEG", **options)
    assert fast_pixels(data, STRETCH) is not None
    assert difference(data, STRETCH) <= 2.5


@pytest.mark.parametrize("color", ["rgb", "grey"])
def test_a_grey_jpeg_serves_either_kind_of_model(color: str) -> None:
    data = files.saved(scene(640, 448).convert("L"), "JPEG")
    settings = ImageSettings(48, 64, 3, fit="stretch") if color == "rgb" else CONTAIN
    assert fast_pixels(data, settings) is not None
    assert difference(data, settings) <= 2.5


def fast_pixels(data: bytes, settings: ImageSettings) -> Pixels | None:
    with open_picture(data, max_pixels=100_000_000) as (_, image):
        source = decode_jpeg(data, image, settings, lambda _: None)
    return None if source is None else source.pixels


def test_without_a_reduction_colours_are_exactly_the_references() -> None:
    data = files.saved(scene(200, 150), "JPEG", quality=80)
    pixels = fast_pixels(data, IMAGENET)
    assert pixels is not None
    assert np.array_equal(pixels, decode(data, color="rgb").pixels)


def test_the_source_is_reported_in_its_own_size() -> None:
    image = ImagePreprocessor(IMAGENET)(phone_photo())
    assert (image.width, image.height, image.format) == (3024, 4032, "jpeg")
    pixels = fast_pixels(phone_photo(), IMAGENET)
    assert pixels is not None
    assert pixels.shape == (1008, 756, 3)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9, 0.999])
def test_the_fast_path_leaves_what_is_broken_off_to_the_reference(cut: float) -> None:
    data = files.saved(scene(640, 448), "JPEG")
    assert fast_pixels(data[: int(len(data) * cut)], STRETCH) is None


@pytest.mark.parametrize("size", [(33, 25), (100, 80)])
def test_a_frame_of_another_size_than_the_one_checked_is_not_written(size: tuple[int, int]) -> None:
    data = files.saved(scene(64, 48), "JPEG")
    with open_picture(files.jpeg_resized(data, *size), max_pixels=10_000) as (_, image):
        source = decode_jpeg(data, image, IMAGENET, lambda _: None)
    assert source is None


def test_memory_is_asked_for_before_each_decode() -> None:
    small_drawing = page_with_digit(draw_digit(3, seed=1), 3200, 2400, box=(300, 300, 240))
    data = files.saved(Image.fromarray(small_drawing), "JPEG")
    taken: list[int] = []
    with open_picture(data, max_pixels=100_000_000) as (_, image):
        source = decode_jpeg(data, image, DRAWING, taken.append)
    assert source is not None
    assert taken == [2 * 800 * 600, 2 * 1600 * 1200]  # found in a quarter, looked at in a half
    assert source.pixels.shape == (1200, 1600, 1)


@pytest.mark.parametrize("side", [110, 300, 1200, 2300])
def test_a_drawing_of_any_size_on_a_large_page_is_framed_as_the_reference_frames_it(side: int) -> None:
    for seed in range(3):
        page = page_with_digit(draw_digit(seed + 4, seed), 3200, 2400, box=(200 + 40 * seed, 60, side))
        data = files.saved(Image.fromarray(page), "JPEG", quality=85)
        # The frame is found in a copy of 512 pixels, six of this page's to one: it may be one of them larger or
        # smaller, which moves the edges of a stroke by a fraction of a target pixel.
        assert difference(data, DRAWING) <= 5


def test_the_digits_model_answers_alike_by_either_path() -> None:
    session = onnxruntime.InferenceSession(DIGITS / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    fast, slow, labels = [], [], []
    for index in range(60):
        drawing = draw_digit(index % 10, index)
        width, height = ((1600, 1200), (2048, 2048), (1203, 1601))[index % 3]
        side = (1100, 500, 200)[index // 3 % 3]
        page = page_with_digit(drawing, width, height, box=(40 + index, 50, side))
        data = files.saved(
            Image.fromarray(page), "JPEG", quality=(60, 85)[index % 2], exif=files.exif(1 + index % 2 * 0)
        )
        fast.append(ImagePreprocessor(DRAWING)(data).tensor)
        slow.append(reference(data, DRAWING).tensor)
        labels.append(drawing.label)
    best = [session.run(None, {"image": np.stack(batch)})[0].argmax(axis=1) for batch in (fast, slow)]
    assert (best[0] == best[1]).mean() >= 0.98
    assert (best[0] == np.array(labels)).mean() >= (best[1] == np.array(labels)).mean() - 0.02
    assert (best[0] == np.array(labels)).mean() > 0.9
