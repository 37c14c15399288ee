"""What is known of the job store from a moment ago, so that a job is refused before anything of it is read."""

from __future__ import annotations

import asyncio

from services.shared.clock import Clock
from services.shared.errors import ServingError, Unavailable
from services.shared.jobs.base import JobStore, queue_full
from services.shared.jobs.job import StoreStats

FRESH_S = 1.0


class QueueWatch:
    """Asks the store at most every FRESH_S, once for all who want to know; belongs to one event loop.

    A store that does not answer is waited for by one question and not by each request.
    """

    def __init__(self, store: JobStore, clock: Clock, *, max_waiting_items: int) -> None:
        self._store = store
        self._clock = clock
        self._max_waiting_items = max_waiting_items
        self._asking: asyncio.Task[StoreStats] | None = None
        self._known: StoreStats | ServingError | None = None
        self._known_at = 0.0
        self.clock_offset_s: float | None = None  # this machine's clock minus the store's, once that has answered

    async def check(self) -> None:
        """Raises Overloaded when no image more may wait, Unavailable when the store is away."""
        stats = await self.stats()
        waiting = sum(depth.items for depth in stats.depths)
        if waiting >= self._max_waiting_items:
            raise queue_full(waiting, self._max_waiting_items)

    async def stats(self) -> StoreStats:
        """At most FRESH_S old. Raises Unavailable."""
        known = self._known
        if known is None or self._clock.monotonic() - self._known_at >= FRESH_S:
            known = await self._asked()
        if isinstance(known, ServingError):
            raise Unavailable(known.detail, retry_after_s=known.retry_after_s or FRESH_S)
        return known

    async def _asked(self) -> StoreStats | ServingError:
        if self._asking is None:
            self._asking = asyncio.create_task(self._store.stats())
            self._asking.add_done_callback(self._note)
        asking = self._asking
        await asyncio.wait({asking})  # a caller that is cancelled stops nobody else's question
        if (error := asking.exception()) is None:
            return asking.result()
        if isinstance(error, ServingError):
            return error
        raise error

    def _note(self, asking: asyncio.Task[StoreStats]) -> None:
        self._asking = None
        if asking.cancelled():
            return
        error = asking.exception()
        self._known = error if isinstance(error, ServingError) else None if error else asking.result()
        self._known_at = self._clock.monotonic()
        if isinstance(self._known, StoreStats) and self._known.at is not None:
            self.clock_offset_s = self._clock.now() - self._known.at
