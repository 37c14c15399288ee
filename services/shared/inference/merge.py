"""Requests that wait for the same model share a call.

Nothing waits while fewer than `max_in_flight` calls run for a lane; what arrives meanwhile is joined. The pure
functions of `merge_plan.py` decide, `MergedCalls` acts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from services.shared.errors import DeadlineExceeded, InferenceFailed, InvalidInput, NotReady, ServingError
from services.shared.inference.base import InferResult, Waiter
from services.shared.inference.merge_plan import LaneKey, Size, lane_of, must_split, split_rows, take, wire_deadline
from services.shared.model_ref import ModelRef
from services.shared.priority import Priority
from services.shared.tensors import Tensors
from services.shared.tracing.span import outside

# Per lane: one computes while the next is on its way. More calls share less: with a small model, 32 callers and one
# server process, 2 in flight answer 1.5 times as many requests as 4, and 6 times as many as calls that never share.
MAX_IN_FLIGHT = 2
MAX_MERGED_BYTES = 8 * 2**20  # joining copies the tensors in the event loop: about 1 ms for this many bytes


class Send(Protocol):
    """Makes one call; raises ServingError. Cancelling it cancels the call on the wire."""

    async def __call__(
        self,
        ref: ModelRef,
        inputs: Tensors,
        *,
        timeout_s: float | None,
        priority: Priority,
        outputs: Sequence[str] | None,
    ) -> InferResult: ...


@dataclass(slots=True, eq=False)
class _Request:
    inputs: Tensors
    size: Size
    deadline: float | None
    arrived: float
    answer: Waiter
    call: _Call | None = None


@dataclass(slots=True, eq=False)
class _Call:
    requests: list[_Request]
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class _Lane:
    key: LaneKey
    max_rows: int
    in_flight: int = 0
    planned: bool = False
    waiting: list[_Request] = field(default_factory=list)


class MergedCalls:
    """Sends requests through `send`, joined where they would wait. Each keeps its own deadline, cancel and error."""

    def __init__(self, send: Send, *, max_in_flight: int = MAX_IN_FLIGHT, max_bytes: int = MAX_MERGED_BYTES) -> None:
        self._send = send
        self._max_in_flight = max_in_flight
        self._max_bytes = max_bytes
        self._lanes: dict[LaneKey, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def lane_count(self) -> int:
        """Kinds of request that have something in flight."""
        return len(self._lanes)

    async def infer(
        self,
        ref: ModelRef,
        inputs: Tensors,
        *,
        max_rows: int,
        timeout_s: float | None = None,
        priority: Priority = Priority.NORMAL,
        outputs: Sequence[str] | None = None,
    ) -> InferResult:
        """As InferenceClient.infer; `max_rows` is the model's largest batch, 1 or less: never share."""
        place = lane_of(ref, inputs, priority, outputs) if max_rows > 1 else None
        if place is None:
            return await self._send(ref, inputs, timeout_s=timeout_s, priority=priority, outputs=outputs)
        key, size = place
        lane = self._lane(key, max_rows)
        if lane.in_flight < self._max_in_flight and not lane.waiting:
            lane.in_flight += 1
            try:
                return await self._send(ref, inputs, timeout_s=timeout_s, priority=priority, outputs=outputs)
            finally:
                self._call_ended(lane)
        return await self._wait(lane, inputs, size, timeout_s)

    def begin(
        self, ref: ModelRef, inputs: Tensors, waiter: Waiter, *, max_rows: int, timeout_s: float
    ) -> Callable[[], None]:
        """The same for a caller that does not await; what is returned withdraws the request. Those that begin in one
        turn of the loop share a call. Raises InvalidInput for inputs that cannot be shared."""
        place = lane_of(ref, inputs, Priority.NORMAL, None)
        if place is None:
            raise InvalidInput("the inputs have no batch dimension in common")
        key, size = place
        lane, loop = self._lane(key, max_rows), asyncio.get_running_loop()
        now = loop.time()
        request = _Request(inputs, size, now + timeout_s, now, waiter)
        lane.waiting.append(request)
        if not lane.planned:
            lane.planned = True
            loop.call_soon(self._fill, lane)
        return lambda: _detach(lane, request)

    async def close(self) -> None:
        """Cancels the calls; whoever still waits gets NotReady."""
        for lane in self._lanes.values():
            for request in lane.waiting:
                _fail(request, NotReady("the client is closed"))
            lane.waiting.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _lane(self, key: LaneKey, max_rows: int) -> _Lane:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(key, max_rows)
        lane.max_rows = max_rows
        return lane

    async def _wait(self, lane: _Lane, inputs: Tensors, size: Size, timeout_s: float | None) -> InferResult:
        loop = asyncio.get_running_loop()
        now = loop.time()
        deadline = None if timeout_s is None else now + timeout_s
        answer: asyncio.Future[InferResult] = loop.create_future()
        request = _Request(inputs, size, deadline, now, answer)
        lane.waiting.append(request)
        timer = None if deadline is None else loop.call_at(deadline, _expire, request, lane.key.ref, timeout_s)
        try:
            return await answer
        finally:
            if timer is not None:
                timer.cancel()
            if not answer.cancelled():
                answer.exception()  # a caller that was cancelled just now does not ask for it
            _detach(lane, request)

    def _call_ended(self, lane: _Lane) -> None:
        lane.in_flight -= 1
        self._fill(lane)

    def _fill(self, lane: _Lane) -> None:
        lane.planned = False
        while lane.waiting and lane.in_flight < self._max_in_flight:
            lane.waiting = [each for each in lane.waiting if not each.answer.done()]
            count = take([each.size for each in lane.waiting], lane.max_rows, self._max_bytes)
            if count:
                self._start(lane, _Call(lane.waiting[:count]))
                del lane.waiting[:count]
        # Another lane may have taken the key of one that was empty already, and whose planned turn comes only now.
        if not lane.in_flight and self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]

    def _start(self, lane: _Lane, call: _Call) -> None:
        lane.in_flight += 1
        for request in call.requests:
            request.call = call
        call.task = asyncio.get_running_loop().create_task(self._run(lane, call), context=outside())
        self._tasks.add(call.task)
        call.task.add_done_callback(lambda task: self._ended(lane, call, task))

    def _ended(self, lane: _Lane, call: _Call, task: asyncio.Task[None]) -> None:
        """Runs even for a task that was cancelled before its first step."""
        self._tasks.discard(task)
        for request in call.requests:
            if request.call is call:
                _fail(request, NotReady("the client is closed"))
        self._call_ended(lane)

    async def _run(self, lane: _Lane, call: _Call) -> None:
        started = asyncio.get_running_loop().time()
        try:
            result = await self._send_call(lane.key, call, started)
            parts = split_rows(result, [each.size.rows for each in call.requests])
        except ServingError as error:
            if must_split(error, len(call.requests)):
                _send_again_alone(lane, call)
            for request in call.requests:
                if request.call is call:
                    _fail(request, _copy(error))
            return
        except Exception as error:  # a fault of ours: nobody may hang for it
            for request in call.requests:
                _fail(request, _copy(InferenceFailed(f"the call to {lane.key.ref} broke: {error!r}"), error))
            return
        for request, outputs in zip(call.requests, parts, strict=True):
            if not request.answer.done():
                queue_s = result.queue_s + started - request.arrived
                request.answer.set_result(InferResult(outputs, queue_s, result.infer_s))

    async def _send_call(self, key: LaneKey, call: _Call, now: float) -> InferResult:
        requests = call.requests
        deadline = wire_deadline([each.deadline for each in requests])
        inputs: Tensors = requests[0].inputs
        if len(requests) > 1:
            inputs = {name: np.concatenate([each.inputs[name] for each in requests]) for name in inputs}
        timeout_s = None if deadline is None else deadline - now
        return await self._send(key.ref, inputs, timeout_s=timeout_s, priority=key.priority, outputs=key.outputs)


def _send_again_alone(lane: _Lane, call: _Call) -> None:
    """Puts the requests of a spoilt call in front again, each to be sent on its own."""
    again = [each for each in call.requests if not each.answer.done()]
    for request in again:
        request.call = None
        request.size = replace(request.size, alone=True)
    lane.waiting[:0] = again


def _detach(lane: _Lane, request: _Request) -> None:
    """A request has its answer, its error or was cancelled: the last one to leave a call ends it on the wire."""
    call = request.call
    if call is None:
        if request in lane.waiting:
            lane.waiting.remove(request)
    elif call.task is not None and not call.task.done() and all(each.answer.done() for each in call.requests):
        call.task.cancel()


def _expire(request: _Request, ref: ModelRef, timeout_s: float | None) -> None:
    _fail(request, DeadlineExceeded(f"{ref} did not answer within {timeout_s} s"))


def _fail(request: _Request, error: ServingError) -> None:
    if not request.answer.done():
        request.answer.set_exception(error)


def _copy(error: ServingError, cause: Exception | None = None) -> ServingError:
    """An error of its own for each caller: an exception that is raised in two tasks mixes up their tracebacks."""
    copy = type(error)(error.detail, field=error.field, retry_after_s=error.retry_after_s)
    copy.__cause__ = cause or error
    return copy
