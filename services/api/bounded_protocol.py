"""uvicorn's HTTP/1.1 with the bounds that it does not have, and with answers in the order of their requests."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.api.alarm import Alarm
from services.api.lingering_transport import LingeringTransport
from services.api.problems import problem
from services.shared.errors import InvalidInput

_log = logging.getLogger("grayscale.access")


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """What one connection may cost.

    `header_timeout_s`: from the connection, or from a request's first byte, to the end of its headers.
    `max_pipelined`: requests that wait for the answer of an earlier one; one of 18 bytes costs kilobytes here.
    `discard_s`: how long a body that nobody wants is still read after the answer.
    `stalled_s`: how long a client may take nothing of an answer that does not fit into the socket's buffers.
    """

    header_timeout_s: float = 15.0
    max_header_bytes: int = 32 * 1024
    max_headers: int = 100
    max_pipelined: int = 16
    keep_alive_s: int = 75  # longer than the 60 s of common load balancers, so that they close first
    discard_s: float = 5.0
    stalled_s: float = 30.0


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `on_close` is called once, when it has ended.

    What cannot be read is answered with a problem, after the answers of the requests before it, and then closed.
    """

    transport: LingeringTransport

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: Any,
        loop: asyncio.AbstractEventLoop,
        bounds: ConnectionBounds,
        on_close: Callable[[], None],
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=loop)
        self._bounds = bounds
        self._on_close = on_close
        self._headers_due = Alarm(loop, bounds.header_timeout_s, self._headers_late)
        self._discarding = Alarm(loop, bounds.discard_s, self._abort)
        self._stalled = Alarm(loop, bounds.stalled_s, self._check_progress)
        self._unwritten = 0
        self._header_bytes = self._header_count = 0
        self._unparsed = 0  # bytes since the parser last had something to tell
        self._begun = self._in_body = self._upgrading = False  # of the newest request
        self._unanswered = 0
        self._refusal: tuple[int, str] | None = None
        self._refused = False
        self._answers_before_refusal = 0

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        wrapped = LingeringTransport(
            transport, self.loop, linger_s=self._bounds.discard_s, sending=lambda: self._in_body or self._refused
        )
        super().connection_made(wrapped)
        self._headers_due.start()

    def connection_lost(self, exc: Exception | None) -> None:
        for alarm in (self._headers_due, self._discarding, self._stalled):
            alarm.stop()
        self.transport.lost()
        super().connection_lost(exc)
        self._on_close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unwritten = self.transport.get_write_buffer_size()
        self._stalled.start()

    def resume_writing(self) -> None:
        self._stalled.stop()
        super().resume_writing()

    def _check_progress(self) -> None:
        """Cuts a client that reads nothing: the request that it waits for would hold its place for ever."""
        left = self.transport.get_write_buffer_size()
        if left >= self._unwritten:
            self._abort()
            return
        self._unwritten = left
        self._stalled.start()

    def _abort(self) -> None:
        self.transport.abort()

    # What comes in

    def data_received(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._unparsed += len(data)
        try:
            while data:
                data = self._feed(data)
            # The parser keeps a header, a trailer or a chunk's extension to itself until it is whole, however long.
            if self._unparsed > 2 * self._bounds.max_header_bytes:
                self._fail(431, "a header of the request, or what stands between its chunks, is too long")
        except (httptools.HttpParserError, ValueError):
            self._refuse()
            return
        if self._unanswered == 0 and not (self._in_body or self._headers_due.running):
            # Stray line ends, or the rest of an unwanted body, have stopped uvicorn's timer and begun no request.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _feed(self, data: bytes) -> bytes:
        """What must be read again: a request that asks for another protocol, without that wish.

        A server may ignore it (RFC 9110, 7.8), but the parser takes all that follows for that protocol, and a body
        would be lost. Java's HttpClient asks for h2c with its first request.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as found:
            lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
            lines += [b": ".join(header) for header in self.headers if header[0] not in (b"connection", b"upgrade")]
            tokens = b",".join(value for name, value in self.headers if name == b"connection").split(b",")
            lines += [b"connection: " + token for token in tokens if token.strip().lower() != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn makes its own
            return b"\r\n".join((*lines, b"", data[found.args[0] :]))
        return b""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._unparsed = self._header_bytes = self._header_count = 0
        self._begun, self._in_body, self._upgrading = True, False, False
        self._headers_due.start()
        if len(self.pipeline) >= self._bounds.max_pipelined:
            self._fail(400, f"more than {self._bounds.max_pipelined} requests wait for the answers before theirs")

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._count(len(name) + len(value))
        if name.lower() == b"transfer-encoding" and value.lower() != b"chunked":
            self._fail(501, "Transfer-Encoding: only chunked is known here")  # RFC 9112, 6.1
        if not self._in_body:  # a trailer must not pass for a header (RFC 9110, 6.5.1)
            super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._bounds.max_header_bytes or self._header_count > self._bounds.max_headers:
            bounds = f"{self._bounds.max_headers} headers or {self._bounds.max_header_bytes} bytes"
            self._fail(431, f"the request's headers are more than {bounds}")

    def on_headers_complete(self) -> None:
        self._headers_due.stop()
        self._unparsed = 0
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            self._fail(400, "use HTTP/1.1")
        # Exactly one, and who asks for none may be read differently by what stands in front (RFC 9112, 3.2).
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            self._fail(400, "the request needs one Host header")
        if self.parser.get_method() == b"CONNECT":
            self._fail(501, "this server is no proxy")
        self._upgrading = self.parser.should_upgrade()
        if not self._upgrading:
            super().on_headers_complete()
            self._in_body = True
            self._unanswered += 1

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        self._in_body = False
        self._discarding.stop()
        if not self._upgrading:
            super().on_message_complete()

    def _headers_late(self) -> None:
        if self._unanswered:  # reading may have been paused meanwhile: the client is not to blame
            self._headers_due.start()
        elif self._begun:
            self._refusal = (408, "the request's headers came too slowly")
            self._refuse()
        else:
            self.transport.close()

    # What goes out

    def on_response_complete(self) -> None:
        self._unanswered -= 1
        if self._refused:
            self._answers_before_refusal -= 1
            if self._answers_before_refusal == 0:
                self._send_refusal()
                return
        super().on_response_complete()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._discarding.start()

    def _fail(self, status: int, detail: str) -> None:
        """Makes the parser stop, whose own error then leads to `_refuse`."""
        self._refusal = (status, detail)
        raise ValueError(detail)

    def _refuse(self) -> None:
        self._headers_due.stop()
        self._refused = True
        if self._in_body and self.cycle.response_complete:  # broken in a body that was answered before it ended
            self.transport.close()
            return
        if self._in_body:  # its answer is the refusal: who reads the rest of it waits in vain
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._answers_before_refusal = self._unanswered - int(self._in_body)
        if self._answers_before_refusal == 0:
            self._send_refusal()

    def _send_refusal(self) -> None:
        status, detail = self._refusal or (400, "this is not a request that HTTP/1.1 knows")
        request_id = os.urandom(16).hex()
        _log.info("a request could not be read", extra={"request_id": request_id, "status": status, "reason": detail})
        answer = problem(InvalidInput(detail), request_id, status=None if status == 400 else status)
        headers = [*self.server_state.default_headers, *answer.headers]
        headers += [(b"x-request-id", request_id.encode()), (b"connection", b"close")]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        self.transport.write(b"".join((STATUS_LINE[status], *lines, b"\r\n", answer.body)))
        self.transport.close()
