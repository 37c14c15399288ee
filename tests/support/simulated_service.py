"""A service in simulated time: admission in front of servers that take requests in order."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from services.api.admission import Admission, Place
from services.shared.clock import ManualClock
from services.shared.errors import Overloaded
from services.shared.priority import Priority


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request of that kind at that second of the simulation."""

    at_s: float
    kind: str
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class Served:
    """An answered request and how long it was there."""

    arrival: Arrival
    done_s: float

    @property
    def latency_s(self) -> float:
        return self.done_s - self.arrival.at_s


@dataclass(slots=True)
class Outcome:
    """What became of the arrivals, and the most that was in flight."""

    served: list[Served] = field(default_factory=list)
    refused: list[Arrival] = field(default_factory=list)
    most: int = 0

    def goodput(self, begin_s: float, end_s: float) -> float:
        """Answers a second in that part of the simulation."""
        return sum(begin_s <= each.done_s < end_s for each in self.served) / (end_s - begin_s)


def poisson(rate: float, begin_s: float, end_s: float, kinds: Mapping[str, float], seed: int = 0) -> Iterator[Arrival]:
    """Independent arrivals, of kinds in those proportions."""
    source = random.Random(seed)
    at_s = begin_s + source.expovariate(rate)
    while at_s < end_s:
        yield Arrival(at_s, source.choices(list(kinds), list(kinds.values()))[0])
        at_s += source.expovariate(rate)


class SimulatedService:
    """`servers` at work at once, each request for the seconds of its kind, in the order of admission."""

    def __init__(self, admission: Admission, clock: ManualClock, servers: int, seconds: Mapping[str, float]) -> None:
        self._admission, self._clock = admission, clock
        self._servers = servers
        self.seconds = dict(seconds)  # may be changed between two runs
        self._start_s = clock.monotonic()
        self._waiting: deque[tuple[Arrival, Place]] = deque()
        self._running: list[tuple[float, int, Arrival, Place]] = []
        self._numbers = itertools.count()

    def run(self, arrivals: Iterable[Arrival]) -> Outcome:
        """Until the last one is answered. To be called again only with later arrivals."""
        outcome = Outcome()
        for arrival in sorted(arrivals, key=lambda each: each.at_s):
            while self._running and self._running[0][0] <= arrival.at_s:
                self._finish(outcome)
            self._at(arrival.at_s)
            try:
                place = self._admission.enter(arrival.kind, 0, arrival.priority)
            except Overloaded:
                outcome.refused.append(arrival)
                continue
            place.begin()
            self._waiting.append((arrival, place))
            outcome.most = max(outcome.most, self._admission.requests)
            self._start(arrival.at_s)
        while self._running:
            self._finish(outcome)
        return outcome

    def _at(self, at_s: float) -> None:
        self._clock.advance(self._start_s + at_s - self._clock.monotonic())

    def _start(self, now_s: float) -> None:
        while self._waiting and len(self._running) < self._servers:
            arrival, place = self._waiting.popleft()
            end_s = now_s + self.seconds[arrival.kind]
            heapq.heappush(self._running, (end_s, next(self._numbers), arrival, place))

    def _finish(self, outcome: Outcome) -> None:
        now_s, _, arrival, place = heapq.heappop(self._running)
        self._at(now_s)
        place.leave()
        outcome.served.append(Served(arrival, now_s))
        self._start(now_s)
