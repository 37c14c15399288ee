"""One request and its answer on a connection: uvicorn's cycle with less work for each answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from services.shared.asgi import EXCHANGE

_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})


class RequestCycle(RequestResponseCycle):
    """Writes the head of an answer and its body together, with one system call where both are there.

    It is the `Exchange` of its request (`services.shared.asgi`): `on_disconnect` is called once when the client leaves
    before the answer is complete.
    """

    on_disconnect: Callable[[], None] | None = None
    _head: bytes = b""

    @property
    def body_complete(self) -> bool:
        return not self.more_body and not self.waiting_for_100_continue

    def leave(self) -> None:
        """The connection is lost."""
        if self.response_complete:
            return
        self.disconnected = True
        self.message_event.set()
        if self.on_disconnect is not None:
            self.on_disconnect()

    def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """The whole answer at once, for a request that nothing else answers. What is still to come of its body is
        dropped."""
        if self.disconnected:
            return
        self.response_started = True
        self._head = self._head_of(status, headers)
        self._send_body(body, False)

    async def receive(self) -> Any:
        if self.body_complete and not (self.disconnected or self.response_complete) and self.message_event.is_set():
            self.message_event.clear()
            if self.flow.read_paused:
                self.flow.resume_reading()
            body, self.body = bytes(self.body), bytearray()
            return {"type": "http.request", "body": body, "more_body": False}
        return await super().receive()

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.response_started:
            if kind != "http.response.start":
                raise RuntimeError(f"an answer begins with http.response.start, not {kind}")
            try:
                self._head = self._head_of(message["status"], message.get("headers", ()))
            except RuntimeError:  # nothing was sent: there is still an answer to be had, with a length of its own
                self.expected_content_length, self.chunked_encoding = 0, None
                raise
            self.response_started, self.waiting_for_100_continue = True, False
        elif self.response_complete or kind != "http.response.body":
            raise RuntimeError(f"{kind} does not come here in an answer")
        else:
            self._send_body(message.get("body", b""), message.get("more_body", False))

    def _head_of(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The status line and the headers; also finds out how long the body is to be."""
        lines = [STATUS_LINE[status]]
        closes = False
        for name, value in headers:
            line = b"%b: %b\r\n" % (name, value)
            # RFC 9110, 5.5: what follows would be another header.
            if line.count(b"\n") != 1 or line.count(b"\r") != 1 or b"\0" in line:
                raise RuntimeError(f"a header of the answer has a line end in it: {name!r}")
            lines.append(line)
            if name not in _FRAMING:  # names are in lower case (ASGI)
                continue
            if name == b"content-length" and self.chunked_encoding is None:
                self.expected_content_length, self.chunked_encoding = int(value), False
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self.expected_content_length, self.chunked_encoding = 0, True
            elif name == b"connection" and b"close" in [token.strip().lower() for token in value.split(b",")]:
                self.keep_alive, closes = False, True
        lines += [b"%b: %b\r\n" % header for header in self.default_headers]
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def _send_body(self, body: bytes, more_body: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more_body else b"0\r\n\r\n")
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the answer is longer than its content-length says")
        if not more_body and self.expected_content_length:
            raise RuntimeError("the answer is shorter than its content-length says")
        head, self._head = self._head, b""
        if head or body:
            self.transport.write(head + body)
        if more_body:
            return
        self.response_complete = True
        self.scope: Any = {}  # it leads back here (EXCHANGE): a request must not wait for the collector of cycles
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def complete_scope(scope: Scope, url: bytes, version: str, method: str, cycle: RequestCycle) -> None:
    """Adds what is known when a request's headers are complete; raises httptools' error for a target that is none."""
    target = httptools.parse_url(url)
    path = target.path.decode("ascii")
    scope.update(
        http_version=version,
        method=method,
        path=unquote(path) if "%" in path else path,
        raw_path=target.path,
        query_string=target.query or b"",
        extensions={EXCHANGE: cycle},
    )


# Answers a request by `RequestCycle.answer` because there is no place for it, and gives True; or gives False, and the
# application answers. Never raises.
Refuse = Callable[[RequestCycle], bool]
