"""The headers `traceparent` and `tracestate`: W3C Trace Context, level 1 (www.w3.org/TR/trace-context). Pure."""

from __future__ import annotations

import re

from services.shared.random_bytes import random_bytes
from services.shared.tracing.base import TraceContext

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x20-\x7e]*)?")
_STATE = re.compile(r"[\x20-\x7e]{1,512}")  # so much is to be carried along at least; more is dropped
_SAMPLED = 0x01
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_NOBODYS = "grayscale=nobodys"  # the state of a trace that stands for all requests that are in none


def parse_traceparent(parent: str, state: str = "") -> TraceContext | None:
    """The place that a caller names; None for what is no valid header, which then counts as absent."""
    found = _PARENT.fullmatch(parent)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    # A later version may have more behind the flags; 00 has not, and ff is never a version.
    if version == "ff" or (version == "00" and rest is not None) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    carried = state if _STATE.fullmatch(state) else ""
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), carried)


def traceparent(context: TraceContext) -> str:
    return f"00-{context.trace_id}-{context.span_id}-{'01' if context.is_sampled else '00'}"


def trace_headers(context: TraceContext) -> tuple[tuple[str, str], ...]:
    """What a call to another service carries."""
    parent = ("traceparent", traceparent(context))
    return (parent, ("tracestate", context.state)) if context.state else (parent,)


def untraced_context() -> TraceContext:
    """A trace of which nothing is kept, for all that belongs to none: whoever is called with it begins none either."""
    return TraceContext(random_bytes(16).hex(), random_bytes(8).hex(), is_sampled=False, state=_NOBODYS)


def is_nobodys(context: TraceContext) -> bool:
    """Whether it is an `untraced_context`: its id tells nothing."""
    return context.state == _NOBODYS


def context_to_text(context: TraceContext) -> str:
    """Both headers as one text without a line end, for what is kept and worked on later."""
    return f"{traceparent(context)} {context.state}" if context.state else traceparent(context)


def context_from_text(text: str) -> TraceContext | None:
    parent, _, state = text.partition(" ")
    return parse_traceparent(parent, state)
