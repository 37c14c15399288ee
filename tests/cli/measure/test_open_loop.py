"""Open-loop load: when requests leave, what their latency counts from, and what becomes of answers that fail."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from itertools import count

import numpy as np
import pytest

from services.cli.measure.load import MeasurementFailed, Request
from services.cli.measure.open_loop import closed_loop, open_loop, poisson
from services.cli.measure.server_process import free_port
from tests.cli.measure.conftest import AnsweringServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n"
Script = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


class ScriptedServer:
    """Calls the script with each request's number, from 0 on; the script answers, or does not."""

    def __init__(self) -> None:
        self.script: Script = answer_with(OK)
        self.connections = 0
        self.read_bytes = 0
        self._numbers = count()

    def start(self) -> None:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(ready,))
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)

    def request(self, body: bytes = b"picture") -> Request:
        return Request(f"http://127.0.0.1:{self.port}/v1/models/m/predict", body, "image/png")

    def _serve(self, ready: threading.Event) -> None:
        async def until_stopped() -> None:
            self._stopping = asyncio.Event()
            server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
            self.port: int = server.sockets[0].getsockname()[1]
            ready.set()
            await self._stopping.wait()
            server.close()

        self._loop.run_until_complete(until_stopped())
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.read_bytes += len(await reader.readexactly(length))
                await self.script(next(self._numbers), writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


def answer_with(*answers: bytes) -> Script:
    """These by turns; an empty one ends the connection."""

    async def script(number: int, writer: asyncio.StreamWriter) -> None:
        answer = answers[number % len(answers)]
        if answer:
            writer.write(answer)
        else:
            writer.close()

    return script


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    server.start()
    yield server
    server.stop()


def test_arrivals_are_independent_and_the_same_for_the_same_seed() -> None:
    times_s = poisson(1000.0, 50.0, seed=3)
    assert np.array_equal(times_s, poisson(1000.0, 50.0, seed=3))
    assert not np.array_equal(times_s[:10], poisson(1000.0, 50.0, seed=4)[:10])
    assert np.all(np.diff(times_s) >= 0)
    assert times_s[0] > 0
    assert 49.9 < times_s[-1] < 50.0
    # Of a Poisson process the count within any time has a variance equal to its mean: here 50 and 50,000.
    assert len(times_s) == pytest.approx(50_000, abs=5 * math.sqrt(50_000))
    counts = np.histogram(times_s, bins=1000, range=(0.0, 50.0))[0]
    assert np.var(counts) / np.mean(counts) == pytest.approx(1.0, abs=0.25)


def test_each_request_leaves_once_and_every_answer_is_counted(server: AnsweringServer) -> None:
    due_s = poisson(400.0, 0.5, seed=0)
    load = open_loop(Request(server.url, b"x" * 70_000, "image/png"), due_s)
    assert load.statuses() == {200: len(due_s)}
    assert server.bodies == [b"x" * 70_000] * len(due_s)
    assert np.all(load.sent_s >= load.due_s)
    assert np.all(load.done_s > load.sent_s)
    assert load.errors == 0
    assert load.cpu_s > 0


def test_a_slow_answer_delays_no_other_request(scripted: ScriptedServer) -> None:
    held: list[asyncio.StreamWriter] = []

    async def script(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 0:
            held.append(writer)
            return
        writer.write(OK)
        if number == 9:
            held[0].write(OK)

    scripted.script = script
    load = open_loop(scripted.request(), np.linspace(0.0, 0.09, 10))
    assert load.statuses() == {200: 10}
    assert load.done_s[0] >= load.done_s[8]  # the first was answered with the last, and none waited for it
    assert load.connections >= 2


async def _at_once(_: int, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


def test_connections_that_are_opened_ahead_are_used(scripted: ScriptedServer) -> None:
    scripted.script = _at_once
    load = open_loop(scripted.request(), np.linspace(0.0, 0.02, 3), open_ahead=5)
    assert load.statuses() == {200: 3}
    assert (load.connections, scripted.connections) == (5, 5)


def test_the_wait_for_a_free_connection_counts_from_when_the_request_was_due(scripted: ScriptedServer) -> None:
    async def slowly(_: int, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(OK)

    scripted.script = slowly
    load = open_loop(scripted.request(), np.zeros(6), max_connections=2)
    assert (load.connections, scripted.connections) == (2, 2)
    latencies_ms = load.latencies_ms(200)
    assert [latency >= wave * 49 for latency, wave in zip(latencies_ms, (1, 1, 2, 2, 3, 3), strict=True)] == [True] * 6
    assert load.late_p99_ms >= 98


def test_refusals_are_kept_apart(scripted: ScriptedServer) -> None:
    scripted.script = answer_with(OK, BUSY, BUSY)
    load = open_loop(scripted.request(), np.linspace(0.0, 0.1, 30))
    assert load.statuses() == {200: 10, 503: 20}
    assert (len(load.latencies_ms(200)), len(load.latencies_ms(429, 503))) == (10, 20)
    assert load.errors == 0


def test_an_answer_in_pieces_is_read_whole(scripted: ScriptedServer) -> None:
    async def in_pieces(_: int, writer: asyncio.StreamWriter) -> None:
        for piece in (OK[:5], OK[5:-5], OK[-5:-1], OK[-1:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.002)

    scripted.script = in_pieces
    load = open_loop(scripted.request(), np.linspace(0.0, 0.1, 10))
    assert load.statuses() == {200: 10}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"", 0),  # the connection ends
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0),  # a length that it does not read
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", 200),
        (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 1\r\n\r\nx", 500),
    ],
)
def test_after_an_answer_that_ends_the_connection_the_next_gets_another(
    scripted: ScriptedServer, answer: bytes, status: int
) -> None:
    scripted.script = answer_with(answer, OK)
    load = open_loop(scripted.request(), np.linspace(0.0, 0.1, 10), max_connections=1)
    assert load.statuses() == {200: 10} if status == 200 else {status: 5, 200: 5}
    assert load.errors == (0 if status == 200 else 5)
    assert load.broken == (5 if status == 0 else 0)


def test_what_is_never_answered_is_given_up(scripted: ScriptedServer) -> None:
    async def only_first(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 0:
            writer.write(OK)

    scripted.script = only_first
    load = open_loop(scripted.request(), np.array([0.0, 0.05, 0.06]), answer_timeout_s=0.2)
    assert load.statuses() == {0: 2, 200: 1}
    assert np.isnan(load.done_s[1:]).all()


def test_a_closed_loop_asks_again_when_it_is_answered_and_not_before(scripted: ScriptedServer) -> None:
    there = most = 0

    async def counted(_: int, writer: asyncio.StreamWriter) -> None:
        nonlocal there, most
        there += 1
        most = max(most, there)
        await asyncio.sleep(0.01)
        there -= 1
        writer.write(OK)

    scripted.script = counted
    load = closed_loop(scripted.request(), 3, 0.5)
    assert (most, scripted.connections, load.connections) == (3, 3, 3)
    assert set(load.statuses()) == {200}
    assert 3 < len(load.status) <= 3 * 50
    assert load.goodput(0.0, 0.5) <= 300


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(MeasurementFailed, match="cannot be reached"):
        open_loop(Request(f"http://127.0.0.1:{free_port()}/", b"", "image/png"), np.linspace(0.0, 0.05, 5))
    with pytest.raises(MeasurementFailed, match="not http"):
        open_loop(Request("https://127.0.0.1/", b"", "image/png"), np.zeros(1))


def test_the_process_is_left_as_it_was(scripted: ScriptedServer) -> None:
    before = (gc.isenabled(), os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))
    open_loop(scripted.request(), np.zeros(1))
    assert (gc.isenabled(), os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)) == before
