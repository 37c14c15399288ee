"""Classic-bucket histograms: cheap to add to, exact to merge. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

# Upper bounds in seconds: a tiny model answers in tenths of a millisecond, a large batch on a CPU in seconds.
DURATION_BOUNDS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
BATCH_SIZE_BOUNDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


@dataclass(frozen=True, slots=True)
class HistogramSnapshot:
    """What was observed until now: `counts` per bucket (not cumulative), one more than `bounds` for the values above
    the last bound; a value equal to a bound belongs to that bound's bucket, as Prometheus' `le` says."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        return sum(self.counts)

    def cumulative(self) -> tuple[int, ...]:
        """For each bound, then for +Inf: how many values were at most that."""
        return tuple(accumulate(self.counts))

    def merge(self, other: HistogramSnapshot) -> HistogramSnapshot:
        """Both together; raises ValueError when the bounds differ."""
        if self.bounds != other.bounds:
            raise ValueError("histograms with different bounds cannot be merged")
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return HistogramSnapshot(self.bounds, counts, self.sum + other.sum)


class Histogram:
    """Counts values into buckets. Not locked: one thread observes."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float] = DURATION_BOUNDS_S) -> None:
        if not bounds or any(a >= b for a, b in pairwise(bounds)):
            raise ValueError("the bounds of a histogram must ascend, and there must be one")
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Adds a value, `count` times."""
        self._counts[bisect_left(self._bounds, value)] += count
        self._sum += value * count

    def observe_all(self, values: Sequence[float]) -> float:
        """Adds each value once; their sum."""
        bounds, counts = self._bounds, self._counts
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        total = sum(values)
        self._sum += total
        return total

    def snapshot(self) -> HistogramSnapshot:
        return HistogramSnapshot(self._bounds, tuple(self._counts), self._sum)
