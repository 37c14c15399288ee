"""Which bins a feature is counted over, chosen once, from the reference. Pure.

Equal shares of the reference, as is usual for the population stability index: no bin is empty there, and the scale of
the feature does not matter.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from services.shared.tensors import Array

BINS = 10
MAX_CLASS_BINS = 16  # more classes are joined to groups that are about equally frequent
_TOLERANCE = 1e-6  # of a value, at least of 1: what is printed and read, or computed elsewhere, is still the same


def choose_edges(values: Sequence[float]) -> tuple[float, ...]:
    """Ascending inner edges for numbers; a value that a tenth or more of them share has a bin of its own."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    edges: set[float] = set()
    for k in range(1, BINS):
        value = float(ordered[-(-k * len(ordered) // BINS) - 1])
        margin = _TOLERANCE * max(1.0, abs(value))
        same = np.searchsorted(ordered, value + margin, "right") - np.searchsorted(ordered, value - margin)
        edges |= {value - margin, value + margin} if same * BINS >= len(ordered) else {value}
    return tuple(float(f"{edge:.9g}") for edge in sorted(edges))


def choose_class_edges(indices: Sequence[int], classes: int) -> tuple[float, ...]:
    """Edges between class indices: a bin for each class (and, below all, one for no class), or for neighbours that
    together are a sixteenth of the reference where there are many classes."""
    if classes <= MAX_CLASS_BINS:
        return tuple(index - 0.5 for index in range(classes))
    ordered = np.sort(np.asarray(indices))
    last = (ordered[-(-k * len(ordered) // MAX_CLASS_BINS) - 1] for k in range(1, MAX_CLASS_BINS))
    return tuple(sorted({int(index) + 0.5 for index in last}))


def bin_of(value: float, edges: Sequence[float]) -> int:
    return bisect_left(edges, value)


def count(values: Sequence[float], edges: Sequence[float]) -> tuple[int, ...]:
    """How many of the values are in each of the `len(edges) + 1` bins."""
    where: Array = np.searchsorted(np.asarray(edges, dtype=np.float64), np.asarray(values, dtype=np.float64), "left")
    return tuple(np.bincount(where, minlength=len(edges) + 1).tolist())
