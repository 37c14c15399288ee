"""HTTP connections that were accepted elsewhere: served by uvicorn's protocol, with bounds it does not have."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_TIMEOUT_S = 15.0  # from the connection, or from a request's first byte, to the end of its headers
MAX_HEADER_BYTES = 32 * 1024
MAX_HEADERS = 100
KEEP_ALIVE_S = 75  # longer than the 60 s of common load balancers, so that they close first


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with a limit on the size, number and time of headers (uvicorn bounds them for h11 only)."""

    _header_timer: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        if self._header_timer is None:
            self._arm()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if len(self.headers) >= MAX_HEADERS:
            raise ValueError("too many headers")  # the parser turns it into its own error, answered with 400
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._disarm()
        super().on_headers_complete()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ValueError("headers too long")

    def _arm(self) -> None:
        self._header_timer = self.loop.call_later(HEADER_TIMEOUT_S, self._too_slow)

    def _disarm(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _too_slow(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self.transport.close()


class ConnectionServer(uvicorn.Server):
    """A uvicorn server without a listening socket: connections are handed to `adopt`.

    `serve` runs until `should_exit`; signals are left to the caller.
    """

    def __init__(self, app: ASGIApp, *, finish_s: float, tls: dict[str, Any] | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(finish_s)),
                **(tls or {}),
            )
        )

    @property
    def connections(self) -> int:
        return len(self.server_state.connections)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def run_until_exit(self) -> None:
        """Serves adopted connections until `should_exit`, then finishes what was accepted within `finish_s`."""
        await self.serve(sockets=[])

    async def adopt(self, connection: socket.socket, on_close: Callable[[], None]) -> None:
        """Serves an accepted connection; `on_close` is called once, when it has ended."""
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            return _Watched(self.config, self.server_state, self.lifespan.state, loop, on_close)

        try:
            await loop.connect_accepted_socket(protocol, connection, ssl=self.config.ssl)
        except OSError:  # reset before it was adopted, or no TLS handshake: nobody is there to answer
            on_close()


class _Watched(BoundedProtocol):
    """Tells when its connection has ended."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, loop: Any, on_close: Callable[[], None]) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=loop)
        self._on_close: Callable[[], None] | None = on_close

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._on_close is not None:
            self._on_close()
            self._on_close = None
