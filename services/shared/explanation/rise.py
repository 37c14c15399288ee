"""Random masks: what is visible when the score is high.

Petsiuk, Das, Saenko: RISE: Randomized Input Sampling for Explanation of Black-box Models (BMVC 2018). A mask is a
coarse grid of zeros and ones, shifted by a random part of a cell and enlarged with soft edges. Two changes make the
same number of runs say more. Every mask is followed by its opposite, so that what they have in common cancels out. And
the heat is not the mean of the masks weighed by their scores, which shows the masks' own unevenness as well, but for
each place the slope of the score over the mask's value there: covariance by variance.
"""

from __future__ import annotations

import numpy as np

from services.shared.explanation.base import Floats

CELLS = 7  # of a side, as in the paper
_SEED = 20180618


class RiseProbe:
    """A Probe that asks `count` times; every part of the picture is visible in half of them."""

    def __init__(self, height: int, width: int, count: int, *, cells: int = CELLS, seed: int = _SEED) -> None:
        self._shape, self._count, self._asked = (height, width), count, 0
        self._cells = min(cells, height), min(cells, width)
        random = np.random.default_rng(seed)
        pairs = (count + 1) // 2
        rows, columns = self._cells
        self._grids = (random.random((pairs, rows + 2, columns + 2)) < 0.5).astype(np.float32)
        self._shifts = random.random((pairs, 2))
        zeros = np.zeros((height, width), np.float64)
        self._n, self._score = 0, 0.0
        self._mask, self._square, self._product = zeros, zeros.copy(), zeros.copy()

    def masks(self, most: int) -> Floats:
        taken = np.arange(self._asked, min(self._asked + most, self._count))
        self._asked += len(taken)
        pairs, opposite = taken // 2, (taken % 2 == 1)[:, None, None]
        down = _weights(self._shape[0], self._cells[0], self._shifts[pairs, 0])
        across = _weights(self._shape[1], self._cells[1], self._shifts[pairs, 1])
        masks = down @ self._grids[pairs] @ across.transpose(0, 2, 1)
        both: Floats = np.where(opposite, 1 - masks, masks)
        return both

    def learn(self, masks: Floats, scores: Floats) -> None:
        self._n += len(masks)
        self._score += float(scores.sum())
        self._mask += masks.sum(axis=0)
        self._square += np.square(masks).sum(axis=0)
        self._product += np.tensordot(scores, masks, axes=1)

    def heat(self) -> Floats:
        if not self._n:
            return np.zeros(self._shape, np.float32)
        mean = self._mask / self._n
        variance = self._square / self._n - mean**2
        covariance = self._product / self._n - mean * (self._score / self._n)
        return np.where(variance > 1e-6, covariance / np.maximum(variance, 1e-6), 0).astype(np.float32)


def _weights(side: int, cells: int, shifts: np.ndarray) -> Floats:
    """How much each of the grid's points (two more than cells) counts at each pixel: [n, side, cells + 2], rows of sum
    1. A pixel between two points takes from both, by its distance."""
    places = (np.arange(side) + 0.5) / side * cells + shifts[:, None]
    distance = np.abs(places[:, :, None] - np.arange(cells + 2))
    weights: Floats = np.maximum(0, 1 - distance).astype(np.float32)
    return weights
