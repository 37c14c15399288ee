"""The contract of JobStore, over every implementation: leases, fencing, retries, dead letters."""

from __future__ import annotations

import asyncio

import pytest

from services.shared.clock import ManualClock
from services.shared.errors import Conflict, NotFound
from services.shared.jobs.base import LAPSED, LEASE_S, RENEW_S, RESULTS_S, JobStore
from services.shared.jobs.job import Chunk, ItemError, JobState, Lease, Outcome, Reaped, Settled
from services.shared.jobs.retry import Caps
from services.shared.priority import Priority
from tests.support.jobs import answers, claimed, make, new_job, work_off

CAPS = Caps()


async def bury_one(store: JobStore, reason: str = "the model broke") -> tuple[str, Lease]:
    """A job of two single items, the first of them buried."""
    job_id = (await make(store, new_job(2, 1))).job_id
    for _ in range(CAPS.strikes):
        lease = await claimed(store)
        settled = await store.release(lease, retry_in_s=0, reason=reason, strike=True)
    assert settled == Settled(Outcome.BURIED)
    return job_id, lease


async def test_high_priority_goes_first_then_the_oldest_job_then_input_order(store: JobStore) -> None:
    low, normal, other, high = [
        (await make(store, new_job(3, 2, priority=p))).job_id
        for p in (Priority.LOW, Priority.NORMAL, Priority.NORMAL, Priority.HIGH)
    ]
    order = [(lease.job_id, lease.chunk) for lease in [await claimed(store) for _ in range(8)]]
    assert order == [(job, chunk) for job in (high, normal, other, low) for chunk in (Chunk(0, 2), Chunk(2, 1))]
    assert await store.claim("w") is None


async def test_a_chunk_has_one_holder_at_a_time(store: JobStore) -> None:
    await make(store, new_job(20, 1))
    leases = await asyncio.gather(*(store.claim(f"w{i}") for i in range(30)))
    held = [lease for lease in leases if lease]
    assert sorted(lease.chunk.first for lease in held) == list(range(20))
    assert len({lease.token for lease in held}) == 20
    assert all(lease.attempt == 1 for lease in held)


async def test_a_lease_that_is_renewed_never_lapses(store: JobStore, clock: ManualClock) -> None:
    await make(store, new_job(1, 1))
    lease: Lease | None = await claimed(store)
    for _ in range(10):
        clock.advance(RENEW_S)
        assert lease is not None
        lease = await store.renew(lease)
        assert lease is not None
        assert lease.lapses_at == clock.now() + LEASE_S
        assert await store.reap() == Reaped()
        assert await store.claim("other") is None


async def test_a_worker_that_died_loses_its_chunk_to_the_next_one(store: JobStore, clock: ManualClock) -> None:
    job_id = (await make(store, new_job(2, 2))).job_id
    dead = await claimed(store, "dead")
    clock.advance(LEASE_S - 0.001)
    assert await store.reap() == Reaped()
    clock.advance(0.001)
    assert await store.reap() == Reaped(lapsed=1)
    lease = await claimed(store, "next")
    assert (lease.chunk, lease.attempt) == (dead.chunk, 2)
    assert lease.token > dead.token
    assert (await store.complete(lease, answers(lease))).ended is JobState.SUCCEEDED
    assert (await store.get(job_id, owner="ann")).done == 2


async def test_a_late_zombie_writes_nothing(store: JobStore, clock: ManualClock) -> None:
    job_id = (await make(store, new_job(2, 2))).job_id
    zombie = await claimed(store, "zombie")
    clock.advance(LEASE_S)
    await store.reap()

    async def refused() -> None:
        assert await store.renew(zombie) is None
        assert await store.complete(zombie, answers(zombie)) == Settled(Outcome.LOST)
        assert await store.release(zombie, retry_in_s=0, reason="", strike=True) == Settled(Outcome.LOST)

    await refused()
    lease = await claimed(store, "zombie")  # even when it is the same worker
    await refused()
    await store.complete(lease, answers(lease, failed=[0]))
    await refused()
    job = await store.get(job_id, owner="ann")
    assert (job.done, job.failed) == (1, 1)
    assert (await store.results(job_id, owner="ann")).results[1].result == {"blob": f"{job_id}-1", "token": lease.token}


async def test_a_lease_that_lapsed_and_was_not_taken_back_is_still_good(store: JobStore, clock: ManualClock) -> None:
    await make(store, new_job(2, 1))
    one, two = await claimed(store), await claimed(store)
    clock.advance(10 * LEASE_S)
    assert await store.renew(one) is not None
    assert (await store.complete(two, answers(two))).outcome is Outcome.COMPLETED
    assert await store.reap() == Reaped()


async def test_results_that_are_sent_twice_count_once(store: JobStore) -> None:
    job_id = (await make(store, new_job(4, 2))).job_id
    lease = await claimed(store)
    for _ in range(3):
        assert await store.complete(lease, answers(lease, failed=[1])) == Settled(Outcome.COMPLETED)
    job = await store.get(job_id, owner="ann")
    assert (job.done, job.failed) == (1, 1)
    last = await claimed(store)
    for _ in range(2):  # who lost the answer still hears that the job has ended
        assert await store.complete(last, answers(last)) == Settled(Outcome.COMPLETED, JobState.SUCCEEDED)
    assert (await store.stats()).totals["succeeded"] == 1


async def test_a_chunk_is_completed_whole(store: JobStore) -> None:
    await make(store, new_job(2, 2))
    lease = await claimed(store)
    for results in (answers(lease)[:1], [], answers(lease) * 2):
        with pytest.raises(ValueError, match="results for"):
            await store.complete(lease, results)


async def test_a_retry_waits_out_its_backoff_and_keeps_its_place(store: JobStore, clock: ManualClock) -> None:
    await make(store, new_job(4, 2))
    lease = await claimed(store)
    assert await store.release(lease, retry_in_s=2.5, reason="busy", strike=False) == Settled(Outcome.RETRY)
    other = await claimed(store)
    assert other.chunk == Chunk(2, 2)
    clock.advance(2.499)
    assert await store.reap() == Reaped()
    assert await store.claim("w") is None
    clock.advance(0.001)
    assert await store.reap() == Reaped(due=1)
    again = await claimed(store)
    assert (again.chunk, again.attempt) == (lease.chunk, 2)
    await store.release(again, retry_in_s=0, reason="busy", strike=False)
    await store.release(other, retry_in_s=1, reason="busy", strike=False)
    assert (await claimed(store)).chunk == lease.chunk
    clock.advance(1)
    assert (await claimed(store)).chunk == other.chunk  # a claim moves what is due by itself


async def test_a_poison_image_is_found_and_the_others_are_answered(store: JobStore, clock: ManualClock) -> None:
    job_id, poison = (await make(store, new_job(8, 4))).job_id, 5
    deaths = 0
    while (job := await store.get(job_id, owner="ann")).state in (JobState.QUEUED, JobState.RUNNING):
        lease = await store.claim("w")
        if lease is None:
            clock.advance(LEASE_S)
            await store.reap()
        elif poison in lease.chunk.indices:
            deaths += 1
        else:
            await store.complete(lease, answers(lease))
        assert deaths < 20
    assert (job.state, job.done, job.failed) == (JobState.SUCCEEDED, 7, 1)
    assert deaths == 2 * CAPS.strikes  # with its neighbours, then alone
    page = await store.results(job_id, owner="ann")
    assert [r.index for r in page.results if r.error] == [poison]
    assert page.results[poison].error == ItemError("abandoned", LAPSED)
    (letter,) = await store.dead()
    assert (letter.dead_id, letter.name, letter.reason) == (f"{job_id}:5", "5.png", LAPSED)
    assert (letter.attempts, letter.at) == (CAPS.strikes, clock.now())
    stats = await store.stats()
    assert (stats.dead, stats.totals["buried"], stats.totals["split"], stats.totals["lapsed"]) == (1, 1, 1, deaths)


async def test_what_only_waits_is_no_strike_and_has_more_attempts(store: JobStore) -> None:
    job_id = (await make(store, new_job(2, 2))).job_id
    for attempt in range(1, CAPS.attempts + 1):
        lease = await claimed(store)
        assert lease.attempt == attempt
        settled = await store.release(lease, retry_in_s=0, reason="not ready", strike=False)
    assert settled == Settled(Outcome.BURIED, JobState.FAILED)
    assert [(letter.index, letter.reason) for letter in await store.dead()] == [(1, "not ready"), (0, "not ready")]
    assert (await store.get(job_id, owner="ann")).failed == 2


async def test_a_job_that_ends_by_its_last_dead_letter_is_named_by_the_reaper(
    store: JobStore, clock: ManualClock
) -> None:
    job_id = (await make(store, new_job(1, 1))).job_id
    for _ in range(CAPS.strikes):
        await claimed(store)
        clock.advance(LEASE_S)
        reaped = await store.reap()
    assert reaped == Reaped(lapsed=1, ended=(job_id,))
    assert (await store.get(job_id, owner="ann")).state is JobState.FAILED


async def test_a_requeued_dead_letter_is_tried_again_in_a_job_that_goes_on(store: JobStore, clock: ManualClock) -> None:
    job_id, _ = await bury_one(store)
    lease = await claimed(store)
    await store.complete(lease, answers(lease))
    assert (await store.get(job_id, owner="ann")).state is JobState.SUCCEEDED
    clock.advance(60)
    job = await store.requeue(f"{job_id}:0")
    assert job == await store.get(job_id, owner="ann")
    assert (job.state, job.done, job.failed) == (JobState.RUNNING, 1, 0)
    assert (job.finished_at, job.expires_at, job.reason) == (None, None, "")
    assert await store.dead() == ()
    assert (await store.results(job_id, owner="ann")).results == ()  # in input order, and the first one is missing
    clock.advance(RESULTS_S)  # the end that it had before does not count any more
    assert await store.sweep() == ()
    lease = await claimed(store)
    assert (lease.chunk, lease.attempt) == (Chunk(0, 1), 1)
    assert (await store.complete(lease, answers(lease))).ended is JobState.SUCCEEDED
    job = await store.get(job_id, owner="ann")
    assert (job.done, job.failed, job.expires_at) == (2, 0, clock.now() + RESULTS_S)
    with pytest.raises(NotFound):
        await store.requeue(f"{job_id}:0")


@pytest.mark.parametrize("dead_id", ["", "nothing", "nothing:0", "{job}:1", "{job}:x", "{job}:", "{job}:00"])
async def test_what_is_no_dead_letter_cannot_be_requeued(store: JobStore, dead_id: str) -> None:
    job_id, _ = await bury_one(store)
    with pytest.raises(NotFound, match="no dead letter"):
        await store.requeue(dead_id.format(job=job_id))


async def test_a_dead_letter_of_a_cancelled_or_late_job_stays(store: JobStore, clock: ManualClock) -> None:
    job_id, _ = await bury_one(store)
    await store.cancel(job_id, owner="ann")
    with pytest.raises(Conflict, match="is cancelled"):
        await store.requeue(f"{job_id}:0")
    late = (await make(store, new_job(1, 1, deadline_at=clock.now() + 30))).job_id
    for _ in range(CAPS.strikes):
        await store.release(await claimed(store), retry_in_s=0, reason="broke", strike=True)
    clock.advance(30)
    with pytest.raises(Conflict, match=f"the deadline of job {late} has passed"):
        await store.requeue(f"{late}:0")


async def test_dead_letters_come_newest_first_in_pages_and_go_with_their_job(
    store: JobStore, clock: ManualClock
) -> None:
    jobs = []
    for reason in ("first", "second", "third"):
        jobs.append((await bury_one(store, reason))[0])
        clock.advance(1)
        await work_off(store)
    assert [letter.reason for letter in await store.dead()] == ["third", "second", "first"]
    assert [letter.reason for letter in await store.dead(limit=1, start=1)] == ["second"]
    await store.purge(jobs[1], owner="ann")
    await store.sweep()
    assert [letter.job_id for letter in await store.dead()] == [jobs[2], jobs[0]]
    with pytest.raises(NotFound):
        await store.requeue(f"{jobs[1]}:0")
