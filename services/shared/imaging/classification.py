"""A classifier's probabilities to predictions with names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.shared.errors import InferenceFailed
from services.shared.tensors import Array

_FEW = 32


@dataclass(slots=True)  # not frozen, as in `imaging/base.py`: there are many
class Prediction:
    """`index` is the class's place in the output, `label` its line in the label file, the index where there is none."""

    label: str
    index: int
    score: float


def top_k(probabilities: Array, labels: Sequence[str], k: int) -> tuple[Prediction, ...]:
    """The k (at least 1) best classes of one output of shape [classes], best first, the lower index first among equals.

    Gives all of them when there are fewer than k. Raises InferenceFailed for an output that is empty or of another
    rank, or that holds a number that is not finite.
    """
    if probabilities.ndim != 1 or not probabilities.size:
        raise InferenceFailed(
            f"the model gave an output of shape {list(probabilities.shape)}: one score per class is due"
        )
    scores = probabilities
    if scores.dtype != np.float32:
        with np.errstate(over="ignore"):  # what is beyond 32 bits becomes infinite, and is refused below
            scores = scores.astype(np.float32)
    best = _few(scores.tolist(), k) if scores.size <= _FEW else _many(scores, min(k, scores.size))
    return tuple([Prediction(labels[i] if i < len(labels) else str(i), i, score) for i, score in best])


def best_of(scores: Array, k: int, rows: int) -> tuple[list[list[int]], list[list[float]]]:
    """`top_k` for an output of shape [rows, classes], without the labels: for each row the indices, best first, and
    their scores. Raises InferenceFailed."""
    if scores.ndim != 2 or scores.shape[0] != rows or not scores.shape[1]:
        raise InferenceFailed(f"the model gave an output of shape {list(scores.shape)} for {rows} pictures")
    if scores.dtype != np.float32 or scores.shape[1] > _FEW:
        best = [top_k(row, (), k) for row in scores]
        return [[p.index for p in row] for row in best], [[p.score for p in row] for row in best]
    if not np.isfinite(scores).all():
        raise _not_finite()
    order = (-scores).argsort(axis=1, kind="stable")[:, :k].tolist()
    return order, [[row[index] for index in best] for row, best in zip(scores.tolist(), order, strict=True)]


def _few(scores: list[float], k: int) -> list[tuple[int, float]]:
    """Plain Python: for a few classes every call of NumPy costs more than the whole sort."""
    if not all(map(math.isfinite, scores)):
        raise _not_finite()
    best = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[:k]  # stable: the lower index first
    return [(i, scores[i]) for i in best]


def _many(scores: Array, k: int) -> list[tuple[int, float]]:
    if not np.isfinite(scores).all():
        raise _not_finite()
    # A partition alone picks among equals at random: take all that reach the k-th score, then sort those few stably.
    candidates = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    best = candidates[np.argsort(-scores[candidates], kind="stable")[:k]]
    return list(zip(best.tolist(), scores[best].tolist(), strict=True))


def _not_finite() -> InferenceFailed:
    return InferenceFailed("the model gave scores that are not finite numbers")
