"""Requests that ask for another protocol, read as what they are without that wish. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def without_upgrade(request_line: bytes, headers: Iterable[tuple[bytes, bytes]], rest: bytes) -> bytes:
    """The request's bytes anew, with `rest` behind its head: a server may ignore the wish (RFC 9110, 7.8), but the
    parser takes all that follows for that protocol, and a body would be lost. Java's HttpClient asks for h2c with its
    first request. Names of `headers` are in lower case."""
    fields = list(headers)
    lines = [request_line, *(b": ".join(field) for field in fields if field[0] not in (b"connection", b"upgrade"))]
    tokens = b",".join(value for name, value in fields if name == b"connection").split(b",")
    lines += [b"connection: " + token for token in tokens if token.strip().lower() != b"upgrade"]
    return b"\r\n".join((*lines, b"", rest))
