"""Servers that take the connection and do not shake hands."""

import asyncio
import contextlib

import pytest

from services.shared.errors import DeadlineExceeded
from services.shared.outbound.base import FetchFailed
from tests.shared.outbound.conftest import Connect
from tests.support.outbound_servers import RecordingServer
from tests.support.polling import until


async def test_a_handshake_that_never_comes_cannot_hold_a_call_and_its_connection_is_closed(connect: Connect) -> None:
    closed = 0

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal closed
        try:
            await reader.read()
        except ConnectionError:
            pass
        finally:
            closed += 1
            writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    record = RecordingServer(port=server.sockets[0].getsockname()[1])
    async with server, connect(record) as client:
        with pytest.raises(DeadlineExceeded):
            await client.fetch(f"https://images.test:{record.port}/", max_bytes=100, timeout_s=0.3)
        await until(lambda: closed == 1)


async def test_a_server_that_speaks_something_else_is_a_failed_fetch(connect: Connect) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.internal ESMTP\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    record = RecordingServer(port=server.sockets[0].getsockname()[1])
    async with server, connect(record) as client:
        with pytest.raises(FetchFailed, match="no TLS connection") as failure:
            await client.fetch(f"https://images.test:{record.port}/", max_bytes=100, timeout_s=10.0)
        assert "mail.internal" not in failure.value.detail
