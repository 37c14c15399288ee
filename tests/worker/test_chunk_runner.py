"""A chunk from its claim to its end: done, tried again, split, given back, lost; and a store that is away."""

from __future__ import annotations

import asyncio

import pytest

from services.shared.errors import InferenceFailed, Overloaded
from services.shared.jobs.base import ABANDONED, TOO_LATE
from services.shared.jobs.job import ItemError, ItemResult, JobState
from services.worker import chunk_runner, lease_hold
from services.worker.failure import DRAINED, DeadlinePassed
from tests.support.jobs import make, new_job
from tests.support.polling import until
from tests.support.worker_bench import RunnerBench


@pytest.fixture
async def bench() -> RunnerBench:
    return RunnerBench()


async def test_a_job_is_worked_off_and_every_item_has_its_answer(bench: RunnerBench) -> None:
    job = await make(bench.store, new_job(items=5, chunk=2))
    assert await bench.work_off() == 3
    job = await bench.store.get(job.job_id, owner=None)
    assert (job.state, job.done, job.failed) == (JobState.SUCCEEDED, 5, 0)
    page = await bench.store.results(job.job_id, owner=None)
    assert [result.index for result in page.results] == [0, 1, 2, 3, 4]
    assert bench.counters.chunks == {"completed": 3}
    assert bench.counters.items == {"done": 5, "failed": 0}
    assert (bench.counters.running, bench.counters.seconds.count) == (0, 3)


async def test_every_chunk_leaves_a_line(bench: RunnerBench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger=chunk_runner.__name__)
    job = await make(bench.store, new_job(items=3, chunk=2))
    await bench.work_off()
    done = [vars(record) for record in caplog.records if record.message == "a chunk is done"]
    assert [(line["job_id"], line["first"], line["items"]) for line in done] == [(job.job_id, 0, 2), (job.job_id, 2, 1)]
    assert all((line["asked"], line["attempt"], line["failed"]) == ("digits", 1, 0) for line in done)
    assert all(0 <= line["work_ms"] <= line["ms"] for line in done)


def test_a_line_says_how_many_each_version_answered_as_which_arm() -> None:
    def served(version: int, arm: str) -> dict[str, object]:
        return {"served_by": {"model": "digits", "version": version, "arm": arm}}

    results = [
        ItemResult(0, result=served(1, "stable")),
        ItemResult(1, result=served(2, "candidate")),
        ItemResult(2, result=served(1, "stable")),
        ItemResult(3, error=ItemError("not_found", "gone")),
    ]
    said = chunk_runner.said_of(results)
    assert said == {"failed": 1, "served_by": {"digits/1 stable": 2, "digits/2 candidate": 1}}


async def test_what_passes_by_itself_is_tried_again_after_a_while(bench: RunnerBench) -> None:
    job = await make(bench.store, new_job(items=2, chunk=2))
    bench.work.failures += [Overloaded("full", retry_after_s=7.0)] * 2
    assert await bench.step()
    bench.clock.advance(6.9)
    assert not await bench.step()
    bench.clock.advance(0.2)
    assert await bench.work_off() == 2
    assert (await bench.store.get(job.job_id, owner=None)).state is JobState.SUCCEEDED
    assert [lease.attempt for lease in bench.work.begun] == [1, 2, 3]
    assert bench.counters.chunks == {"retry": 2, "completed": 1}


@pytest.mark.parametrize("error", [InferenceFailed("the runtime broke"), ZeroDivisionError("a defect")])
async def test_the_item_that_breaks_its_chunk_is_found_and_the_others_are_answered(
    bench: RunnerBench, error: Exception
) -> None:
    new = new_job(items=6, chunk=3)
    job = await make(bench.store, new)
    bench.work.poison[new.items[4].blob_id] = error
    await bench.work_off(at_most=20)
    job = await bench.store.get(job.job_id, owner=None)
    assert (job.state, job.done, job.failed) == (JobState.SUCCEEDED, 5, 1)
    results = (await bench.store.results(job.job_id, owner=None)).results
    assert [result.error.cause if result.error else "" for result in results] == ["", "", "", "", ABANDONED, ""]
    [letter] = await bench.store.dead()
    assert letter.index == 4
    assert str(error) in letter.reason
    assert bench.counters.chunks["split"] == bench.counters.chunks["buried"] == 1


async def test_a_passed_deadline_is_no_items_fault(bench: RunnerBench) -> None:
    job = await make(bench.store, new_job(items=2, chunk=2, deadline_at=bench.clock.now() + 10))
    bench.work.failures.append(DeadlinePassed())
    assert await bench.step()
    bench.clock.advance(11)
    assert not await bench.step()
    job = await bench.store.get(job.job_id, owner=None)
    assert (job.state, job.reason) == (JobState.EXPIRED, TOO_LATE)


async def test_a_cancelled_job_stops_the_work_on_it(bench: RunnerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_hold, "RENEW_S", 0.01)
    bench.work.gate = asyncio.Event()
    job = await make(bench.store, new_job(items=2, chunk=2))
    step = asyncio.create_task(bench.step())
    await until(lambda: "renew" in bench.store.calls)
    assert bench.counters.running == 1
    await bench.store.cancel(job.job_id, owner=None)
    await step
    assert bench.work.cancelled == 1
    assert bench.counters.chunks == {"lost": 1}
    assert (await bench.store.get(job.job_id, owner=None)).done == 0


async def test_a_lease_that_cannot_be_renewed_in_time_is_given_up(
    bench: RunnerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_hold, "RENEW_S", 0.01)
    monkeypatch.setattr(lease_hold, "LEASE_S", 0.05)
    bench.work.gate = asyncio.Event()
    job = await make(bench.store, new_job(items=2, chunk=2))
    step = asyncio.create_task(bench.step())
    await until(lambda: "renew" in bench.store.calls)
    bench.store.away = True
    await step
    assert bench.work.cancelled == 1
    assert bench.counters.chunks == {"lost": 1}
    bench.store.away, bench.work.gate = False, None
    monkeypatch.undo()
    bench.clock.advance(6.1)
    await bench.store.reap()
    await bench.work_off()
    assert (await bench.store.get(job.job_id, owner=None)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("failure", [None, Overloaded("full")])
async def test_a_store_that_is_away_for_a_moment_hears_of_it_afterwards(
    bench: RunnerBench, failure: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_runner, "_AWAY_FIRST_S", 0.001)
    job = await make(bench.store, new_job(items=2, chunk=2))
    bench.work.gate = asyncio.Event()
    if failure is not None:
        bench.work.failures.append(failure)
    step = asyncio.create_task(bench.step())
    await until(lambda: bool(bench.work.begun))
    bench.store.away = True
    bench.work.gate.set()
    word = "complete" if failure is None else "release"
    await until(lambda: bench.store.calls.count(word) > 2)
    bench.store.away = False
    await step
    await bench.work_off()
    job = await bench.store.get(job.job_id, owner=None)
    assert (job.state, job.done) == (JobState.SUCCEEDED, 2)
    assert len(bench.work.begun) == (1 if failure is None else 2)


async def test_a_stopped_runner_finishes_what_is_in_work_and_claims_nothing_more(bench: RunnerBench) -> None:
    bench.work.gate = asyncio.Event()
    job = await make(bench.store, new_job(items=4, chunk=2))
    running = asyncio.create_task(bench.runner.run())
    await until(lambda: bool(bench.work.begun))
    bench.runner.stop()
    bench.work.gate.set()
    await running
    assert (await bench.store.get(job.job_id, owner=None)).done == 2
    assert bench.store.calls.count("claim") == 1


async def test_what_is_given_up_can_be_claimed_at_once_and_nobody_is_blamed(bench: RunnerBench) -> None:
    bench.work.gate = asyncio.Event()
    await make(bench.store, new_job(items=2, chunk=2))
    running = asyncio.create_task(bench.runner.run())
    await until(lambda: bool(bench.work.begun))
    bench.runner.give_up()
    await running
    assert bench.work.cancelled == 1
    lease = await bench.store.claim("another")
    assert lease is not None
    for _ in range(3):  # a chunk of two is split at the third strike, and this was none
        settled = await bench.store.release(lease, retry_in_s=0, reason=DRAINED, strike=True)
        lease = await bench.store.claim("another")
        assert lease is not None
    assert settled.outcome == "split"


async def test_a_store_that_is_away_does_not_hold_up_the_end(bench: RunnerBench) -> None:
    bench.work.gate = asyncio.Event()
    await make(bench.store, new_job(items=2, chunk=2))
    running = asyncio.create_task(bench.runner.run())
    await until(lambda: bool(bench.work.begun))
    bench.store.away = True
    bench.runner.give_up()
    await running
    assert bench.store.calls[-1] == "release"


async def test_an_idle_runner_is_woken(bench: RunnerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_runner, "POLL_S", 3600.0)
    running = asyncio.create_task(bench.runner.run())
    await until(lambda: bench.store.calls == ["claim"])
    job = await make(bench.store, new_job(items=2, chunk=1))
    bench.bell.ring()
    await until(lambda: bench.counters.chunks["completed"] == 2)
    assert (await bench.store.get(job.job_id, owner=None)).state is JobState.SUCCEEDED
    bench.runner.stop()
    await running


async def test_a_runner_asks_by_itself_when_nobody_wakes_it(
    bench: RunnerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_runner, "POLL_S", 0.001)
    running = asyncio.create_task(bench.runner.run())
    await until(lambda: len(bench.store.calls) > 2)
    await make(bench.store, new_job(items=1, chunk=1))
    await until(lambda: bench.counters.chunks["completed"] == 1)
    bench.runner.stop()
    await running


async def test_a_store_that_is_away_is_asked_again_and_said_so_once(
    bench: RunnerBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(chunk_runner, "_AWAY_FIRST_S", 0.001)
    monkeypatch.setattr(chunk_runner, "_AWAY_LONGEST_S", 0.004)
    bench.store.away = True
    await make(bench.store, new_job(items=1, chunk=1))
    running = asyncio.create_task(bench.runner.run())
    await until(lambda: len(bench.store.calls) > 8)
    bench.store.away = False
    await until(lambda: bench.counters.chunks["completed"] == 1)
    bench.runner.stop()
    await running
    assert [record.message for record in caplog.records if "asked for" in record.message].count(
        "no work can be asked for"
    ) == 1


async def test_a_defect_on_the_way_to_the_store_does_not_end_the_runner(
    bench: RunnerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await make(bench.store, new_job(items=2, chunk=1))

    async def broken(*_: object) -> None:
        monkeypatch.undo()
        raise RuntimeError("a defect")

    monkeypatch.setattr(bench.store, "complete", broken)
    running = asyncio.create_task(bench.runner.run())
    await until(lambda: bench.counters.chunks["completed"] == 1)
    bench.clock.advance(6.1)
    await bench.store.reap()
    await until(lambda: bench.counters.chunks["completed"] == 2)
    assert (await bench.store.get(job.job_id, owner=None)).state is JobState.SUCCEEDED
    bench.runner.stop()
    await running
