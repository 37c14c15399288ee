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


def begin(made: BatcherBench, number: float) -> tuple[Listener, QueuedRequest]:
    waiter = Listener()
    return waiter, made.batcher.begin({"x": np.full((1, 2), number, np.float32)}, 1, waiter)


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
    assert made.batcher.is_brief
    results = await asyncio.gather(*(made.ask(i) for i in range(5)))
    assert all(right(result, i) for i, result in enumerate(results))
    assert threads == {threading.get_ident()}
    assert made.model.batches == ([5] if batching == "" else [1] * 5)


async def test_a_model_that_turns_out_slow_goes_to_a_thread(bench: Bench) -> None:
    threads: set[int] = set()
    made = bench(script=poisoned(threads), inline=True)
    made.batcher._cost.observe(1, 1, 10.0)
    assert not made.batcher.is_brief
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


@pytest.mark.parametrize(("batching", "is_brief"), [("", True), (None, True), ("preserve_ordering: true", False)])
async def test_an_answer_that_may_wait_for_another_is_not_brief(
    bench: Bench, batching: str | None, is_brief: bool
) -> None:
    assert bench(batching, inline=True).batcher.is_brief is is_brief
    assert not bench(batching).batcher.is_brief


async def test_without_joining_the_outcome_is_heard_before_begin_returns(bench: Bench) -> None:
    made = bench(None, script=poisoned(set()), inline=True)
    (answered, _), (failed, _) = begin(made, 2), begin(made, POISON)
    (result,), (error,) = answered.heard, failed.heard
    assert isinstance(result, InferResult)
    assert right(result, 2)
    assert isinstance(error, InferenceFailed)
    assert made.recorder.statistics().success.count == 1


async def test_with_joining_those_of_one_turn_run_together_and_each_hears_once(bench: Bench) -> None:
    made = bench(inline=True)
    waiters = [begin(made, i)[0] for i in range(4)]
    assert not any(waiter.heard for waiter in waiters)
    await until(lambda: all(waiter.heard for waiter in waiters))
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
    first, _ = begin(made, 1)
    with pytest.raises(Overloaded):
        begin(made, 2)
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
    waiters = [begin(made, i)[0] for i in range(150)]
    clock.advance(away_s)
    await asyncio.sleep(0)
    assert len(made.model.batches) == runs
    await until(lambda: all(waiter.heard for waiter in waiters))
    assert made.model.batches == [2] * 75
