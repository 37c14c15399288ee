"""A segmenter's map of classes to a mask of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from services.shared.errors import InferenceFailed
from services.shared.imaging.base import Box, DecodedImage, Pixels
from services.shared.tensors import Array

MAX_MASK_SIDE = 2048  # of a mask; a larger picture's is given reduced
# No class: what a model marks as unknown (PASCAL VOC's word for it), and what it was not shown of the picture.
VOID = 255
_COMPRESSION = 3  # zlib's level: regions of one value need no more


@dataclass(frozen=True, slots=True)
class SegmentClass:
    """`share` is the part of the mask's pixels, above 0 and at most 1, that have this class."""

    label: str
    index: int
    share: float


@dataclass(frozen=True, slots=True)
class Segmentation:
    """All classes of one picture, the largest share first, and which pixel has which.

    `mask_png` is a grey PNG of 8 bits whose values are class indices, or VOID. It is as large as the source unless that
    is longer than MAX_MASK_SIDE; then it is reduced to that, and covers the same picture.
    """

    classes: tuple[SegmentClass, ...]
    mask_png: bytes
    mask_width: int
    mask_height: int


def segmentation(class_map: Array, image: DecodedImage, labels: Sequence[str]) -> Segmentation:
    """What a map of classes [height, width], evenly over the model's input and of any size, says of the source.

    The nearest pixel decides. Raises InferenceFailed for a map of another rank or type, or a class beyond 255.
    """
    mask = mask_of(_checked(class_map), image)
    counts = np.bincount(mask.ravel(), minlength=VOID + 1)[:VOID]
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    classes = tuple(
        SegmentClass(labels[index] if index < len(labels) else str(index), index, count / mask.size)
        for index, count in zip(order.tolist(), counts[order].tolist(), strict=True)
    )
    _, png = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION])
    return Segmentation(classes, png.tobytes(), mask.shape[1], mask.shape[0])


def mask_of(class_map: Pixels, image: DecodedImage) -> Pixels:
    """The classes of the source's pixels, or of every n-th of them; VOID where the model was not shown the picture."""
    scale = min(1.0, MAX_MASK_SIDE / max(image.width, image.height))
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    window = image.window or Box(0, 0, image.width, image.height)
    rows, rows_seen = _nearest(height, image.height, window.top, window.bottom, class_map.shape[0])
    columns, columns_seen = _nearest(width, image.width, window.left, window.right, class_map.shape[1])
    mask = class_map.take(rows, axis=0).take(columns, axis=1)
    mask[~rows_seen] = VOID
    mask[:, ~columns_seen] = VOID
    return mask


def _nearest(mask_side: int, source_side: int, low: float, high: float, map_side: int) -> tuple[Array, Array]:
    """Along one axis, for every pixel of the mask: the map's pixel under its centre, and whether there is one."""
    centres = (np.arange(mask_side) + 0.5) * (source_side / mask_side)
    places = np.floor((centres - low) / (high - low) * map_side)
    return np.clip(places, 0, map_side - 1).astype(np.int64), (places >= 0) & (places < map_side)


def _checked(class_map: Array) -> Pixels:
    if class_map.ndim != 2 or not class_map.size or class_map.dtype.kind not in "ui":
        raise InferenceFailed(
            f"the model gave an output of type {class_map.dtype} and shape {list(class_map.shape)}: "
            "a map of classes is due, integers of shape [height, width]"
        )
    if class_map.dtype != np.uint8 and not (class_map.min() >= 0 and class_map.max() <= VOID):
        raise InferenceFailed(f"the model gave a class that is not within 0..{VOID}")
    return class_map.astype(np.uint8, copy=False)
