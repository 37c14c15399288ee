"""Memory for pictures being decoded, shared by all threads of a process."""

from __future__ import annotations

from collections import deque
from threading import Condition
from types import TracebackType


class PixelBudget:
    """At most `max_bytes` reserved at once; whoever wants more than is free waits, first come first served.

    Strictly in order: a large picture at the front holds up the small ones behind it, and so is never starved by them.
    One that is larger than the whole budget runs when nothing else does. Waiting has no deadline of its own: every
    reservation ends with a decode, which is bounded by the limit on pixels, and the number that wait is bounded by the
    threads that decode.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 1:
            raise ValueError(f"a budget of {max_bytes} bytes lets nothing through: give at least 1")
        self.max_bytes = max_bytes
        self._changed = Condition()
        self._waiting: deque[object] = deque()
        self._used_bytes = 0

    @property
    def used_bytes(self) -> int:
        return self._used_bytes

    @property
    def waiting(self) -> int:
        """How many reservations wait for room."""
        return len(self._waiting)

    def acquire(self, size_bytes: int) -> None:
        """Waits until there is room, then takes it. Whoever calls this must call `release` with the same size."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket and self._has_room(size_bytes))
                self._used_bytes += size_bytes
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def release(self, size_bytes: int) -> None:
        with self._changed:
            self._used_bytes -= size_bytes
            self._changed.notify_all()

    def _has_room(self, size_bytes: int) -> bool:
        return self._used_bytes == 0 or self._used_bytes + size_bytes <= self.max_bytes


class Reservation:
    """One picture's share of a budget, given back at the end of its `with`; without a budget it does nothing.

    `take` replaces what was taken before and never holds anything while it waits, so that two of them cannot wait for
    each other.
    """

    def __init__(self, budget: PixelBudget | None) -> None:
        self._budget = budget
        self._held_bytes = 0

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._give_back()

    def take(self, size_bytes: int) -> None:
        if self._budget is None:
            return
        self._give_back()
        self._budget.acquire(size_bytes)
        self._held_bytes = size_bytes

    def _give_back(self) -> None:
        if self._budget is not None and self._held_bytes:
            held, self._held_bytes = self._held_bytes, 0
            self._budget.release(held)
