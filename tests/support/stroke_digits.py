"""Digits drawn in strokes, as a hand draws them with a mouse: what people try a digit model with, and no scan.

Several ways of writing each digit, made uneven by a seed. Never used in training: a model that reads these has learnt
digits, not this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
from PIL import Image, ImageDraw

from services.shared.imaging.base import Pixels

Point = tuple[float, float]
Stroke = tuple[Point, ...]

OFFSETS: tuple[Point, ...] = ((0.5, 0.5), (0.38, 0.4), (0.62, 0.42), (0.4, 0.6), (0.6, 0.6))
CANVASES = (28, 280, 600)
_FINE = 4  # a canvas is drawn this many times larger when it is small, for smooth edges
_STEPS = 12  # points of the curve between two points of a stroke


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> Stroke:
    """Points on an ellipse; degrees clockwise from three o'clock, as y points down."""
    turns = np.linspace(radians(start), radians(end), max(4, round(abs(end - start) / 30)))
    return tuple((x + rx * cos(t), y + ry * sin(t)) for t in turns)


def _corner(*points: Point) -> Stroke:
    """Straight lines: a point given twice is a corner of the curve."""
    return tuple(p for point in points for p in (point, point))


# In a box one unit high, y down. Each entry is one way of writing the digit; each stroke is a curve through its points.
STYLES: dict[int, tuple[tuple[Stroke, ...], ...]] = {
    0: (
        (_arc(0.35, 0.5, 0.33, 0.5, -90, 270),),
        (_arc(0.3, 0.5, 0.25, 0.5, -100, 275),),
        (_arc(0.4, 0.5, 0.4, 0.48, -60, -430),),  # begun at the right, overshot
    ),
    1: (
        (((0.1, 0.0), (0.1, 0.5), (0.1, 1.0)),),
        (((0.3, 0.0), (0.2, 0.5), (0.1, 1.0)),),
        (_corner((0.0, 0.25), (0.28, 0.0), (0.28, 1.0)),),
        (_corner((0.05, 0.22), (0.3, 0.0), (0.3, 1.0)), _corner((0.05, 1.0), (0.55, 1.0))),
    ),
    2: (
        (_arc(0.32, 0.28, 0.3, 0.28, -170, 30) + _corner((0.02, 1.0), (0.65, 1.0)),),
        (_arc(0.3, 0.27, 0.28, 0.27, -150, 40) + ((0.3, 0.75), *_corner((0.0, 0.97)), (0.35, 0.93), (0.68, 1.0)),),
        # with a loop at the foot
        (
            _arc(0.32, 0.27, 0.27, 0.27, -160, 35)
            + ((0.28, 0.82), (0.08, 0.98), (0.02, 0.86), (0.16, 0.8), (0.4, 0.95), (0.7, 0.96)),
        ),
    ),
    3: (
        (_arc(0.28, 0.25, 0.28, 0.25, -150, 80) + _arc(0.28, 0.74, 0.33, 0.26, -85, 150),),
        (_arc(0.25, 0.24, 0.26, 0.24, -140, 70) + _corner((0.2, 0.47)) + _arc(0.26, 0.73, 0.34, 0.27, -70, 155),),
        (_corner((0.05, 0.0), (0.58, 0.0), (0.25, 0.42)) + _arc(0.27, 0.71, 0.32, 0.29, -60, 150),),  # flat top
    ),
    4: (
        (_corner((0.2, 0.0), (0.0, 0.62), (0.7, 0.62)), ((0.5, 0.3), (0.49, 0.65), (0.48, 1.0))),  # open
        (_corner((0.08, 0.02), (0.05, 0.5), (0.6, 0.5)), ((0.58, 0.0), (0.57, 0.5), (0.55, 1.0))),  # open, square
        (_corner((0.72, 0.68), (0.0, 0.68), (0.5, 0.0), (0.5, 1.0)),),  # closed
        (((0.15, 0.05), (0.05, 0.35), (0.1, 0.52), (0.35, 0.55), (0.6, 0.45)), ((0.62, 0.0), (0.58, 0.5), (0.5, 1.0))),
    ),
    5: (
        (_corner((0.6, 0.0), (0.12, 0.0), (0.08, 0.45)) + _arc(0.27, 0.7, 0.33, 0.3, -110, 140),),
        (
            _corner((0.1, 0.02), (0.07, 0.42)) + _arc(0.25, 0.68, 0.32, 0.32, -105, 145),
            _corner((0.1, 0.02), (0.6, 0.0)),
        ),
        (((0.62, 0.02), (0.3, 0.0), (0.1, 0.1), (0.1, 0.4), (0.4, 0.46), (0.58, 0.7), (0.4, 0.97), (0.02, 0.95)),),
    ),
    6: (
        (((0.5, 0.0), (0.2, 0.25), (0.03, 0.65), *_arc(0.3, 0.72, 0.27, 0.27, 150, -190)),),
        (((0.3, 0.0), (0.1, 0.4), *_arc(0.3, 0.74, 0.26, 0.26, 180, -180)),),
        (((0.58, 0.08), (0.4, 0.0), (0.15, 0.2), (0.02, 0.6), *_arc(0.3, 0.7, 0.28, 0.3, 150, -200)),),
    ),
    7: (
        (_corner((0.0, 0.02), (0.6, 0.0), (0.22, 1.0)),),
        (_corner((0.0, 0.0), (0.62, 0.02), (0.25, 1.0)), _corner((0.15, 0.5), (0.65, 0.48))),  # crossed
        (_corner((0.02, 0.15), (0.02, 0.0), (0.6, 0.02)) + ((0.4, 0.45), (0.3, 1.0)),),  # with a serif, bent
        (((0.0, 0.05), (0.3, 0.02), *_corner((0.62, 0.0)), (0.4, 0.5), (0.32, 1.0)), ((0.2, 0.52), (0.6, 0.5))),
    ),
    8: (
        (_arc(0.32, 0.24, 0.25, 0.24, 90, 450), _arc(0.32, 0.74, 0.31, 0.26, -90, 270)),
        # in one stroke, begun at the top right
        (
            ((0.55, 0.12), (0.35, 0.0), (0.1, 0.1), (0.12, 0.32), (0.32, 0.48), (0.55, 0.68), (0.5, 0.92), (0.3, 1.0))
            + ((0.07, 0.9), (0.06, 0.7), (0.3, 0.5), (0.52, 0.32), (0.56, 0.14)),
        ),
        (_arc(0.3, 0.22, 0.22, 0.22, 60, 420), _arc(0.3, 0.73, 0.28, 0.27, -110, 250)),
    ),
    9: (
        (_arc(0.3, 0.27, 0.28, 0.27, -10, -365) + ((0.57, 0.6), (0.55, 1.0)),),
        (_arc(0.3, 0.27, 0.27, 0.27, -20, -370) + ((0.55, 0.6), (0.4, 0.92), (0.08, 0.97)),),
        (_arc(0.3, 0.28, 0.29, 0.28, -30, -375) + ((0.5, 0.6), (0.3, 1.0)),),
    ),
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A digit as points in a box one unit high about (0, 0), and how thick the pen is there."""

    label: int
    strokes: tuple[tuple[Point, ...], ...]
    pen: float

    def on_canvas(self, side: int, *, offset: Point = (0.5, 0.5), size: float = 0.55) -> Pixels:
        """Black on white, [side, side], the digit `size` of the canvas high with its middle at `offset` of it."""
        fine = _FINE if side < 300 else 1
        image = Image.new("L", (side * fine, side * fine), 255)
        draw = ImageDraw.Draw(image)
        unit = side * fine * size
        radius = max(self.pen * unit, fine) / 2
        for stroke in self.strokes:
            points = [(offset[0] * side * fine + x * unit, offset[1] * side * fine + y * unit) for x, y in stroke]
            draw.line(points, fill=0, width=max(1, round(2 * radius)), joint="curve")
            for x, y in points:  # the pen's tip is round
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
        return np.asarray(image.reduce(fine) if fine > 1 else image)


def draw_digit(label: int, seed: int) -> Drawing:
    """The seed chooses among the styles of a digit, and the hand and the pen that write it."""
    random = np.random.default_rng((label, seed))
    styles = STYLES[label]
    strokes = styles[int(random.integers(len(styles)))]
    slant, turn, wide = random.uniform(-0.1, 0.3), radians(random.uniform(-10, 10)), random.uniform(0.8, 1.2)
    shaky = random.uniform(0.005, 0.025)
    drawn = []
    for stroke in strokes:
        points = np.asarray(stroke) - (0.32, 0.5)
        points = points + _tremor(points, random) * shaky
        x, y = points[:, 0] * wide - slant * points[:, 1], points[:, 1]
        turned = np.stack([x * cos(turn) - y * sin(turn), x * sin(turn) + y * cos(turn)], axis=1)
        drawn.append(tuple((float(px), float(py)) for px, py in _curve(turned)))
    return Drawing(label, tuple(drawn), pen=float(np.exp(random.uniform(np.log(0.03), np.log(0.14)))))


def drawings(count: int, *, seed: int = 0) -> Iterator[Drawing]:
    """As many of each digit as of any other."""
    for index in range(count):
        yield draw_digit(index % 10, seed * count + index)


def _tremor(points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A displacement for each point; a point given twice stays one."""
    tremor = random.normal(size=points.shape)
    for index in range(1, len(points)):
        if (points[index] == points[index - 1]).all():
            tremor[index] = tremor[index - 1]
    return tremor


def _curve(points: np.ndarray) -> np.ndarray:
    """A Catmull-Rom spline through the points: through a point given twice it goes in a corner."""
    padded = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, _STEPS, endpoint=False)[:, np.newaxis]
    pieces = [
        0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - 3 * p2 + p3 - p0) * t**3)
        for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False)
    ]
    return np.concatenate([*pieces, points[-1:]])
