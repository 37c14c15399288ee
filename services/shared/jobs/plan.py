"""A job's items as chunks, its results as pages, and how it ends: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.shared.errors import InvalidInput
from services.shared.jobs import bounds
from services.shared.jobs.job import Chunk, Item, ItemResult, Job, JobState, ResultPage

MAX_CHUNK = 1024  # a claim moves that many items inside the store's server, which does nothing else meanwhile
MAX_ITEMS = bounds.MAX_ITEMS


def chunks_of(total: int, size: int) -> tuple[Chunk, ...]:
    """Chunks of `size` items in order, the last one shorter; raises InvalidInput for a job that is empty or too long.

    `size` is cut to 1 … MAX_CHUNK.
    """
    if not 1 <= total <= MAX_ITEMS:
        raise InvalidInput(f"a job of {total} images: send 1 to {MAX_ITEMS:,}", field="image")
    step = max(1, min(size, MAX_CHUNK))
    return tuple(Chunk(first, min(step, total - first)) for first in range(0, total, step))


def singles_of(chunk: Chunk) -> tuple[Chunk, ...]:
    """A chunk's items, each as a chunk."""
    return tuple(Chunk(index, 1) for index in chunk.indices)


def blob_ids_of(items: Iterable[Item]) -> tuple[str, ...]:
    """The blobs of those items that have one."""
    return tuple(item.blob_id for item in items if item.blob_id)


def final_state(total: int, done: int, failed: int) -> JobState | None:
    """How a job ends when its last item has a result, None while one is missing.

    One bad image fails that item and not the job; a job without a single answer has failed.
    """
    if done + failed < total:
        return None
    return JobState.SUCCEEDED if done else JobState.FAILED


def cannot_reopen(job: Job, now: float) -> str | None:
    """Why a dead letter of a job cannot be tried again; None when it can."""
    if job.state in (JobState.CANCELLED, JobState.EXPIRED):
        return f"job {job.job_id} is {job.state}"
    if job.request.deadline_at is not None and job.request.deadline_at <= now:
        return f"the deadline of job {job.job_id} has passed"
    return None


def page_of(state: JobState, start: int, total: int, found: Sequence[ItemResult | None]) -> ResultPage:
    """The page of `found`, which holds what there is for the indices from `start` on.

    active: 0 1 - 3 (of 5)  ->  0 1, go on at 2      an answer in input order cannot step over a missing one
    ended:  0 1 - 3 (of 5)  ->  0 1 3, go on at 4    what is missing will never come
    """
    results = [result for result in found if result is not None]
    end = start + len(found)
    if not state.ended:
        gap = next((i for i, result in enumerate(found) if result is None), len(found))
        results, end = results[:gap], start + gap
    return ResultPage(tuple(results), end, end >= total)
