"""A detector's boxes to things on the picture, with names and places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.shared.errors import InferenceFailed
from services.shared.imaging.base import Box, DecodedImage
from services.shared.tensors import Array

MAX_CANDIDATES = (
    30_000  # looked at by suppression, best first: bounds its time for a model that finds things everywhere
)


@dataclass(frozen=True, slots=True)
class Detection:
    """`label`, `index` and `score` as in a `Prediction`; `box` is x0, y0, x1, y1 in the source's pixels, within it."""

    label: str
    index: int
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class DetectionLimits:
    """Which candidates count: those that reach `score_threshold`, at most `max_detections` of them.

    `iou_threshold` is for suppression here: of two boxes of one class whose intersection over union is above it, the
    one with the lower score goes.
    """

    score_threshold: float = 0.25
    iou_threshold: float = 0.45
    max_detections: int = 100


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Corners [n, 4] as 64-bit floats, scores [n] and classes [n], best first."""

    corners: Array
    scores: Array
    classes: Array

    def of(self, chosen: Array) -> _Candidates:
        return _Candidates(self.corners[chosen], self.scores[chosen], self.classes[chosen])


def detections(
    outputs: Sequence[Array], image: DecodedImage, labels: Sequence[str], limits: DetectionLimits, k: int
) -> tuple[Detection, ...]:
    """The k best detections of one picture, best first; what came first from the model first among equals.

    `outputs` are boxes [n, 4] (x0, y0, x1, y1 in pixels of the model's input), scores [n] and classes [n] of a model
    that suppresses duplicates itself; or boxes [n, 4] and scores [n, classes] of one that leaves it to us: then every
    class of a box is a candidate, and duplicates are suppressed class by class, as ONNX's NonMaxSuppression does.

    Rows with score 0 or class -1 are padding. Boxes are cut at the picture's edge, and those outside it left out.
    Raises InferenceFailed for outputs of other shapes, or a candidate whose numbers are not finite.
    """
    suppressed = len(outputs) == 3
    find = _from_suppressed if suppressed else _from_raw
    found = find(outputs, limits.score_threshold)
    found = _Candidates(_on_source(found.corners, image), found.scores, found.classes)
    inside = np.clip(found.corners, 0, (image.width, image.height) * 2)
    visible = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
    found, inside = found.of(visible), inside[visible]
    k = min(k, limits.max_detections)
    kept = np.arange(len(inside))[:k] if suppressed else _suppress(found, limits.iou_threshold, k)
    return tuple(
        Detection(labels[index] if index < len(labels) else str(index), index, score, (x0, y0, x1, y1))
        for index, score, (x0, y0, x1, y1) in zip(
            found.classes[kept].tolist(), found.scores[kept].tolist(), inside[kept].tolist(), strict=True
        )
    )


def _from_suppressed(outputs: Sequence[Array], threshold: float) -> _Candidates:
    boxes, scores, classes = outputs
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1] or classes.shape != scores.shape:
        raise InferenceFailed(
            f"the model gave boxes of shape {list(boxes.shape)}, scores of shape {list(scores.shape)} and classes of "
            f"shape {list(classes.shape)}: [n, 4], [n] and [n] are due"
        )
    rows = np.flatnonzero((classes >= 0) & _reach(scores, threshold))
    return _best_first(boxes, rows, scores[rows], classes[rows])


def _from_raw(outputs: Sequence[Array], threshold: float) -> _Candidates:
    boxes, scores = outputs
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.ndim != 2 or len(scores) != len(boxes):
        raise InferenceFailed(
            f"the model gave boxes of shape {list(boxes.shape)} and scores of shape {list(scores.shape)}: "
            "[n, 4] and [n, classes] are due"
        )
    rows, classes = np.nonzero(_reach(scores, threshold))
    return _best_first(boxes, rows, scores[rows, classes], classes)


def _reach(scores: Array, threshold: float) -> Array:
    """Written so that a score that is no number reaches any threshold: it is to be refused, not overlooked."""
    reached: Array = ~(scores < threshold) & ~(scores <= 0)
    return reached


def _best_first(boxes: Array, rows: Array, scores: Array, classes: Array) -> _Candidates:
    with np.errstate(over="ignore"):  # what is beyond 32 bits becomes infinite, and is refused
        scores = scores.astype(np.float32, copy=False)
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    corners, scores, classes = boxes[rows[order]].astype(np.float64), scores[order], classes[order]
    for name, values in (("scores", scores), ("boxes", corners), ("classes", classes)):
        if not np.isfinite(values).all():
            raise InferenceFailed(f"the model gave {name} that are not finite numbers")
    return _Candidates(corners, scores, classes.astype(np.int64))


def _on_source(corners: Array, image: DecodedImage) -> Array:
    """Corners in pixels of the model's input as pixels of the source: the inverse of the fit."""
    height, width = image.tensor.shape[:2]
    window = image.window or Box(0, 0, image.width, image.height)
    scale = (window.right - window.left) / width, (window.bottom - window.top) / height
    moved: Array = corners * (scale * 2) + (window.left, window.top) * 2
    return moved


def _suppress(found: _Candidates, iou_threshold: float, k: int) -> Array:
    """Which k of the candidates, best first, no better one of their class overlaps too much."""
    kept: list[int] = []
    left = np.arange(len(found.scores))
    while left.size and len(kept) < k:
        best, others = left[0], left[1:]
        kept.append(int(best))
        duplicate = found.classes[others] == found.classes[best]
        rivals = others[duplicate]
        duplicate[duplicate] = _iou(found.corners[best], found.corners[rivals]) > iou_threshold
        left = others[~duplicate]
    return np.array(kept, np.int64)


def _iou(box: Array, others: Array) -> Array:
    """Intersection over union of one box [4] with others [n, 4], all of them with an area."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    ratio: Array = common / (np.prod(box[2:] - box[:2]) + areas - common)
    return ratio
