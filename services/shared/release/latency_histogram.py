"""Latencies in buckets spaced by a constant factor: the same relative error everywhere, exact to merge. Pure."""

from __future__ import annotations

import math
import operator
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from services.shared.release.filled_span import filled_span

# A bucket's upper bound is GROWTH times its lower one: any value of a bucket tells any other to within 5 %, its
# geometric middle to within 2.5 % (the spacing of DDSketch: Masson et al., VLDB 2019, arXiv 1908.10693).
GROWTH = 1.05
LOWEST_S = 1e-5
_SCALE = 1 / math.log(GROWTH)
_log = math.log
_INNER = math.ceil(math.log(100.0 / LOWEST_S) * _SCALE)  # to 100 s
_SHIFT = 1 - math.log(LOWEST_S) * _SCALE
HIGHEST_S = LOWEST_S * GROWTH**_INNER
BUCKETS = _INNER + 2  # the first is below LOWEST_S, the last from HIGHEST_S


def upper_bound_s(bucket: int) -> float:
    """What the values of a bucket are below; infinity for the last."""
    return LOWEST_S * GROWTH**bucket if bucket < BUCKETS - 1 else math.inf


@dataclass(frozen=True, slots=True)
class LatencySnapshot:
    """How many values fell into each of the BUCKETS until now, and their sum in nanoseconds (whole, so that sums of
    sums do not depend on their order). Outside `span` all counts are 0: less to add up."""

    counts: tuple[int, ...] = (0,) * BUCKETS
    sum_ns: int = 0
    span: tuple[int, int] = field(default=(0, BUCKETS), compare=False, repr=False)

    @property
    def count(self) -> int:
        return sum(self.counts[slice(*self.span)])

    def quantile_s(self, q: float) -> float:
        """The smallest value that at least the share q (0 to 1) of all values do not exceed, as its bucket's geometric
        middle; LOWEST_S or HIGHEST_S beyond them, NaN of no values."""
        return self.quantiles_s((q,))[0]

    def quantiles_s(self, shares: Sequence[float]) -> list[float]:
        """`quantile_s` of each share, counted up once."""
        return self.count_and_quantiles_s(shares)[1]

    def count_and_quantiles_s(self, shares: Sequence[float]) -> tuple[int, list[float]]:
        first, end = self.span
        below = list(accumulate(self.counts[first:end]))
        if not below or not below[-1]:
            return 0, [math.nan] * len(shares)
        known = below[-1]
        return known, [_middle_s(first + bisect_left(below, max(math.ceil(q * known), 1))) for q in shares]

    def merge(self, other: LatencySnapshot) -> LatencySnapshot:
        first, end = min(self.span[0], other.span[0]), max(self.span[1], other.span[1])
        counts = tuple(map(operator.add, self.counts[first:end], other.counts[first:end]))
        return LatencySnapshot(_whole(first, counts), self.sum_ns + other.sum_ns, (first, end))

    def to_json(self) -> dict[str, Any]:
        """The counts from the `first` that is not 0 to the last."""
        first, end = filled_span(self.counts)
        return {"sum_ns": self.sum_ns, "first": first, "counts": list(self.counts[first:end])}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LatencySnapshot:
        """Raises ValueError, KeyError or TypeError for a document that `to_json` did not make, or that has `counts` as
        pairs (bucket, count), as they once were."""
        first, counts = document.get("first"), document["counts"]
        if first is None:
            return cls(_from_pairs(counts), document["sum_ns"])
        end = first + len(counts)
        sum(counts)  # a TypeError where one is no number
        if not 0 <= first <= end <= BUCKETS:
            raise ValueError(f"there are no {len(counts)} latency buckets from the {first}. on")
        return cls(_whole(first, tuple(counts)), document["sum_ns"], (first, end))


def _whole(first: int, counts: tuple[int, ...]) -> tuple[int, ...]:
    return (0,) * first + counts + (0,) * (BUCKETS - first - len(counts))


def _from_pairs(pairs: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    counts = [0] * BUCKETS
    for bucket, count in pairs:
        if not 0 <= bucket < BUCKETS:
            raise ValueError(f"there is no latency bucket {bucket}")
        counts[bucket] = count
    return tuple(counts)


def _middle_s(bucket: int) -> float:
    if bucket == 0:
        return LOWEST_S
    return HIGHEST_S if bucket == BUCKETS - 1 else upper_bound_s(bucket) / math.sqrt(GROWTH)


class LatencyHistogram:
    """Counts latencies. Not locked: one thread observes."""

    __slots__ = ("_counts", "_sum_ns")

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._sum_ns = 0

    def observe(self, latency_s: float) -> None:
        """Adds a finite value."""
        self.observe_all((latency_s,))

    def observe_all(self, latencies_s: Sequence[float]) -> None:
        """Adds finite values."""
        counts, total_ns = self._counts, 0
        for latency_s in latencies_s:
            if latency_s < LOWEST_S:
                counts[0] += 1
            elif latency_s >= HIGHEST_S:
                counts[-1] += 1
            else:
                counts[int(_log(latency_s) * _SCALE + _SHIFT)] += 1
            total_ns += int(latency_s * 1e9)
        self._sum_ns += total_ns

    def snapshot(self) -> LatencySnapshot:
        return LatencySnapshot(tuple(self._counts), self._sum_ns)
