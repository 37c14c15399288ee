"""Results as lines: which pages are asked for, and when the lines end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest

from services.api.job_results import PAGE_BYTES, Pace, ResultReader, Wanted, line_of, page_items
from services.shared.clock import ManualClock
from services.shared.errors import NotFound, Unavailable
from services.shared.jobs.job import ItemError, ItemResult, ResultPage
from services.shared.jobs.memory import MemoryJobStore
from tests.support.api_jobs import MemoryJobs
from tests.support.jobs import make, new_job

PACE = Pace(poll_s=0.001, idle_poll_s=0.002, patience_s=30.0)


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (
            ItemResult(3, result={"predictions": [1]}, name="a.png"),
            {"index": 3, "name": "a.png", "result": {"predictions": [1]}},
        ),
        (
            ItemResult(0, error=ItemError("undecodable_image", "no image")),
            {"index": 0, "name": "", "error": {"cause": "undecodable_image", "detail": "no image"}},
        ),
    ],
)
def test_a_line_is_one_item(result: ItemResult, line: dict[str, object]) -> None:
    text = line_of(result)
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    assert orjson.loads(text) == line


@pytest.mark.parametrize(
    ("lines", "size_bytes", "next_page"),
    [(0, 0, 50), (50, 5_000, 500), (50, PAGE_BYTES, 50), (50, 50 * PAGE_BYTES, 1), (50, 500 * PAGE_BYTES, 1)],
)
def test_a_page_has_about_as_many_bytes_whatever_a_result_takes(lines: int, size_bytes: int, next_page: int) -> None:
    assert page_items(lines, size_bytes) == next_page


@pytest.fixture
def jobs(tmp_path: Path) -> MemoryJobs:
    return MemoryJobs(tmp_path)


def reader_of(jobs: MemoryJobs) -> ResultReader:
    return ResultReader(jobs.store, PACE, jobs.is_ending)


async def indices(reader: ResultReader, wanted: Wanted) -> list[int]:
    lines = [line async for line in reader.lines(wanted, await reader.first(wanted))]
    return [orjson.loads(line)["index"] for piece in lines for line in piece.splitlines()]


async def test_what_is_there_is_given_over_several_pages(jobs: MemoryJobs) -> None:
    job = await make(jobs.store, new_job(items=120, chunk=60))
    await jobs.work()
    reader = reader_of(jobs)
    assert await indices(reader, Wanted(job.job_id, "ann")) == [*range(60)]
    await jobs.work()
    assert await indices(reader, Wanted(job.job_id, None)) == [*range(120)]
    assert await indices(reader, Wanted(job.job_id, "ann", start=100)) == [*range(100, 120)]
    assert await indices(reader, Wanted(job.job_id, "ann", start=10, limit=3)) == [10, 11, 12]
    assert await indices(reader, Wanted(job.job_id, "ann", start=0, limit=120)) == [*range(120)]
    assert await indices(reader, Wanted(job.job_id, "ann", start=120)) == []


async def test_following_ends_with_the_job(jobs: MemoryJobs) -> None:
    job = await make(jobs.store, new_job(items=6, chunk=2))
    following = asyncio.create_task(indices(reader_of(jobs), Wanted(job.job_id, "ann", follow=True)))
    for _ in range(3):
        await asyncio.sleep(0.005)
        assert not following.done()
        await jobs.work()
    assert await asyncio.wait_for(following, 10) == [*range(6)]


async def test_following_a_cancelled_job_gives_what_came_of_it(jobs: MemoryJobs) -> None:
    job = await make(jobs.store, new_job(items=6, chunk=2))
    await jobs.work()
    following = asyncio.create_task(indices(reader_of(jobs), Wanted(job.job_id, "ann", follow=True)))
    await jobs.store.cancel(job.job_id, owner="ann")
    assert await asyncio.wait_for(following, 10) == [0, 1]


async def test_following_ends_with_the_process_and_with_a_purge(jobs: MemoryJobs) -> None:
    job = await make(jobs.store, new_job(items=6, chunk=2))
    await jobs.work()
    following = asyncio.create_task(indices(reader_of(jobs), Wanted(job.job_id, "ann", follow=True)))
    await asyncio.sleep(0.005)
    jobs.ending = True
    assert await asyncio.wait_for(following, 10) == [0, 1]
    jobs.ending = False
    following = asyncio.create_task(indices(reader_of(jobs), Wanted(job.job_id, "ann", follow=True)))
    await asyncio.sleep(0.005)
    await jobs.store.purge(job.job_id, owner="ann")
    assert await asyncio.wait_for(following, 10) == [0, 1]


async def test_a_foreign_job_is_not_found_before_anything_is_sent(jobs: MemoryJobs) -> None:
    job = await make(jobs.store, new_job())
    with pytest.raises(NotFound):
        await reader_of(jobs).first(Wanted(job.job_id, "bob"))


class AwayInTheMiddle(MemoryJobStore):
    """Answers the first page, and then fails so many times."""

    def __init__(self, failures: int) -> None:
        super().__init__(ManualClock())
        self.failures = failures
        self.asked = 0

    async def results(self, job_id: str, *, owner: str | None, start: int = 0, limit: int = 100) -> ResultPage:
        self.asked += 1
        if 1 < self.asked <= 1 + self.failures:
            raise Unavailable("the job store is away")
        return await super().results(job_id, owner=owner, start=start, limit=limit)


async def ended(store: MemoryJobStore) -> str:
    job = await make(store, new_job(items=60, chunk=60))
    lease = await store.claim("w")
    assert lease is not None
    await store.complete(lease, [ItemResult(index, result={}) for index in lease.chunk.indices])
    return job.job_id


async def test_a_store_that_comes_back_cuts_no_answer() -> None:
    store = AwayInTheMiddle(failures=3)
    job_id = await ended(store)
    reader = ResultReader(store, PACE, lambda: False)
    assert await indices(reader, Wanted(job_id, "ann")) == [*range(60)]


async def test_an_answer_is_cut_rather_than_ended_when_the_store_stays_away() -> None:
    store = AwayInTheMiddle(failures=10**9)
    job_id = await ended(store)
    reader = ResultReader(store, Pace(poll_s=0.001, idle_poll_s=0.001, patience_s=0.01), lambda: False)
    with pytest.raises(Unavailable):
        await indices(reader, Wanted(job_id, "ann"))
