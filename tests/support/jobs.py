"""Jobs for tests: made of numbered blobs, answered with the index of each item."""

from __future__ import annotations

from collections.abc import Iterable

from services.shared.jobs.base import JobStore
from services.shared.jobs.job import (
    Created,
    Idempotency,
    Item,
    ItemError,
    ItemResult,
    Job,
    JobRequest,
    Lease,
    NewJob,
    new_job_id,
)
from services.shared.priority import Priority


def new_job(
    items: int = 4,
    chunk: int = 2,
    *,
    owner: str = "ann",
    priority: Priority = Priority.NORMAL,
    deadline_at: float | None = None,
    key: str | None = None,
    fingerprint: str = "f",
    job_id: str = "",
    callback_url: str = "",
) -> NewJob:
    job_id = job_id or new_job_id()
    return NewJob(
        job_id,
        owner,
        JobRequest("digits", priority=priority, deadline_at=deadline_at, callback_url=callback_url),
        tuple(Item(f"{job_id}-{index}", f"{index}.png") for index in range(items)),
        chunk,
        None if key is None else Idempotency(key, fingerprint),
    )


def answers(lease: Lease, failed: Iterable[int] = ()) -> list[ItemResult]:
    """One result for each item of a lease, an error for the failed ones."""
    bad = set(failed)
    return [
        ItemResult(index, error=ItemError("undecodable_image", "no image")) if index in bad else answer(index, lease)
        for index in lease.chunk.indices
    ]


def answer(index: int, lease: Lease) -> ItemResult:
    return ItemResult(index, result={"blob": lease.items[index - lease.chunk.first].blob_id, "token": lease.token})


async def make(store: JobStore, new: NewJob) -> Job:
    created: Created = await store.create(new)
    assert created.is_new
    return created.job


async def claimed(store: JobStore, worker_id: str = "w") -> Lease:
    lease = await store.claim(worker_id)
    assert lease is not None
    return lease


async def work_off(store: JobStore) -> int:
    """Answers whatever can be claimed; how many chunks that were."""
    chunks = 0
    while lease := await store.claim("w"):
        await store.complete(lease, answers(lease))
        chunks += 1
    return chunks
