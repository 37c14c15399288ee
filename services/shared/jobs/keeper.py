"""Keeps the promises of a job store that need somebody to act: any number of keepers at once, one in every worker.

It takes back what dead workers held, deletes what has expired, and makes jobs again that the store has lost. Every step
may be done twice, or be cut off anywhere: the next one, here or elsewhere, finds what is left to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from services.shared.blobs.base import BlobStore, StagedJob
from services.shared.clock import Clock
from services.shared.errors import Conflict, NotFound, Overloaded, ServingError, Unavailable
from services.shared.jobs.base import RESULTS_S, JobStore
from services.shared.jobs.job import NewJob
from services.shared.jobs.lost_job import Staged, fate_of_staged
from services.shared.jobs.manifest import new_job_from
from services.shared.jobs.plan import chunks_of
from services.shared.jobs.queue import JobQueue
from services.shared.priority import Priority

_log = logging.getLogger(__name__)

TICK_S = 1.0
SWEEP_S = 10.0
RECOVER_S = 30.0
_SWEPT_AT_ONCE = 100


class JobKeeper:
    """`results_s` is how long the store keeps an ended job, as the store was told."""

    def __init__(
        self, store: JobStore, blobs: BlobStore, queue: JobQueue, clock: Clock, *, results_s: float = RESULTS_S
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._queue = queue
        self._clock = clock
        self._results_s = results_s

    async def run(self, *, every_s: float = TICK_S) -> None:
        """Keeps until it is cancelled; a store that is away is logged once, and asked again.

        Deleting and listing beside the reaping: a slow blob store must not keep a dead worker's chunks waiting.
        """
        async with asyncio.TaskGroup() as duties:
            duties.create_task(_again_and_again(self.tick, every_s))
            duties.create_task(_again_and_again(self.tidy, every_s))

    async def tick(self) -> None:
        """Takes lapsed leases back and ends late jobs, and wakes workers where that left work. Raises Unavailable."""
        reaped = await self._store.reap()
        if reaped.lapsed or reaped.due:
            await self._queue.wake(Priority.NORMAL, reaped.lapsed + reaped.due)

    async def tidy(self) -> None:
        """Deletes what has expired and makes lost jobs again, each where it is this process's turn. Raises Unavailable
        when one of the stores is away."""
        if await self._store.turn("sweep", SWEEP_S):
            await self.sweep()
        if await self._store.turn("recover", RECOVER_S):
            await self.recover()

    async def sweep(self) -> None:
        """Deletes expired jobs with their blobs. Raises Unavailable, after having tried all of a page."""
        while swept := await self._store.sweep(limit=_SWEPT_AT_ONCE):
            away: Unavailable | None = None
            for job in swept:
                try:
                    await self._blobs.purge(job.job_id)
                    await self._store.forget(job.job_id)
                except Unavailable as error:
                    away = error
            if away is not None:
                raise away

    async def recover(self) -> None:
        """Makes jobs again whose manifest is there and that the store does not know, and purges what killed uploads
        have left. Raises Unavailable."""
        staged = {job.job_id: job for job in await self._blobs.jobs()}
        # Asked before the manifests are read: a job that was deleted before this has none any more.
        for job_id in await self._store.unknown(tuple(staged)):
            try:
                await self._look_after(staged[job_id])
            except Overloaded:
                _log.info("a lost job waits until the queue has room", extra={"job_id": job_id})
            except Unavailable:
                raise
            except ServingError as error:
                _log.error("a job cannot be made again", extra={"job_id": job_id, "reason": error.detail})

    async def _look_after(self, staged: StagedJob) -> None:
        now, job_id = self._clock.now(), staged.job_id
        manifest = await self._blobs.manifest(job_id)
        new, accepted_at = (None, None) if manifest is None else _read(manifest, staged)
        accepted_s = None if accepted_at is None else now - accepted_at
        match fate_of_staged(accepted_s, now - staged.changed_at, self._results_s):
            case Staged.PURGE:
                await self._blobs.purge(job_id)
                _log.info("images that belong to no job are deleted", extra={"job_id": job_id})
            case Staged.CREATE if new is not None:
                await self._create(new)

    async def _create(self, new: NewJob) -> None:
        try:
            created = await self._store.create(new)
        except Conflict:
            # The key was used for another request since: this job was accepted all the same.
            created = await self._store.create(replace(new, idempotency=None))
        if created.job.job_id != new.job_id:
            await self._blobs.purge(new.job_id)  # its caller sent it once more, and has that job
        elif await self._blobs.manifest(new.job_id) is None:
            try:  # purged between our two looks at it
                await self._store.purge(new.job_id, owner=None)
            except NotFound:
                return
        else:
            _log.warning("a job that the job store had lost is made again", extra={"job_id": new.job_id})
            await self._queue.wake(new.request.priority, len(chunks_of(len(new.items), new.chunk_size)))


def _read(manifest: bytes, staged: StagedJob) -> tuple[NewJob | None, float]:
    """One that cannot be read, perhaps by this version only, is as old as what was written last."""
    try:
        new, accepted_at = new_job_from(manifest)
    except Unavailable as error:
        _log.error("a job cannot be made again", extra={"job_id": staged.job_id, "reason": error.detail})
        return None, staged.changed_at
    return (new, accepted_at) if new.job_id == staged.job_id else (None, staged.changed_at)


async def _again_and_again(duty: Callable[[], Awaitable[None]], every_s: float) -> None:
    is_away = False
    while True:
        try:
            await duty()
            if is_away:
                _log.info("the job store or the store of images is back")
            is_away = False
        except Unavailable as error:
            if not is_away:
                _log.warning("jobs cannot be looked after", extra={"reason": error.detail})
            is_away = True
        except Exception:
            _log.exception("looking after jobs raised what the stores do not promise")
        await asyncio.sleep(every_s)
