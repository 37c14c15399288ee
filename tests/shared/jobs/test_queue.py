"""How many workers are woken, and by what."""

from __future__ import annotations

import pytest

from services.shared.jobs.memory_queue import MemoryJobQueue
from services.shared.jobs.queue import MAX_WAKES, wakes_for
from services.shared.priority import Priority


@pytest.mark.parametrize(
    ("chunks", "wakes"),
    [(-1, 0), (0, 0), (1, 1), (MAX_WAKES, MAX_WAKES), (MAX_WAKES + 1, MAX_WAKES), (10**6, MAX_WAKES)],
)
def test_every_chunk_wakes_a_worker_until_there_can_be_none_left_to_wake(chunks: int, wakes: int) -> None:
    assert wakes_for(chunks) == wakes


async def test_the_twin_rings_for_each_wake_up() -> None:
    rings: list[None] = []
    queue = MemoryJobQueue(lambda: rings.append(None))
    await queue.wake(Priority.HIGH, 2)
    await queue.wake(Priority.LOW, 0)
    await queue.close()
    assert queue.woken == [Priority.HIGH, Priority.HIGH]
    assert len(rings) == 2
