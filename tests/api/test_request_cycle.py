"""Answers of an application that says one thing and sends another: nothing of it reaches another request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from services.api.request_cycle import RequestCycle
from services.shared.asgi import EXCHANGE, exchange_of
from tests.support.connections import Client, serving
from tests.support.hostile_http import request
from tests.support.polling import until

Messages = Sequence[dict[str, Any]]


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(content: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


class Sends:
    """An application that sends what it was told, and keeps what that raised."""

    def __init__(self, messages: Messages) -> None:
        self._messages, self.raised = messages, list[str]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for message in self._messages:
            try:
                await send(message)
            except RuntimeError as error:
                self.raised.append(str(error))
                raise


@asynccontextmanager
async def connected(app: Sends) -> AsyncIterator[Client]:
    async with serving(app) as (_, connect):
        yield await connect()


@pytest.mark.parametrize("value", [b"a\r\nx-injected: 1", b"a\nb", b"a\rb", b"a\0b"], ids=["crlf", "lf", "cr", "zero"])
async def test_a_header_that_would_be_two_is_never_sent(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    app = Sends([start((b"content-length", b"0"), (b"x-a", value)), body()])
    with caplog.at_level(logging.CRITICAL):
        async with connected(app) as client:
            await client.send(request("/", close=False))
            [answer] = await client.all()
    assert answer.status == 500
    assert not {"x-a", "x-injected"} & set(answer.headers)
    assert "line end" in app.raised[0]


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([start((b"content-length", b"3")), body(b"four")], "longer"),
        ([start((b"content-length", b"3")), body(b"tw")], "shorter"),
        ([start((b"content-length", b"3")), body(b"tw", more=True), body()], "shorter"),
        ([body(b"a")], "begins with"),
        ([start(), start()], "does not come here"),
        ([start((b"content-length", b"1")), body(b"a"), body(b"a")], "does not come here"),
    ],
    ids=["longer", "shorter", "shorter in pieces", "no head", "two heads", "behind the end"],
)
async def test_an_answer_that_breaks_its_own_word_is_noticed(
    messages: Messages, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = Sends(messages)
    with caplog.at_level(logging.CRITICAL):
        async with connected(app) as client:
            await client.send(request("/", close=False))
            await until(lambda: bool(app.raised))
            client.writer.write_eof()
            await client.reader.read()
    assert says in app.raised[0]


async def test_an_answer_of_unknown_length_comes_in_chunks() -> None:
    async with connected(Sends([start(), body(b"one", more=True), body(b"", more=True), body(b"two")])) as client:
        await client.send(request("/"))
        async with asyncio.timeout(10):
            sent = await client.reader.read()
    assert b"transfer-encoding: chunked\r\n" in sent
    assert sent.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


@pytest.mark.parametrize(("method", "status", "rest"), [("HEAD", 200, b""), ("GET", 204, b""), ("GET", 304, b"")])
async def test_an_answer_without_a_body_has_none(method: str, status: int, rest: bytes) -> None:
    messages = [start(status=status), body(b"dropped" if method == "HEAD" else b"")]
    async with connected(Sends(messages)) as client:
        await client.send(request("/", method=method))
        async with asyncio.timeout(10):
            sent = await client.reader.read()
    head, _, behind = sent.partition(b"\r\n\r\n")
    assert (b"chunked" in head, behind) == (False, rest)


async def test_the_application_is_told_what_there_is_already() -> None:
    seen: list[tuple[bool, bool]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Any = exchange_of(scope)
        assert isinstance(exchange, RequestCycle)
        assert scope["extensions"][EXCHANGE] is exchange
        seen.append((exchange.body_complete, exchange.disconnected))
        await receive()
        await send(start((b"content-length", b"0")))
        await send(body())

    async with serving(app) as (_, connect):
        client = await connect()
        await client.send(request("/", method="POST", body=b"whole", close=False))
        assert (await client.one()).status == 200
        whole = request("/", method="POST", body=b"in parts", close=False)
        await client.send(whole[:-3])
        await until(lambda: len(seen) == 2)
        await client.send(whole[-3:])
        assert (await client.one()).status == 200
    assert seen == [(True, False), (False, False)]
