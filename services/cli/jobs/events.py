"""Server-sent events, as far as jobs use them (WHATWG HTML, "Server-sent events")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """`data` has its lines joined."""

    name: str
    data: bytes


def whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines that end with a line feed, without it: what a broken connection leaves at the end is no line. Only a
    line feed ends one; a JSON string may have other characters that do in text."""
    left = bytearray()
    for piece in pieces:
        left += piece
        if b"\n" in piece:
            *lines, rest = bytes(left).split(b"\n")
            yield from lines
            left = bytearray(rest)


def events_of(lines: Iterable[bytes]) -> Iterator[Event]:
    """The events that an empty line has ended; comments, which are heartbeats, and events without data are none."""
    name, data = "", list[bytes]()
    for line in lines:
        stripped = line.removesuffix(b"\r")
        field, _, value = stripped.partition(b":")
        value = value.removeprefix(b" ")
        if not stripped:
            if data:
                yield Event(name or "message", b"\n".join(data))
            name, data = "", []
        elif field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"data":
            data.append(value)
