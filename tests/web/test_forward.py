"""Requests that are passed on to the API, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from services.web.settings import WebSettings
from tests.support.certificates import certificate
from tests.support.polling import BOUND_S, until
from tests.support.web_server import Web, fake_api, far_server, running_web


async def test_method_path_query_body_and_headers_reach_the_api_as_they_came(web: Web) -> None:
    headers = {"authorization": "Bearer k", "x-routing-key": "me", "cookie": "a=1"}
    answer = await web.http.put("/api/v1/a%2Fb%20c?x=%26&y=1", content=b"body", headers=headers)
    [scope] = web.api.seen
    assert answer.content == b"body"
    assert (scope["method"], scope["raw_path"], scope["query_string"]) == ("PUT", b"/v1/a%2Fb%20c", b"x=%26&y=1")
    found = dict(scope["headers"])
    assert (found[b"authorization"], found[b"x-routing-key"], found[b"cookie"]) == (b"Bearer k", b"me", b"a=1")
    assert found[b"x-forwarded-for"] == b"127.0.0.1"
    assert found[b"x-request-id"].decode() == answer.headers["x-request-id"]
    assert found[b"content-length"] == b"4"


async def test_a_body_is_passed_on_while_it_still_comes(web: Web) -> None:
    go_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"second"

    sending = asyncio.create_task(web.http.post("/api/echo", content=body()))
    await asyncio.wait_for(web.api.first_part.wait(), BOUND_S)
    assert web.api.received == len(b"first")
    go_on.set()
    assert (await sending).content == b"firstsecond"


async def test_a_large_body_comes_through_whole(web: Web) -> None:
    body = bytes(range(256)) * 8192
    answer = await web.http.post("/api/echo", content=body)
    assert answer.content == body


async def test_events_come_one_by_one_and_the_api_learns_that_the_client_left(web: Web) -> None:
    async with web.http.stream("GET", "/api/events") as answer:
        parts = answer.aiter_bytes()
        assert answer.headers["content-type"] == "text/event-stream"
        for event in (b"data: 1\n\n", b"data: 2\n\n"):
            web.api.ticks.put_nowait(event)
            assert await asyncio.wait_for(anext(parts), BOUND_S) == event
        assert not web.api.left.is_set()
    await asyncio.wait_for(web.api.left.wait(), BOUND_S)


async def test_an_endless_stream_ends_when_the_server_does(web: Web) -> None:
    async with web.http.stream("GET", "/api/events") as answer:
        web.api.ticks.put_nowait(b"data: 1\n\n")
        parts = answer.aiter_bytes()
        await asyncio.wait_for(anext(parts), BOUND_S)
        web.parts.ending.set()
        assert [part async for part in parts] == []


async def test_a_client_that_leaves_before_the_answer_ends_the_work_at_the_api(web: Web) -> None:
    asking = asyncio.create_task(web.http.get("/api/hold"))
    await until(lambda: len(web.api.seen) == 1)
    asking.cancel()
    await asyncio.wait_for(web.api.left.wait(), BOUND_S)
    text = (await web.http.get("/metrics")).text
    assert 'grayscale_web_requests_total{code="499",route="api"} 1' in text


async def test_answers_keep_their_cookies_and_lose_what_is_of_the_connection(web: Web) -> None:
    web.api.headers = [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"keep-alive", b"timeout=5"),
        (b"x-served-by", b"m/1"),
    ]
    answer = await web.http.get("/api/echo")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-served-by"] == "m/1"
    assert "keep-alive" not in answer.headers
    assert answer.headers["content-security-policy"].endswith("sandbox")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_bound_is_refused_and_the_client_sees_why(
    web: Web, settings: WebSettings, chunked: bool
) -> None:
    body = bytes(settings.max_bytes + 1)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    answer = await web.http.post("/api/echo", content=parts() if chunked else body)
    assert answer.status_code == 413
    assert str(settings.max_bytes) in answer.json()["detail"]
    assert web.api.bodies == []


async def test_a_body_that_stops_is_refused(settings: WebSettings) -> None:
    async with fake_api() as (_, port):
        late = replace(settings, api_url=f"http://127.0.0.1:{port}", idle_s=0.05)
        async with running_web(late) as web:
            reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
            writer.write(b"POST /api/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), BOUND_S)
            writer.close()
    assert head.startswith(b"HTTP/1.1 408 ")


async def test_an_api_that_is_away_is_told_as_such_and_the_pages_stay(settings: WebSettings) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and nobody listens
        away = replace(settings, api_url=f"http://127.0.0.1:{nobody.getsockname()[1]}")
        async with running_web(away) as web:
            answer = await web.http.post("/api/v1/models/digits/predict", content=bytes(100_000))
            assert (answer.status_code, answer.headers["content-type"]) == (502, "application/problem+json")
            assert answer.json()["detail"] == "the API cannot be reached: it is down, or still starting"
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
            assert (await web.http.get("/")).status_code == 200
            assert 'grayscale_web_forward_failures_total{reason="away"} 1' in (await web.http.get("/metrics")).text


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def _break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
    await writer.drain()
    writer.close()


async def _refuse_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
    await writer.drain()
    await reader.read()  # as the API does: a reset would take the answer away
    writer.close()


async def test_an_api_that_hangs_up_is_told_as_such(settings: WebSettings) -> None:
    async with far_server(_hang_up) as url, running_web(replace(settings, api_url=url)) as web:
        answer = await web.http.get("/api/v1/models")
    assert (answer.status_code, answer.json()["type"]) == (502, "urn:grayscale:problem:web-502")


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(settings: WebSettings) -> None:
    async with far_server(_break_off) as url, running_web(replace(settings, api_url=url)) as web:
        with pytest.raises(httpx.RemoteProtocolError):
            await web.http.get("/api/v1/models")


async def test_the_apis_own_early_refusal_comes_through(settings: WebSettings) -> None:
    async with far_server(_refuse_early) as url, running_web(replace(settings, api_url=url)) as web:
        answer = await web.http.post("/api/v1/models/digits/predict", content=bytes(2 * 2**20))
    assert (answer.status_code, answer.content) == (413, b"no")


async def test_of_an_api_on_this_machine_the_certificate_counts_and_not_its_name(
    tmp_path: Path, settings: WebSettings
) -> None:
    (tmp_path / "other").mkdir()
    own = certificate(tmp_path, "public.example")
    other = certificate(tmp_path / "other", "public.example")
    async with fake_api((own.pem, own.key)) as (_, port):
        url = f"https://127.0.0.1:{port}"
        for ca, status in ((own.pem, 200), (other.pem, 502)):
            async with running_web(replace(settings, api_url=url, api_ca=ca)) as web:
                assert (await web.http.get("/api/echo")).status_code == status
