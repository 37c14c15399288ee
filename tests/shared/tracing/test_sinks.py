"""What every SpanSink promises, and what the exporter does where its collector does not."""

from collections.abc import Callable, Iterator

import pytest

from services.shared.tracing.base import SpanKind, SpanRecord, SpanSink, TraceContext, Value
from services.shared.tracing.memory import MemorySpans
from services.shared.tracing.otlp import OtlpSpans
from tests.support.otlp_collector import Collector, collecting
from tests.support.polling import until

TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
ROOM = 20
Make = Callable[[], SpanSink]


def record(name: str = "request", failure: str = "") -> SpanRecord:
    context = TraceContext(TRACE, SPAN, True, "vendor=1")
    link = TraceContext(TRACE, PARENT, True)
    attributes: dict[str, Value] = {"model": "digits", "version": 3, "share": 0.5, "is_first": True}
    return SpanRecord(name, SpanKind.CONSUMER, context, PARENT, 10**18, 10**18 + 5, attributes, (link,), failure)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
def otlp(collector: Collector) -> Iterator[OtlpSpans]:
    spans = OtlpSpans(f"{collector.url}/v1/traces", service="api", instance="api-1", room=ROOM, every_s=0.01)
    yield spans
    collector.stop()
    spans.close(1.0)


@pytest.fixture(params=["memory", "otlp"])
def sink(request: pytest.FixtureRequest) -> SpanSink:
    made: SpanSink = MemorySpans(ROOM) if request.param == "memory" else request.getfixturevalue("otlp")
    return made


def test_what_was_added_is_kept_when_the_sink_is_closed(sink: SpanSink) -> None:
    for number in range(ROOM):
        sink.add(record(str(number)))
    sink.close(10.0)
    assert sink.counts().exported == ROOM
    assert (sink.counts().queue_full, sink.counts().export_failed) == (0, 0)


def test_what_comes_after_the_end_is_dropped_and_counted(sink: SpanSink) -> None:
    sink.close(10.0)
    sink.add(record())
    assert (sink.counts().exported, sink.counts().queue_full) == (0, 1)


async def test_a_span_arrives_as_it_was(otlp: OtlpSpans, collector: Collector) -> None:
    otlp.add(record())
    otlp.add(record("broken", failure="NotReady"))
    await until(lambda: len(collector.spans) == 2)
    came, broken = collector.spans
    assert (came.name, came.kind, came.failed) == ("request", "consumer", False)
    assert (came.trace_id, came.span_id, came.parent_id, came.links) == (TRACE, SPAN, PARENT, (PARENT,))
    assert (came.started_ns, came.ended_ns, came.state) == (10**18, 10**18 + 5, "vendor=1")
    assert came.attributes == record().attributes
    assert broken.failed
    assert came.resource["service.name"] == "grayscale-api"
    assert came.resource["service.instance.id"] == "api-1"


async def test_a_collector_that_hangs_costs_room_and_nothing_else(otlp: OtlpSpans, collector: Collector) -> None:
    collector.held.clear()
    otlp.add(record("first"))
    await until(collector.asked.is_set)
    for number in range(2 * ROOM):
        otlp.add(record(str(number)))
    assert otlp.counts().queue_full == ROOM
    otlp.close(0.6)
    assert not collector.held.is_set()  # it still hangs, and nobody waits for it


async def test_what_a_collector_does_not_take_is_counted(otlp: OtlpSpans, collector: Collector) -> None:
    collector.status = 400
    otlp.add(record())
    await until(lambda: otlp.counts().export_failed == 1)
    collector.status = 200
    otlp.add(record("later"))
    await until(lambda: otlp.counts().exported == 1)
    assert [span.name for span in collector.spans] == ["later"]


async def test_where_nobody_listens_spans_are_dropped(otlp: OtlpSpans, collector: Collector) -> None:
    collector.stop()
    otlp.add(record())
    await until(lambda: otlp.counts().export_failed == 1)
