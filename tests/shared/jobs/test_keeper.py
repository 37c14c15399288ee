"""What keepers do, over both job stores: nothing accepted is lost, nothing deleted comes back, no bytes are left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from services.shared.blobs.memory import MemoryBlobStore
from services.shared.clock import ManualClock
from services.shared.errors import NotFound
from services.shared.jobs.base import RESULTS_S, JobStore
from services.shared.jobs.job import JobState
from services.shared.jobs.keeper import JobKeeper
from services.shared.jobs.lost_job import GRACE_S, ORPHAN_S
from services.shared.jobs.manifest import manifest_of
from services.shared.jobs.memory_queue import MemoryJobQueue
from services.shared.priority import Priority
from tests.support.jobs import new_job, work_off
from tests.support.staged_jobs import accepted, is_staged, staged


async def test_a_job_that_the_store_has_lost_is_made_again_as_it_was(
    keeper: JobKeeper, store: JobStore, blobs: MemoryBlobStore, queue: MemoryJobQueue, clock: ManualClock
) -> None:
    new = await staged(blobs, new_job(5, 2, key="k", priority=Priority.LOW), clock)
    await keeper.recover()
    assert await store.unknown([new.job_id]) == (new.job_id,), "its API process may be about to create it"
    clock.advance(GRACE_S + 1)
    await keeper.recover()
    job = await store.get(new.job_id, owner="ann")
    assert (job.request, job.total, job.state) == (new.request, 5, JobState.QUEUED)
    assert (await store.create(new_job(5, 2, key="k"))).job.job_id == new.job_id
    assert queue.woken == [Priority.LOW] * 3
    await keeper.recover()
    assert await work_off(store) == 3
    assert (await store.get(new.job_id, owner="ann")).state is JobState.SUCCEEDED
    assert (await store.stats()).totals["created"] == 1


async def test_a_job_that_is_there_is_left_alone(
    keeper: JobKeeper, store: JobStore, blobs: MemoryBlobStore, clock: ManualClock
) -> None:
    new = await accepted(blobs, store, new_job(), clock)
    before = await store.get(new.job_id, owner="ann")
    clock.advance(RESULTS_S * 3)  # it still waits
    await keeper.tidy()
    assert await store.get(new.job_id, owner="ann") == before
    assert await is_staged(blobs, new.job_id)


async def test_an_expired_job_is_deleted_with_its_bytes_and_does_not_come_back(
    keeper: JobKeeper, store: JobStore, blobs: MemoryBlobStore, clock: ManualClock
) -> None:
    new = await accepted(blobs, store, new_job(), clock)
    await work_off(store)
    clock.advance(RESULTS_S)
    await keeper.recover()
    await keeper.sweep()
    await keeper.recover()
    assert not await is_staged(blobs, new.job_id)
    assert await store.unknown([new.job_id]) == (new.job_id,)
    assert (await store.stats()).totals["created"] == 1


async def test_a_manifest_that_came_back_from_long_ago_makes_no_job_and_is_deleted_in_the_end(
    keeper: JobKeeper, store: JobStore, blobs: MemoryBlobStore, clock: ManualClock
) -> None:
    new = await staged(blobs, new_job(), clock)
    clock.advance(RESULTS_S / 2)
    await keeper.recover()
    assert await is_staged(blobs, new.job_id)
    clock.advance(RESULTS_S / 2 + 1)
    await keeper.recover()
    assert not await is_staged(blobs, new.job_id)
    assert await store.list(owner=None) == ()


async def test_a_purged_job_does_not_come_back(
    keeper: JobKeeper, store: JobStore, blobs: MemoryBlobStore, clock: ManualClock
) -> None:
    new = await accepted(blobs, store, new_job(), clock)
    await blobs.delete_manifest(new.job_id)
    await store.purge(new.job_id, owner="ann")
    clock.advance(GRACE_S + 1)
    await keeper.recover()
    await keeper.sweep()
    await keeper.recover()
    assert not await is_staged(blobs, new.job_id)
    assert await store.list(owner=None) == ()


async def test_a_job_that_is_purged_while_it_is_made_again_is_gone_all_the_same(
    keeper: JobKeeper, store: JobStore, blobs: MemoryBlobStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = await staged(blobs, new_job(), clock)
    clock.advance(GRACE_S + 1)
    read = blobs.manifest

    async def read_and_purge(job_id: str) -> bytes | None:
        content = await read(job_id)
        await blobs.delete_manifest(job_id)
        return content

    monkeypatch.setattr(blobs, "manifest", read_and_purge)
    await keeper.recover()
    with pytest.raises(NotFound):
        await store.get(new.job_id, owner=None)
    await keeper.sweep()
    assert not await is_staged(blobs, new.job_id)


async def test_a_job_whose_sweeper_died_is_not_made_again_and_is_swept_by_the_next(
    keeper: JobKeeper, store: JobStore, blobs: MemoryBlobStore, clock: ManualClock
) -> None:
    new = await accepted(blobs, store, new_job(), clock)
    await store.purge(new.job_id, owner=None)
    assert len(await store.sweep()) == 1
    clock.advance(GRACE_S + 1)
    await keeper.recover()
    with pytest.raises(NotFound):
        await store.get(new.job_id, owner=None)
    await keeper.sweep()
    assert not await is_staged(blobs, new.job_id)
    assert await store.sweep() == ()


async def test_what_a_killed_upload_left_is_deleted_after_hours(
    keeper: JobKeeper, store: JobStore, blobs: MemoryBlobStore, clock: ManualClock
) -> None:
    await blobs.put("killed", b"1")
    await blobs.put("slow", b"2")
    clock.advance(ORPHAN_S)
    await blobs.put("slow", b"3")
    await keeper.recover()
    assert await is_staged(blobs, "killed")
    clock.advance(1)
    await keeper.recover()
    assert [job.job_id for job in await blobs.jobs()] == ["slow"]


async def test_a_job_that_was_sent_again_meanwhile_is_not_run_twice(
    keeper: JobKeeper, store: JobStore, blobs: MemoryBlobStore, clock: ManualClock
) -> None:
    lost = await staged(blobs, new_job(key="k"), clock)
    again = await accepted(blobs, store, new_job(key="k"), clock)
    clock.advance(GRACE_S + 1)
    await keeper.recover()
    assert [job.job_id for job in await store.list(owner=None)] == [again.job_id]
    assert not await is_staged(blobs, lost.job_id)
    assert await is_staged(blobs, again.job_id)


async def test_a_job_whose_key_was_used_for_another_request_is_not_lost(
    keeper: JobKeeper, store: JobStore, blobs: MemoryBlobStore, clock: ManualClock
) -> None:
    lost = await staged(blobs, new_job(key="k", fingerprint="one"), clock)
    other = await accepted(blobs, store, new_job(key="k", fingerprint="two"), clock)
    clock.advance(GRACE_S + 1)
    await keeper.recover()
    assert {job.job_id for job in await store.list(owner=None)} == {lost.job_id, other.job_id}


async def test_a_lost_job_waits_until_the_queue_has_room_and_holds_up_no_other(
    keeper: JobKeeper, store: JobStore, blobs: MemoryBlobStore, clock: ManualClock
) -> None:
    await accepted(blobs, store, new_job(90, 30), clock)
    large = await staged(blobs, new_job(20, 20, job_id="a"), clock)
    small = await staged(blobs, new_job(5, 5, job_id="b"), clock)
    clock.advance(GRACE_S + 1)
    await keeper.recover()
    assert await store.unknown([large.job_id, small.job_id]) == (large.job_id,)
    await work_off(store)
    await keeper.recover()
    assert await store.unknown([large.job_id]) == ()


@pytest.mark.parametrize("manifest", [b"{", manifest_of(new_job(job_id="another"), 0.0)], ids=["torn", "another's"])
async def test_a_manifest_that_cannot_be_read_is_kept_for_as_long_as_results_are(
    keeper: JobKeeper, blobs: MemoryBlobStore, clock: ManualClock, manifest: bytes
) -> None:
    await blobs.put_manifest("job", manifest)
    clock.advance(RESULTS_S)
    await keeper.recover()
    assert await is_staged(blobs, "job")
    clock.advance(1)
    await keeper.recover()
    assert not await is_staged(blobs, "job")


async def test_many_keepers_at_once_do_no_harm(store: JobStore, blobs: MemoryBlobStore, clock: ManualClock) -> None:
    expired = [await accepted(blobs, store, new_job(), clock) for _ in range(10)]
    await work_off(store)
    clock.advance(RESULTS_S)
    lost = [await staged(blobs, new_job(2, 1), clock) for _ in range(20)]
    clock.advance(GRACE_S + 1)
    keepers = [JobKeeper(store, blobs, MemoryJobQueue(), clock) for _ in range(8)]
    rounds: Iterable[JobKeeper] = keepers * 2
    await asyncio.gather(*(duty() for keeper in rounds for duty in (keeper.sweep, keeper.recover, keeper.tick)))
    assert {job.job_id for job in await store.list(owner=None)} == {new.job_id for new in lost}
    assert {job.job_id for job in await blobs.jobs()} == {new.job_id for new in lost}
    assert await work_off(store) == 40
    totals = (await store.stats()).totals
    assert (totals["created"], totals["done"]) == (len(expired) + len(lost), 10 * 4 + 20 * 2)
