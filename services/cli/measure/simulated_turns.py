"""One process of the API on one core that answers tiny pictures in its event loop, as a simulation. Pure.

Whatever has come when a turn of the loop begins is read, decoded, run and answered in it, all together (the engine's
`BriefPredictor`); who comes meanwhile waits for the next turn. Few requests a turn cost more each, so the more come,
the better the core does, up to a limit.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from services.cli.measure.open_load import Floats
from services.cli.measure.service_times import ServiceTimes, TurnTimes


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """`latency_s` has an entry for each arrival, in their order; `busy` is the part of the time in which the core had
    something to do, `batch` how many ran together in the mean."""

    latency_s: Floats
    busy: float
    batch: float


def simulate_turns(times: ServiceTimes, turns: TurnTimes, due_s: Floats, *, seed: int = 0) -> Simulated:
    """What becomes of these arrivals (at least one, ascending, in seconds)."""
    interruptions = _Interruptions(turns, seed)
    due, done_s = due_s.tolist(), np.empty(len(due_s))
    now_s, busy_s, begin, count = 0.0, 0.0, 0, 0
    while begin < len(due):
        paused_s = due[begin] - now_s
        if paused_s > 0:
            now_s = due[begin]
        end = min(bisect_right(due, now_s, begin), begin + turns.largest)
        seconds = interruptions.added(turns.of(end - begin)) + times.waking_s(max(paused_s, 0.0))
        now_s += seconds
        busy_s += seconds
        done_s[begin:end] = now_s
        begin, count = end, count + 1
    return Simulated(done_s + times.wire_s - due_s, busy_s / now_s, len(due) / count)


class _Interruptions:
    """Draws from what was measured, as often as a turn is longer than those that were measured."""

    def __init__(self, turns: TurnTimes, seed: int) -> None:
        self._unit_s = turns.of(1)
        random = np.random.default_rng(seed)
        self._drawn: list[float] = random.choice(turns.interrupted_s, 1 << 16).tolist()
        self._chances: list[float] = random.random(1 << 16).tolist()
        self._next = self._turn = 0

    def added(self, seconds: float) -> float:
        """How long a turn of so many seconds takes with them."""
        self._turn = (self._turn + 1) % len(self._chances)
        times = int(seconds / self._unit_s + self._chances[self._turn])
        for _ in range(times):
            self._next = (self._next + 1) % len(self._drawn)
            seconds += self._drawn[self._next]
        return seconds
