"""Merged calls under random sizes, priorities, cancels, deadlines and failures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.errors import DeadlineExceeded, InferenceFailed, InvalidInput, NotReady, Overloaded, ServingError
from services.shared.inference.base import InferResult
from services.shared.inference.merge import MergedCalls
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.tensors import Tensors

REF = ModelRef("pets", 1)
MAX_ROWS = 6
# What a request may do to the call that carries it. INVALID and FAILED are its own fault, the others the server's.
FAILURES: dict[str, type[ServingError]] = {
    "invalid": InvalidInput,
    "failed": InferenceFailed,
    "not ready": NotReady,
    "overloaded": Overloaded,
}
OWN_FAULT = ("invalid", "failed")


@dataclass(frozen=True, slots=True)
class Act:
    """A caller: waits `start` turns, asks for `rows`, gives up after `cancel_after` turns or `timeout_s`."""

    start: int
    rows: int
    priority: Priority
    fault: str | None
    cancel_after: int | None
    timeout_s: float | None


@dataclass(frozen=True, slots=True)
class Sent:
    callers: list[int]
    priority: Priority
    rows: int


acts = st.builds(
    Act,
    start=st.integers(0, 12),
    rows=st.integers(1, 4),
    priority=st.sampled_from(Priority),
    fault=st.sampled_from([None, None, None, *FAILURES]),
    cancel_after=st.none() | st.integers(0, 15),
    timeout_s=st.none() | st.sampled_from([0.0, 0.002, 30.0]),
)


class RandomWire:
    """A server that takes some turns for each call and breaks as its requests say; rows carry their caller's number."""

    def __init__(self, callers: Sequence[Act], turns: Sequence[int]) -> None:
        self.sent: list[Sent] = []
        self.in_flight: dict[Priority, int] = dict.fromkeys(Priority, 0)
        self.most_in_flight = 0
        self._callers = callers
        self._turns = turns

    async def send(
        self,
        ref: ModelRef,
        inputs: Tensors,
        *,
        timeout_s: float | None,
        priority: Priority,
        outputs: Sequence[str] | None,
    ) -> InferResult:
        if timeout_s is not None and timeout_s <= 0:
            raise DeadlineExceeded("too late")
        numbers = list(dict.fromkeys(inputs["x"][:, 0].tolist()))
        self.sent.append(Sent(numbers, priority, len(inputs["x"])))
        self.in_flight[priority] += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight[priority])
        try:
            async with asyncio.timeout(timeout_s):
                for _ in range(self._turns[len(self.sent) % len(self._turns)]):
                    await asyncio.sleep(0)
        except TimeoutError:
            raise DeadlineExceeded("late") from None
        finally:
            self.in_flight[priority] -= 1
        for number in numbers:
            if fault := self._callers[number].fault:
                raise FAILURES[fault](fault)
        return InferResult({"y": inputs["x"] * 2})


async def call(merged: MergedCalls, number: int, act: Act) -> InferResult:
    for _ in range(act.start):
        await asyncio.sleep(0)
    inputs = {"x": np.stack([np.full(act.rows, number), np.arange(act.rows)], axis=1)}
    return await merged.infer(REF, inputs, max_rows=MAX_ROWS, timeout_s=act.timeout_s, priority=act.priority)


async def cancel_later(task: asyncio.Task[InferResult], act: Act) -> None:
    if act.cancel_after is not None:
        for _ in range(act.start + act.cancel_after):
            await asyncio.sleep(0)
        task.cancel()


def allowed_errors(number: int, act: Act, sent: Sequence[Sent], callers: Sequence[Act]) -> set[type[BaseException]]:
    """Its own fault, its own cancel, its own deadline, or a server's failure in a call that it was part of."""
    allowed: set[type[BaseException]] = set()
    if act.cancel_after is not None:
        allowed.add(asyncio.CancelledError)
    if act.timeout_s is not None and act.timeout_s < 1:
        allowed.add(DeadlineExceeded)
    for each in sent:
        if number in each.callers:
            faults = {callers[other].fault for other in each.callers} - {None, *OWN_FAULT}
            allowed |= {FAILURES[fault] for fault in faults if fault}
    return allowed | ({FAILURES[act.fault]} if act.fault else set())


async def play(callers: Sequence[Act], turns: Sequence[int], max_in_flight: int) -> None:
    wire = RandomWire(callers, turns)
    merged = MergedCalls(wire.send, max_in_flight=max_in_flight)
    async with asyncio.timeout(20):
        tasks = [asyncio.create_task(call(merged, number, act)) for number, act in enumerate(callers)]
        await asyncio.gather(*(cancel_later(task, act) for task, act in zip(tasks, callers, strict=True)))
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for number, (act, result) in enumerate(zip(callers, results, strict=True)):
        if isinstance(result, BaseException):
            assert type(result) in allowed_errors(number, act, wire.sent, callers)
        else:
            assert act.fault is None
            assert result.outputs["y"].tolist() == [[2 * number, 2 * row] for row in range(act.rows)]
    assert wire.most_in_flight <= max_in_flight
    for each in wire.sent:
        assert each.rows <= MAX_ROWS
        assert {callers[number].priority for number in each.callers} == {each.priority}
    async with asyncio.timeout(20):  # the lanes are left usable and empty
        await merged.infer(REF, {"x": np.full((1, 2), len(callers) - 1)}, max_rows=0)
        while merged.lane_count:
            await asyncio.sleep(0)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    callers=st.lists(acts, min_size=1, max_size=14),
    turns=st.lists(st.integers(0, 8), min_size=1, max_size=6),
    max_in_flight=st.integers(1, 3),
)
def test_every_caller_gets_exactly_its_own_answer_or_its_own_error(
    callers: list[Act], turns: list[int], max_in_flight: int
) -> None:
    harmless = Act(0, 1, Priority.NORMAL, None, None, None)
    asyncio.run(play([*callers, harmless], turns, max_in_flight))
