"""Keeps a lease by renewing it, and knows when it is lost."""

from __future__ import annotations

import asyncio

from services.shared.clock import Clock
from services.shared.errors import Unavailable
from services.shared.jobs.base import LEASE_S, RENEW_S, JobStore
from services.shared.jobs.job import Lease

_AGAIN_S = 0.25  # until a store that is away is asked again


class LeaseHold:
    """`asked_s` is when the lease was asked for, by the clock's monotonic time: from then on it is good for LEASE_S,
    however long the answer took."""

    def __init__(self, store: JobStore, lease: Lease, clock: Clock, asked_s: float) -> None:
        self._store, self._lease, self._clock, self._asked_s = store, lease, clock, asked_s

    async def until_lost(self) -> str:
        """Renews until the lease is lost, and says why."""
        wait_s = RENEW_S
        while True:
            await asyncio.sleep(max(0.0, min(wait_s, self._left_s())))
            if self._left_s() <= 0:
                return "the job store could not be asked to renew it"
            asked_s = self._clock.monotonic()
            try:
                async with asyncio.timeout(self._left_s()):
                    renewed = await self._store.renew(self._lease)
            except (Unavailable, TimeoutError):
                wait_s = _AGAIN_S
                continue
            if renewed is None:
                return "it was taken back, or its job has ended"
            self._lease, self._asked_s, wait_s = renewed, asked_s, RENEW_S

    def _left_s(self) -> float:
        return self._asked_s + LEASE_S - self._clock.monotonic()
