"""Who may come in: a bound on waiting, on requests and on bytes in flight, kept before a body is read."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from services.api.work_estimate import RequestKind, WorkEstimate
from services.shared.clock import Clock
from services.shared.errors import Overloaded
from services.shared.priority import Priority

# The part of the room that each priority may fill: what matters less is refused first, some is always left for HIGH.
SHARES = {Priority.HIGH: 1.0, Priority.NORMAL: 0.9, Priority.LOW: 0.5}
_FEW_REQUESTS, _FEW_PER_CORE = 8, 4


class Lack(enum.StrEnum):
    """What there was too little of for a request that was refused."""

    REQUESTS = "requests"
    WAIT = "wait"  # of time: more work is in front of it than it may wait for
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Of one process: `max_requests` at once, `max_bytes` of bodies held in memory at once, and `max_wait_s` of work
    that is expected to be in front of a request.

    The expectation refuses nobody while few are there (8, and 4 for each core): however wrong it is, work goes on, and
    what completes corrects it.
    """

    max_requests: int = 512
    max_bytes: int = 512 * 1024 * 1024
    max_wait_s: float = 10.0


def _by_level(room: float) -> list[float]:
    """Each priority's part, at the priority's number (they count from 1): an enum's hash takes longer than an index."""
    return [0.0, *(room * SHARES[priority] for priority in sorted(Priority))]


class Admission:
    """Counts what is in flight; belongs to one event loop. `cores` work on it."""

    def __init__(self, limits: AdmissionLimits, clock: Clock, *, cores: int = 1) -> None:
        self._few_requests = max(_FEW_REQUESTS, _FEW_PER_CORE * cores)
        self._max_wait_s = _by_level(limits.max_wait_s)
        self._max_requests = [max(1, int(part)) for part in _by_level(limits.max_requests)]
        self._max_bytes = _by_level(limits.max_bytes)
        self._work = WorkEstimate(busy_from=self._few_requests // 2)
        self._monotonic = clock.monotonic
        self.requests = 0
        self.bytes = 0
        self.refusals = dict.fromkeys(Lack, 0)

    @property
    def refused(self) -> int:
        return sum(self.refusals.values())

    @property
    def max_requests(self) -> int:
        """How many there may be at once, of any priority."""
        return self._max_requests[Priority.HIGH]

    @property
    def max_bytes(self) -> float:
        """How much may be held at once, for requests of any priority."""
        return self._max_bytes[Priority.HIGH]

    @property
    def expected_wait_s(self) -> float:
        """How long everything that is in flight is expected to take."""
        return self._work.expected_s

    def enter(self, kind: object, body_bytes: int, priority: Priority, timeout_s: float = math.inf) -> Place:
        """A place for a request whose body has at most that many bytes, until it `leave`s. Requests of one (hashable)
        `kind` are taken to be alike; `timeout_s` is after how long nobody wants the answer.

        Raises Overloaded at once when there is none. A body larger than the whole room gets in when it would be alone.
        """
        error = self.refusal(priority, timeout_s)
        if error is not None:
            raise error
        self._take(body_bytes, 0, priority)
        self.requests += 1
        return Place(self, self._work.expect(kind), priority, body_bytes)

    def refusal(self, priority: Priority, timeout_s: float = math.inf) -> Overloaded | None:
        """What `enter` would raise for a request without a body, and counts as it does; None when there is a place."""
        if not self.refuses(priority, timeout_s):
            return None
        if self.requests >= self._max_requests[priority]:
            return self._refused(Lack.REQUESTS, "the server has all the work that it can hold: try again")
        return self._refused(Lack.WAIT, "the answer would come too late: try again, or somewhere else")

    def refuses(self, priority: Priority, timeout_s: float = math.inf) -> bool:
        """Whether `refusal` would say something; counts nothing."""
        requests = self.requests
        if requests < self._few_requests:
            return requests >= self._max_requests[priority]
        wait_s = self._work.expected_s
        return wait_s > self._max_wait_s[priority] or wait_s > timeout_s or requests >= self._max_requests[priority]

    def hold(self, body_bytes: int) -> bool:
        """A place for a small request that is answered within a turn of the loop or two, so that it is no work that
        others would wait for; False when there is none, which `enter` is to say. It ends with `let_go`."""
        if self.refuses(Priority.NORMAL) or self.bytes + body_bytes > self._max_bytes[Priority.NORMAL]:
            return False
        self.requests += 1
        self.bytes += body_bytes
        return True

    def let_go(self, requests: int, body_bytes: int) -> None:
        self.requests -= requests
        self.bytes -= body_bytes

    def _take(self, more_bytes: int, held_bytes: int, priority: Priority) -> None:
        """Room for more bytes of a request that holds some already."""
        if self.bytes > held_bytes and self.bytes + more_bytes > self._max_bytes[priority]:
            raise self._refused(Lack.BYTES, "the server holds all the bodies that it can: try again")
        self.bytes += more_bytes

    def _refused(self, lack: Lack, why: str) -> Overloaded:
        self.refusals[lack] += 1
        # By then, what is in flight now will have been answered.
        return Overloaded(why, retry_after_s=max(1.0, self._work.expected_s))


class Place:
    """One request's place; leaving twice changes nothing."""

    __slots__ = ("_admission", "_began_s", "_bytes", "_held", "_kind", "_priority")

    def __init__(self, admission: Admission, kind: RequestKind, priority: Priority, body_bytes: int) -> None:
        self._admission = admission
        self._kind = kind
        self._priority = priority
        self._bytes = body_bytes
        self._held = True
        self._began_s: float | None = None

    def grow(self, more_bytes: int) -> None:
        """Room for a body that did not say how long it is, as it comes; raises Overloaded."""
        self._admission._take(more_bytes, self._bytes, self._priority)
        self._bytes += more_bytes

    def begin(self) -> None:
        """The whole body is there: from now on the request is work. Beginning twice changes nothing."""
        if self._began_s is None:
            self._began_s = now_s = self._admission._monotonic()
            self._admission._work.begin(now_s)

    def leave(self, *, worked: bool = True) -> None:
        """`worked`: the request was computed, so that it tells what such requests cost."""
        if self._held:
            self._held = False
            admission = self._admission
            admission.requests -= 1
            admission.bytes -= self._bytes
            admission._work.end(self._kind, self._began_s, admission._monotonic(), worked=worked)
