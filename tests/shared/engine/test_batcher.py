"""How the batcher joins requests and in which order it serves them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import numpy as np
import pytest

from services.shared.backends.fake import FakeScript
from services.shared.errors import InferenceFailed
from services.shared.priority import Priority
from services.shared.tensors import Tensors
from tests.support.batcher_bench import BatcherBench, right
from tests.support.polling import until

Bench = Callable[..., BatcherBench]


async def test_request_gets_its_answer_and_its_times(bench: Bench) -> None:
    result = await bench().ask(5, rows=2)
    assert right(result, 5, rows=2)
    assert result.queue_s >= 0
    assert result.infer_s > 0


async def test_requests_that_wait_run_as_one(bench: Bench) -> None:
    made = bench()
    first = await made.busy()
    tasks = [made.ask(i, rows=i) for i in (1, 2, 3)]
    await made.queued(3)
    made.open()
    results = await asyncio.gather(first, *tasks)
    assert made.model.batches == [1, 6]
    assert [right(result, i, rows=i) for i, result in zip((1, 2, 3), results[1:], strict=True)] == [True] * 3


async def test_the_age_of_the_oldest_request_in_a_run_is_known_until_the_run_ends(bench: Bench) -> None:
    made = bench()
    assert made.batcher.oldest_running_s == 0.0
    first = await made.busy()
    waiting = made.ask(1)
    await made.queued(1)
    before = made.batcher.oldest_running_s
    assert before > 0
    first.cancel()  # nobody waits for it any more, and it runs on
    await asyncio.sleep(0)
    assert made.batcher.oldest_running_s > before
    made.open()
    await waiting
    await until(lambda: made.batcher.oldest_running_s == 0.0)


async def test_requests_of_one_loop_turn_run_as_one_without_delay(bench: Bench) -> None:
    made = bench()
    await asyncio.gather(*(made.ask(i) for i in range(5)))
    assert made.model.batches == [5]


async def test_answers_of_joined_requests_are_views_of_one_output(bench: Bench) -> None:
    made = bench()
    first, second = await asyncio.gather(made.ask(1), made.ask(2))
    assert first.outputs["y"].base is not None
    assert first.outputs["y"].base is second.outputs["y"].base


async def test_without_dynamic_batching_requests_are_never_joined(bench: Bench) -> None:
    made = bench(batching=None)
    first = await made.busy()
    tasks = [made.ask(i, rows=2) for i in range(3)]
    await made.queued(3)
    made.open()
    await asyncio.gather(first, *tasks)
    assert made.model.batches == [1, 2, 2, 2]


async def test_model_without_batch_dimension_is_never_joined(bench: Bench) -> None:
    made = bench(max_batch_size=0, dims="1, 2")
    results = await asyncio.gather(*(made.ask(i) for i in range(3)))
    assert [right(result, i) for i, result in enumerate(results)] == [True] * 3
    assert made.model.batches == [1, 1, 1]


async def test_only_requests_of_equal_shape_are_joined(bench: Bench) -> None:
    made = bench(dims="-1")
    first = await made.busy()
    tasks = [made.ask(i, width=width) for i, width in enumerate((2, 2, 3, 3, 3))]
    await made.queued(5)
    made.open()
    results = await asyncio.gather(first, *tasks)
    assert made.model.batches == [1, 2, 3]
    assert [result.outputs["y"].shape[1] for result in results[1:]] == [2, 2, 3, 3, 3]


async def test_only_warmed_totals_run(bench: Bench) -> None:
    made = bench(sizes=[1, 4])
    first = await made.busy()
    tasks = [made.ask(i) for i in range(7)]
    await made.queued(7)
    made.open()
    await asyncio.gather(first, *tasks)
    assert made.model.batches == [1, 4, 1, 1, 1]


async def test_request_larger_than_every_warmed_size_runs_alone(bench: Bench) -> None:
    made = bench(sizes=[1, 4])
    assert right(await made.ask(2, rows=7), 2, rows=7)
    assert made.model.batches == [7]


async def test_delay_lets_a_later_request_join(bench: Bench) -> None:
    made = bench("max_queue_delay_microseconds: 20000000")
    first = made.ask(1, rows=4)
    await made.queued(1)
    second = made.ask(2, rows=4)  # now it is full, long before the delay is over
    results = await asyncio.gather(first, second)
    assert made.model.batches == [8]
    assert right(results[1], 2, rows=4)


async def test_delay_ends_without_company(bench: Bench) -> None:
    made = bench("max_queue_delay_microseconds: 3000")
    result = await made.ask(1)
    assert made.model.batches == [1]
    assert result.queue_s >= 0.003


async def test_preferred_size_runs_before_the_delay_is_over(bench: Bench) -> None:
    made = bench("preferred_batch_size: [2] max_queue_delay_microseconds: 20000000")
    await asyncio.gather(made.ask(1), made.ask(2))
    assert made.model.batches == [2]


async def test_urgent_requests_go_first_and_equal_ones_in_order(bench: Bench) -> None:
    made = bench(batching=None)
    first = await made.busy()
    order = [Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.LOW, Priority.NORMAL, Priority.HIGH]
    tasks = [made.ask(i, priority=priority) for i, priority in enumerate(order)]
    await made.queued(6)
    made.open()
    await asyncio.gather(first, *tasks)
    assert made.finished == [100.0, 2, 5, 1, 4, 0, 3]


async def test_default_priority_level_of_the_config_counts(bench: Bench) -> None:
    made = bench("priority_levels: 2 default_priority_level: 1", max_batch_size=2)
    first = await made.busy()
    tasks = [made.ask(i, rows=2, priority=p) for i, p in enumerate((Priority.LOW, Priority.NORMAL, Priority.HIGH))]
    await made.queued(3)
    made.open()
    await asyncio.gather(first, *tasks)
    assert made.finished == [100.0, 1, 2, 0]  # NORMAL waits at level 1, as HIGH does


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_as_many_runs_at_once_as_the_model_allows(bench: Bench, concurrency: int) -> None:
    made = bench(batching=None, concurrency=concurrency)
    made.script.gate = threading.Event()
    tasks = [made.ask(i) for i in range(8)]
    await until(lambda: len(made.model.batches) == concurrency)
    assert made.batcher.pending == 8 - concurrency
    made.open()
    await asyncio.gather(*tasks)
    assert made.model.peak == concurrency


async def test_answers_keep_the_order_of_arrival_when_the_config_says_so(bench: Bench) -> None:
    gates = {1.0: threading.Event()}

    def first_is_slow(inputs: Tensors, version: int) -> Tensors:
        gate = gates.get(float(inputs["x"][0, 0]))
        if gate is not None:
            gate.wait(20)
        return {"y": inputs["x"] * version}

    made = bench("preserve_ordering: true", script=FakeScript(compute=first_is_slow), concurrency=2, sizes=[1])
    tasks = [made.ask(i) for i in (1, 2, 3)]
    await until(lambda: made.recorder.statistics().execution_count == 2)
    assert made.finished == []  # 2 and 3 have run and wait for 1
    gates[1.0].set()
    await asyncio.gather(*tasks)
    assert made.finished == [1, 2, 3]


async def test_cancelled_request_does_not_hold_up_ordered_answers(bench: Bench) -> None:
    gate = threading.Event()

    def first_is_slow(inputs: Tensors, version: int) -> Tensors:
        if inputs["x"][0, 0] == 1:
            gate.wait(20)
        return {"y": inputs["x"] * version}

    made = bench("preserve_ordering: true", script=FakeScript(compute=first_is_slow), concurrency=2, sizes=[1])
    first, second = made.ask(1), made.ask(2)
    await until(lambda: made.recorder.statistics().execution_count == 1)
    first.cancel()
    assert right(await second, 2)
    gate.set()


async def test_output_whose_first_dimension_is_not_the_batch_is_refused(bench: Bench) -> None:
    made = bench(script=FakeScript(compute=lambda inputs, version: {"y": np.zeros((3, 2), np.float32)}))
    with pytest.raises(InferenceFailed, match=r"output 'y' has shape \[3, 2\] for a batch of 2"):
        await made.ask(1, rows=2)


@pytest.mark.parametrize(("priority", "wide"), [(Priority.HIGH, True), (Priority.NORMAL, True), (Priority.LOW, False)])
async def test_what_matters_least_does_not_take_every_core(bench: Bench, priority: Priority, wide: bool) -> None:
    made, told = bench(), list[bool]()
    run = made.model.run

    def noted(inputs: Tensors, *, alone: bool = False) -> Tensors:
        told.append(alone)
        return run(inputs, alone=alone)

    made.model.run = noted  # type: ignore[method-assign]
    await made.ask(1.0, priority=priority)
    assert told == [wide]
