"""The contract of JobStore, over every implementation: what was accepted, who sees it, and how it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.shared.clock import ManualClock
from services.shared.errors import Conflict, InvalidInput, NotFound, Overloaded
from services.shared.jobs.base import IDEMPOTENCY_S, RESULTS_S, JobStore
from services.shared.jobs.job import Item, JobRequest, JobState, NewJob, Outcome, QueueDepth
from services.shared.priority import Priority
from tests.support.jobs import answers, claimed, make, new_job, work_off


async def test_a_job_is_kept_as_it_was_sent(store: JobStore, clock: ManualClock) -> None:
    request = JobRequest("räsnet", 3, "candidate", 7, Priority.LOW, clock.now() + 60.5, "https://example.org/done?a=1")
    items = (Item("b1", 'a "photo"\n.png', "key"), Item("", "привет.jpg", url="https://example.org/?a=1"), Item("b3"))
    new = NewJob("j1", "ann", request, items, 2)
    job = await make(store, new)
    assert job == await store.get("j1", owner="ann")
    assert (job.request, job.state, job.total, job.done, job.failed) == (request, JobState.QUEUED, 3, 0, 0)
    assert (job.created_at, job.started_at, job.finished_at, job.expires_at) == (clock.now(), None, None, None)
    one, two = await claimed(store), await claimed(store)
    assert one.items + two.items == items
    assert (one.request, one.owner, one.job_id) == (request, "ann", "j1")


async def test_fifty_calls_with_one_key_make_one_job(store: JobStore) -> None:
    calls = [new_job(key="k") for _ in range(50)]
    created = await asyncio.gather(*(store.create(new) for new in calls))
    assert len({one.job.job_id for one in created}) == 1
    assert sum(one.is_new for one in created) == 1
    assert len(await store.list(owner="ann")) == 1
    assert await work_off(store) == 2


async def test_a_call_that_is_repeated_because_its_answer_was_lost_is_the_same_call(store: JobStore) -> None:
    for new in (new_job(), new_job(key="k")):
        first, second = await store.create(new), await store.create(new)
        assert first == second
        assert first.is_new
    assert len(await store.list(owner="ann")) == 2


async def test_a_key_with_another_request_is_a_conflict_and_makes_nothing(store: JobStore) -> None:
    await make(store, new_job(key="k", fingerprint="one"))
    with pytest.raises(Conflict, match="'k' came with another request"):
        await store.create(new_job(key="k", fingerprint="two"))
    assert len(await store.list(owner=None)) == 1


async def test_a_key_belongs_to_its_owner(store: JobStore) -> None:
    await make(store, new_job(owner="a", key="bk"))
    await make(store, new_job(owner="ab", key="k", fingerprint="other"))


async def test_a_key_counts_for_a_day(store: JobStore, clock: ManualClock) -> None:
    await make(store, new_job(key="k"))
    clock.advance(IDEMPOTENCY_S - 1)
    assert not (await store.create(new_job(key="k"))).is_new
    clock.advance(1)
    assert (await store.create(new_job(key="k", fingerprint="new"))).is_new


async def test_a_key_whose_job_was_purged_may_be_used_again(store: JobStore) -> None:
    job = await make(store, new_job(key="k"))
    await store.purge(job.job_id, owner="ann")
    assert (await store.create(new_job(key="k", fingerprint="new"))).is_new


async def test_a_full_queue_refuses_before_anything_is_kept(store: JobStore) -> None:
    await make(store, new_job(97, 10))
    with pytest.raises(Overloaded, match="97 images wait already, of at most 100") as caught:
        await store.create(new_job(4, key="k"))
    assert caught.value.retry_after_s
    assert len(await store.list(owner=None)) == 1
    await make(store, new_job(3, key="k"))
    await work_off(store)
    await make(store, new_job(100, 10))


@pytest.mark.parametrize("items", [0, 20_001])
async def test_a_job_of_no_or_too_many_images_is_refused(store: JobStore, items: int) -> None:
    with pytest.raises(InvalidInput, match="send 1 to 20,000"):
        await store.create(replace(new_job(1), items=(Item("b"),) * items))


async def test_a_job_is_seen_by_its_owner_and_by_no_other_key(store: JobStore) -> None:
    job_id = (await make(store, new_job(owner="ann"))).job_id
    assert (await store.get(job_id, owner=None)).owner == "ann"
    for call in (store.get, store.results, store.cancel, store.purge):
        for owner in ("bob", "", "an", "=ann"):
            with pytest.raises(NotFound, match="no job"):
                await call(job_id, owner=owner)
    with pytest.raises(NotFound):
        await store.get("nothing", owner=None)
    assert await store.list(owner="bob") == ()
    assert (await store.get(job_id, owner="ann")).state is JobState.QUEUED


async def test_jobs_are_listed_newest_first_in_pages(store: JobStore) -> None:
    mine = [(await make(store, new_job(1, owner=owner))).job_id for owner in ("ann", "bob", "ann", "ann", "ann")]
    mine.pop(1)
    assert [job.job_id for job in await store.list(owner="ann")] == mine[::-1]
    assert len(await store.list(owner=None)) == 5
    page = await store.list(owner="ann", limit=3)
    assert [job.job_id for job in page] == mine[:0:-1]
    assert [job.job_id for job in await store.list(owner="ann", limit=3, before=page[-1].job_id)] == mine[:1]
    with pytest.raises(NotFound):
        await store.list(owner="bob", before=mine[0])
    with pytest.raises(InvalidInput, match="use 1 to 1000"):
        await store.list(owner="ann", limit=0)


async def test_results_come_in_input_order_while_the_job_runs(store: JobStore) -> None:
    job_id = (await make(store, new_job(6, 2))).job_id
    leases = [await claimed(store) for _ in range(3)]
    await store.complete(leases[0], answers(leases[0], failed=[1]))
    await store.complete(leases[2], answers(leases[2]))
    page = await store.results(job_id, owner="ann")
    assert [(r.index, r.name, r.error is None) for r in page.results] == [(0, "0.png", True), (1, "1.png", False)]
    assert (page.next_index, page.is_last) == (2, False)
    await store.complete(leases[1], answers(leases[1]))
    page = await store.results(job_id, owner="ann", start=page.next_index, limit=3)
    assert [r.index for r in page.results] == [2, 3, 4]
    assert page.results[0].result == {"blob": f"{job_id}-2", "token": leases[1].token}
    assert (page.next_index, page.is_last) == (5, False)
    page = await store.results(job_id, owner="ann", start=5)
    assert [r.index for r in page.results] == [5]
    assert page.is_last
    assert (await store.results(job_id, owner="ann", start=99)).is_last


async def test_a_job_succeeds_with_one_answer_and_fails_without_any(store: JobStore, clock: ManualClock) -> None:
    for failed, state in (([0], JobState.SUCCEEDED), ([0, 1], JobState.FAILED)):
        job_id = (await make(store, new_job(2, 2))).job_id
        lease = await claimed(store)
        assert (await store.get(job_id, owner="ann")).state is JobState.RUNNING
        assert (await store.complete(lease, answers(lease, failed))).ended is state
        job = await store.get(job_id, owner="ann")
        assert (job.state, job.done, job.failed) == (state, 2 - len(failed), len(failed))
        assert (job.started_at, job.finished_at, job.expires_at) == (clock.now(),) * 2 + (clock.now() + RESULTS_S,)


async def test_cancelling_ends_a_job_at_once_with_what_it_has(store: JobStore) -> None:
    job_id = (await make(store, new_job(6, 2))).job_id
    first, second = await claimed(store), await claimed(store)
    await store.complete(second, answers(second))
    job = await store.cancel(job_id, owner="ann")
    assert (job.state, job.done, job.failed, job.reason) == (JobState.CANCELLED, 2, 0, "its owner cancelled it")
    assert await store.renew(first) is None
    assert (await store.complete(first, answers(first))).outcome is Outcome.LOST
    assert (await store.release(first, retry_in_s=0, reason="", strike=False)).outcome is Outcome.LOST
    assert await store.claim("w") is None
    page = await store.results(job_id, owner="ann")
    assert [r.index for r in page.results] == [2, 3]
    assert page.is_last
    assert await store.cancel(job_id, owner="ann") == job
    stats = await store.stats()
    assert (stats.running, stats.active_jobs, [d.items for d in stats.depths]) == (0, 0, [0, 0, 0])


async def test_a_deadline_ends_a_job_whether_it_is_claimed_or_not(store: JobStore, clock: ManualClock) -> None:
    late, later = [await make(store, new_job(4, 2, deadline_at=clock.now() + s)) for s in (5, 50)]
    lease = await claimed(store)
    clock.advance(5)
    assert (await claimed(store)).job_id == later.job_id
    job = await store.get(late.job_id, owner="ann")
    assert (job.state, job.reason) == (JobState.EXPIRED, "its deadline has passed")
    assert (await store.complete(lease, answers(lease))).outcome is Outcome.LOST
    clock.advance(45)
    assert (await store.reap()).ended == (later.job_id,)
    assert (await store.get(later.job_id, owner="ann")).state is JobState.EXPIRED
    assert await store.claim("w") is None


async def test_an_ended_job_is_forgotten_after_a_while_with_its_blobs_handed_out(
    store: JobStore, clock: ManualClock
) -> None:
    job_id = (await make(store, new_job(3, 2))).job_id
    await work_off(store)
    clock.advance(RESULTS_S - 1)
    assert await store.sweep() == ()
    clock.advance(1)
    with pytest.raises(NotFound):
        await store.get(job_id, owner="ann")
    assert await store.list(owner="ann") == ()
    for _ in range(2):  # until somebody says that the blobs are gone
        (swept,) = await store.sweep()
        assert (swept.job_id, set(swept.blob_ids)) == (job_id, {f"{job_id}-{i}" for i in range(3)})
    await store.forget(job_id)
    assert await store.sweep() == ()


async def test_forgetting_a_job_that_was_not_swept_does_nothing(store: JobStore) -> None:
    job_id = (await make(store, new_job(2, 2))).job_id
    await store.forget(job_id)
    assert (await claimed(store)).items[0].blob_id == f"{job_id}-0"


async def test_purging_cancels_and_forgets_at_once(store: JobStore) -> None:
    job_id = (await make(store, new_job())).job_id
    lease = await claimed(store)
    await store.purge(job_id, owner="ann")
    with pytest.raises(NotFound):
        await store.results(job_id, owner="ann")
    assert await store.renew(lease) is None
    assert [swept.job_id for swept in await store.sweep()] == [job_id]
    assert (await store.complete(lease, answers(lease))).outcome is Outcome.LOST


async def test_statistics_count_what_waits_runs_and_was_done(store: JobStore, clock: ManualClock) -> None:
    await make(store, new_job(5, 2, priority=Priority.LOW))
    clock.advance(10)
    await make(store, new_job(4, 2, priority=Priority.HIGH))
    lease = await claimed(store)
    clock.advance(1)
    stats = await store.stats()
    assert stats.depths == (
        QueueDepth(Priority.HIGH, 1, 4, 1.0),
        QueueDepth(Priority.NORMAL, 0, 0, 0.0),
        QueueDepth(Priority.LOW, 3, 5, 11.0),
    )
    assert (stats.active_jobs, stats.running, stats.delayed, stats.dead) == (2, 1, 0, 0)
    await store.complete(lease, answers(lease, failed=[0]))
    lease = await claimed(store)
    await store.release(lease, retry_in_s=3, reason="busy", strike=False)
    stats = await store.stats()
    assert (stats.running, stats.delayed) == (0, 1)
    assert {name: count for name, count in stats.totals.items() if count} == {
        "created": 2,
        "done": 1,
        "failed": 1,
        "retried": 1,
    }
