"""Reading an answer: whether it can be used, and its bytes up to a limit."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence

from services.shared.errors import TooLarge
from services.shared.outbound.base import FIELD, FetchFailed

REDIRECTS = frozenset({301, 302, 303, 307, 308})

# A chunk of one byte costs the event loop as much work as one of a megabyte. No server of files sends such chunks.
FREE_PIECES = 1024
MIN_PIECE_BYTES = 64


def header(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The first value of a header, or None."""
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)


def check_head(status: int, headers: Sequence[tuple[bytes, bytes]], max_bytes: int) -> None:
    """Raises FetchFailed unless the answer is a 2xx as it stands (not compressed), TooLarge by what it announces."""
    if not 200 <= status < 300:
        raise FetchFailed(f"the url's host answered with the HTTP status {status}", status=status)
    for key, value in headers:
        if key.lower() == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise FetchFailed(
                "the url's host sent a compressed answer to a request for a plain one: use a host that sends it plain",
                status=status,
            )
    announced = header(headers, b"content-length") or ""
    if announced.isascii() and announced.isdigit() and (len(announced) > 18 or int(announced) > max_bytes):
        raise too_large(max_bytes)


async def read_body(pieces: AsyncIterable[bytes], max_bytes: int) -> bytes:
    """All of it. Raises TooLarge at the first byte too many, whatever was announced; FetchFailed for crumbs."""
    data = bytearray()
    count = 0
    async for piece in pieces:
        count += 1
        data += piece
        if len(data) > max_bytes:
            raise too_large(max_bytes)
        if count > FREE_PIECES and len(data) < count * MIN_PIECE_BYTES:
            raise FetchFailed("the url's host sends its answer in too many too small pieces: use another host")
    return bytes(data)


def too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"what the url leads to is larger than {max_bytes} bytes: use a smaller file", field=FIELD)
