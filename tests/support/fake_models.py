"""Small models for FakeInference, described as a `config.pbtxt` describes them."""

from __future__ import annotations

import numpy as np

from services.shared.config_pbtxt import parse_config
from services.shared.inference.fake import FakeModel
from services.shared.tensors import Array, Tensors

LABELS = ("cat", "dog", "fox")
_CLASSIFIER = """
platform: "onnxruntime_onnx"
max_batch_size: 8
input {{ name: "image" data_type: TYPE_UINT8 dims: [ 2, 2, 3 ] }}
output {{ name: "probabilities" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt" }}
output {{ name: "mean" data_type: TYPE_FP32 dims: [ 1 ] }}
version_policy {{ specific {{ versions: [ 1 ] }} }}
{extra}
"""


def classify(inputs: Tensors) -> Tensors:
    """Three classes from the means of three channels, and the mean of everything, row by row."""
    image = inputs["image"].astype(np.float32)
    channels = image.mean(axis=(1, 2))
    return {
        "probabilities": (channels + 1) / (channels + 1).sum(axis=1, keepdims=True),
        "mean": channels.mean(axis=1, keepdims=True),
    }


def classifier(name: str = "pets", *, versions: tuple[int, ...] = (1, 2), batching: bool = True) -> FakeModel:
    """Takes `image` [n, 2, 2, 3] uint8; gives `probabilities` [n, 3] (labels cat, dog, fox) and `mean` [n, 1].

    Version 1 is loaded at the start; the others wait for `load`.
    """
    config = parse_config(_CLASSIFIER.format(extra="dynamic_batching {}" if batching else ""), name=name)
    return FakeModel(config, dict.fromkeys(versions, classify), LABELS)


def image(value: int, rows: int = 1) -> dict[str, Array]:
    """An input of `classifier`: rows of one colour each, `value`, `value + 1` …"""
    array = np.zeros((rows, 2, 2, 3), dtype=np.uint8)
    array += np.arange(value, value + rows, dtype=np.uint8)[:, None, None, None]
    array[..., 0] += 1
    return {"image": array}
