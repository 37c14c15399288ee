"""Releases in Redis or Valkey.

grayscale:releases             a hash: public name -> document
grayscale:releases:revisions   a hash: public name -> revision
grayscale:releases:revision    the store's revision, and the channel on which each new one is published
grayscale:releases:log:NAME    a list of events
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from services.shared.cancellation import heeding_cancellation
from services.shared.errors import Unavailable
from services.shared.redis_url import close_redis_client, parse_redis_url, redis_client
from services.shared.release.advance import Event
from services.shared.release_store.base import Release, Releases, another_writer, check_page, no_such_release
from services.shared.release_store.release_document import (
    event_from_json,
    event_to_json,
    release_from_json,
    release_to_json,
)

_DOCUMENTS = "grayscale:releases"
_REVISIONS = "grayscale:releases:revisions"
_REVISION = "grayscale:releases:revision"
_LOG = "grayscale:releases:log:"
_POLL_S = 0.25  # a message that was lost costs no more

# Compare and set: a name's release with its event, and word of it to all who listen. A revision is the server's time in
# microseconds, or one more than the last: so it rises, and does not come again after the server has lost its data.
# Whole numbers are exact in Lua to 2^53, which these microseconds reach in the year 2255.
_PUT = """
local there = redis.call('HGET', KEYS[2], ARGV[1]) or '0'
if there ~= ARGV[2] then
  return {0, there}
end
local time = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[3]) or '0')
local revision = string.format('%.0f', math.max(last + 1, time[1] * 1000000 + time[2]))
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], revision)
redis.call('SET', KEYS[3], revision)
if ARGV[4] ~= '' then
  redis.call('RPUSH', KEYS[4], ARGV[4])
end
redis.call('PUBLISH', KEYS[3], revision)
return {1, revision}
"""

T = TypeVar("T")


class RedisReleaseStore:
    """A ReleaseStore that all processes share; it belongs to one event loop.

    What was written survives the server's SIGKILL; of what was written in the second before a power cut the server may
    know nothing (`appendfsync everysec`): then the release is decided again from where it was.
    """

    def __init__(self, url: str, *, timeout_s: float = 1.0) -> None:
        self._redis = redis_client(parse_redis_url(url), timeout_s=timeout_s)
        self._put = self._redis.register_script(_PUT)
        self._read: dict[str, Release] = {}  # documents are read anew only when their revision is another
        self._pubsub: PubSub | None = None
        self._listening = asyncio.Lock()

    async def close(self) -> None:
        await self._stop_listening()
        await close_redis_client(self._redis)

    async def get(self, model: str) -> Release:
        pipe = self._redis.pipeline(transaction=True)
        pipe.hget(_DOCUMENTS, model)
        pipe.hget(_REVISIONS, model)
        document, revision = await _answer(pipe.execute())
        if document is None or revision is None:
            raise no_such_release(model)
        try:
            return self._release(model, document, int(revision))
        except ValueError as error:
            raise Unavailable(f"the release of {model}: {error}") from error

    async def list(self) -> Releases:
        pipe = self._redis.pipeline(transaction=True)
        pipe.get(_REVISION)
        pipe.hgetall(_DOCUMENTS)
        pipe.hgetall(_REVISIONS)
        revision, documents, revisions = await _answer(pipe.execute())
        found, unreadable = {}, set()
        for name, document in documents.items():
            model = name.decode()
            try:
                found[model] = self._release(model, document, int(revisions[name]))
            except ValueError:
                unreadable.add(model)
        self._read = dict(found)
        return Releases(int(revision or 0), found, frozenset(unreadable))

    async def put(self, release: Release, *, expected_revision: int, event: Event | None = None) -> Release:
        model = release.plan.model
        document = release_to_json(release)
        keys = [_DOCUMENTS, _REVISIONS, _REVISION, _LOG + model]
        arguments: list[str | int | bytes] = [
            model,
            expected_revision,
            document,
            event_to_json(event) if event else b"",
        ]
        written, revision = await _answer(self._put(keys=keys, args=arguments))
        if not written:
            raise another_writer(model, expected_revision, int(revision))
        return release_from_json(document, int(revision))

    async def events(self, model: str, *, start: int = 0, limit: int = 100) -> tuple[Event, ...]:
        check_page(start, limit)
        found = await _answer(self._redis.lrange(_LOG + model, start, start + limit - 1))
        return tuple([event_from_json(event) for event in found])

    async def changed(self, since: int, *, timeout_s: float) -> int:
        """Woken by messages, and asks every _POLL_S. Of several callers at once one listens, the others ask."""
        if self._listening.locked():
            return await self._other_than(since, timeout_s, asyncio.sleep)
        async with self._listening:
            await self._listen()  # before asking, so that no message falls in between
            return await self._other_than(since, timeout_s, self._message)

    async def _other_than(self, since: int, timeout_s: float, pause: Callable[[float], Awaitable[None]]) -> int:
        end = asyncio.get_running_loop().time() + timeout_s
        while True:
            revision = int(await _answer(self._redis.get(_REVISION)) or 0)
            left_s = end - asyncio.get_running_loop().time()
            if revision != since or left_s <= 0:
                return revision
            await pause(min(left_s, _POLL_S))

    async def _listen(self) -> PubSub:
        if self._pubsub is None:
            self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
            await self._or_stop(self._pubsub.subscribe(_REVISION))
        return self._pubsub

    async def _message(self, timeout_s: float) -> None:
        await self._or_stop((await self._listen()).get_message(timeout=timeout_s))

    async def _or_stop(self, work: Awaitable[Any]) -> None:
        try:
            await _answer(work)
        except BaseException:  # a wait that was broken off may leave half of an answer in the connection
            await self._stop_listening()
            raise

    async def _stop_listening(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    def _release(self, model: str, document: bytes, revision: int) -> Release:
        known = self._read.get(model)
        return known if known is not None and known.revision == revision else release_from_json(document, revision)


async def _answer(work: Awaitable[T]) -> T:
    """What the server says; raises Unavailable when it cannot be asked or has no room."""
    try:
        return await heeding_cancellation(work)
    except (RedisError, OSError) as error:
        raise Unavailable(f"the release store cannot be used: {error}", retry_after_s=1) from error
