from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from services.shared.errors import InferenceFailed
from services.shared.imaging.base import Box, DecodedImage
from services.shared.imaging.detection import MAX_CANDIDATES, Detection, DetectionLimits, detections
from services.shared.imaging.fit import fit, shown_window
from services.shared.imaging.settings import ImageSettings
from services.shared.imaging.words import Fit
from services.shared.tensors import Array

LABELS = ("cat", "dog", "fox")
ALL = DetectionLimits(score_threshold=0.0, max_detections=10_000)


def picture(width: int = 32, height: int = 32, window: Box | None = None) -> DecodedImage:
    """A picture that a model of 32 x 32 was shown."""
    return DecodedImage(np.zeros((32, 32, 3), np.uint8), width, height, "png", window)


def found(
    boxes: object, scores: object, classes: object, limits: DetectionLimits = ALL, k: int = 100
) -> tuple[Detection, ...]:
    given = np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(classes, np.int64)
    return detections(given, picture(), LABELS, limits, k)


def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = width * height if width > 0 and height > 0 else 0.0
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def reference(boxes: Array, scores: Array, limits: DetectionLimits, k: int) -> list[Detection]:
    """Class-wise suppression as it is told, for boxes inside a 32 x 32 picture that was shown as it is."""
    survivors = []
    for index in range(scores.shape[1]):
        of_class = [
            Detection(LABELS[index], index, float(scores[row, index]), (x0, y0, x1, y1))
            for row, (x0, y0, x1, y1) in enumerate(boxes.tolist())
            if scores[row, index] > 0 and scores[row, index] >= np.float32(limits.score_threshold)
        ]
        of_class.sort(key=lambda each: -each.score)
        kept: list[Detection] = []
        for each in of_class:
            if all(iou(each.box, better.box) <= limits.iou_threshold for better in kept):
                kept.append(each)
        survivors += kept
    return sorted(survivors, key=lambda each: -each.score)[: min(k, limits.max_detections)]


def test_detections_come_best_first_and_padding_is_dropped() -> None:
    boxes = [[0, 0, 4, 4], [1, 1, 9, 9], [2, 2, 8, 8], [0, 0, 0, 0], [3, 3, 5, 5]]
    assert found(boxes, [0.5, 0.875, 0.75, 0.0, 0.99], [0, 2, 7, 0, -1]) == (
        Detection("fox", 2, 0.875, (1, 1, 9, 9)),
        Detection("7", 7, 0.75, (2, 2, 8, 8)),  # a class without a label
        Detection("cat", 0, 0.5, (0, 0, 4, 4)),
    )


def test_overlapping_boxes_of_a_model_that_suppresses_itself_are_left_alone() -> None:
    assert len(found([[0, 0, 9, 9]] * 3, [0.5, 0.5, 0.5], [1, 1, 1])) == 3


@pytest.mark.parametrize(
    ("threshold", "k", "most", "want"),
    [(0.0, 9, 9, 4), (0.3, 9, 9, 3), (0.6, 9, 9, 1), (0.9, 9, 9, 0), (0.0, 2, 9, 2), (0.0, 9, 3, 3), (0.3, 1, 2, 1)],
)
def test_threshold_and_number_bound_what_is_given(threshold: float, k: int, most: int, want: int) -> None:
    limits = DetectionLimits(score_threshold=threshold, max_detections=most)
    scores = [0.8, 0.3, 0.5, 0.1]
    got = found([[0, 0, 4, 4]] * 4, scores, [0] * 4, limits, k)
    assert [each.score for each in got] == pytest.approx(sorted(scores, reverse=True)[:want])


def test_a_score_of_exactly_the_threshold_reaches_it() -> None:
    assert len(found([[0, 0, 4, 4]], [0.3], [0], DetectionLimits(score_threshold=0.3))) == 1


def test_no_rows_are_no_detections() -> None:
    assert found([], [], []) == ()
    raw = np.zeros((0, 4), np.float32), np.zeros((0, 3), np.float32)
    assert detections(raw, picture(), LABELS, ALL, 5) == ()


def test_boxes_are_cut_at_the_pictures_edge_and_those_outside_are_left_out() -> None:
    boxes = [[-8, -8, 4, 4], [30, 30, 50, 50], [40, 0, 50, 9], [-9, 0, 0, 9], [9, 9, 5, 20]]
    got = found(boxes, [0.9, 0.8, 0.7, 0.6, 0.5], [0] * 5)
    assert [each.box for each in got] == [(0, 0, 4, 4), (30, 30, 32, 32)]


def test_boxes_outside_do_not_take_the_place_of_others() -> None:
    boxes = [[40, 0, 50, 9], [0, 0, 4, 4]]
    assert [each.box for each in found(boxes, [0.9, 0.8], [0, 0], k=1)] == [(0, 0, 4, 4)]


@pytest.mark.parametrize(
    ("window", "want"),
    [
        (Box(0, 0, 64, 320), (16, 160, 32, 240)),  # stretch
        (Box(100, 0, 132, 32), (108, 16, 116, 24)),  # cover
        (Box(0, -64, 128, 64), (32, 0, 64, 32)),  # contain
    ],
)
def test_the_window_is_undone(window: Box, want: tuple[float, ...]) -> None:
    boxes = np.array([[8, 16, 16, 24]], np.float32)
    [one] = detections(
        (boxes, np.ones(1, np.float32), np.zeros(1)), picture(1000, 1000, window), LABELS, DetectionLimits(), 5
    )
    assert one.box == want


@pytest.mark.parametrize("fit_", ["stretch", "cover", "contain", "content"])
@pytest.mark.parametrize(("height", "width"), [(200, 320), (320, 200), (100, 100), (1000, 90), (17, 31)])
def test_what_is_seen_on_the_target_is_found_on_the_picture(height: int, width: int, fit_: Fit) -> None:
    """A bright rectangle is drawn, fitted, found again on the target, and lies where it was drawn."""
    box = width * 0.4, height * 0.45, width * 0.7, height * 0.6
    x0, y0, x1, y1 = (round(side) for side in box)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y0:y1, x0:x1] = 255
    image_settings = ImageSettings(224, 320, 3, fit=fit_, interpolation="nearest")
    target, window = fit(pixels, image_settings), shown_window(pixels, image_settings)
    rows, columns = np.nonzero(target[:, :, 0] > 127)
    seen = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    image = DecodedImage(target, width, height, "png", window)
    [one] = detections((seen, np.ones(1, np.float32), np.zeros(1)), image, LABELS, DetectionLimits(), 5)
    across, down = (window.right - window.left) / 320, (window.bottom - window.top) / 224
    visible = max(x0, window.left), max(y0, window.top), min(x1, window.right), min(y1, window.bottom)
    assert np.abs(np.array(one.box) - visible)[::2].max() <= max(across, 0.5)  # a pixel of the target
    assert np.abs(np.array(one.box) - visible)[1::2].max() <= max(down, 0.5)


def raw_outputs(seed: int, boxes: int = 40) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    corner, size = random.integers(0, 20, (boxes, 2)), random.integers(1, 12, (boxes, 2))
    scores = random.integers(0, 50, (boxes, 3)) / np.float32(50)
    scores[:, 1] *= random.random(boxes) > 0.5
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32), scores.astype(np.float32)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize(("threshold", "overlap", "k"), [(0.25, 0.45, 100), (0.0, 0.3, 7), (0.5, 0.0, 100), (0, 1, 50)])
def test_suppression_here_is_what_a_plain_loop_gives(seed: int, threshold: float, overlap: float, k: int) -> None:
    limits = DetectionLimits(threshold, overlap)
    boxes, scores = raw_outputs(seed)
    # Distinct scores: a sort has one answer then.
    scores = (scores * 0.9 + np.arange(scores.size).reshape(scores.shape) * 1e-4 * (scores > 0)).astype(np.float32)
    assert list(detections((boxes, scores), picture(), LABELS, limits, k)) == reference(boxes, scores, limits, k)


def test_one_box_may_be_of_two_classes_and_duplicates_are_of_one() -> None:
    boxes = np.array([[0, 0, 8, 8], [0, 0, 8, 7], [20, 20, 28, 28]], np.float32)
    scores = np.array([[0.9, 0.6, 0], [0.8, 0.7, 0], [0.5, 0, 0]], np.float32)
    got = detections((boxes, scores), picture(), LABELS, DetectionLimits(), 10)
    assert [(each.label, each.box[2:]) for each in got] == [("cat", (8, 8)), ("dog", (8, 7)), ("cat", (28, 28))]


def test_suppression_sees_whole_boxes_not_what_is_left_of_them_at_the_edge() -> None:
    boxes = np.array([[24, 0, 34, 10], [24, 0, 64, 10]], np.float32)  # alike once cut: 0.25 before, 1 after
    got = detections((boxes, np.array([[0.9], [0.8]], np.float32)), picture(), LABELS, DetectionLimits(), 10)
    assert [each.box for each in got] == [(24, 0, 32, 10)] * 2


_CORNER = st.integers(0, 24)
_BOXES = st.lists(st.tuples(_CORNER, _CORNER, st.integers(1, 8), st.integers(1, 8)), min_size=1, max_size=12)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(_BOXES, st.data(), st.sampled_from([0.0, 0.25, 0.45, 0.9]))
def test_no_two_survivors_overlap_and_every_victim_has_a_better_rival(
    sides: list[tuple[int, int, int, int]], data: st.DataObject, overlap: float
) -> None:
    boxes = np.array([[x, y, x + width, y + height] for x, y, width, height in sides], np.float32)
    scores = data.draw(npst.arrays(np.float32, (len(boxes), 2), elements=st.sampled_from([0, 0.25, 0.5, 0.75, 1])))
    got = detections((boxes, scores), picture(), LABELS, DetectionLimits(0.0, overlap), 100)
    assert [each.score for each in got] == sorted((each.score for each in got), reverse=True)
    for one in got:
        for other in got:
            assert one is other or one.index != other.index or iou(one.box, other.box) <= overlap
    kept = {(each.index, each.box) for each in got}
    for row, index in zip(*np.nonzero(scores), strict=True):
        box = tuple(map(float, boxes[row]))
        rivals = [e for e in got if e.index == index and e.score >= scores[row, index] and iou(e.box, box) > overlap]
        assert (index, box) in kept or rivals
    assert detections((boxes, scores), picture(), LABELS, DetectionLimits(0.0, overlap), 3) == got[:3]


def test_a_model_that_finds_things_everywhere_is_looked_at_best_first_only() -> None:
    count = MAX_CANDIDATES + 10
    boxes = np.zeros((count, 4), np.float32) + np.array([0, 0, 1, 1], np.float32)
    scores = np.full((count, 1), 0.5, np.float32)
    scores[-1], boxes[-1] = 0.9, [4, 4, 5, 5]
    boxes[-2] = [8, 8, 9, 9]  # the last of the equals, beyond the bound
    got = detections((boxes, scores), picture(), LABELS, ALL, 100)
    assert [each.box for each in got] == [(4, 4, 5, 5), (0, 0, 1, 1)]


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ((np.zeros((2, 4)), np.zeros(3), np.zeros(3)), r"scores of shape \[3\]"),
        ((np.zeros((2, 4)), np.zeros(2), np.zeros((2, 1))), r"shape \[2, 1\]"),
        ((np.zeros((2, 5)), np.zeros(2), np.zeros(2)), r"boxes of shape \[2, 5\]"),
        ((np.zeros(4), np.zeros(()), np.zeros(())), r"boxes of shape \[4\]"),
        ((np.zeros((2, 4)), np.zeros(2)), r"\[n, classes\] are due"),
        ((np.zeros((2, 4)), np.zeros((3, 2))), r"\[n, classes\] are due"),
        ((np.ones((1, 4)), np.array([np.nan]), np.zeros(1)), "scores that are not finite"),
        ((np.ones((1, 4)), np.array([np.inf]), np.zeros(1)), "scores that are not finite"),
        ((np.ones((1, 4)), np.array([1e300]), np.zeros(1)), "scores that are not finite"),
        ((np.ones((1, 4)), np.array([[0.1, np.nan]])), "scores that are not finite"),
        ((np.full((1, 4), np.nan), np.ones(1), np.zeros(1)), "boxes that are not finite"),
        ((np.full((1, 4), np.inf), np.ones((1, 1))), "boxes that are not finite"),
        ((np.ones((1, 4)), np.ones(1), np.array([np.inf])), "classes that are not finite"),
    ],
)
def test_outputs_that_are_no_boxes_are_the_models_failure(outputs: tuple[Array, ...], says: str) -> None:
    with pytest.raises(InferenceFailed, match=says):
        detections(outputs, picture(), LABELS, DetectionLimits(), 5)


def test_padding_may_hold_anything() -> None:
    boxes = np.array([[0, 0, 4, 4], [np.nan] * 4, [np.nan] * 4], np.float32)
    got = detections(
        (boxes, np.array([0.9, 0.0, np.nan]), np.array([0, 0, -1])), picture(), LABELS, DetectionLimits(), 5
    )
    assert len(got) == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_values_are_plain_python_numbers(dtype: type) -> None:
    [one] = detections(
        (np.array([[1, 2, 3, 4]], dtype), np.array([0.5], dtype), np.array([1], dtype)), picture(), LABELS, ALL, 5
    )
    assert one == Detection("dog", 1, 0.5, (1, 2, 3, 4))
    assert [type(side) for side in one.box] == [float] * 4
    assert (type(one.score), type(one.index)) == (float, int)
