"""Spans kept in this process, for tests: the twin of the OTLP exporter."""

from __future__ import annotations

from services.shared.tracing.base import SpanCounts, SpanRecord


class MemorySpans:
    """A SpanSink; `spans` in the order of their ends."""

    def __init__(self, room: int = 10_000) -> None:
        self.spans: list[SpanRecord] = []
        self._room = room
        self._dropped = 0
        self._closed = False

    def add(self, span: SpanRecord) -> None:
        if self._closed or len(self.spans) >= self._room:
            self._dropped += 1
        else:
            self.spans.append(span)

    def counts(self) -> SpanCounts:
        return SpanCounts(exported=len(self.spans), queue_full=self._dropped)

    def close(self, timeout_s: float) -> None:
        self._closed = True

    def named(self, name: str) -> SpanRecord:
        """The only span of that name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found
