"""A request's body as a stream, for what is too large to be held as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from services.shared.asgi import BodyLimits, ClientGone, Receive, Scope, declared_length
from services.shared.errors import BodyTimeout, TooLarge

PIECE_BYTES = 64 * 1024


async def body_pieces(scope: Scope, receive: Receive, limits: BodyLimits) -> AsyncIterator[bytes]:
    """The body in pieces of at least PIECE_BYTES, but for the last: a client that sends crumbs makes no more work than
    others. Raises TooLarge (from the header alone where it says so), BodyTimeout or ClientGone.

    `idle_s` counts only while the client is waited for, `timeout_s` from the first piece that is asked for.
    """
    if (declared_length(scope) or 0) > limits.max_bytes:
        raise _too_large(limits)
    loop = asyncio.get_running_loop()
    end = loop.time() + limits.timeout_s
    gathered, size, more = bytearray(), 0, True
    while more:
        try:
            async with asyncio.timeout_at(min(end, loop.time() + limits.idle_s)):
                message = await receive()
        except TimeoutError:
            bounds = f"{limits.timeout_s:g} s, with no pause of {limits.idle_s:g} s"
            raise BodyTimeout(f"the body did not arrive within {bounds}") from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message.get("body", b"")
        size += len(body)
        if size > limits.max_bytes:
            raise _too_large(limits)
        gathered += body
        more = message.get("more_body", False)
        if len(gathered) >= PIECE_BYTES or (gathered and not more):
            yield bytes(gathered)
            gathered.clear()


def _too_large(limits: BodyLimits) -> TooLarge:
    return TooLarge(f"the body is larger than {limits.max_bytes} bytes: send several jobs", field="body")
