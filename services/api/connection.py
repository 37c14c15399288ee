"""HTTP connections that were accepted elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from services.api.bounded_protocol import BoundedProtocol
from services.api.connection_bounds import ConnectionBounds
from services.api.quick_protocol import QuickAnswers, QuickProtocol
from services.api.request_cycle import Refuse


class ConnectionServer(uvicorn.Server):
    """A uvicorn server without a listening socket: connections are handed to `adopt`.

    `serve` runs until `should_exit`; signals are left to the caller.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        finish_s: float,
        tls: dict[str, Any] | None = None,
        bounds: ConnectionBounds | None = None,
        quick: QuickAnswers | None = None,
        refuse: Refuse | None = None,
    ) -> None:
        self._quick, self._refuse = quick, refuse
        self._bounds = bounds or ConnectionBounds()
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
                timeout_keep_alive=self._bounds.keep_alive_s,
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
        closed = False

        def close_once() -> None:
            nonlocal closed
            if not closed:
                closed = True
                on_close()

        def protocol() -> asyncio.Protocol:
            parts = (self.config, self.server_state, self.lifespan.state, loop, self._bounds, close_once)
            if self._quick is None:
                return BoundedProtocol(*parts, self._refuse)
            return QuickProtocol(*parts, self._quick, self._refuse)

        # Who says hello and no more must not keep the connection.
        handshake_s = self._bounds.header_timeout_s if self.config.ssl else None
        try:
            await loop.connect_accepted_socket(
                protocol, connection, ssl=self.config.ssl, ssl_handshake_timeout=handshake_s
            )
        except OSError:  # reset before it was adopted, or no TLS handshake: nobody is there to answer
            connection.close()
            close_once()
