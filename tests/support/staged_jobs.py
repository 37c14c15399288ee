"""Jobs as the API leaves them in the two stores: bytes and a manifest first, then the job."""

from __future__ import annotations

from dataclasses import replace

from services.shared.blobs.base import BlobStore
from services.shared.clock import Clock
from services.shared.jobs.base import JobStore
from services.shared.jobs.job import Item, NewJob
from services.shared.jobs.manifest import manifest_of


async def staged(blobs: BlobStore, new: NewJob, clock: Clock) -> NewJob:
    """The job with blobs of its own and its manifest in the store, and not accepted yet."""
    items = [Item(await blobs.put(new.job_id, item.name.encode()), item.name) for item in new.items]
    kept = replace(new, items=tuple(items))
    await blobs.put_manifest(kept.job_id, manifest_of(kept, clock.now()))
    await blobs.settle(kept.job_id)
    return kept


async def accepted(blobs: BlobStore, store: JobStore, new: NewJob, clock: Clock) -> NewJob:
    kept = await staged(blobs, new, clock)
    await store.create(kept)
    return kept


async def is_staged(blobs: BlobStore, job_id: str) -> bool:
    """Whether anything is left of a job."""
    return job_id in {job.job_id for job in await blobs.jobs()}
