"""Spans to a collector: OTLP over HTTP, in a thread of its own, which alone imports OpenTelemetry's packages.

Their exporter knows the standard's variables (`OTEL_EXPORTER_OTLP_HEADERS`, `…_CERTIFICATE`, `…_COMPRESSION`), how to
try again and when not to. Their spans are made of ours only in the thread: whoever serves a request makes none.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from services.shared.tracing.base import SpanCounts, SpanRecord
from services.shared.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

ROOM = 4096  # spans; about 4 MB
BATCH = 512
EVERY_S = 1.0
EXPORT_TIMEOUT_S = 2.0
_LAST_WORD_S = 0.5  # for the answer that is on its way when the time is up

_log = logging.getLogger(__name__)


class OtlpSpans:
    """A SpanSink. `endpoint` is the collector's address for traces; `service` and `instance` name this process.

    What waits is sent every `every_s`. A collector that is away costs nobody anything: the thread tries for
    EXPORT_TIMEOUT_S, meanwhile `room` spans wait, and all beyond them are dropped and counted. To be made in the
    process that will use it: no thread survives a fork.
    """

    def __init__(
        self, endpoint: str, *, service: str, instance: str, room: int = ROOM, every_s: float = EVERY_S
    ) -> None:
        self._endpoint, self._service, self._instance = endpoint, service, instance
        self._room, self._every_s = room, every_s
        self._waiting: deque[SpanRecord] = deque()
        self._exported = self._queue_full = self._export_failed = 0
        self._look, self._closing = threading.Event(), threading.Event()
        self._is_away = False
        self._exporter: SpanExporter | None = None
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def add(self, span: SpanRecord) -> None:
        waiting = len(self._waiting)
        if waiting >= self._room or self._closing.is_set():
            self._queue_full += 1
            return
        self._waiting.append(span)
        if waiting == BATCH:
            self._look.set()

    def counts(self) -> SpanCounts:
        return SpanCounts(self._exported, self._queue_full, self._export_failed)

    def close(self, timeout_s: float) -> None:
        self._closing.set()
        self._look.set()
        self._thread.join(max(0.0, timeout_s - _LAST_WORD_S))
        exporter = self._exporter
        if self._thread.is_alive() and exporter is not None:
            exporter.shutdown()  # ends the wait between two attempts
            self._thread.join(_LAST_WORD_S)
        left = len(self._waiting)
        if left:
            _log.warning("spans were not sent before the end", extra={"spans": left})

    # In the thread.

    def _run(self) -> None:
        try:
            exporter, converter = self._made()
        except Exception:  # a package that is missing or another one than it should be must not end a server
            _log.exception("traces cannot be exported")
            self._closing.set()
            return
        self._exporter = exporter
        while not self._closing.is_set():
            self._look.wait(self._every_s)
            self._look.clear()
            self._send(exporter, converter)
        self._send(exporter, converter)
        exporter.shutdown()

    def _made(self) -> tuple[SpanExporter, _Converter]:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        # It tells of every attempt; whether the collector is away is said once, below.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        attributes = {
            "service.name": f"grayscale-{self._service}",
            "service.namespace": "grayscale",
            "service.version": VERSION,
            "service.instance.id": self._instance,
        }
        return OTLPSpanExporter(self._endpoint, timeout=EXPORT_TIMEOUT_S), _Converter(attributes)

    def _send(self, exporter: SpanExporter, converter: _Converter) -> None:
        """What waits, a batch at a time; after a failure the rest waits for the next look."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if not self._is_taken(exporter, converter, batch):
                self._export_failed += len(batch)
                return
            self._exported += len(batch)

    def _is_taken(self, exporter: SpanExporter, converter: _Converter, batch: Sequence[SpanRecord]) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            taken = exporter.export([converter.span(each) for each in batch]) is SpanExportResult.SUCCESS
        except Exception:
            _log.debug("an export failed", exc_info=True)
            taken = False
        if taken is self._is_away:
            self._is_away = not taken
            if taken:
                _log.info("the collector of traces takes spans again")
            else:
                _log.warning("the collector of traces takes no spans: they are dropped until it does")
        return taken


class _Converter:
    """Makes OpenTelemetry's spans of ours, all of one process."""

    def __init__(self, attributes: Mapping[str, str]) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._resource = Resource.create(dict(attributes))
        self._scope = InstrumentationScope("grayscale", VERSION)

    def span(self, record: SpanRecord) -> Any:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode

        context = _context(record.context.trace_id, record.context.span_id, record.context.state)
        parent = _context(record.context.trace_id, record.parent_id) if record.parent_id else None
        return ReadableSpan(
            name=record.name,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=dict(record.attributes),
            links=[Link(_context(each.trace_id, each.span_id)) for each in record.links],
            kind=SpanKind[record.kind.name],
            status=Status(StatusCode.ERROR, record.failure) if record.failure else Status(),
            start_time=record.started_ns,
            end_time=record.ended_ns,
            instrumentation_scope=self._scope,
        )


def _context(trace_id: str, span_id: str, state: str = "") -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    carried = TraceState.from_header([state]) if state else None
    return SpanContext(int(trace_id, 16), int(span_id, 16), False, TraceFlags(TraceFlags.SAMPLED), carried)
