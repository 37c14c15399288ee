"""What a trace consists of, and where its parts go: contracts and values only.

A trace is what one request set off, in every service. Its parts are spans: something that took a time, with a name and
what set it off. The words and numbers are OpenTelemetry's.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

Value = str | int | float | bool
FLUSH_S = 2.0  # so long a process waits at its end for its last spans to be taken


class SpanKind(enum.Enum):
    """On which side of a call a span is."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A place in a trace, as it goes from one process to the next: 32 and 16 hexadecimal digits in lower case, neither
    all zeros. `is_sampled`: the spans of this trace are kept. `state` is what other systems want carried along."""

    trace_id: str
    span_id: str
    is_sampled: bool
    state: str = ""


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """A span that has ended. Times are Unix nanoseconds; `parent_id` is "" for the first of a trace, `failure` is what
    went wrong, "" when nothing did."""

    name: str
    kind: SpanKind
    context: TraceContext
    parent_id: str
    started_ns: int
    ended_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    links: tuple[TraceContext, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class SpanCounts:
    """Since the process began. `queue_full`: there was no room; `export_failed`: the collector did not take them."""

    exported: int = 0
    queue_full: int = 0
    export_failed: int = 0


class SpanSink(Protocol):
    """Takes spans to where they are kept. Nothing that happens there may slow down or fail a request."""

    def add(self, span: SpanRecord) -> None:
        """Takes less than a microsecond; never waits and never raises. What there is no room for is dropped."""
        ...

    def counts(self) -> SpanCounts: ...

    def close(self, timeout_s: float) -> None:
        """Sends what is still here, and returns after `timeout_s` at the latest; what is added then is dropped."""
        ...
