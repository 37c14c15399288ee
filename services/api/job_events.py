"""A job's progress as server-sent events (HTML Standard, section 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import orjson

from services.api.job_results import Pace
from services.shared.errors import NotFound, Unavailable
from services.shared.jobs.base import JobStore
from services.shared.jobs.job import Job
from services.shared.jobs.job_document import job_document

MEDIA_TYPE = "text/event-stream"
_OPENING = b"retry: 1000\n\n"  # milliseconds until a browser connects anew
_HEARTBEAT = b": alive\n\n"


def event_of(job: Job) -> bytes:
    """`progress`, or `end` for a job that has ended. Every event is the whole state, so that a client that comes back
    misses nothing, whatever `Last-Event-ID` it sends."""
    name = b"end" if job.state.ended else b"progress"
    data = orjson.dumps(job_document(job))
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (job.done + job.failed, name, data)


class ProgressReader:
    """Reads a job's progress for one client after the other. `ending()` tells that this process is about to end."""

    def __init__(self, store: JobStore, pace: Pace, ending: Callable[[], bool]) -> None:
        self._store = store
        self._pace = pace
        self._ending = ending

    async def first(self, job_id: str, owner: str | None) -> Job:
        """To be read before an answer begins; raises NotFound or Unavailable."""
        return await self._store.get(job_id, owner=owner)

    async def events(self, job: Job, owner: str | None) -> AsyncIterator[bytes]:
        """An event on each change, until the job has ended. Stops without an `end` when the job is purged or this
        process ends: a client that comes back learns what there is to know."""
        loop, pace = asyncio.get_running_loop(), self._pace
        shown: Job | None = None
        said_at, wait_s = loop.time(), pace.poll_s
        yield _OPENING
        while True:
            if job != shown:
                yield event_of(job)
                shown, said_at, wait_s = job, loop.time(), pace.poll_s
            elif loop.time() - said_at >= pace.heartbeat_s:
                yield _HEARTBEAT
                said_at = loop.time()
            if job.state.ended or self._ending():
                return
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, pace.idle_poll_s)
            try:
                job = await self._store.get(job.job_id, owner=owner)
            except NotFound:
                return
            except Unavailable:
                continue  # the last state stays, and heartbeats go on
