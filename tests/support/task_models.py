"""Small models for FakeInference that detect, segment and embed by colour; each works row by row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from services.shared.config_pbtxt import parse_config
from services.shared.inference.fake import FakeModel
from services.shared.tensors import Array, Tensors

LABELS = ("red", "green", "blue")
SIDE = 32
ROWS = 5
_CONFIG = """
platform: "onnxruntime_onnx"
max_batch_size: {batch}
input {{ name: "image" data_type: TYPE_UINT8 dims: [ {side}, {side}, 3 ] }}
{outputs}
parameters {{ key: "task" value {{ string_value: "{task}" }} }}
parameters {{ key: "fit" value {{ string_value: "{fit}" }} }}
{extra}
"""
_BOXES = 'output { name: "boxes" data_type: TYPE_FP32 dims: [ -1, 4 ] }'
_SUPPRESSED = f"""{_BOXES}
output {{ name: "scores" data_type: TYPE_FP32 dims: [ -1 ] }}
output {{ name: "classes" data_type: TYPE_INT64 dims: [ -1 ] }}"""
_RAW = f'{_BOXES} output {{ name: "scores" data_type: TYPE_FP32 dims: [ -1, 3 ] }}'


def box_of_colour(image: Array, channel: int) -> Array | None:
    """x0, y0, x1, y1 around the pixels whose channel is bright and whose others are dark."""
    others = np.delete(image, channel, axis=2).max(axis=2)
    rows, columns = np.nonzero((image[:, :, channel] > 128) & (others <= 128))
    if not rows.size:
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)


def detect(image: Array) -> Tensors:
    """One row for each colour that is there, red with the best score, and rows of padding of both kinds."""
    boxes, scores = np.zeros((ROWS, 4), np.float32), np.zeros(ROWS, np.float32)
    classes = np.array([0, 1, 2, -1, 0])
    scores[3] = 0.99  # padding by its class; the last row by its score
    for channel in range(3):
        box = box_of_colour(image, channel)
        if box is not None:
            boxes[channel], scores[channel] = box, 0.9 - 0.1 * channel
    return {"boxes": boxes, "scores": scores, "classes": classes}


def detect_raw(image: Array) -> Tensors:
    """Every find three times, a quarter of a pixel apart."""
    found = detect(image)
    boxes = np.concatenate([found["boxes"][:3] + shift for shift in (0.0, 0.25, -0.25)])
    scores = np.concatenate([np.diag(found["scores"][:3]) * factor for factor in (1.0, 0.9, 0.8)])
    return {"boxes": boxes, "scores": scores.astype(np.float32)}


def segment(image: Array) -> Tensors:
    """Of every pixel the brightest channel; `unused` is what a client need not ask for."""
    return {"classes": image.argmax(axis=2).astype(np.uint8), "unused": image.astype(np.float32)}


def embed(image: Array) -> Tensors:
    mean = image.mean(axis=(0, 1), dtype=np.float32) + 1
    return {"embedding": mean / np.linalg.norm(mean)}


def detector(
    name: str = "finder", *, fit: str = "contain", batch: int = 4, nms: str = "inside", **parameters: str
) -> FakeModel:
    """Boxes around red, green and blue; with `nms="outside"` duplicates of them."""
    outputs, one = (_SUPPRESSED, detect) if nms == "inside" else (_RAW, detect_raw)
    return _model(name, "detection", outputs, one, fit, batch, {"nms": nms, **parameters})


def segmenter(name: str = "painter", *, fit: str = "contain", batch: int = 4) -> FakeModel:
    outputs = f"""output {{ name: "classes" data_type: TYPE_UINT8 dims: [ {SIDE}, {SIDE} ] }}
                  output {{ name: "unused" data_type: TYPE_FP32 dims: [ {SIDE}, {SIDE}, 3 ] }}"""
    return _model(name, "segmentation", outputs, segment, fit, batch, {})


def embedder(name: str = "mapper", *, fit: str = "stretch", batch: int = 4) -> FakeModel:
    return _model(
        name, "embedding", 'output { name: "embedding" data_type: TYPE_FP32 dims: [ 3 ] }', embed, fit, batch, {}
    )


def _model(
    name: str,
    task: str,
    outputs: str,
    one: Callable[[Array], Tensors],
    fit: str,
    batch: int,
    parameters: dict[str, str],
) -> FakeModel:
    def compute(inputs: Tensors) -> Tensors:
        if not batch:
            return one(inputs["image"])
        rows = [one(image) for image in inputs["image"]]
        return {key: np.stack([row[key] for row in rows]) for key in rows[0]}

    extra = " ".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in parameters.items()
    )
    config = parse_config(
        _CONFIG.format(batch=batch, side=SIDE, outputs=outputs, task=task, fit=fit, extra=extra), name=name
    )
    return FakeModel(config, {1: compute}, LABELS)
