"""Windows from coarse to fine: what the score loses when one is hidden.

Zeiler and Fergus: Visualizing and Understanding Convolutional Networks (ECCV 2014), section 4.2. Windows of a level
overlap by half; each level's are half as large as those of the one before. A level begins where the levels before it
found most, so that few runs suffice, and the first ones say most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.shared.explanation.base import Floats


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the input, half open, in pixels."""

    top: int
    bottom: int
    left: int
    right: int


class OcclusionProbe:
    """A Probe that asks at most `count` times; `score` is of the picture as it is."""

    def __init__(self, height: int, width: int, count: int, *, score: float) -> None:
        self._shape, self._left, self._score = (height, width), count, score
        self._level, self._waiting, self._pending = 0, list[Window](), list[Window]()
        self._heat = np.zeros((height, width), np.float64)  # of the levels that are over
        self._begin_level()

    def masks(self, most: int) -> Floats:
        if not self._waiting:
            self._begin_level()
        take = min(most, self._left, len(self._waiting))
        self._pending, self._waiting = self._waiting[:take], self._waiting[take:]
        self._left -= take
        masks = np.ones((take, *self._shape), np.float32)
        for mask, window in zip(masks, self._pending, strict=True):
            mask[window.top : window.bottom, window.left : window.right] = 0
        return masks

    def learn(self, masks: Floats, scores: Floats) -> None:
        for window, score in zip(self._pending, scores.tolist(), strict=True):
            place = slice(window.top, window.bottom), slice(window.left, window.right)
            self._lost[place] += self._score - score
            self._times[place] += 1
        self._pending = []

    def heat(self) -> Floats:
        heat: Floats = (self._heat + self._of_level()).astype(np.float32)
        return heat

    def _of_level(self) -> np.ndarray:
        return self._lost / np.maximum(self._times, 1)

    def _begin_level(self) -> None:
        if self._level:
            self._heat = self._heat + self._of_level()
        self._level += 1
        self._lost, self._times = np.zeros(self._shape), np.zeros(self._shape)
        found = self._heat
        self._waiting = sorted(windows(*self._shape, self._level), key=lambda w: -_mean(found, w))


def windows(height: int, width: int, level: int) -> list[Window]:
    """Of a level from 1: 2^(level+1) - 1 along each side, two windows over every place but the border's; none beyond
    the first level once they would be smaller than two pixels.

    28x28: level 1 has 3x3 windows of 14 pixels, level 2 has 7x7 of 7, level 3 has 15x15 of 3 or 4.
    """
    steps = 2 ** (level + 1)  # half windows
    if level > 1 and min(height, width) < steps:
        return []
    rows, columns = ([round(side * i / steps) for i in range(steps + 1)] for side in (height, width))
    return [
        Window(top, bottom, left, right)
        for top, bottom in zip(rows, rows[2:], strict=False)
        for left, right in zip(columns, columns[2:], strict=False)
        if top < bottom and left < right
    ]


def _mean(values: np.ndarray, window: Window) -> float:
    return float(values[window.top : window.bottom, window.left : window.right].mean())
