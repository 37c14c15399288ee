"""Calls that are shared by callers that do not await."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from services.shared.errors import InvalidInput, NotReady, ServingError
from services.shared.inference.base import InferResult
from services.shared.inference.merge import MergedCalls
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.tensors import Tensors

REF = ModelRef("pets", 1)


class Wire:
    """Doubles every value once `go_on` is set; 13 spoils its call."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.cancelled: list[list[int]] = []
        self.go_on = asyncio.Event()
        self.in_flight = self.peak = 0

    async def send(
        self,
        ref: ModelRef,
        inputs: Tensors,
        *,
        timeout_s: float | None,
        priority: Priority,
        outputs: Sequence[str] | None,
    ) -> InferResult:
        values = inputs["x"].ravel().tolist()
        self.calls.append(values)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.append(values)
            raise
        finally:
            self.in_flight -= 1
        if 13 in values:
            raise InvalidInput("13 is refused")
        return InferResult({"y": inputs["x"] * 2})


@dataclass(slots=True)
class Listener:
    heard: list[int | str] = field(default_factory=list)
    gone: bool = False
    withdraw: Callable[[], None] = lambda: None

    def done(self) -> bool:
        return self.gone or bool(self.heard)

    def set_result(self, result: InferResult) -> None:
        assert not self.done()
        self.heard.append(int(result.outputs["y"][0, 0]))

    def set_exception(self, error: ServingError) -> None:
        assert not self.done()
        self.heard.append(type(error).__name__)

    def leave(self) -> None:
        self.gone = True
        self.withdraw()


def begin(merged: MergedCalls, value: int) -> Listener:
    waiter = Listener()
    inputs = {"x": np.full((1, 1), value)}
    waiter.withdraw = merged.begin(REF, inputs, waiter, max_rows=8, timeout_s=60.0)
    return waiter


async def turns(count: int = 8) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def merged(wire: Wire) -> MergedCalls:
    return MergedCalls(wire.send, max_in_flight=1)


async def test_requests_of_one_turn_share_a_call(wire: Wire, merged: MergedCalls) -> None:
    wire.go_on.set()
    waiters = [begin(merged, value) for value in range(10)]
    await turns()
    assert wire.calls == [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9]]
    assert [waiter.heard for waiter in waiters] == [[2 * value] for value in range(10)]
    assert merged.lane_count == 0


async def test_one_that_leaves_before_the_call_began_is_not_sent(wire: Wire, merged: MergedCalls) -> None:
    wire.go_on.set()
    waiters = [begin(merged, value) for value in (1, 2, 3)]
    waiters[1].leave()
    await turns()
    assert wire.calls == [[1, 3]]
    assert [waiter.heard for waiter in waiters] == [[2], [], [6]]
    begin(merged, 4).leave()
    await turns()
    assert wire.calls == [[1, 3]]
    assert merged.lane_count == 0


async def test_the_last_to_leave_cancels_the_call_on_the_wire(wire: Wire, merged: MergedCalls) -> None:
    waiters = [begin(merged, value) for value in (1, 2)]
    await turns()
    waiters[0].leave()
    await turns()
    assert wire.cancelled == []
    waiters[1].leave()
    await turns()
    assert wire.cancelled == [[1, 2]]
    assert [waiter.heard for waiter in waiters] == [[], []]
    assert merged.lane_count == 0


async def test_the_others_of_a_spoilt_call_get_their_answers(wire: Wire, merged: MergedCalls) -> None:
    wire.go_on.set()
    waiters = [begin(merged, value) for value in (1, 13, 3)]
    await turns(30)
    assert wire.calls == [[1, 13, 3], [1], [13], [3]]
    assert [waiter.heard for waiter in waiters] == [[2], ["InvalidInput"], [6]]


async def test_closing_fails_all_who_wait(wire: Wire, merged: MergedCalls) -> None:
    sent = begin(merged, 1)
    await turns()
    waits = begin(merged, 2)
    await merged.close()
    assert [sent.heard, waits.heard] == [[NotReady.__name__]] * 2
    assert wire.cancelled == [[1]]


async def test_both_ways_together_keep_to_the_limit(wire: Wire) -> None:
    merged = MergedCalls(wire.send, max_in_flight=2)
    waiters, tasks = [], []
    for value in range(20, 40, 2):
        waiters.append(begin(merged, value))
        inputs = {"x": np.full((1, 1), value + 1)}
        tasks.append(asyncio.create_task(merged.infer(REF, inputs, max_rows=8)))
        await turns(1)
    wire.go_on.set()
    results = await asyncio.gather(*tasks)
    await turns()
    assert [int(result.outputs["y"][0, 0]) for result in results] == [2 * value + 2 for value in range(20, 40, 2)]
    assert [waiter.heard for waiter in waiters] == [[2 * value] for value in range(20, 40, 2)]
    assert wire.peak == 2


async def test_a_turn_planned_for_an_emptied_lane_leaves_its_successor_alone(wire: Wire, merged: MergedCalls) -> None:
    inputs = {"x": np.full((1, 1), 1)}
    first = asyncio.create_task(merged.infer(REF, inputs, max_rows=8))
    await turns(1)
    first.cancel()
    second = asyncio.create_task(merged.infer(REF, inputs, max_rows=8))
    begin(merged, 2).leave()  # its turn comes when `first` has emptied the lane and `second` has made another
    await turns()
    waits = begin(merged, 3)
    await turns()
    assert wire.in_flight == 1
    wire.go_on.set()
    await second
    await turns()
    assert waits.heard == [6]
    assert wire.peak == 1


def test_inputs_without_a_common_batch_cannot_be_shared(merged: MergedCalls) -> None:
    with pytest.raises(InvalidInput):
        merged.begin(REF, {"x": np.array(1.0)}, Listener(), max_rows=8, timeout_s=1.0)
