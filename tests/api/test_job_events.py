"""Progress as events."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest

from services.api.job_events import ProgressReader, event_of
from services.api.job_results import Pace
from services.shared.errors import NotFound, Unavailable
from services.shared.jobs.job import Job
from tests.support.api_jobs import MemoryJobs
from tests.support.jobs import make, new_job
from tests.support.polling import until

PACE = Pace(poll_s=0.001, idle_poll_s=0.002, heartbeat_s=0.02)


@pytest.fixture
def jobs(tmp_path: Path) -> MemoryJobs:
    return MemoryJobs(tmp_path)


class Watched:
    """A client's events so far."""

    def __init__(self, jobs: MemoryJobs, job: Job) -> None:
        self.pieces: list[bytes] = []
        self.reader = ProgressReader(jobs.store, PACE, jobs.is_ending)
        self.task = asyncio.create_task(self._read(job))

    async def _read(self, job: Job) -> None:
        async for piece in self.reader.events(job, job.owner):
            self.pieces.append(piece)

    @property
    def events(self) -> list[tuple[str, int]]:
        """Their names, and how many items were done."""
        found = [piece.split(b"\n") for piece in self.pieces if b"event: " in piece]
        return [(lines[1].decode()[7:], orjson.loads(lines[2][6:])["done"]) for lines in found]


async def test_an_event_has_a_name_an_id_and_the_job(jobs: MemoryJobs) -> None:
    job = await make(jobs.store, new_job(items=2))
    first, second, third, *rest = event_of(job).split(b"\n")
    assert (first, second, rest) == (b"id: 0", b"event: progress", [b"", b""])
    assert orjson.loads(third.removeprefix(b"data: "))["job_id"] == job.job_id


async def test_each_change_is_told_and_the_end_is_last(jobs: MemoryJobs) -> None:
    watched = Watched(jobs, await make(jobs.store, new_job(items=4, chunk=2)))
    await until(lambda: watched.events == [("progress", 0)])
    await jobs.work()
    await until(lambda: watched.events[-1] == ("progress", 2))
    await jobs.work()
    await asyncio.wait_for(watched.task, 10)
    assert watched.events[-1] == ("end", 4)
    assert watched.pieces[0] == b"retry: 1000\n\n"


async def test_an_ended_job_has_one_event(jobs: MemoryJobs) -> None:
    job = await make(jobs.store, new_job(items=1))
    await jobs.work(failed=(0,))
    watched = Watched(jobs, await jobs.store.get(job.job_id, owner=None))
    await asyncio.wait_for(watched.task, 10)
    assert watched.events == [("end", 0)]


async def test_silence_is_filled_with_comments(jobs: MemoryJobs) -> None:
    watched = Watched(jobs, await make(jobs.store, new_job()))
    await until(lambda: watched.pieces.count(b": alive\n\n") == 2)
    assert watched.events == [("progress", 0)], "nothing has changed"
    jobs.ending = True
    await asyncio.wait_for(watched.task, 10)
    assert watched.events == [("progress", 0)], "the job has not ended: the client comes back"


async def test_a_purged_job_ends_its_stream(jobs: MemoryJobs) -> None:
    job = await make(jobs.store, new_job())
    watched = Watched(jobs, job)
    await jobs.store.purge(job.job_id, owner=None)
    await asyncio.wait_for(watched.task, 10)
    with pytest.raises(NotFound):
        await watched.reader.first(job.job_id, None)


async def test_a_store_that_is_away_for_a_while_goes_unnoticed(
    jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await make(jobs.store, new_job(items=1))
    get, failures = jobs.store.get, iter(range(5))

    async def failing(job_id: str, *, owner: str | None) -> Job:
        if next(failures, None) is not None:
            raise Unavailable("the job store is away")
        return await get(job_id, owner=owner)

    monkeypatch.setattr(jobs.store, "get", failing)
    await jobs.work()
    watched = Watched(jobs, job)
    await asyncio.wait_for(watched.task, 10)
    assert watched.events == [("progress", 0), ("end", 1)]
    assert next(failures, None) is None
