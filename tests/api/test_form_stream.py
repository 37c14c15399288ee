from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.form_stream import form_parts
from services.shared.errors import InvalidInput, ServingError, TooLarge
from tests.support.job_bodies import BOUNDARY, form, split

DELIMITER = b"\r\n--" + BOUNDARY
Parts = list[tuple[str, str | None, bytes]]
PARTS: Parts = [
    ("image", "a.png", b"bytes of a"),
    ("top_k", None, b"3"),
    ("image", "ü 猫.png", b""),
    ("image", "d.png", b"\r\n--a-boundarx\r\n-- \r\r\n\r\n--a-boun" * 3),
]


async def stream(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def read(pieces: list[bytes], *, max_parts: int = 10, boundary: bytes = BOUNDARY) -> Parts:
    return [
        (part.name, part.file_name, b"".join([piece async for piece in part.content]))
        async for part in form_parts(stream(pieces), boundary, max_parts=max_parts)
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 61, 10_000])
async def test_parts_are_the_same_however_the_body_is_cut(size: int) -> None:
    assert await read(split(form(*PARTS), size)) == PARTS


@given(
    st.lists(st.binary(max_size=60).filter(lambda content: DELIMITER not in b"\r\n" + content), max_size=4), st.data()
)
async def test_any_content_survives_any_cut(contents: list[bytes], data: st.DataObject) -> None:
    body = form(*(("image", "x", content) for content in contents))
    pieces, at = [], 0
    while at < len(body):
        size = data.draw(st.integers(1, 40))
        pieces.append(body[at : at + size])
        at += size
    assert await read(pieces) == [("image", "x", content) for content in contents]


@given(st.integers(0, len(form(*PARTS)) - 5), st.integers(1, 50))
async def test_a_form_that_ends_early_is_refused(end: int, size: int) -> None:
    with pytest.raises(InvalidInput, match="ends before its closing boundary"):
        await read(split(form(*PARTS)[:end], size))


@given(st.binary(max_size=200), st.integers(1, 50))
async def test_noise_is_refused_or_read(noise: bytes, size: int) -> None:
    for body in (noise, form(*PARTS)[:80] + noise + form(*PARTS)[80:]):
        with contextlib.suppress(ServingError):
            assert sum(len(content) for _, _, content in await read(split(body, size))) <= len(body)


async def test_what_is_left_of_a_part_is_passed_over() -> None:
    names = [part.name async for part in form_parts(stream(split(form(*PARTS), 5)), BOUNDARY, max_parts=10)]
    assert names == [name for name, _, _ in PARTS]


async def test_a_preamble_and_an_epilogue_are_not_read() -> None:
    body = b"preamble\r\n" + form(("image", "a", b"1")) + b"epilogue" * 100
    assert await read(split(body, 11)) == [("image", "a", b"1")]


async def test_a_part_without_headers_has_no_name() -> None:
    body = b"--" + BOUNDARY + b" \t\r\n\r\ncontent" + DELIMITER + b"--"
    assert await read([body]) == [("", None, b"content")]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"--" + BOUNDARY + b"x\r\n\r\n1" + DELIMITER + b"--", "not followed by a line end"),
        (b"--" + BOUNDARY + b" " * 100 + b"\r\n\r\n1" + DELIMITER + b"--", "not followed by a line end"),
        (b"--" + BOUNDARY + b"\r\nA: " + b"x" * 9000 + b"\r\n\r\n" + DELIMITER + b"--", "no blank line"),
        (b"", "ends before"),
        (b"no boundary at all", "ends before"),
    ],
)
async def test_a_form_that_is_none_is_refused(body: bytes, why: str) -> None:
    for size in (3, 10_000):
        with pytest.raises(InvalidInput, match=why):
            await read(split(body, size))


@pytest.mark.parametrize("boundary", [b"", b"x" * 71])
async def test_a_boundary_that_cannot_be_is_refused(boundary: bytes) -> None:
    with pytest.raises(InvalidInput, match="boundary of 1 to 70 bytes"):
        await read([b""], boundary=boundary)


async def test_more_parts_than_allowed_are_too_large() -> None:
    with pytest.raises(TooLarge, match="more than 3 parts"):
        await read([form(*PARTS)], max_parts=3)
