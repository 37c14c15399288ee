from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from services.api.body_stream import PIECE_BYTES, body_pieces
from services.shared.asgi import BodyLimits, ClientGone
from services.shared.errors import BodyTimeout, TooLarge
from tests.support.asgi_calls import part, receiving
from tests.support.job_bodies import job_scope, left_after, split, whole

LIMITS = BodyLimits(max_bytes=300_000, timeout_s=60, idle_s=60)
SCOPE = job_scope(b"image/png")


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 300_000])
@pytest.mark.parametrize("piece_bytes", [97, 10_000, 300_000])
async def test_a_body_comes_whole_in_pieces_that_are_not_crumbs(size: int, piece_bytes: int) -> None:
    body = bytes(index % 251 for index in range(size))
    pieces = [piece async for piece in body_pieces(SCOPE, whole(body, piece_bytes), LIMITS)]
    assert b"".join(pieces) == body
    assert all(len(piece) >= PIECE_BYTES for piece in pieces[:-1])
    assert b"" not in pieces


async def test_an_empty_last_message_ends_a_body() -> None:
    receive = receiving([part(b"abc", more=True), part(b"", more=True), part(b"")])
    assert [piece async for piece in body_pieces(SCOPE, receive, LIMITS)] == [b"abc"]


async def test_a_declared_length_beyond_the_limit_is_refused_before_anything_is_read() -> None:
    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    with pytest.raises(TooLarge, match="larger than 300000 bytes"):
        await anext(body_pieces(job_scope(b"image/png", content_length=b"300001"), receive, LIMITS))


async def test_a_body_that_grows_beyond_the_limit_is_refused_when_it_does() -> None:
    asked = []

    async def receive() -> Message:
        asked.append(1)
        return part(bytes(100_000), more=True)

    with pytest.raises(TooLarge):
        async for _ in body_pieces(SCOPE, receive, LIMITS):
            pass
    assert len(asked) == 4


async def test_a_client_that_leaves_is_gone() -> None:
    with pytest.raises(ClientGone):
        async for _ in body_pieces(SCOPE, left_after(split(bytes(200_000), 50_000)), LIMITS):
            pass


@pytest.mark.parametrize("limits", [BodyLimits(10, 60, 0.01), BodyLimits(10, 0.01, 60)], ids=["idle", "whole"])
async def test_a_body_that_does_not_come_is_a_timeout(limits: BodyLimits) -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(BodyTimeout, match="did not arrive within"):
        await anext(body_pieces(SCOPE, receive, limits))


async def test_a_reader_that_is_slow_is_not_held_against_the_client() -> None:
    limits = BodyLimits(max_bytes=10**6, timeout_s=60, idle_s=0.02)
    body = bytes(3 * PIECE_BYTES)
    size = 0
    async for piece in body_pieces(SCOPE, whole(body, PIECE_BYTES), limits):
        await asyncio.sleep(0.03)
        size += len(piece)
    assert size == len(body)
