"""Counting with the `limits` library, the same over every one of its storages."""

from __future__ import annotations

import time
from functools import lru_cache

from limits import RateLimitItemPerDay, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.storage.redis import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter

from services.shared.clock import Clock
from services.shared.errors import RateLimited
from services.shared.keys.base import ApiKey
from services.shared.quotas.base import Window, day_of, rate_windows, until_next_day_s

_items = lru_cache(maxsize=1024)(lambda window: RateLimitItemPerSecond(window.amount, window.seconds, "grayscale"))
_windows = lru_cache(maxsize=1024)(rate_windows)


class Counting:
    """A moving window for the rate, a fixed one for each UTC day; `clock` says only which day it is."""

    def __init__(self, storage: MemoryStorage | RedisStorage, clock: Clock) -> None:
        self._storage = storage
        self._rates = MovingWindowRateLimiter(storage)
        self._clock = clock

    async def check(self, key: ApiKey, cost: int) -> None:
        for window in _windows(key.rate_per_s, key.burst):
            await self._check_rate(key, window, cost)
        if key.daily_quota is not None:
            await self._check_day(key, key.daily_quota, cost)

    async def _check_rate(self, key: ApiKey, window: Window, cost: int) -> None:
        item = _items(window)
        if await self._rates.hit(item, key.key_id, cost=cost):
            return
        if cost > window.amount:
            detail = f"{cost} requests at once are more than this key's limit of {_said(window)}: send fewer at a time"
            raise RateLimited(detail, retry_after_s=float(window.seconds))
        freed_at, _ = await self._rates.get_window_stats(item, key.key_id)
        raise RateLimited(
            f"this key may send {_said(window)}", retry_after_s=min(max(freed_at - time.time(), 0.0), window.seconds)
        )

    async def _check_day(self, key: ApiKey, quota: int, cost: int) -> None:
        """The day is part of the counter's name, so that it begins at midnight and not with the first request."""
        now = self._clock.now()
        item = RateLimitItemPerDay(quota, 1, "grayscale")
        name = item.key_for(key.key_id, day_of(now))
        if await self._storage.incr(name, item.get_expiry(), cost) <= quota:
            return
        await self._storage.incr(name, item.get_expiry(), -cost)
        detail = f"this key may send {quota} requests a day; the next day begins at midnight UTC"
        raise RateLimited(detail, retry_after_s=until_next_day_s(now))


def _said(window: Window) -> str:
    return (
        f"{window.amount} requests in {window.seconds} s"
        if window.seconds > 1
        else f"{window.amount} requests a second"
    )
