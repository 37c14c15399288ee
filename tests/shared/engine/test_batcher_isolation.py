"""One caller's failure, cancellation or deadline never touches another."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from services.shared.backends.fake import FakeScript
from services.shared.errors import DeadlineExceeded, InferenceFailed, InvalidInput, NotReady, Overloaded, ServingError
from services.shared.telemetry.base import FailureReason
from services.shared.tensors import Tensors
from tests.support.batcher_bench import BatcherBench, right
from tests.support.polling import until

Bench = Callable[..., BatcherBench]
POISON = 666.0


def poisoned(error: Exception) -> FakeScript:
    """A model that raises for every batch with POISON in it."""

    def compute(inputs: Tensors, version: int) -> Tensors:
        if (inputs["x"] == POISON).any():
            raise error
        return {"y": inputs["x"] * version}

    return FakeScript(compute=compute)


async def test_cancelled_request_does_not_starve_its_batch(bench: Bench) -> None:
    made = bench()
    first = await made.busy()
    tasks = [made.ask(i) for i in (1, 2, 3)]
    await made.queued(3)
    tasks[1].cancel()
    await made.queued(2)
    made.open()
    assert right(await tasks[0], 1)
    assert right(await tasks[2], 3)
    await first
    assert made.model.batches == [1, 2]  # the cancelled one cost nothing
    assert made.recorder.metrics(0).failures[FailureReason.CANCELED] == 1


async def test_request_cancelled_while_it_runs_leaves_the_others_their_answers(bench: Bench) -> None:
    made = bench()
    made.script.gate = threading.Event()
    tasks = [made.ask(i) for i in (1, 2, 3)]
    await until(lambda: made.model.batches == [3])
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    made.open()
    assert right(await tasks[1], 2)
    assert right(await tasks[2], 3)


async def test_deadline_is_heard_while_the_model_is_busy_and_costs_no_compute(bench: Bench) -> None:
    made = bench()
    first = await made.busy()
    late, patient = made.ask(1, timeout_s=0.01), made.ask(2)
    with pytest.raises(DeadlineExceeded, match="Request timeout expired"):
        await late
    assert not first.done()
    made.open()
    assert right(await patient, 2)
    await first
    assert made.model.batches == [1, 1]


async def test_deadline_is_heard_while_the_batch_runs(bench: Bench) -> None:
    made = bench()
    made.script.gate = threading.Event()
    late, patient = made.ask(1, timeout_s=0.5), made.ask(2)
    await until(lambda: made.model.batches == [2])
    with pytest.raises(DeadlineExceeded):
        await late
    assert not patient.done()
    made.open()
    assert right(await patient, 2)


async def test_deadline_that_passed_before_a_stalled_loop_looked_is_not_computed(bench: Bench) -> None:
    made = bench()
    first = await made.busy()
    late, patient = made.ask(1, timeout_s=0.02), made.ask(2)
    await made.queued(2)
    made.open()
    threading.Event().wait(0.05)  # the loop stalls: the run's end and the timer are both due when it goes on
    with pytest.raises(DeadlineExceeded):
        await late
    assert right(await patient, 2)
    await first
    assert made.model.batches == [1, 1]


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
async def test_deadline_in_the_past_is_refused_at_once(bench: Bench, timeout_s: float) -> None:
    made = bench()
    with pytest.raises(DeadlineExceeded):
        await made.ask(1, timeout_s=timeout_s)
    assert made.model.batches == []


async def test_queue_timeout_of_the_config_rejects(bench: Bench) -> None:
    made = bench("default_queue_policy { default_timeout_microseconds: 5000 }")
    first = await made.busy()
    with pytest.raises(DeadlineExceeded):
        await made.ask(1)
    made.open()
    assert right(await first, 100)


async def test_queue_timeout_of_the_config_is_no_deadline_for_a_request_that_runs(bench: Bench) -> None:
    made = bench("default_queue_policy { default_timeout_microseconds: 1000 }")
    first = await made.busy()
    with pytest.raises(DeadlineExceeded):
        await made.ask(1)  # its timer was set after that of `first`
    assert not first.done()
    made.open()
    assert right(await first, 100)


async def test_queue_timeout_can_delay_instead(bench: Bench) -> None:
    made = bench(
        "default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 200000 }",
        max_batch_size=1,
        sizes=[1],
    )
    first = await made.busy()
    overdue = made.ask(1)
    await made.queued(1)
    request = next(iter(made.batcher._waiting))
    await until(lambda: request.late)
    in_time = made.ask(2)
    await made.queued(2)
    made.open()
    await asyncio.gather(first, overdue, in_time)
    assert made.finished == [100.0, 2, 1]


async def test_full_queue_refuses_at_once_and_says_when_to_come_back(bench: Bench) -> None:
    made = bench("default_queue_policy { max_queue_size: 2 }")
    first = await made.busy()
    waiting = [made.ask(1, rows=4), made.ask(2)]  # requests count, not rows
    await made.queued(2)
    with pytest.raises(Overloaded, match="Exceeds maximum queue size") as caught:
        await made.ask(3)
    assert caught.value.retry_after_s is not None
    assert caught.value.retry_after_s > 0
    waiting[0].cancel()
    await made.queued(1)
    accepted = made.ask(4)
    await made.queued(2)
    made.open()
    assert right(await accepted, 4)
    assert right(await waiting[1], 2)
    await first


@pytest.mark.parametrize("error", [InferenceFailed("broke"), InvalidInput("broke")])
async def test_poisoned_request_fails_alone(bench: Bench, error: ServingError) -> None:
    made = bench(script=poisoned(error))
    tasks = [made.ask(number) for number in (1, POISON, 3)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[1] is error
    assert not isinstance(results[0], BaseException)
    assert not isinstance(results[2], BaseException)
    assert right(results[0], 1)
    assert right(results[2], 3)
    assert made.model.batches == [3, 1, 1, 1]


async def test_request_that_was_alone_is_not_run_again_when_it_fails(bench: Bench) -> None:
    made = bench(script=poisoned(InferenceFailed("broke")))
    with pytest.raises(InferenceFailed, match="broke"):
        await made.ask(POISON)
    assert made.model.batches == [1]
    assert right(await made.ask(1), 1)


async def test_exception_that_a_backend_does_not_promise_becomes_a_failure(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    made = bench(script=poisoned(ZeroDivisionError("a bug")))
    with caplog.at_level(logging.ERROR), pytest.raises(InferenceFailed, match="ZeroDivisionError: a bug"):
        await made.ask(POISON)
    assert "a backend does not promise" in caplog.text
    assert right(await made.ask(1), 1)  # the thread is free again


async def test_closing_finishes_what_was_accepted_without_waiting_for_company(bench: Bench) -> None:
    made = bench("max_queue_delay_microseconds: 20000000")
    task = made.ask(1)
    await made.queued(1)
    assert await made.batcher.close(20.0)
    assert right(await task, 1)
    with pytest.raises(NotReady):
        await made.ask(2)


async def test_closing_gives_up_what_does_not_finish_in_time(bench: Bench) -> None:
    made = bench()
    running = await made.busy()
    waiting = made.ask(1)
    await made.queued(1)
    closing = asyncio.create_task(made.batcher.close(0.01))
    for task in (running, waiting):
        with pytest.raises(NotReady, match="unloaded before the request ran"):
            await task
    made.open()
    assert await closing
    assert made.model.batches == [1]


async def test_run_that_never_ends_is_reported_by_close(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shared.engine.batcher.JOIN_S", 0.01)
    made = bench()
    running = await made.busy()
    assert not await made.batcher.close(0.01)
    with pytest.raises(NotReady):
        await running


async def test_every_end_of_a_request_is_counted(bench: Bench) -> None:
    made = bench("default_queue_policy { max_queue_size: 3 }", script=poisoned(InferenceFailed("broke")))
    first = await made.busy(POISON)
    tasks = [made.ask(1, rows=2), made.ask(2, timeout_s=0.005), made.ask(3)]
    await until(tasks[1].done)
    tasks[2].cancel()
    await made.queued(1)
    made.open()
    await asyncio.gather(first, *tasks, return_exceptions=True)
    metrics, statistics = made.recorder.metrics(0), made.recorder.statistics()
    assert metrics.failures == {"REJECTED": 1, "CANCELED": 1, "BACKEND": 1, "OTHER": 0}
    assert (metrics.successes, metrics.inference_count, metrics.execution_count) == (1, 2, 1)
    assert {stage: h.count for stage, h in metrics.durations.items()} == dict.fromkeys(metrics.durations, 1)
    assert (statistics.success.count, statistics.fail.count, statistics.queue.count) == (1, 3, 1)
    assert list(statistics.batch_executions) == [2]
    assert statistics.last_inference_ms > 0


async def test_request_cancelled_and_expired_in_one_turn_leaves_the_queue(bench: Bench) -> None:
    made = bench(batching=None)
    first = await made.busy()
    both, patient = made.ask(1, timeout_s=0.02), made.ask(2)
    await made.queued(2)
    made.open()
    threading.Event().wait(0.05)
    both.cancel()  # its future is cancelled now; its task has yet to wake up when the queue is looked at
    assert right(await patient, 2)
    await first
    assert made.model.batches == [1, 1]
