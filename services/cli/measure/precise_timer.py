"""A timer that rings on time: event loops round to milliseconds, which is more than a small model takes."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
from collections.abc import Callable
from typing import Protocol

_CLOCK_MONOTONIC, _ABSOLUTE = 1, 1  # linux/time.h; `time.monotonic` and the loops read the same clock


class Timer(Protocol):
    """Rings once for each time that it is set; setting it again moves it."""

    def set(self, at_s: float) -> None:
        """`at_s` is of `time.monotonic`."""

    def close(self) -> None: ...


class _Timerspec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")]


class TimerFd:
    """Linux's timer as a file (timerfd_create(2)): some tens of microseconds late."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._loop, self._ring = loop, ring
        self._spec = _Timerspec()
        loop.add_reader(self._file, self._look)

    def set(self, at_s: float) -> None:
        # At zero it would never ring.
        self._spec.value_s, self._spec.value_ns = divmod(max(1, round(at_s * 1e9)), 1_000_000_000)
        self._libc.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(self._spec), None)

    def close(self) -> None:
        self._loop.remove_reader(self._file)
        os.close(self._file)

    def _look(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it was moved meanwhile
            os.read(self._file, 8)
            self._ring()


class LoopTimer:
    """The event loop's own, where there is no better one: up to a millisecond late."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop, self._ring = loop, ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at_s: float) -> None:
        self.close()
        self._handle = self._loop.call_at(at_s, self._ring)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


def best_timer(loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> Timer:
    """The most precise that this system has."""
    return TimerFd(loop, ring) if sys.platform == "linux" else LoopTimer(loop, ring)
