"""How many images a worker takes at once: pure."""

from __future__ import annotations

from collections.abc import Iterable

from services.shared.telemetry.base import ModelStatistics

LARGEST = 64
BATCHES = 4  # while one of them runs the next is decoded, and a chunk's round trips to the store are shared by all
# What a lost chunk costs, about the longest that a cancelled job goes on, and how long other workers may have nothing
# to do while one works on a job's last chunk: with 4 s, 260 images of ResNet-50 took a fifth longer.
LONGEST_S = 0.5


def chunk_size(max_batch_size: int, item_s: float | None = None) -> int:
    """Items of a chunk for a model with that batch (0: none), whose items take `item_s` each in its batches, None
    where that was never measured.

    batch 0 or 1 -> 4              8 -> 32                 16 and more -> 64
    batch 8, 0.05 s an item -> 10  batch 8, 10 s an item -> 1
    """
    wanted = min(LARGEST, BATCHES * max(1, max_batch_size))
    if item_s is None or item_s * wanted <= LONGEST_S:
        return wanted
    return max(1, int(LONGEST_S / item_s))


def item_seconds(statistics: Iterable[ModelStatistics]) -> float | None:
    """What an item takes by a version's runs so far; None before the first one."""
    items = nanoseconds = 0
    for each in statistics:
        for size, (_, infer, _) in each.batch_executions.items():
            items += size * infer.count
            nanoseconds += infer.ns
    return nanoseconds / items / 1e9 if items else None
