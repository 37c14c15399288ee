"""Connections that were accepted elsewhere: kept, drained, reset, and counted as closed once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from services.api.context import RequestContext
from services.api.request_records import RequestRecords
from services.shared.telemetry.http_requests import HttpRequests
from tests.support.certificates import certificate
from tests.support.connections import App, pair, serving
from tests.support.hostile_http import post, request
from tests.support.polling import BOUND_S, until

Run = Callable[[Coroutine[Any, Any, None]], None]
MIB = 1024 * 1024
HEAD = request(close=False)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a test on asyncio's loop, and on the one that serves."""

    def in_loop(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(test)

    return in_loop


def test_a_connection_is_kept_for_the_next_request_and_not_longer(run: Run) -> None:
    async def test() -> None:
        async with serving(App(), keep_alive_s=1) as (server, connect):
            client = await connect()
            for _ in range(3):
                await client.send(HEAD)
                assert "connection" not in (await client.one()).headers
            assert server.connections == 1
            assert await client.all() == []
            await until(lambda: server.connections == 0)
            assert client.closed == [None]

    run(test())


def test_answers_ask_for_the_end_while_draining(run: Run) -> None:
    async def test() -> None:
        draining = False
        app = RequestContext(App(), RequestRecords(HttpRequests()), draining=lambda: draining)
        async with serving(app) as (_, connect):
            client = await connect()
            await client.send(HEAD)
            assert "connection" not in (await client.one()).headers
            draining = True
            await client.send(HEAD)
            [last] = await client.all()
            assert last.headers["connection"] == "close"
            await until(lambda: client.closed == [None])

    run(test())


def test_a_connection_reset_before_it_was_adopted_is_counted_as_closed_once(run: Run) -> None:
    async def test() -> None:
        async with serving(App()) as (server, _):
            for sent in (b"", HEAD):
                client, accepted = pair()
                client.send(sent)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()  # with a reset
                closed: list[None] = []
                await server.adopt(accepted, lambda closed=closed: closed.append(None))  # type: ignore[misc]
                await until(lambda closed=closed: closed == [None])  # type: ignore[misc]
                await until(lambda: server.connections == 0)
                assert closed == [None]

    run(test())


@pytest.mark.parametrize("sent", [b"", HEAD, bytes.fromhex("16030100c8010000c40303")])
def test_who_does_not_finish_a_tls_handshake_is_sent_away_and_counted_once(
    run: Run, tmp_path: Path, sent: bytes
) -> None:
    async def test() -> None:
        files = certificate(tmp_path, "localhost")
        tls = {"ssl_certfile": files.pem, "ssl_keyfile": files.key}
        async with serving(App(), tls=tls, header_timeout_s=0.3) as (server, _):
            client, accepted = pair()
            client.send(sent)
            closed: list[None] = []
            adopting = asyncio.create_task(server.adopt(accepted, lambda: closed.append(None)))
            reader, writer = await asyncio.open_connection(sock=client)
            async with asyncio.timeout(BOUND_S):
                with contextlib.suppress(ConnectionResetError):
                    await reader.read()
                await adopting
            writer.close()
            assert closed == [None]
            assert server.connections == 0

    run(test())


def test_a_clients_leaving_ends_the_connection_once(run: Run) -> None:
    async def test() -> None:
        app = App()
        async with serving(app) as (server, connect):
            client = await connect()
            await client.send(post("/", "a/b", b"", length=10))
            await until(lambda: len(app.seen) == 1)
            client.writer.transport.abort()
            await until(lambda: app.gone == 1 and server.connections == 0)
            assert client.closed == [None]

    run(test())


def test_what_was_accepted_is_answered_before_the_server_ends(run: Run) -> None:
    async def test() -> None:
        app = App(hold=asyncio.Event())
        async with serving(app) as (server, connect):
            client, idle = await connect(), await connect()
            await client.send(HEAD)
            await until(lambda: len(app.seen) == 1)
            server.should_exit = True
            assert await idle.all() == []
            assert app.hold is not None
            app.hold.set()
            [answer] = await client.all()
            assert answer.headers["connection"] == "close"

    run(test())
