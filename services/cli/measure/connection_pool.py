"""Kept connections on which one prepared request is sent again and again, with little work for each."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable
from typing import cast

BROKEN = 0  # the status of what got no whole answer


class ConnectionPool:
    """Opens a connection when a request finds none free, at most `limit` at once; beyond that requests wait in order.

    `sent_s`, `done_s` (of `time.monotonic`, NaN where it did not come to that) and `status` have an entry for each
    request, in the order of `send`. `on_answer` is called after each that has ended, one way or another.
    """

    def __init__(self, host: str, port: int, message: bytes, *, limit: int) -> None:
        self._address = (host, port)
        self._message = message
        self._limit = limit
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[int] = deque()
        self._random = random.Random(0)  # noqa: S311 - which of the free connections is taken
        self.sent_s: list[float] = []
        self.done_s: list[float] = []
        self.status: list[int] = []
        self.unanswered = 0
        self.most_open = 0
        self.on_answer: Callable[[], None] = lambda: None

    async def open_ahead(self, count: int) -> None:
        """Opens so many connections that no request waits for yet."""
        for _ in range(count):
            await self._connect()

    def send(self) -> None:
        """One request more, at once or as soon as there is a connection for it."""
        number = len(self.sent_s)
        self.sent_s.append(math.nan)
        self.done_s.append(math.nan)
        self.status.append(BROKEN)
        self.unanswered += 1
        if self._idle:
            self._use(self._take_idle(), number)
            return
        self._waiting.append(number)
        self._open_for_waiting()

    def close(self) -> None:
        """Ends every connection; what was not answered stays so."""
        self.on_answer = lambda: None
        self._waiting.clear()
        for task in self._opening:
            task.cancel()
        for connection in list(self._open):
            connection.give_up()

    def opened(self, connection: Connection) -> None:
        self._open.add(connection)
        self.most_open = max(self.most_open, len(self._open))
        self.free(connection)

    def free(self, connection: Connection) -> None:
        """A connection can take the next request."""
        if self._waiting:
            self._use(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._open_for_waiting()

    def ended(self, number: int, status: int) -> None:
        """A request has its answer, or will not get one."""
        self.done_s[number] = time.monotonic()
        self.status[number] = status
        self.unanswered -= 1
        self.on_answer()

    def _take_idle(self) -> Connection:
        # Any of them, not the last used: a server that spreads connections over processes is to see all of them.
        idle = self._idle
        index = int(self._random.random() * len(idle))
        idle[index], idle[-1] = idle[-1], idle[index]
        return idle.pop()

    def _use(self, connection: Connection, number: int) -> None:
        self.sent_s[number] = time.monotonic()
        connection.ask(number, self._message)

    def _open_for_waiting(self) -> None:
        if len(self._waiting) > len(self._opening) and len(self._open) + len(self._opening) < self._limit:
            task = asyncio.ensure_future(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        host, port = self._address
        try:
            await asyncio.get_running_loop().create_connection(lambda: Connection(self), host, port)
        except OSError:
            if self._waiting:  # for each connection that cannot be made one fails, so that nobody waits for ever
                self.ended(self._waiting.popleft(), BROKEN)


class Connection(asyncio.Protocol):
    """Reads answers that say their length; anything else ends it."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._number: int | None = None
        self._read = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._pool.opened(self)

    def ask(self, number: int, message: bytes) -> None:
        self._number = number
        self._transport.write(message)

    def give_up(self) -> None:
        """Ends it; nobody waits for the answer any more."""
        self._number = None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._read:
            data = self._read + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._read = data
            return
        head = data[: end + 2].lower()
        start = head.find(b"\r\ncontent-length:")
        if start < 0 or self._number is None:
            self._transport.abort()
            return
        length = int(head[start + 17 : head.find(b"\r", start + 17)])
        if len(data) < end + 4 + length:
            self._read = data
            return
        self._read, number, self._number = b"", self._number, None
        if b"\r\nconnection: close\r\n" in head:
            self._transport.close()
            self._pool.lost(self)
        else:
            self._pool.free(self)
        self._pool.ended(number, int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.lost(self)
        number, self._number = self._number, None
        if number is not None:
            self._pool.ended(number, BROKEN)
