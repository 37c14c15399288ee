"""The requests that wait for one loaded version, in the order in which they are to be served."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from services.shared.engine.base import InferResult, Waiter
from services.shared.errors import DeadlineExceeded, NotReady, Overloaded, ServingError
from services.shared.model_config import QueuePolicy
from services.shared.tensors import Tensors


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """A request with the future that its caller awaits.

    `level` is the priority level; `late` puts it behind those of its level that are not. `deadline_s` is in the clock's
    monotonic seconds. `queued` says whether it still waits; `outcome` is kept while an earlier request's is awaited.
    A `part` of a request is not counted as one: see in_parts.py. `arrivals` of requests that came as one batch are when
    each of them arrived, and count as one each. One that is `modest` does not take cores that others may want in a
    moment.
    """

    inputs: Tensors
    batch: int
    shapes: Hashable
    level: int
    arrived_s: float
    deadline_s: float | None
    future: Waiter
    part: bool = False
    arrivals: Sequence[float] = ()
    modest: bool = False
    late: bool = False
    queued: bool = False
    outcome: InferResult | ServingError | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def counted_s(self) -> Sequence[float]:
        """When the requests came that it counts as."""
        return self.arrivals if self.part else (self.arrived_s,)

    def stop_timers(self) -> None:
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


class WaitingQueue:
    """By level, within a level first in first out, late ones last. Adding and removing cost O(1).

    Ordered dicts, not deques: a cancelled request leaves from the middle, and its inputs with it.
    """

    def __init__(self) -> None:
        self._lanes: dict[tuple[int, bool], OrderedDict[int, QueuedRequest]] = {}
        self._order: list[tuple[int, bool]] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[QueuedRequest]:
        for key in self._order:
            yield from self._lanes[key].values()

    def add(self, request: QueuedRequest) -> None:
        key = (request.level, request.late)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = OrderedDict()
            self._order = sorted(self._lanes)
        lane[id(request)] = request
        request.queued = True
        self._size += 1

    def remove(self, request: QueuedRequest) -> None:
        del self._lanes[request.level, request.late][id(request)]
        request.queued = False
        self._size -= 1


def refusal(
    model: str, policy: QueuePolicy, *, waiting: int, wait_s: float, timeout_s: float | None, closing: bool
) -> ServingError | None:
    """Why a request may not wait for a model, None if it may. `wait_s`: how long those that wait will take."""
    if closing:
        return NotReady(f"model '{model}' is being unloaded")
    if timeout_s is not None and timeout_s <= 0:
        return DeadlineExceeded("Request timeout expired")
    if policy.max_queue_size and waiting >= policy.max_queue_size:
        return Overloaded("Exceeds maximum queue size", retry_after_s=min(max(wait_s, 0.05), 30.0))
    return None
