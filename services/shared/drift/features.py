"""One picture and its answer as a few numbers. Pure.

Brightness, contrast and detail are of the model's input, not of the file: what the preprocessing evens out (the size,
for most models; the polarity, for the sample model) cannot mislead the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from services.shared.drift.base import Axes, Glimpse
from services.shared.tensors import Array

CLASS = "class"
OF_THE_FILE = ("size", "aspect")
_SIDE = 256  # pixels: a larger input is thinned out, in the reference as in live pictures
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


def features_of(glimpse: Glimpse, axes: Axes | None) -> dict[str, float]:
    """By name; every feature that this picture and this answer have.

    brightness, contrast, detail: mean, standard deviation and mean difference of neighbours of the input's grey
    values, 0..1. size: the side of a square with as many pixels, in pixels; aspect: width by height. class, confidence:
    the best one's index and score. embedding_distance: from the reference's mean; embedding_axis_N: along a main
    direction.
    """
    found = _of_input(glimpse.tensor)
    found["size"] = math.sqrt(glimpse.width * glimpse.height)
    found["aspect"] = round(glimpse.width / max(glimpse.height, 1), 3)
    if glimpse.label is not None:
        found[CLASS] = float(glimpse.label)
    if glimpse.score is not None:
        # Rounded: near 1, another processor's last bits must not move a picture to another bin.
        found["confidence"] = round(glimpse.score, 4)
    if glimpse.vector is not None and axes is not None and glimpse.vector.shape == axes.mean.shape:
        found |= embedding_features(glimpse.vector, axes)
    return found


def principal_axes(vectors: Array, most: int = 3) -> Axes:
    """Of embeddings [n, d]."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    apart = vectors - mean
    _, directions = np.linalg.eigh(apart.T @ apart)  # ascending
    return Axes(mean.astype(np.float32), directions[:, : -most - 1 : -1].T.astype(np.float32))


def _of_input(tensor: Array) -> dict[str, float]:
    step = math.ceil(max(tensor.shape[:2]) / _SIDE)
    pixels = tensor[::step, ::step].astype(np.float32)
    grey = pixels @ _LUMA if pixels.shape[2] == 3 else pixels[:, :, 0]
    across, down = np.abs(np.diff(grey, axis=1)), np.abs(np.diff(grey, axis=0))
    differences = across.size + down.size
    detail = float(across.sum() + down.sum()) / differences if differences else 0.0
    return {"brightness": float(grey.mean()) / 255, "contrast": float(grey.std()) / 255, "detail": detail / 255}


def embedding_features(vector: Array, axes: Axes) -> Mapping[str, float]:
    """Where an embedding [d] lies."""
    apart = vector.astype(np.float32) - axes.mean
    along = axes.directions @ apart
    named = {f"embedding_axis_{i}": float(value) for i, value in enumerate(along, 1)}
    return {"embedding_distance": float(np.linalg.norm(apart)), **named}
