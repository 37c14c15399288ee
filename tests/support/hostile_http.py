"""Bytes to a real server over a raw socket, and what it answers: for requests that no HTTP library would send."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

BOUND_S = 30.0  # far above any answer's time: what takes longer hangs
PREDICT = "/v1/models/digits/predict"
INFER = "/v2/models/digits/infer"

Pieces = Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Attack:
    """What is sent, and the statuses that each answer may have, in order, until the server closes.

    No answers: the server may only close. `hang_up`: the client ends its side when it has sent all.
    """

    name: str
    sent: Pieces
    answers: tuple[frozenset[int], ...]
    hang_up: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def attack(name: str, sent: bytes | Pieces, *statuses: int | Sequence[int], hang_up: bool = False) -> Attack:
    """An attack whose answers have these statuses, one or several allowed ones for each."""
    allowed = tuple(frozenset([each] if isinstance(each, int) else each) for each in statuses)
    return Attack(name, sent if callable(sent) else lambda: (sent,), allowed, hang_up)


def request(
    target: str | bytes = "/healthz/live",
    *headers: str | bytes,
    method: str | bytes = "GET",
    body: bytes = b"",
    length: int | str | None = -1,
    close: bool = True,
    version: bytes = b"HTTP/1.1",
) -> bytes:
    """A request as bytes; `length` is what Content-Length says, by default the body's own, None for no such header."""
    lines = [b" ".join((_bytes(method), _bytes(target), version)), b"Host: grayscale", *map(_bytes, headers)]
    if close:
        lines.append(b"Connection: close")
    if length == -1 and (body or _bytes(method) != b"GET"):
        lines.append(b"Content-Length: %d" % len(body))
    elif length not in (-1, None):
        lines.append(b"Content-Length: " + str(length).encode())
    return b"\r\n".join((*lines, b"", body))


def post(target: str | bytes, media_type: str, body: bytes, *headers: str | bytes, **options: Any) -> bytes:
    return request(target, f"Content-Type: {media_type}", *headers, method="POST", body=body, **options)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def exchange(port: int, attacked: Attack) -> list[Answer]:
    """Everything that the server answers until it closes. Raises TimeoutError when it does not within BOUND_S."""
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND_S) as connection:
        connection.setblocking(False)
        return list(answers_in(_converse(connection, attacked)))


def _converse(connection: socket.socket, attacked: Attack) -> bytes:
    pieces = iter(attacked.sent())
    left = memoryview(b"")
    sending, received = True, bytearray()
    end = time.monotonic() + BOUND_S
    while True:
        if sending and not left:
            piece = next(pieces, None)
            left, sending = memoryview(piece or b""), piece is not None
            if not sending and attacked.hang_up:
                connection.shutdown(socket.SHUT_WR)
        readable, writable, _ = select.select([connection], [connection] if left else [], [], 0 if sending else 0.1)
        if not (readable or writable) and time.monotonic() > end:
            raise TimeoutError(f"{attacked.name}: neither answered nor closed; so far {bytes(received[:200])!r}")
        if writable:
            try:
                left = left[connection.send(left) :]
            except OSError:  # refused while it was still being sent
                left, sending = memoryview(b""), False
        if readable:
            with contextlib.suppress(ConnectionResetError):
                data = connection.recv(65536)
                received += data
                if data:
                    continue
            return bytes(received)


def answers_in(received: bytes) -> Iterator[Answer]:
    """The responses in what came over one connection; raises ValueError for what is none."""
    while received:
        head, blank, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        if version != "HTTP/1.1" or not blank:
            raise ValueError(f"not a response: {head[:200]!r}")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(received) < length:
            raise ValueError(f"an answer of {length} bytes ends after {len(received)}")
        if status != "100":
            yield Answer(int(status), headers, received[:length])
        received = received[length:]
