"""A connection on which some requests are answered quickly: order, what is held meanwhile, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.api.connection import ConnectionServer
from services.api.quick_post import Unread
from services.api.quick_protocol import QuickConnection
from tests.support.connections import App, Client, serving
from tests.support.polling import until


def request(method: str, path: str, body: bytes = b"") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Held:
    """A request that waits for the test."""

    def __init__(self, connection: QuickConnection, data: bytes) -> None:
        self.connection, self.data, self.has_left = connection, data, False

    def leave(self) -> None:
        self.has_left = True

    def answer(self) -> None:
        number = self.data.split(b" ")[1]
        end = b"connection: close\r\n" if self.connection.is_ending else b""
        head = b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n" % (end, len(number))
        self.connection.answer_quickly(head + number)


class Quick:
    """Takes what is posted; `at_once`: and answers before `offer` returns. `MORE` is for what ends with a star."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.held: list[Held] = []
        self.at_once = at_once

    def offer(self, connection: QuickConnection, data: bytes) -> Held | Unread:
        if data.endswith(b"*"):
            return Unread.MORE
        if not data.startswith(b"POST") or data.count(b"POST") > 1:
            return Unread.PARSER
        self.held.append(Held(connection, data))
        if self.at_once:
            self.held[-1].answer()
        return self.held[-1]


@asynccontextmanager
async def made(quick: Quick, **bounds: Any) -> AsyncIterator[tuple[App, ConnectionServer, Client]]:
    app = App()
    async with serving(app, quick=quick, **bounds) as (server, connect):
        yield app, server, await connect()


@pytest.mark.parametrize("at_once", [False, True])
async def test_quick_and_other_requests_take_turns_on_a_connection(at_once: bool) -> None:
    quick = Quick(at_once=at_once)
    async with made(quick) as (app, server, client):
        for number in range(3):
            await client.send(request("POST", f"/{number}"))
            await until(lambda count=number + 1: len(quick.held) == count)  # type: ignore[misc]
            if not at_once:
                quick.held[-1].answer()
            assert (await client.one()).body == f"/{number}".encode()
            await client.send(request("GET", "/other", b"other"))
            assert (await client.one()).body == b"other"
        assert [scope["path"] for scope in app.seen] == ["/other"] * 3
        assert server.server_state.total_requests == 6


async def test_what_comes_meanwhile_is_answered_behind_it() -> None:
    quick = Quick()
    async with made(quick) as (app, _, client):
        await client.send(request("POST", "/a"))
        await until(lambda: len(quick.held) == 1)
        for number in range(3):
            await client.send(request("GET", "/other", b"%d" % number))
            await asyncio.sleep(0.005)
        assert not app.seen
        quick.held[0].answer()
        assert [(await client.one()).body for _ in range(4)] == [b"/a", b"0", b"1", b"2"]


async def test_what_is_given_back_is_the_applications_with_all_that_came_behind_it() -> None:
    quick = Quick()
    async with made(quick) as (app, _, client):
        await client.send(request("POST", "/a", b"a"))
        await until(lambda: len(quick.held) == 1)
        await client.send(request("GET", "/b", b"b"))
        await asyncio.sleep(0.01)
        quick.held[0].connection.give_back()
        assert [(await client.one()).body for _ in range(2)] == [b"a", b"b"]
        assert [scope["path"] for scope in app.seen] == ["/a", "/b"]
        await client.send(request("POST", "/c"))
        await until(lambda: len(quick.held) == 2)
        quick.held[1].answer()
        assert (await client.one()).body == b"/c"


async def test_a_beginning_is_offered_again_with_its_rest() -> None:
    quick = Quick(at_once=True)
    async with made(quick) as (app, _, client):
        await client.send(request("POST", "/a") + b"*")
        await asyncio.sleep(0.005)
        await client.send(b"rest")
        assert (await client.one()).body == b"/a"
        assert quick.held[0].data == request("POST", "/a") + b"*rest"
        assert not app.seen


async def test_a_beginning_whose_rest_takes_its_time_is_the_parsers() -> None:
    async with made(Quick()) as (app, _, client):
        await client.send(request("POST", "/a", b"12345*")[:-1] + b"*")
        assert (await client.one()).body == b"12345*"
        assert [scope["path"] for scope in app.seen] == ["/a"]


async def test_who_leaves_takes_the_request_along() -> None:
    quick = Quick()
    async with made(quick) as (_, server, client):
        await client.send(request("POST", "/a"))
        await until(lambda: len(quick.held) == 1)
        client.writer.close()
        await until(lambda: quick.held[0].has_left)
        await until(lambda: server.connections == 0)
        assert len(client.closed) == 1


async def test_who_leaves_in_the_middle_of_a_request_leaves_nothing() -> None:
    async with made(Quick()) as (app, server, client):
        await client.send(request("POST", "/a") + b"*")
        client.writer.close()
        await until(lambda: server.connections == 0)
        assert not app.seen


async def test_the_last_answer_says_that_it_is_the_last() -> None:
    quick = Quick()
    async with made(quick) as (_, server, client):
        await client.send(request("POST", "/a"))
        await until(lambda: len(quick.held) == 1)
        server.should_exit = True
        await until(lambda: quick.held[0].connection.is_ending)
        quick.held[0].answer()
        [answer] = await client.all()
        assert (answer.body, answer.headers["connection"]) == (b"/a", "close")


async def test_a_connection_that_stays_idle_behind_a_quick_answer_is_closed() -> None:
    async with made(Quick(at_once=True), keep_alive_s=1) as (_, _, client):
        await client.send(request("POST", "/a"))
        assert [answer.body for answer in await client.all()] == [b"/a"]


async def test_headers_that_never_end_are_refused_behind_a_quick_answer() -> None:
    async with made(Quick(at_once=True), header_timeout_s=0.2) as (_, _, client):
        await client.send(request("POST", "/a"))
        assert (await client.one()).body == b"/a"
        await asyncio.sleep(0.25)  # longer than headers may take: nothing of a request is there
        await client.send(b"GET / HT")
        assert [answer.status for answer in await client.all()] == [408]
