"""Where a row of counts has any: most buckets of latencies have none. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, count


def filled_span(cells: Sequence[int]) -> tuple[int, int]:
    """The index of the first cell that is not 0, and the one after the last; (0, 0) where all are 0."""
    first = next(compress(count(), cells), -1)
    return (0, 0) if first < 0 else (first, len(cells) - next(compress(count(), reversed(cells))))
