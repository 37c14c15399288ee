"""Small colour pictures of shapes on cluttered ground, rendered from a seed: nothing to download, as many as wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from services.shared.imaging.base import Pixels

SIDE = 32
SHAPES = ("arrow", "bar", "circle", "crescent", "cross", "heart", "ring", "square", "star", "triangle")
_FINE = 4  # drawn this many times larger, then averaged: edges are smooth
_CANVAS = SIDE * _FINE
_LEAST_CONTRAST = 110.0  # between a shape and its ground, Euclidean in RGB

Points = np.ndarray[Any, np.dtype[np.float64]]


def scenes(
    count: int, random: np.random.Generator, shapes: Sequence[str] = SHAPES
) -> tuple[Pixels, np.ndarray[Any, np.dtype[np.int64]]]:
    """Pictures [count, 32, 32, 3] uint8 RGB and their classes [count], indices of `shapes`; all as often."""
    labels = random.permutation(np.arange(count) % len(shapes))
    return np.stack([scene(shapes[label], random) for label in labels]), labels


def scene(shape: str, random: np.random.Generator) -> Pixels:
    """One picture [32, 32, 3]: any place, size, turn, colour; stripes and scraps behind it, scraps and noise on it."""
    ground = _color(random)
    picture = _ground(ground, random)
    for _ in range(random.integers(2, 7)):
        _scrap(picture, random, reach=0.16)
    color = _color(random)
    while np.linalg.norm(color - ground) < _LEAST_CONTRAST:
        color = _color(random)
    mask = np.zeros((_CANVAS, _CANVAS), np.uint8)
    for outline, value in _outlines(shape, random):
        cv2.fillPoly(mask, [outline], value)
    picture[mask > 0] = _filled(color, random)[mask > 0]
    for _ in range(random.integers(0, 3)):
        _scrap(picture, random, reach=0.1)
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    noisy = small * random.uniform(0.6, 1.1) + random.normal(0, random.uniform(2, 14), small.shape)
    pixels: Pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    return pixels


def _outlines(shape: str, random: np.random.Generator) -> Iterator[tuple[np.ndarray, int]]:
    """Polygons on the canvas, each with what it writes into the mask; a later 0 cuts a hole."""
    size = random.uniform(0.2, 0.4) * _CANVAS
    angle = random.uniform(0, 2 * np.pi)
    stretch = np.diag(random.uniform(0.8, 1.2, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = random.uniform(0.34, 0.66, 2) * _CANVAS
    for points, value in _UNIT[shape]:
        placed = points @ stretch @ turn.T * size + center
        yield placed.round().astype(np.int32), value


def _ground(color: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A colour that fades along a random direction, sometimes with stripes."""
    y, x = np.mgrid[-1 : 1 : _CANVAS * 1j, -1 : 1 : _CANVAS * 1j]
    angle = random.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    shade = 30 * along * random.uniform(-1, 1)
    if random.random() < 0.4:
        shade += 18 * np.sign(np.sin(along * random.uniform(6, 22)))
    pixels: np.ndarray = np.clip(color + shade[:, :, np.newaxis], 0, 255).astype(np.float32)
    return pixels


def _filled(color: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The inside of a shape: its colour, a little uneven."""
    coarse = random.normal(0, 14, (8, 8, 3)).astype(np.float32)
    return np.clip(color + cv2.resize(coarse, (_CANVAS, _CANVAS)), 0, 255).astype(np.float32)


def _scrap(picture: np.ndarray, random: np.random.Generator, *, reach: float) -> None:
    """A small line or triangle that is none of the classes."""
    start = random.uniform(0, _CANVAS, 2)
    points = (start + random.uniform(-reach, reach, (3, 2)) * _CANVAS).round().astype(np.int32)
    color = _color(random).tolist()
    if random.random() < 0.5:
        cv2.line(picture, points[0].tolist(), points[1].tolist(), color, int(random.integers(2, 7)))
    else:
        cv2.fillPoly(picture, [points], color)


def _color(random: np.random.Generator) -> np.ndarray:
    return random.uniform(20, 235, 3)


def _arc(radius: float, center: float = 0.0) -> Points:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([radius * np.cos(turn) + center, radius * np.sin(turn)], axis=1)


def _star() -> Points:
    turn = np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2, 0.45, 1.1)[:, np.newaxis]
    points: Points = radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return points


def _heart() -> Points:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = 16 * np.sin(turn) ** 3
    y = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    return np.stack([x, -y], axis=1) / 16


def _points(*pairs: tuple[float, float]) -> Points:
    return np.array(pairs, dtype=np.float64)


# Each class around (0, 0), about 1 in radius.
_UNIT: dict[str, tuple[tuple[Points, int], ...]] = {
    "arrow": ((_points((1.1, 0), (0.2, 0.7), (0.2, 0.25), (-1, 0.25), (-1, -0.25), (0.2, -0.25), (0.2, -0.7)), 255),),
    "bar": ((_points((-1.1, -0.3), (1.1, -0.3), (1.1, 0.3), (-1.1, 0.3)), 255),),
    "circle": ((_arc(0.9), 255),),
    "crescent": ((_arc(1.0), 255), (_arc(0.85, 0.5), 0)),
    "cross": (
        (_points((-1, -0.3), (1, -0.3), (1, 0.3), (-1, 0.3)), 255),
        (_points((-0.3, -1), (0.3, -1), (0.3, 1), (-0.3, 1)), 255),
    ),
    "heart": ((_heart(), 255),),
    "ring": ((_arc(1.0), 255), (_arc(0.55), 0)),
    "square": ((_points((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)), 255),),
    "star": ((_star(), 255),),
    "triangle": ((_points((1, 0), (-0.6, 0.95), (-0.6, -0.95)), 255),),
}
