"""A timer that is started and stopped many times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls `ring` once, `seconds` after `start`, unless it was stopped; starting a running one changes nothing.

    A stop leaves the loop's timer where it is, and the timer looks again when it fires: most alarms are stopped and
    started thousands of times before one rings.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._ring = ring
        self._due_s: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        return self._due_s is not None

    def start(self) -> None:
        if self._due_s is None:
            self._due_s = self._loop.time() + self._seconds
            if self._handle is None:
                self._handle = self._loop.call_at(self._due_s, self._look)

    def stop(self) -> None:
        self._due_s = None

    def close(self) -> None:
        """Stops for good; lets go of what it would have called."""
        self._due_s = None
        self._ring = _silence
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        self._handle = None
        if self._due_s is None:
            return
        if self._due_s > self._loop.time():
            self._handle = self._loop.call_at(self._due_s, self._look)
            return
        self._due_s = None
        self._ring()


def _silence() -> None:
    pass
