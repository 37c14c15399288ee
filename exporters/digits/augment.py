"""Scans made into what people draw: other slants and sizes, thinner and thicker strokes, crisp edges, either polarity.

A scan of 8x8 pixels is blurred and always written by the same kind of pen; a digit drawn with a mouse is neither. What
the scans do not show at all, such as a 1 with a foot or a crossed 7, is added as a stroke.
"""

from __future__ import annotations

import cv2
import numpy as np

from services.shared.imaging.base import Pixels, as_pixels

Canvas = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

SIDE, _DIGIT = 80, 48  # pixels of the canvas and of the scan on it
_EDGE = (SIDE - _DIGIT) // 2
_KERNELS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
_INK = 100.0
_FULL = 255.0

# How often each change is made.
_UNCHANGED, _FORMS, _BENT, _CRISP, _PEN, _BLURRED, _NOISY = 0.15, 0.6, 0.7, 0.7, 0.75, 0.3, 0.2


def augment(scan: Pixels, label: int, random: np.random.Generator) -> Pixels:
    """A picture [height, width, 1] made from a scan [8, 8]: dark on light or light on dark, by chance."""
    if random.random() < _UNCHANGED:
        picture = scan
    else:
        canvas = _enlarged(scan, random)
        if random.random() < _FORMS:
            canvas = _written_otherwise(canvas, label, random)
        canvas = _slanted(canvas, random)
        if random.random() < _BENT:
            canvas = _bent(canvas, random)
        picture = _drawn(canvas, random)
    return as_pixels(255 - picture if random.random() < 0.5 else picture)


def _enlarged(scan: Pixels, random: np.random.Generator) -> Canvas:
    canvas = np.zeros((SIDE, SIDE), np.float32)
    kernel = _KERNELS[random.integers(len(_KERNELS))]
    digit = cv2.resize(scan, (_DIGIT, _DIGIT), interpolation=kernel)
    canvas[_EDGE : _EDGE + _DIGIT, _EDGE : _EDGE + _DIGIT] = digit
    return canvas


def _line(canvas: Canvas, start: tuple[float, float], end: tuple[float, float], width: int) -> None:
    points = [(round(x), round(y)) for x, y in (start, end)]
    cv2.line(canvas, points[0], points[1], _FULL, width, cv2.LINE_AA)


def _written_otherwise(canvas: Canvas, label: int, random: np.random.Generator) -> Canvas:
    """The ways of writing a 1, a 4 and a 7 that the scans lack; other digits stay as they are."""
    rows, columns = np.nonzero(canvas > _INK)
    if len(rows) == 0:
        return canvas
    width = int(random.integers(4, 9))
    match label:
        case 1:
            return _one(canvas, rows, columns, width, random)
        case 4:
            return _four(canvas, rows, columns, width, random)
        case 7:
            return _seven(canvas, rows, columns, width, random)
        case _:
            return canvas


def _one(canvas: Canvas, rows: np.ndarray, columns: np.ndarray, width: int, random: np.random.Generator) -> Canvas:
    """A plain stroke, or the scan's; with or without a flag, with or without a foot."""
    top, bottom = float(rows.min()), float(rows.max())
    if random.random() < 0.5:
        foot_x = float(columns.min() + columns.max()) / 2
        head_x = foot_x + random.uniform(-4, 10)
        canvas = np.zeros_like(canvas)
        _line(canvas, (head_x, top), (foot_x, bottom), width)
    else:
        head_x, foot_x = float(columns[rows <= top + 3].mean()), float(columns[rows >= bottom - 3].mean())
    if random.random() < 0.5:
        length, fall = random.uniform(6, 18), np.deg2rad(random.uniform(28, 65))
        _line(canvas, (head_x, top), (head_x - length * np.cos(fall), top + length * np.sin(fall)), width)
    if random.random() < 0.4:
        left, right = random.uniform(6, 16), random.uniform(6, 16)
        _line(canvas, (foot_x - left, bottom), (foot_x + right, bottom), width)
    return canvas


def _four(canvas: Canvas, rows: np.ndarray, columns: np.ndarray, width: int, random: np.random.Generator) -> Canvas:
    """Half of them plain strokes: a stem, a bar across it, and a slope that meets the stem's head or stays open."""
    if random.random() < 0.5:
        return canvas
    top, bottom = float(rows.min()), float(rows.max())
    left, right = float(columns.min()), float(columns.max())
    stem_x = left + (right - left) * random.uniform(0.6, 0.85)
    bar_y = top + (bottom - top) * random.uniform(0.5, 0.72)
    slope_x = stem_x if random.random() < 0.5 else left + (right - left) * random.uniform(0.1, 0.5)
    stem_y = top if slope_x == stem_x else top + (bottom - top) * random.uniform(0.0, 0.4)
    canvas = np.zeros_like(canvas)
    _line(canvas, (stem_x, stem_y), (stem_x + random.uniform(-4, 4), bottom), width)
    _line(canvas, (slope_x, top), (left, bar_y), width)
    _line(canvas, (left, bar_y), (max(right, stem_x + 6), bar_y + random.uniform(-3, 3)), width)
    return canvas


def _seven(canvas: Canvas, rows: np.ndarray, columns: np.ndarray, width: int, random: np.random.Generator) -> Canvas:
    """Often crossed."""
    middle = float(rows.min() + rows.max()) / 2 + random.uniform(-4, 5)
    stem = columns[abs(rows - middle) <= 2]
    if random.random() < 0.4 and len(stem):
        x = float(stem.mean())
        _line(canvas, (x - random.uniform(7, 15), middle), (x + random.uniform(7, 15), middle), width)
    return canvas


def _slanted(canvas: Canvas, random: np.random.Generator) -> Canvas:
    """Turned, sheared, stretched along each axis and moved, about the middle."""
    turn, shear = np.deg2rad(random.normal(0, 8)), random.normal(0, 0.22)
    stretch = np.exp(random.normal(0, 0.22, 2))
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = turned @ np.array([[1, shear], [0, 1]]) @ np.diag(stretch)
    middle = np.array([SIDE / 2, SIDE / 2])
    move = middle - matrix @ middle + random.normal(0, 2, 2)
    return np.asarray(cv2.warpAffine(canvas, np.column_stack([matrix, move]), (SIDE, SIDE)), np.float32)


def _bent(canvas: Canvas, random: np.random.Generator) -> Canvas:
    """An elastic distortion (Simard et al. 2003) of up to some pixels."""
    coarse = random.normal(0, 1, (2, 5, 5)).astype(np.float32) * random.uniform(0, 3.5)
    across, down = (cv2.resize(each, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for each in coarse)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    return np.asarray(cv2.remap(canvas, x + across, y + down, cv2.INTER_LINEAR), np.float32)


def _drawn(canvas: Canvas, random: np.random.Generator) -> Pixels:
    """By another pen: a crisp edge, a thinner or thicker stroke, a blur, some noise."""
    if random.random() < _CRISP:
        steepness = 4 / random.uniform(8, 40)
        edge = np.clip((canvas - random.uniform(70, 170)) * steepness, -30, 30)
        canvas = np.asarray(_FULL / (1 + np.exp(-edge)), np.float32)
    if random.random() < _PEN:
        canvas = _other_pen(canvas, random)
    if random.random() < _BLURRED:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), random.uniform(0.5, 2)), np.float32)
    if random.random() < _NOISY:
        canvas = canvas + random.normal(0, 8, canvas.shape).astype(np.float32)
    return as_pixels(np.clip(canvas, 0, 255).astype(np.uint8))


def _other_pen(canvas: Canvas, random: np.random.Generator) -> Canvas:
    thinner = random.random() < 2 / 3
    size = int(random.integers(3, 12)) if thinner else int(random.integers(2, 5))
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    changed = cv2.erode(canvas, pen) if thinner else cv2.dilate(canvas, pen)
    # A stroke that was thinner than the pen is gone: then the digit stays as it was.
    kept = np.count_nonzero(changed > 128) > 0.25 * np.count_nonzero(canvas > 128)
    return np.asarray(changed if kept else canvas, np.float32)
