"""The contract of what keepers ask a job store: what it has never heard of, and whose turn it is."""

from __future__ import annotations

import asyncio

from services.shared.clock import ManualClock
from services.shared.jobs.base import JobStore
from tests.support.jobs import make, new_job


async def test_a_job_is_known_until_its_blobs_are_deleted(store: JobStore) -> None:
    job_id = (await make(store, new_job())).job_id
    assert await store.unknown(["never", job_id, "nor this"]) == ("never", "nor this")
    await store.purge(job_id, owner=None)
    assert await store.unknown([job_id]) == ()
    await store.sweep()
    assert await store.unknown([job_id]) == ()
    await store.forget(job_id)
    assert await store.unknown([job_id]) == (job_id,)
    assert await store.unknown([]) == ()


async def test_any_number_of_ids_may_be_asked_about(store: JobStore) -> None:
    await make(store, new_job(job_id="id-1500"))
    ids = [f"id-{index}" for index in range(2500)]
    assert await store.unknown(ids) == tuple(job_id for job_id in ids if job_id != "id-1500")


async def test_one_of_many_gets_the_turn_and_the_next_comes_after_a_while(store: JobStore, clock: ManualClock) -> None:
    async def takers() -> int:
        return sum(await asyncio.gather(*(store.turn("sweep", 10) for _ in range(20))))

    assert await takers() == 1
    assert await store.turn("recover", 10)
    clock.advance(9.9)
    assert await takers() == 0
    clock.advance(0.1)
    assert await takers() == 1
