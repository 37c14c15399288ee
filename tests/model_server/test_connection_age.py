"""Connections that end by themselves, so that callers look again for whom to call, and no call notices."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np

from services.model_server.listeners import Listeners
from services.shared.inference.triton import TritonInference
from services.shared.model_ref import ModelRef
from tests.support.oip_server import ANY_PORT, MESSAGE_BYTES, RunningServer
from tests.support.polling import BOUND_S

PETS = ModelRef("pets", 1)
IMAGE = {"image": np.zeros((1, 2, 2, 3), np.uint8)}


class Relay:
    """Counts the connections that go through it to a server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.accepted = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(_pass_on(reader, there_writer), _pass_on(there_reader, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def relayed(port: int) -> AsyncIterator[tuple[Relay, str]]:
    relay = Relay(port)
    listening = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    yield relay, f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    listening.close()


async def test_connections_end_and_calls_go_on(server: RunningServer) -> None:
    listeners = Listeners(server.handler, bytes, max_message_bytes=MESSAGE_BYTES, max_connection_age_s=0.1)
    addresses = await listeners.start(ANY_PORT)
    async with relayed(addresses.grpc) as (relay, address):
        client = TritonInference(address)
        calls = 0
        async with asyncio.timeout(BOUND_S):
            while relay.accepted < 4:
                await client.infer(PETS, IMAGE, timeout_s=10)
                calls += 1
        await client.close()
        await listeners.stop(1.0)

    assert calls >= relay.accepted


async def test_without_an_age_one_connection_is_kept(server: RunningServer) -> None:
    async with relayed(server.addresses.grpc) as (relay, address):
        client = TritonInference(address)
        for _ in range(50):
            await client.infer(PETS, IMAGE, timeout_s=10)
        await client.close()

    assert relay.accepted == 1
