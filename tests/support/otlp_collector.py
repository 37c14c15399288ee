"""A collector of traces on a free port: takes OTLP over HTTP and keeps what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True, slots=True)
class CollectedSpan:
    """A span as it came, ids in hexadecimal; `service` is the resource's name."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    started_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    links: tuple[str, ...]
    failed: bool
    state: str
    resource: dict[str, Any]


class Collector:
    """`spans` in the order in which they came. While `held` is cleared nobody gets an answer; `status` is what they get
    then."""

    def __init__(self) -> None:
        self.spans: list[CollectedSpan] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.held = threading.Event()
        self.held.set()
        self.asked = threading.Event()
        self.stopped = False
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.asked.set()
                collector.held.wait(30.0)
                if collector.stopped:  # a connection from before
                    self.close_connection = True
                    return
                if collector.status == 200 and self.path == "/v1/traces":
                    collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                    collector.spans += spans_in(body)
                answer = trace_service_pb2.ExportTraceServiceResponse().SerializeToString()
                self.send_response(collector.status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def named(self, name: str, trace_id: str) -> list[CollectedSpan]:
        return [span for span in tuple(self.spans) if (span.name, span.trace_id) == (name, trace_id)]

    def stop(self) -> None:
        """From now on nobody listens here; may be called again."""
        self.stopped = True
        self.held.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    try:
        yield collector
    finally:
        collector.stop()


def spans_in(body: bytes) -> list[CollectedSpan]:
    found = []
    for of_resource in trace_service_pb2.ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _plain(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            found += [_span(span, resource) for span in of_scope.spans]
    return found


def _span(span: WireSpan, resource: dict[str, Any]) -> CollectedSpan:
    return CollectedSpan(
        service=resource["service.name"],
        name=span.name,
        kind=WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        started_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        attributes=_plain(span.attributes),
        links=tuple(link.span_id.hex() for link in span.links),
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        state=span.trace_state,
        resource=resource,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
