"""What a run of a model takes, told from its earlier runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

_NEWEST_WEIGHT = 0.2


@dataclass(slots=True)
class Occupancy:
    """How many runs, of all models of a process, are under way."""

    runs: int = 0


class RunCost:
    """A moving average of seconds by batch size; of sizes that never ran, in proportion to the nearest that did."""

    def __init__(self, run_s: Mapping[int, float]) -> None:
        self._by_size = dict(run_s)
        self.request_s = 0.0

    def observe(self, batch: int, requests: int, seconds: float) -> None:
        """A run of `batch` elements that answered so many requests; `request_s` follows what one of them costs."""
        self.request_s += _NEWEST_WEIGHT * (seconds / requests - self.request_s)
        known = self._by_size.get(batch)
        self._by_size[batch] = seconds if known is None else known + _NEWEST_WEIGHT * (seconds - known)

    def expected_s(self, batch: int) -> float:
        """Infinite before the first run. A larger batch costs at least what a smaller one does.

        8 took 2 ms: 4 is taken to need 2 ms as well, and 16 to need 4 ms.
        """
        known = self._by_size.get(batch)
        if known is not None:
            return known
        if not self._by_size:
            return math.inf
        nearest = min(self._by_size, key=lambda size: abs(size - batch))
        return self._by_size[nearest] * max(1.0, batch / nearest)

    def size_within(self, seconds: float, largest: int) -> int:
        """`largest`, or the largest of its halves that is expected to take no more than that; 0 where 1 takes more."""
        size = largest if self.expected_s(1) <= seconds else 0
        while size and self.expected_s(size) > seconds:
            size //= 2
        return size
