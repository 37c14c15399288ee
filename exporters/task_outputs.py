"""What a served model of each task gives, by name. With b pictures of height h and width w:

classification  probabilities  FP32   [b, labels]   rows sum to 1
embedding       embedding      FP32   [b, d]        rows of length 1
segmentation    classes        UINT8  [b, h, w]     the best class of each pixel
detection       boxes          FP32   [b, k, 4]     x0, y0, x1, y1 in pixels of the input
                scores         FP32   [b, k]        of the class named; 0 where a box only fills the row up
                classes        INT64  [b, k]
  NMS outside   boxes, and scores [b, k, labels]
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from exporters.base import Array
from exporters.recipe import Recipe, Task

INPUT = "image"
OUTPUTS: Mapping[Task, tuple[str, ...]] = {
    "classification": ("probabilities",),
    "embedding": ("embedding",),
    "segmentation": ("classes",),
    "detection": ("boxes", "scores", "classes"),
}
_SUM_TOLERANCE = 1e-3


def complaint(recipe: Recipe, outputs: Mapping[str, Array], batch: int) -> str:
    """Why these outputs of `batch` pictures are not the task's; empty when they are."""
    for name, found in outputs.items():
        if np.isnan(found).any():
            return f"its output {name} holds values that are not numbers"
    match recipe.task:
        case "classification":
            return _classification(recipe, outputs["probabilities"], batch)
        case "embedding":
            return _shape("embedding", outputs["embedding"], (batch, None))
        case "segmentation":
            return _shape("classes", outputs["classes"], (batch, recipe.input.height, recipe.input.width))
        case "detection":
            return _detection(recipe, outputs, batch)


def _classification(recipe: Recipe, found: Array, batch: int) -> str:
    if found.ndim == 2 and found.shape[1] != len(recipe.labels):
        return f"it names {found.shape[1]} classes, but there are {len(recipe.labels)} labels"
    if wrong := _shape("probabilities", found, (batch, len(recipe.labels))):
        return wrong
    if np.abs(found.sum(axis=1) - 1).max() > _SUM_TOLERANCE or found.min() < 0:
        return (
            "its probabilities do not sum to 1: they are logits, which `arguments = { softmax = true }` turns into them"
        )
    return ""


def _detection(recipe: Recipe, outputs: Mapping[str, Array], batch: int) -> str:
    boxes, scores = outputs["boxes"], outputs["scores"]
    if wrong := _shape("boxes", boxes, (batch, None, 4)):
        return wrong
    if "classes" in outputs:
        row = (batch, boxes.shape[1])
        return _shape("scores", scores, row) or _shape("classes", outputs["classes"], row)
    return _shape("scores", scores, (batch, boxes.shape[1], len(recipe.labels)))


def _shape(name: str, found: Array, wanted: tuple[int | None, ...]) -> str:
    fits = found.ndim == len(wanted) and all(w in (None, f) for w, f in zip(wanted, found.shape, strict=True))
    if fits:
        return ""
    shown = ", ".join("any" if each is None else str(each) for each in wanted)
    return f"its output {name} for {wanted[0]} pictures is {list(found.shape)}, where [{shown}] is wanted"
