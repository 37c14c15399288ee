"""Brief runs take place in the event loop, under the contract of all others; callers need not await them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from services.shared.backends.fake import FakeScript
from services.shared.clock import ManualClock
from services.shared.engine.base import InferResult
from services.shared.engine.waiting_queue import QueuedRequest
from services.shared.errors import InferenceFailed, NotReady, Overloaded, ServingError
from services.shared.telemetry.base import FailureReason
from services.shared.tensors import Tensors
from tests.support.batcher_bench import BatcherBench, right
from tests.support.polling import until

Bench = Callable[..., BatcherBench]
POISON = 666.0


@dataclass(slots=True)
class Listener:
    """A waiter that is no future; `gone` once its caller left."""

    heard: list[InferResult | ServingError] = field(default_factory=list)
    gone: bool = False

    def done(self) -> bool:
        return self.gone or bool(self.heard)

    def set_result(self, result: InferResult) -> None:
        assert not self.done()
        self.heard.append(result)

    def set_exception(self, error: ServingError) -> None:
        assert not self.done()
        self.heard.append(error)


def begin(made: BatcherBench, number: float, count: int = 1) -> tuple[Listener, QueuedRequest]:
    """`count` requests that came together, now."""
    waiter, now_s = Listener(), made.batcher._clock.monotonic()
    inputs = {"x": np.full((count, 2), number, np.float32)}
    return waiter, made.batcher.begin(inputs, count, waiter, [now_s] * count)


def poisoned(threads: set[int]) -> FakeScript:
    """A model that notes in which threads it runs, and raises for a batch with POISON in it."""

    def compute(inputs: Tensors, version: int) -> Tensors:
        threads.add(threading.get_ident())
        if (inputs["x"] == POISON).any():
            raise InferenceFailed("choked")
        return {"y": inputs["x"] * version}

    return FakeScript(compute=compute)


@pytest.mark.parametrize("batching", ["", None])
async def test_brief_runs_take_place_in_the_loops_own_thread(bench: Bench, batching: str | None) -> None:
    threads: set[int] = set()
    made = bench(batching, script=poisoned(threads), inline=True)
    assert made.batcher.brief_size == (8 if batching == "" else 1)
    results = await asyncio.gather(*(made.ask(i) for i in range(5)))
    assert all(right(result, i) for i, result in enumerate(results))
    assert threads == {threading.get_ident()}
    assert made.model.batches == ([5] if batching == "" else [1] * 5)


async def test_a_model_that_turns_out_slow_goes_to_a_thread(bench: Bench) -> None:
    threads: set[int] = set()
    made = bench(script=poisoned(threads), inline=True)
    made.batcher._cost.observe(1, 1, 10.0)
    assert made.batcher.brief_size == 0
    assert right(await made.ask(1), 1)
    assert threading.get_ident() not in threads


async def test_a_poisoned_request_of_a_brief_run_fails_alone(bench: Bench) -> None:
    made = bench(script=poisoned(set()), inline=True)
    one, poison, three = await asyncio.gather(*(made.ask(n) for n in (1, POISON, 3)), return_exceptions=True)
    assert isinstance(poison, InferenceFailed)
    assert isinstance(one, InferResult)
    assert isinstance(three, InferResult)
    assert right(one, 1)
    assert right(three, 3)
    assert made.model.batches == [3, 1, 1, 1]
    assert right(await made.ask(4), 4)  # the slot is free again


@pytest.mark.parametrize(("batching", "size"), [("", 8), (None, 1), ("preserve_ordering: true", 0)])
async def test_an_answer_that_may_wait_for_another_is_not_brief(bench: Bench, batching: str | None, size: int) -> None:
    assert bench(batching, inline=True, sizes=[1, 2, 4, 8]).batcher.brief_size == size
    assert bench(batching).batcher.brief_size == 0


@pytest.mark.parametrize(("of_eight_s", "size"), [(0.001, 8), (0.004, 4), (0.016, 1), (0.1, 0)])
async def test_as_many_are_brief_together_as_are_over_in_a_turn(bench: Bench, of_eight_s: float, size: int) -> None:
    made = bench(inline=True, sizes=[1, 2, 4, 8])
    for count in (1, 2, 4, 8):
        for _ in range(100):
            made.batcher._cost.observe(count, count, of_eight_s * count / 8)
    assert made.batcher.brief_size == size


async def test_requests_that_came_as_one_batch_count_one_by_one(bench: Bench) -> None:
    made = bench(inline=True)
    waiter, _ = begin(made, 2, count=3)
    (result,) = waiter.heard
    assert isinstance(result, InferResult)
    assert result.outputs["y"].shape == (3, 2)
    statistics, metrics = made.recorder.statistics(), made.recorder.metrics(0)
    assert (statistics.success.count, statistics.inference_count, statistics.execution_count) == (3, 3, 1)
    assert {snapshot.count for snapshot in metrics.durations.values()} == {3}


async def test_of_a_batch_that_fails_nothing_is_counted_because_it_goes_another_way(bench: Bench) -> None:
    made = bench(script=poisoned(set()), inline=True)
    waiter, _ = begin(made, POISON, count=3)
    assert [type(each) for each in waiter.heard] == [InferenceFailed]
    assert sum(made.recorder.metrics(0).failures.values()) == 0


async def test_without_joining_the_outcome_is_heard_before_begin_returns(bench: Bench) -> None:
    made = bench(None, script=poisoned(set()), inline=True)
    (answered, _), (failed, _) = begin(made, 2), begin(made, POISON)
    (result,), (error,) = answered.heard, failed.heard
    assert isinstance(result, InferResult)
    assert right(result, 2)
    assert isinstance(error, InferenceFailed)
    assert made.recorder.statistics().success.count == 1


async def test_what_waits_already_is_run_together_with_what_comes_and_each_hears_once(bench: Bench) -> None:
    made = bench(inline=True)
    first = made.ask(1)
    await asyncio.sleep(0)  # it waits for the turn's end
    assert made.batcher.pending == 1
    waiters = [begin(made, i)[0] for i in range(3)]
    assert not any(waiter.heard for waiter in waiters)
    assert right(await first, 1)
    assert made.model.batches == [4]
    assert all(len(w.heard) == 1 and isinstance(w.heard[0], InferResult) for w in waiters)


@pytest.mark.parametrize("is_running", [False, True])
async def test_a_request_that_was_withdrawn_hears_nothing(bench: Bench, is_running: bool) -> None:
    made = bench(sizes=[1])
    made.script.gate = threading.Event()
    busy = made.ask(100)
    await until(lambda: made.model.batches == [1])
    if is_running:
        made.open()
        await busy
        made.script.gate = threading.Event()
    waiter, request = begin(made, 1)
    if is_running:
        await until(lambda: made.model.batches == [1, 1])
    waiter.gone = True
    made.batcher.withdraw(request)
    made.open()
    await busy
    assert await made.batcher.close(5.0)
    assert waiter.heard == []
    assert made.batcher.pending == 0
    assert made.model.batches == ([1, 1] if is_running else [1])
    assert made.recorder.metrics(0).failures[FailureReason.CANCELED] == 1
    assert made.recorder.statistics().success.count == 1


async def test_who_begins_is_refused_as_everyone_is(bench: Bench) -> None:
    made = bench("default_queue_policy { max_queue_size: 1 }", inline=True)
    made.batcher._free = 0
    first, _ = begin(made, 1)
    with pytest.raises(Overloaded):
        begin(made, 2)
    made.batcher._free = 1
    assert await made.batcher.close(5.0)  # what was accepted is finished
    assert len(first.heard) == 1
    with pytest.raises(NotReady):
        begin(made, 3)


@pytest.mark.parametrize(("away_s", "runs"), [(0.0, 3), (0.010, 10), (0.0155, 16), (3600.0, 50)])
async def test_what_waits_runs_for_as_long_as_the_loop_was_away_with_other_things(
    bench: Bench, away_s: float, runs: int
) -> None:
    clock = ManualClock()

    def compute(inputs: Tensors, version: int) -> Tensors:
        clock.advance(0.001)
        return {"y": inputs["x"] * version}

    made = bench(script=FakeScript(compute=compute), inline=True, max_batch_size=2)
    made.batcher._clock = clock
    made.batcher._dispatched_s = clock.monotonic()
    made.batcher._free = 0
    waiters = [begin(made, i)[0] for i in range(150)]
    made.batcher._free = 1
    made.batcher._plan_dispatch()
    clock.advance(away_s)
    await asyncio.sleep(0)
    assert len(made.model.batches) == runs
    await until(lambda: all(waiter.heard for waiter in waiters))
    assert made.model.batches == [2] * 75


async def test_more_may_be_brief_together_than_pays_by_the_runs_times(bench: Bench) -> None:
    made = bench(inline=True, sizes=[1, 2])
    assert (made.batcher._rules.max_size, made.batcher.brief_size) == (2, 8)
    waiter, _ = begin(made, 2, count=7)
    (result,) = waiter.heard
    assert isinstance(result, InferResult)
    assert made.model.batches == [7]
