"""How good a digits model is, measured through the path that serves it: PNG bytes, preprocessing, ONNX Runtime."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from exporters.digits.model import image_settings
from exporters.digits.scans import Scans
from services.shared.imaging.base import Pixels
from services.shared.imaging.preprocess import ImagePreprocessor


def png(pixels: Pixels) -> bytes:
    """A grey picture [height, width] as PNG bytes."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def classify(onnx: Path, pictures: Iterable[bytes]) -> np.ndarray:
    """The best class of each picture, [n]."""
    preprocess = ImagePreprocessor(image_settings())
    batch = np.stack([preprocess(data).tensor for data in pictures])
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    best = [
        session.run(None, {"image": part})[0].argmax(axis=1) for part in np.array_split(batch, -(-len(batch) // 64))
    ]
    return np.concatenate(best)


def held_out_accuracy(directory: Path, scans: Scans) -> dict[str, float]:
    """The share of scans that the directory's model names rightly, light on dark and dark on light."""
    both = {"light on dark": scans.pixels, "dark on light": 255 - scans.pixels}
    onnx = directory / "1" / "model.onnx"
    return {
        polarity: float((classify(onnx, map(png, pixels)) == scans.labels).mean()) for polarity, pixels in both.items()
    }
