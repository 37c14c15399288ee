"""Multipart bodies: what is a part, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.multipart import MAX_BOUNDARY_BYTES, MAX_PART_HEADERS_BYTES, Part, parts_of
from services.shared.errors import InvalidInput, TooLarge

BOUNDARY = b"b0undary"


def read(body: bytes, boundary: bytes = BOUNDARY, max_parts: int = 8) -> list[Part]:
    return list(parts_of(body.replace(b"BOUNDARY", boundary), boundary, max_parts=max_parts))


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"--BOUNDARY--", []),
        (b"--BOUNDARY--\r\nepilogue", []),
        (b"--BOUNDARY\r\n\r\nabc\r\n--BOUNDARY--", [Part(b"", b"abc")]),
        (b"--BOUNDARY\r\n\r\n\r\n--BOUNDARY--", [Part(b"", b"")]),
        (b"--BOUNDARY\r\n\r\n--BOUNDARY--", [Part(b"", b"")]),
        (b"--BOUNDARY\r\nA: b\r\n\r\nabc\r\n--BOUNDARY--", [Part(b"", b"abc")]),
        (b"--BOUNDARY\r\nA: b\r\n\r\n--BOUNDARY--", [Part(b"", b"")]),
        (b"--BOUNDARY\r\ncontent-DISPOSITION:  x; y \r\n\r\nabc\r\n--BOUNDARY--", [Part(b"x; y", b"abc")]),
        (b"--BOUNDARY \t\r\n\r\nabc\r\n--BOUNDARY--", [Part(b"", b"abc")]),
        (b"preamble\r\n--BOUNDARY\r\n\r\nabc\r\n--BOUNDARY--", [Part(b"", b"abc")]),
        (b"\r\n--BOUNDARY\r\n\r\na\r\n--BOUNDARY\r\n\r\nb\r\n--BOUNDARY--", [Part(b"", b"a"), Part(b"", b"b")]),
        (b"--BOUNDARY\r\n\r\n--BOUNDAR\r\n-\r\n--BOUNDARY--", [Part(b"", b"--BOUNDAR\r\n-")]),
        (b"--BOUNDARY\r\n\r\n\r\n\r\n\r\n--BOUNDARY--", [Part(b"", b"\r\n\r\n")]),
    ],
)
def test_the_parts_of_a_body(body: bytes, parts: list[Part]) -> None:
    assert read(body) == parts


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"BOUNDARY",
        b"--other",
        b"text --BOUNDARY--",
        b"--BOUNDARY",
        b"--BOUNDARY\r\n",
        b"--BOUNDARY\r\n\r\nabc",
        b"--BOUNDARY\r\n\r\nabc--BOUNDARY--",
        b"--BOUNDARY\r\n\r\nabc\r\n--BOUNDARY",
        b"--BOUNDARY\r\n\r\nabc\r\n--BOUNDARY-",
        b"--BOUNDARY\r\n\r\nabc\r\n--BOUNDARYmore\r\n\r\nabc\r\n--BOUNDARY--",
        b"--BOUNDARY\n\nabc\n--BOUNDARY--",
        b"--BOUNDARY\r\nA: b\r\nabc\r\n--BOUNDARY--",
        b"--BOUNDARY" + b" " * 1000 + b"\r\n\r\nabc\r\n--BOUNDARY--",
        b"--BOUNDARY\r\nA: " + b"b" * MAX_PART_HEADERS_BYTES + b"\r\n\r\nabc\r\n--BOUNDARY--",
    ],
)
def test_a_body_that_breaks_its_boundarys_word_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(body)
    assert caught.value.field == "body"


@pytest.mark.parametrize("boundary", [b"", b"b" * (MAX_BOUNDARY_BYTES + 1)])
def test_a_boundary_has_one_to_seventy_bytes(boundary: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(b"--BOUNDARY--", boundary)
    assert caught.value.field == "Content-Type"


def test_more_parts_than_asked_for_are_refused_before_they_are_read() -> None:
    part = b"--BOUNDARY\r\n\r\nabc\r\n"
    assert len(read(part * 3 + b"--BOUNDARY--", max_parts=3)) == 3
    with pytest.raises(TooLarge):
        read(part * 4 + b"and this is no part", max_parts=3)


@given(st.lists(st.binary(max_size=50).filter(lambda content: BOUNDARY not in content), max_size=5))
def test_what_a_client_puts_together_is_taken_apart(contents: list[bytes]) -> None:
    header = b'--BOUNDARY\r\nContent-Disposition: form-data; name="image"\r\n\r\n'
    body = b"".join(header + content + b"\r\n" for content in contents) + b"--BOUNDARY--\r\n"
    assert read(body) == [Part(b'form-data; name="image"', content) for content in contents]


@given(
    st.lists(
        st.sampled_from([b"\r\n", b"--", b"b", b"--b", b"\r\n--b", b"a: b", b" ", b"x", b"\r", b"\n"]), max_size=30
    )
)
def test_any_bytes_are_parts_or_refused(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    try:
        parts = list(parts_of(body, b"b", max_parts=4))
    except InvalidInput:
        return
    assert all(b"\r\n--b" not in part.content for part in parts)
