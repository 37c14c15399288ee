"""Pages, the way to the API, and what probes ask: which of them a request is for, and one line in the log for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

import orjson

from services.shared.asgi import (
    Answer,
    AsgiApp,
    ClientGone,
    Message,
    Receive,
    Scope,
    Send,
    declared_length,
    header,
    send_answer,
    text_header,
)
from services.shared.telemetry.access_log import AccessLog
from services.shared.telemetry.request_id import request_id_of
from services.web.counters import WebCounters
from services.web.forward import Forwarder, Refused, RequestBody, has_body
from services.web.page_files import PageFile
from services.web.response_headers import API_HEADERS, PAGE_HEADERS

_log = logging.getLogger(__name__)

API_PREFIX = b"/api/"
_PROBES = ("/healthz/live", "/healthz/ready", "/metrics")
_CLIENT_GONE = 499
_SHOWN_PATH = 1024  # characters of a path in the log
_TITLES = {
    400: "The request cannot be understood",
    404: "There is nothing by that name",
    405: "This is only read",
    408: "The body came too slowly",
    413: "The request is larger than the limits allow",
    502: "The API does not answer",
    503: "Not available now",
    504: "The deadline passed",
}


class WebApp:
    """A plain ASGI app. `probes` answers /healthz/… and /metrics."""

    def __init__(
        self,
        pages: Mapping[str, PageFile],
        forwarder: Forwarder,
        probes: AsgiApp,
        counters: WebCounters,
        *,
        max_bytes: int,
        idle_s: float,
        access_log: AccessLog | None = None,
        ending: asyncio.Event | None = None,
    ) -> None:
        """`ending` is set when the server is told to end: from then on each answer is its connection's last, so that
        no client sends its next request on one that is about to be closed."""
        self._pages, self._forwarder, self._probes = pages, forwarder, probes
        self._counters, self._access_log = counters, access_log
        self._max_bytes, self._idle_s = max_bytes, idle_s
        self._ending = ending or asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in _PROBES:
            await self._probes(scope, receive, send)
            return
        begin_s, status = time.perf_counter(), _CLIENT_GONE
        request_id = request_id_of(header(scope, b"x-request-id"))
        is_api = scope["raw_path"].startswith(API_PREFIX)

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._ending.is_set():
                    message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        self._counters.in_flight += 1
        try:
            if is_api:
                await self._forward(scope, receive, noting, request_id)
            else:
                await _send_page(noting, self._page(scope, request_id))
        except ClientGone:
            pass
        finally:
            self._counters.in_flight -= 1
            known = is_api or scope["path"] in self._pages
            route = "api" if is_api else "page" if known else "other"
            seconds = time.perf_counter() - begin_s
            self._counters.ended(route, status, seconds)
            if self._access_log is not None:
                self._access_log.write(_line(scope, request_id, status, seconds))

    def _page(self, scope: Scope, request_id: str) -> Answer:
        page = self._pages.get(scope["path"])
        if page is None:
            return _problem(404, f"there is no page {scope['path'][:_SHOWN_PATH]!r}", request_id)
        if scope["method"] not in ("GET", "HEAD"):
            answer = _problem(405, "pages are read with GET", request_id)
            return Answer(405, answer.body, {**answer.headers, "allow": "GET, HEAD"})
        answer = page.answer(
            accept_encoding=text_header(scope, "accept-encoding"), if_none_match=text_header(scope, "if-none-match")
        )
        return Answer(answer.status, answer.body, {**PAGE_HEADERS, **answer.headers})

    async def _forward(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        body = RequestBody(receive, expected=has_body(scope), max_bytes=self._max_bytes, idle_s=self._idle_s)
        query: bytes = scope["query_string"]
        target: bytes = scope["raw_path"][len(API_PREFIX) - 1 :] + (b"?" + query if query else b"")
        started = False

        async def after_the_body(message: Message) -> None:
            nonlocal started
            started = True
            await body.before_end(message, send)

        try:
            if (declared_length(scope) or 0) > self._max_bytes:
                raise Refused(413, "too_large", f"the body is larger than {self._max_bytes} bytes: send less at once")
            await self._forwarder.forward(scope, target, body, request_id, after_the_body)
        except Refused as refused:
            self._counters.failures[refused.reason] += 1
            _log.warning(
                "a request was not passed on",
                extra={"request_id": request_id, "reason": refused.reason, "cause": repr(refused.__cause__)},
            )
            if started:
                raise
            await send_answer(after_the_body, _problem(refused.status, refused.detail, request_id))


async def _send_page(send: Send, answer: Answer) -> None:
    if answer.status != 304:
        await send_answer(send, answer)
        return
    # Its length would be the file's (RFC 9110, 8.6), not that of nothing: better none.
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": 304, "headers": headers})
    await send({"type": "http.response.body"})


def _problem(status: int, detail: str, request_id: str) -> Answer:
    """As the API's own (RFC 9457)."""
    document = {
        "type": f"urn:grayscale:problem:web-{status}",
        "title": _TITLES[status],
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    headers = {**API_HEADERS, "content-type": "application/problem+json", "x-request-id": request_id}
    if status in (502, 503):
        headers["retry-after"] = "1"
    if status in (408, 413):
        headers["connection"] = "close"  # what is left of the body could be taken for the next request
    return Answer(status, orjson.dumps(document), headers)


def _line(scope: Scope, request_id: str, status: int, seconds: float) -> dict[str, object]:
    return {
        "request_id": request_id,
        "method": scope["method"],
        "path": scope["path"][:_SHOWN_PATH],
        "status": status,
        "ms": round(1000 * seconds, 3),
    }
