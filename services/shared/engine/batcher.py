"""Joins waiting requests into runs of one loaded version."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice

from services.shared.backends.base import LoadedModel
from services.shared.clock import Clock
from services.shared.engine.answers import Answers
from services.shared.engine.base import InferResult, Waiter
from services.shared.engine.batch_plan import batch_rules, plan_batch, queue_level, turn_end_s
from services.shared.engine.event_wait import is_set_within
from services.shared.engine.execution import Execution
from services.shared.engine.in_parts import part_size
from services.shared.engine.recorder import Recorder, failure_reason
from services.shared.engine.run_cost import Occupancy, RunCost
from services.shared.engine.run_threads import RunThreads
from services.shared.engine.waiting_queue import QueuedRequest, WaitingQueue, refusal
from services.shared.errors import DeadlineExceeded, NotReady, ServingError
from services.shared.model_config import ModelConfig, QueuePolicy
from services.shared.priority import Priority
from services.shared.telemetry.base import FailureReason
from services.shared.tensors import Tensors

INLINE_S = 0.0025  # runs expected to be as brief as this take place in the event loop
JOIN_S = 5.0  # how long `close` waits for runs that nobody waits for any more


class Batcher:
    """One loaded version's queue and threads; made and used in one event loop.

    One caller's failure, cancellation or deadline never touches another. A full queue refuses at once. An expired
    request is dropped before it costs compute, and its caller hears of it at the deadline, also while the model is busy
    or already runs it. A joined run that fails is repeated request by request, so that only the culprit fails.
    With `preserve_ordering` answers come in the order of arrival; only a deadline or a cancellation goes ahead.
    """

    def __init__(
        self, model: LoadedModel, config: ModelConfig, run_s: Mapping[int, float], *, clock: Clock, recorder: Recorder,
        occupancy: Occupancy | None = None,
    ) -> None:  # fmt: skip
        self._model, self._config, self._clock, self._recorder = model, config, clock, recorder
        self._rules = batch_rules(config, run_s)
        self._policy = config.batching.queue_policy if config.batching else QueuePolicy()
        # Fixed dimensions were checked already: only sizes that the config leaves open can differ between requests.
        self._open_inputs = tuple(spec.name for spec in model.inputs if -1 in spec.shape) if self._rules.join else ()
        self._loop = asyncio.get_running_loop()
        self._threads = RunThreads(model, config, clock, run_done=self._run_done, work_done=self._work_done)
        self._free, self._waiting = model.concurrency, WaitingQueue()
        self._running: dict[int, list[QueuedRequest]] = {}
        self._answers = Answers(in_order=config.batching is not None and config.batching.preserve_ordering)
        self._wake: asyncio.TimerHandle | None = None
        self._planned, self._dispatched_s = False, clock.monotonic()
        self._closing, self._quiet = False, asyncio.Event()
        self._cost = RunCost({size: seconds for size, seconds in run_s.items() if seconds > 0})
        self._occupancy = occupancy or Occupancy()

    @property
    def pending(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def oldest_running_s(self) -> float:
        """How long ago the oldest request in a run arrived, awaited or not; 0 without one."""
        running, now_s = chain.from_iterable(self._running.values()), self._clock.monotonic()
        return max((now_s - request.arrived_s for request in running), default=0.0)

    async def submit(
        self, inputs: Tensors, batch: int, *, timeout_s: float | None = None, priority: Priority = Priority.NORMAL,
        part: bool = False,
    ) -> InferResult:  # fmt: skip
        """Runs checked inputs of `batch` elements; those of a `part` of a request whoever made the parts counts.

        Raises NotReady once it closes, Overloaded with `retry_after_s` when the queue is full, DeadlineExceeded after
        `timeout_s`, or what the run raised.
        """
        self._admit(timeout_s, part)
        future: asyncio.Future[InferResult] = self._loop.create_future()
        request = self._request(inputs, batch, timeout_s, priority, future, part)
        self._enqueue(request, timeout_s)
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():
                self.withdraw(request)
            else:
                future.exception()  # the answer came in the same turn as the cancellation: it was heard
            raise

    @property
    def part_size(self) -> int:
        """See in_parts.py. What is over within a turn of the loop gains nothing from threads: its parts would run one
        after the other, and cost two fifths more."""
        return max(self.brief_size, part_size(self._model, self._config, self._rules))

    @property
    def brief_size(self) -> int:
        """The largest batch that is expected to be answered within the turn of the loop that begins its run; 0 where
        not even one is. More than pays by the runs' times alone: what is around a brief run costs as much as it does.
        """
        largest = self._config.max_batch_size if self._rules.join else 1
        return self._cost.size_within(INLINE_S, largest) if self._model.inline and self._answers.at_once else 0

    def begin(self, inputs: Tensors, batch: int, waiter: Waiter, arrived_s: Sequence[float]) -> QueuedRequest:
        """The same as `submit` for requests of one element each, made one batch by a caller that does not await:
        `waiter` hears of the outcome, perhaps at once. A failure counts nowhere: who asks goes another way then."""
        self._admit(None, part=True)
        request = self._request(inputs, batch, None, Priority.NORMAL, waiter, True, arrived_s)
        # It brings this turn's requests along: nobody is left out when it does not wait for the end of the turn.
        if self._free and not len(self._waiting) and not self._rules.delay_s:
            self._answers.expect(request)
            self._start([request])
            self._dispatched_s = self._clock.monotonic()
        else:
            self._enqueue(request, None)
        return request

    def withdraw(self, request: QueuedRequest) -> None:
        """Nobody waits for it any more; its waiter is done."""
        self._drop(request)
        self._count(request, FailureReason.CANCELED)
        for arrived_s in request.arrivals:
            self._recorder.failed(FailureReason.CANCELED, self._clock.monotonic() - arrived_s)

    async def close(self, drain_s: float) -> bool:
        """Refuses new requests, finishes the accepted ones within `drain_s`, fails the rest with NotReady, ends the
        threads. False when a run did not come back: then the model must not be closed."""
        self._closing = True
        self._rules = replace(self._rules, delay_s=0.0)
        self._dispatch()
        self._note_quiet()
        if not await is_set_within(self._quiet, drain_s):
            for request in [*self._waiting, *chain.from_iterable(self._running.values())]:
                self._leave(request, NotReady(f"model '{self._config.name}' was unloaded before the request ran"))
        ended = await is_set_within(self._quiet, JOIN_S)
        self._threads.close(wait=ended)
        return ended

    def _admit(self, timeout_s: float | None, part: bool = False) -> None:
        error = refusal(
            self._config.name,
            self._policy,
            waiting=len(self._waiting),
            wait_s=self._cost.request_s * len(self._waiting) / self._model.concurrency,
            timeout_s=timeout_s,
            closing=self._closing,
        )
        if error is not None:
            if not part:
                self._recorder.failed(failure_reason(error), 0.0)
            raise error

    def _enqueue(self, request: QueuedRequest, timeout_s: float | None) -> None:
        if timeout_s is not None:
            request.timers.append(self._loop.call_later(timeout_s, self._expire, request))
        # The config's own timeout bounds the wait only; a caller's is a deadline, override allowed or not.
        if self._policy.default_timeout_us:
            delay_s = self._policy.default_timeout_us / 1e6
            request.timers.append(self._loop.call_later(delay_s, self._wait_is_over, request))
        self._waiting.add(request)
        self._answers.expect(request)
        if self._free and not self._rules.join:
            self._dispatch()
        elif self._free:
            # After this turn of the loop: what arrives in the same turn may run together without any delay.
            self._plan_dispatch()

    def _request(
        self, inputs: Tensors, batch: int, timeout_s: float | None, priority: Priority, waiter: Waiter, part: bool,
        arrivals: Sequence[float] = (),
    ) -> QueuedRequest:  # fmt: skip
        now_s = self._clock.monotonic()
        shapes = tuple(inputs[name].shape[1:] for name in self._open_inputs)
        deadline_s, modest = None if timeout_s is None else now_s + timeout_s, priority is Priority.LOW
        return QueuedRequest(
            inputs, batch, shapes, level=queue_level(priority, self._config.batching), arrived_s=now_s,
            deadline_s=deadline_s, future=waiter, part=part, arrivals=arrivals, modest=modest,
        )  # fmt: skip

    def _plan_dispatch(self) -> None:
        if not self._planned:
            self._planned = True
            self._loop.call_soon(self._dispatch)

    # From the queue into a thread.

    def _dispatch(self) -> None:
        self._planned = False
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        until_s = turn_end_s(self._clock.monotonic(), self._dispatched_s)
        while self._free and len(self._waiting):
            now_s = self._clock.monotonic()
            if now_s >= until_s:  # after the others of this turn of the loop
                self._plan_dispatch()
                break
            plan = plan_batch(self._waiting, self._rules, now_s)
            if plan.take == 0:
                self._wake = self._loop.call_later(plan.wait_s, self._dispatch)
                return
            requests = list(islice(self._waiting, plan.take))
            # A busy loop runs timers and wakes cancelled callers late: look again, so that nothing gone is computed.
            gone = [r for r in requests if r.future.done() or (r.deadline_s is not None and r.deadline_s <= now_s)]
            for request in gone:
                if request.future.done():
                    self._waiting.remove(request)
                else:
                    self._expire(request)
            if not gone:
                for request in requests:
                    self._waiting.remove(request)
                self._start(requests)
        self._dispatched_s = self._clock.monotonic()

    def _start(self, requests: list[QueuedRequest]) -> None:
        """Here and now, or in a thread, which costs a brief run more than the run does, in switches of the lock."""
        self._free -= 1
        self._running[id(requests)] = requests
        self._occupancy.runs += 1
        batch = sum([r.batch for r in requests])
        if not (self._model.inline and self._cost.expected_s(batch) <= INLINE_S):
            self._threads.start(requests, alone=self._occupancy.runs == 1 and not len(self._waiting))
            return
        outcome = self._threads.attempt(requests)
        if isinstance(outcome, ServingError) and len(requests) > 1:
            self._threads.repeat(requests)
        else:
            self._ended(requests, outcome)

    # Back in the event loop.

    def _work_done(self, requests: list[QueuedRequest], outcome: Execution | ServingError | None) -> None:
        self._ended(requests, outcome)
        self._dispatch()

    def _ended(self, requests: list[QueuedRequest], outcome: Execution | ServingError | None) -> None:
        self._free += 1
        self._occupancy.runs -= 1
        del self._running[id(requests)]
        if outcome is not None:
            self._run_done(requests, outcome)
        self._note_quiet()

    def _run_done(self, requests: list[QueuedRequest], outcome: Execution | ServingError) -> None:
        awaited = [r for r in requests if not r.future.done()]
        if isinstance(outcome, ServingError):
            for request in awaited:
                self._count(request, failure_reason(outcome))
                self._answers.give(request, outcome)
            return
        whole_s = outcome.split_s - outcome.started_s
        batch = sum([r.batch for r in requests])
        self._cost.observe(batch, len(requests), whole_s)
        arrived_s = [each for r in awaited for each in r.counted_s]
        self._recorder.executed(outcome, batch, [r.batch for r in awaited], arrived_s)
        for request, outputs in zip(requests, outcome.outputs, strict=True):
            if not request.future.done():
                self._answers.give(request, InferResult(outputs, outcome.started_s - request.arrived_s, whole_s, batch))

    def _expire(self, request: QueuedRequest) -> None:
        self._leave(request, DeadlineExceeded("Request timeout expired"))

    def _wait_is_over(self, request: QueuedRequest) -> None:
        if not request.queued:
            return
        if self._policy.timeout_action == "DELAY":
            self._waiting.remove(request)
            request.late = True
            self._waiting.add(request)
        else:
            self._expire(request)

    def _leave(self, request: QueuedRequest, error: ServingError) -> None:
        if request.future.done():
            return
        self._count(request, failure_reason(error))
        request.future.set_exception(error)
        self._drop(request)

    def _drop(self, request: QueuedRequest) -> None:
        if request.queued:
            self._waiting.remove(request)
        request.stop_timers()
        self._answers.skip(request)
        self._note_quiet()

    def _count(self, request: QueuedRequest, reason: FailureReason) -> None:
        if not request.part:
            self._recorder.failed(reason, self._clock.monotonic() - request.arrived_s)

    def _note_quiet(self) -> None:
        if self._closing and not self._running and not len(self._waiting):
            self._quiet.set()
