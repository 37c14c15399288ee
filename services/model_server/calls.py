"""What is kept of every call of the protocol, over HTTP and gRPC alike: a count, a time, a line in the log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import grpc

from services.model_server.call_span import begin_call, end_call
from services.shared.asgi import AsgiApp, Message, Receive, Scope, Send, header
from services.shared.telemetry.access_log import AccessLog
from services.shared.telemetry.exposition import exposed, told, told_histogram
from services.shared.telemetry.family import Label, counter, histogram
from services.shared.telemetry.http_requests import HttpRequests
from services.shared.telemetry.prometheus import render_http
from services.shared.telemetry.request_id import request_id_of
from services.shared.tracing.request_tracing import RequestTracing
from services.shared.tracing.span import Span

METHODS = ("ModelInfer", "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload")
_ROUTE, _PROBES = "/v2", "/v2/health/"
_CLIENT_GONE = 499
_SHOWN_PATH = 1024  # characters of a path in the log

_METHOD = Label("method", METHODS)
_ASKED = Label("model", "the name that was asked for, where there is such a model; else empty")
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}
_CALLS = counter(
    "grayscale_grpc_requests_total", "Ended gRPC calls that infer or change the repository", "requests",
    _METHOD, Label("code", tuple(_CODES.values())), _ASKED,
)  # fmt: skip
_SECONDS = histogram(
    "grayscale_grpc_request_duration_seconds", "How long such calls took, once their message was there", "seconds",
    _METHOD, _ASKED,
)  # fmt: skip
FAMILIES = (_CALLS, _SECONDS)


class Calls:
    """Of one process; belongs to its event loop. Without `access_log` there are no lines."""

    def __init__(self, access_log: AccessLog | None = None, tracing: RequestTracing | None = None) -> None:
        self.http, self.grpc = HttpRequests(), HttpRequests()
        self.log, self.tracing = access_log, tracing or RequestTracing()

    def begin(self, method: str, metadata: Mapping[str, str | bytes]) -> Call:
        """A gRPC call begins; its caller may have named an id and a trace."""
        given = metadata.get("x-request-id")
        call = Call(self, method, request_id_of(given.encode() if isinstance(given, str) else given))
        call.span, call.trace_id = begin_call(self.tracing, method, metadata)
        return call

    def render(self) -> bytes:
        """Prometheus' text format."""
        counts = [((method, _CODES[code], model), n) for (method, code, model), n in sorted(self.grpc.counts().items())]
        calls = exposed(told(_CALLS, counts), told_histogram(_SECONDS, sorted(self.grpc.durations().items())))
        return render_http(self.http) + calls


class Call:
    """One gRPC call, until it `end`s."""

    __slots__ = ("_begun_s", "_calls", "_method", "log", "model", "request_id", "span", "trace_id")

    def __init__(self, calls: Calls, method: str, request_id: str) -> None:
        self._calls, self._method, self.request_id = calls, method, request_id
        self._begun_s = time.perf_counter()
        self.model = ""  # what was asked for, once it is known to be there
        self.log: Mapping[str, object] = {}
        self.span: Span | None = None
        self.trace_id = ""

    def end(self, code: grpc.StatusCode) -> None:
        seconds = time.perf_counter() - self._begun_s
        self._calls.grpc.observe(self._method, code.value[0], seconds, self.model)
        if self._calls.log is not None:
            line = {"request_id": self.request_id, "method": self._method, "code": code.name}
            trace = {"trace_id": self.trace_id} if self.trace_id else {}
            self._calls.log.write({**line, "ms": round(1000 * seconds, 3), **trace, **self.log})
        if self.span is not None:
            end_call(self.span, code, self.log)


class LoggedApp:
    """The protocol's HTTP app: answers carry the request's id, and each leaves a line. Probes leave none."""

    def __init__(self, app: AsgiApp, calls: Calls) -> None:
        self._app, self._calls = app, calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id, status, requests = request_id_of(header(scope, b"x-request-id")), 0, self._calls.http

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        state: dict[str, Any] = scope.setdefault("state", {})
        requests.in_flight += 1
        begun_s = time.perf_counter()
        span = self._calls.tracing.begin(scope)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - begun_s
            requests.in_flight -= 1
            requests.observe(_ROUTE, status or _CLIENT_GONE, seconds, state.get("model", ""))
            if self._calls.log is not None and not scope["path"].startswith(_PROBES):
                line = {"request_id": request_id, "method": scope["method"], "path": scope["path"][:_SHOWN_PATH]}
                times = {"status": status or _CLIENT_GONE, "ms": round(1000 * seconds, 3)}
                self._calls.log.write({**line, **times, **state.get("log", {})})
            if span is not None:
                self._calls.tracing.end(span, scope, _ROUTE, status or _CLIENT_GONE)
