"""Whether an answer can be used, and how much of it is read."""

from collections.abc import AsyncIterator, Iterable

import pytest

from services.shared.errors import TooLarge
from services.shared.outbound.base import FetchFailed
from services.shared.outbound.body import FREE_PIECES, MIN_PIECE_BYTES, check_head, header, read_body


class Pieces:
    """Counts how many pieces were asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken += 1
            yield piece


@pytest.mark.parametrize("pieces", [[], [b"abc"], [b"a", b"", b"bc"], [b"x" * 10], [b"x" * 9, b"y"]])
async def test_a_body_is_its_pieces_in_order(pieces: list[bytes]) -> None:
    assert await read_body(Pieces(pieces), 10) == b"".join(pieces)


async def test_reading_stops_at_the_piece_that_is_too_much() -> None:
    pieces = Pieces([b"x" * 10] * 100)
    with pytest.raises(TooLarge):
        await read_body(pieces, 25)
    assert pieces.taken == 3


async def test_crumbs_are_given_up_and_small_pieces_are_not() -> None:
    crumbs = Pieces([b"x" * (MIN_PIECE_BYTES - 1)] * (FREE_PIECES + 100))
    with pytest.raises(FetchFailed, match="too small pieces"):
        await read_body(crumbs, 10**9)
    assert crumbs.taken == FREE_PIECES + 1
    small = [b"x" * MIN_PIECE_BYTES] * (FREE_PIECES + 100)
    assert len(await read_body(Pieces(small), 10**9)) == MIN_PIECE_BYTES * (FREE_PIECES + 100)


@pytest.mark.parametrize(
    ("status", "headers", "cause"),
    [
        (200, [], None),
        (206, [(b"Content-Encoding", b"Identity")], None),
        (200, [(b"Content-Encoding", b"")], None),
        (200, [(b"Content-Length", b"100")], None),
        (200, [(b"Content-Length", b"101")], TooLarge),
        (200, [(b"content-length", b"1" * 5000)], TooLarge),
        (200, [(b"Content-Encoding", b"GZIP")], FetchFailed),
        (200, [(b"Content-Encoding", b"identity"), (b"Content-Encoding", b"gzip")], FetchFailed),
        (199, [], FetchFailed),
        (300, [], FetchFailed),
        (404, [], FetchFailed),
    ],
)
def test_a_head_says_whether_the_body_is_read(
    status: int, headers: list[tuple[bytes, bytes]], cause: type[Exception] | None
) -> None:
    if cause is None:
        check_head(status, headers, 100)
        return
    with pytest.raises(cause):
        check_head(status, headers, 100)


def test_a_header_is_found_whatever_its_case() -> None:
    assert header([(b"A", b"1"), (b"CONTENT-type", b"image/png")], b"content-type") == "image/png"
    assert header([], b"content-type") is None
