"""Counting in Redis, across the processes of a machine or of several."""

from __future__ import annotations

import asyncio
import logging

from limits.aio.storage.redis import RedisStorage
from redis.exceptions import RedisError

from services.shared.clock import Clock, SystemClock
from services.shared.errors import RateLimited
from services.shared.keys.base import ApiKey
from services.shared.quotas.counting import Counting
from services.shared.quotas.memory import MemoryQuotaLimiter
from services.shared.redis_url import close_redis_client, parse_redis_url, redis_client

_RETRY_S = 1.0
_CONNECTIONS = 16

_log = logging.getLogger(__name__)


class RedisQuotaLimiter:
    """While the server is away or hangs, this process counts for itself, and one request a second asks it again.

    `clock` says what UTC day it is, and when to ask again. `timeout_s` is for one answer of the server, and each is
    asked for twice: in a process that was held up, an answer that is there looks late. A check waits at most
    2.5 times as long.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, timeout_s: float = 0.1) -> None:
        clock = clock or SystemClock()
        self._client = redis_client(parse_redis_url(url), timeout_s=timeout_s)
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix="grayscale:quota",
            connection_pool=self._client.connection_pool,  # type: ignore[arg-type]
        )
        self._shared = Counting(storage, clock)
        self._alone = MemoryQuotaLimiter(clock)
        self._turns = asyncio.Semaphore(_CONNECTIONS)  # a queue in this process must not look like a slow server
        self._check_timeout_s = 2.5 * timeout_s
        self._clock = clock
        self._away = False
        self._ask_again_at = 0.0

    async def close(self) -> None:
        await close_redis_client(self._client)

    async def check(self, key: ApiKey, cost: int = 1) -> None:
        if key.rate_per_s is None and key.daily_quota is None:
            return
        async with self._turns:
            if not self._may_ask() or not await self._counted(key, cost):
                await self._alone.check(key, cost)

    def _may_ask(self) -> bool:
        if not self._away:
            return True
        now = self._clock.monotonic()
        if now < self._ask_again_at:
            return False
        self._ask_again_at = now + _RETRY_S  # the others do not wait for this one
        return True

    async def _counted(self, key: ApiKey, cost: int) -> bool:
        """Whether the server has counted; raises RateLimited."""
        try:
            async with asyncio.timeout(self._check_timeout_s):
                await self._shared.check(key, cost)
        except RateLimited:
            self._came_back()
            raise
        except (RedisError, OSError) as error:  # a TimeoutError is an OSError
            self._went_away(error)
            return False
        self._came_back()
        return True

    def _went_away(self, error: Exception) -> None:
        self._ask_again_at = self._clock.monotonic() + _RETRY_S
        if not self._away:
            self._away = True
            reason = str(error) or type(error).__name__
            _log.warning("the quota store is away; this process counts alone", extra={"reason": reason})

    def _came_back(self) -> None:
        if self._away:
            self._away = False
            _log.info("the quota store is back; counts are shared again")
