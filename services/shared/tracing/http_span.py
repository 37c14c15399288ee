"""The span of an HTTP request that this process serves. Names of attributes: OpenTelemetry's semantic conventions 1.40,
HTTP spans."""

from __future__ import annotations

from services.shared.asgi import Scope
from services.shared.tracing.base import SpanKind, TraceContext
from services.shared.tracing.span import Span, Tracer, enter

_SHOWN_PATH = 256  # characters


def begin_request(tracer: Tracer, scope: Scope, parent: TraceContext | None) -> Span:
    """From now on this task is in the request's span, which `end_request` ends."""
    span = tracer.begin(scope["method"], SpanKind.SERVER, parent)
    span.attributes["http.request.method"] = scope["method"]
    span.attributes["url.path"] = scope["path"][:_SHOWN_PATH]
    span.attributes["url.scheme"] = scope.get("scheme", "http")
    enter(span)
    return span


def end_request(span: Span, scope: Scope, route: str, status: int) -> None:
    """`route` is a template, never a path; a client's own mistakes are no failures of the server."""
    span.attributes["http.route"] = route
    span.attributes["http.response.status_code"] = status
    if status >= 500:
        span.fail(str(status))
    span.end(f"{scope['method']} {route}")
