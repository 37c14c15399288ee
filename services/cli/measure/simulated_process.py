"""One process of the API on one core, as a simulation of its events. Pure.

A request is read in the event loop, its picture is decoded in a thread, it waits for a run, which takes as many as the
engine's own plan says (`plan_batch`), and its answer is written in the loop. Loop, decoding and running share the core
equally while each has something to do (processor sharing), as the system's scheduler does over a few milliseconds;
brief runs take place in the loop itself. What is wholly done within a turn of the loop is in simulated_turns.py.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from services.cli.measure.open_load import Floats
from services.cli.measure.service_times import INLINE_S, ServiceTimes
from services.cli.measure.simulated_turns import Simulated, simulate_turns
from services.shared.engine.batch_plan import BatchRules, plan_batch

_READ_SHARE = 0.5  # of the loop's time; the rest is writing the answer


@dataclass(slots=True)
class _Request:
    """What `plan_batch` looks at, and what was drawn for it."""

    number: int
    decode_s: float
    arrived_s: float = 0.0
    batch: int = 1
    shapes: None = None


@dataclass(slots=True)
class _Lane:
    """What is done one after the other: the work in hand has `left_s` to go."""

    left_s: float = math.inf
    done: Callable[[], None] | None = None
    waiting: deque[tuple[float, Callable[[], None]]] = field(default_factory=deque)

    def add(self, seconds: float, done: Callable[[], None]) -> None:
        self.waiting.append((seconds, done))

    def add_first(self, seconds: float, done: Callable[[], None]) -> None:
        self.waiting.appendleft((seconds, done))

    def begin(self) -> None:
        if self.done is None and self.waiting:
            self.left_s, self.done = self.waiting.popleft()


def simulate(times: ServiceTimes, rules: BatchRules, due_s: Floats, *, seed: int = 0) -> Simulated:
    """What becomes of these arrivals (at least one, ascending, in seconds)."""
    if times.turns is not None:
        return simulate_turns(times, times.turns, due_s, seed=seed)
    return _Process(times, rules, due_s, np.random.default_rng(seed)).run()


class _Process:
    def __init__(self, times: ServiceTimes, rules: BatchRules, due_s: Floats, random: np.random.Generator) -> None:
        self._times, self._rules, self._due_s = times, rules, due_s
        decodes = random.choice(times.decode_s, len(due_s)).tolist()
        self._requests = [_Request(number, decode_s) for number, decode_s in enumerate(decodes)]
        self._spread: Sequence[float] = random.choice(times.run_spread, max(len(due_s), 1)).tolist()
        self._loop = _Lane()
        self._decoder = _Lane()
        self._runner = self._loop if times.run_s[1] <= INLINE_S else _Lane()
        self._lanes = [self._loop, self._decoder, *([] if self._runner is self._loop else [self._runner])]
        self._queue: deque[_Request] = deque()
        self._running, self._planned, self._runs, self._busy_s = False, False, 0, 0.0
        self._now_s, self._worked_s, self._wake_s = 0.0, 0.0, math.inf
        self._done_s = np.full(len(due_s), math.nan)

    def run(self) -> Simulated:
        following, due = 0, [*self._due_s.tolist(), math.inf]
        while True:
            busy = [lane for lane in self._lanes if lane.done is not None]
            lane = min(busy, key=lambda each: each.left_s, default=None)
            ends_s = math.inf if lane is None else self._now_s + lane.left_s * len(busy)
            at_s = min(ends_s, due[following], self._wake_s)
            if at_s == math.inf:
                latency_s = self._done_s + self._times.wire_s - self._due_s
                return Simulated(latency_s, self._busy_s / self._now_s, len(self._due_s) / self._runs)
            self._pass(at_s, busy)
            if at_s == due[following]:
                self._read(self._requests[following])
                following += 1
            elif at_s == self._wake_s:
                self._wake_s = math.inf
                self._dispatch()
            elif lane is not None:
                self._end(lane)
            for each in self._lanes:
                each.begin()

    def _pass(self, at_s: float, busy: Sequence[_Lane]) -> None:
        """Each busy lane gets its share of the core until `at_s`."""
        if busy:
            self._busy_s += at_s - self._now_s
            share_s = (at_s - self._now_s) / len(busy)
            for lane in busy:
                lane.left_s = max(lane.left_s - share_s, 0.0)
            self._worked_s = at_s
        self._now_s = at_s

    def _end(self, lane: _Lane) -> None:
        done, lane.done, lane.left_s = lane.done, None, math.inf
        if done is not None:
            done()

    def _read(self, request: _Request) -> None:
        paused_s = 0.0 if any(lane.done for lane in self._lanes) else self._now_s - self._worked_s
        self._loop.add(
            _READ_SHARE * self._times.loop_s + self._times.waking_s(paused_s),
            lambda: self._decoder.add(request.decode_s, lambda: self._enqueue(request)),
        )

    def _enqueue(self, request: _Request) -> None:
        request.arrived_s = self._now_s
        self._queue.append(request)
        self._plan_dispatch()

    def _plan_dispatch(self) -> None:
        """In the loop, what came in the same turn is read first, and runs together."""
        if self._runner is not self._loop:
            self._dispatch()
        elif not self._planned:
            self._planned = True
            self._loop.add(0.0, self._dispatch)

    def _dispatch(self) -> None:
        self._planned = False
        if self._running or not self._queue:
            return
        plan = plan_batch(self._queue, self._rules, self._now_s)
        if not plan.take:
            self._wake_s = self._now_s + plan.wait_s
            return
        together = [self._queue.popleft() for _ in range(plan.take)]
        self._running, self._runs = True, self._runs + 1
        seconds = self._times.run_s[len(together)] * self._spread[self._runs % len(self._spread)]
        # At once, as the engine does: behind all that waits in the loop, a backlog would never be run off.
        self._runner.add_first(seconds, lambda: self._ran(together))

    def _ran(self, together: Sequence[_Request]) -> None:
        self._running = False
        self._dispatch()
        for request in reversed(together):  # before the next run, where that is in the loop
            self._loop.add_first((1 - _READ_SHARE) * self._times.loop_s, partial(self._answer, request.number))

    def _answer(self, number: int) -> None:
        self._done_s[number] = self._now_s
