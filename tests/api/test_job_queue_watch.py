"""What is known of the store without asking it each time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.api.job_queue_watch import FRESH_S, QueueWatch
from services.shared.clock import ManualClock
from services.shared.errors import Overloaded, Unavailable
from services.shared.jobs.job import StoreStats
from services.shared.jobs.memory import MemoryJobStore
from tests.support.api_jobs import MAX_WAITING, MemoryJobs
from tests.support.jobs import make, new_job


@pytest.fixture
def jobs(tmp_path: Path) -> MemoryJobs:
    return MemoryJobs(tmp_path)


async def test_the_store_is_asked_once_a_second(jobs: MemoryJobs) -> None:
    watch = jobs.parts().watch
    for _ in range(3):
        await watch.check()
    assert jobs.store.asked == 1
    jobs.clock.advance(FRESH_S)
    await watch.check()
    assert jobs.store.asked == 2


async def test_a_full_queue_is_known_before_a_job_is_sent(jobs: MemoryJobs) -> None:
    watch = jobs.parts().watch
    await make(jobs.store, new_job(items=MAX_WAITING))
    with pytest.raises(Overloaded) as full:
        await watch.check()
    assert full.value.retry_after_s


async def test_a_store_that_is_away_is_asked_again_after_a_second(jobs: MemoryJobs) -> None:
    watch = jobs.parts().watch
    jobs.store.away = True
    for _ in range(2):
        with pytest.raises(Unavailable, match="away") as away:
            await watch.check()
        assert away.value.retry_after_s == 3.0
    assert jobs.store.asked == 1
    jobs.store.away = False
    jobs.clock.advance(FRESH_S)
    await watch.check()


async def test_how_far_the_clocks_are_apart_is_known_once_the_store_has_answered(jobs: MemoryJobs) -> None:
    own = ManualClock(jobs.clock.now() - 2.5)
    watch = QueueWatch(jobs.store, own, max_waiting_items=MAX_WAITING)
    jobs.store.away = True
    with pytest.raises(Unavailable):
        await watch.stats()
    assert watch.clock_offset_s is None
    jobs.store.away = False
    own.advance(FRESH_S)
    await watch.stats()
    assert watch.clock_offset_s == -1.5


class SlowJobStore(MemoryJobStore):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.answers = asyncio.Event()

    async def stats(self) -> StoreStats:
        self.asked += 1
        await self.answers.wait()
        return await super().stats()


async def test_all_who_wait_share_one_question_and_leaving_ends_it_for_nobody_else() -> None:
    store = SlowJobStore()
    watch = QueueWatch(store, ManualClock(), max_waiting_items=1)
    waiting = [asyncio.create_task(watch.check()) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    store.answers.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [None] * 4
    assert store.asked == 1


async def test_a_defect_is_no_knowledge_of_the_store() -> None:
    class BrokenJobStore(MemoryJobStore):
        async def stats(self) -> StoreStats:
            raise ZeroDivisionError

    watch = QueueWatch(BrokenJobStore(), ManualClock(), max_waiting_items=1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await watch.check()
