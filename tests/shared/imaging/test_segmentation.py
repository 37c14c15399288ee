from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from services.shared.errors import InferenceFailed
from services.shared.imaging.base import Box, DecodedImage, Pixels
from services.shared.imaging.fit import fit, shown_window
from services.shared.imaging.segmentation import MAX_MASK_SIDE, VOID, Segmentation, mask_of, segmentation
from services.shared.imaging.settings import ImageSettings
from services.shared.imaging.words import Fit
from services.shared.tensors import Array

LABELS = ("sky", "tree")


def picture(width: int, height: int, window: Box | None = None) -> DecodedImage:
    return DecodedImage(np.zeros((8, 8, 3), np.uint8), width, height, "png", window)


def read(given: Segmentation) -> Pixels:
    """The mask as a client reads it."""
    with Image.open(io.BytesIO(given.mask_png)) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        assert image.size == (given.mask_width, given.mask_height)
        return np.asarray(image)


def reference(class_map: Pixels, width: int, height: int, window: Box) -> Pixels:
    """Pixel by pixel: what the map says under the centre of each pixel of the source."""
    mask = np.full((height, width), VOID, np.uint8)
    for y in range(height):
        for x in range(width):
            row = math.floor((y + 0.5 - window.top) / (window.bottom - window.top) * class_map.shape[0])
            column = math.floor((x + 0.5 - window.left) / (window.right - window.left) * class_map.shape[1])
            if 0 <= row < class_map.shape[0] and 0 <= column < class_map.shape[1]:
                mask[y, x] = class_map[row, column]
    return mask


@pytest.mark.parametrize("shape", [(8, 8), (16, 12), (1, 1), (5, 3)])
@pytest.mark.parametrize(
    ("width", "height", "window"),
    [
        (40, 30, Box(0, 0, 40, 30)),  # stretch
        (40, 30, Box(5, 0, 35, 30)),  # cover
        (40, 30, Box(0, -5, 40, 35)),  # contain
        (3, 2, Box(0, 0, 3, 2)),
        (1, 50, Box(-24.5, 0, 25.5, 50)),
        (33, 21, Box(4.25, -3.5, 29.75, 30.125)),
    ],
)
def test_the_mask_is_what_a_plain_loop_gives(width: int, height: int, window: Box, shape: tuple[int, int]) -> None:
    class_map = np.random.default_rng(0).integers(0, 250, shape, dtype=np.uint8)
    given = segmentation(class_map, picture(width, height, window), LABELS)
    assert np.array_equal(read(given), reference(class_map, width, height, window))


def test_without_a_window_the_whole_picture_was_shown() -> None:
    class_map = np.array([[0, 1], [2, 3]], np.uint8)
    mask = read(segmentation(class_map, picture(4, 6), LABELS))
    assert np.array_equal(mask, class_map.repeat(3, 0).repeat(2, 1))


def test_classes_are_shares_of_the_mask_the_largest_first() -> None:
    class_map = np.array([[1, 1, 1, 0], [1, 1, 0, 7], [1, 0, 7, 255], [1, 1, 1, 255]], np.uint8)
    given = segmentation(class_map, picture(4, 4), LABELS)
    assert [(each.label, each.index, each.share) for each in given.classes] == [
        ("tree", 1, 9 / 16),
        ("sky", 0, 3 / 16),
        ("7", 7, 2 / 16),
    ]
    assert [type(given.classes[0].index), type(given.classes[0].share)] == [int, float]


def test_of_equal_shares_the_lower_index_comes_first() -> None:
    given = segmentation(np.array([[5, 2], [9, 0]], np.uint8), picture(2, 2), ())
    assert [each.index for each in given.classes] == [0, 2, 5, 9]


def test_what_was_cut_off_is_no_class_and_has_no_share() -> None:
    given = segmentation(np.ones((4, 4), np.uint8), picture(40, 20, Box(10, 0, 30, 20)), LABELS)
    mask = read(given)
    assert (mask[:, 10:30] == 1).all()
    assert (mask[:, :10] == VOID).all()
    assert (mask[:, 30:] == VOID).all()
    assert [(each.index, each.share) for each in given.classes] == [(1, 0.5)]


def test_a_map_of_nothing_has_no_classes() -> None:
    given = segmentation(np.full((4, 4), VOID, np.uint8), picture(8, 8), LABELS)
    assert given.classes == ()
    assert (read(given) == VOID).all()


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (2048, 100, (2048, 100)),
        (2049, 100, (2048, 100)),
        (4096, 3000, (2048, 1500)),
        (3000, 12_000, (512, 2048)),
        (1_000_000, 1, (2048, 1)),
    ],
)
def test_a_large_pictures_mask_is_reduced_and_covers_the_same(width: int, height: int, size: tuple[int, int]) -> None:
    class_map = np.arange(64, dtype=np.uint8).reshape(8, 8)
    given = segmentation(class_map, picture(width, height, Box(0, 0, width, height)), ())
    assert (given.mask_width, given.mask_height) == size
    assert max(size) <= MAX_MASK_SIDE
    mask = read(given)
    for share_y, share_x in ((0.01, 0.01), (0.3, 0.6), (0.99, 0.99)):
        row, column = int(share_y * size[1]), int(share_x * size[0])
        want = class_map[int((row + 0.5) / size[1] * 8), int((column + 0.5) / size[0] * 8)]
        assert mask[row, column] == want


@pytest.mark.parametrize("fit_", ["stretch", "cover", "contain", "content"])
@pytest.mark.parametrize(("height", "width"), [(60, 90), (90, 60), (64, 64), (300, 40), (17, 31)])
def test_a_picture_painted_by_class_comes_back(height: int, width: int, fit_: Fit) -> None:
    """A model that says 1 where it sees white gives back the white of the source, wherever it was shown."""
    pixels = np.zeros((height, width, 1), np.uint8)
    pixels[height // 3 : 2 * height // 3, width // 4 : 3 * width // 4] = 255
    image_settings = ImageSettings(96, 128, 1, fit=fit_, color="grey", interpolation="nearest")
    target, window = fit(pixels, image_settings), shown_window(pixels, image_settings)
    class_map = (target[:, :, 0] > 127).astype(np.uint8)
    mask = mask_of(class_map, DecodedImage(target, width, height, "png", window))
    assert mask.shape == (height, width)
    seen = mask != VOID
    wrong = seen & (mask != pixels[:, :, 0] // 255)
    # Only a seam along the edges of the rectangle may be off, by a pixel of the target or of the source.
    seam = max((window.right - window.left) / 128, (window.bottom - window.top) / 96, 1.0)
    assert wrong.sum() <= seam * (height + width)
    assert seen.sum() >= 0.9 * min(1.0, (window.right - window.left) / width) * height * width * min(
        1.0, (window.bottom - window.top) / height
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint16])
def test_any_integers_will_do(dtype: type) -> None:
    given = segmentation(np.array([[0, 1]], dtype), picture(2, 1), LABELS)
    assert read(given).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("class_map", "says"),
    [
        (np.zeros((2, 2), np.float32), "float32"),
        (np.zeros((2, 2), np.bool_), "bool"),
        (np.zeros((3, 2, 2), np.uint8), r"shape \[3, 2, 2\]"),
        (np.zeros((0, 2), np.uint8), r"shape \[0, 2\]"),
        (np.full((2, 2), 256, np.int64), "not within 0..255"),
        (np.full((2, 2), -1, np.int64), "not within 0..255"),
    ],
)
def test_an_output_that_is_no_map_is_the_models_failure(class_map: Array, says: str) -> None:
    with pytest.raises(InferenceFailed, match=says):
        segmentation(class_map, picture(4, 4), LABELS)
