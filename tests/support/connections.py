"""A server of adopted connections, and clients of it on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.connection import ConnectionServer
from services.api.connection_bounds import ConnectionBounds
from services.api.quick_protocol import QuickAnswers
from services.api.request_cycle import Refuse
from services.shared.asgi import BodyLimits, ClientGone, read_body
from services.shared.errors import TooLarge
from tests.support.hostile_http import Answer, answers_in
from tests.support.polling import BOUND_S, until


@dataclass(slots=True)
class App:
    """Answers with the body that it got. `hold` keeps it from answering; `seen` are the scopes of its requests."""

    seen: list[Scope] = field(default_factory=list)
    hold: asyncio.Event | None = None
    large_answer: int = 0
    gone: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope)
        if scope["path"] == "/refuse":
            raise TooLarge("no")
        try:
            body = await read_body(scope, receive, BodyLimits(timeout_s=BOUND_S, idle_s=BOUND_S))
        except ClientGone:
            self.gone += 1
            return
        if self.hold is not None:
            await self.hold.wait()
        body = bytes(self.large_answer) or body
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@dataclass(slots=True)
class Client:
    """The far end of an adopted connection; `closed` counts the calls of `on_close`."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    closed: list[None]

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def all(self) -> list[Answer]:
        """Every answer until the server closes."""
        async with asyncio.timeout(BOUND_S):
            return list(answers_in(await self.reader.read()))

    async def one(self) -> Answer:
        async with asyncio.timeout(BOUND_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            [answer] = answers_in(head + await self.reader.readexactly(length))
        return answer


def pair(buffer_bytes: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection over TCP, (client, accepted), with kernel buffers of that size on both sides."""
    client = socket.socket()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if buffer_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
    for end in (client, accepted):
        end.setblocking(False)
    return client, accepted


@asynccontextmanager
async def serving(
    app: ASGIApp,
    *,
    tls: dict[str, Any] | None = None,
    quick: QuickAnswers | None = None,
    refuse: Refuse | None = None,
    **bounds: Any,
) -> AsyncIterator[tuple[ConnectionServer, Callable[..., Awaitable[Client]]]]:
    """A running server, and a way to connect to it."""
    server = ConnectionServer(app, finish_s=1.0, tls=tls, bounds=ConnectionBounds(**bounds), quick=quick, refuse=refuse)
    running = asyncio.create_task(server.run_until_exit())
    writers = []

    async def connect(buffer_bytes: int | None = None) -> Client:
        ours, theirs = pair(buffer_bytes)
        closed: list[None] = []
        await server.adopt(theirs, lambda: closed.append(None))
        reader, writer = await asyncio.open_connection(sock=ours)
        writers.append(writer)
        return Client(reader, writer, closed)

    await until(lambda: server.started)
    try:
        yield server, connect
    finally:
        for writer in writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        server.should_exit = True
        await running
