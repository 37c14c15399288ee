"""Servers on loopback that write down every connection, and names that lead to them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

import httpcore

from services.shared.outbound.addresses import IPAddress
from tests.support.polling import until

LOOPBACK = (ip_network("127.0.0.0/8"),)

# Writes an answer; the request's head was read before. What it leaves open is closed after it.
Answer = Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]


@dataclass
class RecordingServer:
    """`connections` counts from the first packet on, `requests` holds the heads that arrived, `bodies` their bodies."""

    port: int = 0
    connections: int = 0
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ended: int = 0

    async def saw_nothing(self) -> bool:
        """Whether nobody but this call ever connected: connections are accepted in order, so one more flushes them."""
        before = self.connections
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        await until(lambda: self.connections > before)
        writer.close()
        await writer.wait_closed()
        return before == 0 and self.connections == 1


@asynccontextmanager
async def serving(
    answer: Answer, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[RecordingServer]:
    """A server that answers every request of every connection with `answer`, once."""
    record = RecordingServer()
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        record.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            record.requests.append(head)
            record.bodies.append(await reader.readexactly(_length(head)))
            await _answer_while_there(answer(writer), reader)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away: what the tests look at is the record
        finally:
            record.ended += 1
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(handle(reader, writer))
        handlers.add(task)
        task.add_done_callback(handlers.discard)

    server = await asyncio.start_server(accept, host, 0, ssl=tls)
    record.port = server.sockets[0].getsockname()[1]
    try:
        yield record
    finally:
        server.close()
        for task in tuple(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


async def _answer_while_there(answering: Coroutine[Any, Any, None], reader: asyncio.StreamReader) -> None:
    """Answers until that is done or the client has gone."""
    tasks = {asyncio.ensure_future(answering), asyncio.ensure_future(reader.read())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _length(head: str) -> int:
    lines = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
    return int(lines[0].partition(":")[2]) if lines else 0


def plain(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    """A well-formed answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def raw(data: bytes) -> Answer:
    """These bytes and nothing else."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return answer


def redirect(location: str, status: int = 302) -> Answer:
    return plain(b"elsewhere", f"Location: {location}", status=f"{status} Found")


def endless(start: bytes, piece: bytes, *, pause_s: float = 0.0) -> Answer:
    """`start`, then `piece` until the client has had enough."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return answer


def silent() -> Answer:
    """Takes the request and never says anything."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return answer


class ScriptedResolver:
    """Names from a table. Each lookup of a name gives the next of its answers, the last one again and again; an answer
    is the addresses, separated by blanks. Another name does not exist.
    """

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self._answers = {name: list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[IPAddress]:
        self.asked.append(host)
        answers = self._answers.get(host)
        if answers is None:
            raise OSError("no such name")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ip_address(text) for text in answer.split()]


class WatchedNetwork(httpcore.AnyIOBackend):
    """Writes down every address that a connection is tried to; those not on loopback are refused, not called."""

    def __init__(self) -> None:
        self.tried: list[str] = []

    async def connect_tcp(  # type: ignore[override]
        self, host: str, port: int, timeout: float | None = None, **options: object
    ) -> httpcore.AsyncNetworkStream:
        self.tried.append(host)
        if not ip_address(host).is_loopback:
            raise httpcore.ConnectError()
        return await super().connect_tcp(host, port, timeout)
