"""Counting in this process alone: the twin of the shared counters, and what stands in while they are away."""

from __future__ import annotations

from limits.aio.storage import MemoryStorage

from services.shared.clock import Clock, SystemClock
from services.shared.keys.base import ApiKey
from services.shared.quotas.counting import Counting


class MemoryQuotaLimiter:
    """A QuotaLimiter whose counts end with its process and are not shared."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._counting = Counting(MemoryStorage(), clock or SystemClock())

    async def check(self, key: ApiKey, cost: int = 1) -> None:
        await self._counting.check(key, cost)

    async def close(self) -> None:
        pass
