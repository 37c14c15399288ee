"""Connections that go to addresses checked before, and read no more than was agreed.

httpcore asks its network backend to connect to the URL's host; this one never looks that name up. So `Host`, SNI and
the certificate's check stay those of the name (httpcore `_async/connection.py:_connect`), while a second answer of
the name server (DNS rebinding) has nobody to mislead.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore

from services.shared.errors import TooLarge
from services.shared.outbound.addresses import IPAddress

READ_BYTES = 16 * 1024  # per read, and so between two turns of the event loop


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the first of `addresses` that answers, until `deadline` (event loop's time).

    `aclose` closes every connection that was opened: httpcore itself loses one that is cancelled in its TLS handshake.
    """

    def __init__(
        self,
        addresses: Sequence[IPAddress],
        *,
        network: httpcore.AsyncNetworkBackend,
        deadline: float,
        max_read_bytes: int,
    ) -> None:
        self._addresses = addresses
        self._network = network
        self._deadline = deadline
        self._max_read_bytes = max_read_bytes
        self._opened: list[httpcore.AsyncNetworkStream] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError()
        for position, address in enumerate(self._addresses):
            # An equal share of what is left: a first address that swallows packets leaves time for the second.
            left_s = max(0.0, self._deadline - asyncio.get_running_loop().time())
            share_s = left_s / (len(self._addresses) - position)
            try:
                stream = await self._network.connect_tcp(str(address), port, timeout=share_s)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                self._opened.append(stream)
                return BoundedStream(stream, self._max_read_bytes)
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("no URL leads to a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def aclose(self) -> None:
        for stream in self._opened:
            await stream.aclose()


class BoundedStream(httpcore.AsyncNetworkStream):
    """Counts everything that arrives, after decryption: headers, interim answers and framing, which no limit on the
    body sees. Raises TooLarge from `read` beyond `max_read_bytes`.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream, max_read_bytes: int) -> None:
        self._stream = stream
        self._max_read_bytes = max_read_bytes
        self._left_bytes = max_read_bytes

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            data = await self._stream.read(min(max_bytes, READ_BYTES), timeout)
        except OSError as error:  # a broken TLS record, which httpcore's anyio backend lets through as it is
            raise httpcore.ReadError() from error
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise TooLarge("the answer of the url's host is too large: use a smaller file", field="url")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            await self._stream.write(buffer, timeout)
        except OSError as error:
            raise httpcore.WriteError() from error

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return BoundedStream(stream, self._max_read_bytes)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
