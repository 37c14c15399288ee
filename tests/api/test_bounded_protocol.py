"""What one connection may cost, on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from services.api.context import RequestContext
from services.api.request_records import RequestRecords
from services.shared.telemetry.http_requests import HttpRequests
from tests.support.connections import App, serving
from tests.support.hostile_http import post, request
from tests.support.polling import until

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


SENT: list[tuple[bytes, list[int]]] = [
    (request("/", *[f"X-{n}: y" for n in range(98)]), [200]),
    (request("/", *[f"X-{n}: y" for n in range(99)]), [431]),
    (request("/", "X: " + "y" * 32_000), [200]),
    (request("/", "X: " + "y" * 33_000), [431]),
    (request("/" + "y" * 33_000), [431]),
    (HEAD[:-2] + b"X: " + b"y" * MIB, [431]),
    (HEAD + request("/", "X: " + "y" * 33_000), [200, 431]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", [400]),
    (b"GET / HTTP/1.1\r\n\r\n", [400]),
    (b"GET / HTTP/1.0\r\n\r\n", [200]),
    (b"GET /\r\n\r\n", [400]),
    (HEAD * 17 + request(), [*[200] * 17, 400]),
    (HEAD * 16 + request(), [200] * 17),
    (HEAD + b"nonsense\r\n\r\n" + HEAD, [200, 400]),
    (HEAD + post("/", "a/b", b"zz\r\n", "Transfer-Encoding: chunked", length=None, close=False), [200, 400]),
    (post("/", "a/b", b"0\r\n\r\n", "Transfer-Encoding: gzip, chunked", length=None), [501]),
]


def test_what_a_connection_sends_is_answered_in_order_and_within_bounds(run: Run) -> None:
    async def test() -> None:
        async with serving(App()) as (_, connect):
            for sent, statuses in SENT:
                client = await connect()
                await client.send(sent)
                answers = await client.all()
                assert [answer.status for answer in answers] == statuses, sent[:200]
                if statuses[-1] >= 400:
                    assert answers[-1].document["status"] == statuses[-1]
                    assert answers[-1].headers["connection"] == "close"
                client.writer.close()
                await until(lambda client=client: client.closed == [None])  # type: ignore[misc]

    run(test())


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [(b"", []), (b"\r\n", []), (b"GE", [408]), (HEAD[:-2], [408]), (HEAD + HEAD[:-2], [200, 408])],
)
def test_headers_that_do_not_come_end_the_connection(run: Run, sent: bytes, statuses: list[int]) -> None:
    async def test() -> None:
        async with serving(App(), header_timeout_s=0.2) as (_, connect):
            client = await connect()
            await client.send(sent)
            assert [answer.status for answer in await client.all()] == statuses

    run(test())


def test_a_late_header_does_not_cut_the_answer_before_it(run: Run) -> None:
    async def test() -> None:
        app = App(hold=asyncio.Event())
        async with serving(app, header_timeout_s=0.1) as (_, connect):
            client = await connect()
            await client.send(HEAD + HEAD[:-2])
            await until(lambda: len(app.seen) == 1)
            await asyncio.sleep(0.3)  # the time of three header timeouts
            assert app.hold is not None
            app.hold.set()
            assert [answer.status for answer in await client.all()] == [200, 408]

    run(test())


@pytest.mark.parametrize(
    "stray", [b"\r\n", b"the rest of a body that nobody wanted"], ids=["a line end", "the rest of a body"]
)
def test_stray_bytes_do_not_keep_a_connection_for_ever(run: Run, stray: bytes) -> None:
    async def test() -> None:
        length = 0 if stray == b"\r\n" else len(stray)
        app = RequestContext(App(), RequestRecords(HttpRequests()))
        async with serving(app, keep_alive_s=1) as (_, connect):
            client = await connect()
            await client.send(post("/refuse", "a/b", b"", length=length, close=False))
            assert (await client.one()).status == 413
            await client.send(stray)
            assert await client.all() == []

    run(test())


def test_who_waits_for_leave_gets_it_or_the_end_of_the_connection(run: Run) -> None:
    async def test() -> None:
        async with serving(RequestContext(App(), RequestRecords(HttpRequests()))) as (_, connect):
            wanted = await connect()
            await wanted.send(post("/", "a/b", b"", "Expect: 100-continue", length=3, close=False))
            assert await wanted.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await wanted.send(b"abc")
            answer = await wanted.one()
            assert (answer.body, answer.headers.get("connection")) == (b"abc", None)
            refused = await connect()
            await refused.send(post("/refuse", "a/b", b"", "Expect: 100-continue", length=3, close=False))
            # What looks like a request is the body that was announced.
            await refused.send(HEAD)
            assert [answer.status for answer in await refused.all()] == [413]

    run(test())


def test_an_early_answer_reaches_a_client_that_is_still_sending(run: Run) -> None:
    async def test() -> None:
        async with serving(RequestContext(App(), RequestRecords(HttpRequests()))) as (_, connect):
            client = await connect()
            await client.send(post("/refuse", "a/b", b"", length=16 * MIB))
            for _ in range(16):
                await client.send(bytes(MIB))
            assert [answer.status for answer in await client.all()] == [413]

    run(test())


@pytest.mark.parametrize("close", [True, False])
def test_a_body_that_nobody_wants_is_not_read_for_ever(run: Run, close: bool) -> None:
    async def test() -> None:
        async with serving(RequestContext(App(), RequestRecords(HttpRequests())), discard_s=0.2) as (server, connect):
            client = await connect()
            await client.send(post("/refuse", "a/b", b"", length=10**12, close=close))
            await until(lambda: server.connections == 1)
            await until(lambda: server.connections == 0)
            assert client.closed == [None]

    run(test())


def test_a_client_that_takes_nothing_is_cut_and_one_that_is_slow_is_not(run: Run) -> None:
    async def test() -> None:
        async with serving(App(large_answer=2 * MIB), stalled_s=1.0) as (server, connect):
            stalled, slow = await connect(16 * 1024), await connect(16 * 1024)
            stalled.writer.transport.pause_reading()  # type: ignore[attr-defined]
            for client in (stalled, slow):
                await client.send(request())
            taken = 0
            while piece := await slow.reader.read(32 * 1024):  # for twice as long as a stall may last
                taken += len(piece)
                await asyncio.sleep(0.03)
            assert taken > 2 * MIB
            await until(lambda: server.connections == 0)
            assert stalled.closed == slow.closed == [None]

    run(test())


def test_a_request_for_another_protocol_is_answered_in_this_one_with_its_body(run: Run) -> None:
    async def test() -> None:
        app = App()
        wish = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA")
        async with serving(app) as (_, connect):
            client = await connect()
            await client.send(post("/", "a/b", b"first", *wish, close=False))
            assert (await client.one()).body == b"first"
            chunked = post("/", "a/b", b"6\r\nsecond\r\n0\r\n\r\n", *wish, "Transfer-Encoding: chunked", length=None)
            head, blank, body = chunked.partition(b"\r\n\r\n")
            for piece in (head[:30], head[30:] + blank[:3], blank[3:], body[:5], body[5:]):
                await client.send(piece)
                await asyncio.sleep(0.01)
            assert [answer.body for answer in await client.all()] == [b"second"]
            assert (b"http2-settings", b"AA") in app.seen[0]["headers"]
            assert all(name != b"upgrade" for name, _ in app.seen[0]["headers"])

    run(test())


def test_a_trailer_does_not_pass_for_a_header(run: Run) -> None:
    async def test() -> None:
        app = App()
        async with serving(app) as (_, connect):
            client = await connect()
            body = b"1\r\na\r\n0\r\nX-Release-Arm: candidate\r\n\r\n"
            await client.send(post("/", "a/b", body, "Transfer-Encoding: chunked", length=None))
            assert [answer.body for answer in await client.all()] == [b"a"]
            assert all(name != b"x-release-arm" for name, _ in app.seen[0]["headers"])

    run(test())


def test_a_broken_body_tells_its_reader_at_once(run: Run) -> None:
    async def test() -> None:
        app = App()
        async with serving(app) as (_, connect):
            client = await connect()
            await client.send(post("/", "a/b", b"", "Transfer-Encoding: chunked", length=None))
            await until(lambda: len(app.seen) == 1)
            await client.send(b"zz\r\n")
            await until(lambda: app.gone == 1)
            assert [answer.status for answer in await client.all()] == [400]

    run(test())
