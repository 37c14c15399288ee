"""Chunks, pages and ends: tables."""

import pytest

from services.shared.errors import InvalidInput
from services.shared.jobs.job import Chunk, ItemResult, Job, JobRequest, JobState
from services.shared.jobs.plan import MAX_CHUNK, cannot_reopen, chunks_of, final_state, page_of, singles_of


@pytest.mark.parametrize(
    ("total", "size", "expected"),
    [
        (1, 8, [(0, 1)]),
        (8, 8, [(0, 8)]),
        (9, 8, [(0, 8), (8, 1)]),
        (5, 2, [(0, 2), (2, 2), (4, 1)]),
        (3, 0, [(0, 1), (1, 1), (2, 1)]),
        (MAX_CHUNK + 1, 10**6, [(0, MAX_CHUNK), (MAX_CHUNK, 1)]),
    ],
)
def test_chunks_cover_every_item_once(total: int, size: int, expected: list[tuple[int, int]]) -> None:
    chunks = chunks_of(total, size)
    assert [(chunk.first, chunk.size) for chunk in chunks] == expected
    assert [index for chunk in chunks for index in chunk.indices] == list(range(total))


@pytest.mark.parametrize("total", [-1, 0, 20_001])
def test_a_job_has_at_least_one_item_and_a_bound(total: int) -> None:
    with pytest.raises(InvalidInput):
        chunks_of(total, 8)


def test_a_chunk_splits_into_its_items() -> None:
    assert singles_of(Chunk(4, 3)) == (Chunk(4, 1), Chunk(5, 1), Chunk(6, 1))


@pytest.mark.parametrize(
    ("total", "done", "failed", "expected"),
    [
        (3, 2, 0, None),
        (3, 0, 2, None),
        (3, 3, 0, JobState.SUCCEEDED),
        (3, 1, 2, JobState.SUCCEEDED),
        (3, 0, 3, JobState.FAILED),
    ],
)
def test_how_a_job_ends(total: int, done: int, failed: int, expected: JobState | None) -> None:
    assert final_state(total, done, failed) is expected


@pytest.mark.parametrize(
    ("state", "start", "present", "expected", "next_index", "is_last"),
    [
        (JobState.RUNNING, 0, "xx-x", [0, 1], 2, False),
        (JobState.RUNNING, 2, "-x-", [], 2, False),
        (JobState.RUNNING, 3, "xx", [3, 4], 5, True),
        (JobState.CANCELLED, 0, "xx-x", [0, 1, 3], 4, False),
        (JobState.CANCELLED, 0, "-----", [], 5, True),
        (JobState.SUCCEEDED, 3, "xx", [3, 4], 5, True),
        (JobState.RUNNING, 9, "", [], 9, True),
    ],
)
def test_pages_of_a_job_of_five(
    state: JobState, start: int, present: str, expected: list[int], next_index: int, is_last: bool
) -> None:
    found = [ItemResult(start + i, result={}) if mark == "x" else None for i, mark in enumerate(present)]
    page = page_of(state, start, 5, found)
    assert [result.index for result in page.results] == expected
    assert (page.next_index, page.is_last) == (next_index, is_last)


@pytest.mark.parametrize(
    ("state", "deadline_at", "expected"),
    [
        (JobState.RUNNING, None, None),
        (JobState.SUCCEEDED, 101.0, None),
        (JobState.FAILED, None, None),
        (JobState.CANCELLED, None, "job j is cancelled"),
        (JobState.EXPIRED, None, "job j is expired"),
        (JobState.FAILED, 100.0, "the deadline of job j has passed"),
    ],
)
def test_which_jobs_can_go_on(state: JobState, deadline_at: float | None, expected: str | None) -> None:
    job = Job("j", "o", JobRequest("m", deadline_at=deadline_at), state, 1, 0, 1, created_at=0.0)
    assert cannot_reopen(job, now=100.0) == expected


def test_a_result_is_an_answer_or_an_error() -> None:
    with pytest.raises(ValueError, match="either"):
        ItemResult(0)
