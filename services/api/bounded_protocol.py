"""uvicorn's HTTP/1.1 with the bounds that it does not have, and with answers in the order of their requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.api.alarm import Alarm
from services.api.connection_bounds import ConnectionBounds
from services.api.ignored_upgrade import without_upgrade
from services.api.lingering_transport import LingeringTransport
from services.api.refusal import last_answer
from services.api.request_cycle import Refuse, RequestCycle, complete_scope


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
        refuse: Refuse | None = None,
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=loop)
        self._bounds = bounds
        self._on_close = on_close
        self._headers_due = Alarm(loop, bounds.header_timeout_s, self._headers_late)
        self._discarding = Alarm(loop, bounds.discard_s, self._abort)
        self._stalled = Alarm(loop, bounds.stalled_s, self._check_progress)
        self._idle = Alarm(loop, bounds.keep_alive_s, self.timeout_keep_alive_handler)
        self._refuses = refuse
        self._answering: RequestCycle | None = None
        self._new: RequestCycle | None = None  # it waits for the rest of what came with its headers
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
        for alarm in (self._headers_due, self._discarding, self._stalled, self._idle):
            alarm.close()
        self.transport.lost()
        if self._answering is not None:
            self._answering.leave()
        super().connection_lost(exc)
        if self.cycle is not None:  # an ended connection must not wait for the collector of cycles
            self.cycle.on_response = _nothing_more
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

    @property
    def is_between_requests(self) -> bool:
        """Every request that came was answered, and nothing of another one has come."""
        in_head = self._begun and self._headers_due.running
        return not (self._unanswered or self._in_body or in_head or self._refused or self.transport.is_closing())

    def data_received(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._idle.stop()
        self._unparsed += len(data)
        try:
            while data:
                data = self._feed(data)
            self._begin_new()
            # The parser keeps a header, a trailer or a chunk's extension to itself until it is whole, however long.
            if self._unparsed > 2 * self._bounds.max_header_bytes:
                self._fail(431, "a header of the request, or what stands between its chunks, is too long")
        except (httptools.HttpParserError, ValueError):
            self._begin_new()
            self._refuse()
            return
        if self._unanswered == 0 and not (self._in_body or self._headers_due.running):
            self._idle.start()  # stray line ends, or the rest of an unwanted body, have begun no request

    def _feed(self, data: bytes) -> bytes:
        """What must be read again: a request that asks for another protocol, without that wish."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as found:
            line = self.parser.get_method() + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn makes its own
            return without_upgrade(line, self.headers, data[found.args[0] :])
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
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._count(len(name) + len(value))
        name = name.lower()
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            self._fail(501, "Transfer-Encoding: only chunked is known here")  # RFC 9112, 6.1
        if self._in_body:  # a trailer must not pass for a header (RFC 9110, 6.5.1)
            return
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._bounds.max_header_bytes or self._header_count > self._bounds.max_headers:
            bounds = f"{self._bounds.max_headers} headers or {self._bounds.max_header_bytes} bytes"
            self._fail(431, f"the request's headers are more than {bounds}")

    def on_headers_complete(self) -> None:
        self._headers_due.stop()
        self._unparsed = 0
        version, method = self.parser.get_http_version(), self.parser.get_method()
        if version not in ("1.0", "1.1"):
            self._fail(400, "use HTTP/1.1")
        # Exactly one, and who asks for none may be read differently by what stands in front (RFC 9112, 3.2).
        hosts = sum([name == b"host" for name, _ in self.headers])
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            self._fail(400, "the request needs one Host header")
        if method == b"CONNECT":
            self._fail(501, "this server is no proxy")
        self._upgrading = self.parser.should_upgrade()
        if not self._upgrading:
            self._begin_cycle(version, method.decode("ascii"))
            self._in_body = True
            self._unanswered += 1

    def _begin_cycle(self, version: str, method: str) -> None:
        cycle = RequestCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version == "1.1" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        complete_scope(cast(Scope, self.scope), self.url, version, method, cycle)
        self.cycle = cycle
        if self._answering is None:
            self._answering = self._new = cycle
        else:  # after the answers of the requests before it
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _begin_new(self) -> None:
        """Once everything that came with a request's headers was read: often that is all of it."""
        cycle, self._new = self._new, None
        if cycle is None or (self._refuses is not None and self._refuses(cycle)):
            return
        self._answer(cycle)

    def _answer(self, cycle: RequestCycle) -> None:
        self._answering = cycle
        task = self.loop.create_task(cycle.run_asgi(self.app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._unparsed = 0
        self._in_body = False
        self._discarding.stop()
        if not (self._upgrading or self.cycle.response_complete):
            self.cycle.more_body = False
            self.cycle.message_event.set()

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
        self._answer_next()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._discarding.start()

    def _answer_next(self) -> None:
        self._answering = None
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, _ = self.pipeline.pop()
            self._answer(cycle)  # type: ignore[arg-type]
        else:
            self._idle.start()

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
        self.transport.write(last_answer(status, detail, self.server_state.default_headers))
        self.transport.close()


def _nothing_more() -> None:
    """What follows the answer that was the last one."""
