"""The contract of a job store's outbox: every end of a job with a callback is told, until it was or is given up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from services.shared.clock import ManualClock
from services.shared.jobs.base import RESULTS_S, WEBHOOK_LEASE_S, JobStore
from services.shared.jobs.job import Job, JobState
from services.shared.jobs.webhook import Webhook
from tests.support.jobs import answers, claimed, make, new_job, work_off

URL = "https://example.org/done"
End = Callable[[JobStore, ManualClock, str], Awaitable[object]]


async def claimed_webhook(store: JobStore) -> Webhook:
    webhook = await store.claim_webhook()
    assert webhook is not None
    return webhook


async def counts(store: JobStore) -> tuple[int, int, int]:
    totals = (await store.stats()).totals
    return totals["webhooks_delivered"], totals["webhooks_failed"], totals["webhooks_given_up"]


async def finish(store: JobStore, clock: ManualClock, job_id: str) -> None:
    await work_off(store)


async def fail(store: JobStore, clock: ManualClock, job_id: str) -> None:
    while lease := await store.claim("w"):
        await store.complete(lease, answers(lease, failed=lease.chunk.indices))


async def cancel(store: JobStore, clock: ManualClock, job_id: str) -> None:
    await store.cancel(job_id, owner="ann")


async def be_late(store: JobStore, clock: ManualClock, job_id: str) -> None:
    clock.advance(61)
    await store.reap()


async def be_late_for_a_claim(store: JobStore, clock: ManualClock, job_id: str) -> None:
    clock.advance(61)
    assert await store.claim("w") is None


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (finish, JobState.SUCCEEDED),
        (fail, JobState.FAILED),
        (cancel, JobState.CANCELLED),
        (be_late, JobState.EXPIRED),
        (be_late_for_a_claim, JobState.EXPIRED),
    ],
)
async def test_every_way_of_ending_is_told_once(store: JobStore, clock: ManualClock, end: End, state: JobState) -> None:
    new = new_job(callback_url=URL, deadline_at=clock.now() + 60)
    job_id = (await make(store, new)).job_id
    assert await store.claim_webhook() is None
    await end(store, clock, job_id)
    webhook = await claimed_webhook(store)
    assert webhook.job == await store.get(job_id, owner="ann")
    assert (webhook.job.state, webhook.attempt, webhook.delivery_id) == (state, 1, f"{job_id}-1")
    assert await store.claim_webhook() is None
    assert await store.webhook_delivered(webhook)
    clock.advance(WEBHOOK_LEASE_S)
    assert await store.claim_webhook() is None
    assert await counts(store) == (1, 0, 0)


async def test_a_job_without_a_callback_tells_nobody(store: JobStore) -> None:
    await make(store, new_job())
    await work_off(store)
    assert await store.claim_webhook() is None


async def ended(store: JobStore) -> Job:
    job = await make(store, new_job(callback_url=URL))
    await work_off(store)
    return job


async def test_a_sender_that_dies_is_followed_by_another(store: JobStore, clock: ManualClock) -> None:
    await ended(store)
    dead = await claimed_webhook(store)
    clock.advance(WEBHOOK_LEASE_S - 1)
    assert await store.claim_webhook() is None
    clock.advance(1)
    second = await claimed_webhook(store)
    assert (second.delivery_id, second.attempt) == (dead.delivery_id, 2)
    assert not await store.webhook_delivered(dead)
    assert not await store.webhook_failed(dead, retry_in_s=None)
    assert await store.webhook_delivered(second)
    assert not await store.webhook_delivered(second)
    assert await counts(store) == (1, 0, 0)


async def test_what_failed_is_due_again_after_its_wait(store: JobStore, clock: ManualClock) -> None:
    await ended(store)
    first = await claimed_webhook(store)
    assert await store.webhook_failed(first, retry_in_s=90)
    clock.advance(89)
    assert await store.claim_webhook() is None
    clock.advance(1)
    second = await claimed_webhook(store)
    assert (second.attempt, second.delivery_id) == (2, first.delivery_id)
    assert await store.webhook_failed(second, retry_in_s=None)
    clock.advance(1000)
    assert await store.claim_webhook() is None
    assert await counts(store) == (0, 2, 1)


async def test_the_one_that_is_due_longest_goes_first(store: JobStore, clock: ManualClock) -> None:
    one = await ended(store)
    clock.advance(1)
    two = await ended(store)
    assert [(await claimed_webhook(store)).job.job_id for _ in range(2)] == [one.job_id, two.job_id]


async def test_a_purged_job_tells_nobody(store: JobStore, clock: ManualClock) -> None:
    for purged in (await make(store, new_job(callback_url=URL)), await ended(store)):
        await store.purge(purged.job_id, owner="ann")
    assert await store.claim_webhook() is None
    assert await counts(store) == (0, 0, 0)


async def test_a_webhook_goes_with_its_job(store: JobStore, clock: ManualClock) -> None:
    await ended(store)
    clock.advance(1)
    swept = await ended(store)
    clock.advance(RESULTS_S - 1)
    webhook = await claimed_webhook(store)  # of the other: the first has just expired
    assert webhook.job.job_id == swept.job_id
    clock.advance(1)
    await store.sweep()
    assert not await store.webhook_delivered(webhook)
    assert await counts(store) == (0, 0, 2)


async def test_a_job_that_is_tried_again_is_told_when_it_has_ended_again(store: JobStore, clock: ManualClock) -> None:
    job = await make(store, new_job(1, 1, callback_url=URL))
    for _ in range(3):
        await store.release(await claimed(store), retry_in_s=0, reason="broke", strike=True)
    first = await claimed_webhook(store)
    await store.requeue(f"{job.job_id}:0")
    assert not await store.webhook_delivered(first)
    clock.advance(WEBHOOK_LEASE_S)
    assert await store.claim_webhook() is None
    await work_off(store)
    second = await claimed_webhook(store)
    assert (first.job.state, second.job.state) == (JobState.FAILED, JobState.SUCCEEDED)
    assert (first.delivery_id, second.delivery_id, second.attempt) == (f"{job.job_id}-1", f"{job.job_id}-2", 1)
