"""Time as a dependency, so that decisions about it can be tested without waiting."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """`monotonic` for durations and deadlines, `now` (Unix seconds) for what is stored or shown. Both in seconds."""

    def monotonic(self) -> float: ...

    def now(self) -> float: ...


class SystemClock:
    """The machine's clocks; themselves, as they are asked for several times in every request."""

    monotonic = staticmethod(time.monotonic)
    now = staticmethod(time.time)


class ManualClock:
    """A clock that moves when it is told to."""

    def __init__(self, start_s: float = 1_000_000.0) -> None:
        self._now_s = start_s

    def monotonic(self) -> float:
        return self._now_s

    def now(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        self._now_s += seconds
