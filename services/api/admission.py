"""Who may come in: a bound on requests and on bytes in flight, kept before a body is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from services.shared.errors import Overloaded
from services.shared.priority import Priority

# The part of the room that each priority may fill: what matters less is refused first, some is always left for HIGH.
SHARES = {Priority.HIGH: 1.0, Priority.NORMAL: 0.9, Priority.LOW: 0.5}
_RETRY_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Of one process: `max_requests` at once, and `max_bytes` of bodies held in memory at once."""

    max_requests: int = 512
    max_bytes: int = 512 * 1024 * 1024


class Admission:
    """Counts what is in flight; belongs to one event loop."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self.requests = 0
        self.bytes = 0
        self.refused = 0

    def enter(self, body_bytes: int, priority: Priority) -> Place:
        """A place for a request whose body has at most that many bytes, until it `leave`s.

        Raises Overloaded at once when there is none. A body larger than the whole room gets in when it would be alone.
        """
        if self.requests >= max(1, int(self._limits.max_requests * SHARES[priority])):
            self._refuse()
        self.take(body_bytes, 0, priority)
        self.requests += 1
        return Place(self, priority, body_bytes)

    def take(self, more_bytes: int, held_bytes: int, priority: Priority) -> None:
        """Room for more bytes of a request that holds some already; raises Overloaded."""
        others = self.bytes - held_bytes
        if others > 0 and self.bytes + more_bytes > self._limits.max_bytes * SHARES[priority]:
            self._refuse()
        self.bytes += more_bytes

    def _refuse(self) -> NoReturn:
        self.refused += 1
        raise Overloaded("the server has all the work that it can hold: try again", retry_after_s=_RETRY_AFTER_S)


@dataclass(slots=True)
class Place:
    """One request's place; leaving twice changes nothing."""

    _admission: Admission
    _priority: Priority
    _bytes: int
    _held: bool = True

    def grow(self, more_bytes: int) -> None:
        """Room for a body that did not say how long it is, as it comes; raises Overloaded."""
        self._admission.take(more_bytes, self._bytes, self._priority)
        self._bytes += more_bytes

    def leave(self) -> None:
        if self._held:
            self._held = False
            self._admission.requests -= 1
            self._admission.bytes -= self._bytes
