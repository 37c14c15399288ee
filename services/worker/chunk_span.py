"""The span of a chunk: a part of the trace that asked for its job, however long ago that was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from services.shared.jobs.job import Lease
from services.shared.tracing.base import SpanKind
from services.shared.tracing.span import PassedOn, Span, Tracer, enter, within
from services.shared.tracing.traceparent import context_from_text


@contextlib.contextmanager
def chunk_span(tracer: Tracer | None, lease: Lease) -> Iterator[Span | None]:
    """For the whole work of a task on a lease; None where it is not recorded.

    The span that made the job is its parent and its link as well: some viewers follow the one, some the other.
    """
    context = context_from_text(lease.request.trace)
    if context is None:
        yield None
    elif tracer is None or not context.is_sampled:
        enter(PassedOn(context))
        yield None
    else:
        with within(tracer.begin("work on chunk", SpanKind.CONSUMER, context, links=(context,))) as span:
            span.attributes |= {"grayscale.job_id": lease.job_id, "grayscale.model": lease.request.model}
            span.attributes |= {"grayscale.first": lease.chunk.first, "grayscale.images": lease.chunk.size}
            span.attributes["grayscale.attempt"] = lease.attempt
            yield span


def trace_id_of(lease: Lease) -> str:
    """For the log; "" for a job that is in no trace."""
    context = context_from_text(lease.request.trace)
    return "" if context is None else context.trace_id
