import asyncio

import pytest

from services.shared.tracing.base import SpanKind, TraceContext
from services.shared.tracing.memory import MemorySpans
from services.shared.tracing.span import (
    PassedOn,
    Tracer,
    carried_context,
    enter,
    inner_span,
    leave,
    note,
    open_span,
    outside,
    within,
)

PARENT = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", True, "vendor=1")


class Times:
    """A monotonic clock that stands at `now_s`, and a wall clock that is 1000 s ahead of it."""

    def __init__(self) -> None:
        self.now_s = 5.0

    def monotonic(self) -> float:
        return self.now_s

    def unix_ns(self) -> int:
        return round((1000 + self.now_s) * 1e9)


def tracer_and_spans() -> tuple[Tracer, MemorySpans, Times]:
    spans, times = MemorySpans(), Times()
    return Tracer(spans, monotonic=times.monotonic, now_ns=times.unix_ns), spans, times


def test_parts_of_a_span_are_in_its_trace_and_below_it() -> None:
    tracer, spans, times = tracer_and_spans()
    with within(tracer.begin("request", SpanKind.SERVER, PARENT, links=(PARENT,))):
        times.now_s = 6.0
        note("decode", 5.25, 5.5, {"images": 2})
        with inner_span("call", SpanKind.CLIENT) as call:
            assert call is not None
            assert open_span() is call
            assert carried_context() == call.context
            times.now_s = 7.0
        times.now_s = 8.0
    assert open_span() is None
    request, decode, call_span = spans.named("request"), spans.named("decode"), spans.named("call")
    assert request.parent_id == PARENT.span_id
    assert request.links == (PARENT,)
    assert decode.parent_id == call_span.parent_id == request.context.span_id
    assert {span.context.trace_id for span in spans.spans} == {PARENT.trace_id}
    assert {span.context.state for span in spans.spans} == {"vendor=1"}
    assert len({span.context.span_id for span in spans.spans}) == 3
    assert (request.started_ns, request.ended_ns) == (1005 * 10**9, 1008 * 10**9)
    assert (decode.started_ns, decode.ended_ns) == (1005_250_000_000, 1005_500_000_000)
    assert (call_span.kind, decode.attributes) == (SpanKind.CLIENT, {"images": 2})


def test_a_trace_begins_where_there_is_no_parent() -> None:
    tracer, spans, _ = tracer_and_spans()
    for name in ("a", "b"):
        tracer.begin(name, SpanKind.SERVER, None).end()
    first, second = spans.spans
    assert first.parent_id == second.parent_id == ""
    assert first.context.trace_id != second.context.trace_id
    assert first.context.is_sampled


def test_an_error_is_the_failure_of_what_it_leaves() -> None:
    tracer, spans, _ = tracer_and_spans()
    with pytest.raises(KeyError), within(tracer.begin("outer", SpanKind.SERVER, None)), inner_span("inner"):
        raise KeyError("a secret word")
    assert [(span.name, span.failure) for span in spans.spans] == [("inner", "KeyError"), ("outer", "KeyError")]
    assert "secret" not in repr(spans.spans)


def test_where_nothing_is_recorded_nothing_is_made() -> None:
    note("decode", 0.0, 1.0, {})
    with inner_span("call") as span:
        assert span is None
    assert carried_context() is None


async def test_a_task_is_in_the_span_of_who_made_it_unless_it_works_for_others() -> None:
    tracer, spans, _ = tracer_and_spans()

    async def part() -> None:
        with inner_span("part"):
            await asyncio.sleep(0)

    with within(tracer.begin("request", SpanKind.SERVER, None)) as request:
        loop = asyncio.get_running_loop()
        await asyncio.gather(part(), loop.create_task(part()), loop.create_task(part(), context=outside()))
    assert [span.parent_id for span in spans.spans] == [request.context.span_id] * 2 + [""]


async def test_a_trace_that_is_passed_on_is_not_added_to() -> None:
    async def passing() -> tuple[object, object]:
        enter(PassedOn(PARENT))
        with inner_span("part") as span:
            assert span is None
            carried = carried_context()
        leave()
        return carried, carried_context()

    assert await asyncio.create_task(passing()) == (PARENT, None)
