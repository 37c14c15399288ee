"""Lines and events out of a stream that may break anywhere."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.jobs.events import Event, events_of, whole_lines


@given(st.binary(max_size=40).map(lambda text: text.replace(b"a", b"\n")), st.lists(st.integers(0, 40), max_size=6))
def test_lines_are_the_same_however_the_stream_is_cut(text: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(places)]
    *lines, _ = text.split(b"\n")
    assert list(whole_lines(pieces)) == lines


def test_what_is_no_end_of_a_line_in_json_is_none_here() -> None:
    line = '{"name": "a\u2028b\x85c\x0bd\re"}'.encode()
    assert list(whole_lines([line + b"\n", b'{"half'])) == [line]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"data: 1\n\n", [Event("message", b"1")]),
        (b"event: progress\ndata: {}\nid: 7\n\n", [Event("progress", b"{}")]),
        (b"event: progress\r\ndata: {}\r\n\r\n", [Event("progress", b"{}")]),
        (b"data:1\ndata: 2\n\n", [Event("message", b"1\n2")]),
        (b"data:  two spaces\n\n", [Event("message", b" two spaces")]),
        (b": heartbeat\n\n: heartbeat\n\n", []),
        (b"event: end\n\n", []),  # without data it is none
        (b"event: a\n\ndata: 1\n\n", [Event("message", b"1")]),  # and its name does not stay
        (b"data: 1\n", []),  # not ended
        (b"data\n\n", [Event("message", b"")]),
        (b"retry: 5\nunknown: x\ndata: a: b\n\n", [Event("message", b"a: b")]),
        (b"", []),
    ],
)
def test_events(text: bytes, events: list[Event]) -> None:
    assert list(events_of(whole_lines([text]))) == events
