"""The lease in Redis or Valkey: `grayscale:controller:leader` holds the name of the one that leads."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from redis.exceptions import RedisError

from services.controller.lease import Taken
from services.shared.cancellation import heeding_cancellation
from services.shared.clock import Clock, SystemClock
from services.shared.errors import Unavailable
from services.shared.redis_url import close_redis_client, parse_redis_url, redis_client

KEY = "grayscale:controller:leader"

# Take it where nobody has it, renew it where it is one's own.
_TAKE = """
local now = redis.call('TIME')
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return {2, now[1], now[2]}
end
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return {1, now[1], now[2]}
end
return {0, now[1], now[2]}
"""
_GIVE_BACK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 0
"""
_SAID = {2: Taken.NEW, 1: Taken.KEPT, 0: Taken.NOT}

T = TypeVar("T")


class RedisLease:
    """A Lease that all controllers share; it belongs to one event loop. `clock_offset_s` is this machine's clock minus
    the store's, once that has answered."""

    def __init__(self, url: str, *, clock: Clock | None = None, timeout_s: float = 0.5) -> None:
        self._clock = clock or SystemClock()
        self.clock_offset_s: float | None = None
        self._redis = redis_client(parse_redis_url(url), timeout_s=timeout_s)
        self._take = self._redis.register_script(_TAKE)
        self._give_back = self._redis.register_script(_GIVE_BACK)

    async def take(self, holder: str, ttl_s: float) -> Taken:
        said, seconds, microseconds = await _answer(self._take(keys=[KEY], args=[holder, int(1000 * ttl_s)]))
        self.clock_offset_s = self._clock.now() - int(seconds) - int(microseconds) / 1e6
        return _SAID[said]

    async def give_back(self, holder: str) -> None:
        await _answer(self._give_back(keys=[KEY], args=[holder]))

    async def close(self) -> None:
        await close_redis_client(self._redis)


async def _answer(work: Awaitable[T]) -> T:
    """What the server says; raises Unavailable when it cannot be asked."""
    try:
        return await heeding_cancellation(work)
    except (RedisError, OSError) as error:
        raise Unavailable(f"the lease cannot be used: {error}", retry_after_s=1) from error
