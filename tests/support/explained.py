"""A classifier in memory that looks at one corner of its input, and pictures for it."""

from __future__ import annotations

import numpy as np

from services.shared.config_pbtxt import parse_config
from services.shared.inference.fake import FakeModel
from services.shared.tensors import Tensors
from tests.support.images import encoded

SIDE = 32
CORNER = (slice(4, 12), slice(18, 28))  # of the input: rows and columns
LABELS = ("bright", "dark")
_CONFIG = """
platform: "onnxruntime_onnx"
max_batch_size: {batch}
input {{ name: "image" data_type: TYPE_UINT8 dims: [ {side}, {side}, 1 ] }}
version_policy {{ specific {{ versions: [ 1 ] }} }}
output {{ name: "scores" data_type: TYPE_FP32 dims: [ 2 ] }}
output {{ name: "unused" data_type: TYPE_FP32 dims: [ 1 ] }}
parameters {{ key: "color" value {{ string_value: "grey" }} }}
parameters {{ key: "fit" value {{ string_value: "{fit}" }} }}
"""


def corner_classifier(name: str = "corner", *, batch: int = 16, fit: str = "stretch") -> FakeModel:
    """`bright` has the mean of the corner, from 0 to 1, `dark` the rest."""

    def compute(inputs: Tensors) -> Tensors:
        pictures = inputs["image"] if batch else inputs["image"][np.newaxis]
        bright = pictures[:, *CORNER].mean(axis=(1, 2, 3), dtype=np.float64) / 255
        scores = np.stack([bright, 1 - bright], axis=1).astype(np.float32)
        unused = np.zeros((len(pictures), 1), np.float32)
        return {"scores": scores, "unused": unused} if batch else {"scores": scores[0], "unused": unused[0]}

    config = parse_config(_CONFIG.format(batch=batch, side=SIDE, fit=fit), name=name)
    return FakeModel(config, {1: compute, 2: compute}, LABELS)


def picture(kind: str = "PNG", **options: object) -> bytes:
    """Dark, and bright where the classifier looks."""
    pixels = np.full((SIDE, SIDE), 30, np.uint8)
    pixels[CORNER] = 240
    return encoded(pixels, kind, **options)
