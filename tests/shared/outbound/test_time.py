"""What the other side cannot hold: a call beyond its time, or more calls than there are places."""

import asyncio

import pytest

from services.shared.errors import DeadlineExceeded, Overloaded
from services.shared.outbound.addresses import IPAddress
from services.shared.outbound.client import HttpcoreOutboundClient
from services.shared.outbound.settings import OutboundSettings
from tests.shared.outbound.conftest import Connect
from tests.support.outbound_servers import Answer, endless, redirect, serving, silent
from tests.support.polling import BOUND_S, until

LONG_S = 10.0
SHORT_S = 0.3
FOREVER_S = 3600.0
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(silent(), id="never answers"),
        pytest.param(endless(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x", pause_s=0.02), id="drips its headers"),
        pytest.param(endless(OK + b"Content-Length: 99999\r\n\r\n", b"x", pause_s=0.02), id="drips its body"),
        pytest.param(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause_s=0.02), id="drips interim answers"),
    ],
)
@pytest.mark.parametrize(("callers_s", "operators_s"), [(SHORT_S, FOREVER_S), (FOREVER_S, SHORT_S)])
async def test_a_slow_server_cannot_hold_a_call(
    connect: Connect, answer: Answer, callers_s: float, operators_s: float
) -> None:
    async with serving(answer) as server, connect(server, timeout_s=operators_s) as client:
        async with asyncio.timeout(BOUND_S):
            with pytest.raises(DeadlineExceeded):
                await client.fetch(f"http://images.test:{server.port}/", max_bytes=10**6, timeout_s=callers_s)
        await until(lambda: server.ended == 1)


async def test_time_is_counted_over_all_redirects(connect: Connect) -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(SHORT_S / 2)
        await redirect("/again")(writer)

    async with serving(slow) as server, connect(server) as client:
        with pytest.raises(DeadlineExceeded):
            await client.fetch(f"http://images.test:{server.port}/", max_bytes=100, timeout_s=SHORT_S)
    assert len(server.requests) < 4


async def test_a_name_server_that_never_answers_cannot_hold_a_call() -> None:
    async def never(host: str, port: int) -> list[IPAddress]:
        await asyncio.Event().wait()
        return []

    client = HttpcoreOutboundClient(OutboundSettings(("images.test",)), resolver=never)
    with pytest.raises(DeadlineExceeded):
        await client.fetch("https://images.test/", max_bytes=100, timeout_s=SHORT_S)


async def test_calls_over_the_bound_wait_for_a_place_and_give_up_in_time(connect: Connect) -> None:
    async with serving(silent()) as server, connect(server, concurrency=2) as client:
        url = f"http://images.test:{server.port}/"
        held = [asyncio.create_task(client.fetch(url, max_bytes=100, timeout_s=LONG_S)) for _ in range(2)]
        await until(lambda: len(server.requests) == 2)
        with pytest.raises(Overloaded) as refusal:
            await client.fetch(url, max_bytes=100, timeout_s=SHORT_S)
        assert refusal.value.retry_after_s
        assert server.connections == 2
        held[0].cancel()
        waiting = asyncio.create_task(client.fetch(url, max_bytes=100, timeout_s=LONG_S))
        await until(lambda: len(server.requests) == 3)
        for task in (*held, waiting):
            task.cancel()
        await asyncio.gather(*held, waiting, return_exceptions=True)
        await until(lambda: server.ended == 3)  # a cancelled call closes its connection
