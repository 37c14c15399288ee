import pytest

from services.shared.tracing.base import TraceContext
from services.shared.tracing.traceparent import (
    context_from_text,
    context_to_text,
    is_nobodys,
    parse_traceparent,
    trace_headers,
    traceparent,
    untraced_context,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("parent", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),  # a later level's flags beside ours
        (f"cc-{TRACE}-{SPAN}-01", True),  # a later version
        (f"cc-{TRACE}-{SPAN}-01-what-else", True),
    ],
)
def test_a_valid_header_is_a_place_in_a_trace(parent: str, is_sampled: bool) -> None:
    assert parse_traceparent(parent) == TraceContext(TRACE, SPAN, is_sampled)


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g",
    ],
)
def test_what_is_no_valid_header_counts_as_absent(parent: str) -> None:
    assert parse_traceparent(parent) is None


def test_a_context_is_the_same_after_it_was_sent_or_kept() -> None:
    for context in (TraceContext(TRACE, SPAN, True, "vendor=1,other=2"), TraceContext(TRACE, SPAN, False)):
        headers = dict(trace_headers(context))
        assert parse_traceparent(headers["traceparent"], headers.get("tracestate", "")) == context
        assert context_from_text(context_to_text(context)) == context


def test_a_state_that_could_be_no_header_is_not_carried_along() -> None:
    for state in ("a=1\r\nx-other: 2", "a=" + "b" * 511, "ä=1"):
        assert parse_traceparent(f"00-{TRACE}-{SPAN}-01", state) == TraceContext(TRACE, SPAN, True)


def test_what_is_in_no_trace_says_so_in_a_valid_header() -> None:
    nobodys = untraced_context()
    assert not nobodys.is_sampled
    assert parse_traceparent(traceparent(nobodys), nobodys.state) == nobodys
    assert is_nobodys(nobodys)
    assert not is_nobodys(TraceContext(TRACE, SPAN, False))
