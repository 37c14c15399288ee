"""How wake-ups reach those that wait for work, from whatever thread they come."""

from __future__ import annotations

import asyncio
import contextlib


class Bell:
    """Made in the loop of those that listen. A ring that nobody waits for is heard by the next one who does."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """From any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(self._rung.set)

    async def heard(self, timeout_s: float) -> None:
        """Returns at a ring, or after `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), timeout_s)
        self._rung.clear()
