"""The span of a gRPC call that this process serves. Names of attributes: OpenTelemetry's semantic conventions, RPC
spans."""

from __future__ import annotations

from collections.abc import Mapping

import grpc

from services.shared.tracing.base import SpanKind
from services.shared.tracing.request_tracing import RequestTracing, attributes_of
from services.shared.tracing.span import Span, enter
from services.shared.tracing.traceparent import is_nobodys, parse_traceparent

_SERVICE = "inference.GRPCInferenceService"
# Those that are a server's failure, as the conventions have it.
_FAILURES = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


def begin_call(tracing: RequestTracing, method: str, metadata: Mapping[str, object]) -> tuple[Span | None, str]:
    """In the task of the call: its span where it is recorded, and the id of its trace for the log, "" without one."""
    sent = metadata.get("traceparent")
    parent = parse_traceparent(sent, str(metadata.get("tracestate", ""))) if isinstance(sent, str) else None
    tracer = tracing.recording(parent, is_work=method == "ModelInfer")
    if tracer is None:
        return None, "" if parent is None or is_nobodys(parent) else parent.trace_id
    span = tracer.begin(f"{_SERVICE}/{method}", SpanKind.SERVER, parent)
    span.attributes |= {"rpc.system": "grpc", "rpc.service": _SERVICE, "rpc.method": method}
    enter(span)
    return span, span.context.trace_id


def end_call(span: Span, code: grpc.StatusCode, log: Mapping[str, object]) -> None:
    """`log` is what the call's line says."""
    span.attributes["rpc.grpc.status_code"] = code.value[0]
    span.attributes |= attributes_of(dict(log))
    if code in _FAILURES:
        span.fail(code.name)
    span.end()
