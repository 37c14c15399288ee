"""Spans that are open, and the one that this task is in.

The open span of a task is a context variable: tasks begin in that of who made them. Whoever finds none has nothing to
do, which is one look-up and no object.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import Context, ContextVar

from services.shared.random_bytes import random_bytes
from services.shared.tracing.base import SpanKind, SpanRecord, SpanSink, TraceContext, Value


class Span:
    """Something that is going on in a trace. `begin` is the only way to one; belongs to one event loop."""

    __slots__ = ("_failure", "_kind", "_links", "_name", "_parent_id", "_started_s", "attributes", "context", "tracer")

    def __init__(
        self,
        tracer: Tracer,
        context: TraceContext,
        parent_id: str,
        name: str,
        kind: SpanKind,
        links: tuple[TraceContext, ...],
        started_s: float,
    ) -> None:
        self.tracer, self.context = tracer, context
        self.attributes: dict[str, Value] = {}
        self._parent_id, self._name, self._kind, self._links = parent_id, name, kind, links
        self._started_s, self._failure = started_s, ""

    def fail(self, reason: str) -> None:
        """`reason` is a word for the kind of failure: nothing of a picture, a key or a message."""
        self._failure = reason
        self.attributes["error.type"] = reason

    def end(self, name: str | None = None, *, ended_s: float | None = None) -> None:
        """Once; `name` is for what is known only at the end."""
        tracer = self.tracer
        ended_s = tracer.monotonic() if ended_s is None else ended_s
        tracer.sink.add(
            SpanRecord(
                name or self._name,
                self._kind,
                self.context,
                self._parent_id,
                tracer.unix_ns(self._started_s),
                tracer.unix_ns(ended_s),
                self.attributes,
                self._links,
                self._failure,
            )
        )


class Tracer:
    """Begins spans of one process, which `sink` takes. `monotonic` is the clock that durations are measured by."""

    def __init__(
        self,
        sink: SpanSink,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.sink, self.monotonic, self._now_ns = sink, monotonic, now_ns

    def begin(
        self,
        name: str,
        kind: SpanKind,
        parent: TraceContext | None,
        *,
        links: tuple[TraceContext, ...] = (),
        started_s: float | None = None,
    ) -> Span:
        """The first span of a trace where there is no parent; a parent must be sampled."""
        trace_id, state = (parent.trace_id, parent.state) if parent else (random_bytes(16).hex(), "")
        context = TraceContext(trace_id, random_bytes(8).hex(), True, state)
        begun_s = self.monotonic() if started_s is None else started_s
        return Span(self, context, parent.span_id if parent else "", name, kind, links, begun_s)

    def unix_ns(self, monotonic_s: float) -> int:
        """A moment of the monotonic clock, by the wall clock as it is now."""
        return self._now_ns() - int((self.monotonic() - monotonic_s) * 1e9)


class PassedOn:
    """A trace that this process adds nothing to: it is only carried along."""

    __slots__ = ("context",)

    def __init__(self, context: TraceContext) -> None:
        self.context = context


_current: ContextVar[Span | PassedOn | None] = ContextVar("grayscale_span", default=None)


def open_span() -> Span | None:
    """The span that this task is in; None where nothing is recorded."""
    place = _current.get()
    return place if isinstance(place, Span) else None


def carried_context() -> TraceContext | None:
    """What calls to other services say of the trace that this task is in."""
    place = _current.get()
    return None if place is None else place.context


def enter(place: Span | PassedOn) -> None:
    """From now on this task, and every one that it makes, is in that place. For the outermost code of a task."""
    _current.set(place)


def leave() -> None:
    """This task is in no trace, whatever it was made in."""
    if _current.get() is not None:
        _current.set(None)


def outside() -> Context:
    """For tasks that work for others than the one that makes them: they are in no trace."""
    return Context()


@contextlib.contextmanager
def within(span: Span) -> Iterator[Span]:
    """This task is in the span until the end of the block, which ends the span; an error there is its failure."""
    token = _current.set(span)
    try:
        yield span
    except BaseException as error:
        span.fail(type(error).__name__)
        raise
    finally:
        _current.reset(token)
        span.end()


@contextlib.contextmanager
def inner_span(name: str, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span | None]:
    """A part of the open span; None, at next to no cost, where there is none."""
    outer = open_span()
    if outer is None:
        yield None
        return
    with within(outer.tracer.begin(name, kind, outer.context)) as span:
        yield span


def note(name: str, started_s: float, ended_s: float, attributes: Mapping[str, Value]) -> None:
    """A part of the open span that is over already; seconds are the monotonic clock's."""
    outer = open_span()
    if outer is not None:
        span = outer.tracer.begin(name, SpanKind.INTERNAL, outer.context, started_s=started_s)
        span.attributes.update(attributes)
        span.end(ended_s=ended_s)
