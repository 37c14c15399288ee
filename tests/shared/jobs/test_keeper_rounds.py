"""How keepers go on, over both job stores: whatever is away or hangs, and however many there are."""

from __future__ import annotations

import asyncio
import logging

import pytest

from services.shared.blobs.base import StagedJob
from services.shared.blobs.memory import MemoryBlobStore
from services.shared.clock import ManualClock
from services.shared.errors import Unavailable
from services.shared.jobs.base import LEASE_S, JobStore
from services.shared.jobs.keeper import SWEEP_S, JobKeeper
from services.shared.jobs.memory_queue import MemoryJobQueue
from services.shared.priority import Priority
from tests.support.jobs import claimed, new_job, work_off
from tests.support.polling import until
from tests.support.staged_jobs import accepted


async def test_a_blob_store_that_is_away_keeps_only_its_own_jobs(
    keeper: JobKeeper, store: JobStore, blobs: MemoryBlobStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = [await accepted(blobs, store, new_job(job_id=job_id), clock) for job_id in ("a", "b")]
    for new in (stuck, other):
        await store.purge(new.job_id, owner=None)
    purge = blobs.purge

    async def purge_all_but_one(job_id: str) -> None:
        if job_id == stuck.job_id:
            raise Unavailable("the store of images cannot be used")
        await purge(job_id)

    with monkeypatch.context() as patched:
        patched.setattr(blobs, "purge", purge_all_but_one)
        with pytest.raises(Unavailable):
            await keeper.sweep()
    assert [job.job_id for job in await store.sweep()] == [stuck.job_id]
    await keeper.sweep()
    assert await store.sweep() == ()
    assert await blobs.jobs() == ()


async def test_what_a_dead_worker_held_wakes_another(
    keeper: JobKeeper, store: JobStore, queue: MemoryJobQueue, clock: ManualClock
) -> None:
    await store.create(new_job(4, 2))
    await claimed(store)
    await keeper.tick()
    assert queue.woken == []
    clock.advance(LEASE_S)
    await keeper.tick()
    assert queue.woken == [Priority.NORMAL]


async def test_one_keeper_of_many_tidies_at_a_time(
    store: JobStore, blobs: MemoryBlobStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists: list[int] = []
    jobs = blobs.jobs

    async def counted() -> tuple[StagedJob, ...]:
        lists.append(1)
        return await jobs()

    monkeypatch.setattr(blobs, "jobs", counted)
    keepers = [JobKeeper(store, blobs, MemoryJobQueue(), clock) for _ in range(5)]
    await asyncio.gather(*(keeper.tidy() for keeper in keepers))
    clock.advance(SWEEP_S)
    await asyncio.gather(*(keeper.tidy() for keeper in keepers))
    assert len(lists) == 1


async def test_a_blob_store_that_hangs_does_not_keep_dead_workers_chunks(
    keeper: JobKeeper,
    store: JobStore,
    blobs: MemoryBlobStore,
    queue: MemoryJobQueue,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blobs, "jobs", asyncio.Event().wait)
    running = asyncio.create_task(keeper.run(every_s=0.001))
    for count in (1, 2):
        await store.create(new_job(2, 2))
        await claimed(store)
        clock.advance(LEASE_S)
        await until(lambda count=count: len(queue.woken) >= count)  # type: ignore[misc]
        await work_off(store)
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()


async def test_a_store_that_comes_back_is_kept_again_and_logged_once(
    keeper: JobKeeper, store: JobStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [Unavailable("away")] * 5 + [KeyError("a defect")]
    calls: list[int] = []
    reap = store.reap

    async def failing() -> object:
        calls.append(1)
        if failures:
            raise failures.pop(0)
        return await reap()

    monkeypatch.setattr(store, "reap", failing)
    with caplog.at_level(logging.INFO, logger="services.shared.jobs.keeper"):
        running = asyncio.create_task(keeper.run(every_s=0.001))
        await until(lambda: len(calls) > 7)
        running.cancel()
        await asyncio.wait({running})
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("jobs cannot be looked after") == 1
    assert messages.count("looking after jobs raised what the stores do not promise") == 1
    assert messages.count("the job store or the store of images is back") == 1
