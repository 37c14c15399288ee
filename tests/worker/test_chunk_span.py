from __future__ import annotations

from dataclasses import replace

import pytest

from services.shared.jobs.job import Lease
from services.shared.tracing.base import SpanKind, TraceContext
from services.shared.tracing.memory import MemorySpans
from services.shared.tracing.span import Tracer, carried_context, open_span
from services.shared.tracing.traceparent import context_to_text
from services.worker.chunk_runner import ChunkRunner
from services.worker.chunk_span import chunk_span, trace_id_of
from tests.support.jobs import make, new_job
from tests.support.worker_bench import RunnerBench

SUBMITTED = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", True, "vendor=1")


async def lease_of(bench: RunnerBench, trace: str) -> Lease:
    new = new_job(items=3, chunk=3)
    await make(bench.store, replace(new, request=replace(new.request, trace=trace)))
    lease = await bench.store.claim("w")
    assert lease is not None
    return lease


def traced_runner(bench: RunnerBench, spans: MemorySpans) -> ChunkRunner:
    return bench.another(tracer=Tracer(spans))


async def test_a_chunk_is_a_part_of_the_trace_that_made_its_job() -> None:
    bench, spans = RunnerBench(), MemorySpans()
    lease = await lease_of(bench, context_to_text(SUBMITTED))
    await traced_runner(bench, spans).work_on(lease, 0.0)
    (span,) = spans.spans
    assert (span.name, span.kind, span.links) == ("work on chunk", SpanKind.CONSUMER, (SUBMITTED,))
    assert (span.context.trace_id, span.parent_id) == (SUBMITTED.trace_id, SUBMITTED.span_id)
    assert span.attributes == {
        "grayscale.job_id": lease.job_id,
        "grayscale.model": "digits",
        "grayscale.first": 0,
        "grayscale.images": 3,
        "grayscale.attempt": 1,
        "grayscale.outcome": "completed",
    }


@pytest.mark.parametrize("trace", ["", "what is this", context_to_text(replace(SUBMITTED, is_sampled=False))])
async def test_what_is_in_no_sampled_trace_is_not_recorded(trace: str) -> None:
    bench, spans = RunnerBench(), MemorySpans()
    lease = await lease_of(bench, trace)
    await traced_runner(bench, spans).work_on(lease, 0.0)
    assert spans.spans == []
    assert bench.counters.chunks == {"completed": 1}


async def test_a_worker_that_does_not_trace_carries_a_trace_along() -> None:
    lease = await lease_of(RunnerBench(), context_to_text(SUBMITTED))
    with chunk_span(None, lease):
        assert open_span() is None
        assert carried_context() == SUBMITTED
    assert trace_id_of(lease) == SUBMITTED.trace_id


async def test_a_chunk_that_has_no_results_says_so() -> None:
    bench, spans = RunnerBench(), MemorySpans()
    bench.work.failures.append(ZeroDivisionError("a defect"))
    await traced_runner(bench, spans).work_on(await lease_of(bench, context_to_text(SUBMITTED)), 0.0)
    (span,) = spans.spans
    assert span.attributes["grayscale.outcome"] == "retry"
