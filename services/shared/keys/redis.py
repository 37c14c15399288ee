"""Keys in Redis, for several hosts."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.shared.clock import Clock, SystemClock
from services.shared.errors import Unavailable
from services.shared.keys.base import ApiKey, KeySet
from services.shared.keys.change import id_taken, no_such_key
from services.shared.keys.document import key_from_json, key_to_json

_KEYS = "grayscale:keys"  # a hash: key id -> JSON, written once
_REVOKED = "grayscale:keys:revoked"  # a hash: key id -> Unix seconds, written once
_REVISION = "grayscale:keys:revision"  # goes up with every change

_log = logging.getLogger(__name__)


class RedisKeyStore:
    """Asks the server at most every `refresh_s`, and reads the keys only when their revision has changed.

    While the server is away the last known keys count; a process that never saw them refuses with Unavailable.
    A server that lost its data has no keys and so asks for none: several hosts should run with `--require-key`.
    """

    def __init__(
        self, url: str, *, clock: Clock | None = None, refresh_s: float = 0.5, timeout_s: float = 0.25
    ) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1),  # a server that was started again has closed our idle connection
        )
        self._clock = clock or SystemClock()
        self._refresh_s = refresh_s
        self._refreshing = asyncio.Lock()
        self._due_at = 0.0
        self._revision = b""
        self._known: KeySet | None = None
        self._away = False

    async def close(self) -> None:
        await self._redis.aclose()

    async def keys(self) -> KeySet:
        if self._known is None or self._clock.monotonic() >= self._due_at:
            async with self._refreshing:  # those who waited find it done
                if self._known is None or self._clock.monotonic() >= self._due_at:
                    self._known = await self._refreshed()
                    self._due_at = self._clock.monotonic() + self._refresh_s
        return self._known

    def at_once(self) -> KeySet | None:
        return self._known if self._clock.monotonic() < self._due_at else None

    async def add(self, key: ApiKey) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hsetnx(_KEYS, key.key_id, key_to_json(key).decode())
            pipe.incr(_REVISION)
            added, _ = await _answer(pipe)
        self._due_at = 0.0
        if not added:
            raise id_taken(key.key_id)

    async def revoke(self, key_id: str, *, at: float) -> ApiKey:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hget(_KEYS, key_id)
            (document,) = await _answer(pipe)
        if document is None:
            raise no_such_key(key_id)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hsetnx(_REVOKED, key_id, repr(at))
            pipe.incr(_REVISION)
            pipe.hget(_REVOKED, key_id)
            *_, revoked_at = await _answer(pipe)
        self._due_at = 0.0
        return replace(key_from_json(document), revoked_at=float(revoked_at))

    async def _refreshed(self) -> KeySet:
        try:
            known = await self._read()
        except Unavailable as error:
            if self._known is None:
                raise
            if not self._away:
                _log.warning("the key store is away; the last known keys count", extra={"reason": error.detail})
            self._away = True
            return self._known
        if self._away:
            _log.info("the key store is back")
        self._away = False
        return known

    async def _read(self) -> KeySet:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(_REVISION)
            (revision,) = await _answer(pipe)
        if self._known is not None and revision == self._revision:
            return self._known
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.get(_REVISION)
            pipe.hgetall(_KEYS)
            pipe.hgetall(_REVOKED)
            revision, documents, revoked = await _answer(pipe)
        keys = [key_from_json(document) for document in documents.values()]
        at = {key_id.decode(): float(when) for key_id, when in revoked.items()}
        self._revision = revision
        return KeySet.of(replace(key, revoked_at=at.get(key.key_id)) for key in keys)


async def _answer(pipe: redis.client.Pipeline) -> list[Any]:
    """What the server says to each command; raises Unavailable when it cannot be asked."""
    try:
        return await pipe.execute()
    except (RedisError, OSError) as error:
        raise Unavailable(f"the key store cannot be reached: {error}") from error
