from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from services.shared.errors import DeadlineExceeded, InferenceFailed, InvalidInput, NotReady, Overloaded, ServingError
from services.shared.inference.base import InferResult
from services.shared.inference.merge import MergedCalls
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.tensors import Tensors

REF = ModelRef("pets", 1)


@dataclass(slots=True, eq=False)
class Call:
    """A call on the wire, which ends when it is told to."""

    values: list[int]
    timeout_s: float | None
    priority: Priority
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    error: BaseException | None = None
    cancelled: bool = False


class Wire:
    """Doubles every value. Calls wait for `go_on` while `held`; `poison` says which values break a call."""

    def __init__(self, *, held: bool = True) -> None:
        self.calls: list[Call] = []
        self.held = held
        self.poison: Callable[[int], ServingError | None] = lambda value: None

    async def send(
        self,
        ref: ModelRef,
        inputs: Tensors,
        *,
        timeout_s: float | None,
        priority: Priority,
        outputs: Sequence[str] | None,
    ) -> InferResult:
        call = Call(inputs["x"].ravel().tolist(), timeout_s, priority)
        self.calls.append(call)
        try:
            if self.held:
                await call.go_on.wait()
        except asyncio.CancelledError:
            call.cancelled = True
            raise
        for error in [call.error, *map(self.poison, call.values)]:
            if error is not None:
                raise error
        return InferResult({"y": inputs["x"] * 2}, infer_s=0.5)

    def cancelled(self) -> list[list[int]]:
        return [call.values for call in self.calls if call.cancelled]

    def end(self, *, held: bool = False) -> None:
        """Lets the calls so far end; later ones wait only when `held`."""
        self.held = held
        for call in self.calls:
            call.go_on.set()


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def merged(wire: Wire) -> MergedCalls:
    return MergedCalls(wire.send, max_in_flight=1)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def asked(
    merged: MergedCalls, *values: int, timeout_s: float | None = None, priority: Priority = Priority.NORMAL
) -> asyncio.Task[list[int]]:
    """A request of these rows, which has reached its lane."""

    async def ask() -> list[int]:
        inputs = {"x": np.array(values, dtype=np.int64).reshape(-1, 1)}
        result = await merged.infer(REF, inputs, max_rows=8, timeout_s=timeout_s, priority=priority)
        doubled: list[int] = result.outputs["y"].ravel().tolist()
        return doubled

    task = asyncio.create_task(ask())
    await turns(1)
    return task


async def test_nothing_waits_while_nothing_is_in_flight(wire: Wire, merged: MergedCalls) -> None:
    await asked(merged, 1)
    assert [call.values for call in wire.calls] == [[1]]
    wire.end()


async def test_what_waits_together_shares_one_call(wire: Wire, merged: MergedCalls) -> None:
    tasks = [await asked(merged, *values) for values in ((1,), (2, 3), (4,), (5,))]
    wire.end()
    assert await asyncio.gather(*tasks) == [[2], [4, 6], [8], [10]]
    assert [call.values for call in wire.calls] == [[1], [2, 3, 4, 5]]


async def test_a_shared_call_is_no_larger_than_the_models_batch(wire: Wire, merged: MergedCalls) -> None:
    tasks = [await asked(merged, value, value) for value in range(6)]
    wire.end()
    await asyncio.gather(*tasks)
    assert [len(call.values) for call in wire.calls] == [2, 8, 2]


async def test_at_most_so_many_calls_are_in_flight(wire: Wire) -> None:
    merged = MergedCalls(wire.send, max_in_flight=2)
    tasks = [await asked(merged, value) for value in range(5)]
    assert len(wire.calls) == 2
    wire.end()
    assert await asyncio.gather(*tasks) == [[0], [2], [4], [6], [8]]


async def test_a_model_without_batching_shares_nothing(wire: Wire, merged: MergedCalls) -> None:
    wire.end()
    for rows in (0, 1):
        await merged.infer(REF, {"x": np.ones((1, 1))}, max_rows=rows)
    wire.held = True
    calls = [asyncio.create_task(merged.infer(REF, {"x": np.ones((1, 1))}, max_rows=0)) for _ in range(3)]
    await turns()
    assert len(wire.calls) == 5
    wire.end()
    await asyncio.gather(*calls)


async def test_priorities_never_share_a_call(wire: Wire, merged: MergedCalls) -> None:
    tasks = [await asked(merged, value, priority=Priority(value % 3 + 1)) for value in range(9)]
    assert [call.priority for call in wire.calls] == [Priority.HIGH, Priority.NORMAL, Priority.LOW]
    wire.end()
    await asyncio.gather(*tasks)
    assert sorted((call.priority, call.values) for call in wire.calls) == [
        (priority, values) for priority in Priority for values in ([priority - 1], [priority + 2, priority + 5])
    ]


async def test_a_poisoned_request_does_not_harm_the_others(wire: Wire, merged: MergedCalls) -> None:
    wire.poison = lambda value: InvalidInput("13 is refused", field="x") if value == 13 else None
    tasks = [await asked(merged, value) for value in (1, 2, 13, 4)]
    wire.end()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [results[0], results[1], results[3]] == [[2], [4], [8]]
    assert isinstance(results[2], InvalidInput)
    assert results[2].field == "x"
    assert [call.values for call in wire.calls] == [[1], [2, 13, 4], [2], [13], [4]]


async def test_requests_of_a_spoilt_call_are_sent_one_after_the_other_within_the_limit(
    wire: Wire, merged: MergedCalls
) -> None:
    wire.poison = lambda value: InferenceFailed("broken") if value == 13 else None
    tasks = [await asked(merged, value) for value in (1, 2, 13, 4)]
    wire.end()
    await tasks[0]
    wire.held = True
    await turns()
    assert [call.values for call in wire.calls[2:]] == [[2]]
    wire.end()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("error", [NotReady("away", retry_after_s=2.0), Overloaded("full"), DeadlineExceeded("late")])
async def test_a_failure_of_the_server_reaches_everyone_as_an_error_of_their_own(
    wire: Wire, merged: MergedCalls, error: ServingError
) -> None:
    tasks = [await asked(merged, value) for value in (1, 2, 3)]
    wire.poison = lambda value: None if value == 1 else error
    wire.end()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert first == [2]
    assert len(wire.calls) == 2
    assert {type(other) for other in others} == {type(error)}
    assert others[0] is not others[1]
    assert [getattr(other, "retry_after_s", "") for other in others] == [error.retry_after_s] * 2


async def test_a_fault_in_sending_reaches_everyone(wire: Wire, merged: MergedCalls) -> None:
    tasks = [await asked(merged, value) for value in (1, 2, 3)]
    wire.end(held=True)
    await tasks[0]
    await turns()
    wire.calls[1].error = KeyError("a fault")
    wire.end()
    for result in await asyncio.gather(*tasks[1:], return_exceptions=True):
        assert isinstance(result, InferenceFailed)


async def test_the_wire_call_is_cancelled_when_no_waiter_is_left(wire: Wire, merged: MergedCalls) -> None:
    tasks = [await asked(merged, value) for value in (1, 2, 3)]
    wire.end(held=True)
    await tasks[0]
    await turns()
    tasks[1].cancel()
    await turns()
    assert wire.cancelled() == []
    tasks[2].cancel()
    await turns()
    assert wire.cancelled() == [[2, 3]]
    wire.end()
    assert await (await asked(merged, 5)) == [10]


async def test_a_call_that_nobody_shares_is_cancelled_with_its_caller(wire: Wire, merged: MergedCalls) -> None:
    task = await asked(merged, 1)
    task.cancel()
    await turns()
    assert wire.cancelled() == [[1]]
    wire.end()
    assert await (await asked(merged, 5)) == [10]


async def test_a_request_that_leaves_while_it_waits_is_never_sent(wire: Wire, merged: MergedCalls) -> None:
    tasks = [await asked(merged, value) for value in (1, 2, 3)]
    tasks[1].cancel()
    wire.end()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [call.values for call in wire.calls] == [[1], [3]]


async def test_a_request_that_left_keeps_no_memory(wire: Wire, merged: MergedCalls) -> None:
    await asked(merged, 1)
    image = np.ones((1, 1), np.int64)
    kept = weakref.ref(image)
    waiting = asyncio.create_task(merged.infer(REF, {"x": image}, max_rows=8))
    await turns()
    waiting.cancel()
    await turns()
    del image, waiting
    gc.collect()
    assert kept() is None
    wire.end()


async def test_the_deadline_of_one_waiter_does_not_cut_anothers(wire: Wire, merged: MergedCalls) -> None:
    first = await asked(merged, 1)
    soon = await asked(merged, 2, timeout_s=0.05)
    late = await asked(merged, 3, timeout_s=60.0)
    wire.end(held=True)
    await first
    with pytest.raises(DeadlineExceeded):
        await soon
    (call,) = wire.calls[1:]
    assert call.values == [2, 3]
    assert call.timeout_s is not None
    assert 1 < call.timeout_s <= 60
    assert wire.cancelled() == []
    wire.end()
    assert await late == [6]


async def test_a_shared_call_has_no_deadline_when_one_of_its_requests_has_none(wire: Wire, merged: MergedCalls) -> None:
    tasks = [await asked(merged, 1), await asked(merged, 2, timeout_s=60.0), await asked(merged, 3)]
    wire.end()
    await asyncio.gather(*tasks)
    assert wire.calls[1].timeout_s is None


async def test_a_request_expires_while_it_waits_for_a_call(wire: Wire, merged: MergedCalls) -> None:
    first = await asked(merged, 1)
    with pytest.raises(DeadlineExceeded):
        await (await asked(merged, 2, timeout_s=0.02))
    wire.end()
    await first
    assert len(wire.calls) == 1


async def test_the_time_in_the_lane_counts_as_waiting(wire: Wire, merged: MergedCalls) -> None:
    first = await asked(merged, 1)
    waiting = asyncio.create_task(merged.infer(REF, {"x": np.ones((1, 1), np.int64)}, max_rows=8))
    await asyncio.sleep(0.02)
    wire.end()
    await first
    result = await waiting
    assert result.queue_s > 0.01
    assert result.infer_s == 0.5


async def test_closing_ends_every_waiter_and_call(wire: Wire, merged: MergedCalls) -> None:
    tasks = [await asked(merged, value) for value in (1, 2, 3)]
    wire.end(held=True)
    await tasks[0]
    later = await asked(merged, 4)
    await merged.close()
    for result in await asyncio.gather(*tasks[1:], later, return_exceptions=True):
        assert isinstance(result, NotReady)
    assert wire.cancelled() == [[2, 3]]


async def test_lanes_do_not_outlive_their_requests(wire: Wire, merged: MergedCalls) -> None:
    wire.end()
    for version in range(1, 50):
        await merged.infer(ModelRef("pets", version), {"x": np.ones((1, 1))}, max_rows=8)
    assert merged.lane_count == 0
