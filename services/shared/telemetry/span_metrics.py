"""What is counted of spans, as metrics."""

from __future__ import annotations

from services.shared.telemetry.exposition import exposed, told, told_alone
from services.shared.telemetry.family import Label, counter
from services.shared.tracing.base import SpanCounts, SpanSink

_EXPORTED = counter("grayscale_trace_spans_exported_total", "Spans that the collector of traces took", "spans")
_DROPPED = counter(
    "grayscale_trace_spans_dropped_total", "Spans that were dropped: there was no room, or the collector took them not",
    "spans", Label("reason", ("queue_full", "export_failed")),
)  # fmt: skip
FAMILIES = (_EXPORTED, _DROPPED)


def render_spans(sink: SpanSink | None) -> bytes:
    """The text; zeros where tracing is off, so that a rule or a chart finds its series."""
    counts = SpanCounts() if sink is None else sink.counts()
    dropped = [(("queue_full",), counts.queue_full), (("export_failed",), counts.export_failed)]
    return exposed(told_alone(_EXPORTED, counts.exported), told(_DROPPED, dropped))
