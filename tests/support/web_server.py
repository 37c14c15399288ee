"""The pages' server on a real socket, and an API behind it that does what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from services.shared.asgi import ClientGone, Receive, Scope, Send
from services.shared.health_server import HealthServer, listen
from services.web.parts import WebParts, build_parts
from services.web.settings import WebSettings
from tests.support.polling import BOUND_S

Far = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class FakeApi:
    """`/echo` answers with what it got, `/events` sends one event for each `tick`, `/hold` never answers."""

    seen: list[Scope] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    received: int = 0
    first_part: asyncio.Event = field(default_factory=asyncio.Event)
    ticks: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope)
        if scope["path"] == "/hold":
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()
            return
        try:
            body = await self._body(receive)
        except ClientGone:
            return
        headers = [(b"content-type", b"application/json"), *self.headers]
        if scope["path"] == "/events":
            await self._events(receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _body(self, receive: Receive) -> bytes:
        parts, more = [], True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            parts.append(part)
            self.received += len(part)
            if part:
                self.first_part.set()
            more = message.get("more_body", False)
        self.bodies.append(b"".join(parts))
        return self.bodies[-1]

    async def _events(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        leaving = asyncio.ensure_future(receive())
        while not leaving.done():
            tick = asyncio.create_task(self.ticks.get())
            await asyncio.wait({tick, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if tick.done():
                await send({"type": "http.response.body", "body": tick.result(), "more_body": True})
            else:
                tick.cancel()
        self.left.set()


@dataclass(slots=True)
class Web:
    """The server of a test: `http` asks it, `api` is behind it."""

    http: httpx.AsyncClient
    api: FakeApi
    parts: WebParts
    server: HealthServer
    port: int


@asynccontextmanager
async def fake_api(tls: tuple[Path, Path] | None = None) -> AsyncIterator[tuple[FakeApi, int]]:
    """The API and its port."""
    api, place = FakeApi(), listen("127.0.0.1", 0, 0)
    server = HealthServer(api, tls=tls)
    await server.start(place)
    yield api, place.getsockname()[1]
    await server.stop()


@asynccontextmanager
async def far_server(serve: Far) -> AsyncIterator[str]:
    """The address of an API that `serve` makes of bare connections."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def running_web(settings: WebSettings, api: FakeApi | None = None) -> AsyncIterator[Web]:
    place = listen("127.0.0.1", 0, 0)
    port = place.getsockname()[1]
    parts = build_parts(settings)
    server = HealthServer(parts.app, finish_s=settings.finish_s)
    await server.start(place)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=BOUND_S, trust_env=False) as http:
        yield Web(http, api or FakeApi(), parts, server, port)
    parts.ending.set()
    await server.stop()
    await parts.forwarder.close()
