"""Doors and routes that no first prediction needs: each makes its real self, with its imports, when it is first used.

Together they import FastAPI, redis, limits and httpcore, more than everything else in a process.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from services.shared.deferred import Deferred
from services.shared.keys.base import ApiKey
from services.shared.outbound.base import FetchedBody, OutboundClient
from services.shared.quotas.base import QuotaLimiter


class DeferredApp:
    """An ASGI app."""

    def __init__(self, app: Deferred[ASGIApp]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app.made or await self._app.get()
        await app(scope, receive, send)


class DeferredLimiter:
    """A QuotaLimiter."""

    def __init__(self, limiter: Deferred[QuotaLimiter]) -> None:
        self._limiter = limiter

    async def check(self, key: ApiKey, cost: int = 1) -> None:
        limiter = self._limiter.made or await self._limiter.get()
        await limiter.check(key, cost)

    async def close(self) -> None:
        if self._limiter.made is not None:
            await self._limiter.made.close()


class DeferredOutbound:
    """An OutboundClient."""

    def __init__(self, client: Deferred[OutboundClient]) -> None:
        self._client = client

    async def fetch(self, url: str, *, max_bytes: int, timeout_s: float) -> FetchedBody:
        client = await self._client.get()
        return await client.fetch(url, max_bytes=max_bytes, timeout_s=timeout_s)

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str], timeout_s: float) -> int:
        client = await self._client.get()
        return await client.post(url, content=content, headers=headers, timeout_s=timeout_s)

    async def aclose(self) -> None:
        if self._client.made is not None:
            await self._client.made.aclose()
