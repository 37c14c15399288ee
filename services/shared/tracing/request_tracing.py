"""What becomes of the traces that requests come with, and which requests begin one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.shared.asgi import Scope, header, text_header
from services.shared.tracing.base import SpanSink, TraceContext, Value
from services.shared.tracing.span import PassedOn, Span, Tracer, enter, leave
from services.shared.tracing.traceparent import is_nobodys, parse_traceparent, untraced_context

if TYPE_CHECKING:  # a process that does not trace does without
    from services.shared.tracing.sampler import Sampler

_PROBES = ("/healthz/", "/metrics", "/v2/health/")
# What is work: whoever looks at a page or at the state of a job every second would fill a collector with nothing.
_WORK = ("/predict", "/infer", "/jobs", "/explain")


class RequestTracing:
    """Of one process; belongs to its event loop. A request whose trace is sampled is recorded, and so is a `share` of
    those that come without a trace. Without a `tracer` nothing is: a trace is in the log line, and goes along with what
    this process asks of others."""

    def __init__(self, tracer: Tracer | None = None, share: float = 0.0) -> None:
        self.tracer = tracer
        self._sampler = None if tracer is None or share <= 0 else _sampler(share)

    @property
    def sink(self) -> SpanSink | None:
        return None if self.tracer is None else self.tracer.sink

    @property
    def untraced(self) -> TraceContext | None:
        """What this process says to others of requests that it does not trace."""
        return None if self.tracer is None else untraced_context()

    @property
    def begins(self) -> bool:
        """Whether any request without a trace is recorded."""
        return self._sampler is not None

    def begin(self, scope: Scope) -> Span | None:
        """In the task of an HTTP request, before all else; what is returned is for `end`."""
        leave()  # a request that came behind another one has its task from that one's
        parent, path = _incoming(scope), scope["path"]
        if parent is None and not self.begins:
            return None
        _log(scope, parent)
        is_work = scope["method"] == "POST" and path.rstrip("/").endswith(_WORK)
        tracer = None if path.startswith(_PROBES) else self.recording(parent, is_work=is_work)
        if tracer is None:
            return None
        from services.shared.tracing.http_span import begin_request

        span = begin_request(tracer, scope, parent)
        _log(scope, span.context)
        return span

    def recording(self, parent: TraceContext | None, *, is_work: bool) -> Tracer | None:
        """What records a request, which may count as a sample; None: nothing does. Its trace is carried along then."""
        if parent is None:
            is_kept = is_work and self._sampler is not None and self._sampler.take()
        else:
            is_kept = parent.is_sampled
        if self.tracer is not None and is_kept:
            return self.tracer
        if parent is not None:
            enter(PassedOn(parent))
        return None

    def end(self, span: Span, scope: Scope, route: str, status: int) -> None:
        """`route` is a template, never a path."""
        state = scope["state"]
        span.attributes |= attributes_of(state.get("log", {}))
        if "request_id" in state:
            span.attributes["grayscale.request_id"] = state["request_id"]
        from services.shared.tracing.http_span import end_request

        end_request(span, scope, route, status)

    def wants_next(self) -> bool:
        """Whether the next request is to be recorded, for whoever cannot: one that `begin` sees is, then."""
        return self._sampler is not None and self._sampler.promise()

    def comes_again(self) -> None:
        """A request that was not wanted comes to `begin` all the same."""
        if self._sampler is not None:
            self._sampler.take_back()


def _sampler(share: float) -> Sampler:
    from services.shared.tracing.sampler import Sampler

    return Sampler(share)


def _incoming(scope: Scope) -> TraceContext | None:
    """The place in a trace that the client names."""
    parent = header(scope, b"traceparent")
    if parent is None:
        return None
    return parse_traceparent(parent.decode("latin-1"), text_header(scope, "tracestate"))


def attributes_of(log: dict[str, object]) -> dict[str, Value]:
    """What a log line says of who answered: `model` (`name/version`), `arm`, `job_id`; nothing of the caller."""
    attributes: dict[str, Value] = {}
    name, _, version = str(log.get("model", "")).partition("/")
    if version.isdecimal():
        attributes |= {"grayscale.model": name, "grayscale.version": int(version)}
    for field in ("arm", "job_id"):
        if field in log:
            attributes[f"grayscale.{field}"] = str(log[field])
    return attributes


def _log(scope: Scope, context: TraceContext | None) -> None:
    if context is not None and not is_nobodys(context):
        scope.setdefault("state", {}).setdefault("log", {})["trace_id"] = context.trace_id
