"""`/healthz/live`, `/healthz/ready` and `/metrics` of a process that serves nobody else: they need no key, so they are
for this machine's or the cluster's own network."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Callable, Generator
from pathlib import Path

import orjson
import uvicorn

from services.shared.asgi import Answer, AsgiApp, Receive, Scope, Send, send_answer

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class HealthApp:
    """A plain ASGI app. `reasons` says why the process is not ready: nothing, when it is."""

    def __init__(self, reasons: Callable[[], list[str]], metrics: Callable[[], bytes]) -> None:
        self._reasons, self._metrics = reasons, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in ("/healthz/live", "/healthz/ready", "/metrics"):
            await send_answer(send, Answer(404))
        elif scope["method"] not in ("GET", "HEAD"):
            await send_answer(send, Answer(405, headers={"allow": "GET, HEAD"}))
        else:
            await send_answer(send, await self._answer(scope["path"]))

    async def _answer(self, path: str) -> Answer:
        if path == "/metrics":
            return Answer(200, await asyncio.to_thread(self._metrics), {"content-type": CONTENT_TYPE})
        reasons = self._reasons() if path == "/healthz/ready" else []
        body = {"status": "not ready", "reasons": reasons} if reasons else {"status": "ok"}
        return Answer(503 if reasons else 200, orjson.dumps(body), {"content-type": "application/json"})


class HealthServer:
    """uvicorn in a running loop; whoever owns the process handles its signals. When it stops, requests in work have
    `finish_s`. `tls`: the files of a certificate and its key."""

    def __init__(self, app: AsgiApp, *, finish_s: float = 1.0, tls: tuple[Path, Path] | None = None) -> None:
        certificate, key = tls or (None, None)
        config = uvicorn.Config(
            app, lifespan="off", ws="none", log_config=None, access_log=False, server_header=False,
            timeout_graceful_shutdown=math.ceil(finish_s), ssl_certfile=certificate, ssl_keyfile=key,
        )  # fmt: skip
        self._server = _QuietServer(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self, listening: socket.socket) -> None:
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0.005)  # uvicorn has no event for it; what follows is local and takes milliseconds

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def listen(host: str, port: int | None, default: int) -> socket.socket:
    """A listening socket on the port; without one on `default`, or on any free one where that is taken. Raises OSError
    when there is none to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, default if port is None else port), family=family)
    except OSError:
        if port is not None:
            raise
        listening = socket.create_server((host, 0), family=family)
    # Of sockets that were not made with a protocol asyncio does not do it itself, and each answer but the first of a
    # connection would wait 40 ms for the other side's acknowledgement. Accepted ones inherit it.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
