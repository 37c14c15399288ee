"""Numbers over a model's input, as a picture over the source that the input was made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from services.shared.imaging.base import Box, DecodedImage, Pixels

MAX_HEATMAP_SIDE = 2048  # a larger picture's is given reduced, as its mask would be
MAX_OVERLAY_SIDE = 1280  # to be looked at
_COLOUR = (230, 60, 10)  # RGB; the picture beneath is grey, so that no other colour competes
_STRONGEST = 0.85  # of the colour, where the heat is greatest
_PALE = 0.35  # how much nearer to white the picture beneath is

# A picture's bytes, a width and a height: its pixels in RGB, of that size.
Sketch = Callable[[bytes, int, int], Pixels]


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A grey PNG of 8 bits: 0 where nothing speaks for the answer and where the model was not shown the picture, 255
    where most does. As large as the source, or reduced to MAX_HEATMAP_SIDE; it covers the same picture."""

    png: bytes
    width: int
    height: int


def heatmap(heat: np.ndarray[Any, Any], image: DecodedImage) -> Heatmap:
    """`heat` lies evenly over the model's input; `image` has its window."""
    levels = heat_levels(heat, image, MAX_HEATMAP_SIDE)
    return Heatmap(_png(levels), levels.shape[1], levels.shape[0])


def overlay(heat: np.ndarray[Any, Any], image: DecodedImage, data: bytes, sketch: Sketch) -> bytes:
    """A PNG of the source, `data`, in pale grey with the heat in one colour over it; at most MAX_OVERLAY_SIDE."""
    levels = heat_levels(heat, image, MAX_OVERLAY_SIDE)
    height, width = levels.shape
    grey = cv2.cvtColor(sketch(data, width, height), cv2.COLOR_RGB2GRAY).astype(np.float32)
    beneath = grey + (255 - grey) * _PALE
    share = levels.astype(np.float32)[..., None] * (_STRONGEST / 255)
    painted = beneath[..., None] * (1 - share) + np.array(_COLOUR[::-1], np.float32) * share  # OpenCV writes BGR
    return _png(np.rint(painted).astype(np.uint8))


def heat_levels(heat: np.ndarray[Any, Any], image: DecodedImage, max_side: int) -> Pixels:
    """[height, width] of the source, at most `max_side`: what is above 0 from 0 to 255, between the input's pixels by
    their distance."""
    top = float(heat.max(initial=0.0))
    positive = np.maximum(heat, 0).astype(np.float32) * (255 / top if top > 0 else 0)
    scale = min(1.0, max_side / max(image.width, image.height))
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    window = image.window or Box(0, 0, image.width, image.height)
    down = _sampled(positive, height, image.height, window.top, window.bottom)
    across = _sampled(down.T, width, image.width, window.left, window.right)
    levels: Pixels = np.rint(across.T).astype(np.uint8)
    return levels


def _sampled(values: np.ndarray[Any, Any], side: int, source_side: int, low: float, high: float) -> Any:
    """Along the first axis, for `side` pixels evenly over the source: what lies under their centres; 0 outside of
    `low` to `high`, which is what the values cover."""
    count = len(values)
    centres = (np.arange(side) + 0.5) * (source_side / side)
    places = (centres - low) / (high - low) * count
    between = np.clip(places - 0.5, 0, count - 1)
    first = np.floor(between).astype(np.int64)
    second = np.minimum(first + 1, count - 1)
    share = (between - first).astype(np.float32)[:, None]
    sampled = values[first] * (1 - share) + values[second] * share
    sampled[(places < 0) | (places >= count)] = 0
    return sampled


def _png(pixels: Pixels) -> bytes:
    _, png = cv2.imencode(".png", pixels)
    return bytes(png.tobytes())
